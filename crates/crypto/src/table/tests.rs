use wire::iana::Esn;

use super::*;

#[test]
fn every_named_number_has_one_row() {
    for id in Encr::NAMED {
        assert_eq!(ENCR.iter().filter(|row| row.id == *id).count(), 1, "{id:?}");
    }
    for id in Integ::NAMED.iter().filter(|id| **id != Integ::None) {
        assert_eq!(INTEG.iter().filter(|row| row.id == *id).count(), 1, "{id:?}");
    }
    for id in Prf::NAMED {
        assert_eq!(PRF.iter().filter(|row| row.id == *id).count(), 1, "{id:?}");
    }
    for id in Ke::NAMED.iter().filter(|id| **id != Ke::None) {
        assert_eq!(KE.iter().filter(|row| row.id == *id).count(), 1, "{id:?}");
    }
}

#[test]
fn availability_follows_the_code() {
    for row in KE {
        let refused = matches!(row.backend, Backend::Refused(_));
        assert_eq!(crate::ke::available(row.id).is_err(), refused, "{}", row.name);
    }
    for row in PRF {
        assert_eq!(crate::prf::compute(row.id, b"key", &[b"data"]).is_err(), prf_available(row.id).is_err());
    }
    for row in INTEG {
        let made = integ_key_len(row.id).and_then(|len| crate::mac::Mac::integrity(row.id, &vec![1; len]));
        assert_eq!(made.is_err(), matches!(row.backend, Backend::Refused(_)), "{}", row.name);
    }
    for row in ENCR {
        let bits = if row.single_size() { 0 } else { row.sizes[0] };
        let (integ, key) = if row.tag > 0 { (Integ::None, 0) } else { (Integ::HmacSha256_128, 32) };
        let made = key_len(row.id, bits)
            .and_then(|len| crate::EspCipher::new(row.id, bits, integ, &vec![1; len], &vec![2; key]));
        assert_eq!(made.is_err(), matches!(row.backend, Backend::Refused(_)), "{}", row.name);
    }
}

#[test]
fn keywords_are_unique_and_read_back() {
    let mut seen = std::collections::BTreeSet::new();
    for row in rows() {
        for keyword in row.keywords {
            assert!(parse_keyword(&keyword).is_some(), "{keyword}");
            assert!(seen.insert(keyword.clone()), "{keyword} twice");
        }
    }
    for row in ENCR {
        for (word, bits) in row.keywords() {
            assert_eq!(parse_keyword(&word), Some(Keyword::Encr(row.id, bits)));
            assert_eq!(parse_keyword(&encr_keyword(row.id, bits)), Some(Keyword::Encr(row.id, bits)));
        }
    }
}

