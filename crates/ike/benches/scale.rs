//! What an IKE_SA costs its responder, with few and with many beside it: bytes, allocations, time.
//!
//! `cargo bench -p ike --bench scale -- 1000 10000 100000`; for instructions, valgrind counts what runs in
//! `gateway_step` alone: `valgrind --tool=callgrind --toggle-collect='*gateway_step*' target/release/deps/scale-… 200`.
#![allow(clippy::print_stdout, clippy::expect_used, missing_docs, reason = "a benchmark")]

use std::time::{Duration, Instant};
use testkit::fleet::Fleet;

/// All that the gateway does runs in here.
#[inline(never)]
fn gateway_step(step: &mut dyn FnMut()) {
    step();
    std::hint::black_box(());
}

fn main() {
    let counts: Vec<u32> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1_000] } else { counts };
    println!("IKE_SAs  live bytes  live blocks  allocations  microseconds (of the last tenth)");
    for count in counts {
        measure(count);
    }
}

fn measure(count: u32) {
    let mut fleet = Fleet::new(|_| {}, |_| {});
    let (mut bytes, mut blocks, mut allocations) = (0i64, 0i64, 0u64);
    let (mut spent, mut spent_late) = (Duration::ZERO, Duration::ZERO);
    let tail = count / 10;
    for n in 0..count {
        let mut took = Duration::ZERO;
        let _client = fleet.join(&mut |step| {
            let start = Instant::now();
            let info = allocation_counter::measure(|| gateway_step(step));
            took += start.elapsed();
            bytes += info.bytes_current;
            blocks += info.count_current;
            allocations += info.count_total;
        });
        spent += took;
        if n >= count - tail {
            spent_late += took;
        }
    }
    let each = |x: f64| x / f64::from(count);
    #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
    let (bytes, blocks, allocations) = (bytes as f64, blocks as f64, allocations as f64);
    println!(
        "{count:>7}  {:>10.0}  {:>11.1}  {:>11.1}  {:>12.1} ({:.1})",
        each(bytes),
        each(blocks),
        each(allocations),
        each(spent.as_secs_f64() * 1e6),
        spent_late.as_secs_f64() * 1e6 / f64::from(tail.max(1)),
    );
}
