//! Runs EAP methods, both as peer and as server, sans-IO: packets in, a [`Step`] out, with what to log.
//!
//! Deliberately not here: what an identity may do, where passwords are kept ([`Secrets`]), who is trusted
//! ([`tls::Judge`]), TLS itself (rustls). EAP-SIM, AKA and FAST are refused by name.
//!
//! The walk: [`step`] (what comes out) → [`config`] (what goes in) → [`server`] and [`peer`] (rounds, identity, choice of
//! the method, the end) → `method` (the two matches that know all methods) → `md5`, `gtc`, `mschapv2` → [`tls`] (TLS for
//! EAP), `fragment`, `carrier` (TLS in packets) → `eap_tls`, `ttls`, `peap`, and `tunnelled` for what runs inside those.
//!
//! What a peer may rely on: it believes EAP-Success only after its method is complete; inside a tunnel it says nothing
//! before the server's certificate is judged. What a server may rely on: the identity it reports is the one that was
//! proved.

mod carrier;
pub mod config;
mod eap_tls;
mod fragment;
mod gtc;
pub mod identity;
mod md5;
mod method;
mod mschapv2;
mod peap;
pub mod peer;
pub mod server;
pub mod step;
pub mod tls;
mod ttls;
mod tunnelled;

pub use config::{
    Identity, Limits, Method, PeerConfig, SecretKind, Secrets, ServerConfig, TunnelOptions, Tunnels,
};
pub use peer::Peer;
pub use server::Server;
pub use step::{Failed, Group, Line, Step};
