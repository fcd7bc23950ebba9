//! What a daemon costs that has nothing to do, that has much to show, and that strangers overload. Counts, no times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::fs;
use std::time::Duration;

const NET: &str = "net {\nlocal_ts = 10.1.0.0/16\n}";

const LIMIT: Duration = Duration::from_secs(30);

/// Threads of a process that wait with an end in sight, or do not wait at all.
fn restless(daemon: &Daemon) -> Vec<String> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", daemon.pid)).unwrap() {
        let task = task.unwrap().path();
        let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        let (name, call) = (read("comm"), read("syscall"));
        let word = |n: usize| {
            let word = call.split_whitespace().nth(n)?;
            u64::from_str_radix(word.trim_start_matches("0x"), if n == 0 { 10 } else { 16 }).ok()
        };
        let forever = |ms: u64| ms & u64::from(u32::MAX) == u64::from(u32::MAX);
        // The word that says how long: a pointer to a time, or milliseconds as an int.
        let endless = match (std::env::consts::ARCH, word(0)) {
            ("x86_64", Some(232 | 281)) | ("aarch64", Some(22)) => word(4).is_some_and(forever),
            ("x86_64", Some(7)) => word(3).is_some_and(forever),
            ("x86_64", Some(271)) | ("aarch64", Some(73)) => word(3) == Some(0),
            ("x86_64", Some(202)) | ("aarch64", Some(98)) => word(4) == Some(0),
            _ => false,
        };
        if !endless {
            all.push(format!("{} {}", name.trim(), call.trim()));
        }
    }
    // Alarms that are set.
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid)).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        all.extend(
            text.lines().filter(|l| l.starts_with("it_value:") && !l.ends_with("(0, 0)")).map(str::to_owned),
        );
    }
    all
}

/// How often its threads gave up the processor so far.
fn switches(daemon: &Daemon) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid)).unwrap();
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:").map(str::to_owned));
        line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    tasks.map(|task| of(task.unwrap())).sum()
}

#[test]
fn who_has_nothing_to_do_sleeps() {
    let mut lab = Lab::new(Path4::Direct);
    let connection = |peer| psk::connection("rw", ["gw.cygnet.test", peer], "pools = v4\nencap = yes", NET);
    let gw = lab.start("gw", Kind::Cygnet, &psk::whole(&connection("")));
    // Helpers for what blocks leave after ten seconds without work.
    assert!(wait_for(LIMIT, || restless(&gw).is_empty()), "{:#?}", restless(&gw));
    let before = switches(&gw);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(&gw), before, "{:#?}", restless(&gw));
    // And again when it has had work.
    let config = psk::connection(
        "home",
        ["carol@cygnet.test", "gw.cygnet.test"],
        "remote_addrs = 192.0.2.1\nvips = 0.0.0.0\nencap = yes",
        "home {\nremote_ts = 10.1.0.0/16\n}",
    );
    let cl = lab.start("cl", Kind::Cygnet, &psk::whole(&config));
    cl.initiate("home");
    cl.swanctl(&["--terminate", "--ike", "home"]);
    assert!(wait_for(LIMIT, || restless(&gw).is_empty()), "{:#?}", restless(&gw));
}

/// IKE_SA_INIT requests from many addresses and ports that are ours for the while. Prints how many were sent, answered
/// by a cookie, answered in full.
const FLOOD: &str = r#"
import os, select, socket, struct, sys
# aes128-sha256-x25519
body = struct.pack(">BBHBBBB", 0, 0, 44, 1, 1, 0, 4)
body += struct.pack(">BBHBBHHH", 3, 0, 12, 1, 0, 12, 0x800e, 128)
body += struct.pack(">BBHBBH", 3, 0, 8, 2, 0, 5) + struct.pack(">BBHBBH", 3, 0, 8, 3, 0, 12)
body += struct.pack(">BBHBBH", 0, 0, 8, 4, 0, 31)
def request():
    sa = struct.pack(">BBH", 34, 0, 4 + len(body)) + body
    ke = struct.pack(">BBHHH", 40, 0, 40, 31, 0) + os.urandom(32)
    nonce = struct.pack(">BBH", 0, 0, 36) + os.urandom(32)
    payloads = sa + ke + nonce
    return os.urandom(8) + bytes(8) + struct.pack(">BBBBII", 33, 0x20, 34, 8, 0, 28 + len(payloads)) + payloads
sent = cookies = full = 0
for round in range(int(sys.argv[1])):
    sockets = []
    for host in range(1, 251):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("198.51.100.%d" % host, 0))
        s.sendto(request(), ("192.0.2.1", 500))
        sockets.append(s)
        sent += 1
    poll = select.poll()
    by = {s.fileno(): s for s in sockets}
    for s in sockets:
        poll.register(s, select.POLLIN)
    while by:
        ready = poll.poll(500)
        if not ready:
            break
        for fd, _ in ready:
            answer = by[fd].recv(4096)
            # One notify of type COOKIE and nothing else.
            cookie = answer[16] == 41 and answer[28] == 0 and answer[34:36] == struct.pack(">H", 16390)
            cookies, full = cookies + cookie, full + (answer[16] == 33)
            poll.unregister(fd)
            del by[fd]
    for s in sockets:
        s.close()
print(sent, cookies, full)
"#;

#[test]
fn a_flood_costs_cookies_and_stops_nobody() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = "cookie_threshold = 20\nblock_threshold = 0";
    let gw = lab.start_with("gw", Kind::Cygnet, settings);
    let peers = |name, ids, own: &str, children| psk::whole(&psk::connection(name, ids, own, children));
    gw.load(&peers("rw", ["gw.cygnet.test", ""], "pools = v4\nencap = yes", NET));
    let config = peers(
        "home",
        ["carol@cygnet.test", "gw.cygnet.test"],
        "remote_addrs = 192.0.2.1\nvips = 0.0.0.0\nencap = yes",
        "home {\nremote_ts = 10.1.0.0/16\n}",
    );
    let cl = lab.start("cl", Kind::Cygnet, &config);
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 1);
    lab.exec("cl", "ip route add local 198.51.100.0/24 dev lo");
    lab.exec("gw", "ip route add 198.51.100.0/24 via 192.0.2.2");
    let script = lab.dir().join("flood.py");
    fs::write(&script, FLOOD).unwrap();
    let flood = lab.spawn("cl", &["python3", &script.display().to_string(), "40"]);
    // Who is there already goes on as if nothing were.
    for _ in 0..5 {
        cl.swanctl(&["--rekey", "--ike", "home"]);
        cl.swanctl(&["--rekey", "--child", "home"]);
        lab.ping("cl", "10.1.0.10", 1);
    }
    let out = flood.wait_with_output().unwrap();
    let said = lab::both(&out);
    let counts: Vec<u32> =
        said.split_whitespace().map(|n| n.parse().unwrap_or_else(|_| panic!("{said}"))).collect();
    let (sent, cookies, full) = (counts[0], counts[1], counts[2]);
    assert_eq!(sent, 10_000);
    assert!(full <= 20, "{said}");
    assert!(cookies + full > sent * 9 / 10, "{said}");
    let stats = gw.swanctl(&["--stats", "--raw"]);
    let number = |key: &str| -> u32 {
        let at = stats.split(&format!(" {key}=")).nth(1).unwrap_or_else(|| panic!("{stats}"));
        at.split([' ', '}']).next().unwrap().parse().unwrap()
    };
    assert!(number("half-open") <= 20, "{stats}");
    assert_eq!(gw.sas().matches("state=ESTABLISHED").count(), 1, "{}", gw.sas());
    lab.ping("cl", "10.1.0.10", 3);
}
