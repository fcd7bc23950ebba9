//! The client's side of virtual IPs: which addresses, where they are put, and the DNS servers that come with them.
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
#[path = "lab/resolved.rs"]
mod resolved;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use resolved::Resolved;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// A connection of the gateway for the client that calls itself `name`.
fn server(name: &str, keys: &str, remote_ts: &str) -> String {
    format!(
        "{name} {{
  local_addrs = 192.0.2.1
  proposals = aes128gcm16-prfsha256-x25519
  encap = yes
  {keys}
  local {{
    auth = psk
    id = gw
  }}
  remote {{
    auth = psk
    id = {name}
  }}
  children {{
    {name} {{
      local_ts = 10.1.0.0/16, fd01::/64
      {remote_ts}
      esp_proposals = aes128gcm16
    }}
  }}
}}
"
    )
}

/// A connection of the client, and its child, of one name.
fn client(name: &str, keys: &str, child: &str) -> String {
    format!(
        "{name} {{
  remote_addrs = 192.0.2.1
  proposals = aes128gcm16-prfsha256-x25519
  {keys}
  local {{
    auth = psk
    id = {name}
  }}
  remote {{
    auth = psk
    id = gw
  }}
  children {{
    {name} {{
      remote_ts = 10.1.0.0/16, fd01::/64
      esp_proposals = aes128gcm16
      {child}
    }}
  }}
}}
"
    )
}

fn conf(connections: &[String], rest: &str) -> String {
    format!(
        "connections {{\n{}}}\n{rest}\nsecrets {{\n ike {{\n secret = \"a good long secret\"\n }}\n}}\n",
        connections.concat()
    )
}

const POOLS: &str = "pools {
  v4 {
    addrs = 10.3.0.0/24
    dns = 10.1.0.10, fd01::10
  }
  v6 {
    addrs = fd03::/112
  }
  one {
    addrs = 10.6.0.1
  }
  other {
    addrs = 10.6.0.1
  }
}
";

fn gateway_conf() -> String {
    let both = "pools = v4, v6";
    conf(
        &[
            server("any", both, ""),
            server("fixed", both, ""),
            server("different", both, ""),
            server("partial", "pools = v4", ""),
            server("split", "pools = v4, domains", ""),
            server("none", "", ""),
            server("one", "pools = one", ""),
            server("other", "pools = other", ""),
            server("static", "", "remote_ts = 10.9.9.9/32"),
        ],
        POOLS,
    )
}

fn down(daemon: &Daemon, name: &str) {
    daemon.swanctl(&["--terminate", "--ike", name]);
}

fn addresses(lab: &Lab) -> String {
    lab.exec("cl", "ip -br addr")
}

/// Every kind of answer that a gateway may give.
fn answers(gateway: Kind) {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", gateway, &gateway_conf());
    let cl = lab.start_with("cl", Kind::Cygnet, "");
    cl.load(&conf(
        &[
            client("any", "vips = 0.0.0.0, ::", ""),
            client("fixed", "vips = 10.3.0.77, fd03::77", ""),
            client("different", "vips = 172.31.9.9", ""),
            client("partial", "vips = 0.0.0.0, ::", ""),
            client("none", "vips = 0.0.0.0", ""),
            client("one", "vips = 0.0.0.0", ""),
            client("other", "vips = 0.0.0.0", ""),
        ],
        "",
    ));

    cl.initiate("any");
    let sas = cl.sas();
    assert!(sas.contains("local-vips=[10.3.0.1 fd03::1]"), "{sas}\n{}", gw.said());
    assert!(sas.contains("local-ts=[10.3.0.1/32 fd03::1/128]"), "{sas}");
    let routes = lab.exec("cl", "ip route show table 220; ip -6 route show table 220");
    assert!(routes.contains("10.1.0.0/16 dev ipsec0") && routes.contains("src 10.3.0.1"), "{routes}");
    assert!(routes.contains("src fd03::1"), "{routes}");
    for to in ["10.1.0.10", "fd01::10"] {
        lab.ping("cl", to, 2);
    }
    down(&cl, "any");
    assert!(
        !addresses(&lab).contains("10.3.0.1") && !addresses(&lab).contains("fd03::"),
        "{}",
        addresses(&lab)
    );

    cl.initiate("fixed");
    // Stock strongSwan's pools give what they like.
    let given = if gateway == Kind::Cygnet {
        "local-vips=[10.3.0.77 fd03::77]"
    } else {
        "local-vips=[10.3.0.2 fd03::2]"
    };
    assert!(cl.sas().contains(given), "{}\n{}", cl.sas(), gw.said());
    down(&cl, "fixed");

    cl.initiate("different");
    let sas = cl.sas();
    assert!(sas.contains("local-vips=[10.3.0.") && !sas.contains("172.31.9.9"), "{sas}");
    lab.ping("cl", "10.1.0.10", 1);
    down(&cl, "different");

    cl.initiate("partial");
    let sas = cl.sas();
    assert!(sas.contains("local-vips=[10.3.0.") && !sas.contains("fd03::"), "{sas}");
    lab.ping("cl", "10.1.0.10", 1);
    down(&cl, "partial");

    // As with charon: the IKE_SA stays, the CHILD_SA does not come.
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "none", "--timeout", "10"]);
    assert!(!ok && said.contains("received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"), "{said}");
    let sas = cl.sas();
    assert!(sas.contains("state=ESTABLISHED") && !sas.contains("state=INSTALLED"), "{sas}");
    down(&cl, "none");

    if gateway == Kind::Charon {
        // Two pools of charon's may lend the same address: it stays until the last of us gives it back.
        cl.initiate("one");
        cl.initiate("other");
        assert_eq!(addresses(&lab).matches("10.6.0.1/32").count(), 1);
        down(&cl, "one");
        assert!(addresses(&lab).contains("10.6.0.1/32"), "{}", cl.said());
        lab.ping("cl", "10.1.0.10", 1);
        down(&cl, "other");
        assert!(!addresses(&lab).contains("10.6.0.1"), "{}", cl.said());
    }
}

