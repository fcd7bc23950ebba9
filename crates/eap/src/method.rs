//! What a method is to the conversation around it, and the two matches that know all methods.
use crate::config::{Method, PeerConfig, ServerConfig};
use crate::step::{Failed, Line};
use crate::{eap_tls, gtc, md5, mschapv2, peap, ttls};
use crypto::{Rng, Secret};

/// What a completed method has shown.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) msk: Option<Secret>,
    /// The server proved itself to the peer.
    pub(crate) mutual: bool,
    /// Whom the method proved the peer to be, where it knows.
    pub(crate) user: Option<Vec<u8>>,
}

/// How a server's method goes on.
pub(crate) enum Next {
    /// Send these data in a request.
    Send(Vec<u8>),
    /// The peer is authenticated.
    Done(Done),
    /// It is not.
    Fail(Failed),
}

/// A peer's answer to a request.
pub(crate) struct Reply {
    pub(crate) data: Vec<u8>,
    pub(crate) state: Progress,
}

/// Where a peer's method stands after its answer.
pub(crate) enum Progress {
    /// More requests must come; EAP-Success now is a lie.
    Running,
    /// From our side it is complete: EAP-Success may come.
    Done(Done),
    /// It failed; only EAP-Failure can come.
    Doomed(Failed),
}

impl Reply {
    pub(crate) fn running(data: Vec<u8>) -> Self {
        Self { data, state: Progress::Running }
    }
}

/// What a server's method may use.
pub(crate) struct ServerContext<'a> {
    pub(crate) config: &'a ServerConfig,
    pub(crate) rng: &'a mut Rng,
    pub(crate) log: &'a mut Vec<Line>,
    /// Whom the peer claims to be.
    pub(crate) identity: &'a [u8],
    /// It claimed so in EAP-Identity.
    pub(crate) asked: bool,
    /// Identifier of the request that is made next.
    pub(crate) id: u8,
}

/// What a peer's method may use.
pub(crate) struct PeerContext<'a> {
    pub(crate) config: &'a PeerConfig,
    pub(crate) rng: &'a mut Rng,
    pub(crate) log: &'a mut Vec<Line>,
    /// Identifier of the request.
    pub(crate) id: u8,
}

/// A method, on the server.
pub(crate) trait ServerMethod: Send {
    /// The first request.
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next;
    /// A response came.
    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next;
}

/// A method, on the peer.
pub(crate) trait PeerMethod: Send {
    /// A request came.
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed>;
}

/// Starts a method as server.
pub(crate) fn serve(method: Method, config: &ServerConfig) -> Result<Box<dyn ServerMethod>, Failed> {
    Ok(match method {
        Method::Md5 => Box::new(md5::Server::default()),
        Method::Gtc => Box::new(gtc::Server),
        Method::Mschapv2 => Box::new(mschapv2::Server::default()),
        Method::Tls => Box::new(eap_tls::Server::new(config)?),
        Method::Ttls => Box::new(ttls::Server::new(config)?),
        Method::Peap => Box::new(peap::Server::new(config)?),
    })
}

/// Starts a method as peer.
pub(crate) fn join(method: Method, config: &PeerConfig) -> Result<Box<dyn PeerMethod>, Failed> {
    Ok(match method {
        Method::Md5 => Box::new(md5::Peer),
        Method::Gtc => Box::new(gtc::Peer),
        Method::Mschapv2 => Box::new(mschapv2::Peer::default()),
        Method::Tls => Box::new(eap_tls::Peer::new(config)?),
        Method::Ttls => Box::new(ttls::Peer::new(config)?),
        Method::Peap => Box::new(peap::Peer::new(config)?),
    })
}
