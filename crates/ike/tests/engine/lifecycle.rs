//! Dead peers, actions, traps, reloads, uniqueness, shutdown.
use crate::harness::*;
use ike::io::{Event, Filter, StartActions};
use ike::{Ask, Command};
use policy::connection::Unique;
use policy::{Action, Connection, Settings};
use std::sync::Arc;

fn action(c: &mut Connection, f: impl FnOnce(&mut policy::Child)) {
    let mut child = (*c.children[0]).clone();
    f(&mut child);
    c.children = vec![child.into()];
}

const START: Action = Action { trap: false, start: true };
const TRAP: Action = Action { trap: true, start: false };

#[test]
fn a_dead_peer_is_noticed() {
    let mut w = established(road_warrior_with(|c| c.dpd_delay = 30, |_| {}, Settings::default()));
    w.advance(31_000);
    assert!(w.has_log(0, "sending DPD request"));
    assert_eq!(w.nodes[0].engine.len(), 1);
    w.lose = Box::new(|_, _| true);
    w.advance(300_000);
    assert!(w.has_log(0, "giving up after 5 retransmits"));
    assert!(w.nodes[0].engine.is_empty() && w.nodes[0].installed.is_empty() && w.nodes[0].vips.is_empty());
    assert!(w.nodes[0].events.iter().any(|e| matches!(e, Event::IkeUpDown { up: false, .. })));
}

#[test]
fn traffic_spares_the_liveness_check() {
    let mut w = established(road_warrior_with(|c| c.dpd_delay = 30, |_| {}, Settings::default()));
    let child = *w.nodes[0].installed.keys().next().unwrap();
    for i in 1..10u64 {
        w.advance(20_000);
        let usage_in = policy::sa::Usage { bytes: 100 * i, packets: i, last: Some(w.now.mono) };
        let now = w.now;
        w.nodes[0].engine.command(now, Command::Traffic { child, usage_in, usage_out: Default::default() });
        w.drain(0);
    }
    assert!(!w.has_log(0, "sending DPD request"));
    assert_eq!(w.nodes[0].engine.list(&all())[0].children[0].usage_in.packets, 9);
}

#[test]
fn dpd_action_restart_comes_back() {
    let set = |c: &mut Connection| {
        c.dpd_delay = 30;
        c.keyingtries = 0;
        action(c, |c| c.dpd_action = START);
    };
    let mut w = established(road_warrior_with(set, |_| {}, Settings::default()));
    w.lose = Box::new(|_, _| true);
    w.advance(300_000);
    w.lose = Box::new(|_, _| false);
    w.nodes[1].pool = [ip("10.3.0.7"), ip("fec3::7")].into();
    w.advance(300_000);
    let v = w.nodes[0].engine.list(&all());
    assert_eq!(v.len(), 1);
    assert_eq!(v[0].children.len(), 1);
    // INITIAL_CONTACT has cleared the gateway.
    assert_eq!(w.nodes[1].engine.len(), 1);
    w.assert_agreement();
}

#[test]
fn dpd_action_trap_waits_for_traffic() {
    let set = |c: &mut Connection| {
        c.dpd_delay = 30;
        action(c, |c| c.dpd_action = TRAP);
    };
    let mut w = established(site_to_site_with(set, |_| {}, Settings::default()));
    w.lose = Box::new(|_, _| true);
    w.advance(300_000);
    assert!(w.nodes[0].engine.is_empty());
    assert_eq!(w.nodes[0].policies.len(), 1);
}

#[test]
fn close_action_restarts_when_the_peer_closes() {
    let set = |c: &mut Connection| action(c, |c| c.close_action = START);
    let mut w = established(road_warrior_with(set, |_| {}, Settings::default()));
    w.terminate(1, all());
    w.run();
    w.advance(1_000);
    assert_eq!(w.nodes[0].engine.list(&all())[0].unique_id, 2);
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.assert_agreement();
    // A child alone comes back on the same IKE_SA.
    w.terminate(1, Filter { child: Some("net".into()), ..Filter::default() });
    w.run();
    w.advance(1_000);
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.assert_agreement();
}

