//! CRLs and OCSP: what is known, what is demanded, what is fetched, and what is never fetched. The OCSP responses are
//! openssl's.
use crate::harness::*;
use data_encoding::{BASE64, HEXUPPER};
use pki::{Authority, Cache, Certificate, Crl, FetchKind, Judged, Rule, Store, Trust};
use policy::Auth;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CustomExtension, ExtendedKeyUsagePurpose,
    KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::cell::RefCell;
use std::process::Command;
use std::sync::Arc;

const CRL: &str = "http://crl.cygnet.org/root.crl";
const OCSP: &str = "http://ocsp.cygnet.org:8880";

fn revoked(cert: &Certificate, reason: Option<RevocationReason>) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(cert.serial()),
        revocation_time: date_time_ymd(2026, 11, 1),
        reason_code: reason,
        invalidity_date: None,
    }
}

fn crl_until(ca: &Ca, year: i32, number: u64, list: Vec<RevokedCertParams>) -> Vec<u8> {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(year - 1, 11, 2),
        next_update: date_time_ymd(year, 11, 20),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: list,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&ca.issuer()).unwrap().der().to_vec()
}

fn crl(ca: &Ca, list: Vec<RevokedCertParams>) -> Vec<u8> {
    crl_until(ca, 2027, 7, list)
}

fn with_crl(ca: &Ca, name: &str) -> End {
    ca.end(name, |p| p.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![CRL.into()] }])
}

fn demand(revocation: &str) -> Vec<Auth> {
    vec![Auth { revocation: revocation.into(), ..pubkey("pubkey") }]
}

fn judged(store: Store, end: &End, revocation: &str, web: Web<'_>) -> Judged {
    run(store, &mut Cache::default(), request(end, "moon", &[], demand(revocation)), NOW, web)
}

#[test]
fn a_crl_is_fetched_and_believed() {
    let root = root();
    let moon = with_crl(&root, "moon");
    let list = crl(&root, vec![]);
    let web = |fetch: &pki::Fetch| {
        assert_eq!((fetch.kind, fetch.url.as_str(), fetch.body.as_ref()), (FetchKind::Crl, CRL, None));
        Ok(list.clone())
    };
    let mut cache = Cache::default();
    let judged =
        run(store(&[&root], &[]), &mut cache, request(&moon, "moon", &[], demand("strict")), NOW, &web);
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
    for line in [
        "checking certificate status of \"C=CH, O=Cygnet, CN=moon\"",
        "ocsp check skipped, no ocsp found",
        "  fetching crl from 'http://crl.cygnet.org/root.crl' ...",
        "  crl correctly signed by \"C=CH, O=Cygnet, CN=Root\"",
        "  crl is valid: until Nov 20 00:00:00 2027",
        "certificate status is good",
    ] {
        has(&judged.log, line);
    }
    // The second time it is at hand.
    let again =
        run(store(&[&root], &[]), &mut cache, request(&moon, "moon", &[], demand("strict")), NOW, &no_web);
    assert!(again.verdict.is_ok());
    has(&again.log, "  using cached crl");
    cache.clear_crls();
    assert_eq!(cache.crls().count(), 0);
}

#[test]
fn what_is_revoked_is_refused_whatever_is_demanded() {
    let root = root();
    let moon = with_crl(&root, "moon");
    for reason in
        [RevocationReason::KeyCompromise, RevocationReason::CertificateHold, RevocationReason::Superseded]
    {
        let list = crl(&root, vec![revoked(&moon.cert, Some(reason))]);
        for policy in ["strict", "ifuri", "relaxed"] {
            let judged = judged(store(&[&root], &[]), &moon, policy, &|_| Ok(list.clone()));
            let fault = judged.verdict.unwrap_err();
            assert_eq!((fault.rule, fault.alert()), (Rule::Revoked, "cert-revoked"));
            assert!(fault.certificate.contains("CN=moon"), "{fault:?}");
        }
    }
    let list = crl(&root, vec![revoked(&moon.cert, Some(RevocationReason::KeyCompromise))]);
    let found = judged(store(&[&root], &[]), &moon, "relaxed", &|_| Ok(list.clone()));
    has(&found.log, "certificate was revoked on Nov 01 00:00:00 2026, reason: key compromise");
    has(&found.log, "no trusted ECDSA public key found for 'moon'");
    // The CRL may be a file, and an intermediate CA may be revoked.
    let sub = ca("Sub", Some(&root), |_| {});
    let sun = sub.end("moon", |_| {});
    let mut loaded = store(&[&root], &[]);
    loaded.add_crl(Arc::new(Crl::from_der(&crl(&root, vec![revoked(&sub.cert, None)])).unwrap()));
    let judged = judge(loaded, request(&sun, "moon", &[&sub.cert], demand("relaxed")));
    let fault = judged.verdict.unwrap_err();
    assert!(fault.rule == Rule::Revoked && fault.certificate.contains("CN=Sub"), "{fault:?}");
}

