//! Peer against server: every method, and what must not happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod attacks;
mod harness;
mod limits;
mod methods;
mod tls;
