//! What surrounds a tunnel: start actions, the updown script, name servers, the end of a daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

const GATEWAY: &str = "connections {
  rw {
    local_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    pools = v4, v6
    encap = yes
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
        esp_proposals = aes128gcm16
        updown = env | grep ^PLUTO_ | sort
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.3.0.0/24
    dns = 10.1.0.10
  }
  v6 {
    addrs = fd03::/112
    dns = fd01::10
  }
}
secrets {
  ike-carol {
    id-1 = carol@cygnet.test
    secret = \"a good long secret\"
  }
}
";

fn client(extra: &str) -> String {
    format!(
        "connections {{
  home {{
    local_addrs = 192.0.2.2
    remote_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    vips = 0.0.0.0, ::
    encap = yes
    local {{
      auth = psk
      id = carol@cygnet.test
    }}
    remote {{
      auth = psk
      id = gw.cygnet.test
    }}
    children {{
      home {{
        remote_ts = 10.1.0.0/16, fd01::/64
        esp_proposals = aes128gcm16
        updown = env | grep ^PLUTO_ | sort
        {extra}
      }}
    }}
  }}
}}
secrets {{
  ike-gw {{
    id-1 = gw.cygnet.test
    secret = \"a good long secret\"
  }}
}}
"
    )
}

fn installed(daemon: &Daemon) -> bool {
    daemon.sas().contains("state=INSTALLED")
}

/// What the scripts of all runs of one verb printed, by variable.
fn updown(daemon: &Daemon, verb: &str) -> Vec<BTreeMap<String, String>> {
    let log = std::fs::read_to_string(daemon.file("log")).unwrap();
    let mut runs = vec![BTreeMap::new()];
    for line in log.lines() {
        let Some((_, variable)) = line.split_once("updown: ") else { continue };
        let Some((key, value)) = variable.split_once('=') else { continue };
        runs.last_mut().unwrap().insert(key.to_owned(), value.to_owned());
        // The last one in order.
        if key == "PLUTO_VERSION" {
            runs.push(BTreeMap::new());
        }
    }
    runs.retain(|run| run.get("PLUTO_VERB").is_some_and(|v| v.starts_with(verb)));
    runs
}

#[test]
fn updown_scripts_see_what_charons_see() {
    let mut seen = Vec::new();
    for kind in [Kind::Charon, Kind::Cygnet] {
        let mut lab = Lab::new(Path4::Direct);
        let gw = lab.start("gw", kind, GATEWAY);
        let cl = lab.start("cl", kind, &client(""));
        cl.initiate("home");
        let ended = |daemon: &Daemon, verb: &str| wait_for(LIMIT, || updown(daemon, verb).len() == 2);
        assert!(ended(&cl, "up") && ended(&gw, "up"), "{}\n{}", cl.said(), gw.said());
        // Not at rekeyings.
        cl.swanctl(&["--rekey", "--child", "home"]);
        assert!(wait_for(LIMIT, || cl.sas().contains("home-2 ")), "{}", cl.sas());
        cl.swanctl(&["--terminate", "--ike", "home"]);
        assert!(ended(&cl, "down") && ended(&gw, "down"), "{}\n{}", cl.said(), gw.said());
        let all: Vec<_> = [&cl, &gw]
            .into_iter()
            .flat_map(|daemon| ["up", "down"].map(|verb| updown(daemon, verb)))
            .collect();
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn name_servers_come_and_go() {
    let mut lab = Lab::new(Path4::Direct);
    let _gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start("cl", Kind::Cygnet, &client(""));
    cl.initiate("home");
    let servers = || std::fs::read_to_string(cl.file("resolv.conf")).unwrap_or_default();
    assert!(
        servers().contains("nameserver 10.1.0.10") && servers().contains("nameserver fd01::10"),
        "{}",
        servers()
    );
    cl.swanctl(&["--terminate", "--ike", "home"]);
    assert!(wait_for(LIMIT, || !servers().contains("nameserver")), "{}", servers());
}

#[test]
fn a_start_action_runs_at_load_and_is_undone_at_unload() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start("cl", Kind::Cygnet, &client("start_action = start"));
    assert!(wait_for(LIMIT, || installed(&cl) && installed(&gw)), "{}\n{}", cl.said(), gw.said());
    // The same again changes nothing.
    let before = cl.sas();
    cl.load(&client("start_action = start"));
    let spi = |sas: &str| sas.split("spi-in=").nth(1).and_then(|rest| rest.get(..8)).map(str::to_owned);
    assert_eq!(spi(&before), spi(&cl.sas()));
    cl.load("");
    assert!(wait_for(LIMIT, || !installed(&cl) && !installed(&gw)), "{}\n{}", cl.said(), gw.said());
}

#[test]
fn the_peer_hears_of_our_end_and_nothing_stays() {
    for kind in [Kind::Cygnet, Kind::Charon] {
        let mut lab = Lab::new(Path4::Direct);
        let gw = lab.start("gw", kind, GATEWAY);
        let cl = lab.start("cl", Kind::Cygnet, &client(""));
        let network =
            |lab: &Lab| lab.exec("cl", "ip addr; ip rule; ip -6 rule; ip route show table all; ip -6 route");
        let clean = |text: &str| {
            !text.contains("10.3.0.1") && !text.contains("fd03::1") && !text.contains("lookup 220")
        };
        cl.initiate("home");
        lab.ping("cl", "10.1.0.10", 3);
        assert!(!clean(&network(&lab)));
        assert!(lab.stop(&cl));
        assert!(clean(&network(&lab)), "{}", network(&lab));
        assert!(wait_for(LIMIT, || !installed(&gw)), "{}", gw.said());
    }
}

#[test]
fn after_a_crash_the_tunnel_comes_up_again() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start("cl", Kind::Cygnet, &client(""));
    cl.initiate("home");
    lab.kill(&cl);
    let cl = lab.start_again("cl", &cl);
    cl.load(&client(""));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
    lab.ping("cl", "fd01::10", 3);
    // INITIAL_CONTACT let the gateway forget the one that died.
    assert!(wait_for(LIMIT, || gw.sas().matches("state=ESTABLISHED").count() == 1), "{}", gw.sas());
    assert!(cl.sas().contains("local-vips=[10.3.0.1 fd03::1]"), "{}", cl.sas());
}

