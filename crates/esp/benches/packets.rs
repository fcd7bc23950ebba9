//! Packets per second and bits per second of one core; policy look-ups in small and big tables.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

#[path = "../tests/sample/sample.rs"]
mod sample;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use esp::{Flow, HEADROOM, InSa, OutSa, Packet, Sad, Spd, Target};
use policy::{Mode, Selector};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use wire::ip::IpView;

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("esp");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for (name, at) in [("aes128gcm16", 0), ("aes256gcm16", 1), ("chacha20poly1305", 6), ("aes256-sha256", 8)]
    {
        for len in [64usize, 1400] {
            let (a, b) = sample::pair(sample::SUITES[at], Mode::Tunnel, |s| {
                Arc::make_mut(&mut s.config).replay_window = 0
            });
            let (out, sa) = (Arc::new(OutSa::new(&a).unwrap()), InSa::new(&b).unwrap());
            let mut turn = out.try_turn().unwrap();
            let inner = sample::udp("10.0.0.1", "10.0.0.2", len - 28);
            let view = IpView::parse(&inner).unwrap();
            group.throughput(Throughput::Bytes(len as u64));
            let mut memory = vec![0u8; 2048];
            memory[HEADROOM..HEADROOM + len].copy_from_slice(&inner);
            group.bench_function(format!("seal/{name}/{len}"), |bench| {
                bench.iter(|| {
                    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + len).unwrap();
                    black_box(turn.seal(&mut packet, &view, 1, 1400)).unwrap();
                });
            });
            memory[HEADROOM..HEADROOM + len].copy_from_slice(&inner);
            let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + len).unwrap();
            turn.seal(&mut packet, &view, 1, 1400).unwrap();
            let sealed = packet.bytes().to_vec();
            group.bench_function(format!("open/{name}/{len}"), |bench| {
                bench.iter_batched_ref(
                    || [vec![0u8; HEADROOM], sealed.clone()].concat(),
                    |memory| {
                        let end = memory.len();
                        let mut packet = Packet::new(memory, HEADROOM..end).unwrap();
                        black_box(sa.open(&mut packet, b.remote, 0, 1)).unwrap();
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("spd");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    let local = Selector::everything(true);
    let fill = |spd: &Spd, count: u32| {
        for n in 0..count {
            let host = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            spd.insert(n, 0, &[local], &[Selector::host(host.into())], &Target::Trap(n));
        }
    };
    for count in [1u32, 100_000] {
        let spd = Spd::default();
        fill(&spd, count);
        let source = "192.0.2.1".parse().unwrap();
        let flow = |n: u32| Flow {
            local: source,
            remote: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n % count).into(),
            protocol: 17,
            ports: Some((1, 2)),
        };
        let mut n = 0u32;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("lookup/{count}"), |bench| {
            bench.iter(|| {
                n = n.wrapping_add(7919);
                black_box(spd.lookup(&flow(n), |t| matches!(t, Target::Trap(_)))).unwrap()
            });
        });
        let next = Selector::host("10.200.0.1".parse().unwrap());
        group.bench_function(format!("insert+remove/{count}"), |bench| {
            bench.iter(|| {
                spd.insert(u32::MAX, 0, &[local], &[next], &Target::Pass);
                spd.remove(u32::MAX, &[local], &[next])
            });
        });
    }
    group.finish();
}

/// A packet of 64 bytes from its look-up until it is sealed, and opened again: on the only CHILD_SA, on one of many,
/// and on many in turn.
fn scale(c: &mut Criterion) {
    let mut group = c.benchmark_group("scale");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for (count, used) in [(1u32, 1u32), (100_000, 1), (100_000, 100_000)] {
        let (spd, sad) = (Spd::default(), Sad::default());
        let host = |n: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
        for n in 0..count {
            let (mut a, mut b) = sample::pair(sample::SUITES[0], Mode::Tunnel, |s| {
                Arc::make_mut(&mut s.config).replay_window = 0
            });
            (a.spi_out, b.spi_in) = (1000 + n, 1000 + n);
            a.remote_ts = [Selector::host(host(n).into())].into();
            b.local_ts = a.remote_ts.clone();
            let out = Arc::new(OutSa::new(&a).unwrap());
            spd.insert(n, 0, &a.local_ts, &a.remote_ts, &Target::Protect(out));
            sad.insert(Arc::new(InSa::new(&b).unwrap()));
        }
        let mut inner = sample::udp("10.0.0.1", "10.0.0.2", 36);
        let mut memory = vec![0u8; 2048];
        let from = "192.0.2.1:4500".parse().unwrap();
        let mut n = 0u32;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("seal+open/{used} of {count}"), |bench| {
            bench.iter(|| {
                n = n.wrapping_add(7919);
                inner[16..20].copy_from_slice(&host(n % used).octets());
                memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(&inner);
                let view = IpView::parse(&inner).unwrap();
                let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
                spd.lookup(&Flow::outbound(&view), |target| match target {
                    Target::Protect(sa) => sa.try_turn().unwrap().seal(&mut packet, &view, 1, 1400).unwrap(),
                    other => panic!("{other:?}"),
                })
                .unwrap();
                let spi = u32::from_be_bytes(*packet.bytes().first_chunk().unwrap());
                black_box(sad.get(spi).unwrap().open(&mut packet, from, 0, 1)).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packets, policies, scale);
criterion_main!(benches);
