//! Post-quantum pre-shared keys (RFC 8784) with a stock strongSwan at the other end.
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

use lab::{Daemon, Kind, Lab, Path4};
use std::time::Duration;

/// One side: `ppk_id` and `ppk_required` lines, and its PPK if any.
struct Side {
    lines: &'static str,
    ppk: Option<(&'static str, &'static str)>,
}

fn conf(side: &Side, connection: &str, ids: [&str; 2], child: &str) -> String {
    let ppk = side.ppk.map_or_else(String::new, |(who, secret)| {
        format!("  ppk-{who} {{\n    id = ppk-{who}@cygnet.test\n    secret = {secret}\n  }}\n")
    });
    format!(
        "connections {{
  c {{
    {connection}
    version = 2
    proposals = aes128-sha256-x25519
    {}
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
        {child}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
pools {{
  v4 {{
    addrs = 10.3.0.0/24
  }}
}}
secrets {{
  ike {{
    secret = \"a good long secret\"
  }}
{ppk}}}
",
        side.lines, ids[0], ids[1]
    )
}

/// Both daemons with their configurations, nothing initiated.
fn pair(kinds: [Kind; 2], gateway: &Side, client: &Side) -> (Lab, Daemon, Daemon) {
    let mut lab = Lab::new(Path4::Direct);
    let (gw_id, cl_id) = ("gw.cygnet.test", "carol@cygnet.test");
    let text =
        conf(gateway, "local_addrs = 192.0.2.1\n    pools = v4", [gw_id, cl_id], "local_ts = 10.1.0.0/16");
    let gw = lab.start("gw", kinds[0], &text);
    let text = conf(
        client,
        "remote_addrs = 192.0.2.1\n    vips = 0.0.0.0",
        [cl_id, gw_id],
        "remote_ts = 10.1.0.0/16",
    );
    let cl = lab.start("cl", kinds[1], &text);
    (lab, gw, cl)
}

const MIXED: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];
const PPK: &str = "0x98c61dd0f8c7daf07759617546f7b3ae156f19a7bc935c61523c7ca998e5eedb";

#[test]
fn a_ppk_is_mixed_in_and_survives_rekeying() {
    for kinds in MIXED {
        let gateway =
            Side { lines: "ppk_id = *@cygnet.test\n    ppk_required = yes", ppk: Some(("carol", PPK)) };
        let client = Side { lines: "ppk_id = ppk-carol@cygnet.test", ppk: Some(("carol", PPK)) };
        let (lab, gw, cl) = pair(kinds, &gateway, &client);
        let (up, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
        assert!(up, "{said}\n{}", gw.said());
        lab.ping("cl", "10.1.0.10", 3);
        for d in [&gw, &cl] {
            assert!(d.sas().contains("ppk=yes"), "{}\n{}", d.sas(), d.said());
            assert!(d.logged("using PPK for PPK_ID 'ppk-carol@cygnet.test'", Duration::ZERO), "{}", d.said());
        }
        cl.swanctl(&["--rekey", "--ike", "c"]);
        assert!(cl.logged("c[2] rekeyed", Duration::from_secs(5)), "{}", cl.said());
        cl.swanctl(&["--rekey", "--child", "net"]);
        assert!(cl.logged("net{2} established", Duration::from_secs(5)), "{}", cl.said());
        for d in [&gw, &cl] {
            assert!(d.sas().contains("ppk=yes"), "{}\n{}", d.sas(), d.said());
        }
        lab.ping("cl", "10.1.0.10", 3);
    }
}

#[test]
fn where_none_is_required_they_do_without() {
    for kinds in MIXED {
        let gateway = Side { lines: "ppk_id = *@cygnet.test", ppk: Some(("dave", PPK)) };
        let client = Side { lines: "ppk_id = ppk-carol@cygnet.test", ppk: Some(("carol", PPK)) };
        let (lab, gw, cl) = pair(kinds, &gateway, &client);
        let (up, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
        assert!(up, "{said}\n{}", gw.said());
        lab.ping("cl", "10.1.0.10", 3);
        assert!(!gw.sas().contains("ppk=yes") && !cl.sas().contains("ppk=yes"));
        assert!(gw.logged("no PPK available, using NO_PPK_AUTH notify", Duration::ZERO), "{}", gw.said());
        let said = "peer didn't use PPK for PPK_ID 'ppk-carol@cygnet.test'";
        assert!(cl.logged(said, Duration::ZERO), "{}", cl.said());
    }
}

#[test]
fn a_wrong_or_missing_ppk_is_refused() {
    let required = "ppk_id = ppk-carol@cygnet.test\n    ppk_required = yes";
    for kinds in MIXED {
        for (gateway, client) in [
            (
                Side { lines: required, ppk: Some(("carol", PPK)) },
                Side { lines: required, ppk: Some(("carol", "0x0102")) },
            ),
            (Side { lines: required, ppk: Some(("carol", PPK)) }, Side { lines: "", ppk: None }),
            (Side { lines: "", ppk: None }, Side { lines: required, ppk: Some(("carol", PPK)) }),
            (
                Side { lines: required, ppk: None },
                Side { lines: "ppk_id = ppk-carol@cygnet.test", ppk: Some(("carol", PPK)) },
            ),
        ] {
            let (_lab, gw, cl) = pair(kinds, &gateway, &client);
            let (up, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
            assert!(!up, "{said}\n{}", gw.said());
            assert!(!gw.sas().contains("ESTABLISHED") && !cl.sas().contains("ESTABLISHED"));
        }
    }
}

#[test]
fn a_gateway_without_ppk_id_takes_any_that_it_has() {
    for kinds in MIXED {
        let gateway = Side { lines: "", ppk: Some(("carol", PPK)) };
        let client = Side { lines: "ppk_id = ppk-carol@cygnet.test", ppk: Some(("carol", PPK)) };
        let (_lab, gw, cl) = pair(kinds, &gateway, &client);
        let (up, said) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
        assert!(up, "{said}\n{}", gw.said());
        assert!(gw.sas().contains("ppk=yes") && cl.sas().contains("ppk=yes"), "{kinds:?} {}", gw.said());
    }
}
