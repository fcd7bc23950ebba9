//! What protects the packets of one ESP SA in one direction (RFC 4303), in place and without allocation.

use std::ops::Range;

use wire::iana::{Encr, Integ};

use crate::aead::Sleeper;
use crate::mac::Mac;
use crate::mode::Mode;
use crate::{CryptoError, table};

/// SPI and sequence number.
const HEADER: usize = 8;

/// The keyed transforms of one direction of one SA. `Send + Sync`; the keys are wiped on drop.
pub struct EspCipher {
    body: Body,
    iv_len: u8,
    icv_len: u8,
    align: u8,
    block: u8,
    encr: Encr,
    integ: Integ,
}

enum Body {
    Aead(Sleeper),
    Mac(Mode, Mac),
}

impl std::fmt::Debug for EspCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EspCipher({:?}, {:?})", self.encr, self.integ)
    }
}

impl EspCipher {
    /// Sets the transforms up. `key_bits` is the Key Length attribute, 0 for transforms without one. `encr_key` has
    /// [`table::key_len`] bytes (salt included), `integ_key` [`table::integ_key_len`] bytes.
    ///
    /// # Errors
    /// An algorithm that is not available, a key of the wrong length, or encryption without integrity (RFC 8221 4).
    pub fn new(
        encr: Encr,
        key_bits: u16,
        integ: Integ,
        encr_key: &[u8],
        integ_key: &[u8],
    ) -> Result<Self, CryptoError> {
        let want = table::key_len(encr, key_bits)?;
        if encr_key.len() != want {
            return Err(CryptoError::Length { what: "encryption key", want, have: encr_key.len() });
        }
        let shape = table::shape(encr)?;
        let (body, icv_len) = if table::encr_is_aead(encr) {
            if !integ_key.is_empty() || integ != Integ::None {
                return Err(table::integ_beside_aead(integ));
            }
            (Body::Aead(Sleeper::new(encr, encr_key)?), shape.tag)
        } else {
            (Body::Mac(Mode::new(encr, encr_key)?, Mac::integrity(integ, integ_key)?), table::icv_len(integ)?)
        };
        let small = |len: usize| {
            u8::try_from(len).map_err(|_| CryptoError::Length {
                what: "field of a packet",
                want: 255,
                have: len,
            })
        };
        Ok(Self {
            body,
            iv_len: small(shape.iv)?,
            icv_len: small(icv_len)?,
            align: small(shape.block.max(4))?,
            block: small(shape.block)?,
            encr,
            integ,
        })
    }

    /// Bytes of the IV that each packet carries.
    #[must_use]
    #[inline]
    pub fn iv_len(&self) -> usize {
        usize::from(self.iv_len)
    }

    /// Bytes of the integrity check value that ends each packet.
    #[must_use]
    #[inline]
    pub fn icv_len(&self) -> usize {
        usize::from(self.icv_len)
    }

    /// The plaintext with its trailer is padded to a multiple of this many bytes (RFC 4303 2.4: at least 4).
    #[must_use]
    #[inline]
    pub fn align(&self) -> usize {
        usize::from(self.align)
    }

    /// Seals a packet in place: SPI, sequence number, room for the IV, plaintext with trailer, room for the ICV.
    /// `esn_high` is the upper half of an extended sequence number, which is authenticated and not sent. `iv_seed` must
    /// never repeat under one key; the sequence number is the natural choice.
    ///
    /// # Errors
    /// A packet too short or with a plaintext that is no multiple of the block length.
    #[inline]
    pub fn seal(&self, esn_high: Option<u32>, packet: &mut [u8], iv_seed: u64) -> Result<(), CryptoError> {
        let Cut { header, iv, data, icv } = self.cut(packet)?;
        match &self.body {
            Body::Aead(aead) => {
                let number = iv_seed.to_be_bytes();
                iv.copy_from_slice(&number);
                let (aad, len) = associated(header, esn_high);
                aead.get()?.seal(number, aad.get(..len).unwrap_or_default(), data, icv)
            }
            Body::Mac(mode, mac) => {
                mode.make_iv(iv_seed, iv)?;
                mode.encrypt(iv, data)?;
                let high = esn_high.map(u32::to_be_bytes);
                mac.tag(&[header, iv, data, high.as_ref().map_or(&[], |high| high)], icv);
                Ok(())
            }
        }
    }

    /// Opens a packet in place and says where its plaintext, trailer included, lies. After an error the content of the
    /// packet is undefined.
    ///
    /// # Errors
    /// A packet too short, of a length no sender makes, or that fails the integrity check.
    #[inline]
    pub fn open(&self, esn_high: Option<u32>, packet: &mut [u8]) -> Result<Range<usize>, CryptoError> {
        let end = packet.len().saturating_sub(self.icv_len());
        let Cut { header, iv, data, icv } = self.cut(packet)?;
        match &self.body {
            Body::Aead(aead) => {
                let number = <[u8; 8]>::try_from(&*iv).map_err(|_| CryptoError::Integrity)?;
                let (aad, len) = associated(header, esn_high);
                aead.get()?.open(number, aad.get(..len).unwrap_or_default(), data, icv)?;
            }
            Body::Mac(mode, mac) => {
                let high = esn_high.map(u32::to_be_bytes);
                mac.verify(&[header, iv, data, high.as_ref().map_or(&[], |high| high)], icv)?;
                mode.decrypt(iv, data)?;
            }
        }
        Ok(HEADER + self.iv_len()..end)
    }

    #[inline]
    fn cut<'a>(&self, packet: &'a mut [u8]) -> Result<Cut<'a>, CryptoError> {
        let short = CryptoError::Length {
            what: "ESP packet, at least,",
            want: HEADER + self.iv_len() + self.icv_len(),
            have: packet.len(),
        };
        let (header, rest) = packet.split_first_chunk_mut::<HEADER>().ok_or(short.clone())?;
        let (iv, rest) = rest.split_at_mut_checked(self.iv_len()).ok_or(short.clone())?;
        let data_len = rest.len().checked_sub(self.icv_len()).ok_or(short.clone())?;
        let (data, icv) = rest.split_at_mut_checked(data_len).ok_or(short)?;
        let block = usize::from(self.block);
        if block > 1 && data_len % block != 0 {
            return Err(table::partial_block(block, data_len));
        }
        Ok(Cut { header, iv, data, icv })
    }
}

struct Cut<'a> {
    header: &'a [u8; HEADER],
    iv: &'a mut [u8],
    data: &'a mut [u8],
    icv: &'a mut [u8],
}

/// RFC 4106 5: SPI, then the sequence number, extended if so agreed.
#[inline]
fn associated(header: &[u8; HEADER], esn_high: Option<u32>) -> ([u8; 12], usize) {
    let [a, b, c, d, e, f, g, h] = *header;
    match esn_high.map(u32::to_be_bytes) {
        Some([w, x, y, z]) => ([a, b, c, d, w, x, y, z, e, f, g, h], 12),
        None => ([a, b, c, d, e, f, g, h, 0, 0, 0, 0], 8),
    }
}
