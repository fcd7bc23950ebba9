//! Proposals: transforms in order of preference; parsing and printing of strongSwan's keywords.
use crypto::{CryptoError, table};
use serde::{Deserialize, Serialize};
use std::fmt;
use wire::iana::{Encr, Esn, Integ, Ke, Prf, ProtocolId, TransformType};
use wire::ike::Transform;

mod parse;

pub use parse::{ProposalError, default_proposals, parse_proposals};

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

/// Transform types of the additional key exchanges, in order (RFC 9370 2.1).
pub const ADDITIONAL: [TransformType; 7] = [
    TransformType::AddKe1,
    TransformType::AddKe2,
    TransformType::AddKe3,
    TransformType::AddKe4,
    TransformType::AddKe5,
    TransformType::AddKe6,
    TransformType::AddKe7,
];

impl Proposal {
    /// Without any transform.
    #[must_use]
    pub fn empty(protocol: ProtocolId) -> Self {
        Self {
            protocol,
            encr: Vec::new(),
            integ: Vec::new(),
            prf: Vec::new(),
            ke: Vec::new(),
            add_ke: Default::default(),
            esn: Vec::new(),
        }
    }

    /// Has a cipher that authenticates, too.
    #[must_use]
    pub fn is_aead(&self) -> bool {
        self.encr.iter().any(|(encr, _)| table::encr_is_aead(*encr))
    }

    /// Without key exchanges, as the proposals of IKE_AUTH must be (RFC 7296 1.2).
    #[must_use]
    pub fn without_ke(&self) -> Self {
        Self { ke: Vec::new(), add_ke: Default::default(), ..self.clone() }
    }

    /// The transforms in the order RFC 7296 3.3.2 lists their types.
    #[must_use]
    pub fn transforms(&self) -> Vec<Transform> {
        let plain = |kind: TransformType, id: u16| Transform { kind, id, key_bits: None };
        let mut out = Vec::new();
        for (encr, bits) in &self.encr {
            // RFC 7296 3.3.5: no Key Length attribute where the key has a fixed length.
            let key_bits = (*bits != 0).then_some(*bits);
            out.push(Transform { kind: TransformType::Encr, id: u16::from(*encr), key_bits });
        }
        out.extend(self.prf.iter().map(|t| plain(TransformType::Prf, u16::from(*t))));
        out.extend(self.integ.iter().map(|t| plain(TransformType::Integ, u16::from(*t))));
        out.extend(self.ke.iter().map(|t| plain(TransformType::Ke, u16::from(*t))));
        for (kind, methods) in ADDITIONAL.into_iter().zip(&self.add_ke) {
            out.extend(methods.iter().map(|t| plain(kind, u16::from(*t))));
        }
        out.extend(self.esn.iter().map(|t| plain(TransformType::Esn, u16::from(*t))));
        out
    }

    /// For an SA payload, with the number of the proposal and our SPI.
    #[must_use]
    pub fn to_wire(&self, number: u8, spi: &[u8]) -> wire::ike::Proposal {
        wire::ike::Proposal {
            number,
            protocol: self.protocol,
            spi: spi.to_vec(),
            transforms: self.transforms(),
        }
    }

    /// The transforms of a peer's proposal, sorted by type. `None` if it has a transform of a type that we do not
    /// know: such a proposal must be rejected (RFC 7296 3.3.6). Unknown algorithms survive and match nothing.
    /// `NONE` (0) as integrity algorithm is left out (RFC 7296 3.3.3 lets AEAD proposals carry it).
    #[must_use]
    pub fn from_wire(proposal: &wire::ike::Proposal) -> Option<Self> {
        let mut out = Self::empty(proposal.protocol);
        for t in &proposal.transforms {
            match t.kind {
                TransformType::Encr => out.encr.push((Encr::from(t.id), t.key_bits.unwrap_or(0))),
                TransformType::Prf => out.prf.push(Prf::from(t.id)),
                TransformType::Integ if t.id == 0 => {}
                TransformType::Integ => out.integ.push(Integ::from(t.id)),
                TransformType::Ke => out.ke.push(Ke::from(t.id)),
                TransformType::Esn => out.esn.push(Esn::from(t.id)),
                TransformType::AddKe1
                | TransformType::AddKe2
                | TransformType::AddKe3
                | TransformType::AddKe4
                | TransformType::AddKe5
                | TransformType::AddKe6
                | TransformType::AddKe7 => {
                    let slots = ADDITIONAL.iter().zip(&mut out.add_ke);
                    slots
                        .filter(|(kind, _)| **kind == t.kind)
                        .for_each(|(_, slot)| slot.push(Ke::from(t.id)));
                }
                TransformType::Unknown(_) => return None,
            }
        }
        Some(out)
    }

