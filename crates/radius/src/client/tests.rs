//! Servers and a network in virtual time.
use super::*;
use crate::crypt::Forged;
use crate::crypt::{cover_key, hide_password, reserve, seal_reply};
use crypto::{Rng, Secret};
use proptest::prelude::*;

mod world;
use world::World;

fn login(movable: bool, server: Option<ServerId>) -> Request {
    let attributes = vec![Attribute::text(RadiusType::UserName, "carol")];
    Request { purpose: Purpose::Login, attributes, server, movable }
}

fn secret() -> Secret {
    Secret::new(b"gv6URkSs".to_vec())
}

fn client(servers: usize) -> Client {
    let servers = (0..servers).map(|n| {
        ServerSettings::new(&format!("s{n}"), [192, 0, 2, u8::try_from(n).unwrap()].into(), secret())
    });
    Client::new(ClientSettings { servers: servers.collect() }, Rng::from_seed([1; 32]))
}

fn sent(client: &mut Client) -> Vec<(Socket, Packet)> {
    let mut out = Vec::new();
    while let Some(output) = client.poll() {
        if let Output::Send { socket, datagram } = output {
            out.push((socket, Packet::parse(&datagram).unwrap()));
        }
    }
    out
}

fn ends(client: &mut Client) -> Vec<Result<RequestId, Failure>> {
    let mut out = Vec::new();
    while let Some(output) = client.poll() {
        match output {
            Output::Replied(id, _) => out.push(Ok(id)),
            Output::Failed(_, why) => out.push(Err(why)),
            _ => {}
        }
    }
    out
}

fn answer(request: &Packet, code: RadiusCode, secret: &Secret, protect: bool) -> Vec<u8> {
    let mut reply = Packet::new(code, request.id, [0; 16]);
    reply.push(Attribute::text(RadiusType::Class, "Research"));
    if protect {
        reserve(&mut reply);
    }
    seal_reply(&mut reply, &request.authenticator, secret).unwrap();
    reply.encode().unwrap()
}

#[test]
fn what_a_request_looks_like() {
    let mut client = client(1);
    client.send(0, login(true, None));
    let (socket, packet) = sent(&mut client).remove(0);
    assert_eq!(socket, Socket { server: ServerId(0), purpose: Purpose::Login, number: 0 });
    let kinds: Vec<RadiusType> = packet.attributes.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [RadiusType::MessageAuthenticator, RadiusType::UserName, RadiusType::NasIdentifier]);
    client.send(0, Request { purpose: Purpose::Accounting, ..login(true, None) });
    let (socket, packet) = sent(&mut client).remove(0);
    assert_eq!((socket.purpose, packet.code), (Purpose::Accounting, RadiusCode::AccountingRequest));
    assert_eq!(crypt::verify_request(&packet, &secret(), Demand::RightIfPresent), Ok(()));
}

#[test]
fn only_the_servers_own_reply_counts() {
    for (code, why) in [
        (RadiusCode::AccessAccept, Forged::Missing),
        (RadiusCode::AccessReject, Forged::Missing),
        (RadiusCode::AccessChallenge, Forged::Missing),
    ] {
        let mut client = client(1);
        client.send(0, login(true, None));
        let (socket, request) = sent(&mut client).remove(0);
        // Without Message-Authenticator, under another secret, to another request, of another kind, broken.
        client.receive(1, socket, &answer(&request, code, &Secret::new(b"guess".to_vec()), true));
        let mut other = request.clone();
        other.authenticator = [0; 16];
        client.receive(1, socket, &answer(&other, code, &secret(), true));
        let mut other = request.clone();
        other.id ^= 1;
        client.receive(1, socket, &answer(&other, code, &secret(), true));
        client.receive(1, socket, &answer(&request, RadiusCode::AccountingResponse, &secret(), true));
        client.receive(1, socket, &[0; 3]);
        client.receive(1, socket, &answer(&request, code, &secret(), false));
        assert_eq!(ends(&mut client), []);
        assert_eq!(client.outstanding(), 1);
        // If nothing better comes, the failure says what was wrong.
        while let Some(at) = client.next_wake().filter(|_| client.outstanding() > 0) {
            client.wake(at);
        }
        assert_eq!(ends(&mut client), [Err(Failure::Forged { server: "s0".into(), why })]);
    }
}

