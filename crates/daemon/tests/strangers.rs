//! What strangers and other people's programs send: malformed, truncated, replayed, oversized and wrongly keyed
//! datagrams cost a counter and few log lines; the Python client for vici works unchanged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Kind, Lab, Path4};
use std::time::Duration;

const GATEWAY: &str = "connections {
  rw {
    local_addrs = 192.0.2.1
    pools = v4
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
        local_ts = 10.1.0.0/16
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.3.0.0/24
  }
}
secrets {
  ike-carol {
    id-1 = carol@cygnet.test
    secret = \"a good long secret\"
  }
}
";

const CLIENT: &str = "connections {
  home {
    remote_addrs = 192.0.2.1
    vips = 0.0.0.0
    encap = yes
    local {
      auth = psk
      id = carol@cygnet.test
    }
    remote {
      auth = psk
      id = gw.cygnet.test
    }
    children {
      home {
        remote_ts = 10.1.0.0/16
      }
    }
  }
}
secrets {
  ike-gw {
    id-1 = gw.cygnet.test
    secret = \"a good long secret\"
  }
}
";

/// Sends everything that is wrong in some way, some thousand datagrams in all.
const NOISE: &str = r#"
import os, random, socket, struct
random.seed(7)
ike = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send(data, marker=True):
    ike.sendto(data, ("192.0.2.1", 500))
    ike.sendto((b"\0\0\0\0" if marker else b"") + data, ("192.0.2.1", 4500))
def header(spi_i, spi_r, nxt, version, exchange, flags, mid, length):
    return struct.pack(">QQBBBBII", spi_i, spi_r, nxt, version, exchange, flags, mid, length)
for n in range(0, 200):
    send(os.urandom(n), marker=n % 2 == 0)
for version in (0x00, 0x10, 0x21, 0x30, 0xff):
    send(header(1, 0, 33, version, 34, 8, 0, 28))
for length in (0, 27, 29, 65535, 0xffffffff):
    send(header(2, 0, 33, 0x20, 34, 8, 0, length))
for exchange in range(0, 256, 5):
    send(header(3, 0, 33, 0x20, exchange, 8, 0, 28))
    send(header(3, 4, 46, 0x20, exchange, 8, 1, 60) + os.urandom(32))
for nxt in range(256):
    body = struct.pack(">BBH", 0, 0x80, random.choice([0, 3, 4, 8, 4000])) + os.urandom(60)
    send(header(5 + nxt, 0, nxt, 0x20, 34, 8, 0, 28 + len(body)) + body)
send(header(9, 0, 33, 0x20, 34, 8, 0, 60000) + os.urandom(60000 - 28))
for n in range(500):
    ike.sendto(struct.pack(">II", 0xc0000000 + random.getrandbits(20), n) + os.urandom(80), ("192.0.2.1", 4500))
"#;

/// Sends again what a capture holds from the client to the gateway, from the same port.
const REPLAY: &str = r#"
import socket, struct, sys
data = open(sys.argv[1], "rb").read()
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind(("192.0.2.2", 4500))
at, sent = 24, 0
while at + 16 <= len(data):
    length = struct.unpack("<I", data[at + 8:at + 12])[0]
    frame = data[at + 16:at + 16 + length]
    at += 16 + length
    if frame[12:14] == b"\x08\x00" and frame[26:30] == bytes([192, 0, 2, 2]) and frame[36:38] == struct.pack(">H", 4500):
        out.sendto(frame[42:14 + struct.unpack(">H", frame[16:18])[0]], ("192.0.2.1", 4500))
        sent += 1
print(sent)
"#;

fn python(lab: &Lab, ns: &str, script: &str, args: &str) -> String {
    let file = lab.dir().join("script.py");
    std::fs::write(&file, script).unwrap();
    lab.exec(ns, &format!("python3 {} {args}", file.display()))
}

