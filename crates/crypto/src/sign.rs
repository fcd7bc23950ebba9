//! Signatures: schemes, private and public keys, digests.
//!
//! Computed by aws-lc. It draws the randomness of ECDSA and RSA-PSS itself, and wipes the private keys it frees.

mod generate;
mod identifier;
mod private;
mod public;

pub use private::PrivateKey;
pub use public::{KeyType, PublicKey, Verified};

use aws_lc_rs::digest::{self, Context};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A hash function that signatures and fingerprints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Hash {
    /// SHA-1: legacy, for key identifiers and for peers without RFC 7427.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Length of a digest in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Number in the registry "IKEv2 Hash Algorithms" (RFC 7427 7).
    #[must_use]
    pub const fn ikev2_number(self) -> u16 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 2,
            Self::Sha384 => 3,
            Self::Sha512 => 4,
        }
    }

    /// The hash of that number in the registry "IKEv2 Hash Algorithms".
    #[must_use]
    pub const fn from_ikev2_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Sha1),
            2 => Some(Self::Sha256),
            3 => Some(Self::Sha384),
            4 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    fn backend(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of `parts`, one after the other.
#[must_use]
pub fn digest(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(hash.backend());
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// How a signature is made. `Display` gives the names that charon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignScheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 8.2).
    RsaPkcs1(Hash),
    /// RSASSA-PSS (RFC 8017 8.1), MGF1 with the same hash, the salt as long as the digest.
    RsaPss(Hash),
    /// ECDSA over the key's curve, as `SEQUENCE { r, s }` (RFC 7427 A.3).
    EcdsaDer(Hash),
    /// ECDSA as `r | s` of fixed length (RFC 4754): SHA-256 is with P-256, SHA-384 with P-384, SHA-512 with P-521.
    EcdsaRaw(Hash),
    /// Ed25519 (RFC 8420).
    Ed25519,
    /// Ed448 (RFC 8420): known and refused, no kept library offers it.
    Ed448,
}

impl SignScheme {
    /// The hash that the scheme applies to the data; `None` where it is part of the algorithm.
    #[must_use]
    pub const fn hash(self) -> Option<Hash> {
        match self {
            Self::RsaPkcs1(hash) | Self::RsaPss(hash) | Self::EcdsaDer(hash) | Self::EcdsaRaw(hash) => {
                Some(hash)
            }
            Self::Ed25519 | Self::Ed448 => None,
        }
    }

    /// Whether keys of this type can make such signatures.
    #[must_use]
    pub fn fits(self, key: KeyType) -> bool {
        match self {
            Self::RsaPkcs1(_) | Self::RsaPss(_) => key == KeyType::Rsa,
            Self::EcdsaDer(_) => matches!(key, KeyType::P256 | KeyType::P384 | KeyType::P521),
            Self::EcdsaRaw(hash) => matches!(
                (hash, key),
                (Hash::Sha256, KeyType::P256) | (Hash::Sha384, KeyType::P384) | (Hash::Sha512, KeyType::P521)
            ),
            Self::Ed25519 => key == KeyType::Ed25519,
            Self::Ed448 => false,
        }
    }

    /// The schemes that a key of this type can sign with here, the preferred ones first: the backend signs with the hash
    /// of a curve's strength only (it verifies with any). `pss` puts RSA-PSS before
    /// PKCS#1 (`charon.rsa_pss`).
    #[must_use]
    pub fn of_key(key: KeyType, pss: bool) -> Vec<Self> {
        use Hash::{Sha256, Sha384, Sha512};
        match key {
            KeyType::Rsa => {
                let hashes = [Sha256, Sha384, Sha512];
                let (mut first, mut second) =
                    (hashes.map(Self::RsaPkcs1).to_vec(), hashes.map(Self::RsaPss).to_vec());
                if pss {
                    std::mem::swap(&mut first, &mut second);
                }
                first.append(&mut second);
                first
            }
            KeyType::P256 => vec![Self::EcdsaDer(Sha256)],
            KeyType::P384 => vec![Self::EcdsaDer(Sha384)],
            KeyType::P521 => vec![Self::EcdsaDer(Sha512)],
            KeyType::Ed25519 => vec![Self::Ed25519],
        }
    }
}

impl fmt::Display for SignScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(hash) => write!(f, "RSA_EMSA_PKCS1_{hash}"),
            Self::RsaPss(hash) => write!(f, "RSA_EMSA_PSS_{hash}_SALT_{}", hash.size()),
            Self::EcdsaDer(Hash::Sha1) => f.write_str("ECDSA_WITH_SHA1_DER"),
            Self::EcdsaDer(hash) => write!(f, "ECDSA_WITH_SHA{}_DER", hash.size() * 8),
            Self::EcdsaRaw(Hash::Sha512) => f.write_str("ECDSA-521"),
            Self::EcdsaRaw(hash) => write!(f, "ECDSA-{}", hash.size() * 8),
            Self::Ed25519 => f.write_str("ED25519"),
            Self::Ed448 => f.write_str("ED448"),
        }
    }
}

/// Why there is no key, no signature, or no trust in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Known by name and not offered here; the text says why.
    #[error("{name} is not available: {reason}")]
    Unsupported {
        /// Name of the scheme or of the kind of key.
        name: String,
        /// Why (for the operator).
        reason: &'static str,
    },
    /// Bytes that are no key of the form named.
    #[error("not a usable {0}")]
    Key(&'static str),
    /// The scheme needs another kind of key.
    #[error("{key} keys cannot be used with {scheme}")]
    Mismatch {
        /// Scheme asked for.
        scheme: SignScheme,
        /// Type of the key.
        key: KeyType,
    },
    /// The signature is not one of this key over this data.
    #[error("signature verification failed")]
    Signature,
    /// The backend failed to sign.
    #[error("signing failed")]
    Backend,
}

impl SignError {
    fn unsupported(name: impl fmt::Display, reason: &'static str) -> Self {
        Self::Unsupported { name: name.to_string(), reason }
    }
}

const NO_ED448: &str = "no kept library has a stable release of it";
const NO_SHA1_ECDSA: &str = "ECDSA is not used with SHA-1 on this curve";

#[cfg(test)]
mod tests;
