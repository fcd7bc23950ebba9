//! A hash table that many read without locks: each slot holds an immutable chain, and a change swaps one slot.
//!
//! A look-up touches the slot and the entry, whatever the size; a change copies the entries of its chain that stand
//! before the changed one. Slots grow with the entries and are never given back.
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of an empty table, a power of two.
const FIRST: usize = 256;
/// A table with more entries than slots gets so many times as many.
const GROWTH: usize = 4;

/// The table. Hashes must be well mixed in all bits.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: ArcSwap<Slots<T>>,
    /// Number of entries. Writers take turns; readers never touch it.
    writer: Mutex<usize>,
}

#[derive(Debug)]
struct Slots<T>(Box<[ArcSwapOption<Node<T>>]>);

#[derive(Debug)]
struct Node<T> {
    hash: u32,
    value: T,
    next: Link<T>,
}

type Link<T> = Option<Arc<Node<T>>>;

/// The entries of one hash, in order, as they were when asked for.
pub(crate) struct Chain<T> {
    head: Guard<Link<T>>,
    hash: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: ArcSwap::from_pointee(Slots::new(FIRST)), writer: Mutex::default() }
    }
}

impl<T: Clone> Table<T> {
    /// The entries of `hash` as they are now.
    #[inline]
    pub(crate) fn chain(&self, hash: u32) -> Chain<T> {
        let slots = self.slots.load();
        let head = slots.slot(hash).map_or_else(|| Guard::from_inner(None), ArcSwapOption::load);
        Chain { head, hash }
    }

    /// Adds an entry before the first of its chain that `after` says shall follow it.
    pub(crate) fn insert(&self, hash: u32, value: T, after: impl Fn(&T) -> bool) {
        let mut count = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut count, hash, value, after);
    }

    /// Adds an entry; false when one of its hash is `taken` for the same.
    pub(crate) fn insert_new(&self, hash: u32, value: T, taken: impl Fn(&T) -> bool) -> bool {
        let mut count = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.chain(hash).iter().any(taken) {
            return false;
        }
        self.put(&mut count, hash, value, |_| true);
        true
    }

    fn put(&self, count: &mut usize, hash: u32, value: T, after: impl Fn(&T) -> bool) {
        if *count >= self.slots.load().0.len() {
            self.grow();
        }
        *count += 1;
        let slots = self.slots.load();
        let Some(slot) = slots.slot(hash) else { return };
        let head = slot.load_full();
        let (before, rest) = split(&head, |node| after(&node.value));
        let rest = Some(Arc::new(Node { hash, value, next: rest }));
        slot.store(before.iter().rev().fold(rest, |next, node| node.before(next)));
    }

    /// Takes out the first entry of `hash` that `wanted` says.
    pub(crate) fn remove(&self, hash: u32, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut count = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = self.slots.load();
        let slot = slots.slot(hash)?;
        let head = slot.load_full();
        let (before, rest) = split(&head, |node| node.hash == hash && wanted(&node.value));
        let gone = rest?;
        slot.store(before.iter().rev().fold(gone.next.clone(), |next, node| node.before(next)));
        *count = count.saturating_sub(1);
        Some(gone.value.clone())
    }

    /// Entries in the table.
    pub(crate) fn len(&self) -> usize {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files all entries anew in more slots; entries that shared a slot and share one again keep their order.
    fn grow(&self) {
        let old = self.slots.load();
        let new = Slots::new(old.0.len().saturating_mul(GROWTH));
        for slot in &old.0 {
            let head = slot.load_full();
            let (nodes, _) = split(&head, |_| false);
            for node in nodes.iter().rev() {
                if let Some(slot) = new.slot(node.hash) {
                    slot.store(node.before(slot.load_full()));
                }
            }
        }
        self.slots.store(Arc::new(new));
    }
}

impl<T> Slots<T> {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| ArcSwapOption::empty()).collect())
    }

    #[inline]
    fn slot(&self, hash: u32) -> Option<&ArcSwapOption<Node<T>>> {
        self.0.get(usize::try_from(hash).unwrap_or(0) & (self.0.len().wrapping_sub(1)))
    }
}

impl<T: Clone> Node<T> {
    /// A copy that stands before `next`.
    fn before(&self, next: Link<T>) -> Link<T> {
        Some(Arc::new(Self { hash: self.hash, value: self.value.clone(), next }))
    }
}

/// Long chains are taken down one by one, not each from within the one before it.
impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.next.take();
        }
    }
}

impl<T> Chain<T> {
    /// In order.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let all = std::iter::successors(self.head.as_deref(), |node| node.next.as_deref());
        all.filter(|node| node.hash == self.hash).map(|node| &node.value)
    }
}

/// The nodes before the first that `here` says, and the chain from there on.
fn split<T>(head: &Link<T>, here: impl Fn(&Node<T>) -> bool) -> (Vec<&Node<T>>, Link<T>) {
    let mut before = Vec::new();
    let mut at = head;
    while let Some(node) = at {
        if here(node) {
            break;
        }
        before.push(&**node);
        at = &node.next;
    }
    (before, at.clone())
}

/// Mixes two words into one, all bits of which depend on all.
#[inline]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xf39c_c060_5ced_c835);
    let [low, high] = [product, product >> 64].map(|half| half & u128::from(u64::MAX));
    u64::try_from(low ^ high).unwrap_or(0)
}

/// The half of a hash that the table takes.
#[inline]
pub(crate) fn short(hash: u64) -> u32 {
    let [.., a, b, c, d] = (hash ^ hash >> 32).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a map of sorted lists; hashes few enough to share slots, and enough entries to grow.
        #[test]
        fn behaves_as_the_model(steps in prop::collection::vec((any::<bool>(), 0u32..600, 0u32..8), 1..2000)) {
            let table = Table::default();
            let mut model: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (add, hash, value) in steps {
                let entries = model.entry(hash).or_default();
                if add {
                    table.insert(hash, (hash, value), |other| other.1 >= value);
                    let at = entries.partition_point(|other| *other < value);
                    entries.insert(at, value);
                } else {
                    let at = entries.iter().position(|other| *other == value);
                    let gone = table.remove(hash, |other| other.1 == value);
                    prop_assert_eq!(gone, at.map(|at| (hash, entries.remove(at))));
                }
            }
            prop_assert_eq!(table.len(), model.values().map(Vec::len).sum::<usize>());
            for (hash, entries) in model {
                let chain = table.chain(hash);
                let got: Vec<u32> = chain.iter().map(|e| e.1).collect();
                prop_assert_eq!(got, entries);
            }
        }
    }

    #[test]
    fn a_chain_read_before_a_change_stays_whole() {
        let table = Table::default();
        for value in 0..10 {
            table.insert(7, value, |_| true);
        }
        let chain = table.chain(7);
        for value in 0..10 {
            assert_eq!(table.remove(7, |v| *v == value), Some(value));
        }
        assert_eq!(chain.iter().copied().collect::<Vec<_>>(), (0..10).rev().collect::<Vec<_>>());
        assert_eq!(table.chain(7).iter().count(), 0);
    }

    #[test]
    fn a_long_chain_goes_without_a_deep_stack() {
        let table = Table::default();
        for value in 0..300_000u32 {
            table.insert(7, value, |_| true);
        }
        drop(table);
    }
}
