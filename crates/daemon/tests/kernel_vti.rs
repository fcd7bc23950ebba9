//! Tunnels with a device on top: VTI, made by the daemon or by hand, and GRE in transport mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, both, wait_for};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// Ours and theirs, each once at the gateway.
const ROLES: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];

fn conf(me: &str, peer: &str, connection: &str, children: &str) -> String {
    psk::whole(&psk::connection("c", [me, peer], connection, children))
}

fn initiate(gw: &Daemon, cl: &Daemon, child: &str) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", child, "--timeout", "30"]);
    assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
}

fn nothing_left(lab: &Lab, name: &str) {
    let left = lab.exec(
        name,
        "ip xfrm state; ip xfrm policy; ip route show table 220 2>/dev/null || true; ip rule; ip link",
    );
    assert!(["proto esp", "dir ", "220", "vti"].iter().all(|mark| !left.contains(mark)), "{left}");
}

/// What goes over the wire while `work` is done: the next `count` packets that are not IKE.
fn on_the_wire(lab: &Lab, count: u32, work: impl FnOnce()) -> String {
    let count = count.to_string();
    let filter = "not arp and not ip6 and not udp";
    let dump = lab.spawn("cl", &["tcpdump", "-n", "-l", "-i", "wan", "-c", &count, filter]);
    std::thread::sleep(Duration::from_millis(500)); // until it listens
    work();
    both(&dump.wait_with_output().unwrap())
}

/// Ours has the device made, the stock daemon's was made by hand; everything is routed by devices.
#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_vti_device_comes_and_goes_with_its_child() {
    for kinds in ROLES {
        let mut lab = Lab::new(Path4::Direct);
        lab.kernel = true;
        let (ours, theirs) = if kinds[0] == Kind::Cygnet { ("gw", "cl") } else { ("cl", "gw") };
        let outer = |name: &str| if name == "gw" { "192.0.2.1" } else { "192.0.2.2" };
        let inner = |name: &str| if name == "gw" { "10.10.0.1/30" } else { "10.10.0.2/30" };
        lab.exec("cl", "ip addr add 10.2.0.1/16 dev lo");
        lab.exec(
            theirs,
            &format!(
                "ip link add vti-hand type vti local {} remote {} key 42; ip addr add {} dev vti-hand
                 sysctl -qw net.ipv4.conf.vti-hand.disable_policy=1; ip link set vti-hand up
                 ip route add {} dev vti-hand",
                outer(theirs),
                outer(ours),
                inner(theirs),
                if theirs == "gw" { "10.2.0.0/16" } else { "10.1.0.0/16" }
            ),
        );
        let daemons = ["gw", "cl"].map(|name| {
            let kind = if name == ours { Kind::Cygnet } else { Kind::Charon };
            let settings = if name == ours { "" } else { "install_routes = no" };
            lab.start_with(name, kind, settings)
        });
        let [gw, cl] = &daemons;
        let made = format!(
            "vti_interface = vti-made\n vti_address = {}\n mark_in = 0x2a00\n mark_out = 0x2a01",
            inner(ours)
        );
        // The peer's own address is among what is routed into the device.
        let side = |name: &str| match name {
            "gw" => "10.1.0.0/16, 10.10.0.1/32, 192.0.2.1/32",
            _ => "10.2.0.0/16, 10.10.0.2/32, 192.0.2.2/32",
        };
        for (daemon, name, peer) in [(gw, "gw", "cl"), (cl, "cl", "gw")] {
            let marks = if name == ours { &made } else { "mark_in = 42\n mark_out = 42" };
            let child = format!(
                "net {{\n local_ts = {}\n remote_ts = {}\n esp_proposals = aes128gcm16-x25519\n {marks}\n }}",
                side(name),
                side(peer)
            );
            daemon.load(&conf(name, peer, &format!("remote_addrs = {}", outer(peer)), &child));
        }
        assert!(!lab.exec(ours, "ip link").contains("vti-made"));
        initiate(gw, cl, "net");
        let shown = lab.exec(ours, "ip -d addr show dev vti-made");
        let keys = "ikey 0.0.42.0 okey 0.0.42.1";
        for part in
            [inner(ours), keys, &format!("remote {} local {}", outer(theirs), outer(ours)), "LOWER_UP"]
        {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        let settings = "cd /proc/sys/net/ipv4/conf/vti-made; cat disable_policy rp_filter forwarding";
        assert_eq!(lab.exec(ours, settings).split_whitespace().collect::<Vec<_>>(), ["1", "0", "1"]);
        let routes = lab.exec(ours, "ip route show table 220");
        assert!(routes.contains(&format!("{} dev vti-made", outer(theirs))), "{routes}");
        let wire = on_the_wire(&lab, 18, || {
            lab.ping("lan", "10.2.0.1", 3);
            lab.ping(ours, inner(theirs).trim_end_matches("/30"), 3);
            lab.ping(ours, outer(theirs), 3);
        });
        assert!(wire.matches(": ESP(").count() == 18, "{wire}");
        // A rekeying keeps the device, under traffic.
        let index = lab.exec(ours, "cat /sys/class/net/vti-made/ifindex");
        let pings = lab.spawn("lan", &["ping", "-n", "-i", "0.1", "-c", "20", "-W", "2", "10.2.0.1"]);
        cl.swanctl(&["--rekey", "--child", "net"]);
        let said = both(&pings.wait_with_output().unwrap());
        assert!(said.contains(" 0% packet loss"), "{said}");
        assert_eq!(lab.exec(ours, "cat /sys/class/net/vti-made/ifindex"), index);
        // It goes with the CHILD_SA.
        cl.swanctl(&["--terminate", "--ike", "c"]);
        assert!(wait_for(SOON, || !lab.exec(ours, "ip link").contains("vti-made")));
        // A crash leaves it, and the next start takes it away.
        initiate(gw, cl, "net");
        let daemon = if ours == "gw" { gw } else { cl };
        lab.kill(daemon);
        assert!(lab.exec(ours, "ip link").contains("vti-made"));
        let again = lab.start_again(ours, daemon);
        assert!(!lab.exec(ours, "ip link").contains("vti-made"));
        assert!(lab.stop(&again));
        nothing_left(&lab, ours);
    }
}

