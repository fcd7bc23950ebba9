//! Certificates, keys and authorities: the stock swanctl loads them into our daemon as into the stock one, both list the
//! same, and our tool prints what the stock tool prints, byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/authority.rs"]
mod authority;
#[path = "lab/lab.rs"]
mod lab;

use authority::Authority;
use lab::{Daemon, Kind, Lab, Path4};
use std::path::{Path, PathBuf};
use std::process::Command;

const CONF: &str = "connections {
  c1 {
    local {
      auth = pubkey
      certs = moon.pem
    }
    remote {
      auth = pubkey
      cacerts = ca.pem, research.pem
      ca_id = \"C=CH, O=Cygnet, CN=Root\"
      revocation = strict
      cert_policy = 1.2.3.4
      groups = sales
    }
    children {
      net {
      }
    }
  }
  c2 {
    local {
      auth = ecdsa-256-sha256
      pubkeys = sun.pem
    }
    remote {
      auth = eap-mschapv2
      eap_id = %any
    }
    local-2 {
      auth = eap-ttls
      eap_id = carol
      aaa_id = \"C=CH, CN=aaa\"
    }
    remote-2 {
      auth = eap-tls:ecdsa-384
    }
  }
}
secrets {
  private-sun {
    file = locked.key
    secret = s3cret
  }
  pkcs12-moon {
    file = moon.p12
    secret = hello
  }
  eap-carol {
    id = carol
    secret = x
  }
}
authorities {
  one {
    cacert = ca.pem
    crl_uris = http://crl.example/root.crl, http://other.example/x
    ocsp_uris = http://ocsp.example/
    cert_uri_base = http://certs.example/
  }
  two {
    cacert = research.pem
  }
}
";

fn cygnet() -> PathBuf {
    let tool = Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    assert!(tool.exists(), "{} is missing: cargo build -p cli", tool.display());
    tool
}

