//! Authorities and certificates, made for one test.
use crypto::sign::{Hash, PrivateKey, SignScheme};
use pki::judge::{Candidate, JudgeRequest};
use pki::{Cache, Certificate, Judged, Judgement, LogLine, Settings, Step, Store, Trust};
use policy::{Auth, AuthClass, CertRef, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use std::sync::Arc;
use wire::iana::{AuthMethod, CertEncoding};
use wire::ike::Cert;

/// 27 November 2026.
pub(crate) const NOW: u64 = 1_795_748_645;
pub(crate) const SEED: [u8; 32] = [42; 32];

pub(crate) fn id(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CountryName, "CH");
    dn.push(DnType::OrganizationName, "Cygnet");
    dn.push(DnType::CommonName, name);
    params.distinguished_name = dn;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) struct Ca {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) cert: Certificate,
}

pub(crate) struct End {
    pub(crate) cert: Certificate,
    pub(crate) key: PrivateKey,
}

impl Ca {
    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// The name as text.
    pub(crate) fn name(&self) -> String {
        self.cert.subject().to_string()
    }

    pub(crate) fn end(&self, name: &str, tweak: impl FnOnce(&mut CertificateParams)) -> End {
        let mut params = params(name);
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        tweak(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer()).unwrap();
        End {
            cert: Certificate::from_der(cert.der()).unwrap(),
            key: PrivateKey::from_pkcs8(&key.serialize_der()).unwrap(),
        }
    }
}

pub(crate) fn ca(name: &str, above: Option<&Ca>, tweak: impl FnOnce(&mut CertificateParams)) -> Ca {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    tweak(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = match above {
        Some(above) => params.signed_by(&key, &above.issuer()).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let cert = Certificate::from_der(cert.der()).unwrap();
    Ca { params, key, cert }
}

pub(crate) fn root() -> Ca {
    ca("Root", None, |_| {})
}

pub(crate) fn store(anchors: &[&Ca], others: &[&Certificate]) -> Store {
    let mut store = Store::new(Settings::default());
    for anchor in anchors {
        store.add_certificate(anchor.cert.clone(), Trust::Ca);
    }
    for other in others {
        store.add_certificate((*other).clone(), Trust::None);
    }
    store
}

pub(crate) fn x509(certificate: &Certificate) -> Cert {
    Cert { encoding: CertEncoding::X509, data: certificate.der().to_vec() }
}

pub(crate) fn pubkey(text: &str) -> Auth {
    Auth::named("remote", AuthClass::parse(text).unwrap())
}

pub(crate) fn reference(certificate: &Certificate) -> CertRef {
    CertRef::Loaded(certificate.to_policy())
}

/// A request in which `end` says who it is, truly.
pub(crate) fn request(end: &End, peer: &str, chain: &[&Certificate], auths: Vec<Auth>) -> JudgeRequest {
    let octets = b"what is signed".to_vec();
    let scheme = SignScheme::EcdsaDer(Hash::Sha256);
    let signature = end.key.sign(scheme, &octets).unwrap();
    let candidates = auths
        .into_iter()
        .enumerate()
        .map(|(index, auth)| Candidate { connection: format!("conn{index}"), auth: Arc::new(auth) })
        .collect();
    JudgeRequest {
        candidates,
        peer: id(peer),
        certs: std::iter::once(&end.cert).chain(chain.iter().copied()).map(x509).collect(),
        method: AuthMethod::Signature,
        auth: pki::assemble_auth(scheme, &signature).unwrap(),
        octets,
        hashes: vec![Hash::Sha256, Hash::Sha384, Hash::Sha512],
    }
}

/// What a download gives; by URL.
pub(crate) type Web<'a> = &'a dyn Fn(&pki::Fetch) -> Result<Vec<u8>, String>;

pub(crate) fn no_web(fetch: &pki::Fetch) -> Result<Vec<u8>, String> {
    panic!("nothing should be fetched: {}", fetch.url)
}

/// Runs a judgement to its end.
pub(crate) fn run(store: Store, cache: &mut Cache, request: JudgeRequest, now: u64, web: Web<'_>) -> Judged {
    let (mut judgement, mut step) = Judgement::new(Arc::new(store), cache, request, SEED, now);
    loop {
        match step {
            Step::Done(judged) => return *judged,
            Step::Fetch(list) => {
                assert_eq!(list.len(), 1);
                let fetch = &list[0];
                step = judgement.fetched(cache, fetch.id, web(fetch), now);
            }
        }
    }
}

/// Judges without downloads.
pub(crate) fn judge(store: Store, request: JudgeRequest) -> Judged {
    run(store, &mut Cache::default(), request, NOW, &no_web)
}

pub(crate) fn has(log: &[LogLine], text: &str) {
    let all: Vec<&str> = log.iter().map(|line| line.text.as_str()).collect();
    assert!(all.iter().any(|line| line.contains(text)), "`{text}` is not in {all:#?}");
}
