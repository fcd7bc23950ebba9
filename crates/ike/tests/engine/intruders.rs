//! Strangers: floods, forgeries, garbage, replays.
use crate::harness::*;
use ike::Datagram;
use ike::io::Event;
use policy::Settings;
use std::net::SocketAddr;

fn counted(w: &World, n: usize, name: &str) -> usize {
    w.nodes[n].events.iter().filter(|e| matches!(e, Event::Count { name: x, .. } if *x == name)).count()
}

fn addr(s: &str) -> SocketAddr {
    s.parse().unwrap()
}

/// First messages of many initiators.
fn first_messages(n: usize) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| {
            let mut w = World::new(road_warrior());
            // Different randomness for each.
            for _ in 0..=i {
                w.initiate(0, "net");
                w.terminate(0, all());
            }
            w.initiate(0, "net");
            w.transcript.last().unwrap().bytes.clone()
        })
        .collect()
}

#[test]
fn a_flood_meets_cookies_and_then_a_wall() {
    let mut w = World::new(road_warrior());
    let messages = first_messages(8);
    for (i, bytes) in messages.iter().enumerate() {
        let d = Datagram {
            local: addr("192.0.2.2:500"),
            remote: SocketAddr::new(ip("192.0.2.1"), 2000 + u16::try_from(i).unwrap()),
            bytes: bytes.clone(),
            dscp: 0,
        };
        w.inject(1, d);
    }
    // Three without cookie, the rest are asked for one.
    assert_eq!(w.nodes[1].engine.half_open(), 3);
    w.wire.clear();
    // An honest initiator behind the same address returns the cookie.
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.has_log(0, "N(COOKIE)"));
    // Half-open ones are forgotten in time.
    w.advance(31_000);
    assert_eq!(w.nodes[1].engine.half_open(), 0);
    assert_eq!(w.nodes[1].engine.len(), 1);
}

#[test]
fn no_cookie_is_withheld_in_a_flood() {
    let mut w = World::new(road_warrior());
    let bytes = first_messages(1).remove(0);
    let local = addr("192.0.2.2:500");
    for port in 2000..2500 {
        let remote = SocketAddr::new(ip("192.0.2.1"), port);
        w.inject(1, Datagram { local, remote, bytes: bytes.clone(), dscp: 0 });
    }
    assert_eq!(w.nodes[1].engine.half_open(), 3);
    let cookies = w.transcript.iter().filter(|d| d.local == local && d.bytes.get(16) == Some(&41));
    assert_eq!(cookies.count(), 497);
    let said = |e: &&Event| matches!(e, Event::Log { text, .. } if text.starts_with("sending packet"));
    assert!(w.nodes[1].events.iter().filter(said).count() <= 203);
}

#[test]
fn retransmitted_first_messages_make_one_sa() {
    let mut w = World::new(road_warrior());
    let bytes = first_messages(1).remove(0);
    for _ in 0..10 {
        let d = Datagram {
            local: addr("192.0.2.2:500"),
            remote: addr("192.0.2.1:500"),
            bytes: bytes.clone(),
            dscp: 0,
        };
        w.inject(1, d);
    }
    assert_eq!(w.nodes[1].engine.len(), 1);
    let answers: std::collections::BTreeSet<Vec<u8>> = w.transcript.iter().map(|d| d.bytes.clone()).collect();
    assert_eq!((w.transcript.len(), answers.len()), (10, 1));
}

#[test]
fn replayed_requests_get_the_same_response_and_change_nothing() {
    let mut w = established(road_warrior());
    let requests: Vec<_> = w.transcript.iter().filter(|d| d.local.ip() == ip("192.0.2.1")).cloned().collect();
    let (events, sas) = (w.nodes[1].installed.len(), w.nodes[1].engine.len());
    let before = w.transcript.len();
    for d in &requests[1..] {
        let d = Datagram { local: d.remote, remote: d.local, ..d.clone() };
        w.inject(1, d);
    }
    assert_eq!((w.nodes[1].installed.len(), w.nodes[1].engine.len()), (events, sas));
    let again = &w.transcript[before..];
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].bytes, w.transcript[before - 1].bytes);
}

