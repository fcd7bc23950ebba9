//! Each rule of chains, broken once: the error names certificate and rule.
use crate::harness::*;
use pki::{Certificate, Distrust, Rule, Store};
use rcgen::{
    BasicConstraints, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};

fn fault(store: Store, end: &End, peer: &str, chain: &[&Certificate]) -> Distrust {
    judge(store, request(end, peer, chain, vec![pubkey("pubkey")])).verdict.unwrap_err()
}

#[track_caller]
fn is(fault: &Distrust, rule: Rule, alert: &str, certificate: &str) {
    assert_eq!(fault.rule, rule, "{fault:?}");
    assert_eq!(fault.alert(), alert);
    assert!(fault.certificate.contains(certificate), "{fault:?}");
    assert!(!fault.reason.is_empty());
}

#[test]
fn a_good_chain_and_what_is_logged() {
    let root = root();
    let sub = ca("Research CA", Some(&root), |_| {});
    let moon = sub.end("moon.cygnet.org", |_| {});
    let request = request(&moon, "moon.cygnet.org", &[&sub.cert], vec![pubkey("pubkey")]);
    let judged = judge(store(&[&root], &[]), request.clone());
    let trusted = judged.verdict.unwrap();
    assert_eq!((trusted.candidate, trusted.subject.as_ref()), (0, Some(moon.cert.subject())));
    assert!(trusted.verified.covers(b"what is signed"));
    assert_eq!(trusted.path.unwrap().certificates().len(), 3);
    for line in [
        "received end entity cert \"C=CH, O=Cygnet, CN=moon.cygnet.org\"",
        "received issuer cert \"C=CH, O=Cygnet, CN=Research CA\"",
        "  using certificate \"C=CH, O=Cygnet, CN=moon.cygnet.org\"",
        "  using untrusted intermediate certificate \"C=CH, O=Cygnet, CN=Research CA\"",
        "  using trusted ca certificate \"C=CH, O=Cygnet, CN=Root\"",
        "  reached self-signed root ca with a path length of 1",
        "checking certificate status of \"C=CH, O=Cygnet, CN=moon.cygnet.org\"",
        "certificate status is not available",
    ] {
        has(&judged.log, line);
    }
    // An intermediate that is trusted by itself ends a chain, too.
    let judged = judge(store(&[&sub], &[]), request);
    assert!(judged.verdict.is_ok());
    has(&judged.log, "  using trusted intermediate ca certificate");
}

#[test]
fn times() {
    let root = root();
    let old = root.end("moon", |p| p.not_after = date_time_ymd(2026, 2, 1));
    let found = fault(store(&[&root], &[]), &old, "moon", &[]);
    is(&found, Rule::Expired, "cert-expired", "CN=moon");
    assert!(found.reason.contains("invalid (valid from Jan 01 00:00:00 2026 to Feb 01 00:00:00 2026)"));
    let early = root.end("moon", |p| p.not_before = date_time_ymd(2030, 1, 1));
    is(&fault(store(&[&root], &[]), &early, "moon", &[]), Rule::NotYetValid, "cert-expired", "CN=moon");
    let sub = ca("Old CA", Some(&root), |p| p.not_after = date_time_ymd(2026, 2, 1));
    let moon = sub.end("moon", |_| {});
    is(&fault(store(&[&root], &[]), &moon, "moon", &[&sub.cert]), Rule::Expired, "cert-expired", "CN=Old CA");
    let gone = ca("Gone", None, |p| p.not_after = date_time_ymd(2026, 2, 1));
    let moon = gone.end("moon", |_| {});
    is(&fault(store(&[&gone], &[]), &moon, "moon", &[]), Rule::Expired, "cert-expired", "CN=Gone");
}

