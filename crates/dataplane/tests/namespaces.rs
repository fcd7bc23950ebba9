//! Two data planes in two network namespaces, real sockets and devices between them, fixed keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "tests say what they could not do")]

#[path = "world/world.rs"]
mod world;

use dataplane::{Backend, Notice};
use linux::message::Outgoing;
use policy::sa::PolicyOnly;
use policy::{Child, Mode, Selector};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use wire::iana::{Encr, Integ, ProtocolId};
use world::{Case, End, child, connect, ends};

const PATIENCE: Duration = Duration::from_secs(20);

/// An answering service for datagrams, and a client for it.
fn echo(a: &End, b: &End, port: u16) -> (std::net::UdpSocket, std::net::UdpSocket) {
    let bind = |end: &End, port: u16| {
        let s = end.ns.run(|| std::net::UdpSocket::bind(SocketAddr::new(end.inner, port)).unwrap()).unwrap();
        s.set_read_timeout(Some(PATIENCE)).unwrap();
        s
    };
    let (client, server) = (bind(a, port), bind(b, port));
    client.connect(SocketAddr::new(b.inner, port)).unwrap();
    (client, server)
}

fn datagrams_pass(a: &End, b: &End, case: Case) {
    let (client, server) = echo(a, b, 7000);
    let mut buffer = vec![0u8; 70_000];
    // small, just about the MTU, and in fragments
    for len in [0usize, 1, 100, 1300, 1372, 4000, 20_000] {
        let data: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        if case.mode == Mode::Transport && len > 1300 {
            continue; // fragments cannot be protected in transport mode
        }
        client.send(&data).unwrap();
        let (n, from) =
            server.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{len} bytes: {e}; {}", state(a, b)));
        assert_eq!((&buffer[..n], from.ip()), (&data[..], a.inner), "{len} bytes there");
        server.send_to(&data, from).unwrap();
        let n = client.recv(&mut buffer).unwrap_or_else(|e| panic!("{len} bytes back: {e}; {}", state(a, b)));
        assert_eq!(&buffer[..n], &data[..], "{len} bytes back");
    }
}

/// What the planes say when a packet is missing.
fn state(a: &End, b: &End) -> String {
    let net =
        |end: &End| end.ns.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    let (ca, cb) = (a.plane.counters(), b.plane.counters());
    format!("{ca:?} {cb:?}\n{}\n{}", net(a), net(b))
}

/// Megabytes each way at once; what arrives is what was sent.
fn streams_pass(a: &End, b: &End, total: usize) {
    let listener = b.ns.run(|| TcpListener::bind(SocketAddr::new(b.inner, 7001)).unwrap()).unwrap();
    let pattern = |i: usize| u8::try_from(i % 241).unwrap();
    let work = move |mut stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let data: Vec<u8> = (0..total).map(pattern).collect();
            writer.write_all(&data).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        sending.join().unwrap();
        assert_eq!(got.len(), total);
        assert!(got.iter().enumerate().all(|(i, byte)| *byte == pattern(i)));
    };
    let serving = std::thread::spawn(move || work(listener.accept().unwrap().0));
    let stream =
        a.ns.run(|| TcpStream::connect_timeout(&SocketAddr::new(b.inner, 7001), PATIENCE).unwrap()).unwrap();
    work(stream);
    serving.join().unwrap();
}

fn run(case: Case) {
    let Some((mut a, mut b)) = ends(case) else { return };
    connect(case, &mut a, &mut b);
    datagrams_pass(&a, &b, case);
    streams_pass(&a, &b, 3_000_000);
    for end in [&mut a, &mut b] {
        let (usage_in, usage_out) = end.plane.query(1).unwrap();
        assert!(usage_in.packets > 10 && usage_in.bytes > 3_000_000 && usage_in.last.is_some(), "{case:?}");
        assert!(usage_out.packets > 10 && usage_out.bytes > 3_000_000, "{case:?}");
        let counters = end.plane.numbers();
        for reason in [esp::Drop::Integrity, esp::Drop::Replay, esp::Drop::Selector, esp::Drop::UnknownSpi] {
            assert_eq!(counters.inbound.get(reason), 0, "{case:?} {:?}", counters.list());
        }
        assert_eq!(counters.send_failed.get(), 0, "{case:?}");
        end.plane.remove(1, false).unwrap();
        assert!(end.plane.query(1).is_err());
    }
}