#[test]
fn a_trap_brings_its_child_up() {
    let mut w = World::new(site_to_site());
    let id = w.command(0, |id| Command::Install { id, ike: None, child: "net".into() });
    assert_eq!(w.result(0, id), Some(None));
    let trap = w.nodes[0].engine.policies()[0].clone();
    assert_eq!(w.nodes[0].policies.len(), 1);
    let sel = |s: &str| policy::Selector::host(ip(s));
    let now = w.now;
    for _ in 0..5 {
        let packet = Some((sel("10.2.0.5"), sel("10.1.0.5")));
        w.nodes[0].engine.command(now, Command::Acquire { trap: trap.id, packet });
    }
    w.run();
    assert_eq!(w.nodes[0].engine.len(), 1);
    assert_eq!(w.nodes[0].installed.len(), 1);
    assert_eq!(w.nodes[0].installed.values().next().unwrap().reqid, trap.reqid);
    w.assert_agreement();
    let id = w.command(0, |id| Command::Uninstall { id, ike: None, child: "net".into() });
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.nodes[0].policies.is_empty());
}

#[test]
fn start_actions_run_at_load_and_are_undone() {
    let set = |c: &mut Connection| action(c, |c| c.start_action = Action { trap: true, start: true });
    let snapshots = site_to_site_with(set, |_| {}, Settings::default());
    let mut w = World::new(snapshots.clone());
    let run = StartActions { run: vec!["gw".into()], undo: vec![] };
    let now = w.now;
    w.nodes[0]
        .engine
        .command(now, Command::Reload { snapshot: Arc::clone(&snapshots[0]), start_actions: run });
    w.run();
    assert_eq!(w.nodes[0].installed.len(), 1);
    assert_eq!(w.nodes[0].policies.len(), 1);
    let mut empty = (*snapshots[0]).clone();
    empty.connections.clear();
    let undo = StartActions { run: vec![], undo: vec!["gw".into()] };
    let now = w.now;
    w.nodes[0].engine.command(now, Command::Reload { snapshot: Arc::new(empty), start_actions: undo });
    w.run();
    assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty()));
    assert!(w.nodes[0].policies.is_empty());
}

#[test]
fn a_new_contact_clears_the_old() {
    let mut w = established(road_warrior());
    // The client restarts and has forgotten everything.
    let snapshot = w.nodes[0].engine.snapshot();
    let fresh = World::new(vec![snapshot]);
    w.nodes[0].engine = fresh.nodes.into_iter().next().unwrap().engine;
    w.nodes[0].installed.clear();
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert_eq!(w.nodes[1].engine.len(), 1);
    // The lease was back in time: the same addresses again.
    assert_eq!(w.nodes[1].engine.list(&all())[0].remote_vips, [ip("10.3.0.1"), ip("fec3::1")]);
    w.assert_agreement();
}

#[test]
fn unique_keep_refuses_and_replace_replaces() {
    for (unique, survivors) in [(Unique::Keep, 1usize), (Unique::Replace, 1), (Unique::Never, 2)] {
        let mut snapshots =
            road_warrior_with(|c| c.unique = Unique::Never, |c| c.unique = unique, Settings::default());
        let settings = Settings { reuse_ikesa: false, ..Settings::default() };
        let mut client = (*snapshots[0]).clone();
        client.settings = Arc::new(settings);
        snapshots[0] = Arc::new(client);
        let mut w = established(snapshots);
        w.nodes[1].pool = [ip("10.3.0.2"), ip("fec3::2")].into();
        let id = w.initiate(0, "net");
        w.run();
        w.advance(30_000);
        assert_eq!(w.result(0, id).unwrap().is_some(), unique == Unique::Keep);
        assert_eq!(w.nodes[1].engine.len(), survivors, "{unique:?}");
        let first = w.nodes[1].engine.list(&all())[0].unique_id;
        assert_eq!(first, if unique == Unique::Replace { 2 } else { 1 });
    }
}

#[test]
fn inactive_children_go() {
    let settings = Settings { inactivity_close_ike: true, ..Settings::default() };
    let mut w = established(road_warrior_with(|c| action(c, |c| c.inactivity = 60), |_| {}, settings));
    w.advance(59_000);
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.advance(2_000);
    assert!(w.nodes.iter().all(|n| n.installed.is_empty() && n.engine.is_empty()));
}

#[test]
fn an_unreachable_peer_is_tried_as_often_as_told() {
    let mut w = World::new(road_warrior_with(|c| c.keyingtries = 3, |_| {}, Settings::default()));
    w.lose = Box::new(|_, _| true);
    let id = w.initiate(0, "net");
    w.advance(400_000);
    assert_eq!(w.result(0, id), None);
    assert!(w.has_log(0, "peer not responding, trying again (2/3)"));
    assert!(w.has_log(0, "retransmit 1 of request with message ID 0"));
    w.advance(200_000);
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.has_log(0, "establishing IKE_SA failed, peer not responding"));
    assert!(w.nodes[0].engine.is_empty());
    assert_eq!(w.transcript.len(), 18);
}

