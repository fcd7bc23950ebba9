//! The client against servers of all kinds, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#[path = "client/server.rs"]
mod server;

use dhcp::client::{MOST_WAITING, Settings};
use dhcp::{Client, Failure, Hardware, Lease, LeaseId, Loss, Output, Subject};
use proptest::prelude::*;
use server::{Server, kind, request};
use std::net::Ipv4Addr;

const BROADCAST: Ipv4Addr = Ipv4Addr::BROADCAST;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);
const ROGUE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 66);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// A client and what it said.
struct World {
    client: Client,
    now: u64,
    log: Vec<String>,
    sent: Vec<(Ipv4Addr, Vec<u8>)>,
    ends: Vec<Output>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut state = 7_u64;
        let client = Client::new(settings, move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        });
        Self { client, now: 1000, log: vec![], sent: vec![], ends: vec![] }
    }

    fn as_client() -> Self {
        Self::new(Settings { server: BROADCAST, force_server: false, relay: None })
    }

    fn as_relay() -> Self {
        Self::new(Settings { server: SERVER, force_server: false, relay: Some(RELAY) })
    }

    fn start(&mut self, subject: Subject) -> LeaseId {
        let id = self.client.start(self.now, subject).unwrap();
        self.drain();
        id
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { to, datagram } => self.sent.push((to, datagram)),
                Output::Log(_, text) => self.log.push(text),
                end => self.ends.push(end),
            }
        }
    }

    /// Lets these servers answer until nobody has anything to say.
    fn talk(&mut self, servers: &mut [&mut Server]) {
        while !self.sent.is_empty() {
            for (to, datagram) in std::mem::take(&mut self.sent) {
                for server in servers.iter_mut() {
                    if let Some(answer) = server.hear(to, &datagram) {
                        self.client.receive(self.now, server.address, &answer);
                        self.drain();
                    }
                }
            }
        }
    }

    /// To the next timer.
    fn skip(&mut self) -> u64 {
        let at = self.client.deadline().expect("a timer");
        self.now = self.now.max(at);
        self.client.timeout(self.now);
        self.drain();
        at
    }

    fn bound(&mut self) -> Lease {
        match self.ends.drain(..).next() {
            Some(Output::Bound(_, lease) | Output::Renewed(_, lease)) => lease,
            other => panic!("no lease but {other:?}\n{:#?}", self.log),
        }
    }

    fn lease(&mut self, subject: Subject, server: &mut Server) -> (LeaseId, Lease) {
        let id = self.start(subject);
        self.talk(&mut [server]);
        (id, self.bound())
    }
}

fn carol() -> Subject {
    Subject::of_identity(b"carol").named("carol.cygnet.test")
}

#[test]
fn a_lease_from_discover_to_release() {
    for mut world in [World::as_client(), World::as_relay()] {
        let mut server = Server::new(SERVER);
        let (id, lease) = world.lease(carol(), &mut server);
        assert_eq!((lease.address, lease.server), (Ipv4Addr::new(10, 1, 0, 50), SERVER));
        assert_eq!(lease.dns, [SERVER]);
        assert_eq!(lease.expires, Some(world.now + 120_000));
        let all = world.client.settings().server;
        // RFC 2131 3.1 (3): a client tells every server which one it chose; a relay agent cannot.
        assert_eq!(
            world.log,
            [
                format!("sending DHCP DISCOVER for {} to {all}", Hardware::of_identity(b"carol")),
                "received DHCP OFFER 10.1.0.50 from 10.1.0.20".into(),
                format!("sending DHCP REQUEST for 10.1.0.50 to {all}"),
                "received DHCP ACK for 10.1.0.50".into(),
            ]
        );
        world.client.release(world.now, id);
        world.drain();
        assert_eq!(world.log.last().unwrap(), "sending DHCP RELEASE for 10.1.0.50 to 10.1.0.20");
        world.talk(&mut [&mut server]);
        assert!(server.leases.is_empty() && world.client.is_empty());
        assert_eq!(world.client.deadline(), None);
    }
}

