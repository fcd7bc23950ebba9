//! What updown scripts and listeners to vici events are told, compared with what stock charon tells them; and scripts
//! as operators have them. `cargo xtask kernel-test` runs this on a kernel that has ESP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// The environment, and a line that ends it.
const SHOW: &str = "updown = env | grep ^PLUTO_ | sort; echo END";

/// One side: `(address, v6 address, identity)` of each, and what its children say, by name.
fn conf(extra: &str, me: [&str; 3], peer: [&str; 3], children: [(&str, &str); 9]) -> String {
    let of_its_own = |name: &str| ["net", "six"].contains(&name);
    let child =
        |name: &str, body: &str| format!("{name} {{\n esp_proposals = aes128gcm16\n {SHOW}\n {body}\n }}\n");
    let alone: Vec<_> = children.iter().filter(|(name, _)| of_its_own(name)).collect();
    let [net, v6] = [alone[0].1, alone[1].1];
    let children: String =
        children.iter().filter(|(name, _)| !of_its_own(name)).map(|(name, body)| child(name, body)).collect();
    let [address, six, id] = me;
    let [to, to_six, to_id] = peer;
    let hosts = format!("local_addrs = {address}\n remote_addrs = {to}");
    let of = |prefix: &str| [format!("{prefix}.{id}"), format!("{prefix}.{to_id}")];
    let (vip, six_ids) = (of("vip"), of("six"));
    psk::whole(
        &[
            psk::connection("c", [id, to_id], &hosts, &children),
            psk::connection("vip", [&vip[0], &vip[1]], &format!("{hosts}\n {extra}"), &child("net", net)),
            psk::connection(
                "six",
                [&six_ids[0], &six_ids[1]],
                &format!("local_addrs = {six}\n remote_addrs = {to_six}\n encap = yes"),
                &child("six", v6),
            ),
        ]
        .concat(),
    )
}

/// Children of all kinds, by the side that has the network.
const GATEWAY: [(&str, &str); 9] = [
    ("net", "local_ts = 10.1.0.0/16, fd01::/64\n hostaccess = yes"),
    ("host", "mode = transport\n local_ts = 192.0.2.1\n remote_ts = 192.0.2.2"),
    ("tcp", "local_ts = 10.1.0.0/16[tcp/80]\n remote_ts = 10.7.0.0/16[tcp]"),
    ("udp", "local_ts = 10.1.0.0/16[udp/1000-2000]\n remote_ts = 10.7.0.0/16[udp/53]"),
    ("icmp", "local_ts = 10.1.0.0/16[icmp/2048]\n remote_ts = 10.7.0.0/16[icmp/2048]"),
    ("range", "local_ts = 10.1.0.5-10.1.0.60\n remote_ts = 10.7.0.0/16"),
    ("xfrmi", "local_ts = 10.9.0.0/16\n remote_ts = 10.7.0.0/16\n if_id_in = 7\n if_id_out = 0x80"),
    ("six", "local_ts = 2001:db8::1, fd01::/64"),
    (
        "marked",
        "local_ts = 10.8.0.0/16\n remote_ts = 10.7.0.0/16\n mark_in = 42\n mark_out = 0x2a/0xff\n reqid = 77",
    ),
];
const CLIENT: [(&str, &str); 9] = [
    ("net", "remote_ts = 10.1.0.0/16, fd01::/64"),
    ("host", "mode = transport\n local_ts = 192.0.2.2\n remote_ts = 192.0.2.1\n hostaccess = yes"),
    ("tcp", "local_ts = 10.7.0.0/16[tcp]\n remote_ts = 10.1.0.0/16[tcp/80]"),
    ("udp", "local_ts = 10.7.0.0/16[udp/53]\n remote_ts = 10.1.0.0/16[udp/1000-2000]"),
    ("icmp", "local_ts = 10.7.0.0/16[icmp/2048]\n remote_ts = 10.1.0.0/16[icmp/2048]"),
    ("range", "local_ts = 10.7.0.0/16\n remote_ts = 10.1.0.5-10.1.0.60"),
    ("xfrmi", "local_ts = 10.7.0.0/16\n remote_ts = 10.9.0.0/16\n if_id_in = 9\n if_id_out = 10"),
    ("six", "remote_ts = 2001:db8::1, fd01::/64"),
    ("marked", "local_ts = 10.7.0.0/16\n remote_ts = 10.8.0.0/16\n mark_in = 43\n mark_out = 44"),
];

