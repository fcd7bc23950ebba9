//! The one table: number → names, key sizes, who computes it, whether legacy, or why it is refused.
//!
//! Adding an algorithm: its number in `wire::iana`, its code behind `Mode`, `Aead`, `Mac` or `ke`, its row here.

mod keyword;
mod rows;

use wire::iana::{Encr, Integ, Ke, Prf};

use crate::CryptoError;
pub use keyword::{Keyword, parse_keyword};
use rows::{ENCR, EncrRow, INTEG, IntegRow, KE, PRF, PlainRow};

/// Who computes an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// aws-lc through aws-lc-rs.
    AwsLc,
    /// Crates of the RustCrypto project.
    RustCrypto,
    /// Code of this crate, over primitives of the two others.
    Cygnet,
    /// Nobody: known by name and refused, for this reason.
    Refused(&'static str),
}

impl Backend {
    /// Short name, as shown to operators.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsLc => "aws-lc",
            Self::RustCrypto => "rustcrypto",
            Self::Cygnet => "cygnet",
            Self::Refused(_) => "-",
        }
    }
}

/// One algorithm as the documentation and `get-algorithms` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// "encryption", "integrity", "prf" or "ke".
    pub kind: &'static str,
    /// Number in the IANA registry of its transform type.
    pub number: u16,
    /// Name as charon prints it.
    pub name: &'static str,
    /// Keywords that name it in a proposal, the one we print first.
    pub keywords: Vec<String>,
    /// Who computes it.
    pub backend: Backend,
    /// Too weak for a default proposal.
    pub legacy: bool,
    /// Encryption with integrity of its own.
    pub aead: bool,
}

/// Every algorithm with an IANA number that we know, by kind and then in the order of the registries.
#[must_use]
pub fn rows() -> Vec<Row> {
    let encr = ENCR.iter().map(|row| Row {
        kind: "encryption",
        number: row.id.into(),
        name: row.name,
        keywords: row.keywords().map(|(keyword, _)| keyword).collect(),
        backend: row.backend,
        legacy: row.legacy,
        aead: row.tag > 0,
    });
    let integ = INTEG.iter().map(|row| Row {
        kind: "integrity",
        number: row.id.into(),
        name: row.name,
        keywords: row.keywords.iter().map(ToString::to_string).collect(),
        backend: row.backend,
        legacy: row.legacy,
        aead: false,
    });
    encr.chain(integ)
        .chain(PRF.iter().map(|row| plain("prf", row)))
        .chain(KE.iter().map(|row| plain("ke", row)))
        .collect()
}

fn plain<T: Copy + Into<u16>>(kind: &'static str, row: &PlainRow<T>) -> Row {
    Row {
        kind,
        number: row.id.into(),
        name: row.name,
        keywords: row.keywords.iter().map(ToString::to_string).collect(),
        backend: row.backend,
        legacy: row.legacy,
        aead: false,
    }
}

/// The groups of the vici command `get-algorithms`: each a name and its algorithms, each with who provides it.
#[must_use]
pub fn listing() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let rows = rows();
    let pick = |kind: &str, aead: bool| {
        rows.iter()
            .filter(|row| row.kind == kind && row.aead == aead && !matches!(row.backend, Backend::Refused(_)))
            .map(|row| (row.name, row.backend.name()))
            .collect::<Vec<_>>()
    };
    vec![
        ("encryption", pick("encryption", false)),
        ("integrity", pick("integrity", false)),
        ("aead", pick("encryption", true)),
        ("hasher", vec![("HASH_SHA1", "aws-lc")]),
        ("prf", pick("prf", false)),
        ("xof", vec![]),
        ("kdf", vec![("KDF_PRF", "cygnet"), ("KDF_PRF_PLUS", "cygnet")]),
        ("drbg", vec![]),
        ("ke", pick("ke", false)),
        ("rng", vec![("RNG_STRONG", "rustcrypto")]),
        ("nonce-gen", vec![("NONCE_GEN", "rustcrypto")]),
    ]
}

/// Lengths in bytes that shape a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) iv: usize,
    pub(crate) block: usize,
    pub(crate) tag: usize,
}

fn encr_row(encr: Encr) -> Result<&'static EncrRow, CryptoError> {
    ENCR.iter().find(|row| row.id == encr).ok_or_else(|| unknown("encryption", encr.into()))
}

fn integ_row(integ: Integ) -> Result<&'static IntegRow, CryptoError> {
    INTEG.iter().find(|row| row.id == integ).ok_or_else(|| unknown("integrity", integ.into()))
}

