//! Clients that become hosts of the LAN behind the gateway: addresses by DHCP, found there without a route.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4, sh, wait_for};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// A server in the LAN, ended with the test.
struct Server {
    child: Child,
    leases: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Server {
    fn start(lab: &Lab, args: &[&str], env: &[(&str, &str)], leases: PathBuf) -> Self {
        let out = fs::File::create(leases.with_extension("out")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &lab.ns("lan")])
            .args(args)
            .envs(env.iter().copied())
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, leases }
    }

    fn end(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    fn leases(&self) -> String {
        fs::read_to_string(&self.leases).unwrap_or_default()
    }
}

/// Waits until something in the LAN listens for DHCP.
fn listens(lab: &Lab) {
    let ready = wait_for(SOON, || {
        let (_, text) = lab.attempt("lan", "ss -Hlnu sport = :67; ss -Hln0");
        text.lines().any(|line| line.contains(":67") || line.contains("kea"))
    });
    assert!(ready, "the DHCP server did not start");
}

fn dnsmasq(lab: &Lab) -> Server {
    let dir = lab.dir().display().to_string();
    let conf = format!(
        "port=0\ninterface=eth\nbind-interfaces\ndhcp-range=10.1.0.50,10.1.0.60,255.255.0.0,10.1.255.255,120\n\
         dhcp-option=option:dns-server,10.1.0.20\ndhcp-option=option:netbios-ns,10.1.0.30\n\
         dhcp-option=option:domain-name,lan.cygnet.test\nlog-dhcp\nlog-facility={dir}/dnsmasq.log\n\
         dhcp-leasefile={dir}/leases\npid-file={dir}/dnsmasq.pid\nuser=root\nno-ping\n"
    );
    fs::write(lab.dir().join("dnsmasq.conf"), conf).unwrap();
    let server = Server::start(
        lab,
        &["dnsmasq", "-k", "-C", &format!("{dir}/dnsmasq.conf")],
        &[],
        lab.dir().join("leases"),
    );
    listens(lab);
    server
}

fn gateway(lab: &mut Lab, dhcp: &str) -> Daemon {
    let settings = format!("plugins {{\n dhcp {{\n{dhcp}\n }}\n farp {{\n load = yes\n }}\n}}");
    let gw = lab.start_with("gw", Kind::Cygnet, &settings);
    gw.load(
        "connections {
  lan {
    local_addrs = 192.0.2.1
    pools = dhcp, v6
    unique = never
    local {
      auth = psk
      id = gw.cygnet.test
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = 10.1.0.0/16, fd01::/64
      }
    }
  }
  other {
    local_addrs = 192.0.2.1
    pools = v4
    local {
      auth = psk
      id = gw.cygnet.test
    }
    remote {
      auth = psk
      id = other.cygnet.test
    }
    children {
      net {
        local_ts = 10.1.0.0/16
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.3.0.0/24
  }
  v6 {
    addrs = fd01::100/120
  }
}
secrets {
  ike {
    secret = \"a good long secret\"
  }
}
",
    );
    gw
}

/// A client with one connection for each name; all want these addresses.
fn client(lab: &mut Lab, kind: Kind, names: &[&str], vips: &str) -> Daemon {
    let connections: String = names
        .iter()
        .map(|name| {
            format!(
                "  {name} {{
    remote_addrs = 192.0.2.1
    vips = {vips}
    local {{
      auth = psk
      id = {name}.cygnet.test
    }}
    remote {{
      auth = psk
      id = gw.cygnet.test
    }}
    children {{
      {name} {{
        remote_ts = 10.1.0.0/16, fd01::/64
      }}
    }}
  }}
"
            )
        })
        .collect();
    let secret = "secrets {\n  ike {\n    secret = \"a good long secret\"\n  }\n}\n";
    let cl = lab.start_with("cl", kind, "make_before_break = yes");
    cl.load(&format!("connections {{\n{connections}}}\n{secret}"));
    cl
}

/// The virtual addresses of a connection.
fn addresses(daemon: &Daemon, name: &str) -> Vec<String> {
    let sas = daemon.swanctl(&["--list-sas", "--raw", "--ike", name]);
    let list = sas.split("local-vips=[").nth(1).unwrap_or_else(|| panic!("no addresses in {sas}"));
    list.split(']').next().unwrap().split_whitespace().map(str::to_owned).collect()
}

