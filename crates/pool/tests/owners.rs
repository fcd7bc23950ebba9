//! Addresses that belong to one identity, prefixes, and the end of leases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
use policy::{Identity, PoolConfig, PoolHost};
use pool::{Grant, Origin, PoolError, Pools};
use std::net::IpAddr;

const ANY4: &str = "0.0.0.0";

fn who(name: &str) -> Identity {
    name.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn config(name: &str, range: &str, hosts: &[(&str, &str)]) -> PoolConfig {
    let host = |(name, address): &(&str, &str)| PoolHost { identity: who(name), address: ip(address) };
    let hosts = hosts.iter().map(host).collect();
    PoolConfig { hosts, ..PoolConfig::new(name, range.parse().unwrap()) }
}

fn pools(list: &[PoolConfig]) -> Pools {
    let mut pools = Pools::new();
    for config in list {
        pools.load(config.clone()).unwrap();
    }
    pools
}

fn get(pools: &mut Pools, from: &[&str], name: &str, ask: &str) -> Option<(String, Origin)> {
    let grant = pools.acquire(&names(from), &who(name), ip(ask), 0)?;
    Some((grant.address.to_string(), grant.origin))
}

fn some(address: &str, origin: Origin) -> Option<(String, Origin)> {
    Some((address.to_owned(), origin))
}

#[test]
fn a_reserved_address_is_its_owners_and_comes_first() {
    use Origin::{New, Offline, Online};
    let hosts = [("carol@x", "10.0.0.2"), ("C=CH, CN=moon", "192.0.2.9")];
    let mut p = pools(&[config("a", "10.0.0.1-10.0.0.3", &hosts)]);
    let from = &["a"];
    // Nobody else gets it, not even who asks for it, not even when nothing else is left.
    assert_eq!(get(&mut p, from, "x", "10.0.0.2"), some("10.0.0.1", New));
    assert_eq!(get(&mut p, from, "y", "192.0.2.9"), some("10.0.0.3", New));
    assert_eq!(get(&mut p, from, "z", ANY4), None);
    // The owner gets it, whatever it asks for; case does not matter.
    assert_eq!(get(&mut p, from, "Carol@X", "10.0.0.3"), some("10.0.0.2", New));
    assert_eq!(get(&mut p, from, "Carol@X", "10.0.0.2"), some("10.0.0.2", Online));
    assert_eq!(
        get(&mut p, from, "CN=moon, C=CH", ANY4),
        None,
        "the same parts in another order are another name"
    );
    assert_eq!(get(&mut p, from, "C=ch, CN=Moon", ANY4), some("192.0.2.9", New));
    // Offline it stays the owner's, however long and however full the pool.
    for (name, address) in [("Carol@X", "10.0.0.2"), ("Carol@X", "10.0.0.2"), ("C=ch, CN=Moon", "192.0.2.9")]
    {
        assert!(p.release(&names(from), &who(name), ip(address), 0));
    }
    assert_eq!((p.get("a").unwrap().online(), p.get("a").unwrap().offline()), (2, 2));
    assert_eq!(get(&mut p, from, "z", "10.0.0.2"), None);
    assert_eq!(get(&mut p, from, "Carol@X", ANY4), some("10.0.0.2", Offline));
    // A second device of the owner gets another address, if there is one.
    assert_eq!(get(&mut p, from, "Carol@X", ANY4), None);
    p.release(&names(from), &who("y"), ip("10.0.0.3"), 0);
    assert_eq!(get(&mut p, from, "Carol@X", ANY4), some("10.0.0.3", New));
}

#[test]
fn an_earlier_lease_does_not_come_before_the_reserved_address() {
    let mut p = pools(&[config("a", "10.0.0.0/24", &[]), config("b", "10.1.0.0/24", &[])]);
    let from = &["a", "b"];
    assert_eq!(get(&mut p, from, "carol", ANY4), some("10.0.0.1", Origin::New));
    // While she is online the operator reserves an address for her in the second pool.
    p.load(config("b", "10.1.0.0/24", &[("carol", "10.1.0.77")])).unwrap();
    assert_eq!(
        get(&mut p, from, "carol", "10.0.0.1"),
        some("10.0.0.1", Origin::Online),
        "what she uses stays"
    );
    p.release(&names(from), &who("carol"), ip("10.0.0.1"), 0);
    p.release(&names(from), &who("carol"), ip("10.0.0.1"), 0);
    assert_eq!(get(&mut p, from, "carol", "10.0.0.1"), some("10.1.0.77", Origin::New));
}

#[test]
fn hosts_change_while_clients_are_online() {
    let mut p = pools(&[config("a", "10.0.0.1-10.0.0.3", &[("x", "192.0.2.1")])]);
    let from = &["a"];
    assert_eq!(get(&mut p, from, "x", ANY4), some("192.0.2.1", Origin::New));
    assert_eq!(get(&mut p, from, "y", ANY4), some("10.0.0.1", Origin::New));
    assert_eq!(get(&mut p, from, "z", ANY4), some("10.0.0.2", Origin::New));
    p.release(&names(from), &who("z"), ip("10.0.0.2"), 0);
    p.note_changes();
    p.load(config("a", "10.0.0.1-10.0.0.3", &[("w", "10.0.0.1"), ("v", "10.0.0.2")])).unwrap();
    // z's offline lease is gone; x and y keep what they use.
    let gone: Vec<_> = p.take_changes().into_iter().map(|c| (c.address, c.owned)).collect();
    assert_eq!(gone, [(ip("10.0.0.2"), None)]);
    assert_eq!(p.get("a").unwrap().online(), 2);
    assert_eq!(get(&mut p, from, "y", "10.0.0.1"), some("10.0.0.1", Origin::Online));
    assert_eq!(get(&mut p, from, "w", ANY4), some("10.0.0.3", Origin::New), "its own is in use");
    assert_eq!(get(&mut p, from, "v", ANY4), some("10.0.0.2", Origin::New));
    // When they leave, what is not theirs any more is forgotten.
    for _ in 0..2 {
        assert!(p.release(&names(from), &who("y"), ip("10.0.0.1"), 0));
    }
    assert!(p.release(&names(from), &who("x"), ip("192.0.2.1"), 0));
    assert_eq!(p.get("a").unwrap().offline(), 0);
    assert_eq!(get(&mut p, from, "x", "192.0.2.1"), None);
    assert_eq!(get(&mut p, from, "w", ANY4), some("10.0.0.1", Origin::New));
    // An address that is not reserved any more is everybody's.
    p.load(config("a", "10.0.0.1-10.0.0.3", &[("v", "10.0.0.2")])).unwrap();
    p.release(&names(from), &who("w"), ip("10.0.0.1"), 0);
    assert_eq!(get(&mut p, from, "u", ANY4), some("10.0.0.1", Origin::New));
}

#[test]
fn what_one_pool_reserves_another_does_not_lend() {
    let a = config("a", "10.0.0.1-10.0.0.2", &[]);
    let b = config("b", "10.1.0.0/24", &[("carol", "10.0.0.1")]);
    let mut p = pools(&[a, b.clone()]);
    assert_eq!(
        p.common(&b).iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["pools 'b' and 'a' both have 10.0.0.1"]
    );
    assert_eq!(get(&mut p, &["a"], "x", ANY4), some("10.0.0.2", Origin::New));
    assert_eq!(get(&mut p, &["a"], "y", "10.0.0.1"), None);
    assert_eq!(get(&mut p, &["a", "b"], "carol", ANY4), some("10.0.0.1", Origin::New));
    // Two reservations of one address: first come, first served, never twice.
    p.load(config("c", "10.2.0.0/24", &[("dave", "10.0.0.1")])).unwrap();
    assert_eq!(get(&mut p, &["c"], "dave", ANY4), some("10.2.0.1", Origin::New));
    p.release(&names(&["b"]), &who("carol"), ip("10.0.0.1"), 0);
    assert_eq!(get(&mut p, &["c"], "dave", ANY4), some("10.0.0.1", Origin::New));
    assert_eq!(get(&mut p, &["b"], "carol", ANY4), some("10.1.0.1", Origin::New));
    p.unload("a").unwrap_err();
}

#[test]
fn clients_get_whole_prefixes() {
    let mut p = pools(&[config(
        "home",
        "2001:db8::/62/64",
        &[("carol", "2001:db8:0:2::"), ("dave", "2001:db8:9::")],
    )]);
    let from = names(&["home"]);
    let mut next = |name: &str, ask: &str| {
        p.acquire(&from, &who(name), ip(ask), 0).map(|g| (g.address.to_string(), g.prefix))
    };
    assert_eq!(next("x", "::"), Some(("2001:db8::".into(), 64)));
    // An address inside of a prefix asks for the prefix.
    assert_eq!(next("y", "2001:db8:0:3::77"), Some(("2001:db8:0:3::".into(), 64)));
    assert_eq!(next("z", "2001:db8:0:2::1"), Some(("2001:db8:0:1::".into(), 64)));
    assert_eq!(next("w", "::"), None);
    assert_eq!(next("carol", "::"), Some(("2001:db8:0:2::".into(), 64)));
    assert_eq!(next("dave", "::"), Some(("2001:db8:9::".into(), 64)));
    assert_eq!(next("y", "2001:db8:0:3::77"), Some(("2001:db8:0:3::".into(), 64)));
    let rows: Vec<_> = p.leases("home").map(|lease| (lease.address.to_string(), lease.prefix)).collect();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|(_, prefix)| *prefix == 64));
    // Another length over the same addresses could lend the same address twice.
    let error = p.load(config("one", "2001:db8:0:1::/120", &[])).unwrap_err();
    assert!(matches!(error, PoolError::Lengths(_)));
    assert!(
        error.to_string().starts_with("pools 'one' and 'home' both have 2001:db8:0:1::1 - 2001:db8:0:1::fe")
    );
    p.load(config("two", "2001:db8::/61/64", &[])).unwrap();
}

