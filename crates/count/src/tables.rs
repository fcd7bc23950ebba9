//! Which policy and which SA: small tables and big ones.
use crate::meter::Counts;
use crate::sample;
use esp::{Flow, InSa, Sad, Spd, Target};
use policy::{Mode, Selector};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

const TIMES: u32 = 1000;

pub(crate) fn all(counts: &mut Counts) {
    for size in [1u32, 100_000] {
        policies(counts, size);
        associations(counts, size);
    }
}

/// Policies for hosts, as a gateway of road warriors has them.
fn policies(counts: &mut Counts, size: u32) {
    let (lookup, change) = (format!("spd/lookup/{size}"), format!("spd/insert and remove/{size}"));
    if !counts.wants(&lookup) && !counts.wants(&change) {
        return;
    }
    let spd = Spd::default();
    let local = Selector::everything(true);
    for n in 0..size {
        let host = Selector::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into());
        spd.insert(n, 0, &[local], &[host], &Target::Trap(n));
    }
    let source = Ipv4Addr::new(192, 0, 2, 1).into();
    let flow = |n: u32| Flow {
        local: source,
        remote: Ipv4Addr::from_bits(0x0a00_0000 + n.wrapping_mul(7919) % size).into(),
        protocol: 17,
        ports: Some((1, 2)),
    };
    counts.bench(&lookup, TIMES, |meter| {
        meter.count(|| {
            for n in 0..TIMES {
                assert!(spd.lookup(&flow(black_box(n)), |t| matches!(t, Target::Trap(_))).unwrap());
            }
        });
    });
    counts.bench(&change, 100, |meter| {
        meter.count(|| {
            for n in 0..100 {
                let host = Selector::host(Ipv4Addr::from_bits(0x0ac8_0000 + black_box(n)).into());
                spd.insert(u32::MAX, 0, &[local], &[host], &Target::Pass);
                assert!(spd.remove(u32::MAX, &[local], &[host]));
            }
        });
    });
    // To free so many small pieces would be counted with the next thing that allocates.
    std::mem::forget(spd);
}

fn associations(counts: &mut Counts, size: u32) {
    let name = format!("sad/lookup/{size}");
    if !counts.wants(&name) {
        return;
    }
    let sad = Sad::default();
    // As SPIs are drawn: spread over the whole range.
    let spi = |n: u32| (n % size + 1).wrapping_mul(0x9e37_79b1);
    let (mut child, _) = sample::pair(sample::SUITES[0], Mode::Tunnel, |_| {});
    for n in 0..size {
        child.spi_in = spi(n);
        assert!(sad.insert(Arc::new(InSa::new(&child).unwrap())));
    }
    counts.bench(&name, TIMES, |meter| {
        meter.count(|| {
            for n in 0..TIMES {
                assert!(sad.get(spi(black_box(n.wrapping_mul(7919)))).is_some());
            }
        });
    });
    std::mem::forget(sad);
}
