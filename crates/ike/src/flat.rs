//! A map of few entries: sorted, as large as what is in it, and nothing at all when it is empty. An IKE_SA has one or
//! two CHILD_SAs; a node of a B-tree has room for eleven.
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

/// See the head of the file. Finding is O(log n), putting in and taking out moves what comes behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Flat<K, V>(ThinVec<(K, V)>);

/// Above that, room grows by more than one entry at a time.
const FEW: usize = 4;

impl<K, V> Default for Flat<K, V> {
    fn default() -> Self {
        Self(ThinVec::new())
    }
}

impl<K: Ord + Copy, V> Flat<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        // Keys are numbers that rise: most often a new one is the last.
        match self.0.last() {
            Some((last, _)) if last < key => Err(self.0.len()),
            _ => self.0.binary_search_by(|(k, _)| k.cmp(key)),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().and_then(|at| self.0.get(at)).map(|(_, v)| v)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().and_then(|at| self.0.get_mut(at)).map(|(_, v)| v)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => {
                if self.0.len() < FEW {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (key, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.place(key).ok()?;
        let (_, value) = self.0.remove(at);
        self.shrink();
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(k, v)| keep(k, v));
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.0.is_empty() {
            self.0 = ThinVec::new();
        } else if self.0.len() <= FEW {
            self.0.shrink_to_fit();
        }
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(k, _)| k)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, v)| v)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, v)| v)
    }
}

impl<K, V> IntoIterator for Flat<K, V> {
    type Item = (K, V);
    type IntoIter = thin_vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever is done to it, it has what a B-tree has, in the same order.
        #[test]
        fn it_is_a_map(deeds in proptest::collection::vec((0u8..4, 0u32..12, any::<u16>()), 0..60)) {
            let (mut flat, mut tree) = (Flat::default(), BTreeMap::new());
            for (deed, key, value) in deeds {
                match deed {
                    0 | 1 => {
                        flat.insert(key, value);
                        tree.insert(key, value);
                    }
                    2 => prop_assert_eq!(flat.remove(&key), tree.remove(&key)),
                    _ => {
                        flat.retain(|k, v| *k != key && *v % 3 != 0);
                        tree.retain(|k, v| *k != key && *v % 3 != 0);
                    }
                }
                prop_assert_eq!(flat.get(&key), tree.get(&key));
                prop_assert_eq!(flat.get_mut(&key), tree.get_mut(&key));
                prop_assert_eq!((flat.len(), flat.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert!(flat.keys().eq(tree.keys()) && flat.values().eq(tree.values()));
                prop_assert!(flat.values_mut().eq(tree.values_mut()));
            }
            prop_assert!(flat.into_iter().eq(tree));
        }
    }

    #[test]
    fn it_takes_no_more_than_it_needs() {
        let mut flat = Flat::default();
        assert_eq!(flat.0.capacity(), 0);
        for n in 0..4u32 {
            flat.insert(n, [0u64; 20]);
            assert_eq!(flat.0.capacity(), flat.len());
        }
        for n in 0..4u32 {
            flat.remove(&n);
            assert_eq!(flat.0.capacity(), flat.len());
        }
    }
}
