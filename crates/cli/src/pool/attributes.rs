//! Attributes on the command line: which options give which values. Names, types and encodings are
//! [`policy::attribute`]'s.
use policy::attribute::{AttributeError, Form, Keyword, Named, find, show};

/// Names of strongSwan's `pool` that given to `--add` and `--del` mean an attribute. Others are names of pools there.
const RESERVED: &[&str] = &[
    "netmask",
    "dns",
    "nbns",
    "wins",
    "dhcp",
    "server",
    "application_version",
    "version",
    "unity_banner",
    "banner",
    "unity_def_domain",
    "unity_splitdns_name",
    "unity_split_include",
    "unity_local_lan",
    "unity_split_exclude",
];

/// Types and their registered names.
const NAMES: &[(u16, &str)] = &[
    (1, "INTERNAL_IP4_ADDRESS"),
    (2, "INTERNAL_IP4_NETMASK"),
    (3, "INTERNAL_IP4_DNS"),
    (4, "INTERNAL_IP4_NBNS"),
    (6, "INTERNAL_IP4_DHCP"),
    (7, "APPLICATION_VERSION"),
    (8, "INTERNAL_IP6_ADDRESS"),
    (9, "INTERNAL_IP6_NETMASK"),
    (10, "INTERNAL_IP6_DNS"),
    (11, "INTERNAL_IP6_NBNS"),
    (12, "INTERNAL_IP6_DHCP"),
    (13, "INTERNAL_IP4_SUBNET"),
    (15, "INTERNAL_IP6_SUBNET"),
    (20, "P_CSCF_IP4_ADDRESS"),
    (21, "P_CSCF_IP6_ADDRESS"),
    (25, "INTERNAL_DNS_DOMAIN"),
    (26, "INTERNAL_DNSSEC_TA"),
    (23_456, "INTERNAL_IP4_SERVER"),
    (23_457, "INTERNAL_IP6_SERVER"),
    (28_672, "UNITY_BANNER"),
    (28_673, "UNITY_SAVE_PASSWD"),
    (28_674, "UNITY_DEF_DOMAIN"),
    (28_675, "UNITY_SPLITDNS_NAME"),
    (28_676, "UNITY_SPLIT_INCLUDE"),
    (28_677, "UNITY_NATT_PORT"),
    (28_678, "UNITY_LOCAL_LAN"),
    (28_679, "UNITY_PFS"),
    (28_680, "UNITY_FW_TYPE"),
    (28_681, "UNITY_BACKUP_SERVERS"),
    (28_682, "UNITY_DDNS_HOSTNAME"),
];

/// The registered name of a type.
pub(super) fn description(kind: u16) -> &'static str {
    NAMES.iter().find(|(number, _)| *number == kind).map_or("", |(_, name)| name)
}

/// Whether this can only be the name of an attribute.
pub(super) fn is_reserved(name: &str) -> bool {
    let plain = name.to_ascii_lowercase();
    let rest = ["internal_ip4_", "internal_ip6_"].iter().find_map(|prefix| plain.strip_prefix(prefix));
    RESERVED.contains(&rest.unwrap_or(&plain))
}

/// A value as given on the command line: which option, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) option: &'static str,
    pub(super) text: String,
}

/// What is to be added or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As the administrator wrote the type.
    pub(super) name: String,
    /// Types that are meant; more than one only without a value.
    pub(super) kinds: Vec<u16>,
    /// One attribute for each of these.
    pub(super) values: Vec<Vec<u8>>,
}

/// Reads type and value; what is wrong with them says what would be right.
pub(super) fn read(name: &str, given: Option<&Given>) -> Result<Wanted, String> {
    let named = find(name).map_err(|error| match error {
        AttributeError::Unknown => format!(
            "'{name}' is no attribute: give a number from 1 to 32767 or a keyword, 'pool --showattr' lists them"
        ),
        other => other.to_string(),
    })?;
    let (v4, v6) = named.kinds();
    let mut kinds: Vec<u16> = v4.into_iter().chain(v6).map(u16::from).collect();
    kinds.dedup();
    let mut values = Vec::new();
    if let Some(given) = given {
        let (kind, all) = encoded(name, &named, &kinds, given)?;
        (kinds, values) = (vec![kind], all);
    }
    Ok(Wanted { name: name.to_lowercase(), kinds, values })
}