/// One device for several peers, and what cannot be.
#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn a_shared_vti_device_and_what_cannot_be() {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    // A second peer on the same link, which the gateway's one address is for as well.
    lab.client("cl2", 7, false);
    lab.exec("cl2", "ip route add 192.0.2.1/32 via 192.0.7.1");
    for (name, net) in [("cl", "10.2.0.1/24"), ("cl2", "10.2.1.1/24")] {
        lab.exec(name, &format!("ip addr add {net} dev lo"));
    }
    let gw = lab.start_with("gw", Kind::Cygnet, "");
    let child = |more: &str| {
        format!(
            "net {{
        local_ts = 10.1.0.0/16
        remote_ts = 10.2.0.0/16
        esp_proposals = aes128gcm16
        mark_in = 7
        mark_out = 7
        vti_interface = vti0
        {more}
      }}"
        )
    };
    let load = |more: &str| gw.load(&conf("gw", "", "local_addrs = 192.0.2.1", &child(more)));
    let mut clients = Vec::new();
    for (name, net, kind) in [("cl", "10.2.0.0/24", Kind::Charon), ("cl2", "10.2.1.0/24", Kind::Cygnet)] {
        let client = lab.start_with(name, kind, "");
        let child =
            format!("net {{\n local_ts = {net}\n remote_ts = 10.1.0.0/16\n esp_proposals = aes128gcm16\n }}");
        client.load(&conf(name, "gw", "remote_addrs = 192.0.2.1", &child));
        clients.push(client);
    }
    // An interface of that name, which is not ours, stays as it is; the rest runs.
    lab.exec("gw", "ip link add vti0 type dummy");
    load("");
    let refused = |client: &Daemon, why: &str| {
        let (ok, said) = client.try_swanctl(&["--initiate", "--child", "net", "--timeout", "20"]);
        assert!(!ok, "{said}");
        assert!(gw.logged(why, SOON), "{}", gw.said());
        client.try_swanctl(&["--terminate", "--ike", "c", "--force"]);
    };
    refused(&clients[0], "vti_interface: making interface vti0");
    assert!(lab.exec("gw", "ip -d link show dev vti0").contains("dummy"));
    lab.exec("gw", "ip link del vti0");
    // Not shared: the first has it, the second is told why not.
    initiate(&gw, &clients[0], "net");
    lab.ping("lan", "10.2.0.1", 2);
    refused(&clients[1], "vti_shared = yes lets several peers use it");
    lab.ping("lan", "10.2.0.1", 2);
    clients[0].swanctl(&["--terminate", "--ike", "c"]);
    assert!(wait_for(SOON, || !lab.exec("gw", "ip link").contains("vti0")));
    // Shared, with routes of the operator's.
    load("vti_shared = yes\n vti_routing = no");
    for client in &clients {
        initiate(&gw, client, "net");
    }
    let shown = lab.exec("gw", "ip -d link show dev vti0");
    assert!(shown.contains("vti remote any local 192.0.2.1"), "{shown}");
    assert!(!lab.exec("gw", "ip route show table 220 2>/dev/null || true").contains("vti0"));
    lab.exec("gw", "ip route add 10.2.0.0/16 dev vti0");
    for to in ["10.2.0.1", "10.2.1.1"] {
        lab.ping("lan", to, 3);
    }
    // It stays as long as anybody needs it.
    clients[0].swanctl(&["--terminate", "--ike", "c"]);
    lab.ping("lan", "10.2.1.1", 3);
    clients[1].swanctl(&["--terminate", "--ike", "c"]);
    assert!(wait_for(SOON, || !lab.exec("gw", "ip link").contains("vti0")));
    assert!(lab.stop(&gw));
    nothing_left(&lab, "gw");
}

