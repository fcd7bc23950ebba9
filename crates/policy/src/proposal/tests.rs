use super::*;
use proptest::prelude::*;

fn ike(text: &str) -> Proposal {
    Proposal::parse(ProtocolId::Ike, text).unwrap()
}

fn esp(text: &str) -> Proposal {
    Proposal::parse(ProtocolId::Esp, text).unwrap()
}

#[test]
fn keywords_in_charons_names_out() {
    for (text, printed) in [
        ("aes128-sha256-x25519", "IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519"),
        (
            "aes128gcm16-prfsha256-x25519-ke1_mlkem768",
            "IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768",
        ),
        ("aes128gcm128-aesxcbc-curve25519", "IKE:AES_GCM_16_128/PRF_AES128_XCBC/CURVE_25519"),
        ("aes-sha-prfsha256-modp2048", "IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA2_256/MODP_2048"),
        ("x25519-sha256-AES256", "IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519"),
        ("chacha20poly1305-prfsha256-ecp256", "IKE:CHACHA20_POLY1305/PRF_HMAC_SHA2_256/ECP_256"),
    ] {
        assert_eq!(ike(text).to_string(), printed, "{text}");
    }
    for (text, printed) in [
        ("aes128gcm16", "ESP:AES_GCM_16_128/NO_EXT_SEQ"),
        ("aes128-sha256-modp2048-none", "ESP:AES_CBC_128/HMAC_SHA2_256_128/MODP_2048/KE_NONE/NO_EXT_SEQ"),
        ("aes128gcm128-esn-noesn-x25519", "ESP:AES_GCM_16_128/CURVE_25519/EXT_SEQ/NO_EXT_SEQ"),
        ("null-sha256", "ESP:NULL/HMAC_SHA2_256_128/NO_EXT_SEQ"),
        (
            "aes128gmac-x25519-ke1_mlkem768-ke1_none",
            "ESP:NULL_AES_GMAC_128/CURVE_25519/KE1_ML_KEM_768/KE1_KE_NONE/NO_EXT_SEQ",
        ),
        ("aes128gcm16-sha256-prfsha256", "ESP:AES_GCM_16_128/NO_EXT_SEQ"),
    ] {
        assert_eq!(esp(text).to_string(), printed, "{text}");
    }
    let ah = Proposal::parse(ProtocolId::Ah, "sha256-aes128gmac").unwrap();
    assert_eq!(ah.to_string(), "AH:HMAC_SHA2_256_128/AES_128_GMAC/NO_EXT_SEQ");
}

#[test]
fn what_is_wrong_is_said() {
    let says = |protocol, text: &str| parse_proposals(protocol, text).unwrap_err().to_string();
    assert_eq!(says(ProtocolId::Ike, "aes128-sah256-x25519"), "`sah256` is no algorithm");
    assert_eq!(
        says(ProtocolId::Ike, "aes128-aes128gcm16-sha256-x25519"),
        "ciphers with and without authentication (AEAD) need proposals of their own"
    );
    assert_eq!(
        says(ProtocolId::Ike, "aes128gcm16-x25519"),
        "IKE proposals need a pseudo-random function, like prfsha256"
    );
    assert_eq!(
        says(ProtocolId::Ike, "aes128-sha256"),
        "IKE proposals need a key exchange method, like x25519"
    );
    assert_eq!(
        says(ProtocolId::Ike, "sha256-x25519"),
        "IKE proposals need a cipher, like aes256 or aes256gcm16"
    );
    assert!(says(ProtocolId::Esp, "aes128").starts_with("ESP proposals need an integrity algorithm"));
    assert_eq!(
        says(ProtocolId::Ike, "aes128-sha256-x25519-esn"),
        "`esn` does not belong into an IKE proposal"
    );
    assert_eq!(
        says(ProtocolId::Ike, "aes128-sha256-none"),
        "IKE proposals need a key exchange method, like x25519"
    );
    assert_eq!(says(ProtocolId::Ike, "null-sha256-x25519"), "`null` does not belong into an IKE proposal");
    assert_eq!(says(ProtocolId::Ah, "aes128-sha256"), "`aes128` does not belong into an AH proposal");
    assert_eq!(says(ProtocolId::Ike, "aes128-sha256-x25519,"), "empty proposal");
    assert_eq!(says(ProtocolId::Ike, "aes128--sha256-x25519"), "empty proposal");
    assert_eq!(says(ProtocolId::Ike, "aes128-sha256-x25519-ke8_x25519"), "`ke8_x25519` is no algorithm");
}

