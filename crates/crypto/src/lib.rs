//! Computes: every algorithm an IANA transform number can name, and secrets that wipe themselves.
//!
//! Deliberately not here: what a key is for. `crypto` does not know IKE's key schedule beyond `prf+`.
//!
//! The walk: [`secret`] → [`rng`] (the generator handed to engines) → [`digest`] (MD5, bare) → [`prf`], [`ke`], [`ike_cipher`],
//! [`esp_cipher`] (one face each, looked up by transform number) → [`table`] (number → names, key sizes, who computes it,
//! whether legacy) → [`sign`] (signatures, and the keys that make and check them) → [`password`] (key files as older
//! programs encrypt them) → [`legacy`] (what MSCHAPv2 is made of) → inside: `mode`, `aead`, `gcm`, `soft` (encryption),
//! `mac`, `cbcmac` (integrity).
//!
//! Three backends, chosen by one `match` per kind: aws-lc for what it has, RustCrypto for the gaps, our own code over both
//! where neither offers the construction (short GCM tags, XCBC, MODP groups).

mod aead;
mod cbcmac;
pub mod digest;
pub mod esp_cipher;
mod gcm;
pub mod ike_cipher;
pub mod ke;
pub mod legacy;
mod mac;
mod mode;
pub mod password;
pub mod prf;
pub mod rng;
pub mod secret;
pub mod sign;
mod soft;
pub mod table;

pub use esp_cipher::EspCipher;
pub use ike_cipher::IkeCipher;
pub use rng::Rng;
pub use secret::Secret;

/// Why a computation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The algorithm is known by name and not implemented; the text says why.
    #[error("{name} is not available: {reason}")]
    Unsupported {
        /// Keyword of the algorithm.
        name: String,
        /// Why (for the operator).
        reason: &'static str,
    },
    /// A key, IV or public value of the wrong length.
    #[error("{what} must have {want} bytes, not {have}")]
    Length {
        /// Which value.
        what: &'static str,
        /// Length wanted.
        want: usize,
        /// Length given.
        have: usize,
    },
    /// A public value that is no member of the group, or gives a weak secret.
    #[error("invalid public value for {0}")]
    PublicValue(&'static str),
    /// The integrity check failed.
    #[error("integrity check failed")]
    Integrity,
}