/// What scripts printed, run by run.
fn runs(daemon: &Daemon) -> Vec<BTreeMap<String, String>> {
    let log = std::fs::read_to_string(daemon.file("log")).unwrap();
    let mut runs = Vec::new();
    let mut run = BTreeMap::new();
    for line in log.lines() {
        let Some((_, said)) = line.split_once("updown: ") else { continue };
        if said == "END" {
            runs.push(std::mem::take(&mut run));
        } else if let Some((key, value)) = said.split_once('=') {
            run.insert(key.to_owned(), value.to_owned());
        }
    }
    runs
}

/// vici events from now on, as the paths of their keys, with what is different each time left out.
fn listen(daemon: &Daemon) -> Arc<Mutex<BTreeSet<String>>> {
    let heard: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let uri = format!("unix://{}", daemon.file("vici").display());
    let mut client = vici::Client::connect(&uri, None).unwrap();
    for event in ["ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update"] {
        client.register(event).unwrap();
    }
    let set = heard.clone();
    std::thread::spawn(move || {
        while let Ok(Some((name, event))) = client.next_event(None) {
            let text = String::from_utf8_lossy(&config::write::to_text(&event)).into_owned();
            let up = if text.lines().any(|line| line.trim() == "up = yes") { " up" } else { "" };
            let mut path = Vec::new();
            let mut paths = BTreeSet::new();
            for line in text.lines().map(str::trim) {
                if let Some(section) = line.strip_suffix('{') {
                    // name-7
                    path.push(section.trim().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned());
                } else if line == "}" {
                    path.pop();
                } else if let Some((key, value)) = line.split_once('=') {
                    let key = key.trim();
                    // What an IKE_SA is busy with, a peer that moves to port 4500 before it is anybody, and when
                    // what is gone would have been rekeyed are the daemon's own affair.
                    let value = if key == "state" { value } else { "" };
                    let gone =
                        name == "child-updown" && up.is_empty() && ["life-time", "rekey-time"].contains(&key);
                    let own = gone
                        || key.starts_with("tasks-")
                        || (name == "ike-update" && text.contains("(unnamed)"));
                    if !own {
                        paths.insert(format!("{name}{up}: {}.{key}{value}", path.join(".")));
                    }
                }
            }
            set.lock().unwrap().extend(paths);
        }
    });
    heard
}

/// What the scripts of one end were told, run by run, and its listeners.
type Seen = (Vec<BTreeMap<String, String>>, BTreeSet<String>);