#[test]
fn strict_ifuri_relaxed() {
    let root = root();
    let (with, without) = (with_crl(&root, "moon"), root.end("moon", |_| {}));
    let stale = crl_until(&root, 2025, 3, vec![]);
    let other = ca("Root", None, |_| {});
    let forged = crl(&other, vec![]);
    let unreachable = |_: &pki::Fetch| Err("connection refused".to_owned());
    let old = |_: &pki::Fetch| Ok(stale.clone());
    let wrong = |_: &pki::Fetch| Ok(forged.clone());
    let junk = |_: &pki::Fetch| Ok(b"<html>".to_vec());
    for (end, web, policy, state) in [
        (&with, &unreachable as Web<'_>, "strict", Some("FAILED, but requires at least GOOD")),
        (&with, &unreachable, "ifuri", Some("FAILED, but requires at least SKIPPED")),
        (&with, &unreachable, "relaxed", None),
        (&with, &old, "strict", Some("STALE, but requires at least GOOD")),
        (&with, &old, "ifuri", Some("STALE, but requires at least SKIPPED")),
        (&with, &old, "relaxed", None),
        (&with, &wrong, "strict", Some("FAILED")),
        (&with, &wrong, "ifuri", Some("FAILED")),
        (&with, &wrong, "relaxed", None),
        (&with, &junk, "ifuri", Some("FAILED")),
        (&without, &no_web, "strict", Some("SKIPPED, but requires at least GOOD")),
        (&without, &no_web, "ifuri", None),
        (&without, &no_web, "relaxed", None),
        // A slip of the pen opens no door.
        (&without, &no_web, "strickt", Some("SKIPPED, but requires at least GOOD")),
    ] {
        let judged = judged(store(&[&root], &[]), end, policy, web);
        match (judged.verdict, state) {
            (Ok(_), None) => {}
            (Err(fault), Some(text)) => {
                assert_eq!((fault.rule, fault.alert()), (Rule::Status, "cert-validation-failed"));
                assert!(fault.certificate.contains("CN=moon"));
                assert!(
                    fault.reason.starts_with("constraint check failed: RULE_CRL_VALIDATION is "),
                    "{fault:?}"
                );
                assert!(fault.reason.contains(text), "{fault:?}");
            }
            (verdict, _) => panic!("{policy} {state:?}: {verdict:?}"),
        }
    }
    let stale = judged(store(&[&root], &[]), &with, "relaxed", &old);
    has(&stale.log, "  crl is stale: since Nov 20 00:00:00 2025");
    has(&stale.log, "certificate status is unknown, crl is stale");
    let forged = judged(store(&[&root], &[]), &with, "relaxed", &wrong);
    has(&forged.log, "crl response verification failed");
}

/// CVE-2022-40617: URIs of certificates that nobody trusts are not fetched, nor those of a peer that did not sign.
#[test]
fn nothing_untrusted_is_fetched() {
    let (root, stranger) = (root(), ca("Stranger", None, |_| {}));
    let evil = with_crl(&stranger, "moon");
    assert!(judged(store(&[&root], &[]), &evil, "strict", &no_web).verdict.is_err());
    let moon = with_crl(&root, "moon");
    // Right certificate, wrong signature.
    let mut unsigned = request(&moon, "moon", &[], demand("strict"));
    unsigned.octets = b"something else".to_vec();
    assert_eq!(judge(store(&[&root], &[]), unsigned).verdict.unwrap_err().rule, Rule::Auth);
    // Right signature, wrong identity, or a connection that wants another CA.
    assert!(judge(store(&[&root], &[]), request(&moon, "sun", &[], demand("strict"))).verdict.is_err());
    let mut auths = demand("strict");
    auths[0].cacerts = vec![reference(&stranger.cert)];
    assert!(judge(store(&[&root], &[]), request(&moon, "moon", &[], auths)).verdict.is_err());
    // Only what can be fetched without surprises.
    for uri in ["ldap://ldap.cygnet.org/cn=Root", "file:///etc/shadow", "gopher://x", "http://a b"] {
        let odd = root.end("moon", |p| {
            p.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![uri.into()] }];
        });
        assert!(judged(store(&[&root], &[]), &odd, "ifuri", &no_web).verdict.is_err() || uri.contains(' '));
    }
}

