//! The conversation inside a tunnel: how the outer configuration becomes the inner one.
use crate::config::{Identity, Method, PeerConfig, ServerConfig};
use crate::peer::Peer;
use crate::server::Server;
use crate::step::Line;
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