#[test]
fn usages() {
    let root = root();
    let code = root.end("moon", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]);
    let found = fault(store(&[&root], &[]), &code, "moon", &[]);
    is(&found, Rule::ExtendedKeyUsage, "cert-validation-failed", "CN=moon");
    assert!(found.reason.contains("1.3.6.1.5.5.7.3.3"));
    for good in [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]),
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 8, 2, 2]),
    ] {
        let moon = root.end("moon", |p| p.extended_key_usages = vec![good]);
        assert!(
            judge(store(&[&root], &[]), request(&moon, "moon", &[], vec![pubkey("pubkey")])).verdict.is_ok()
        );
    }
    let agree = root.end("moon", |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    is(
        &fault(store(&[&root], &[]), &agree, "moon", &[]),
        Rule::KeyUsage,
        "cert-validation-failed",
        "CN=moon",
    );
    let no_sign = ca("No Sign", Some(&root), |p| p.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let moon = no_sign.end("moon", |_| {});
    is(
        &fault(store(&[&root], &[]), &moon, "moon", &[&no_sign.cert]),
        Rule::NotCa,
        "cert-validation-failed",
        "CN=No Sign",
    );
    let no_ca = ca("No CA", Some(&root), |p| p.is_ca = IsCa::ExplicitNoCa);
    let moon = no_ca.end("moon", |_| {});
    is(
        &fault(store(&[&root], &[]), &moon, "moon", &[&no_ca.cert]),
        Rule::NotCa,
        "cert-validation-failed",
        "CN=No CA",
    );
}

#[test]
fn identities() {
    let root = root();
    let moon = root.end("moon.cygnet.org", |p| {
        p.subject_alt_names.push(SanType::Rfc822Name("moon@cygnet.org".try_into().unwrap()));
        p.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
        p.subject_alt_names.push(SanType::DnsName("*.wild.org".try_into().unwrap()));
    });
    let key_id = data_encoding::HEXLOWER.encode(&moon.cert.key_id());
    for good in [
        "moon.cygnet.org",
        "MOON.cygnet.org",
        "moon@cygnet.org",
        "192.0.2.1",
        "C=CH, O=Cygnet, CN=moon.cygnet.org",
        &format!("keyid:#{key_id}"),
    ] {
        let judged = judge(store(&[&root], &[]), request(&moon, good, &[], vec![pubkey("pubkey")]));
        assert!(judged.verdict.is_ok(), "{good}: {:?}", judged.verdict);
    }
    // Wildcards of a peer are no licence, nor are those of a certificate.
    for bad in [
        "sun.cygnet.org",
        "*.cygnet.org",
        "*",
        "%any",
        "x.wild.org",
        "192.0.2.2",
        "C=CH, O=Cygnet, CN=*",
        "C=CH, O=Cygnet, CN=sun",
        "keyid:#0011",
        "@@moon.cygnet.org",
    ] {
        let found = fault(store(&[&root], &[]), &moon, bad, &[]);
        is(&found, Rule::Identity, "peer-auth-failed", "CN=moon.cygnet.org");
        assert!(found.reason.contains("does not confirm identity"), "{found:?}");
    }
}

#[test]
fn anchors() {
    let root = root();
    let moon = root.end("moon", |_| {});
    is(&fault(store(&[], &[]), &moon, "moon", &[]), Rule::NoIssuer, "cert-no-issuer", "CN=moon");
    let found = fault(store(&[], &[]), &moon, "moon", &[&root.cert]);
    is(&found, Rule::Untrusted, "cert-untrusted-root", "CN=Root");
    assert_eq!(found.reason, format!("self-signed certificate \"{}\" is not trusted", root.name()));
    // Another CA of the same name.
    let other = ca("Root", None, |p| p.use_authority_key_identifier_extension = false);
    let found = fault(store(&[&other], &[]), &moon, "moon", &[&root.cert]);
    assert!(matches!(found.rule, Rule::Untrusted | Rule::NoIssuer), "{found:?}");
    // Without key identifiers only the signature tells.
    let plain = root.end("moon", |p| p.use_authority_key_identifier_extension = false);
    let found = fault(store(&[&other], &[]), &plain, "moon", &[]);
    is(&found, Rule::Signature, "cert-validation-failed", "CN=moon");
    // What is loaded is trusted as what it is: with or without a chain, but not as an issuer.
    assert!(
        judge(store(&[], &[&moon.cert]), request(&moon, "moon", &[], vec![pubkey("pubkey")])).verdict.is_ok()
    );
    is(
        &fault(store(&[], &[&root.cert]), &moon, "moon", &[]),
        Rule::Untrusted,
        "cert-untrusted-root",
        "CN=Root",
    );
}

#[test]
fn lengths() {
    let root = root();
    let mut authorities = vec![ca("L1", Some(&root), |_| {})];
    for level in 2..=9 {
        let next = ca(&format!("L{level}"), authorities.last(), |_| {});
        authorities.push(next);
    }
    for (levels, good) in [(6, true), (7, true), (8, false), (9, false)] {
        let moon = authorities[levels - 1].end("moon", |_| {});
        let chain: Vec<&Certificate> = authorities[..levels].iter().map(|c| &c.cert).collect();
        let judged = judge(store(&[&root], &[]), request(&moon, "moon", &chain, vec![pubkey("pubkey")]));
        if good {
            assert!(judged.verdict.is_ok());
        } else {
            let found = judged.verdict.unwrap_err();
            is(&found, Rule::PathLength, "cert-exceeded-path-len", "CN=moon");
            assert_eq!(found.reason, "maximum path length of 7 exceeded");
        }
    }
    let short = ca("Short", Some(&root), |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)));
    let one = ca("One", Some(&short), |_| {});
    let two = ca("Two", Some(&one), |_| {});
    let moon = two.end("moon", |_| {});
    let found = fault(store(&[&root], &[]), &moon, "moon", &[&two.cert, &one.cert, &short.cert]);
    is(&found, Rule::PathLength, "cert-exceeded-path-len", "CN=Short");
    assert_eq!(found.reason, "path length of 2 violates constraint of 1");
    // Of the anchor, too (RFC 5937).
    let anchor = ca("Anchor", None, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let sub = ca("Sub", Some(&anchor), |_| {});
    let moon = sub.end("moon", |_| {});
    let found = fault(store(&[&anchor], &[]), &moon, "moon", &[&sub.cert]);
    is(&found, Rule::PathLength, "cert-exceeded-path-len", "CN=Anchor");
}