#[test]
fn esp_without_udp() {
    let mut lab = Lab::new(Path4::Direct);
    let raw = "plugins {\n kernel-libipsec {\n raw_esp = yes\n }\n }";
    let gw = lab.start_with("gw", Kind::Cygnet, raw);
    gw.load(&GATEWAY.replace("encap = yes", "mobike = no"));
    let cl = lab.start_with("cl", Kind::Cygnet, raw);
    cl.load(&client("").replace("encap = yes", "mobike = no"));
    cl.initiate("home");
    assert!(!cl.sas().contains("encap=yes") && cl.sas().contains("local-port=500"), "{}", cl.sas());
    lab.ping("cl", "10.1.0.10", 5);
    lab.ping("cl", "fd01::10", 5);
    drop(gw);
}

/// Everything through the tunnel, and still our own packets to the gateway go beside it.
#[test]
fn everything_through_the_tunnel() {
    for gateway in [Kind::Cygnet, Kind::Charon] {
        let mut lab = Lab::new(Path4::Direct);
        lab.exec("cl", "ip route add default via 192.0.2.1");
        let all = "0.0.0.0/0, ::/0";
        let gw = lab.start("gw", gateway, &GATEWAY.replace("10.1.0.0/16, fd01::/64", all));
        let cl = lab.start("cl", Kind::Cygnet, &client("").replace("10.1.0.0/16, fd01::/64", all));
        cl.initiate("home");
        lab.ping("cl", "10.1.0.10", 5);
        lab.ping("cl", "fd01::10", 5);
        // The gateway's outer address, through the tunnel as well.
        lab.ping("cl", "192.0.2.1", 3);
        cl.swanctl(&["--rekey", "--ike", "home"]);
        assert!(wait_for(LIMIT, || cl.sas().contains("uniqueid=2 version")), "{}\n{}", cl.said(), gw.said());
        lab.ping("cl", "10.1.0.10", 5);
    }
}

/// RFC 4555: the client's address is another one, the tunnel goes on.
#[test]
fn moving_to_another_address() {
    for (gateway, kind) in
        [(Kind::Cygnet, Kind::Cygnet), (Kind::Charon, Kind::Cygnet), (Kind::Cygnet, Kind::Charon)]
    {
        let mut lab = Lab::new(Path4::Direct);
        let gw = lab.start("gw", gateway, GATEWAY);
        let anywhere = client("").replace("local_addrs = 192.0.2.2\n", "");
        let cl = lab.start("cl", kind, &anywhere);
        cl.initiate("home");
        lab.ping("cl", "10.1.0.10", 3);
        lab.exec("cl", "ip addr add 192.0.2.77/24 dev wan; ip addr del 192.0.2.2/24 dev wan");
        lab.attempt("cl", "ip addr add 192.0.2.77/24 dev wan");
        let moved =
            || gw.sas().contains("remote-host=192.0.2.77") && cl.sas().contains("local-host=192.0.2.77");
        assert!(wait_for(LIMIT, moved), "{}\n{}", cl.said(), gw.said());
        assert!(wait_for(LIMIT, || lab.try_ping("cl", "10.1.0.10", 3).0), "{}\n{}", cl.said(), gw.said());
        lab.ping("cl", "fd01::10", 3);
    }
}

/// The gateway restarts; the client notices and is back without anybody's help.
#[test]
fn a_restarted_gateway_is_found_again() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = "retransmit_timeout = 0.3
  retransmit_tries = 2";
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start_with("cl", Kind::Cygnet, settings);
    let conf = client("dpd_action = restart\n        close_action = start");
    cl.load(&conf.replace("encap = yes", "encap = yes\n    dpd_delay = 1s\n    keyingtries = 0"));
    cl.initiate("home");
    lab.kill(&gw);
    let gw = lab.start_again("gw", &gw);
    gw.load(GATEWAY);
    let back = || installed(&gw) && lab.try_ping("cl", "10.1.0.10", 2).0;
    assert!(wait_for(Duration::from_secs(20), back), "{}\n{}", cl.said(), gw.said());
}

#[test]
fn an_interface_can_be_left_out() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, "interfaces_ignore = wan");
    gw.load(GATEWAY);
    let cl = lab.start_with("cl", Kind::Cygnet, "retransmit_timeout = 0.2\n  retransmit_tries = 1");
    cl.load(&client(""));
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "home"]);
    assert!(!ok && said.contains("establishing CHILD_SA 'home' failed"), "{said}");
    assert!(!gw.said().contains("received packet"), "{}", gw.said());
}
