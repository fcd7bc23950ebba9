//! Numbers of `%unique` marks.
use crate::engine::Shard;
use policy::{Child, MarkValue};
use std::collections::BTreeMap;

/// How many numbers are tried beyond those in use, where the reserved ones are many.
const TRIES: usize = 1 << 16;

/// Marks in use. A number that was given back comes again last: what the firewall remembers of its last user, like
/// the marks of conntrack's connections, must not lead to another peer.
#[derive(Debug, Default)]
pub(crate) struct Uniques {
    used: BTreeMap<u32, u32>,
    last: u32,
}

impl Uniques {
    /// A number nobody has, within `mask`, which the marks that `reserved` names (value, mask) do not meet.
    pub(crate) fn draw(&mut self, mask: u32, reserved: Option<(u32, u32)>, shard: Shard) -> Option<u32> {
        for _ in 0..self.used.len().saturating_add(TRIES) {
            self.last = self.last.wrapping_add(1);
            let number = spread(shard.unique(self.last), mask);
            let passed = reserved.is_some_and(|(value, mask)| number & mask == value & mask);
            if number != 0 && !passed && !self.used.contains_key(&number) {
                return Some(number);
            }
        }
        None
    }

    /// A CHILD_SA, every generation of it, or a trap has these marks, in and out. Fixed ones count, too: what draws must
    /// not meet them.
    pub(crate) fn take(&mut self, config: &Child, marks: [(u32, u32); 2]) {
        for mark in set(config, marks) {
            let users = self.used.entry(mark).or_default();
            *users = users.saturating_add(1);
        }
    }

    /// It is gone.
    pub(crate) fn release(&mut self, config: &Child, marks: [(u32, u32); 2]) {
        for mark in set(config, marks) {
            if let Some(users) = self.used.get_mut(&mark) {
                *users = users.saturating_sub(1);
                if *users == 0 {
                    self.used.remove(&mark);
                }
            }
        }
    }
}

/// Those that are set.
fn set(config: &Child, marks: [(u32, u32); 2]) -> impl Iterator<Item = u32> {
    let configs = [config.mark_in.value, config.mark_out.value];
    let both = configs.into_iter().zip(marks);
    both.filter(|(config, _)| *config != MarkValue::None).map(|(_, (value, _))| value)
}

/// Puts a number's low bits where the mask has ones.
fn spread(number: u32, mask: u32) -> u32 {
    let (mut number, mut out) = (number, 0);
    for bit in (0..32).map(|at| 1u32 << at).filter(|bit| mask & bit != 0) {
        if number & 1 != 0 {
            out |= bit;
        }
        number >>= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALONE: Shard = Shard { index: 0, bits: 0 };

    #[test]
    fn bits_go_where_the_mask_has_ones() {
        assert_eq!(spread(0x1234_5678, u32::MAX), 0x1234_5678);
        assert_eq!(spread(0b101, 0xff00), 0x500);
        assert_eq!(spread(0b111, 0b1010_0001), 0b1010_0001);
        assert_eq!(spread(0x1ff, 0xff), 0xff);
    }

    #[test]
    fn numbers_begin_with_one_and_pass_over_what_is_reserved_or_taken() {
        let mut uniques = Uniques::default();
        assert_eq!(uniques.draw(u32::MAX, Some((3, u32::MAX)), ALONE), Some(1));
        assert_eq!(uniques.draw(u32::MAX, Some((3, u32::MAX)), ALONE), Some(2));
        uniques.used.insert(4, 1);
        assert_eq!(uniques.draw(u32::MAX, Some((3, u32::MAX)), ALONE), Some(5));
        // All odd ones are reserved.
        assert_eq!(uniques.draw(u32::MAX, Some((1, 1)), ALONE), Some(6));
        assert_eq!(uniques.draw(u32::MAX, Some((1, 1)), ALONE), Some(8));
    }

    #[test]
    fn a_small_mask_is_used_up_and_says_so() {
        let mut uniques = Uniques::default();
        let mut seen = BTreeSet::new();
        for _ in 0..7 {
            let number = uniques.draw(0x70, None, ALONE).unwrap();
            assert!(number & !0x70 == 0 && seen.insert(number), "{number:#x}");
            uniques.used.insert(number, 1);
        }
        assert_eq!(uniques.draw(0x70, None, ALONE), None);
        uniques.used.remove(&0x20);
        assert_eq!(uniques.draw(0x70, None, ALONE), Some(0x20));
        assert_eq!(uniques.draw(0, None, ALONE), None);
    }

    #[test]
    fn what_is_given_back_comes_again_last() {
        let mut uniques = Uniques::default();
        let first = uniques.draw(0xff, None, ALONE);
        for _ in 0..254 {
            assert_ne!(uniques.draw(0xff, None, ALONE), first);
        }
        assert_eq!(uniques.draw(0xff, None, ALONE), first);
    }
}
