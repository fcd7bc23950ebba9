//! A private key on a token: what it is, and how it signs.
use crate::TokenError;
use crate::encode;
use crate::module::Module;
use crypto::Secret;
use crypto::sign::{Hash, KeyType, PublicKey, SignScheme, digest};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use std::fmt;

/// A private key that stays on its token. Every signature opens a session of its own, so that a token that was pulled
/// and put back works again.
pub struct TokenKey {
    module: Module,
    slot: Slot,
    handle: Vec<u8>,
    pin: Secret,
    public: PublicKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TokenKey({} {} in slot {} of {:?})",
            self.public.kind(),
            self.public.bits(),
            self.slot,
            self.module
        )
    }
}

/// The private key with a CKA_ID.
pub(crate) fn find(session: &Session, handle: &[u8]) -> Result<Option<ObjectHandle>, TokenError> {
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(handle.to_vec())];
    Ok(session.find_objects(&template)?.into_iter().next())
}

/// Its public half: of the public key object with the same CKA_ID, or, for RSA, of the private key's own attributes.
pub(crate) fn public(session: &Session, handle: &[u8]) -> Result<PublicKey, TokenError> {
    let wanted = [
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    for class in [ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY] {
        let template = [Attribute::Class(class), Attribute::Id(handle.to_vec())];
        for object in session.find_objects(&template)? {
            let mut parts: [Option<Vec<u8>>; 4] = [None, None, None, None];
            let [modulus, exponent, parameters, point] = &mut parts;
            for attribute in session.get_attributes(object, &wanted)? {
                match attribute {
                    Attribute::Modulus(bytes) => *modulus = Some(bytes),
                    Attribute::PublicExponent(bytes) => *exponent = Some(bytes),
                    Attribute::EcParams(bytes) => *parameters = Some(bytes),
                    Attribute::EcPoint(bytes) => *point = Some(bytes),
                    _ => {}
                }
            }
            let spki = match parts {
                [Some(modulus), Some(exponent), _, _] => encode::rsa(&modulus, &exponent)?,
                [_, _, Some(parameters), Some(point)] => encode::ec(&parameters, &point)?,
                _ => continue,
            };
            return PublicKey::from_spki(&spki).map_err(|e| TokenError::Unsupported(e.to_string()));
        }
    }
    Err(TokenError::Failed("the token has no public key to its private key".into()))
}

impl TokenKey {
    pub(crate) fn new(module: Module, slot: Slot, handle: Vec<u8>, pin: Secret, public: PublicKey) -> Self {
        Self { module, slot, handle, pin, public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs. Waits for the token.
    ///
    /// # Errors
    /// [`TokenError::Unsupported`] for schemes that do not fit the key, else what the token says.
    pub fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, TokenError> {
        let kind = self.public.kind();
        let unsupported =
            || TokenError::Unsupported(format!("{kind} keys on tokens cannot be used with {scheme}"));
        if !scheme.fits(kind) {
            return Err(unsupported());
        }
        let session = self.module.session(self.slot, &self.pin)?;
        let Some(key) = find(&session, &self.handle)? else {
            return Err(TokenError::Failed("the private key is no longer on the token".into()));
        };
        match scheme {
            SignScheme::RsaPkcs1(hash) => {
                let mechanism = match hash {
                    Hash::Sha1 => Mechanism::Sha1RsaPkcs,
                    Hash::Sha256 => Mechanism::Sha256RsaPkcs,
                    Hash::Sha384 => Mechanism::Sha384RsaPkcs,
                    Hash::Sha512 => Mechanism::Sha512RsaPkcs,
                };
                Ok(session.sign(&mechanism, key, data)?)
            }
            SignScheme::RsaPss(hash) => {
                let (mechanism, alg, mgf): (fn(PkcsPssParams) -> Mechanism<'static>, _, _) = match hash {
                    Hash::Sha1 => return Err(unsupported()),
                    Hash::Sha256 => {
                        (Mechanism::Sha256RsaPkcsPss, MechanismType::SHA256, PkcsMgfType::MGF1_SHA256)
                    }
                    Hash::Sha384 => {
                        (Mechanism::Sha384RsaPkcsPss, MechanismType::SHA384, PkcsMgfType::MGF1_SHA384)
                    }
                    Hash::Sha512 => {
                        (Mechanism::Sha512RsaPkcsPss, MechanismType::SHA512, PkcsMgfType::MGF1_SHA512)
                    }
                };
                let length = hash.size().try_into().map_err(|_| unsupported())?;
                let parameters = PkcsPssParams { hash_alg: alg, mgf, s_len: length };
                Ok(session.sign(&mechanism(parameters), key, data)?)
            }
            // Tokens hash RSA's data; for ECDSA most offer only the bare operation, on a digest cut to the curve.
            SignScheme::EcdsaDer(hash) => {
                encode::ecdsa_der(&session.sign(&Mechanism::Ecdsa, key, &self.cut(digest(hash, &[data])))?)
            }
            SignScheme::EcdsaRaw(hash) => {
                Ok(session.sign(&Mechanism::Ecdsa, key, &self.cut(digest(hash, &[data])))?)
            }
            SignScheme::Ed25519 => {
                let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
                Ok(session.sign(&mechanism, key, data)?)
            }
            SignScheme::Ed448 => Err(unsupported()),
        }
    }

    /// FIPS 186-5 6.4.1: the leftmost bits of the digest, as many as the order of the curve has.
    fn cut(&self, mut digest: Vec<u8>) -> Vec<u8> {
        let size = match self.public.kind() {
            KeyType::P256 => 32,
            KeyType::P384 => 48,
            KeyType::P521 | KeyType::Rsa | KeyType::Ed25519 => digest.len(),
        };
        digest.truncate(size);
        digest
    }
}
