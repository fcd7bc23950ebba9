//! The generator handed to engines: ChaCha20 from a seed, so a simulation can be repeated.

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroize as _;

/// A cryptographic generator. Not `Clone`: two copies would draw the same keys. State and buffer are wiped on drop.
pub struct Rng(ChaCha20Rng);

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

impl Rng {
    /// A generator whose whole output follows from `seed`; the seed comes from the operating system, or from a test.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let rng = Self(ChaCha20Rng::from_seed(seed));
        seed.zeroize();
        rng
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// `n` random bytes.
    #[must_use]
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.fill(&mut out);
        out
    }

    /// A random 32-bit number.
    #[must_use]
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A random 64-bit number.
    #[must_use]
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, each equally likely; 0 when `n` is 0.
    #[must_use]
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // The largest multiple of n that fits; numbers above it would favour the small remainders.
        let reject_from = u64::MAX - (u64::MAX % n + 1) % n;
        loop {
            let x = self.u64();
            if x <= reject_from {
                return x % n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_from_the_same_seed_and_differs_from_another() {
        let (mut a, mut b, mut c) =
            (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]), Rng::from_seed([8; 32]));
        let x = a.bytes(100);
        assert_eq!(x, b.bytes(100));
        assert_ne!(x, c.bytes(100));
        assert_ne!(x, a.bytes(100));
    }

    #[test]
    fn zero_seed_is_the_chacha20_keystream() {
        // RFC 8439 A.1, test vector 1 (block 0 of the all-zero key and nonce).
        let mut rng = Rng::from_seed([0; 32]);
        assert_eq!(rng.bytes(8), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut rng = Rng::from_seed([1; 32]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[usize::try_from(rng.below(6)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 6]);
        for _ in 0..100 {
            assert!(rng.below((1 << 63) + 1) <= 1 << 63);
        }
    }
}
