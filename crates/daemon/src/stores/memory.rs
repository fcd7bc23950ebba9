//! Pools in memory (`load-pool`).
use policy::Identity;
use pool::{Attributes, Grant, Later, LeaseRow, PoolStatus, Pools, Store, Trouble, Wanted};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::ike::ConfigAttr;

/// The pools that control commands load.
#[derive(Default)]
pub(crate) struct Memory {
    pools: Mutex<Pools>,
}

impl Memory {
    /// The pools, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool of this name is loaded.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().get(name).is_some()
    }

    /// Attributes of the pools that served.
    pub(crate) fn attributes_now(&self, wanted: &Wanted, granted: &[Grant]) -> Vec<ConfigAttr> {
        let served = |name: &&String| granted.iter().any(|grant| grant.pool == **name);
        let pools: Vec<String> = wanted.pools.iter().filter(served).cloned().collect();
        self.lock().attributes(&pools)
    }
}

impl Store for Memory {
    fn plugin(&self) -> &'static str {
        "vici"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(self.has(pool)))
    }

    fn lease_now(&self, wanted: &Wanted) -> Option<Result<Vec<Grant>, Trouble>> {
        let granted = self.lock().lease(&wanted.pools, &wanted.identity, &wanted.requested);
        let none = granted.grants.is_empty() && !wanted.requested.is_empty();
        Some(if none { Err(Trouble::Exhausted(wanted.pools.clone())) } else { Ok(granted.grants) })
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(async { self.lease_now(wanted).unwrap_or_else(|| Ok(Vec::new())) })
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async { Ok(self.attributes_now(wanted, granted)) })
    }

    fn release<'a>(
        &'a self,
        pools: &'a [String],
        identity: &'a Identity,
        address: IpAddr,
    ) -> Later<'a, bool> {
        Box::pin(async move { self.lock().release(pools, identity, address) })
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(async { Ok(self.lock().status().collect()) })
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move {
            let pools = self.lock();
            let row = |lease: pool::LeaseView<'_>| LeaseRow {
                address: lease.address,
                prefix: if lease.address.is_ipv4() { 32 } else { 128 },
                identity: lease.identity.clone(),
                online: lease.online,
                since: None,
                expires: None,
            };
            Ok(pools.leases(pool).take(limit).map(row).collect())
        })
    }
}
