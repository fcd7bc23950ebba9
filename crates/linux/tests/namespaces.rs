//! What needs privilege: every test makes network namespaces of its own and touches no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "tests say what they could not do")]

use linux::message::{Batch, Outgoing};
use linux::netlink::{Change, Events, Netlink, PathQuery, Route, RouteKind, Rule};
use linux::netns::{Namespace, cable, nat};
use linux::network::{Desired, Network, RouteWay, Routes, WantedAddress, WantedRoute};
use linux::raw::RawSocket;
use linux::tun::{Tun, TunOptions, VIRTIO_HEADER};
use linux::udp::{AsyncUdpSocket, PathMtu, UdpOptions, UdpSocket};
use linux::wait;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

/// A namespace, or `None` said plainly where privilege is missing; in CI that is a failure.
fn namespace() -> Option<Namespace> {
    match Namespace::create() {
        Ok(namespace) => Some(namespace),
        Err(e) if std::env::var_os("CI").is_some() => panic!("CI must be able to make namespaces: {e}"),
        Err(e) => {
            eprintln!("NOT RUN, needs root: {e}");
            None
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two namespaces joined by a cable, 192.0.2.1 and 2001:db8::1 in the first, .2 and ::2 in the second.
fn pair() -> Option<(Namespace, Namespace)> {
    let (a, b) = (namespace()?, namespace()?);
    cable(&a, "left", &b, "right").unwrap();
    for (ns, name, last) in [(&a, "left", 1), (&b, "right", 2)] {
        ns.configure(name, format!("192.0.2.{last}/24").parse().unwrap()).unwrap();
        ns.configure(name, format!("2001:db8::{last}/64").parse().unwrap()).unwrap();
    }
    Some((a, b))
}

fn receive(socket: &UdpSocket, batch: &mut Batch) -> usize {
    assert_ne!(wait::readable(&[socket.as_fd()], Some(5000)).unwrap(), 0, "nothing arrived");
    socket.receive(batch).unwrap()
}

#[test]
fn udp_knows_both_addresses_and_cuts_segments() {
    let Some((a, b)) = pair() else { return };
    for v6 in [false, true] {
        let any: SocketAddr = if v6 { "[::]:4500" } else { "0.0.0.0:4500" }.parse().unwrap();
        let options = UdpOptions { receive_buffer: 1 << 20, mark: Some(7), ..UdpOptions::default() };
        let sa = a.run(|| UdpSocket::bind(any, &options)).unwrap().unwrap();
        let sb = b.run(|| UdpSocket::bind(any, &options)).unwrap().unwrap();
        let (left, right) =
            if v6 { (ip("2001:db8::1"), ip("2001:db8::2")) } else { (ip("192.0.2.1"), ip("192.0.2.2")) };
        let data: Vec<u8> = (0..10_500u32).map(|i| u8::try_from(i / 1000).unwrap()).collect();
        sa.send(&Outgoing {
            to: SocketAddr::new(right, 4500),
            from: Some(left),
            tos: Some(0xb8),
            segment: Some(1000),
            data: &data,
        })
        .unwrap();
        let mut batch = Batch::new(8, 65_535);
        let mut all = Vec::new();
        while all.len() < 11 {
            receive(&sb, &mut batch);
            for (meta, bytes) in batch.iter_mut() {
                assert_eq!(meta.source, SocketAddr::new(left, 4500));
                assert_eq!(meta.destination, Some(right));
                assert_ne!(meta.interface, 0);
                assert_eq!(meta.tos, 0xb8);
                assert!(!meta.truncated);
                all.extend(bytes.chunks_mut(meta.stride).map(|c| c.to_vec()));
            }
        }
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [vec![1000; 10], vec![500]].concat());
        assert_eq!(all.concat(), data);
        assert_eq!(sb.receive(&mut batch).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(a.run(|| PathMtu::to(right, Some(7)).unwrap().get().unwrap()).unwrap(), 1500);
        // a segment beyond the MTU goes out in fragments
        sa.send(&Outgoing {
            segment: Some(2000),
            data: &data,
            ..Outgoing::new(SocketAddr::new(right, 4500), &data)
        })
        .unwrap();
        let mut got = 0;
        while got < data.len() {
            receive(&sb, &mut batch);
            got += batch.iter_mut().map(|(m, _)| m.len).sum::<usize>();
        }
        assert_eq!(got, data.len());
    }
}

#[test]
fn tokio_waits_for_datagrams() {
    let Some((a, b)) = pair() else { return };
    let sa = a.run(|| UdpSocket::bind_v4(500, &UdpOptions::default())).unwrap().unwrap();
    let sb = b.run(|| UdpSocket::bind_v4(500, &UdpOptions::default())).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sa, sb) =
            (AsyncUdpSocket::new(Arc::new(sa)).unwrap(), AsyncUdpSocket::new(Arc::new(sb)).unwrap());
        let mut batch = Batch::new(4, 2000);
        let to: SocketAddr = "192.0.2.2:500".parse().unwrap();
        let hello = Outgoing { from: Some(ip("0.0.0.0")), ..Outgoing::new(to, b"hello") };
        let (sent, received) = tokio::join!(sa.send(&hello), sb.receive(&mut batch));
        sent.unwrap();
        assert_eq!(received.unwrap(), 1);
        let (meta, data) = batch.iter_mut().next().unwrap();
        assert_eq!((meta.source.to_string().as_str(), &data[..]), ("192.0.2.1:500", &b"hello"[..]));
    });
}

