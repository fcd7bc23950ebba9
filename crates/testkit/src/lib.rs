//! A virtual world: clock, network, NAT and many engines.
//!
//! Nothing waits and nothing is random by itself: a world is a function of its seed, so every run can be repeated
//! to the byte. The walk: [`clock`] → [`net`] (loss, delay, NAT, cuts) → [`dataplane`] (what engines order, and the
//! rules those orders must keep) → [`host`] (one engine with everything that answers it) → [`world`] (all of them,
//! event by event) → [`scenario`] (who is there and how they are configured) → [`simulation`] (a random life and
//! the questions asked at its end). Beside them [`hostile`]: what a peer may do who knows the secret ([`mallory`]).
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "for tests only; reads no network bytes but its own"
)]

pub mod clock;
pub mod credentials;
pub mod dataplane;
pub mod dice;
pub mod fleet;
pub mod host;
pub mod hostile;
pub mod mallory;
pub mod net;
pub mod scenario;
pub mod simulation;
pub mod transcript;
pub mod world;

pub use world::World;