#[test]
fn answers_of_our_gateway() {
    answers(Kind::Cygnet);
}

#[test]
fn answers_of_a_stock_gateway() {
    answers(Kind::Charon);
}

#[test]
fn where_addresses_are_put() {
    let mut lab = Lab::new(Path4::Direct);
    lab.start("gw", Kind::Cygnet, &gateway_conf());
    lab.exec(
        "cl",
        "ip link add vip0 type veth peer name vip1; ip link set vip0 up; ip addr add 10.9.9.9/32 dev lo",
    );
    let cl = lab.start_with("cl", Kind::Cygnet, "install_virtual_ip_on = vip0");
    cl.load(&conf(
        &[
            client("any", "vips = 0.0.0.0", ""),
            client("fixed", "vips = 0.0.0.0\n install_vip_on = lo", ""),
            client("different", "vips = 0.0.0.0\n install_vip_on = nosuch0", ""),
            client("static", "", "local_ts = 10.9.9.9/32"),
        ],
        "",
    ));
    for (name, interface) in [("any", "vip0"), ("fixed", "lo")] {
        cl.initiate(name);
        let there = lab.exec("cl", &format!("ip -br addr show dev {interface}"));
        assert!(there.contains("10.3.0."), "{name}: {}", addresses(&lab));
        lab.ping("cl", "10.1.0.10", 1);
        down(&cl, name);
        assert!(!addresses(&lab).contains("10.3.0."), "{}", addresses(&lab));
    }

    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "different", "--timeout", "10"]);
    assert!(!ok, "{said}");
    let why = "connection 'different' wants it on interface 'nosuch0', which is not there";
    assert!(cl.logged(why, SOON), "{}", cl.said());
    let sas = cl.sas();
    assert!(sas.contains("state=ESTABLISHED") && !sas.contains("state=INSTALLED"), "{sas}");
    // Once it is there, it is used.
    lab.exec("cl", "ip link add nosuch0 type veth peer name nosuch1; ip link set nosuch0 up");
    assert!(wait_for(SOON, || addresses(&lab).contains("10.3.0.")), "{}", cl.said());
    cl.initiate("different");
    lab.ping("cl", "10.1.0.10", 1);
    down(&cl, "different");

    // An address that is there anyway needs no request.
    cl.initiate("static");
    let route = lab.exec("cl", "ip route show table 220");
    assert!(route.contains("10.1.0.0/16 dev ipsec0") && route.contains("src 10.9.9.9"), "{route}");
    lab.ping("cl", "10.1.0.10", 1);
    down(&cl, "static");
    assert!(addresses(&lab).contains("10.9.9.9"));
}

const ORIGINAL: &str = "# written by hand\nnameserver 192.0.2.53\nsearch example.org\n";
const OURS: &str = "nameserver fd01::10   # by cygnet\nnameserver 10.1.0.10   # by cygnet\n";

