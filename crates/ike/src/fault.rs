//! What went wrong, whose fault it is, and what to tell the peer.
use crate::io::Distrust;
use crypto::CryptoError;
use wire::WireError;
use wire::iana::NotifyType;

/// Why an exchange or a CHILD_SA cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes are not what they claim to be.
    Malformed(WireError),
    /// Our policy says no; the notify that says so to the peer.
    Refused(NotifyType),
    /// The peer broke the protocol.
    Broken(&'static str),
    /// Something of ours failed.
    Local(String),
    /// The peer is not who it says; what is wrong is for the operator.
    Distrusted(Distrust),
    /// The integrity check failed: not from the peer.
    Forged,
}

impl Fault {
    /// The notify that tells the peer (RFC 7296 2.21); `None`: stay silent.
    pub(crate) fn notify(&self) -> Option<NotifyType> {
        match self {
            Self::Malformed(WireError::UnsupportedCritical(_)) => {
                Some(NotifyType::UnsupportedCriticalPayload)
            }
            Self::Malformed(_) | Self::Broken(_) => Some(NotifyType::InvalidSyntax),
            Self::Refused(n) => Some(*n),
            Self::Distrusted(_) => Some(NotifyType::AuthenticationFailed),
            Self::Local(_) => Some(NotifyType::NoProposalChosen),
            Self::Forged => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(e) => write!(f, "{e}"),
            Self::Refused(n) => write!(f, "{}", crate::message::notify_name(*n)),
            Self::Broken(what) => write!(f, "{what}"),
            Self::Local(why) => write!(f, "{why}"),
            Self::Distrusted(why) => write!(f, "{}", why.reason),
            Self::Forged => write!(f, "integrity check failed"),
        }
    }
}

impl From<WireError> for Fault {
    fn from(e: WireError) -> Self {
        Self::Malformed(e)
    }
}

impl From<CryptoError> for Fault {
    fn from(e: CryptoError) -> Self {
        match e {
            CryptoError::Integrity => Self::Forged,
            CryptoError::PublicValue(_) | CryptoError::Length { .. } => {
                Self::Broken("invalid key exchange value")
            }
            CryptoError::Unsupported { .. } => Self::Local(e.to_string()),
        }
    }
}