#[test]
fn default_is_two_proposals_without_legacy() {
    let set = parse_proposals(ProtocolId::Ike, "aes128-sha1-modp1024, default").unwrap();
    assert_eq!(set.len(), 3);
    let texts: Vec<String> = default_proposals(ProtocolId::Esp).iter().map(Proposal::keywords).collect();
    assert_eq!(
        texts,
        [
            "aes128gcm16-aes192gcm16-aes256gcm16-chacha20poly1305-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp6144-modp8192-modp2048-none-noesn",
            "aes128-aes192-aes256-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp6144-modp8192-modp2048-none-noesn",
        ]
    );
    for protocol in [ProtocolId::Ike, ProtocolId::Esp, ProtocolId::Ah] {
        for proposal in default_proposals(protocol) {
            assert_eq!(Proposal::parse(protocol, &proposal.keywords()), Ok(proposal));
        }
    }
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let says = |text: &str| ike(text).available().unwrap_err().to_string();
    assert!(says("blowfish256-sha512-modp2048").starts_with("blowfish256 is not available: "));
    assert!(says("aes128-sha256-x448").starts_with("x448 is not available: "));
    for protocol in [ProtocolId::Ike, ProtocolId::Esp] {
        for proposal in default_proposals(protocol) {
            assert_eq!(proposal.available(), Ok(()));
        }
    }
}

#[test]
fn the_wire_form() {
    let proposal = ike("aes256-sha384-x25519-ke1_mlkem768-ke1_none");
    let wire = proposal.to_wire(1, &[]);
    let kinds: Vec<(TransformType, u16, Option<u16>)> =
        wire.transforms.iter().map(|t| (t.kind, t.id, t.key_bits)).collect();
    assert_eq!(
        kinds,
        [
            (TransformType::Encr, 12, Some(256)),
            (TransformType::Prf, 6, None),
            (TransformType::Integ, 13, None),
            (TransformType::Ke, 31, None),
            (TransformType::AddKe1, 36, None),
            (TransformType::AddKe1, 0, None),
        ]
    );
    assert_eq!(Proposal::from_wire(&wire), Some(proposal));
    let chacha = esp("chacha20poly1305").to_wire(2, &[1, 2, 3, 4]);
    assert_eq!(chacha.transforms[0].key_bits, None);
    let mut strange = chacha;
    strange.transforms.push(Transform { kind: TransformType::Unknown(99), id: 1, key_bits: None });
    assert_eq!(Proposal::from_wire(&strange), None);
}

#[test]
fn the_chosen_one_prints_and_travels() {
    let chosen = Chosen {
        protocol: ProtocolId::Esp,
        number: 3,
        encr: (Encr::AesGcm16, 256),
        integ: Integ::None,
        prf: None,
        ke: Ke::None,
        add_ke: vec![Ke::None, Ke::MlKem768],
        esn: Esn::Yes,
    };
    assert_eq!(chosen.to_string(), "ESP:AES_GCM_16_256/KE2_ML_KEM_768/EXT_SEQ");
    let wire = chosen.to_wire(&[9, 9, 9, 9]);
    assert_eq!((wire.number, wire.spi.len(), wire.transforms.len()), (3, 4, 3));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9_,-]{0,40}") {
        for protocol in [ProtocolId::Ike, ProtocolId::Esp, ProtocolId::Ah] {
            if let Ok(set) = parse_proposals(protocol, &text) {
                for proposal in set {
                    prop_assert_eq!(Proposal::from_wire(&proposal.to_wire(1, &[])), Some(proposal.clone()));
                    prop_assert_eq!(Proposal::parse(protocol, &proposal.keywords()), Ok(proposal));
                }
            }
        }
    }
}
