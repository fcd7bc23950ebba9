//! Pseudo-random functions: prf and prf+ of RFC 7296 2.13, and the bare SHA-1 of NAT detection.

use aws_lc_rs::hmac as awslc;
use wire::iana::Prf;

use crate::mac::{self, MAX_LEN, Mac};
use crate::{CryptoError, Secret, table};

/// Preferred key length in bytes: what SK_d, SK_pi and SK_pr get (RFC 7296 2.13).
///
/// # Errors
/// The function is not available.
pub fn key_len(prf: Prf) -> Result<usize, CryptoError> {
    output_len(prf)
}

/// Output length in bytes.
///
/// # Errors
/// The function is not available.
pub fn output_len(prf: Prf) -> Result<usize, CryptoError> {
    Ok(match prf {
        Prf::HmacMd5 | Prf::Aes128Xcbc | Prf::Aes128Cmac => 16,
        Prf::HmacSha1 => 20,
        Prf::HmacSha256 => 32,
        Prf::HmacSha384 => 48,
        Prf::HmacSha512 => 64,
        other @ Prf::Unknown(_) => return Err(table::prf_unsupported(other)),
    })
}

/// `Some(16)` for the AES functions, whose key RFC 7296 2.14 treats as of fixed size: SKEYSEED is then keyed with the
/// first half of that many bytes of each nonce. `None`: a key of any length, both nonces whole.
#[must_use]
pub fn fixed_key_len(prf: Prf) -> Option<usize> {
    matches!(prf, Prf::Aes128Xcbc | Prf::Aes128Cmac).then_some(16)
}

/// prf(key, parts concatenated). Keys of any length; the AES functions adapt theirs (RFC 4434 2, RFC 4615 3).
///
/// # Errors
/// The function is not available.
pub fn compute(prf: Prf, key: &[u8], parts: &[&[u8]]) -> Result<Secret, CryptoError> {
    with(prf, key, |sign| Ok(Secret::from(sign(&[], parts, &[]).as_slice())))
}

/// The first `len` bytes of prf+(key, seed concatenated) (RFC 7296 2.13).
///
/// # Errors
/// The function is not available, or `len` needs more than 255 blocks.
pub fn plus(prf: Prf, key: &[u8], seed: &[&[u8]], len: usize) -> Result<Secret, CryptoError> {
    let block = output_len(prf)?;
    with(prf, key, |sign| {
        let mut out = Secret::zeroed(len);
        let mut previous = Digest::default();
        for (index, chunk) in out.as_mut_slice().chunks_mut(block).enumerate() {
            let number = u8::try_from(index + 1).map_err(|_| CryptoError::Length {
                what: "prf+ output, at most,",
                want: 255 * block,
                have: len,
            })?;
            let next = sign(previous.as_slice(), seed, &[number]);
            for (to, from) in chunk.iter_mut().zip(next.as_slice()) {
                *to = *from;
            }
            previous = next;
        }
        Ok(out)
    })
}

/// SHA-1 over the concatenated parts, for NAT_DETECTION_*_IP (RFC 7296 2.23), where it is no security function.
#[must_use]
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The keyed function: over what comes first, in the middle and last.
type Keyed<'a> = dyn Fn(&[u8], &[&[u8]], &[u8]) -> Digest + 'a;

/// Does something with the keyed function. Most keys are used once or twice: HMAC's, which are large, lie on the stack.
fn with<T>(
    prf: Prf,
    key: &[u8],
    work: impl FnOnce(&Keyed<'_>) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let algorithm = match prf {
        Prf::HmacSha1 => awslc::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Prf::HmacSha256 => awslc::HMAC_SHA256,
        Prf::HmacSha384 => awslc::HMAC_SHA384,
        Prf::HmacSha512 => awslc::HMAC_SHA512,
        Prf::HmacMd5 | Prf::Aes128Xcbc | Prf::Aes128Cmac | Prf::Unknown(_) => {
            let mac = keyed(prf, key)?;
            return work(&|head, parts, tail| Digest::new(mac.sign(&[&[head], parts, &[tail]].concat())));
        }
    };
    let key = awslc::Key::new(algorithm, key);
    work(&|head, parts, tail| {
        let all = [head].into_iter().chain(parts.iter().copied()).chain([tail]);
        Digest::new(mac::hmac(&key, all))
    })
}

/// An output and its length, wiped when it is dropped. It lies on the stack: most live for one more computation.
struct Digest(zeroize::Zeroizing<[u8; MAX_LEN]>, usize);

impl Digest {
    fn new((bytes, len): ([u8; MAX_LEN], usize)) -> Self {
        Self(zeroize::Zeroizing::new(bytes), len)
    }

    fn as_slice(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }
}

impl Default for Digest {
    /// Nothing yet.
    fn default() -> Self {
        Self::new(([0; MAX_LEN], 0))
    }
}

/// Those that are not HMAC of aws-lc.
fn keyed(prf: Prf, key: &[u8]) -> Result<Mac, CryptoError> {
    Ok(match prf {
        Prf::HmacMd5 => Mac::md5(key)?,
        Prf::Aes128Xcbc => Mac::xcbc(&fit(key, Mac::xcbc, true)),
        Prf::Aes128Cmac => Mac::cmac(&fit(key, Mac::cmac, false)),
        other => return Err(table::prf_unsupported(other)),
    })
}

/// Makes a 16-byte key: longer ones are hashed with the MAC under a zero key; shorter ones are padded with zeros (XCBC,
/// RFC 4434) or hashed as well (CMAC, RFC 4615).
fn fit(key: &[u8], mac: fn(&[u8; 16]) -> Mac, pad_short: bool) -> zeroize::Zeroizing<[u8; 16]> {
    let mut fitted = zeroize::Zeroizing::new([0; 16]);
    if key.len() == 16 || (key.len() < 16 && pad_short) {
        for (to, from) in fitted.iter_mut().zip(key) {
            *to = *from;
        }
    } else {
        mac(&[0; 16]).tag(&[key], fitted.as_mut_slice());
    }
    fitted
}
