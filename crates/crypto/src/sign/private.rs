//! Private keys: read, kept inside the backend, used to sign.
use super::public::kind;
use super::{Hash, KeyType, NO_ED448, PublicKey, SignError, SignScheme};
use crate::Secret;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    self as awslc, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use pkcs8::der::Decode as _;
use rand_core::SeedableRng as _;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroize as _;

/// A private key. Copies share it; the backend wipes it when the last one is dropped. `Debug` prints the kind only.
#[derive(Clone)]
pub struct PrivateKey {
    pub(super) key: Arc<Key>,
    public: PublicKey,
}

pub(super) enum Key {
    /// With its PKCS#1 form, for the one signature that the backend does not make.
    Rsa(RsaKeyPair, Secret),
    /// Two times the same key, for the two encodings of a signature.
    Ecdsa(EcdsaKeyPair, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads a DER PrivateKeyInfo or OneAsymmetricKey (RFC 5958), not encrypted.
    ///
    /// # Errors
    /// [`SignError::Unsupported`] for kinds of keys that are known and not offered, [`SignError::Key`] for anything
    /// that is no valid key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignError> {
        let bad = || SignError::Key("PKCS#8 private key");
        let info = pkcs8::PrivateKeyInfoRef::from_der(der).map_err(|_| bad())?;
        let curve = || info.algorithm.parameters_oid().map_err(|_| bad());
        match kind(info.algorithm.oid, curve)? {
            KeyType::Rsa => {
                let inner = Secret::new(info.private_key.as_bytes().to_vec());
                Self::rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| bad())?, inner)
            }
            KeyType::Ed25519 => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| bad())?;
                let spki: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| bad())?;
                let public = PublicKey::from_spki(spki.as_ref())?;
                Ok(Self { key: Arc::new(Key::Ed25519(key)), public })
            }
            curve => Self::ecdsa(curve, der),
        }
    }

    /// Reads a DER RSAPrivateKey (PKCS#1, RFC 8017 A.1.2).
    ///
    /// # Errors
    /// As [`Self::from_pkcs8`].
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, SignError> {
        let key = RsaKeyPair::from_der(der).map_err(|_| SignError::Key("RSA private key"))?;
        Self::rsa(key, Secret::new(der.to_vec()))
    }

    /// Reads a DER ECPrivateKey (SEC 1, RFC 5915) on P-256, P-384 or P-521.
    ///
    /// # Errors
    /// As [`Self::from_pkcs8`].
    pub fn from_sec1(der: &[u8]) -> Result<Self, SignError> {
        [KeyType::P256, KeyType::P384, KeyType::P521]
            .into_iter()
            .find_map(|curve| Self::ecdsa(curve, der).ok())
            .ok_or(SignError::Key("EC private key on P-256, P-384 or P-521"))
    }

    fn rsa(key: RsaKeyPair, pkcs1: Secret) -> Result<Self, SignError> {
        let spki: PublicKeyX509Der<'_> =
            key.public_key().as_der().map_err(|_| SignError::Key("RSA private key"))?;
        let public = PublicKey::from_spki(spki.as_ref())?;
        Ok(Self { key: Arc::new(Key::Rsa(key, pkcs1)), public })
    }

    fn ecdsa(curve: KeyType, der: &[u8]) -> Result<Self, SignError> {
        let read = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_private_key_der(algorithm, der).map_err(|_| SignError::Key("EC private key"))
        };
        let (asn1, fixed) = match curve {
            KeyType::P256 => {
                (&awslc::ECDSA_P256_SHA256_ASN1_SIGNING, &awslc::ECDSA_P256_SHA256_FIXED_SIGNING)
            }
            KeyType::P384 => {
                (&awslc::ECDSA_P384_SHA384_ASN1_SIGNING, &awslc::ECDSA_P384_SHA384_FIXED_SIGNING)
            }
            KeyType::P521 => {
                (&awslc::ECDSA_P521_SHA512_ASN1_SIGNING, &awslc::ECDSA_P521_SHA512_FIXED_SIGNING)
            }
            KeyType::Rsa | KeyType::Ed25519 => return Err(SignError::Key("EC private key")),
        };
        let (asn1, fixed) = (read(asn1)?, read(fixed)?);
        let spki: PublicKeyX509Der<'_> =
            asn1.public_key().as_der().map_err(|_| SignError::Key("EC private key"))?;
        let public = PublicKey::from_spki(spki.as_ref())?;
        Ok(Self { key: Arc::new(Key::Ecdsa(asn1, fixed)), public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Kind of key.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        self.public.kind()
    }

    /// Signs `data`.
    ///
    /// # Errors
    /// [`SignError::Mismatch`] if the scheme needs another kind of key, [`SignError::Unsupported`] if it is not
    /// offered for signing (SHA-1 but for RSA PKCS#1, Ed448, ECDSA with another hash than the curve's), [`SignError::Backend`] if the backend fails.
    pub fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError> {
        if scheme == SignScheme::Ed448 {
            return Err(SignError::unsupported(scheme, NO_ED448));
        }
        if !scheme.fits(self.kind()) {
            return Err(SignError::Mismatch { scheme, key: self.kind() });
        }
        if let (Key::Rsa(_, pkcs1), SignScheme::RsaPkcs1(Hash::Sha1)) = (&*self.key, scheme) {
            return sign_sha1(pkcs1, data);
        }
        if scheme.hash() == Some(Hash::Sha1) {
            return Err(SignError::unsupported(scheme, "the backend makes no signatures with SHA-1"));
        }
        if let SignScheme::EcdsaDer(hash) = scheme
            && !SignScheme::EcdsaRaw(hash).fits(self.kind())
        {
            return Err(SignError::unsupported(
                scheme,
                "the backend signs with the hash of the curve's strength only",
            ));
        }
        match (&*self.key, scheme) {
            (Key::Rsa(key, _), SignScheme::RsaPkcs1(hash) | SignScheme::RsaPss(hash)) => {
                let pss = matches!(scheme, SignScheme::RsaPss(_));
                let padding = match (hash, pss) {
                    (Hash::Sha384, false) => &awslc::RSA_PKCS1_SHA384,
                    (Hash::Sha512, false) => &awslc::RSA_PKCS1_SHA512,
                    (Hash::Sha1 | Hash::Sha256, false) => &awslc::RSA_PKCS1_SHA256,
                    (Hash::Sha384, true) => &awslc::RSA_PSS_SHA384,
                    (Hash::Sha512, true) => &awslc::RSA_PSS_SHA512,
                    (Hash::Sha1 | Hash::Sha256, true) => &awslc::RSA_PSS_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| SignError::Backend)?;
                Ok(signature)
            }
            (Key::Ecdsa(asn1, fixed), SignScheme::EcdsaDer(_) | SignScheme::EcdsaRaw(_)) => {
                let key = if matches!(scheme, SignScheme::EcdsaDer(_)) { asn1 } else { fixed };
                let signature = key.sign(&SystemRandom::new(), data).map_err(|_| SignError::Backend)?;
                Ok(signature.as_ref().to_vec())
            }
            (Key::Ed25519(key), SignScheme::Ed25519) => {
                Ok(key.try_sign(data).map_err(|_| SignError::Backend)?.as_ref().to_vec())
            }
            _ => Err(SignError::Mismatch { scheme, key: self.kind() }),
        }
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-1, for peers without RFC 7427 (Windows): RFC 7296 2.15 leaves them no other hash, and
/// the backend makes no such signatures. The `rsa` crate blinds the exponentiation with the generator it is given; what
/// is signed here is chosen by nobody but the IKE exchange, and nothing is decrypted with it (RUSTSEC-2023-0071 is about
/// decryption oracles).
fn sign_sha1(pkcs1: &Secret, data: &[u8]) -> Result<Vec<u8>, SignError> {
    let key = rsa::PrivateKey::from_pkcs1_der(pkcs1.as_slice()).map_err(|_| SignError::Backend)?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| SignError::Backend)?;
    let mut rng = chacha20::ChaCha20Rng::from_seed(seed);
    seed.zeroize();
    let signer = rsa::pkcs1v15::SigningKey::<sha1::Sha1>::new(key);
    Ok(signer.try_sign_with_rng(&mut rng, data).map_err(|_| SignError::Backend)?.to_vec())
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} {})", self.kind(), self.public.bits())
    }
}