#[test]
fn dns_servers_in_a_file() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Charon, &gateway_conf());
    let cl = lab.start_with("cl", Kind::Cygnet, "");
    let resolv = cl.file("resolv.conf");
    fs::write(&resolv, ORIGINAL).unwrap();
    let settings = conf(
        &[
            client("any", "vips = 0.0.0.0, ::", ""),
            client("fixed", "vips = 0.0.0.0\n dns_domains = corp.example", ""),
            client("different", "vips = 0.0.0.0\n install_dns = no", ""),
        ],
        "",
    );
    cl.load(&settings);
    cl.initiate("any");
    assert_eq!(fs::read_to_string(&resolv).unwrap(), format!("{OURS}{ORIGINAL}"), "{}", gw.said());
    // Somebody else writes meanwhile.
    fs::write(&resolv, format!("{OURS}nameserver 192.0.2.54\n{ORIGINAL}")).unwrap();
    cl.initiate("fixed");
    let both = fs::read_to_string(&resolv).unwrap();
    assert!(both.ends_with("search example.org corp.example\n"), "{both}");
    assert_eq!(both.matches("nameserver 10.1.0.10").count(), 1, "{both}");
    lab.kill(&cl);
    assert!(fs::read_to_string(&resolv).unwrap().contains("by cygnet"));
    let cl = lab.start_again("cl", &cl);
    assert_eq!(fs::read_to_string(&resolv).unwrap(), format!("nameserver 192.0.2.54\n{ORIGINAL}"));

    cl.load(&settings);
    cl.initiate("different");
    assert!(
        !fs::read_to_string(&resolv).unwrap().contains("by cygnet"),
        "nothing is asked for, nothing taken"
    );
    down(&cl, "different");
    // A file that cannot be written: said, and the tunnel works.
    fs::remove_file(&resolv).unwrap();
    fs::create_dir(&resolv).unwrap();
    cl.initiate("any");
    assert!(cl.logged("adding DNS servers to", SOON), "{}", cl.said());
    lab.ping("cl", "10.1.0.10", 1);
    fs::remove_dir(&resolv).unwrap();
    fs::write(&resolv, ORIGINAL).unwrap();
    assert!(lab.stop(&cl), "{}", cl.said());
    assert_eq!(fs::read_to_string(&resolv).unwrap(), ORIGINAL);
}