fn plain_row<T: PartialEq + Copy + Into<u16>>(
    rows: &'static [PlainRow<T>],
    kind: &str,
    id: T,
) -> Result<&'static PlainRow<T>, CryptoError> {
    rows.iter().find(|row| row.id == id).ok_or_else(|| unknown(kind, id.into()))
}

fn unknown(kind: &str, number: u16) -> CryptoError {
    CryptoError::Unsupported { name: format!("{kind} {number}"), reason: "the number is not known" }
}

fn usable(backend: Backend, name: impl FnOnce() -> String) -> Result<(), CryptoError> {
    match backend {
        Backend::Refused(reason) => Err(CryptoError::Unsupported { name: name(), reason }),
        _ => Ok(()),
    }
}

pub(crate) fn shape(encr: Encr) -> Result<Shape, CryptoError> {
    let row = encr_row(encr)?;
    Ok(Shape { iv: row.iv, block: row.block, tag: row.tag })
}

pub(crate) fn salt_len(encr: Encr) -> usize {
    encr_row(encr).map_or(0, |row| row.salt)
}

/// Whether encryption `encr` with this Key Length attribute (0: none) can be used.
///
/// # Errors
/// Says why not.
pub fn encr_available(encr: Encr, key_bits: u16) -> Result<(), CryptoError> {
    key_len(encr, key_bits).map(drop)
}

/// Bytes of key material that `encr` takes, salt included (RFC 7296 2.17, RFC 4106 8.1). `key_bits` is the Key Length
/// attribute; 0 for algorithms of a single size, which also accept that size itself.
///
/// # Errors
/// An algorithm that is not available, or a key size that it does not have.
pub fn key_len(encr: Encr, key_bits: u16) -> Result<usize, CryptoError> {
    let row = encr_row(encr)?;
    usable(row.backend, || row.keyword(key_bits))?;
    let bits = match row.sizes {
        [only] if key_bits == 0 && row.single_size() => *only,
        sizes if sizes.contains(&key_bits) => key_bits,
        _ => {
            return Err(CryptoError::Unsupported {
                name: format!("{} with a {key_bits}-bit key", row.name),
                reason: "the algorithm has no such key size",
            });
        }
    };
    Ok(usize::from(bits / 8) + row.salt)
}

/// Whether the encryption brings its own integrity; such a proposal carries no integrity transform (RFC 7296 3.3).
#[must_use]
pub fn encr_is_aead(encr: Encr) -> bool {
    encr_row(encr).is_ok_and(|row| row.tag > 0)
}

/// Too weak for a default proposal.
#[must_use]
pub fn encr_is_legacy(encr: Encr) -> bool {
    encr_row(encr).is_ok_and(|row| row.legacy)
}

/// Name as charon prints it (`encr-alg` in list-sas); the key size is shown beside it and not part of it.
#[must_use]
pub fn encr_name(encr: Encr, _key_bits: u16) -> String {
    encr_row(encr).map_or_else(|_| format!("ENCR_{}", u16::from(encr)), |row| row.name.to_owned())
}

/// Keyword in a proposal, as in `aes128gcm16`.
#[must_use]
pub fn encr_keyword(encr: Encr, key_bits: u16) -> String {
    encr_row(encr).map_or_else(|_| format!("encr{}", u16::from(encr)), |row| row.keyword(key_bits))
}

/// Whether integrity `integ` can be used.
///
/// # Errors
/// Says why not.
pub fn integ_available(integ: Integ) -> Result<(), CryptoError> {
    integ_key_len(integ).map(drop)
}

/// Bytes of key material that `integ` takes; 0 for none.
///
/// # Errors
/// An algorithm that is not available.
pub fn integ_key_len(integ: Integ) -> Result<usize, CryptoError> {
    if integ == Integ::None {
        return Ok(0);
    }
    let row = integ_row(integ)?;
    usable(row.backend, || integ_keyword(integ))?;
    Ok(row.key)
}

/// Bytes of the integrity check value.
pub(crate) fn icv_len(integ: Integ) -> Result<usize, CryptoError> {
    integ_row(integ).map(|row| row.icv)
}

/// Too weak for a default proposal.
#[must_use]
pub fn integ_is_legacy(integ: Integ) -> bool {
    integ_row(integ).is_ok_and(|row| row.legacy)
}

