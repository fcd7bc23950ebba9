//! Tunnel interfaces, on a kernel that has them: `cargo xtask kernel-test` runs this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use linux::netlink::{LinkKind, Netlink, RouteKind};
use linux::netns::Namespace;
use linux::network::{Desired, LinkSettings, Network, RouteWay, WantedAddress, WantedLink, WantedRoute};
use linux::sysctl;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

const NEEDS: &str = "needs a kernel with tunnel interfaces: cargo xtask kernel-test";

/// A namespace by name, which goes with the test.
struct Named(&'static str);

impl Named {
    fn new(name: &'static str) -> Self {
        ip(&format!("netns add {name}"));
        Self(name)
    }

    fn namespace(&self) -> Namespace {
        Namespace::named(self.0).unwrap()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", self.0]).output();
    }
}

fn ip(line: &str) -> String {
    let out = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "ip {line}: {said} ({NEEDS})");
    said
}

fn xfrm(name: &str, if_id: u32) -> WantedLink {
    WantedLink::new(name, LinkKind::Xfrm { if_id })
}

fn links(wanted: &[WantedLink]) -> Desired {
    Desired { links: wanted.iter().cloned().collect(), ..Desired::default() }
}

fn refused(network: &mut Network, wanted: &WantedLink) -> String {
    let error = network.link(wanted).unwrap_err();
    format!("{error}")
}

#[test]
#[ignore = "needs a kernel with tunnel interfaces: cargo xtask kernel-test"]
fn an_xfrm_interface_is_made_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("network.state");
    let lab = Named::new("cygnet-links");
    lab.namespace()
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let mut network = Network::open(Some(&state)).unwrap();
            ip("link add vrf-red type vrf table 77");
            let settings =
                LinkSettings { disable_policy: Some(true), rp_filter: Some(2), forwarding: Some(true) };
            let mut wanted = WantedLink {
                mtu: Some(1380),
                vrf: Some("vrf-red".into()),
                addresses: ["10.9.0.1/30", "2001:db8:9::1/64"].map(|a| a.parse().unwrap()).into(),
                settings,
                ..xfrm("ipsec0", 42)
            };
            assert!(network.apply(&links(&[wanted.clone()])).is_empty());
            let link = netlink.link("ipsec0").unwrap();
            assert!(link.up && link.mtu == 1380 && network.has_link("ipsec0"));
            assert_eq!(link.kind, Some(LinkKind::Xfrm { if_id: 42 }));
            assert_eq!(link.controller, Some(netlink.link_index("vrf-red").unwrap()));
            let shown = ip("addr show dev ipsec0");
            assert!(shown.contains("10.9.0.1/30") && shown.contains("2001:db8:9::1/64"), "{shown}");
            for (key, value) in [
                ("net/ipv4/conf/ipsec0/disable_policy", "1"),
                ("net/ipv6/conf/ipsec0/disable_policy", "1"),
                ("net/ipv4/conf/ipsec0/rp_filter", "2"),
                ("net/ipv6/conf/ipsec0/forwarding", "1"),
            ] {
                assert_eq!(sysctl::read(key).unwrap(), value, "{key}");
            }
            // changed in place
            wanted.mtu = Some(1300);
            wanted.vrf = None;
            wanted.addresses = ["10.9.0.5/30"].map(|a| a.parse().unwrap()).into();
            let route = WantedRoute {
                destination: "10.20.0.0/16".parse().unwrap(),
                way: Arc::new(RouteWay {
                    table: 254,
                    interface: Some("ipsec0".into()),
                    namespace: None,
                    gateway: None,
                    source: Some("10.9.0.5".parse().unwrap()),
                    mtu: None,
                    kind: RouteKind::Unicast,
                }),
            };
            let desired = Desired { routes: [route.into()].into(), ..links(&[wanted.clone()]) };
            assert!(network.apply(&desired).is_empty());
            let now = netlink.link("ipsec0").unwrap();
            assert_eq!((now.index, now.mtu, now.controller), (link.index, 1300, None));
            let shown = ip("addr show dev ipsec0");
            assert!(shown.contains("10.9.0.5/30") && !shown.contains("10.9.0.1"), "{shown}");
            // somebody takes it away: it comes back with all that is on it
            ip("link del ipsec0");
            assert!(network.refresh(&desired).is_empty());
            assert!(netlink.link("ipsec0").unwrap().up);
            assert!(ip("route").contains("10.20.0.0/16 dev ipsec0"));
            assert!(network.refresh(&desired).is_empty());
            // what is not ours
            ip("link add other type xfrm if_id 7");
            let said = refused(&mut network, &xfrm("other", 8));
            assert!(said.contains("interface other, an XFRM interface with if_id 0x8"), "{said}");
            assert!(said.contains("not ours") && said.contains("ip link del other"), "{said}");
            let said = refused(&mut network, &xfrm("mine", 7));
            assert!(said.contains("interface other is that already"), "{said}");
            let said = refused(&mut network, &xfrm("ipsec0", 9));
            assert!(said.contains("in use by us as an XFRM interface with if_id 0x2a"), "{said}");
            for (bad, why) in [
                (WantedLink { device: Some("nowhere".into()), ..xfrm("mine", 9) }, "nowhere"),
                (WantedLink { vrf: Some("nowhere".into()), ..xfrm("mine", 9) }, "nowhere"),
                (WantedLink { namespace: Some("nowhere".into()), ..xfrm("mine", 9) }, "'nowhere'"),
                (WantedLink { mtu: Some(1), ..xfrm("mine", 9) }, "mine"),
                (xfrm("a-name-that-is-too-long", 9), "a-name-that-is-too-long"),
                (xfrm("mine", 0), "if_id"),
            ] {
                let said = refused(&mut network, &bad);
                assert!(said.contains(why), "{said}");
                assert!(netlink.link("mine").is_err(), "{said}");
            }
            let failures = network.apply(&links(&[wanted.clone(), xfrm("other", 8), xfrm("mine", 9)]));
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(network.has_link("mine") && !network.has_link("other"));
            // a crash, before which somebody put another in the place of one
            assert!(network.apply(&links(&[wanted.clone(), xfrm("mine", 9)])).is_empty());
            drop(network);
            ip("link del mine");
            ip("link add mine type xfrm if_id 9");
            let mut network = Network::open(Some(&state)).unwrap();
            assert!(!state.exists());
            assert!(netlink.link("ipsec0").is_err());
            assert!(netlink.link("mine").is_ok() && netlink.link("other").is_ok());
            // an orderly end
            assert!(network.apply(&links(&[wanted])).is_empty());
            assert!(network.clear().is_empty());
            assert!(netlink.link("ipsec0").is_err() && !state.exists());
        })
        .unwrap();
}

