//! What pki reads: files or standard input, DER or PEM, and what may be in them.
use super::{Call, Trouble};
use crypto::Secret;
use crypto::sign::{KeyType, PrivateKey, PublicKey};
use der::asn1::Any;
use der::{Decode as _, Encode as _};
use policy::identity::Dn;
use std::io::Read as _;
use std::path::Path;
use x509_cert::certificate::Certificate as Read;
use x509_cert::ext::Extension;
use x509_cert::request::CertReq;

/// Nothing pki reads is larger: CRLs of large authorities are some megabytes.
const LIMIT: u64 = 64 << 20;

/// What `--type` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A private key: of this family, or of any.
    Private(Option<Family>),
    /// A public key.
    Public,
    /// A certificate request.
    Request,
    /// A certificate.
    Certificate,
}

/// A family of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    Ecdsa,
    Ed25519,
}

impl Family {
    fn has(self, kind: KeyType) -> bool {
        match self {
            Self::Rsa => kind == KeyType::Rsa,
            Self::Ecdsa => matches!(kind, KeyType::P256 | KeyType::P384 | KeyType::P521),
            Self::Ed25519 => kind == KeyType::Ed25519,
        }
    }
}

impl Kind {
    /// What `--type` names.
    pub(super) fn of(call: &Call<'_>, default: &str, allowed: &[&str]) -> Result<Self, Trouble> {
        let word = call.value("type").unwrap_or(default);
        if matches!(word, "ed448" | "bliss") {
            return Err(Trouble::Failed(format!(
                "--type {word} is not available: no kept library has such keys"
            )));
        }
        if !allowed.contains(&word) {
            return Err(Trouble::usage("invalid input type"));
        }
        Ok(match word {
            "rsa" | "rsa-priv" => Self::Private(Some(Family::Rsa)),
            "ecdsa" | "ecdsa-priv" => Self::Private(Some(Family::Ecdsa)),
            "ed25519" | "ed25519-priv" => Self::Private(Some(Family::Ed25519)),
            "pub" => Self::Public,
            "pkcs10" => Self::Request,
            "x509" => Self::Certificate,
            _ => Self::Private(None),
        })
    }
}

/// The words of `--type` for private keys.
pub(super) const PRIVATE: &[&str] = &["priv", "rsa", "ecdsa", "ed25519", "pkcs8"];

/// Reads a file.
pub(crate) fn file(path: &Path) -> Result<Secret, Trouble> {
    let failed = |error| Trouble::Failed(format!("opening '{}' failed: {}", path.display(), reason(&error)));
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Secret::new(bytes))
}

/// Reads `--in`, or standard input.
pub(super) fn given(call: &Call<'_>) -> Result<Secret, Trouble> {
    if call.has("keyid") {
        return Err(Trouble::failed("--keyid is not available: smartcards are used by the daemon only"));
    }
    if let Some(path) = call.value("in") {
        return file(Path::new(path));
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::Failed(format!("reading standard input failed: {}", reason(&error))))?;
    Ok(Secret::new(bytes))
}

