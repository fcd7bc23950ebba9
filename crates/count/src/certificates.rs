//! Keys and certificates of both ends: one authority, SHA-256.
use crate::pair::WALL;
use crypto::sign::PrivateKey;
use ike::Answer;
use ike::io::{Distrust, Group, JudgeRequest, Judged, LogLine, SignRequest, Signed, Trusted};
use pki::{Cache, Certificate, Judgement, Settings, Step, Store, Trust};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::sync::Arc;

/// What one end holds.
pub(crate) struct Keychain {
    store: Arc<Store>,
    cache: Cache,
}

/// The same keys and certificates, and nothing remembered.
impl Clone for Keychain {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), cache: Cache::default() }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Cygnet");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

/// What keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// P-256.
    Ecdsa,
    /// 3,072 bits.
    Rsa,
}

/// A key of the authority (`root`) or of an end. RSA keys are fixed: to find one takes a second, and under valgrind a minute.
pub(crate) fn key(kind: Kind, of: &str) -> KeyPair {
    let der: &[u8] = match (kind, of) {
        (Kind::Ecdsa, _) => return KeyPair::generate().unwrap(),
        (Kind::Rsa, "root") => include_bytes!("keys/root.der"),
        (Kind::Rsa, _) => include_bytes!("keys/end.der"),
    };
    KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &rcgen::PKCS_RSA_SHA256).unwrap()
}

/// Keychains for these names.
pub(crate) fn keychains<const N: usize>(kind: Kind, names: [&str; N]) -> [Keychain; N] {
    let mut root = params("Root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root_key = key(kind, "root");
    let root_cert = Certificate::from_der(root.self_signed(&root_key).unwrap().der()).unwrap();
    let issuer = Issuer::from_params(&root, &root_key);
    names.map(|name| {
        let mut end = params(name);
        end.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        let key = key(kind, "end");
        let cert = Certificate::from_der(end.signed_by(&key, &issuer).unwrap().der()).unwrap();
        let mut store = Store::new(Settings::default());
        store.add_certificate(root_cert.clone(), Trust::Ca);
        store.add_certificate(cert, Trust::None);
        store.add_signer(Arc::new(PrivateKey::from_pkcs8(&key.serialize_der()).unwrap()));
        Keychain { store: Arc::new(store), cache: Cache::default() }
    })
}

impl Keychain {
    pub(crate) fn authorities(&self) -> Vec<Arc<policy::Certificate>> {
        self.store.anchors().map(|anchor| Arc::new(anchor.to_policy())).collect()
    }

    pub(crate) fn sign(&self, request: &SignRequest) -> Answer {
        let wanted = pki::sign::SignRequest {
            auth: request.auth.clone(),
            me: request.me.clone(),
            cas: request.cas.clone(),
            send_cert: request.send_cert,
            hash_and_url: request.hash_and_url,
            ocsp: request.ocsp,
            hashes: request.hashes.clone(),
            announced: request.announced.clone(),
        };
        let plan = pki::choose(&self.store, &self.cache, &wanted, WALL).expect("there is a key");
        Answer::Signed(Box::new(Signed {
            method: plan.method,
            auth: plan.sign(&request.octets).expect("the key signs"),
            scheme: plan.scheme,
            log: plan.log.into_iter().map(line).collect(),
            certs: plan.certs,
        }))
    }

    pub(crate) fn judge(&mut self, request: JudgeRequest) -> Answer {
        let candidates = request.candidates.into_iter();
        let wanted = pki::judge::JudgeRequest {
            candidates: candidates
                .map(|c| pki::judge::Candidate { connection: c.connection, auth: c.auth })
                .collect(),
            peer: request.peer,
            certs: request.certs,
            method: request.method,
            auth: request.auth,
            octets: request.octets,
            hashes: request.hashes,
        };
        let (_, step) = Judgement::new(Arc::clone(&self.store), &mut self.cache, wanted, [42; 32], WALL);
        let Step::Done(judged) = step else { panic!("nothing is to be fetched") };
        let verdict = match judged.verdict {
            Ok(trusted) => Ok(Trusted {
                verified: trusted.verified,
                candidate: trusted.candidate,
                groups: trusted.groups,
                subject: trusted.subject,
            }),
            Err(fault) => {
                Err(Distrust { alert: fault.alert(), certificate: fault.certificate, reason: fault.reason })
            }
        };
        Answer::Judged(Box::new(Judged { verdict, log: judged.log.into_iter().map(line).collect() }))
    }
}

fn line(line: pki::LogLine) -> LogLine {
    LogLine { group: Group::Cfg, level: line.level, text: line.text }
}