/// A road warrior is a host of the LAN as long as its tunnel is up.
fn member(kind: Kind) {
    let mut lab = Lab::new(Path4::Direct);
    let server = dnsmasq(&lab);
    let gw = gateway(&mut lab, "server = 10.1.255.255");
    let cl = client(&mut lab, kind, &["carol"], "0.0.0.0, ::");
    cl.initiate("carol");
    let vips = addresses(&cl, "carol");
    assert!(vips[0].starts_with("10.1.0.") && vips[1].starts_with("fd01::1"), "{vips:?}");
    assert!(server.leases().contains(&vips[0]), "{}", server.leases());
    // The LAN's host has no route but that of its own network, and finds them.
    for vip in &vips {
        lab.ping("lan", vip, 3);
    }
    let mac = sh(&format!("ip -n {} -br link show lan", lab.ns("gw")));
    let mac = mac.split_whitespace().nth(2).unwrap();
    let neighbours = sh(&format!("ip -n {} neigh", lab.ns("lan")));
    for vip in &vips {
        let line = neighbours.lines().find(|line| line.starts_with(&format!("{vip} ")));
        assert!(line.is_some_and(|line| line.contains(mac)), "{vip} at {mac}\n{neighbours}");
    }
    let resolv = fs::read_to_string(cl.file("resolv.conf")).unwrap();
    assert!(resolv.contains("10.1.0.20"), "{resolv}");
    for line in [
        "to 10.1.255.255".to_owned(),
        format!("received DHCP OFFER {} from 10.1.0.10", vips[0]),
        format!("sending DHCP REQUEST for {} to 10.1.0.10", vips[0]),
        format!("received DHCP ACK for {}", vips[0]),
    ] {
        assert!(gw.count_logged(&line) > 0, "{line}\n{}", gw.said());
    }
    cl.swanctl(&["--terminate", "--ike", "carol"]);
    assert!(gw.logged(&format!("sending DHCP RELEASE for {} to 10.1.0.10", vips[0]), SOON), "{}", gw.said());
    assert!(wait_for(SOON, || !server.leases().contains(&vips[0])), "{}", server.leases());
    sh(&format!("ip -n {} neigh flush dev eth", lab.ns("lan")));
    for vip in &vips {
        assert!(
            !lab.attempt("lan", &format!("ping -n -c 1 -W 1 -w 1 {vip}")).0,
            "{vip} is answered for though its tunnel is gone"
        );
    }
    assert_eq!(
        sh(&format!("ip -n {} -6 neigh show proxy", lab.ns("gw"))),
        "",
        "nothing is left in the kernel"
    );
}

#[test]
fn our_client_is_a_host_of_the_lan() {
    member(Kind::Cygnet);
}

#[test]
fn a_stock_client_is_a_host_of_the_lan() {
    member(Kind::Charon);
}

#[test]
fn an_identity_has_its_address_whenever_it_comes() {
    let mut lab = Lab::new(Path4::Direct);
    let server = dnsmasq(&lab);
    let gw = gateway(&mut lab, "interface = lan\n identity_lease = yes");
    let cl = client(&mut lab, Kind::Charon, &["carol", "dave"], "0.0.0.0");
    cl.initiate("carol");
    cl.initiate("dave");
    let (carol, dave) = (addresses(&cl, "carol"), addresses(&cl, "dave"));
    assert_ne!(carol, dave);
    // As charon's, so that reservations hold.
    assert!(server.leases().contains(&format!("7a:a7:7c:75:c1:cb {}", carol[0])), "{}", server.leases());
    let release = format!("sending DHCP RELEASE for {} to", carol[0]);
    // Two IKE_SAs hold the address for a moment.
    cl.swanctl(&["--rekey", "--reauth", "--ike", "carol"]);
    assert!(
        gw.logged(&format!("lease {} by 'carol.cygnet.test' went offline", carol[0]), SOON),
        "{}",
        gw.said()
    );
    assert_eq!(addresses(&cl, "carol"), carol);
    assert_eq!(gw.count_logged(&release), 0, "{}", gw.said());
    lab.ping("lan", &carol[0], 1);
    cl.swanctl(&["--terminate", "--ike", "carol"]);
    assert!(gw.logged(&release, SOON));
    assert!(wait_for(SOON, || !server.leases().contains(&carol[0])));
    cl.initiate("carol");
    assert_eq!(addresses(&cl, "carol"), carol);
    assert_eq!(addresses(&cl, "dave"), dave);
    // The end of the gateway gives back everything.
    assert!(lab.stop(&gw), "{}", gw.said());
    assert!(wait_for(SOON, || server.leases().is_empty()), "{}", server.leases());
}

