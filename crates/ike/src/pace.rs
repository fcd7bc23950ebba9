//! How many SAs are worked on at once where a command names very many: the next ones begin as others are done, so that
//! neither requests of ours nor answers to them pile up, and everything else keeps its turn.
use std::collections::{BTreeMap, BTreeSet};

/// SAs under way at once.
pub const UNDER_WAY: usize = 256;
/// SAs that one call has begin: each may generate a key for its key exchange.
pub const BEGIN: usize = 16;
/// After so many milliseconds another begins in any case: peers that do not answer must not hold up all others.
pub(crate) const PATIENCE_MS: u64 = 1_000;

/// IKE_SAs that are under way.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Until when they count.
    until: BTreeMap<u32, u64>,
    oldest: BTreeSet<(u64, u32)>,
}

impl Pace {
    /// This one has begun.
    pub(crate) fn begin(&mut self, id: u32, now: u64) {
        self.over(id);
        let until = now.saturating_add(PATIENCE_MS);
        self.until.insert(id, until);
        self.oldest.insert((until, id));
    }

    /// This one is done, if it was under way.
    pub(crate) fn over(&mut self, id: u32) {
        if let Some(until) = self.until.remove(&id) {
            self.oldest.remove(&(until, id));
        }
    }

    /// Whether it was begun and is not done.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.until.contains_key(&id)
    }

    /// Forgets those that had their time.
    pub(crate) fn look(&mut self, now: u64) {
        while let Some((_, id)) = self.oldest.first().copied().filter(|(until, _)| *until <= now) {
            self.over(id);
        }
    }

    /// When another may begin; `None`: at once.
    pub(crate) fn room_at(&self) -> Option<u64> {
        let full = self.oldest.len() >= UNDER_WAY;
        self.oldest.first().map(|(until, _)| *until).filter(|_| full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_begins_when_one_is_done_or_had_its_time() {
        let mut pace = Pace::default();
        let most = u32::try_from(UNDER_WAY).unwrap();
        (0..most).for_each(|id| pace.begin(id, u64::from(id)));
        assert_eq!(pace.room_at(), Some(PATIENCE_MS));
        pace.over(7);
        assert_eq!(pace.room_at(), None);
        pace.begin(0, 50);
        pace.begin(most, 50);
        assert_eq!(pace.room_at(), Some(1 + PATIENCE_MS), "one counts once");
        pace.look(PATIENCE_MS);
        assert_eq!(pace.room_at(), Some(1 + PATIENCE_MS));
        pace.look(PATIENCE_MS + 1);
        assert!(pace.room_at().is_none() && !pace.has(1) && pace.has(2));
        pace.look(u64::MAX);
        assert!(pace.until.is_empty() && pace.oldest.is_empty());
    }
}
