//! Proposals: transforms in order of preference; parsing and printing of strongSwan's keywords.
use serde::{Deserialize, Serialize};
use wire::iana::{Encr, Esn, Integ, Ke, Prf, ProtocolId};

/// One configured proposal: for every transform type the acceptable ones in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// IKE, ESP or AH.
    pub protocol: ProtocolId,
    /// Ciphers with key length in bits (0 where the cipher has one fixed length).
    pub encr: Vec<(Encr, u16)>,
    /// Integrity algorithms; empty with AEAD ciphers.
    pub integ: Vec<Integ>,
    /// PRFs; IKE only.
    pub prf: Vec<Prf>,
    /// Key exchange methods; for ESP and AH those of a CREATE_CHILD_SA with PFS (`Ke::None` among them = optional).
    pub ke: Vec<Ke>,
    /// Additional key exchanges 1 to 7 (RFC 9370), empty where unused.
    pub add_ke: [Vec<Ke>; 7],
    /// ESN choices; ESP and AH only.
    pub esn: Vec<Esn>,
}

/// Proposals of a connection or child, in order.
pub type ProposalSet = Vec<Proposal>;

/// What a negotiation ended with: one transform of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// IKE, ESP or AH.
    pub protocol: ProtocolId,
    /// Number of the peer's proposal.
    pub number: u8,
    /// Cipher and key bits; `Encr::Null` with 0 for AH.
    pub encr: (Encr, u16),
    /// Integrity; `Integ::None` with AEAD.
    pub integ: Integ,
    /// PRF (IKE only).
    pub prf: Option<Prf>,
    /// Key exchange; `Ke::None` without.
    pub ke: Ke,
    /// Additional key exchanges in order of type (RFC 9370), `Ke::None` where skipped.
    pub add_ke: Vec<Ke>,
    /// ESN (ESP and AH).
    pub esn: Esn,
}
