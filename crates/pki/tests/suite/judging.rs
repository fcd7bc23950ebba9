//! AUTH, and what connections demand.
use crate::harness::*;
use crypto::sign::{Hash, KeyType, PrivateKey, SignScheme, digest};
use pki::{Cache, Certificate, FetchKind, Purpose, Rule, Store};
use policy::{Auth, CertRef};
use std::cell::RefCell;
use std::sync::Arc;
use wire::iana::{AuthMethod, CertEncoding};
use wire::ike::Cert;

fn ok(store: Store, request: pki::judge::JudgeRequest) -> bool {
    judge(store, request).verdict.is_ok()
}

#[test]
fn the_older_methods() {
    let root = root();
    let moon = root.end("moon", |_| {});
    let mut old = request(&moon, "moon", &[], vec![pubkey("pubkey")]);
    old.method = AuthMethod::Ecdsa256;
    old.auth = moon.key.sign(SignScheme::EcdsaRaw(Hash::Sha256), &old.octets).unwrap();
    assert!(ok(store(&[&root], &[]), old.clone()));
    for method in
        [AuthMethod::Ecdsa384, AuthMethod::Ecdsa521, AuthMethod::Rsa, AuthMethod::Psk, AuthMethod::Null]
    {
        let fault = judge(store(&[&root], &[]), pki::judge::JudgeRequest { method, ..old.clone() })
            .verdict
            .unwrap_err();
        assert_eq!(fault.rule, Rule::Auth, "{method:?}");
    }
    // RSA with method 1: SHA-1, and what else a DigestInfo may say.
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let mut names = params("sun");
    names.subject_alt_names = vec![rcgen::SanType::DnsName("sun".try_into().unwrap())];
    let cert = Certificate::from_der(names.signed_by(&rsa, &root.issuer()).unwrap().der()).unwrap();
    let key = PrivateKey::from_pkcs8(&rsa.serialize_der()).unwrap();
    for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
        let old = pki::judge::JudgeRequest {
            peer: id("sun"),
            certs: vec![x509(&cert)],
            method: AuthMethod::Rsa,
            auth: key.sign(SignScheme::RsaPkcs1(hash), b"what is signed").unwrap(),
            ..old.clone()
        };
        let judged = judge(store(&[&root], &[]), old);
        assert_eq!(judged.verdict.unwrap().verified.scheme(), SignScheme::RsaPkcs1(hash));
    }
}

#[test]
fn signatures_that_are_none() {
    let root = root();
    let (moon, sun) = (root.end("moon", |_| {}), root.end("sun", |_| {}));
    let good = request(&moon, "moon", &[], vec![pubkey("pubkey")]);
    let refused =
        |request: pki::judge::JudgeRequest| judge(store(&[&root], &[]), request).verdict.unwrap_err();
    for at in 0..good.auth.len() {
        let mut bad = good.clone();
        bad.auth[at] ^= 4;
        assert_eq!(refused(bad).rule, Rule::Auth, "byte {at}");
    }
    let mut other = good.clone();
    other.octets.push(0);
    let fault = refused(other);
    assert_eq!((fault.alert(), fault.certificate.contains("CN=moon")), ("peer-auth-failed", true));
    // Somebody else's certificate.
    let mut stolen = good.clone();
    stolen.certs = vec![x509(&sun.cert)];
    stolen.peer = id("sun");
    let judged = judge(store(&[&root], &[]), stolen);
    assert_eq!(judged.verdict.unwrap_err().rule, Rule::Auth);
    has(&judged.log, "no trusted ECDSA public key found for 'sun'");
    // A hash that was not announced.
    let mut unannounced = good.clone();
    unannounced.hashes = vec![Hash::Sha384];
    assert!(refused(unannounced).reason.contains("not announced"));
    let mut nothing = good;
    nothing.certs.clear();
    let fault = refused(nothing);
    assert_eq!(
        (fault.rule, fault.reason.as_str()),
        (Rule::NoKey, "no trusted ECDSA public key found for 'moon'")
    );
}

