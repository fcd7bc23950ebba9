//! How many leases a second a database takes, each on the disk before its client hears of it.
//!
//! `cargo bench -p sql` measures SQLite; URIs of other databases, whose tables are there, may follow `--`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a measurement"
)]

use policy::Identity;
use pool::{Store as _, Wanted};
use sql::admin::NewPool;
use sql::{Admin, Pools, Settings, Uri};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLIENTS: u32 = 30_000;
/// Clients that wait at a time.
const AT_ONCE: u32 = 300;

fn wanted(number: u32) -> Wanted {
    Wanted {
        pools: vec!["bench".to_owned()],
        identity: Identity::Rfc822(format!("client{number}@cygnet.test")),
        requested: vec![std::net::IpAddr::from([0, 0, 0, 0]).into()],
        attributes: Vec::new(),
        remote: ([192, 0, 2, 1], 4500).into(),
        connection: "rw".to_owned(),
        ike_id: number,
    }
}

/// Runs `work` for every client, [`AT_ONCE`] of them side by side.
async fn rate<F>(store: &Arc<Pools>, work: impl Fn(Arc<Pools>, u32) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        if tasks.len() >= AT_ONCE as usize {
            tasks.join_next().await.unwrap().unwrap();
        }
        tasks.spawn(work(store.clone(), number));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    f64::from(CLIENTS) / begun.elapsed().as_secs_f64()
}

async fn lease(store: Arc<Pools>, number: u32) {
    store.lease(&wanted(number)).await.unwrap();
}

async fn release(store: Arc<Pools>, number: u32) {
    let wanted = wanted(number);
    let grant = store.lease(&wanted).await.unwrap().remove(0);
    // The second of two uses ends, then the first.
    for _ in 0..2 {
        assert!(store.release(&wanted.pools, &wanted.identity, grant.address).await);
    }
}

async fn measure(uri: &Uri) {
    let mut admin = Admin::init(uri).await.unwrap();
    let _ = admin.delete_pool("bench").await;
    let [start, end] = ["10.0.0.0", "10.255.255.255"].map(|address| address.parse().unwrap());
    let pool = NewPool { name: "bench".to_owned(), start, end, timeout: 0 };
    let begun = Instant::now();
    admin.add_pool(&pool).await.unwrap();
    let made = begun.elapsed();
    let store = Arc::new(Pools::start(Settings::new(uri.clone(), "bench")));
    let new = rate(&store, lease).await;
    let back = rate(&store, release).await;
    let again = rate(&store, lease).await;
    println!("{uri}: pool of 10.0.0.0/8 made in {} µs", made.as_micros());
    println!("  new clients     {new:>8.0} leases/s");
    println!("  returning       {again:>8.0} leases/s");
    println!("  reauthentication and end {back:>8.0} clients/s");
    let one = Instant::now();
    for number in 0..200 {
        store.lease(&wanted(CLIENTS + number)).await.unwrap();
    }
    let one: Duration = one.elapsed() / 200;
    println!("  one at a time   {:>8} µs each", one.as_micros());
    admin.delete_pool("bench").await.unwrap();
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = format!("sqlite://{}/bench.db", dir.path().display());
        measure(&Uri::parse(&file).unwrap()).await;
        for uri in std::env::args().skip(1).filter(|argument| argument.contains("://")) {
            measure(&Uri::parse(&uri).unwrap()).await;
        }
    });
}
