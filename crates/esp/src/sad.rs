//! From SPI to inbound SA: immutable snapshots in shards, so that a change copies one shard and a look-up is one
//! short search, without a lock.
use crate::InSa;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 4096;

/// In order of SPI.
type Table = Vec<(u32, Arc<InSa>)>;

/// The inbound SA table.
#[derive(Debug)]
pub struct Sad {
    shards: Box<[ArcSwap<Table>]>,
    /// Writers take turns; readers never touch it.
    writer: Mutex<()>,
}

impl Default for Sad {
    fn default() -> Self {
        let empty = Arc::new(Table::new());
        let shards = (0..SHARDS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Self { shards, writer: Mutex::new(()) }
    }
}

impl Sad {
    /// The SA that receives on `spi`.
    #[must_use]
    pub fn get(&self, spi: u32) -> Option<Arc<InSa>> {
        let table = self.shard(spi)?.load();
        let at = find(&table, spi).ok()?;
        table.get(at).map(|(_, sa)| Arc::clone(sa))
    }

    /// Adds an SA; false when the SPI is taken.
    pub fn insert(&self, sa: Arc<InSa>) -> bool {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shard) = self.shard(sa.spi) else { return false };
        let mut table = Table::clone(&shard.load());
        let Err(at) = find(&table, sa.spi) else { return false };
        table.insert(at, (sa.spi, sa));
        shard.store(Arc::new(table));
        true
    }

    /// Takes an SA out.
    pub fn remove(&self, spi: u32) -> Option<Arc<InSa>> {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let shard = self.shard(spi)?;
        let mut table = Table::clone(&shard.load());
        let at = find(&table, spi).ok()?;
        let (_, gone) = table.remove(at);
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
        // SPIs are drawn at random, but some of their bits may number a lane or a node: mix them.
        let mixed = u64::from(spi).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        self.shards.get(usize::try_from(mixed).unwrap_or(0) % SHARDS)
    }
}

fn find(table: &Table, spi: u32) -> Result<usize, usize> {
    table.binary_search_by_key(&spi, |(spi, _)| *spi)
}
