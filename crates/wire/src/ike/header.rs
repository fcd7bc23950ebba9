//! The IKE header (RFC 7296 3.1) and the split of a datagram into clear payloads and a sealed rest.
use super::Payload;
use crate::WireError;
use crate::iana::{ExchangeType, PayloadType};
use std::ops::Range;

bitflags::bitflags! {
    /// Header flags.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// Sent by the original initiator of the IKE_SA.
        const INITIATOR = 0x08;
        /// A higher major version is possible.
        const VERSION = 0x10;
        /// A response.
        const RESPONSE = 0x20;
    }
}

/// The 28-byte IKE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Initiator's SPI.
    pub spi_i: u64,
    /// Responder's SPI, 0 in the first message.
    pub spi_r: u64,
    /// Type of the first payload.
    pub next: PayloadType,
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Exchange type.
    pub exchange: ExchangeType,
    /// Flags.
    pub flags: Flags,
    /// Message ID.
    pub message_id: u32,
    /// Length of the whole message in bytes, header included.
    pub length: u32,
}

/// Where an SK (3.14) or SKF (RFC 7383 2.5) payload lies in the datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Type of the first payload inside.
    pub inner: PayloadType,
    /// `(number, total)` of an SKF fragment, numbers from 1.
    pub fragment: Option<(u16, u16)>,
    /// Header to authenticate: from the start of the datagram to the IV.
    pub aad: Range<usize>,
    /// IV, ciphertext and checksum.
    pub body: Range<usize>,
}

/// A datagram, opened as far as it goes without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Header.
    pub header: Header,
    /// Payloads in the clear, before the SK payload if there is one.
    pub payloads: Vec<Payload>,
    /// The encrypted payload, always the last.
    pub sealed: Option<Sealed>,
}

impl Header {
    /// Length in bytes.
    pub const LEN: usize = 28;
}

#[allow(unused, reason = "contract")]
impl Header {
    /// Reads a header; checks only that the bytes are there. Version and length are the caller's to judge.
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> { todo!() }
    /// Appends the 28 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) { todo!() }
}
#[allow(unused, reason = "contract")]
impl Message {
    /// Parses an IKEv2 datagram (without non-ESP marker). `length` must equal the datagram's.
    ///
    /// Errors: [`WireError::Version`] for another major version; [`WireError::UnsupportedCritical`].
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> { todo!() }
    /// Encodes header and clear payloads; fills in `next` and `length`.
    pub fn encode(header: Header, payloads: &[Payload]) -> Vec<u8> { todo!() }
    /// Encodes header, clear payloads, and the head of an SK (or SKF) payload whose body (IV, ciphertext, ICV)
    /// shall have `body_len` bytes; returns the datagram with that many zero bytes at its end. Everything before
    /// them is the associated data.
    pub fn encode_sealed(header: Header, inner: PayloadType, fragment: Option<(u16, u16)>, body_len: usize) -> Vec<u8> { todo!() }
}
