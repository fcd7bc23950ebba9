//! XFRM interfaces, those of the operator and those of a connection, with stock strongSwan at the other end.
//! `cargo xtask kernel-test` runs this on a kernel that has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::time::Duration;

/// Ours and theirs, each once at the gateway.
const ROLES: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];
const SOON: Duration = Duration::from_secs(20);

/// A connection with these lines and these children `(name, lines)`.
fn connection(name: &str, ids: [&str; 2], lines: &str, children: &[(&str, &str)]) -> String {
    let children: String = children
        .iter()
        .map(|(name, lines)| format!("{name} {{\n esp_proposals = aes128gcm16-x25519\n {lines}\n }}\n"))
        .collect();
    format!(
        "{name} {{
    version = 2
    proposals = aes128-sha256-x25519
    {lines}
    local {{
      auth = psk
      id = {}
    }}
    remote {{
      auth = psk
      id = {}
    }}
    children {{
      {children}
    }}
  }}
",
        ids[0], ids[1]
    )
}

fn conf(connections: &[String]) -> String {
    format!(
        "connections {{\n{}\n}}\npools {{\n v4 {{\n addrs = 10.3.0.0/24\n }}\n}}\nsecrets {{\n ike {{\n secret = \"a long enough secret\"\n }}\n}}\n",
        connections.concat()
    )
}

fn start(kinds: [Kind; 2], settings: &str) -> (Lab, Daemon, Daemon) {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    let gw = lab.start_with("gw", kinds[0], settings);
    let cl = lab.start_with("cl", kinds[1], settings);
    (lab, gw, cl)
}

fn initiate(gw: &Daemon, cl: &Daemon, child: &str) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", child, "--timeout", "30"]);
    assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
}