/// The type and its values.
fn encoded(name: &str, named: &Named, kinds: &[u16], given: &Given) -> Result<(u16, Vec<Vec<u8>>), String> {
    if given.option == "hex" {
        let value = hex(&given.text)?;
        return Ok((kind_of(name, kinds, value.len())?, vec![value]));
    }
    let form = named.form();
    if !takes(form).contains(&given.option) {
        return Err(format!("{name} takes {}, not --{}", options(form), given.option));
    }
    let parts: Vec<&str> = match given.option {
        "subnet" => given.text.split(',').map(str::trim).collect(),
        _ => vec![given.text.as_str()],
    };
    let mut all = Vec::new();
    for part in parts {
        let coded = named.attribute(part.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
        all.push((u16::from(coded.kind), coded.value));
    }
    let kind = all.first().map(|(kind, _)| *kind).unwrap_or_default();
    if all.iter().any(|(other, _)| *other != kind) {
        return Err(format!("{name}: give subnets of IPv4 and of IPv6 apart from each other"));
    }
    let values = all.into_iter().map(|(_, value)| value);
    // Cisco's subnets are one list.
    Ok((kind, if form == Form::UnitySubnet { vec![values.flatten().collect()] } else { values.collect() }))
}

/// Which of the types a value of this length is for.
fn kind_of(name: &str, kinds: &[u16], length: usize) -> Result<u16, String> {
    match (kinds, length) {
        ([one], _) | ([one, _], 4 | 8) | ([_, one], 16 | 17) => Ok(*one),
        _ => Err(format!("{name} has a type for IPv4 and one for IPv6: {length} octets fit neither")),
    }
}

/// Options for values of this form; of a number without a name, all.
const fn takes(form: Form) -> &'static [&'static str] {
    match form {
        Form::Address | Form::Host | Form::Mask | Form::Addresses => &["addr", "mask", "server"],
        Form::Subnet | Form::UnitySubnet => &["subnet"],
        Form::Text | Form::Names | Form::Domain | Form::Number | Form::Octets => &["string"],
        Form::Guess => &["addr", "mask", "server", "subnet", "string"],
    }
}

/// The same for people.
pub(super) fn options(form: Form) -> String {
    let all: Vec<String> = takes(form).iter().chain(&["hex"]).map(|option| format!("--{option}")).collect();
    all.join(", ").replace(", --hex", " or --hex")
}

/// What `--hex` means: digits, with 0x, colons or blanks between the octets or without.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let digits: String =
        digits.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_lowercase();
    match data_encoding::HEXLOWER.decode(digits.as_bytes()) {
        Ok(value) if value.is_empty() => Err("the value is empty".to_owned()),
        Ok(value) if value.len() > policy::attribute::MAX_VALUE => {
            Err(AttributeError::Long(value.len()).to_string())
        }
        Ok(value) => Ok(value),
        Err(_) => Err(format!("'{text}' is not an even number of hex digits")),
    }
}

/// A stored value as people read it; in hex where its type is not known or it does not fit.
pub(super) fn shown(kind: u16, value: &[u8], as_hex: bool) -> String {
    if as_hex { format!("0x{}", data_encoding::HEXLOWER.encode(value)) } else { show(kind.into(), value) }
}

/// The registered names of a keyword's types.
pub(super) fn descriptions(keyword: &Keyword) -> Vec<&'static str> {
    kinds(keyword).into_iter().map(description).collect()
}

