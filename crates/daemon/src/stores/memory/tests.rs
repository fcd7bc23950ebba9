use super::*;
use futures_util::FutureExt;
use pool::model::{ModelPool, Rules, Run, Subject, client, steps};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

impl Clock {
    /// Only as fast as the test says.
    pub(super) fn now(&self) -> u64 {
        let _unused_here = self.mono_ms;
        self.wall + self.ahead.load(Ordering::Relaxed)
    }
}

const RULES: Rules = Rules { durable: true, timeout: Some(60), reuse: true, lists_ended: false };

/// A store with its file; a crash is a copy of the files as they are, opened anew.
struct Kept {
    configs: Vec<PoolConfig>,
    memory: Memory,
    directory: TempDir,
}

async fn opened(directory: &TempDir, configs: &[PoolConfig], now: u64) -> Memory {
    let path = directory.path().join("leases.db");
    let clock = Clock { wall: now, mono_ms: 0, ahead: Default::default() };
    let memory = Memory::open(&path, Box::new(|_| {}), clock).await.unwrap();
    for config in configs {
        memory.load(config.clone()).unwrap();
    }
    memory
}

impl Kept {
    async fn new(pools: &[ModelPool]) -> Self {
        let config = |pool: &ModelPool| PoolConfig {
            timeout: RULES.timeout,
            ..PoolConfig::new(&pool.name, pool.range)
        };
        let configs: Vec<PoolConfig> = pools.iter().map(config).collect();
        let directory = TempDir::new().unwrap();
        let memory = opened(&directory, &configs, pool::model::EPOCH).await;
        Self { configs, memory, directory }
    }
}

impl Subject for Kept {
    fn store(&self) -> &dyn Store {
        &self.memory
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            let copy = TempDir::new().unwrap();
            for entry in std::fs::read_dir(self.directory.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            self.memory = opened(&copy, &self.configs, self.memory.clock.now()).await;
            self.directory = copy;
        })
    }

    fn pass(&mut self, seconds: u64) -> Later<'_, ()> {
        self.memory.clock.ahead.fetch_add(seconds, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn leases_in_a_file_keep_every_promise(steps in steps(80, true), overlap in any::<bool>()) {
        let second = if overlap { "10.0.0.4-10.0.0.9" } else { "10.0.1.4-10.0.1.7" };
        let pools = [ModelPool::new("a", "10.0.0.0/29"), ModelPool::new("b", second)];
        let run = async {
            let mut subject = Kept::new(&pools).await;
            Run::new(&pools, RULES).all(&mut subject, &steps).await
        };
        runtime().block_on(run).map_err(TestCaseError::fail)?;
    }
}

fn wanted(who: u8) -> Wanted {
    Wanted {
        pools: vec!["a".to_owned()],
        identity: client(who),
        requested: vec![IpAddr::from([0, 0, 0, 0]).into()],
        attributes: Vec::new(),
        remote: SocketAddr::from(([192, 0, 2, 1], 500)),
        connection: "c".to_owned(),
        ike_id: 1,
    }
}

fn four() -> [ModelPool; 1] {
    [ModelPool::new("a", "10.0.0.1-10.0.0.4")]
}

fn rows(memory: &Memory) -> Vec<(String, bool)> {
    memory.lock().leases("a").map(|l| (format!("{} {}", l.address, l.identity), l.online)).collect()
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_disk_works_leaves_nothing() {
    let kept = Kept::new(&four()).await;
    let wanted = wanted(1);
    let mut lease = kept.memory.lease(&wanted);
    // Once polled it has an address and waits for the disk.
    assert!((&mut lease).now_or_never().is_none());
    assert_eq!(rows(&kept.memory), [("10.0.0.1 client1.example.org".to_owned(), true)]);
    drop(lease);
    assert_eq!(rows(&kept.memory), []);
    kept.memory.finish().await.unwrap();
    let mut kept = kept;
    kept.crash().await;
    assert_eq!(rows(&kept.memory), []);
}

#[tokio::test]
async fn what_no_longer_fits_leaves_the_file() {
    let mut kept = Kept::new(&four()).await;
    for who in 1..=4 {
        let grant = kept.memory.lease(&wanted(who)).await.unwrap().remove(0);
        assert!(kept.memory.release(&wanted(who).pools, &client(who), grant.address).await);
    }
    // After the restart the pool is smaller, and one address belongs to somebody.
    let host = policy::PoolHost { identity: client(9), address: IpAddr::from([10, 0, 0, 1]) };
    kept.configs[0].range = "10.0.0.1-10.0.0.2".parse().unwrap();
    kept.configs[0].hosts = vec![host];
    kept.crash().await;
    assert_eq!(rows(&kept.memory), [("10.0.0.2 client2.example.org".to_owned(), false)]);
    kept.memory.finish().await.unwrap();
    // Nothing comes back with the old range.
    kept.configs[0].range = "10.0.0.1-10.0.0.4".parse().unwrap();
    kept.crash().await;
    assert_eq!(rows(&kept.memory), [("10.0.0.2 client2.example.org".to_owned(), false)]);
    kept.memory.unload("a").unwrap();
    kept.memory.finish().await.unwrap();
    kept.crash().await;
    assert_eq!(rows(&kept.memory), []);
}

/// A small disk of its own.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "lease-store-test"]).arg(directory.path());
        assert!(mount.status().unwrap().success(), "this test mounts a tmpfs: run it as root");
        Self(directory)
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }

    /// Writes until there is no room.
    fn fill(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_new_leases_only() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let disk = Disk::new();
    let path = disk.0.path().join("leases.db");
    let voice = Box::new(move |line| heard.lock().unwrap().push(line));
    let clock = Clock { wall: 1, mono_ms: 0, ahead: Default::default() };
    let memory = Memory::open(&path, voice, clock).await.unwrap();
    memory.load(PoolConfig::new("a", "10.0.0.1-10.0.0.4".parse().unwrap())).unwrap();
    let first = memory.lease(&wanted(1)).await.unwrap().remove(0);
    assert!(memory.release(&wanted(1).pools, &client(1), first.address).await);

    disk.fill();
    let trouble = memory.lease(&wanted(2)).await.unwrap_err().to_string();
    assert!(trouble.starts_with("pool 'a': the lease store "), "{trouble}");
    assert_eq!(rows(&memory), [("10.0.0.1 client1.example.org".to_owned(), false)], "nothing stays of it");
    assert_eq!(memory.lease(&wanted(1)).await.unwrap(), [Grant { origin: pool::Origin::Offline, ..first }]);
    let heard = said.lock().unwrap().clone();
    assert_eq!(heard.len(), 1, "said once: {heard:?}");
    assert!(heard[0].contains("until it can, clients get only addresses they had before"));

    std::fs::remove_file(disk.filler()).unwrap();
    assert_eq!(memory.lease(&wanted(2)).await.unwrap().len(), 1);
    assert!(said.lock().unwrap()[1].contains("can be written again"));
}
