//! EAP methods that we run ourselves, as server and as peer.
//!
//! A step may verify signatures, ask a token or wait for a CRL: each is done beside the runtime, and meanwhile nobody else
//! has the conversation.
use super::tls::{TlsJudge, credentials};
use super::{identity, line};
use crate::asks::work::{Place, Workers};
use crate::credentials::Shared;
use crate::shard::Handle as Shard;
use config::CredentialSettings;
use config::schema::daemon::credentials::{TlsMethodSettings, TlsVersion};
use crypto::{Rng, Secret};
use eap::tls::{Tls, Version};
use eap::{Method, Secrets, TunnelOptions, Tunnels};
use ike::io::{Answer, Candidate, Distrust, EapJoin, EapServe, EapSession, EapStep, LogLine, Ticket};
use policy::secrets::{SecretKind, best_shared_secret};
use policy::{Auth, AuthClass, Connection, Identity, SharedSecret};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A conversation in which nothing happened for so long is over: its IKE_SA is, too.
const IDLE: Duration = Duration::from_secs(300);

/// A machine, and what its success must still satisfy.
struct Conversation {
    machine: Machine,
    /// `eap_id` of the connection: also the identity that the method proves must match it.
    demanded: Option<Identity>,
    seen: Instant,
    place: Arc<Place>,
}

enum Machine {
    Server(Box<eap::Server>),
    Peer(Box<eap::Peer>),
}

/// Runs methods.
#[derive(Clone)]
pub(crate) struct Methods {
    shard: Shard,
    shared: Arc<Shared>,
    workers: Workers,
    conversations: Arc<Mutex<BTreeMap<EapSession, Conversation>>>,
}

impl Methods {
    pub(crate) fn new(shard: Shard, shared: Arc<Shared>) -> Self {
        Self { shard, shared, workers: Workers::new(), conversations: Arc::default() }
    }

    /// We are the server: the first answer comes later.
    pub(super) fn serve(
        &self,
        ticket: Ticket,
        session: EapSession,
        serve: EapServe,
        candidate: Candidate,
        asked: Option<(Vec<u8>, u8)>,
        log: Vec<LogLine>,
    ) -> Option<Answer> {
        let shared = self.shared.clone();
        let runtime = tokio::runtime::Handle::current();
        self.begin(ticket, session, move || {
            let demanded = candidate.auth.eap_id.clone().filter(|id| *id != Identity::Any);
            let mut server = server(&shared, &runtime, &serve, &candidate, asked)?;
            let step = server.start();
            Ok((Machine::Server(Box::new(server)), demanded, translated(step, log)))
        })
    }

    /// We are the peer.
    pub(super) fn join(&self, ticket: Ticket, session: EapSession, join: EapJoin) -> Option<Answer> {
        let shared = self.shared.clone();
        let runtime = tokio::runtime::Handle::current();
        self.begin(ticket, session, move || {
            let mut peer = peer(&shared, &runtime, &join)?;
            let step = peer.step(&join.packet);
            Ok((Machine::Peer(Box::new(peer)), None, translated(step, Vec::new())))
        })
    }

    fn begin(
        &self,
        ticket: Ticket,
        session: EapSession,
        make: impl FnOnce() -> Result<(Machine, Option<Identity>, EapStep), String> + Send + 'static,
    ) -> Option<Answer> {
        self.sweep();
        let Some(place) = self.workers.enter() else {
            return Some(Answer::Failed("too many EAP conversations".into()));
        };
        let (shard, conversations) = (self.shard.clone(), self.conversations.clone());
        tokio::spawn(async move {
            let made = place.run(make).await.and_then(|made| made);
            let answer = match made {
                Ok((machine, demanded, step)) => {
                    if matches!(step, EapStep::Send { .. }) {
                        let place = Arc::new(place);
                        let conversation = Conversation { machine, demanded, seen: Instant::now(), place };
                        lock(&conversations).insert(session, conversation);
                    }
                    Answer::Eap(Box::new(step))
                }
                Err(why) => Answer::Failed(why),
            };
            shard.answer(ticket, answer).await;
        });
        None
    }

