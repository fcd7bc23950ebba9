//! Trusted authorities that another trusted authority certified: they end no chain, so that what their issuer says of them
//! counts.
use crate::harness::*;
use pki::{Cache, Certificate, Crl, Rule, Store, Trust};
use policy::Auth;
use rcgen::{
    BasicConstraints, CertificateRevocationListParams, CrlDistributionPoint, IsCa, KeyIdMethod,
    RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::sync::Arc;

const CRL: &str = "http://crl.cygnet.org/root.crl";

fn demand(revocation: &str) -> Vec<Auth> {
    vec![Auth { revocation: revocation.into(), ..pubkey("pubkey") }]
}

fn crl(ca: &Ca, revoked: &[&Certificate]) -> Arc<Crl> {
    let entry = |cert: &&Certificate| RevokedCertParams {
        serial_number: SerialNumber::from_slice(cert.serial()),
        revocation_time: date_time_ymd(2026, 11, 1),
        reason_code: Some(RevocationReason::CaCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 11, 2),
        next_update: date_time_ymd(2027, 11, 20),
        crl_number: SerialNumber::from(7),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Arc::new(Crl::from_der(params.signed_by(&ca.issuer()).unwrap().der()).unwrap())
}

/// The certificate of `ca`'s key and name by another.
fn cross(ca: &Ca, by: &Ca) -> Certificate {
    Certificate::from_der(ca.params.signed_by(&ca.key, &by.issuer()).unwrap().der()).unwrap()
}

fn trusting(certificates: &[&Certificate]) -> Store {
    let mut store = store(&[], &[]);
    for certificate in certificates {
        store.add_certificate((*certificate).clone(), Trust::Ca);
    }
    store
}

#[test]
fn a_revoked_one_is_refused_though_it_is_trusted() {
    let root = root();
    let research = ca("Research CA", Some(&root), |_| {});
    let carol = research.end("carol", |_| {});
    let ask = || request(&carol, "carol", &[], demand("relaxed"));
    for anchors in [[&root, &research], [&research, &root]] {
        let mut loaded = store(&anchors, &[]);
        assert!(judge(loaded.clone(), ask()).verdict.is_ok());
        loaded.add_crl(crl(&root, &[&research.cert]));
        let judged = judge(loaded, ask());
        let fault = judged.verdict.unwrap_err();
        assert_eq!((fault.rule, fault.alert()), (Rule::Revoked, "cert-revoked"));
        assert!(fault.certificate.contains("CN=Research CA"), "{fault:?}");
        has(&judged.log, "certificate was revoked on Nov 01 00:00:00 2026, reason: ca compromise");
    }
    // The EAP methods judge by the same chains.
    let mut loaded = store(&[&root, &research], &[]);
    loaded.add_crl(crl(&root, &[&research.cert]));
    let (path, _) =
        loaded.judge_tls(&[carol.cert.der()], pki::Purpose::Any, None, &pubkey("pubkey"), NOW).unwrap();
    assert_eq!(path.anchor(), Some(&root.cert));
    // Without its issuer it is all there is to trust.
    let judged = judge(store(&[&research], &[]), ask());
    assert_eq!(judged.verdict.unwrap().path.unwrap().anchor(), Some(&research.cert));
    // An issuer that is not trusted has no say.
    let mut loaded = store(&[&research], &[&root.cert]);
    loaded.add_crl(crl(&root, &[&research.cert]));
    assert!(judge(loaded, ask()).verdict.is_ok());
}

#[test]
fn its_status_must_be_known_where_that_is_demanded() {
    let root = root();
    let research = ca("Research CA", Some(&root), |p| {
        p.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![CRL.into()] }];
    });
    let carol = research.end("carol", |_| {});
    let web = |_: &pki::Fetch| Err("404 Not Found".to_owned());
    for (policy, least) in [("strict", "GOOD"), ("ifuri", "SKIPPED")] {
        let mut loaded = store(&[&root, &research], &[]);
        loaded.add_crl(crl(&research, &[]));
        let ask = request(&carol, "carol", &[], demand(policy));
        let judged = run(loaded, &mut Cache::default(), ask, NOW, &web);
        let fault = judged.verdict.unwrap_err();
        assert_eq!(fault.rule, Rule::Status);
        assert!(fault.certificate.contains("CN=Research CA"), "{fault:?}");
        has(
            &judged.log,
            &format!("constraint check failed: RULE_CRL_VALIDATION is FAILED, but requires at least {least}"),
        );
    }
}