#[test]
fn noise_costs_counters_and_few_lines() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start("cl", Kind::Cygnet, CLIENT);
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
    let before = std::fs::read_to_string(gw.file("log")).unwrap().lines().count();
    python(&lab, "cl", NOISE, "");
    lab.ping("cl", "10.1.0.10", 3);
    let after = std::fs::read_to_string(gw.file("log")).unwrap().lines().count();
    assert!(after - before < 700, "{} lines for some thousand datagrams\n{}", after - before, gw.said());
    let counters = gw.swanctl(&["--counters"]);
    let invalid: u64 = counters
        .lines()
        .filter_map(|l| l.trim().strip_prefix("invalid"))
        .filter_map(|l| l.rsplit(|c: char| !c.is_ascii_digit()).find(|w| !w.is_empty())?.parse::<u64>().ok())
        .sum();
    assert!(invalid > 0, "{counters}");
    assert_eq!(gw.sas().matches("state=ESTABLISHED").count(), 1);
    // And a newcomer is still welcome.
    cl.swanctl(&["--terminate", "--ike", "home"]);
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
}

#[test]
fn a_replayed_session_changes_nothing() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let cl = lab.start("cl", Kind::Cygnet, CLIENT);
    let capture = lab.dir().join("capture.pcap");
    let mut tcpdump =
        lab.spawn("gw", &["tcpdump", "-U", "-n", "-i", "wan", "-w", &capture.display().to_string(), "udp"]);
    assert!(lab::wait_for(Duration::from_secs(5), || capture.exists()));
    std::thread::sleep(Duration::from_millis(500));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 5);
    std::thread::sleep(Duration::from_millis(500));
    lab::sh(&format!("kill -INT {}", tcpdump.id()));
    tcpdump.wait().unwrap();
    lab.kill(&cl);
    let before = gw.sas();
    let count =
        |sas: &str, key: &str| sas.split(key).nth(1).and_then(|r| r.split(' ').next()).map(str::to_owned);
    let sent: u32 = python(&lab, "cl", REPLAY, &capture.display().to_string()).trim().parse().unwrap();
    assert!(sent >= 6, "{sent} datagrams in the capture");
    let after = gw.sas();
    for key in ["packets-in=", "bytes-in=", "spi-in=", "initiator-spi=", "remote-port="] {
        assert_eq!(count(&before, key), count(&after, key), "{key}");
    }
    assert_eq!(after.matches("state=ESTABLISHED").count(), 1, "{after}");
}

#[test]
fn the_python_client_runs_unchanged() {
    let peers = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python");
    assert!(peers.join("vici").is_dir(), "the Python package vici is missing: run `cargo xtask packages`");
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, GATEWAY);
    let script = format!(
        r#"
import socket, sys
sys.path.insert(0, {peers:?})
import vici
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
v = vici.Session(s)
assert v.version()["daemon"] == b"cygnetd", v.version()
assert b"rw" in v.get_conns()["conns"]
v.load_conn({{"other": {{"remote_addrs": ["192.0.2.9"], "local": {{"auth": "psk", "id": "a"}}, "remote": {{"auth": "psk", "id": "b"}},
    "children": {{"one": {{"remote_ts": ["10.7.0.0/16"]}}}}}}}})
conns = {{k: c for conn in v.list_conns() for k, c in conn.items()}}
assert conns["other"]["children"]["one"]["remote-ts"] == [b"10.7.0.0/16"], conns
v.load_pool({{"more": {{"addrs": "10.8.0.0/24", "dns": ["10.8.0.1"]}}}})
assert v.get_pools()["more"]["size"] == b"254", v.get_pools()
try:
    v.load_conn({{"bad": {{"remote_adrs": ["192.0.2.9"]}}}})
    raise SystemExit("an unknown key was accepted")
except vici.exception.CommandException as e:
    assert "remote_adrs" in str(e), e
v.unload_conn({{"name": "other"}})
assert list(v.list_sas()) == []
print("fine")
"#,
        peers = peers.display().to_string()
    );
    let said = python(&lab, "gw", &script, &gw.file("vici").display().to_string());
    assert_eq!(said.trim(), "fine");
}
