//! Certificates and raw public keys that a configuration names, and what it demands of keys and signatures.
use crate::Identity;
use crypto::sign::Hash;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A certificate that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// DER.
    pub der: Arc<[u8]>,
    /// Its subject, a distinguished name.
    pub subject: Identity,
    /// SHA-1 of its SubjectPublicKeyInfo, as CERTREQ payloads carry it (RFC 7296 3.7).
    pub key_hash: [u8; 20],
}

/// A certificate or public key as a configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertRef {
    /// A certificate, read: after loading into the daemon there is no other kind in `certs` and `cacerts`.
    Loaded(Certificate),
    /// A raw public key as DER SubjectPublicKeyInfo: after loading the only kind in `pubkeys`.
    Key(Arc<[u8]>),
    /// DER or PEM as it came, or in a file of the swanctl directory its name.
    Raw(Vec<u8>),
    /// A file that the daemon reads (`cert<suffix>.file`).
    File(String),
    /// An object on a token (`cert<suffix>.handle`, `.slot`, `.module`).
    Token {
        /// CKA_ID.
        handle: Vec<u8>,
        /// Slot number.
        slot: Option<u64>,
        /// Name of the module in `strongswan.conf`.
        module: Option<String>,
    },
}

impl CertRef {
    /// The certificate, once loaded.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Loaded(certificate) => Some(certificate),
            Self::Key(_) | Self::Raw(_) | Self::File(_) | Self::Token { .. } => None,
        }
    }
}

/// A family of keys, as `auth` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// `rsa`.
    Rsa,
    /// `ecdsa`.
    Ecdsa,
    /// `ed25519`.
    Ed25519,
    /// `ed448`.
    Ed448,
}

/// A set of signature schemes; what is `None` may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemePattern {
    /// Kind of key.
    pub kind: Option<KeyKind>,
    /// RSA only: PSS (`rsa/pss`) or PKCS#1.
    pub pss: Option<bool>,
    /// Hash.
    pub hash: Option<Hash>,
}

/// Demands on a public key authentication: `auth = rsa-3072-ecdsa-256-sha256`, `ike:…`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyConstraints {
    /// Kinds of keys that may be in the trust chain, and their least size in bits (0: any). Empty: any key.
    pub keys: Vec<(KeyKind, u32)>,
    /// Signatures that may be in the trust chain. Empty: any.
    pub chain: Vec<SchemePattern>,
    /// Signatures that AUTH may be made with, preferred first. Empty: any.
    pub ike: Vec<SchemePattern>,
}
