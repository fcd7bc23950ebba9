//! Public keys: read from a SubjectPublicKeyInfo, checked once, used to verify.
use super::{Hash, NO_ED448, NO_SHA1_ECDSA, SignError, SignScheme, digest};
use aws_lc_rs::signature::{self as awslc, UnparsedPublicKey, VerificationAlgorithm};
use spki::der::asn1::ObjectIdentifier;
use spki::der::{Decode as _, asn1::BitStringRef};
use std::fmt;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");

/// What kind of key it is. `Display` gives the names that charon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// RSA, 2048 to 8192 bits.
    Rsa,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::P256 | Self::P384 | Self::P521 => "ECDSA",
            Self::Ed25519 => "ED25519",
        })
    }
}

/// The proof that a key signed some data: only [`PublicKey::prove`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    scheme: SignScheme,
    data: Vec<u8>,
}

impl Verified {
    /// How the signature was made.
    #[must_use]
    pub fn scheme(&self) -> SignScheme {
        self.scheme
    }

    /// It was these data that were signed.
    #[must_use]
    pub fn covers(&self, data: &[u8]) -> bool {
        crate::secret::ct_eq(&self.data, &digest(Hash::Sha256, &[data]))
    }
}

/// A public key that has been checked: a point on its curve, a modulus of an accepted size.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    kind: KeyType,
    spki: Vec<u8>,
    key: Vec<u8>,
    bits: usize,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7).
    ///
    /// # Errors
    /// [`SignError::Unsupported`] for kinds of keys that are known and not offered, [`SignError::Key`] for anything
    /// that is no valid key.
    pub fn from_spki(spki: &[u8]) -> Result<Self, SignError> {
        let bad = SignError::Key("public key");
        let Ok(info) = spki::SubjectPublicKeyInfo::<spki::der::AnyRef<'_>, BitStringRef<'_>>::from_der(spki)
        else {
            return Err(bad);
        };
        let curve = || info.algorithm.parameters_oid().map_err(|_| SignError::Key("public key"));
        let kind = kind(info.algorithm.oid, curve)?;
        let key = info.subject_public_key.as_bytes().ok_or(bad)?.to_vec();
        let bits = bits(kind, &key)?;
        Ok(Self { kind, spki: spki.to_vec(), key, bits })
    }

    /// Kind of key.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// Size in bits as it is usually told: of the modulus, of the curve.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// DER of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The subjectPublicKey inside.
    #[must_use]
    pub fn subject_public_key(&self) -> &[u8] {
        &self.key
    }

    /// SHA-1 of the subjectPublicKey (RFC 5280 4.2.1.2): strongSwan's "subjkey", the usual subjectKeyIdentifier.
    #[must_use]
    pub fn key_id(&self) -> Vec<u8> {
        digest(Hash::Sha1, &[&self.key])
    }

    /// SHA-1 of the whole SubjectPublicKeyInfo: strongSwan's "keyid", what a CERTREQ payload carries (RFC 7296 3.7).
    #[must_use]
    pub fn spki_id(&self) -> Vec<u8> {
        digest(Hash::Sha1, &[&self.spki])
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`SignError::Signature`] if it is none of this key over `data`; [`SignError::Mismatch`] and
    /// [`SignError::Unsupported`] if the scheme does not fit the key or is not offered.
    pub fn verify(&self, scheme: SignScheme, data: &[u8], signature: &[u8]) -> Result<(), SignError> {
        let algorithm = self.algorithm(scheme)?;
        UnparsedPublicKey::new(algorithm, &self.key).verify(data, signature).map_err(|_| SignError::Signature)
    }

    /// As [`Self::verify`], with a proof that can be handed on.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn prove(&self, scheme: SignScheme, data: &[u8], signature: &[u8]) -> Result<Verified, SignError> {
        self.verify(scheme, data, signature)?;
        Ok(Verified { scheme, data: digest(Hash::Sha256, &[data]) })
    }

    fn algorithm(&self, scheme: SignScheme) -> Result<&'static dyn VerificationAlgorithm, SignError> {
        use Hash::{Sha1, Sha256, Sha384, Sha512};
        if scheme == SignScheme::Ed448 {
            return Err(SignError::unsupported(scheme, NO_ED448));
        }
        if !scheme.fits(self.kind) {
            return Err(SignError::Mismatch { scheme, key: self.kind });
        }
        Ok(match (scheme, self.kind) {
            (SignScheme::RsaPkcs1(Sha1), _) => &awslc::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (SignScheme::RsaPkcs1(Sha256), _) => &awslc::RSA_PKCS1_2048_8192_SHA256,
            (SignScheme::RsaPkcs1(Sha384), _) => &awslc::RSA_PKCS1_2048_8192_SHA384,
            (SignScheme::RsaPkcs1(Sha512), _) => &awslc::RSA_PKCS1_2048_8192_SHA512,
            (SignScheme::RsaPss(Sha256), _) => &awslc::RSA_PSS_2048_8192_SHA256,
            (SignScheme::RsaPss(Sha384), _) => &awslc::RSA_PSS_2048_8192_SHA384,
            (SignScheme::RsaPss(Sha512), _) => &awslc::RSA_PSS_2048_8192_SHA512,
            (SignScheme::RsaPss(Sha1), _) => {
                return Err(SignError::unsupported(scheme, "RSASSA-PSS is not used with SHA-1"));
            }
            (SignScheme::EcdsaDer(Sha1), KeyType::P256) => &awslc::ECDSA_P256_SHA1_ASN1,
            (SignScheme::EcdsaDer(Sha256), KeyType::P256) => &awslc::ECDSA_P256_SHA256_ASN1,
            (SignScheme::EcdsaDer(Sha384), KeyType::P256) => &awslc::ECDSA_P256_SHA384_ASN1,
            (SignScheme::EcdsaDer(Sha512), KeyType::P256) => &awslc::ECDSA_P256_SHA512_ASN1,
            (SignScheme::EcdsaDer(Sha256), KeyType::P384) => &awslc::ECDSA_P384_SHA256_ASN1,
            (SignScheme::EcdsaDer(Sha384), KeyType::P384) => &awslc::ECDSA_P384_SHA384_ASN1,
            (SignScheme::EcdsaDer(Sha512), KeyType::P384) => &awslc::ECDSA_P384_SHA512_ASN1,
            (SignScheme::EcdsaDer(Sha1), KeyType::P521) => &awslc::ECDSA_P521_SHA1_ASN1,
            (SignScheme::EcdsaDer(Sha256), KeyType::P521) => &awslc::ECDSA_P521_SHA256_ASN1,
            (SignScheme::EcdsaDer(Sha384), KeyType::P521) => &awslc::ECDSA_P521_SHA384_ASN1,
            (SignScheme::EcdsaDer(Sha512), KeyType::P521) => &awslc::ECDSA_P521_SHA512_ASN1,
            (SignScheme::EcdsaDer(_), _) => return Err(SignError::unsupported(scheme, NO_SHA1_ECDSA)),
            (SignScheme::EcdsaRaw(_), KeyType::P256) => &awslc::ECDSA_P256_SHA256_FIXED,
            (SignScheme::EcdsaRaw(_), KeyType::P384) => &awslc::ECDSA_P384_SHA384_FIXED,
            (SignScheme::EcdsaRaw(_), _) => &awslc::ECDSA_P521_SHA512_FIXED,
            (SignScheme::Ed25519, _) => &awslc::ED25519,
            (SignScheme::Ed448, _) => return Err(SignError::unsupported(scheme, NO_ED448)),
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.bits)
    }
}