#[test]
fn the_right_reply_counts_once() {
    let mut client = client(1);
    let id = client.send(0, login(true, None));
    let (socket, request) = sent(&mut client).remove(0);
    let reply = answer(&request, RadiusCode::AccessAccept, &secret(), true);
    client.receive(5, socket, &reply);
    client.receive(6, socket, &reply);
    assert_eq!(ends(&mut client), [Ok(id)]);
    assert_eq!((client.outstanding(), client.next_wake()), (0, None));
    // An accounting server need not send a Message-Authenticator; a wrong one is still wrong.
    let id = client.send(10, Request { purpose: Purpose::Accounting, ..login(true, None) });
    let (socket, request) = sent(&mut client).remove(0);
    client.receive(11, socket, &answer(&request, RadiusCode::AccountingResponse, &secret(), false));
    assert_eq!(ends(&mut client), [Ok(id)]);
}

#[test]
fn keys_are_uncovered() {
    let mut client = client(1);
    client.send(0, login(true, None));
    let (socket, request) = sent(&mut client).remove(0);
    let mut reply = Packet::new(RadiusCode::AccessAccept, request.id, [0; 16]);
    for (kind, byte) in [(16, 1), (17, 2)] {
        let covered = cover_key(&[byte; 32], [0x80, kind], &request.authenticator, &secret());
        reply
            .push(wire::radius::Vendor::attribute(wire::radius::vendors::MICROSOFT, kind, &covered).unwrap());
    }
    reserve(&mut reply);
    seal_reply(&mut reply, &request.authenticator, &secret()).unwrap();
    client.receive(1, socket, &reply.encode().unwrap());
    let keys = std::iter::from_fn(|| client.poll()).find_map(|output| match output {
        Output::Replied(_, reply) => Some(reply.keys),
        _ => None,
    });
    let keys = keys.unwrap();
    assert_eq!(keys.recv.unwrap().as_slice(), [2; 32]);
    assert_eq!(keys.send.unwrap().as_slice(), [1; 32]);
}

#[test]
fn retransmissions_are_the_same_and_end() {
    let mut client = client(1);
    client.send(0, login(false, Some(ServerId(0))));
    let mut at = vec![0];
    let first = sent(&mut client).remove(0).1;
    let mut failed = Vec::new();
    while client.outstanding() > 0 {
        let now = client.next_wake().unwrap();
        client.wake(now);
        while let Some(output) = client.poll() {
            match output {
                Output::Send { datagram, .. } => {
                    let packet = Packet::parse(&datagram).unwrap();
                    if packet.code == RadiusCode::AccessRequest {
                        assert_eq!(packet, first);
                        at.push(now);
                    }
                }
                Output::Failed(_, why) => failed.push((now, why)),
                _ => {}
            }
        }
    }
    assert_eq!(at, [0, 2_000, 4_800, 8_720, 14_208]);
    assert_eq!(failed, [(21_891, Failure::Silent { server: "s0".into(), transmissions: 5 })]);
}

#[test]
fn identifiers_are_not_used_twice_in_flight() {
    let mut client = client(1);
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        client.send(0, login(true, None));
    }
    let first = sent(&mut client);
    for (socket, packet) in &first {
        assert!(seen.insert((socket.number, packet.id)));
    }
    assert_eq!((first.len(), client.outstanding()), (256, 300));
    // Each reply makes room for one that waits.
    let (socket, request) = first[7].clone();
    client.receive(1, socket, &answer(&request, RadiusCode::AccessReject, &secret(), true));
    let next = sent(&mut client);
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].0.number, next[0].1.id), (socket.number, request.id));
    // One that nobody waits for any more keeps its identifier until its reply has come, or is too late.
    let (socket, request) = first[9].clone();
    let slot = client.lanes[0].slot(socket.number, request.id).unwrap().request.unwrap();
    client.cancel(2, slot);
    assert_eq!(sent(&mut client).len(), 0);
    client.receive(3, socket, &answer(&request, RadiusCode::AccessReject, &secret(), true));
    let next = sent(&mut client);
    assert_eq!((next.len(), next[0].1.id), (1, request.id));
}

