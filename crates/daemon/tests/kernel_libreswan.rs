//! libreswan as the peer: a tunnel between two sites begun and rekeyed by either, and VTI devices at both ends. One pair
//! is taken through all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/libreswan.rs"]
mod libreswan;
#[path = "lab/shown.rs"]
mod shown;

use lab::{Daemon, Kind, Lab, Path4, both, wait_for};
use libreswan::Pluto;
use shown::states;
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "a long enough secret";

/// Ours, at the gateway: a plain tunnel, and one with a device.
fn ours() -> String {
    let connection = |name: &str, child: &str| {
        format!(
            "{name} {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.2
    proposals = aes128-sha256-x25519
    local {{
      auth = psk
      id = gw-{name}
    }}
    remote {{
      auth = psk
      id = cl-{name}
    }}
    children {{
      {name} {{
        esp_proposals = aes128gcm16-x25519
        {child}
      }}
    }}
  }}
"
        )
    };
    format!(
        "connections {{\n{}{}}}\nsecrets {{\n ike {{\n secret = \"{SECRET}\"\n }}\n}}\n",
        connection("net", "local_ts = 10.1.0.0/16\n remote_ts = 10.2.0.0/16"),
        connection(
            "vti",
            "local_ts = 0.0.0.0/0\n remote_ts = 0.0.0.0/0\n mark_in = 7\n mark_out = 7
             vti_interface = vti-ours\n vti_address = 10.10.0.1/30\n vti_routing = no"
        )
    )
}

/// Theirs.
fn theirs() -> String {
    let connection = |name: &str, rest: &str| {
        format!(
            "conn {name}
    ikev2=insist
    authby=secret
    left=192.0.2.2
    leftid=@cl-{name}
    right=192.0.2.1
    rightid=@gw-{name}
    ike=aes128-sha2_256;dh31
    esp=aes_gcm128-null;dh31
    pfs=yes
    auto=add
{rest}
"
        )
    };
    format!(
        "config setup\n\n{}\n{}",
        connection("net", "    leftsubnet=10.2.0.0/16\n    rightsubnet=10.1.0.0/16\n    leftsourceip=10.2.0.1"),
        connection(
            "vti",
            "    leftsubnet=0.0.0.0/0\n    rightsubnet=0.0.0.0/0\n    mark=5/0xffffffff\n    vti-interface=vti01
    vti-routing=no\n    leftvti=10.10.0.2/30"
        )
    )
}

fn in_time(what: &str, gw: &Daemon, cl: &Pluto, ready: impl FnMut() -> bool) {
    assert!(wait_for(SOON, ready), "{what}\n{}\n{}", gw.said(), cl.said());
}

fn begin(by_us: bool, name: &str, gw: &Daemon, cl: &Pluto) {
    let (ok, said) = if by_us {
        gw.try_swanctl(&["--initiate", "--child", name, "--timeout", "30"])
    } else {
        cl.whack(&["--initiate", "--name", name])
    };
    assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
}

/// Both kernels have the same pair of SAs, and no other. libreswan gives marks to policies only, we to the outbound SA too.
fn one_pair(lab: &Lab, gw: &Daemon, cl: &Pluto) -> BTreeSet<String> {
    let unmarked = |name: &str| -> BTreeSet<String> {
        states(lab, name).iter().map(|sa| sa.replace("; mark 0x7/0xffffffff", "")).collect()
    };
    in_time("one pair of SAs, the same at both ends", gw, cl, || {
        let here = unmarked("gw");
        here.len() == 2 && here == unmarked("cl")
    });
    unmarked("gw")
}

/// Each side replaces the CHILD_SA, under traffic from the network behind us to an address behind them.
fn rekeyed_by_each(lab: &Lab, name: &str, gw: &Daemon, cl: &Pluto) {
    // Packets that came to us with an SPI that our kernel does not know.
    let unknown = || -> usize {
        let shown = lab.exec("gw", "cat /proc/net/xfrm_stat");
        let line = shown.lines().find(|line| line.starts_with("XfrmInNoStates"));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap().parse().unwrap()
    };
    for by_us in [true, false] {
        let before = one_pair(lab, gw, cl);
        let unknown_before = unknown();
        let pings = lab.spawn("lan", &["ping", "-n", "-i", "0.1", "-c", "20", "-W", "2", "10.2.0.1"]);
        let (ok, said) = if by_us {
            gw.try_swanctl(&["--rekey", "--child", name])
        } else {
            cl.whack(&["--rekey-ipsec", "--name", name])
        };
        assert!(ok, "{said}\n{}\n{}", gw.said(), cl.said());
        let said = both(&pings.wait_with_output().unwrap());
        // Asked by us, it sends with its new SA before it has answered, so we cannot know the keys yet.
        let lost = (1..=20).filter(|n| !said.contains(&format!("icmp_seq={n} "))).count();
        let overtook = unknown() - unknown_before;
        let allowed = if by_us { overtook.min(2) } else { 0 };
        assert!(lost <= allowed, "{name}, by us: {by_us}\n{said}\n{}\n{}", gw.said(), cl.said());
        let after = one_pair(lab, gw, cl);
        assert!(before.is_disjoint(&after), "{name}, by us: {by_us}\n{before:?}\n{after:?}");
    }
}