/// The files of `examples/gre`: ours by its updown script, the stock daemon's by the lines of its systemd unit.
#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn gre_in_transport_mode() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gre").canonicalize().unwrap();
    let unit = std::fs::read_to_string(example.join("cygnet-gre@.service")).unwrap();
    let lines = |key: &str| {
        let commands = unit.lines().filter_map(|line| line.strip_prefix(key));
        commands.map(|line| line.replace("%i", "gre-unit")).collect::<Vec<_>>().join("\n")
    };
    for kinds in ROLES {
        let mut lab = Lab::new(Path4::Direct);
        lab.kernel = true;
        let (ours, theirs) = if kinds[0] == Kind::Cygnet { ("gw", "cl") } else { ("cl", "gw") };
        let outer = |name: &str| if name == "gw" { "192.0.2.1" } else { "192.0.2.2" };
        let inner = |name: &str| if name == "gw" { "10.10.0.1/30" } else { "10.10.0.2/30" };
        let network = |name: &str| if name == "gw" { "10.1.0.0/16" } else { "10.2.0.0/16" };
        lab.exec("cl", "ip addr add 10.2.0.1/16 dev lo");
        lab.exec(
            theirs,
            &format!(
                "LOCAL={} REMOTE={} ADDRESS={} NETWORK={}\n{}",
                outer(theirs),
                outer(ours),
                inner(theirs),
                network(ours),
                lines("ExecStart=")
            ),
        );
        let gw = lab.start_with("gw", kinds[0], "");
        let cl = lab.start_with("cl", kinds[1], "");
        for (daemon, name, peer) in [(&gw, "gw", "cl"), (&cl, "cl", "gw")] {
            let script =
                format!("updown = {} {} {}", example.join("updown").display(), inner(ours), network(theirs));
            let child = format!(
                "net {{\n mode = transport\n local_ts = dynamic[gre]\n remote_ts = dynamic[gre]\n esp_proposals = aes128gcm16\n {}\n }}",
                if name == ours { &script } else { "" }
            );
            let ends = format!("local_addrs = {}\n remote_addrs = {}", outer(name), outer(peer));
            daemon.load(&conf(name, peer, &ends, &child));
        }
        initiate(&gw, &cl, "net");
        assert!(
            wait_for(SOON, || lab.exec(ours, "ip route").contains("dev gre-net")),
            "{}\n{}",
            gw.said(),
            cl.said()
        );
        for daemon in [&gw, &cl] {
            let sas = daemon.sas();
            let (mine, peers) = ("local-ts=[192.0.2.", "/32[gre]] remote-ts=[192.0.2.");
            assert!(sas.contains("mode=TRANSPORT") && sas.contains(mine) && sas.contains(peers), "{sas}");
        }
        let wire = on_the_wire(&lab, 12, || {
            lab.ping("lan", "10.2.0.1", 3);
            lab.ping(ours, inner(theirs).trim_end_matches("/30"), 3);
        });
        assert!(wire.matches(": ESP(").count() == 12 && !wire.contains("GRE"), "{wire}");
        cl.swanctl(&["--terminate", "--ike", "c"]);
        assert!(wait_for(SOON, || !lab.exec(ours, "ip link").contains("gre-net")));
        lab.exec(theirs, &lines("ExecStop="));
        assert!(!lab.exec(theirs, "ip link").contains("gre-unit"));
    }
}