#[test]
fn raw_sockets_carry_esp() {
    let Some((a, b)) = pair() else { return };
    for (v6, to) in [(false, ip("192.0.2.2")), (true, ip("2001:db8::2"))] {
        let sa = a.run(|| RawSocket::esp(v6, None, 1 << 20)).unwrap().unwrap();
        let sb = b.run(|| RawSocket::esp(v6, None, 0)).unwrap().unwrap();
        sa.send(&Outgoing::new(SocketAddr::new(to, 4500), b"12345678abcd")).unwrap();
        assert_ne!(wait::readable(&[sb.as_fd()], Some(5000)).unwrap(), 0);
        let mut batch = Batch::new(4, 4096);
        sb.receive(&mut batch).unwrap();
        let (meta, data) = batch.iter_mut().next().unwrap();
        assert_eq!(sb.payload(data).unwrap(), b"12345678abcd");
        assert_eq!(meta.destination, Some(to));
    }
}

#[test]
fn a_tun_device_carries_packets() {
    let Some(ns) = namespace() else { return };
    ns.run(|| {
        let tun = Tun::create(&TunOptions { queues: 2, ..TunOptions::default() }).unwrap();
        assert_eq!((tun.name.as_str(), tun.queues.len()), ("ipsec0", 2));
        let mut netlink = Netlink::open().unwrap();
        let link = netlink.link("ipsec0").unwrap();
        assert!(link.up && link.mtu == 1400 && link.index == tun.index);
        netlink.add_address(tun.index, ip("10.9.0.1"), 24).unwrap();
        let out = UdpSocket::bind("10.9.0.1:4000".parse().unwrap(), &UdpOptions::default()).unwrap();
        out.send(&Outgoing::new("10.9.0.7:9".parse().unwrap(), b"through the device")).unwrap();
        let mut buffer = vec![0u8; 70_000];
        // one of the queues gets it, after the system's own router solicitations perhaps
        let packet = loop {
            let ready = wait::readable(&[tun.queues[0].as_fd(), tun.queues[1].as_fd()], Some(5000)).unwrap();
            assert_ne!(ready, 0, "nothing came out of the device");
            let queue = &tun.queues[if ready & 1 != 0 { 0 } else { 1 }];
            let n = queue.read(&mut buffer).unwrap();
            let packet = &buffer[VIRTIO_HEADER..n];
            if packet[0] >> 4 == 4 && packet[9] == 17 {
                break packet.to_vec();
            }
        };
        assert!(packet.ends_with(b"through the device"));
        // and back: an ICMP echo request to us is answered through the device
        let mut echo = vec![
            0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 9, 0, 7, 10, 9, 0, 1, 8, 0, 0xf7, 0xfd, 0, 1, 0, 1,
        ];
        let sum = echo[..20].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum::<u32>();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        echo[10..12].copy_from_slice(&sum.to_be_bytes());
        tun.queues[1].write(&[IoSlice::new(&[0; VIRTIO_HEADER]), IoSlice::new(&echo)]).unwrap();
        loop {
            let ready = wait::readable(&[tun.queues[0].as_fd(), tun.queues[1].as_fd()], Some(5000)).unwrap();
            assert_ne!(ready, 0, "no echo reply");
            let n = tun.queues[if ready & 1 != 0 { 0 } else { 1 }].read(&mut buffer).unwrap();
            let packet = &buffer[VIRTIO_HEADER..n];
            if packet[0] >> 4 == 4 && packet[9] == 1 && packet[20] == 0 {
                break;
            }
        }
    })
    .unwrap();
}