#[test]
fn a_certificate_at_hand_need_not_be_sent() {
    let root = root();
    let moon = root.end("moon", |_| {});
    let mut quiet = request(&moon, "moon", &[], vec![pubkey("pubkey")]);
    quiet.certs.clear();
    let judged = judge(store(&[&root], &[&moon.cert]), quiet);
    assert!(judged.verdict.is_ok());
    has(&judged.log, "  using trusted certificate \"C=CH, O=Cygnet, CN=moon\"");
}

#[test]
fn the_first_connection_whose_demands_are_met() {
    let root = root();
    let (research, sales) = (ca("Research CA", Some(&root), |_| {}), ca("Sales CA", Some(&root), |_| {}));
    let dave = sales.end("dave", |_| {});
    let mut first = pubkey("pubkey");
    first.cacerts = vec![reference(&research.cert)];
    let mut second = pubkey("pubkey");
    second.ca_id = Some(id("C=CH, O=Cygnet, CN=Sales CA"));
    let judged = judge(
        store(&[&root, &research, &sales], &[]),
        request(&dave, "dave", &[&sales.cert], vec![first.clone(), second.clone()]),
    );
    assert_eq!(judged.verdict.unwrap().candidate, 1);
    for line in [
        "constraint check failed: peer not authenticated by CA 'C=CH, O=Cygnet, CN=Research CA'",
        "selected peer config 'conn0' unacceptable: constraint checking failed",
        "switching to peer config 'conn1'",
    ] {
        has(&judged.log, line);
    }
    // The root of all counts as an issuer, too, although an intermediate is trusted.
    let mut by_root = pubkey("pubkey");
    by_root.cacerts = vec![reference(&root.cert)];
    assert!(ok(store(&[&root, &sales], &[]), request(&dave, "dave", &[], vec![by_root])));
    // None fits: the first fault is told.
    second.ca_id = Some(id("C=CH, O=Cygnet, CN=*, OU=none"));
    let fault = judge(store(&[&root], &[]), request(&dave, "dave", &[&sales.cert], vec![first, second]))
        .verdict
        .unwrap_err();
    assert_eq!((fault.rule, fault.alert()), (Rule::Constraint, "peer-auth-failed"));
    assert!(fault.reason.contains("Research CA") && fault.certificate.contains("CN=dave"));
}

#[test]
fn demands() {
    let root = root();
    let (moon, sun) = (root.end("moon", |_| {}), root.end("sun", |_| {}));
    let with = |change: &dyn Fn(&mut Auth)| {
        let mut auth = pubkey("pubkey");
        change(&mut auth);
        judge(store(&[&root], &[]), request(&moon, "moon", &[], vec![auth]))
            .verdict
            .map(|_| ())
            .map_err(|f| f.reason)
    };
    assert_eq!(with(&|a| a.certs = vec![reference(&moon.cert)]), Ok(()));
    assert!(with(&|a| a.certs = vec![reference(&sun.cert)]).is_err());
    assert_eq!(with(&|a| a.pubkeys = vec![CertRef::Key(moon.cert.key().spki().into())]), Ok(()));
    assert!(with(&|a| a.pubkeys = vec![CertRef::Key(sun.cert.key().spki().into())]).is_err());
    assert_eq!(with(&|a| a.id = Some(id("moon"))), Ok(()));
    assert_eq!(
        with(&|a| a.id = Some(id("sun"))).unwrap_err(),
        "constraint check failed: identity 'sun' required"
    );
    let groups = with(&|a| a.groups = vec!["sales".into()]).unwrap_err();
    assert_eq!(groups, "constraint check failed: group membership to 'sales' required");
    for (text, good) in [
        ("ecdsa", true),
        ("ecdsa-256", true),
        ("ecdsa-384", false),
        ("rsa", false),
        ("rsa-2048-ecdsa-256", true),
        ("ecdsa-sha256", true),
        ("ecdsa-sha384", false),
        ("pubkey-sha384-sha256", true),
        ("pubkey-sha512", false),
        ("ike:ecdsa-sha256", true),
        ("ike:pubkey-sha384", false),
        ("pubkey-sha256-ike:pubkey-sha512", false),
        ("ed25519", false),
    ] {
        let auth = pubkey(text);
        let verdict = judge(store(&[&root], &[]), request(&moon, "moon", &[], vec![auth])).verdict;
        assert_eq!(verdict.is_ok(), good, "{text}: {verdict:?}");
        if let Err(fault) = verdict {
            assert!(fault.reason.starts_with("constraint check failed"), "{fault:?}");
        }
    }
}

