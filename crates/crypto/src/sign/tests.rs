use super::*;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair,
};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use pkcs8::der::Decode as _;

fn hex(text: &str) -> Vec<u8> {
    HEX.decode(text.replace([' ', '\n'], "").as_bytes()).unwrap()
}

fn rsa() -> Vec<u8> {
    let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    der.as_ref().to_vec()
}

fn ec(curve: KeyType) -> Vec<u8> {
    let algorithm = match curve {
        KeyType::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyType::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => &ECDSA_P521_SHA512_ASN1_SIGNING,
    };
    EcdsaKeyPair::generate(algorithm).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
}

fn inner(pkcs8: &[u8]) -> Vec<u8> {
    pkcs8::PrivateKeyInfoRef::from_der(pkcs8).unwrap().private_key.as_bytes().to_vec()
}

#[test]
fn digests_of_parts() {
    let want = "a9993e364706816aba3e25717850c26c9cd0d89d";
    assert_eq!(HEX.encode(&digest(Hash::Sha1, &[b"a", b"", b"bc"])), want);
    for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        assert_eq!(digest(hash, &[]).len(), hash.size());
        assert_eq!(Hash::from_ikev2_number(hash.ikev2_number()), Some(hash));
    }
    assert_eq!(Hash::from_ikev2_number(5), None);
}

