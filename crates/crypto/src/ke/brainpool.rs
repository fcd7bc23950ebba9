//! The Brainpool curves of RFC 6954, encoded as RFC 5903 does, computed by RustCrypto.

use bp256::BrainpoolP256r1;
use bp384::BrainpoolP384r1;
use elliptic_curve::group::Curve as _;
use elliptic_curve::sec1::{FromSec1Point, ModulusSize, Sec1Point, ToSec1Point};
use elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};

use crate::{CryptoError, Secret};

#[derive(Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECP_256_BP",
            Self::P384 => "ECP_384_BP",
        }
    }

    /// Bytes of a scalar and of a coordinate.
    pub(super) fn len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn check(self, private: &[u8]) -> Result<(), CryptoError> {
        let (want, have) = (self.len(), private.len());
        if want == have { Ok(()) } else { Err(CryptoError::Length { what: "private key", want, have }) }
    }

    pub(super) fn public(self, private: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.check(private)?;
        match self {
            Self::P256 => public::<BrainpoolP256r1>(private),
            Self::P384 => public::<BrainpoolP384r1>(private),
        }
        .ok_or(CryptoError::PublicValue(self.name()))
    }

    pub(super) fn shared(self, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError> {
        self.check(private)?;
        match self {
            Self::P256 => shared::<BrainpoolP256r1>(private, peer),
            Self::P384 => shared::<BrainpoolP384r1>(private, peer),
        }
        .ok_or(CryptoError::PublicValue(self.name()))
    }
}

fn public<C>(private: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = SecretKey::<C>::from_slice(private).ok()?.public_key();
    Some(key.to_sec1_point(false).as_bytes().iter().skip(1).copied().collect())
}

/// The x coordinate of the shared point. Decoding checks that the peer's point lies on the curve, whose order is prime.
fn shared<C>(private: &[u8], peer: &[u8]) -> Option<Secret>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let secret = SecretKey::<C>::from_slice(private).ok()?;
    let mut encoded = Vec::with_capacity(peer.len() + 1);
    encoded.push(4);
    encoded.extend_from_slice(peer);
    let point = PublicKey::<C>::from_sec1_bytes(&encoded).ok()?.to_projective();
    let product = (point * secret.to_nonzero_scalar().as_ref()).to_affine();
    let encoded: Sec1Point<C> = product.to_sec1_point(false);
    encoded.x().map(|x| Secret::from(x.as_slice()))
}
