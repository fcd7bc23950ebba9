//! The kernel's data plane between two network namespaces, fixed keys. `cargo xtask kernel-test` runs it on a kernel
//! that has ESP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::Secret;
use dataplane::{Backend, Notice, Xfrm, XfrmOptions};
use linux::netns::{Namespace, cable};
use linux::ping::Pinger;
use linux::udp::{UdpOptions, UdpSocket};
use policy::sa::PolicyOnly;
use policy::{Child, ChildSa, Mark, MarkValue, Mode, SaKeys, Selector};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, channel};
use wire::iana::{Encr, Integ, ProtocolId};

const PATIENCE: Duration = Duration::from_secs(20);
const GCM: (Encr, u16, Integ) = (Encr::AesGcm16, 128, Integ::None);

struct End {
    ns: Namespace,
    plane: Option<Xfrm>,
    notices: Receiver<Notice>,
    outer: IpAddr,
    inner: IpAddr,
    /// Takes ESP in UDP.
    _nat_t: UdpSocket,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn start(ns: &Namespace, state_file: Option<&Path>) -> (Xfrm, Receiver<Notice>) {
    let options = XfrmOptions { state_file: state_file.map(Path::to_owned), ..XfrmOptions::default() };
    let (tx, rx) = channel(64);
    let plane = ns.run(|| Xfrm::start(&options, tx).unwrap()).unwrap();
    (plane, rx)
}

/// Two hosts on one link, an inner network behind each.
fn ends() -> (End, End) {
    let (a, b) = (Namespace::create().unwrap(), Namespace::create().unwrap());
    cable(&a, "wire", &b, "wire").unwrap();
    let end = |ns: Namespace, n: u8| {
        let other = 3 - n;
        ns.configure("wire", format!("192.0.2.{n}/24").parse().unwrap()).unwrap();
        ns.configure("wire", format!("192.0.2.{n}1/24").parse().unwrap()).unwrap();
        ns.configure("wire", format!("2001:db8::{n}/64").parse().unwrap()).unwrap();
        ns.configure("lo", format!("10.{n}.0.1/32").parse().unwrap()).unwrap();
        ns.configure("lo", format!("fd0{n}::1/128").parse().unwrap()).unwrap();
        run(&ns, &format!("ip route add 10.{other}.0.0/16 via 192.0.2.{other} src 10.{n}.0.1"));
        run(&ns, &format!("ip -6 route add fd0{other}::/16 via 2001:db8::{other} src fd0{n}::1"));
        let nat_t = ns
            .run(|| {
                let socket = UdpSocket::bind_v4(4500, &UdpOptions::default()).unwrap();
                socket.take_esp().unwrap();
                socket
            })
            .unwrap();
        let (plane, notices) = start(&ns, None);
        let (outer, inner) = (ip(&format!("192.0.2.{n}")), ip(&format!("10.{n}.0.1")));
        End { ns, plane: Some(plane), notices, outer, inner, _nat_t: nat_t }
    };
    (end(a, 1), end(b, 2))
}

fn run(ns: &Namespace, line: &str) -> String {
    let mut c = Command::new("sh");
    c.args(["-c", line]);
    ns.confine(&mut c, &[]).unwrap();
    let out = c.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{line}: {said}");
    said
}

fn keys((encr, bits, integ): (Encr, u16, Integ), salt: u8) -> SaKeys {
    let len = if encr == Encr::Null { 0 } else { crypto::table::key_len(encr, bits).unwrap() };
    let integ = if integ == Integ::None { 0 } else { crypto::table::integ_key_len(integ).unwrap() };
    // 3DES wants three keys that differ.
    let key = (0..len).map(|i| salt.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap() * 7)).collect();
    SaKeys { encr: Secret::new(key), integ: Secret::new(vec![salt; integ]) }
}

