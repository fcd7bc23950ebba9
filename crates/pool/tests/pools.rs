//! Leases as operators and clients see them, and properties over random histories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
use policy::{Identity, PoolAttribute, PoolConfig};
use pool::PoolError;
use std::net::IpAddr;
use wire::iana::ConfigAttribute;

fn config(name: &str, range: &str) -> PoolConfig {
    PoolConfig::new(name, range.parse().unwrap())
}

/// Pools for whom time stands still.
#[derive(Default)]
struct Pools(pool::Pools);

impl std::ops::Deref for Pools {
    type Target = pool::Pools;
    fn deref(&self) -> &pool::Pools {
        &self.0
    }
}

impl std::ops::DerefMut for Pools {
    fn deref_mut(&mut self) -> &mut pool::Pools {
        &mut self.0
    }
}

impl Pools {
    fn new() -> Self {
        Self::default()
    }

    fn acquire(&mut self, pools: &[String], identity: &Identity, requested: IpAddr) -> Option<IpAddr> {
        self.0.acquire(pools, identity, requested, 0).map(|grant| grant.address)
    }

    fn release(&mut self, pools: &[String], identity: &Identity, address: IpAddr) -> bool {
        self.0.release(pools, identity, address, 0)
    }
}

fn pools(list: &[(&str, &str)]) -> Pools {
    let mut pools = Pools::new();
    for (name, range) in list {
        pools.load(config(name, range)).unwrap();
    }
    pools
}

