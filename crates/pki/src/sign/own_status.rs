//! The OCSP response about our own certificate, to send it along (RFC 4806).
use super::Plan;
use crate::chain::Path;
use crate::fetch::Fetch;
use crate::revoke::{Cache, Check, Context};
use crate::store::Store;
use crate::verdict::{Log, LogLine};
use std::sync::Arc;

/// Asks for it. Once it is there, it is in the cache, and [`super::choose`] sends it.
pub struct OwnStatus {
    store: Arc<Store>,
    check: Check,
    log: Log,
}

impl OwnStatus {
    /// Begins; `None`: there is nothing to ask, or an answer at hand. `seed` is 32 random bytes.
    #[must_use]
    pub fn new(store: Arc<Store>, cache: &Cache, plan: &Plan, seed: [u8; 32], now: u64) -> Option<Self> {
        let (own, issuer) = plan.pair.clone()?;
        if !store.settings.enable_ocsp || cache.response(&issuer, &own, now).is_some() {
            return None;
        }
        let check = Check::of_responders(Path::of_ours(own, issuer), seed);
        Some(Self { store, check, log: Log::default() })
    }

    /// Goes on; the first call takes no result. Gives what is to be fetched next.
    #[must_use]
    pub fn step(
        &mut self,
        cache: &mut Cache,
        fetched: Option<Result<Vec<u8>, String>>,
        now: u64,
    ) -> Option<Fetch> {
        let mut context = Context { store: &self.store, cache, now, log: &mut self.log };
        if let Some(result) = fetched {
            self.check.fetched(&mut context, result);
        }
        self.check.advance(&mut context)
    }

    /// What to log.
    #[must_use]
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.log.take()
    }
}