#[test]
fn tunnel_mode_in_udp() {
    for (inner6, outer6) in [(false, false), (true, false), (false, true), (true, true)] {
        run(Case { inner6, outer6, ..Case::default() });
    }
}

#[test]
fn tunnel_mode_without_udp() {
    for (inner6, outer6) in [(false, false), (true, false), (false, true), (true, true)] {
        run(Case { inner6, outer6, encap: false, ..Case::default() });
    }
}

#[test]
fn transport_mode() {
    for (outer6, encap) in [(false, false), (true, false), (false, true), (true, true)] {
        run(Case { mode: Mode::Transport, outer6, encap, ..Case::default() });
    }
}

#[test]
fn two_lanes() {
    run(Case { lanes: 2, ..Case::default() });
    run(Case { lanes: 2, encap: false, inner6: true, ..Case::default() });
}

#[test]
fn without_offload() {
    run(Case { offload: false, ..Case::default() });
    run(Case { offload: false, inner6: true, lanes: 2, ..Case::default() });
}

#[test]
fn other_transforms() {
    for encr in [
        (Encr::AesCbc, 256, Integ::HmacSha256_128),
        (Encr::ChaCha20Poly1305, 0, Integ::None),
        (Encr::Null, 0, Integ::HmacSha1_96),
    ] {
        run(Case { encr, esn: true, ..Case::default() });
    }
}

/// The cable takes less than the device: inner senders are told, or packets are cut.
#[test]
fn a_narrow_path() {
    for (inner6, mtu) in [(false, 1000), (true, 1360)] {
        let case = Case { inner6, mtu, ..Case::default() };
        let Some((mut a, mut b)) = ends(case) else { return };
        connect(case, &mut a, &mut b);
        // What must not be cut is refused, and the sender's kernel learns what fits. The first tries are lost.
        let (client, server) = echo(&a, &b, 6999);
        server.connect(SocketAddr::new(a.inner, 6999)).unwrap();
        for (socket, end, to) in [(&client, &a, b.inner), (&server, &b, a.inner)] {
            let path = end.ns.run(|| linux::udp::PathMtu::to(to, None).unwrap()).unwrap();
            let start = std::time::Instant::now();
            while path.get().unwrap() >= 1400 {
                assert!(start.elapsed() < PATIENCE, "nobody was told: {:?}", end.plane.counters());
                let _told = socket.send(&[7; 1352]);
                std::thread::yield_now();
            }
            let learnt = u32::from(path.get().unwrap());
            assert!((mtu - 100..mtu).contains(&learnt), "{learnt} of {mtu}");
        }
        datagrams_pass(&a, &b, case);
        streams_pass(&a, &b, 1_000_000);
        assert!(a.plane.numbers().out.get(esp::Drop::TooBig) > 0);
    }
}

#[test]
fn a_trap_asks_once_and_what_it_kept_arrives() {
    let case = Case { lanes: 2, ..Case::default() };
    let Some((mut a, mut b)) = ends(case) else { return };
    let policy = PolicyOnly {
        interface: None,
        id: 1,
        connection: "test".into(),
        config: Arc::new(Child::named("net")),
        local_ts: vec![Selector::host(a.inner)],
        remote_ts: vec![Selector::host(b.inner)],
        reqid: 7,
        local: Some(a.outer),
        remote: Some(b.outer),
        mark_in: (0, 0),
        mark_out: (0, 0),
        if_id_in: 0,
        if_id_out: 0,
    };
    a.plane.install_policy(&policy).unwrap();
    let (client, server) = echo(&a, &b, 7000);
    client.send(b"first").unwrap();
    client.send(b"second").unwrap();
    let Some(Notice::Acquire { trap: 1, packet: Some((local, remote)) }) = a.notices.blocking_recv() else {
        panic!("no acquire")
    };
    assert_eq!((local.start, remote.start, local.protocol), (a.inner, b.inner, 17));
    assert_eq!((local.ports, remote.ports), ((7000, 7000), (7000, 7000)));
    connect(case, &mut a, &mut b);
    let mut buffer = [0u8; 100];
    // in any order: the second may have come when there was an SA already
    let mut kept = Vec::new();
    for _ in 0..2 {
        let n = server.recv(&mut buffer).unwrap();
        kept.push(buffer[..n].to_vec());
    }
    kept.sort();
    assert_eq!(kept, [b"first".to_vec(), b"second".to_vec()]);
    assert!(a.notices.try_recv().is_err());
    // the CHILD_SA goes, the trap asks again
    a.plane.remove(1, true).unwrap();
    client.send(b"third").unwrap();
    assert!(matches!(a.notices.blocking_recv(), Some(Notice::Acquire { trap: 1, .. })));
    a.plane.remove_policy(1).unwrap();
    assert!(a.plane.remove_policy(1).is_err());
}

