//! How much passes, and how long the lanes' threads want to compute at a stretch: short turns while there is no bulk, so
//! that the threads are let in as soon as a packet wakes them, whoever else computes; the system's usual turns in bulk,
//! where each interruption costs.
use linux::schedule;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The short turn. The usual one is some milliseconds.
const SHORT: Duration = Duration::from_micros(100);
/// Milliseconds that a rate is measured over.
const WINDOW: u64 = 16;
/// Milliseconds that a rate counts: bulk in one thread for all, since those that carry acknowledgements only must not
/// interrupt it.
pub(super) const COUNTS: u64 = 4 * WINDOW;
/// From so many bytes per millisecond on it is bulk: a gigabit per second. Back at half of it.
const BULK: usize = 125_000;

/// Until when something lasts, monotonic milliseconds.
#[derive(Debug, Default)]
pub(super) struct Until(AtomicU64);

impl Until {
    /// Lasts until then, if not longer.
    pub(super) fn extend(&self, until: u64) {
        self.0.fetch_max(until, Ordering::Relaxed);
    }

    pub(super) fn lasts(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) > now
    }
}

/// Counts bytes per millisecond.
#[derive(Debug)]
pub(super) struct Rate {
    /// When the window began, monotonic milliseconds.
    since: u64,
    /// What passed in it.
    bytes: usize,
}

impl Rate {
    pub(super) const fn begin(now: u64) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Counts what passed. Gives the rate when a window ends.
    pub(super) fn passed(&mut self, bytes: usize, now: u64) -> Option<usize> {
        self.bytes = self.bytes.saturating_add(bytes);
        let time = now.saturating_sub(self.since);
        if time < WINDOW {
            return None;
        }
        let rate = self.bytes / usize::try_from(time).unwrap_or(usize::MAX);
        *self = Self::begin(now);
        Some(rate)
    }
}

/// The pace of one thread.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    bulk: bool,
}

impl Pace {
    /// Begins with short turns. For the calling thread.
    pub(super) fn begin(now: u64) -> Self {
        let this = Self { rate: Rate::begin(now), bulk: false };
        this.tell();
        this
    }

    /// Counts what passed. `all`: until when there is bulk in any thread.
    pub(super) fn passed(&mut self, bytes: usize, now: u64, all: &Until) {
        if self.count(bytes, now, all) {
            self.tell();
        }
    }

    /// True when turns are to be of the other length from now on.
    fn count(&mut self, bytes: usize, now: u64, all: &Until) -> bool {
        let Some(rate) = self.rate.passed(bytes, now) else { return false };
        let own = rate >= if self.bulk { BULK / 2 } else { BULK };
        if own {
            all.extend(now.saturating_add(COUNTS));
        }
        let bulk = own || all.lasts(now);
        std::mem::replace(&mut self.bulk, bulk) != bulk
    }

    fn tell(&self) {
        // a wish: where it is refused, turns are the usual ones
        let _ = schedule::slice((!self.bulk).then_some(SHORT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_begins_and_ends_with_the_rate() {
        let (mut pace, all) = (Pace { rate: Rate::begin(0), bulk: false }, Until::default());
        let mut changes = Vec::new();
        // per millisecond: little, much, a little less, little
        for (at, bytes) in
            (1..=400).zip([1000, BULK + 1, BULK * 3 / 4, 1000].into_iter().flat_map(|b| [b; 100]))
        {
            if pace.count(bytes, at, &all) {
                changes.push((at, pace.bulk));
            }
        }
        assert!(matches!(changes[..], [(100..=140, true), (350..=400, false)]), "{changes:?}");
    }

    #[test]
    fn one_packet_after_a_long_sleep_is_little() {
        let mut pace = Pace { rate: Rate::begin(0), bulk: true };
        assert!(pace.count(65_535, 100_000, &Until::default()));
        assert!(!pace.bulk);
    }

    #[test]
    fn bulk_in_one_thread_is_bulk_for_all() {
        let all = Until::default();
        let [mut busy, mut other] = [(); 2].map(|()| Pace { rate: Rate::begin(0), bulk: false });
        assert!(busy.count(BULK * 100, 20, &all));
        assert!(other.count(100, 25, &all) && other.bulk);
        assert!(other.count(100, 25 + COUNTS, &all) && !other.bulk);
    }
}
