use super::*;
use proptest::prelude::*;

fn id(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

#[test]
fn the_documented_decisions() {
    for any in ["", "%any", "%any6", "0.0.0.0", "::", "*"] {
        assert_eq!(id(any), Identity::Any);
    }
    assert_eq!(id("moon.strongswan.org"), Identity::Fqdn("moon.strongswan.org".into()));
    assert_eq!(id("carol"), Identity::Fqdn("carol".into()));
    assert_eq!(id("@moon"), Identity::Fqdn("moon".into()));
    assert_eq!(id("carol@strongswan.org"), Identity::Rfc822("carol@strongswan.org".into()));
    assert_eq!(id("@@carol@x"), Identity::Rfc822("carol@x".into()));
    assert_eq!(id("@#3132"), Identity::KeyId(b"12".to_vec()));
    assert_eq!(id("192.0.2.1"), Identity::Ip("192.0.2.1".parse().unwrap()));
    assert_eq!(id("2001:db8::1"), Identity::Ip("2001:db8::1".parse().unwrap()));
    assert_eq!(id("no:address"), Identity::KeyId(b"no:address".to_vec()));
    assert_eq!(id("a=b"), Identity::KeyId(b"a=b".to_vec()));
    assert_eq!(
        id("10.0.0.0/8"),
        Identity::Range("10.0.0.0".parse().unwrap(), "10.255.255.255".parse().unwrap())
    );
    assert_eq!(id("10.0.0.1-10.0.0.9").to_string(), "10.0.0.1-10.0.0.9");
    assert_eq!(id("ipv4:#c0000201"), id("192.0.2.1"));
    assert_eq!(id("ipv4:10.0.0.1"), Identity::Other(IdType::Ipv4, b"10.0.0.1".to_vec()));
    assert_eq!(id("ipv4net:#0a000000ff000000"), id("10.0.0.0/8"));
    assert_eq!(id("ipv4range:#0a0000010a000009"), id("10.0.0.1-10.0.0.9"));
    assert_eq!(id("keyid:moon.strongswan.org"), Identity::KeyId(b"moon.strongswan.org".to_vec()));
    assert_eq!(id("dns:moon"), id("@moon"));
    assert_eq!(id("email:carol@x"), id("carol@x"));
    assert_eq!(id("{11}:#00ff"), Identity::KeyId(vec![0, 255]));
    assert_eq!(id("{200}:abc"), Identity::Other(IdType::Unknown(200), b"abc".to_vec()));
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(Identity::parse("@#313"), Err(IdentityError::Hex("313".into())));
    assert_eq!(Identity::parse("keyid:#xy"), Err(IdentityError::Hex("xy".into())));
    assert_eq!(Identity::parse("{999}:x"), Err(IdentityError::Type("999".into())));
    assert_eq!(Identity::parse("keyid:^a$"), Err(IdentityError::RegexType("keyid".into())));
    assert!(matches!(Identity::parse("fqdn:^(a$"), Err(IdentityError::Regex(..))));
}

#[test]
fn names_have_the_der_that_openssl_makes() {
    // openssl req -subj '/C=CH/O=strongSwan Project/CN=moon' with printable strings
    let want = "3039310b3009060355040613024348311b3019060355040a13127374726f6e675377616e2050726f6a656374310d300b06035504031304\
                6d6f6f6e";
    let dn = id("C=CH, O=strongSwan Project, CN=moon");
    let (kind, der) = dn.to_wire();
    assert_eq!(kind, IdType::Dn);
    assert_eq!(der.iter().map(|b| format!("{b:02x}")).collect::<String>(), want);
    assert_eq!(id("/c=CH/o=strongSwan Project/cn=moon"), dn);
    assert_eq!(dn.to_string(), "C=CH, O=strongSwan Project, CN=moon");
    assert_eq!(Identity::from_wire(IdType::Dn, &der), Ok(dn));
    assert_eq!(id("1.2.3.4=x, DC=org, E=a@b").to_string(), "1.2.3.4=x, DC=org, E=a@b");
    assert_eq!(id("CN=moon, "), id("CN=moon"));
    assert_eq!(id("EN=7, UN=a, UA=b").to_string(), "EN=7, UN=a, UA=b");
    assert_eq!(id("C=CH, XY=z"), Identity::KeyId(b"C=CH, XY=z".to_vec()));
}

#[test]
fn the_better_match_has_the_higher_rank() {
    let moon = id("moon.strongswan.org");
    assert_eq!(id("MOON.strongswan.org").matches(&moon), Some(20));
    assert_eq!(id("*.strongswan.org").matches(&moon), Some(19));
    assert_eq!(id("*@strongswan.org").matches(&id("carol@strongSwan.org")), Some(19));
    assert_eq!(id("*.strongswan.org").matches(&id("strongswan.org")), None);
    assert_eq!(id("%any").matches(&moon), Some(1));
    assert_eq!(moon.matches(&Identity::Any), None);
    assert_eq!(id("keyid:moon").matches(&id("@moon")), None);
    let dn = id("C=CH, O=strongSwan Project, OU=Research, CN=carol");
    assert_eq!(id("C=CH, O=strongSwan Project, OU=*, CN=*").matches(&dn), Some(18));
    assert_eq!(id("C=ch, O=strongswan project, OU=Research, CN=CAROL").matches(&dn), Some(20));
    assert_eq!(id("C=CH, O=strongSwan Project, CN=*").matches(&dn), None);
    assert_eq!(id("10.0.0.0/8").matches(&id("10.1.2.3")), Some(16));
    assert_eq!(id("10.1.2.0/24").matches(&id("10.1.2.3")), Some(18));
    assert_eq!(id("10.0.0.0/8").matches(&id("11.1.2.3")), None);
    assert_eq!(id(r"fqdn:^(moon|sun)\.strongswan\.org$").matches(&moon), Some(18));
    assert_eq!(id(r"email:^moon.*$").matches(&moon), None);
    assert_eq!(id(r"asn1dn:^.*CN=car.+$").matches(&dn), Some(18));
    assert!(moon.same(&id("Moon.strongSwan.org")));
}

#[test]
fn what_a_peer_may_not_call_itself() {
    assert!(Identity::from_wire(IdType::Ipv4, &[1, 2, 3]).is_err());
    assert!(Identity::from_wire(IdType::Fqdn, b"a\0b").is_err());
    assert!(Identity::from_wire(IdType::Fqdn, b"").is_err());
    assert!(Identity::from_wire(IdType::Rfc822, &[0xff]).is_err());
    assert!(Identity::from_wire(IdType::Dn, &[0x30, 0x80, 0, 0]).is_err());
    assert_eq!(Identity::KeyId(vec![0x31, 0, 0xff]).to_string(), "31:00:ff");
    assert_eq!(Identity::KeyId(b"plain".to_vec()).to_string(), "plain");
    // A `*` from a peer is a name, not a licence: patterns are on our side only.
    assert_eq!(id("moon.org").matches(&id("*.org")), None);
}

proptest! {
    #[test]
    fn no_text_panics_and_patterns_stay_patterns(text in "\\PC{0,40}") {
        if let Ok(identity) = Identity::parse(&text) {
            let _ = identity.matches(&identity);
            let _ = identity.to_string();
            let _ = identity.is_pattern();
        }
    }

    #[test]
    fn the_wire_gives_back_what_it_took(kind in any::<u8>(), data in proptest::collection::vec(any::<u8>(), 0..80)) {
        let kind = IdType::from(kind);
        if let Ok(identity) = Identity::from_wire(kind, &data) {
            prop_assert_eq!(identity.to_wire(), (kind, data));
            let _ = identity.to_string();
        }
    }

    #[test]
    fn distinguished_names_survive(cn in "[A-Za-z0-9 ]{1,200}", o in "[^,=/*\\s\\p{Cc}]{1,20}") {
        let dn = Identity::parse(&format!("C=CH, O={o}, CN={cn}")).unwrap();
        let (kind, der) = dn.to_wire();
        prop_assert_eq!(Identity::from_wire(kind, &der).unwrap(), dn);
    }
}