#[test]
fn leases_are_renewed_and_their_loss_ends_the_tunnel() {
    let mut lab = Lab::new(Path4::Direct);
    let dir = lab.dir().display().to_string();
    let conf = format!(
        r#"{{ "Dhcp4": {{
  "interfaces-config": {{ "interfaces": [ "eth" ], "dhcp-socket-type": "udp" }},
  "lease-database": {{ "type": "memfile", "name": "{dir}/kea.csv", "lfc-interval": 0 }},
  "valid-lifetime": 8, "renew-timer": 3, "rebind-timer": 6, "calculate-tee-times": false,
  "subnet4": [ {{ "subnet": "10.1.0.0/16", "pools": [ {{ "pool": "10.1.0.50 - 10.1.0.60" }} ] }} ],
  "loggers": [ {{ "name": "kea-dhcp4", "severity": "INFO", "output_options": [ {{ "output": "{dir}/kea.log" }} ] }} ]
}} }}"#
    );
    fs::write(lab.dir().join("kea.conf"), conf).unwrap();
    let env = [("KEA_PIDFILE_DIR", dir.as_str()), ("KEA_LOCKFILE_DIR", dir.as_str())];
    let arguments = ["kea-dhcp4", "-c", &format!("{dir}/kea.conf")];
    let mut server = Server::start(&lab, &arguments, &env, lab.dir().join("kea.csv"));
    listens(&lab);
    let gw = gateway(&mut lab, "server = 10.1.0.10\n use_server_port = yes");
    let cl = client(&mut lab, Kind::Cygnet, &["carol"], "0.0.0.0");
    cl.initiate("carol");
    let vip = addresses(&cl, "carol").remove(0);
    let renewed = || gw.count_logged(&format!("received DHCP ACK for {vip}")) >= 3;
    assert!(wait_for(Duration::from_secs(12), renewed), "{}", gw.said());
    assert!(server.leases().matches(&vip).count() >= 3, "{}", server.leases());
    lab.ping("lan", &vip, 1);
    // The gateway's address in the LAN changes: the server answers to the one it is told, which must be the new one.
    let before = gw.count_logged(&format!("received DHCP ACK for {vip}"));
    let ns = lab.ns("gw");
    sh(&format!("ip -n {ns} addr del 10.1.0.1/16 dev lan && ip -n {ns} addr add 10.1.0.2/16 dev lan"));
    let renewed = || gw.count_logged(&format!("received DHCP ACK for {vip}")) >= before + 3;
    assert!(wait_for(Duration::from_secs(12), renewed), "{}", gw.said());
    server.end();
    assert!(
        gw.logged(&format!("lease {vip} of 'carol.cygnet.test' is lost"), Duration::from_secs(15)),
        "{}",
        gw.said()
    );
    assert!(wait_for(SOON, || !gw.sas().contains("ESTABLISHED")), "{}", gw.said());
}

#[test]
fn a_server_is_spoken_to_where_the_operator_says() {
    let mut lab = Lab::new(Path4::Direct);
    let server = dnsmasq(&lab);
    // Nothing reaches the address that the server gives for itself.
    let rule = "nft add table ip t && nft add chain ip t out '{ type filter hook output priority 0; }' && \
                nft add rule ip t out ip daddr 10.1.0.10 udp dport 67 drop";
    let (made, said) = lab.attempt("gw", rule);
    assert!(made, "{said}");
    let gw = gateway(&mut lab, "server = 10.1.255.255\n force_server_address = yes");
    let cl = client(&mut lab, Kind::Cygnet, &["carol"], "0.0.0.0");
    cl.initiate("carol");
    let vip = addresses(&cl, "carol").remove(0);
    assert_eq!(
        gw.count_logged(&format!("sending DHCP REQUEST for {vip} to 10.1.255.255")),
        1,
        "{}",
        gw.said()
    );
    cl.swanctl(&["--terminate", "--ike", "carol"]);
    assert!(gw.logged(&format!("sending DHCP RELEASE for {vip} to 10.1.255.255"), SOON), "{}", gw.said());
    assert!(wait_for(SOON, || !server.leases().contains(&vip)), "{}", server.leases());
}