#[test]
fn loops_end() {
    // Two authorities that certify each other, and nobody else.
    let a = ca("A", None, |_| {});
    let b = ca("B", None, |_| {});
    let a_by_b = Certificate::from_der(a.params.signed_by(&a.key, &b.issuer()).unwrap().der()).unwrap();
    let b_by_a = Certificate::from_der(b.params.signed_by(&b.key, &a.issuer()).unwrap().der()).unwrap();
    let moon = a.end("moon", |_| {});
    let found = fault(store(&[], &[]), &moon, "moon", &[&a_by_b, &b_by_a]);
    is(&found, Rule::PathLength, "cert-exceeded-path-len", "CN=moon");
    assert_eq!(found.reason, "maximum path length of 7 exceeded");
    // The bridge: who trusts B gets to A's certificates.
    let judged =
        judge(store(&[&b], &[]), request(&moon, "moon", &[&b_by_a, &a_by_b], vec![pubkey("pubkey")]));
    assert_eq!(judged.verdict.unwrap().path.unwrap().anchor(), Some(&b.cert));
}

#[test]
fn many_of_one_name_cost_no_more_than_a_bound() {
    let root = root();
    let mut decoys = Vec::new();
    for _ in 0..30 {
        decoys.push(ca("Sub", Some(&root), |p| p.use_authority_key_identifier_extension = false));
    }
    let sub = ca("Sub", Some(&root), |p| p.use_authority_key_identifier_extension = false);
    let moon = sub.end("moon", |p| p.use_authority_key_identifier_extension = false);
    let mut chain: Vec<&Certificate> = decoys.iter().map(|c| &c.cert).collect();
    chain.push(&sub.cert);
    // 32 payloads are looked at; the right one is the last of them.
    let judged = judge(store(&[&root], &[]), request(&moon, "moon", &chain, vec![pubkey("pubkey")]));
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
}

