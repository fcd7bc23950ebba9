//! Runs IKEv2 SAs and their CHILD_SAs (RFC 7296), sans-IO.
//!
//! One input, then drain [`Engine::poll`] until it gives nothing, then the next input. Outputs leave through
//! one ordered queue. Time and randomness come from outside; equal inputs give equal outputs.
//!
//! Deliberately not here: sockets, clocks, the kernel, files. What the engine cannot decide from memory is a
//! question ([`Ask`]) that whoever drives it answers by its [`Ticket`]; while a question is open, the exchange
//! that asked is parked and every other SA goes on.
//!
//! The walk: [`io`] (the doors) → `engine` (finds the SA, feeds it, keeps deadlines) → `table` (all SAs, and how
//! they are found) → `admit` (cookies, half-open limits) → `sa` and `child` (what is known about an IKE_SA and a CHILD_SA) → `v2` (receive path, job queue) and
//! below it one file per exchange with both roles → `select`, `negotiate`, `narrow`, `credential`, `vip`, `nat`,
//! `lifetime` (the decisions, as functions) → `tickets` (who waits for which answer) → [`snapshot`] (export and adopt).

#[macro_use]
mod core;
mod admit;
mod child;
mod chore;
mod commands;
mod control;
mod credential;
mod engine;
mod fault;
mod flat;
pub mod io;
mod lifetime;
mod list;
mod message;
mod narrow;
mod nat;
mod negotiate;
mod pace;
mod reload;
mod reqid;
mod sa;
mod select;
mod share;
pub mod snapshot;
mod spi;
mod table;
mod tickets;
mod trap;
mod unique;
mod v2;
mod view;
mod vip;
mod when;

pub use engine::{Engine, SLICE, Shard};
pub use io::{Answer, Ask, Command, Datagram, Event, Now, Output, Ticket};
pub use list::{Page, Tally};
pub use pace::{BEGIN, UNDER_WAY};
pub use snapshot::IkeSaState;
