//! The promises of a store, asked of the pools in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use policy::{Identity, PoolConfig, PoolHost};
use pool::model::{EPOCH, ModelPool, Rules, Run, Step, Subject, client, steps};
use pool::{Attributes, Grant, Later, LeaseRow, PoolStatus, Pools, Store, Trouble, Wanted};
use proptest::prelude::*;
use std::future::ready;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// The pools as a store, without anything that a daemon adds.
struct Bare {
    pools: Mutex<Pools>,
    now: AtomicU64,
}

impl Bare {
    fn with<T>(&self, work: impl FnOnce(&mut Pools, u64) -> T) -> T {
        work(&mut self.pools.lock().unwrap(), self.now.load(Ordering::Relaxed))
    }
}

impl Store for Bare {
    fn plugin(&self) -> &'static str {
        "vici"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(ready(self.with(|pools, _| pools.get(pool).is_some())))
    }

    fn lease<'a>(&'a self, w: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        let granted = self.with(|pools, now| pools.lease(&w.pools, &w.identity, &w.requested, now));
        Box::pin(ready(Ok(granted.grants)))
    }

    fn attributes<'a>(&'a self, _: &'a Wanted, _: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn release<'a>(&'a self, pools: &'a [String], who: &'a Identity, address: IpAddr) -> Later<'a, bool> {
        Box::pin(ready(self.with(|all, now| all.release(pools, who, address, now))))
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(ready(Ok(self.with(|pools, now| {
            pools.expire(now);
            pools.status().collect()
        }))))
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(ready(Ok(self.with(|pools, now| {
            pools.expire(now);
            pools.leases(pool).take(limit).map(LeaseRow::from).collect()
        }))))
    }
}

/// Pools in memory whose process may die; `kept`: somebody saved them before and restores them after.
struct InMemory {
    configs: Vec<PoolConfig>,
    store: Bare,
    kept: bool,
}

impl InMemory {
    fn new(pools: &[ModelPool], rules: Rules) -> Self {
        let config = |pool: &ModelPool| {
            let host = |(identity, address): &(Identity, IpAddr)| PoolHost {
                identity: identity.clone(),
                address: *address,
            };
            let hosts = pool.reserved.iter().map(host).collect();
            PoolConfig { hosts, timeout: rules.timeout, ..PoolConfig::new(&pool.name, pool.range) }
        };
        let configs: Vec<PoolConfig> = pools.iter().map(config).collect();
        let store = Bare { pools: Mutex::new(load(&configs)), now: AtomicU64::new(EPOCH) };
        Self { configs, store, kept: rules.durable }
    }
}

fn load(configs: &[PoolConfig]) -> Pools {
    let mut pools = Pools::new();
    for config in configs {
        pools.load(config.clone()).unwrap();
    }
    pools
}

impl Subject for InMemory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn crash(&mut self) -> Later<'_, ()> {
        let mut pools = load(&self.configs);
        let now = self.store.now.load(Ordering::Relaxed);
        if self.kept {
            let mut saved = self.store.with(|pools, _| pools.save());
            for lease in saved.iter_mut().filter(|lease| lease.holds > 0) {
                lease.since = now;
            }
            saved.sort_by_key(|lease| lease.since);
            pools.restore(&saved, false);
        }
        self.store.pools = Mutex::new(pools);
        Box::pin(ready(()))
    }

    fn pass(&mut self, seconds: u64) -> Later<'_, ()> {
        self.store.now.fetch_add(seconds, Ordering::Relaxed);
        Box::pin(ready(()))
    }
}

/// Nothing here ever waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a store in memory waits"),
    }
}

fn check(pools: &[ModelPool], rules: Rules, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut subject = InMemory::new(pools, rules);
    now(Run::new(pools, rules).all(&mut subject, steps)).map_err(TestCaseError::fail)
}

const FORGETFUL: Rules = Rules { durable: false, timeout: None, reuse: true, lists_ended: false };
const SAVED: Rules = Rules { durable: true, timeout: None, reuse: true, lists_ended: false };
const TIMED: Rules = Rules { durable: true, timeout: Some(60), reuse: true, lists_ended: false };

fn apart() -> [ModelPool; 2] {
    [ModelPool::new("a", "10.0.0.0/29"), ModelPool::new("b", "10.0.1.4-10.0.1.7")]
}

proptest! {
    #[test]
    fn pools_apart(steps in steps(200, true), which in 0..3usize) {
        check(&apart(), [FORGETFUL, SAVED, TIMED][which], &steps)?;
    }

    #[test]
    fn pools_that_overlap(steps in steps(200, true), which in 0..3usize) {
        let pools = [ModelPool::new("a", "10.0.0.0/29"), ModelPool::new("b", "10.0.0.4-10.0.0.9")];
        check(&pools, [FORGETFUL, SAVED, TIMED][which], &steps)?;
    }

    #[test]
    fn prefixes(steps in steps(200, true), which in 0..3usize) {
        let pools = [ModelPool::new("a", "2001:db8::/62/64"), ModelPool::new("b", "2001:db8:1::/61/64")];
        check(&pools, [FORGETFUL, SAVED, TIMED][which], &steps)?;
    }

    #[test]
    fn reserved_addresses(steps in steps(200, true), which in 0..3usize) {
        let mut pools = apart();
        pools[0].reserved = vec![
            (client(1), "10.0.0.2".parse().unwrap()),
            (client(2), "192.0.2.77".parse().unwrap()),
        ];
        pools[1].reserved = vec![(client(3), "10.0.1.4".parse().unwrap())];
        // Reserved leases have no end: what is asked about timeouts is asked above.
        check(&pools, [FORGETFUL, SAVED, SAVED][which], &steps)?;
    }
}