#[test]
fn uris_of_the_authority_and_the_next_one_when_one_fails() {
    let root = root();
    let moon = with_crl(&root, "moon");
    let mut loaded = store(&[], &[]);
    loaded.add_authority(Authority {
        name: "root".into(),
        certificate: root.cert.clone(),
        crl_uris: vec!["http://near.cygnet.org/root.crl".into()],
        ocsp_uris: vec![OCSP.into()],
        cert_uri_base: None,
    });
    let asked = RefCell::new(Vec::new());
    let list = crl(&root, vec![]);
    let web = |fetch: &pki::Fetch| {
        asked.borrow_mut().push(fetch.url.clone());
        if fetch.url == CRL { Ok(list.clone()) } else { Err("timeout".into()) }
    };
    let judged = judged(loaded, &moon, "strict", &web);
    assert!(judged.verdict.is_ok());
    assert_eq!(*asked.borrow(), [OCSP, "http://near.cygnet.org/root.crl", CRL]);
    has(&judged.log, "ocsp check failed, fallback to crl");
}

/// A CRL with extensions of our own, signed by hand: rcgen makes no delta CRLs.
fn delta(ca: &Ca, base: u8, number: u8, entries: &[(&Certificate, u8)]) -> Vec<u8> {
    use der::Encode;
    use der::asn1::{BitString, OctetString, UtcTime};
    use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
    use x509_cert::ext::Extension;
    use x509_cert::time::Time;
    let at = |secs| Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(secs)).unwrap());
    let extension = |oid: &str, critical, value: Vec<u8>| Extension {
        extn_id: oid.parse().unwrap(),
        critical,
        extn_value: OctetString::new(value).unwrap(),
    };
    let algorithm =
        spki::AlgorithmIdentifierOwned { oid: "1.2.840.10045.4.3.2".parse().unwrap(), parameters: None };
    let (_, issuer) = ca.cert.subject().to_wire();
    let aki = ca.cert.subject_key_identifier().unwrap();
    let aki =
        [&[0x30, u8::try_from(aki.len() + 2).unwrap(), 0x80, u8::try_from(aki.len()).unwrap()], aki].concat();
    let tbs = TbsCertList::<x509_cert::certificate::Rfc5280> {
        version: x509_cert::Version::V2,
        signature: algorithm.clone(),
        issuer: der::Decode::from_der(&issuer).unwrap(),
        this_update: at(NOW - 1000),
        next_update: Some(at(NOW + 1000)),
        revoked_certificates: (!entries.is_empty()).then(|| {
            entries
                .iter()
                .map(|(cert, reason)| RevokedCert {
                    serial_number: x509_cert::serial_number::SerialNumber::new(cert.serial()).unwrap(),
                    revocation_date: at(NOW - 5000),
                    crl_entry_extensions: Some(vec![extension("2.5.29.21", false, vec![0x0a, 1, *reason])]),
                })
                .collect()
        }),
        crl_extensions: Some(
            [
                Some(extension("2.5.29.35", false, aki)),
                Some(extension("2.5.29.20", false, vec![2, 1, number])),
                (base > 0).then(|| extension("2.5.29.27", true, vec![2, 1, base])),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
    };
    let body = tbs.to_der().unwrap();
    let key = crypto::sign::PrivateKey::from_pkcs8(&ca.key.serialize_der()).unwrap();
    let signature = key.sign(crypto::sign::SignScheme::EcdsaDer(crypto::sign::Hash::Sha256), &body).unwrap();
    CertificateList {
        tbs_cert_list: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).unwrap(),
    }
    .to_der()
    .unwrap()
}

