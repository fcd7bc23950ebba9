//! Rekeying of CHILD_SAs and IKE_SAs from either side, and from both at once.
use crate::harness::*;
use ike::Command;
use ike::io::{Event, Filter};
use policy::{Connection, Settings};

fn child_filter() -> Filter {
    Filter { child: Some("net".to_owned()), ..Filter::default() }
}

fn rekey(w: &mut World, n: usize, filter: Filter) {
    w.command(n, |id| Command::Rekey { id, filter, reauth: false });
}

fn spis(w: &World) -> Vec<u32> {
    w.nodes[0].installed.values().map(|c| c.spi_in).collect()
}

fn one_each(w: &World) {
    for (i, n) in w.nodes.iter().enumerate() {
        let list = n.engine.list(&all());
        if list.len() != 1 || list[0].children.len() != 1 {
            w.dump();
        }
        assert_eq!(list.len(), 1, "IKE_SAs of {i}");
        assert_eq!(list[0].state, "ESTABLISHED");
        assert_eq!(list[0].children.len(), 1, "CHILD_SAs of {i}");
        assert_eq!(list[0].children[0].state, "INSTALLED");
        let c = n.installed.values().next().unwrap();
        assert!(!c.inbound_only, "outbound half of {i} is in use");
    }
    w.assert_agreement();
}

#[test]
fn a_child_is_rekeyed_by_either_side() {
    for n in 0..2 {
        let mut w = established(road_warrior());
        let before = spis(&w);
        let reqid = w.nodes[0].installed.values().next().unwrap().reqid;
        rekey(&mut w, n, child_filter());
        w.run();
        // Both generations, until the old one's packets have arrived.
        assert_eq!(w.nodes[n].installed.len(), 2);
        w.advance(6_000);
        one_each(&w);
        assert_ne!(spis(&w), before);
        assert_eq!(w.nodes[0].installed.values().next().unwrap().reqid, reqid);
        let told = w.nodes[n].events.iter().filter(|e| matches!(e, Event::ChildRekey { .. })).count();
        assert_eq!(told, 1);
        assert!(!w.nodes[n].events.iter().any(|e| matches!(e, Event::ChildUpDown { up: false, .. })));
    }
}

#[test]
fn the_responder_sends_on_the_new_child_only_after_the_switch() {
    let mut w = established(road_warrior());
    rekey(&mut w, 0, child_filter());
    // The response with the new SA is on its way: installed inbound only on the responder.
    w.drain(0);
    let request = w.wire.pop_front().unwrap();
    w.deliver(request);
    let new = w.nodes[1].installed.values().max_by_key(|c| c.id).unwrap();
    assert!(new.inbound_only);
    assert_eq!(w.nodes[1].engine.list(&all())[0].children.len(), 2);
    w.run();
    w.advance(6_000);
    one_each(&w);
}

#[test]
fn pfs_is_done_and_its_method_corrected() {
    let esp = |s: &str| policy::proposal::parse_proposals(wire::iana::ProtocolId::Esp, s).unwrap();
    let with = |c: &mut Connection, s: &str| {
        let mut child = (*c.children[0]).clone();
        child.proposals = esp(s);
        c.children = vec![child.into()];
    };
    let mut w = established(road_warrior_with(
        |c| with(c, "aes128gcm16-x25519-ecp256"),
        |c| with(c, "aes128gcm16-ecp256"),
        Settings::default(),
    ));
    rekey(&mut w, 0, child_filter());
    w.run();
    w.advance(6_000);
    one_each(&w);
    assert_eq!(w.nodes[0].engine.list(&all())[0].children[0].ke, wire::iana::Ke::Ecp256);
    assert!(w.has_log(0, "it requested ECP_256"));
}

#[test]
fn both_sides_rekey_the_same_child_at_once() {
    for seed in 0..8 {
        let mut w = established(road_warrior());
        // Different randomness each time, so that either side wins now and then.
        for _ in 0..seed {
            w.initiate(0, "none");
            rekey(&mut w, 0, child_filter());
            w.run();
            w.advance(6_000);
        }
        rekey(&mut w, 0, child_filter());
        rekey(&mut w, 1, child_filter());
        w.run();
        w.advance(20_000);
        one_each(&w);
    }
}

#[test]
fn both_sides_rekey_the_child_and_one_request_is_late() {
    for late in 0..2 {
        let mut w = established(road_warrior());
        rekey(&mut w, 0, child_filter());
        rekey(&mut w, 1, child_filter());
        w.drain(0);
        w.drain(1);
        // Only one of the two requests arrives for now; the other is retransmitted later.
        let keep: Vec<_> = w.wire.drain(..).collect();
        assert_eq!(keep.len(), 2);
        let d = keep[1 - late].clone();
        w.deliver(d);
        w.run();
        w.advance(60_000);
        one_each(&w);
    }
}

