//! Encryption without integrity of its own: CBC, CTR and NULL. A MAC always goes with it.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use wire::iana::Encr;
use zeroize::Zeroize as _;

use crate::{CryptoError, soft, table};

/// A keyed cipher. aws-lc-rs wipes its key schedules on drop.
pub(crate) enum Mode {
    Null,
    AesCbc(Box<(EncryptingKey, DecryptingKey)>),
    SoftCbc(Box<dyn soft::Cbc>, usize),
    AesCtr(Box<EncryptingKey>, Nonce),
    SoftCtr(Box<dyn soft::Ctr>, Nonce),
}

/// The nonce that RFC 3686 takes from the key material; wiped on drop.
pub(crate) struct Nonce([u8; 4]);

impl Drop for Nonce {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn wrong(have: usize) -> CryptoError {
    CryptoError::Length { what: "encryption key", want: 32, have }
}

fn aes(key: &[u8]) -> Result<UnboundCipherKey, CryptoError> {
    let algorithm: &'static Algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| wrong(key.len()))
}

/// An AES key in counter mode.
pub(crate) fn aes_ctr(key: &[u8]) -> Result<EncryptingKey, CryptoError> {
    EncryptingKey::ctr(aes(key)?).map_err(|_| wrong(key.len()))
}

/// Runs the keystream from `counter` (big-endian, last 32 bits count) over `data`.
pub(crate) fn aes_ctr_apply(
    key: &EncryptingKey,
    counter: [u8; 16],
    data: &mut [u8],
) -> Result<(), CryptoError> {
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(counter)))
        .map(drop)
        .map_err(|_| CryptoError::Integrity)
}

impl Mode {
    /// `key` includes the nonce of counter modes; its length was checked by the caller.
    pub(crate) fn new(encr: Encr, key: &[u8]) -> Result<Self, CryptoError> {
        let split = || -> Result<(&[u8], Nonce), CryptoError> {
            let (key, nonce) = key.split_last_chunk::<4>().ok_or(wrong(key.len()))?;
            Ok((key, Nonce(*nonce)))
        };
        Ok(match encr {
            Encr::Null => Self::Null,
            Encr::AesCbc => Self::AesCbc(Box::new((
                EncryptingKey::cbc(aes(key)?).map_err(|_| wrong(key.len()))?,
                DecryptingKey::cbc(aes(key)?).map_err(|_| wrong(key.len()))?,
            ))),
            Encr::TripleDes => Self::SoftCbc(soft::triple_des_cbc(key)?, 8),
            Encr::CamelliaCbc => Self::SoftCbc(soft::camellia_cbc(key)?, 16),
            Encr::AesCtr => {
                let (key, nonce) = split()?;
                Self::AesCtr(Box::new(aes_ctr(key)?), nonce)
            }
            Encr::CamelliaCtr => {
                let (key, nonce) = split()?;
                Self::SoftCtr(soft::camellia_ctr(key)?, nonce)
            }
            other => return Err(table::encr_unsupported(other, 0)),
        })
    }

    pub(crate) fn encrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        match self {
            Self::Null => Ok(()),
            Self::AesCbc(keys) => {
                let have = data.len();
                let context = EncryptionContext::Iv128(FixedLength::from(block(iv)?));
                keys.0.less_safe_encrypt(data, context).map(drop).map_err(|_| table::partial_block(16, have))
            }
            Self::SoftCbc(cbc, _) => cbc.encrypt(iv, data),
            Self::AesCtr(key, nonce) => aes_ctr_apply(key, counter(nonce, iv)?, data),
            Self::SoftCtr(ctr, nonce) => ctr.apply(&counter(nonce, iv)?, data),
        }
    }

    pub(crate) fn decrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        match self {
            Self::AesCbc(keys) => {
                let have = data.len();
                let context = DecryptionContext::Iv128(FixedLength::from(block(iv)?));
                keys.1.decrypt(data, context).map(drop).map_err(|_| table::partial_block(16, have))
            }
            Self::SoftCbc(cbc, _) => cbc.decrypt(iv, data),
            // The keystream is its own inverse.
            Self::Null | Self::AesCtr(..) | Self::SoftCtr(..) => self.encrypt(iv, data),
        }
    }

    /// Fills `iv` for the packet numbered `seed`: counter modes take the number itself; CBC takes the encryption of the
    /// number under the same key, which nobody without the key can predict (NIST SP 800-38A, appendix C).
    pub(crate) fn make_iv(&self, seed: u64, iv: &mut [u8]) -> Result<(), CryptoError> {
        let zero = [0_u8; 16];
        iv.fill(0);
        for (to, from) in iv.iter_mut().zip(seed.to_be_bytes()) {
            *to = from;
        }
        match self {
            Self::AesCbc(_) => self.encrypt(&zero, iv),
            Self::SoftCbc(cbc, block) => cbc.encrypt(zero.get(..*block).unwrap_or_default(), iv),
            Self::Null | Self::AesCtr(..) | Self::SoftCtr(..) => Ok(()),
        }
    }
}

fn block(iv: &[u8]) -> Result<[u8; 16], CryptoError> {
    iv.try_into().map_err(|_| CryptoError::Length { what: "IV", want: 16, have: iv.len() })
}

/// RFC 3686 4: nonce, IV, and a block counter starting at one.
fn counter(nonce: &Nonce, iv: &[u8]) -> Result<[u8; 16], CryptoError> {
    let iv: [u8; 8] =
        iv.try_into().map_err(|_| CryptoError::Length { what: "IV", want: 8, have: iv.len() })?;
    let [a, b, c, d] = nonce.0;
    let [e, f, g, h, i, j, k, l] = iv;
    Ok([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1])
}

#[cfg(test)]
mod tests;
