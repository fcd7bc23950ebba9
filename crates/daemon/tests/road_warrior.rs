//! The main job with real packets: a road warrior gets virtual IPs and reaches the network behind the gateway,
//! ours at either end and a stock strongSwan at the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Kind, Lab, Path4};
use std::time::Duration;

/// One variant of the main job.
struct Case {
    ike: &'static str,
    esp: &'static str,
    gateway: &'static str,
    extra: &'static str,
}

const PLAIN: Case =
    Case { ike: "aes128gcm16-prfsha256-x25519", esp: "aes128gcm16", gateway: "192.0.2.1", extra: "" };

const ENCAP: Case = Case { extra: "encap = yes", ..PLAIN };

fn gateway_conf(c: &Case) -> String {
    format!(
        "connections {{
  rw {{
    local_addrs = {}
    proposals = {}
    pools = v4, v6
    {}
    local {{
      auth = psk
      id = gw.cygnet.test
    }}
    remote {{
      auth = psk
    }}
    children {{
      net {{
        local_ts = 10.1.0.0/16, fd01::/64
        esp_proposals = {}
      }}
    }}
  }}
}}
pools {{
  v4 {{
    addrs = 10.3.0.0/24
    dns = 10.1.0.10
  }}
  v6 {{
    addrs = fd03::/112
  }}
}}
secrets {{
  ike-carol {{
    id-1 = carol@cygnet.test
    secret = \"a good long secret\"
  }}
}}
",
        c.gateway, c.ike, c.extra, c.esp
    )
}

fn client_conf(c: &Case) -> String {
    format!(
        "connections {{
  home {{
    remote_addrs = {}
    proposals = {}
    vips = 0.0.0.0, ::
    {}
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
        esp_proposals = {}
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
",
        c.gateway, c.ike, c.extra, c.esp
    )
}

/// kernel-libipsec does not ask `install_routes` either: without routes no packet finds the device.
#[test]
fn routes_into_our_own_device_are_always_there() {
    let mut lab = Lab::new(Path4::Direct);
    let _gw = lab.start("gw", Kind::Charon, &gateway_conf(&ENCAP));
    let cl = lab.start_with("cl", Kind::Cygnet, "install_routes = no");
    cl.load(&client_conf(&ENCAP));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
}

/// Brings the tunnel up and sends pings of both families both ways.
fn road_warrior(path: Path4, gateway: Kind, client: Kind, case: &Case) {
    let mut lab = Lab::new(path);
    let gw = lab.start("gw", gateway, &gateway_conf(case));
    let cl = lab.start("cl", client, &client_conf(case));
    cl.initiate("home");
    let sas = cl.sas();
    assert!(sas.contains("state=ESTABLISHED") && sas.contains("state=INSTALLED"), "{sas}");
    assert!(sas.contains("local-vips=[10.3.0.1 fd03::1]"), "{sas}");
    for to in ["10.1.0.10", "fd01::10"] {
        let (ok, said) = lab.try_ping("cl", to, 5);
        assert!(
            ok,
            "{said}\n{}\n{}\n{}",
            lab.attempt("cl", "ip a; ip rule; ip route show table 220; ip -6 route show table 220").1,
            cl.said(),
            gw.said()
        );
    }
    lab.ping("lan", "10.3.0.1", 3);
    let leases = gw.swanctl(&["--list-pools", "--leases"]);
    assert!(leases.contains("carol@cygnet.test") && leases.contains("online"), "{leases}");
    if gateway == Kind::Cygnet {
        let out =
            gw.cygnet(&["leases", "v4", "--identity", "*@cygnet.test", "--online", "--format", "ipsec"]);
        let said = lab::both(&out);
        assert!(
            said.starts_with(
                "Leases in pool 'v4', usage: 1/254, 1 online\n    10.3.0.1   online   'carol@cygnet.test'"
            ),
            "{said}"
        );
    }
    cl.swanctl(&["--terminate", "--ike", "home"]);
    assert!(!cl.sas().contains("ESTABLISHED") && !gw.sas().contains("ESTABLISHED"));
    let leases = gw.swanctl(&["--list-pools", "--leases"]);
    assert!(leases.contains("offline"), "{leases}");
}

#[test]
fn ours_to_ours() {
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Cygnet, &PLAIN);
}

#[test]
fn ours_to_ours_behind_nat() {
    road_warrior(Path4::Nat, Kind::Cygnet, Kind::Cygnet, &PLAIN);
}

#[test]
fn we_initiate_stock_responds() {
    road_warrior(Path4::Direct, Kind::Charon, Kind::Cygnet, &ENCAP);
}

#[test]
fn stock_initiates_we_respond() {
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Charon, &ENCAP);
}

#[test]
fn we_initiate_behind_nat() {
    road_warrior(Path4::Nat, Kind::Charon, Kind::Cygnet, &PLAIN);
}

