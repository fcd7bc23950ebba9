//! Plays thousands of road warriors against a gateway, to see what it bears.
//!
//! Each virtual client is an initiator of crate `ike` with an identity, credentials and virtual IPs of its own; some
//! thousands of them share an engine, a pair of UDP sockets and a thread. Their packets, if any are wanted, are sealed
//! and opened in this process: no TUN, no routes, no privileges.
//!
//! Deliberately not here: command lines, files, terminals; and no other protocol code than what `ike`, `eap`, `pki` and
//! `esp` have, so that a gateway meets the same client as in earnest.
//!
//! The walk: [`plan`] (what is to be done, and its bounds) → `crew` (a client becomes a connection) → `lane` (a thread:
//! engine, sockets, clock) with `pace` (when the next one starts), `wires` (sockets), `asks` (what the engine wants to
//! know), `credentials` (signatures, judgements, EAP), [`traffic`] (packets), `exchanges` (who was answered, and how fast) → [`tally`] (what was counted) with [`reason`] (why something
//! failed, and what to do about it) → [`run`] (all lanes from the first start to the last goodbye).

mod asks;
mod credentials;
mod crew;
mod exchanges;
mod lane;
mod pace;
pub mod plan;
pub mod reason;
pub mod run;
pub mod tally;
pub mod traffic;
mod wires;

pub use plan::{Login, Pattern, Plan};
pub use reason::Reason;
pub use run::{Ended, Progress, run};
pub use tally::Tally;

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bound of the plan.
    #[error("{0}")]
    Plan(String),
    /// The system said no.
    #[error(transparent)]
    System(#[from] linux::Error),
    /// A thread could not be started, or died.
    #[error("{0}")]
    Thread(String),
}