/// Name as charon prints it (`integ-alg` in list-sas).
#[must_use]
pub fn integ_name(integ: Integ) -> String {
    integ_row(integ).map_or_else(|_| format!("AUTH_{}", u16::from(integ)), |row| row.name.to_owned())
}

/// Keyword in a proposal, as in `sha256`.
#[must_use]
pub fn integ_keyword(integ: Integ) -> String {
    let row = integ_row(integ).ok().and_then(|row| row.keywords.first());
    row.map_or_else(|| format!("integ{}", u16::from(integ)), ToString::to_string)
}

/// The PRF that an integrity keyword implies in an IKE proposal without a PRF keyword.
#[must_use]
pub fn implied_prf(integ: Integ) -> Option<Prf> {
    integ_row(integ).ok().and_then(|row| row.prf)
}

/// Whether the pseudo-random function can be used.
///
/// # Errors
/// Says why not.
pub fn prf_available(prf: Prf) -> Result<(), CryptoError> {
    plain_row(PRF, "prf", prf).and_then(|row| usable(row.backend, || row.keyword()))
}

/// Too weak for a default proposal.
#[must_use]
pub fn prf_is_legacy(prf: Prf) -> bool {
    plain_row(PRF, "prf", prf).is_ok_and(|row| row.legacy)
}

/// Name as charon prints it (`prf-alg` in list-sas).
#[must_use]
pub fn prf_name(prf: Prf) -> String {
    plain_row(PRF, "prf", prf).map_or_else(|_| format!("PRF_{}", u16::from(prf)), |row| row.name.to_owned())
}

/// Keyword in a proposal, as in `prfsha256`.
#[must_use]
pub fn prf_keyword(prf: Prf) -> String {
    plain_row(PRF, "prf", prf).map_or_else(|_| format!("prf{}", u16::from(prf)), PlainRow::keyword)
}

/// Too weak for a default proposal.
#[must_use]
pub fn ke_is_legacy(ke: Ke) -> bool {
    plain_row(KE, "ke", ke).is_ok_and(|row| row.legacy)
}

/// Name as charon prints it (`dh-group` in list-sas).
#[must_use]
pub fn ke_name(ke: Ke) -> String {
    plain_row(KE, "ke", ke).map_or_else(|_| format!("KE_{}", u16::from(ke)), |row| row.name.to_owned())
}

/// Keyword in a proposal, as in `x25519`.
#[must_use]
pub fn ke_keyword(ke: Ke) -> String {
    plain_row(KE, "ke", ke).map_or_else(|_| format!("ke{}", u16::from(ke)), PlainRow::keyword)
}

pub(crate) fn ke_name_static(ke: Ke) -> &'static str {
    plain_row(KE, "ke", ke).map_or("KE", |row| row.name)
}

const NO_CODE: &str = "there is no implementation";

pub(crate) fn encr_unsupported(encr: Encr, key_bits: u16) -> CryptoError {
    let row = encr_row(encr).map(|row| row.backend);
    refused(row, encr_keyword(encr, key_bits))
}

pub(crate) fn integ_unsupported(integ: Integ) -> CryptoError {
    if integ == Integ::None {
        return CryptoError::Unsupported {
            name: integ_keyword(integ),
            reason: "encryption without integrity protects nothing (RFC 8221 4)",
        };
    }
    refused(integ_row(integ).map(|row| row.backend), integ_keyword(integ))
}

pub(crate) fn prf_unsupported(prf: Prf) -> CryptoError {
    refused(plain_row(PRF, "prf", prf).map(|row| row.backend), prf_keyword(prf))
}

pub(crate) fn ke_unsupported(ke: Ke) -> CryptoError {
    refused(plain_row(KE, "ke", ke).map(|row| row.backend), ke_keyword(ke))
}

fn refused(backend: Result<Backend, CryptoError>, name: String) -> CryptoError {
    match backend {
        Ok(Backend::Refused(reason)) => CryptoError::Unsupported { name, reason },
        Ok(_) => CryptoError::Unsupported { name, reason: NO_CODE },
        Err(unknown) => unknown,
    }
}

pub(crate) fn integ_beside_aead(integ: Integ) -> CryptoError {
    CryptoError::Unsupported {
        name: integ_keyword(integ),
        reason: "an AEAD brings its own integrity and takes no other (RFC 7296 3.3)",
    }
}

pub(crate) fn partial_block(block: usize, have: usize) -> CryptoError {
    CryptoError::Length { what: "ciphertext, in whole blocks,", want: have.next_multiple_of(block), have }
}

#[cfg(test)]
mod tests;