#[test]
fn stock_initiates_behind_nat() {
    road_warrior(Path4::Nat, Kind::Cygnet, Kind::Charon, &PLAIN);
}

/// Proposals with both roles each.
fn both_roles(ike: &'static str, esp: &'static str) {
    let case = Case { ike, esp, extra: "encap = yes", ..PLAIN };
    road_warrior(Path4::Direct, Kind::Charon, Kind::Cygnet, &case);
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Charon, &case);
}

#[test]
fn aes_cbc_with_hmac() {
    both_roles("aes256-sha384-ecp384", "aes256-sha256");
}

#[test]
fn chacha20_poly1305() {
    both_roles("chacha20poly1305-prfsha256-x25519", "chacha20poly1305");
}

#[test]
fn modp_and_sha1_era() {
    both_roles("aes128-sha1-modp2048", "aes128-sha1");
}

#[test]
fn default_proposals() {
    both_roles("default", "default");
}

#[test]
fn over_ipv6() {
    let case = Case { gateway: "2001:db8::1", extra: "encap = yes", ..PLAIN };
    road_warrior(Path4::Direct, Kind::Charon, Kind::Cygnet, &case);
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Charon, &case);
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Cygnet, &Case { gateway: "2001:db8::1", ..PLAIN });
}

#[test]
fn fragmentation_forced() {
    let case = Case { extra: "fragmentation = force\n    encap = yes", ..PLAIN };
    road_warrior(Path4::Direct, Kind::Charon, Kind::Cygnet, &case);
    road_warrior(Path4::Direct, Kind::Cygnet, Kind::Charon, &case);
}

/// Rekeys in every way while a ping every 10 ms loses nothing.
fn rekey_under_ping(gateway: Kind, client: Kind) {
    let mut lab = Lab::new(Path4::Direct);
    let case = Case { extra: "encap = yes", esp: "aes128gcm16-x25519", ..PLAIN };
    let gw = lab.start("gw", gateway, &gateway_conf(&case));
    let cl = lab.start("cl", client, &client_conf(&case));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
    let ping = lab.spawn("cl", &["ping", "-n", "-q", "-i", "0.01", "-c", "600", "-w", "12", "10.1.0.10"]);
    let pause = Duration::from_millis(500);
    for _ in 0..2 {
        cl.swanctl(&["--rekey", "--child", "home"]);
        std::thread::sleep(pause);
        gw.swanctl(&["--rekey", "--child", "net"]);
        std::thread::sleep(pause);
        cl.swanctl(&["--rekey", "--ike", "home"]);
        std::thread::sleep(pause);
        gw.swanctl(&["--rekey", "--ike", "rw"]);
        std::thread::sleep(pause);
    }
    let said = lab::both(&ping.wait_with_output().unwrap());
    assert!(said.contains(" 0% packet loss"), "{said}\n{}\n{}", cl.said(), gw.said());
    for d in [&cl, &gw] {
        let sas = d.sas();
        assert_eq!(sas.matches("state=ESTABLISHED").count(), 1, "{sas}\n{}", d.said());
        assert!(
            lab::wait_for(Duration::from_secs(8), || d.sas().matches("state=INSTALLED").count() == 1),
            "{}\n{}",
            d.sas(),
            d.said()
        );
    }
    lab.ping("cl", "fd01::10", 3);
}

#[test]
fn rekeying_loses_nothing_ours() {
    rekey_under_ping(Kind::Cygnet, Kind::Cygnet);
}

#[test]
fn rekeying_loses_nothing_we_initiate() {
    rekey_under_ping(Kind::Charon, Kind::Cygnet);
}

#[test]
fn rekeying_loses_nothing_stock_initiates() {
    rekey_under_ping(Kind::Cygnet, Kind::Charon);
}

/// A dead peer is noticed; `dpd_action = clear` removes the SA, `restart` tries anew.
#[test]
fn dead_peer_is_noticed() {
    for client in [Kind::Cygnet] {
        for gateway in [Kind::Cygnet, Kind::Charon] {
            let mut lab = Lab::new(Path4::Direct);
            let case = Case { extra: "encap = yes\n    dpd_delay = 1s", ..PLAIN };
            let gw = lab.start("gw", gateway, &gateway_conf(&case));
            let cl = lab.start_with("cl", client, "retransmit_timeout = 0.2\n  retransmit_tries = 3");
            cl.load(&client_conf(&case));
            cl.initiate("home");
            lab.exec("gw", "ip link set wan down");
            let gone = lab::wait_for(Duration::from_secs(15), || !cl.sas().contains("ESTABLISHED"));
            assert!(gone, "{}\n{}\n{}", cl.sas(), cl.said(), gw.said());
            assert!(cl.logged("giving up after 3 retransmits", Duration::from_secs(1)), "{}", cl.said());
        }
    }
}

