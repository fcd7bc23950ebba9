//! TLS as EAP uses it: what the two ends bring along, and the session that rustls runs.
//!
//! Decisions about certificates are not made here: a [`Judge`] makes them, and what he gives back is the key with which
//! the handshake's signature is checked. So no handshake completes with a certificate that nobody judged.

mod dhe;
pub(crate) mod session;
mod suites;
mod trust;

use crate::step::{Failed, Line};
use crypto::sign::{KeyType, PrivateKey, PublicKey, SignError, SignScheme};
use rustls::crypto::CryptoProvider;
use std::fmt;
use std::sync::Arc;

/// A version of TLS. Older ones are not available: the library has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Makes the signatures of a certificate's private key, wherever that is.
pub trait Signer: fmt::Debug + Send + Sync {
    /// Kind of the key.
    fn key(&self) -> KeyType;
    /// Signs.
    ///
    /// # Errors
    /// Why it cannot.
    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl Signer for PrivateKey {
    fn key(&self) -> KeyType {
        self.kind()
    }

    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError> {
        Self::sign(self, scheme, data)
    }
}

/// Our certificate, with what proves that it is ours.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The certificates as DER, ours first.
    pub chain: Vec<Vec<u8>>,
    /// The private key of the first.
    pub signer: Arc<dyn Signer>,
}

/// Whose certificate is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client's, by the server.
    Client,
    /// The server's, by the client.
    Server,
}

/// What a [`Judge`] says.
#[derive(Debug)]
pub struct Judgement {
    /// The public key of the first certificate, which is trusted; or why it is not. The `alert` of a refusal
    /// (`cert-expired`, `cert-revoked`, `cert-no-issuer`, …) chooses the TLS alert, too.
    pub verdict: Result<PublicKey, Failed>,
    /// What to log.
    pub log: Vec<Line>,
}

/// Decides about certificates.
pub trait Judge: Send + Sync {
    /// Judges a chain (DER, the end entity first, never empty) of someone who shall be `name`: the EAP or IKE identity
    /// of a client, the configured identity of a server, as text.
    fn judge(&self, chain: &[&[u8]], role: Role, name: &[u8]) -> Judgement;
}

/// What TLS needs to know.
#[derive(Clone)]
pub struct Tls {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static rustls::SupportedProtocolVersion>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) authorities: Vec<Vec<u8>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("versions", &self.versions).finish_non_exhaustive()
    }
}

impl Tls {
    /// Least and greatest version, and the names of the cipher suites that may be used (none: all there are; others than
    /// those known are passed over).
    ///
    /// # Errors
    /// A range without a version, or no suite for any version in it.
    pub fn new(min: Version, max: Version, names: &[&str], judge: Arc<dyn Judge>) -> Result<Self, String> {
        let (provider, has) = suites::provider(names);
        let versions: Vec<_> =
            [(Version::V13, &rustls::version::TLS13), (Version::V12, &rustls::version::TLS12)]
                .into_iter()
                .filter(|(v, _)| (min..=max).contains(v) && has.contains(v))
                .map(|(_, v)| v)
                .collect();
        if versions.is_empty() {
            return Err(if names.is_empty() {
                "no version of TLS is allowed: 1.2 and 1.3 are available".to_owned()
            } else {
                format!("none of the TLS suites {} is available in the versions allowed", names.join(", "))
            });
        }
        Ok(Self { provider: Arc::new(provider), versions, credentials: None, judge, authorities: Vec::new() })
    }

    /// With a certificate of ours.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// As server, with the authorities (DER of their distinguished names) that we name to clients.
    #[must_use]
    pub fn with_authorities(mut self, names: Vec<Vec<u8>>) -> Self {
        self.authorities = names;
        self
    }

    /// Names of all cipher suites that can be used, best first.
    #[must_use]
    pub fn suites() -> Vec<String> {
        suites::all().iter().map(suites::name).collect()
    }
}
