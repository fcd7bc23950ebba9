//! ESP as it stands on the wire (RFC 4303 2): SPI and sequence number in front, padding, pad length and next
//! header behind. No allocation, no keys: what lies between is for whoever holds the SA.
use crate::WireError;
use crate::codec::Reader;

/// Next header of a dummy packet, to be thrown away (RFC 4303 2.6).
pub const NEXT_HEADER_DUMMY: u8 = 59;

/// The first eight bytes of an ESP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspHeader {
    /// Security Parameters Index, chosen by the receiver.
    pub spi: u32,
    /// Low 32 bits of the sequence number.
    pub seq: u32,
}

impl EspHeader {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// Reads the header. SPIs below 256 are reserved (2.1): refused, so that SPI 0 (the non-ESP marker) is never
    /// taken for an SA.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(packet);
        let (spi, seq) = (r.u32("ESP SPI")?, r.u32("ESP sequence number")?);
        if spi < 256 {
            return Err(WireError::Illegal { what: "ESP SPI", value: spi.into() });
        }
        Ok(Self { spi, seq })
    }

    /// The eight bytes.
    #[must_use]
    #[inline]
    pub fn encode(self) -> [u8; Self::LEN] {
        (u64::from(self.spi) << 32 | u64::from(self.seq)).to_be_bytes()
    }
}

/// The last two bytes of the plaintext of an ESP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspTrailer {
    /// Bytes of padding before the trailer.
    pub pad_len: u8,
    /// Protocol number of the payload: 4 and 41 in tunnel mode.
    pub next_header: u8,
}

impl EspTrailer {
    /// Length in bytes.
    pub const LEN: usize = 2;

    /// Reads the trailer off the end of a decrypted plaintext; gives the payload before the padding as well.
    /// The padding must be there and be 1, 2, 3, … (2.4). The packet must be authenticated already.
    #[inline]
    pub fn parse(plain: &[u8]) -> Result<(&[u8], Self), WireError> {
        let cut = |need| WireError::Truncated { what: "ESP trailer", need, have: plain.len() };
        let (rest, &[pad_len, next_header]) = plain.split_last_chunk::<2>().ok_or_else(|| cut(Self::LEN))?;
        let pad = usize::from(pad_len);
        let at = rest.len().checked_sub(pad).ok_or_else(|| cut(Self::LEN + pad))?;
        let (payload, padding) = rest.split_at_checked(at).ok_or_else(|| cut(Self::LEN + pad))?;
        // what ciphers without blocks leave, and whatever else there may be
        let right =
            matches!(padding, [] | [1] | [1, 2] | [1, 2, 3]) || padding.iter().copied().eq(1..=pad_len);
        if !right {
            return Err(WireError::Illegal { what: "ESP padding", value: pad_len.into() });
        }
        Ok((payload, Self { pad_len, next_header }))
    }

    /// Bytes of padding that make payload, padding and trailer a multiple of `block` (the cipher's block; at
    /// least 4, at most 255 are meant: 2.4). At most `block - 1`.
    #[must_use]
    pub fn padding_for(payload_len: usize, block: u8) -> u8 {
        let block = usize::from(block.max(4));
        let over = payload_len.wrapping_add(Self::LEN) % block;
        u8::try_from((block - over) % block).unwrap_or(0)
    }
}