#[test]
#[ignore = "needs a kernel with tunnel interfaces: cargo xtask kernel-test"]
fn an_xfrm_interface_in_another_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("network.state");
    let (lab, blue) = (Named::new("cygnet-links"), Named::new("cygnet-blue"));
    lab.namespace()
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let mut network = Network::open(Some(&state)).unwrap();
            let namespace = Some("cygnet-blue".to_owned());
            let wanted = WantedLink { namespace: namespace.clone(), ..xfrm("ipsec0", 42) };
            let (address, far): (IpAddr, _) = ("10.9.0.1".parse().unwrap(), "10.20.0.0/16".parse().unwrap());
            let desired = Desired {
                addresses: [WantedAddress {
                    interface: "ipsec0".into(),
                    namespace: namespace.clone(),
                    address,
                    prefix: 32,
                }]
                .into(),
                routes: [Arc::new(WantedRoute {
                    destination: far,
                    way: Arc::new(RouteWay {
                        table: 254,
                        interface: Some("ipsec0".into()),
                        namespace,
                        gateway: None,
                        source: Some(address),
                        mtu: None,
                        kind: RouteKind::Unicast,
                    }),
                })]
                .into(),
                ..links(&[wanted])
            };
            for _ in 0..2 {
                let failures = network.apply(&desired);
                assert!(failures.is_empty(), "{failures:?}");
                assert!(netlink.link("ipsec0").is_err());
                let shown = ip("-n cygnet-blue route");
                assert!(
                    shown.contains("10.20.0.0/16 dev ipsec0") && shown.contains("src 10.9.0.1"),
                    "{shown}"
                );
                // gone and healed
                ip("-n cygnet-blue link set ipsec0 down");
                assert!(!ip("-n cygnet-blue route").contains("10.20"));
                assert!(network.refresh(&desired).is_empty());
                assert!(ip("-n cygnet-blue route").contains("10.20"));
                ip("-n cygnet-blue link del ipsec0");
                assert!(network.refresh(&desired).is_empty());
            }
            // a crash
            drop(network);
            let mut network = Network::open(Some(&state)).unwrap();
            assert!(!ip("-n cygnet-blue link").contains("ipsec0"));
            // The name is taken there: nothing is left of it here.
            ip("-n cygnet-blue link add ipsec0 type bridge");
            let failures = network.apply(&desired);
            assert!(format!("{failures:?}").contains("ipsec0"), "{failures:?}");
            assert!(netlink.link("ipsec0").is_err());
            ip("-n cygnet-blue link del ipsec0");
            assert!(network.apply(&desired).is_empty());
            // it goes with its namespace, which is no error
            ip("netns del cygnet-blue");
            assert!(network.clear().is_empty());
            assert!(!state.exists());
        })
        .unwrap();
    drop(blue);
}

#[test]
#[ignore = "needs a kernel with tunnel interfaces: cargo xtask kernel-test"]
fn vtis_of_both_families() {
    let lab = Named::new("cygnet-links");
    lab.namespace()
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let mut network = Network::open(None).unwrap();
            let vti = |name, local: &str, remote: &str, key: u32| {
                let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
                WantedLink::new(name, LinkKind::Vti { local, remote, key_in: key, key_out: key + 1 })
            };
            let four = vti("vti4", "192.0.2.1", "192.0.2.2", 77);
            let six = vti("vti6", "2001:db8::1", "2001:db8::2", 78);
            let any = vti("any4", "192.0.2.1", "0.0.0.0", 79);
            let all = [four, six, any];
            let failures = network.apply(&links(&all));
            assert!(failures.is_empty(), "{failures:?}");
            for wanted in all {
                let link = netlink.link(&wanted.name).unwrap();
                assert_eq!((link.kind, link.up), (Some(wanted.kind), true));
                assert_eq!(netlink.tunnel(&wanted.kind).unwrap().map(|l| l.name), Some(wanted.name));
            }
            let shown = ip("-d link show vti4");
            assert!(shown.contains("ikey 0.0.0.77 okey 0.0.0.78"), "{shown}");
            ip("link add foreign type vti local 192.0.2.1 remote 192.0.2.9 key 5");
            let taken = LinkKind::Vti {
                local: "192.0.2.1".parse().unwrap(),
                remote: "192.0.2.9".parse().unwrap(),
                key_in: 5,
                key_out: 5,
            };
            let said = refused(&mut network, &WantedLink::new("mine", taken));
            assert!(said.contains("interface foreign is that already"), "{said}");
            assert!(network.clear().is_empty());
            assert!(netlink.link("vti4").is_err() && netlink.link("foreign").is_ok());
        })
        .unwrap();
}
