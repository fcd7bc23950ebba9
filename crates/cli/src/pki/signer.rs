//! A key, and how it signs.
use super::structures::Signed;
use super::{Call, Trouble};
use crypto::sign::{Hash, KeyType, PrivateKey, SignScheme};
use der::asn1::{Any, BitString};
use der::{Decode as _, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

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
        let der = match self.scheme {
            SignScheme::RsaPss(Hash::Sha1) => {
                return Err(Trouble::failed("RSASSA-PSS is not used with SHA-1"));
            }
            SignScheme::EcdsaRaw(_) | SignScheme::Ed448 => None,
            scheme => scheme.identifier(),
        };
        let none = || Trouble::Failed(format!("{} does not sign certificates", self.scheme));
        Ok(AlgorithmIdentifierOwned::from_der(&der.ok_or_else(none)?)?)
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
