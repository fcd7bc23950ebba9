//! Marks: tunnels that differ in nothing else, the mark of our own packets, answers by connection tracking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use psk::{connection, whole};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn initiate(gw: &Daemon, cl: &Daemon, child: &str) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", child, "--timeout", "30"]);
    assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
}

fn nothing_left(lab: &Lab, name: &str) {
    let left = lab.exec(
        name,
        "ip xfrm state; ip xfrm policy; ip route show table 220 2>/dev/null || true; ip rule; nft list tables",
    );
    let marks = ["proto esp", "dir ", "220", "cygnet-"];
    assert!(marks.iter().all(|mark| !left.contains(mark)), "{left}");
}

/// Two peers with the same network behind them: the firewall says by marks which one is meant.
#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn tunnels_that_differ_in_their_marks_only() {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    lab.client("cl2", 7, false);
    for client in ["cl", "cl2"] {
        lab.exec(client, "ip addr add 10.9.0.1/24 dev lo");
    }
    lab.exec("lan", "ip addr add 10.1.0.11/16 dev eth");
    lab.exec(
        "gw",
        "nft add table ip m
         nft \"add chain ip m p { type filter hook prerouting priority mangle; }\"
         nft add rule ip m p iifname lan ip saddr 10.1.0.10 meta mark set 10
         nft add rule ip m p iifname lan ip saddr 10.1.0.11 meta mark set 20",
    );
    let gw = lab.start_with("gw", Kind::Cygnet, "");
    let a = lab.start_with("cl", Kind::Charon, "");
    let b = lab.start_with("cl2", Kind::Cygnet, "");
    let script = gw.file("updown");
    fs::write(&script, "#!/bin/sh\nenv | grep PLUTO_MARK | sort >> ${0%/*}/marks.$PLUTO_CONNECTION\n")
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let child = |name: &str, marks: &str| {
        format!(
            "{name} {{
        local_ts = 10.1.0.0/16
        remote_ts = 10.9.0.0/24
        esp_proposals = aes128gcm16
        updown = {}
        {marks}
      }}",
            script.display()
        )
    };
    let one = child("a", "mark_in = 10\n mark_out = 10\n set_mark_in = %same");
    let two =
        child("b", "mark_in = 20/0xff\n mark_out = 20/0xff\n set_mark_in = 0x514/0xffff\n mark_in_sa = no");
    gw.load(&whole(&(connection("a", ["gw", "a"], "", &one) + &connection("b", ["gw", "b"], "", &two))));
    let net = "net {\n local_ts = 10.9.0.0/24\n remote_ts = 10.1.0.0/16\n esp_proposals = aes128gcm16\n }";
    a.load(&whole(&connection("c", ["a", "gw"], "remote_addrs = 192.0.2.1", net)));
    b.load(&whole(&connection("c", ["b", "gw"], "remote_addrs = 192.0.7.1", net)));
    initiate(&gw, &a, "net");
    initiate(&gw, &b, "net");
    // Each count is met at the client that is meant, and only there.
    lab.ping("lan", "-I 10.1.0.10 10.9.0.1", 3);
    lab.ping("lan", "-I 10.1.0.11 10.9.0.1", 5);
    for (client, count) in [(&a, 3), (&b, 5)] {
        let sas = client.sas();
        let wanted = [format!("packets-in={count} "), format!("packets-out={count} ")];
        assert!(wanted.iter().all(|part| sas.contains(part)), "{sas}");
    }
    let states = lab.exec("gw", "ip xfrm state");
    for part in
        ["mark 0xa/0xffffffff", "mark 0x14/0xff", "output-mark 0xa/0xffffffff", "output-mark 0x514/0xffff"]
    {
        assert!(states.contains(part), "{part}\n{states}");
    }
    let sas = gw.sas();
    for part in
        ["mark-in=0000000a mark-out=0000000a", "mark-in=00000014 mark-mask-in=000000ff mark-out=00000014"]
    {
        assert!(sas.contains(part), "{part}\n{sas}");
    }
    let told = |child: &str| fs::read_to_string(gw.file(&format!("marks.{child}"))).unwrap_or_default();
    let both = |mark: &str| format!("PLUTO_MARK_IN={mark}\nPLUTO_MARK_OUT={mark}\n");
    assert!(wait_for(SOON, || told("b") == both("20/0x000000ff")), "{}", told("b"));
    assert_eq!(told("a"), both("10/0xffffffff"));
    // a rekeying keeps the marks
    gw.swanctl(&["--rekey", "--child", "a"]);
    assert!(wait_for(SOON, || a.count_logged("established with SPIs") >= 2), "{}", a.said());
    lab.ping("lan", "-I 10.1.0.10 10.9.0.1", 2);
    assert!(gw.sas().contains("mark-in=0000000a mark-out=0000000a"), "{}", gw.sas());
    // one of them goes, the other stays
    a.swanctl(&["--terminate", "--ike", "c"]);
    lab.ping("lan", "-I 10.1.0.11 10.9.0.1", 2);
    assert!(!lab.exec("gw", "ip xfrm policy").contains("mark 0xa/"));
    lab.exec("gw", "nft delete table ip m");
    assert!(lab.stop(&gw));
    nothing_left(&lab, "gw");
}

