//! A time that something is due at, or none. There are very many of them: one takes no more room than its number.
use serde::{Deserialize, Serialize};

/// Monotonic milliseconds, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<u64>", into = "Option<u64>")]
pub(crate) struct When(u64);

impl When {
    /// Not due at all.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// At that time; what is as far off as the number goes never comes.
    pub(crate) const fn at(mono: u64) -> Self {
        Self(mono)
    }

    /// The time.
    pub(crate) fn get(self) -> Option<u64> {
        Some(self.0).filter(|at| *at != u64::MAX)
    }
}

impl Default for When {
    fn default() -> Self {
        Self::NEVER
    }
}

impl From<Option<u64>> for When {
    fn from(at: Option<u64>) -> Self {
        at.map_or(Self::NEVER, Self::at)
    }
}

impl From<When> for Option<u64> {
    fn from(when: When) -> Self {
        when.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_none_goes_elsewhere_as_such() {
        for at in [None, Some(0), Some(7)] {
            let when = When::from(at);
            assert_eq!((when.get(), Option::from(when)), (at, at));
            let bytes = postcard::to_allocvec(&when).unwrap();
            assert_eq!(bytes, postcard::to_allocvec(&at).unwrap());
            assert_eq!(postcard::from_bytes::<When>(&bytes).unwrap(), when);
        }
        assert_eq!(When::at(u64::MAX), When::NEVER);
    }
}
