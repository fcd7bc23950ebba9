//! Keyed digests behind one face: HMAC from aws-lc, HMAC-MD5 and the AES MACs from RustCrypto.

use aws_lc_rs::hmac as awslc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use wire::iana::Integ;

use crate::cbcmac::CbcMac;
use crate::{CryptoError, secret, table};

/// Bytes of the longest output (SHA-512).
pub(crate) const MAX_LEN: usize = 64;

/// A keyed digest. aws-lc cleanses its HMAC contexts when dropped; the others wipe through `zeroize`.
pub(crate) enum Mac {
    Hmac(Box<awslc::Key>),
    Md5(Box<Hmac<Md5>>),
    Cbc(Box<CbcMac>),
}

impl Mac {
    pub(crate) fn sha1(key: &[u8]) -> Self {
        Self::awslc(awslc::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key)
    }
    pub(crate) fn sha256(key: &[u8]) -> Self {
        Self::awslc(awslc::HMAC_SHA256, key)
    }
    pub(crate) fn sha384(key: &[u8]) -> Self {
        Self::awslc(awslc::HMAC_SHA384, key)
    }
    pub(crate) fn sha512(key: &[u8]) -> Self {
        Self::awslc(awslc::HMAC_SHA512, key)
    }
    fn awslc(algorithm: awslc::Algorithm, key: &[u8]) -> Self {
        Self::Hmac(Box::new(awslc::Key::new(algorithm, key)))
    }
    /// HMAC takes keys of every length, so the error never comes; it is passed on rather than asserted away.
    pub(crate) fn md5(key: &[u8]) -> Result<Self, CryptoError> {
        let mac = Hmac::<Md5>::new_from_slice(key).map_err(|_| CryptoError::Length {
            what: "HMAC key",
            want: 16,
            have: key.len(),
        })?;
        Ok(Self::Md5(Box::new(mac)))
    }
    pub(crate) fn xcbc(key: &[u8; 16]) -> Self {
        Self::Cbc(Box::new(CbcMac::xcbc(key)))
    }
    pub(crate) fn cmac(key: &[u8; 16]) -> Self {
        Self::Cbc(Box::new(CbcMac::cmac(key)))
    }

    /// The integrity transform `integ` under `key` (exactly [`table::integ_key_len`] bytes).
    pub(crate) fn integrity(integ: Integ, key: &[u8]) -> Result<Self, CryptoError> {
        let want = table::integ_key_len(integ)?;
        let wrong = CryptoError::Length { what: "integrity key", want, have: key.len() };
        if key.len() != want {
            return Err(wrong);
        }
        Ok(match integ {
            Integ::HmacMd5_96 | Integ::HmacMd5_128 => Self::md5(key)?,
            Integ::HmacSha1_96 | Integ::HmacSha1_160 => Self::sha1(key),
            Integ::HmacSha256_128 | Integ::HmacSha256_96 => Self::sha256(key),
            Integ::HmacSha384_192 => Self::sha384(key),
            Integ::HmacSha512_256 => Self::sha512(key),
            Integ::AesXcbc96 => Self::xcbc(key.try_into().map_err(|_| wrong)?),
            Integ::AesCmac96 => Self::cmac(key.try_into().map_err(|_| wrong)?),
            other => return Err(table::integ_unsupported(other)),
        })
    }

    /// The full-length digest of the concatenated parts and its length.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> ([u8; MAX_LEN], usize) {
        let mut out = [0_u8; MAX_LEN];
        let len = match self {
            Self::Hmac(key) => return hmac(key, parts.iter().copied()),
            Self::Md5(keyed) => {
                let mut context = (**keyed).clone();
                for part in parts {
                    context.update(part);
                }
                copy(&mut out, &context.finalize().into_bytes())
            }
            Self::Cbc(keyed) => copy(&mut out, &keyed.sign(parts)),
        };
        (out, len)
    }

    /// Writes the digest cut to the length of `tag`.
    pub(crate) fn tag(&self, parts: &[&[u8]], tag: &mut [u8]) {
        let (digest, _) = self.sign(parts);
        for (to, from) in tag.iter_mut().zip(digest) {
            *to = from;
        }
    }

    /// Whether `tag` is the digest cut to its length; constant time. An empty tag proves nothing and is refused.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), CryptoError> {
        let (digest, len) = self.sign(parts);
        let digest = digest.get(..len.min(tag.len())).unwrap_or_default();
        if !tag.is_empty() && secret::ct_eq(digest, tag) { Ok(()) } else { Err(CryptoError::Integrity) }
    }
}

/// HMAC over the concatenated parts, and its length.
pub(crate) fn hmac<'a>(
    key: &awslc::Key,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> ([u8; MAX_LEN], usize) {
    let mut context = awslc::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0_u8; MAX_LEN];
    let len = copy(&mut out, context.sign().as_ref());
    (out, len)
}

fn copy(out: &mut [u8; MAX_LEN], digest: &[u8]) -> usize {
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    digest.len().min(MAX_LEN)
}

#[cfg(test)]
mod tests;