/// What is to be protected contains the peer itself: neither IKE nor ESP may be led into the tunnel, and what is sent to
/// the peer's own address is.
fn the_peer_is_within_its_own_network(kernel: bool) {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = kernel;
    lab.exec("gw", "ip addr add 10.5.0.1/24 dev wan");
    lab.exec(
        "cl",
        "ip addr add 10.5.0.2/24 dev wan
         nft add table ip w
         nft \"add chain ip w o { type filter hook output priority 0; }\"
         nft add rule ip w o udp dport { 500, 4500 } meta mark 7 counter comment ours
         nft add rule ip w o udp dport { 500, 4500 } meta mark != 7 counter comment strange
         nft add rule ip w o oifname wan ip daddr 10.5.0.1 icmp type echo-request counter comment passed",
    );
    let gw = lab.start_with("gw", Kind::Charon, "");
    let marks = "plugins {
    kernel-netlink {
      fwmark = !7
    }
    socket-default {
      fwmark = 7
    }
  }";
    let cl = lab.start_with("cl", Kind::Cygnet, marks);
    let all = "all {\n local_ts = 0.0.0.0/0\n esp_proposals = aes128gcm16\n }";
    gw.load(&whole(&connection("c", ["gw", "cl"], "pools = v4", all)));
    let children = "all {
        remote_ts = 0.0.0.0/0
        esp_proposals = aes128gcm16
      }
      beside {
        mode = pass
        local_ts = 10.5.0.0/24
        remote_ts = 10.5.0.0/24
        start_action = trap
      }";
    let client = "remote_addrs = 192.0.2.1\n vips = 0.0.0.0";
    cl.load(&whole(&connection("c", ["cl", "gw"], client, children)));
    initiate(&gw, &cl, "all");
    let rules = lab.exec("cl", "ip rule");
    assert!(rules.contains("220:\tnot from all fwmark 0x7 lookup 220"), "{rules}");
    let routes = lab.exec("cl", "ip route show table 220");
    assert!(routes.contains("throw 10.5.0.0/24"), "{routes}");
    // the network behind the peer, the peer itself, and what passes
    lab.ping("cl", "10.1.0.10", 3);
    lab.ping("cl", "-I 10.3.0.1 192.0.2.1", 4);
    assert!(gw.sas().contains("packets-in=7 "), "{}", gw.sas());
    lab.ping("cl", "10.5.0.1", 2);
    assert!(gw.sas().contains("packets-in=7 "), "{}", gw.sas());
    // IKE goes on beside the tunnel that covers its peer
    cl.swanctl(&["--rekey", "--ike", "c"]);
    assert!(cl.logged("IKE_SA c[2] rekeyed between", SOON) || gw.sas().contains("c: #2"), "{}", cl.said());
    lab.ping("cl", "10.1.0.10", 2);
    let counted = lab.exec("cl", "nft list table ip w");
    let count = |comment: &str| {
        let line = counted.lines().find(|line| line.contains(comment)).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "packets").unwrap();
        words[at + 1].parse::<u32>().unwrap()
    };
    assert!(count("ours") >= 4 && count("strange") == 0 && count("passed") == 2, "{counted}");
    lab.exec("cl", "nft delete table ip w");
    assert!(lab.stop(&cl));
    nothing_left(&lab, "cl");
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn the_peer_is_within_its_own_network_with_the_kernels_esp() {
    the_peer_is_within_its_own_network(true);
}