#[test]
fn garbage_costs_a_counter() {
    let mut w = established(road_warrior());
    let template = w.transcript.iter().rev().find(|d| d.local.ip() == ip("192.0.2.1")).unwrap().clone();
    let mut state = 7u64;
    for i in 0..3000usize {
        let mut bytes = template.bytes.clone();
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let at = usize::try_from(state >> 33).unwrap() % bytes.len();
        match i % 4 {
            0 => bytes[at] ^= 1 << (i % 8),
            1 => bytes.truncate(at),
            2 => bytes.extend(vec![0; at]),
            _ => bytes.iter_mut().skip(28).for_each(|b| *b ^= 0x55),
        }
        let d = Datagram { local: template.remote, remote: template.local, bytes, dscp: 0 };
        w.inject(1, d);
    }
    assert!(counted(&w, 1, "invalid") > 1000);
    assert_eq!(w.nodes[1].engine.list(&all())[0].state, "ESTABLISHED");
    assert_eq!(w.nodes[1].installed.len(), 1);
    // The log is bounded.
    assert!(w.nodes[1].log.len() < 1500);
}

#[test]
fn unknown_spis_cost_another() {
    let mut w = established(road_warrior());
    let mut d = w.transcript.iter().rev().find(|d| d.local.ip() == ip("192.0.2.1")).unwrap().clone();
    d.bytes[8] ^= 0xff;
    let d = Datagram { local: d.remote, remote: d.local, ..d };
    let sent = w.transcript.len();
    w.inject(1, d);
    assert_eq!(counted(&w, 1, "invalid-spi"), 1);
    assert_eq!(w.transcript.len(), sent);
}

#[test]
fn a_higher_major_version_is_answered_with_ours() {
    let mut w = World::new(road_warrior());
    let mut bytes = first_messages(1).remove(0);
    bytes[17] = 0x30;
    for _ in 0..1000 {
        let d = Datagram {
            local: addr("192.0.2.2:500"),
            remote: addr("192.0.2.1:500"),
            bytes: bytes.clone(),
            dscp: 0,
        };
        w.inject(1, d);
    }
    assert!(w.nodes[1].engine.is_empty());
    assert!((1..=200).contains(&w.transcript.len()));
    assert_eq!(w.transcript[0].bytes[17], 0x20);
}

#[test]
fn forged_errors_do_not_stop_an_established_sa() {
    let mut w = established(road_warrior());
    // An unprotected INFORMATIONAL with INVALID_SYNTAX.
    let template = w.transcript.iter().rev().find(|d| d.local.ip() == ip("192.0.2.1")).unwrap().clone();
    let mut bytes = template.bytes[..28].to_vec();
    bytes[16] = 41;
    bytes[18] = 37;
    bytes[23] = 2;
    bytes.extend([0, 0, 0, 8, 0, 0, 0, 7]);
    bytes[27] = 36;
    bytes[26] = 0;
    let d = Datagram { local: template.remote, remote: template.local, bytes, dscp: 0 };
    w.inject(1, d);
    assert_eq!(w.nodes[1].engine.list(&all())[0].state, "ESTABLISHED");
    assert_eq!(counted(&w, 1, "invalid"), 1);
}

#[test]
fn an_initiator_does_not_restart_for_ever() {
    // A man in the middle answers every request with a fresh cookie.
    let mut w = World::new(road_warrior());
    let id = w.initiate(0, "net");
    for i in 0..50u8 {
        let Some(request) = w.wire.pop_front() else { break };
        let mut bytes = request.bytes[..28].to_vec();
        bytes[16] = 41;
        bytes[19] = 0x20;
        bytes.extend([0, 0, 0, 16, 0, 0, 0x40, 0x06, i, 2, 3, 4, 5, 6, 7, 8]);
        bytes[24..28].copy_from_slice(&44u32.to_be_bytes());
        let d = Datagram { local: request.local, remote: request.remote, bytes, dscp: 0 };
        w.inject(0, d);
    }
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.transcript.len() < 10);
}

#[test]
fn limits_hold_without_dos_protection_settings() {
    let settings = Settings { init_limit_half_open: 2, dos_protection: false, ..Settings::default() };
    let mut w = World::new(road_warrior_with(|_| {}, |_| {}, settings));
    for (i, bytes) in first_messages(5).iter().enumerate() {
        let d = Datagram {
            local: addr("192.0.2.2:500"),
            remote: SocketAddr::new(ip("192.0.2.1"), 2000 + u16::try_from(i).unwrap()),
            bytes: bytes.clone(),
            dscp: 0,
        };
        w.inject(1, d);
    }
    assert_eq!(w.nodes[1].engine.half_open(), 2);
}