/// Generation `g` as side 0 or 1 sees it.
fn order(us: &End, them: &End, side: u8, g: u32, change: impl FnOnce(&mut ChildSa, &mut Child)) -> ChildSa {
    let spi = |side: u8| 0xc000_0000 + g * 16 + u32::from(side);
    let mut sa = ChildSa {
        id: g,
        ike_id: 1,
        config: Arc::default(),
        connection: "test".into(),
        reqid: 7,
        protocol: ProtocolId::Esp,
        mode: Mode::Tunnel,
        spi_in: spi(side),
        spi_out: spi(1 - side),
        encr: (GCM.0, GCM.1),
        integ: GCM.2,
        esn: false,
        keys_in: SaKeys { encr: Secret::default(), integ: Secret::default() },
        keys_out: SaKeys { encr: Secret::default(), integ: Secret::default() },
        local: SocketAddr::new(us.outer, 4500),
        remote: SocketAddr::new(them.outer, 4500),
        encap: false,
        tfc_allowed: true,
        local_ts: [Selector::host(us.inner)].into(),
        remote_ts: [Selector::host(them.inner)].into(),
        local_vips: [].into(),
        initiator: side == 0,
        replaces: None,
        inbound_only: false,
        mark_in: (0, 0),
        mark_out: (0, 0),
        if_id_in: 0,
        if_id_out: 0,
        interface: None,
        soft: (0, 0),
        cpi_in: 0,
        cpi_out: 0,
        hard: (0, 0),
    };
    let mut config = Child::named("net");
    change(&mut sa, &mut config);
    config.mode = sa.mode;
    sa.config = Arc::new(config);
    let algorithms = (sa.encr.0, sa.encr.1, sa.integ);
    sa.keys_in = keys(algorithms, 10 + side);
    sa.keys_out = keys(algorithms, 11 - side);
    sa
}

impl End {
    fn plane(&mut self) -> &mut Xfrm {
        self.plane.as_mut().unwrap()
    }

    fn pings(&self, to: IpAddr) -> bool {
        let ping = || Pinger::open(to).unwrap().ping(1, Duration::from_secs(3));
        self.ns.run(|| ping().is_ok_and(|echo| echo.is_some())).unwrap()
    }

    fn state(&self) -> String {
        run(
            &self.ns,
            "ip -d xfrm state; ip xfrm policy | grep -v socket; cat /proc/net/xfrm_stat | grep -v ' 0$' || true",
        )
    }