#[test]
fn a_mesh_of_authorities_costs_no_more_than_a_bound() {
    // Everybody certifies everybody, under one name and without key identifiers; no way leads to an anchor.
    let plain = |p: &mut rcgen::CertificateParams| p.use_authority_key_identifier_extension = false;
    let members: Vec<Ca> = (0..5).map(|_| ca("Mesh", None, plain)).collect();
    let mut mesh = Vec::new();
    for a in &members {
        for b in members.iter().filter(|b| b.cert != a.cert) {
            let cross = a.params.signed_by(&a.key, &b.issuer()).unwrap();
            mesh.push(Certificate::from_der(cross.der()).unwrap());
        }
    }
    // The key that signed has many certificates from the mesh, and one that is good.
    let root = root();
    let key = rcgen::KeyPair::generate().unwrap();
    let certify = |issuer: &Ca| {
        let mut params = params("moon");
        params.subject_alt_names = vec![SanType::DnsName("moon".try_into().unwrap())];
        plain(&mut params);
        Certificate::from_der(params.signed_by(&key, &issuer.issuer()).unwrap().der()).unwrap()
    };
    let bad: Vec<Certificate> = (0..10).map(|_| certify(&members[0])).collect();
    let end = |cert: Certificate| End {
        cert,
        key: crypto::sign::PrivateKey::from_pkcs8(&key.serialize_der()).unwrap(),
    };
    let chain: Vec<&Certificate> = bad[1..].iter().chain(&mesh).collect();
    let attack = request(&end(bad[0].clone()), "moon", &chain, vec![pubkey("pubkey")]);
    let good = certify(&root);
    let mut last = attack.clone();
    last.certs.truncate(29);
    last.certs.push(x509(&good));
    let mut first = attack;
    first.certs.insert(0, x509(&good));
    assert!(judge(store(&[&root], &[]), first).verdict.is_ok());
    // It is not even looked for: what all of them together may cost is spent.
    assert!(judge(store(&[&root], &[]), last).verdict.is_err());
}

#[test]
fn name_constraints() {
    let root = root();
    let constrained = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
        ca("Sub", Some(&root), |p| {
            p.name_constraints =
                Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        })
    };
    let dns = |name: &str| GeneralSubtree::DnsName(name.into());
    // The class of CVE-2026-35331: constraints of each kind, in both directions, in any letters, on every certificate.
    let mut dn = rcgen::DistinguishedName::new();
    dn.push(rcgen::DnType::CountryName, "CH");
    dn.push(rcgen::DnType::OrganizationName, "cygnet");
    let mut other_dn = rcgen::DistinguishedName::new();
    other_dn.push(rcgen::DnType::CountryName, "DE");
    let net = CidrSubnet::from_v4_prefix([192, 0, 2, 0], 24);
    let cases: Vec<(Vec<GeneralSubtree>, Vec<GeneralSubtree>, bool)> = vec![
        (vec![dns("cygnet.org")], vec![], true),
        (vec![dns("CYGNET.org")], vec![], true),
        (vec![dns("example.org")], vec![], false),
        (vec![dns("gnet.org")], vec![], false),
        (vec![], vec![dns("cygnet.org")], false),
        (vec![], vec![dns("Cygnet.ORG")], false),
        (vec![], vec![dns("example.org")], true),
        (vec![GeneralSubtree::DirectoryName(dn.clone())], vec![], true),
        (vec![GeneralSubtree::DirectoryName(other_dn)], vec![], false),
        (vec![], vec![GeneralSubtree::DirectoryName(dn)], false),
        (vec![GeneralSubtree::IpAddress(net)], vec![], true),
        (vec![], vec![GeneralSubtree::IpAddress(net)], false),
        (vec![GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8))], vec![], false),
        (vec![GeneralSubtree::Rfc822Name("cygnet.org".into())], vec![], true),
        (vec![GeneralSubtree::Rfc822Name("example.org".into())], vec![], false),
        (vec![], vec![GeneralSubtree::Rfc822Name("cygnet.org".into())], false),
    ];
    for (permitted, excluded, good) in cases {
        let text = format!("{permitted:?} {excluded:?}");
        let sub = constrained(permitted, excluded);
        let moon = sub.end("moon.cygnet.org", |p| {
            p.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
            p.subject_alt_names.push(SanType::Rfc822Name("moon@cygnet.org".try_into().unwrap()));
        });
        let judged = judge(
            store(&[&root], &[]),
            request(&moon, "moon.cygnet.org", &[&sub.cert], vec![pubkey("pubkey")]),
        );
        match judged.verdict {
            Ok(_) => assert!(good, "{text}"),
            Err(found) => {
                assert!(!good, "{text}: {found:?}");
                is(&found, Rule::NameConstraints, "cert-validation-failed", "CN=moon.cygnet.org");
            }
        }
    }
    // A constraint reaches through further authorities, and one of the anchor counts.
    let sub = constrained(vec![dns("cygnet.org")], vec![]);
    let below = ca("Below", Some(&sub), |_| {});
    let sun = below.end("sun.example.org", |_| {});
    let found = fault(store(&[&root], &[]), &sun, "sun.example.org", &[&below.cert, &sub.cert]);
    is(&found, Rule::NameConstraints, "cert-validation-failed", "CN=sun.example.org");
    let anchor = ca("Anchor", None, |p| {
        p.name_constraints =
            Some(NameConstraints { permitted_subtrees: vec![dns("cygnet.org")], excluded_subtrees: vec![] });
    });
    let sun = anchor.end("sun.example.org", |_| {});
    let found = fault(store(&[&anchor], &[]), &sun, "sun.example.org", &[]);
    is(&found, Rule::NameConstraints, "cert-validation-failed", "CN=sun.example.org");
}

