//! The peer (supplicant): answers what the server asks, and believes EAP-Success only when its method is complete.
use crate::config::{Method, PeerConfig};
use crate::method::{Done, PeerContext, PeerMethod, Progress, join};
use crate::step::{Failed, Line, Step, printable};
use crypto::Rng;
use std::sync::Arc;
use wire::eap::{EapPacket, EapType};

/// A conversation as peer.
pub struct Peer {
    config: Arc<PeerConfig>,
    rng: Rng,
    state: State,
    /// The last request, and our answer to it.
    last: Option<(Vec<u8>, Vec<u8>)>,
    received: u32,
    /// We run inside this tunnel.
    inside: Option<Method>,
    log: Vec<Line>,
}

enum State {
    /// No method yet.
    Idle,
    /// This method, and where it stands.
    Method { method: Method, run: Box<dyn PeerMethod>, progress: Progress },
    /// It has ended.
    Over,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Peer {
    /// A conversation: call [`Self::step`] with every packet of the server.
    #[must_use]
    pub fn new(config: Arc<PeerConfig>, rng: Rng) -> Self {
        Self::with(config, rng, None)
    }

    /// The conversation inside a tunnel.
    pub(crate) fn inside(config: Arc<PeerConfig>, rng: Rng, tunnel: Method) -> Self {
        Self::with(config, rng, Some(tunnel))
    }

    fn with(config: Arc<PeerConfig>, rng: Rng, inside: Option<Method>) -> Self {
        Self { config, rng, state: State::Idle, last: None, received: 0, inside, log: Vec::new() }
    }

    /// A packet of the server.
    pub fn step(&mut self, packet: &[u8]) -> Step {
        if matches!(self.state, State::Over) {
            return self.fail(Failed::local("no EAP conversation is going on"));
        }
        self.received = self.received.saturating_add(1);
        let limit = self.limit();
        if self.received > limit {
            return self.fail(Failed::peer(format!("more than {limit} EAP packets in one conversation")));
        }
        match EapPacket::parse(packet) {
            Err(fault) => self.fail(Failed::peer(format!("malformed EAP packet: {fault}"))),
            Ok(EapPacket::Request { id, method, data }) => self.request(packet, id, method, data),
            Ok(EapPacket::Success { .. }) => self.success(),
            Ok(EapPacket::Failure { .. }) => self.failure(),
            Ok(EapPacket::Response { method, .. }) => {
                self.fail(Failed::peer(format!("the server sent an {method} response")))
            }
        }
    }

    fn request(&mut self, packet: &[u8], id: u8, method: EapType, data: &[u8]) -> Step {
        // RFC 3748 4.1: "If a peer receives a duplicate Request for which it has already sent a Response, it MUST resend
        // its Response."
        if let Some((request, response)) = &self.last
            && request == packet
        {
            return Step::Send { packet: response.clone(), log: Vec::new() };
        }
        let response = match method {
            EapType::IDENTITY => {
                let me = self.outer_identity();
                self.log.push(Line::ike(
                    1,
                    format!("server requested {method} (id 0x{id:02X}), sending '{}'", printable(&me)),
                ));
                EapPacket::Response { id, method, data: &me }.encode()
            }
            // RFC 3748 5.2: shown to the user and acknowledged.
            EapType::NOTIFICATION => {
                self.log.push(Line::ike(1, format!("received EAP notification: '{}'", printable(data))));
                EapPacket::Response { id, method, data: &[] }.encode()
            }
            _ => match self.method(id, method, data) {
                Ok(response) => response,
                Err(why) => {
                    self.log.push(Line::ike(1, format!("{method} method failed")));
                    return self.fail(why);
                }
            },
        };
        self.last = Some((packet.to_vec(), response.clone()));
        Step::Send { packet: response, log: std::mem::take(&mut self.log) }
    }

    fn method(&mut self, id: u8, number: EapType, data: &[u8]) -> Result<Vec<u8>, Failed> {
        let (method, mut run, doom) = match std::mem::replace(&mut self.state, State::Over) {
            State::Idle => {
                let allowed = Method::of(number).filter(|m| self.config.methods.contains(m));
                let Some(method) = allowed.filter(|m| self.inside.is_none() || !m.needs_tls()) else {
                    self.state = State::Idle;
                    return self.nak(id, number);
                };
                self.log
                    .push(Line::ike(1, format!("server requested {method} authentication (id 0x{id:02X})")));
                (method, join(method, &self.config)?, None)
            }
            // RFC 3748 2.1: one method per conversation.
            State::Method { method, .. } if method.number() != number => {
                return Err(Failed::peer(format!("{number} request while {method} is running")));
            }
            State::Method { method, run, progress: Progress::Doomed(why) } => (method, run, Some(why)),
            State::Method { method, run, progress: Progress::Running | Progress::Done(_) } => {
                (method, run, None)
            }
            State::Over => return Err(Failed::local("no EAP conversation is going on")),
        };
        let context = &mut PeerContext { config: &self.config, rng: &mut self.rng, log: &mut self.log, id };
        let mut reply = run.step(data, context).map_err(|why| doom.clone().unwrap_or(why))?;
        // What has failed stays so, whatever is still said about it.
        if let Some(why) = doom {
            reply.state = Progress::Doomed(why);
        }
        self.state = State::Method { method, run, progress: reply.state };
        Ok(EapPacket::Response { id, method: number, data: &reply.data }.encode())
    }

    /// RFC 3748 5.3.1: what we want instead.
    fn nak(&mut self, id: u8, refused: EapType) -> Result<Vec<u8>, Failed> {
        let wanted: Vec<Method> =
            self.config.methods.iter().copied().filter(|m| self.inside.is_none() || !m.needs_tls()).collect();
        if wanted.is_empty() {
            return Err(Failed::local(format!("the server wants {refused}, and we have no EAP method")));
        }
        self.log.push(Line::ike(1, format!("server requested {refused} authentication (id 0x{id:02X})")));
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        self.log
            .push(Line::ike(1, format!("requesting {} authentication, sending EAP_NAK", names.join(", "))));
        let numbers: Vec<u8> = wanted.iter().filter_map(|m| m.number().short()).collect();
        Ok(EapPacket::Response { id, method: EapType::NAK, data: &numbers }.encode())
    }

    /// CVE-2021-45079: a success is worth nothing before the method says that it is complete.
    fn success(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Method { method, progress: Progress::Done(done), .. } => self.succeed(method, done),
            State::Method { progress: Progress::Doomed(why), .. } => self.fail(why),
            State::Method { method, progress: Progress::Running, .. } => {
                self.log.push(Line::ike(1, format!("received EAP_SUCCESS before {method} completed")));
                self.fail(Failed::peer(format!("EAP-Success before {method} is complete")))
            }
            State::Idle | State::Over => {
                self.log.push(Line::ike(1, "received EAP_SUCCESS without any EAP method"));
                self.fail(Failed::peer("EAP-Success without any method"))
            }
        }
    }

