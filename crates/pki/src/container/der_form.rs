//! DER: found out by its shape.
use super::{ContainerError, Item, MAX_ITEMS, pkcs12};
use crate::cert::Certificate;
use crate::crl::Crl;
use crate::oid;
use crypto::Secret;
use crypto::password::{MAX_ITERATIONS, Pkcs12Cipher, pkcs12_decrypt};
use crypto::sign::{PrivateKey, PublicKey};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag};
use spki::AlgorithmIdentifierOwned;

/// EncryptedPrivateKeyInfo (RFC 5958 3).
#[derive(Sequence)]
struct Encrypted<'a> {
    algorithm: AlgorithmIdentifierOwned,
    data: &'a OctetStringRef,
}

/// Tags of the first elements of a sequence; shapes differ in the first three.
fn shape(der: &[u8]) -> Option<(Vec<Tag>, Option<ObjectIdentifier>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = der::Header::decode(&mut reader).ok()?;
    if header.tag() != Tag::Sequence || reader.remaining_len() != header.length() {
        return None;
    }
    let (mut tags, mut first_oid) = (Vec::new(), None);
    while tags.len() < 3 && !reader.is_finished() {
        let element = AnyRef::decode(&mut reader).ok()?;
        if tags.is_empty() {
            first_oid = match der::Tagged::tag(&element) {
                Tag::ObjectIdentifier => element.decode_as().ok(),
                Tag::Sequence => SliceReader::new(element.value())
                    .ok()
                    .and_then(|mut r| ObjectIdentifier::decode(&mut r).ok()),
                _ => None,
            };
        }
        tags.push(der::Tagged::tag(&element));
    }
    Some((tags, first_oid))
}

/// What is in DER.
pub(super) fn items(der: &[u8], password: Option<&str>) -> Result<Vec<Item>, ContainerError> {
    let (tags, first) = shape(der).ok_or(ContainerError::Malformed("DER"))?;
    match tags.as_slice() {
        [Tag::Integer, Tag::Sequence, ..] if is_pfx(der) => pkcs12::read(der, password),
        [Tag::Integer, Tag::Sequence | Tag::Integer | Tag::OctetString, ..] => {
            match private_key("", der, password)? {
                Some(key) => Ok(vec![Item::PrivateKey(key)]),
                None => rsa_public(der).map(|key| vec![Item::PublicKey(key)]),
            }
        }
        [Tag::Sequence, Tag::OctetString] => match private_key("", der, password)? {
            Some(key) => Ok(vec![Item::PrivateKey(key)]),
            None => Err(ContainerError::Malformed("encrypted private key")),
        },
        [Tag::Sequence, Tag::BitString] => Ok(vec![Item::PublicKey(PublicKey::from_spki(der)?)]),
        [Tag::ObjectIdentifier, _] if first == Some(oid::PKCS7_SIGNED) => pkcs7(der),
        [Tag::ObjectIdentifier, ..] => {
            let what =
                first.map_or_else(|| "this content".to_owned(), |oid| format!("content of type {oid}"));
            Err(ContainerError::unsupported(what, "only PKCS#7 signed-data with certificates is"))
        }
        [Tag::Sequence, Tag::Sequence, Tag::BitString] => match Crl::from_der(der) {
            Ok(crl) => Ok(vec![Item::Crl(Box::new(crl))]),
            Err(crl) => match Certificate::from_der(der) {
                Ok(certificate) => Ok(vec![Item::Certificate(certificate)]),
                // Which of the two was meant is told by the first element: only a TBSCertificate has [0] or an
                // INTEGER followed by an INTEGER or SEQUENCE of names; a TBSCertList's is an INTEGER and an algorithm.
                Err(certificate) if is_tbs_certificate(der) => Err(certificate.into()),
                Err(_) => Err(crl.into()),
            },
        },
        _ => Err(ContainerError::Unknown),
    }
}

fn is_tbs_certificate(der: &[u8]) -> bool {
    let first = || {
        let mut reader = SliceReader::new(der).ok()?;
        der::Header::decode(&mut reader).ok()?;
        let tbs = AnyRef::decode(&mut reader).ok()?;
        SliceReader::new(tbs.value()).ok()?.peek_byte()
    };
    // [0] version, or with version 1 the serial number, which in a CRL can only be 1 (v2).
    first() == Some(0xa0)
}

fn is_pfx(der: &[u8]) -> bool {
    let content = || {
        let mut reader = SliceReader::new(der).ok()?;
        der::Header::decode(&mut reader).ok()?;
        let version = u8::decode(&mut reader).ok()?;
        let safe = AnyRef::decode(&mut reader).ok()?;
        let oid = ObjectIdentifier::decode(&mut SliceReader::new(safe.value()).ok()?).ok()?;
        Some((version, oid))
    };
    content().is_some_and(|(version, oid)| version == 3 && matches!(oid, oid::PKCS7_DATA | oid::PKCS7_SIGNED))
}

fn pkcs7(der: &[u8]) -> Result<Vec<Item>, ContainerError> {
    let certs = certval::certs_from_signed_data(der).ok_or(ContainerError::Malformed("PKCS#7"))?;
    if certs.len() > MAX_ITEMS {
        return Err(ContainerError::TooLarge);
    }
    certs.iter().map(|der| Ok(Item::Certificate(Certificate::from_der(der)?))).collect()
}