#[test]
fn rekeying_loses_nothing() {
    let case = Case::default();
    let Some((mut a, mut b)) = ends(case) else { return };
    connect(case, &mut a, &mut b);
    let (client, server) = echo(&a, &b, 7000);
    let mut count = 0u32;
    let mut ping = |client: &std::net::UdpSocket, server: &std::net::UdpSocket| {
        count += 1;
        let mut buffer = [0u8; 100];
        client.send(&count.to_be_bytes()).unwrap();
        let (n, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..n], from).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 4);
        assert_eq!(buffer[..4], count.to_be_bytes());
    };
    ping(&client, &server);
    // the responder installs both halves and goes on sending on the old one
    let mut sb = child(case, &b, &a, 1, 2, |_| {});
    (sb.replaces, sb.inbound_only) = (Some(1), true);
    b.plane.install(&sb).unwrap();
    ping(&client, &server);
    assert_eq!(b.plane.query(2).unwrap().1.packets, 0);
    // the initiator sends on the new one at once
    let mut sa = child(case, &a, &b, 0, 2, |_| {});
    sa.replaces = Some(1);
    a.plane.install(&sa).unwrap();
    ping(&client, &server);
    assert!(matches!(b.notices.blocking_recv(), Some(Notice::FirstUse { child: 2 })));
    assert_eq!(b.plane.query(2).unwrap().0.packets, 1);
    b.plane.activate_outbound(2).unwrap();
    ping(&client, &server);
    assert_eq!(b.plane.query(2).unwrap().1.packets, 1);
    for end in [&mut a, &mut b] {
        end.plane.remove(1, true).unwrap();
    }
    ping(&client, &server);
    // should the new one go first, the old one serves again
    let old = (child(case, &a, &b, 0, 3, |_| {}), child(case, &b, &a, 1, 3, |_| {}));
    a.plane.install(&old.0).unwrap();
    b.plane.install(&old.1).unwrap();
    ping(&client, &server);
    assert!(a.plane.query(3).unwrap().1.packets > 0);
    a.plane.remove(3, true).unwrap();
    b.plane.remove(3, true).unwrap();
    ping(&client, &server);
}

#[test]
fn limits_and_moved_peers_are_told() {
    let case = Case::default();
    let Some((mut a, mut b)) = ends(case) else { return };
    let (mut sa, mut sb) = (child(case, &a, &b, 0, 1, |_| {}), child(case, &b, &a, 1, 1, |_| {}));
    (sa.soft, sa.hard) = ((0, 3), (0, 5));
    // b believes a behind another port
    sb.remote.set_port(4501);
    a.plane.install(&sa).unwrap();
    b.plane.install(&sb).unwrap();
    let (client, server) = echo(&a, &b, 7000);
    let mut buffer = [0u8; 10];
    for _ in 0..5 {
        client.send(b"x").unwrap();
        server.recv(&mut buffer).unwrap();
    }
    client.send(b"one too many").unwrap();
    assert_eq!(a.notices.blocking_recv(), Some(Notice::Expire { child: 1, hard: false }));
    assert_eq!(a.notices.blocking_recv(), Some(Notice::Expire { child: 1, hard: true }));
    let remote = SocketAddr::new(a.outer, 4500);
    assert_eq!(b.notices.blocking_recv(), Some(Notice::Mapping { child: 1, remote }));
    assert!(b.notices.try_recv().is_err(), "told once");
    b.plane.update(1, SocketAddr::new(b.outer, 4500), remote, true).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(server.recv(&mut buffer).is_err(), "beyond the hard limit nothing leaves");
    assert_eq!(a.plane.query(1).unwrap().1.packets, 5);
}

