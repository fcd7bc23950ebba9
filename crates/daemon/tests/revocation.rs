//! Revocation with a stock strongSwan at the other end: CRLs from a web server, OCSP from openssl's responder. And what
//! else is wrong with certificates: the log and the alert say which and why, the peer only that it failed.
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
use lab::{Kind, Lab, wait_for};
use pair::{CAROL, MOON, Pair, SOON, TO_CAROL, TO_MOON, client, gateway};
use std::process::Child;
use std::time::Duration;

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A web server at the gateway for the authority's files.
fn web(lab: &Lab, ca: &Authority) -> Server {
    let dir = ca.file("").display().to_string();
    let child = lab.spawn("gw", &["python3", "-m", "http.server", "8080", "--bind", "192.0.2.1", "-d", &dir]);
    let up = || {
        lab.attempt("gw", "python3 -c \"import socket; socket.create_connection((\\\"192.0.2.1\\\", 8080))\"")
            .0
    };
    assert!(wait_for(Duration::from_secs(10), up), "no web server");
    Server(child)
}

fn sign_crl(ca: &Authority, more: &str) {
    ca.run(&format!(
        "pki --signcrl --cacert ca.pem --cakey ca.key --lifetime 30 {more} >new.crl; mv new.crl ca.crl"
    ));
}

const CRL: &str = "--crl http://192.0.2.1:8080/ca.crl";

#[test]
fn crls_over_http() {
    let pair = Pair::new([Kind::Cygnet, Kind::Charon], "");
    let ca = pair.authority();
    let server = web(&pair.lab, &ca);
    ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test");
    ca.end("carol", "ecdsa --size 256", "ca", &format!("--san carol@cygnet.test {CRL}"));
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
    sign_crl(&ca, "");
    let strict = format!("{TO_CAROL}\n revocation = strict");
    pair.load(&gateway(MOON, &strict), &client(CAROL, TO_MOON));
    pair.works();
    assert!(pair.gw.logged("certificate status is good", SOON), "{}", pair.gw.said());
    assert!(pair.gw.swanctl(&["--list-certs", "--type", "x509_crl", "--raw"]).contains("type=X509_CRL"));
    // What is fetched is used until it is flushed or old.
    let fetched = pair.gw.count_logged("fetching crl from");
    pair.works();
    assert_eq!(pair.gw.count_logged("fetching crl from"), fetched, "{}", pair.gw.said());

    sign_crl(&ca, "--reason key-compromise --cert carol.pem");
    pair.gw.swanctl(&["--flush-certs"]);
    let alerts = pair.alerts();
    pair.fails();
    let said = alerts.wait_for("cert-revoked");
    assert!(said.contains("CN=carol"), "{said}");
    assert!(pair.gw.logged("certificate was revoked on", SOON), "{}", pair.gw.said());
    assert!(pair.cl.logged("received AUTHENTICATION_FAILED", SOON), "{}", pair.cl.said());

    // Nobody answers: strict refuses, relaxed does not.
    drop(server);
    pair.gw.swanctl(&["--flush-certs"]);
    pair.fails();
    pair.gw.load(&gateway(MOON, TO_CAROL));
    pair.works();
}

