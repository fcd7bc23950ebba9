//! Files with keys and certificates in all their forms: what they hold, whatever they are called.
mod der_form;
mod pem;
mod pkcs12;
mod raw;

pub use pkcs12::{Protection, write as write_pkcs12};

use crate::cert::{CertError, Certificate};
use crate::crl::{Crl, CrlError};
use crypto::sign::{PrivateKey, PublicKey, SignError};

/// A file longer than this is refused.
pub const MAX_FILE: usize = 33 << 20;
/// A file with more things in it than this is refused.
pub const MAX_ITEMS: usize = 4096;

/// Something that was in a file.
#[derive(Debug)]
pub enum Item {
    /// A certificate.
    Certificate(Certificate),
    /// A private key.
    PrivateKey(PrivateKey),
    /// A raw public key.
    PublicKey(PublicKey),
    /// A CRL.
    Crl(Box<Crl>),
}

/// Why a file gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Neither PEM nor DER nor any text form of a key.
    #[error("no key, certificate or crl in any known form")]
    Unknown,
    /// Too large, or too many things.
    #[error("too large")]
    TooLarge,
    /// It is encrypted, and there is no password.
    #[error("{0} is encrypted and needs a password")]
    NeedsPassword(&'static str),
    /// The password is wrong (or the file is damaged).
    #[error("{0} cannot be decrypted: wrong password")]
    WrongPassword(&'static str),
    /// Known by name and not offered.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
    /// Malformed.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A CRL cannot be used.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] SignError),
}

impl ContainerError {
    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), reason: reason.into() }
    }
}

/// Reads PEM (any number of blocks), DER, PKCS#12, or the text forms of public keys (`ssh-…`, `0s…`, `0x…`).
///
/// # Errors
/// [`ContainerError`] of the first thing that cannot be read.
pub fn load(bytes: &[u8], password: Option<&str>) -> Result<Vec<Item>, ContainerError> {
    if bytes.len() > MAX_FILE {
        return Err(ContainerError::TooLarge);
    }
    let items = if let Some(blocks) = pem::read(bytes)? {
        let mut items = Vec::new();
        for block in blocks {
            pem::items(&block, password, &mut items)?;
            if items.len() > MAX_ITEMS {
                return Err(ContainerError::TooLarge);
            }
        }
        items
    } else if bytes.first() == Some(&0x30) && !raw::is_text(bytes) {
        der_form::items(bytes, password)?
    } else {
        vec![Item::PublicKey(raw::read(bytes)?)]
    };
    if items.is_empty() { Err(ContainerError::Unknown) } else { Ok(items) }
}

/// The DER of the first certificate or CRL in PEM, or what is DER already.
///
/// # Errors
/// [`ContainerError::Malformed`] when PEM is; [`ContainerError::Unknown`] when it is neither.
pub fn to_der(bytes: &[u8]) -> Result<Vec<u8>, ContainerError> {
    match pem::read(bytes)? {
        Some(blocks) => blocks.into_iter().next().map(|b| b.into_data()).ok_or(ContainerError::Unknown),
        None if bytes.first() == Some(&0x30) => Ok(bytes.to_vec()),
        None => Err(ContainerError::Unknown),
    }
}

/// The certificates in a file.
///
/// # Errors
/// As [`load`].
pub fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, ContainerError> {
    Ok(load(bytes, None)?
        .into_iter()
        .filter_map(|item| match item {
            Item::Certificate(certificate) => Some(certificate),
            Item::PrivateKey(_) | Item::PublicKey(_) | Item::Crl(_) => None,
        })
        .collect())
}

#[cfg(test)]
mod tests;
