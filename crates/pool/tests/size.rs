//! What a lease costs in memory, as the system counts it. Alone in its process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss, reason = "tests")]
use policy::{Identity, PoolConfig};
use pool::Pools;
use std::net::{IpAddr, Ipv4Addr};

/// Just beyond what fills the hash tables: they have doubled, a lease costs most.
const LEASES: u32 = 230_000;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn loaded(range: &str) -> Pools {
    let mut pools = Pools::new();
    pools.load(PoolConfig::new("rw", range.parse().unwrap())).unwrap();
    pools
}

fn identity(n: u32) -> Identity {
    Identity::Fqdn(format!("client{n:06}.example.org"))
}

#[test]
fn memory_follows_the_leases_and_a_lease_costs_less_than_100_bytes_beyond_its_identity() {
    let start = resident();
    let identities: Vec<Identity> = (0..LEASES).map(identity).collect();
    let of_identities = resident() - start;
    let mut pools = loaded("10.0.0.0/8");
    let names = ["rw".to_owned()];
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let before = resident();
    let addresses: Vec<IpAddr> =
        identities.iter().map(|who| pools.acquire(&names, who, any, 0).unwrap().address).collect();
    let beyond = |now: usize| {
        let own = addresses.len() * size_of::<IpAddr>();
        (now - before - own).saturating_sub(of_identities) as f64 / f64::from(LEASES)
    };
    let online = beyond(resident());
    for (who, address) in identities.iter().zip(&addresses) {
        assert!(pools.release(&names, who, *address, 1));
    }
    let offline = beyond(resident());
    println!("{online:.1} bytes a lease online, {offline:.1} offline");
    assert!((50.0..100.0).contains(&online), "{online} bytes online");
    assert!((50.0..100.0).contains(&offline), "{offline} bytes offline");
    // An empty pool holds nothing, whatever its size.
    let before = resident();
    let empty: Vec<Pools> =
        (0..4000).map(|n| loaded(["10.0.0.0/8", "fd00::/64", "::/0", "2001:db8::/32/64"][n % 4])).collect();
    let grown = resident() - before;
    assert!(grown < 4000 * 8192, "{grown} bytes for {} pools", empty.len());
}
