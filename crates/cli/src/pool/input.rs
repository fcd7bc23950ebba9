//! Files that are read whole: batches and lists of addresses.
use policy::Identity;
use std::io::Read;
use std::net::IpAddr;

/// Octets of such a file, at most.
const LIMIT: u64 = 64 << 20;

/// Reads a file, or standard input where its name is -.
pub(super) fn read(file: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| match file {
        "-" => format!("standard input cannot be read: {error}"),
        _ => format!("'{file}' cannot be read: {error}"),
    };
    let source: Box<dyn Read> = match file {
        "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(file).map_err(failed)?),
    };
    let mut text = String::new();
    let length = source.take(LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
    if length as u64 > LIMIT {
        return Err(format!("'{file}' is larger than {} MiB", LIMIT >> 20));
    }
    Ok(text)
}

/// An address, and for whom it is kept.
pub(super) type Address = (IpAddr, Option<Identity>);

/// Reads addresses, one a line up to the first empty one: `ADDRESS` or `ADDRESS=IDENTITY`.
pub(super) fn addresses(file: &str) -> Result<Vec<Address>, String> {
    let name = if file == "-" { "standard input" } else { file };
    parse(&read(file)?).map_err(|mistake| format!("{name}, {mistake}"))
}

fn parse(text: &str) -> Result<Vec<Address>, String> {
    let mut all: Vec<Address> = Vec::new();
    for (at, line) in text.lines().map(str::trim).take_while(|line| !line.is_empty()).enumerate() {
        let wrong = |mistake: String| format!("line {}: {mistake}", at + 1);
        let (address, identity) = match line.split_once('=') {
            Some((address, identity)) => (address.trim(), Some(identity.trim())),
            None => (line, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong(format!("'{address}' is no IP address")))?;
        let identity = match identity {
            None => None,
            Some("") => return Err(wrong("no identity after =".to_owned())),
            Some(text) => {
                let identity = Identity::parse(text).map_err(|error| wrong(format!("'{text}': {error}")))?;
                if identity.is_pattern() {
                    return Err(wrong(format!("'{text}' is a pattern: an address is kept for one identity")));
                }
                Some(identity)
            }
        };
        if let Some((first, _)) = all.first()
            && first.is_ipv4() != address.is_ipv4()
        {
            return Err(wrong(format!("{address} and {first} are not of one family")));
        }
        all.push((address, identity));
    }
    if all.is_empty() { Err("line 1: there is no address".to_owned()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_identities() {
        let text =
            "10.231.14.1\n10.231.14.2=alice@strongswan.org\r\n10.231.14.3 = C=CH, CN=bob\n\nnot read\n";
        let all = parse(text).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], ("10.231.14.1".parse().unwrap(), None));
        assert_eq!(all[1].1, Identity::parse("alice@strongswan.org").ok());
        assert_eq!(all[2].1, Identity::parse("C=CH, CN=bob").ok());
    }

    #[test]
    fn a_mistake_names_its_line() {
        for (text, words) in [
            ("", "there is no address"),
            ("10.0.0.1\nten", "line 2: 'ten' is no IP address"),
            ("10.0.0.1=", "line 1: no identity after ="),
            ("10.0.0.1\nfd00::1", "line 2: fd00::1 and 10.0.0.1 are not of one family"),
            ("10.0.0.1=*@example.org", "is a pattern"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.contains(words), "{mistake}");
        }
        assert!(
            read("/nonexistent/file").unwrap_err().starts_with("'/nonexistent/file' cannot be read: No such")
        );
    }
}
