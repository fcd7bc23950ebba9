//! From SPI to inbound SA, without a lock.
use crate::InSa;
use crate::table::{Table, mix, short};
use std::sync::Arc;

/// The inbound SA table.
#[derive(Debug, Default)]
pub struct Sad {
    table: Table<Arc<InSa>>,
}

impl Sad {
    /// The SA that receives on `spi`.
    #[must_use]
    pub fn get(&self, spi: u32) -> Option<Arc<InSa>> {
        self.table.chain(hash(spi)).iter().find(|sa| sa.spi == spi).map(Arc::clone)
    }

    /// Adds an SA; false when the SPI is taken.
    pub fn insert(&self, sa: Arc<InSa>) -> bool {
        let spi = sa.spi;
        self.table.insert_new(hash(spi), sa, |other| other.spi == spi)
    }

    /// Takes an SA out.
    pub fn remove(&self, spi: u32) -> Option<Arc<InSa>> {
        self.table.remove(hash(spi), |sa| sa.spi == spi)
    }

    /// SAs in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No SA at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// SPIs are drawn at random, but some of their bits may number a lane or a node: mix them.
fn hash(spi: u32) -> u32 {
    short(mix(spi.into(), 0))
}
