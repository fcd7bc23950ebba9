//! Many random lives. `CYGNET_SEEDS=n` lives n of them, `CYGNET_SEED=n` the one with that number, telling its story.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use testkit::simulation;

/// Lives without an order to live more.
const SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn lives() {
    if let Some(seed) = number("CYGNET_SEED") {
        let (world, result) = simulation::run(seed, 1_000_000);
        world.transcript.tail().for_each(|line| eprintln!("{line}"));
        eprintln!("seed {seed}: {:?}", result.unwrap());
        return;
    }
    let seeds = number("CYGNET_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let (mut up, mut failed) = ((0, 0), Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let mut up = (0, 0);
                    let mut failed = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return (up, failed);
                        }
                        match std::panic::catch_unwind(|| simulation::run(seed, 0).1) {
                            Ok(Ok(report)) => up = (up.0 + report.up.0, up.1 + report.up.1),
                            Ok(Err(violation)) => failed.push((seed, violation.to_string())),
                            Err(_) => failed.push((seed, "panic".to_owned())),
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            let (worker_up, worker_failed) = handle.join().unwrap();
            up = (up.0 + worker_up.0, up.1 + worker_up.1);
            failed.extend(worker_failed);
        }
    });
    failed.sort();
    for (seed, what) in &failed {
        eprintln!("{what}\n  CYGNET_SEED={seed} cargo test -p testkit --test world lives -- --nocapture");
    }
    assert!(failed.is_empty(), "{} of {seeds} lives failed", failed.len());
    // A simulation in which nothing comes up proves nothing.
    eprintln!("{seeds} lives, {} IKE_SAs and {} CHILD_SAs up in the quiet", up.0, up.1);
    assert!(up.1 as u64 > seeds / 2, "{up:?}");
}

#[test]
fn equal_seeds_live_equal_lives() {
    for seed in 0..40 {
        assert_eq!(simulation::run(seed, 0).1, simulation::run(seed, 0).1, "seed {seed}");
    }
}
