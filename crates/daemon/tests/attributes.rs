//! What a gateway tells its clients beside an address, and whole prefixes: ours and stock strongSwan in both roles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
const SECRET: &str = "secrets {\n  ike {\n    secret = \"a good long secret\"\n  }\n}\n";

/// A gateway with these pools, for anybody.
fn gateway(pools: &str, remote_ts: &str, sections: &str) -> String {
    format!(
        "connections {{
  rw {{
    local_addrs = 192.0.2.1
    proposals = aes128-sha256-x25519
    encap = yes
    pools = {pools}
    local {{
      auth = psk
      id = gw.cygnet.test
    }}
    remote {{
      auth = psk
    }}
    children {{
      net {{
        local_ts = 10.1.0.0/16, fd01::/64
        {remote_ts}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
pools {{
{sections}
}}
{SECRET}"
    )
}

/// A client that asks for these addresses.
fn client(id: &str, vips: &str) -> String {
    let vips = if vips.is_empty() { String::new() } else { format!("vips = {vips}") };
    format!(
        "connections {{
  home {{
    remote_addrs = 192.0.2.1
    proposals = aes128-sha256-x25519
    encap = yes
    {vips}
    local {{
      auth = psk
      id = {id}@cygnet.test
    }}
    remote {{
      auth = psk
      id = gw.cygnet.test
    }}
    children {{
      home {{
        remote_ts = 10.1.0.0/16, fd01::/64
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
{SECRET}"
    )
}

fn up(cl: &Daemon, gw: &Daemon) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
    assert!(ok, "{said}\n{}\n{}", cl.said(), gw.said());
}

fn down(cl: &Daemon) {
    cl.swanctl(&["--terminate", "--ike", "home"]);
}

fn says(daemon: &Daemon, line: &str) {
    assert!(daemon.logged(line, SOON), "no `{line}` in\n{}", daemon.said());
}

/// No CHILD_SA, for the reason that is in the gateway's log; the IKE_SA stays.
fn refused(cl: &Daemon, gw: &Daemon, notify: &str, line: &str) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
    assert!(!ok, "{said}\n{}", gw.said());
    says(cl, &format!("received {notify} notify, no CHILD_SA built"));
    says(gw, line);
    assert!(gw.sas().contains("ESTABLISHED"), "{}", gw.said());
    let _ended = cl.try_swanctl(&["--terminate", "--ike", "home"]);
}

/// Every source and form of attributes reaches stock strongSwan, which names those that it does not use.
#[test]
fn a_stock_client_takes_what_we_send() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = "dns2 = fd01::53\n  plugins {\n    attr {\n      25 = vpn.cygnet.test\n      unity_split_include = 10.1.0.0/16\n      16390 = 0x0102\n      \
                    subnet = fd01::/64\n      nonsense = 1\n    }\n  }";
    let gw = lab.start_with("gw", Kind::Cygnet, settings);
    says(&gw, "plugins.attr.nonsense: unknown attribute");
    let pool = |more: &str| {
        format!(
            "  v4 {{\n    addrs = 10.3.0.0/24\n    dns = 10.1.0.53\n    nbns = 10.1.0.54\n    dhcp = 10.1.0.55\n    netmask = 255.255.255.0\n    \
             banner = Hello, world\n    def_domain = cygnet.test\n    split_dns = a.test, b.test\n    application_version = Cygnet\n{more}  }}"
        )
    };
    gw.load(&gateway("v4", "", &pool("")));
    let cl = lab.start("cl", Kind::Charon, &client("carol", "0.0.0.0, ::"));
    up(&cl, &gw);
    for attribute in [
        "INTERNAL_IP4_NBNS",
        "INTERNAL_IP4_DHCP",
        "INTERNAL_IP4_NETMASK",
        "INTERNAL_IP6_SUBNET",
        "INTERNAL_DNS_DOMAIN",
        "APPLICATION_VERSION",
        "UNITY_BANNER",
        "UNITY_DEF_DOMAIN",
        "UNITY_SPLITDNS_NAME",
        "UNITY_SPLIT_INCLUDE",
        "(16390)",
    ] {
        says(&cl, &format!("handling {attribute} attribute failed"));
    }
    assert_eq!(cl.count_logged("handling UNITY_BANNER attribute failed"), 1);
    let servers = std::fs::read_to_string(cl.file("resolv.conf")).unwrap();
    assert!(servers.contains("nameserver 10.1.0.53") && servers.contains("nameserver fd01::53"), "{servers}");
    says(&gw, "no virtual IP found for %any6 requested by 'carol@cygnet.test'");
    lab.ping("cl", "10.1.0.10", 2);
    down(&cl);
    // More than a datagram holds goes in fragments.
    let long: String = (0..5).map(|n| format!("    {} = {}\n", 16_400 + n, "x".repeat(900))).collect();
    gw.load(&gateway("v4", "", &pool(&long)));
    up(&cl, &gw);
    says(&cl, "handling (16404) attribute failed");
    lab.ping("cl", "10.1.0.10", 1);
    // Who is not given an address is told why not, in so many words.
    down(&cl);
    gw.load(&gateway("nowhere", "", &pool("")));
    refused(&cl, &gw, "INTERNAL_ADDRESS_FAILURE", "there is no pool 'nowhere'");
    cl.load(&client("carol", ""));
    refused(&cl, &gw, "FAILED_CP_REQUIRED", "expected a virtual IP request, sending FAILED_CP_REQUIRED");
}

/// Our client takes a stock gateway's attributes, whatever they are.
#[test]
fn we_take_what_a_stock_gateway_sends() {
    let mut lab = Lab::new(Path4::Direct);
    let pool = "  v4 {\n    addrs = 10.3.0.0/24\n    dns = 10.1.0.53, fd01::53\n    subnet = 10.1.0.0/16, fd01::/64\n    split_include = 10.1.0.0/16\n    25 = vpn.cygnet.test\n    \
                28672 = Hello\n    16390 = 10.0.0.0/8\n  }\n  v6 {\n    addrs = fd03::/112\n  }";
    let gw = lab.start("gw", Kind::Charon, &gateway("v4, v6", "", pool));
    // A stock gateway has no prefixes: its address will do.
    let cl = lab.start("cl", Kind::Cygnet, &client("carol", "0.0.0.0, ::/64"));
    up(&cl, &gw);
    let sas = cl.sas();
    assert!(sas.contains("local-vips=[10.3.0.1 fd03::1]"), "{sas}\n{}", cl.said());
    let servers = std::fs::read_to_string(cl.file("resolv.conf")).unwrap();
    assert!(servers.contains("nameserver 10.1.0.53") && servers.contains("nameserver fd01::53"), "{servers}");
    lab.ping("cl", "10.1.0.10", 2);
    lab.ping("cl", "fd01::10", 2);
}

/// A client gets a /64, one address of it on its interface; others of its addresses may be used, too.
#[test]
fn a_prefix_for_a_client() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, &gateway("v6", "", "  v6 {\n    addrs = fd03::/56/64\n  }"));
    let cl = lab.start("cl", Kind::Cygnet, &client("carol", "::/64"));
    up(&cl, &gw);
    let (ours, theirs) = (cl.sas(), gw.sas());
    let prefix = ours.split("local-vips=[").nth(1).and_then(|text| text.split(']').next()).unwrap();
    let net: ipnet::Ipv6Net = prefix.parse().unwrap();
    assert_eq!(net.prefix_len(), 64);
    let whole = net.trunc();
    assert!(theirs.contains(&format!("remote-vips=[{whole}]")), "{theirs}");
    assert!(theirs.contains(&format!("remote-ts=[{whole}]")), "{theirs}");
    lab.ping("cl", "fd01::10", 2);
    lab.ping("lan", &net.addr().to_string(), 2);
    // Another one of its addresses.
    let other = std::net::Ipv6Addr::from(u128::from(whole.network()) + 0xbeef);
    lab.exec("cl", &format!("ip -6 addr add {other}/128 dev lo"));
    lab.ping("lan", &other.to_string(), 2);
    let leases = gw.swanctl(&["--list-pools", "--leases"]);
    assert!(leases.contains("carol@cygnet.test"), "{leases}");
    down(&cl);
    says(&gw, &format!("lease {} by 'carol@cygnet.test' went offline", whole.network()));
    // It comes back to the same, and a client that knows no prefixes uses the same address.
    up(&cl, &gw);
    assert!(cl.sas().contains(prefix), "{}", cl.sas());
    down(&cl);
    lab.stop(&cl);
    let stock = lab.start("cl", Kind::Charon, &client("carol", "::"));
    up(&stock, &gw);
    assert!(stock.sas().contains(&format!("local-vips=[{}]", net.addr())), "{}", stock.sas());
    lab.ping("cl", "fd01::10", 2);
}

/// `%config`: the client names its address, within what the connection names.
#[test]
fn the_client_chooses() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, &gateway("%config", "remote_ts = 10.9.0.0/24", ""));
    let cl = lab.start("cl", Kind::Charon, &client("carol", "10.9.0.7"));
    up(&cl, &gw);
    lab.ping("cl", "10.1.0.10", 2);
    assert!(gw.sas().contains("remote-vips=[10.9.0.7]"), "{}", gw.sas());
    down(&cl);
    says(&gw, "lease 10.9.0.7 by 'carol@cygnet.test' went offline");
    for (vips, line) in [
        ("0.0.0.0", "the client leaves the address open, but has to name one"),
        ("10.8.0.7", "10.8.0.7 is in no remote_ts of the children of connection 'rw'"),
    ] {
        cl.load(&client("carol", vips));
        refused(&cl, &gw, "INTERNAL_ADDRESS_FAILURE", line);
    }
}
