//! IPComp, BEET mode and AH with stock strongSwan, in both roles and through rekeyings: both kernels are told the same,
//! and packets go as they should. `cargo xtask kernel-test` runs this on a kernel that has it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/shown.rs"]
mod shown;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use shown::{blocks, same_in_both_kernels};
use std::time::Duration;

/// Ours and theirs, each once at the gateway.
const ROLES: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];
const SOON: Duration = Duration::from_secs(20);

/// Children by name: the client's address, the gateway's side, what they have in common, what each has of its own.
const CHILDREN: [(&str, &str, &str, &str, [&str; 2]); 6] = [
    ("comp", "10.9.0.1/32", "10.1.0.0/16", "ipcomp = yes", ["", ""]),
    ("alone", "10.9.0.2/32", "10.1.0.0/16", "", ["", "ipcomp = yes"]),
    ("hosts", "192.0.2.2/32[icmp]", "192.0.2.1/32[icmp]", "mode = transport\n ipcomp = yes", ["", ""]),
    ("beet", "10.9.0.3/32", "10.1.0.1/32", "mode = beet", ["", ""]),
    ("tunnel", "10.9.0.4/32", "10.1.0.1/32", "", ["", "mode = beet"]),
    ("ah", "10.9.0.5/32", "10.1.0.0/16", "ah_proposals = sha384,sha256-x25519", ["", ""]),
];

/// `swanctl.conf` of the gateway (0) or the client (1).
fn conf(side: usize) -> String {
    let mut children = String::new();
    for (name, client, gateway, common, own) in CHILDREN {
        let (local, remote) = if side == 0 { (gateway, client) } else { (client, gateway) };
        let esp = if common.contains("ah_proposals") { "" } else { "esp_proposals = aes128gcm16-x25519" };
        let own = own[side];
        children.push_str(&format!(
            "{name} {{\n local_ts = {local}\n remote_ts = {remote}\n {esp}\n {common}\n {own}\n }}\n"
        ));
    }
    let (us, them, ends) = match side {
        0 => ("gw", "cl", "local_addrs = 192.0.2.1"),
        _ => ("cl", "gw", "local_addrs = 192.0.2.2\n remote_addrs = 192.0.2.1"),
    };
    format!(
        "connections {{
  c {{
    version = 2
    proposals = aes128-sha256-x25519
    {ends}
    local {{
      auth = psk
      id = {us}
    }}
    remote {{
      auth = psk
      id = {them}
    }}
    children {{
      {children}
    }}
  }}
}}
secrets {{
  ike {{
    secret = \"a long enough secret\"
  }}
}}
"
    )
}

struct Pair {
    lab: Lab,
    gw: Daemon,
    cl: Daemon,
}

impl Pair {
    fn new(kinds: [Kind; 2]) -> Self {
        let mut lab = Lab::new(Path4::Direct);
        lab.kernel = true;
        let start = |lab: &mut Lab, side: usize| {
            let daemon = lab.start_with(
                ["gw", "cl"][side],
                kinds[side],
                "send_vendor_id = yes\n delete_rekeyed_delay = 1",
            );
            daemon.load(&conf(side));
            daemon
        };
        let (gw, cl) = (start(&mut lab, 0), start(&mut lab, 1));
        for host in 1..6 {
            lab.exec("cl", &format!("ip addr add 10.9.0.{host}/32 dev lo"));
        }
        Self { lab, gw, cl }
    }

    fn said(&self) -> String {
        let shown = ["gw", "cl"].map(|name| self.lab.exec(name, "ip xfrm state; ip xfrm policy"));
        format!("{}\n{}\n{}", self.gw.said(), self.cl.said(), shown.join("\n---\n"))
    }

    fn up(&self, child: &str) {
        let (ok, said) = self.cl.try_swanctl(&["--initiate", "--child", child, "--timeout", "30"]);
        assert!(ok, "{child}: {said}\n{}", self.said());
    }

    fn down(&self, child: &str) {
        self.cl.swanctl(&["--terminate", "--child", child]);
        for (name, daemon) in [("gw", &self.gw), ("cl", &self.cl)] {
            let left = || self.lab.exec(name, "ip xfrm state; ip xfrm policy | grep -v socket || true");
            // charon leaves CPIs that it has asked the kernel for and not used.
            let all: &[&str] =
                if daemon.kind == Kind::Cygnet { &["proto"] } else { &["proto esp", "proto ah"] };
            let gone = wait_for(SOON, || !all.iter().any(|what| left().contains(what)));
            assert!(gone, "{child} on {name}: {}", left());
        }
    }

