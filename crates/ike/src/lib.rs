//! Runs IKEv2 SAs and their CHILD_SAs (RFC 7296), sans-IO.
//!
//! One input, then drain [`Engine::poll`] until it gives nothing, then the next input. Outputs leave through
//! one ordered queue. Time and randomness come from outside; equal inputs give equal outputs.

pub mod io;
pub mod snapshot;

pub use io::{Answer, Ask, Command, Datagram, Event, Now, Output, Ticket};
