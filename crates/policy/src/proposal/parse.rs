//! Reading proposals, checking them, and the default ones.
use super::{Proposal, ProposalSet};
use crypto::table::{self, Keyword};
use wire::iana::{Encr, Esn, Integ, Ke, Prf, ProtocolId};

/// Why a text is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// No such keyword.
    #[error("`{0}` is no algorithm")]
    Unknown(String),
    /// The keyword has no place in a proposal of this protocol.
    #[error("`{keyword}` does not belong into an {protocol} proposal")]
    Misplaced {
        /// The keyword.
        keyword: String,
        /// IKE, ESP or AH.
        protocol: &'static str,
    },
    /// AEAD and classic ciphers in one proposal (RFC 7296 3.3: they differ in needing integrity).
    #[error("ciphers with and without authentication (AEAD) need proposals of their own")]
    Mixed,
    /// A kind of algorithm is missing.
    #[error("{protocol} proposals need {what}")]
    Missing {
        /// IKE, ESP or AH.
        protocol: &'static str,
        /// What is missing, with an example.
        what: &'static str,
    },
    /// Nothing between two separators.
    #[error("empty proposal")]
    Empty,
}

/// Reads a comma-separated list of proposals; `default` stands for [`default_proposals`].
///
/// # Errors
/// The first keyword or combination that is wrong.
pub fn parse_proposals(protocol: ProtocolId, text: &str) -> Result<ProposalSet, ProposalError> {
    let mut out = ProposalSet::new();
    for part in text.split(',') {
        match part.trim() {
            "" => return Err(ProposalError::Empty),
            "default" => out.extend(default_proposals(protocol)),
            one => out.push(Proposal::parse(protocol, one)?),
        }
    }
    Ok(out)
}

impl Proposal {
    /// Reads one proposal: keywords joined by `-`, in any order of kinds.
    ///
    /// As strongSwan does: `noesn` is assumed; the PRFs of an IKE proposal without any come from its integrity
    /// algorithms; integrity algorithms of an AEAD proposal, PRFs of an ESP proposal and `none` in an IKE proposal have no
    /// use and are dropped. Unlike it, an ESP proposal that encrypts without integrity is refused (RFC 8221 4).
    ///
    /// # Errors
    /// The first keyword that is unknown or misplaced, or what combination is wrong.
    pub fn parse(protocol: ProtocolId, text: &str) -> Result<Self, ProposalError> {
        let mut out = Self::empty(protocol);
        for word in text.split('-').map(str::trim) {
            if word.is_empty() {
                return Err(ProposalError::Empty);
            }
            let parsed = table::parse_keyword(word).ok_or_else(|| ProposalError::Unknown(word.to_owned()))?;
            out.add(parsed).ok_or_else(|| ProposalError::Misplaced {
                keyword: word.to_owned(),
                protocol: super::protocol_name(protocol),
            })?;
        }
        out.complete()
    }

    fn add(&mut self, word: Keyword) -> Option<()> {
        let ike = self.protocol == ProtocolId::Ike;
        match word {
            Keyword::Encr(encr, bits) if self.protocol == ProtocolId::Ah => {
                push(&mut self.integ, gmac(encr, bits)?);
            }
            Keyword::Encr(Encr::Null | Encr::NullAesGmac, _) if ike => return None,
            Keyword::Encr(encr, bits) => push(&mut self.encr, (encr, bits)),
            Keyword::Integ(integ) => push(&mut self.integ, integ),
            // Neither has a use there, and users write them.
            Keyword::Prf(_) if !ike => {}
            Keyword::NoKe if ike => {}
            Keyword::Prf(prf) => push(&mut self.prf, prf),
            Keyword::NoKe => push(&mut self.ke, Ke::None),
            Keyword::Ke(ke) => push(&mut self.ke, ke),
            Keyword::AddKe(number, ke) => {
                let slot = self.add_ke.get_mut(usize::from(number).checked_sub(1)?)?;
                push(slot, ke.unwrap_or(Ke::None));
            }
            Keyword::Esn(_) if ike => return None,
            Keyword::Esn(esn) => push(&mut self.esn, esn),
        }
        Some(())
    }