/// The system's words for an error, without Rust's "(os error 2)".
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The DER in bytes that are PEM or DER already, and the label where it was PEM.
pub(crate) fn der_of(bytes: &[u8]) -> Result<(Option<String>, Secret), Trouble> {
    let Some(start) = find(bytes, b"-----BEGIN ") else {
        return Ok((None, Secret::from(bytes)));
    };
    let text = String::from_utf8_lossy(&bytes[start..]).into_owned();
    let bad = || Trouble::failed("the PEM armour is damaged");
    let (label, rest) = text["-----BEGIN ".len()..].split_once("-----").ok_or_else(bad)?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(bad)?;
    let packed: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = data_encoding::BASE64.decode(&packed).map_err(|_| bad())?;
    Ok((Some(label.to_owned()), Secret::new(der)))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A private key of that family, or of any.
pub(crate) fn private_key(bytes: &[u8], family: Option<Family>) -> Result<PrivateKey, Trouble> {
    if find(bytes, b"DEK-Info:").is_some() {
        return check(decrypt(bytes)?, family);
    }
    let (label, der) = der_of(bytes)?;
    let der = der.as_slice();
    let key = match label.as_deref() {
        Some("RSA PRIVATE KEY") => PrivateKey::from_pkcs1(der)?,
        Some("EC PRIVATE KEY") => PrivateKey::from_sec1(der)?,
        Some("PRIVATE KEY") => PrivateKey::from_pkcs8(der)?,
        Some("ENCRYPTED PRIVATE KEY") => decrypt(bytes)?,
        Some(other) => {
            return Err(Trouble::Failed(format!("parsing input failed: {other} is no private key")));
        }
        None => {
            let first = PrivateKey::from_pkcs8(der);
            match first {
                Err(crypto::sign::SignError::Key(_)) => PrivateKey::from_pkcs1(der)
                    .or_else(|_| PrivateKey::from_sec1(der))
                    .or_else(|_| match ::pki::load(der, None) {
                        Err(::pki::container::ContainerError::NeedsPassword(_)) => decrypt(der),
                        _ => Err(Trouble::failed("parsing input failed: no usable private key")),
                    })?,
                other => other?,
            }
        }
    };
    check(key, family)
}

fn check(key: PrivateKey, family: Option<Family>) -> Result<PrivateKey, Trouble> {
    match family {
        Some(family) if !family.has(key.kind()) => {
            Err(Trouble::Failed(format!("parsing input failed: the key is {}", key.kind())))
        }
        _ => Ok(key),
    }
}

/// An encrypted key; the password is asked for.
fn decrypt(bytes: &[u8]) -> Result<PrivateKey, Trouble> {
    let failed = |error: &dyn std::fmt::Display| Trouble::Failed(format!("parsing input failed: {error}"));
    let items = ::pki::load(bytes, Some(&passphrase()?)).map_err(|error| failed(&error))?;
    let key = items.into_iter().find_map(|item| match item {
        ::pki::Item::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| failed(&"no private key"))
}

/// Asks on the terminal, or takes what the environment has for scripts.
pub(super) fn passphrase() -> Result<String, Trouble> {
    if let Ok(given) = std::env::var("CYGNET_PASSPHRASE") {
        return Ok(given);
    }
    rpassword::prompt_password("Private key passphrase: ").map_err(|error| {
        Trouble::Failed(format!(
            "asking for a passphrase failed: {} (CYGNET_PASSPHRASE holds one for scripts)",
            reason(&error)
        ))
    })
}

/// A certificate, as bytes and read.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) read: Read,
}

impl Certificate {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Trouble> {
        let bad = |_| Trouble::failed("parsing certificate failed");
        let (_, der) = der_of(bytes)?;
        let read = Read::from_der(der.as_slice()).map_err(bad)?;
        Ok(Self { der: der.as_slice().to_vec(), read })
    }

    pub(crate) fn from_file(path: &Path) -> Result<Self, Trouble> {
        Self::from_bytes(file(path)?.as_slice())
    }

    /// DER of the subject.
    pub(crate) fn subject(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.read.tbs_certificate().subject().to_der()?)
    }

    pub(crate) fn issuer(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.read.tbs_certificate().issuer().to_der()?)
    }

    pub(crate) fn serial(&self) -> &[u8] {
        trim(self.read.tbs_certificate().serial_number().as_bytes())
    }

    pub(crate) fn spki(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.read.tbs_certificate().subject_public_key_info().to_der()?)
    }

    pub(crate) fn key(&self) -> Result<PublicKey, Trouble> {
        Ok(PublicKey::from_spki(&self.spki()?)?)
    }

    /// An extension's value, by its OID.
    pub(crate) fn extension<T: for<'a> der::Decode<'a, Error = der::Error> + const_oid::AssociatedOid>(
        &self,
    ) -> Option<T> {
        extension::<T>(self.read.tbs_certificate().extensions())
    }
}

/// An extension's value among others.
pub(super) fn extension<T: for<'a> der::Decode<'a, Error = der::Error> + const_oid::AssociatedOid>(
    extensions: Option<&Vec<Extension>>,
) -> Option<T> {
    let found = extensions?.iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(found.extn_value.as_bytes()).ok()
}

/// A positive number without leading zero bytes, as it is shown.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
    &bytes[zeros..]
}

