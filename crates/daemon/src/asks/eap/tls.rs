//! TLS in EAP: our certificate, and judging the other end's.
use crate::credentials::Shared;
use crypto::sign::{KeyType, SignError, SignScheme};
use eap::tls::{Credentials, Judge, Judgement, Role, Signer};
use eap::{Failed, Line};
use ike::io::{Group, LogLine};
use pki::{Certificate, Purpose, TlsJudgement};
use policy::{Auth, Identity};
use std::fmt;
use std::sync::{Arc, PoisonError};

/// A key of the store, for TLS.
struct KeyOfStore(Arc<dyn pki::Signer>);

impl fmt::Debug for KeyOfStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyOfStore({})", self.0.public().kind())
    }
}

impl Signer for KeyOfStore {
    fn key(&self) -> KeyType {
        self.0.public().kind()
    }

    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(scheme, data)
    }
}

/// Our certificate for a round, chosen as for a signature in IKE, with its chain and key.
pub(super) fn credentials(shared: &Shared, auth: &Auth, me: &Identity) -> Result<Credentials, String> {
    let store = shared.store.load_full();
    let request = pki::sign::SignRequest {
        auth: Arc::new(auth.clone()),
        me: me.clone(),
        cas: Vec::new(),
        send_cert: true,
        hash_and_url: false,
        ocsp: false,
        hashes: None,
        announced: Vec::new(),
    };
    let plan = {
        let cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        pki::choose(&store, &cache, &request, linux::clock::wall_seconds()).map_err(|e| e.to_string())?
    };
    let chain: Vec<Vec<u8>> = plan.certs.into_iter().map(|cert| cert.data).collect();
    let none = || format!("there is no certificate for '{me}'");
    let ours = Certificate::from_der(chain.first().ok_or_else(none)?).map_err(|e| e.to_string())?;
    let key = store.signer(ours.key()).ok_or_else(none)?;
    Ok(Credentials { chain, signer: Arc::new(KeyOfStore(key.clone())) })
}

/// Judges through the store, revocation included. Called on a thread that may wait.
pub(super) struct TlsJudge {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    /// Demands on the other end's certificate.
    auth: Arc<Auth>,
    /// Whom the other end must be; of a client TLS itself knows it.
    server: Option<Identity>,
}

impl TlsJudge {
    pub(super) fn new(
        shared: Arc<Shared>,
        runtime: tokio::runtime::Handle,
        auth: Arc<Auth>,
        server: Option<Identity>,
    ) -> Self {
        Self { shared, runtime, auth, server }
    }

    fn revoked(
        &self,
        path: pki::Path,
        store: Arc<pki::Store>,
        log: &mut Vec<Line>,
    ) -> Result<(), pki::Distrust> {
        let mut seed = [0; 32];
        // Without randomness there are nonces that others may guess, which opens nothing: responses are signed.
        let _weak = getrandom::fill(&mut seed);
        let mut judgement = TlsJudgement::new(store, path, &self.auth.revocation, seed);
        let mut fetched = None;
        let verdict = loop {
            let step = {
                let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
                judgement.step(&mut cache, fetched.take(), linux::clock::wall_seconds())
            };
            match step {
                Ok(verdict) => break verdict,
                Err(fetch) => {
                    let result = self.runtime.block_on(self.shared.download(&fetch));
                    fetched = Some(result);
                }
            }
        };
        log.extend(judgement.take_log().into_iter().map(tls_line));
        verdict
    }
}

impl Judge for TlsJudge {
    fn judge(&self, chain: &[&[u8]], role: Role, name: &[u8]) -> Judgement {
        let store = self.shared.store.load_full();
        let (purpose, identity) = match role {
            Role::Client => (Purpose::TlsClient, super::identity(&String::from_utf8_lossy(name))),
            Role::Server => (Purpose::TlsServer, self.server.clone().unwrap_or(Identity::Any)),
        };
        // `aaa_id = %any`: whoever our CAs vouch for.
        let identity = Some(identity).filter(|id| *id != Identity::Any);
        let now = linux::clock::wall_seconds();
        let judged = store.judge_tls(chain, purpose, identity.as_ref(), &self.auth, now);
        let (verdict, log) = match judged {
            Ok((path, log)) => {
                let mut log: Vec<Line> = log.into_iter().map(tls_line).collect();
                let key = path.leaf().map(|leaf| leaf.key().clone());
                let verdict = self.revoked(path, store, &mut log);
                let verdict = verdict.and_then(|()| {
                    key.ok_or_else(|| pki::Distrust {
                        rule: pki::Rule::NoKey,
                        certificate: String::new(),
                        reason: "no certificate".into(),
                    })
                });
                (verdict, log)
            }
            Err((fault, log)) => (Err(fault), log.into_iter().map(tls_line).collect()),
        };
        let verdict = verdict.map_err(|fault| Failed {
            alert: fault.alert(),
            certificate: fault.certificate,
            reason: fault.reason,
        });
        Judgement { verdict, log }
    }
}

fn tls_line(line: pki::LogLine) -> Line {
    let group = match line.group {
        pki::verdict::Group::Cfg => eap::Group::Cfg,
        pki::verdict::Group::Ike => eap::Group::Ike,
    };
    Line { group, level: line.level, text: line.text }
}

/// As the engine carries it.
pub(super) fn log_line(line: Line) -> LogLine {
    let group = match line.group {
        eap::Group::Cfg => Group::Cfg,
        eap::Group::Ike => Group::Ike,
        eap::Group::Tls => Group::Tls,
    };
    LogLine { group, level: line.level, text: line.text }
}
