use super::*;
use proptest::prelude::*;

fn kinds(name: &str, value: &str) -> Result<(u16, Vec<u8>), String> {
    let named = find(name).map_err(|e| e.to_string())?;
    named.attribute(value.as_bytes()).map(|a| (a.kind.into(), a.value)).map_err(|e| e.to_string())
}

#[test]
fn every_source_has_its_names() {
    for (names, value, kind) in [
        // Pool sections of swanctl.conf, plugins.attr of strongswan.conf, the pool tool.
        ("dns DNS internal_ip4_dns 3", "10.0.0.1", 3),
        ("dns internal_ip6_dns 10", "fd00::1", 10),
        ("nbns wins internal_ip4_nbns internal_ip4_wins", "10.0.0.1", 4),
        ("dhcp internal_ip4_dhcp", "10.0.0.1", 6),
        ("netmask internal_ip4_netmask 2", "255.255.0.0", 2),
        ("server internal_ip4_server", "10.0.0.1", 23456),
        ("server internal_ip6_server", "fd00::1", 23457),
        ("subnet internal_ip6_subnet", "fd00::/64", 15),
        ("p_cscf p-cscf", "10.0.0.1", 20),
        ("p_cscf 21", "fd00::1", 21),
        ("application_version version 7", "Cygnet", 7),
        ("dns_domain internal_dns_domain 25", "x.example", 25),
        ("banner unity_banner 28672", "Hi", 28672),
        ("unity_def_domain def_domain", "x.example", 28674),
        ("split_dns unity_splitdns_name", "x.example", 28675),
        ("split_include split-include unity_split_include 28676", "10.0.0.0/8", 28676),
        ("split_exclude split-exclude unity_split_exclude unity_local_lan", "10.0.0.0/8", 28678),
        ("backup_servers unity_backup_servers", "10.0.0.1", 28681),
    ] {
        for name in names.split(' ') {
            assert_eq!(kinds(name, value).map(|(kind, _)| kind), Ok(kind), "{name}");
        }
    }
    let wrong = |text: &str| Err(text.to_owned());
    assert_eq!(kinds("nbsn", "10.0.0.1"), wrong("unknown attribute"));
    assert_eq!(kinds("internal_ip4_banner", "x"), wrong("unknown attribute"));
    assert_eq!(kinds("0", "x"), wrong("0 is no attribute type (1 to 32767)"));
    assert_eq!(kinds("32768", "x"), wrong("32768 is no attribute type (1 to 32767)"));
    assert_eq!(
        kinds("99999999999999999999999", "x").unwrap_err(),
        format!("{} is no attribute type (1 to 32767)", u64::MAX)
    );
    assert_eq!(kinds("internal_ip4_dns", "fd00::1"), wrong("`internal_ip4_dns` has no form for IPv6"));
    assert_eq!(kinds("10", "10.0.0.1"), wrong("`10` has no form for IPv4"));
    assert_eq!(kinds("netmask", "::1"), wrong("`netmask` has no form for IPv6"));
    assert_eq!(kinds("split_include", "fd00::/64"), wrong("`split_include` has no form for IPv6"));
    let bad = |name: &str, value: &str| kinds(name, value).unwrap_err();
    assert_eq!(bad("dns", "x"), "`x` is no address");
    assert_eq!(bad("pfs", "yes"), "`yes` is no number (0 to 65535)");
    assert!(bad("dns_domain", "bücher.example").contains("xn--"));
    assert_eq!(bad("16384", "0x123"), "`0x123` is no even number of hexadecimal digits");
    assert!(bad("dns_domain", "a..b").contains("domain name"));
    assert_eq!(bad("banner", &"x".repeat(5000)), "the value has 5000 octets, 4096 is the most");
}

