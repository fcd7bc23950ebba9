//! Which key, which scheme, which certificates.
use crate::harness::*;
use crypto::sign::{Hash, PrivateKey, PublicKey, SignScheme};
use pki::sign::{SignError, SignRequest};
use pki::{Authority, Cache, Certificate, Plan, Store, choose, parse_auth};
use policy::{Auth, AuthClass, CertRef};
use std::sync::Arc;
use wire::iana::{AuthMethod, CertEncoding};

fn local(text: &str) -> Auth {
    Auth::named("local", AuthClass::parse(text).unwrap())
}

fn asked(auth: Auth, me: &str) -> SignRequest {
    SignRequest {
        auth: Arc::new(auth),
        me: id(me),
        cas: Vec::new(),
        send_cert: true,
        hash_and_url: false,
        ocsp: false,
        hashes: Some(vec![Hash::Sha256, Hash::Sha384, Hash::Sha512]),
        announced: Vec::new(),
    }
}

fn owning(anchors: &[&Ca], ends: &[&End]) -> Store {
    let mut store = store(anchors, &ends.iter().map(|e| &e.cert).collect::<Vec<_>>());
    for end in ends {
        store.add_signer(Arc::new(end.key.clone()));
    }
    store
}

fn plan(store: &Store, request: &SignRequest) -> Result<Plan, SignError> {
    choose(store, &Cache::default(), request, NOW)
}

fn sent(plan: &Plan) -> Vec<Vec<u8>> {
    plan.certs.iter().map(|c| c.data.clone()).collect()
}

fn rsa_end(ca: &Ca, name: &str) -> End {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let mut names = params(name);
    names.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
    End {
        cert: Certificate::from_der(names.signed_by(&key, &ca.issuer()).unwrap().der()).unwrap(),
        key: PrivateKey::from_pkcs8(&key.serialize_der()).unwrap(),
    }
}

