use super::*;
use proptest::prelude::*;

fn all(list: &[&str]) -> Vec<VirtualIp> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn attr(kind: u16, value: &[u8]) -> ConfigAttr {
    ConfigAttr { kind: kind.into(), value: value.to_vec() }
}

fn cp(attributes: Vec<ConfigAttr>) -> Cp {
    Cp { kind: ConfigType::Request, attributes }
}

fn kinds(cp: &Cp) -> Vec<u16> {
    cp.attributes.iter().map(|a| a.kind.into()).collect()
}

#[test]
fn a_successor_asks_for_what_there_was_unless_the_connection_says_what() {
    let before = all(&["10.3.0.1", "10.3.0.9", "fec3::1"]);
    let configured = all(&["0.0.0.0", "::", "10.3.0.1", "0.0.0.0", "0.0.0.0"]);
    let wanted = all(&["10.3.0.9", "fec3::1", "10.3.0.1", "0.0.0.0", "0.0.0.0"]);
    assert_eq!(super::wanted(&configured, &before), wanted);
    assert_eq!(super::wanted(&configured, &[]), configured);
    assert_eq!(super::wanted(&all(&["::/64"]), &all(&["fd00::1/64"])), all(&["fd00::1/64"]));
}

#[test]
fn requests_survive_the_round_trip() {
    for (vips, types) in [
        (&["0.0.0.0", "::", "10.3.0.1", "fec3::1"][..], &[1, 8, 1, 8, 3, 10, 25][..]),
        (&["::/64"], &[8, 10, 25, 18]),
        (&["fd00::1/60"], &[8, 10, 25, 18]),
        (&["0.0.0.0"], &[1, 3, 25]),
    ] {
        let request = request(&all(vips), Some(&[]), false).unwrap();
        assert_eq!(kinds(&request), types);
        assert_eq!(asked(&request).addresses, all(vips));
    }
    assert!(request(&[], Some(&[]), false).is_none());
    assert_eq!(kinds(&request(&all(&["0.0.0.0"]), None, false).unwrap()), [1]);
    // RFC 7651: P-CSCF servers of the same families.
    assert_eq!(kinds(&request(&all(&["0.0.0.0"]), None, true).unwrap()), [1, 20]);
    assert_eq!(kinds(&request(&all(&["::", "0.0.0.0"]), None, true).unwrap()), [8, 1, 20, 21]);
}

#[test]
fn a_prefix_is_given_with_its_length() {
    let asked = asked(&request(&all(&["::/64"]), Some(&[]), false).unwrap());
    let (reply, _) = reply(&asked, &all(&["fd00:0:0:5::/64"]), &[], 7);
    assert_eq!(kinds(&reply), [8, 18]);
    assert_eq!(given(&reply, &all(&["::/64"])).0, all(&["fd00:0:0:5::1/64"]));
    // Who did not ask for a prefix takes the address.
    assert_eq!(given(&reply, &all(&["::"])).0, all(&["fd00:0:0:5::1"]));
    // A length alone is that of a network somewhere else.
    let length = Cp { kind: ConfigType::Reply, attributes: vec![reply.attributes[0].clone()] };
    assert_eq!(given(&length, &all(&["::/64"])).0, all(&["fd00:0:0:5::1"]));
    // One that comes without an address is used, too.
    let bare = Cp { kind: ConfigType::Reply, attributes: vec![reply.attributes[1].clone()] };
    assert_eq!(given(&bare, &all(&["::/64"])).0, all(&["fd00:0:0:5::1/64"]));
    assert!(given(&bare, &all(&["::"])).0.is_empty());
}

#[test]
fn a_client_with_a_link_of_its_own_gets_the_other_end_and_the_prefix() {
    let theirs = [0, 0, 0, 0, 0, 0, 0, 1];
    let asked = asked(&cp(vec![attr(17, &theirs), attr(10, &[])]));
    assert_eq!(asked.addresses, all(&["::/64"]));
    let (link, _) = reply(&asked, &all(&["fd00::/64"]), &[attr(10, &[1; 16])], 7);
    assert_eq!(kinds(&link), [17, 18, 10]);
    assert_eq!(link.attributes[0].value, [2u64.to_be_bytes(), 7u64.to_be_bytes()].concat());
    assert_eq!(link.attributes[1].value[16], 64);
    // Where there is no prefix there is no link.
    assert_eq!(kinds(&reply(&asked, &all(&["fd00::9"]), &[], 7).0), [8]);
    // Nor where an address was asked for.
    let both = super::asked(&cp(vec![attr(17, &theirs), attr(8, &[])]));
    assert_eq!(kinds(&reply(&both, &all(&["fd00::/64"]), &[], 7).0), [8]);
}

