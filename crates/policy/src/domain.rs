//! Names of DNS domains, as peers and configurations give them.

/// Longest name without its final dot, and longest label (RFC 1035 2.3.4).
const NAME: usize = 253;
const LABEL: usize = 63;
/// Names that never belong to somebody's DNS servers (RFC 6761, RFC 6762, RFC 7686).
const SPECIAL: [&str; 4] = ["localhost", "local", "invalid", "onion"];

/// The name in lower case and without a final dot. `None` for what is no name in letters, digits, hyphens and
/// underscores (A-labels included), and for names with a meaning of their own, such as `local`.
#[must_use]
pub fn parse(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let special = name.rsplit('.').next().is_some_and(|last| SPECIAL.contains(&last));
    // A last label of digits makes it an address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (name.len() <= NAME && name.split('.').all(label) && !special && !numeric).then_some(name)
}

/// Whether `name` is `domain` or below it; both as [`parse`] gives them.
#[must_use]
pub fn within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, name) in [
            ("Corp.Example.", "corp.example"),
            ("lan", "lan"),
            ("_tcp.xn--bcher-kva.example", "_tcp.xn--bcher-kva.example"),
            ("10.in-addr.arpa", "10.in-addr.arpa"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(name));
        }
        let long = format!("{}.example", "a".repeat(64));
        let longer = "a.".repeat(127) + "a";
        for wrong in [
            "",
            ".",
            "..",
            "a..b",
            "a b",
            "a\nnameserver 6.6.6.6",
            "a#b",
            "a;b",
            "a\tb",
            "-a",
            "a-",
            "b\u{fc}cher",
            "a\0b",
            "localhost",
            "printer.LOCAL",
            "x.onion.",
            "10.0.0.1",
            "options\n",
            long.as_str(),
            longer.as_str(),
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn below() {
        assert!(within("corp.example", "corp.example") && within("a.corp.example", "corp.example"));
        assert!(!within("evilcorp.example", "corp.example") && !within("example", "corp.example"));
    }
}
