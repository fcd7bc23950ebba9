//! Private keys: made by the backend's own randomness, and written out again.
use super::private::Key;
use super::{KeyType, PrivateKey, SignError};
use crate::Secret;
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair,
};

impl PrivateKey {
    /// Makes a key. `bits` is the size of an RSA key (2048, 3072, 4096 or 8192) and nothing to the other kinds.
    ///
    /// # Errors
    /// [`SignError::Unsupported`] for other sizes of RSA keys, [`SignError::Backend`] if the backend fails.
    pub fn generate(kind: KeyType, bits: usize) -> Result<Self, SignError> {
        let ecdsa = |algorithm| {
            let key = EcdsaKeyPair::generate(algorithm).map_err(|_| SignError::Backend)?;
            Self::from_pkcs8(key.to_pkcs8v1().map_err(|_| SignError::Backend)?.as_ref())
        };
        match kind {
            KeyType::Rsa => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    8192 => KeySize::Rsa8192,
                    other => {
                        return Err(SignError::unsupported(
                            format_args!("a new RSA key of {other} bits"),
                            "2048, 3072, 4096 and 8192 are",
                        ));
                    }
                };
                let key = RsaKeyPair::generate(size).map_err(|_| SignError::Backend)?;
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SignError::Backend)?;
                Self::from_pkcs8(der.as_ref())
            }
            KeyType::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyType::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyType::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyType::Ed25519 => {
                let key = Ed25519KeyPair::generate().map_err(|_| SignError::Backend)?;
                Self::from_pkcs8(key.to_pkcs8v1().map_err(|_| SignError::Backend)?.as_ref())
            }
        }
    }

    /// DER of the PrivateKeyInfo (RFC 5208), not encrypted.
    ///
    /// # Errors
    /// [`SignError::Backend`] if the backend fails.
    pub fn to_pkcs8(&self) -> Result<Secret, SignError> {
        let bytes = match &*self.key {
            Key::Rsa(key, _) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SignError::Backend)?;
                Secret::from(der.as_ref())
            }
            Key::Ecdsa(key, _) => Secret::from(key.to_pkcs8v1().map_err(|_| SignError::Backend)?.as_ref()),
            Key::Ed25519(key) => Secret::from(key.to_pkcs8v1().map_err(|_| SignError::Backend)?.as_ref()),
        };
        Ok(bytes)
    }

    /// DER of the form that is a kind's own: RSAPrivateKey (RFC 8017 A.1.2), ECPrivateKey with its curve named
    /// (RFC 5915); Ed25519 has none but PKCS#8.
    ///
    /// # Errors
    /// [`SignError::Backend`] if the backend fails.
    pub fn to_traditional(&self) -> Result<Secret, SignError> {
        match &*self.key {
            Key::Rsa(_, own) => Ok(own.clone()),
            Key::Ecdsa(key, _) => {
                let der: EcPrivateKeyRfc5915Der<'_> =
                    key.private_key().as_der().map_err(|_| SignError::Backend)?;
                Ok(Secret::from(der.as_ref()))
            }
            Key::Ed25519(_) => self.to_pkcs8(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_back() {
        for kind in [KeyType::Rsa, KeyType::P256, KeyType::P384, KeyType::P521, KeyType::Ed25519] {
            let key = PrivateKey::generate(kind, 2048).unwrap();
            assert_eq!(key.kind(), kind);
            let again = PrivateKey::from_pkcs8(key.to_pkcs8().unwrap().as_slice()).unwrap();
            assert_eq!(again.public(), key.public());
            let own = key.to_traditional().unwrap();
            let again = match kind {
                KeyType::Rsa => PrivateKey::from_pkcs1(own.as_slice()),
                KeyType::Ed25519 => PrivateKey::from_pkcs8(own.as_slice()),
                _ => PrivateKey::from_sec1(own.as_slice()),
            };
            assert_eq!(again.unwrap().public(), key.public());
        }
    }

    #[test]
    fn odd_sizes_are_refused_by_name() {
        let refused = PrivateKey::generate(KeyType::Rsa, 1024).unwrap_err().to_string();
        assert_eq!(refused, "a new RSA key of 1024 bits is not available: 2048, 3072, 4096 and 8192 are");
    }
}
