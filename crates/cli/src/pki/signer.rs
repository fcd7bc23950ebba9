//! A key, and how it signs.
use super::structures::Signed;
use super::{Call, Trouble};
use crypto::sign::{Hash, KeyType, PrivateKey, SignScheme};
use der::asn1::{Any, BitString, Null};
use der::{Decode as _, Encode};
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier};

/// A private key with a scheme chosen.
#[derive(Debug)]
pub(crate) struct Signer {
    key: PrivateKey,
    scheme: SignScheme,
}

impl Signer {
    /// The scheme that suits the key's strength.
    pub(crate) fn new(key: PrivateKey) -> Self {
        Self { scheme: scheme(&key, default_hash(&key), false), key }
    }

    /// As `--digest` and `--rsa-padding` say.
    pub(super) fn of(call: &Call<'_>, key: PrivateKey) -> Result<Self, Trouble> {
        let hash = match call.value("digest") {
            None => default_hash(&key),
            Some("sha1") => Hash::Sha1,
            Some("sha256") => Hash::Sha256,
            Some("sha384") => Hash::Sha384,
            Some("sha512") => Hash::Sha512,
            Some(known @ ("md5" | "sha224" | "sha3_224" | "sha3_256" | "sha3_384" | "sha3_512")) => {
                return Err(Trouble::Failed(format!(
                    "--digest {known} is not available: signatures are made with sha256, sha384 and sha512"
                )));
            }
            Some(_) => return Err(Trouble::usage("invalid --digest type")),
        };
        let pss = match call.value("rsa-padding") {
            None | Some("pkcs1") => false,
            Some("pss") => true,
            Some(_) => return Err(Trouble::usage("invalid RSA padding")),
        };
        Ok(Self { scheme: scheme(&key, hash, pss), key })
    }

    pub(crate) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The AlgorithmIdentifier of the signatures.
    pub(crate) fn algorithm(&self) -> Result<AlgorithmIdentifierOwned, Trouble> {
        let with_null = |text: &str| AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap(text),
            parameters: Some(Any::from(Null)),
        };
        let plain = |text: &str| AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap(text),
            parameters: None,
        };
        Ok(match self.scheme {
            SignScheme::RsaPkcs1(Hash::Sha1) => with_null("1.2.840.113549.1.1.5"),
            SignScheme::RsaPkcs1(Hash::Sha256) => with_null("1.2.840.113549.1.1.11"),
            SignScheme::RsaPkcs1(Hash::Sha384) => with_null("1.2.840.113549.1.1.12"),
            SignScheme::RsaPkcs1(Hash::Sha512) => with_null("1.2.840.113549.1.1.13"),
            SignScheme::RsaPss(hash) => pss(hash)?,
            SignScheme::EcdsaDer(Hash::Sha1) => plain("1.2.840.10045.4.1"),
            SignScheme::EcdsaDer(Hash::Sha256) => plain("1.2.840.10045.4.3.2"),
            SignScheme::EcdsaDer(Hash::Sha384) => plain("1.2.840.10045.4.3.3"),
            SignScheme::EcdsaDer(Hash::Sha512) => plain("1.2.840.10045.4.3.4"),
            SignScheme::Ed25519 => plain("1.3.101.112"),
            SignScheme::EcdsaRaw(_) | SignScheme::Ed448 => {
                return Err(Trouble::Failed(format!("{} does not sign certificates", self.scheme)));
            }
        })
    }

    /// Signs what is to be signed: `SEQUENCE { tbs, algorithm, signature }`.
    pub(crate) fn sign(&self, tbs: &impl Encode) -> Result<Vec<u8>, Trouble> {
        let tbs = tbs.to_der()?;
        let signature = self.signature(&tbs)?;
        Ok(Signed { tbs: Any::from_der(&tbs)?, algorithm: self.algorithm()?, signature }.to_der()?)
    }

    /// The signature alone.
    pub(super) fn signature(&self, data: &[u8]) -> Result<BitString, Trouble> {
        Ok(BitString::from_bytes(&self.key.sign(self.scheme, data)?)?)
    }
}

fn default_hash(key: &PrivateKey) -> Hash {
    match (key.kind(), key.public().bits()) {
        (KeyType::P384, _) => Hash::Sha384,
        (KeyType::P521, _) => Hash::Sha512,
        (KeyType::Rsa, 7681..) => Hash::Sha512,
        (KeyType::Rsa, 3073..) => Hash::Sha384,
        _ => Hash::Sha256,
    }
}

fn scheme(key: &PrivateKey, hash: Hash, pss: bool) -> SignScheme {
    match key.kind() {
        KeyType::Rsa if pss => SignScheme::RsaPss(hash),
        KeyType::Rsa => SignScheme::RsaPkcs1(hash),
        KeyType::P256 | KeyType::P384 | KeyType::P521 => SignScheme::EcdsaDer(hash),
        KeyType::Ed25519 => SignScheme::Ed25519,
    }
}

/// RSASSA-PSS with its parameters (RFC 4055 3.1): hash, MGF1 with the same hash, a salt as long as the digest.
fn pss(hash: Hash) -> Result<AlgorithmIdentifierOwned, Trouble> {
    let (number, salt) = match hash {
        Hash::Sha1 => return Err(Trouble::failed("RSASSA-PSS is not used with SHA-1")),
        Hash::Sha256 => (1, 32),
        Hash::Sha384 => (2, 48),
        Hash::Sha512 => (3, 64),
    };
    let hash = [0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, number, 5, 0];
    let mut der =
        vec![0x30, 0x41, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a, 0x30, 0x34, 0xa0, 0x0f];
    der.extend(hash);
    der.extend([0xa1, 0x1c, 0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8]);
    der.extend(hash);
    der.extend([0xa2, 3, 2, 1, salt]);
    Ok(AlgorithmIdentifierOwned::from_der(&der)?)
}
