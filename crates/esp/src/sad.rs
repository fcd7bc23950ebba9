//! From SPI to inbound SA: immutable snapshots in shards, so that a change copies one shard and a look-up is one
//! hash, without a lock.
use crate::InSa;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 256;

type Table = HashMap<u32, Arc<InSa>>;

/// The inbound SA table.
#[derive(Debug)]
pub struct Sad {
    shards: Box<[ArcSwap<Table>]>,
    /// Writers take turns; readers never touch it.
    writer: Mutex<()>,
}

impl Default for Sad {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::from_pointee(HashMap::new())).collect();
        Self { shards, writer: Mutex::new(()) }
    }
}

impl Sad {
    /// The SA that receives on `spi`.
    #[must_use]
    pub fn get(&self, spi: u32) -> Option<Arc<InSa>> {
        self.shard(spi)?.load().get(&spi).cloned()
    }

    /// Adds an SA; false when the SPI is taken.
    pub fn insert(&self, sa: Arc<InSa>) -> bool {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shard) = self.shard(sa.spi) else { return false };
        let mut table = HashMap::clone(&shard.load());
        if table.contains_key(&sa.spi) {
            return false;
        }
        table.insert(sa.spi, sa);
        shard.store(Arc::new(table));
        true
    }

    /// Takes an SA out.
    pub fn remove(&self, spi: u32) -> Option<Arc<InSa>> {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let shard = self.shard(spi)?;
        let mut table = HashMap::clone(&shard.load());
        let gone = table.remove(&spi)?;
        shard.store(Arc::new(table));
        Some(gone)
    }

    /// SAs in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.load().len()).sum()
    }

    /// No SA at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, spi: u32) -> Option<&ArcSwap<Table>> {
        // SPIs are drawn at random: their low byte spreads them.
        self.shards.get(spi as usize % SHARDS)
    }
}
