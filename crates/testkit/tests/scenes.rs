//! Scenes played step by step: what must happen is known.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use ike::io::{Command, Filter, IkeView};
use std::net::IpAddr;
use testkit::World;
use testkit::scenario::{CAROL, DAVE, MOON, SUN, Terms, ip};
use testkit::simulation::settle;

fn world(seed: u64, terms: &Terms) -> World {
    let mut world = World::new(seed, terms.hosts(), 100_000);
    world.net.nats = terms.nats();
    world.net.weather = terms.weather;
    world.names.insert("moon.test".to_owned(), ip("192.0.2.1"));
    world
}

/// Plays a scene; the story is told if it goes wrong.
fn play(terms: &Terms, scene: impl Fn(&mut World)) {
    struct Teller(World);
    impl Drop for Teller {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.transcript.tail().for_each(|line| println!("{line}"));
            }
        }
    }
    for seed in 0..5 {
        let mut teller = Teller(world(seed, terms));
        scene(&mut teller.0);
        end(&mut teller.0);
    }
}

fn initiate(world: &mut World, host: usize, ike: &str, child: &str) {
    let id = world.command_id(host, "initiate");
    world.command(host, Command::Initiate { id, ike: Some(ike.into()), child: Some(child.into()) }).unwrap();
}

fn wait(world: &mut World, ms: u64) {
    world.run_until(world.now() + ms).unwrap();
}

fn list(world: &World, host: usize) -> Vec<IkeView> {
    world.hosts[host].engine.list(&Filter::default())
}

fn quiet(world: &mut World) {
    settle(world).unwrap();
    world.check_agreement().unwrap();
}

/// Everything is told to stop, and nothing is left.
fn end(world: &mut World) {
    for host in 0..world.hosts.len() {
        let id = world.command_id(host, "shutdown");
        world.command(host, Command::Shutdown { id }).unwrap();
    }
    wait(world, 600_000);
    for host in 0..world.hosts.len() {
        world.check_empty(host).unwrap();
    }
}

fn child(world: &World, host: usize) -> u32 {
    *world.hosts[host].dataplane.children.keys().next().expect("a child")
}

#[test]
fn a_road_warrior_behind_nat_gets_addresses_and_a_tunnel() {
    play(&Terms::calm(), |world| {
        initiate(world, CAROL, "home", "net");
        wait(world, 3_000);
        quiet(world);
        assert!(world.hosts[CAROL].commands.is_empty());
        let (carol, moon) = (list(world, CAROL), list(world, MOON));
        assert_eq!((carol.len(), moon.len()), (1, 1));
        assert!(carol[0].nat_local && !carol[0].nat_remote && moon[0].nat_remote && !moon[0].nat_local);
        let vips: Vec<IpAddr> = vec![ip("10.3.0.1"), ip("2001:db8:3::1")];
        assert_eq!(carol[0].local_vips, vips);
        assert_eq!(moon[0].remote_vips, vips);
        assert_eq!(carol[0].remote, "192.0.2.1:4500".parse().unwrap(), "floated to the NAT-T port");
        let sa = &carol[0].children[0].sa;
        assert!(sa.encap);
        assert_eq!(sa.local_ts.iter().map(|ts| ts.start).collect::<Vec<_>>(), vips);
        for host in [CAROL, MOON] {
            let child = child(world, host);
            assert!(world.traffic(host, child).unwrap());
        }
        let id = world.command_id(CAROL, "terminate");
        let filter = Filter { ike: Some("home".into()), ..Filter::default() };
        world.command(CAROL, Command::Terminate { id, filter, force: false }).unwrap();
        wait(world, 2_000);
        assert!(list(world, CAROL).is_empty() && list(world, MOON).is_empty());
    });
}

#[test]
fn two_road_warriors_get_different_addresses() {
    play(&Terms::calm(), |world| {
        initiate(world, CAROL, "home", "net");
        initiate(world, DAVE, "home", "net");
        initiate(world, DAVE, "home", "alt");
        wait(world, 5_000);
        quiet(world);
        let (carol, dave) = (list(world, CAROL), list(world, DAVE));
        assert_ne!(carol[0].local_vips, dave[0].local_vips);
        assert_eq!((dave.len(), dave[0].children.len()), (1, 2), "the second child joins the IKE_SA");
    });
}

#[test]
fn both_ends_rekey_a_child_at_once() {
    play(&Terms::calm(), |world| {
        initiate(world, MOON, "site", "nets");
        wait(world, 3_000);
        let before = list(world, MOON)[0].children[0].sa.spi_in;
        for host in [MOON, SUN] {
            let id = world.command_id(host, "rekey");
            let filter = Filter { child: Some("nets".into()), ..Filter::default() };
            world.command(host, Command::Rekey { id, filter, reauth: false }).unwrap();
        }
        wait(world, 30_000);
        quiet(world);
        let moon = list(world, MOON);
        assert_eq!((moon.len(), moon[0].children.len()), (1, 1), "one of the two survives");
        assert_ne!(moon[0].children[0].sa.spi_in, before);
        let child = child(world, SUN);
        assert!(world.traffic(SUN, child).unwrap());
    });
}