/// What our tool prints, asked as the stock one.
fn ours(daemon: &Daemon, args: &[&str]) -> String {
    let out = Command::new(cygnet())
        .arg("swanctl")
        .args(args)
        .args(["--uri", &format!("unix://{}/vici", daemon.dir.display())])
        .env("STRONGSWAN_CONF", daemon.dir.join("strongswan.conf"))
        .env("SWANCTL_DIR", daemon.dir.join("swanctl"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", lab::both(&out));
    String::from_utf8(out.stdout).unwrap()
}

/// What the stock tool prints.
fn stock(daemon: &Daemon, args: &[&str]) -> String {
    let out = Command::new("swanctl")
        .args(args)
        .args(["--uri", &format!("unix://{}/vici", daemon.dir.display())])
        .env("STRONGSWAN_CONF", daemon.dir.join("strongswan.conf"))
        .env("SWANCTL_DIR", daemon.dir.join("swanctl"))
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", lab::both(&out));
    String::from_utf8(out.stdout).unwrap()
}

fn everything(ca: &Authority) {
    ca.intermediate("research", "ca", "--pathlen 0 --crl http://crl.example/root.crl");
    let many = "--san moon.cygnet.test --san 192.0.2.1 --san moon@cygnet.test --flag serverAuth --flag ikeIntermediate \
                --ocsp http://ocsp.example:80/ --crl http://crl.example/a.crl --cert-policy 1.2.3.4";
    ca.end("moon", "ecdsa --size 256", "research", many);
    ca.end("sun", "ed25519", "ca", "--san sun.cygnet.test");
    ca.end("ocsp", "rsa --size 2048", "ca", "--flag ocspSigning");
    ca.end("aa", "rsa --size 2048", "ca", "");
    ca.run(
        "pki --signcrl --cacert research.pem --cakey research.key --reason key-compromise --serial 1234 --lifetime 30 \
         --outform pem >crl.pem
         pki --acert --issuercert aa.pem --issuerkey aa.key --in moon.pem --group sales --group research --outform pem \
         >ac.pem
         openssl pkcs8 -topk8 -in sun.key -out locked.key -v2 aes-256-cbc -passout pass:s3cret
         openssl pkcs12 -export -in moon.pem -inkey moon.key -certfile research.pem -out moon.p12 -passout pass:hello
         mkdir raw; pki --pub --in sun.key --outform pem >raw/sun.pem",
    );
}

fn start(lab: &mut Lab, name: &str, kind: Kind, ca: &Authority) -> Daemon {
    let daemon = lab.start_with(name, kind, "");
    ca.give(
        &daemon,
        &[
            ("x509", "moon.pem"),
            ("x509ca", "ca.pem"),
            ("x509ca", "research.pem"),
            ("x509ocsp", "ocsp.pem"),
            ("x509aa", "aa.pem"),
            ("x509ac", "ac.pem"),
            ("x509crl", "crl.pem"),
            ("private", "locked.key"),
            ("ecdsa", "moon.key"),
            ("pkcs12", "moon.p12"),
        ],
    );
    std::fs::create_dir_all(daemon.dir.join("swanctl/pubkey")).unwrap();
    std::fs::copy(ca.file("raw/sun.pem"), daemon.dir.join("swanctl/pubkey/sun.pem")).unwrap();
    std::fs::write(daemon.dir.join("swanctl/swanctl.conf"), CONF).unwrap();
    daemon
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("loaded ")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_stock_tool_loads_and_both_list_the_same() {
    let mut lab = Lab::new(Path4::Direct);
    let ca = Authority::open(&lab.dir().join("ca"));
    everything(&ca);
    let charon = start(&mut lab, "cl", Kind::Charon, &ca);
    let cygnet = start(&mut lab, "gw", Kind::Cygnet, &ca);
    let said = [&charon, &cygnet].map(|daemon| {
        let said = daemon.swanctl(&["--load-all", "--noprompt"]);
        assert!(!said.contains("loading '"), "{said}\n{}", daemon.said());
        said.replace(&daemon.dir.display().to_string(), "")
    });
    assert_eq!(lines(&said[0]), lines(&said[1]));
    for args in [
        &["--list-certs"][..],
        &["--list-certs", "--short"],
        &["--list-certs", "--utc"],
        &["--list-certs", "--type", "x509", "--flag", "ca"],
        &["--list-certs", "--type", "x509_crl"],
        &["--list-certs", "--type", "x509_ac"],
        &["--list-certs", "--type", "pubkey"],
        &["--list-certs", "--type", "nonsense"],
        &["--list-certs", "--subject", "moon@cygnet.test"],
        &["--list-certs", "--subject", "C=CH, O=*, CN=*", "--type", "x509"],
        &["--list-certs", "--pem", "--type", "x509"],
        &["--list-certs", "--pem", "--type", "x509_crl"],
        &["--list-conns"],
        &["--list-authorities"],
        &["--list-authorities", "--name", "two"],
    ] {
        let (mut theirs, mut here) = (stock(&charon, args), stock(&cygnet, args));
        // The order of certificates follows that of the directories, which is each file system's own.
        let blocks = |text: &str| {
            let mut blocks: Vec<String> = text.split("\n\n").map(|block| block.trim().to_owned()).collect();
            blocks.sort();
            blocks
        };
        if args.contains(&"--pem") {
            assert_eq!(theirs.len(), here.len(), "{args:?}");
        } else {
            // Between the two questions something may have become an hour shorter.
            if blocks(&theirs) != blocks(&here) {
                (theirs, here) = (stock(&charon, args), stock(&cygnet, args));
            }
            assert_eq!(blocks(&theirs), blocks(&here), "{args:?}");
        }
        assert_eq!(ours(&cygnet, args), here, "{args:?}");
    }
    // What the directory does not have any more is unloaded: keys and secrets.
    for file in ["private/locked.key", "pkcs12/moon.p12", "ecdsa/moon.key"] {
        std::fs::remove_file(cygnet.dir.join("swanctl").join(file)).unwrap();
    }
    std::fs::write(cygnet.dir.join("swanctl/swanctl.conf"), "").unwrap();
    cygnet.swanctl(&["--load-creds", "--noprompt"]);
    assert!(!stock(&cygnet, &["--list-certs"]).contains("has private key"), "{}", cygnet.said());
    cygnet.swanctl(&["--load-creds", "--noprompt", "--clear"]);
    cygnet.swanctl(&["--load-authorities"]);
    assert_eq!(stock(&cygnet, &["--list-authorities"]), "");
}

#[test]
fn our_tool_loads_as_much() {
    let mut lab = Lab::new(Path4::Direct);
    let ca = Authority::open(&lab.dir().join("ca"));
    everything(&ca);
    let one = start(&mut lab, "gw", Kind::Cygnet, &ca);
    let two = start(&mut lab, "cl", Kind::Cygnet, &ca);
    let theirs = stock(&one, &["--load-all", "--noprompt"]).replace(&one.dir.display().to_string(), "");
    let here = ours(&two, &["--load-all", "--noprompt"]).replace(&two.dir.display().to_string(), "");
    assert_eq!(lines(&theirs), lines(&here));
    let (a, b) = (stock(&one, &["--list-certs"]), stock(&two, &["--list-certs"]));
    assert_eq!(a.matches("has private key").count(), b.matches("has private key").count(), "{a}\n{b}");
}
