//! Classic Diffie-Hellman in constant time, with the checks of RFC 6989 2.1 and 2.2.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U1024, Uint};
use zeroize::Zeroizing;

use crate::{CryptoError, Rng, Secret};

/// Bytes of the longest exponent taken.
const EXPONENT: usize = 128;
/// Bytes of the shortest: that of the smallest group.
const SHORTEST: usize = 20;

/// A group of any size, without the size in its type.
pub(super) trait Group: Sync {
    /// Bytes of the modulus, hence of public values and the shared secret (RFC 7296 2.14).
    fn len(&self) -> usize;
    fn private(&self, rng: &mut Rng) -> Secret;
    fn public(&self, private: &[u8]) -> Result<Vec<u8>, CryptoError>;
    fn shared(&self, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError>;
}

/// A group whose modulus has `L` limbs.
pub(super) struct Modp<const L: usize> {
    pub(super) name: &'static str,
    pub(super) prime: Odd<Uint<L>>,
    pub(super) generator: Uint<L>,
    /// Length of the private exponents we draw, a multiple of 8.
    pub(super) exponent_bits: u32,
    /// The order of the subgroup, where it is not (prime - 1) / 2.
    pub(super) order: Option<Uint<L>>,
}

impl<const L: usize> Group for Modp<L> {
    fn len(&self) -> usize {
        Uint::<L>::BYTES
    }

    fn private(&self, rng: &mut Rng) -> Secret {
        let mut private = Secret::zeroed(usize::try_from(self.exponent_bits / 8).unwrap_or(EXPONENT));
        rng.fill(private.as_mut_slice());
        if let Some(first) = private.as_mut_slice().first_mut() {
            // A fixed length, and in the groups of known order (whose top bit is set) a number below the order.
            *first = if self.order.is_some() { (*first & 0x7f) | 0x40 } else { *first | 0x80 };
        }
        private
    }

    fn public(&self, private: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let power = self.power(&self.generator, private)?;
        Ok(bytes(&power))
    }

    fn shared(&self, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError> {
        let have = peer.len();
        if have != self.len() {
            return Err(CryptoError::Length { what: "public value", want: self.len(), have });
        }
        let peer = Uint::<L>::from_be_slice(peer);
        let prime = self.prime.as_ref();
        if peer <= Uint::ONE || peer >= prime.wrapping_sub(&Uint::ONE) {
            return Err(CryptoError::PublicValue(self.name));
        }
        if let Some(order) = &self.order {
            let raised = FixedMontyForm::new(&peer, &self.params()).pow_vartime(order).retrieve();
            if raised != Uint::ONE {
                return Err(CryptoError::PublicValue(self.name));
            }
        }
        let shared = self.power(&peer, private)?;
        if *shared <= Uint::ONE {
            return Err(CryptoError::PublicValue(self.name));
        }
        Ok(Secret::new(bytes(&shared)))
    }
}

impl<const L: usize> Modp<L> {
    fn params(&self) -> FixedMontyParams<L> {
        FixedMontyParams::new_vartime(self.prime)
    }

    /// Time depends on the length of the exponent, not on its bits.
    fn power(&self, base: &Uint<L>, exponent: &[u8]) -> Result<Zeroizing<Uint<L>>, CryptoError> {
        let want = exponent.len().clamp(SHORTEST, EXPONENT);
        let wrong = CryptoError::Length { what: "private key", want, have: exponent.len() };
        if want != exponent.len() {
            return Err(wrong);
        }
        let mut wide = Zeroizing::new([0_u8; EXPONENT]);
        let skip = EXPONENT.checked_sub(exponent.len()).ok_or(wrong.clone())?;
        for (to, from) in wide.iter_mut().skip(skip).zip(exponent) {
            *to = *from;
        }
        let bits = u32::try_from(exponent.len() * 8).map_err(|_| wrong)?;
        let number = Zeroizing::new(U1024::from_be_slice(wide.as_slice()));
        let form = FixedMontyForm::new(base, &self.params());
        let power = Zeroizing::new(form.pow_bounded_exp(&*number, bits));
        Ok(Zeroizing::new(power.retrieve()))
    }
}

/// Big-endian, as long as the modulus.
fn bytes<const L: usize>(number: &Uint<L>) -> Vec<u8> {
    let words = number.as_words();
    let mut out = Vec::with_capacity(Uint::<L>::BYTES);
    for word in words.iter().rev() {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out
}
