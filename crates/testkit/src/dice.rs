//! Randomness of a world: all of it follows from the seed.
use crypto::Rng;

/// Dice.
#[derive(Debug)]
pub struct Dice(Rng);

impl Dice {
    /// Dice number `purpose` of world `seed`; those of different purposes are independent.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(rng(seed, purpose))
    }

    /// A number below `n` (0 if `n` is 0).
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of 1000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.0.below(1000) < per_mille
    }

    /// One of `all`, which is not empty.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.0.below(all.len() as u64) as usize]
    }

    /// An index below `len`; `None` where there is none.
    pub fn index(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.0.below(len as u64) as usize)
    }
}

/// A generator to hand to an engine, independent of all dice.
#[must_use]
pub fn rng(seed: u64, purpose: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    Rng::from_seed(bytes)
}