    fn complete(mut self) -> Result<Self, ProposalError> {
        let protocol = super::protocol_name(self.protocol);
        let missing = |what| ProposalError::Missing { protocol, what };
        let aead = self.is_aead();
        if aead && self.encr.iter().any(|(encr, _)| !table::encr_is_aead(*encr)) {
            return Err(ProposalError::Mixed);
        }
        if self.protocol == ProtocolId::Ike && self.prf.is_empty() {
            for integ in self.integ.clone() {
                if let Some(prf) = table::implied_prf(integ) {
                    push(&mut self.prf, prf);
                }
            }
        }
        if aead {
            self.integ.clear();
        }
        if self.protocol != ProtocolId::Ah && self.encr.is_empty() {
            return Err(missing("a cipher, like aes256 or aes256gcm16"));
        }
        if !aead && self.integ.is_empty() {
            return Err(missing(
                "an integrity algorithm, like sha256, unless the cipher is an AEAD like aes256gcm16",
            ));
        }
        if self.protocol == ProtocolId::Ike {
            if self.prf.is_empty() {
                return Err(missing("a pseudo-random function, like prfsha256"));
            }
            if self.ke.is_empty() {
                return Err(missing("a key exchange method, like x25519"));
            }
        } else if self.esn.is_empty() {
            self.esn.push(Esn::No);
        }
        Ok(self)
    }
}

/// The integrity algorithm that a GMAC keyword means in an AH proposal (in ESP it is a cipher, RFC 4543).
fn gmac(encr: Encr, bits: u16) -> Option<Integ> {
    match (encr, bits) {
        (Encr::NullAesGmac, 128) => Some(Integ::Aes128Gmac),
        (Encr::NullAesGmac, 192) => Some(Integ::Aes192Gmac),
        (Encr::NullAesGmac, 256) => Some(Integ::Aes256Gmac),
        _ => None,
    }
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// What `default` stands for: one proposal with AEAD ciphers, then one with classic ciphers (AH has only the latter).
///
/// Nothing legacy is among them: no SHA-1, 3DES or groups below 2048 bits, which strongSwan still offers for old
/// peers. ML-KEM is no default: as an additional key exchange it must be asked for, `ke1_mlkem768`. Child proposals
/// hold the key exchange methods and `none`, so that PFS is possible and never required.
#[must_use]
pub fn default_proposals(protocol: ProtocolId) -> ProposalSet {
    let ike = protocol == ProtocolId::Ike;
    let mut ke = vec![
        Ke::X25519,
        Ke::Ecp256,
        Ke::Ecp384,
        Ke::Ecp521,
        Ke::Modp3072,
        Ke::Modp4096,
        Ke::Modp6144,
        Ke::Modp8192,
        Ke::Modp2048,
    ];
    if !ike {
        ke.push(Ke::None);
    }
    let prf = vec![Prf::HmacSha256, Prf::HmacSha384, Prf::HmacSha512];
    let integ = vec![Integ::HmacSha256_128, Integ::HmacSha384_192, Integ::HmacSha512_256];
    let base = Proposal {
        ke,
        prf: if ike { prf } else { Vec::new() },
        esn: if ike { Vec::new() } else { vec![Esn::No] },
        ..Proposal::empty(protocol)
    };
    if protocol == ProtocolId::Ah {
        return vec![Proposal { integ, ..base }];
    }
    let aead = vec![
        (Encr::AesGcm16, 128),
        (Encr::AesGcm16, 192),
        (Encr::AesGcm16, 256),
        (Encr::ChaCha20Poly1305, 0),
    ];
    let classic = vec![(Encr::AesCbc, 128), (Encr::AesCbc, 192), (Encr::AesCbc, 256)];
    vec![Proposal { encr: aead, ..base.clone() }, Proposal { encr: classic, integ, ..base }]
}
