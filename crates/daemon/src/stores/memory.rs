//! Pools in memory (`load-pool`).
use policy::Identity;
use pool::{Attributes, Grant, Later, LeaseRow, PoolStatus, Pools, Store, Trouble, Wanted};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::ike::ConfigAttr;

/// The pools that control commands load.
pub(crate) struct Memory {
    pools: Mutex<Pools>,
    clock: Clock,
}

impl Default for Memory {
    fn default() -> Self {
        Self { pools: Mutex::default(), clock: Clock::start() }
    }
}

/// Unix time that goes on evenly: whoever sets the host's clock neither ends leases nor prolongs them.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: u64,
    mono_ms: u64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: linux::clock::wall_seconds(), mono_ms: linux::clock::monotonic_ms() }
    }

    fn now(self) -> u64 {
        let passed = linux::clock::monotonic_ms().saturating_sub(self.mono_ms);
        self.wall.saturating_add(passed / 1000)
    }
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

    fn page(&self, pool: &str, after: Option<IpAddr>, limit: usize) -> Vec<LeaseRow> {
        self.lock().leases_after(pool, after, limit).into_iter().map(LeaseRow::from).collect()
    }

    /// Gives an address back; `false` when this identity does not use it.
    pub(crate) fn give_back(&self, pools: &[String], identity: &Identity, address: IpAddr) -> bool {
        self.lock().release(pools, identity, address, self.clock.now())
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
        let now = self.clock.now();
        let granted = self.lock().lease(&wanted.pools, &wanted.identity, &wanted.requested, now);
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
        Box::pin(async move { self.give_back(pools, identity, address) })
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(async { Ok(self.lock().status().collect()) })
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move { Ok(self.page(pool, None, limit)) })
    }

    fn leases_after<'a>(
        &'a self,
        pool: &'a str,
        after: IpAddr,
        limit: usize,
    ) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move { Ok(self.page(pool, Some(after), limit)) })
    }
}
