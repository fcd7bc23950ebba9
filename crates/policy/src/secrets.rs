//! Shared secrets and whose they are.
use crate::Identity;
use crypto::Secret;
use serde::{Deserialize, Serialize};

/// Kind of a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "vici's words")]
pub enum SecretKind {
    Ike,
    Eap,
    Xauth,
    Ntlm,
    Ppk,
}

/// A shared secret with its owners.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SharedSecret {
    /// Unique id through vici, may be empty.
    pub id: String,
    /// Kind.
    pub kind: SecretKind,
    /// The secret.
    pub data: Secret,
    /// Owners; empty = anybody.
    pub owners: Vec<Identity>,
}
