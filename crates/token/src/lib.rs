//! Speaks to PKCS#11 tokens: certificates, and keys that sign without leaving them.
//!
//! An edge: it loads the vendor's library and waits for the hardware, so callers do it off the packet paths. It neither
//! judges certificates nor decides which key is whose.
//!
//! The walk: [`Module`] is a loaded library, a [`Place`] names an object in it, [`Module::certificate`] reads one,
//! [`Module::key`] makes a [`TokenKey`], which signs.

mod encode;
mod key;
mod module;

pub use key::TokenKey;
pub use module::{Module, Place};

/// Why a token does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The vendor's library cannot be loaded or does not start.
    #[error("PKCS#11 module '{module}' ({path}): {reason}")]
    Module {
        /// Name in the configuration.
        module: String,
        /// Path of the library.
        path: String,
        /// What it says.
        reason: String,
    },
    /// No slot has the object.
    #[error("no {what} with handle {handle} found on {place}")]
    NotFound {
        /// `private key`, `certificate`.
        what: &'static str,
        /// CKA_ID in hexadecimal.
        handle: String,
        /// Module and slot.
        place: String,
    },
    /// The PIN is refused.
    #[error("login to slot {slot} of module '{module}' failed: {reason}")]
    Login {
        /// Name in the configuration.
        module: String,
        /// Slot.
        slot: u64,
        /// What the token says; never the PIN.
        reason: String,
    },
    /// A kind of key or signature that is not offered.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else the token says.
    #[error("token operation failed: {0}")]
    Failed(String),
}

impl From<cryptoki::error::Error> for TokenError {
    fn from(error: cryptoki::error::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