    fn succeed(&mut self, method: Method, done: Done) -> Step {
        if self.inside.is_none() {
            let no = if done.msk.is_some() { "" } else { "no " };
            self.log.push(Line::ike(1, format!("EAP method {method} succeeded, {no}MSK established")));
        }
        Step::Success {
            packet: Vec::new(),
            msk: done.msk,
            identity: None,
            mutual: done.mutual,
            log: std::mem::take(&mut self.log),
        }
    }

    fn failure(&mut self) -> Step {
        self.log.push(Line::ike(1, "received EAP_FAILURE, EAP authentication failed"));
        match std::mem::replace(&mut self.state, State::Over) {
            State::Method { progress: Progress::Doomed(why), .. } => self.fail(why),
            State::Method { method, .. } => {
                self.fail(Failed::local(format!("the server refused us ({method})")))
            }
            State::Idle | State::Over => self.fail(Failed::local("the server refused us")),
        }
    }

    fn fail(&mut self, why: Failed) -> Step {
        self.state = State::Over;
        Step::Failure { packet: Vec::new(), why, log: std::mem::take(&mut self.log) }
    }

    fn outer_identity(&self) -> Vec<u8> {
        let hidden = self.config.anonymous.as_ref().filter(|_| self.inside.is_none());
        hidden.unwrap_or(&self.config.identity).clone()
    }

    fn limit(&self) -> u32 {
        let own = match &self.state {
            State::Method { method, .. } if method.needs_tls() => {
                self.config.tunnels.of(*method).max_messages
            }
            State::Method { .. } | State::Idle | State::Over => self.config.limits.messages,
        };
        if own == 0 { u32::MAX } else { own.saturating_add(2) }
    }

    /// Whether the conversation's method is complete: a tunnel around it may then be, too.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&self.state, State::Method { progress: Progress::Done(_), .. })
    }

    /// Why the method has failed, if it has.
    pub(crate) fn doom(&self) -> Option<&Failed> {
        match &self.state {
            State::Method { progress: Progress::Doomed(why), .. } => Some(why),
            State::Method { .. } | State::Idle | State::Over => None,
        }
    }
}