#[test]
fn values_as_in_the_payload() {
    for (name, value, octets) in [
        ("address", "10.0.0.1", vec![10, 0, 0, 1]),
        // RFC 7296 3.15.1: with a prefix length.
        ("address", "fd00::1", [&[0xfd][..], &[0; 14], &[1, 128]].concat()),
        ("subnet", "10.1.2.3/16", vec![10, 1, 0, 0, 255, 255, 0, 0]),
        ("subnet", "10.1.2.3/255.255.0.0", vec![10, 1, 0, 0, 255, 255, 0, 0]),
        ("subnet", "fd00::5/64", [&[0xfd][..], &[0; 15], &[64]].concat()),
        ("netmask", "/20", vec![255, 255, 240, 0]),
        ("split_include", "10.1.0.0/16", [&[10, 1, 0, 0, 255, 255, 0, 0][..], &[0; 6]].concat()),
        ("28676", "10.1.0.0/16", [&[10, 1, 0, 0, 255, 255, 0, 0][..], &[0; 6]].concat()),
        ("split_exclude", "10.1.0.1", [&[10, 1, 0, 1, 255, 255, 255, 255][..], &[0; 6]].concat()),
        ("save_password", "1", vec![0, 1]),
        ("firewall_type", "0x00ff", vec![0, 255]),
        ("16384", "10.0.0.1", vec![10, 0, 0, 1]),
        ("16384", "10.1.0.0/16", vec![10, 1, 0, 0, 255, 255, 0, 0]),
        ("16384", "0x01ab", vec![1, 0xab]),
        ("16384", "words", b"words".to_vec()),
        ("28677", "0x1194", vec![0x11, 0x94]),
    ] {
        assert_eq!(kinds(name, value).map(|(_, octets)| octets), Ok(octets), "{name} = {value}");
    }
}

#[test]
fn several_values_are_several_attributes_unless_the_type_is_a_list() {
    let all = |name: &str, values: &[&str]| {
        let values: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
        find(name).unwrap().attributes(&values)
    };
    let (two, none) = all("dns", &["10.0.0.1", "fd00::1"]);
    assert_eq!((two.len(), none.len()), (2, 0));
    assert_eq!(all("split_dns", &["a.example", "b.example"]).0[0].value, b"a.example,b.example");
    assert_eq!(all("banner", &["Welcome", "all"]).0[0].value, b"Welcome, all");
    assert_eq!(all("backup_servers", &["10.0.0.1", "10.0.0.2"]).0[0].value, [10, 0, 0, 1, 10, 0, 0, 2]);
    let (one, faults) = all("dns", &["x", "10.0.0.1", "y"]);
    assert_eq!(one.len(), 1);
    assert_eq!(faults.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn names_are_not_ambiguous() {
    let mut names: Vec<&str> =
        KEYWORDS.iter().flat_map(|k| k.aliases.iter().chain([&k.name])).copied().collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_can_be_shown(kind: u16, value in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(!show(A::from(kind), &value).chars().any(char::is_control));
        for k in &KEYWORDS {
            prop_assert!(!show(k.v4, &value).chars().any(char::is_control));
        }
    }

    #[test]
    fn networks_survive(address: [u8; 16], length in 0u8..=128, v4: [u8; 4], v4_length in 0u8..=32) {
        for text in [
            format!("{}/{length}", std::net::Ipv6Addr::from(address)),
            format!("{}/{v4_length}", std::net::Ipv4Addr::from(v4)),
        ] {
            let a = find("subnet").unwrap().attribute(text.as_bytes()).unwrap();
            let shown = show(a.kind, &a.value);
            prop_assert_eq!(find("subnet").unwrap().attribute(shown.as_bytes()).unwrap(), a);
            prop_assert_eq!(shown.parse::<ipnet::IpNet>().unwrap(), text.parse::<ipnet::IpNet>().unwrap().trunc());
        }
    }

    #[test]
    fn nothing_written_panics(name in "[a-z0-9_-]{0,12}", value in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(named) = find(&name) {
            let _either = named.attribute(&value);
        }
        for k in &KEYWORDS {
            let _either = find(k.name).unwrap().attribute(&value);
        }
    }
}
