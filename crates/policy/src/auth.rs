//! Authentication rounds (`local*`, `remote*`).
use crate::Identity;
use serde::{Deserialize, Serialize};

/// How a round authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthClass {
    /// Pre-shared key.
    Psk,
    /// Public key; the rest of the `auth` text holds constraints.
    Pubkey(String),
    /// EAP with an optional method name.
    Eap(String),
    /// XAuth (IKEv1).
    Xauth(String),
    /// Anything the peer does (`any`).
    Any,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// Section name, `local`, `local-1`, ….
    pub name: String,
    /// Order among the rounds.
    pub round: u32,
    /// Method.
    pub class: AuthClass,
    /// Own identity (local) or pattern (remote). `None`: local the host address, remote `%any`.
    pub id: Option<Identity>,
    /// EAP identity.
    pub eap_id: Option<Identity>,
    /// AAA identity.
    pub aaa_id: Option<Identity>,
    /// XAuth identity.
    pub xauth_id: Option<Identity>,
    /// Groups required (remote).
    pub groups: Vec<String>,
    /// Certificate policies required (remote).
    pub cert_policy: Vec<String>,
    /// Certificate files or encodings.
    pub certs: Vec<String>,
    /// CA certificates (remote).
    pub cacerts: Vec<String>,
    /// `ca_id` (remote).
    pub ca_id: Option<Identity>,
    /// Raw public keys.
    pub pubkeys: Vec<String>,
    /// `strict`, `ifuri` or `relaxed` (remote).
    pub revocation: String,
}
