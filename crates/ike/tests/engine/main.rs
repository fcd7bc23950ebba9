//! Pairs of engines in a tiny world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod addresses;
mod eap;
mod establish;
mod harness;
mod interfaces;
mod intruders;
mod lifecycle;
mod migrate;
mod modes;
mod negotiation;
mod paths;
mod ppk;
mod rekey;
mod rounds;
mod scale;
mod signatures;
