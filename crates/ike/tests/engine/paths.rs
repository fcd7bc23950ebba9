//! NAT, ports, fragments, MOBIKE, lost datagrams.
use crate::harness::*;
use ike::Command;
use ike::io::{Ask, Event, Filter};
use policy::connection::Fragmentation;
use policy::{Connection, PeerAddr, Settings};
use std::net::SocketAddr;

fn nat() -> Nat {
    Nat { inside: ip("10.0.0.1"), outside: ip("192.0.2.11"), port_shift: 1000 }
}

fn behind_nat(settings: Settings) -> World {
    let mut w = World::new(road_warrior_with(
        |c| c.local_addrs = vec![PeerAddr::Ip(ip("10.0.0.1"))],
        |_| {},
        settings,
    ));
    w.nat = Some(nat());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    w.assert_agreement();
    w
}

#[test]
fn a_nat_is_found_and_kept_open() {
    let mut w = behind_nat(Settings::default());
    let (a, b) = (&w.nodes[0].engine.list(&all())[0], &w.nodes[1].engine.list(&all())[0]);
    assert!(a.nat_local && !a.nat_remote && !b.nat_local && b.nat_remote);
    assert_eq!(b.remote.port(), 5500);
    assert!(w.nodes[0].installed.values().all(|c| c.encap));
    assert!(w.has_log(0, "local host is behind NAT, sending keep alives"));
    assert!(w.has_log(1, "remote host is behind NAT"));
    let before = w.transcript.len();
    w.advance(61_000);
    let keepalives: Vec<_> = w.transcript[before..].iter().filter(|d| d.bytes == [0xff]).collect();
    assert_eq!(keepalives.len(), 3);
    assert!(keepalives.iter().all(|d| d.local.ip() == ip("10.0.0.1") && d.local.port() == 4500));
}

#[test]
fn a_changed_mapping_is_followed() {
    let mut w = behind_nat(Settings::default());
    w.nat = Some(Nat { port_shift: 2000, ..nat() });
    w.command(0, |id| Command::Rekey {
        id,
        filter: Filter { child_id: Some(1), ..Filter::default() },
        reauth: false,
    });
    w.run();
    assert_eq!(w.nodes[1].engine.list(&all())[0].remote.port(), 6500);
    assert!(w.nodes[1].installed.values().all(|c| c.remote.port() == 6500));
    assert!(w.nodes[1].events.iter().any(|e| matches!(e, Event::IkeUpdate { .. })));
    // ESP moved alone.
    let remote: SocketAddr = "192.0.2.11:7777".parse().unwrap();
    let child = *w.nodes[1].installed.keys().next_back().unwrap();
    let now = w.now;
    w.nodes[1].engine.command(now, Command::Mapping { child, remote });
    w.drain(1);
    assert_eq!(w.nodes[1].engine.list(&all())[0].remote, remote);
}

#[test]
fn encapsulation_is_forced() {
    let w = established(site_to_site_with(|c| c.encap = true, |_| {}, Settings::default()));
    assert!(w.nodes.iter().flat_map(|n| n.installed.values()).all(|c| c.encap));
    assert!(w.nodes[0].engine.list(&all())[0].nat_any);
}

#[test]
fn without_nat_and_mobike_the_port_stays() {
    let off = |c: &mut Connection| c.mobike = false;
    let w = established(site_to_site_with(off, off, Settings::default()));
    let v = &w.nodes[0].engine.list(&all())[0];
    assert_eq!((v.local.port(), v.remote.port()), (500, 500));
    assert!(w.nodes[0].installed.values().all(|c| !c.encap));
}

#[test]
fn messages_are_fragmented_both_ways() {
    let settings = Settings { fragment_size_v4: 300, ..Settings::default() };
    let mut w = World::new(road_warrior_with(|_| {}, |_| {}, settings));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.has_log(0, "splitting IKE message"));
    // Only IKE_SA_INIT may be longer.
    assert!(w.transcript.iter().skip(2).all(|d| d.bytes.len() + 32 <= 300));
    w.assert_agreement();
}