#[test]
fn routes_rules_and_paths() {
    let Some((a, _b)) = pair() else { return };
    a.run(|| {
        let mut netlink = Netlink::open().unwrap();
        let left = netlink.link_index("left").unwrap();
        let main = Route { gateway: Some(ip("192.0.2.2")), ..Route::new("0.0.0.0/0".parse().unwrap(), 254) };
        netlink.put_route(&main).unwrap();
        netlink
            .put_route(&Route {
                gateway: Some(ip("2001:db8::2")),
                ..Route::new("::/0".parse().unwrap(), 254)
            })
            .unwrap();
        let query = PathQuery { avoid_table: Some(220), ..PathQuery::default() };
        for (to, source, gateway) in [
            ("192.0.2.2", "192.0.2.1", None),
            ("198.51.100.9", "192.0.2.1", Some(ip("192.0.2.2"))),
            ("2001:db8:9::1", "2001:db8::1", Some(ip("2001:db8::2"))),
        ] {
            let path = netlink.path(ip(to), &query).unwrap();
            assert_eq!(
                (path.interface, path.source, path.gateway),
                (left, Some(ip(source)), gateway),
                "{to}"
            );
        }
        // a route of ours over everything must not answer the question
        let lo = netlink.link_index("lo").unwrap();
        for (all, v6) in [("0.0.0.0/0", false), ("::/0", true)] {
            netlink
                .put_route(&Route { interface: Some(lo), ..Route::new(all.parse().unwrap(), 220) })
                .unwrap();
            let rule = Rule { v6, priority: 220, table: 220, mark: Some((0xca, u32::MAX)), invert: true };
            assert!(netlink.add_rule(&rule).unwrap());
            assert!(!netlink.add_rule(&rule).unwrap());
            assert!(netlink.rules(v6).unwrap().contains(&rule));
        }
        assert_eq!(netlink.path(ip("198.51.100.9"), &PathQuery::default()).unwrap().interface, lo);
        for query in [query, PathQuery { mark: Some(0xca), ..PathQuery::default() }] {
            for (to, source) in [("198.51.100.9", "192.0.2.1"), ("2001:db8:9::1", "2001:db8::1")] {
                let path = netlink.path(ip(to), &query).unwrap();
                assert_eq!((path.interface, path.source), (left, Some(ip(source))));
            }
        }
        assert_eq!(netlink.routes(220).unwrap().len(), 2);
        let route = netlink.routes(220).unwrap().remove(0);
        assert!(netlink.delete_route(&route).unwrap());
        assert!(!netlink.delete_route(&route).unwrap());
        assert_eq!(netlink.routes(220).unwrap().len(), 1);
        // temporary, deprecated, and what is on the interfaces
        let added = netlink.add_virtual_ip(left, ip("2001:db8:77::5"), 128).unwrap();
        assert!(added);
        let address =
            netlink.addresses().unwrap().into_iter().find(|x| x.address == ip("2001:db8:77::5")).unwrap();
        assert!(address.deprecated && !address.tentative && address.prefix == 128);
        assert!(netlink.path(ip("255.0.0.1"), &PathQuery::default()).is_err() || lo > 0);
    })
    .unwrap();
}