/// Tunnels of all kinds up, rekeyed and down between two daemons of a kind; what both ends' scripts and listeners saw.
fn seen(kind: Kind) -> Vec<Seen> {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    let settings = "install_routes = no";
    let gw = lab.start_with("gw", kind, settings);
    let cl = lab.start_with("cl", kind, settings);
    let moon = ["192.0.2.1", "2001:db8::1", "moon.cygnet.test"];
    let carol = ["192.0.2.2", "2001:db8::2", "carol@cygnet.test"];
    gw.load(&conf("pools = v4, v6", moon, carol, GATEWAY));
    cl.load(&conf("vips = 0.0.0.0, ::", carol, moon, CLIENT));
    let heard = [listen(&gw), listen(&cl)];
    let mut expected = 0;
    let mut settled = |more: usize, what: &str| {
        expected += more;
        let done = wait_for(SOON, || [&gw, &cl].iter().all(|daemon| runs(daemon).len() >= expected));
        assert!(done, "{what}\n{}\n{}", gw.said(), cl.said());
    };
    let pairs = |name: &str| if ["net", "six"].contains(&name) { 2 } else { 1 };
    for (name, _) in CLIENT {
        let (ok, said) = cl.try_swanctl(&["--initiate", "--child", name, "--timeout", "30"]);
        assert!(ok, "{name}: {said}\n{}\n{}", gw.said(), cl.said());
        settled(pairs(name), name);
    }
    cl.swanctl(&["--rekey", "--child", "net"]);
    cl.swanctl(&["--rekey", "--ike", "six"]);
    let rekeyed = |set: &Arc<Mutex<BTreeSet<String>>>| {
        let set = set.lock().unwrap();
        ["child-rekey", "ike-rekey"].iter().all(|event| set.iter().any(|path| path.starts_with(event)))
    };
    assert!(wait_for(SOON, || heard.iter().all(rekeyed)), "{}\n{}", gw.said(), cl.said());
    // One after the other, so that the runs have an order.
    for (name, _) in CLIENT.iter().rev() {
        cl.swanctl(&["--terminate", "--child", name]);
        settled(pairs(name), name);
    }
    for ike in ["six", "vip", "c"] {
        cl.swanctl(&["--terminate", "--ike", ike]);
    }
    let gone = |set: &Arc<Mutex<BTreeSet<String>>>| {
        set.lock().unwrap().iter().any(|path| path.starts_with("ike-updown: c"))
    };
    assert!(wait_for(SOON, || heard.iter().all(gone)), "{}\n{}", gw.said(), cl.said());
    [&gw, &cl]
        .into_iter()
        .zip(heard)
        .map(|(daemon, heard)| (runs(daemon), heard.lock().unwrap().clone()))
        .collect()
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn scripts_and_listeners_hear_what_charons_hear() {
    let (theirs, ours) = (seen(Kind::Charon), seen(Kind::Cygnet));
    for ((end, theirs), ours) in ["gw", "cl"].iter().zip(&theirs).zip(&ours) {
        assert_eq!(theirs.0.len(), 22, "{end}");
        let differ: Vec<_> = theirs.0.iter().zip(&ours.0).filter(|(theirs, ours)| theirs != ours).collect();
        assert!(differ.is_empty() && ours.0.len() == 22, "{end}: theirs, ours: {differ:#?}");
        let missing: Vec<_> = theirs.1.difference(&ours.1).collect();
        let more: Vec<_> = ours.1.difference(&theirs.1).collect();
        assert!(missing.is_empty() && more.is_empty(), "{end}: missing {missing:#?}, more {more:#?}");
    }
}

/// `up` and `down` of an XFRM interface, as strongSwan's documents on route-based VPN propose it.
const XFRM_INTERFACE: &str = r#"#!/bin/sh
set -e
name=ipsec$PLUTO_IF_ID_OUT
case "$PLUTO_VERB" in
up-client)
    ip link add "$name" type xfrm dev "$PLUTO_INTERFACE" if_id "$PLUTO_IF_ID_OUT"
    ip link set "$name" up
    ip route add "$PLUTO_PEER_CLIENT" dev "$name"
    ;;
down-client)
    ip link del "$name"
    ;;
esac
"#;

/// The same with a VTI device, whose key is the mark.
const VTI: &str = r#"#!/bin/sh
set -e
name=vti$PLUTO_UNIQUEID
case "$PLUTO_VERB" in
up-client)
    ip link add "$name" type vti local "$PLUTO_ME" remote "$PLUTO_PEER" \
        okey "${PLUTO_MARK_OUT%%/*}" ikey "${PLUTO_MARK_IN%%/*}"
    sysctl -qw "net.ipv4.conf.$name.disable_policy=1"
    ip link set "$name" up
    ip route add "$PLUTO_PEER_CLIENT" dev "$name"
    ;;
down-client)
    ip link del "$name"
    ;;
esac
"#;

/// Rules for what is tunnelled, and nothing else.
const IPTABLES: &str = r#"#!/bin/sh
set -e
case "$PLUTO_VERB" in
up-*) add=-I ;;
down-*) add=-D ;;
esac
case "$PLUTO_VERB" in
*-v6) tables=ip6tables ;;
*) tables=iptables ;;
esac
policy="-m policy --pol ipsec --proto $PLUTO_PROTO --reqid $PLUTO_REQID"
$tables $add FORWARD -s "$PLUTO_PEER_CLIENT" -d "$PLUTO_MY_CLIENT" $policy --dir in -j ACCEPT
$tables $add FORWARD -s "$PLUTO_MY_CLIENT" -d "$PLUTO_PEER_CLIENT" $policy --dir out -j ACCEPT
$tables $add INPUT -s "$PLUTO_PEER_CLIENT" -d "$PLUTO_MY_CLIENT" $policy --dir in -j ACCEPT
$tables $add OUTPUT -s "$PLUTO_MY_CLIENT" -d "$PLUTO_PEER_CLIENT" $policy --dir out -j ACCEPT
"#;