#[test]
fn the_peer_is_within_its_own_network_with_esp_in_userspace() {
    the_peer_is_within_its_own_network(false);
}

/// Several hosts behind one NAT, in transport mode with the gateway, and one that is not: all have the same policies.
#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn answers_by_the_sa_of_the_question() {
    let mut lab = Lab::new(Path4::Nat);
    lab.kernel = true;
    lab.client("cl2", 8, true);
    lab.client("cl3", 7, false);
    let gw = lab.start_with("gw", Kind::Cygnet, "plugins {\n    connmark {\n      load = yes\n    }\n  }");
    let kinds = [
        ("cl", Kind::Charon, "192.0.2.1"),
        ("cl2", Kind::Cygnet, "192.0.2.1"),
        ("cl3", Kind::Cygnet, "192.0.7.1"),
    ];
    let marks = "t {\n mode = transport\n mark_in = %unique\n mark_out = %unique\n esp_proposals = aes128gcm16-x25519\n }";
    gw.load(&whole(&connection("rw", ["gw", ""], "", marks)));
    let table = |lab: &Lab| lab.attempt("gw", "nft list table inet cygnet-connmark").1;
    assert!(table(&lab).contains("No such file"), "{}", table(&lab));
    let mut clients = Vec::new();
    for (name, kind, peer) in kinds {
        let client = lab.start_with(name, kind, "");
        let child = "t {\n mode = transport\n esp_proposals = aes128gcm16-x25519\n }";
        client.load(&whole(&connection("c", [name, "gw"], &format!("remote_addrs = {peer}"), child)));
        initiate(&gw, &client, "t");
        clients.push(client);
    }
    let sas = gw.sas();
    for mark in ["00000001", "00000002", "00000003"] {
        assert!(sas.contains(&format!("mark-in={mark} mark-out={mark}")), "{sas}");
    }
    // All at once, and rekeyed meanwhile.
    let all_answered = |lab: &Lab| {
        let args = ["ping", "-n", "-i", "0.1", "-c", "30", "-W", "2"];
        let pings: Vec<_> =
            kinds.iter().map(|(name, _, peer)| lab.spawn(name, &[&args[..], &[*peer]].concat())).collect();
        clients[1].swanctl(&["--rekey", "--child", "t"]);
        for ping in pings {
            let out = lab::both(&ping.wait_with_output().unwrap());
            assert!(out.contains(" 0% packet loss"), "{out}\n{}\n{}", table(lab), gw.said());
        }
    };
    all_answered(&lab);
    for client in &clients {
        let sas = client.sas();
        assert!(sas.contains("mode=TRANSPORT") && !sas.contains("packets-in=0 "), "{sas}");
    }
    // Without its rules no packet gets through, and the restart of a firewall does not last.
    lab.exec("gw", "nft flush ruleset");
    let (answered, _) = lab.try_ping("cl", "192.0.2.1", 1);
    assert!(!answered || table(&lab).contains("chain arrive"), "answered without a mark");
    assert!(gw.logged("it is made again", SOON), "{}", gw.said());
    lab.ping("cl", "192.0.2.1", 3);
    // One goes, and then a crash.
    clients[1].swanctl(&["--terminate", "--ike", "c"]);
    lab.ping("cl", "192.0.2.1", 3);
    assert!(!table(&lab).contains("0x00000002 : 0x00000002"), "{}", table(&lab));
    lab.kill(&gw);
    assert!(table(&lab).contains("chain arrive"));
    let again = lab.start_again("gw", &gw);
    assert!(table(&lab).contains("No such file"), "{}", table(&lab));
    again.swanctl(&["--load-all", "--noprompt"]);
    initiate(&again, &clients[1], "t");
    lab.ping("cl2", "192.0.2.1", 3);
    assert!(lab.stop(&again));
    nothing_left(&lab, "gw");
}