#[test]
fn who_asks_for_the_supported_attributes_is_told() {
    let (cp, _) = reply(&asked(&cp(vec![attr(14, &[])])), &[], &[], 0);
    assert_eq!(kinds(&cp), [14]);
    let list: Vec<u16> = cp.attributes[0].value.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
    assert!([1, 3, 8, 10, 14, 18, 25].iter().all(|kind| list.contains(kind)));
    assert!(list.is_sorted());
}

#[test]
fn who_asks_later_learns_no_version() {
    let mut request = cp(vec![attr(7, &[]), attr(14, &[]), attr(14, &[]), attr(1, &[])]);
    let reply = inform(&request).unwrap();
    assert_eq!(kinds(&reply), [7, 14]);
    assert!(reply.attributes[0].value.is_empty());
    request.kind = ConfigType::Set;
    assert_eq!(inform(&request), None);
}

#[test]
fn a_reply_has_a_limit() {
    let long = vec![attr(16_384, &[0; 4096]); 8];
    let (cp, left_out) = reply(&Asked::default(), &all(&["10.0.0.1"]), &long, 0);
    assert_eq!((cp.attributes.len(), left_out), (2, 7));
}

#[test]
fn a_length_that_makes_no_sense_is_none() {
    let bytes = |length: u8| [&[0xfd][..], &[0; 14], &[9, length]].concat();
    for (length, shown) in [(0, "fd00::9"), (200, "fd00::9"), (128, "fd00::9"), (64, "fd00::9/64")] {
        assert_eq!(asked(&cp(vec![attr(8, &bytes(length))])).addresses, all(&[shown]));
    }
    // Short ones are no addresses.
    assert!(asked(&cp(vec![attr(8, &[1; 15]), attr(1, &[1; 5])])).addresses.is_empty());
}

#[test]
fn domains_are_asked_for_by_name() {
    let wanted = ["corp.example".to_owned(), "lan".to_owned()];
    let request = request(&all(&["0.0.0.0"]), Some(&wanted), false).unwrap();
    let domains = request.attributes.iter().filter(|a| a.kind == ConfigAttribute::DnsDomain);
    assert_eq!(domains.map(|a| a.value.clone()).collect::<Vec<_>>(), wanted.map(String::into_bytes));
}

#[test]
fn a_hostile_gateway_gives_no_address_that_harms() {
    let peer = "192.0.2.1".parse().unwrap();
    let good = ["10.3.0.1", "fd00::1"];
    let bad = [
        "192.0.2.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ];
    let given = all(&[&good[..], &bad, &good[..1]].concat());
    assert_eq!(acceptable(given, peer), (all(&good), all(&bad)));
    // A prefix that the gateway is in would lead the tunnel into itself.
    let around = all(&["2001:db8::1/32"]);
    assert_eq!(acceptable(around.clone(), "2001:db8:9::1".parse().unwrap()), (Vec::new(), around));
    let many = (0..40u8).map(|n| IpAddr::from([10, 3, 0, n]).into()).collect();
    let (good, bad) = acceptable(many, peer);
    assert_eq!((good.len(), bad.len()), (ADDRESSES, 40 - ADDRESSES));
}

proptest! {
    #[test]
    fn whatever_comes_is_read(list in proptest::collection::vec((0u16..40, proptest::collection::vec(any::<u8>(), 0..20)), 0..80)) {
        let cp = cp(list.iter().map(|(kind, value)| attr(*kind, value)).collect());
        let asked = asked(&cp);
        prop_assert!(asked.addresses.len() <= MAX + 1 && asked.kinds.len() <= MAX + 1);
        for vips in [all(&["::/64"]), all(&["::"])] {
            let (addresses, _) = given(&cp, &vips);
            prop_assert!(addresses.iter().all(|v| !v.is_unspecified() && (vips[0].is_prefix() || !v.is_prefix())));
            let (reply, _) = reply(&asked, &addresses, &[], 1);
            let again = given(&reply, &all(&["::/64"])).0;
            prop_assert!(again.iter().all(|v| addresses.iter().any(|a| a.net().contains(&v.host()))));
        }
    }
}