#[test]
fn too_many_are_refused() {
    let mut client = client(1);
    let all: Vec<RequestId> = (0..256 + WAITING + 1).map(|_| client.send(0, login(true, None))).collect();
    assert_eq!(ends(&mut client), [Err(Failure::Busy)]);
    for id in all {
        client.cancel(0, id);
    }
    assert_eq!((client.outstanding(), client.timers.len()), (0, 0));
    let mut none = Client::new(ClientSettings::default(), Rng::from_seed([0; 32]));
    none.send(0, login(true, None));
    assert_eq!(ends(&mut none), [Err(Failure::NoServer)]);
}

#[test]
fn load_is_shared_and_preference_counts() {
    let mut client = client(2);
    for _ in 0..100 {
        client.send(0, login(true, None));
    }
    let to: Vec<usize> = sent(&mut client).iter().map(|(socket, _)| socket.server.0).collect();
    assert_eq!(to.iter().filter(|server| **server == 0).count(), 50);
    let mut settings = client.settings.clone();
    settings.servers[1].preference = 200;
    let mut client = Client::new(settings, Rng::from_seed([2; 32]));
    for _ in 0..100 {
        client.send(0, login(true, None));
    }
    assert!(sent(&mut client).iter().all(|(socket, _)| socket.server.0 == 1));
}

#[test]
fn a_silent_server_is_left_and_comes_back() {
    let mut client = client(2);
    let id = client.send(0, login(true, None));
    client.send(0, login(false, Some(ServerId(0))));
    let first = sent(&mut client);
    assert!(first.iter().all(|(socket, _)| socket.server.0 == 0));
    client.wake(2_000);
    let second = sent(&mut client);
    let to: Vec<usize> = second.iter().map(|(socket, _)| socket.server.0).collect();
    assert_eq!(to, [1, 0], "one moves, the other is sent again");
    client.receive(2_100, second[0].0, &answer(&second[0].1, RadiusCode::AccessAccept, &secret(), true));
    assert_eq!(ends(&mut client), [Ok(id)]);
    // New ones go to the other server only.
    for _ in 0..10 {
        client.send(2_200, login(true, None));
    }
    assert!(sent(&mut client).iter().all(|(socket, _)| socket.server.0 == 1));
    // It is asked for a sign of life, and gives one.
    client.wake(3_000);
    let probe = sent(&mut client).into_iter().find(|(socket, _)| socket.server.0 == 0).unwrap();
    assert_eq!(probe.1.code, RadiusCode::StatusServer);
    client.receive(3_001, probe.0, &answer(&probe.1, RadiusCode::AccessAccept, &secret(), true));
    let up = std::iter::from_fn(|| client.poll()).any(|o| matches!(o, Output::Server { up: true, .. }));
    assert!(up);
    client.send(3_002, login(true, None));
    assert_eq!(sent(&mut client)[0].0.server.0, 0);
}

/// The slow server's reply counts, too, although the request was sent to another meanwhile.
#[test]
fn the_first_reply_wins() {
    let mut client = client(2);
    let id = client.send(0, login(true, None));
    let (slow, request) = sent(&mut client).remove(0);
    client.wake(2_000);
    let (fast, again) = sent(&mut client).remove(0);
    assert_ne!(slow.server, fast.server);
    client.receive(2_500, slow, &answer(&request, RadiusCode::AccessChallenge, &secret(), true));
    client.receive(2_600, fast, &answer(&again, RadiusCode::AccessReject, &secret(), true));
    assert_eq!(ends(&mut client), [Ok(id)]);
    assert_eq!(client.outstanding(), 0);
}

