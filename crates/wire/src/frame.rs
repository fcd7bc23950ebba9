//! How IKE and ESP share a port: the non-ESP marker and the NAT keepalive in UDP (RFC 3948), length-framed
//! messages in a TCP stream (RFC 9329).
use crate::WireError;
use crate::codec::at_most;

/// Four zero bytes where an ESP packet has its SPI: an IKE message follows (RFC 3948 2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// The whole NAT keepalive datagram (RFC 3948 2.3).
pub const KEEPALIVE: u8 = 0xff;
/// First bytes of a TCP stream, sent by its originator only (RFC 9329 4).
pub const STREAM_PREFIX: &[u8; 6] = b"IKETCP";

/// What a datagram on the NAT-T port (or a frame of a TCP stream) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An IKE message, marker stripped.
    Ike(&'a [u8]),
    /// An ESP packet with a SPI other than 0.
    Esp(&'a [u8]),
    /// A NAT keepalive: nothing to do.
    Keepalive,
}

impl<'a> Frame<'a> {
    /// Sorts a datagram. Error: [`WireError::Truncated`] for fewer than four bytes that are no keepalive.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        match datagram {
            [KEEPALIVE] => Ok(Self::Keepalive),
            [0, 0, 0, 0, ike @ ..] => Ok(Self::Ike(ike)),
            [_, _, _, _, ..] => Ok(Self::Esp(datagram)),
            short => {
                Err(WireError::Truncated { what: "datagram on the NAT-T port", need: 4, have: short.len() })
            }
        }
    }
}

/// An IKE message with the non-ESP marker before it.
#[must_use]
pub fn with_marker(message: &[u8]) -> Vec<u8> {
    [&NON_ESP_MARKER, message].concat()
}

/// Bytes of the length field of a TCP frame; the length counts them.
const LENGTH: usize = 2;

/// Longest content of a TCP frame (marker included, length field not).
pub const MAX_FRAME: usize = 65535 - LENGTH;

/// A TCP frame around `content` (an IKE message with marker, or an ESP packet; [`MAX_FRAME`] bytes at most, more
/// is an error).
pub fn stream_frame(content: &[u8]) -> Result<Vec<u8>, WireError> {
    let length = u16::try_from(content.len().saturating_add(LENGTH))
        .map_err(|_| WireError::TooMany { what: "TCP frame", limit: MAX_FRAME })?;
    Ok([&length.to_be_bytes(), content].concat())
}

/// Cuts a TCP stream into frames. Holds at most one frame (64 KiB).
#[derive(Debug, Clone, Default)]
pub struct StreamSplitter {
    /// Bytes of the stream prefix still to come.
    prefix_left: usize,
    buffer: Vec<u8>,
    broken: bool,
}

impl StreamSplitter {
    /// `expect_prefix`: we accepted the connection, the peer sends [`STREAM_PREFIX`] first.
    #[must_use]
    pub fn new(expect_prefix: bool) -> Self {
        Self { prefix_left: if expect_prefix { STREAM_PREFIX.len() } else { 0 }, ..Self::default() }
    }

    /// Takes bytes off the front of `input` until a frame is complete, and returns its content (to be sorted by
    /// [`Frame::parse`]); `None`: `input` is used up. Call again until `None`.
    ///
    /// Errors: a wrong prefix; a length below 2. The stream has no frame boundary any more after that: close
    /// the connection (every later call fails, too).
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        let result = if self.broken { Err(broken(0)) } else { self.advance(input) };
        if result.is_err() {
            self.broken = true;
            self.buffer = Vec::new();
        }
        result
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        let expected = STREAM_PREFIX.get(STREAM_PREFIX.len() - self.prefix_left..).unwrap_or_default();
        for expected in expected {
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            if byte != expected {
                return Err(WireError::Illegal { what: "prefix of a TCP stream", value: u64::from(*byte) });
            }
            *input = rest;
            self.prefix_left -= 1;
        }
        self.fill(input, LENGTH);
        let Some((length, _)) = self.buffer.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < LENGTH {
            return Err(broken(length));
        }
        self.fill(input, length);
        if self.buffer.len() < length {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.buffer);
        frame.drain(..LENGTH);
        Ok(Some(frame))
    }

    /// Moves bytes until the buffer has `want` or the input ends.
    fn fill(&mut self, input: &mut &[u8], want: usize) {
        let moved = at_most(input, want.saturating_sub(self.buffer.len()));
        self.buffer.extend_from_slice(moved);
        *input = input.get(moved.len()..).unwrap_or_default();
    }
}

fn broken(length: usize) -> WireError {
    WireError::illegal("length of a TCP frame", length)
}
