//! Turns bytes into IKE payloads, ESP headers, IP headers and RADIUS packets and back; decides nothing.
//!
//! Parsing is total: any byte string gives a value or a [`WireError`], never a panic, in time and memory
//! linear in the input. Numbers that no registry entry names survive a round trip.
//!
//! The walk: [`codec`] (the only place that touches offsets) → [`iana`] (numbers) → [`ike`] (message header,
//! payload chain, one file per payload) → [`eap`], [`esp`], [`ip`], [`neighbour`], [`frame`], [`radius`].

pub mod codec;
pub mod eap;
pub mod esp;
pub mod frame;
pub mod iana;
pub mod ike;
pub mod ip;
pub mod neighbour;
pub mod radius;

pub use codec::WireError;