/// A keyword's types.
pub(super) fn kinds(keyword: &Keyword) -> Vec<u16> {
    std::iter::once(keyword.v4).chain(keyword.v6).map(u16::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::attribute::KEYWORDS;

    fn given(option: &'static str, text: &str) -> Given {
        Given { option, text: text.to_owned() }
    }

    fn one(name: &str, option: &'static str, text: &str) -> Result<(u16, String), String> {
        let wanted = read(name, Some(&given(option, text)))?;
        let hex: Vec<String> =
            wanted.values.iter().map(|value| data_encoding::HEXLOWER.encode(value)).collect();
        Ok((wanted.kinds[0], hex.join(" ")))
    }

    #[test]
    fn types_and_values() {
        for (name, option, text, kind, value) in [
            ("dns", "server", "10.1.0.10", 3, "0a01000a"),
            ("DNS", "addr", "fd00::1", 10, "fd000000000000000000000000000001"),
            ("wins", "server", "10.1.0.20", 4, "0a010014"),
            ("internal_ip6_dhcp", "server", "fd00::2", 12, "fd000000000000000000000000000002"),
            ("netmask", "mask", "255.255.255.0", 2, "ffffff00"),
            ("server", "addr", "10.1.0.1", 23_456, "0a010001"),
            ("banner", "string", "hi", 28_672, "6869"),
            ("version", "hex", "0x6869", 7, "6869"),
            ("dns", "hex", "0A:01:00:0a", 3, "0a01000a"),
            (
                "unity_split_include",
                "subnet",
                "10.1.0.0/255.255.0.0,10.2.0.0/24",
                28_676,
                "0a010000ffff0000000000000000\
0a020000ffffff00000000000000",
            ),
            ("unity_split_exclude", "subnet", "0.0.0.0/0", 28_678, "0000000000000000000000000000"),
            ("13", "subnet", "10.1.0.0/16, 10.2.0.1/32", 13, "0a010000ffff0000 0a020001ffffffff"),
            ("25", "string", "x.org", 25, "782e6f7267"),
            ("9", "mask", "ffff::", 9, "ffff0000000000000000000000000000"),
            ("99", "addr", "10.1.0.1", 99, "0a010001"),
        ] {
            assert_eq!(one(name, option, text), Ok((kind, value.to_owned())), "{name} {text}");
        }
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (name, option, text, words) in [
            ("nix", "server", "10.1.0.1", "'pool --showattr' lists them"),
            ("0", "hex", "00", "1 to 32767"),
            ("32768", "hex", "00", "1 to 32767"),
            ("dns", "string", "x", "takes --addr, --mask, --server or --hex, not --string"),
            ("banner", "addr", "10.0.0.1", "takes --string or --hex"),
            ("unity_local_lan", "string", "x", "takes --subnet or --hex"),
            ("dns", "server", "dns.example.org", "`dns.example.org` is no address"),
            ("internal_ip4_dns", "server", "fd00::1", "no form for IPv6"),
            ("internal_ip6_dns", "server", "10.0.0.1", "no form for IPv4"),
            ("dns", "hex", "0a01", "2 octets fit neither"),
            ("banner", "hex", "abc", "even number of hex digits"),
            ("banner", "string", "", "is no text"),
            ("unity_local_lan", "subnet", "10.1.0.0/255.0.255.0", "is no subnet"),
            ("subnet", "subnet", "10.1.0.0/16,fd00::/64", "apart from each other"),
        ] {
            let mistake = one(name, option, text).unwrap_err();
            assert!(mistake.contains(words), "{name} --{option} {text}: {mistake}");
        }
    }

    #[test]
    fn without_a_value_all_types_of_the_keyword_are_meant() {
        assert_eq!(read("dns", None).unwrap().kinds, [3, 10]);
        assert_eq!(read("internal_ip4_dns", None).unwrap().kinds, [3]);
        assert_eq!(read("99", None).unwrap().kinds, [99]);
    }

    #[test]
    fn stored_values_are_shown_as_they_were_given() {
        for (name, option, text) in [
            ("dns", "addr", "10.1.0.10"),
            ("dns", "addr", "fd00::1"),
            ("banner", "string", "hello there"),
            ("unity_local_lan", "subnet", "10.1.0.0/16,10.2.0.0/24"),
            ("99", "hex", "0x782e"),
        ] {
            let wanted = read(name, Some(&given(option, text))).unwrap();
            assert_eq!(shown(wanted.kinds[0], &wanted.values[0], false), text);
        }
        assert_eq!(shown(3, &[10, 1, 0, 1], true), "0x0a010001");
        assert_eq!((description(28_676), description(99)), ("UNITY_SPLIT_INCLUDE", ""));
    }

    #[test]
    fn every_keyword_has_described_types_and_every_reserved_name_is_an_attribute() {
        for keyword in &KEYWORDS {
            assert!(descriptions(keyword).iter().all(|name| !name.is_empty()), "{}", keyword.name);
        }
        for name in RESERVED {
            assert!(find(name).is_ok() && is_reserved(name), "{name}");
        }
        assert!(
            is_reserved("internal_ip4_dns") && is_reserved("DNS") && !is_reserved("pfs") && !is_reserved("3")
        );
    }
}