#[test]
fn both_ends_rekey_the_ike_sa_at_once() {
    play(&Terms::calm(), |world| {
        initiate(world, MOON, "site", "nets");
        wait(world, 3_000);
        let before = list(world, MOON)[0].spi_i;
        for host in [MOON, SUN] {
            let id = world.command_id(host, "rekey");
            let filter = Filter { ike: Some("site".into()), ..Filter::default() };
            world.command(host, Command::Rekey { id, filter, reauth: false }).unwrap();
        }
        // An end that does not learn that its own rekeying was redundant lets it go after a while.
        wait(world, 90_000);
        quiet(world);
        let moon = list(world, MOON);
        assert_eq!((moon.len(), moon[0].children.len()), (1, 1), "one of the two survives, with the child");
        assert_ne!(moon[0].spi_i, before);
    });
}

#[test]
fn a_new_nat_mapping_is_followed() {
    play(&Terms::calm(), |world| {
        initiate(world, CAROL, "home", "net");
        wait(world, 3_000);
        let before = list(world, MOON)[0].remote;
        world.net.nats[0].rebind();
        let id = child(world, CAROL);
        assert!(world.traffic(CAROL, id).unwrap());
        wait(world, 100_000);
        quiet(world);
        let moon = list(world, MOON);
        assert_ne!(moon[0].remote, before);
        let id = child(world, MOON);
        assert_eq!(world.hosts[MOON].dataplane.children[&id].sa.remote, moon[0].remote);
    });
}

#[test]
fn a_client_that_authenticates_anew_keeps_its_addresses() {
    for make_before_break in [true, false] {
        let mut terms = Terms::calm();
        terms.settings.make_before_break = make_before_break;
        play(&terms, |world| {
            // The other client makes that the first free addresses are not carol's.
            initiate(world, DAVE, "home", "net");
            wait(world, 3_000);
            initiate(world, CAROL, "home", "net");
            wait(world, 3_000);
            let vips: Vec<IpAddr> = vec![ip("10.3.0.2"), ip("2001:db8:3::2")];
            for _ in 0..3 {
                let before = list(world, CAROL)[0].unique_id;
                assert_eq!(list(world, CAROL)[0].local_vips, vips);
                let id = world.command_id(CAROL, "reauthenticate");
                let filter = Filter { ike: Some("home".into()), ..Filter::default() };
                world.command(CAROL, Command::Rekey { id, filter, reauth: true }).unwrap();
                wait(world, 20_000);
                quiet(world);
                let carol = list(world, CAROL);
                assert_eq!((carol.len(), carol[0].children.len()), (1, 1));
                assert_ne!(carol[0].unique_id, before);
                assert_eq!(carol[0].local_vips, vips);
                let moon = list(world, MOON);
                assert_eq!(moon.iter().filter(|sa| sa.remote_vips == vips).count(), 1);
                let id = child(world, CAROL);
                assert!(world.traffic(CAROL, id).unwrap());
            }
        });
    }
}

#[test]
fn a_roaming_peer_keeps_its_sas() {
    play(&Terms::calm(), |world| {
        initiate(world, DAVE, "home", "net");
        wait(world, 3_000);
        let before = list(world, DAVE)[0].children[0].sa.spi_in;
        world.hosts[DAVE].config.addresses = vec![ip("198.51.100.7")];
        world.command(DAVE, Command::AddressesChanged).unwrap();
        wait(world, 30_000);
        quiet(world);
        let (dave, moon) = (list(world, DAVE), list(world, MOON));
        assert_eq!(dave[0].children[0].sa.spi_in, before, "the same CHILD_SA");
        assert_eq!(moon[0].remote.ip(), ip("198.51.100.7"));
        let id = child(world, DAVE);
        assert_eq!(world.hosts[DAVE].dataplane.children[&id].sa.local.ip(), ip("198.51.100.7"));
        assert!(world.traffic(DAVE, id).unwrap());
    });
}

#[test]
fn a_dead_peer_is_noticed() {
    play(&Terms::calm(), |world| {
        initiate(world, MOON, "site", "nets");
        wait(world, 3_000);
        let now = world.clock.now();
        world.hosts[SUN].crash(now);
        wait(world, 300_000);
        assert!(list(world, MOON).is_empty());
        assert!(world.hosts[MOON].dataplane.children.is_empty());
    });
}

#[test]
fn a_successor_takes_over() {
    play(&Terms::calm(), |world| {
        initiate(world, CAROL, "home", "net");
        initiate(world, SUN, "site", "nets");
        wait(world, 3_000);
        let before = world.hosts[MOON].dataplane.children.keys().copied().collect::<Vec<_>>();
        let now = world.clock.now();
        assert_eq!(world.hosts[MOON].take_over(now), Ok(2));
        world.drain(MOON).unwrap();
        wait(world, 120_000);
        quiet(world);
        assert_eq!(world.hosts[MOON].dataplane.children.keys().copied().collect::<Vec<_>>(), before);
        // It can do what its predecessor could.
        for ike in ["rw", "site"] {
            let id = world.command_id(MOON, "rekey");
            let filter = Filter { ike: Some(ike.into()), ..Filter::default() };
            world.command(MOON, Command::Rekey { id, filter, reauth: false }).unwrap();
        }
        wait(world, 30_000);
        quiet(world);
        assert_eq!(list(world, MOON).iter().map(|sa| sa.children.len()).sum::<usize>(), 2);
    });
}

#[test]
fn a_lossy_network_only_takes_longer() {
    let terms = Terms {
        weather: testkit::net::Weather { loss: 200, duplicate: 200, damage: 20, delay: (5, 900), mtu: 1472 },
        ..Terms::calm()
    };
    play(&terms, |world| {
        initiate(world, DAVE, "home", "net");
        wait(world, 400_000);
        world.net.heal();
        wait(world, 400_000);
        quiet(world);
    });
}