#[test]
fn delta_crls() {
    let root = root();
    let fresh = |p: &mut rcgen::CertificateParams| {
        p.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![CRL.into()] }];
        let uri = b"http://crl.cygnet.org/delta.crl";
        let name = [&[0x86, 31][..], uri].concat();
        let full = [&[0xa0, 33][..], &name].concat();
        let point = [&[0xa0, 35][..], &full].concat();
        let inner = [&[0x30, 37][..], &point].concat();
        let content = [&[0x30, 39][..], &inner].concat();
        p.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 46], content));
    };
    let moon = root.end("moon", fresh);
    assert_eq!(moon.cert.freshest_crl_uris(), ["http://crl.cygnet.org/delta.crl"]);
    let hold = 6;
    let remove = 8;
    let base = |entries: &[(&Certificate, u8)]| delta(&root, 0, 4, entries);
    for (complete, newer, good) in [
        (base(&[]), delta(&root, 4, 5, &[]), true),
        (base(&[]), delta(&root, 4, 5, &[(&moon.cert, 1)]), false),
        (base(&[(&moon.cert, hold)]), delta(&root, 4, 5, &[(&moon.cert, remove)]), true),
        (base(&[(&moon.cert, hold)]), delta(&root, 4, 5, &[]), false),
        // A delta for a later base, an older one, one of somebody else: only the complete CRL counts.
        (base(&[]), delta(&root, 5, 6, &[(&moon.cert, 1)]), true),
        (base(&[]), delta(&root, 3, 4, &[(&moon.cert, 1)]), true),
        (base(&[]), delta(&ca("Root", None, |_| {}), 4, 5, &[(&moon.cert, 1)]), true),
        // A delta in the place of the complete one is none.
        (delta(&root, 4, 5, &[]), delta(&root, 4, 5, &[]), false),
    ] {
        let web = |fetch: &pki::Fetch| {
            Ok(if fetch.url.ends_with("delta.crl") { newer.clone() } else { complete.clone() })
        };
        let judged = judged(store(&[&root], &[]), &moon, "strict", &web);
        assert_eq!(judged.verdict.is_ok(), good, "{:?} {:#?}", judged.verdict, judged.log);
    }
}

#[test]
fn malformed_crls() {
    let root = root();
    let moon = with_crl(&root, "moon");
    let der = crl(&root, vec![revoked(&moon.cert, None)]);
    for cut in 0..der.len() {
        assert!(Crl::from_der(&der[..cut]).is_err());
    }
    for at in 0..der.len() {
        let mut bad = der.clone();
        bad[at] ^= 0x11;
        if let Ok(crl) = Crl::from_der(&bad) {
            assert!(crl.verify(&root.cert).is_err(), "byte {at}");
        }
    }
}

// OCSP, with openssl as the responder.