/// RSAPublicKey (RFC 8017 A.1.1).
fn rsa_public(der: &[u8]) -> Result<PublicKey, ContainerError> {
    Ok(PublicKey::from_spki(&spki(oid::RSA, Some(AnyRef::NULL.into()), der)?)?)
}

/// A SubjectPublicKeyInfo around the bytes of a key.
pub(super) fn spki(
    algorithm: ObjectIdentifier,
    parameters: Option<der::asn1::Any>,
    key: &[u8],
) -> Result<Vec<u8>, ContainerError> {
    let bad = |_| ContainerError::Malformed("public key");
    spki::SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: algorithm, parameters },
        subject_public_key: der::asn1::BitString::from_bytes(key).map_err(bad)?,
    }
    .to_der()
    .map_err(bad)
}

/// A private key: PKCS#8, encrypted PKCS#8, PKCS#1 or SEC 1. `None` if it is none of these. The label of a PEM block
/// decides where there is one.
pub(super) fn private_key(
    label: &str,
    der: &[u8],
    password: Option<&str>,
) -> Result<Option<PrivateKey>, ContainerError> {
    let Some((tags, _)) = shape(der) else {
        return Ok(None);
    };
    Ok(match tags.as_slice() {
        [Tag::Integer, Tag::Sequence, Tag::OctetString]
            if !matches!(label, "RSA PRIVATE KEY" | "EC PRIVATE KEY") =>
        {
            Some(PrivateKey::from_pkcs8(der)?)
        }
        [Tag::Integer, Tag::Integer, Tag::Integer] => Some(PrivateKey::from_pkcs1(der)?),
        [Tag::Integer, Tag::OctetString, ..] => Some(PrivateKey::from_sec1(der)?),
        [Tag::Sequence, Tag::OctetString] => {
            let what = "the private key";
            let encrypted = Encrypted::from_der(der).map_err(|_| ContainerError::Malformed("private key"))?;
            let password = password.ok_or(ContainerError::NeedsPassword(what))?;
            let clear = decrypt(&encrypted.algorithm, encrypted.data.as_bytes(), password, what)?;
            // Padding may be right by chance; a key it is not.
            let key = PrivateKey::from_pkcs8(clear.as_slice());
            Some(key.map_err(|error| match error {
                crypto::sign::SignError::Key(_) => ContainerError::WrongPassword(what),
                other => ContainerError::Key(other),
            })?)
        }
        _ => None,
    })
}

/// Decrypts with PBES2 or a scheme of PKCS#12.
pub(super) fn decrypt(
    algorithm: &AlgorithmIdentifierOwned,
    data: &[u8],
    password: &str,
    what: &'static str,
) -> Result<Secret, ContainerError> {
    #[derive(Sequence)]
    struct PbeParams<'a> {
        salt: &'a OctetStringRef,
        iterations: u32,
    }
    let cipher = match algorithm.oid {
        oid::PBE_SHA1_3DES => Pkcs12Cipher::TripleDes,
        oid::PBE_SHA1_2DES => Pkcs12Cipher::DoubleDes,
        oid::PBE_SHA1_RC2_128 => Pkcs12Cipher::Rc2,
        oid::PBE_SHA1_RC2_40 => Pkcs12Cipher::Rc2Short,
        oid::PBES2 => return pbes2(algorithm, data, password, what),
        other => {
            return Err(ContainerError::unsupported(
                format!("encryption with {other}"),
                "PBES2 and the schemes of PKCS#12 but RC4 are",
            ));
        }
    };
    let bad = || ContainerError::Malformed("encryption parameters");
    let parameters = algorithm.parameters.as_ref().ok_or_else(bad)?.to_der().map_err(|_| bad())?;
    let params = PbeParams::from_der(&parameters).map_err(|_| bad())?;
    if params.iterations > MAX_ITERATIONS {
        return Err(ContainerError::unsupported(
            "so many iterations",
            format!("{MAX_ITERATIONS} are the limit"),
        ));
    }
    pkcs12_decrypt(cipher, password, params.salt.as_bytes(), params.iterations, data)
        .ok_or(ContainerError::WrongPassword(what))
}

fn pbes2(
    algorithm: &AlgorithmIdentifierOwned,
    data: &[u8],
    password: &str,
    what: &'static str,
) -> Result<Secret, ContainerError> {
    let der = algorithm.to_der().map_err(|_| ContainerError::Malformed("encryption parameters"))?;
    let scheme = pkcs5::EncryptionScheme::from_der(&der).map_err(|_| {
        ContainerError::unsupported("this kind of PBES2", "PBKDF2 or scrypt with AES or 3DES is")
    })?;
    let too_much = || {
        ContainerError::unsupported(
            "so much work for a password",
            format!("{MAX_ITERATIONS} iterations are the limit"),
        )
    };
    match scheme.pbes2().map(|p| &p.kdf) {
        Some(pkcs5::pbes2::Kdf::Pbkdf2(params)) if params.iteration_count > MAX_ITERATIONS => {
            return Err(too_much());
        }
        Some(pkcs5::pbes2::Kdf::Scrypt(params)) => {
            let memory =
                u64::from(params.block_size).saturating_mul(params.cost_parameter).saturating_mul(128);
            if memory > 1 << 28 || params.parallelization > 16 {
                return Err(too_much());
            }
        }
        _ => {}
    }
    scheme.decrypt(password, data).map(Secret::new).map_err(|error| match error {
        pkcs5::Error::DecryptFailed => ContainerError::WrongPassword(what),
        other => ContainerError::unsupported("this kind of PBES2", other.to_string()),
    })
}
