//! Our daemon and stock strongSwan, both with the kernel's IPsec, in both roles. `cargo xtask kernel-test` runs this on
//! a kernel that has ESP; under emulation every start of a daemon counts, so one pair is taken through much.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/psk.rs"]
mod psk;
#[path = "lab/shown.rs"]
mod shown;

use lab::{Daemon, Kind, Lab, Path4, wait_for};
use shown::{policies, same_in_both_kernels};
use std::time::Duration;

/// Ours and theirs, each once at the gateway.
const ROLES: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];
const SOON: Duration = Duration::from_secs(20);

/// A connection with a tunnel for virtual IPs, and one in transport mode for those who have none.
fn conf(addresses: &str, [me, peer]: [&str; 2], virtual_ips: &str, net: &str) -> String {
    let net = format!("net {{\n esp_proposals = aes128gcm16-x25519\n {net}\n }}");
    let host = "host {\n mode = transport\n esp_proposals = aes256-sha256\n }";
    let of_host = [format!("{me}-transport"), format!("{peer}-transport")];
    psk::whole(
        &[
            psk::connection("c", [me, peer], &format!("{addresses}\n {virtual_ips}"), &net),
            psk::connection("t", [&of_host[0], &of_host[1]], addresses, host),
        ]
        .concat(),
    )
}

fn pair(path: Path4, kinds: [Kind; 2], net: &str) -> (Lab, Daemon, Daemon) {
    let mut lab = Lab::new(path);
    lab.kernel = true;
    let gw = lab.start_with("gw", kinds[0], "");
    let cl = lab.start_with("cl", kinds[1], "");
    gw.load(&conf("local_addrs = 192.0.2.1", ["gw", "cl"], "pools = v4", "local_ts = 10.1.0.0/16"));
    let net = format!("remote_ts = 10.1.0.0/16\n{net}");
    cl.load(&conf("remote_addrs = 192.0.2.1", ["cl", "gw"], "vips = 0.0.0.0", &net));
    (lab, gw, cl)
}

fn initiate(gw: &Daemon, cl: &Daemon, child: &str) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", child, "--timeout", "30"]);
    assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
}