    /// The other end's next packet.
    pub(super) fn packet(&self, ticket: Ticket, session: EapSession, packet: Vec<u8>) -> Option<Answer> {
        let Some(mut conversation) = lock(&self.conversations).remove(&session) else {
            return Some(Answer::Failed("there is no such EAP conversation".into()));
        };
        let (shard, conversations) = (self.shard.clone(), self.conversations.clone());
        let place = conversation.place.clone();
        tokio::spawn(async move {
            let worked = place
                .run(move || {
                    let step = match &mut conversation.machine {
                        Machine::Server(server) => server.step(&packet),
                        Machine::Peer(peer) => peer.step(&packet),
                    };
                    let step =
                        satisfied(translated(step, Vec::new()), conversation.demanded.as_ref(), &packet);
                    (conversation, step)
                })
                .await;
            let answer = match worked {
                Ok((mut conversation, step)) => {
                    if matches!(step, EapStep::Send { .. }) {
                        conversation.seen = Instant::now();
                        lock(&conversations).insert(session, conversation);
                    }
                    Answer::Eap(Box::new(step))
                }
                Err(why) => Answer::Failed(why),
            };
            shard.answer(ticket, answer).await;
        });
        None
    }

    /// Nobody waits for the end of the conversation any more.
    pub(super) fn abandon(&self, session: EapSession) {
        lock(&self.conversations).remove(&session);
    }

    fn sweep(&self) {
        lock(&self.conversations).retain(|_, conversation| conversation.seen.elapsed() < IDLE);
    }
}

fn lock(
    conversations: &Mutex<BTreeMap<EapSession, Conversation>>,
) -> std::sync::MutexGuard<'_, BTreeMap<EapSession, Conversation>> {
    conversations.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The identity that a method proved may be another one than the one told before: it must match `eap_id`, too.
fn satisfied(step: EapStep, demanded: Option<&Identity>, packet: &[u8]) -> EapStep {
    let (Some(demanded), EapStep::Success { identity: Some(proved), log, .. }) = (demanded, &step) else {
        return step;
    };
    if demanded.matches(proved).is_some() {
        return step;
    }
    let reason = format!("EAP identity '{proved}' does not match '{demanded}'");
    let mut log = log.clone();
    log.push(line(1, reason.clone()));
    let id = packet.get(1).copied().unwrap_or_default();
    let why = Distrust { alert: "peer-auth-failed", certificate: String::new(), reason };
    EapStep::Failure { packet: super::failure(id), why, log }
}

fn server(
    shared: &Arc<Shared>,
    runtime: &tokio::runtime::Handle,
    serve: &EapServe,
    candidate: &Candidate,
    asked: Option<(Vec<u8>, u8)>,
) -> Result<eap::Server, String> {
    let settings = shared.settings.load_full();
    let methods = methods(&candidate.auth, &settings, true)?;
    let connection = connection(shared, &candidate.connection);
    let tls = if methods.iter().any(|method| method.needs_tls()) {
        let ours = connection.as_ref().and_then(|c| c.local.iter().find(|round| !round.certs.is_empty()));
        let ours = ours.cloned().unwrap_or_else(|| Auth::named("local", AuthClass::Pubkey("pubkey".into())));
        let judge = TlsJudge::new(shared.clone(), runtime.clone(), candidate.auth.clone(), None);
        let mut tls = tls(&settings, judge)?;
        match credentials(shared, &ours, &serve.me) {
            Ok(credentials) => tls = tls.with_credentials(credentials),
            // Methods without TLS may still do.
            Err(why) if methods.iter().all(|method| method.needs_tls()) => return Err(why),
            Err(_) => {}
        }
        if settings.tls_send_certreq_authorities {
            let store = shared.store.load();
            tls = tls.with_authorities(store.anchors().map(|ca| ca.subject().to_wire().1).collect());
        }
        Some(Arc::new(tls))
    } else {
        None
    };
    let config = eap::ServerConfig {
        methods,
        prefer_user: settings.eap_dynamic_prefer_user,
        identity: match asked {
            Some((identity, id)) => eap::Identity::Asked { identity, id },
            None => eap::Identity::Unasked,
        },
        peer: text(&serve.peer),
        name: text(&serve.me),
        secrets: Arc::new(Passwords { secrets: shared.secrets.load_full(), ours: false }),
        tls,
        tunnels: tunnels(&settings)?,
        limits: eap::Limits::default(),
    };
    Ok(eap::Server::new(Arc::new(config), rng()?))
}

