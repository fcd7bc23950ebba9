//! Leases IPv4 addresses from a LAN's DHCP server on behalf of VPN clients (RFC 2131), as state machines.
//!
//! Time, randomness and datagrams are arguments; datagrams, leases and log lines come out. Deliberately not here: sockets,
//! IKE, and who the clients are. A silent server holds up nobody but those who wait for it.
//!
//! The walk: [`subject`] (as whom a VPN client appears on the LAN) → [`message`] (what is sent, and what of an answer
//! counts) → [`client`] (all leases: discover, request, renew, release).

pub mod client;
pub mod message;
pub mod subject;

pub use client::{Client, Failure, Lease, LeaseId, Loss, Output, Settings};
pub use subject::{Hardware, Subject};
