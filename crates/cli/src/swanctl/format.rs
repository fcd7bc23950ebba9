//! `--raw` and `--pretty`.
use config::tree::{Node, Section};
use std::borrow::Cow;
use std::fmt::Write;

/// How a message is printed as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `list-sa event {home {uniqueid=1 …}}`
    Raw,
    /// One line per value.
    Pretty,
}

impl Form {
    /// The message under its label, with a line end.
    pub(super) fn write(self, label: &str, message: &Section) -> String {
        let mut out = format!("{label} {{");
        match self {
            Self::Raw => {
                raw(message, &mut out);
                out.push_str("}\n");
            }
            Self::Pretty => {
                out.push('\n');
                pretty(message, &mut out, 2);
                out.push_str("}\n");
            }
        }
        out
    }
}

fn raw(section: &Section, out: &mut String) {
    for (number, (name, node)) in section.entries.iter().enumerate() {
        if number > 0 {
            out.push(' ');
        }
        match node {
            Node::Value(value) => {
                let _ = write!(out, "{name}={}", shown(&value.bytes));
            }
            Node::List(items) => {
                let _ = write!(out, "{name}=[");
                for (number, item) in items.iter().enumerate() {
                    let gap = if number > 0 { " " } else { "" };
                    let _ = write!(out, "{gap}{}", shown(&item.bytes));
                }
                out.push(']');
            }
            Node::Section(inner) => {
                let _ = write!(out, "{name} {{");
                raw(inner, out);
                out.push('}');
            }
        }
    }
}

fn pretty(section: &Section, out: &mut String, indent: usize) {
    for (name, node) in &section.entries {
        match node {
            Node::Value(value) => {
                let _ = writeln!(out, "{:indent$}{name} = {}", "", shown(&value.bytes));
            }
            Node::List(items) => {
                let _ = writeln!(out, "{:indent$}{name} = [", "");
                for item in items {
                    let _ = writeln!(out, "{:indent$}  {}", "", shown(&item.bytes));
                }
                let _ = writeln!(out, "{:indent$}]", "");
            }
            Node::Section(inner) => {
                let _ = writeln!(out, "{:indent$}{name} {{", "");
                pretty(inner, out, indent + 2);
                let _ = writeln!(out, "{:indent$}}}", "");
            }
        }
    }
}

/// Printable ASCII as it is, anything else as 0x hex.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) => Cow::Borrowed(text),
        _ => {
            let mut hex = "0x".to_owned();
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            Cow::Owned(hex)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vici::Message;

    fn message() -> Section {
        let mut lease = Section::default();
        lease.put("address", "10.3.0.1").put("identity", "C=CH, CN=x");
        let mut leases = Section::default();
        leases.put_section("0", lease);
        let mut pool = Section::default();
        pool.put("base", "10.3.0.0").put_section("leases", leases).put_section("empty", Section::default());
        pool.put_list("dns", ["1.1.1.1", "::1"])
            .put_list("none", [""; 0])
            .put_bytes("data", [0x30, 0x82, 0x01]);
        let mut message = Section::default();
        message.put_section("v4", pool);
        message
    }

    #[test]
    fn as_swanctl_prints_them() {
        assert_eq!(
            Form::Raw.write("get-pools reply", &message()),
            "get-pools reply {v4 {base=10.3.0.0 leases {0 {address=10.3.0.1 identity=C=CH, CN=x}} empty {} \
             dns=[1.1.1.1 ::1] none=[] data=0x308201}}\n"
        );
        assert_eq!(
            Form::Pretty.write("get-pools reply", &message()),
            "get-pools reply {\n  v4 {\n    base = 10.3.0.0\n    leases {\n      0 {\n        address = 10.3.0.1\n        \
             identity = C=CH, CN=x\n      }\n    }\n    empty {\n    }\n    dns = [\n      1.1.1.1\n      ::1\n    ]\n    \
             none = [\n    ]\n    data = 0x308201\n  }\n}\n"
        );
        assert_eq!(Form::Raw.write("list-sas reply", &Section::default()), "list-sas reply {}\n");
        assert_eq!(Form::Pretty.write("list-sas reply", &Section::default()), "list-sas reply {\n}\n");
    }
}
