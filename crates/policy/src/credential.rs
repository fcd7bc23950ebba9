//! Certificates and raw public keys that a configuration names, and what it demands of keys and signatures.
use crate::Identity;
use crypto::sign::{Hash, KeyType, SignScheme};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A certificate that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// DER.
    pub der: Arc<[u8]>,
    /// Its subject, a distinguished name.
    pub subject: Identity,
    /// SHA-1 of its SubjectPublicKeyInfo, as CERTREQ payloads carry it (RFC 7296 3.7).
    pub key_hash: [u8; 20],
}

/// A certificate or public key as a configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertRef {
    /// A certificate, read: after loading into the daemon there is no other kind in `certs` and `cacerts`.
    Loaded(Certificate),
    /// A raw public key as DER SubjectPublicKeyInfo: after loading the only kind in `pubkeys`.
    Key(Arc<[u8]>),
    /// DER or PEM as it came, or in a file of the swanctl directory its name.
    Raw(Vec<u8>),
    /// A file that the daemon reads (`cert<suffix>.file`).
    File(String),
    /// An object on a token (`cert<suffix>.handle`, `.slot`, `.module`).
    Token {
        /// CKA_ID.
        handle: Vec<u8>,
        /// Slot number.
        slot: Option<u64>,
        /// Name of the module in `strongswan.conf`.
        module: Option<String>,
    },
}

impl CertRef {
    /// The certificate, once loaded.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Loaded(certificate) => Some(certificate),
            Self::Key(_) | Self::Raw(_) | Self::File(_) | Self::Token { .. } => None,
        }
    }
}

/// A family of keys, as `auth` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// `rsa`.
    Rsa,
    /// `ecdsa`.
    Ecdsa,
    /// `ed25519`.
    Ed25519,
    /// `ed448`.
    Ed448,
}

/// A set of signature schemes; what is `None` may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemePattern {
    /// Kind of key.
    pub kind: Option<KeyKind>,
    /// RSA only: PSS (`rsa/pss`) or PKCS#1.
    pub pss: Option<bool>,
    /// Hash.
    pub hash: Option<Hash>,
}

/// Demands on a public key authentication: `auth = rsa-3072-ecdsa-256-sha256`, `ike:…`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyConstraints {
    /// Kinds of keys that may be in the trust chain, and their least size in bits (0: any). Empty: any key.
    pub keys: Vec<(KeyKind, u32)>,
    /// Signatures that may be in the trust chain. Empty: any.
    pub chain: Vec<SchemePattern>,
    /// Signatures that AUTH may be made with, preferred first. Empty: any.
    pub ike: Vec<SchemePattern>,
}

impl KeyKind {
    /// Whether a key of this type is of the kind.
    #[must_use]
    pub fn fits(self, key: KeyType) -> bool {
        match self {
            Self::Rsa => key == KeyType::Rsa,
            Self::Ecdsa => matches!(key, KeyType::P256 | KeyType::P384 | KeyType::P521),
            Self::Ed25519 => key == KeyType::Ed25519,
            Self::Ed448 => false,
        }
    }
}