    fn notice(&mut self) -> Notice {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(notice) = self.notices.try_recv() {
                return notice;
            }
            assert!(Instant::now() < end, "nothing was reported\n{}", self.state());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn install(a: &mut End, b: &mut End, g: u32, change: impl Fn(&mut ChildSa, &mut Child)) {
    let (sa, sb) = (order(a, b, 0, g, &change), order(b, a, 1, g, &change));
    a.plane().install(&sa).unwrap_or_else(|e| panic!("{e}"));
    b.plane().install(&sb).unwrap_or_else(|e| panic!("{e}"));
}

fn remove(a: &mut End, b: &mut End, g: u32) {
    a.plane().remove(g, false).unwrap();
    b.plane().remove(g, false).unwrap();
}

/// Nothing of ours.
fn nothing_left(end: &End) {
    assert_eq!(run(&end.ns, "ip xfrm state"), "");
    let policies = run(&end.ns, "ip xfrm policy");
    assert!(!policies.contains("tmpl") && !policies.contains("dir "), "{policies}");
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn every_algorithm_the_kernel_has_carries_traffic() {
    let (mut a, mut b) = ends();
    let all = [
        GCM,
        (Encr::AesGcm8, 256, Integ::None),
        (Encr::AesGcm12, 192, Integ::None),
        (Encr::AesCcm8, 128, Integ::None),
        (Encr::AesCcm12, 192, Integ::None),
        (Encr::AesCcm16, 256, Integ::None),
        (Encr::NullAesGmac, 128, Integ::None),
        (Encr::ChaCha20Poly1305, 0, Integ::None),
        (Encr::AesCbc, 128, Integ::HmacSha1_96),
        (Encr::AesCbc, 192, Integ::AesXcbc96),
        (Encr::AesCbc, 256, Integ::HmacSha256_128),
        (Encr::AesCtr, 128, Integ::HmacSha384_192),
        (Encr::CamelliaCbc, 256, Integ::HmacSha512_256),
        (Encr::TripleDes, 0, Integ::HmacMd5_96),
        (Encr::Null, 0, Integ::AesCmac96),
    ];
    for (g, (encr, bits, integ)) in (1u32..).zip(all) {
        install(&mut a, &mut b, g, |sa, _| {
            (sa.encr, sa.integ) = ((encr, bits), integ);
            sa.esn = g % 2 == 0;
        });
        assert!(a.pings(b.inner), "{encr:?} {bits} {integ:?}\n{}{}", a.state(), b.state());
        let (inbound, outbound) = a.plane().remove(g, false).unwrap();
        assert_eq!((inbound.packets, outbound.packets), (1, 1), "{encr:?}");
        assert!(inbound.bytes >= 84 && inbound.last.is_some(), "{inbound:?}");
        b.plane().remove(g, false).unwrap();
    }
    let unknown = order(&a, &b, 0, 99, |sa, _| sa.encr = (Encr::CamelliaCcm16, 128));
    let said = a.plane().install(&unknown).unwrap_err().to_string();
    assert_eq!(said, "CHILD_SA net{99}: CamelliaCcm16 is not supported by the xfrm data plane");
    nothing_left(&a);
    nothing_left(&b);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn modes_families_and_udp() {
    let (mut a, mut b) = ends();
    // v6 in v4, in UDP
    install(&mut a, &mut b, 1, |sa, _| {
        let side = if sa.initiator { [1, 2] } else { [2, 1] };
        sa.local_ts = [Selector::host(ip(&format!("fd0{}::1", side[0])))].into();
        sa.remote_ts = [Selector::host(ip(&format!("fd0{}::1", side[1])))].into();
        sa.encap = true;
    });
    assert!(a.pings(ip("fd02::1")), "{}{}", a.state(), b.state());
    assert!(a.state().contains("espinudp sport 4500 dport 4500"), "{}", a.state());
    remove(&mut a, &mut b, 1);
    // v4 in v6
    install(&mut a, &mut b, 2, |sa, _| {
        let side = if sa.initiator { [1, 2] } else { [2, 1] };
        sa.local = SocketAddr::new(ip(&format!("2001:db8::{}", side[0])), 4500);
        sa.remote = SocketAddr::new(ip(&format!("2001:db8::{}", side[1])), 4500);
    });
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    remove(&mut a, &mut b, 2);
    // transport, plain and in UDP
    for (g, encap) in [(3, false), (4, true)] {
        install(&mut a, &mut b, g, |sa, _| {
            sa.mode = Mode::Transport;
            sa.encap = encap;
            sa.local_ts = [Selector::host(sa.local.ip())].into();
            sa.remote_ts = [Selector::host(sa.remote.ip())].into();
        });
        assert!(a.pings(b.outer), "{}{}", a.state(), b.state());
        assert!(!a.state().contains("dir fwd"), "{}", a.state());
        assert_eq!(a.plane().query(g).unwrap().0.packets, 1);
        remove(&mut a, &mut b, g);
    }
    // BEET: inner addresses that are not sent
    install(&mut a, &mut b, 5, |sa, _| sa.mode = Mode::Beet);
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    remove(&mut a, &mut b, 5);
    // AH
    install(&mut a, &mut b, 6, |sa, _| {
        sa.protocol = ProtocolId::Ah;
        sa.integ = Integ::HmacSha256_128;
    });
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    remove(&mut a, &mut b, 6);
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_rekeying_loses_nothing_and_an_old_generation_may_outlive_the_new() {
    let (mut a, mut b) = ends();
    install(&mut a, &mut b, 1, |_, _| {});
    for g in 2..5u32 {
        // The responder waits, the initiator sends at once, then the old ones go.
        let (sa, mut sb) = (order(&a, &b, 0, g, |_, _| {}), order(&b, &a, 1, g, |_, _| {}));
        sb.inbound_only = true;
        sb.replaces = Some(g - 1);
        b.plane().install(&sb).unwrap();
        assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
        a.plane().install(&sa).unwrap();
        assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
        assert_eq!(b.plane().query(g).unwrap().0.packets, 1, "the new SA is used");
        b.plane().activate_outbound(g).unwrap();
        assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
        remove(&mut a, &mut b, g - 1);
        assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    }
    let policies = run(&a.ns, "ip xfrm policy | grep -c 'dir '");
    assert_eq!(policies.trim(), "3");
    // a newer one that goes first gives back to the older
    install(&mut a, &mut b, 9, |_, _| {});
    remove(&mut a, &mut b, 9);
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    remove(&mut a, &mut b, 4);
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_trap_asks_serves_and_comes_back() {
    let (mut a, mut b) = ends();
    let trap = PolicyOnly {
        interface: None,
        id: 5,
        connection: "test".into(),
        config: Arc::new(Child::named("net")),
        local_ts: vec![Selector::host(a.inner)],
        remote_ts: vec![Selector::host(b.inner)],
        reqid: 7,
        local: None,
        remote: Some(b.outer),
        mark_in: (0, 0),
        mark_out: (0, 0),
        if_id_in: 0,
        if_id_out: 0,
    };
    a.plane().install_policy(&trap).unwrap();
    assert!(run(&a.ns, "ip xfrm policy").contains("priority 367232"), "{}", a.state());
    assert!(!a.pings(b.inner));
    let Notice::Acquire { trap: 5, packet: Some((ours, theirs)) } = a.notice() else { panic!("no acquire") };
    assert_eq!((ours.host_address(), theirs.host_address()), (Some(a.inner), Some(b.inner)));
    assert_eq!(ours.protocol, 1);
    install(&mut a, &mut b, 1, |_, _| {});
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    remove(&mut a, &mut b, 1);
    assert!(run(&a.ns, "ip xfrm policy").contains("priority 367232"), "{}", a.state());
    a.plane().remove_policy(5).unwrap();
    // Nothing is protected any more, and b knows the way back in the clear.
    assert!(a.pings(b.inner));
    // pass and drop
    let shunt = |id, mode| {
        let mut config = Child::named("shunt");
        config.mode = mode;
        PolicyOnly { id, config: Arc::new(config), reqid: 0, ..trap.clone() }
    };
    a.plane().install_policy(&shunt(6, Mode::Drop)).unwrap();
    assert!(!a.pings(b.inner));
    a.plane().install_policy(&shunt(7, Mode::Pass)).unwrap();
    assert!(a.pings(b.inner));
    a.plane = None;
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn counters_of_many_come_at_once() {
    let (mut a, mut b) = ends();
    // Others that nobody uses, beside one that carries traffic.
    for g in 2..80u32 {
        let order = order(&a, &b, 0, g, |sa, _| {
            sa.reqid = 100 + g;
            sa.local_ts = [Selector::host(ip(&format!("10.77.0.{g}")))].into();
        });
        a.plane().install(&order).unwrap();
    }
    install(&mut a, &mut b, 1, |_, _| {});
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    let mut all = a.plane().usages(None, 50);
    assert_eq!(all.len(), 50);
    all.extend(a.plane().usages(Some(all[49].0), 50));
    assert_eq!(all.len(), 79);
    for (id, usage) in all {
        let packets = if id == 1 { (1, 1) } else { (0, 0) };
        assert_eq!((usage.0.packets, usage.1.packets), packets, "CHILD_SA {id}");
        assert_eq!(a.plane().query(id).unwrap(), usage, "CHILD_SA {id}");
    }
    a.plane = None;
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_trap_for_any_peer_in_both_families_with_marks_of_its_own() {
    let (mut a, _b) = ends();
    let mut config = Child::named("any");
    config.mode = Mode::Transport;
    let trap = PolicyOnly {
        interface: None,
        id: 3,
        connection: "test".into(),
        config: Arc::new(config),
        local_ts: vec![Selector::everything(true), Selector::everything(false)],
        remote_ts: vec![Selector::everything(true), Selector::everything(false)],
        reqid: 9,
        local: None,
        remote: None,
        mark_in: (4, 0xff),
        mark_out: (5, 0xff),
        if_id_in: 6,
        if_id_out: 7,
    };
    a.plane().install_policy(&trap).unwrap();
    let shown = run(&a.ns, "ip xfrm policy | grep -v socket");
    for part in
        ["tmpl src 0.0.0.0 dst 0.0.0.0", "tmpl src :: dst ::", "mark 0x4/0xff", "mark 0x5/0xff", "if_id 0x6"]
    {
        assert_eq!(shown.matches(part).count(), 2, "{part}: {shown}");
    }
    a.plane().remove_policy(3).unwrap();
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn peers_move_and_nats_change_their_ports() {
    let (mut a, mut b) = ends();
    install(&mut a, &mut b, 1, |sa, _| {
        sa.encap = true;
        sa.soft = (0, 1_000_000);
    });
    assert!(a.pings(b.inner));
    // a's packets come from another port, as behind a NAT that forgot: b is told by the kernel, then follows
    let (nat, peer) = (SocketAddr::new(a.outer, 5500), SocketAddr::new(b.outer, 4500));
    let _behind =
        a.ns.run(|| {
            let socket = UdpSocket::bind_v4(5500, &UdpOptions::default()).unwrap();
            socket.take_esp().unwrap();
            socket
        })
        .unwrap();
    a.plane().update(1, nat, peer, true).unwrap();
    assert!(a.pings(b.inner), "the answer still finds the old port");
    let Notice::Mapping { child: 1, remote } = b.notice() else { panic!("no mapping") };
    assert_eq!(remote, SocketAddr::new(a.outer, 5500));
    let local = SocketAddr::new(b.outer, 4500);
    b.plane().update(1, local, remote, true).unwrap();
    assert!(b.state().contains("sport 5500 dport 4500"), "{}", b.state());
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    // a moves to another address, without UDP
    let before = b.plane().query(1).unwrap();
    let moved = SocketAddr::new(ip("192.0.2.11"), 4500);
    a.plane().update(1, moved, peer, false).unwrap();
    b.plane().update(1, peer, moved, false).unwrap();
    assert!(a.pings(b.inner), "{}{}", a.state(), b.state());
    let after = b.plane().query(1).unwrap();
    assert_eq!(after.0.packets, before.0.packets + 1, "counters go on");
    assert!(!a.state().contains("encap") && !a.state().contains("src 192.0.2.1 "), "{}", a.state());
    let limits = run(&a.ns, "ip -s xfrm state");
    assert_eq!(limits.matches("soft 1000000(packets)").count(), 2, "{limits}");
    remove(&mut a, &mut b, 1);
    nothing_left(&a);
    nothing_left(&b);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn limits_are_reported_and_what_is_used_up_can_still_be_removed() {
    let (mut a, mut b) = ends();
    install(&mut a, &mut b, 1, |sa, _| {
        (sa.soft, sa.hard) = ((0, 2), (0, 4));
    });
    for _ in 0..6 {
        let _lost_at_the_end = a.pings(b.inner);
    }
    let mut seen = Vec::new();
    while !seen.contains(&true) {
        let Notice::Expire { child: 1, hard } = a.notice() else { panic!("no expire") };
        seen.push(hard);
    }
    assert!(seen.contains(&false), "{seen:?}");
    let (inbound, outbound) = a.plane().remove(1, false).unwrap();
    assert!(inbound.packets <= 4 && outbound.packets <= 4, "{inbound:?} {outbound:?}");
    nothing_left(&a);
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_crash_is_cleaned_up_and_what_is_not_ours_stays() {
    let (mut a, b) = ends();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("xfrm.state");
    a.plane = None;
    (a.plane, a.notices) = {
        let (plane, notices) = start(&a.ns, Some(&file));
        (Some(plane), notices)
    };
    let (one, two) = (order(&a, &b, 0, 1, |_, _| {}), order(&a, &b, 0, 2, |_, _| {}));
    a.plane().install(&one).unwrap();
    a.plane().install(&two).unwrap();
    a.plane().remove(1, true).unwrap();
    run(
        &a.ns,
        "ip xfrm policy add src 10.66.0.0/16 dst 10.67.0.0/16 dir out priority 5 action block; \
         ip xfrm state add src 192.0.2.1 dst 192.0.2.77 proto esp spi 0x777 mode tunnel reqid 7 \
         aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128",
    );
    std::mem::forget(a.plane.take()); // the process is gone, the kernel knows nothing of it
    // meanwhile somebody else took the name of a policy of ours
    run(
        &a.ns,
        "ip xfrm policy update src 10.1.0.1/32 dst 10.2.0.1/32 dir out priority 9 tmpl src 192.0.2.1 dst 192.0.2.2 \
         proto esp reqid 55 mode tunnel",
    );
    let (plane, _notices) = start(&a.ns, Some(&file));
    let (states, policies) = (run(&a.ns, "ip xfrm state"), run(&a.ns, "ip xfrm policy"));
    assert!(states.contains("0x00000777") && !states.contains("0xc0"), "{states}");
    assert!(policies.contains("10.66.0.0/16") && policies.contains("reqid 55"), "{policies}");
    assert!(!policies.contains("dir in") && !policies.contains("reqid 7"), "{policies}");
    drop(plane);
    assert!(!file.exists());
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn every_attribute_reaches_the_kernel() {
    let (mut a, b) = ends();
    let sa = order(&a, &b, 0, 1, |sa, c| {
        sa.mark_in = (5, 0xff);
        sa.mark_out = (6, u32::MAX);
        (sa.if_id_in, sa.if_id_out) = (42, 43);
        sa.soft = (1000, 10);
        sa.hard = (2000, 20);
        c.set_mark_in = Mark { value: MarkValue::Fixed(7), mask: 0xf };
        c.set_mark_out = Mark { value: MarkValue::Same, mask: u32::MAX };
        c.replay_window = 4096;
        (c.copy_df, c.copy_ecn, c.copy_dscp) = (false, false, "in".into());
        c.policies_fwd_out = true;
        c.interface = Some("wire".into());
        c.priority = 1234;
    });
    a.plane().install(&sa).unwrap();
    let state = run(&a.ns, "ip -s xfrm state; ip xfrm policy");
    let parts = [
        "mark 0x6/0xffffffff",
        "output-mark 0x7/0xf",
        "output-mark 0x6/0xffffffff",
        "if_id 0x2a",
        "if_id 0x2b",
        "replay_window 4096",
        "noecn decap-dscp nopmtudisc af-unspec",
        "dont-encap-dscp",
        "soft 1000(bytes), hard 2000(bytes)",
        "soft 10(packets), hard 20(packets)",
        "src 10.1.0.1/32 dst 10.2.0.1/32 dev wire",
        "dir out priority 1234",
        "dir fwd priority 1234",
        "mark 0x5/0xff",
    ];
    for part in parts {
        assert!(state.contains(part), "{part} is not in\n{state}");
    }
    a.plane().remove(1, false).unwrap();
    // no card here can encrypt: auto goes without, the others say so
    let offload = |kind: &str| order(&a, &b, 0, 2, |_, c| c.hw_offload = kind.into());
    let (auto, crypto, packet) = (offload("auto"), offload("crypto"), offload("packet"));
    a.plane().install(&auto).unwrap();
    a.plane().remove(2, false).unwrap();
    for order in [crypto, packet] {
        match a.plane().install(&order) {
            // Without a card the kernel does by itself what `crypto` asks for.
            Ok(()) if order.config.hw_offload == "crypto" => drop(a.plane().remove(2, false).unwrap()),
            Ok(()) => panic!("a veth has no packet offload"),
            Err(e) => assert!(e.to_string().starts_with("CHILD_SA net{2}: installing ESP SA"), "{e}"),
        }
    }
    let bad = order(&a, &b, 0, 3, |_, c| c.interface = Some("nowhere".into()));
    let said = a.plane().install(&bad).unwrap_err().to_string();
    assert!(said.starts_with("CHILD_SA net{3}: looking for interface nowhere"), "{said}");
    let cpus = order(&a, &b, 0, 4, |_, c| c.per_cpu_sas = "yes".into());
    let said = a.plane().install(&cpus).unwrap_err().to_string();
    assert_eq!(said, "CHILD_SA net{4}: per_cpu_sas is not supported by the xfrm data plane");
    let ah = order(&a, &b, 0, 4, |sa, _| {
        (sa.protocol, sa.integ, sa.encap) = (ProtocolId::Ah, Integ::HmacSha256_128, true)
    });
    let said = a.plane().install(&ah).unwrap_err().to_string();
    assert_eq!(
        said,
        "CHILD_SA net{4}: AH in UDP (through a NAT, or with encap = yes) is not supported by the xfrm data plane"
    );
    nothing_left(&a);
}