#[test]
fn a_signature_that_verifies_and_the_chain_without_its_root() {
    let root = root();
    let sub = ca("Sub", Some(&root), |_| {});
    let moon = sub.end("moon", |_| {});
    let mut store = owning(&[&root], &[&moon]);
    store.add_certificate(sub.cert.clone(), pki::Trust::None);
    let plan = plan(&store, &asked(local("pubkey"), "moon")).unwrap();
    assert_eq!((plan.method, plan.scheme), (AuthMethod::Signature, SignScheme::EcdsaDer(Hash::Sha256)));
    assert_eq!(sent(&plan), [moon.cert.der(), sub.cert.der()]);
    has(&plan.log, "sending end entity cert \"C=CH, O=Cygnet, CN=moon\"");
    has(&plan.log, "sending issuer cert \"C=CH, O=Cygnet, CN=Sub\"");
    let signed = plan.sign(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
    for (auth, data) in signed.iter().zip([b"one", b"two"]) {
        let (scheme, signature) = parse_auth(auth).unwrap();
        assert_eq!(moon.cert.key().verify(scheme, data, signature), Ok(()));
    }
    let quiet = SignRequest { send_cert: false, ..asked(local("pubkey"), "moon") };
    assert!(choose(&store, &Cache::default(), &quiet, NOW).unwrap().certs.is_empty());
}

#[test]
fn which_certificate() {
    let (one, two) = (ca("One", None, |_| {}), ca("Two", None, |_| {}));
    let first = one.end("moon", |_| {});
    let second = two.end("moon", |_| {});
    let expired = one.end("moon", |p| p.not_after = rcgen::date_time_ymd(2026, 2, 1));
    let store = owning(&[&one, &two], &[&expired, &first, &second]);
    let chosen = |request: &SignRequest| sent(&plan(&store, request).unwrap())[0].clone();
    let mut request = asked(local("pubkey"), "moon");
    assert_eq!(chosen(&request), first.cert.der());
    // Whom the peer trusts decides; if it trusts none of ours, the first is sent all the same.
    request.cas = vec![two.cert.spki_id().try_into().unwrap()];
    assert_eq!(chosen(&request), second.cert.der());
    request.cas = vec![[9; 20]];
    assert_eq!(chosen(&request), first.cert.der());
    // What is configured is what is sent.
    let mut auth = local("pubkey");
    auth.certs = vec![reference(&second.cert)];
    assert_eq!(chosen(&asked(auth, "whatever")), second.cert.der());
    // By subject, and by nothing.
    assert!(plan(&store, &asked(local("pubkey"), "C=CH, O=Cygnet, CN=moon")).is_ok());
    let error = plan(&store, &asked(local("pubkey"), "sun")).err().unwrap();
    assert_eq!(error.to_string(), "no private key found for 'sun'");
    // A raw key.
    let mut auth = local("pubkey");
    auth.pubkeys = vec![CertRef::Key(second.cert.key().spki().into())];
    let raw = plan(&store, &asked(auth, "moon")).unwrap();
    assert!(raw.certs.is_empty());
    let by_id = format!("keyid:#{}", data_encoding::HEXLOWER.encode(&second.cert.key_id()));
    assert!(plan(&store, &asked(local("pubkey"), &by_id)).is_ok());
}

#[test]
fn which_scheme() {
    let root = root();
    let (rsa, ec) = (rsa_end(&root, "rsa"), root.end("ec", |_| {}));
    let mut store = owning(&[&root], &[&rsa, &ec]);
    let how = |store: &Store, text: &str, me: &str, hashes: Option<&[Hash]>| {
        let request = SignRequest { hashes: hashes.map(<[Hash]>::to_vec), ..asked(local(text), me) };
        plan(store, &request).map(|p| (p.method, p.scheme)).map_err(|e| e.to_string())
    };
    use Hash::{Sha1, Sha256, Sha384, Sha512};
    let all: Option<&[Hash]> = Some(&[Sha1, Sha256, Sha384, Sha512]);
    let digital = |scheme| Ok((AuthMethod::Signature, scheme));
    assert_eq!(how(&store, "pubkey", "rsa", all), digital(SignScheme::RsaPkcs1(Sha256)));
    assert_eq!(how(&store, "rsa/pss-sha512", "rsa", all), digital(SignScheme::RsaPss(Sha512)));
    assert_eq!(how(&store, "pubkey-sha384-sha256", "rsa", all), digital(SignScheme::RsaPkcs1(Sha384)));
    assert_eq!(
        how(&store, "ike:rsa/pss-sha384-sha256", "rsa", Some(&[Sha256])),
        digital(SignScheme::RsaPss(Sha256))
    );
    assert_eq!(how(&store, "pubkey", "rsa", Some(&[Sha512])), digital(SignScheme::RsaPkcs1(Sha512)));
    store.settings.rsa_pss = true;
    assert_eq!(how(&store, "pubkey", "rsa", all), digital(SignScheme::RsaPss(Sha256)));
    // What the peer announced is preferred, and demands nothing.
    let announced = |schemes: &[SignScheme]| {
        let announced = schemes.to_vec();
        let request = SignRequest { announced, ..asked(local("pubkey"), "rsa") };
        plan(&store, &request).unwrap().scheme
    };
    assert_eq!(announced(&[SignScheme::Ed25519, SignScheme::RsaPkcs1(Sha512)]), SignScheme::RsaPkcs1(Sha512));
    assert_eq!(announced(&[SignScheme::Ed25519]), SignScheme::RsaPss(Sha256));
    // Peers without RFC 7427; and those with it are not given less.
    assert_eq!(how(&store, "pubkey", "rsa", None), Ok((AuthMethod::Rsa, SignScheme::RsaPkcs1(Sha1))));
    assert_eq!(how(&store, "pubkey", "ec", None), Ok((AuthMethod::Ecdsa256, SignScheme::EcdsaRaw(Sha256))));
    let none = "no common hash algorithm found to create signature with RSA key";
    assert_eq!(how(&store, "pubkey", "rsa", Some(&[Sha1])), Err(none.into()));
    assert_eq!(how(&store, "pubkey", "rsa", Some(&[])), Err(none.into()));
    assert_eq!(how(&store, "pubkey-sha256", "rsa", None), Err(none.into()));
    assert!(how(&store, "ecdsa", "rsa", all).is_err());
    assert_eq!(
        how(&store, "pubkey", "ec", Some(&[Sha384])),
        Ok((AuthMethod::Ecdsa256, SignScheme::EcdsaRaw(Sha256)))
    );
    // Method 1 as a peer checks it.
    let old = SignRequest { hashes: None, ..asked(local("pubkey"), "rsa") };
    let signed = plan(&store, &old).unwrap().sign(&[b"data".to_vec()]).unwrap();
    let key: &PublicKey = rsa.cert.key();
    assert_eq!(key.verify(SignScheme::RsaPkcs1(Sha1), b"data", &signed[0]), Ok(()));
}

#[test]
fn hash_and_url_where_the_authority_has_a_place() {
    let root = root();
    let moon = root.end("moon", |_| {});
    let mut store = owning(&[], &[&moon]);
    store.add_authority(Authority {
        name: "root".into(),
        certificate: root.cert,
        crl_uris: Vec::new(),
        ocsp_uris: Vec::new(),
        cert_uri_base: Some("http://www.cygnet.org/certs/".into()),
    });
    let request = SignRequest { hash_and_url: true, ..asked(local("pubkey"), "moon") };
    assert_eq!(plan(&store, &request).unwrap().certs[0].encoding, CertEncoding::X509);
    store.settings.hash_and_url = true;
    let plan = plan(&store, &request).unwrap();
    let url =
        format!("http://www.cygnet.org/certs/{}", data_encoding::HEXLOWER.encode(&moon.cert.fingerprint()));
    assert_eq!(plan.certs[0].encoding, CertEncoding::HashUrl);
    assert_eq!(plan.certs[0].data, [moon.cert.fingerprint(), url.as_bytes().to_vec()].concat());
    has(&plan.log, &format!("sending hash-and-url \"{url}\""));
}
