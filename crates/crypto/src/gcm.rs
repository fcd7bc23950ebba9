//! GCM tags computed by hand from GHASH and CTR (NIST SP 800-38D): aws-lc knows only 16-byte tags over one piece of
//! associated data, while IPsec also wants 8 and 12 bytes (RFC 4106) and GMAC over scattered pieces (RFC 4543).

use aws_lc_rs::cipher::EncryptingKey;
use ghash::universal_hash::UniversalHash as _;
use ghash::{Block, GHash};
use zeroize::Zeroize as _;

use crate::{CryptoError, mode, secret};

/// One AES key for GHASH and CTR.
pub(crate) struct ShortGcm {
    ghash: GHash,
    ctr: EncryptingKey,
}

impl ShortGcm {
    pub(crate) fn new(key: &[u8]) -> Result<Self, CryptoError> {
        let ctr = mode::aes_ctr(key)?;
        let mut h = [0_u8; 16];
        mode::aes_ctr_apply(&ctr, [0; 16], &mut h)?;
        let ghash = GHash::new(&Block::from(h));
        h.zeroize();
        Ok(Self { ghash, ctr })
    }

    /// The full tag over the concatenated `aad` and the ciphertext.
    pub(crate) fn tag(
        &self,
        nonce: [u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
    ) -> Result<[u8; 16], CryptoError> {
        let mut hash = self.ghash.clone();
        absorb(&mut hash, aad);
        hash.update_padded(ciphertext);
        let bits = |bytes: usize| u128::try_from(bytes).unwrap_or_default() << 3;
        let lengths = (bits(aad.iter().map(|part| part.len()).sum()) << 64) | bits(ciphertext.len());
        hash.update(&[Block::from(lengths.to_be_bytes())]);
        let mut tag: [u8; 16] = hash.finalize().into();
        mode::aes_ctr_apply(&self.ctr, counter(nonce, 1), &mut tag)?;
        Ok(tag)
    }

    /// Compares `tag`, cut short or not, in constant time. Fewer than 8 bytes prove too little and are refused.
    pub(crate) fn check(
        &self,
        nonce: [u8; 12],
        aad: &[&[u8]],
        data: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        let made = self.tag(nonce, aad, data)?;
        match made.get(..tag.len()) {
            Some(made) if tag.len() >= 8 && secret::ct_eq(made, tag) => Ok(()),
            _ => Err(CryptoError::Integrity),
        }
    }

    /// Decrypts in place, to be called after [`Self::check`].
    pub(crate) fn decrypt(&self, nonce: [u8; 12], data: &mut [u8]) -> Result<(), CryptoError> {
        mode::aes_ctr_apply(&self.ctr, counter(nonce, 2), data)
    }
}

fn counter(nonce: [u8; 12], n: u8) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = nonce;
    [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, n]
}

/// Feeds the concatenation, padded once at its end.
fn absorb(hash: &mut GHash, parts: &[&[u8]]) {
    let mut held = [0_u8; 16];
    let mut have = 0_usize;
    for part in parts {
        let take = if have == 0 { 0 } else { part.len().min(16 - have) };
        let (fill, rest) = part.split_at_checked(take).unwrap_or((part, &[]));
        for (to, from) in held.iter_mut().skip(have).zip(fill) {
            *to = *from;
        }
        have += fill.len();
        if have < 16 && have > 0 {
            continue;
        }
        if have == 16 {
            hash.update(&[Block::from(held)]);
        }
        let (blocks, tail) = Block::slice_as_chunks(rest);
        hash.update(blocks);
        for (to, from) in held.iter_mut().zip(tail) {
            *to = *from;
        }
        have = tail.len();
    }
    hash.update_padded(held.get(..have).unwrap_or_default());
}
