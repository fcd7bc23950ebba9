//! Inbound SPIs of our CHILD_SAs, and the CPIs of IPComp (RFC 3173 3.3), which come and go with them.
use crypto::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// The CPIs that are negotiated: those below name algorithms, those above are for private use (RFC 3173 3.3).
const CPIS: std::ops::RangeInclusive<u16> = 256..=61_439;

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Spis {
    /// The CPI drawn with each SPI, 0 for none.
    used: BTreeMap<u32, u16>,
    cpis: BTreeSet<u16>,
}

impl Spis {
    /// Takes an SPI; false when it is in use.
    pub(crate) fn insert(&mut self, spi: u32) -> bool {
        let fresh = !self.used.contains_key(&spi);
        if fresh {
            self.used.insert(spi, 0);
        }
        fresh
    }

    /// Takes an SPI of an SA from elsewhere, with its CPI (0 for none).
    pub(crate) fn adopt(&mut self, spi: u32, cpi: u16) {
        if cpi != 0 {
            self.cpis.insert(cpi);
        }
        self.used.insert(spi, cpi);
    }

    /// Draws a CPI that goes with this SPI; none when all are in use.
    pub(crate) fn draw_cpi(&mut self, spi: u32, rng: &mut Rng) -> Option<u16> {
        let slot = self.used.get_mut(&spi).filter(|slot| **slot == 0)?;
        let span = u64::from(CPIS.end().saturating_sub(*CPIS.start())).saturating_add(1);
        let start = u16::try_from(rng.below(span)).unwrap_or(0).saturating_add(*CPIS.start());
        let free = |cpi: &u16| !self.cpis.contains(cpi);
        let cpi = (start..=*CPIS.end()).find(free).or_else(|| (*CPIS.start()..start).find(free))?;
        self.cpis.insert(cpi);
        *slot = cpi;
        Some(cpi)
    }

    /// Gives back an SPI and what was drawn with it.
    pub(crate) fn remove(&mut self, spi: &u32) {
        if let Some(cpi) = self.used.remove(spi) {
            self.cpis.remove(&cpi);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpi_is_drawn_once_and_comes_back_with_its_spi() {
        let mut rng = Rng::from_seed([7; 32]);
        let mut spis = Spis::default();
        let all = u32::from(*CPIS.end() - *CPIS.start()) + 1;
        for spi in 1000..1000 + all {
            assert!(spis.insert(spi) && !spis.insert(spi));
            let cpi = spis.draw_cpi(spi, &mut rng).unwrap();
            assert!(CPIS.contains(&cpi));
            assert_eq!(spis.draw_cpi(spi, &mut rng), None, "one for each SPI");
        }
        assert!(spis.insert(1));
        assert_eq!(spis.draw_cpi(1, &mut rng), None);
        spis.remove(&1234);
        assert!(spis.draw_cpi(1, &mut rng).is_some());
        assert_eq!(spis.draw_cpi(2, &mut rng), None, "an SPI that is not ours");
    }
}
