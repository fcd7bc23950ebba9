//! Runs a RADIUS client and a dynamic-authorization server as state machines.
//!
//! Time, randomness and datagrams are arguments; datagrams, replies and records come out. Deliberately not here: sockets,
//! names of servers, and what an IKE_SA is. Nobody here waits, so that a silent server holds up nobody but those whom it
//! does not answer.
//!
//! The walk: [`crypt`] (what proves a packet, what hides a value) → [`client`] (servers, retransmission, fail-over; one
//! request in, one reply or failure out) → [`relay`] (an EAP conversation as requests, and what an Access-Accept says) →
//! [`account`] (sessions as records) → [`dae`] (a server's wishes about sessions, RFC 5176).

pub mod account;
pub mod client;
pub mod crypt;
pub mod dae;
mod prefix;
pub mod relay;

pub use account::{Accounting, Ledger};
pub use client::{
    Client, ClientSettings, Output, Purpose, Reply, Request, RequestId, ServerId, ServerSettings,
};
pub use dae::Dae;
pub use relay::{Accepted, Conversation, RelayOptions, Step};