#[test]
fn fragments_arrive_in_any_order_and_more_than_once() {
    let settings = Settings { fragment_size_v4: 300, ..Settings::default() };
    let mut w = World::new(road_warrior_with(|_| {}, |_| {}, settings));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    for _ in 0..20 {
        let batch: Vec<_> = w.wire.drain(..).collect();
        for d in batch.into_iter().rev() {
            w.deliver(d.clone());
            w.deliver(d);
        }
    }
    assert_eq!(w.result(0, id), Some(None));
    w.assert_agreement();
}

#[test]
fn no_fragments_where_they_are_not_wanted() {
    let settings = Settings { fragment_size_v4: 300, ..Settings::default() };
    let w = established(road_warrior_with(|c| c.fragmentation = Fragmentation::No, |_| {}, settings));
    assert!(!w.has_log(0, "splitting") && !w.has_log(1, "splitting"));
}

#[test]
fn the_client_moves() {
    let mut w = established(road_warrior());
    w.nodes[0].paths = vec![(ip("192.0.2.21"), ip("192.0.2.2"))];
    let now = w.now;
    w.nodes[0].engine.command(now, Command::AddressesChanged);
    w.run();
    for (n, other) in [(0, 1), (1, 0)] {
        let v = &w.nodes[n].engine.list(&all())[0];
        let c = w.nodes[n].installed.values().next().unwrap();
        let _ = other;
        assert_eq!(c.local, v.local);
        assert_eq!(c.remote, v.remote);
    }
    assert_eq!(w.nodes[1].engine.list(&all())[0].remote.ip(), ip("192.0.2.21"));
    w.assert_agreement();
    // And nothing changes when nothing changed.
    let sent = w.transcript.len();
    let now = w.now;
    w.nodes[0].engine.command(now, Command::AddressesChanged);
    w.run();
    assert_eq!(w.transcript.len(), sent);
}

#[test]
fn a_client_hears_of_a_changed_mapping_by_its_liveness_checks() {
    let mut w = World::new(road_warrior_with(
        |c| {
            c.local_addrs = vec![PeerAddr::Ip(ip("10.0.0.1"))];
            c.dpd_delay = 10;
        },
        |_| {},
        Settings { keep_alive: 0, ..Settings::default() },
    ));
    w.nat = Some(nat());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.initiate(0, "net");
    w.run();
    // The ports of IKE_SA_INIT were others: the first check only notes.
    w.advance(35_000);
    assert!(w.has_log(0, "[ N(NATD_S_IP) N(NATD_D_IP) ]"));
    let detected = "detected changes in NAT mappings, initiating MOBIKE update";
    assert!(!w.has_log(0, detected));
    w.nat = Some(Nat { port_shift: 2000, ..nat() });
    w.advance(11_000);
    assert!(w.has_log(0, detected));
    assert!(w.has_log(1, "remote endpoint changed from 192.0.2.11[5500] to 192.0.2.11[6500]"));
    assert_eq!(w.nodes[1].installed.values().next().unwrap().remote.port(), 6500);
    w.assert_agreement();
    // Once.
    w.advance(60_000);
    assert_eq!(w.nodes[0].log.iter().filter(|l| l.contains(detected)).count(), 1);
}

#[test]
fn a_fixed_address_does_not_bind_who_moves() {
    for mobike in [true, false] {
        let mut w = established(road_warrior_with(|c| c.mobike = mobike, |_| {}, Settings::default()));
        w.nodes[0].hold = |a| matches!(a, Ask::Resolve { .. });
        let now = w.now;
        w.nodes[0].engine.command(now, Command::AddressesChanged);
        w.run();
        let Some((_, Ask::Resolve { local, .. })) = w.nodes[0].held.pop() else { panic!() };
        let fixed = PeerAddr::Ip(ip("192.0.2.1"));
        if mobike {
            assert_eq!(local, [fixed.clone(), fixed, PeerAddr::Any(None)]);
        } else {
            assert_eq!(local, [fixed]);
        }
    }
}