#[test]
fn raw_public_keys() {
    let root = root();
    let (moon, sun) = (root.end("moon", |_| {}), root.end("sun", |_| {}));
    let named = |key: &Certificate| {
        let mut auth = pubkey("pubkey");
        auth.pubkeys = vec![CertRef::Key(key.key().spki().into())];
        auth
    };
    let bare = |auth: Auth| {
        let mut request = request(&moon, "moon", &[], vec![auth]);
        request.certs =
            vec![Cert { encoding: CertEncoding::RawPublicKey, data: moon.cert.key().spki().to_vec() }];
        judge(store(&[], &[]), request).verdict
    };
    let trusted = bare(named(&moon.cert)).unwrap();
    assert!(trusted.path.is_none() && trusted.subject.is_none());
    assert_eq!(bare(named(&sun.cert)).unwrap_err().rule, Rule::Auth);
    // A key that the peer sends, and nobody named, is none.
    assert_eq!(bare(pubkey("pubkey")).unwrap_err().rule, Rule::NoKey);
    // One that was loaded stands for the identity that it is, and no other; a round that names keys or certificates wants
    // those.
    let known = |key: &Certificate, peer: &str, auth: Auth| {
        let mut loaded = store(&[], &[]);
        loaded.add_public_key(key.key().clone());
        let mut request = request(&moon, peer, &[], vec![auth]);
        request.certs = Vec::new();
        judge(loaded, request)
    };
    let key_id = |cert: &Certificate| format!("keyid:#{}", data_encoding::HEXLOWER.encode(&cert.key_id()));
    let judged = known(&moon.cert, &key_id(&moon.cert), pubkey("pubkey"));
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
    has(&judged.log, &format!("  using trusted certificate \"{}\"", id(&key_id(&moon.cert))));
    let spki = data_encoding::HEXLOWER.encode(&moon.cert.spki_id());
    assert!(known(&moon.cert, &format!("keyid:#{spki}"), pubkey("pubkey")).verdict.is_ok());
    for (key, peer, auth, rule) in [
        (&moon.cert, "moon", pubkey("pubkey"), Rule::NoKey),
        (&moon.cert, &*key_id(&sun.cert), pubkey("pubkey"), Rule::NoKey),
        (&sun.cert, &*key_id(&moon.cert), pubkey("pubkey"), Rule::NoKey),
        (&sun.cert, &*key_id(&sun.cert), pubkey("pubkey"), Rule::Auth),
        (&moon.cert, &*key_id(&moon.cert), named(&sun.cert), Rule::Constraint),
        (&moon.cert, &*key_id(&moon.cert), pubkey("rsa"), Rule::Constraint),
    ] {
        assert_eq!(known(key, peer, auth).verdict.unwrap_err().rule, rule, "{peer}");
    }
    // One that the operator says is somebody's stands for that identity, too, and for no other.
    let owned = |peer: &str| {
        let mut loaded = store(&[], &[]);
        loaded.add_public_key_of(id("moon"), moon.cert.key().clone());
        let mut request = request(&moon, peer, &[], vec![pubkey("pubkey")]);
        request.certs = Vec::new();
        judge(loaded, request).verdict
    };
    assert!(owned("moon").is_ok());
    assert!(owned(&key_id(&moon.cert)).is_ok());
    assert_eq!(owned("sun").unwrap_err().rule, Rule::NoKey);
    let mut strict = named(&moon.cert);
    strict.cacerts = vec![reference(&root.cert)];
    assert!(bare(strict).unwrap_err().reason.contains("certificate is required"));
    let mut rsa = named(&moon.cert);
    rsa.class = policy::AuthClass::parse("rsa").unwrap();
    assert!(bare(rsa).is_err());
}