fn peer(shared: &Arc<Shared>, runtime: &tokio::runtime::Handle, join: &EapJoin) -> Result<eap::Peer, String> {
    let settings = shared.settings.load_full();
    let methods = methods(&join.auth, &settings, false)?;
    let connection = connection(shared, &join.connection);
    let server = join.auth.aaa_id.clone().unwrap_or_else(|| join.server.clone());
    let tls = if methods.iter().any(|method| method.needs_tls()) {
        // What the connection demands of the gateway's certificate is no demand on that of its AAA server, but for
        // revocation.
        let theirs = connection.as_ref().and_then(|c| c.remote.first());
        let mut demands = Auth::named("remote", constraints(&join.auth.class));
        if let Some(theirs) = theirs {
            demands.revocation.clone_from(&theirs.revocation);
        }
        let judge = TlsJudge::new(shared.clone(), runtime.clone(), Arc::new(demands), Some(server.clone()));
        let mut tls = tls(&settings, judge)?;
        match credentials(shared, &join.auth, &join.me) {
            Ok(credentials) => tls = tls.with_credentials(credentials),
            Err(why) if methods == [Method::Tls] => return Err(why),
            Err(_) => {}
        }
        Some(Arc::new(tls))
    } else {
        None
    };
    let me = join.auth.eap_id.clone().filter(|id| *id != Identity::Any).unwrap_or_else(|| join.me.clone());
    let config = eap::PeerConfig {
        methods,
        inner_methods: vec![Method::Mschapv2, Method::Md5, Method::Gtc, Method::Tls],
        ttls_pap: false,
        identity: text(&me),
        anonymous: None,
        server: text(&server),
        secrets: Arc::new(Passwords { secrets: shared.secrets.load_full(), ours: true }),
        tls,
        tunnels: tunnels(&settings)?,
        limits: eap::Limits::default(),
    };
    Ok(eap::Peer::new(Arc::new(config), rng()?))
}

fn connection(shared: &Shared, name: &str) -> Option<Arc<Connection>> {
    shared.connections.load().iter().find(|connection| connection.name == name).cloned()
}

/// Constraints on keys behind a method's name, as a class of their own.
fn constraints(class: &AuthClass) -> AuthClass {
    match class {
        AuthClass::Eap(text) => match text.split_once(':') {
            Some((_, constraints)) => AuthClass::Pubkey(constraints.to_owned()),
            None => AuthClass::Pubkey("pubkey".into()),
        },
        _ => AuthClass::Pubkey("pubkey".into()),
    }
}

/// The methods that `auth` allows, preferred first.
fn methods(auth: &Auth, settings: &CredentialSettings, as_server: bool) -> Result<Vec<Method>, String> {
    let AuthClass::Eap(text) = &auth.class else { return Err("the round is not one of EAP".into()) };
    let name = text.split_once(':').map_or(text.as_str(), |(name, _)| name);
    if !matches!(name, "" | "dynamic") {
        return Method::parse(name).map(|method| vec![method]);
    }
    let mut all: Vec<Method> = Vec::new();
    if as_server {
        for name in &settings.eap_dynamic_preferred {
            all.push(Method::parse(name)?);
        }
    }
    // As a client we show a password in clear only to whom the configuration names the method for.
    let rest = Method::ALL.into_iter().filter(|method| as_server || *method != Method::Gtc);
    for method in rest {
        if !all.contains(&method) {
            all.push(method);
        }
    }
    Ok(all)
}