/// Nothing of ours is left in a namespace, whatever it was.
fn nothing_left(lab: &Lab, name: &str) {
    let line =
        "ip xfrm state; ip xfrm policy; ip rule; ip route show table all; ip -6 rule; ip link; ip addr";
    let left = lab.exec(name, line);
    for word in ["proto esp", "dir out", "220", "ipsec0", "10.3.0."] {
        assert!(!left.contains(word), "{word} in {left}");
    }
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn the_operators_interface_shared_by_children_and_a_trap() {
    for kinds in ROLES {
        let xfrmi = "plugins {\n kernel-netlink {\n install_routes_xfrmi = yes\n }\n }";
        let (mut lab, gw, cl) = start(kinds, xfrmi);
        lab.exec("gw", "ip link add ipsec0 type xfrm dev wan if_id 42; ip link set ipsec0 up");
        lab.exec("cl", "ip link add ipsec0 type xfrm dev wan if_id 42; ip link set ipsec0 up");
        for net in [2, 4, 5] {
            lab.exec("cl", &format!("ip addr add 10.{net}.0.1/32 dev ipsec0"));
        }
        let nets = ["10.2.0.0/16", "10.4.0.0/16", "10.5.0.0/16"];
        let names = ["one", "two", "three"];
        let children = |host: &str, ours: &dyn Fn(&str) -> String| -> Vec<(&'static str, String)> {
            let host = format!("{host}\n mode = transport");
            let nets = names.iter().zip(nets).map(|(name, net)| (*name, ours(net)));
            nets.chain([("host", host)]).collect()
        };
        let ids = "if_id_in = 42\n if_id_out = 42";
        let at_gw = children("", &|net| format!("local_ts = 10.1.0.0/16\n remote_ts = {net}"));
        let at_cl = children(&format!("updown = env > {}", lab.dir().join("env").display()), &|net| {
            let action = if net == nets[2] { "start_action = trap" } else { "" };
            format!("remote_ts = 10.1.0.0/16\n local_ts = {net}\n {action}")
        });
        let load = |daemon: &Daemon, who: [&str; 2], lines: &str, all: &[(&'static str, String)]| {
            let all: Vec<(&str, &str)> = all.iter().map(|(name, lines)| (*name, lines.as_str())).collect();
            daemon.load(&conf(&[connection("c", who, &format!("{lines}\n{ids}"), &all)]));
        };
        // Debian's strongSwan is older than install_routes_xfrmi.
        if gw.kind == Kind::Charon {
            lab.exec("gw", "for net in 2 4 5; do ip route add 10.$net.0.0/16 dev ipsec0; done");
        } else {
            lab.exec("cl", "ip route add 10.1.0.0/16 dev ipsec0");
        }
        load(&gw, ["gw", "cl"], "local_addrs = 192.0.2.1", &at_gw);
        load(&cl, ["cl", "gw"], "local_addrs = 192.0.2.2\n remote_addrs = 192.0.2.1", &at_cl);
        // The trap has the connection's id.
        let trapped = wait_for(SOON, || lab.exec("cl", "ip xfrm policy").contains("if_id 0x2a"));
        assert!(trapped, "{}\n{}", lab.exec("cl", "ip xfrm policy"), cl.said());
        initiate(&gw, &cl, "one");
        initiate(&gw, &cl, "two");
        for from in ["10.2.0.1", "10.4.0.1"] {
            lab.ping("cl", &format!("-I {from} 10.1.0.10"), 2);
        }
        // The first packet brings it up.
        let (_, _first) = lab.try_ping("cl", "-I 10.5.0.1 10.1.0.10", 1);
        let up = wait_for(SOON, || cl.sas().matches("state=INSTALLED").count() == 3);
        assert!(up, "{}\n{}", gw.said(), cl.said());
        lab.ping("cl", "-I 10.5.0.1 10.1.0.10", 2);
        // In transport mode, too, SAs and policies have the id; the kernel finds no way out of the interface for them.
        initiate(&gw, &cl, "host");
        assert!(cl.sas().contains("mode=TRANSPORT"), "{}", cl.sas());
        let env = std::fs::read_to_string(lab.dir().join("env")).unwrap_or_default();
        for line in ["PLUTO_IF_ID_IN=42\n", "PLUTO_IF_ID_OUT=42\n"] {
            assert!(env.contains(line), "{:?}: {env}", cl.kind);
        }
        for (name, daemon) in [("gw", &gw), ("cl", &cl)] {
            let states = lab.exec(name, "ip xfrm state");
            assert_eq!(states.matches("if_id 0x2a").count(), 8, "{name}: {states}");
            let policies = lab.exec(name, "ip xfrm policy");
            assert_eq!(policies.matches("if_id 0x2a").count(), 11, "{name}: {policies}");
            let sas = daemon.sas();
            assert_eq!(sas.matches("if-id-in=0000002a if-id-out=0000002a").count(), 5, "{name}: {sas}");
            let counted = lab.exec(name, "cat /sys/class/net/ipsec0/statistics/rx_packets");
            assert_eq!(counted.trim(), "6", "{name}");
        }
        // Routes of ours lead into the interface.
        let (name, ours, wanted): (_, _, &[&str]) = match gw.kind {
            Kind::Cygnet => ("gw", &gw, &nets),
            Kind::Charon => ("cl", &cl, &["10.1.0.0/16"]),
        };
        let routes = lab.exec(name, "ip route show table 220");
        for net in wanted {
            assert!(routes.contains(&format!("{net} dev ipsec0")), "{routes}\n{}", ours.said());
        }
        // It is the operator's, and stays.
        assert!(lab.stop(&gw) && lab.stop(&cl));
        for name in ["gw", "cl"] {
            let left = lab.exec(name, "ip xfrm state; ip xfrm policy; ip route show table all; ip rule");
            assert!(!left.contains("proto esp") && !left.contains("220"), "{left}");
            assert!(lab.exec(name, "ip link").contains("ipsec0"));
        }
    }
}

/// Everything over the tunnel of a client of ours, with a virtual IP.
fn roaming(interface: &str) -> String {
    connection(
        "own",
        ["cl", "gw"],
        &format!("remote_addrs = 192.0.2.1\n vips = 0.0.0.0\n {interface}"),
        &[("all", "remote_ts = 0.0.0.0/0"), ("more", "remote_ts = 10.7.0.0/16")],
    )
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_connections_own_interface() {
    let (mut lab, gw, cl) = start([Kind::Charon, Kind::Cygnet], "");
    lab.exec("gw", "ip addr add 10.7.0.1/16 dev lo");
    let at_gw = connection(
        "own",
        ["gw", "cl"],
        "local_addrs = 192.0.2.1\n pools = v4",
        &[("all", "local_ts = 0.0.0.0/0"), ("more", "local_ts = 10.7.0.0/16")],
    );
    let site = connection(
        "site",
        ["gw", "site"],
        "local_addrs = 192.0.2.1",
        &[("site", "local_ts = 10.7.0.0/16\n remote_ts = 10.9.1.0/24,192.0.2.2")],
    );
    gw.load(&conf(&[at_gw, site]));
    let plain = connection(
        "plain",
        ["cl", "gw"],
        "remote_addrs = 192.0.2.1\n vips = 0.0.0.0",
        &[("by-policy", "remote_ts = 10.7.0.0/16")],
    );
    let own = "interface = ipsec0\n interface_addresses = 10.9.0.1/30\n interface_mtu = 1390";
    let bare = connection(
        "bare",
        ["site", "gw"],
        "remote_addrs = 192.0.2.1\n interface = ipsec0",
        &[("bare", "remote_ts = 10.7.0.0/16")],
    );
    cl.load(&conf(&[roaming(own), plain, bare]));
    // An interface of that name is somebody else's: the CHILD_SA says so, and the rest works.
    lab.exec("cl", "ip link add ipsec0 type xfrm if_id 7");
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "all", "--timeout", "30"]);
    assert!(!ok && cl.logged("ip link del ipsec0", SOON), "{said}\n{}", cl.said());
    assert!(cl.logged("connection 'own': making interface ipsec0", SOON), "{}", cl.said());
    cl.swanctl(&["--terminate", "--ike", "own", "--force"]);
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "bare", "--timeout", "30"]);
    let log = std::fs::read_to_string(cl.file("log")).unwrap();
    let named = log.lines().any(|l| l.contains("CHILD_SA bare{") && l.contains("making interface ipsec0"));
    assert!(!ok && named, "{said}\n{}", cl.said());
    cl.swanctl(&["--terminate", "--ike", "bare", "--force"]);
    initiate(&gw, &cl, "by-policy");
    lab.ping("cl", "10.7.0.1", 2);
    cl.swanctl(&["--terminate", "--ike", "plain"]);
    assert!(lab.exec("cl", "ip -d link show ipsec0").contains("if_id 0x7"));
    lab.exec("cl", "ip link del ipsec0");
    // Now it is ours. The route to everywhere leads into it, and what is encrypted does not follow.
    initiate(&gw, &cl, "all");
    let link = lab.exec("cl", "ip -d addr show ipsec0");
    for word in ["xfrm if_id 0x", "mtu 1390", "10.9.0.1/30", "inet 10.3.0.1/32", "UP"] {
        assert!(link.contains(word), "{word}: {link}");
    }
    let routes = lab.exec("cl", "ip route show table 220");
    assert!(routes.contains("default dev ipsec0") && routes.contains("src 10.3.0.1"), "{routes}");
    lab.ping("cl", "10.1.0.10", 3);
    lab.ping("cl", "10.7.0.1", 3);
    // Even the gateway's own address is reached through the tunnel.
    let before = cl.sas();
    lab.ping("cl", "192.0.2.1", 3);
    assert_ne!(before, cl.sas());
    let counted = lab.exec("cl", "cat /sys/class/net/ipsec0/statistics/rx_packets");
    assert_eq!(counted.trim(), "9");
    initiate(&gw, &cl, "more");
    cl.swanctl(&["--rekey", "--child", "all"]);
    assert!(cl.logged("rekeyed", SOON) || cl.count_logged("established with SPIs") >= 3, "{}", cl.said());
    lab.ping("cl", "10.1.0.10", 3);
    // It goes with the last of its CHILD_SAs.
    cl.swanctl(&["--terminate", "--child", "all"]);
    lab.ping("cl", "10.7.0.1", 2);
    cl.swanctl(&["--terminate", "--ike", "own"]);
    let gone = wait_for(SOON, || !lab.exec("cl", "ip link").contains("ipsec0"));
    assert!(gone, "{}", cl.said());
    // A trap has it, too, and keeps it.
    let demand = connection(
        "demand",
        ["site", "gw"],
        "remote_addrs = 192.0.2.1\n interface = tr0\n interface_addresses = 10.9.1.1",
        &[("demand", "local_ts = 10.9.1.0/24\n remote_ts = 10.7.0.0/16\n start_action = trap")],
    );
    cl.load(&conf(&[roaming(own), demand]));
    let there = wait_for(SOON, || lab.exec("cl", "ip route show table 220").contains("10.7.0.0/16 dev tr0"));
    assert!(there && lab.exec("cl", "ip xfrm state").is_empty(), "{}", cl.said());
    let (_, _first) = lab.try_ping("cl", "10.7.0.1", 1);
    assert!(wait_for(SOON, || cl.sas().contains("state=INSTALLED")), "{}\n{}", gw.said(), cl.said());
    lab.ping("cl", "10.7.0.1", 2);
    cl.swanctl(&["--terminate", "--ike", "demand"]);
    assert!(lab.exec("cl", "ip link").contains("tr0"));
    cl.load(&conf(&[roaming(own)]));
    let gone = wait_for(SOON, || !lab.exec("cl", "ip link").contains("tr0"));
    assert!(gone, "{}", cl.said());
    // A crash.
    initiate(&gw, &cl, "all");
    lab.kill(&cl);
    assert!(lab.exec("cl", "ip link").contains("ipsec0"));
    let cl = lab.start_again("cl", &cl);
    let left = lab.exec("cl", "ip link; ip addr; ip xfrm state; ip xfrm policy; ip route show table all");
    for word in ["ipsec0", "10.3.0.", "proto esp", "dir out", "table 220"] {
        assert!(!left.contains(word), "{word} in {left}");
    }
    assert!(lab.stop(&cl));
    nothing_left(&lab, "cl");
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn in_another_namespace_in_a_vrf_and_one_for_each_peer() {
    let (mut lab, gw, cl) = start([Kind::Charon, Kind::Cygnet], "");
    let inner = lab.add("inner");
    lab.exec("gw", "ip addr add 10.7.0.1/16 dev lo");
    let at_gw = |name, id: &str, lines: &str| {
        let lines = format!("local_addrs = 192.0.2.1\n {lines}");
        connection(name, ["gw", id], &lines, &[(name, "local_ts = 10.1.0.0/16,10.7.0.0/16")])
    };
    gw.load(&conf(&[at_gw("moved", "moved", "pools = v4"), at_gw("vrf", "vrf", "pools = v4")]));
    let at_cl = |name, lines: &str| {
        let lines = format!("remote_addrs = 192.0.2.1\n vips = 0.0.0.0\n interface = ipsec0\n {lines}");
        connection(name, [name, "gw"], &lines, &[(name, "remote_ts = 10.1.0.0/16,10.7.0.0/16")])
    };
    let both = [at_cl("moved", &format!("interface_netns = {inner}")), at_cl("vrf", "interface_vrf = red")];
    cl.load(&conf(&both));
    // In a namespace that has nothing but the tunnel.
    initiate(&gw, &cl, "moved");
    assert!(!lab.exec("cl", "ip link").contains("ipsec0"));
    let shown = lab.exec("inner", "ip addr show ipsec0; ip route");
    assert!(shown.contains("10.3.0.1/32") && shown.contains("10.1.0.0/16 dev ipsec0"), "{shown}");
    lab.ping("inner", "10.1.0.10", 3);
    lab.ping("inner", "10.7.0.1", 2);
    cl.swanctl(&["--terminate", "--ike", "moved"]);
    let gone = wait_for(SOON, || !lab.exec("inner", "ip link").contains("ipsec0"));
    assert!(gone, "{}", cl.said());
    // No such VRF.
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "vrf", "--timeout", "30"]);
    assert!(!ok && cl.logged("looking for interface red", SOON), "{said}\n{}", cl.said());
    assert!(!lab.exec("cl", "ip link").contains("ipsec0"));
    cl.swanctl(&["--terminate", "--ike", "vrf", "--force"]);
    lab.exec("cl", "ip link add red type vrf table 1001; ip link set red up");
    initiate(&gw, &cl, "vrf");
    let shown = lab.exec("cl", "ip link show master red; ip route show table 1001");
    assert!(shown.contains("ipsec0") && shown.contains("10.1.0.0/16 dev ipsec0"), "{shown}");
    lab.ping("cl", "-I red 10.1.0.10", 3);
    // Not outside of it.
    assert!(!lab.try_ping("cl", "10.1.0.10", 1).0);
    // A crash, with one interface here and one elsewhere.
    cl.swanctl(&["--terminate", "--ike", "vrf"]);
    initiate(&gw, &cl, "moved");
    lab.kill(&cl);
    assert!(lab.exec("inner", "ip link").contains("ipsec0"));
    let cl = lab.start_again("cl", &cl);
    assert!(!lab.exec("inner", "ip link; ip route").contains("ipsec0"));
    // One for each peer: now the gateway is ours, and the client stock.
    assert!(lab.stop(&gw) && lab.stop(&cl));
    nothing_left(&lab, "cl");
    let gw = lab.start_with("gw", Kind::Cygnet, "");
    let cl = lab.start_with("cl", Kind::Charon, "");
    gw.load(&conf(&[connection(
        "rw",
        ["gw", "%any"],
        "local_addrs = 192.0.2.1\n pools = v4\n unique = never\n interface = rw%unique",
        &[("net", "local_ts = 10.1.0.0/16")],
    )]));
    let from = |name| {
        let lines = "remote_addrs = 192.0.2.1\n vips = 0.0.0.0";
        connection(name, [name, "gw"], lines, &[(name, "remote_ts = 10.1.0.0/16")])
    };
    cl.load(&conf(&[from("first"), from("second")]));
    initiate(&gw, &cl, "first");
    initiate(&gw, &cl, "second");
    let routes = lab.exec("gw", "ip route show table 220");
    for address in ["10.3.0.1 dev rw", "10.3.0.2 dev rw"] {
        assert!(routes.contains(address), "{routes}\n{}", gw.said());
    }
    assert_eq!(lab.exec("gw", "ip link show type xfrm").matches("rw").count(), 2);
    for address in ["10.3.0.1", "10.3.0.2"] {
        lab.ping("cl", &format!("-I {address} 10.1.0.10"), 2);
    }
    cl.swanctl(&["--rekey", "--ike", "first"]);
    assert!(cl.logged("rekeyed between", SOON), "{}", cl.said());
    lab.ping("cl", "-I 10.3.0.1 10.1.0.10", 2);
    cl.swanctl(&["--terminate", "--ike", "first"]);
    let one = wait_for(SOON, || lab.exec("gw", "ip link show type xfrm").matches("rw").count() == 1);
    assert!(one, "{}", gw.said());
    lab.ping("cl", "-I 10.3.0.2 10.1.0.10", 2);
    assert!(lab.stop(&gw));
    assert!(lab.exec("gw", "ip link show type xfrm").is_empty());
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn the_tool_makes_and_lists_what_the_stock_tool_does() {
    let lab = Lab::new(Path4::Direct);
    let tool = std::path::Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    let tool = format!("{} xfrmi", tool.display());
    let stock = "/usr/lib/ipsec/xfrmi";
    lab.exec(
        "cl",
        &format!("{tool} --name ipsec0 --id 42 --dev wan; {stock} --name ipsec1 --id 43 --dev wan"),
    );
    let ours = lab.exec("cl", &format!("{tool} --list"));
    assert_eq!(ours, lab.exec("cl", &format!("{stock} --list")));
    assert!(ours.contains("ipsec0           dev wan      if_id 0x0000002a [42]"), "{ours}");
    lab.exec("cl", &format!("{tool} -n ipsec2 -i 0x2c -m 1400"));
    assert!(lab.exec("cl", "ip -d link show ipsec2").contains("mtu 1400"));
    let json = lab.exec("cl", &format!("{tool} --list --json"));
    assert!(json.contains("\"cygnet.xfrmi/1\"") && json.contains("\"mtu\": 1400"), "{json}");
    for (words, why) in [
        ("-n ipsec0 -i 50", "already exists: ipsec0"),
        ("-n ipsec9 -i 42", "already exists: ipsec0"),
        ("-n wan -i 50", "failed to create XFRM interface"),
        ("-n ipsec9 -i 50 -d nowhere", "physical interface nowhere not found"),
        ("-n ipsec9 -i 50 -m 5", "failed to create XFRM interface"),
        ("-n ipsec9", "--id"),
    ] {
        let (ok, said) = lab.attempt("cl", &format!("{tool} {words}"));
        assert!(!ok && said.contains(why), "{words}: {said}");
    }
}
