//! IKEv2 messages (RFC 7296 3, RFC 7383): header, payload chain, payloads.
//!
//! [`Message::parse`] opens what is in the clear. What is behind an SK or SKF payload stays sealed: the
//! caller gets the ranges, decrypts, and hands the inside to [`parse_chain`].

mod chain;
mod header;
mod payloads;

pub use chain::{Payload, encode_chain, parse_chain};
pub use header::{Flags, Header, Message, Sealed};
pub use payloads::{
    Auth, Cert, CertReq, ConfigAttr, Cp, Delete, Id, KeyExchange, Notify, Proposal, Sa, Transform, Ts, TsSelector,
};