#[test]
fn dns_servers_elsewhere() {
    let mut lab = Lab::new(Path4::Direct);
    lab.start("gw", Kind::Cygnet, &gateway_conf());
    let (program, told) = (lab.dir().join("resolvconf"), lab.dir().join("told-resolvconf"));
    let body = format!("#!/bin/sh\necho \"$@\" >> {0}\n[ \"$1\" = -d ] || cat >> {0}\n", told.display());
    fs::write(&program, body).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let resolvconf = format!(
        "plugins {{\n resolve {{\n target = resolvconf\n resolvconf {{\n path = {}\n }}\n }}\n }}",
        program.display()
    );
    let cl = lab.start_with("cl", Kind::Cygnet, &resolvconf);
    let settings = conf(&[client("any", "vips = 0.0.0.0, ::", "")], "");
    cl.load(&settings);
    cl.initiate("any");
    down(&cl, "any");
    let heard = "-a lo.ipsec\nnameserver 10.1.0.10\nnameserver fd01::10\n-d lo.ipsec\n";
    assert!(wait_for(SOON, || fs::read_to_string(&told).is_ok_and(|t| t == heard)), "{}", cl.said());
    assert!(lab.stop(&cl));

    // The updown command gets them, and nobody else.
    let (script, env) = (lab.dir().join("updown"), lab.dir().join("env"));
    fs::write(&script, format!("#!/bin/sh\nenv | grep PLUTO_DNS | sort > {}\n", env.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let cl = lab.start_with("cl", Kind::Cygnet, "plugins {\n updown {\n dns_handler = yes\n }\n }");
    let updown = format!("updown = {}", script.display());
    cl.load(&conf(&[client("any", "vips = 0.0.0.0, ::\n dns_domains = corp.example", &updown)], ""));
    cl.initiate("any");
    let heard = "PLUTO_DNS4_1=10.1.0.10\nPLUTO_DNS6_1=fd01::10\nPLUTO_DNS_DOMAIN_1=corp.example\n";
    assert!(wait_for(SOON, || fs::read_to_string(&env).is_ok_and(|t| t == heard)), "{}", cl.said());
    assert_eq!(fs::read_to_string(cl.file("resolv.conf")).unwrap(), "");
}

/// In a process of its own this is systemd-resolved; without that role it shows that the stand-in tells what it hears.
#[test]
fn stand_in_for_resolved() {
    if let Ok(role) = std::env::var(resolved::ROLE) {
        resolved::serve(&role);
    }
    let lab = Lab::new(Path4::Direct);
    let stand_in = Resolved::start(lab.dir(), &lab.ns("cl"), "stand_in_for_resolved");
    assert!(wait_for(SOON, || stand_in.is_there()));
    let said = lab::sh(&format!(
        "dbus-send --bus={} --print-reply --dest=org.freedesktop.resolve1 /org/freedesktop/resolve1 \
         org.freedesktop.resolve1.Manager.RevertLink int32:1",
        stand_in.address()
    ));
    assert!(said.contains("method return"), "{said}");
    assert!(stand_in.told().contains("revert lo"), "{}", stand_in.told());
}

#[test]
fn dns_servers_in_systemd_resolved() {
    let mut lab = Lab::new(Path4::Direct);
    // Only ours has pools with domains.
    let split = "pools {\n domains {\n addrs = fd04::/112\n dns_domain = Intern.Example, 10.in-addr.arpa\n }";
    lab.start("gw", Kind::Cygnet, &gateway_conf().replace("pools {", split));
    let test = "stand_in_for_resolved";
    let mut resolved = Resolved::start(lab.dir(), &lab.ns("cl"), test);
    lab.environment.push(("DBUS_SYSTEM_BUS_ADDRESS".into(), resolved.address()));
    let target = "plugins {\n resolve {\n target = systemd-resolved\n }\n }";
    let cl = lab.start_with("cl", Kind::Cygnet, target);
    let settings = conf(
        &[
            client("any", "vips = 0.0.0.0, ::", ""),
            client("fixed", "vips = 0.0.0.0\n dns_domains = corp.example, lab.example", ""),
            client("split", "vips = 0.0.0.0, ::", ""),
        ],
        "",
    );
    cl.load(&settings);
    cl.initiate("any");
    let all = "dns ipsec0 10.1.0.10 fd01::10\ndomains ipsec0 ~.\ndefault-route ipsec0 true\n";
    assert!(wait_for(SOON, || resolved.told().ends_with(all)), "{}\n{}", resolved.told(), cl.said());
    // It is started anew and has forgotten us.
    resolved.restart(test);
    assert!(wait_for(SOON, || resolved.told() == all), "{}\n{}", resolved.told(), cl.said());
    down(&cl, "any");
    assert!(wait_for(SOON, || resolved.told().ends_with("revert ipsec0\n")), "{}", resolved.told());

    cl.initiate("split");
    let split = "domains ipsec0 ~intern.example ~10.in-addr.arpa\ndefault-route ipsec0 false\n";
    assert!(wait_for(SOON, || resolved.told().ends_with(split)), "{}\n{}", resolved.told(), cl.said());
    down(&cl, "split");

    // Not there at all: said, and tried again.
    resolved.kill();
    cl.initiate("fixed");
    assert!(cl.logged("adding DNS servers to systemd-resolved failed", SOON), "{}", cl.said());
    resolved.restart(test);
    let split = "dns ipsec0 10.1.0.10 fd01::10\ndomains ipsec0 ~corp.example ~lab.example\ndefault-route ipsec0 false\n";
    assert!(wait_for(SOON, || resolved.told().ends_with(split)), "{}\n{}", resolved.told(), cl.said());
    down(&cl, "fixed");
    assert!(wait_for(SOON, || resolved.told().ends_with("revert ipsec0\n")), "{}", resolved.told());

    // Numbers of interfaces mean others in another namespace.
    resolved.kill();
    resolved.ns = lab.ns("gw");
    resolved.restart(test);
    assert!(wait_for(SOON, || resolved.is_there()), "{}", resolved.told());
    cl.initiate("any");
    assert!(cl.logged("runs in another network namespace", SOON), "{}", cl.said());
    assert_eq!(resolved.told(), "");
    assert!(lab.stop(&cl), "{}", cl.said());
    assert_eq!(fs::read_to_string(cl.file("resolv.conf")).unwrap(), "");
}
