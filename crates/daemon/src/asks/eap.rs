//! EAP conversations with peers: who is asked for its identity, and who runs the method.
//!
//! Where a connection has an `eap_id`, the peer is asked for its EAP identity first, and the identity chooses the
//! connection, as charon does it. The method itself is run by a [`Backend`].
pub(crate) mod local;
mod tls;

use super::radius;
use ike::io::{Answer, Candidate, Distrust, EapInput, EapServe, EapSession, EapStep, Group, LogLine, Ticket};
use policy::{AuthClass, Identity};
use std::collections::BTreeMap;

/// EAP (RFC 3748 4): codes, and the type of an identity.
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const FAILURE: u8 = 4;
const IDENTITY: u8 = 1;
/// Conversations held; each belongs to a half-open IKE_SA, of which there are fewer.
const SESSIONS: usize = 65_536;

/// Who runs the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    /// A RADIUS server (`auth = eap-radius`).
    Radius,
    /// We.
    Local,
}

impl Backend {
    /// Of a round of the peer's.
    fn of(candidate: &Candidate) -> Self {
        match &candidate.auth.class {
            AuthClass::Eap(method) if method == "radius" => Self::Radius,
            _ => Self::Local,
        }
    }
}

/// Where a conversation stands.
enum Session {
    /// The peer was asked for its identity.
    Asked(Box<EapServe>),
    /// A backend has it.
    Runs(Backend),
}

/// All conversations.
pub(crate) struct Eaps {
    radius: radius::Handle,
    methods: local::Methods,
    sessions: BTreeMap<EapSession, Session>,
    /// Questions that a backend answers later.
    tickets: BTreeMap<Ticket, EapSession>,
}

impl Eaps {
    pub(crate) fn new(radius: radius::Handle, methods: local::Methods) -> Self {
        Self { radius, methods, sessions: BTreeMap::new(), tickets: BTreeMap::new() }
    }

    /// One step: answered at once, or by a backend later.
    pub(crate) fn take(&mut self, ticket: Ticket, session: EapSession, input: EapInput) -> Option<Answer> {
        let answer = self.step(ticket, session, input);
        self.tickets.insert(ticket, session);
        if let Some(answer) = &answer {
            self.answered(ticket, answer);
        }
        answer
    }

    /// An answer goes to the engine. The last one of a conversation ends it: the engine does not abandon what has ended.
    pub(crate) fn answered(&mut self, ticket: Ticket, answer: &Answer) {
        let Some(session) = self.tickets.remove(&ticket) else { return };
        let goes_on = matches!(answer, Answer::Eap(step) if matches!(**step, EapStep::Send { .. }));
        if !goes_on {
            self.sessions.remove(&session);
        }
    }

    fn step(&mut self, ticket: Ticket, session: EapSession, input: EapInput) -> Option<Answer> {
        match input {
            EapInput::Serve(serve) => self.serve(ticket, session, serve),
            EapInput::Join(join) => {
                if self.sessions.len() >= SESSIONS {
                    return Some(Answer::Failed("too many EAP conversations".into()));
                }
                self.sessions.insert(session, Session::Runs(Backend::Local));
                self.methods.join(ticket, session, *join)
            }
            EapInput::Packet { eap, radius } => self.packet(ticket, session, eap, radius),
            EapInput::Abandon => {
                match self.sessions.remove(&session) {
                    Some(Session::Runs(Backend::Radius)) => self.radius.abandon(session),
                    Some(Session::Runs(Backend::Local)) => self.methods.abandon(session),
                    Some(Session::Asked(_)) | None => {}
                }
                Some(Answer::Done)
            }
        }
    }

    fn serve(&mut self, ticket: Ticket, session: EapSession, serve: Box<EapServe>) -> Option<Answer> {
        if self.sessions.len() >= SESSIONS {
            return Some(Answer::Failed("too many EAP conversations".into()));
        }
        if serve.candidates.iter().any(|candidate| candidate.auth.eap_id.is_some()) {
            self.sessions.insert(session, Session::Asked(serve));
            let log = vec![line(1, "initiating EAP_IDENTITY method (id 0x00)")];
            return step(EapStep::Send { packet: vec![REQUEST, 0, 0, 5, IDENTITY], log });
        }
        let first = serve.candidates.first().cloned();
        match first {
            Some(candidate) => self.run(ticket, session, *serve, &candidate, None, Vec::new()),
            None => Some(Answer::Failed("no connection to authenticate the peer for".into())),
        }
    }