#[test]
fn critical_extensions() {
    let root = root();
    let extended = |oid: &[u64], critical: bool| {
        root.end("moon", |p| {
            let mut extension = CustomExtension::from_oid_content(oid, vec![5, 0]);
            extension.set_criticality(critical);
            p.custom_extensions.push(extension);
        })
    };
    let odd = [1, 3, 6, 1, 4, 1, 36906, 99];
    let found = fault(store(&[&root], &[]), &extended(&odd, true), "moon", &[]);
    is(&found, Rule::CriticalExtension, "cert-validation-failed", "CN=moon");
    assert!(found.reason.contains("1.3.6.1.4.1.36906.99"), "{found:?}");
    let fine = extended(&odd, false);
    assert!(judge(store(&[&root], &[]), request(&fine, "moon", &[], vec![pubkey("pubkey")])).verdict.is_ok());
    let blocks = extended(&[1, 3, 6, 1, 5, 5, 7, 1, 7], true);
    let found = fault(store(&[&root], &[]), &blocks, "moon", &[]);
    assert!(found.reason.contains("RFC 3779"), "{found:?}");
}

#[test]
fn policies() {
    // certificatePolicies ::= SEQUENCE OF SEQUENCE { OID }
    let policies = |p: &mut rcgen::CertificateParams, oids: &[&[u8]]| {
        let mut body = Vec::new();
        for oid in oids {
            let inner = [&[6, u8::try_from(oid.len()).unwrap()], *oid].concat();
            body.extend([0x30, u8::try_from(inner.len()).unwrap()]);
            body.extend(inner);
        }
        let content = [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat();
        p.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 32], content));
    };
    let ours: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xa0, 0x2a, 1, 1, 1];
    let any: &[u8] = &[0x55, 0x1d, 0x20, 0];
    let root = root();
    let sub = ca("Sub", Some(&root), |p| policies(p, &[ours]));
    let free = ca("Free", Some(&root), |p| policies(p, &[any]));
    let none = ca("None", Some(&root), |_| {});
    for (authority, with, good) in [
        (&sub, true, true),
        (&sub, false, false),
        (&free, true, true),
        (&free, false, false),
        (&none, true, false),
    ] {
        let moon = authority.end("moon", |p| {
            if with {
                policies(p, &[ours])
            }
        });
        let mut auth = pubkey("pubkey");
        auth.cert_policy = vec!["1.3.6.1.4.1.36906.1.1.1".into()];
        let judged = judge(store(&[&root], &[]), request(&moon, "moon", &[&authority.cert], vec![auth]));
        match judged.verdict {
            Ok(_) => assert!(good),
            Err(found) => {
                assert!(!good, "{found:?}");
                assert_eq!((found.rule, found.alert()), (Rule::Policy, "cert-policy-violation"));
                assert!(found.reason.contains("constraint requires cert policy 1.3.6.1.4.1.36906.1.1.1"));
            }
        }
    }
}

