//! Packets that met a trap: one question to the engine at a time, and a few packets kept until the answer.
//!
//! This is the slow path; its lock is never taken for a packet that has an SA.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Milliseconds until a trap asks again, if nothing was installed.
const ASK_AGAIN: u64 = 30_000;
/// Packets kept per trap.
const KEPT: usize = 8;
/// Bytes kept over all traps.
const KEPT_BYTES: usize = 1 << 20;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Traps {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    waiting: BTreeMap<u32, Waiting>,
    /// Bytes of all their packets.
    kept: usize,
}

#[derive(Debug)]
struct Waiting {
    asked: u64,
    packets: Vec<Vec<u8>>,
}

impl Traps {
    /// A packet (as read from the device) met `trap`. True when the engine is to be asked.
    pub(super) fn caught(&self, trap: u32, packet: &[u8], now: u64) -> bool {
        let mut all = self.lock();
        let All { waiting, kept } = &mut *all;
        let known = waiting.contains_key(&trap);
        let waiting = waiting.entry(trap).or_insert_with(|| Waiting { asked: now, packets: Vec::new() });
        let ask = !known || now.saturating_sub(waiting.asked) > ASK_AGAIN;
        if ask {
            waiting.asked = now;
            *kept = kept.saturating_sub(waiting.bytes());
            waiting.packets.clear();
        }
        if waiting.packets.len() < KEPT && *kept + packet.len() <= KEPT_BYTES {
            *kept += packet.len();
            waiting.packets.push(packet.to_vec());
        }
        ask
    }

    /// The question could not be put: ask again with the next packet.
    pub(super) fn not_asked(&self, trap: u32) {
        drop(self.release(trap));
    }

    /// The trap is served or gone; what was kept for it.
    pub(super) fn release(&self, trap: u32) -> Vec<Vec<u8>> {
        let mut all = self.lock();
        let Some(gone) = all.waiting.remove(&trap) else { return Vec::new() };
        all.kept = all.kept.saturating_sub(gone.bytes());
        gone.packets
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.packets.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_and_keeps_a_few() {
        let traps = Traps::default();
        assert!(traps.caught(1, b"first", 1000));
        for _ in 0..100 {
            assert!(!traps.caught(1, b"more", 2000));
        }
        assert!(traps.caught(2, b"other", 2000));
        assert_eq!(traps.release(1).len(), KEPT);
        assert!(traps.caught(1, b"again", 3000));
        // nothing came of it: asked again later, old packets are stale
        assert!(!traps.caught(1, b"again", 3000 + ASK_AGAIN));
        assert!(traps.caught(1, b"late", 3001 + ASK_AGAIN));
        assert_eq!(traps.release(1), [b"late".to_vec()]);
        traps.not_asked(2);
        assert!(traps.caught(2, b"other", 3000));
    }

    #[test]
    fn keeps_no_more_than_its_bound() {
        let traps = Traps::default();
        let big = vec![0u8; 60_000];
        for trap in 0..100 {
            traps.caught(trap, &big, 1);
        }
        let kept: usize = (0..100).flat_map(|t| traps.release(t)).map(|p| p.len()).sum();
        assert!(kept <= KEPT_BYTES && kept > KEPT_BYTES / 2);
        // all of it is given back: there is room again
        assert!(traps.caught(1, &big, 1));
        assert_eq!(traps.release(1).len(), 1);
    }
}
