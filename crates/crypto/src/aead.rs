//! Authenticated encryption: GCM, CCM, ChaCha20-Poly1305 and GMAC behind one face.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use std::sync::OnceLock;
use wire::iana::Encr;
use zeroize::Zeroize as _;

use crate::gcm::ShortGcm;
use crate::{CryptoError, Secret, soft, table};

/// A keyed AEAD with its salt. aws-lc cleanses its contexts when freed; the others wipe through `zeroize`.
pub(crate) struct Aead {
    engine: Engine,
    salt: [u8; 4],
}

/// An AEAD that comes to be when it is first used. Expanded, a key takes thirty times its own room, and most SAs of a
/// gateway with very many are idle.
pub(crate) struct Sleeper {
    key: Secret,
    encr: Encr,
    awake: OnceLock<Box<Aead>>,
}

impl Sleeper {
    /// As [`Aead::new`].
    pub(crate) fn new(encr: Encr, key: &[u8]) -> Result<Self, CryptoError> {
        let sleeper = Self { key: Secret::from(key), encr, awake: OnceLock::new() };
        // For these a key of the right length is a good one.
        if !matches!(encr, Encr::AesGcm16 | Encr::ChaCha20Poly1305) {
            sleeper.get()?;
        }
        Ok(sleeper)
    }

    /// The AEAD. Only the first call allocates.
    #[inline]
    pub(crate) fn get(&self) -> Result<&Aead, CryptoError> {
        match self.awake.get() {
            Some(aead) => Ok(aead),
            None => self.wake(),
        }
    }

    #[cold]
    fn wake(&self) -> Result<&Aead, CryptoError> {
        let aead = Box::new(Aead::new(self.encr, self.key.as_slice())?);
        Ok(self.awake.get_or_init(|| aead))
    }
}

enum Engine {
    /// Full-length tags.
    AwsLc(LessSafeKey),
    /// Tags cut to 8 or 12 bytes: aws-lc seals, GHASH and CTR open.
    ShortGcm(LessSafeKey, Box<ShortGcm>),
    /// NULL_AES_GMAC (RFC 4543): nothing encrypted, everything authenticated.
    Gmac(Box<ShortGcm>),
    Ccm(Box<dyn soft::CcmFace>),
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl Aead {
    /// `key` ends with the salt: 4 bytes, or 3 for CCM. Its length was checked by the caller.
    pub(crate) fn new(encr: Encr, key: &[u8]) -> Result<Self, CryptoError> {
        let wrong = CryptoError::Length { what: "encryption key", want: 36, have: key.len() };
        let salt_len = table::salt_len(encr);
        let (key, given) = key.split_at_checked(key.len().saturating_sub(salt_len)).ok_or(wrong.clone())?;
        let mut salt = [0; 4];
        for (to, from) in salt.iter_mut().zip(given) {
            *to = *from;
        }
        let awslc = || {
            let algorithm = match (encr, key.len()) {
                (Encr::ChaCha20Poly1305, _) => &CHACHA20_POLY1305,
                (_, 16) => &AES_128_GCM,
                (_, 24) => &AES_192_GCM,
                _ => &AES_256_GCM,
            };
            UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| wrong.clone())
        };
        let engine = match encr {
            Encr::AesGcm16 | Encr::ChaCha20Poly1305 => Engine::AwsLc(awslc()?),
            Encr::AesGcm8 | Encr::AesGcm12 => Engine::ShortGcm(awslc()?, Box::new(ShortGcm::new(key)?)),
            Encr::NullAesGmac => Engine::Gmac(Box::new(ShortGcm::new(key)?)),
            _ => Engine::Ccm(soft::ccm(encr, key)?),
        };
        Ok(Self { engine, salt })
    }

    /// Encrypts `data` in place and writes the tag, whose length is that of the slice.
    #[inline]
    pub(crate) fn seal(
        &self,
        iv: [u8; 8],
        aad: &[u8],
        data: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        match &self.engine {
            Engine::AwsLc(key) | Engine::ShortGcm(key, _) => {
                let nonce = Nonce::assume_unique_for_key(self.nonce(iv));
                let made = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
                    .map_err(|_| CryptoError::Integrity)?;
                for (to, from) in tag.iter_mut().zip(made.as_ref()) {
                    *to = *from;
                }
                Ok(())
            }
            Engine::Gmac(gmac) => {
                let made = gmac.tag(self.nonce(iv), &[aad, &iv, data], &[])?;
                for (to, from) in tag.iter_mut().zip(made) {
                    *to = from;
                }
                Ok(())
            }
            Engine::Ccm(ccm) => ccm.seal(&self.ccm_nonce(iv), aad, data, tag),
        }
    }

    /// Verifies and decrypts `data` in place; after an error its content is undefined.
    #[inline]
    pub(crate) fn open(
        &self,
        iv: [u8; 8],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        match &self.engine {
            Engine::AwsLc(key) => key
                .open_in_place_separate_tag(
                    Nonce::assume_unique_for_key(self.nonce(iv)),
                    Aad::from(aad),
                    tag,
                    data,
                )
                .map(drop)
                .map_err(|_| CryptoError::Integrity),
            Engine::ShortGcm(_, gcm) => {
                let nonce = self.nonce(iv);
                gcm.check(nonce, &[aad], data, tag)?;
                gcm.decrypt(nonce, data)
            }
            Engine::Gmac(gmac) => gmac.check(self.nonce(iv), &[aad, &iv, data], &[], tag),
            Engine::Ccm(ccm) => ccm.open(&self.ccm_nonce(iv), aad, data, tag),
        }
    }

    #[inline]
    fn nonce(&self, iv: [u8; 8]) -> [u8; 12] {
        let [a, b, c, d] = self.salt;
        let [e, f, g, h, i, j, k, l] = iv;
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn ccm_nonce(&self, iv: [u8; 8]) -> [u8; 11] {
        let [a, b, c, _] = self.salt;
        let [e, f, g, h, i, j, k, l] = iv;
        [a, b, c, e, f, g, h, i, j, k, l]
    }
}

#[cfg(test)]
mod tests;
