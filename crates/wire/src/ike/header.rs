//! The IKE header (RFC 7296 3.1) and the split of a datagram into clear payloads and a sealed rest.
use super::chain::{GENERIC, Payload, ROOM, take_raw, walk, write_chain};
use crate::WireError;
use crate::codec::{Reader, Writer, count16};
use crate::iana::{ExchangeType, PayloadType};
use std::ops::Range;

/// Fragment number and total, behind the generic header of an SKF payload.
const FRAGMENT: usize = 4;

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

impl Header {
    /// Reads a header; checks only that the bytes are there. Version and length are the caller's to judge.
    /// An ISAKMP header (major version 1) has the same layout; its flags are kept as they are, while bits that
    /// IKEv2 reserves are dropped.
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> {
        Self::read(&mut Reader::new(datagram))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut r = Reader::new(r.take(Self::LEN, "IKE header")?);
        let spi_i = r.u64("initiator's SPI")?;
        let spi_r = r.u64("responder's SPI")?;
        let next = r.u8("next payload type")?.into();
        let version = r.u8("version")?;
        let (major, minor) = (version >> 4, version & 0x0f);
        let exchange = r.u8("exchange type")?.into();
        let flags = r.u8("flags")?;
        let flags =
            if major == 1 { Flags::from_bits_retain(flags) } else { Flags::from_bits_truncate(flags) };
        let message_id = r.u32("message id")?;
        let length = r.u32("length")?;
        Ok(Self { spi_i, spi_r, next, major, minor, exchange, flags, message_id, length })
    }

    /// Appends the 28 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::with_room(Self::LEN);
        self.write(&mut w);
        out.extend_from_slice(&w.into_vec());
    }

    fn write(&self, w: &mut Writer) {
        w.u64(self.spi_i).u64(self.spi_r).u8(self.next.into()).u8(self.major << 4 | self.minor & 0x0f);
        w.u8(self.exchange.into()).u8(self.flags.bits()).u32(self.message_id).u32(self.length);
    }
}

impl Message {
    /// Parses an IKEv2 datagram (without non-ESP marker). `length` must equal the datagram's.
    ///
    /// Errors: [`WireError::Version`] for another major version; [`WireError::UnsupportedCritical`].
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(datagram);
        let header = Header::read(&mut r)?;
        if header.major != 2 {
            return Err(WireError::Version(header.major, header.minor));
        }
        if usize::try_from(header.length) != Ok(datagram.len()) {
            return Err(WireError::Illegal { what: "message length", value: header.length.into() });
        }
        let (payloads, end) = walk(header.next, &mut r, &[PayloadType::Sk, PayloadType::Skf])?;
        let sealed = match end {
            PayloadType::Sk | PayloadType::Skf => Some(Sealed::read(end, &mut r)?),
            _ => None,
        };
        r.finish("bytes behind the last payload")?;
        Ok(Self { header, payloads, sealed })
    }

    /// Encodes header and clear payloads; fills in `next` and `length`.
    #[must_use]
    pub fn encode(header: Header, payloads: &[Payload]) -> Vec<u8> {
        let mut w = Writer::with_room(ROOM);
        w.zeros(Header::LEN);
        let next = write_chain(&mut w, payloads);
        let mut head = Writer::with_room(Header::LEN);
        Header { next, length: length32(w.len()), ..header }.write(&mut head);
        w.overwrite(0, &head.into_vec());
        w.into_vec()
    }

    /// Encodes header, clear payloads, and the head of an SK (or SKF) payload whose body (IV, ciphertext, ICV)
    /// shall have `body_len` bytes (at most 65531, or 65527 in a fragment; more is cut to that); returns the
    /// datagram with that many zero bytes at its end. Everything before them is the associated data.
    #[must_use]
    pub fn encode_sealed(
        header: Header,
        inner: PayloadType,
        fragment: Option<(u16, u16)>,
        body_len: usize,
    ) -> Vec<u8> {
        let (next, head_len) = match fragment {
            None => (PayloadType::Sk, GENERIC),
            Some(_) => (PayloadType::Skf, GENERIC + FRAGMENT),
        };
        let payload_len = body_len.saturating_add(head_len).min(usize::from(u16::MAX));
        let mut w = Writer::with_room(Header::LEN + payload_len);
        Header { next, length: length32(Header::LEN + payload_len), ..header }.write(&mut w);
        w.u8(inner.into()).u8(0).u16(count16(payload_len));
        if let Some((number, total)) = fragment {
            w.u16(number).u16(total);
        }
        w.zeros(payload_len - head_len);
        w.into_vec()
    }
}

impl Sealed {
    /// `kind` is SK or SKF. The payload's end is not yet known to be the datagram's: the caller finishes.
    fn read(kind: PayloadType, r: &mut Reader<'_>) -> Result<Self, WireError> {
        let raw = take_raw(r)?;
        let end = r.position();
        let mut body = Reader::new(raw.body);
        let fragment = if kind == PayloadType::Skf {
            let number = body.u16("fragment number")?;
            let total = body.u16("total fragments")?;
            // Fragment numbers begin with 1 and end with the total (RFC 7383 2.5).
            if number == 0 || number > total {
                return Err(WireError::Illegal { what: "fragment number", value: number.into() });
            }
            Some((number, total))
        } else {
            None
        };
        let start = end - body.len();
        Ok(Self { inner: raw.next, fragment, aad: 0..start, body: start..end })
    }
}

fn length32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