    fn packet(
        &mut self,
        ticket: Ticket,
        session: EapSession,
        packet: Vec<u8>,
        told: Vec<Vec<u8>>,
    ) -> Option<Answer> {
        match self.sessions.remove(&session) {
            Some(Session::Asked(mut serve)) => {
                serve.radius.extend(told);
                self.identified(ticket, session, *serve, &packet)
            }
            Some(Session::Runs(Backend::Radius)) => {
                self.sessions.insert(session, Session::Runs(Backend::Radius));
                self.radius.packet(ticket, session, packet, told)
            }
            Some(Session::Runs(Backend::Local)) => {
                self.sessions.insert(session, Session::Runs(Backend::Local));
                self.methods.packet(ticket, session, packet)
            }
            None => Some(Answer::Failed("there is no such EAP conversation".into())),
        }
    }

    /// The peer said who it is.
    fn identified(
        &mut self,
        ticket: Ticket,
        session: EapSession,
        serve: EapServe,
        packet: &[u8],
    ) -> Option<Answer> {
        let name = match packet {
            [RESPONSE, _, high, low, IDENTITY, name @ ..]
                if usize::from(u16::from_be_bytes([*high, *low])) == packet.len() =>
            {
                String::from_utf8_lossy(name).into_owned()
            }
            _ => return failed(packet, "the peer did not tell its EAP identity", Vec::new()),
        };
        let identity = identity(&name);
        let mut log = vec![line(1, format!("received EAP identity '{identity}'"))];
        let fits = |candidate: &&Candidate| {
            candidate.auth.eap_id.as_ref().is_none_or(|pattern| pattern.matches(&identity).is_some())
        };
        let Some(candidate) = serve.candidates.iter().find(fits).cloned() else {
            log.push(line(1, format!("no EAP identity fits '{identity}'")));
            return failed(packet, "no connection for this EAP identity", log);
        };
        if serve.candidates.first().is_some_and(|first| first.connection != candidate.connection) {
            let text = format!("switching to peer config '{}'", candidate.connection);
            log.push(LogLine { group: Group::Cfg, level: 1, text });
        }
        self.run(ticket, session, serve, &candidate, Some((identity, packet.to_vec())), log)
    }

    fn run(
        &mut self,
        ticket: Ticket,
        session: EapSession,
        serve: EapServe,
        candidate: &Candidate,
        identity: Option<(Identity, Vec<u8>)>,
        log: Vec<LogLine>,
    ) -> Option<Answer> {
        let backend = Backend::of(candidate);
        match backend {
            Backend::Radius => {
                self.sessions.insert(session, Session::Runs(backend));
                let connection = candidate.connection.clone();
                self.radius.start(ticket, session, radius::Start { serve, connection, identity, log })
            }
            Backend::Local => {
                self.sessions.insert(session, Session::Runs(backend));
                // What was told, and the identifier of the request that asked.
                let asked = identity
                    .and_then(|(_, packet)| Some((packet.get(5..)?.to_vec(), packet.get(1).copied()?)));
                self.methods.serve(ticket, session, serve, candidate.clone(), asked, log)
            }
        }
    }
}

/// A name that a peer says. The forms by which a configuration names the type (`keyid:`, `@`) and patterns are no forms
/// here: two different names must never be one identity.
fn identity(name: &str) -> Identity {
    let raw = || Identity::KeyId(name.as_bytes().to_vec());
    if let Ok(address) = name.parse() {
        return Identity::Ip(address);
    }
    if name.contains(':') || name.starts_with('@') || name.contains(char::REPLACEMENT_CHARACTER) {
        return raw();
    }
    Identity::parse(name).ok().filter(|identity| !identity.is_pattern()).unwrap_or_else(raw)
}

fn line(level: i8, text: impl Into<String>) -> LogLine {
    LogLine { group: Group::Ike, level, text: text.into() }
}

fn step(step: EapStep) -> Option<Answer> {
    Some(Answer::Eap(Box::new(step)))
}

/// EAP-Failure to a request of that identifier.
fn failure(identifier: u8) -> Vec<u8> {
    vec![FAILURE, identifier, 0, 4]
}

fn failed(packet: &[u8], reason: &str, log: Vec<LogLine>) -> Option<Answer> {
    let identifier = packet.get(1).copied().unwrap_or(0);
    let why = Distrust { alert: "peer-auth-failed", certificate: String::new(), reason: reason.to_owned() };
    step(EapStep::Failure { packet: failure(identifier), why, log })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart() {
        assert_eq!(identity("carol"), Identity::Fqdn("carol".into()));
        assert_eq!(identity("carol@cygnet.test"), Identity::Rfc822("carol@cygnet.test".into()));
        assert_eq!(identity("192.0.2.1"), Identity::Ip([192, 0, 2, 1].into()));
        for odd in ["", "%any", "*", "fqdn:carol", "@carol", "@@carol", "email:a@b", "fqdn:^.*$"] {
            assert_eq!(identity(odd), Identity::KeyId(odd.as_bytes().to_vec()), "{odd}");
        }
    }
}
