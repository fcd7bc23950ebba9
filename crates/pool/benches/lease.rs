//! Cost of a lease and of a pool. `cargo bench -p pool`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "benchmark"
)]
use criterion::{Criterion, criterion_group, criterion_main};
use policy::{Identity, PoolConfig};
use pool::Pools;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

fn pools(range: &str) -> Pools {
    let mut pools = Pools::new();
    pools.load(PoolConfig::new("rw", range.parse().unwrap())).unwrap();
    pools
}

fn benches(c: &mut Criterion) {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let names = vec!["rw".to_owned()];
    c.bench_function("create/10.0.0.0/8", |b| b.iter(|| pools(black_box("10.0.0.0/8"))));
    c.bench_function("create/fd00::/64", |b| b.iter(|| pools(black_box("fd00::/64"))));

    c.bench_function("create/2001:db8::/48 in prefixes of 64", |b| {
        b.iter(|| pools(black_box("2001:db8::/48/64")));
    });

    let million: Vec<Identity> =
        (0..1_000_000u32).map(|i| Identity::Fqdn(format!("client{i}.example.org"))).collect();
    let mut group = c.benchmark_group("fill");
    group.sample_size(10);
    group.bench_function("one million leases", |b| {
        b.iter_with_large_drop(|| {
            let mut pool = pools("10.0.0.0/8");
            for id in &million {
                pool.acquire(&names, id, any, 0).unwrap();
            }
            pool
        });
    });
    group.finish();
    drop(million);

    let mut full = pools("10.0.0.0/8");
    let ids: Vec<Identity> =
        (0..100_000u32).map(|i| Identity::Fqdn(format!("client{i}.example.org"))).collect();
    for id in &ids {
        full.acquire(&names, id, any, 0).unwrap();
    }
    for (id, n) in ids.iter().zip(0x0a00_0001u32..) {
        assert!(full.release(&names, id, Ipv4Addr::from_bits(n).into(), 0));
    }
    c.bench_function("lease+release/returning, one of 100000", |b| {
        let mut i = 0usize;
        b.iter(|| {
            i = (i + 7919) % ids.len();
            let id = &ids[i];
            let address = full.acquire(&names, id, any, 0).unwrap();
            full.release(&names, id, address.address, 0)
        });
    });
    let client = &ids[0];
    c.bench_function("lease+release/one client", |b| {
        let mut pool = pools("10.0.0.0/8");
        b.iter(|| {
            let address = pool.acquire(&names, client, any, 0).unwrap();
            pool.release(&names, client, address.address, 0)
        });
    });
    c.bench_function("lease/new identity", |b| {
        let mut pool = pools("10.0.0.0/8");
        let mut i = 0u32;
        b.iter(|| {
            i += 1;
            pool.acquire(&names, &Identity::KeyId(i.to_be_bytes().to_vec()), any, 0)
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