/// A wrong PSK: AUTHENTICATION_FAILED on the wire and a line that says which keys did not match.
#[test]
fn wrong_psk_is_told() {
    for (gateway, client) in
        [(Kind::Cygnet, Kind::Charon), (Kind::Charon, Kind::Cygnet), (Kind::Cygnet, Kind::Cygnet)]
    {
        let mut lab = Lab::new(Path4::Direct);
        let gw = lab.start("gw", gateway, &gateway_conf(&PLAIN));
        let cl =
            lab.start("cl", client, &client_conf(&PLAIN).replace("a good long secret", "another secret"));
        let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
        assert!(!ok);
        assert!(
            cl.logged("received AUTHENTICATION_FAILED notify error", Duration::from_secs(2)),
            "{}",
            cl.said()
        );
        let line = "tried 1 shared key for 'gw.cygnet.test' - 'carol@cygnet.test', but MAC mismatched";
        assert!(gw.logged(line, Duration::from_secs(2)), "{}", gw.said());
    }
}

/// No proposal in common: NO_PROPOSAL_CHOSEN, and our log says what each side offered.
#[test]
fn no_common_proposal_is_told() {
    for (gateway, client) in [(Kind::Cygnet, Kind::Charon), (Kind::Charon, Kind::Cygnet)] {
        let mut lab = Lab::new(Path4::Direct);
        let gw = lab.start("gw", gateway, &gateway_conf(&PLAIN));
        let cl = lab.start("cl", client, &client_conf(&Case { ike: "aes256-sha512-ecp521", ..PLAIN }));
        let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
        assert!(!ok);
        assert!(
            cl.logged("received NO_PROPOSAL_CHOSEN notify error", Duration::from_secs(2)),
            "{}",
            cl.said()
        );
        for line in [
            "received proposals: IKE:AES_CBC_256/HMAC_SHA2_512_256",
            "configured proposals: IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE_25519",
        ] {
            assert!(gw.logged(line, Duration::from_secs(2)), "{line}\n{}", gw.said());
        }
    }
}

/// Several CHILD_SAs on one IKE_SA, each with its own selectors.
#[test]
fn several_children() {
    for (gateway, client) in [(Kind::Charon, Kind::Cygnet), (Kind::Cygnet, Kind::Charon)] {
        let mut lab = Lab::new(Path4::Direct);
        lab.exec("lan", "ip addr add 10.2.0.10/16 dev eth");
        lab.exec("gw", "ip addr add 10.2.0.1/16 dev lan");
        let case = Case { extra: "encap = yes", ..PLAIN };
        let second = |conf: String, side: &str| {
            conf.replacen("children {", &format!("children {{\n      two {{\n        {side} = 10.2.0.0/16\n        esp_proposals = aes256gcm16-x25519\n      }}"), 1)
        };
        let gw = lab.start("gw", gateway, &second(gateway_conf(&case), "local_ts"));
        let cl = lab.start("cl", client, &second(client_conf(&case), "remote_ts"));
        cl.initiate("home");
        cl.initiate("two");
        lab.ping("cl", "10.1.0.10", 3);
        let (ok, said) = lab.try_ping("cl", "10.2.0.10", 3);
        assert!(ok, "{said}\n{}\n{}", cl.said(), gw.said());
        assert_eq!(cl.sas().matches("state=ESTABLISHED").count(), 1);
        cl.swanctl(&["--terminate", "--child", "two"]);
        assert!(!cl.sas().contains("two-"), "{}", cl.sas());
        lab.ping("cl", "10.1.0.10", 3);
    }
}

/// Transport mode, host to host, in each role.
#[test]
fn transport_mode() {
    let conf = |local: &str, remote: &str| {
        format!(
            "connections {{
  hosts {{
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes128gcm16-prfsha256-x25519
    encap = yes
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
    }}
    children {{
      hosts {{
        mode = transport
        esp_proposals = aes128gcm16
      }}
    }}
  }}
}}
secrets {{
  ike-hosts {{
    secret = 0sc2VjcmV0IGluIGJhc2U2NA==
  }}
}}
"
        )
    };
    // kernel-libipsec has no transport mode: both ends are ours.
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start("gw", Kind::Cygnet, &conf("192.0.2.1", "192.0.2.2"));
    let cl = lab.start("cl", Kind::Cygnet, &conf("192.0.2.2", "192.0.2.1"));
    cl.initiate("hosts");
    assert!(cl.sas().contains("mode=TRANSPORT"), "{}", cl.sas());
    let (ok, said) = lab.try_ping("cl", "192.0.2.1", 5);
    assert!(ok, "{said}\n{}\n{}", cl.said(), gw.said());
    let sas = gw.sas();
    assert!(sas.contains("packets-in=5") && sas.contains("packets-out=5"), "{sas}");
}