fn pem(label: &str, der: &[u8]) -> String {
    let body: Vec<String> =
        BASE64.encode(der).as_bytes().chunks(64).map(|l| String::from_utf8(l.to_vec()).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
}

struct Responder {
    dir: tempfile::TempDir,
    options: Vec<&'static str>,
}

impl Responder {
    /// `signer`: certificate and key (PKCS#8). `status`: the line of openssl's index for each certificate.
    fn new(ca: &Ca, signer: &Certificate, key: &[u8], index: &[(&Certificate, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", pem("CERTIFICATE", ca.cert.der()));
        write("signer.pem", pem("CERTIFICATE", signer.der()));
        write("key.pem", pem("PRIVATE KEY", key));
        let mut lines = String::new();
        for (cert, status) in index {
            let serial = HEXUPPER.encode(cert.serial());
            lines.push_str(&match *status {
                "V" => format!("V\t360101000000Z\t\t{serial}\tunknown\t/CN=x\n"),
                reason => format!("R\t360101000000Z\t261101000000Z,{reason}\t{serial}\tunknown\t/CN=x\n"),
            });
        }
        write("index.txt", lines);
        write("index.txt.attr", "unique_subject = no\n".into());
        Self { dir, options: Vec::new() }
    }

    fn answer(&self, fetch: &pki::Fetch) -> Result<Vec<u8>, String> {
        assert_eq!(fetch.kind, FetchKind::Ocsp);
        std::fs::write(self.dir.path().join("req.der"), fetch.body.as_ref().unwrap()).unwrap();
        let output = Command::new("openssl")
            .args([
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "ca.pem",
                "-rsigner",
                "signer.pem",
                "-rkey",
                "key.pem",
            ])
            .args(["-reqin", "req.der", "-respout", "resp.der", "-ndays", "2"])
            .args(&self.options)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(std::fs::read(self.dir.path().join("resp.der")).unwrap())
    }
}

/// openssl's responses are of now.
fn today() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn with_ocsp(ca: &Ca, name: &str) -> End {
    let uri = OCSP.as_bytes();
    let location = [&[0x86, u8::try_from(uri.len()).unwrap()][..], uri].concat();
    let method = [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1][..], &location].concat();
    let access = [&[0x30, u8::try_from(method.len()).unwrap()][..], &method].concat();
    let content = [&[0x30, u8::try_from(access.len()).unwrap()][..], &access].concat();
    ca.end(name, |p| {
        p.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content));
    })
}

fn ocsp_signer(ca: &Ca, tweak: impl FnOnce(&mut rcgen::CertificateParams)) -> (Certificate, Vec<u8>) {
    let mut params = params("OCSP Signer");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    tweak(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &ca.issuer()).unwrap();
    (Certificate::from_der(cert.der()).unwrap(), key.serialize_der())
}

fn ask(store: Store, end: &End, policy: &str, web: Web<'_>) -> (Judged, Cache) {
    let mut cache = Cache::default();
    let judged = run(store, &mut cache, request(end, "moon", &[], demand(policy)), today(), web);
    (judged, cache)
}

#[test]
fn ocsp_by_the_issuer_by_a_delegate_and_by_a_local_signer() {
    let root = root();
    let moon = with_ocsp(&root, "moon");
    assert_eq!(moon.cert.ocsp_uris(), [OCSP]);
    let root_key = root.key.serialize_der();
    let (delegate, delegate_key) = ocsp_signer(&root, |_| {});
    let stranger = ca("Stranger", None, |_| {});
    let (local, local_key) = ocsp_signer(&stranger, |_| {});
    for (signer, key, loaded) in
        [(&root.cert, &root_key, false), (&delegate, &delegate_key, false), (&local, &local_key, true)]
    {
        for (status, good) in [("V", true), ("keyCompromise", false)] {
            let responder = Responder::new(&root, signer, key, &[(&moon.cert, status)]);
            let mut at_hand = store(&[&root], &[]);
            if loaded {
                at_hand.add_certificate(local.clone(), Trust::Ocsp);
            }
            let (judged, cache) = ask(at_hand.clone(), &moon, "strict", &|f| responder.answer(f));
            has(&judged.log, &format!("  requesting ocsp status from '{OCSP}' ..."));
            has(&judged.log, &format!("  ocsp response correctly signed by \"{}\"", signer.subject()));
            has(&judged.log, "  ocsp response is valid: until");
            match judged.verdict {
                Ok(_) => assert!(good),
                Err(fault) => {
                    assert!(!good);
                    assert_eq!(fault.alert(), "cert-revoked");
                    assert!(fault.reason.contains("reason: key compromise"), "{fault:?}");
                }
            }
            // Kept, also to be handed on; and no longer than it says.
            let mut cache = cache;
            assert!(cache.response(&root.cert, &moon.cert, today()).is_some());
            assert!(cache.response(&root.cert, &moon.cert, today() + 3 * 86400).is_none());
            let again =
                run(at_hand, &mut cache, request(&moon, "moon", &[], demand("strict")), today(), &no_web);
            has(&again.log, "  using cached ocsp response");
            assert_eq!(again.verdict.is_ok(), good);
        }
    }
}