#[test]
fn declared_state_is_installed_healed_and_undone() {
    let Some(ns) = namespace() else { return };
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("network.json");
    ns.run(|| {
        let tun = Tun::create(&TunOptions::default()).unwrap();
        let mut netlink = Netlink::open().unwrap();
        let before = (netlink.addresses().unwrap(), netlink.rules(false).unwrap());
        netlink.add_virtual_ip(tun.index, ip("10.1.0.9"), 32).unwrap(); // somebody else's
        let wanted = |address: &str| WantedAddress {
            interface: "ipsec0".into(),
            namespace: None,
            address: ip(address),
            prefix: if ip(address).is_ipv4() { 32 } else { 128 },
        };
        let route = |to: &str, source: &str| {
            Arc::new(WantedRoute {
                destination: to.parse().unwrap(),
                way: Arc::new(RouteWay {
                    table: 220,
                    interface: Some("ipsec0".into()),
                    namespace: None,
                    gateway: None,
                    source: Some(ip(source)),
                    mtu: None,
                    kind: RouteKind::Unicast,
                }),
            })
        };
        let desired = Desired {
            addresses: ["10.1.0.1", "10.1.0.9", "2001:db8:5::1"].map(wanted).into(),
            routes: [
                route("10.0.0.0/8", "10.1.0.1"),
                route("0.0.0.0/0", "10.1.0.1"),
                route("2001:db8:6::/48", "2001:db8:5::1"),
            ]
            .into(),
            rules: [Rule { v6: false, priority: 220, table: 220, mark: None, invert: false }].into(),
            ..Desired::default()
        };
        let mut network = Network::open(Some(&state)).unwrap();
        for _ in 0..2 {
            let failures = network.apply(&desired);
            assert!(failures.is_empty(), "{failures:?}");
            assert_eq!(netlink.routes(220).unwrap().len(), 3);
        }
        // the kernel forgets: down and up drops v4 routes, the address goes by hand
        netlink.set_up(tun.index, false).unwrap();
        netlink.set_up(tun.index, true).unwrap();
        netlink.delete_address(tun.index, ip("10.1.0.1"), 32).unwrap();
        assert!(netlink.routes(220).unwrap().len() < 3);
        assert!(network.refresh(&desired).is_empty());
        assert_eq!(netlink.routes(220).unwrap().len(), 3);
        // nothing to heal: nobody is told of anything
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut events = Events::open(None).unwrap();
            assert!(network.refresh(&desired).is_empty());
            netlink.add_virtual_ip(tun.index, ip("10.1.0.99"), 32).unwrap();
            match events.next().await.unwrap() {
                Change::Address(a) => assert_eq!(a.address, ip("10.1.0.99")),
                other => panic!("{other:?}"),
            }
            netlink.delete_address(tun.index, ip("10.1.0.99"), 32).unwrap();
        });
        // two of ours to one destination: when one goes, the other is there
        let mut both = desired.clone();
        both.routes.insert(route("10.0.0.0/8", "10.1.0.9"));
        assert!(network.apply(&both).is_empty());
        assert!(network.apply(&desired).is_empty());
        let source = |netlink: &mut Netlink| {
            let all = netlink.routes(220).unwrap();
            all.into_iter().find(|r| r.destination.to_string() == "10.0.0.0/8").and_then(|r| r.source)
        };
        assert_eq!(source(&mut netlink), Some(ip("10.1.0.1")));
        // a throw route, both families
        let mut throws = desired.clone();
        for to in ["10.7.0.0/16", "2001:db8:7::/48"] {
            let route = route(to, "10.1.0.1");
            let way =
                RouteWay { interface: None, source: None, kind: RouteKind::Throw, ..(*route.way).clone() };
            throws.routes.insert(Arc::new(WantedRoute { way: Arc::new(way), ..(*route).clone() }));
        }
        assert!(network.apply(&throws).is_empty());
        assert_eq!(netlink.routes(220).unwrap().len(), 5);
        assert!(network.refresh(&throws).is_empty());
        assert!(network.apply(&desired).is_empty());
        assert_eq!(netlink.routes(220).unwrap().len(), 3);
        // one route less, one source other
        let fewer = Desired { routes: [route("10.0.0.0/8", "10.1.0.9")].into(), ..desired.clone() };
        assert!(network.apply(&fewer).is_empty());
        let left = netlink.routes(220).unwrap();
        assert_eq!((left.len(), left[0].source), (1, Some(ip("10.1.0.9"))));
        network.apply(&desired);
        // crash: the successor cleans up, but leaves what was not ours
        drop(network);
        assert!(state.exists());
        let mut network = Network::open(Some(&state)).unwrap();
        assert!(!state.exists());
        assert_eq!(netlink.routes(220).unwrap(), []);
        assert_eq!(netlink.rules(false).unwrap(), before.1);
        let now: BTreeSet<IpAddr> = netlink.addresses().unwrap().iter().map(|x| x.address).collect();
        assert!(
            now.contains(&ip("10.1.0.9"))
                && !now.contains(&ip("10.1.0.1"))
                && !now.contains(&ip("2001:db8:5::1"))
        );
        // and an orderly end
        assert!(network.apply(&desired).is_empty());
        assert!(network.clear().is_empty());
        assert!(!state.exists());
        assert_eq!(netlink.routes(220).unwrap(), []);
        netlink.delete_address(tun.index, ip("10.1.0.9"), 32).unwrap();
        let same = |all: &[linux::netlink::Address]| {
            all.iter()
                .map(|x| x.address)
                .filter(|x| !x.to_string().starts_with("fe80"))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(same(&netlink.addresses().unwrap()), same(&before.0));
    })
    .unwrap();
}