/// A certificate request, its signature checked (RFC 2986 4.2).
pub(super) fn request(bytes: &[u8]) -> Result<CertReq, Trouble> {
    let (_, der) = der_of(bytes)?;
    let request = CertReq::from_der(der.as_slice())
        .map_err(|_| Trouble::failed("parsing certificate request failed"))?;
    let key = PublicKey::from_spki(&request.info.public_key.to_der()?)?;
    let scheme = super::verify::scheme(&request.algorithm, key.kind())?;
    let signature = request.signature.as_bytes().unwrap_or_default();
    // The bytes as they came: not everybody sorts the set of attributes, as DER wants it.
    let signed = super::structures::Signed::from_der(der.as_slice())?.tbs.to_der()?;
    key.verify(scheme, &signed, signature)
        .map_err(|_| Trouble::failed("the request is not signed by its own key"))?;
    Ok(request)
}

/// The public key in what was given.
pub(super) fn public_key(kind: Kind, bytes: &[u8]) -> Result<PublicKey, Trouble> {
    match kind {
        Kind::Private(family) => Ok(private_key(bytes, family)?.public().clone()),
        Kind::Certificate => Certificate::from_bytes(bytes)?.key(),
        Kind::Request => Ok(PublicKey::from_spki(&request(bytes)?.info.public_key.to_der()?)?),
        Kind::Public => {
            let (label, der) = der_of(bytes)?;
            if label.as_deref() == Some("RSA PUBLIC KEY") || PublicKey::from_spki(der.as_slice()).is_err() {
                // A bare RSAPublicKey (PKCS#1).
                if super::structures::RsaKey::from_der(der.as_slice()).is_ok() {
                    return Ok(PublicKey::from_spki(&rsa_spki(der.as_slice())?)?);
                }
            }
            Ok(PublicKey::from_spki(der.as_slice())?)
        }
    }
}

/// SubjectPublicKeyInfo around an RSAPublicKey.
fn rsa_spki(key: &[u8]) -> Result<Vec<u8>, Trouble> {
    let info = x509_cert::spki::SubjectPublicKeyInfoOwned {
        algorithm: x509_cert::spki::AlgorithmIdentifierOwned {
            oid: der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
            parameters: Some(Any::from(der::asn1::Null)),
        },
        subject_public_key: der::asn1::BitString::from_bytes(key)?,
    };
    Ok(info.to_der()?)
}

/// A distinguished name given as text.
pub(crate) fn name(text: &str, option: &str) -> Result<Dn, Trouble> {
    Dn::parse(text)
        .filter(|name| !name.attributes.is_empty())
        .ok_or_else(|| Trouble::Failed(format!("supplied --{option} is not a distinguished name")))
}

/// A distinguished name as text.
pub(crate) fn text_of(name: &[u8]) -> String {
    Dn::from_der(name).map_or_else(|| "(unreadable name)".to_owned(), |name| name.to_string())
}

/// Hexadecimal digits, perhaps with 0x before or colons between.
pub(super) fn hex(text: &str, option: &str) -> Result<Vec<u8>, Trouble> {
    let digits: String = text.trim_start_matches("0x").chars().filter(|c| *c != ':').collect();
    let even = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(even.as_bytes())
        .ok()
        .filter(|bytes| (1..=20).contains(&bytes.len()))
        .ok_or_else(|| Trouble::Usage(format!("invalid --{option} value")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_every_form() {
        for kind in [KeyType::Rsa, KeyType::P256, KeyType::Ed25519] {
            let key = PrivateKey::generate(kind, 2048).unwrap();
            let (own, pkcs8) = (key.to_traditional().unwrap(), key.to_pkcs8().unwrap());
            for bytes in [own.as_slice(), pkcs8.as_slice()] {
                assert_eq!(private_key(bytes, None).unwrap().public(), key.public());
            }
            let armoured = super::super::output::pem("PRIVATE KEY", pkcs8.as_slice());
            assert_eq!(private_key(armoured.as_bytes(), None).unwrap().public(), key.public());
            assert!(private_key(&armoured.as_bytes()[..60], None).is_err());
        }
        let key = PrivateKey::generate(KeyType::P256, 0).unwrap().to_pkcs8().unwrap();
        assert!(private_key(key.as_slice(), Some(Family::Rsa)).is_err());
        assert!(private_key(b"", None).is_err());
    }

    #[test]
    fn serial_numbers() {
        assert_eq!(hex("0x0ff", "serial").unwrap(), [0, 0xff]);
        assert_eq!(hex("01:02", "serial").unwrap(), [1, 2]);
        assert!(hex("", "serial").is_err());
        assert!(hex("xy", "serial").is_err());
        assert_eq!(trim(&[0, 0, 1]), [1]);
        assert_eq!(trim(&[0]), [0]);
    }
}
