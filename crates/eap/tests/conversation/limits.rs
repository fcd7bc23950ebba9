//! Numbers of packets, repetitions, identifiers.
use crate::harness::{Fate, World};
use eap::{Identity, Method, Step};

fn packet(step: Step) -> Vec<u8> {
    match step {
        Step::Send { packet, .. } => packet,
        other => panic!("{other:?}"),
    }
}

fn reason(step: Step) -> String {
    match step {
        Step::Failure { why, .. } => why.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn repeated_and_lost_packets_change_nothing() {
    for method in [Method::Md5, Method::Gtc, Method::Mschapv2] {
        for seed in 0..20 {
            let mut dice = crypto::Rng::from_seed([seed; 32]);
            let out = World::of(method).run_with(seed, |_, _| match dice.below(4) {
                0 => Fate::Drop,
                1 => Fate::Duplicate,
                _ => Fate::Deliver,
            });
            out.success();
        }
    }
}

#[test]
fn a_response_to_another_request_is_not_heard() {
    let mut world = World::of(Method::Mschapv2);
    world.server.identity = Identity::Unasked;
    let (mut server, mut peer) = world.ends(1);
    let request = packet(server.start());
    let mut answer = packet(peer.step(&request));
    answer[1] = answer[1].wrapping_add(1);
    assert_eq!(packet(server.step(&answer)), request);
    // Nor are the codes that only a server sends.
    for code in [1, 3, 4] {
        let mut wrong = vec![code, request[1], 0, 4];
        if code == 1 {
            wrong = request.clone();
        }
        assert_eq!(packet(server.step(&wrong)), request);
    }
    answer[1] = request[1];
    assert_ne!(packet(server.step(&answer)), request);
}

#[test]
fn the_number_of_packets_is_limited() {
    let (mut server, mut peer) = World::of(Method::Md5).ends(1);
    let request = packet(server.start());
    let stray = [2, request[1].wrapping_add(9), 0, 5, 1];
    for _ in 0..34 {
        packet(server.step(&stray));
    }
    assert!(reason(server.step(&stray)).contains("more than 34 EAP packets"));
    for id in 0..34 {
        packet(peer.step(&[1, id, 0, 5, 1]));
    }
    assert!(reason(peer.step(&[1, 99, 0, 5, 1])).contains("more than 34 EAP packets"));
    // Afterwards nothing is accepted.
    assert!(reason(server.step(&[2, request[1], 0, 6, 1, b'x'])).contains("no EAP conversation"));
    assert!(reason(peer.step(&[3, 99, 0, 4])).contains("no EAP conversation"));
}

#[test]
fn tls_methods_have_a_limit_of_their_own() {
    let mut world = World::of(Method::Tls);
    world.fragment_size(100, 100);
    for options in [&mut world.server.tunnels.tls, &mut world.peer.tunnels.tls] {
        options.max_messages = 10;
    }
    let out = world.run();
    assert!(format!("{out:?}").contains("more than 12 EAP packets"));
    for options in [&mut world.server.tunnels.tls, &mut world.peer.tunnels.tls] {
        options.max_messages = 0;
    }
    world.run().success();
}

#[test]
fn notifications_are_acknowledged() {
    let (_, mut peer) = World::of(Method::Md5).ends(1);
    let step = peer.step(&[1, 5, 0, 7, 2, b'h', 0x1b]);
    let Step::Send { packet, log } = step else { panic!() };
    assert_eq!(packet, [2, 5, 0, 5, 2]);
    assert_eq!(log[0].text, "received EAP notification: 'h\\u{1b}'");
}
