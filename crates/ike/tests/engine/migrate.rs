//! Export and adopt: after every input of every exchange, all SAs move to a fresh engine.
use crate::harness::*;
use ike::Command;
use ike::io::Filter;
use policy::{Connection, Settings};
use wire::iana::ProtocolId;

fn lives(set: fn(&mut Connection)) {
    for who in [vec![0], vec![1], vec![0, 1]] {
        let mut w = World::new(road_warrior_with(set, set, Settings::default()));
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        let step = |w: &mut World| {
            for _ in 0..200 {
                for n in 0..2 {
                    w.drain(n);
                }
                for n in &who {
                    w.handover(*n);
                }
                let Some(d) = w.wire.pop_front() else { break };
                w.deliver(d);
            }
        };
        w.initiate(0, "net");
        step(&mut w);
        w.assert_agreement();
        assert_eq!(w.nodes[0].installed.len(), 1, "{who:?}");
        for side in 0..2 {
            let filter = Filter { child: Some("net".into()), ..Filter::default() };
            w.command(side, |id| Command::Rekey { id, filter, reauth: false });
            step(&mut w);
            w.advance(6_000);
            w.assert_agreement();
            w.command(side, |id| Command::Rekey { id, filter: all(), reauth: false });
            step(&mut w);
            w.advance(6_000);
            w.assert_agreement();
            assert_eq!(w.nodes[side].engine.len(), 1, "{who:?} {side}");
            assert_eq!(w.nodes[0].installed.len(), 1, "{who:?} {side}");
        }
        w.terminate(1, all());
        step(&mut w);
        w.run();
        assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty() && n.leased.is_empty()));
        assert!(w.nodes[0].vips.is_empty());
    }
}

#[test]
fn at_every_step() {
    lives(|_| {});
}

#[test]
fn at_every_step_with_additional_key_exchanges() {
    lives(|c| {
        c.proposals = policy::proposal::parse_proposals(
            ProtocolId::Ike,
            "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke2_ecp384",
        )
        .unwrap();
        let mut child = (*c.children[0]).clone();
        child.proposals =
            policy::proposal::parse_proposals(ProtocolId::Esp, "aes128gcm16-x25519-ke1_mlkem768").unwrap();
        c.children = vec![child.into()];
    });
}

#[test]
fn with_questions_open() {
    let mut w = World::new(road_warrior());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.nodes[1].hold = |_| true;
    w.nodes[0].hold = |_| true;
    w.initiate(0, "net");
    for _ in 0..20 {
        w.run();
        for n in 0..2 {
            w.handover(n);
            // One question is answered, then the SA moves again.
            if !w.nodes[n].held.is_empty() {
                let (t, a) = w.nodes[n].held.remove(0);
                let reply = w.nodes[n].reply(a);
                let now = w.now;
                w.nodes[n].engine.answer(now, t, reply);
                w.drain(n);
            }
        }
    }
    w.assert_agreement();
    assert_eq!(w.nodes[0].installed.len(), 1);
    assert_eq!(w.nodes[0].vips.len(), 2);
}

#[test]
fn clocks_differ() {
    let w = established(road_warrior_with(|c| c.dpd_delay = 30, |_| {}, Settings::default()));
    let before = w.nodes[0].engine.list(&all())[0].rekey_at.unwrap() - w.now.mono;
    let state = w.nodes[0].engine.export(1).unwrap();
    let snapshot = w.nodes[0].engine.snapshot();
    // The adopter's monotonic clock is younger, and a minute has passed.
    let now = ike::Now { mono: 500_000, wall: w.now.wall + 60 };
    let mut fresh = ike::Engine::new(now, crypto::Rng::from_seed([9; 32]), snapshot, ike::Shard::default());
    fresh.command(now, Command::Adopt { state: Box::new(state) });
    let v = &fresh.list(&all())[0];
    assert_eq!(v.rekey_at.unwrap() - now.mono, before - 60_000);
    // The liveness check is overdue.
    assert!(fresh.next_wake().unwrap() <= now.mono + 1);
}