fn tls(settings: &CredentialSettings, judge: TlsJudge) -> Result<Tls, String> {
    let version = |version| match version {
        TlsVersion::V12 => Version::V12,
        TlsVersion::V13 => Version::V13,
    };
    let suites: Vec<&str> = settings.tls_suites.iter().map(String::as_str).collect();
    Tls::new(version(settings.tls_min), version(settings.tls_max), &suites, Arc::new(judge))
}

fn tunnels(settings: &CredentialSettings) -> Result<Tunnels, String> {
    Ok(Tunnels {
        tls: tunnel(&settings.eap_tls, Method::Tls)?,
        ttls: tunnel(&settings.eap_ttls, Method::Ttls)?,
        peap: tunnel(&settings.eap_peap, Method::Peap)?,
    })
}

fn tunnel(settings: &TlsMethodSettings, method: Method) -> Result<TunnelOptions, String> {
    let inner = &settings.phase2_method;
    let defaults = TunnelOptions::of(method);
    Ok(TunnelOptions {
        fragment_size: usize::try_from(settings.fragment_size).unwrap_or(defaults.fragment_size),
        include_length: settings.include_length,
        max_messages: settings.max_message_count,
        phase2_method: if inner.is_empty() { defaults.phase2_method } else { Method::parse(inner)? },
        phase2_piggyback: settings.phase2_piggyback,
        request_peer_auth: settings.request_peer_auth,
        ..defaults
    })
}

/// As EAP carries an identity: its text.
fn text(identity: &Identity) -> Vec<u8> {
    identity.to_string().into_bytes()
}

fn rng() -> Result<Rng, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| format!("no randomness from the system: {e}"))?;
    Ok(Rng::from_seed(seed))
}

/// Passwords by user name.
struct Passwords {
    secrets: Arc<Vec<Arc<SharedSecret>>>,
    /// The user is we.
    ours: bool,
}

impl Secrets for Passwords {
    fn secret(&self, user: &[u8], kind: eap::SecretKind) -> Option<Secret> {
        let user = identity(&String::from_utf8_lossy(user));
        // Whose it is must be the user: a secret that only names the server is no user's.
        let (me, other) = if self.ours { (Some(&user), None) } else { (None, Some(&user)) };
        let kinds: &[SecretKind] = match kind {
            eap::SecretKind::Password => &[SecretKind::Eap, SecretKind::Xauth],
            eap::SecretKind::NtHash => &[SecretKind::Ntlm],
        };
        kinds
            .iter()
            .find_map(|kind| best_shared_secret(&self.secrets, *kind, me, other))
            .map(|s| s.data.clone())
    }
}

/// As the engine knows it, with what was to be logged before.
fn translated(step: eap::Step, mut before: Vec<LogLine>) -> EapStep {
    let mut lines = |log: Vec<eap::Line>| {
        before.extend(log.into_iter().map(super::tls::log_line));
        std::mem::take(&mut before)
    };
    match step {
        eap::Step::Send { packet, log } => EapStep::Send { packet, log: lines(log) },
        eap::Step::Success { packet, msk, identity, mutual, log } => EapStep::Success {
            packet,
            msk,
            identity: identity.map(|name| self::identity(&String::from_utf8_lossy(&name))),
            groups: Vec::new(),
            mutual,
            lifetime: None,
            radius: Vec::new(),
            log: lines(log),
        },
        eap::Step::Failure { packet, why, log } => EapStep::Failure {
            packet,
            why: Distrust { alert: why.alert, certificate: why.certificate, reason: why.reason },
            log: lines(log),
        },
    }
}