#[test]
fn the_port_is_shared_with_ike() {
    let case = Case::default();
    let Some((a, mut b)) = ends(case) else { return };
    let to = SocketAddr::new(b.outer, 4500);
    let send = |data: &[u8]| a.udp[0].send(&Outgoing::new(to, data)).unwrap();
    send(&[0xff]);
    send(&[]);
    send(&[1, 2, 3]);
    send(&[0xc0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    send(&[0, 0, 0, 0]);
    send(&[&[0u8; 4][..], b"an IKE message"].concat());
    let (local, remote, empty) = b.ike.blocking_recv().unwrap();
    assert_eq!((local, remote, empty.len()), (to, SocketAddr::new(a.outer, 4500), 0));
    assert_eq!(b.ike.blocking_recv().unwrap().2, b"an IKE message");
    let counters = b.plane.numbers();
    assert_eq!((counters.keepalives.get(), counters.short.get()), (1, 2), "{:?}", counters.list());
    assert_eq!(counters.inbound.get(esp::Drop::UnknownSpi), 1);
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let case = Case::default();
    let Some((mut a, b)) = ends(case) else { return };
    let mut sa = child(Case { mode: Mode::Beet, ..case }, &a, &b, 0, 1, |_| {});
    assert!(a.plane.install(&sa).unwrap_err().to_string().contains("Beet"));
    sa = child(case, &a, &b, 0, 1, |_| {});
    sa.protocol = ProtocolId::Ah;
    assert!(a.plane.install(&sa).unwrap_err().to_string().contains("AH"));
    sa = child(case, &a, &b, 0, 1, |_| {});
    a.plane.install(&sa).unwrap();
    sa.id = 2;
    assert!(a.plane.install(&sa).unwrap_err().to_string().contains("SPI"));
    assert!(a.plane.remove(9, false).is_err());
}

#[test]
fn pass_shunts_come_before_the_tunnel_and_drop_shunts_after() {
    let case = Case::default();
    let Some((mut a, mut b)) = ends(case) else { return };
    let (client, server) = echo(&a, &b, 7000);
    let shunt = |id: u32, mode: Mode| PolicyOnly {
        interface: None,
        id,
        connection: "test".into(),
        config: Arc::new(Child { mode, ..Child::named("shunt") }),
        local_ts: vec![Selector::host(a.inner).restricted(17, (0, u16::MAX))],
        remote_ts: vec![Selector::host(b.inner).restricted(17, (7000, 7000))],
        reqid: 0,
        local: None,
        remote: None,
        mark_in: (0, 0),
        mark_out: (0, 0),
        if_id_in: 0,
        if_id_out: 0,
    };
    let (drop, pass) = (shunt(1, Mode::Drop), shunt(2, Mode::Pass));
    let dropped = |a: &End, n: u64| {
        let start = std::time::Instant::now();
        while a.plane.numbers().out.get(esp::Drop::Policy) < n {
            assert!(start.elapsed() < PATIENCE, "{}", state(a, a));
            std::thread::yield_now();
        }
    };
    let arrives = |data: &[u8]| {
        client.send(data).unwrap();
        let mut buffer = [0u8; 100];
        let n = server.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], data);
    };
    a.plane.install_policy(&drop).unwrap();
    client.send(b"dropped").unwrap();
    dropped(&a, 1);
    connect(case, &mut a, &mut b);
    arrives(b"by the tunnel");
    a.plane.install_policy(&pass).unwrap();
    // it came to the device all the same: not ours to send
    client.send(b"past the tunnel").unwrap();
    dropped(&a, 2);
    a.plane.remove_policy(2).unwrap();
    arrives(b"by the tunnel again");
}