#[test]
fn answers_are_heard_on_the_interface_that_is_named() {
    for (named, heard) in [("lan", true), ("wan", false)] {
        let mut lab = Lab::new(Path4::Direct);
        let server = dnsmasq(&lab);
        let gw = gateway(&mut lab, &format!("server = 10.1.255.255\n interface_receive = {named}"));
        let cl = client(&mut lab, Kind::Cygnet, &["carol"], "0.0.0.0");
        let (up, said) = cl.try_swanctl(&["--initiate", "--child", "carol", "--timeout", "25"]);
        let offered = fs::read_to_string(lab.dir().join("dnsmasq.log")).unwrap().contains("DHCPOFFER");
        assert!(offered, "{}", gw.said());
        assert_eq!(gw.count_logged("received DHCP OFFER") > 0, heard, "{}", gw.said());
        assert_eq!(server.leases().contains("10.1.0."), heard, "{}", server.leases());
        assert_eq!(said.contains("INTERNAL_ADDRESS_FAILURE"), !heard, "{up} {said}");
    }
}

#[test]
fn a_silent_server_stops_nobody_else() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = gateway(&mut lab, "interface = lan");
    let cl = client(&mut lab, Kind::Charon, &["carol", "other"], "0.0.0.0");
    let uri = format!("unix://{}", cl.file("vici").display());
    let waiting =
        lab.spawn("cl", &["swanctl", "--initiate", "--child", "carol", "--timeout", "25", "--uri", &uri]);
    assert!(gw.logged("sending DHCP DISCOVER", SOON), "{}", gw.said());
    cl.initiate("other");
    assert!(addresses(&cl, "other")[0].starts_with("10.3.0."));
    let said = lab::both(&waiting.wait_with_output().unwrap());
    assert!(said.contains("INTERNAL_ADDRESS_FAILURE"), "{said}\n{}", gw.said());
    assert!(gw.logged("no DHCP server at 255.255.255.255 made an offer", SOON), "{}", gw.said());
}

/// A server that refuses its first offer, forgets whom it gave what, and learns from complaints only.
const ODD: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth")
s.bind(("", 67))
refusals, declined = 1, 0
while True:
    m = s.recv(2000)
    options, at = {}, 240
    while m[at] != 255:
        options[m[at]] = m[at + 2:at + 2 + m[at + 1]]
        at += 2 + m[at + 1]
    kind = options[53][0]
    print("heard", kind, flush=True)
    if kind == 4:
        declined += 1
    if kind not in (1, 3):
        continue
    answer = 2 if kind == 1 else 5
    if kind == 3 and refusals:
        refusals, answer = refusals - 1, 6
    yours = bytes([10, 1, 0, 50 + declined])
    r = b"\x02" + m[1:16] + yours + m[20:240] + bytes([53, 1, answer, 54, 4, 10, 1, 0, 10])
    r += bytes([51, 4, 0, 0, 1, 0, 255])
    s.sendto(b"rubbish", ("255.255.255.255", 68))
    s.sendto(r[:40], ("255.255.255.255", 68))
    s.sendto(r, ("255.255.255.255", 68))
"#;

#[test]
fn refusals_and_duplicates_are_lived_through() {
    let mut lab = Lab::new(Path4::Direct);
    fs::write(lab.dir().join("odd.py"), ODD).unwrap();
    let script = lab.dir().join("odd.py").display().to_string();
    let _server = Server::start(&lab, &["python3", &script], &[], lab.dir().join("odd"));
    listens(&lab);
    let gw = gateway(&mut lab, "interface = lan");
    let cl = client(&mut lab, Kind::Charon, &["carol", "dave"], "0.0.0.0");
    cl.initiate("carol");
    assert_eq!(addresses(&cl, "carol"), ["10.1.0.50"]);
    assert_eq!(gw.count_logged("received DHCP NAK for 10.1.0.50 from 10.1.0.10"), 1);
    cl.initiate("dave");
    assert_eq!(addresses(&cl, "dave"), ["10.1.0.51"]);
    assert_eq!(gw.count_logged("another client has 10.1.0.50, sending DHCP DECLINE"), 1, "{}", gw.said());
    lab.ping("lan", "10.1.0.50", 1);
    lab.ping("lan", "10.1.0.51", 1);
}