#[test]
fn who_may_not_answer() {
    let root = root();
    let moon = with_ocsp(&root, "moon");
    let stranger = ca("Stranger", None, |_| {});
    let (foreign, foreign_key) = ocsp_signer(&stranger, |_| {});
    let (plain, plain_key) =
        ocsp_signer(&root, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let (old, old_key) = ocsp_signer(&root, |p| p.not_after = date_time_ymd(2026, 2, 1));
    for (signer, key) in [(&foreign, &foreign_key), (&plain, &plain_key), (&old, &old_key)] {
        let responder = Responder::new(&root, signer, key, &[(&moon.cert, "V")]);
        let (judged, _) = ask(store(&[&root], &[]), &moon, "strict", &|f| responder.answer(f));
        let fault = judged.verdict.unwrap_err();
        assert_eq!(fault.rule, Rule::Status, "{fault:?}");
        has(&judged.log, "ocsp response verification failed, no signer certificate");
        let (judged, _) = ask(store(&[&root], &[]), &moon, "relaxed", &|f| responder.answer(f));
        assert!(judged.verdict.is_ok());
    }
    // SHA-1, unless it is allowed.
    let mut sha1 = Responder::new(&root, &root.cert, &root.key.serialize_der(), &[(&moon.cert, "V")]);
    sha1.options.extend(["-rmd", "sha1"]);
    let mut allowed = store(&[&root], &[]);
    let (refused, _) = ask(allowed.clone(), &moon, "strict", &|f| sha1.answer(f));
    has(&refused.log, "signed with SHA-1, which is not accepted");
    assert!(refused.verdict.is_err());
    allowed.settings.sha1_signatures = true;
    assert!(ask(allowed, &moon, "strict", &|f| sha1.answer(f)).0.verdict.is_ok());
    // A delegate that is revoked itself, as far as we know.
    let (delegate, key) = ocsp_signer(&root, |_| {});
    let responder = Responder::new(&root, &delegate, &key, &[(&moon.cert, "V")]);
    let mut loaded = store(&[&root], &[]);
    loaded.add_crl(Arc::new(Crl::from_der(&crl(&root, vec![revoked(&delegate, None)])).unwrap()));
    let (judged, _) = ask(loaded, &moon, "ifuri", &|f| responder.answer(f));
    has(&judged.log, "its signer is revoked");
}

#[test]
fn answers_that_answer_nothing() {
    let root = root();
    let moon = with_ocsp(&root, "moon");
    let sun = with_ocsp(&root, "sun");
    let key = root.key.serialize_der();
    // Unknown to the responder.
    let responder = Responder::new(&root, &root.cert, &key, &[(&sun.cert, "V")]);
    let (judged, _) = ask(store(&[&root], &[]), &moon, "ifuri", &|f| responder.answer(f));
    assert_eq!(judged.verdict.unwrap_err().rule, Rule::Status);
    // An answer to another question: the nonce is wrong.
    let responder = Responder::new(&root, &root.cert, &key, &[(&moon.cert, "V")]);
    let kept = RefCell::new(None);
    let (first, _) = ask(store(&[&root], &[]), &moon, "strict", &|f| {
        let answer = responder.answer(f);
        *kept.borrow_mut() = answer.clone().ok();
        answer
    });
    assert!(first.verdict.is_ok());
    let replay = kept.borrow().clone().unwrap();
    let mut cache = Cache::default();
    let wanted = request(&moon, "moon", &[], demand("strict"));
    let (mut other, mut step) =
        pki::Judgement::new(Arc::new(store(&[&root], &[])), &mut cache, wanted, [1; 32], today());
    let judged = loop {
        match step {
            pki::Step::Done(judged) => break *judged,
            pki::Step::Fetch(list) => {
                step = other.fetched(&mut cache, list[0].id, Ok(replay.clone()), today())
            }
        }
    };
    assert!(judged.verdict.is_err());
    has(&judged.log, "nonce in ocsp response doesn't match");
    // A responder without nonces is believed; a changed byte is not.
    let mut plain = Responder::new(&root, &root.cert, &key, &[(&moon.cert, "V")]);
    plain.options.push("-resp_no_certs");
    let (judged, _) = ask(store(&[&root], &[]), &moon, "strict", &|f| plain.answer(f));
    assert!(judged.verdict.is_ok());
    let serial = moon.cert.serial();
    let place = replay.windows(serial.len()).position(|w| w == serial).unwrap() + serial.len();
    // [0] good becomes [2] unknown.
    assert_eq!(replay[place], 0x80);
    let mut bad = replay.clone();
    bad[place] = 0x82;
    let changed = pki::ocsp::Response::from_der(&bad).unwrap();
    let error = changed.verify(&root.cert, &store(&[&root], &[]), today()).unwrap_err();
    assert_eq!(error, "ocsp response verification failed, invalid signature");
    for cut in 0..replay.len() {
        assert!(pki::ocsp::Response::from_der(&replay[..cut]).is_err());
    }
    // In-band (RFC 4806): the same response, unasked for, answers for its time.
    let mut in_band = request(&moon, "moon", &[], demand("strict"));
    in_band.certs.push(wire::ike::Cert { encoding: wire::iana::CertEncoding::Ocsp, data: replay });
    let judged = run(store(&[&root], &[]), &mut Cache::default(), in_band.clone(), today(), &no_web);
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
    has(&judged.log, "received OCSP response issued by \"");
    // Not beyond it.
    let late = today() + 3 * 86400;
    let judged = run(store(&[&root], &[]), &mut Cache::default(), in_band, late, &|_| Err("down".into()));
    assert!(judged.verdict.is_err());
    has(&judged.log, "  ocsp response is stale: since");
}

#[test]
fn our_own_status_to_be_sent_along() {
    let root = root();
    let moon = with_ocsp(&root, "moon");
    let responder = Responder::new(&root, &root.cert, &root.key.serialize_der(), &[(&moon.cert, "V")]);
    let mut loaded = store(&[&root], &[&moon.cert]);
    loaded.add_signer(Arc::new(moon.key));
    let loaded = Arc::new(loaded);
    let wanted = pki::sign::SignRequest {
        auth: Arc::new(Auth::named("local", policy::AuthClass::parse("pubkey").unwrap())),
        me: id("moon"),
        cas: Vec::new(),
        send_cert: true,
        hash_and_url: false,
        ocsp: true,
        announced: Vec::new(),
        hashes: Some(vec![crypto::sign::Hash::Sha256]),
    };
    let mut cache = Cache::default();
    let begun = |cache: &Cache| {
        let plan = pki::choose(&loaded, cache, &wanted, today()).unwrap();
        (plan.certs.len(), pki::OwnStatus::new(loaded.clone(), cache, &plan, SEED, today()))
    };
    // Nobody answers: the responders are all that is asked, and nothing goes along.
    let (_, status) = begun(&cache);
    let mut status = status.unwrap();
    assert_eq!(status.step(&mut cache, None, today()).unwrap().url, OCSP);
    assert!(status.step(&mut cache, Some(Err("down".into())), today()).is_none());
    let log = status.take_log();
    has(&log, &format!("fetching from '{OCSP}' failed: down"));
    has(&log, &format!("ocsp request to '{OCSP}' failed"));
    let (certs, status) = begun(&cache);
    assert_eq!(certs, 1);
    let mut status = status.unwrap();
    let fetch = status.step(&mut cache, None, today()).unwrap();
    assert!(status.step(&mut cache, Some(responder.answer(&fetch)), today()).is_none());
    // Now it is at hand, and not asked for again.
    let (certs, status) = begun(&cache);
    assert!(certs == 2 && status.is_none());
    let plan = pki::choose(&loaded, &cache, &wanted, today()).unwrap();
    assert_eq!(plan.certs[1].encoding, wire::iana::CertEncoding::Ocsp);
    has(&plan.log, "sending OCSP status for certificate \"C=CH, O=Cygnet, CN=moon\"");
}