/// The kind of key that an algorithm identifier names.
pub(super) fn kind(
    algorithm: ObjectIdentifier,
    curve: impl FnOnce() -> Result<ObjectIdentifier, SignError>,
) -> Result<KeyType, SignError> {
    match algorithm {
        RSA => Ok(KeyType::Rsa),
        ED25519 => Ok(KeyType::Ed25519),
        EC => match curve()? {
            P256 => Ok(KeyType::P256),
            P384 => Ok(KeyType::P384),
            P521 => Ok(KeyType::P521),
            other => Err(SignError::unsupported(
                format_args!("an ECDSA key on curve {other}"),
                "only P-256, P-384 and P-521 are",
            )),
        },
        ED448 => Err(SignError::unsupported("ED448", NO_ED448)),
        RSA_PSS => Err(SignError::unsupported(
            "an RSA key restricted to RSASSA-PSS",
            "the key itself must be of type rsaEncryption",
        )),
        other => Err(SignError::unsupported(
            format_args!("a key of type {other}"),
            "no authentication method uses it",
        )),
    }
}

/// The size of a key, or that it is none.
fn bits(kind: KeyType, key: &[u8]) -> Result<usize, SignError> {
    let algorithm: &'static dyn VerificationAlgorithm = match kind {
        KeyType::Rsa => {
            let key =
                aws_lc_rs::rsa::PublicKey::from_der(key).map_err(|_| SignError::Key("RSA public key"))?;
            let modulus = key.modulus().big_endian_without_leading_zero();
            let unused = modulus.first().map_or(0, |first| first.leading_zeros());
            let bits = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
            if !(2048..=8192).contains(&bits) {
                return Err(SignError::unsupported(
                    format_args!("an RSA key of {bits} bits"),
                    "2048 to 8192 are accepted",
                ));
            }
            return Ok(bits);
        }
        KeyType::P256 => &awslc::ECDSA_P256_SHA256_ASN1,
        KeyType::P384 => &awslc::ECDSA_P384_SHA384_ASN1,
        KeyType::P521 => &awslc::ECDSA_P521_SHA512_ASN1,
        KeyType::Ed25519 => &awslc::ED25519,
    };
    UnparsedPublicKey::new(algorithm, key).parse().map_err(|_| SignError::Key("public key"))?;
    Ok(match kind {
        KeyType::P384 => 384,
        KeyType::P521 => 521,
        KeyType::Rsa | KeyType::P256 | KeyType::Ed25519 => 256,
    })
}
