//! Leases as operators and clients see them, and properties over random histories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
use policy::{Identity, PoolAttribute, PoolConfig};
use pool::{PoolError, Pools};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;
use wire::iana::ConfigAttribute;

fn config(name: &str, range: &str) -> PoolConfig {
    PoolConfig { name: name.into(), range: range.parse().unwrap(), attributes: vec![] }
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
    assert_eq!(status[0].base, ip("10.0.0.0"));
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
    let granted = p.lease(&n, &who("x"), &[ip(ANY4), ip("::"), ip(ANY4), ip("10.0.0.1")]);
    assert_eq!(granted.addresses(), [ip("10.0.0.1"), ip("fd00::1"), ip("10.0.0.2"), ip("10.0.0.3")]);
    let pools: Vec<_> = granted.grants.iter().map(|grant| grant.pool.as_str()).collect();
    assert_eq!(pools, ["a", "b", "a", "a"]);
    let values: Vec<_> = granted.attributes.iter().map(|a| a.value.clone()).collect();
    assert_eq!(values, [vec![1; 4], vec![2; 4]]);
    assert_eq!(p.lease(&names(&["d"]), &who("x"), &[ip(ANY4)]), pool::Granted::default());
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

#[derive(Debug, Clone)]
enum Step {
    Acquire { who: u8, ask: Option<u8>, order: bool },
    Release { nth: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let acquire = (0..12u8, proptest::option::of(0..30u8), any::<bool>())
        .prop_map(|(who, ask, order)| Step::Acquire { who, ask, order });
    let release = any::<u8>().prop_map(|nth| Step::Release { nth });
    proptest::collection::vec(prop_oneof![3 => acquire, 2 => release], 0..200)
}

proptest! {
    #[test]
    fn no_address_has_two_owners_and_nothing_leaks(steps in steps()) {
        let mut p = pools(&[("a", "10.0.0.0/29"), ("b", "10.0.0.4-10.0.0.17"), ("c", "10.0.0.20/30")]);
        let all = names(&["a", "b", "c"]);
        // (identity, address) → holds
        let mut held: Vec<(Identity, IpAddr)> = Vec::new();
        let mut last: BTreeMap<IpAddr, Identity> = BTreeMap::new();
        let mut ever: std::collections::BTreeSet<(IpAddr, Identity)> = Default::default();
        for step in steps {
            match step {
                Step::Acquire { who: w, ask, order } => {
                    let identity = who(&w.to_string());
                    let mut n = all.clone();
                    if order { n.reverse(); }
                    let ask = ask.map_or(ip(ANY4), |o| IpAddr::from([10, 0, 0, o]));
                    let online: std::collections::BTreeSet<IpAddr> = held.iter().map(|(_, a)| *a).collect();
                    let mine = last.iter().any(|(a, i)| *i == identity && !online.contains(a));
                    match p.acquire(&n, &identity, ask) {
                        Some(a) => {
                            prop_assert!(held.iter().all(|(i, b)| *b != a || *i == identity));
                            if mine {
                                prop_assert!(ever.contains(&(a, identity.clone())), "a returning identity keeps its lease");
                            }
                            last.insert(a, identity.clone());
                            ever.insert((a, identity.clone()));
                            held.push((identity, a));
                        }
                        None => prop_assert_eq!(online.len(), 19),
                    }
                }
                Step::Release { nth } => if !held.is_empty() {
                    let (identity, a) = held.swap_remove(usize::from(nth) % held.len());
                    prop_assert!(p.release(&all, &identity, a));
                }
            }
            let mut online: Vec<IpAddr> = held.iter().map(|(_, a)| *a).collect();
            online.sort();
            online.dedup();
            let counted: usize = p.status().map(|s| s.online).sum();
            prop_assert!(counted >= online.len());
            for s in p.status() {
                let leases: Vec<_> = p.leases(&s.name).collect();
                prop_assert_eq!(leases.len(), s.online + s.offline);
                prop_assert!(leases.len() <= s.size as usize);
                prop_assert_eq!(leases.iter().filter(|l| l.online).count(), s.online);
            }
        }
        for (identity, a) in held.drain(..) {
            prop_assert!(p.release(&all, &identity, a));
        }
        prop_assert!(p.status().all(|s| s.online == 0));
        let copy = { let mut q = pools(&[("a", "10.0.0.0/29"), ("b", "10.0.0.4-10.0.0.17"), ("c", "10.0.0.20/30")]);
            q.restore(&p.save(), true); q };
        prop_assert_eq!(copy.save(), p.save());
        // Nothing is lost: every address can still be lent, each to somebody else.
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..19 {
            let a = p.acquire(&all, &who(&format!("new{i}")), ip(ANY4));
            prop_assert!(a.is_some_and(|a| seen.insert(a)), "{} of 19", i);
        }
        prop_assert_eq!(p.acquire(&all, &who("one too many"), ip(ANY4)), None);
    }
}