fn hash_url(der: &[u8], url: &str, encoding: CertEncoding) -> Cert {
    Cert { encoding, data: [digest(Hash::Sha1, &[der]), url.as_bytes().to_vec()].concat() }
}

#[test]
fn hash_and_url() {
    let root = root();
    let sub = ca("Sub", Some(&root), |_| {});
    let moon = sub.end("moon", |_| {});
    let open = || {
        let mut store = store(&[&root], &[]);
        store.settings.hash_and_url = true;
        store
    };
    let mut request = request(&moon, "moon", &[], vec![pubkey("pubkey")]);
    request.certs = vec![
        hash_url(moon.cert.der(), "http://www.cygnet.org/moon", CertEncoding::HashUrl),
        hash_url(sub.cert.der(), "http://www.cygnet.org/sub", CertEncoding::HashUrl),
    ];
    let asked = RefCell::new(Vec::new());
    let web = |fetch: &pki::Fetch| {
        assert_eq!(fetch.kind, FetchKind::Certificate);
        asked.borrow_mut().push(fetch.url.clone());
        Ok(if fetch.url.ends_with("moon") { moon.cert.der().to_vec() } else { sub.cert.der().to_vec() })
    };
    let judged = run(open(), &mut Cache::default(), request.clone(), NOW, &web);
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
    assert_eq!(asked.borrow().len(), 2);
    has(&judged.log, "  fetched certificate \"C=CH, O=Cygnet, CN=moon\"");
    // Other bytes than those that were announced are not looked at.
    let swapped = run(open(), &mut Cache::default(), request.clone(), NOW, &|_| Ok(root.cert.der().to_vec()));
    assert_eq!(swapped.verdict.unwrap_err().rule, Rule::NoKey);
    has(&swapped.log, "does not have the hash");
    // Off by default, and then nothing is fetched; nor from elsewhere than the web.
    let off = judge(store(&[&root], &[]), request.clone());
    assert!(off.verdict.is_err());
    has(&off.log, "received hash-and-url encoded cert, but we don't accept them, ignore");
    request.certs = vec![hash_url(moon.cert.der(), "file:///etc/passwd", CertEncoding::HashUrl)];
    let judged = judge(open(), request.clone());
    has(&judged.log, "received invalid hash-and-url encoded cert, ignore");
    // A bundle: SEQUENCE OF [0] certificate.
    let element =
        |der: &[u8]| [&[0xa0, 0x82][..], &u16::try_from(der.len()).unwrap().to_be_bytes(), der].concat();
    let body = [element(moon.cert.der()), element(sub.cert.der())].concat();
    let bundle = [&[0x30, 0x82][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
    request.certs = vec![hash_url(&bundle, "http://www.cygnet.org/both", CertEncoding::HashUrlBundle)];
    let judged = run(open(), &mut Cache::default(), request, NOW, &|_| Ok(bundle.clone()));
    assert!(judged.verdict.is_ok(), "{:?}", judged.verdict);
}

#[test]
fn tls() {
    let root = root();
    let sub = ca("Sub", Some(&root), |_| {});
    let server = sub.end("aaa.cygnet.org", |p| {
        p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let at_hand = store(&[&root], &[]);
    let chain = [server.cert.der(), sub.cert.der()];
    let judge = |purpose, name: &str, auth: &Auth| {
        at_hand
            .judge_tls(&chain, purpose, Some(&id(name)), auth, NOW)
            .map(|(path, _)| path)
            .map_err(|(fault, _)| fault)
    };
    let auth = Auth::named("remote", policy::AuthClass::parse("eap-tls:ecdsa-256-sha256").unwrap());
    let path = judge(Purpose::TlsServer, "aaa.cygnet.org", &auth).unwrap();
    assert_eq!(judge(Purpose::TlsServer, "other.org", &auth).unwrap_err().rule, Rule::Identity);
    assert_eq!(judge(Purpose::TlsClient, "aaa.cygnet.org", &auth).unwrap_err().rule, Rule::ExtendedKeyUsage);
    let strong = Auth::named("remote", policy::AuthClass::parse("eap-tls:ecdsa-384-sha384").unwrap());
    assert_eq!(judge(Purpose::TlsServer, "aaa.cygnet.org", &strong).unwrap_err().rule, Rule::Constraint);
    let (fault, _) = at_hand.judge_tls(&chain[..1], Purpose::TlsServer, None, &auth, NOW).unwrap_err();
    assert_eq!(fault.rule, Rule::NoIssuer);
    assert!(at_hand.judge_tls(&[], Purpose::TlsServer, None, &auth, NOW).is_err());
    assert!(at_hand.judge_tls(&[b"junk"], Purpose::TlsServer, None, &auth, NOW).is_err());
    let mut check = pki::TlsJudgement::new(Arc::new(at_hand.clone()), path, "strict", SEED);
    let verdict = check.step(&mut Cache::default(), None, NOW).unwrap();
    assert_eq!(verdict.unwrap_err().rule, Rule::Status);
    assert!(!check.take_log().is_empty());
}

#[test]
fn keys_of_every_kind() {
    let root = root();
    for (algorithm, kind, scheme) in [
        (&rcgen::PKCS_ECDSA_P384_SHA384, KeyType::P384, SignScheme::EcdsaDer(Hash::Sha384)),
        (&rcgen::PKCS_ECDSA_P521_SHA512, KeyType::P521, SignScheme::EcdsaDer(Hash::Sha512)),
        (&rcgen::PKCS_ED25519, KeyType::Ed25519, SignScheme::Ed25519),
        (&rcgen::PKCS_RSA_SHA256, KeyType::Rsa, SignScheme::RsaPss(Hash::Sha256)),
        (&rcgen::PKCS_RSA_SHA256, KeyType::Rsa, SignScheme::RsaPkcs1(Hash::Sha512)),
    ] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut names = params("moon");
        names.subject_alt_names = vec![rcgen::SanType::DnsName("moon".try_into().unwrap())];
        let cert = Certificate::from_der(names.signed_by(&key, &root.issuer()).unwrap().der()).unwrap();
        assert_eq!(cert.key().kind(), kind);
        let key = PrivateKey::from_pkcs8(&key.serialize_der()).unwrap();
        let end = root.end("unused", |_| {});
        let mut request = request(&end, "moon", &[], vec![pubkey("pubkey")]);
        request.certs = vec![x509(&cert)];
        request.auth = pki::assemble_auth(scheme, &key.sign(scheme, &request.octets).unwrap()).unwrap();
        let judged = judge(store(&[&root], &[]), request);
        assert_eq!(judged.verdict.unwrap().verified.scheme(), scheme);
    }
}

/// Groups are those of an attribute certificate that a trusted authority signed for this very certificate.
#[test]
fn groups_from_attribute_certificates() {
    let root = root();
    let (dave, sun) = (root.end("dave", |_| {}), root.end("sun", |_| {}));
    let authority = ca("AA", None, |_| {});
    let acert = acert(&authority, &dave.cert, &["sales", "allow"], NOW - 1000, NOW + 1000);
    let attribute = pki::AttributeCertificate::from_der(&acert).unwrap();
    assert_eq!(
        (attribute.groups(), attribute.issuer()),
        (&["sales".into(), "allow".into()][..], authority.cert.subject())
    );
    assert!(attribute.is_for(&dave.cert) && !attribute.is_for(&sun.cert));
    let wants = |groups: &[&str]| {
        let mut auth = pubkey("pubkey");
        auth.groups = groups.iter().map(|g| (*g).to_owned()).collect();
        auth
    };
    let mut with_aa = store(&[&root], &[]);
    with_aa.add_certificate(authority.cert.clone(), pki::Trust::Aa);
    let sent = |end: &End, name: &str, groups: &[&str], acert: &[u8]| {
        let mut request = request(end, name, &[], vec![wants(groups)]);
        request.certs.push(Cert { encoding: CertEncoding::X509Attribute, data: acert.to_vec() });
        request
    };
    let judged = judge(with_aa.clone(), sent(&dave, "dave", &["finance", "sales"], &acert));
    assert_eq!(judged.verdict.unwrap().groups, ["sales", "allow"]);
    has(&judged.log, "received attribute certificate issued by \"C=CH, O=Cygnet, CN=AA\"");
    let fault = judge(with_aa.clone(), sent(&dave, "dave", &["finance"], &acert)).verdict.unwrap_err();
    assert_eq!(fault.reason, "constraint check failed: group membership to 'finance' required");
    // Of somebody else, of nobody trusted, out of date, changed.
    assert!(!ok(with_aa.clone(), sent(&sun, "sun", &["sales"], &acert)));
    assert!(!ok(store(&[&root, &authority], &[]), sent(&dave, "dave", &["sales"], &acert)));
    let old = self::acert(&authority, &dave.cert, &["sales"], NOW - 1000, NOW - 500);
    assert!(!ok(with_aa.clone(), sent(&dave, "dave", &["sales"], &old)));
    for at in 0..acert.len() {
        let mut bad = acert.clone();
        bad[at] ^= 8;
        assert!(!ok(with_aa.clone(), sent(&dave, "dave", &["sales"], &bad)), "byte {at}");
        assert!(pki::AttributeCertificate::from_der(&acert[..at]).is_err());
    }
    // At hand.
    with_aa.add_attribute_certificate(Arc::new(attribute));
    assert!(ok(with_aa, request(&dave, "dave", &[], vec![wants(&["sales"])])));
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = match u8::try_from(body.len()) {
        Ok(short) if short < 128 => vec![short],
        Ok(long) => vec![0x81, long],
        Err(_) => [&[0x82][..], &u16::try_from(body.len()).unwrap().to_be_bytes()].concat(),
    };
    [&[tag][..], &length, &body].concat()
}

/// An attribute certificate as RFC 5755 4.1 has it.
fn acert(authority: &Ca, holder: &Certificate, groups: &[&str], from: u64, to: u64) -> Vec<u8> {
    let name = |id: &policy::Identity| tlv(0x30, &[&tlv(0xa4, &[&id.to_wire().1])]);
    let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let time = |secs: u64| {
        let time = der::DateTime::from_unix_duration(std::time::Duration::from_secs(secs)).unwrap();
        let text = time.to_string().replace(['-', ':', 'T'], "");
        tlv(0x18, &[text.as_bytes()])
    };
    let values: Vec<Vec<u8>> = groups.iter().map(|g| tlv(4, &[g.as_bytes()])).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let syntax = tlv(0x30, &[&tlv(0x30, &values)]);
    let attribute = tlv(0x30, &[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 10, 4], &tlv(0x31, &[&syntax])]);
    let info = tlv(
        0x30,
        &[
            &[2, 1, 1],
            &tlv(0x30, &[&tlv(0xa0, &[&name(holder.issuer()), &tlv(2, &[holder.serial()])])]),
            &tlv(0xa0, &[&name(authority.cert.subject())]),
            &algorithm,
            &[2, 1, 5],
            &tlv(0x30, &[&time(from), &time(to)]),
            &tlv(0x30, &[&attribute]),
        ],
    );
    let key = PrivateKey::from_pkcs8(&authority.key.serialize_der()).unwrap();
    let signature = key.sign(SignScheme::EcdsaDer(Hash::Sha256), &info).unwrap();
    tlv(0x30, &[&info, &algorithm, &tlv(3, &[&[0], &signature])])
}