#[test]
fn changes_are_told() {
    let Some(ns) = namespace() else { return };
    ns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut events = Events::open(None).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let lo = netlink.link_index("lo").unwrap();
            netlink.add_address(lo, ip("10.3.0.1"), 24).unwrap();
            netlink.delete_address(lo, ip("10.3.0.1"), 24).unwrap();
            let (mut added, mut gone) = (false, false);
            while !gone {
                match events.next().await.unwrap() {
                    Change::Address(a) if a.address == ip("10.3.0.1") => added = true,
                    Change::AddressGone(a) if a.address == ip("10.3.0.1") => gone = true,
                    _ => {}
                }
            }
            assert!(added);
        });
    })
    .unwrap();
}

#[test]
fn a_masquerading_router_hides_what_is_behind() {
    let (Some(inside), Some(router), Some(outside)) = (namespace(), namespace(), namespace()) else { return };
    cable(&inside, "eth0", &router, "lan").unwrap();
    cable(&router, "wan", &outside, "eth0").unwrap();
    inside.configure("eth0", "10.0.0.2/24".parse().unwrap()).unwrap();
    router.configure("lan", "10.0.0.1/24".parse().unwrap()).unwrap();
    router.configure("wan", "192.0.2.1/24".parse().unwrap()).unwrap();
    outside.configure("eth0", "192.0.2.2/24".parse().unwrap()).unwrap();
    inside.route("0.0.0.0/0".parse().unwrap(), ip("10.0.0.1")).unwrap();
    router.forward().unwrap();
    router.run(|| nat::masquerade("wan", false)).unwrap().unwrap();
    let s = inside.run(|| UdpSocket::bind_v4(0, &UdpOptions::default())).unwrap().unwrap();
    let r = outside.run(|| UdpSocket::bind_v4(4500, &UdpOptions::default())).unwrap().unwrap();
    s.send(&Outgoing::new("192.0.2.2:4500".parse().unwrap(), b"hello")).unwrap();
    let mut batch = Batch::new(1, 2000);
    receive(&r, &mut batch);
    let (meta, _) = batch.iter_mut().next().unwrap();
    assert_eq!(meta.source.ip(), ip("192.0.2.1"));
    r.send(&Outgoing::new(meta.source, b"back")).unwrap();
    receive(&s, &mut batch);
    let (meta, data) = batch.iter_mut().next().unwrap();
    assert_eq!((meta.source.to_string().as_str(), &data[..]), ("192.0.2.2:4500", &b"back"[..]));
}

