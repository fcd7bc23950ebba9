//! IKEv2 messages (RFC 7296 3, RFC 7383): header, payload chain, payloads.
//!
//! [`Message::parse`] opens what is in the clear. What is behind an SK or SKF payload stays sealed: the
//! caller gets the ranges, decrypts, and hands the inside to [`parse_chain`].
//!
//! Strict where RFC 7296 is: every length must match, bytes behind an end are refused, reserved fields are
//! ignored on receipt and zero on sending. Encoding never fails: what does not fit the field that counts it
//! (a payload body over 65531 bytes, the 256th transform) is cut, and the peer sees a well-formed rest.

mod chain;
mod cp;
mod header;
mod notify;
mod opaque;
mod payloads;
mod sa;
mod ts;

pub use chain::{MAX_PAYLOADS, Payload, encode_chain, parse_chain};
pub use header::{Flags, Header, Message, Sealed};
pub use payloads::{
    Auth, Cert, CertReq, ConfigAttr, Cp, Delete, Id, KeyExchange, Notify, Proposal, Sa, Transform, Ts,
    TsSelector,
};