#[test]
fn the_ike_sa_is_rekeyed_by_either_side() {
    for n in 0..2 {
        let mut w = established(road_warrior());
        let before = w.nodes[0].engine.list(&all())[0].spi_i;
        rekey(&mut w, n, all());
        w.run();
        w.advance(10_000);
        one_each(&w);
        let v = &w.nodes[0].engine.list(&all())[0];
        assert_ne!(v.spi_i, before);
        assert_eq!(v.unique_id, 2);
        assert_eq!(v.initiator, n == 0);
        assert_eq!(v.local_vips.len(), 2);
        assert!(w.has_log(n, "rekeyed between"));
        assert!(w.nodes[n].events.iter().any(|e| matches!(e, Event::IkeRekey { .. })));
        assert!(!w.nodes[n].events.iter().any(|e| matches!(e, Event::IkeUpDown { up: false, .. })));
        // And the successor works in both directions.
        rekey(&mut w, 0, child_filter());
        w.run();
        rekey(&mut w, 1, child_filter());
        w.advance(20_000);
        one_each(&w);
        let id = w.terminate(1 - n, all());
        w.run();
        assert_eq!(w.result(1 - n, id), Some(None));
        assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty() && n.vips.is_empty()));
    }
}

#[test]
fn both_sides_rekey_the_ike_sa_at_once() {
    for seed in 0..8 {
        let mut w = established(road_warrior());
        for _ in 0..seed {
            rekey(&mut w, 0, child_filter());
            w.run();
            w.advance(6_000);
        }
        rekey(&mut w, 0, all());
        rekey(&mut w, 1, all());
        w.run();
        w.advance(70_000);
        one_each(&w);
    }
}

#[test]
fn both_sides_rekey_the_ike_sa_and_one_request_is_late() {
    for late in 0..2 {
        let mut w = established(road_warrior());
        rekey(&mut w, 0, all());
        rekey(&mut w, 1, all());
        w.drain(0);
        w.drain(1);
        let keep: Vec<_> = w.wire.drain(..).collect();
        assert_eq!(keep.len(), 2);
        let d = keep[1 - late].clone();
        w.deliver(d);
        w.run();
        w.advance(120_000);
        one_each(&w);
    }
}

#[test]
fn ike_and_child_are_rekeyed_by_different_sides_at_once() {
    for flip in 0..2 {
        let mut w = established(road_warrior());
        rekey(&mut w, flip, all());
        rekey(&mut w, 1 - flip, child_filter());
        w.run();
        w.advance(60_000);
        one_each(&w);
    }
}

#[test]
fn everything_is_rekeyed_on_time() {
    let lively = |c: &mut Connection| {
        c.rekey_time = 300;
        c.over_time = 60;
        c.rand_time = 30;
        let mut child = (*c.children[0]).clone();
        child.lifetime.time = policy::lifetime::Limit { rekey: 100, life: 130, rand: 20 };
        c.children = vec![child.into()];
    };
    let mut w = established(road_warrior_with(lively, lively, Settings::default()));
    w.advance(3_600_000);
    // Whatever is under way settles in the gap after.
    w.advance(8_000);
    let rekeys = |e: &Event| matches!(e, Event::IkeRekey { .. } | Event::ChildRekey { .. });
    assert!(w.nodes[0].events.iter().filter(|e| rekeys(e)).count() > 30);
    assert!(
        !w.nodes[0]
            .events
            .iter()
            .any(|e| matches!(e, Event::ChildUpDown { up: false, .. } | Event::IkeUpDown { up: false, .. }))
    );
    assert_eq!(w.nodes[0].engine.list(&all()).iter().filter(|v| v.state == "ESTABLISHED").count(), 1);
    assert!(w.nodes[0].installed.len() <= 3);
    w.assert_agreement();
}

#[test]
fn bytes_and_packets_expire_too() {
    let mut w = established(road_warrior());
    let child = *w.nodes[0].installed.keys().next().unwrap();
    let now = w.now;
    w.nodes[0].engine.command(now, Command::Expire { child, hard: false });
    w.run();
    w.advance(6_000);
    one_each(&w);
    assert!(w.nodes[0].installed.keys().all(|c| *c != child));
    let child = *w.nodes[0].installed.keys().next().unwrap();
    let now = w.now;
    w.nodes[0].engine.command(now, Command::Expire { child, hard: true });
    w.run();
    assert!(w.nodes.iter().all(|n| n.installed.is_empty()));
    assert_eq!(w.nodes[0].engine.len(), 1);
}