impl SchemePattern {
    /// Whether the scheme belongs to the set. A set with a hash takes EdDSA, too, whose hash is its own (RFC 8420).
    #[must_use]
    pub fn fits(&self, scheme: SignScheme) -> bool {
        let (kind, pss) = match scheme {
            SignScheme::RsaPkcs1(_) => (KeyKind::Rsa, false),
            SignScheme::RsaPss(_) => (KeyKind::Rsa, true),
            SignScheme::EcdsaDer(_) | SignScheme::EcdsaRaw(_) => (KeyKind::Ecdsa, false),
            SignScheme::Ed25519 => (KeyKind::Ed25519, false),
            SignScheme::Ed448 => (KeyKind::Ed448, false),
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && (kind != KeyKind::Rsa || self.pss.is_none_or(|wanted| wanted == pss))
            && self.hash.is_none_or(|wanted| scheme.hash().is_none_or(|hash| hash == wanted))
    }
}

impl KeyConstraints {
    /// Reads the constraints of an `auth` text, as documented for `swanctl.conf`: words joined by `-`, of which
    /// `pubkey`, `rsa`, `rsa/pss`, `ecdsa`, `ed25519` and `ed448` name a kind of key, a number behind one its least
    /// size, and `sha1`, `sha256`, `sha384`, `sha512` hash functions for the kind before them. What follows `ike:`
    /// is for AUTH only; without `ike:` everything is for the trust chain and for AUTH.
    ///
    /// # Errors
    /// The word that is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut sides = [Side::default(), Side::default()];
        let (chain, ike) = match text.find("ike:") {
            Some(0) => ("", text.get(4..)),
            Some(at) if text.get(..at).is_some_and(|head| head.ends_with('-')) => {
                (text.get(..at.saturating_sub(1)).unwrap_or(""), text.get(at.saturating_add(4)..))
            }
            Some(_) | None => (text, None),
        };
        let [first, second] = &mut sides;
        if !chain.is_empty() {
            first.read(chain)?;
        }
        if let Some(ike) = ike {
            second.read(ike)?;
        }
        let [first, second] = sides;
        let (keys, chain) = (first.keys(), first.patterns);
        let ike = if ike.is_some() { second.patterns } else { chain.clone() };
        Ok(Self { keys, chain: only_if_it_says_something(chain), ike: only_if_it_says_something(ike) })
    }

    /// Whether a key may be in the trust chain: of a kind that is named, and not smaller than said.
    #[must_use]
    pub fn key_fits(&self, kind: KeyType, bits: usize) -> bool {
        let size = |least: u32| usize::try_from(least).is_ok_and(|least| bits >= least);
        self.keys.is_empty() || self.keys.iter().any(|(wanted, least)| wanted.fits(kind) && size(*least))
    }

    /// Whether a signature may be in the trust chain.
    #[must_use]
    pub fn chain_fits(&self, scheme: SignScheme) -> bool {
        self.chain.is_empty() || self.chain.iter().any(|pattern| pattern.fits(scheme))
    }

    /// Whether AUTH may be signed so.
    #[must_use]
    pub fn ike_fits(&self, scheme: SignScheme) -> bool {
        self.ike.is_empty() || self.ike.iter().any(|pattern| pattern.fits(scheme))
    }
}

/// Patterns without any demand but the kind of key are said by the list of keys already, and a wildcard among them
/// leaves nothing to demand.
fn only_if_it_says_something(patterns: Vec<SchemePattern>) -> Vec<SchemePattern> {
    let free = |p: &SchemePattern| p.kind.is_none() && p.pss.is_none() && p.hash.is_none();
    if patterns.iter().any(free) { Vec::new() } else { patterns }
}

#[derive(Default)]
struct Side {
    keys: Vec<(KeyKind, u32)>,
    any_key: bool,
    patterns: Vec<SchemePattern>,
}

impl Side {
    /// The keys named, unless `pubkey` is among them.
    fn keys(&self) -> Vec<(KeyKind, u32)> {
        if self.any_key { Vec::new() } else { self.keys.clone() }
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut current: Option<SchemePattern> = None;
        let mut hashed = false;
        for word in text.split('-') {
            let kind = match word {
                "pubkey" => Some((None, None)),
                "rsa" => Some((Some(KeyKind::Rsa), None)),
                "rsa/pss" => Some((Some(KeyKind::Rsa), Some(true))),
                "ecdsa" => Some((Some(KeyKind::Ecdsa), None)),
                "ed25519" => Some((Some(KeyKind::Ed25519), None)),
                "ed448" => Some((Some(KeyKind::Ed448), None)),
                _ => None,
            };
            if let Some((kind, pss)) = kind {
                self.patterns.extend(current.take().filter(|_| !hashed));
                match kind {
                    Some(kind) => self.keys.push((kind, 0)),
                    None => self.any_key = true,
                }
                (current, hashed) = (Some(SchemePattern { kind, pss, hash: None }), false);
                continue;
            }
            let pattern = current.ok_or_else(|| word.to_owned())?;
            if let Some(hash) = hash_word(word) {
                self.patterns.push(SchemePattern { hash: Some(hash), ..pattern });
                hashed = true;
            } else {
                // A size belongs to the kind just named, once.
                let size = word.parse().ok().filter(|_| !hashed).ok_or_else(|| word.to_owned())?;
                match (pattern.kind, self.keys.last_mut()) {
                    (Some(_), Some((_, least))) if *least == 0 => *least = size,
                    _ => return Err(word.to_owned()),
                }
            }
        }
        self.patterns.extend(current.filter(|_| !hashed));
        Ok(())
    }
}

