//! What a conversation is told beforehand.
use crate::tls::Tls;
use crypto::Secret;
use std::fmt;
use std::sync::Arc;
use wire::eap::EapType;

/// A method that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// EAP-MD5: weak, no key, not mutual.
    Md5,
    /// EAP-GTC: the password in clear, no key, not mutual. For tunnels.
    Gtc,
    /// EAP-MSCHAPv2.
    Mschapv2,
    /// EAP-TLS.
    Tls,
    /// EAP-TTLS version 0.
    Ttls,
    /// PEAP version 0.
    Peap,
}

impl Method {
    /// All, those first that a server had better begin with.
    pub const ALL: [Self; 6] = [Self::Tls, Self::Ttls, Self::Peap, Self::Mschapv2, Self::Md5, Self::Gtc];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> EapType {
        match self {
            Self::Md5 => EapType::MD5,
            Self::Gtc => EapType::GTC,
            Self::Mschapv2 => EapType::MSCHAPV2,
            Self::Tls => EapType::TLS,
            Self::Ttls => EapType::TTLS,
            Self::Peap => EapType::PEAP,
        }
    }

    /// The method of that number.
    #[must_use]
    pub fn of(number: EapType) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.number() == number)
    }

    /// Whether it carries another method inside TLS.
    #[must_use]
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Ttls | Self::Peap)
    }

    /// Whether TLS is part of it.
    #[must_use]
    pub const fn needs_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Ttls | Self::Peap)
    }

    /// Reads the name that follows `eap-` in `auth`, without constraints: `md5`, `mschapv2`, or a method's number.
    ///
    /// # Errors
    /// Why there is no such method here.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "md5" => Ok(Self::Md5),
            "gtc" => Ok(Self::Gtc),
            "mschapv2" => Ok(Self::Mschapv2),
            "tls" => Ok(Self::Tls),
            "ttls" => Ok(Self::Ttls),
            "peap" => Ok(Self::Peap),
            "sim" | "aka" | "aka-prime" | "fast" | "teap" | "tnc" | "pt-eap" | "otp" => {
                Err(format!("eap-{name} is not available: it is not implemented yet"))
            }
            number => number
                .parse()
                .ok()
                .and_then(|n| Self::of(EapType::ietf(n)))
                .ok_or_else(|| format!("eap-{name} is not a method known here")),
        }
    }
}

impl fmt::Display for Method {
    /// charon's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// What is asked of [`Secrets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// The password.
    Password,
    /// MD4 of the password as UTF-16LE (secrets of kind NTLM): 16 bytes.
    NtHash,
}

/// Passwords of users.
pub trait Secrets: Send + Sync {
    /// The secret of a user; `None`: there is none of that kind.
    fn secret(&self, user: &[u8], kind: SecretKind) -> Option<Secret>;
}

/// How the server learns whom it talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It does not: the peer is who it says it is in IKE.
    Unasked,
    /// It asks first.
    Ask,
    /// It was asked before this conversation began (see [`crate::identity`]).
    Asked {
        /// The answer.
        identity: Vec<u8>,
        /// Identifier that the request had.
        id: u8,
    },
}

/// Options of a method that runs over TLS: those of strongSwan's plugins of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelOptions {
    /// Longest EAP packet we send.
    pub fragment_size: usize,
    /// The length is told in packets that are not fragments, too.
    pub include_length: bool,
    /// Packets that may be received, 0: any number.
    pub max_messages: u32,
    /// Method inside the tunnel (as server).
    pub phase2_method: Method,
    /// The server begins phase 2 along with its TLS Finished.
    pub phase2_piggyback: bool,
    /// The server takes PAP, CHAP and MSCHAPv2 without EAP inside TTLS, too, as many clients do it.
    pub phase2_legacy: bool,
    /// The server wants a client certificate for the tunnel, too.
    pub request_peer_auth: bool,
}

impl TunnelOptions {
    /// strongSwan's defaults for a method.
    #[must_use]
    pub const fn of(method: Method) -> Self {
        Self {
            fragment_size: 1024,
            include_length: !matches!(method, Method::Peap),
            max_messages: 32,
            phase2_method: if matches!(method, Method::Peap) { Method::Mschapv2 } else { Method::Md5 },
            phase2_piggyback: false,
            phase2_legacy: true,
            request_peer_auth: false,
        }
    }
}

/// The options of all methods over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnels {
    /// EAP-TLS.
    pub tls: TunnelOptions,
    /// EAP-TTLS.
    pub ttls: TunnelOptions,
    /// PEAP.
    pub peap: TunnelOptions,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            tls: TunnelOptions::of(Method::Tls),
            ttls: TunnelOptions::of(Method::Ttls),
            peap: TunnelOptions::of(Method::Peap),
        }
    }
}

impl Tunnels {
    pub(crate) fn of(&self, method: Method) -> &TunnelOptions {
        match method {
            Method::Ttls => &self.ttls,
            Method::Peap => &self.peap,
            Method::Tls | Method::Md5 | Method::Gtc | Method::Mschapv2 => &self.tls,
        }
    }
}

/// Bounds on what the other end can make us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets of a conversation without TLS; those with TLS have their own.
    pub messages: u32,
    /// Bytes of one TLS message put together from fragments.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages: 32, message_bytes: 65536 }
    }
}

/// What a server is told.
#[derive(Clone)]
pub struct ServerConfig {
    /// Methods that may be run, the first is begun with; the peer may ask for another one by EAP-Nak.
    pub methods: Vec<Method>,
    /// Of the methods that both sides have, the peer's order counts (`eap-dynamic.prefer_user`).
    pub prefer_user: bool,
    /// How the identity is learnt.
    pub identity: Identity,
    /// The peer's identity in IKE: for the log, and who it is when it is not asked.
    pub peer: Vec<u8>,
    /// Our own name (told by MSCHAPv2).
    pub name: Vec<u8>,
    /// Passwords.
    pub secrets: Arc<dyn Secrets>,
    /// Needed by the methods over TLS; must have credentials.
    pub tls: Option<Arc<Tls>>,
    /// Options of the methods over TLS.
    pub tunnels: Tunnels,
    /// Bounds.
    pub limits: Limits,
}

/// What a peer is told.
#[derive(Clone)]
pub struct PeerConfig {
    /// Methods that may be run, preferred first. A request for another one is answered by EAP-Nak.
    pub methods: Vec<Method>,
    /// Methods that may be run inside a tunnel, preferred first.
    pub inner_methods: Vec<Method>,
    /// Inside TTLS send the password as it is (PAP) instead of EAP.
    pub ttls_pap: bool,
    /// Our identity.
    pub identity: Vec<u8>,
    /// Told instead of `identity` outside a tunnel; `None`: the same.
    pub anonymous: Option<Vec<u8>>,
    /// The server's identity, which a certificate in TLS must prove (`aaa_id`).
    pub server: Vec<u8>,
    /// Passwords.
    pub secrets: Arc<dyn Secrets>,
    /// Needed by the methods over TLS; EAP-TLS needs credentials, too.
    pub tls: Option<Arc<Tls>>,
    /// Options of the methods over TLS.
    pub tunnels: Tunnels,
    /// Bounds.
    pub limits: Limits,
}
