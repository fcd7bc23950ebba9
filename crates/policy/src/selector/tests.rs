use super::*;
use proptest::prelude::*;

fn template(text: &str) -> SelectorTemplate {
    SelectorTemplate::parse(text).unwrap()
}

fn selector(text: &str) -> Selector {
    match template(text) {
        SelectorTemplate::Fixed(selector) => selector,
        SelectorTemplate::Dynamic { .. } => panic!("{text} is dynamic"),
    }
}

#[test]
fn text_in_text_out() {
    for (text, printed) in [
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.1.0.17-10.1.0.20", "10.1.0.17..10.1.0.20"),
        ("10.1.0.16-10.1.0.31", "10.1.0.16/28"),
        ("fec1::0/16[ipv6-icmp] ", "fec1::/16[ipv6-icmp]"),
        ("::/0", "::/0"),
        ("10.1.0.0/16[tcp/ssh]", "10.1.0.0/16[tcp/ssh]"),
        ("0.0.0.0/0[tcp/22]", "0.0.0.0/0[tcp/ssh]"),
        ("192.168.0.150[tcp/http]", "192.168.0.150/32[tcp/http]"),
        ("10.1.0.0/16[tcp/21-22]", "10.1.0.0/16[tcp/21-22]"),
        ("10.1.0.0/16[6/80]", "10.1.0.0/16[tcp/http]"),
        ("10.1.0.0/16[200]", "10.1.0.0/16[200]"),
        ("10.1.0.0/16[17/4444]", "10.1.0.0/16[udp/4444]"),
        ("10.1.0.0/16[icmp/2048]", "10.1.0.0/16[icmp/8]"),
        ("10.1.0.0/16[icmp/0]", "10.1.0.0/16[icmp/0]"),
        ("10.1.0.0/16[icmp/769]", "10.1.0.0/16[icmp/3(1)]"),
        ("10.1.0.0/16[icmp/3-5]", "10.1.0.0/16[icmp/3-5]"),
        ("10.1.0.0/16[0/53]", "10.1.0.0/16[0/domain]"),
        ("10.1.0.0/16[/53]", "10.1.0.0/16[0/domain]"),
        ("10.1.0.0/16[47/5]", "10.1.0.0/16[gre/5]"),
        ("10.1.0.0/16[tcp/587]", "10.1.0.0/16[tcp/submission]"),
        ("10.1.0.0/16[tcp/imap]", "10.1.0.0/16[tcp/imap2]"),
        ("10.1.0.0/16[icmp/3(1)]", "10.1.0.0/16[icmp/3(1)]"),
        ("::/0[ipv6-icmp/%any]", "::/0[ipv6-icmp]"),
        ("10.1.0.0/16[udp/opaque]", "10.1.0.0/16[udp/OPAQUE]"),
        ("dynamic", "dynamic"),
        ("dynamic[gre]", "dynamic[gre]"),
        ("[udp/1000-2000]", "dynamic[udp/1000-2000]"),
        ("dynamic[udp/l2f]", "dynamic[udp/l2f]"),
        ("dynamic[udp/netbios-ns]", "dynamic[udp/netbios-ns]"),
    ] {
        assert_eq!(template(text).to_string(), printed, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    use SelectorError as E;
    for (text, error) in [
        ("10.1.0.0/33", E::Addresses("10.1.0.0/33".into())),
        ("10.1.0.0/+8", E::Addresses("10.1.0.0/+8".into())),
        ("host.example", E::Addresses("host.example".into())),
        ("10.0.0.9-10.0.0.1", E::Addresses("10.0.0.9-10.0.0.1".into())),
        ("10.0.0.1-::1", E::Addresses("10.0.0.1-::1".into())),
        ("", E::Addresses(String::new())),
        ("dynamic[tcp", E::Bracket("dynamic[tcp".into())),
        ("dynamic[tcp]x", E::Bracket("dynamic[tcp]x".into())),
        ("dynamic[tpc]", E::Protocol("tpc".into())),
        ("dynamic[256]", E::Protocol("256".into())),
        ("dynamic[tcp/70000]", E::Port("70000".into())),
        ("dynamic[tcp/20-10]", E::Port("20-10".into())),
        ("dynamic[tcp/nosuch]", E::Port("nosuch".into())),
    ] {
        assert_eq!(SelectorTemplate::parse(text), Err(error), "{text}");
    }
}

#[test]
fn dynamic_becomes_the_hosts() {
    let hosts = ["192.0.2.1", "::", "fd00:1::1/64"].map(|text| text.parse().unwrap());
    let all = resolve(&[template("dynamic[tcp]"), template("10.0.0.0/8"), template("dynamic[tcp]")], &hosts);
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.0.0.0/8", "192.0.2.1/32[tcp]", "::/0[tcp]", "fd00:1::/64[tcp]"]);
}

#[test]
fn opaque_is_a_value_of_its_own() {
    let opaque = selector("10.0.0.0/8[udp/opaque]");
    assert_eq!(opaque.intersect(&selector("10.0.0.0/8[udp/53]")), None);
    assert_eq!(opaque.intersect(&selector("10.0.0.0/8[udp]")), Some(opaque));
    assert!(selector("10.0.0.0/8[udp]").contains(&opaque));
    assert!(!opaque.contains(&selector("10.0.0.0/8[udp]")));
    assert_eq!(Selector::from_wire(&opaque.to_wire()), Some(opaque));
}

#[test]
fn narrowing_keeps_our_order_and_the_widest() {
    let ours = [selector("10.1.0.0/16"), selector("10.2.0.0/16"), selector("192.168.0.0/24[tcp]")];
    let theirs = [selector("10.2.3.0/24"), selector("10.2.0.0/16"), selector("0.0.0.0/0[tcp/80]")];
    let texts: Vec<String> = narrow(&ours, &theirs).iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.1.0.0/16[tcp/http]", "10.2.0.0/16", "192.168.0.0/24[tcp/http]"]);
    assert!(narrow(&ours, &[selector("::/0")]).is_empty());
}

#[test]
fn ranges_become_prefixes() {
    let texts: Vec<String> =
        selector("10.1.0.17-10.1.0.20").to_subnets().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.1.0.17/32", "10.1.0.18/31", "10.1.0.20/32"]);
    assert_eq!(Selector::everything(false).to_subnets().len(), 1);
}

#[test]
fn a_selector_of_nothing_is_refused() {
    let mut ts = selector("10.0.0.0/8").to_wire();
    ts.end = "9.0.0.0".parse().unwrap();
    assert_eq!(Selector::from_wire(&ts), None);
    let mut ts = selector("10.0.0.0/8[tcp/80]").to_wire();
    ts.start_port = 81;
    assert_eq!(Selector::from_wire(&ts), None);
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let ports = prop_oneof![
        3 => (0u16..40, 0u16..40).prop_map(|(a, b)| (a.min(b), a.max(b))),
        1 => Just(ANY_PORT),
        1 => Just(OPAQUE),
    ];
    (any::<bool>(), 0u32..64, 0u32..64, 0u8..3, ports).prop_map(|(v4, a, b, protocol, ports)| {
        let (a, b) = (a.min(b), a.max(b));
        let address = |n: u32| -> IpAddr {
            if v4 { Ipv4Addr::from_bits(n).into() } else { Ipv6Addr::from_bits(u128::from(n)).into() }
        };
        Selector { protocol, ports, start: address(a), end: address(b) }
    })
}

proptest! {
    #[test]
    fn intersection_commutes_and_lies_in_both(a in any_selector(), b in any_selector()) {
        let both = a.intersect(&b);
        prop_assert_eq!(both, b.intersect(&a));
        if let Some(both) = both {
            prop_assert!(a.contains(&both) && b.contains(&both));
        }
        prop_assert_eq!(a.contains(&b), a.intersect(&b) == Some(b) );
        prop_assert_eq!(a.intersect(&a), Some(a));
    }

    #[test]
    fn intersection_is_associative(a in any_selector(), b in any_selector(), c in any_selector()) {
        let left = a.intersect(&b).and_then(|ab| ab.intersect(&c));
        let right = b.intersect(&c).and_then(|bc| a.intersect(&bc));
        prop_assert_eq!(left, right);
    }

    #[test]
    fn narrowing_stays_inside_both(
        a in proptest::collection::vec(any_selector(), 0..5),
        b in proptest::collection::vec(any_selector(), 0..5),
    ) {
        let narrowed = narrow(&a, &b);
        for selector in &narrowed {
            prop_assert!(a.iter().any(|s| s.contains(selector)) && b.iter().any(|s| s.contains(selector)));
        }
        for pair in a.iter().flat_map(|x| b.iter().filter_map(|y| x.intersect(y))) {
            prop_assert!(narrowed.iter().any(|s| s.contains(&pair)));
        }
    }

    #[test]
    fn prefixes_cover_the_range(a in any_selector()) {
        let subnets = a.to_subnets();
        prop_assert_eq!(subnets.first().map(ipnet::IpNet::network), Some(a.start));
        prop_assert_eq!(subnets.last().map(ipnet::IpNet::broadcast), Some(a.end));
        prop_assert_eq!(subnets.len() == 1, single_prefix(a.start, a.end).is_some());
    }

    #[test]
    fn the_wire_gives_back_what_it_took(a in any_selector()) {
        prop_assert_eq!(Selector::from_wire(&a.to_wire()), Some(a));
    }

    #[test]
    fn what_is_printed_is_read(a in any_selector()) {
        // ICMP prints a type alone for all its codes and for code 0, as charon does.
        prop_assume!(a.protocol != 1);
        prop_assert_eq!(template(&a.to_string()), SelectorTemplate::Fixed(a));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = SelectorTemplate::parse(&text);
    }
}
