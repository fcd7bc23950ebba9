//! Logins under way: which question of the engine waits for which request.
use super::Start;
use crate::shard::Handle as Shard;
use ike::io::{Answer, Distrust, EapSession, EapStep, Group, LogLine, Ticket};
use policy::Identity;
use radius::client::{Client, Failure, Reply, RequestId};
use radius::relay::{Accepted, Facts, Refusal};
use radius::{Conversation, RelayOptions, Step};
use std::collections::BTreeMap;

/// Milliseconds that an accepted peer has to come up; what the server said about it is forgotten then.
const ACCEPTED: u64 = 120_000;

struct Login {
    conversation: Conversation,
    ike_id: u32,
    identity: Option<Identity>,
    /// The question, and the request that will answer it.
    waiting: Option<(Ticket, RequestId)>,
    /// Lines for the next answer.
    log: Vec<LogLine>,
}

/// All logins, and what servers said about peers that are coming up.
pub(super) struct Logins {
    logins: BTreeMap<EapSession, Login>,
    requests: BTreeMap<RequestId, EapSession>,
    /// By IKE_SA: since when, and what.
    accepted: BTreeMap<u32, (u64, Accepted)>,
}

impl Logins {
    pub(super) fn new() -> Self {
        Self { logins: BTreeMap::new(), requests: BTreeMap::new(), accepted: BTreeMap::new() }
    }

    /// A login begins.
    pub(super) fn start(
        &mut self,
        now: u64,
        client: &mut Client,
        options: &RelayOptions,
        boot: u64,
        (ticket, session): (Ticket, EapSession),
        start: Start,
    ) -> Result<(), Answer> {
        let Start { serve, connection, identity, log } = start;
        let user =
            identity.as_ref().map_or_else(|| serve.peer.to_string(), |(identity, _)| identity.to_string());
        let facts = Facts {
            user,
            local: serve.local,
            remote: serve.remote,
            connection,
            ike_id: serve.ike_id,
            session: radius::Ledger::session_id(boot, serve.ike_id),
        };
        let mut conversation = Conversation::new(options.clone(), facts);
        conversation.told(&serve.radius);
        let request = match &identity {
            Some((_, packet)) => conversation.identity(packet),
            None => Ok(conversation.start()),
        };
        let request = request.map_err(|why| Answer::Failed(why.to_string()))?;
        let id = client.send(now, request);
        self.requests.insert(id, session);
        let identity = identity.map(|(identity, _)| identity);
        let login = Login { conversation, ike_id: serve.ike_id, identity, waiting: Some((ticket, id)), log };
        self.logins.insert(session, login);
        Ok(())
    }

    /// The peer's next packet.
    pub(super) fn packet(
        &mut self,
        now: u64,
        client: &mut Client,
        (ticket, session): (Ticket, EapSession),
        packet: &[u8],
        told: &[Vec<u8>],
    ) -> Result<(), Answer> {
        let Some(login) = self.logins.get_mut(&session).filter(|login| login.waiting.is_none()) else {
            return Err(Answer::Failed("there is no such EAP conversation".into()));
        };
        login.conversation.told(told);
        match login.conversation.packet(packet) {
            Ok(request) => {
                let id = client.send(now, request);
                login.waiting = Some((ticket, id));
                self.requests.insert(id, session);
                Ok(())
            }
            Err(why) => {
                let packet = login.conversation.failure_packet();
                let user = login.conversation.user().to_owned();
                self.logins.remove(&session);
                Err(failure(packet, "peer-auth-failed", &user, None, why.to_string(), Vec::new()))
            }
        }
    }

    /// Nobody waits any more.
    pub(super) fn abandon(&mut self, now: u64, client: &mut Client, session: EapSession) {
        let Some(login) = self.logins.remove(&session) else { return };
        if let Some((_, request)) = login.waiting {
            self.requests.remove(&request);
            client.cancel(now, request);
        }
    }

    /// A reply, if it is to a login.
    pub(super) fn replied(
        &mut self,
        now: u64,
        request: RequestId,
        reply: &Reply,
    ) -> Option<(Ticket, Answer)> {
        let (session, ticket) = self.take(request)?;
        let login = self.logins.get_mut(&session)?;
        let log = std::mem::take(&mut login.log);
        let answer = match login.conversation.reply(reply) {
            Step::Send(packet) => return Some((ticket, step(EapStep::Send { packet, log }))),
            Step::Success(accepted) => success(login, &accepted, log, |accepted| {
                self.accepted.insert(login.ike_id, (now, accepted));
            }),
            Step::Failure { packet, why } => {
                let user = login.conversation.user().to_owned();
                let alert = match why {
                    Refusal::Rejected(_) | Refusal::NoResponse | Refusal::Nonsense(_) => "peer-auth-failed",
                };
                failure(packet, alert, &user, login.conversation.method(), why.to_string(), log)
            }
        };
        self.logins.remove(&session);
        Some((ticket, answer))
    }

