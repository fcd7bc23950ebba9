//! The `pool` tool changes a database of pools while the daemon leases from it.
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

use lab::{Daemon, Kind, Lab, Path4, both};

const GATEWAY: &str = "\
connections {
  rw {
    local_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    pools = office
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
        esp_proposals = aes128gcm16
      }
    }
  }
}
secrets {
  ike-carol {
    id-1 = carol@cygnet.test
    secret = \"a good long secret\"
  }
}
";

const CLIENT: &str = "\
connections {
  home {
    remote_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    vips = 0.0.0.0
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
        esp_proposals = aes128gcm16
      }
    }
  }
}
secrets {
  ike-carol {
    id-1 = carol@cygnet.test
    secret = \"a good long secret\"
  }
}
";

fn pool(gw: &Daemon, line: &str) -> String {
    let words: Vec<&str> = std::iter::once("pool").chain(line.split(' ')).collect();
    let out = gw.cygnet(&words);
    assert!(out.status.success(), "pool {line}: {}", both(&out));
    both(&out)
}

fn shown(gw: &Daemon, words: &[&str]) -> String {
    let out = gw.cygnet(words);
    assert!(out.status.success(), "{words:?}: {}\n{}", both(&out), gw.said());
    both(&out)
}

#[test]
fn a_pool_that_is_added_serves_at_once() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = format!(
        "  plugins {{\n    attr-sql {{\n      database = sqlite://{}/ipsec.db\n    }}\n  }}\n",
        lab.dir().display()
    );
    std::fs::write(lab.dir().join("strongswan.conf"), format!("charon-systemd {{\n{settings}}}\n")).unwrap();
    let init = std::process::Command::new(
        std::path::Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet"),
    )
    .args(["pool", "--init"])
    .env("STRONGSWAN_CONF", lab.dir().join("strongswan.conf"))
    .output()
    .unwrap();
    assert!(init.status.success(), "{}", both(&init));
    let gw = lab.start_with("gw", Kind::Cygnet, &settings);
    gw.load(GATEWAY);
    let cl = lab.start("cl", Kind::Charon, CLIENT);
    let (up, said) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
    assert!(!up, "there is no pool yet\n{said}");
    cl.swanctl(&["--terminate", "--ike", "home"]);

    pool(&gw, "--add office --start 10.3.0.1 --end 10.3.0.9 --timeout 48");
    pool(&gw, "--addattr dns --server 10.1.0.53 --pool office");
    // The daemon reads the names of pools once a second at most.
    let got = lab::wait_for(std::time::Duration::from_secs(5), || {
        let (up, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
        if !up {
            cl.swanctl(&["--terminate", "--ike", "home"]);
        }
        up
    });
    assert!(got && cl.sas().contains("local-vips=[10.3.0.1]"), "{}\n{}", cl.sas(), gw.said());
    assert!(cl.said().contains("10.1.0.53"), "{}", cl.said());
    let leases = shown(&gw, &["leases", "office", "--online"]);
    let line = leases.lines().nth(1).unwrap_or_default();
    assert!(
        line.starts_with("10.3.0.1  carol@cygnet.test  online ") && line.ends_with(" attr-sql"),
        "{leases}"
    );
    let status = pool(&gw, "--status");
    assert!(status.contains("48h     9  1 (11%)  1 (11%)"), "{status}");
    assert!(pool(&gw, "--leases office --filter status=online").contains("carol@cygnet.test"));
    // The stock tool sees the pools in memory only: what it lists and does not know it would unload.
    assert_eq!(gw.swanctl(&["--list-pools"]), "");

    cl.swanctl(&["--terminate", "--ike", "home"]);
    let offline = || shown(&gw, &["leases", "office", "--offline"]);
    assert!(
        lab::wait_for(std::time::Duration::from_secs(5), || offline().contains(" in 1d 23h ")),
        "{}",
        offline()
    );
    assert!(pool(&gw, "--leases office --filter status=valid").contains("carol@cygnet.test"));
}