/// A gateway and a client with the tunnel 10.1.0.0/16 === 10.7.0.0/16.
fn site(address: &str, peer: &str, ids: [&str; 2], child: &str) -> String {
    format!(
        "connections {{
 c {{
  local_addrs = {address}
  remote_addrs = {peer}
  proposals = aes128-sha256-x25519
  local {{
   auth = psk
   id = {}
  }}
  remote {{
   auth = psk
   id = {}
  }}
  children {{
   net {{
    esp_proposals = aes128gcm16
    {child}
   }}
  }}
 }}
}}
secrets {{
 ike {{
  secret = \"a long enough secret\"
 }}
}}
",
        ids[0], ids[1]
    )
}

fn script(lab: &Lab, name: &str, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = lab.dir().join(name);
    std::fs::write(&path, body).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn down(gw: &Daemon, cl: &Daemon, gone: impl Fn() -> bool) {
    cl.swanctl(&["--terminate", "--ike", "c"]);
    assert!(wait_for(SOON, gone), "{}\n{}", gw.said(), cl.said());
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn operators_scripts_run_unchanged() {
    assert!(
        std::path::Path::new("/usr/lib/ipsec/_updown").exists(),
        "strongswan-starter is missing: run `cargo xtask packages`"
    );
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    let gw = lab.start_with("gw", Kind::Cygnet, "install_routes = no");
    let cl = lab.start_with("cl", Kind::Charon, "install_routes = no");
    lab.exec("cl", "ip addr add 10.7.0.1/16 dev lo");
    let (xfrm, vti, tables) =
        (script(&lab, "xfrmi", XFRM_INTERFACE), script(&lab, "vti", VTI), script(&lab, "tables", IPTABLES));
    let load = |what: &str| {
        let ours = format!("local_ts = 10.1.0.0/16\n remote_ts = 10.7.0.0/16\n {what}");
        let theirs = format!("local_ts = 10.7.0.0/16\n remote_ts = 10.1.0.0/16\n {what}");
        gw.load(&site("192.0.2.1", "192.0.2.2", ["gw", "cl"], &ours));
        cl.load(&site("192.0.2.2", "192.0.2.1", ["cl", "gw"], &theirs));
    };
    let initiate = || {
        let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "30"]);
        assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
    };
    let answers = |lab: &Lab| {
        // The script may still be at work.
        let through = wait_for(SOON, || lab.try_ping("lan", "10.7.0.1", 1).0);
        assert!(
            through,
            "{}\n{}\n{}",
            gw.said(),
            cl.said(),
            lab.exec("gw", "ip xfrm state; ip xfrm policy; ip -d link")
        );
    };
    let links = |name: &str| lab.exec(name, "ip -br link");
    // Interfaces that come and go with the tunnel.
    load(&format!("if_id_in = 42\n if_id_out = 42\n updown = {xfrm}"));
    initiate();
    answers(&lab);
    assert!(links("gw").contains("ipsec42"));
    down(&gw, &cl, || !links("gw").contains("ipsec42") && !links("cl").contains("ipsec42"));
    load(&format!("mark_in = 7\n mark_out = 8\n updown = {vti}"));
    initiate();
    answers(&lab);
    assert!(links("gw").contains("vti"));
    down(&gw, &cl, || !links("gw").contains("vti") && !links("cl").contains("vti"));
    // Rules, where everything else is dropped; the kernel finds its policies by itself once there is any route.
    lab.exec("gw", "ip route add 10.7.0.0/16 via 192.0.2.2 src 10.1.0.1");
    lab.exec("cl", "ip route add 10.1.0.0/16 via 192.0.2.1 src 10.7.0.1");
    lab.exec("gw", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
    let rules = || lab.exec("gw", "iptables -S; ip6tables -S");
    for updown in [tables, "/usr/lib/ipsec/_updown iptables".to_owned()] {
        load(&format!("hostaccess = yes\n updown = {updown}"));
        initiate();
        answers(&lab);
        assert!(rules().contains("--pol ipsec"), "{}", rules());
        down(&gw, &cl, || !rules().contains("--pol ipsec"));
    }
    // nftables without a script: what is decrypted may pass, and nothing else.
    lab.exec(
        "gw",
        "iptables -P FORWARD ACCEPT; nft add table inet filter
         nft \"add chain inet filter forward { type filter hook forward priority 0; policy drop; }\"
         nft add rule inet filter forward meta secpath exists counter accept
         nft add rule inet filter forward rt ipsec exists counter accept
         nft add rule inet filter forward ipsec in ip saddr 192.0.2.2 counter",
    );
    load("");
    initiate();
    answers(&lab);
    let passed = lab.exec("gw", "nft list chain inet filter forward");
    assert!(!passed.contains("packets 0 bytes 0 accept"), "{passed}");
    down(&gw, &cl, || !gw.sas().contains("net"));
    let (reached, _) = lab.try_ping("lan", "10.7.0.1", 1);
    assert!(!reached, "{}", lab.exec("gw", "nft list chain inet filter forward"));
    // A script that fails holds nothing up, and is named.
    load("updown = echo no luck; exit 7");
    initiate();
    assert!(
        gw.logged("updown script for up-client 10.1.0.0/16 === 10.7.0.0/16 failed (exit status: 7)", SOON),
        "{}",
        gw.said()
    );
    assert!(gw.said().contains("CHILD_SA net{") && gw.said().contains("updown: no luck"));
    down(&gw, &cl, || !gw.sas().contains("net"));
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn the_firewall_table_lets_the_kernels_tunnels_through() {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    let gw = lab.start_with("gw", Kind::Cygnet, "firewall = yes");
    let cl = lab.start_with("cl", Kind::Charon, "");
    // A stock charon makes no route for selectors with a protocol.
    lab.exec("cl", "ip addr add 10.7.0.1/16 dev lo; ip route add 10.1.0.0/16 via 192.0.2.1 src 10.7.0.1");
    let table = |lab: &Lab| lab.attempt("gw", "nft list table inet cygnet").1;
    for (encap, ours, theirs) in [
        (
            "",
            "local_ts = 10.1.0.0/16\n remote_ts = 10.7.0.0/16",
            "local_ts = 10.7.0.0/16\n remote_ts = 10.1.0.0/16",
        ),
        (
            "encap = yes\n",
            "local_ts = 10.1.0.0/16[icmp]\n remote_ts = 10.7.0.0/16[icmp]",
            "local_ts = 10.7.0.0/16[icmp]\n remote_ts = 10.1.0.0/16[icmp]",
        ),
        (
            "",
            "mode = transport\n local_ts = 192.0.2.1\n remote_ts = 192.0.2.2",
            "mode = transport\n local_ts = 192.0.2.2\n remote_ts = 192.0.2.1",
        ),
    ] {
        gw.load(&site("192.0.2.1", &format!("192.0.2.2\n{encap}"), ["gw", "cl"], ours));
        cl.load(&site("192.0.2.2", &format!("192.0.2.1\n{encap}"), ["cl", "gw"], theirs));
        let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "30"]);
        assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
        if ours.contains("transport") {
            lab.ping("cl", "192.0.2.1", 3);
        } else {
            for (name, to) in [("cl", "-I 10.7.0.1 10.1.0.10"), ("lan", "10.7.0.1")] {
                let (ok, said) = lab.try_ping(name, to, 3);
                assert!(
                    ok,
                    "{ours}: {said}\n{}\n{}",
                    table(&lab),
                    lab.exec(
                        "gw",
                        "ip xfrm state; ip xfrm policy; ip route show table 220; cat /proc/net/xfrm_stat"
                    )
                );
            }
        }
        assert!(gw.sas().contains("packets-in=3") || gw.sas().contains("packets-in=6"), "{}", gw.sas());
        let rules = table(&lab);
        assert!(
            rules.contains("ip saddr 10.7.0.0-10.7.255.255")
                || rules.contains("ip saddr 10.7.0.0/16")
                || rules.contains("host_192.0.2.2"),
            "{rules}"
        );
        down(&gw, &cl, || !table(&lab).contains("10.7.0.") && !table(&lab).contains("host_"));
    }
    assert!(lab.stop(&gw));
    assert!(table(&lab).contains("No such file"), "{}", table(&lab));
}