fn hash_word(word: &str) -> Option<Hash> {
    match word {
        "sha1" => Some(Hash::Sha1),
        "sha256" => Some(Hash::Sha256),
        "sha384" => Some(Hash::Sha384),
        "sha512" => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(kind: Option<KeyKind>, pss: Option<bool>, hash: Option<Hash>) -> SchemePattern {
        SchemePattern { kind, pss, hash }
    }

    #[test]
    fn the_documented_constraints() {
        use Hash::{Sha256, Sha384, Sha512};
        assert_eq!(KeyConstraints::parse("pubkey"), Ok(KeyConstraints::default()));
        let c = KeyConstraints::parse("pubkey-sha256-sha512").unwrap();
        assert_eq!(c.keys, []);
        assert_eq!(c.chain, [pattern(None, None, Some(Sha256)), pattern(None, None, Some(Sha512))]);
        assert_eq!(c.ike, c.chain);
        assert!(c.ike_fits(SignScheme::RsaPss(Sha512)) && !c.ike_fits(SignScheme::RsaPkcs1(Sha384)));
        assert!(c.ike_fits(SignScheme::Ed25519));
        let c = KeyConstraints::parse("rsa-3072-sha256-ecdsa-256").unwrap();
        assert_eq!(c.keys, [(KeyKind::Rsa, 3072), (KeyKind::Ecdsa, 256)]);
        assert!(c.key_fits(KeyType::Rsa, 4096) && !c.key_fits(KeyType::Rsa, 2048));
        assert!(c.key_fits(KeyType::P384, 384) && !c.key_fits(KeyType::Ed25519, 256));
        assert!(c.chain_fits(SignScheme::EcdsaDer(Sha384)) && c.chain_fits(SignScheme::RsaPkcs1(Sha256)));
        assert!(!c.chain_fits(SignScheme::RsaPkcs1(Sha384)));
        let c = KeyConstraints::parse("rsa/pss-sha384").unwrap();
        assert_eq!(c.chain, [pattern(Some(KeyKind::Rsa), Some(true), Some(Sha384))]);
        assert!(!c.ike_fits(SignScheme::RsaPkcs1(Sha384)));
        let c = KeyConstraints::parse("ike:rsa/pss-sha384-sha256").unwrap();
        assert_eq!((c.keys.len(), c.chain.len(), c.ike.len()), (0, 0, 2));
        let c = KeyConstraints::parse("ecdsa-384-sha384-ike:ecdsa-sha256").unwrap();
        assert_eq!(c.keys, [(KeyKind::Ecdsa, 384)]);
        assert_eq!(c.chain, [pattern(Some(KeyKind::Ecdsa), None, Some(Sha384))]);
        assert_eq!(c.ike, [pattern(Some(KeyKind::Ecdsa), None, Some(Sha256))]);
        assert_eq!(KeyConstraints::parse("ed25519").unwrap().keys, [(KeyKind::Ed25519, 0)]);
        assert_eq!(KeyConstraints::parse("ed448").unwrap().keys, [(KeyKind::Ed448, 0)]);
    }

    #[test]
    fn words_that_mean_nothing_are_named() {
        for (text, word) in [
            ("", ""),
            ("rsa-", ""),
            ("rsa-md5", "md5"),
            ("sha256", "sha256"),
            ("pubkey-2048", "2048"),
            ("rsa-2048-3072", "3072"),
            ("rsa-sha256-2048", "2048"),
            ("rsa-ike", "ike"),
            ("ike:", ""),
            ("rsa-sha256ike:rsa", "sha256ike:rsa"),
        ] {
            let expected = if text.is_empty() { Ok(KeyConstraints::default()) } else { Err(word.to_owned()) };
            assert_eq!(KeyConstraints::parse(text), expected, "{text}");
        }
    }
}
