//! The server (authenticator): identity, choice of the method, its rounds, the end.
use crate::config::{Identity, Method, ServerConfig};
use crate::identity;
use crate::method::{Done, Next, ServerContext, ServerMethod, serve};
use crate::step::{Failed, Line, Step, printable};
use crypto::Rng;
use std::sync::Arc;
use wire::eap::{EapPacket, EapType};

/// A conversation as server.
pub struct Server {
    config: Arc<ServerConfig>,
    rng: Rng,
    state: State,
    /// Identifier of the request that is out.
    id: u8,
    /// Identifier of the next one, where a tunnel says so.
    next: Option<u8>,
    /// That request.
    request: Vec<u8>,
    /// Packets received.
    received: u32,
    /// Whom the peer said to be in EAP-Identity.
    identity: Option<Vec<u8>>,
    /// Methods not tried yet, best first.
    left: Vec<Method>,
    /// We run inside this tunnel.
    inside: Option<Method>,
    log: Vec<Line>,
}

enum State {
    New,
    Identity,
    Method { method: Method, run: Box<dyn ServerMethod>, answered: bool },
    Over,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A conversation that has not begun: call [`Self::start`] once, then [`Self::step`] with every packet of the peer.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, rng: Rng) -> Self {
        Self::with(config, rng, None)
    }

    /// The conversation inside a tunnel.
    pub(crate) fn inside(config: Arc<ServerConfig>, rng: Rng, tunnel: Method) -> Self {
        Self::with(config, rng, Some(tunnel))
    }

    fn with(config: Arc<ServerConfig>, mut rng: Rng, inside: Option<Method>) -> Self {
        let (identity, id) = match &config.identity {
            Identity::Unasked | Identity::Ask => (None, rng.u32().to_be_bytes()[0]),
            Identity::Asked { identity, id } => (Some(identity.clone()), *id),
        };
        let left = config.methods.clone();
        Self {
            config,
            rng,
            state: State::New,
            id,
            next: None,
            request: Vec::new(),
            received: 0,
            identity,
            left,
            inside,
            log: Vec::new(),
        }
    }

    /// The first packet to send.
    pub fn start(&mut self) -> Step {
        if !matches!(self.state, State::New) {
            return self.fail(Failed::local("the EAP conversation has begun already"));
        }
        if self.config.identity == Identity::Ask {
            self.state = State::Identity;
            if self.inside.is_none() {
                let id = self.next_id();
                self.log
                    .push(Line::ike(1, format!("initiating {} method (id 0x{id:02X})", EapType::IDENTITY)));
            }
            return self.send(EapType::IDENTITY, &[]);
        }
        self.begin()
    }

    /// A packet of the peer.
    pub fn step(&mut self, packet: &[u8]) -> Step {
        let over = matches!(self.state, State::New | State::Over);
        if over {
            return self.fail(Failed::local("no EAP conversation is going on"));
        }
        self.received = self.received.saturating_add(1);
        let limit = self.limit();
        if self.received > limit {
            return self.fail(Failed::peer(format!("more than {limit} EAP packets in one conversation")));
        }
        match EapPacket::parse(packet) {
            Err(fault) => self.fail(Failed::peer(format!("malformed EAP packet: {fault}"))),
            // RFC 3748 4.1: a response that does not match the request that is out is discarded. The transport wants
            // some answer: the request once more, as on a repetition.
            Ok(EapPacket::Response { id, .. }) if id != self.id => self.again(),
            Ok(EapPacket::Response { method, data, .. }) => self.response(method, data),
            // RFC 3748 4: an authenticator discards the other codes.
            Ok(EapPacket::Request { .. } | EapPacket::Success { .. } | EapPacket::Failure { .. }) => {
                self.again()
            }
        }
    }

    fn response(&mut self, method: EapType, data: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Identity if method == EapType::IDENTITY => match identity::check(data) {
                Ok(identity) => {
                    if self.inside.is_none() {
                        self.log
                            .push(Line::ike(1, format!("received EAP identity '{}'", printable(&identity))));
                    }
                    self.identity = Some(identity);
                    self.begin()
                }
                Err(fault) => self.fail(Failed::peer(fault.to_string())),
            },
            State::Method { method: current, answered: false, .. } if method == EapType::NAK => {
                self.negotiate(current, data)
            }
            State::Method { method: current, mut run, .. } if method == current.number() => {
                let id = self.next_id();
                let next = run.step(
                    data,
                    &mut context(&self.config, &mut self.rng, &mut self.log, self.identity.as_deref(), id),
                );
                self.advance(current, run, next, true)
            }
            State::Method { method: current, .. } => {
                self.fail(Failed::peer(format!("{method} response while {current} is running")))
            }
            State::Identity => {
                self.fail(Failed::peer(format!("{method} response to an {} request", EapType::IDENTITY)))
            }
            State::New | State::Over => self.fail(Failed::local("no EAP conversation is going on")),
        }
    }

    /// RFC 3748 5.3.1: the peer wants another method.
    fn negotiate(&mut self, refused: Method, data: &[u8]) -> Step {
        let wanted: Vec<Method> = data.iter().filter_map(|n| Method::of(EapType::ietf(*n))).collect();
        self.left.retain(|m| wanted.contains(m) && *m != refused);
        if self.config.prefer_user {
            self.left.sort_by_key(|m| wanted.iter().position(|w| w == m));
        }
        if self.left.is_empty() {
            let wanted: Vec<String> = data.iter().map(|n| EapType::ietf(*n).to_string()).collect();
            let wanted = wanted.join(", ");
            self.log.push(Line::ike(1, "received EAP_NAK, sending EAP_FAILURE"));
            return self
                .fail(Failed::peer(format!("the peer refuses {refused}, and we have none of [{wanted}]")));
        }
        self.log.push(Line::ike(1, format!("received EAP_NAK for {refused}")));
        self.begin()
    }

    /// Starts the best method left.
    fn begin(&mut self) -> Step {
        let Some(method) = (!self.left.is_empty()).then(|| self.left.remove(0)) else {
            return self.fail(Failed::local("no EAP method is configured"));
        };
        // A tunnel in a tunnel would make the depth the peer's choice.
        if self.inside.is_some() && method.needs_tls() {
            return self.fail(Failed::local(format!("{method} is not available inside a tunnel")));
        }
        let mut run = match serve(method, &self.config) {
            Ok(run) => run,
            Err(why) => {
                self.log.push(Line::ike(1, format!("loading {method} method failed")));
                return self.fail(why);
            }
        };
        let id = self.next_id();
        if self.inside.is_none() {
            self.log.push(Line::ike(1, format!("initiating {method} method (id 0x{id:02X})")));
        }
        let next =
            run.start(&mut context(&self.config, &mut self.rng, &mut self.log, self.identity.as_deref(), id));
        self.advance(method, run, next, false)
    }

    fn advance(&mut self, method: Method, run: Box<dyn ServerMethod>, next: Next, answered: bool) -> Step {
        match next {
            Next::Send(data) => {
                self.state = State::Method { method, run, answered };
                self.send(method.number(), &data)
            }
            Next::Done(done) => self.succeed(method, done),
            Next::Fail(why) => {
                if self.inside.is_none() {
                    let peer = printable(&self.config.peer);
                    self.log.push(Line::ike(1, format!("EAP method {method} failed for peer {peer}")));
                }
                self.fail(why)
            }
        }
    }

    fn succeed(&mut self, method: Method, done: Done) -> Step {
        let who = done.user.clone().or_else(|| self.identity.clone());
        if let Some(tunnel) = self.inside {
            let who = printable(who.as_deref().unwrap_or(&self.config.peer));
            self.log.push(Line::ike(
                1,
                format!("{tunnel} phase2 authentication of '{who}' with {method} successful"),
            ));
        } else {
            let no = if done.msk.is_some() { "" } else { "no " };
            self.log.push(Line::ike(1, format!("EAP method {method} succeeded, {no}MSK established")));
        }
        self.state = State::Over;
        Step::Success {
            packet: EapPacket::Success { id: self.id }.encode(),
            msk: done.msk,
            identity: who,
            mutual: done.mutual,
            log: std::mem::take(&mut self.log),
        }
    }

    fn fail(&mut self, why: Failed) -> Step {
        self.state = State::Over;
        let packet = EapPacket::Failure { id: self.id }.encode();
        Step::Failure { packet, why, log: std::mem::take(&mut self.log) }
    }

    fn send(&mut self, method: EapType, data: &[u8]) -> Step {
        self.id = self.next_id();
        self.request = EapPacket::Request { id: self.id, method, data }.encode();
        self.again()
    }

    fn again(&mut self) -> Step {
        Step::Send { packet: self.request.clone(), log: std::mem::take(&mut self.log) }
    }

    /// Packets that may be received. Identity and Nak come before the method's own.
    fn limit(&self) -> u32 {
        let own = match &self.state {
            State::Method { method, .. } if method.needs_tls() => {
                self.config.tunnels.of(*method).max_messages
            }
            State::Method { .. } | State::New | State::Identity | State::Over => self.config.limits.messages,
        };
        if own == 0 { u32::MAX } else { own.saturating_add(2) }
    }

    fn next_id(&self) -> u8 {
        self.next.unwrap_or(self.id.wrapping_add(1))
    }

    /// The next request will have this identifier: inside PEAP there is only the outer one.
    pub(crate) fn align(&mut self, next: u8) {
        self.next = Some(next);
    }

    /// Identifier of the request that is out.
    pub(crate) fn outstanding(&self) -> u8 {
        self.id
    }
}

fn context<'a>(
    config: &'a ServerConfig,
    rng: &'a mut Rng,
    log: &'a mut Vec<Line>,
    identity: Option<&'a [u8]>,
    id: u8,
) -> ServerContext<'a> {
    ServerContext {
        config,
        rng,
        log,
        identity: identity.unwrap_or(&config.peer),
        asked: identity.is_some(),
        id,
    }
}