fn who(name: &str) -> Identity {
    Identity::Fqdn(name.into())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

const ANY4: &str = "0.0.0.0";

#[test]
fn one_after_the_other_and_back_to_the_own_one() {
    let mut p = pools(&[("a", "10.0.0.0/24")]);
    let n = names(&["a"]);
    assert_eq!(p.acquire(&n, &who("x"), ip(ANY4)), Some(ip("10.0.0.1")));
    assert_eq!(p.acquire(&n, &who("y"), ip(ANY4)), Some(ip("10.0.0.2")));
    assert!(p.release(&n, &who("x"), ip("10.0.0.1")));
    assert!(!p.release(&n, &who("x"), ip("10.0.0.1")));
    assert!(!p.release(&n, &who("x"), ip("10.0.0.2")));
    assert_eq!(p.acquire(&n, &who("z"), ip(ANY4)), Some(ip("10.0.0.3")));
    assert_eq!(p.acquire(&n, &who("x"), ip(ANY4)), Some(ip("10.0.0.1")));
    let status: Vec<_> = p.status().collect();
    assert_eq!((status[0].size, status[0].online, status[0].offline), (254, 3, 0));
    assert_eq!(status[0].base, ip("10.0.0.1"));
}

#[test]
fn a_list_goes_on_after_any_address() {
    let mut p = pools(&[("a", "10.0.0.0/29"), ("b", "fd00::/64")]);
    for (pool, any) in [("a", ANY4), ("b", "::")] {
        for client in ["x", "y", "z"] {
            assert!(p.acquire(&names(&[pool]), &who(client), ip(any)).is_some());
        }
    }
    let page = |pool: &str, after: Option<IpAddr>, limit: usize| -> Vec<String> {
        let leases = p.leases_after(pool, after, limit);
        leases.into_iter().map(|lease| lease.address.to_string()).collect()
    };
    let after = |pool: &str, address: &str| page(pool, Some(ip(address)), 10);
    assert_eq!(page("a", None, 2), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(page("a", Some(ip("10.0.0.1")), 1), ["10.0.0.2"]);
    assert!(page("a", None, 0).is_empty());
    assert_eq!(after("a", "10.0.0.1"), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(after("a", "9.255.255.255").len(), 3);
    assert_eq!(after("a", "10.0.0.3").len(), 0);
    assert_eq!(after("a", "10.0.1.0").len(), 0);
    assert_eq!(after("a", "fd00::").len(), 0);
    assert_eq!(after("b", "10.0.0.1").len(), 3);
    assert_eq!(after("b", "fd00::2"), ["fd00::3"]);
    assert_eq!(after("c", "10.0.0.1").len(), 0);
}

#[test]
fn requested_address_when_free() {
    let mut p = pools(&[("a", "10.0.0.0/24")]);
    let n = names(&["a"]);
    assert_eq!(p.acquire(&n, &who("x"), ip("10.0.0.77")), Some(ip("10.0.0.77")));
    assert_eq!(p.acquire(&n, &who("y"), ip("10.0.0.77")), Some(ip("10.0.0.1")));
    assert_eq!(p.acquire(&n, &who("z"), ip("192.0.2.1")), Some(ip("10.0.0.2")));
    // Free means: nobody's. The offline address of another is not given away while there are unused ones.
    p.release(&n, &who("x"), ip("10.0.0.77"));
    assert_eq!(p.acquire(&n, &who("w"), ip("10.0.0.77")), Some(ip("10.0.0.3")));
}

#[test]
fn longest_offline_changes_owner_when_all_had_one() {
    let mut p = pools(&[("a", "10.0.0.1-10.0.0.3")]);
    let n = names(&["a"]);
    for (name, address) in [("x", "10.0.0.1"), ("y", "10.0.0.2"), ("z", "10.0.0.3")] {
        assert_eq!(p.acquire(&n, &who(name), ip(ANY4)), Some(ip(address)));
    }
    assert_eq!(p.acquire(&n, &who("w"), ip(ANY4)), None);
    p.release(&n, &who("y"), ip("10.0.0.2"));
    p.release(&n, &who("x"), ip("10.0.0.1"));
    assert_eq!(p.acquire(&n, &who("w"), ip(ANY4)), Some(ip("10.0.0.2")));
    assert_eq!(p.acquire(&n, &who("y"), ip("10.0.0.1")), Some(ip("10.0.0.1")));
}

#[test]
fn reauthentication_before_the_old_sa_goes() {
    let mut p = pools(&[("a", "10.0.0.0/24")]);
    let n = names(&["a"]);
    let first = p.acquire(&n, &who("x"), ip(ANY4)).unwrap();
    assert_eq!(p.acquire(&n, &who("x"), first), Some(first));
    assert!(p.release(&n, &who("x"), first));
    assert!(p.leases("a").all(|lease| lease.online));
    assert!(p.release(&n, &who("x"), first));
    assert!(p.leases("a").all(|lease| !lease.online));
}

#[test]
fn several_addresses_and_the_attributes_of_the_pools_used() {
    let mut p = Pools::new();
    let dns = |b: &[u8]| PoolAttribute { kind: ConfigAttribute::Ip4Dns, value: b.to_vec() };
    p.load(PoolConfig { attributes: vec![dns(&[1, 1, 1, 1])], ..config("a", "10.0.0.0/24") }).unwrap();
    p.load(PoolConfig { attributes: vec![dns(&[1, 1, 1, 1]), dns(&[2; 4])], ..config("b", "fd00::/64") })
        .unwrap();
    p.load(PoolConfig { attributes: vec![dns(&[3; 4])], ..config("c", "10.9.0.0/24") }).unwrap();
    let n = names(&["c-not-there", "b", "a", "c"]);
    let granted = p.lease(&n, &who("x"), &[ANY4, "::", ANY4, "10.0.0.1"].map(|text| ip(text).into()), 0);
    assert_eq!(granted.addresses(), [ip("10.0.0.1"), ip("fd00::1"), ip("10.0.0.2"), ip("10.0.0.3")]);
    let pools: Vec<_> = granted.grants.iter().map(|grant| grant.pool.as_str()).collect();
    assert_eq!(pools, ["a", "b", "a", "a"]);
    let values: Vec<_> = granted.attributes.iter().map(|a| a.value.clone()).collect();
    assert_eq!(values, [vec![1; 4], vec![2; 4]]);
    assert_eq!(p.lease(&names(&["d"]), &who("x"), &[ip(ANY4).into()], 0), pool::Granted::default());
}

#[test]
fn earlier_lease_in_a_later_pool_comes_first() {
    let mut p = pools(&[("a", "10.0.0.1-10.0.0.1"), ("b", "10.1.0.0/24")]);
    let n = names(&["a", "b"]);
    assert_eq!(p.acquire(&n, &who("x"), ip(ANY4)), Some(ip("10.0.0.1")));
    assert_eq!(p.acquire(&n, &who("y"), ip(ANY4)), Some(ip("10.1.0.1")));
    p.release(&n, &who("x"), ip("10.0.0.1"));
    p.release(&n, &who("y"), ip("10.1.0.1"));
    assert_eq!(p.acquire(&n, &who("y"), ip(ANY4)), Some(ip("10.1.0.1")));
    // Unused in `b` goes before offline in `a`.
    assert_eq!(p.acquire(&n, &who("z"), ip(ANY4)), Some(ip("10.1.0.2")));
}

#[test]
fn loading_and_unloading() {
    let mut p = pools(&[("a", "10.0.0.0/24")]);
    let n = names(&["a"]);
    p.acquire(&n, &who("x"), ip(ANY4)).unwrap();
    let attributes = vec![PoolAttribute { kind: ConfigAttribute::Ip4Dns, value: vec![9; 4] }];
    p.load(PoolConfig { attributes, ..config("a", "10.0.0.0/24") }).unwrap();
    assert_eq!(p.attributes(&n).len(), 1);
    assert_eq!(p.get("a").unwrap().online(), 1);
    let online = |what| PoolError::Online { name: "a".into(), online: 1, what };
    assert_eq!(p.load(config("a", "10.0.0.0/25")), Err(online("replace")));
    assert_eq!(p.unload("a"), Err(online("unload")));
    p.release(&n, &who("x"), ip("10.0.0.1"));
    p.load(config("a", "10.0.0.0/25")).unwrap();
    assert_eq!(p.acquire(&n, &who("y"), ip(ANY4)), Some(ip("10.0.0.2")), "x keeps its lease");
    p.release(&n, &who("y"), ip("10.0.0.2"));
    p.unload("a").unwrap();
    assert_eq!(p.unload("a"), Err(PoolError::Unknown("a".into())));
}

#[test]
fn overlapping_pools_never_lend_twice() {
    let mut p = pools(&[("a", "10.0.0.1-10.0.0.3"), ("b", "10.0.0.2-10.0.0.4")]);
    assert_eq!(p.acquire(&names(&["b"]), &who("x"), ip(ANY4)), Some(ip("10.0.0.2")));
    assert_eq!(p.acquire(&names(&["a"]), &who("y"), ip("10.0.0.2")), Some(ip("10.0.0.1")));
    assert_eq!(p.acquire(&names(&["a"]), &who("z"), ip(ANY4)), Some(ip("10.0.0.3")));
    assert_eq!(p.acquire(&names(&["a"]), &who("w"), ip(ANY4)), None);
    p.release(&names(&["b"]), &who("x"), ip("10.0.0.2"));
    assert_eq!(p.acquire(&names(&["a"]), &who("w"), ip(ANY4)), Some(ip("10.0.0.2")));
    assert_eq!(p.acquire(&names(&["b"]), &who("x"), ip(ANY4)), Some(ip("10.0.0.4")));
}

#[test]
fn saved_and_restored() {
    let mut p = pools(&[("a", "10.0.0.1-10.0.0.3")]);
    let n = names(&["a"]);
    for name in ["x", "y", "z"] {
        p.acquire(&n, &who(name), ip(ANY4)).unwrap();
    }
    p.release(&n, &who("z"), ip("10.0.0.3"));
    p.release(&n, &who("y"), ip("10.0.0.2"));
    let mut q = pools(&[("a", "10.0.0.1-10.0.0.3")]);
    assert_eq!(q.restore(&p.save(), true), 3);
    assert_eq!(q.save(), p.save());
    assert_eq!(q.acquire(&n, &who("w"), ip(ANY4)), Some(ip("10.0.0.3")), "order of release is kept");
    let mut q = pools(&[("a", "10.0.0.1-10.0.0.2")]);
    assert_eq!(q.restore(&p.save(), false), 2);
    assert_eq!((q.get("a").unwrap().online(), q.get("a").unwrap().offline()), (0, 2));
}