#[test]
fn a_wish_is_passed_on_and_may_be_refused() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    let wish = Ipv4Addr::new(10, 1, 0, 55);
    let (_, lease) = world.lease(Subject::random(1).asking(Some(wish)), &mut server);
    assert_eq!(lease.address, wish);
    let (_, lease) = world.lease(Subject::random(2).asking(Some(wish)), &mut server);
    assert_eq!(lease.address, server.first);
}

#[test]
fn a_silent_server_costs_fifteen_seconds() {
    let mut world = World::as_client();
    world.start(carol());
    let mut times = vec![];
    while world.ends.is_empty() {
        times.push(world.skip() - 1000);
    }
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(times.last(), Some(&15_000));
    assert!((4..=6).contains(&world.sent.len()), "{}", world.sent.len());
    assert!(matches!(&world.ends[..], [Output::Failed(_, Failure::NoOffer(BROADCAST))]));
    assert!(world.client.is_empty());
}

#[test]
fn a_server_that_offers_and_never_confirms_hears_of_our_end() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    server.confirms = false;
    world.start(carol());
    while world.ends.is_empty() {
        world.talk(&mut [&mut server]);
        world.skip();
    }
    assert!(matches!(&world.ends[..], [Output::Failed(_, Failure::NoAck(SERVER))]));
    // Its confirmation may have been lost.
    assert_eq!(kind(&world.sent.last().unwrap().1), 7);
}

#[test]
fn a_server_that_refuses_is_asked_again_and_not_for_ever() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    server.refuses = true;
    world.start(carol());
    world.talk(&mut [&mut server]);
    assert!(matches!(&world.ends[..], [Output::Failed(_, Failure::Refused(SERVER))]), "{:?}", world.log);
    assert_eq!(server.heard.iter().filter(|heard| **heard == 1).count(), 4);
}

#[test]
fn a_duplicate_is_declined_and_another_asked_for() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    let (_, first) = world.lease(Subject::random(1), &mut server);
    // It forgets what it gave.
    server.leases.clear();
    world.start(Subject::random(2));
    world.talk(&mut [&mut server]);
    assert!(world.ends.is_empty());
    assert_eq!(server.heard.last(), Some(&4), "a decline");
    world.skip();
    world.talk(&mut [&mut server]);
    assert_ne!(world.bound().address, first.address);
}

#[test]
fn a_server_that_knows_only_duplicates_is_given_up() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    world.lease(Subject::random(1), &mut server);
    server.forgetful = true;
    world.start(Subject::random(2));
    while world.ends.is_empty() {
        world.talk(&mut [&mut server]);
        if world.ends.is_empty() {
            world.skip();
        }
    }
    assert!(matches!(&world.ends[..], [Output::Failed(_, Failure::Duplicates(SERVER))]));
}

#[test]
fn a_second_server_does_not_matter() {
    let mut world = World::as_client();
    let (mut server, mut rogue) = (Server::new(SERVER), Server::new(ROGUE));
    rogue.first = Ipv4Addr::new(10, 9, 9, 9);
    rogue.refuses = true;
    // It hears all requests and refuses them; it was not chosen.
    rogue.answers_for_others = true;
    world.start(carol());
    world.talk(&mut [&mut server, &mut rogue]);
    assert_eq!(world.bound().server, SERVER);
    assert!(!world.log.iter().any(|line| line.contains("NAK")), "{:?}", world.log);
}

#[test]
fn nonsense_is_ignored_with_a_bounded_number_of_words() {
    let mut world = World::as_client();
    for (address, seconds) in [
        (Ipv4Addr::UNSPECIFIED, 120),
        (Ipv4Addr::LOCALHOST, 120),
        (BROADCAST, 120),
        (RELAY, 1),
        (SERVER, 120),
    ] {
        let mut server = Server::new(SERVER);
        server.first = address;
        server.seconds = seconds;
        world.start(carol());
        world.talk(&mut [&mut server]);
        assert!(world.ends.is_empty());
        assert!(world.log.last().unwrap().starts_with("ignoring DHCP OFFER"), "{:?}", world.log);
    }
    let id = world.start(carol());
    let discover = world.sent.pop().unwrap().1;
    let before = world.log.len();
    for _ in 0..1000 {
        let mut server = Server::new(SERVER);
        server.first = Ipv4Addr::UNSPECIFIED;
        let offer = server.hear(BROADCAST, &discover).unwrap();
        world.client.receive(world.now, SERVER, &offer);
        world.drain();
    }
    assert_eq!(world.log.len() - before, 8);
    world.client.release(world.now, id);
    world.drain();
    assert!(world.sent.is_empty(), "nothing to give back");
}

