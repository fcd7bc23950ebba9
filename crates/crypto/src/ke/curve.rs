//! The NIST curves (RFC 5903) and X25519 (RFC 8031), computed by aws-lc.

use aws_lc_rs::agreement::{
    Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree,
};

use crate::{CryptoError, Secret};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    X25519,
}

impl Curve {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::P521 => &ECDH_P521,
            Self::X25519 => &X25519,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECP_256",
            Self::P384 => "ECP_384",
            Self::P521 => "ECP_521",
            Self::X25519 => "CURVE_25519",
        }
    }

    /// Bytes of a scalar and of a coordinate.
    pub(super) fn private_len(self) -> usize {
        match self {
            Self::P256 | Self::X25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// RFC 5903 7: both coordinates, without the marker byte; RFC 8031 3: one coordinate.
    pub(super) fn public_len(self) -> usize {
        if self == Self::X25519 { 32 } else { 2 * self.private_len() }
    }

    /// Clears the bits that no scalar has (the order of P-521 has 521 bits), so that drawing ends soon.
    pub(super) fn trim(self, scalar: &mut [u8]) {
        if let (Self::P521, Some(first)) = (self, scalar.first_mut()) {
            *first &= 1;
        }
    }

    /// The private key, checked; making it computes the public one as well.
    pub(super) fn key(self, private: &[u8]) -> Result<PrivateKey, CryptoError> {
        let want = self.private_len();
        if private.len() != want {
            return Err(CryptoError::Length { what: "private key", want, have: private.len() });
        }
        PrivateKey::from_private_key(self.algorithm(), private)
            .map_err(|_| CryptoError::PublicValue(self.name()))
    }

    pub(super) fn public(self, key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
        let wrong = |_| CryptoError::PublicValue(self.name());
        let key = key.compute_public_key().map_err(wrong)?;
        let skip = usize::from(self != Self::X25519);
        Ok(key.as_ref().iter().skip(skip).copied().collect())
    }

    /// aws-lc checks that the point lies on the curve, and refuses the all-zero output of X25519 (RFC 8031 2).
    pub(super) fn shared(self, key: &PrivateKey, peer: &[u8]) -> Result<Secret, CryptoError> {
        let marked;
        let encoded = if self == Self::X25519 {
            peer
        } else {
            marked = [&[4], peer].concat();
            &marked
        };
        agree(
            key,
            UnparsedPublicKey::new(self.algorithm(), encoded),
            CryptoError::PublicValue(self.name()),
            |shared| Ok(Secret::from(shared)),
        )
    }
}