#[test]
fn malformed_certificates_are_no_certificates() {
    let root = root();
    let moon = root.end("moon", |_| {});
    let der = moon.cert.der();
    for cut in 0..der.len() {
        assert!(Certificate::from_der(&der[..cut]).is_err());
    }
    // Any changed byte: refused, or a signature that does not verify.
    for at in 0..der.len() {
        let mut bad = der.to_vec();
        bad[at] ^= 0x41;
        if let Ok(certificate) = Certificate::from_der(&bad) {
            assert!(certificate.verify(&root.cert).is_err(), "byte {at}");
        }
    }
    let twice = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 3, 0x82, 1, b'x']);
    let mut params = params("moon");
    params.subject_alt_names = vec![SanType::DnsName("moon".try_into().unwrap())];
    params.custom_extensions.push(twice);
    let key = rcgen::KeyPair::generate().unwrap();
    let der = params.signed_by(&key, &root.issuer()).unwrap();
    assert!(Certificate::from_der(der.der()).unwrap_err().to_string().contains("twice"));
}

#[test]
fn sha1_in_a_chain() {
    let dir = tempfile::tempdir().unwrap();
    let run = |command: &str| {
        let output = std::process::Command::new("openssl")
            .args(command.split_ascii_whitespace())
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.path().join("ext"), "subjectAltName=DNS:moon\n").unwrap();
    run("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 30 -sha1");
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out k.csr -subj /CN=moon",
    );
    run(
        "x509 -req -in k.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out c.pem -days 30 -sha1 -extfile ext",
    );
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let anchor = pki::container::certificates(&read("ca.pem")).unwrap().remove(0);
    let cert = pki::container::certificates(&read("c.pem")).unwrap().remove(0);
    let now = cert.not_before() + 60;
    let mut store = Store::default();
    store.add_certificate(anchor, pki::Trust::Ca);
    let judged = |store: &Store| {
        store
            .judge_tls(&[cert.der()], pki::Purpose::Any, None, &pubkey("pubkey"), now)
            .map_err(|(fault, _)| fault)
    };
    let found = judged(&store).unwrap_err();
    is(&found, Rule::Signature, "cert-validation-failed", "CN=moon");
    assert!(found.reason.contains("SHA-1"));
    store.settings.sha1_signatures = true;
    assert!(judged(&store).is_ok());
}

#[test]
fn what_is_remembered_of_a_signature_holds_for_that_key_only() {
    let (right, wrong) = (root(), root());
    let moon = right.end("moon", |_| {});
    for _ in 0..2 {
        assert!(moon.cert.verify(&wrong.cert).is_err());
        assert!(moon.cert.verify(&right.cert).is_ok());
    }
    assert!(right.cert.is_self_signed() && right.cert.verify(&wrong.cert).is_err());
    // Shared by all copies of the certificate, and by those only.
    let again = Certificate::from_der(moon.cert.der()).unwrap();
    assert!(again.verify(&wrong.cert).is_err());
    assert_eq!(fault(store(&[&wrong], &[]), &moon, "moon", &[]).rule, Rule::NoIssuer);
    assert!(
        judge(store(&[&right], &[]), request(&moon, "moon", &[], vec![pubkey("pubkey")])).verdict.is_ok()
    );
}
