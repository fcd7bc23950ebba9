//! NIST's PKITS: the file names say whether a certificate is valid (with any policy, and revocation checked).
use crate::harness::*;
use data_encoding::BASE64;
use pki::{Cache, Certificate, Crl, Purpose, Settings, Store, TlsJudgement, Trust};
use std::sync::Arc;

const DATA: &str = include_str!("../pkits/data.txt");

fn files() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    DATA.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, data)| (name, BASE64.decode(data.as_bytes()).unwrap()))
}

fn store() -> Store {
    let mut store = Store::new(Settings { max_path_length: 10, ..Settings::default() });
    for (name, der) in files() {
        if name.ends_with(".crl") {
            if let Ok(crl) = Crl::from_der(&der) {
                store.add_crl(Arc::new(crl));
            }
        } else if name == "TrustAnchorRootCertificate.crt" {
            store.add_certificate(Certificate::from_der(&der).unwrap(), Trust::Ca);
        } else if !name.contains("EE")
            && let Ok(certificate) = Certificate::from_der(&der)
        {
            store.add_certificate(certificate, Trust::None);
        }
    }
    store
}

fn valid(store: &Arc<Store>, der: &[u8], policy: Option<&str>) -> Result<(), String> {
    let mut auth = pubkey("pubkey");
    auth.cert_policy.extend(policy.map(str::to_owned));
    let (path, _) = store
        .judge_tls(&[der], Purpose::Any, None, &auth, NOW)
        .map_err(|(fault, log)| format!("{:?}: {} {log:#?}", fault.rule, fault.reason))?;
    let mut check = TlsJudgement::new(Arc::clone(store), path, "strict", SEED);
    let mut cache = Cache::default();
    let mut result = None;
    loop {
        match check.step(&mut cache, result.take(), NOW) {
            Ok(verdict) => {
                return verdict
                    .map_err(|fault| format!("{:?}: {} {:#?}", fault.rule, fault.reason, check.take_log()));
            }
            Err(_) => result = Some(Err("offline".into())),
        }
    }
}

/// Valid by NIST, and refused here on purpose.
const REFUSED: &[(&str, &str)] = &[
    ("ValidDSASignaturesTest4EE.crt", "DSA"),
    ("ValidDSAParameterInheritanceTest5EE.crt", "DSA"),
    ("Validpre2000UTCnotBeforeDateTest3EE.crt", "a date before 1970"),
    ("ValidonlySomeReasonsTest18EE.crt", "CRLs about some reasons are not put together"),
    ("ValidonlySomeReasonsTest19EE.crt", "CRLs about some reasons are not put together"),
];

#[test]
fn by_name() {
    let store = Arc::new(store());
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for (name, der) in files() {
        let expected = match name {
            _ if !name.contains("EE") => continue,
            _ if name.starts_with("Valid") => true,
            _ if name.starts_with("Invalid") => false,
            _ => continue,
        };
        let refused = REFUSED.iter().any(|(known, _)| name == *known);
        match (valid(&store, &der, None), expected && !refused) {
            (Ok(()), true) => good += 1,
            (Err(_), false) => bad += 1,
            (outcome, _) => wrong.push(format!("{name}: {outcome:?}")),
        }
    }
    assert!(wrong.is_empty(), "{good} good, {bad} bad, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(good > 60 && bad > 90, "{good} {bad}");
}

/// Section 4.8, where the answer depends on the policies that are wanted.
#[test]
fn by_policy() {
    const ONE: &str = "2.16.840.1.101.3.2.1.48.1";
    const TWO: &str = "2.16.840.1.101.3.2.1.48.2";
    const SIX: &str = "2.16.840.1.101.3.2.1.48.6";
    let store = Arc::new(store());
    for (name, policy, good) in [
        ("ValidCertificatePathTest1EE.crt", ONE, true),
        ("ValidCertificatePathTest1EE.crt", TWO, false),
        ("AllCertificatesNoPoliciesTest2EE.crt", ONE, false),
        ("DifferentPoliciesTest3EE.crt", ONE, false),
        ("DifferentPoliciesTest4EE.crt", ONE, false),
        ("DifferentPoliciesTest5EE.crt", ONE, false),
        ("OverlappingPoliciesTest6EE.crt", ONE, true),
        ("OverlappingPoliciesTest6EE.crt", TWO, false),
        ("DifferentPoliciesTest7EE.crt", ONE, false),
        ("DifferentPoliciesTest8EE.crt", ONE, false),
        ("DifferentPoliciesTest9EE.crt", ONE, false),
        ("AllCertificatesSamePoliciesTest10EE.crt", ONE, true),
        ("AllCertificatesSamePoliciesTest10EE.crt", TWO, true),
        ("AllCertificatesanyPolicyTest11EE.crt", ONE, true),
        ("DifferentPoliciesTest12EE.crt", ONE, false),
        ("AllCertificatesSamePoliciesTest13EE.crt", TWO, true),
        ("AnyPolicyTest14EE.crt", ONE, true),
        ("AnyPolicyTest14EE.crt", TWO, false),
        ("UserNoticeQualifierTest15EE.crt", ONE, true),
        ("UserNoticeQualifierTest15EE.crt", TWO, false),
        ("ValidPolicyMappingTest1EE.crt", ONE, true),
        ("ValidPolicyMappingTest1EE.crt", TWO, false),
        ("ValidPolicyMappingTest3EE.crt", TWO, true),
        ("ValidPolicyMappingTest3EE.crt", ONE, false),
        ("ValidPolicyMappingTest5EE.crt", ONE, true),
        ("ValidPolicyMappingTest5EE.crt", SIX, false),
    ] {
        let (_, der) = files().find(|(n, _)| *n == name).unwrap();
        let outcome = valid(&store, &der, Some(policy));
        assert_eq!(outcome.is_ok(), good, "{name} {policy}: {outcome:?}");
    }
}