    /// Whether every algorithm of it can be used.
    ///
    /// # Errors
    /// The first that cannot, with the reason.
    pub fn available(&self) -> Result<(), CryptoError> {
        self.encr.iter().try_for_each(|(encr, bits)| table::encr_available(*encr, *bits))?;
        self.integ.iter().try_for_each(|t| table::integ_available(*t))?;
        self.prf.iter().try_for_each(|t| table::prf_available(*t))?;
        let methods = self.ke.iter().chain(self.add_ke.iter().flatten());
        methods.filter(|t| **t != Ke::None).try_for_each(|t| crypto::ke::available(*t))
    }

    /// Keyword form, as in `swanctl.conf`: `aes128gcm16-prfsha256-x25519`.
    #[must_use]
    pub fn keywords(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.encr.iter().map(|(encr, bits)| table::encr_keyword(*encr, *bits)));
        words.extend(self.integ.iter().map(|t| integ_keyword(*t)));
        words.extend(self.prf.iter().map(|t| table::prf_keyword(*t)));
        words.extend(self.ke.iter().map(|t| ke_keyword(*t)));
        for (n, methods) in (1..).zip(&self.add_ke) {
            words.extend(methods.iter().map(|t| format!("ke{n}_{}", ke_keyword(*t))));
        }
        words.extend(self.esn.iter().map(|t| if *t == Esn::Yes { "esn".into() } else { "noesn".into() }));
        words.join("-")
    }
}

impl fmt::Display for Proposal {
    /// As charon logs: `IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE_25519`, `ESP:AES_GCM_16_128/NO_EXT_SEQ`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<String> = Vec::new();
        names.extend(self.encr.iter().map(|(encr, bits)| sized_name(*encr, *bits)));
        names.extend(self.integ.iter().map(|t| table::integ_name(*t)));
        names.extend(self.prf.iter().map(|t| table::prf_name(*t)));
        names.extend(self.ke.iter().map(|t| ke_name(*t)));
        for (n, methods) in (1..).zip(&self.add_ke) {
            names.extend(methods.iter().map(|t| format!("KE{n}_{}", ke_name(*t))));
        }
        names.extend(self.esn.iter().map(|t| esn_name(*t)));
        write!(f, "{}:{}", protocol_name(self.protocol), names.join("/"))
    }
}

impl Chosen {
    /// As a proposal with one transform of each kind, for the answer of a responder.
    #[must_use]
    pub fn to_proposal(&self) -> Proposal {
        let mut out = Proposal::empty(self.protocol);
        if self.protocol != ProtocolId::Ah {
            out.encr.push(self.encr);
        }
        if self.integ != Integ::None {
            out.integ.push(self.integ);
        }
        out.prf.extend(self.prf);
        if self.ke != Ke::None {
            out.ke.push(self.ke);
        }
        for (slot, ke) in out.add_ke.iter_mut().zip(&self.add_ke) {
            if *ke != Ke::None {
                slot.push(*ke);
            }
        }
        if self.protocol != ProtocolId::Ike {
            out.esn.push(self.esn);
        }
        out
    }

    /// The answer of a responder (RFC 7296 3.3: the number of the initiator's proposal, our SPI).
    #[must_use]
    pub fn to_wire(&self, spi: &[u8]) -> wire::ike::Proposal {
        self.to_proposal().to_wire(self.number, spi)
    }
}

impl fmt::Display for Chosen {
    /// As charon logs the selected proposal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_proposal().fmt(f)
    }
}

fn sized_name(encr: Encr, bits: u16) -> String {
    let name = table::encr_name(encr, bits);
    if bits == 0 { name } else { format!("{name}_{bits}") }
}

fn ke_name(ke: Ke) -> String {
    if ke == Ke::None { "KE_NONE".into() } else { table::ke_name(ke) }
}

fn ke_keyword(ke: Ke) -> String {
    if ke == Ke::None { "none".into() } else { table::ke_keyword(ke) }
}

fn integ_keyword(integ: Integ) -> String {
    // In AH, GMAC is an integrity algorithm; its keyword is that of the ESP cipher (RFC 4543).
    match integ {
        Integ::Aes128Gmac => table::encr_keyword(Encr::NullAesGmac, 128),
        Integ::Aes192Gmac => table::encr_keyword(Encr::NullAesGmac, 192),
        Integ::Aes256Gmac => table::encr_keyword(Encr::NullAesGmac, 256),
        _ => table::integ_keyword(integ),
    }
}

fn esn_name(esn: Esn) -> String {
    match esn {
        Esn::No => "NO_EXT_SEQ".into(),
        Esn::Yes => "EXT_SEQ".into(),
        Esn::Unknown(n) => format!("({n})"),
    }
}

fn protocol_name(protocol: ProtocolId) -> &'static str {
    match protocol {
        ProtocolId::Ike => "IKE",
        ProtocolId::Ah => "AH",
        ProtocolId::Esp => "ESP",
        ProtocolId::None | ProtocolId::Unknown(_) => "?",
    }
}

#[cfg(test)]
mod tests;
