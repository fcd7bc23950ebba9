//! Certificates and EAP of the clients, and trust in the gateway: what the daemon asks workers for is answered here at once.
//!
//! Revocation is not looked into: a load test fetches nothing from third parties.
use crate::plan::{EapLogin, Login, Papers, Plan};
use crypto::Rng;
use crypto::sign::{KeyType, SignError, SignScheme};
use eap::tls::{Credentials, Judge, Judgement, Role, Signer, Tls, Version};
use eap::{Method, PeerConfig, SecretKind, Secrets, Tunnels};
use ike::io::{
    Answer, Distrust, EapInput, EapJoin, EapSession, EapStep, JudgeRequest, Judged, SignRequest, Signed,
    Trusted,
};
use pki::{Cache, Certificate, Purpose, Step, Store};
use policy::{Auth, AuthClass, CertRef, Identity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Methods that a password may be asked for by inside a tunnel.
const INSIDE: [Method; 3] = [Method::Mschapv2, Method::Md5, Method::Gtc];

/// Answers about credentials.
pub(crate) struct Credenza {
    plan: Arc<Plan>,
    cache: Cache,
    conversations: BTreeMap<EapSession, eap::Peer>,
    rng: Rng,
}

impl Credenza {
    pub(crate) fn new(plan: &Arc<Plan>, rng: Rng) -> Self {
        Self { plan: Arc::clone(plan), cache: Cache::default(), conversations: BTreeMap::new(), rng }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        seed
    }

    /// A signature of a client's.
    pub(crate) fn sign(&self, request: &SignRequest) -> Answer {
        let wanted = pki::sign::SignRequest {
            auth: Arc::clone(&request.auth),
            me: request.me.clone(),
            cas: request.cas.clone(),
            send_cert: request.send_cert,
            hash_and_url: false,
            ocsp: false,
            hashes: request.hashes.clone(),
            announced: request.announced.clone(),
        };
        let plan = pki::choose(&self.plan.store, &self.cache, &wanted, linux::clock::wall_seconds());
        match plan.and_then(|plan| plan.sign(&request.octets).map(|auth| (plan, auth))) {
            Ok((plan, auth)) => Answer::Signed(Box::new(Signed {
                method: plan.method,
                auth,
                scheme: plan.scheme,
                certs: plan.certs,
                log: Vec::new(),
            })),
            Err(why) => Answer::Failed(why.to_string()),
        }
    }

    /// The gateway's certificate and signature.
    pub(crate) fn judge(&mut self, request: JudgeRequest) -> Answer {
        let candidate =
            |c: ike::io::Candidate| pki::judge::Candidate { connection: c.connection, auth: c.auth };
        let wanted = pki::judge::JudgeRequest {
            candidates: request.candidates.into_iter().map(candidate).collect(),
            peer: request.peer,
            certs: request.certs,
            method: request.method,
            auth: request.auth,
            octets: request.octets,
            hashes: request.hashes,
        };
        let (seed, now) = (self.seed(), linux::clock::wall_seconds());
        let (_, step) = pki::Judgement::new(Arc::clone(&self.plan.store), &mut self.cache, wanted, seed, now);
        match step {
            Step::Done(judged) => {
                let verdict = judged.verdict.map_err(|fault| Distrust {
                    alert: fault.alert(),
                    certificate: fault.certificate,
                    reason: fault.reason,
                });
                let verdict = verdict.map(|trusted| Trusted {
                    verified: trusted.verified,
                    candidate: trusted.candidate,
                    groups: trusted.groups,
                    subject: trusted.subject,
                });
                Answer::Judged(Box::new(Judged { verdict, log: Vec::new() }))
            }
            Step::Fetch(_) => Answer::Failed(
                "the gateway's certificate would have to be fetched, which a load test does not do"
                    .to_owned(),
            ),
        }
    }

    /// A step of a client's EAP conversation.
    pub(crate) fn eap(&mut self, session: EapSession, input: EapInput) -> Answer {
        let (mut peer, packet) = match input {
            EapInput::Join(join) => match self.peer(&join) {
                Ok(peer) => (peer, join.packet),
                Err(why) => return Answer::Failed(why),
            },
            EapInput::Packet { eap, .. } => match self.conversations.remove(&session) {
                Some(peer) => (peer, eap),
                None => return Answer::Failed("there is no such EAP conversation".to_owned()),
            },
            EapInput::Serve(_) => return Answer::Failed("a virtual client is no EAP server".to_owned()),
            EapInput::Abandon => {
                self.conversations.remove(&session);
                return Answer::Done;
            }
        };
        let step = match peer.step(&packet) {
            eap::Step::Send { packet, .. } => {
                self.conversations.insert(session, peer);
                EapStep::Send { packet, log: Vec::new() }
            }
            eap::Step::Success { packet, msk, mutual, .. } => EapStep::Success {
                packet,
                msk,
                identity: None,
                groups: Vec::new(),
                mutual,
                lifetime: None,
                radius: Vec::new(),
                log: Vec::new(),
            },
            eap::Step::Failure { packet, why, .. } => EapStep::Failure {
                packet,
                why: Distrust { alert: why.alert, certificate: why.certificate, reason: why.reason },
                log: Vec::new(),
            },
        };
        Answer::Eap(Box::new(step))
    }

    fn peer(&mut self, join: &EapJoin) -> Result<eap::Peer, String> {
        let Login::Eap(login) = &self.plan.login else { return Err("there is no EAP method".to_owned()) };
        let number = join.connection.parse().map_err(|_| "no client of that name".to_owned())?;
        let user = login.user.of(number);
        let tls =
            if login.method.0.needs_tls() { Some(Arc::new(self.tls(login, number, join)?)) } else { None };
        let config = PeerConfig {
            methods: vec![login.method.0],
            inner_methods: INSIDE.to_vec(),
            ttls_pap: false,
            identity: user.into_bytes(),
            anonymous: None,
            server: join.server.to_string().into_bytes(),
            secrets: Arc::new(Password(login.password.as_ref().map(|password| password.of(number)))),
            tls,
            tunnels: Tunnels::default(),
            limits: eap::Limits::default(),
        };
        Ok(eap::Peer::new(Arc::new(config), Rng::from_seed(self.seed())))
    }

    fn tls(&self, login: &EapLogin, client: u32, join: &EapJoin) -> Result<Tls, String> {
        let server = login.server.clone().unwrap_or_else(|| join.server.clone());
        let judge = GatewayJudge { store: Arc::clone(&self.plan.store), server };
        let tls = Tls::new(Version::V12, Version::V13, &[], Arc::new(judge))?;
        let Some(papers) = &login.papers else { return Ok(tls) };
        let paper = papers.of(client)?;
        let signer = self.plan.store.signer(paper.certificate.key()).cloned();
        let signer = signer.ok_or_else(|| format!("there is no key for client {client}"))?;
        let chain = vec![paper.certificate.der().to_vec()];
        Ok(tls.with_credentials(Credentials { chain, signer: Arc::new(KeyOfStore(signer)) }))
    }
}

/// A client's round with its certificate, and who it says it is.
pub(crate) fn round_of(papers: &dyn Papers, client: u32) -> Result<(Auth, Option<Identity>), String> {
    let paper = papers.of(client)?;
    let mut auth = Auth::named("local", AuthClass::Pubkey("pubkey".to_owned()));
    auth.certs = vec![CertRef::Loaded(paper.certificate.to_policy())];
    Ok((auth, paper.identity))
}

/// The password of one user.
struct Password(Option<crypto::Secret>);

impl Secrets for Password {
    fn secret(&self, _user: &[u8], kind: SecretKind) -> Option<crypto::Secret> {
        match kind {
            SecretKind::Password => self.0.clone(),
            SecretKind::NtHash => None,
        }
    }
}

/// A key of the store, for TLS.
struct KeyOfStore(Arc<dyn pki::Signer>);

impl std::fmt::Debug for KeyOfStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// Judges the gateway (or its AAA server) in TLS.
struct GatewayJudge {
    store: Arc<Store>,
    server: Identity,
}

impl Judge for GatewayJudge {
    fn judge(&self, chain: &[&[u8]], _role: Role, _name: &[u8]) -> Judgement {
        let demands = Auth::named("remote", AuthClass::Pubkey("pubkey".to_owned()));
        let identity = (self.server != Identity::Any).then_some(&self.server);
        let now = linux::clock::wall_seconds();
        let judged = self.store.judge_tls(chain, Purpose::TlsServer, identity, &demands, now);
        let failed = |alert, certificate, reason| eap::Failed { alert, certificate, reason };
        let verdict = match judged {
            Ok((path, _)) => path.leaf().map(|leaf: &Certificate| leaf.key().clone()).ok_or_else(|| {
                failed("peer-auth-failed", String::new(), "the server has no certificate".to_owned())
            }),
            Err((fault, _)) => Err(failed(fault.alert(), fault.certificate, fault.reason)),
        };
        Judgement { verdict, log: Vec::new() }
    }
}