#[test]
fn refused_connections() {
    // With another server, at once to it; without, not at the first word of the network.
    let mut two = client(2);
    two.send(0, login(true, None));
    let (socket, _) = sent(&mut two).remove(0);
    two.refused(1, socket);
    assert_eq!(sent(&mut two)[0].0.server.0, 1);
    let mut one = client(1);
    one.send(0, login(false, Some(ServerId(0))));
    let (socket, _) = sent(&mut one).remove(0);
    for now in [1, 2, 3] {
        one.refused(now, socket);
        assert_eq!(ends(&mut one), [], "one transmission is refused once");
    }
    one.wake(2_000);
    one.refused(2_001, socket);
    one.wake(4_800);
    assert_eq!(ends(&mut one), []);
    one.refused(4_801, socket);
    assert_eq!(ends(&mut one), [Err(Failure::Refused { server: "s0".into() })]);
}

#[test]
fn records_stay_with_their_server() {
    let mut client = client(2);
    let record =
        |server| Request { purpose: Purpose::Accounting, attributes: Vec::new(), server, movable: true };
    for _ in 0..5 {
        client.send(0, record(Some(ServerId(1))));
    }
    assert!(sent(&mut client).iter().all(|(socket, _)| socket.server.0 == 1));
    client.wake(2_000);
    assert!(sent(&mut client).iter().any(|(socket, _)| socket.server.0 == 0));
}

#[test]
fn passwords_are_hidden() {
    assert_eq!(hide_password(b"", &[0; 16], &secret()).len(), 16);
    assert_eq!(hide_password(&[1; 17], &[0; 16], &secret()).len(), 32);
    assert_eq!(hide_password(&[1; 500], &[0; 16], &secret()).len(), 128);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes on a socket, nothing but a reply under the secret ends a request.
    #[test]
    fn noise_ends_nothing(noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..40)) {
        let mut client = client(1);
        client.send(0, login(true, None));
        let (socket, request) = sent(&mut client).remove(0);
        for mut datagram in noise {
            client.receive(1, socket, &datagram);
            if datagram.len() >= 20 {
                let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
                datagram[1] = request.id;
                datagram[2..4].copy_from_slice(&length);
                client.receive(1, socket, &datagram);
            }
        }
        prop_assert_eq!(ends(&mut client), []);
        prop_assert_eq!(client.outstanding(), 1);
    }

    /// Servers that lose, repeat and delay packets: every login ends, and nearly none fails.
    #[test]
    fn loss_and_delay(seed: u64, loss in 0_u64..20) {
        let mut world = World::new(seed, 2);
        world.loss = loss;
        world.logins(60, 3_000);
        world.run();
        prop_assert_eq!(world.finished(), 60);
        // Five transmissions and as many replies of each round all lost: not at these figures, with luck left over.
        prop_assert!(world.accepted() >= 55, "{} of 60 accepted", world.accepted());
    }

    /// One of two servers dies at a random moment: only those logins fail whose state died with it.
    #[test]
    fn none_is_lost_that_the_other_could_answer(seed: u64, dies in 0_u64..6_000, status in any::<bool>()) {
        let mut world = World::new(seed, 2);
        world.servers[0].dies = Some(dies);
        world.status = status;
        world.logins(200, 5_000);
        world.run();
        prop_assert_eq!(world.finished(), 200);
        prop_assert_eq!(world.lost_needlessly(), 0);
    }

    /// Both die and come back: what begins afterwards succeeds.
    #[test]
    fn servers_come_back(seed: u64, status in any::<bool>()) {
        let mut world = World::new(seed, 2);
        for server in &mut world.servers {
            (server.dies, server.returns) = (Some(1_000), Some(40_000));
        }
        world.status = status;
        world.logins(50, 3_000);
        world.run();
        world.logins(50, 100_000);
        let before = world.accepted();
        world.run();
        prop_assert_eq!(world.accepted() - before, 50);
    }
}