#[test]
fn programs_are_confined() {
    let Some(ns) = namespace() else { return };
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "cat /proc/net/dev; ls /run; echo end"]);
    ns.confine(&mut command, &[std::path::Path::new("/run")]).unwrap();
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!((lines.len(), lines[1]), (2, "end"), "{text}");
    assert!(lines[0].trim().starts_with("lo:"));
}

#[test]
fn routes_come_and_go_singly_and_unheard_by_ourselves() {
    let Some(ns) = namespace() else { return };
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("network.json");
    ns.run(|| {
        let tun = Tun::create(&TunOptions::default()).unwrap();
        let mut netlink = Netlink::open().unwrap();
        let route = |to: &str, mtu: Option<u32>| WantedRoute {
            destination: to.parse().unwrap(),
            way: Arc::new(RouteWay {
                table: 220,
                interface: Some("ipsec0".into()),
                namespace: None,
                gateway: None,
                source: None,
                mtu,
                kind: RouteKind::Unicast,
            }),
        };
        let mut network = Network::open(Some(&state)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut events = Events::open(Some(network.netlink().port())).unwrap();
            let mut routes = Routes::default();
            let kept: Vec<_> = ["10.1.0.1/32", "10.1.0.2/32", "2001:db8::1/128"]
                .map(|to| routes.add(route(to, None)))
                .into();
            let again = routes.add(route("10.1.0.1/32", None));
            assert!(Arc::ptr_eq(&again, &kept[0]));
            assert!(routes.have_changed());
            assert_eq!(network.change_routes(&mut routes).len(), 0);
            assert!(!routes.have_changed() && state.exists());
            assert_eq!(netlink.routes(220).unwrap().len(), 3);
            // the second user of the first is left, so only the second goes
            routes.remove(&kept[0]);
            routes.remove(&kept[1]);
            assert_eq!(network.change_routes(&mut routes).len(), 0);
            assert_eq!(netlink.routes(220).unwrap().len(), 2);
            // another in its place, and back
            let other = routes.add(route("10.1.0.1/32", Some(1300)));
            assert_eq!(network.change_routes(&mut routes).len(), 0);
            routes.remove(&other);
            assert_eq!(network.change_routes(&mut routes).len(), 0);
            let mut left = netlink.routes(220).unwrap();
            left.retain(|route| route.destination.addr().is_ipv4());
            assert_eq!(left.iter().map(|route| route.mtu).collect::<Vec<_>>(), [None]);
            // what cannot be put is owed until it can
            tun_down(&mut netlink, tun.index);
            let late = routes.add(route("10.1.0.9/32", None));
            assert_eq!(network.change_routes(&mut routes).len(), 1);
            netlink.set_up(tun.index, true).unwrap();
            assert_eq!(network.change_routes(&mut routes).len(), 0);
            assert!(netlink.routes(220).unwrap().iter().any(|route| route.destination == late.destination));
            // only what others did was told
            netlink
                .put_route(&Route {
                    interface: Some(tun.index),
                    ..Route::new("10.9.0.0/16".parse().unwrap(), 221)
                })
                .unwrap();
            loop {
                match events.next().await.unwrap() {
                    Change::Route(seen) if seen.table == 220 => panic!("{seen:?}"),
                    Change::Route(seen) if seen.table == 221 => break,
                    _ => {}
                }
            }
        });
        // a successor finds in the file what is left
        drop(network);
        let network = Network::open(Some(&state)).unwrap();
        assert_eq!(netlink.routes(220).unwrap(), []);
        drop(network);
        // what is on a device that ends with us needs no file
        let mut network = Network::open(Some(&state)).unwrap();
        network.set_fleeting("ipsec0");
        let mut routes = Routes::default();
        routes.add(route("10.1.0.1/32", None));
        assert_eq!(network.change_routes(&mut routes).len(), 0);
        assert!(!state.exists() && netlink.routes(220).unwrap().len() == 1);
    })
    .unwrap();
}

fn tun_down(netlink: &mut Netlink, index: u32) {
    netlink.set_up(index, false).unwrap();
}
