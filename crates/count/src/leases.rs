//! Leases of virtual addresses.
use crate::meter::Counts;
use policy::{Identity, PoolConfig};
use pool::Pools;
use std::net::{IpAddr, Ipv4Addr};

const TIMES: u32 = 1000;
const MANY: u32 = 100_000;

fn client(n: u32) -> Identity {
    Identity::Fqdn(format!("client{n}.example.org"))
}

pub(crate) fn all(counts: &mut Counts) {
    if !counts.wants("pool/") {
        return;
    }
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let names = ["rw".to_owned()];
    let mut pools = Pools::new();
    pools.load(PoolConfig::new("rw", "10.0.0.0/8".parse().unwrap())).unwrap();
    let ids: Vec<Identity> = (0..MANY).map(client).collect();
    counts.bench("pool/lease/new clients", TIMES, |meter| {
        let ids: Vec<Identity> = (0..TIMES).map(|n| client(MANY + n)).collect();
        let mut pools = pools.clone();
        meter.count(|| ids.iter().for_each(|id| drop(pools.acquire(&names, id, any, 0).unwrap())));
    });
    let leased: Vec<IpAddr> =
        ids.iter().map(|id| pools.acquire(&names, id, any, 0).unwrap().address).collect();
    for (id, address) in ids.iter().zip(&leased) {
        assert!(pools.release(&names, id, *address, 0));
    }
    let turn = || (0..TIMES).map(|n| usize::try_from(n.wrapping_mul(7919) % MANY).unwrap());
    counts.bench("pool/lease/returning among 100000", TIMES, |meter| {
        meter.count(|| {
            for n in turn() {
                assert_eq!(pools.acquire(&names, &ids[n], any, 0).unwrap().address, leased[n]);
            }
        });
    });
    // Where only the leases are wanted, what was not counted was not done either.
    for n in turn() {
        if pools.get("rw").unwrap().user(leased[n]).is_none() {
            pools.acquire(&names, &ids[n], any, 0).unwrap();
        }
    }
    counts.bench("pool/release/among 100000", TIMES, |meter| {
        meter.count(|| {
            for n in turn() {
                assert!(pools.release(&names, &ids[n], leased[n], 0));
            }
        });
    });
    // To free so many small pieces would be counted with the next thing that allocates.
    std::mem::forget((pools, ids));
}
