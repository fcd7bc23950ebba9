//! The firewall table of our own (`charon.firewall`), with ESP in user space.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn conf(connection: &str, ids: [&str; 2], net: &str, pass: &str) -> String {
    let net = format!("net {{\n esp_proposals = aes128gcm16\n {net}\n }}\n {pass}");
    psk::whole(&psk::connection("c", ids, connection, &net))
}

fn gateway(pass: &str) -> String {
    conf("local_addrs = 192.0.2.1\n pools = v4, v6", ["gw", "cl"], "local_ts = 10.1.0.0/16, fd01::/64", pass)
}

fn client() -> String {
    let net = "remote_ts = 10.1.0.0/16, fd01::/64";
    conf("remote_addrs = 192.0.2.1\n vips = 0.0.0.0, ::", ["cl", "gw"], net, "")
}

fn pair() -> (Lab, Daemon, Daemon) {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, "firewall = yes");
    gw.load(&gateway(""));
    let cl = lab.start("cl", Kind::Cygnet, &client());
    // What has our mark goes beside the tunnel.
    lab.exec(
        "cl",
        "ip route add 10.1.0.0/16 via 192.0.2.1; ip -6 route add fd01::/64 via 2001:db8::1
         sysctl -qw net.ipv4.conf.all.rp_filter=0",
    );
    lab.exec("gw", "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wan.rp_filter=0");
    lab.exec(
        "lan",
        "nft add table inet seen
         nft \"add chain inet seen in { type filter hook prerouting priority 0; }\"
         nft add rule inet seen in ip saddr 10.3.0.0/24 icmp type echo-request counter
         nft add rule inet seen in ip6 saddr fd03::/112 icmpv6 type echo-request counter",
    );
    (lab, gw, cl)
}

/// Echo requests from virtual IPs that the LAN has seen.
fn seen(lab: &Lab) -> u64 {
    let listed = lab.exec("lan", "nft list table inet seen");
    listed.split("packets ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Sends what claims to be from the tunnel, beside it.
fn forge(lab: &Lab) {
    let _no_answer = lab.attempt(
        "cl",
        "ping -n -q -m 220 -I 10.3.0.1 -c 3 -i 0.05 -W 1 -w 1 10.1.0.10; \
         ping -n -q -m 220 -I fd03::1 -c 3 -i 0.05 -W 1 -w 1 fd01::10",
    );
}

fn table(lab: &Lab) -> String {
    lab.attempt("gw", "nft list table inet cygnet").1
}

#[test]
fn only_what_came_through_the_tunnel() {
    let (mut lab, gw, cl) = pair();
    cl.initiate("net");
    lab.ping("cl", "10.1.0.10", 3);
    lab.ping("cl", "fd01::10", 3);
    lab.ping("lan", "10.3.0.1", 3);
    let honest = seen(&lab);
    assert_eq!(honest, 6);
    forge(&lab);
    assert_eq!(seen(&lab), honest, "{}", table(&lab));
    // A rekeying changes nothing; nor do others on the outer network.
    cl.swanctl(&["--rekey", "--child", "net"]);
    assert!(wait_for(SOON, || cl.sas().contains("net-2 ")), "{}", cl.sas());
    lab.ping("cl", "10.1.0.10", 3);
    lab.ping("cl", "192.0.2.1", 2);
    // The proof that it is the table that drops: without it they arrive.
    let before = seen(&lab);
    lab.exec("gw", "nft add table inet cygnet; nft delete table inet cygnet");
    forge(&lab);
    assert!(seen(&lab) >= before + 6, "{}", gw.said());
    lab.stop(&gw);
}

#[test]
fn it_follows_the_child_sas_and_is_gone_at_the_end_and_after_a_crash() {
    let (mut lab, gw, cl) = pair();
    assert!(!table(&lab).contains("host_"));
    cl.initiate("net");
    assert!(table(&lab).contains("10.3.0.1 : jump host_10.3.0.1"), "{}", table(&lab));
    assert!(table(&lab).contains("fd03::1 : jump host_fd03__1"), "{}", table(&lab));
    cl.swanctl(&["--terminate", "--ike", "c"]);
    assert!(wait_for(SOON, || !table(&lab).contains("host_")), "{}\n{}", table(&lab), gw.said());
    // A policy that lets pass beside tunnels.
    gw.load(&gateway(
        "lan {\n mode = pass\n start_action = trap\n local_ts = 10.1.0.0/16\n remote_ts = 10.3.0.0/24\n }",
    ));
    assert!(
        wait_for(SOON, || table(&lab)
            .contains("ip saddr 10.3.0.0-10.3.0.255 ip daddr 10.1.0.0-10.1.255.255 accept")
            || table(&lab).contains("ip saddr 10.3.0.0/24 ip daddr 10.1.0.0/16 accept")),
        "{}\n{}",
        table(&lab),
        gw.said()
    );
    cl.initiate("net");
    let before = seen(&lab);
    forge(&lab);
    assert!(seen(&lab) >= before + 3, "{}", table(&lab));
    gw.load(&gateway(""));
    cl.initiate("net");
    lab.kill(&gw);
    assert!(table(&lab).contains("host_10.3.0.1"), "{}", table(&lab));
    let gw = lab.start_again("gw", &gw);
    assert!(table(&lab).contains("chain judge") && !table(&lab).contains("host_"), "{}", table(&lab));
    lab.kill(&gw);
    // Whoever no longer wants it is rid of it.
    let file = gw.file("strongswan.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("firewall = yes", "firewall = no")).unwrap();
    let gw = lab.start_again("gw", &gw);
    assert!(table(&lab).contains("No such file"), "{}", table(&lab));
    std::fs::write(&file, text).unwrap();
    assert!(lab.stop(&gw));
    let gw = lab.start_again("gw", &gw);
    assert!(table(&lab).contains("made by cygnetd"));
    assert!(lab.stop(&gw));
    assert!(table(&lab).contains("No such file"), "{}", table(&lab));
    // A table of that name which is not ours stays, and is an error.
    lab.exec("gw", "nft add table inet cygnet; nft add chain inet cygnet mine");
    let start = format!("STRONGSWAN_CONF={} timeout 20 {}", file.display(), env!("CARGO_BIN_EXE_cygnetd"));
    let (ok, said) = lab.attempt("gw", &start);
    assert!(!ok && said.contains("there is a table inet cygnet that cygnetd did not make"), "{said}");
    assert!(table(&lab).contains("chain mine"));
}