#[test]
fn words_of_strongswan() {
    let encr = |id, bits| Some(Keyword::Encr(id, bits));
    assert_eq!(parse_keyword("aes"), encr(Encr::AesCbc, 128));
    assert_eq!(parse_keyword("AES256"), encr(Encr::AesCbc, 256));
    assert_eq!(parse_keyword("aes192ctr"), encr(Encr::AesCtr, 192));
    assert_eq!(parse_keyword("aes128gcm128"), encr(Encr::AesGcm16, 128));
    assert_eq!(parse_keyword("aes128gcm"), encr(Encr::AesGcm16, 128));
    assert_eq!(parse_keyword("aes256ccm"), encr(Encr::AesCcm16, 256));
    assert_eq!(parse_keyword("aes128ccm64"), encr(Encr::AesCcm8, 128));
    assert_eq!(parse_keyword("aes256gcm96"), encr(Encr::AesGcm12, 256));
    assert_eq!(parse_keyword("aes256gmac"), encr(Encr::NullAesGmac, 256));
    assert_eq!(parse_keyword("chacha20poly1305"), encr(Encr::ChaCha20Poly1305, 0));
    assert_eq!(parse_keyword("3des"), encr(Encr::TripleDes, 0));
    assert_eq!(parse_keyword("null"), encr(Encr::Null, 0));
    assert_eq!(parse_keyword("cast128"), encr(Encr::Cast, 128));
    assert_eq!(parse_keyword("camellia192ccm12"), encr(Encr::CamelliaCcm12, 192));
    assert_eq!(parse_keyword("sha"), Some(Keyword::Integ(Integ::HmacSha1_96)));
    assert_eq!(parse_keyword("sha2_512"), Some(Keyword::Integ(Integ::HmacSha512_256)));
    assert_eq!(parse_keyword("sha256_96"), Some(Keyword::Integ(Integ::HmacSha256_96)));
    assert_eq!(parse_keyword("prfaescmac"), Some(Keyword::Prf(Prf::Aes128Cmac)));
    assert_eq!(parse_keyword("curve25519"), Some(Keyword::Ke(Ke::X25519)));
    assert_eq!(parse_keyword("ecp521"), Some(Keyword::Ke(Ke::Ecp521)));
    assert_eq!(parse_keyword("ke1_mlkem768"), Some(Keyword::AddKe(1, Some(Ke::MlKem768))));
    assert_eq!(parse_keyword("ke7_none"), Some(Keyword::AddKe(7, None)));
    assert_eq!(parse_keyword("noesn"), Some(Keyword::Esn(Esn::No)));
    assert_eq!(parse_keyword("none"), Some(Keyword::NoKe));
    for wrong in [
        "",
        "aes64",
        "ke8_x25519",
        "ke0_x25519",
        "ke1_sha1",
        "ke_x25519",
        "ke11_x25519",
        "modp",
        "äöü",
        "aesgcm16",
        "aesctr",
        "camelliactr",
        "sha224",
        "sha2",
        "md5_96",
        "sha256_128",
        "prfsha",
        "prfsha2_256",
        "ecp256k1",
    ] {
        assert_eq!(parse_keyword(wrong), None, "{wrong}");
    }
}

#[test]
fn key_material() {
    assert_eq!(key_len(Encr::AesCbc, 128), Ok(16));
    assert_eq!(key_len(Encr::AesCtr, 192), Ok(28));
    assert_eq!(key_len(Encr::AesGcm16, 256), Ok(36));
    assert_eq!(key_len(Encr::AesCcm8, 128), Ok(19));
    assert_eq!(key_len(Encr::ChaCha20Poly1305, 0), Ok(36));
    assert_eq!(key_len(Encr::ChaCha20Poly1305, 256), Ok(36));
    assert_eq!(key_len(Encr::TripleDes, 0), Ok(24));
    assert_eq!(key_len(Encr::Null, 0), Ok(0));
    assert!(key_len(Encr::AesCbc, 0).is_err());
    assert!(key_len(Encr::AesGcm16, 64).is_err());
    assert!(key_len(Encr::Unknown(999), 0).is_err());
    assert_eq!(integ_key_len(Integ::None), Ok(0));
    assert_eq!(integ_key_len(Integ::HmacSha512_256), Ok(64));
}

#[test]
fn refusals_name_the_algorithm() {
    let text = key_len(Encr::Blowfish, 128).unwrap_err().to_string();
    assert!(text.starts_with("blowfish128 is not available: "), "{text}");
    let text = crate::ke::available(Ke::X448).unwrap_err().to_string();
    assert!(text.starts_with("x448 is not available: "), "{text}");
    let text = crate::ke::available(Ke::Unknown(4711)).unwrap_err().to_string();
    assert!(text.contains("4711"), "{text}");
}

#[test]
fn listing_shows_what_can_be_used() {
    let listing = listing();
    let group = |name: &str| &listing.iter().find(|group| group.0 == name).unwrap().1;
    assert!(group("aead").contains(&("AES_GCM_16", "aws-lc")));
    assert!(group("ke").contains(&("ECP_256_BP", "rustcrypto")));
    assert!(!group("ke").iter().any(|(name, _)| *name == "CURVE_448"));
    assert!(!group("encryption").iter().any(|(name, _)| *name == "AES_GCM_16" || *name == "DES_CBC"));
}