#[test]
fn names_are_looked_up() {
    let name =
        |c: &mut Connection| c.remote_addrs = vec![policy::PeerAddr::parse("moon.example.org").unwrap()];
    let mut w = World::new(road_warrior_with(name, |_| {}, Settings::default()));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    w.nodes[0].paths = vec![(ip("192.0.2.1"), ip("192.0.2.2"))];
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
}

#[test]
fn other_sas_go_on_while_one_waits() {
    let mut w = World::new(road_warrior());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.nodes[1].hold = |a| matches!(a, Ask::Lease(_));
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), None);
    assert_eq!(w.nodes[1].held.len(), 1);
    // Retransmissions of the parked request change nothing.
    w.advance(12_000);
    assert_eq!(w.nodes[1].held.len(), 1);
    w.release(1);
    assert_eq!(w.result(0, id), Some(None));
    w.assert_agreement();
}

#[test]
fn a_lease_that_comes_too_late_is_given_back() {
    let mut w = World::new(road_warrior());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.nodes[1].hold = |a| matches!(a, Ask::Lease(_));
    w.initiate(0, "net");
    w.run();
    w.command(1, |id| Command::Terminate { id, filter: all(), force: true });
    w.release(1);
    assert!(w.nodes[1].leased.is_empty());
    assert!(w.nodes[1].engine.is_empty());
}

#[test]
fn shutdown_closes_everything() {
    let mut w = established(road_warrior());
    w.command(1, |id| Command::Install { id, ike: None, child: "net".into() });
    let id = w.command(1, |id| Command::Shutdown { id });
    w.run();
    assert_eq!(w.result(1, id), Some(None));
    assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty() && n.policies.is_empty()));
    // And nobody gets in any more.
    w.initiate(0, "net");
    w.run();
    assert!(w.nodes[1].engine.is_empty());
}

#[test]
fn forced_termination_does_not_wait() {
    let mut w = established(road_warrior());
    w.lose = Box::new(|_, _| true);
    let id = w.command(0, |id| Command::Terminate { id, filter: all(), force: true });
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.nodes[0].engine.is_empty() && w.nodes[0].installed.is_empty());
}

#[test]
fn both_sides_close_at_once() {
    let mut w = established(road_warrior());
    let a = w.terminate(0, all());
    let b = w.terminate(1, all());
    w.run();
    w.advance(1_000);
    assert_eq!((w.result(0, a), w.result(1, b)), (Some(None), Some(None)));
    assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty()));
    // The same with one child.
    let mut w = established(road_warrior());
    let f = || Filter { child: Some("net".into()), ..Filter::default() };
    let a = w.terminate(0, f());
    let b = w.terminate(1, f());
    w.run();
    assert_eq!((w.result(0, a), w.result(1, b)), (Some(None), Some(None)));
    assert!(w.nodes.iter().all(|n| n.engine.len() == 1 && n.installed.is_empty()));
}

#[test]
fn a_trap_for_anybody_goes_where_the_packet_goes() {
    let any = |c: &mut Connection| {
        c.remote_addrs = vec![policy::PeerAddr::Any(None)];
        let mut t = child("net", "dynamic", "dynamic");
        t.mode = policy::Mode::Transport;
        c.children = vec![t.into()];
    };
    let mut w = World::new(site_to_site_with(any, any, Settings::default()));
    w.command(0, |id| Command::Install { id, ike: None, child: "net".into() });
    let trap = w.nodes[0].engine.policies()[0].id;
    w.nodes[0].paths = vec![(ip("192.0.2.1"), ip("192.0.2.2"))];
    let sel = |s: &str| policy::Selector::host(ip(s));
    for _ in 0..3 {
        let now = w.now;
        let packet = Some((sel("192.0.2.1"), sel("192.0.2.2")));
        w.nodes[0].engine.command(now, Command::Acquire { trap, packet });
    }
    w.run();
    assert_eq!(w.nodes[0].installed.len(), 1);
    assert_eq!(*w.nodes[0].installed.values().next().unwrap().remote_ts, [sel("192.0.2.2")]);
    w.assert_agreement();
}
