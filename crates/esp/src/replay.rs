//! The anti-replay window (RFC 4303 3.4.3) with extended sequence numbers (Appendix A2), as a ring of words
//! (RFC 6479): moving it forward clears words, it never shifts bits.

use smallvec::{SmallVec, smallvec};

/// Largest window in packets.
pub const MAX_WINDOW: u32 = 4096;

/// One SA's window. Checked before the integrity check, moved only after it.
#[derive(Debug)]
pub struct Window {
    /// Highest authenticated sequence number; 0 before the first.
    top: u64,
    /// Packets; 0 turns the service off.
    size: u32,
    esn: bool,
    /// Those of the usual small windows lie here, not elsewhere.
    words: SmallVec<[u64; 2]>,
}

impl Window {
    /// A window of `size` packets (at most [`MAX_WINDOW`]; more is cut to it), 0 for none.
    #[must_use]
    pub fn new(size: u32, esn: bool) -> Self {
        let size = size.min(MAX_WINDOW);
        // One word more than the window, so that the word being filled is never one still needed; a power of two, so
        // that finding a word takes no division.
        let words = ((size as usize).div_ceil(64) + 1).next_power_of_two();
        Self { top: 0, size, esn, words: smallvec![0; words] }
    }

    /// The whole sequence number that `low` most likely stands for (Appendix A2.2).
    #[must_use]
    #[inline]
    pub fn infer(&self, low: u32) -> u64 {
        if !self.esn {
            return low.into();
        }
        let high = self.top >> 32;
        let top_low = self.top & 0xffff_ffff;
        // Without a window no number is too old: half a subspace back is taken for reordered.
        let window = if self.size == 0 { 1 << 31 } else { u64::from(self.size) };
        let low = u64::from(low);
        let bottom = top_low.wrapping_sub(window - 1) & 0xffff_ffff;
        let high = if top_low >= window - 1 {
            // Case A: the window lies within one subspace.
            if low >= bottom { high } else { high.wrapping_add(1) & 0xffff_ffff }
        } else if low >= bottom {
            // Case B: it spans two, and this number lies in the lower.
            high.wrapping_sub(1)
        } else {
            high
        };
        // Before the first subspace there is none: such a number is left of the window and refused there.
        if high == u64::MAX { 0 } else { high << 32 | low }
    }

    /// May this number still come? (Numbers begin at 1.)
    #[must_use]
    #[inline]
    pub fn fresh(&self, seq: u64) -> bool {
        if self.size == 0 {
            return true;
        }
        if seq == 0 {
            return false;
        }
        if seq > self.top {
            return true;
        }
        self.top - seq < u64::from(self.size) && self.word(seq) & bit(seq) == 0
    }

    /// Notes an authenticated number. False when it was noted before, or has fallen out of the window since.
    #[inline]
    pub fn accept(&mut self, seq: u64) -> bool {
        if self.size == 0 {
            self.top = self.top.max(seq);
            return true;
        }
        if !self.fresh(seq) {
            return false;
        }
        if seq > self.top {
            let (from, to) = (self.top >> 6, seq >> 6);
            let count = (to - from).min(self.words.len() as u64);
            for step in 1..=count {
                let at = self.slot((to - count + step) << 6);
                if let Some(word) = self.words.get_mut(at) {
                    *word = 0;
                }
            }
            self.top = seq;
        }
        let at = self.slot(seq);
        if let Some(word) = self.words.get_mut(at) {
            *word |= bit(seq);
        }
        true
    }

    /// Goes on from `top`, every number up to it taken for noted.
    pub fn resume(&mut self, top: u64) {
        self.top = top;
        self.words.fill(u64::MAX);
        // The word of the top holds the numbers to come as well.
        let (at, above) = (self.slot(top), !(bit(top) | (bit(top) - 1)));
        if let Some(word) = self.words.get_mut(at) {
            *word &= !above;
        }
    }

    /// Highest number noted.
    #[must_use]
    #[inline]
    pub fn top(&self) -> u64 {
        self.top
    }

    #[inline]
    fn slot(&self, seq: u64) -> usize {
        let last = (self.words.len() as u64).wrapping_sub(1);
        usize::try_from(seq >> 6 & last).unwrap_or(0)
    }

    #[inline]
    fn word(&self, seq: u64) -> u64 {
        self.words.get(self.slot(seq)).copied().unwrap_or(u64::MAX)
    }
}

#[inline]
fn bit(seq: u64) -> u64 {
    1 << (seq & 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn low(seq: u64) -> u32 {
        crate::outbound::split(seq).1
    }

    proptest! {
        /// Against a model that remembers every number.
        #[test]
        fn behaves_as_the_model(size in prop::sample::select(vec![32u32, 33, 64, 100, 128, 1024, 4096]),
                                steps in prop::collection::vec((any::<bool>(), 0u64..6000), 1..400)) {
            let mut window = Window::new(size, true);
            let mut seen = BTreeSet::new();
            let mut top = 0u64;
            for (forward, by) in steps {
                let seq = if forward { top + by % 300 } else { top.saturating_sub(by) };
                let fresh = seq != 0 && !seen.contains(&seq) && (seq > top || top - seq < u64::from(size));
                prop_assert_eq!(window.fresh(seq), fresh, "seq {} top {}", seq, top);
                prop_assert_eq!(window.accept(seq), fresh);
                if fresh {
                    seen.insert(seq);
                    top = top.max(seq);
                }
            }
        }

        /// The inferred number is the right one wherever the truth lies in the window or less than 2^31 ahead of it.
        #[test]
        fn infers_extended_numbers(top in 1u64..1 << 40, size in 1u32..4096, ahead in 0u64..1 << 31, behind in 0u64..4096) {
            let mut window = Window::new(size, true);
            window.accept(top);
            prop_assert_eq!(window.infer(low(top + ahead)), top + ahead);
            let old = top.saturating_sub(behind % u64::from(size)).max(1);
            prop_assert_eq!(window.infer(low(old)), old);
        }
    }

    #[test]
    fn wraps_into_the_next_subspace() {
        let mut window = Window::new(64, true);
        assert!(window.accept(0xffff_fff0));
        assert_eq!(window.infer(5), 0x1_0000_0005);
        assert!(window.accept(0x1_0000_0005));
        assert_eq!(window.infer(0xffff_fff8), 0xffff_fff8);
        assert!(window.fresh(0xffff_fff8) && !window.fresh(0xffff_fff0));
    }

    #[test]
    fn extended_numbers_without_a_window_survive_reordering() {
        let mut window = Window::new(0, true);
        for seq in [10, 9, 0xffff_fff0, 0x1_0000_0002, 0xffff_fff1, 0x1_0000_0001] {
            // Steps of less than half a subspace, as real ones are.
            if seq == 0xffff_fff0 {
                window.resume(0xffff_0000);
            }
            assert_eq!(window.infer(low(seq)), seq);
            assert!(window.accept(seq));
        }
    }

    #[test]
    fn off_means_everything_passes() {
        let mut window = Window::new(0, false);
        assert!(window.accept(7) && window.accept(7) && window.accept(0));
    }
}