#[test]
fn reauthentication_makes_before_it_breaks() {
    let mut w = established(road_warrior_with(|c| c.reauth_time = 1000, |_| {}, Settings::default()));
    w.nodes[1].pool = [ip("10.3.0.2"), ip("fec3::2")].into();
    w.advance(1_100_000);
    let v = w.nodes[0].engine.list(&all());
    assert_eq!(v.len(), 1);
    assert_eq!(v[0].children.len(), 1);
    assert!(w.has_log(0, "reauthenticating IKE_SA home[1]"));
    w.assert_agreement();
    // It asked for what it has, and has it still.
    assert!(
        w.has_log(1, "peer requested virtual IP %any") && w.has_log(1, "peer requested virtual IP 10.3.0.1")
    );
    assert_eq!(w.nodes[1].leased, [ip("10.3.0.1"), ip("fec3::1")]);
    assert_eq!(w.nodes[0].vips, [ip("10.3.0.1"), ip("fec3::1")]);
}

#[test]
fn a_successor_gets_another_address_where_it_must() {
    // The gateway has forgotten, say by a restart: what is asked for is a wish.
    let mut w = established(road_warrior_with(|c| c.reauth_time = 1000, |_| {}, Settings::default()));
    w.nodes[1].leased.clear();
    w.nodes[1].pool = [ip("10.3.0.2"), ip("fec3::2")].into();
    w.nodes[1].forgetful = true;
    w.advance(1_100_000);
    assert_eq!(w.nodes[0].engine.list(&all()).len(), 1);
    assert_eq!(w.nodes[0].vips, [ip("10.3.0.2"), ip("fec3::2")]);
    w.assert_agreement();
    // An address that the connection fixes stays fixed.
    let fixed = |c: &mut Connection| {
        c.reauth_time = 1000;
        c.vips = ["10.3.0.77", "::"].map(|v| v.parse().unwrap()).to_vec();
    };
    let mut w = established(road_warrior_with(fixed, |_| {}, Settings::default()));
    w.advance(1_100_000);
    assert_eq!(w.nodes[1].log.iter().filter(|l| l.contains("virtual IP 10.3.0.77")).count(), 2);
    assert!(w.has_log(1, "peer requested virtual IP fec3::1"));
}

#[test]
fn the_earlier_of_two_reauthentications_counts() {
    let w = established(road_warrior_with(
        |c| (c.reauth_time, c.over_time) = (3600, 10),
        |c| (c.reauth_time, c.rand_time) = (30, 0),
        Settings::default(),
    ));
    assert!(w.has_log(0, "received AUTH_LIFETIME of 30s, scheduling reauthentication in 20s"));
    assert!(w.has_log(0, "reauthentication already scheduled in 20s"));
    assert!(w.has_log(0, "maximum IKE_SA lifetime 30s"));
    let w = established(road_warrior_with(
        |c| (c.reauth_time, c.rand_time, c.over_time) = (20, 0, 10),
        |c| (c.reauth_time, c.rand_time) = (3600, 0),
        Settings::default(),
    ));
    assert!(w.has_log(0, "received AUTH_LIFETIME of 3600s, scheduling reauthentication in 3590s"));
    assert!(w.has_log(0, "scheduling reauthentication in 20s"));
    assert!(!w.has_log(0, "already scheduled"));
    assert!(w.has_log(0, "maximum IKE_SA lifetime 30s"));
}

#[test]
fn reauthentication_breaks_before_it_makes() {
    let settings = Settings { make_before_break: false, ..Settings::default() };
    let mut w = established(road_warrior_with(|c| c.reauth_time = 1000, |_| {}, settings));
    w.advance(1_100_000);
    let v = w.nodes[0].engine.list(&all());
    assert_eq!((v.len(), v[0].children.len()), (1, 1));
    w.assert_agreement();
}

#[test]
fn the_same_virtual_ip_survives_reauthentication() {
    let mut w = established(road_warrior_with(|c| c.reauth_time = 1000, |_| {}, Settings::default()));
    // The pool knows its client and gives the same addresses again.
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.advance(1_100_000);
    assert_eq!(w.nodes[0].engine.list(&all()).len(), 1);
    assert_eq!(w.nodes[0].vips, [ip("10.3.0.1"), ip("fec3::1")]);
    assert_eq!(w.nodes[1].leased, [ip("10.3.0.1"), ip("fec3::1")]);
    w.terminate(0, all());
    w.run();
    assert!(w.nodes[1].leased.is_empty());
}
