//! The promises of a store (`pool::model`), kept by every kind of database.
use crate::servers::{Fresh, KINDS, fresh};
use crate::store::{Gateway, id, ip};
use pool::model::{EPOCH, ModelPool, Rules, Run, Subject, steps};
use pool::{Later, Store};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sql::admin::NewPool;
use sql::{Admin, Kind, Recovery};
use std::sync::atomic::Ordering;

struct Database {
    database: Fresh,
    gateway: Gateway,
    now: u64,
}

impl Database {
    async fn new(database: Fresh) -> Self {
        let gateway = Gateway::start(&database, "moon", Recovery::Own);
        let subject = Self { database, gateway, now: EPOCH };
        subject.ready().await;
        subject
    }

    /// The writer has done what it does when it starts.
    async fn ready(&self) {
        self.gateway.clock.store(self.now, Ordering::Relaxed);
        let nobody = id("nobody.example.org");
        assert!(!self.gateway.store.release(&[], &nobody, ip("192.0.2.99")).await);
    }
}

impl Subject for Database {
    fn store(&self) -> &dyn Store {
        &self.gateway.store
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            self.gateway = Gateway::start(&self.database, "moon", Recovery::Own);
            self.ready().await;
        })
    }

    fn pass(&mut self, seconds: u64) -> Later<'_, ()> {
        self.now += seconds;
        self.gateway.clock.store(self.now, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

/// `rows`: all rows are there, as strongSwan's tool makes them.
async fn fill(database: &Fresh, pools: &[ModelPool], timeout: u64, rows: bool) {
    let mut admin = Admin::init(&database.uri).await.unwrap();
    for pool in pools {
        let range = &pool.range;
        if pool.reserved.is_empty() {
            let end = range.nth(range.size() - 1).unwrap();
            let new = NewPool { name: pool.name.clone(), start: range.first(), end, timeout };
            admin.add_pool(&new).await.unwrap();
            if rows {
                admin.fill(&pool.name).await.unwrap();
            }
        } else {
            let mut file: Vec<_> = (0..range.size()).map(|n| (range.nth(n).unwrap(), None)).collect();
            for (owner, reserved) in &pool.reserved {
                file.retain(|(address, _)| address != reserved);
                file.push((*reserved, Some(owner.clone())));
            }
            admin.add_addresses(&pool.name, timeout, &file).await.unwrap();
        }
    }
    admin.close().await;
}

fn run(pools: &[ModelPool], timeout: u64, rows: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rules =
        Rules { durable: true, timeout: Some(timeout).filter(|t| *t > 0), reuse: false, lists_ended: true };
    for kind in KINDS {
        // A server needs more time for a new database than for the history in it.
        let (cases, max) = if kind == Kind::Sqlite { (12, 50) } else { (3, 50) };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&steps(max, true), |steps| {
            let history = async {
                let database = fresh(kind).await;
                fill(&database, pools, timeout, rows).await;
                let mut subject = Database::new(database).await;
                Run::new(pools, rules).all(&mut subject, &steps).await
            };
            runtime.block_on(history).map_err(TestCaseError::fail)
        });
        if let Err(broken) = outcome {
            panic!("{kind:?}: {broken}");
        }
    }
}

#[test]
fn of_a_pool_whose_rows_come_as_they_are_needed() {
    run(&[ModelPool::new("vpn", "10.3.0.0/29")], 0, false);
}

#[test]
fn of_a_pool_with_a_timeout() {
    run(&[ModelPool::new("vpn", "10.3.0.0/29")], 100, false);
}

#[test]
fn of_a_pool_whose_rows_are_all_there() {
    run(&[ModelPool::new("vpn", "2001:db8::1-2001:db8::8")], 100, true);
}

#[test]
fn of_reserved_addresses() {
    let mut pool = ModelPool::new("vpn", "10.3.0.0/29");
    pool.reserved = vec![(pool::model::client(0), ip("10.3.0.3")), (pool::model::client(1), ip("10.3.0.9"))];
    run(&[pool], 0, true);
}

#[test]
fn of_pools_with_addresses_in_common() {
    run(&[ModelPool::new("a", "10.3.0.1-10.3.0.5"), ModelPool::new("b", "10.3.0.4-10.3.0.8")], 100, false);
}
