//! The tables and the SAs while several threads use them at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "sample/sample.rs"]
mod sample;

use esp::{Flow, HEADROOM, InSa, OutSa, Packet, Sad, Spd, Target};
use policy::{Mode, Selector};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use wire::ip::IpView;

fn host(n: u32) -> Selector {
    Selector::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

/// Packets of CHILD_SAs that stay find them, and come through, while others come and go and the tables grow.
#[test]
fn what_stays_serves_while_others_come_and_go() {
    const STAY: u32 = 8;
    const COME: u32 = 4000;
    let (spd, sad) = (Spd::default(), Sad::default());
    let install = |n: u32| {
        let (mut a, mut b) = sample::pair(sample::SUITES[0], Mode::Tunnel, |_| {});
        (a.id, b.id) = (n, n);
        (a.spi_out, b.spi_in) = (1000 + n, 1000 + n);
        spd.insert(n, 0, &a.local_ts, &[host(n)], &Target::Protect(Arc::new(OutSa::new(&a).unwrap())));
        assert!(sad.insert(Arc::new(InSa::new(&b).unwrap())));
    };
    (0..STAY).for_each(install);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..STAY {
            let (spd, sad, done) = (&spd, &sad, &done);
            scope.spawn(move || {
                let remote = format!("10.0.0.{n}");
                let inner = sample::udp("192.0.2.1", &remote, 100);
                let view = IpView::parse(&inner).unwrap();
                let from = "192.0.2.1:4500".parse().unwrap();
                let mut rounds = 0;
                while !done.load(Ordering::Relaxed) || rounds < 100 {
                    rounds += 1;
                    let mut memory = [0u8; 512];
                    memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(&inner);
                    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
                    spd.lookup(&Flow::outbound(&view), |target| match target {
                        Target::Protect(sa) => {
                            assert_eq!(sa.child, n);
                            sa.try_turn().unwrap().seal(&mut packet, &view, 1, 1400).unwrap()
                        }
                        other => panic!("{other:?}"),
                    })
                    .unwrap();
                    let sa = sad.get(1000 + n).unwrap();
                    sa.open(&mut packet, from, 0, 1).unwrap();
                    assert_eq!(packet.bytes(), inner);
                }
            });
        }
        scope.spawn(|| {
            let (a, _) = sample::pair(sample::SUITES[0], Mode::Tunnel, |_| {});
            let forget = |n| spd.remove(n, &a.local_ts, &[host(n)]);
            for n in STAY..COME {
                install(n);
                if n % 3 == 0 {
                    assert!(forget(n) && sad.remove(1000 + n).is_some());
                }
            }
            for n in (STAY..COME).filter(|n| n % 3 != 0) {
                assert!(forget(n) && sad.remove(1000 + n).is_some());
            }
            done.store(true, Ordering::Relaxed);
        });
    });
    assert_eq!(sad.len(), STAY as usize);
}

/// However many threads seal for an SA, no number is drawn twice and none is left out.
#[test]
fn turns_draw_each_number_once() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let (a, _) = sample::pair(sample::SUITES[0], Mode::Tunnel, |_| {});
    let out = Arc::new(OutSa::new(&a).unwrap());
    let inner = sample::udp("192.0.2.1", "192.0.2.2", 10);
    let numbers = thread::scope(|scope| {
        let work = || {
            let view = IpView::parse(&inner).unwrap();
            let mut memory = [0u8; 512];
            let mut seal = || {
                memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(&inner);
                let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
                let mut turn = loop {
                    match out.try_turn() {
                        Some(turn) => break turn,
                        None => thread::yield_now(),
                    }
                };
                turn.seal(&mut packet, &view, 1, 1400).unwrap();
                u32::from_be_bytes(*packet.bytes()[4..].first_chunk().unwrap())
            };
            (0..EACH).map(|_| seal()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect::<Vec<u32>>()
    });
    let last = u32::try_from(THREADS * EACH).unwrap();
    assert_eq!(numbers.len(), THREADS * EACH);
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (1..=last).collect::<BTreeSet<_>>());
    let usage = out.usage();
    assert_eq!((usage.packets, out.sequence()), (u64::from(last), u64::from(last)));
    assert!(out.try_turn().is_some(), "all turns were given back");
}

/// A second turn is refused until the first ends.
#[test]
fn there_is_one_turn_at_a_time() {
    let (a, _) = sample::pair(sample::SUITES[0], Mode::Tunnel, |_| {});
    let out = Arc::new(OutSa::new(&a).unwrap());
    let first = out.try_turn().unwrap();
    assert!(out.try_turn().is_none());
    drop(first);
    assert!(out.try_turn().is_some());
}
