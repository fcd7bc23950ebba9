//! What TTLS and PEAP have in common: the tunnel's two ends, and how the outer configuration becomes the inner one.
use crate::carrier::{Came, Carrier};
use crate::config::{Identity, Method, PeerConfig, ServerConfig};
use crate::fragment;
use crate::method::{Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::peer::Peer;
use crate::server::Server;
use crate::step::{Failed, Line};
use crypto::Rng;
use std::sync::Arc;
use wire::eap::EapPacket;

/// A generator of its own for the inner conversation.
fn child(rng: &mut Rng) -> Rng {
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    Rng::from_seed(seed)
}

/// The inner server, which runs the method of phase 2.
pub(crate) fn server(tunnel: Method, config: &ServerConfig, identity: Identity, rng: &mut Rng) -> Server {
    let methods = vec![config.tunnels.of(tunnel).phase2_method];
    let inner = ServerConfig { methods, identity, ..config.clone() };
    Server::inside(Arc::new(inner), child(rng), tunnel)
}

/// The inner peer.
pub(crate) fn peer(tunnel: Method, config: &PeerConfig, rng: &mut Rng) -> Peer {
    let inner = PeerConfig { methods: config.inner_methods.clone(), anonymous: None, ..config.clone() };
    Peer::inside(Arc::new(inner), child(rng), tunnel)
}

/// charon's line about a packet inside.
pub(crate) fn tell(log: &mut Vec<Line>, verb: &str, tunnel: &str, packet: &[u8]) {
    let summary = EapPacket::parse(packet).map_or_else(|_| "malformed".to_owned(), |p| p.summary());
    log.push(Line::ike(1, format!("{verb} tunneled {tunnel} AVP [{summary}]")));
}

/// What a server says in the tunnel, and where it stands.
pub(crate) trait ServerInside: Sized + Send {
    /// The tunnel it speaks in.
    const METHOD: Method;
    /// Before the first message: TLS is not up.
    fn handshake() -> Self;
    /// A message came, and TLS is up. `empty`: the message had no bytes. No successor: nothing more may come.
    fn message(
        self,
        carrier: &mut Carrier,
        plain: &[u8],
        empty: bool,
        cx: &mut ServerContext<'_>,
    ) -> Result<(Option<Self>, Next), Failed>;
}

/// The server's end of a tunnel.
pub(crate) struct ServerEnd<I> {
    carrier: Option<Carrier>,
    state: State<I>,
}

enum State<I> {
    At(I),
    /// An alert is out.
    Failing(Failed),
    Over,
}

impl<I: ServerInside> ServerEnd<I> {
    pub(crate) fn new(config: &ServerConfig) -> Result<Self, Failed> {
        // Refuses early what cannot work.
        Self::carrier(config, &[])?;
        Ok(Self { carrier: None, state: State::At(I::handshake()) })
    }

    fn carrier(config: &ServerConfig, client: &[u8]) -> Result<Carrier, Failed> {
        Carrier::server(I::METHOD, config, client, config.tunnels.of(I::METHOD).request_peer_auth)
    }

    fn advance(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Result<Next, Failed> {
        let method = I::METHOD;
        let carrier =
            self.carrier.as_mut().ok_or_else(|| Failed::local(format!("{method} has not begun")))?;
        let at = match std::mem::replace(&mut self.state, State::Over) {
            State::At(at) => at,
            State::Failing(why) => return Err(why),
            State::Over => return Err(Failed::peer(format!("unexpected {method} message"))),
        };
        if fragment::version(data) != 0 {
            return Err(Failed::peer(format!("version {} of {method}", fragment::version(data))));
        }
        let (state, next) = match carrier.receive(data, cx.log)? {
            Came::Send(data) => (State::At(at), Next::Send(data)),
            Came::Broken(why, None) => return Err(why),
            Came::Broken(why, Some(data)) => (State::Failing(why), Next::Send(data)),
            Came::Message { .. } if !carrier.session.is_up() => (State::At(at), Next::Send(go_on(carrier)?)),
            Came::Message { plain, empty } => {
                let (at, next) = at.message(carrier, plain.as_slice(), empty, cx)?;
                (at.map_or(State::Over, State::At), next)
            }
        };
        self.state = state;
        Ok(next)
    }
}

impl<I: ServerInside> ServerMethod for ServerEnd<I> {
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next {
        match Self::carrier(cx.config, cx.identity) {
            Ok(carrier) => {
                self.carrier = Some(carrier);
                Next::Send(fragment::start())
            }
            Err(why) => Next::Fail(why),
        }
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        self.advance(data, cx).unwrap_or_else(Next::Fail)
    }
}

/// What a peer says in the tunnel, and where it stands.
pub(crate) trait PeerInside: Default + Send {
    /// The tunnel it speaks in.
    const METHOD: Method;
    /// A message came, and TLS is up: says what there is to say.
    fn hear(&mut self, carrier: &mut Carrier, plain: &[u8], cx: &mut PeerContext<'_>) -> Result<(), Failed>;
    /// Only what is done inside can be done outside.
    fn progress(&self, carrier: &Carrier) -> Result<Progress, Failed>;
}

/// The peer's end of a tunnel.
pub(crate) struct PeerEnd<I> {
    carrier: Carrier,
    started: bool,
    inside: I,
}

impl<I: PeerInside> PeerEnd<I> {
    pub(crate) fn new(config: &PeerConfig) -> Result<Self, Failed> {
        Ok(Self { carrier: Carrier::client(I::METHOD, config)?, started: false, inside: I::default() })
    }
}

impl<I: PeerInside> PeerMethod for PeerEnd<I> {
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        let Self { carrier, started, inside } = self;
        if !*started {
            fragment::start_version(data)
                .ok_or_else(|| Failed::peer(format!("{} does not begin with a start", I::METHOD)))?;
            *started = true;
            cx.log.push(Line::tls(1, format!("{} version is v0", I::METHOD)));
            return Ok(Reply::running(carrier.flush().unwrap_or_else(|| carrier.nothing())));
        }
        let plain = match carrier.receive(data, cx.log)? {
            Came::Send(data) => return Ok(Reply { data, state: inside.progress(carrier)? }),
            Came::Broken(why, data) => {
                let data = data.unwrap_or_else(|| carrier.nothing());
                return Ok(Reply { data, state: Progress::Doomed(why) });
            }
            Came::Message { plain, .. } => plain,
        };
        if !carrier.session.is_up() {
            return Ok(Reply::running(go_on(carrier)?));
        }
        inside.hear(carrier, plain.as_slice(), cx)?;
        let data = carrier.flush().unwrap_or_else(|| carrier.nothing());
        Ok(Reply { data, state: inside.progress(carrier)? })
    }
}

/// The next of the handshake.
fn go_on(carrier: &mut Carrier) -> Result<Vec<u8>, Failed> {
    carrier.flush().ok_or_else(|| Failed::peer("the TLS handshake does not go on"))
}