#[test]
fn a_lease_is_renewed_for_as_long_as_it_is_wanted() {
    for mut world in [World::as_client(), World::as_relay()] {
        let mut server = Server::new(SERVER);
        let (id, mut lease) = world.lease(carol(), &mut server);
        for _ in 0..50 {
            let at = world.skip();
            let left = lease.expires.unwrap() - at;
            assert!((60_000..=63_000).contains(&left), "{left}");
            // RFC 2131 4.4.5: of the server that gave it.
            assert_eq!(world.sent.last().unwrap().0, SERVER);
            world.talk(&mut [&mut server]);
            let renewed = world.bound();
            assert!(renewed.expires > lease.expires);
            lease = renewed;
        }
        world.client.release(world.now, id);
        world.drain();
        world.talk(&mut [&mut server]);
        assert!(server.leases.is_empty());
    }
}

#[test]
fn another_server_may_renew_when_the_first_is_gone() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    let (_, lease) = world.lease(carol(), &mut server);
    let mut other = Server::new(ROGUE);
    other.leases = server.leases.clone();
    other.seconds = 3600;
    let renewal = world.skip();
    world.talk(&mut [&mut other]);
    assert!(world.ends.is_empty(), "it is asked for nothing yet");
    let rebinding = world.skip();
    assert!(renewal < rebinding);
    assert_eq!(world.sent.last().unwrap().0, BROADCAST);
    world.talk(&mut [&mut other]);
    let renewed = world.bound();
    assert_eq!((renewed.address, renewed.server), (lease.address, ROGUE));
}

#[test]
fn a_lease_that_nobody_renews_is_lost_when_it_expires() {
    let mut world = World::as_client();
    let (_, lease) = world.lease(carol(), &mut Server::new(SERVER));
    while world.ends.is_empty() {
        world.skip();
    }
    assert_eq!(world.now, lease.expires.unwrap());
    assert!(matches!(world.ends[..], [Output::Lost(_, address, Loss::Expired)] if address == lease.address));
    assert!(world.client.is_empty());
    assert!(world.sent.len() <= 4, "{}", world.sent.len());
}

#[test]
fn a_lease_that_the_server_takes_back_is_lost_at_once() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    world.lease(carol(), &mut server);
    server.refuses = true;
    world.skip();
    world.talk(&mut [&mut server]);
    assert!(matches!(&world.ends[..], [Output::Lost(_, _, Loss::Refused(SERVER))]));
    assert!(world.client.is_empty());
}

#[test]
fn a_lease_for_ever_is_never_renewed() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    server.seconds = u32::MAX;
    let (_, lease) = world.lease(carol(), &mut server);
    assert_eq!(lease.expires, None);
    world.client.timeout(u64::MAX - 1);
    assert!(world.client.poll().is_none());
}

#[test]
fn a_client_that_stops_waiting_leaves_nothing_behind() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    let id = world.start(carol());
    let (to, discover) = world.sent.pop().unwrap();
    let offer = server.hear(to, &discover).unwrap();
    world.client.receive(world.now, SERVER, &offer);
    world.drain();
    // The request is on its way.
    world.client.release(world.now, id);
    world.drain();
    world.talk(&mut [&mut server]);
    assert!(server.leases.is_empty() && world.client.is_empty() && world.ends.is_empty());
}

#[test]
fn many_wait_at_once_and_no_more() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    for n in 0..MOST_WAITING {
        world.start(Subject::random(n as u64 + 1));
    }
    assert_eq!(world.client.start(world.now, carol()), Err(Failure::Busy));
    world.talk(&mut [&mut server]);
    assert_eq!(world.ends.len(), MOST_WAITING);
    assert_eq!(server.leases.len(), MOST_WAITING);
    world.start(carol());
}

