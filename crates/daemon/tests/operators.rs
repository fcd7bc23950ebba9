//! With the programs of operators beside the daemon: keepalived, BIRD. The recipes are those of `docs/operators.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(15);

/// A program beside the daemon; it is asked to end when this is dropped, before its namespace goes.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if !wait_for(Duration::from_secs(5), || !matches!(self.0.try_wait(), Ok(None))) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Starts a program in a namespace; what it says goes to a file of the lab.
fn beside(lab: &Lab, name: &str, file: &str, words: &[&str]) -> Beside {
    let out = fs::File::create(lab.dir().join(file)).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let child = Command::new("ip")
        .args(["netns", "exec", &lab.ns(name)])
        .args(words)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    Beside(child)
}

fn said(lab: &Lab, file: &str) -> String {
    fs::read_to_string(lab.dir().join(file)).unwrap_or_default()
}

fn conf(connection: &str, ids: [&str; 2], child: &str) -> String {
    let net = format!("net {{\n esp_proposals = aes128gcm16\n {child}\n }}");
    psk::whole(&psk::connection("c", ids, &format!("{connection}\n encap = yes"), &net))
}

/// Two gateways and a client on one outer network, the gateways and a host on one inner network.
fn cluster() -> Lab {
    let mut lab = Lab::bare(&["keepalived"]);
    let switch = lab.add("sw");
    lab::sh(&format!(
        "for b in wan lan; do
           ip -n {switch} link add $b type bridge forward_delay 0 mcast_snooping 0; ip -n {switch} link set $b up
         done"
    ));
    for (name, net, address) in [
        ("g1", "wan", "192.0.2.1/24"),
        ("g1", "lan", "10.1.0.2/16"),
        ("g2", "wan", "192.0.2.2/24"),
        ("g2", "lan", "10.1.0.3/16"),
        ("cl", "wan", "192.0.2.100/24"),
        ("host", "lan", "10.1.0.10/16"),
    ] {
        let ns = lab.ns(name);
        if !fs::exists(format!("/run/netns/{ns}")).unwrap() {
            lab.add(name);
        }
        lab::sh(&format!(
            "ip link add {net} netns {ns} type veth peer name {net}-{name} netns {switch}
             ip -n {switch} link set {net}-{name} master {net} up
             ip -n {ns} addr add {address} dev {net}; ip -n {ns} link set {net} up"
        ));
    }
    for name in ["g1", "g2"] {
        lab.exec(name, "sysctl -qw net.ipv4.ip_forward=1");
    }
    lab.exec("host", "ip route add default via 10.1.0.1");
    lab
}

/// keepalived as in docs/operators.md, with a shorter interval.
fn keepalived(lab: &Lab, name: &str, priority: u8) -> Beside {
    let conf = lab.dir().join(format!("{name}.keepalived.conf"));
    let instance = |net: &str, id: u8, address: &str| {
        format!(
            "vrrp_instance {net} {{
  interface {net}
  virtual_router_id {id}
  priority {priority}
  advert_int 0.2
  garp_master_delay 1
  virtual_ipaddress {{
    {address} dev {net}
  }}
}}
"
        )
    };
    fs::write(
        &conf,
        format!(
            "global_defs {{
  vrrp_version 3
  router_id {name}
}}
vrrp_sync_group vpn {{
  group {{
    wan
    lan
  }}
}}
{}{}",
            instance("wan", 51, "192.0.2.10/24"),
            instance("lan", 52, "10.1.0.1/16")
        ),
    )
    .unwrap();
    let pid = |what: &str| format!("{}/{name}.{what}.pid", lab.dir().display());
    let words = [
        "keepalived",
        "--dont-fork",
        "--log-console",
        "--vrrp",
        "--use-file",
        conf.to_str().unwrap(),
        "--pid",
        &pid("main"),
        "--vrrp_pid",
        &pid("vrrp"),
    ];
    beside(lab, name, &format!("{name}.keepalived"), &words)
}