/// From here to there and back: what each sends is ESP. What comes in is shown again after its decryption.
fn protected(lab: &Lab) {
    let filter = "not arp and not ip6 and not udp";
    let dumps = ["gw", "cl"]
        .map(|name| lab.spawn(name, &["tcpdump", "-n", "-l", "-i", "wan", "-Q", "out", "-c", "6", filter]));
    std::thread::sleep(Duration::from_millis(500)); // until they listen
    lab.ping("lan", "10.2.0.1", 3);
    lab.ping("cl", "-I 10.2.0.1 10.1.0.10", 3);
    for dump in dumps {
        let wire = both(&dump.wait_with_output().unwrap());
        assert_eq!(wire.matches(": ESP(").count(), 6, "{wire}");
    }
}

#[test]
#[ignore = "needs the kernel's ESP: cargo xtask kernel-test"]
fn libreswan_site_to_site_and_vti() {
    let mut lab = Lab::new(Path4::Direct);
    lab.kernel = true;
    // Its script makes a device by way of this one, which kernels have that make it for every namespace.
    lab.exec(
        "cl",
        "ip addr add 10.2.0.1/16 dev lo; sysctl -qw net.ipv4.ip_forward=1
         test -e /sys/class/net/ip_vti0 || ip link add ip_vti0 type vti",
    );
    let gw = lab.start_with("gw", Kind::Cygnet, "delete_rekeyed_delay = 1");
    gw.load(&ours());
    let mut cl = Pluto::start(&lab, "cl", &theirs(), SECRET);
    for by_us in [true, false] {
        begin(by_us, "net", &gw, &cl);
        protected(&lab);
        rekeyed_by_each(&lab, "net", &gw, &cl);
        // Ended by us, it begins again what it was told to begin; ended by itself, it keeps a policy that traps packets.
        if by_us {
            gw.swanctl(&["--terminate", "--ike", "net"]);
        } else {
            cl.whack(&["--delete", "--name", "net"]);
        }
        in_time("the end of net", &gw, &cl, || {
            ["gw", "cl"].iter().all(|name| states(&lab, name).is_empty())
                && !gw.sas().contains("list-sa event")
        });
    }
    // A device at each end, with routes of the operator's.
    begin(true, "vti", &gw, &cl);
    in_time("two devices", &gw, &cl, || {
        lab.exec("gw", "ip link").contains("vti-ours") && lab.exec("cl", "ip addr").contains("10.10.0.2/30")
    });
    let shown = lab.exec("cl", "ip -d link show dev vti01");
    assert!(shown.contains("vti remote 192.0.2.1 local 192.0.2.2 ikey 0.0.0.5 okey 0.0.0.5"), "{shown}");
    lab.exec("cl", "ip route replace 10.1.0.0/16 dev vti01 src 10.2.0.1");
    lab.exec("gw", "ip route add 10.2.0.0/16 dev vti-ours");
    lab.ping("gw", "10.10.0.2", 3);
    protected(&lab);
    rekeyed_by_each(&lab, "vti", &gw, &cl);
    gw.swanctl(&["--terminate", "--ike", "vti"]);
    in_time("the end of vti", &gw, &cl, || {
        !lab.exec("gw", "ip link").contains("vti-ours") && states(&lab, "cl").is_empty()
    });
    // Its device stays where it is; of ours nothing does.
    assert!(cl.stop(), "{}", cl.said());
    assert!(lab.stop(&gw));
    let left = lab.exec(
        "gw",
        "ip xfrm state; ip xfrm policy; ip route show table 220 2>/dev/null || true; ip rule; ip link",
    );
    assert!(["proto esp", "dir ", "220", "vti"].iter().all(|mark| !left.contains(mark)), "{left}");
}
