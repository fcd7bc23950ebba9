//! Public keys as text: RFC 3110 behind `0s` or `0x`, and OpenSSH's form (RFC 4253 6.6, RFC 5656, RFC 8709).
use super::{ContainerError, der_form::spki};
use crate::oid;
use crypto::sign::PublicKey;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use der::asn1::{Any, AnyRef, ObjectIdentifier, UintRef};
use der::{Encode, Sequence};

const BAD: ContainerError = ContainerError::Malformed("public key");

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// A key as text. The digit 0 is also the first byte of DER.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    (bytes.starts_with(b"0s") || bytes.starts_with(b"0x"))
        && bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
}

/// Reads the text.
pub(super) fn read(bytes: &[u8]) -> Result<PublicKey, ContainerError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ContainerError::Unknown)?.trim();
    if let Some(digits) = text.strip_prefix("0s") {
        return dns_key(&BASE64.decode(digits.as_bytes()).map_err(|_| BAD)?);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return dns_key(&HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| BAD)?);
    }
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(data)) if kind.starts_with("ssh-") || kind.starts_with("ecdsa-") => {
            ssh(kind, &BASE64.decode(data.as_bytes()).map_err(|_| BAD)?)
        }
        _ => Err(ContainerError::Unknown),
    }
}

fn rsa(exponent: &[u8], modulus: &[u8]) -> Result<PublicKey, ContainerError> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).map_err(|_| BAD)?,
        exponent: UintRef::new(exponent).map_err(|_| BAD)?,
    };
    let key = key.to_der().map_err(|_| BAD)?;
    Ok(PublicKey::from_spki(&spki(oid::RSA, Some(AnyRef::NULL.into()), &key)?)?)
}

/// RFC 3110 2: length of the exponent in one byte or three, exponent, modulus.
fn dns_key(data: &[u8]) -> Result<PublicKey, ContainerError> {
    let (length, rest) = match data {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return Err(BAD),
    };
    let (exponent, modulus) = rest.split_at_checked(length).ok_or(BAD)?;
    rsa(exponent, modulus)
}

fn ssh(kind: &str, mut data: &[u8]) -> Result<PublicKey, ContainerError> {
    let mut next = || -> Result<&[u8], ContainerError> {
        let (length, rest) = data.split_first_chunk::<4>().ok_or(BAD)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BAD)?;
        let (field, rest) = rest.split_at_checked(length).ok_or(BAD)?;
        data = rest;
        Ok(field)
    };
    if next()? != kind.as_bytes() {
        return Err(BAD);
    }
    let ec = |curve: &str, point: &[u8]| {
        let curve = ObjectIdentifier::new(curve).map_err(|_| BAD)?;
        let parameters = Any::encode_from(&curve).map_err(|_| BAD)?;
        Ok(PublicKey::from_spki(&spki(oid::EC, Some(parameters), point)?)?)
    };
    match kind {
        "ssh-rsa" => {
            let exponent = next()?;
            rsa(exponent, next()?)
        }
        "ssh-ed25519" => Ok(PublicKey::from_spki(&spki(oid::ED25519, None, next()?)?)?),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            next()?;
            let curve = match kind {
                "ecdsa-sha2-nistp256" => "1.2.840.10045.3.1.7",
                "ecdsa-sha2-nistp384" => "1.3.132.0.34",
                _ => "1.3.132.0.35",
            };
            ec(curve, next()?)
        }
        other => Err(ContainerError::unsupported(
            format!("a key of type {other}"),
            "no authentication method uses it",
        )),
    }
}
