//! Random scripts for a peer who knows the secret. `CYGNET_SCRIPTS=n` plays n of them, `CYGNET_SCRIPT=n` the one with
//! that number, telling what the gateway logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use testkit::{dice, hostile};

/// Scripts without an order to play more.
const SCRIPTS: u64 = 4000;

fn script(seed: u64) -> Vec<u8> {
    let mut rng = dice::rng(seed, 9);
    let len = 16 + rng.below(500);
    rng.bytes(usize::try_from(len).unwrap())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_a_peer_says_the_gateway_keeps_its_rules() {
    if let Some(seed) = number("CYGNET_SCRIPT") {
        return hostile::play(&script(seed));
    }
    let scripts = number("CYGNET_SCRIPTS").unwrap_or(SCRIPTS);
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= scripts {
                        return;
                    }
                    let played = std::panic::catch_unwind(|| hostile::play(&script(seed)));
                    let again = "cargo test -p testkit --test hostile whatever -- --nocapture";
                    assert!(played.is_ok(), "CYGNET_SCRIPT={seed} {again}");
                }
            });
        }
    });
}

#[test]
fn whatever_a_stranger_says_it_stays_outside() {
    let scripts = number("CYGNET_SCRIPTS").unwrap_or(SCRIPTS);
    for seed in 0..scripts {
        let played = std::panic::catch_unwind(|| hostile::knock(&script(seed)));
        assert!(played.is_ok(), "knocking script {seed}");
    }
}

#[test]
fn silence_is_survived() {
    hostile::knock(&[]);
    hostile::knock(&[0; 400]);
    hostile::play(&[]);
    hostile::play(&[0; 200]);
    hostile::play(&[255; 200]);
}
