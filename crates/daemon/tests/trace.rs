//! `cygnet trace` and `cygnet doctor` with a daemon that does ESP itself; `kernel_peers.rs` asks one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/authority.rs"]
mod authority;
#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/pair.rs"]
mod pair;

use lab::{Daemon, Kind, both};
use pair::Pair;

const PSK: &str = "secrets {\n ike {\n secret = \"a long enough secret\"\n }\n}\n";

/// What the tool says, and whether it calls that good.
fn cygnet(daemon: &Daemon, words: &str) -> (bool, String) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let out = daemon.cygnet(&words);
    (out.status.success(), both(&out))
}

fn says(daemon: &Daemon, words: &str, good: bool, parts: &[&str]) {
    let (ok, text) = cygnet(daemon, words);
    assert_eq!(ok, good, "{words}: {text}\n{}", daemon.said());
    for part in parts {
        assert!(text.contains(part), "{words}: no '{part}' in\n{text}");
    }
}

#[test]
fn a_packet_is_followed_to_its_end() {
    let pair = Pair::new([Kind::Cygnet; 2], "");
    let more = "      late {
        local_ts = 192.0.2.2/32
        remote_ts = 10.2.0.0/16
        start_action = trap
      }
      never {
        mode = drop
        local_ts = 192.0.2.2/32
        remote_ts = 10.9.0.0/16
        start_action = trap
      }
      net {";
    let client =
        pair::client("auth = psk\n id = cl", "auth = psk\n id = gw").replacen("      net {", more, 1);
    let cl = &pair.cl;
    says(cl, "trace 10.1.0.10", false, &["route", "=> dropped: there is no route"]);
    pair.load(&(pair::gateway("auth = psk\n id = gw", "auth = psk\n id = cl") + PSK), &(client + PSK));
    pair.cl.swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
    let whole = [
        "rule         220: not from all fwmark 0xdc lookup 220",
        "route        10.1.0.0/16 dev ipsec0 src 10.3.0.1 table 220",
        "interface    ipsec0 (up, MTU",
        "policy       userspace: 10.3.0.1/32 === 10.1.0.0/16 priority",
        "SA           SPI ",
        "outer route  192.0.2.0/24 dev wan table main",
        "=> protected by CHILD_SA net{",
        "it leaves by wan, sealed",
    ];
    says(cl, "trace 10.1.0.10", true, &whole);
    says(cl, "trace 10.1.0.10 --protocol tcp --dport 443", true, &["=> protected"]);
    says(
        cl,
        "trace 10.1.0.10 --from 192.0.2.2",
        false,
        &["=> dropped: nothing leaves by ipsec0 without a policy"],
    );
    says(cl, "trace 10.2.0.1 --from 192.0.2.2", true, &["=> waits for CHILD_SA late of c"]);
    says(cl, "trace 10.9.0.1 --from 192.0.2.2", false, &["=> dropped: a policy drops it"]);
    says(cl, "trace 192.0.2.1", true, &["only what is routed to ipsec0", "=> not protected", "unprotected"]);
    says(cl, "trace 192.0.2.2", true, &["=> stays here"]);
    pair.lab.exec("cl", "ip route add prohibit 203.0.113.0/24");
    says(cl, "trace 203.0.113.1", false, &["=> dropped: a route of type prohibit stops it"]);
    // passed on by the gateway
    pair.lab.exec("gw", "sysctl -qw net.ipv4.conf.lan.forwarding=0");
    let from_lan = "trace 10.3.0.1 --from 10.1.0.10 --input lan";
    says(&pair.gw, from_lan, false, &["=> dropped: this host passes nothing on", "forwarding=1"]);
    pair.lab.exec("gw", "sysctl -qw net.ipv4.conf.lan.forwarding=1");
    says(&pair.gw, from_lan, true, &["forwarding", "=> protected by CHILD_SA net{"]);
    // for programs
    let (ok, text) = cygnet(cl, "trace 10.1.0.10 --json");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(ok && document["schema"] == "cygnet.trace/1" && document["verdict"] == "protected", "{text}");
    assert_eq!(document["connection"], "c");
    // wrong questions
    says(cl, "trace home", false, &["destination 'home'"]);
    says(cl, "trace 10.1.0.10 --from fd00::1", false, &["families"]);
    says(cl, "trace 10.1.0.10 --from 10.1.0.1 --input nowhere", false, &["nowhere"]);
}

#[test]
fn a_host_is_looked_over() {
    let pair = Pair::new([Kind::Cygnet; 2], "");
    pair.load(&(pair::gateway("auth = psk\n id = gw", "auth = psk\n id = cl") + PSK), "");
    let tool = std::path::Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    let doctor = format!(
        "CYGNET_URI=unix://{0}/vici STRONGSWAN_CONF={0}/strongswan.conf SWANCTL_DIR={0}/swanctl {1} doctor",
        pair.gw.dir.display(),
        tool.display()
    );
    pair.lab.exec("gw", "sysctl -qw net.ipv4.ip_forward=0");
    let (ok, text) = pair.lab.attempt("gw", &doctor);
    assert!(!ok, "{text}");
    for part in [
        "wrong    forwarding",
        "-> sysctl -w net.ipv4.ip_forward=1",
        "UDP 500 and 4500 are the daemon's",
        "good     other daemons",
        "good     configuration",
        "cygnetd ",
    ] {
        assert!(text.contains(part), "no '{part}' in\n{text}");
    }
    pair.lab.exec("gw", "sysctl -qw net.ipv4.ip_forward=1");
    let (ok, text) = pair.lab.attempt("gw", &format!("{doctor} --json"));
    assert!(ok, "{text}");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "cygnet.doctor/1");
    assert!(
        document["findings"].as_array().unwrap().iter().all(|finding| finding["state"] != "wrong"),
        "{text}"
    );
}