    /// No reply, if it would have been to a login.
    pub(super) fn failed(&mut self, request: RequestId, why: &Failure) -> Option<(Ticket, Answer)> {
        let (session, ticket) = self.take(request)?;
        let login = self.logins.remove(&session)?;
        let alert = "radius-not-responding";
        let packet = login.conversation.failure_packet();
        let (user, method) = (login.conversation.user().to_owned(), login.conversation.method());
        Some((ticket, failure(packet, alert, &user, method, why.to_string(), login.log)))
    }

    fn take(&mut self, request: RequestId) -> Option<(EapSession, Ticket)> {
        let session = self.requests.remove(&request)?;
        let (ticket, _) = self.logins.get_mut(&session)?.waiting.take()?;
        Some((session, ticket))
    }

    /// What a server said about the peer of an IKE_SA.
    pub(super) fn accepted(&mut self, ike_id: u32) -> Option<Accepted> {
        self.accepted.remove(&ike_id).map(|(_, accepted)| accepted)
    }

    /// What a server said about the addresses of an IKE_SA's peer.
    pub(super) fn framed(&self, ike_id: u32) -> radius::relay::Framed {
        self.accepted.get(&ike_id).map(|(_, accepted)| accepted.framed.clone()).unwrap_or_default()
    }

    /// Forgets peers that were accepted and did not come up.
    pub(super) fn forget(&mut self, now: u64) {
        self.accepted.retain(|_, (since, _)| now.saturating_sub(*since) < ACCEPTED);
    }

    /// When the next of them is forgotten.
    pub(super) fn next_forgotten(&self) -> Option<u64> {
        self.accepted.values().map(|(since, _)| since.saturating_add(ACCEPTED)).min()
    }

    /// Fails all, since the servers change.
    pub(super) async fn fail_all(&mut self, shard: &Shard, why: &str) {
        self.requests.clear();
        for (_, login) in std::mem::take(&mut self.logins) {
            if let Some((ticket, _)) = login.waiting {
                shard.answer(ticket, Answer::Failed(why.to_owned())).await;
            }
        }
    }
}

fn success(login: &Login, accepted: &Accepted, mut log: Vec<LogLine>, keep: impl FnOnce(Accepted)) -> Answer {
    let user = login.conversation.user();
    log.extend(accepted.log.iter().map(|(level, text)| LogLine {
        group: Group::Cfg,
        level: *level,
        text: text.clone(),
    }));
    if let Some(seconds) = accepted.interim {
        let text = format!("scheduling RADIUS Interim-Updates every {seconds}s");
        log.push(LogLine { group: Group::Cfg, level: 1, text });
    }
    log.push(line(format!("RADIUS authentication of '{user}' successful")));
    let method = login.conversation.method().map_or_else(|| "EAP_RADIUS".to_owned(), method_name);
    let key = if accepted.msk.is_some() { "MSK established" } else { "no MSK established" };
    log.push(line(format!("EAP method {method} succeeded, {key}")));
    let answer = EapStep::Success {
        packet: accepted.packet.clone(),
        msk: accepted.msk.clone(),
        identity: login.identity.clone(),
        groups: accepted.groups.clone(),
        mutual: accepted.mutual,
        lifetime: accepted.session_timeout,
        radius: accepted.to_peer.clone(),
        log,
    };
    // The key is the engine's alone.
    keep(Accepted { msk: None, ..accepted.clone() });
    step(answer)
}

fn failure(
    packet: Vec<u8>,
    alert: &'static str,
    user: &str,
    method: Option<u8>,
    reason: String,
    mut log: Vec<LogLine>,
) -> Answer {
    log.push(LogLine { group: Group::Cfg, level: 1, text: reason.clone() });
    log.push(line(format!("RADIUS authentication of '{user}' failed")));
    match method {
        Some(method) => {
            log.push(line(format!("EAP method {} failed for peer {user}", method_name(method))));
        }
        None => log.push(line("initiating EAP_RADIUS method failed".to_owned())),
    }
    step(EapStep::Failure { packet, why: Distrust { alert, certificate: String::new(), reason }, log })
}

fn line(text: String) -> LogLine {
    LogLine { group: Group::Ike, level: 1, text }
}

fn step(step: EapStep) -> Answer {
    Answer::Eap(Box::new(step))
}

/// charon's names of EAP methods.
fn method_name(method: u8) -> String {
    let name = match method {
        4 => "EAP_MD5",
        5 => "EAP_OTP",
        6 => "EAP_GTC",
        13 => "EAP_TLS",
        18 => "EAP_SIM",
        21 => "EAP_TTLS",
        23 => "EAP_AKA",
        25 => "EAP_PEAP",
        26 => "EAP_MSCHAPV2",
        other => return format!("({other})"),
    };
    name.to_owned()
}