#[test]
fn ocsp_by_openssl() {
    let pair = Pair::new([Kind::Cygnet, Kind::Charon], "");
    let ca = pair.authority();
    ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test");
    ca.end("carol", "ecdsa --size 256", "ca", "--san carol@cygnet.test --ocsp http://192.0.2.1:8081/");
    ca.end("ocsp", "rsa --size 2048", "ca", "--flag ocspSigning");
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
    let serial = ca.run("openssl x509 -in carol.pem -noout -serial").trim().replace("serial=", "");
    let index = |status: &str| {
        let revoked = if status == "R" { "260101000000Z,keyCompromise" } else { "" };
        std::fs::write(
            ca.file("index.txt"),
            format!("{status}\t491231235959Z\t{revoked}\t{serial}\tunknown\t/C=CH/O=Cygnet/CN=carol\n"),
        )
        .unwrap();
    };
    let responder = || {
        let file = |name: &str| ca.file(name).display().to_string();
        let args = [
            "openssl",
            "ocsp",
            "-port",
            "8081",
            "-index",
            &file("index.txt"),
            "-CA",
            &file("ca.pem"),
            "-rsigner",
            &file("ocsp.pem"),
            "-rkey",
            &file("ocsp.key"),
            "-nmin",
            "5",
        ];
        let server = Server(pair.lab.spawn("gw", &args));
        // Connecting would occupy it: it serves one client after the other, and this one would say nothing.
        let up = || pair.lab.exec("gw", "ss -Hltn").contains(":8081 ");
        assert!(wait_for(Duration::from_secs(10), up), "no responder");
        server
    };
    index("V");
    let good = responder();
    pair.load(&gateway(MOON, &format!("{TO_CAROL}\n revocation = strict")), &client(CAROL, TO_MOON));
    pair.works();
    assert!(
        pair.gw.logged("requesting ocsp status from 'http://192.0.2.1:8081/'", SOON),
        "{}",
        pair.gw.said()
    );
    assert!(pair.gw.swanctl(&["--list-certs", "--type", "ocsp_response", "--raw"]).contains("OCSP_RESPONSE"));
    drop(good);
    index("R");
    let _bad = responder();
    pair.gw.swanctl(&["--flush-certs"]);
    let alerts = pair.alerts();
    pair.fails();
    alerts.wait_for("cert-revoked");
}

#[test]
fn what_is_wrong_is_told_here_and_not_there() {
    let pair = Pair::new([Kind::Cygnet, Kind::Charon], "");
    let ca = pair.authority();
    ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test");
    let san = "--san carol@cygnet.test";
    ca.key("carol", "ecdsa --size 256");
    // Another root that the gateway does not know.
    ca.key("mallory", "rsa --size 2048");
    ca.run("pki --self --ca --in mallory.key --dn \"C=CH, O=Evil, CN=Root\" --outform pem >mallory.pem");
    // A CA that must not have others below it, and one below it.
    ca.intermediate("research", "ca", "--pathlen 0");
    ca.intermediate("deep", "research", "");
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("private", "carol.key"), ("x509ca", "ca.pem")]);
    for (what, issuer, options, alert, words) in [
        (
            "expired",
            "ca",
            format!("{san} --not-before \"01.01.20 00:00:00\" --not-after \"01.01.21 00:00:00\""),
            "cert-expired",
            "invalid (valid from",
        ),
        (
            "not yet valid",
            "ca",
            format!("{san} --not-before \"01.01.40 00:00:00\" --not-after \"01.01.41 00:00:00\""),
            "cert-expired",
            "invalid (valid from",
        ),
        (
            "wrong usage",
            "ca",
            format!("{san} --flag ocspSigning"),
            "cert-validation-failed",
            "extendedKeyUsage",
        ),
        ("wrong name", "ca", "--san dave@cygnet.test".into(), "peer-auth-failed", "carol@cygnet.test"),
        ("unknown issuer", "mallory", san.into(), "cert-no-issuer", "no issuer certificate found"),
        ("too long", "deep", san.into(), "cert-exceeded-path-len", "path"),
    ] {
        eprintln!("{what}");
        ca.issue("carol", issuer, &options);
        ca.give(&pair.cl, &[("x509", "carol.pem")]);
        if issuer == "deep" {
            ca.give(&pair.cl, &[("x509ca", "research.pem"), ("x509ca", "deep.pem")]);
        }
        let alerts = pair.alerts();
        pair.load(&gateway(MOON, TO_CAROL), &client(CAROL, TO_MOON));
        // The client sends what it has, whatever its own opinion.
        pair.fails();
        let said = alerts.one(alert);
        assert!(pair.gw.logged(words, SOON), "{what}: {said:?}\n{}", pair.gw.said());
        let blamed = if what == "too long" { "research" } else { "carol" };
        assert_eq!(said.certificate, authority::dn(blamed), "{what}: {said:?}");
        assert!(pair.cl.logged("received AUTHENTICATION_FAILED", SOON), "{what}\n{}", pair.cl.said());
    }
}
