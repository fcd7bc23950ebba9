//! Lifetimes: soft, hard and jitter in seconds, bytes and packets.
use serde::{Deserialize, Serialize};

/// One dimension of a lifetime; 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limit {
    /// Rekey when reached.
    pub rekey: u64,
    /// Delete when reached.
    pub life: u64,
    /// Up to this much is subtracted at random from `rekey`.
    pub rand: u64,
}

/// Lifetime of a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lifetime {
    /// Seconds.
    pub time: Limit,
    /// Bytes.
    pub bytes: Limit,
    /// Packets.
    pub packets: Limit,
}

/// `rekey_time` of a child by default, in seconds.
pub const CHILD_REKEY_TIME: u64 = 3600;
/// `rekey_time` of a connection by default, in seconds.
pub const IKE_REKEY_TIME: u64 = 4 * 3600;

impl Limit {
    /// Completes what is configured, as documented for `rekey_*`, `life_*` and `rand_*`: rekeying defaults to
    /// `life / 1.1` where a life is set, else to `default`; life to `rekey * 1.1`; rand to their difference.
    #[must_use]
    pub fn complete(rekey: Option<u64>, life: Option<u64>, rand: Option<u64>, default: u64) -> Self {
        let rekey = rekey.unwrap_or_else(|| match life {
            Some(life) => scale(life, 10, 11),
            None => default,
        });
        let life = life.unwrap_or_else(|| scale(rekey, 11, 10));
        let rand = rand.unwrap_or_else(|| life.saturating_sub(rekey));
        Self { rekey, life, rand }
    }

    /// Where to rekey, counted like the limit: `rekey` less a random part of `rand`. `below(n)` gives a number from 0
    /// to n - 1, each as likely as the others. `None`: never.
    #[must_use]
    pub fn soft(&self, below: impl FnOnce(u64) -> u64) -> Option<u64> {
        if self.rekey == 0 {
            return None;
        }
        // At least 1: a limit of 0 would mean never, a jitter as large as the limit means at once.
        Some(self.rekey.saturating_sub(jitter(self.rand, below)).max(1))
    }

    /// Where to delete; `None`: never.
    #[must_use]
    pub fn hard(&self) -> Option<u64> {
        (self.life != 0).then_some(self.life)
    }
}

impl Lifetime {
    /// What `swanctl.conf` gives without any lifetime key: one hour, no limit of bytes and packets.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            time: Limit::complete(None, None, None, CHILD_REKEY_TIME),
            bytes: Limit::default(),
            packets: Limit::default(),
        }
    }
}

/// A random part of `rand`, 0 to `rand` inclusive.
#[must_use]
pub fn jitter(rand: u64, below: impl FnOnce(u64) -> u64) -> u64 {
    if rand == 0 { 0 } else { below(rand.saturating_add(1)).min(rand) }
}

/// `n * numerator / denominator` without overflow.
fn scale(n: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(n) * u128::from(numerator) / u128::from(denominator);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_follows_from_what_is() {
        assert_eq!(Lifetime::standard().time, Limit { rekey: 3600, life: 3960, rand: 360 });
        assert_eq!(
            Limit::complete(None, Some(1100), None, 3600),
            Limit { rekey: 1000, life: 1100, rand: 100 }
        );
        assert_eq!(Limit::complete(Some(0), None, None, 3600), Limit::default());
        assert_eq!(Limit::complete(Some(600), Some(500), None, 0), Limit { rekey: 600, life: 500, rand: 0 });
        assert_eq!(Limit::complete(Some(u64::MAX), None, None, 0).life, u64::MAX);
        assert_eq!(Limit::complete(Some(100), None, Some(7), 0), Limit { rekey: 100, life: 110, rand: 7 });
    }

    #[test]
    fn the_soft_limit_lies_within_rand() {
        let limit = Limit { rekey: 100, life: 110, rand: 10 };
        assert_eq!(limit.soft(|n| n - 1), Some(90));
        assert_eq!(limit.soft(|_| 0), Some(100));
        assert_eq!(Limit { rand: 500, ..limit }.soft(|n| n - 1), Some(1));
        assert_eq!(Limit::default().soft(|_| 0), None);
        assert_eq!(limit.hard(), Some(110));
    }
}
