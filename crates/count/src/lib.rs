//! The work that instructions are counted of. `cargo xtask count` runs it under valgrind and compares with `bounds.txt`.
//!
//! `cargo bench -p count` does the same work uncounted: a load for profilers.
//!
//! The walk: [`meter`] (what is counted and what is not) → [`messages`], [`packets`], [`exchanges`] (with [`pair`], two
//! engines, and [`certificates`]; [`bare`] is the cryptography alone), [`leases`], [`tables`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for developers; reads nothing but its own bytes"
)]

mod bare;
mod certificates;
mod exchanges;
mod leases;
mod messages;
mod meter;
mod packets;
mod pair;
#[path = "../../esp/tests/sample/sample.rs"]
mod sample;
mod tables;

/// Does the work whose names begin like one of these; all where there is none. Prints each name and how often it is done.
pub fn run(wanted: Vec<String>) {
    let mut counts = meter::Counts::new(wanted);
    meter::probe(&mut counts);
    messages::all(&mut counts);
    packets::all(&mut counts);
    exchanges::all(&mut counts);
    bare::all(&mut counts);
    // Last: what they leave in the allocator would be counted with whatever follows.
    leases::all(&mut counts);
    tables::all(&mut counts);
}
