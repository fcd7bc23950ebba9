//! How certificates reach the other end, or do not have to: by hash and URL, known already, not at all with EAP only;
//! and CRLs that build on one another. A stock strongSwan is at the other end.
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
#[path = "lab/pair.rs"]
mod pair;

use authority::Authority;
use lab::{Daemon, Kind};
use pair::{CAROL, MOON, Pair, ROLES, SOON, TO_CAROL, TO_MOON, client, gateway};
use std::process::Child;

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The authority's files on port 8080 of one end's loopback and outer address.
fn web(pair: &Pair, ca: &Authority, end: &str) -> Server {
    let dir = ca.file("").display().to_string();
    let child = pair.lab.spawn(end, &["python3", "-m", "http.server", "8080", "-d", &dir]);
    assert!(lab::wait_for(SOON, || pair.lab.exec(end, "ss -Hltn").contains(":8080 ")), "no web server");
    Server(child)
}

/// Moon and Carol with keys and certificates.
fn meet(pair: &Pair, moon: &str, carol: &str) -> Authority {
    let ca = pair.authority();
    ca.end("moon", "ecdsa --size 256", "ca", &format!("--san moon.cygnet.test {moon}"));
    ca.end("carol", "ecdsa --size 256", "ca", &format!("--san carol@cygnet.test {carol}"));
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
    ca
}

/// A setting of the connection.
fn with(conf: &str, setting: &str) -> String {
    conf.replacen("version = 2", &format!("version = 2\n    {setting}"), 1)
}

#[test]
fn hash_and_url() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "hash_and_url = yes");
        let ca = meet(&pair, "", "");
        // Each end fetches the other's certificate from its own address: not through the tunnel.
        let _servers = [web(&pair, &ca, "gw"), web(&pair, &ca, "cl")];
        for name in ["moon", "carol"] {
            ca.run(&format!(
                "openssl x509 -in {name}.pem -outform der -out {name}.der
                 cp {name}.der $(sha1sum {name}.der | cut -d\" \" -f1)"
            ));
        }
        let base = "authorities {\n  one {\n    cacert = ca.pem\n    cert_uri_base = http://127.0.0.1:8080/\n  }\n}\n";
        pair.load(&(gateway(MOON, TO_CAROL) + base), &(client(CAROL, TO_MOON) + base));
        pair.works();
        for daemon in [&pair.gw, &pair.cl] {
            assert!(
                daemon.logged("fetching certificate from 'http://127.0.0.1:8080/", SOON),
                "{}",
                daemon.said()
            );
        }
        // The certificate behind the URL is the one that counts: with Mallory's there it is not Carol.
        let hash = ca.run("sha1sum carol.der | cut -d\" \" -f1").trim().to_owned();
        ca.run(&format!("cp moon.der {hash}"));
        pair.gw.swanctl(&["--flush-certs"]);
        pair.fails();
    }
}

#[test]
fn never_sent_but_known() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let ca = meet(&pair, "", "");
        let never = |conf: &str| with(conf, "send_cert = never");
        // Unknown certificates are missed,
        pair.load(&never(&gateway(MOON, TO_CAROL)), &never(&client(CAROL, TO_MOON)));
        pair.fails();
        // known ones are not.
        ca.give(&pair.gw, &[("x509", "carol.pem")]);
        ca.give(&pair.cl, &[("x509", "moon.pem")]);
        pair.load(&never(&gateway(MOON, TO_CAROL)), &never(&client(CAROL, TO_MOON)));
        pair.works();
        for daemon in [&pair.gw, &pair.cl] {
            assert_eq!(daemon.count_logged("received end entity cert"), 0, "{}", daemon.said());
        }
    }
}

#[test]
fn eap_only() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let _ca = meet(&pair, "", "");
        let moon = "auth = eap-tls\n certs = moon.pem\n id = moon.cygnet.test";
        let carol = "auth = eap-tls\n certs = carol.pem\n id = carol@cygnet.test";
        pair.load(
            &gateway(moon, "auth = eap-tls\n id = carol@cygnet.test"),
            &client(carol, "auth = eap-tls\n id = moon.cygnet.test"),
        );
        pair.works();
        assert!(pair.gw.logged("N(EAP_ONLY)", SOON), "{}", pair.gw.said());
        // A client that wants a signature of the gateway does not get one and refuses.
        pair.load(&gateway(moon, "auth = eap-tls\n id = carol@cygnet.test"), &client(carol, TO_MOON));
        pair.fails();
    }
}

fn kept(daemon: &Daemon) -> Vec<Vec<u8>> {
    std::fs::read_dir(daemon.dir.join("swanctl/x509crl"))
        .into_iter()
        .flatten()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn crls_are_kept_and_deltas_count() {
    let pair = Pair::with_environment([Kind::Cygnet, Kind::Charon], ["cache_crls = yes", ""], &[]);
    let ca = meet(&pair, "", "--crl http://127.0.0.1:8080/base.crl");
    let server = web(&pair, &ca, "gw");
    let sign = "pki --signcrl --cacert ca.pem --cakey ca.key --lifetime 30";
    ca.run(&format!(
        "{sign} --crluri http://127.0.0.1:8080/delta.crl >base.crl; {sign} --lastcrl base.crl --basecrl base.crl >delta.crl"
    ));
    let strict = format!("{TO_CAROL}\n revocation = strict");
    pair.load(&gateway(MOON, &strict), &client(CAROL, TO_MOON));
    pair.works();
    assert!(
        pair.gw.logged("fetching crl from 'http://127.0.0.1:8080/delta.crl'", SOON),
        "{}",
        pair.gw.said()
    );
    let base = std::fs::read(ca.file("base.crl")).unwrap();
    assert!(kept(&pair.gw).contains(&base), "{}", pair.gw.said());

    // What is kept serves when nobody answers.
    drop(server);
    pair.gw.swanctl(&["--flush-certs"]);
    pair.load(&gateway(MOON, &strict), &client(CAROL, TO_MOON));
    pair.works();

    // Revoked since, and only the delta knows.
    ca.run(&format!(
        "{sign} --lastcrl base.crl --basecrl base.crl --reason key-compromise --cert carol.pem >new.crl; mv new.crl delta.crl"
    ));
    let _server = web(&pair, &ca, "gw");
    std::fs::remove_dir_all(pair.gw.dir.join("swanctl/x509crl")).unwrap();
    pair.gw.swanctl(&["--flush-certs"]);
    pair.gw.swanctl(&["--load-creds", "--noprompt", "--clear"]);
    let alerts = pair.alerts();
    pair.fails();
    assert_eq!(alerts.one("cert-revoked").certificate, authority::dn("carol"));
}