#[test]
fn answers_to_others_do_nothing() {
    let mut world = World::as_client();
    let mut server = Server::new(SERVER);
    world.start(carol());
    let (to, discover) = world.sent.pop().unwrap();
    let offer = server.hear(to, &discover).unwrap();
    let mut other_xid = offer.clone();
    other_xid[4] ^= 1;
    let mut other_card = offer.clone();
    other_card[30] ^= 1;
    for foreign in [other_xid, other_card, discover.clone(), request(&discover)] {
        let before = world.client.deadline();
        world.client.receive(world.now, SERVER, &foreign);
        assert_eq!((world.client.poll(), world.client.deadline()), (None, before));
    }
    world.client.receive(world.now, SERVER, &offer);
    assert!(world.client.poll().is_some());
}

/// What happens in a random life.
#[derive(Debug, Clone)]
enum Step {
    Start(u8),
    Release(usize),
    Talk,
    Lose,
    Skip,
    Flip(usize, u8),
    Moods(bool, bool, bool, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<u8>().prop_map(Step::Start),
        1 => any::<usize>().prop_map(Step::Release),
        3 => Just(Step::Talk),
        1 => Just(Step::Lose),
        3 => Just(Step::Skip),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, with)| Step::Flip(at, with)),
        1 => (any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![Just(0), Just(10), Just(4000), Just(u32::MAX)])
            .prop_map(|(refuses, confirms, forgetful, seconds)| Step::Moods(refuses, confirms, forgetful, seconds)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever servers do: every start ends in one lease or one failure, no address is given twice, and what is given
    /// back is gone.
    #[test]
    fn a_random_life(relay in any::<bool>(), steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = if relay { World::as_relay() } else { World::as_client() };
        let mut server = Server::new(SERVER);
        let (mut open, mut held) = (vec![], std::collections::BTreeMap::new());
        for step in steps {
            match step {
                Step::Start(who) => open.push(world.start(Subject::of_identity(&[who]))),
                Step::Release(which) => {
                    let ids: Vec<LeaseId> = open.iter().chain(held.keys()).copied().collect();
                    if let Some(id) = ids.get(which % ids.len().max(1)) {
                        world.client.release(world.now, *id);
                        world.drain();
                        open.retain(|other| other != id);
                        held.remove(id);
                    }
                }
                Step::Talk => world.talk(&mut [&mut server]),
                Step::Lose => world.sent.clear(),
                Step::Skip => if world.client.deadline().is_some() {
                    world.skip();
                },
                Step::Flip(at, with) => {
                    let answers: Vec<_> = std::mem::take(&mut world.sent)
                        .iter().filter_map(|(to, datagram)| server.hear(*to, datagram)).collect();
                    for mut answer in answers {
                        let at = at % answer.len();
                        answer[at] ^= with;
                        world.client.receive(world.now, SERVER, &answer);
                    }
                    world.drain();
                }
                Step::Moods(refuses, confirms, forgetful, seconds) => {
                    (server.refuses, server.confirms) = (refuses, confirms);
                    (server.forgetful, server.seconds) = (forgetful, seconds);
                }
            }
            for end in std::mem::take(&mut world.ends) {
                match end {
                    Output::Bound(id, lease) => {
                        prop_assert!(open.contains(&id));
                        open.retain(|other| *other != id);
                        prop_assert!(!held.values().any(|address| *address == lease.address));
                        held.insert(id, lease.address);
                    }
                    Output::Renewed(id, lease) => prop_assert_eq!(held.get(&id), Some(&lease.address)),
                    Output::Failed(id, _) => {
                        prop_assert!(open.contains(&id));
                        open.retain(|other| *other != id);
                    }
                    Output::Lost(id, address, _) => prop_assert_eq!(held.remove(&id), Some(address)),
                    Output::Send { .. } | Output::Log(..) => {}
                }
            }
            prop_assert_eq!(world.client.len(), open.len() + held.len());
        }
    }
}
