//! `pools.<name>`.
use super::values::number;
use super::{Fields, Key, Kind, values};
use crate::capability::Capabilities;
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Span, Value};
use policy::attribute::{self, AttributeError, Form, KEYWORDS};
use policy::{PoolAttribute, PoolConfig, PoolRange};

mod hosts;

/// The keys about addresses; all others are attributes.
const ADDRESSES: [Key; 4] = [
    Key::new("addrs", Kind::Text("subnet, or from-to"), "", "the addresses to give; required"),
    Key::new(
        "prefix",
        Kind::Number,
        "128",
        "IPv6: each client gets a whole prefix of this length; `addrs = 2001:db8::/48/64` says the same; not in strongSwan",
    ),
    Key::new(
        "hosts",
        Kind::List("identity=address"),
        "",
        "addresses that belong to one identity, in addrs or outside; distinguished names with slashes; not in strongSwan",
    ),
    Key::new(
        "timeout",
        Kind::Time,
        "0",
        "how long a client's address is kept for it while it is away; 0 as long as there is room; not in strongSwan",
    ),
];

/// The keys of a pool. An attribute may have another of its names, or the number of its type, in place of the key.
#[expect(clippy::indexing_slicing, reason = "done by the compiler, which would say so")]
pub const KEYS: &[Key] = &{
    let mut keys = [ADDRESSES[0]; ADDRESSES.len() + KEYWORDS.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = match at.checked_sub(ADDRESSES.len()) {
            None => ADDRESSES[at],
            Some(at) => Key::new(KEYWORDS[at].name, kind(KEYWORDS[at].form), "", KEYWORDS[at].help),
        };
        at += 1;
    }
    keys
};

/// What to write for an attribute.
const fn kind(form: Form) -> Kind {
    match form {
        Form::Address | Form::Host | Form::Mask | Form::Addresses => Kind::List("addresses"),
        Form::Subnet | Form::UnitySubnet => Kind::List("subnets"),
        Form::Names | Form::Domain => Kind::List("domain names"),
        Form::Number => Kind::Number,
        Form::Text => Kind::Text("text"),
        Form::Octets | Form::Guess => Kind::Text("text, 0x and hexadecimal digits"),
    }
}

/// The key is about addresses, not an attribute.
fn is_plain(key: &str) -> bool {
    ADDRESSES.iter().any(|row| row.name == key)
}

/// Reads a pool, from a file or from vici's `load-pool`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_pool(name: &str, section: &Section) -> Result<PoolConfig, Vec<Report>> {
    let path = format!("pools.{name}");
    let capabilities = Capabilities::none();
    let known = Section {
        entries: section
            .entries
            .iter()
            .filter(|(key, _)| is_plain(key))
            .map(|(k, n)| (k.clone(), n.clone()))
            .collect(),
        ..section.clone()
    };
    let mut f = Fields::new(&path, &known, KEYS, &capabilities);
    let mut prefix: Option<u8> = None;
    f.set("prefix", &mut prefix, |t| {
        number(t).map(Some).map_err(|_| format!("`{t}` is no prefix length (1 to 128)"))
    });
    let mut range: Option<PoolRange> = None;
    f.set("addrs", &mut range, |t| PoolRange::parse(t, prefix).map(Some).map_err(|e| e.to_string()));
    if !f.has("addrs") {
        f.missing("`addrs` is missing");
    }
    let mut timeout = 0;
    f.set("timeout", &mut timeout, values::time);
    let mut attributes = Vec::new();
    let mut reserved: Vec<(Span, Value)> = Vec::new();
    let other = |key: &str| key == "hosts" || !is_plain(key);
    for (key, node) in section.entries.iter().filter(|(key, _)| other(key)) {
        let place = |value: Span| if value.is_somewhere() { value } else { section.key_span(key) };
        let report =
            |message: String, span: Span| Report::error(message).at(place(span)).key(format!("{path}.{key}"));
        let items = match node {
            Node::List(items) => items.clone(),
            Node::Value(value) => value.split(),
            Node::Section(_) => {
                f.inner::<()>(Err(vec![report("unknown section".into(), Span::NOWHERE)]));
                continue;
            }
        };
        if key == "hosts" {
            reserved.extend(items.into_iter().map(|item| (place(item.span), item)));
            continue;
        }
        match read(key, &items) {
            Ok(more) => attributes.extend(more),
            Err(faults) => {
                for (at, message, hint) in faults {
                    let mut report = report(message, items.get(at).map_or(Span::NOWHERE, |item| item.span));
                    report.hint = hint;
                    f.inner::<()>(Err(vec![report]));
                }
            }
        }
    }
    match range {
        Some(range) => {
            let timeout = Some(timeout).filter(|timeout| *timeout > 0);
            let mut pool = PoolConfig { attributes, timeout, ..PoolConfig::new(name, range) };
            for (span, item) in reserved {
                if let Err((message, hint)) = hosts::add(&mut pool, item.as_text().unwrap_or("")) {
                    let mut report = Report::error(message).at(span).key(format!("{path}.hosts"));
                    report.hint = hint;
                    f.inner::<()>(Err(vec![report]));
                }
            }
            f.finish(pool)
        }
        None => f.finish(()).and_then(|()| Err(vec![Report::error("`addrs` is missing").key(path)])),
    }
}

/// Which value is wrong, why, and what to do.
type Wrong = (usize, String, Option<String>);

fn read(key: &str, items: &[Value]) -> Result<Vec<PoolAttribute>, Vec<Wrong>> {
    let named = attribute::find(key).map_err(|error| match error {
        AttributeError::Unknown => {
            let known = closest(key, KEYS.iter().map(|k| k.name));
            vec![(0, "unknown key".into(), known.map(|known| format!("did you mean `{known}`?")))]
        }
        other => vec![(0, other.to_string(), None)],
    })?;
    let values: Vec<&[u8]> = items.iter().map(|item| item.bytes.as_slice()).collect();
    let (all, faults) = named.attributes(&values);
    if faults.is_empty() {
        return Ok(all);
    }
    Err(faults.into_iter().map(|(at, error)| (at, error.to_string(), None)).collect())
}