#[test]
fn a_keepalived_pair_hands_the_road_warrior_over() {
    for kind in [Kind::Cygnet, Kind::Charon] {
        let mut lab = cluster();
        let gateway = conf("local_addrs = 192.0.2.10\n pools = v4", ["gw", "cl"], "local_ts = 10.1.0.0/16");
        let gateways = ["g1", "g2"].map(|name| lab.start(name, Kind::Cygnet, &gateway));
        let _keepers = [("g1", 150), ("g2", 100)].map(|(name, priority)| keepalived(&lab, name, priority));
        let has = |lab: &Lab, name: &str| lab.exec(name, "ip addr show dev wan").contains("192.0.2.10/");
        assert!(wait_for(SOON, || has(&lab, "g1") && !has(&lab, "g2")), "{}", said(&lab, "g1.keepalived"));
        let cl = lab.start_with(
            "cl",
            kind,
            "retransmit_timeout = 0.4\n  retransmit_tries = 2\n  retransmit_base = 1.5",
        );
        cl.load(&conf(
            "remote_addrs = 192.0.2.10\n vips = 0.0.0.0\n dpd_delay = 1s\n keyingtries = 0",
            ["cl", "gw"],
            "remote_ts = 10.1.0.0/16\n start_action = start\n dpd_action = restart",
        ));
        assert!(
            wait_for(SOON, || lab.try_ping("cl", "10.1.0.10", 1).0),
            "{}\n{}",
            cl.said(),
            gateways[0].said()
        );
        // One ping for the whole test, which nobody touches.
        let _ping = beside(&lab, "cl", "ping", &["ping", "-n", "-i", "0.2", "10.1.0.10"]);
        let answers = |lab: &Lab| said(lab, "ping").matches("bytes from").count();
        let comes_back = |lab: &Lab, gateway: &Daemon| {
            let (begun, before) = (Instant::now(), answers(lab));
            // Five more, and through the one that shall have it.
            let back = wait_for(Duration::from_secs(20), || {
                answers(lab) >= before + 5 && gateway.sas().contains("state=INSTALLED")
            });
            assert!(back, "{kind:?}: no ping\n{}\n{}\n{}", cl.said(), gateway.said(), said(lab, "ping"));
            eprintln!("{kind:?}: back after {:?}", begun.elapsed());
        };
        // The first gateway loses its network, and gets it back: two fail-overs.
        lab.exec("g1", "ip link set wan down; ip link set lan down");
        assert!(wait_for(SOON, || has(&lab, "g2")), "{}", said(&lab, "g2.keepalived"));
        comes_back(&lab, &gateways[1]);
        lab.exec("g1", "ip link set wan up; ip link set lan up");
        assert!(wait_for(SOON, || has(&lab, "g1") && !has(&lab, "g2")), "{}", said(&lab, "g1.keepalived"));
        comes_back(&lab, &gateways[0]);
        // One IKE_SA, one CHILD_SA: nothing is left of those before.
        let one = |daemon: &Daemon| {
            let sas = daemon.sas();
            sas.matches("state=ESTABLISHED").count() == 1 && sas.matches("state=INSTALLED").count() == 1
        };
        assert!(wait_for(SOON, || one(&cl)), "{}\n{}", cl.sas(), cl.said());
        assert!(wait_for(SOON, || one(&gateways[0])), "{}\n{}", gateways[0].sas(), gateways[0].said());
    }
}

#[test]
fn bird_gives_the_routes_of_table_220_on() {
    // Names what is missing.
    drop(Lab::bare(&["bird"]));
    let mut lab = Lab::new(Path4::Direct);
    lab.exec("lan", "ip route del default; ip -6 route del default");
    let bird = |name: &str, id: &str, rest: &str| {
        let conf = lab.dir().join(format!("{name}.bird.conf"));
        fs::write(&conf, format!("router id {id};\nprotocol device {{\n  scan time 1;\n}}\n{rest}")).unwrap();
        let socket = lab.dir().join(format!("{name}.bird")).display().to_string();
        let conf = conf.display().to_string();
        beside(&lab, name, &format!("{name}.bird.out"), &["bird", "-f", "-c", &conf, "-s", &socket])
    };
    let learn = ["4", "6"].map(|v| {
        format!(
            "ipv{v} table tunnels{v};
protocol kernel learn{v} {{
  kernel table 220;
  learn;
  scan time 1;
  ipv{v} {{
    table tunnels{v};
    import all;
    export none;
  }};
}}
"
        )
    });
    let session = |v: &str, here: &str, us: u32, there: &str, them: u32, channel: &str| {
        format!(
            "protocol bgp neighbour{v} {{
  local {here} as {us};
  neighbor {there} as {them};
  connect delay time 1;
  connect retry time 1;
  ipv{v} {{
    {channel}
  }};
}}
"
        )
    };
    let give = |v: &str| format!("table tunnels{v};\n    import none;\n    export all;\n    next hop self;");
    let gateway = [
        learn.concat(),
        session("4", "10.1.0.1", 65001, "10.1.0.10", 65002, &give("4")),
        session("6", "fd01::1", 65001, "fd01::10", 65002, &give("6")),
    ]
    .concat();
    let take = "import all;\n    export none;";
    let router = [
        "protocol kernel {\n  ipv4 {\n    export all;\n  };\n}\nprotocol kernel {\n  ipv6 {\n    export all;\n  };\n}\n"
            .to_owned(),
        session("4", "10.1.0.10", 65002, "10.1.0.1", 65001, take),
        session("6", "fd01::10", 65002, "fd01::1", 65001, take),
    ]
    .concat();
    let _birds = [bird("gw", "10.1.0.1", &gateway), bird("lan", "10.1.0.10", &router)];
    let gw = lab.start(
        "gw",
        Kind::Cygnet,
        &conf("local_addrs = 192.0.2.1\n pools = v4, v6", ["gw", "cl"], "local_ts = 10.1.0.0/16, fd01::/64"),
    );
    let cl = lab.start(
        "cl",
        Kind::Cygnet,
        &conf(
            "remote_addrs = 192.0.2.1\n vips = 0.0.0.0, ::",
            ["cl", "gw"],
            "remote_ts = 10.1.0.0/16, fd01::/64",
        ),
    );
    let routes = |lab: &Lab| lab.exec("lan", "ip route; ip -6 route");
    cl.initiate("net");
    let known = |lab: &Lab| {
        routes(lab).contains("10.3.0.1 via 10.1.0.1") && routes(lab).contains("fd03::1 via fd01::1")
    };
    assert!(
        wait_for(SOON, || known(&lab)),
        "{}\n{}\n{}\n{}\n{}",
        routes(&lab),
        lab.exec("gw", "ip route show table 220; ip -6 route show table 220"),
        said(&lab, "gw.bird.out"),
        said(&lab, "lan.bird.out"),
        gw.said()
    );
    lab.ping("lan", "10.3.0.1", 3);
    lab.ping("lan", "fd03::1", 3);
    cl.swanctl(&["--terminate", "--ike", "c"]);
    let gone = || !routes(&lab).contains("10.3.0.1") && !routes(&lab).contains("fd03::1");
    assert!(wait_for(SOON, gone), "{}\n{}", routes(&lab), gw.said());
}
