//! What a conversation says after each packet.
use crypto::Secret;
use std::fmt::Write as _;

/// charon's log group of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `cfg`.
    Cfg,
    /// `ike`.
    Ike,
    /// `tls`.
    Tls,
}

/// A line for the log, worded as charon does where it has such a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Group.
    pub group: Group,
    /// Level.
    pub level: i8,
    /// Text.
    pub text: String,
}

impl Line {
    pub(crate) fn ike(level: i8, text: impl Into<String>) -> Self {
        Self { group: Group::Ike, level, text: text.into() }
    }

    pub(crate) fn tls(level: i8, text: impl Into<String>) -> Self {
        Self { group: Group::Tls, level, text: text.into() }
    }
}

/// Why a conversation failed, for the operator. The other end learns only that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Type of the vici alert: `peer-auth-failed`, `local-auth-failed`, or what a judge of certificates named.
    pub alert: &'static str,
    /// Subject of the certificate at fault, empty when none is.
    pub certificate: String,
    /// The reason.
    pub reason: String,
}

impl Failed {
    /// The other end failed to authenticate, or broke the protocol.
    pub(crate) fn peer(reason: impl Into<String>) -> Self {
        Self { alert: "peer-auth-failed", certificate: String::new(), reason: reason.into() }
    }

    /// We were refused, or lack what is needed.
    pub(crate) fn local(reason: impl Into<String>) -> Self {
        Self { alert: "local-auth-failed", certificate: String::new(), reason: reason.into() }
    }
}

/// How the conversation goes on.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send this packet.
    Send {
        /// The packet.
        packet: Vec<u8>,
        /// What to log.
        log: Vec<Line>,
    },
    /// It succeeded.
    Success {
        /// The server's EAP-Success; empty on the peer's side.
        packet: Vec<u8>,
        /// Shared key, of methods that make one.
        msk: Option<Secret>,
        /// Who the peer is: the identity that the method proved (inside a tunnel: the inner one), else the one that was
        /// exchanged in EAP-Identity. `None`: neither.
        identity: Option<Vec<u8>>,
        /// The server, too, is authenticated by the method (RFC 5998).
        mutual: bool,
        /// What to log.
        log: Vec<Line>,
    },
    /// It failed.
    Failure {
        /// The server's EAP-Failure; empty on the peer's side.
        packet: Vec<u8>,
        /// Why.
        why: Failed,
        /// What to log.
        log: Vec<Line>,
    },
}

/// Text that may be put into a log: what is not printable is escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}
