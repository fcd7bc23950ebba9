//! What protects the Encrypted payload of IKE messages in one direction (RFC 7296 3.14, RFC 5282).

use std::ops::Range;

use wire::iana::{Encr, Integ};

use crate::aead::Aead;
use crate::mac::Mac;
use crate::mode::Mode;
use crate::{CryptoError, table};

/// The keyed transforms of one direction of one IKE SA. The keys are wiped on drop.
pub struct IkeCipher {
    body: Body,
    iv_len: usize,
    icv_len: usize,
    block: usize,
    counter_iv: bool,
    encr: Encr,
    integ: Integ,
}

enum Body {
    Aead(Aead),
    Mac(Mode, Mac),
}

impl std::fmt::Debug for IkeCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IkeCipher({:?}, {:?})", self.encr, self.integ)
    }
}

impl IkeCipher {
    /// Sets the transforms up. `key_bits` is the Key Length attribute, 0 for transforms without one. `sk_e` has
    /// [`table::key_len`] bytes (salt included), `sk_a` [`table::integ_key_len`] bytes.
    ///
    /// # Errors
    /// An algorithm that is not available or that IKE must not use (NULL), or a key of the wrong length.
    pub fn new(
        encr: Encr,
        key_bits: u16,
        integ: Integ,
        sk_e: &[u8],
        sk_a: &[u8],
    ) -> Result<Self, CryptoError> {
        if matches!(encr, Encr::Null | Encr::NullAesGmac) {
            return Err(CryptoError::Unsupported {
                name: table::encr_name(encr, key_bits),
                reason: "IKE messages must be encrypted (RFC 7296 3.3.2, RFC 4543 4)",
            });
        }
        let want = table::key_len(encr, key_bits)?;
        if sk_e.len() != want {
            return Err(CryptoError::Length { what: "SK_e", want, have: sk_e.len() });
        }
        let shape = table::shape(encr)?;
        let (body, icv_len) = if table::encr_is_aead(encr) {
            if !sk_a.is_empty() || integ != Integ::None {
                return Err(table::integ_beside_aead(integ));
            }
            (Body::Aead(Aead::new(encr, sk_e)?), shape.tag)
        } else {
            (Body::Mac(Mode::new(encr, sk_e)?, Mac::integrity(integ, sk_a)?), table::icv_len(integ)?)
        };
        Ok(Self {
            body,
            iv_len: shape.iv,
            icv_len,
            block: shape.block,
            counter_iv: shape.block == 1,
            encr,
            integ,
        })
    }

    /// Bytes of the IV that opens the payload body.
    #[must_use]
    pub fn iv_len(&self) -> usize {
        self.iv_len
    }

    /// Whether the IV is a number that must never repeat (AEAD, CTR) rather than unpredictable bytes (CBC).
    #[must_use]
    pub fn iv_is_counter(&self) -> bool {
        self.counter_iv
    }

    /// Bytes of the integrity check value that ends the message.
    #[must_use]
    pub fn icv_len(&self) -> usize {
        self.icv_len
    }

    /// Plaintext, padding and pad length together are a multiple of this many bytes.
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.block
    }

    /// Bytes of IV, padded plaintext, pad length and ICV for `plain_len` bytes of inner payloads.
    #[must_use]
    pub fn body_len(&self, plain_len: usize) -> usize {
        let padded = plain_len.saturating_add(1).checked_next_multiple_of(self.block).unwrap_or(usize::MAX);
        padded.saturating_add(self.iv_len + self.icv_len)
    }

    /// Writes the protected body over `datagram[aad_end..]`, which has [`Self::body_len`] bytes. Everything before
    /// `aad_end` (IKE header to the header of the Encrypted payload) must be final: it is authenticated. `iv` has
    /// [`Self::iv_len`] bytes and obeys [`Self::iv_is_counter`].
    ///
    /// # Errors
    /// A body or IV of the wrong length.
    pub fn seal(
        &self,
        datagram: &mut [u8],
        aad_end: usize,
        plain: &[u8],
        iv: &[u8],
    ) -> Result<(), CryptoError> {
        let want = self.body_len(plain.len());
        let have = datagram.len().saturating_sub(aad_end);
        if have != want {
            return Err(CryptoError::Length { what: "Encrypted payload body", want, have });
        }
        if iv.len() != self.iv_len {
            return Err(CryptoError::Length { what: "IV", want: self.iv_len, have: iv.len() });
        }
        let Cut { aad, iv: iv_room, data, icv } = self.cut(datagram, aad_end)?;
        iv_room.copy_from_slice(iv);
        let (text, padding) = data.split_at_mut_checked(plain.len()).ok_or(CryptoError::Integrity)?;
        text.copy_from_slice(plain);
        padding.fill(0);
        let pad_len = u8::try_from(padding.len().saturating_sub(1)).map_err(|_| CryptoError::Integrity)?;
        if let Some(last) = padding.last_mut() {
            *last = pad_len;
        }
        match &self.body {
            Body::Aead(aead) => {
                let iv = <[u8; 8]>::try_from(iv).map_err(|_| CryptoError::Integrity)?;
                aead.seal(iv, aad, data, icv)
            }
            Body::Mac(mode, mac) => {
                mode.encrypt(iv_room, data)?;
                mac.tag(&[aad, iv_room, data], icv);
                Ok(())
            }
        }
    }

    /// Opens the body at `datagram[aad_end..]` in place; the datagram ends with the message. Gives the range of the inner
    /// payloads, padding removed. After an error the content of the body is undefined.
    ///
    /// # Errors
    /// A body too short, of a length no sender makes, failing the integrity check, or with an impossible pad length.
    pub fn open(&self, datagram: &mut [u8], aad_end: usize) -> Result<Range<usize>, CryptoError> {
        let Cut { aad, iv, data, icv } = self.cut(datagram, aad_end)?;
        match &self.body {
            Body::Aead(aead) => {
                let iv = <[u8; 8]>::try_from(&*iv).map_err(|_| CryptoError::Integrity)?;
                aead.open(iv, aad, data, icv)?;
            }
            Body::Mac(mode, mac) => {
                mac.verify(&[aad, iv, data], icv)?;
                mode.decrypt(iv, data)?;
            }
        }
        // The padding itself is of the sender's choice (RFC 7296 3.14), so only its length is judged.
        let pad = data.last().map_or(0, |last| usize::from(*last) + 1);
        let len = data.len().checked_sub(pad).ok_or(CryptoError::Integrity)?;
        let start = aad_end + self.iv_len;
        Ok(start..start + len)
    }

    fn cut<'a>(&self, datagram: &'a mut [u8], aad_end: usize) -> Result<Cut<'a>, CryptoError> {
        let short = CryptoError::Length {
            what: "Encrypted payload body, at least,",
            want: self.body_len(0),
            have: datagram.len().saturating_sub(aad_end),
        };
        let (aad, rest) = datagram.split_at_mut_checked(aad_end).ok_or(short.clone())?;
        let (iv, rest) = rest.split_at_mut_checked(self.iv_len).ok_or(short.clone())?;
        let data_len = rest.len().checked_sub(self.icv_len).ok_or(short.clone())?;
        let (data, icv) = rest.split_at_mut_checked(data_len).ok_or(short.clone())?;
        if data.is_empty() {
            return Err(short);
        }
        if data_len % self.block != 0 {
            return Err(table::partial_block(self.block, data_len));
        }
        Ok(Cut { aad, iv, data, icv })
    }
}

struct Cut<'a> {
    aad: &'a [u8],
    iv: &'a mut [u8],
    data: &'a mut [u8],
    icv: &'a mut [u8],
}