#[test]
fn what_the_issuer_forbids_is_forbidden() {
    let root = ca("Root", None, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let research = ca("Research CA", Some(&root), |_| {});
    let carol = research.end("carol", |_| {});
    let ask = request(&carol, "carol", &[], demand("relaxed"));
    let fault = judge(store(&[&root, &research], &[]), ask).verdict.unwrap_err();
    assert_eq!(
        (fault.rule, fault.reason.as_str()),
        (Rule::PathLength, "path length of 1 violates constraint of 0")
    );
    let gone = ca("Gone", None, |p| p.not_after = date_time_ymd(2026, 2, 1));
    let research = ca("Research CA", Some(&gone), |_| {});
    let carol = research.end("carol", |_| {});
    let ask = request(&carol, "carol", &[], demand("relaxed"));
    assert_eq!(judge(store(&[&gone, &research], &[]), ask).verdict.unwrap_err().rule, Rule::Expired);
}

#[test]
fn two_that_certify_each_other_lead_nowhere() {
    let (root, a, b) = (root(), ca("Research CA", None, |_| {}), ca("Sales CA", None, |_| {}));
    let (a_by_b, b_by_a) = (cross(&a, &b), cross(&b, &a));
    let carol = a.end("carol", |_| {});
    let judged =
        judge(trusting(&[&a_by_b, &b_by_a, &root.cert]), request(&carol, "carol", &[], demand("relaxed")));
    let fault = judged.verdict.unwrap_err();
    assert_eq!((fault.rule, fault.alert()), (Rule::PathLength, "cert-exceeded-path-len"));
    has(&judged.log, "maximum path length of 7 exceeded");
}

#[test]
fn of_several_issuers_one_is_enough() {
    let (root, other) = (root(), ca("Other Root", None, |_| {}));
    let research = ca("Research CA", Some(&root), |_| {});
    let bridged = cross(&research, &other);
    let carol = research.end("carol", |_| {});
    let ask = || request(&carol, "carol", &[], demand("relaxed"));
    // One root took its certificate back, the other did not.
    for (mut loaded, anchor) in [
        (trusting(&[&research.cert, &bridged, &root.cert, &other.cert]), &other.cert),
        (trusting(&[&bridged, &research.cert, &other.cert, &root.cert]), &other.cert),
    ] {
        loaded.add_crl(crl(&root, &[&research.cert]));
        let judged = judge(loaded, ask());
        assert_eq!(judged.verdict.unwrap().path.unwrap().anchor(), Some(anchor));
    }
    // Both did.
    let mut loaded = trusting(&[&research.cert, &bridged, &root.cert, &other.cert]);
    loaded.add_crl(crl(&root, &[&research.cert]));
    loaded.add_crl(crl(&other, &[&bridged]));
    assert_eq!(judge(loaded, ask()).verdict.unwrap_err().rule, Rule::Revoked);
    // The holder's own certificate is revoked: no other chain helps it.
    let mut loaded = trusting(&[&research.cert, &bridged, &root.cert, &other.cert]);
    loaded.add_crl(crl(&research, &[&carol.cert]));
    let judged = judge(loaded, ask());
    assert_eq!(judged.verdict.unwrap_err().rule, Rule::Revoked);
    let told = judged.log.iter().filter(|l| l.text.starts_with("certificate was revoked on")).count();
    assert_eq!(told, 1);
}

#[test]
fn a_root_that_is_cross_certified_stays_a_root() {
    let (root, other) = (root(), ca("Other Root", None, |_| {}));
    let crossed = cross(&root, &other);
    let carol = root.end("carol", |_| {});
    let mut loaded = trusting(&[&root.cert, &crossed, &other.cert]);
    loaded.add_crl(crl(&other, &[&crossed]));
    let judged = judge(loaded, request(&carol, "carol", &[], demand("relaxed")));
    assert_eq!(judged.verdict.unwrap().path.unwrap().anchor(), Some(&root.cert));
    // The cross certificate alone, with the issuer that took it back.
    let mut loaded = trusting(&[&crossed, &other.cert]);
    loaded.add_crl(crl(&other, &[&crossed]));
    let judged = judge(loaded, request(&carol, "carol", &[], demand("relaxed")));
    assert_eq!(judged.verdict.unwrap_err().rule, Rule::Revoked);
}
