//! The outbound policy table against a slow model, and its answers in the cases operators meet.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use esp::{Flow, Spd, Target};
use policy::Selector;
use proptest::prelude::*;

fn net(s: &str) -> Selector {
    Selector::subnet(s.parse().unwrap())
}

fn flow(local: &str, remote: &str, protocol: u8, ports: Option<(u16, u16)>) -> Flow {
    Flow { local: local.parse().unwrap(), remote: remote.parse().unwrap(), protocol, ports }
}

fn hit(spd: &Spd, flow: &Flow) -> Option<u32> {
    spd.lookup(flow, |t| match t {
        Target::Trap(id) => *id,
        Target::Pass => 1000,
        Target::Drop => 2000,
        Target::Protect(sa) => sa.child,
    })
}

#[test]
fn the_narrower_policy_wins() {
    let spd = Spd::default();
    spd.insert(1, 0, &[net("0.0.0.0/0")], &[net("0.0.0.0/0")], &Target::Trap(1));
    spd.insert(2, 0, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")], &Target::Trap(2));
    spd.insert(3, 0, &[net("10.0.0.0/8")], &[net("10.1.0.0/16").restricted(6, (443, 443))], &Target::Pass);
    let tcp = |port| flow("10.9.9.9", "10.1.2.3", 6, Some((5000, port)));
    assert_eq!(hit(&spd, &tcp(80)), Some(2));
    assert_eq!(hit(&spd, &tcp(443)), Some(1000));
    assert_eq!(hit(&spd, &flow("10.9.9.9", "10.1.2.3", 6, None)), Some(2), "a fragment has no port");
    assert_eq!(hit(&spd, &flow("172.16.0.1", "10.1.2.3", 6, Some((1, 2)))), Some(1));
    assert_eq!(hit(&spd, &flow("fd00::1", "fd00::2", 6, Some((1, 2)))), None);
    let gone = || spd.remove(2, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")]);
    assert!(gone() && !gone());
    assert_eq!(hit(&spd, &tcp(80)), Some(1));
}

#[test]
fn shunts_stand_before_and_behind_tunnels() {
    let spd = Spd::default();
    spd.insert(1, 0, &[net("10.0.0.1/32")], &[net("192.168.0.0/16")], &Target::Trap(1));
    spd.insert(2, 0, &[net("0.0.0.0/0")], &[net("192.168.1.0/24")], &Target::Pass);
    spd.insert(3, 0, &[net("10.0.0.1/32")], &[net("192.168.7.7/32")], &Target::Drop);
    spd.insert(4, 0, &[net("0.0.0.0/0")], &[net("0.0.0.0/0")], &Target::Drop);
    let to = |remote| hit(&spd, &flow("10.0.0.1", remote, 17, Some((1, 2))));
    assert_eq!(to("192.168.1.5"), Some(1000), "a pass shunt comes before a narrower tunnel");
    assert_eq!(to("192.168.7.7"), Some(1), "a drop shunt comes after every tunnel");
    assert_eq!(to("198.51.100.1"), Some(2000));
}

#[test]
fn of_equals_the_newest_serves() {
    let spd = Spd::default();
    for id in [1, 2] {
        spd.insert(id, 0, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")], &Target::Trap(id));
    }
    let to = || hit(&spd, &flow("10.0.0.1", "10.1.0.1", 17, None));
    assert_eq!(to(), Some(2));
    assert!(!spd.remove(2, &[net("10.0.0.0/8")], &[net("10.2.0.0/16")]), "not between these");
    assert!(spd.remove(2, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")]));
    assert_eq!(to(), Some(1));
}

#[test]
fn a_set_priority_comes_before_length() {
    let spd = Spd::default();
    spd.insert(1, 0, &[net("10.0.0.1/32")], &[net("10.0.0.2/32")], &Target::Trap(1));
    spd.insert(2, 10, &[net("0.0.0.0/0")], &[net("0.0.0.0/0")], &Target::Drop);
    assert_eq!(hit(&spd, &flow("10.0.0.1", "10.0.0.2", 1, None)), Some(2000));
}

fn selector() -> impl Strategy<Value = Selector> {
    (
        0u32..64,
        0u32..16,
        prop::sample::select(vec![0u8, 6, 17]),
        prop::sample::select(vec![(0u16, 65535u16), (80, 80), (0, 100)]),
    )
        .prop_map(|(start, len, protocol, ports)| {
            let ports = if protocol == 0 { (0, 65535) } else { ports };
            let address = |n: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into();
            Selector { protocol, ports, start: address(start), end: address(start + len) }
        })
}

proptest! {
    /// The table finds a policy exactly when one of them matches, and never one that does not.
    #[test]
    fn agrees_with_trying_them_all(policies in prop::collection::vec((selector(), selector()), 0..30),
                                   flows in prop::collection::vec((0u32..80, 0u32..80, prop::sample::select(vec![6u8, 17, 1]), 0u16..120), 1..20),
                                   gone in 0usize..30) {
        let spd = Spd::default();
        for (id, (l, r)) in (0u32..).zip(&policies) {
            spd.insert(id, 0, &[*l], &[*r], &Target::Trap(id));
        }
        if let Some((l, r)) = policies.get(gone) {
            spd.remove(u32::try_from(gone).unwrap(), &[*l], &[*r]);
        }
        let gone = u32::try_from(gone).unwrap();
        for (l, r, protocol, port) in flows {
            let address = |n: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into();
            let flow = Flow { local: address(l), remote: address(r), protocol, ports: Some((port, port)) };
            let side = |s: &Selector, a| {
                s.contains_address(a) && (s.protocol == 0 || s.protocol == protocol) && s.ports.0 <= port && port <= s.ports.1
            };
            let matching: Vec<u32> = (0u32..).zip(&policies)
                .filter(|(id, (l, r))| *id != gone && side(l, flow.local) && side(r, flow.remote))
                .map(|(id, _)| id).collect();
            match hit(&spd, &flow) {
                None => prop_assert!(matching.is_empty(), "{:?} should match {:?}", flow, matching),
                Some(id) => {
                    // The most address bits in the smallest prefixes, then protocol and ports, then the newest.
                    let side = |s: &Selector| {
                        let (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) = (s.start, s.end) else { panic!() };
                        let bits = (a.to_bits() ^ b.to_bits()).leading_zeros();
                        512 * bits + 64 * u32::from(s.ports != (0, 65535))
                    };
                    let best = matching.iter().max_by_key(|id| {
                        let (l, r) = &policies[**id as usize];
                        (side(l) + side(r) + 256 * u32::from(l.protocol != 0 || r.protocol != 0), **id)
                    });
                    prop_assert_eq!(Some(&id), best);
                }
            }
        }
    }
}

/// Whoever remembers answers until the generation changes never gives a stale one.
#[test]
fn a_change_is_a_new_generation() {
    let spd = Spd::default();
    let mut seen = std::collections::BTreeSet::new();
    assert!(seen.insert(spd.generation()));
    spd.insert(1, 0, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")], &Target::Pass);
    assert!(seen.insert(spd.generation()));
    spd.insert(2, 0, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")], &Target::Drop);
    assert!(seen.insert(spd.generation()));
    let gone = || spd.remove(1, &[net("10.0.0.0/8")], &[net("10.1.0.0/16")]);
    assert!(gone());
    assert!(seen.insert(spd.generation()));
    assert!(!gone());
    assert!(!seen.insert(spd.generation()), "nothing changed");
}

/// Many policies, each with its own host or all behind one prefix, stay quick to add, find and remove: a table that
/// copied or searched all of them at each step would need minutes here.
#[test]
fn many_policies_are_no_burden() {
    for shared_remote in [false, true] {
        let spd = Spd::default();
        let host = |n: u32| Selector::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into());
        let everything = Selector::everything(true);
        let sides = |n: u32| if shared_remote { (host(n), everything) } else { (everything, host(n)) };
        for n in 0..20_000 {
            let (local, remote) = sides(n);
            spd.insert(n, 0, &[local], &[remote], &Target::Trap(n));
        }
        for n in (0..20_000).step_by(101) {
            let (local, remote) = sides(n);
            let flow = Flow { local: local.start, remote: remote.start, protocol: 17, ports: Some((1, 2)) };
            assert_eq!(hit(&spd, &flow), Some(n));
        }
        for n in 0..20_000 {
            let (local, remote) = sides(n);
            assert!(spd.remove(n, &[local], &[remote]));
        }
        assert_eq!(hit(&spd, &flow("10.0.0.1", "10.0.0.1", 17, None)), None);
    }
}