fn nothing_left(lab: &Lab, name: &str) {
    let left =
        lab.exec(name, "ip xfrm state; ip xfrm policy; ip route show table 220 2>/dev/null || true; ip rule");
    assert!(!left.contains("proto esp") && !left.contains("dir ") && !left.contains("220"), "{left}");
    assert!(!lab.exec(name, "ip addr").contains("10.3.0."), "the virtual IP stays");
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn tunnel_transport_rekeying_and_a_clean_end() {
    for kinds in ROLES {
        let (mut lab, gw, cl) = pair(Path4::Direct, kinds, "");
        let ours = if kinds[0] == Kind::Cygnet { &gw } else { &cl };
        assert!(ours.logged("data plane: xfrm, as data_plane = xfrm", SOON), "{}", ours.said());
        // tunnel
        initiate(&gw, &cl, "net");
        lab.ping("cl", "10.1.0.10", 3);
        same_in_both_kernels(&lab);
        let fwd = policies(&lab, "gw", "fwd");
        assert_eq!(fwd, policies(&lab, "gw", "in"));
        for (name, route) in
            [("cl", "10.1.0.0/16 via 192.0.2.1 dev wan proto static src 10.3.0.1"), ("gw", "src 10.1.0.1")]
        {
            let shown = lab.exec(name, "ip route show table 220");
            assert!(shown.contains(route), "{name}: {shown}");
        }
        for daemon in [&gw, &cl] {
            assert!(daemon.sas().contains("packets-in=3 "), "{}", daemon.sas());
        }
        followed(&lab, ours, if kinds[0] == Kind::Cygnet { "10.3.0.1" } else { "10.1.0.10" });
        // rekeying, begun by either, under traffic
        for daemon in [&cl, &gw] {
            let mut pings = lab.spawn("cl", &["ping", "-n", "-i", "0.1", "-c", "40", "-W", "2", "10.1.0.10"]);
            daemon.swanctl(&["--rekey", "--child", "net"]);
            assert!(
                wait_for(SOON, || daemon.count_logged("established with SPIs") >= 2),
                "{}",
                daemon.said()
            );
            let out = pings.wait_with_output_and_text();
            assert!(out.contains(" 0% packet loss"), "{out}\n{}\n{}", gw.said(), cl.said());
        }
        lab.ping("cl", "10.1.0.10", 2);
        // transport
        initiate(&gw, &cl, "host");
        lab.ping("cl", "192.0.2.1", 3);
        assert!(cl.sas().contains("mode=TRANSPORT"), "{}", cl.sas());
        same_in_both_kernels(&lab);
        cl.swanctl(&["--terminate", "--ike", "c"]);
        cl.swanctl(&["--terminate", "--ike", "t"]);
        for name in ["gw", "cl"] {
            let gone =
                wait_for(SOON, || !lab.exec(name, "ip xfrm state; ip xfrm policy").contains("proto esp"));
            assert!(gone, "{}", lab.exec(name, "ip xfrm state; ip xfrm policy"));
        }
        // the end, and a crash
        initiate(&gw, &cl, "net");
        let (name, ours) = if kinds[0] == Kind::Cygnet { ("gw", gw) } else { ("cl", cl) };
        lab.kill(&ours);
        assert!(lab.exec(name, "ip xfrm state").contains("proto esp"));
        let again = lab.start_again(name, &ours);
        nothing_left_but_the_rule(&lab, name);
        assert!(lab.stop(&again));
        nothing_left(&lab, name);
    }
}

/// `cygnet trace` finds policy and SA in the kernel, and what goes in clear.
fn followed(lab: &Lab, ours: &Daemon, there: &str) {
    let trace = |words: &[&str]| {
        let out = ours.cygnet(&[&["trace"], words].concat());
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let text = trace(&[there]);
    let from = if there == "10.3.0.1" { "gw" } else { "cl" };
    let spi = text.split("SPI ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("?").to_owned();
    assert!(text.contains("table 220") && text.contains("=> protected by CHILD_SA net{"), "{text}");
    assert!(lab.exec(from, "ip xfrm state").contains(&format!("spi 0x{spi}")), "{text}");
    let other = trace(&[there, "--from", if from == "gw" { "192.0.2.1" } else { "192.0.2.2" }]);
    assert!(other.contains("=> not protected") && other.contains("would be protected"), "{other}");
}

/// As [`nothing_left`] while the daemon runs.
fn nothing_left_but_the_rule(lab: &Lab, name: &str) {
    let left = lab.exec(name, "ip xfrm state; ip xfrm policy; ip route show table 220 2>/dev/null || true");
    assert!(!left.contains("proto esp") && !left.contains("dir ") && !left.contains("via"), "{left}");
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn behind_a_nat_on_demand() {
    for kinds in ROLES {
        let (mut lab, gw, cl) = pair(Path4::Nat, kinds, "local_ts = 10.3.0.0/24\n start_action = trap");
        assert!(wait_for(SOON, || lab.exec("cl", "ip xfrm policy").contains("mode tunnel")), "{}", cl.said());
        assert!(lab.exec("cl", "ip xfrm state").is_empty());
        // No address of ours is in the selectors before the virtual IP is there: the trap meets it by a borrowed one.
        lab.exec("cl", "ip addr add 10.3.0.200/32 dev lo");
        let (_, _first) = lab.try_ping("cl", "-I 10.3.0.200 10.1.0.10", 1);
        let up = wait_for(SOON, || cl.sas().contains("state=INSTALLED"));
        assert!(up, "{}\n{}", gw.said(), cl.said());
        lab.ping("cl", "10.1.0.10", 3);
        let shown = lab.exec("gw", "ip xfrm state");
        assert!(shown.contains("encap type espinudp"), "{shown}");
        assert!(lab.exec("cl", "ip xfrm state").contains("encap type espinudp sport 4500 dport 4500"));
        let ours = if kinds[0] == Kind::Cygnet { gw.clone() } else { cl.clone() };
        let name = if kinds[0] == Kind::Cygnet { "gw" } else { "cl" };
        assert!(lab.stop(&ours));
        let left = lab.exec(name, "ip xfrm state; ip xfrm policy; ip rule");
        assert!(!left.contains("proto esp") && !left.contains("dir ") && !left.contains("220"), "{left}");
    }
}

/// A child process's end, as text.
trait Text {
    fn wait_with_output_and_text(&mut self) -> String;
}

impl Text for std::process::Child {
    fn wait_with_output_and_text(&mut self) -> String {
        let mut text = String::new();
        if let Some(out) = &mut self.stdout {
            let _read = std::io::Read::read_to_string(out, &mut text);
        }
        let _ended = self.wait();
        text
    }
}