    fn pings(&self, words: &str, to: &str) {
        let (ok, said) = self.lab.try_ping("cl", words, 2);
        assert!(ok, "{words} {to}: {said}\n{}", self.said());
    }

    /// Rekeys from either end; packets go on afterwards.
    fn rekeys(&self, child: &str, ping: &str) {
        for daemon in [&self.cl, &self.gw] {
            let before = self.cl.count_logged(&format!("CHILD_SA {child}{{"));
            daemon.swanctl(&["--rekey", "--child", child]);
            assert!(
                wait_for(SOON, || self.cl.count_logged(&format!("CHILD_SA {child}{{")) > before),
                "{}",
                self.said()
            );
            self.pings(ping, "after a rekeying");
        }
    }

    fn shows(&self, name: &str, what: &str) -> bool {
        self.lab.exec(name, "ip xfrm state").contains(what)
    }
}

/// Bytes that went through the ESP SAs of a host.
fn esp_bytes(lab: &Lab, name: &str) -> u64 {
    let shown = lab.exec(name, "ip -s xfrm state");
    let esp =
        blocks(&shown).into_iter().filter(|block| block.iter().any(|line| line.starts_with("proto esp")));
    esp.filter_map(|block| {
        let line = block.iter().find(|line| line.contains("(bytes), ") && line.ends_with("(packets)"))?;
        line.split("(bytes)").next()?.trim().parse::<u64>().ok()
    })
    .sum()
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn ipcomp_beet_and_ah() {
    for kinds in ROLES {
        let pair = Pair::new(kinds);
        let lab = &pair.lab;
        // IPComp: what can be compressed is, short packets go without.
        pair.up("comp");
        let zeros = "-I 10.9.0.1 -s 3000 -p 00 10.1.0.10";
        pair.pings(zeros, "compressed");
        let through = esp_bytes(lab, "gw");
        assert!((1..3000).contains(&through), "{through} bytes\n{}", pair.said());
        pair.pings("-I 10.9.0.1 10.1.0.10", "short");
        same_in_both_kernels(lab);
        for (name, daemon) in [("gw", &pair.gw), ("cl", &pair.cl)] {
            assert!(pair.shows(name, "proto comp spi 0x0000"), "{}", pair.said());
            let optional = lab.exec(name, "ip xfrm policy").matches("level use").count();
            assert_eq!(optional, 2, "packets to us may be short: {}", pair.said());
            assert!(
                daemon.sas().contains("cpi-in=") && daemon.sas().contains("cpi-out="),
                "{}",
                daemon.sas()
            );
        }
        pair.rekeys("comp", zeros);
        pair.down("comp");
        // … one end alone
        pair.up("alone");
        pair.pings("-I 10.9.0.2 10.1.0.10", "without compression");
        assert!(!pair.shows("gw", "proto comp"), "{}", pair.said());
        pair.down("alone");
        // … in transport mode
        pair.up("hosts");
        pair.pings("-s 3000 -p 00 192.0.2.1", "compressed");
        assert!((1..3000).contains(&esp_bytes(lab, "gw")), "{}", pair.said());
        same_in_both_kernels(lab);
        pair.down("hosts");
        // BEET
        pair.up("beet");
        pair.pings("-I 10.9.0.3 10.1.0.1", "BEET");
        same_in_both_kernels(lab);
        assert!(pair.shows("gw", "mode beet") && pair.shows("cl", "mode beet"), "{}", pair.said());
        assert!(pair.cl.sas().contains("mode=BEET") && pair.gw.sas().contains("mode=BEET"));
        pair.rekeys("beet", "-I 10.9.0.3 10.1.0.1");
        pair.down("beet");
        pair.up("tunnel");
        pair.pings("-I 10.9.0.4 10.1.0.1", "a tunnel instead");
        assert!(pair.shows("gw", "mode tunnel") && !pair.shows("gw", "mode beet"), "{}", pair.said());
        pair.down("tunnel");
        // AH
        pair.up("ah");
        pair.pings("-I 10.9.0.5 10.1.0.10", "AH");
        same_in_both_kernels(lab);
        assert!(pair.shows("gw", "proto ah") && !pair.shows("gw", "proto esp"), "{}", pair.said());
        assert!(pair.cl.sas().contains("protocol=AH") && pair.gw.sas().contains("protocol=AH"));
        pair.rekeys("ah", "-I 10.9.0.5 10.1.0.10");
        pair.down("ah");
    }
}