#[test]
fn ed25519_as_rfc_8032_has_it() {
    let key = hex(
        "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    );
    let key = PrivateKey::from_pkcs8(&key).unwrap();
    let want = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0\
                595bbe24655141438e7a100b";
    let signature = key.sign(SignScheme::Ed25519, b"").unwrap();
    assert_eq!(HEX.encode(&signature), want);
    let spki =
        hex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let public = PublicKey::from_spki(&spki).unwrap();
    assert_eq!(&public, key.public());
    assert_eq!((public.kind(), public.bits(), public.spki()), (KeyType::Ed25519, 256, &spki[..]));
    assert_eq!(public.verify(SignScheme::Ed25519, b"", &signature), Ok(()));
    assert_eq!(public.verify(SignScheme::Ed25519, b"x", &signature), Err(SignError::Signature));
    assert_eq!(public.spki_id(), digest(Hash::Sha1, &[&spki]));
    assert_eq!(public.key_id(), digest(Hash::Sha1, &[&spki[12..]]));
}

#[test]
fn ecdsa_as_rfc_4754_has_it() {
    let point = "04 2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970
                 6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D";
    let spki = hex(&format!("3059301306072a8648ce3d020106082a8648ce3d030107034200{point}"));
    let signature = hex("CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C
                         86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315");
    let public = PublicKey::from_spki(&spki).unwrap();
    let scheme = SignScheme::EcdsaRaw(Hash::Sha256);
    assert_eq!(public.verify(scheme, b"abc", &signature), Ok(()));
    assert_eq!(public.verify(scheme, b"abd", &signature), Err(SignError::Signature));
    assert_eq!(
        public.verify(SignScheme::EcdsaDer(Hash::Sha256), b"abc", &signature),
        Err(SignError::Signature)
    );
    assert_eq!(
        public.verify(SignScheme::EcdsaRaw(Hash::Sha384), b"abc", &signature),
        Err(SignError::Mismatch { scheme: SignScheme::EcdsaRaw(Hash::Sha384), key: KeyType::P256 })
    );
}

#[test]
fn what_a_key_signs_its_public_half_verifies() {
    let keys = [
        rsa(),
        ec(KeyType::P256),
        ec(KeyType::P384),
        ec(KeyType::P521),
        aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap().as_ref().to_vec(),
    ];
    let mut kinds = Vec::new();
    for der in keys {
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        kinds.push(key.kind());
        let public = PublicKey::from_spki(key.public().spki()).unwrap();
        let mut schemes = SignScheme::of_key(key.kind(), true);
        schemes.extend(
            [Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .map(SignScheme::EcdsaRaw)
                .into_iter()
                .filter(|s| s.fits(key.kind())),
        );
        for scheme in schemes {
            let signature = key.sign(scheme, b"message").unwrap();
            assert_eq!(public.verify(scheme, b"message", &signature), Ok(()), "{scheme}");
            assert_eq!(public.verify(scheme, b"massage", &signature), Err(SignError::Signature), "{scheme}");
            let mut short = signature.clone();
            short.pop();
            assert_eq!(public.verify(scheme, b"message", &short), Err(SignError::Signature), "{scheme}");
        }
        assert!(!format!("{key:?}").contains(&HEX.encode(&inner(&der)[..4])));
    }
    assert_eq!(kinds, [KeyType::Rsa, KeyType::P256, KeyType::P384, KeyType::P521, KeyType::Ed25519]);
}

#[test]
fn older_forms_hold_the_same_keys() {
    let der = rsa();
    let (new, old) = (PrivateKey::from_pkcs8(&der).unwrap(), PrivateKey::from_pkcs1(&inner(&der)).unwrap());
    assert_eq!(new.public(), old.public());
    assert_eq!(new.public().bits(), 2048);
    for curve in [KeyType::P256, KeyType::P384, KeyType::P521] {
        let der = ec(curve);
        let (new, old) =
            (PrivateKey::from_pkcs8(&der).unwrap(), PrivateKey::from_sec1(&inner(&der)).unwrap());
        assert_eq!(new.public(), old.public());
        assert_eq!(old.kind(), curve);
    }
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    let key = PrivateKey::from_pkcs8(&rsa()).unwrap();
    let refused = key.sign(SignScheme::RsaPss(Hash::Sha1), b"").unwrap_err().to_string();
    assert!(refused.starts_with("RSA_EMSA_PSS_SHA1_SALT_20 is not available"), "{refused}");
    let ecdsa = PrivateKey::from_pkcs8(&ec(KeyType::P384)).unwrap();
    let refused = ecdsa.sign(SignScheme::EcdsaDer(Hash::Sha256), b"").unwrap_err().to_string();
    assert!(refused.starts_with("ECDSA_WITH_SHA256_DER is not available"), "{refused}");
    assert!(matches!(key.sign(SignScheme::Ed448, b""), Err(SignError::Unsupported { .. })));
    assert!(matches!(key.sign(SignScheme::Ed25519, b""), Err(SignError::Mismatch { .. })));
    let ed448 = hex(&format!("3043300506032b6571033a00{}", "00".repeat(57)));
    assert_eq!(
        PublicKey::from_spki(&ed448).unwrap_err().to_string(),
        "ED448 is not available: no kept library has a stable release of it"
    );
    let k256 = hex(&format!("3056301006072a8648ce3d020106052b8104000a034200{}", "04".repeat(65)));
    assert!(PublicKey::from_spki(&k256).unwrap_err().to_string().contains("1.3.132.0.10"));
    // A point that is not on its curve.
    let stray = hex(&format!("3059301306072a8648ce3d020106082a8648ce3d03010703420004{}", "11".repeat(64)));
    assert_eq!(PublicKey::from_spki(&stray), Err(SignError::Key("public key")));
    for junk in [&[][..], &[0x30], &[0x30, 0x80, 0, 0], b"-----BEGIN"] {
        assert!(PublicKey::from_spki(junk).is_err());
        assert!(PrivateKey::from_pkcs8(junk).is_err());
        assert!(PrivateKey::from_pkcs1(junk).is_err());
        assert!(PrivateKey::from_sec1(junk).is_err());
    }
}

#[test]
fn sha1_is_signed_for_peers_that_know_nothing_else() {
    let der = rsa();
    let scheme = SignScheme::RsaPkcs1(Hash::Sha1);
    for key in [PrivateKey::from_pkcs8(&der).unwrap(), PrivateKey::from_pkcs1(&inner(&der)).unwrap()] {
        let signature = key.sign(scheme, b"message").unwrap();
        assert_eq!(key.public().verify(scheme, b"message", &signature), Ok(()));
        assert_eq!(key.public().verify(scheme, b"massage", &signature), Err(SignError::Signature));
    }
}

#[test]
fn small_rsa_keys_are_refused() {
    let spki = hex(&format!(
        "30819f300d06092a864886f70d010101050003818d0030818902818100{}0203010001",
        "c1".repeat(128)
    ));
    assert_eq!(
        PublicKey::from_spki(&spki).unwrap_err().to_string(),
        "an RSA key of 1024 bits is not available: 2048 to 8192 are accepted"
    );
}

#[test]
fn names_are_those_of_the_log() {
    for (scheme, name) in [
        (SignScheme::RsaPkcs1(Hash::Sha256), "RSA_EMSA_PKCS1_SHA2_256"),
        (SignScheme::RsaPss(Hash::Sha512), "RSA_EMSA_PSS_SHA2_512_SALT_64"),
        (SignScheme::EcdsaDer(Hash::Sha384), "ECDSA_WITH_SHA384_DER"),
        (SignScheme::EcdsaRaw(Hash::Sha512), "ECDSA-521"),
        (SignScheme::Ed25519, "ED25519"),
    ] {
        assert_eq!(scheme.to_string(), name);
    }
}