#[test]
fn a_client_without_path_waits_for_one() {
    let mut w = established(road_warrior_with(|c| c.dpd_delay = 10, |_| {}, Settings::default()));
    w.nodes[0].paths.clear();
    for _ in 0..5 {
        let now = w.now;
        w.nodes[0].engine.command(now, Command::AddressesChanged);
        w.run();
    }
    let told = w.nodes[0].log.iter().filter(|l| l.contains("no path to")).count();
    assert_eq!(told, 1, "an operator hears it once, however often the network changes meanwhile");
    w.advance(600_000);
    assert_eq!(w.nodes[0].engine.len(), 1);
    w.nodes[0].paths = vec![(ip("192.0.2.21"), ip("192.0.2.2"))];
    let now = w.now;
    w.nodes[0].engine.command(now, Command::AddressesChanged);
    w.run();
    assert_eq!(w.nodes[1].engine.list(&all())[0].remote.ip(), ip("192.0.2.21"));
}

#[test]
fn any_single_lost_datagram_is_made_up_for() {
    for lost in 1..=12 {
        let mut w = World::new(road_warrior());
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        w.lose = Box::new(move |n, _| n == lost);
        let id = w.initiate(0, "net");
        w.run();
        w.advance(30_000);
        assert_eq!(w.result(0, id), Some(None), "datagram {lost}");
        w.assert_agreement();
        w.command(0, |id| Command::Rekey {
            id,
            filter: Filter { child_id: Some(1), ..Filter::default() },
            reauth: false,
        });
        w.run();
        w.advance(30_000);
        w.command(1, |id| Command::Rekey { id, filter: all(), reauth: false });
        w.run();
        w.advance(60_000);
        w.assert_agreement();
        let id = w.terminate(0, all());
        w.run();
        w.advance(200_000);
        assert_eq!(w.result(0, id), Some(None), "datagram {lost}");
        assert!(w.nodes.iter().all(|n| n.installed.is_empty()));
    }
}

#[test]
fn a_third_of_all_datagrams_is_lost() {
    for seed in 0..60u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let patient = Settings { retransmit_tries: 25, retransmit_limit: 15, ..Settings::default() };
        let mut w = World::new(road_warrior_with(|c| c.keyingtries = 0, |_| {}, patient));
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        w.lose = Box::new(move |_, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 3 == 0
        });
        let id = w.initiate(0, "net");
        w.run();
        w.advance(600_000);
        assert_eq!(w.result(0, id), Some(None), "seed {seed}");
        for round in 0..3usize {
            w.command(round % 2, |id| Command::Rekey {
                id,
                filter: Filter { child: Some("net".into()), ..Filter::default() },
                reauth: false,
            });
            w.command((round + 1) % 2, |id| Command::Rekey { id, filter: all(), reauth: false });
            w.advance(900_000);
        }
        w.lose = Box::new(|_, _| false);
        w.advance(600_000);
        w.assert_agreement();
        w.terminate(1, all());
        w.advance(600_000);
        w.terminate(0, all());
        w.advance(600_000);
        assert!(
            w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty() && n.leased.is_empty()),
            "seed {seed}"
        );
    }
}

#[test]
fn lost_responses_of_intermediate_exchanges_are_repeated() {
    for lost in 1..=10 {
        let set = |c: &mut Connection| {
            let p = "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke2_ecp384";
            c.proposals = policy::proposal::parse_proposals(wire::iana::ProtocolId::Ike, p).unwrap();
        };
        let mut w = World::new(road_warrior_with(set, set, Settings::default()));
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        w.lose = Box::new(move |n, _| n == lost);
        let id = w.initiate(0, "net");
        w.run();
        w.advance(20_000);
        assert_eq!(w.result(0, id), Some(None), "datagram {lost}");
        w.assert_agreement();
    }
}

#[test]
fn the_last_response_of_a_closed_sa_is_repeated() {
    let mut w = established(road_warrior());
    let sent = w.sent;
    // The response to the delete gets lost.
    w.lose = Box::new(move |n, _| n == sent + 2);
    let id = w.terminate(0, all());
    w.run();
    assert_eq!(w.result(0, id), None);
    assert!(w.nodes[1].engine.is_empty());
    w.advance(5_000);
    assert_eq!(w.result(0, id), Some(None));
}