#[test]
fn no_lease_outlives_its_timeout() {
    let timed = |timeout| PoolConfig { timeout, ..config("a", "10.0.0.1-10.0.0.2", &[("r", "10.0.0.9")]) };
    let mut p = pools(&[timed(Some(60))]);
    let from = names(&["a"]);
    let take = |p: &mut Pools, name: &str, now: u64| -> Option<Grant> {
        p.acquire(&from, &who(name), ip(ANY4), now)
    };
    for (name, now) in [("x", 100), ("r", 100), ("y", 110)] {
        let grant = take(&mut p, name, now).unwrap();
        p.release(&names(&["a"]), &who(name), grant.address, now + 10);
    }
    let ends = |p: &Pools| -> Vec<_> {
        p.leases("a").map(|l| (l.identity.to_string(), l.since, l.expires)).collect()
    };
    let r = ("r".to_owned(), 110, None);
    let all = [("x".to_owned(), 110, Some(170)), ("y".to_owned(), 120, Some(180)), r.clone()];
    assert_eq!(ends(&p), all);
    p.expire(169);
    assert_eq!(ends(&p).len(), 3);
    p.expire(170);
    assert_eq!(ends(&p), [("y".to_owned(), 120, Some(180)), r]);
    assert_eq!(
        take(&mut p, "z", 171).unwrap().address,
        ip("10.0.0.1"),
        "what ended goes before what is kept"
    );
    // Coming back begins the time anew.
    let y = take(&mut p, "y", 179).unwrap();
    assert_eq!((y.address, y.origin), (ip("10.0.0.2"), Origin::Offline));
    p.release(&names(&["a"]), &who("y"), y.address, 300);
    p.expire(359);
    assert_eq!(ends(&p)[1].2, Some(360));
    // Another timeout holds for what is there.
    p.load(timed(Some(10))).unwrap();
    p.expire(310);
    assert_eq!(ends(&p).iter().map(|e| e.0.as_str()).collect::<Vec<_>>(), ["z", "r"]);
    p.load(timed(None)).unwrap();
    p.release(&names(&["a"]), &who("z"), ip("10.0.0.1"), 400);
    p.expire(u64::from(u32::MAX));
    assert_eq!(ends(&p)[0], ("z".to_owned(), 400, None));
}

/// A pool whose clients come with ever new names and never return does not grow.
#[test]
fn what_ended_is_given_again() {
    let mut p = pools(&[PoolConfig { timeout: Some(10), ..config("a", "fd00::/64", &[]) }]);
    let from = names(&["a"]);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..1000u64 {
        let name = who(&format!("client{n}"));
        let grant = p.acquire(&from, &name, ip("::"), n).unwrap();
        p.release(&from, &name, grant.address, n);
        seen.insert(grant.address);
    }
    assert!(seen.len() <= 11, "{} addresses used", seen.len());
    assert!(p.get("a").unwrap().offline() <= 10);
}
