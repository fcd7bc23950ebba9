//! Our client against a stock strongSwan gateway whose certificate is bad: log and alert say which certificate and
//! which rule; the gateway learns only that authentication failed.
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

use authority::{Authority, dn};
use lab::{Kind, sh};
use pair::{CAROL, MOON, Pair, SOON, TO_CAROL, TO_MOON, client, gateway};

const PAST: &str = "--not-before \"01.01.20 00:00:00\" --not-after \"01.01.21 00:00:00\"";
const FUTURE: &str = "--not-before \"01.01.40 00:00:00\" --not-after \"01.01.41 00:00:00\"";
const SAN: &str = "--san moon.cygnet.test";

/// Carol as client of ours; an authority with another root, and one CA too many below another.
fn meet() -> (Pair, Authority) {
    let pair = Pair::new([Kind::Charon, Kind::Cygnet], "");
    let ca = pair.authority();
    ca.end("carol", "ecdsa --size 256", "ca", "--san carol@cygnet.test");
    ca.key("moon", "ecdsa --size 256");
    ca.key("mallory", "rsa --size 2048");
    ca.run("pki --self --ca --in mallory.key --dn \"C=CH, O=Evil, CN=Root\" --outform pem >mallory.pem");
    ca.intermediate("research", "ca", "--pathlen 0");
    ca.intermediate("deep", "research", "");
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.gw, &[("private", "moon.key"), ("x509ca", "ca.pem")]);
    (pair, ca)
}

/// The gateway gets this certificate; our client refuses it with that alert, certificate and reason.
fn refuses(pair: &Pair, ca: &Authority, issuer: &str, options: &str, expected: [&str; 3]) {
    let [kind, certificate, reason] = expected;
    ca.issue("moon", issuer, options);
    ca.give(&pair.gw, &[("x509", "moon.pem")]);
    if issuer == "deep" {
        ca.give(&pair.gw, &[("x509ca", "research.pem"), ("x509ca", "deep.pem")]);
    }
    pair.gw.swanctl(&["--flush-certs"]);
    sh(&format!(": >{}", pair.cl.file("log").display()));
    let told = pair.gw.count_logged("[ N(AUTH_FAILED) ]");
    let alerts = pair.alerts();
    pair.load(&gateway(MOON, TO_CAROL), &client(CAROL, TO_MOON));
    pair.fails();
    let alert = alerts.one(kind);
    assert_eq!(alert.certificate, certificate, "{alert:?}");
    assert!(alert.reason.contains(reason), "{alert:?}");
    assert!(pair.cl.logged(reason, SOON), "{}", pair.cl.said());
    // One INFORMATIONAL with one notify: nothing about why.
    assert!(
        lab::wait_for(SOON, || pair.gw.count_logged("[ N(AUTH_FAILED) ]") == told + 1),
        "{}",
        pair.gw.said()
    );
}

#[test]
fn validity_and_names() {
    let (pair, ca) = meet();
    refuses(&pair, &ca, "ca", &format!("{SAN} {PAST}"), ["cert-expired", &dn("moon"), "valid from"]);
    refuses(&pair, &ca, "ca", &format!("{SAN} {FUTURE}"), ["cert-expired", &dn("moon"), "valid from"]);
    refuses(&pair, &ca, "ca", "--san sun.cygnet.test", ["peer-auth-failed", &dn("moon"), "moon.cygnet.test"]);
}

#[test]
fn chains() {
    let (pair, ca) = meet();
    refuses(&pair, &ca, "mallory", SAN, ["cert-no-issuer", &dn("moon"), "no issuer certificate found"]);
    refuses(&pair, &ca, "deep", SAN, ["cert-exceeded-path-len", &dn("research"), "path"]);
}

#[test]
fn revoked_by_a_crl_over_http() {
    let (pair, ca) = meet();
    // In the client's own namespace: it must not depend on the tunnel.
    let dir = ca.file("").display().to_string();
    let mut server =
        pair.lab.spawn("cl", &["python3", "-m", "http.server", "8080", "--bind", "192.0.2.2", "-d", &dir]);
    assert!(lab::wait_for(SOON, || pair.lab.exec("cl", "ss -Hltn").contains(":8080 ")), "no web server");
    let options = format!("{SAN} --crl http://192.0.2.2:8080/ca.crl");
    ca.issue("moon", "ca", &options);
    ca.give(&pair.gw, &[("x509", "moon.pem")]);
    ca.run("pki --signcrl --cacert ca.pem --cakey ca.key --lifetime 30 --reason key-compromise --cert moon.pem >ca.crl");
    let alerts = pair.alerts();
    pair.load(&gateway(MOON, TO_CAROL), &client(CAROL, TO_MOON));
    pair.fails();
    let alert = alerts.one("cert-revoked");
    assert_eq!(alert.certificate, dn("moon"));
    assert!(alert.reason.contains("revoked"), "{alert:?}");
    assert!(pair.cl.logged("certificate was revoked on", SOON), "{}", pair.cl.said());
    assert!(pair.gw.logged("[ N(AUTH_FAILED) ]", SOON), "{}", pair.gw.said());
    // A certificate with another number is good by the same CRL.
    ca.issue("moon", "ca", &options);
    ca.give(&pair.gw, &[("x509", "moon.pem")]);
    pair.gw.swanctl(&["--flush-certs"]);
    pair.load(&gateway(MOON, TO_CAROL), &client(CAROL, &format!("{TO_MOON}\n revocation = strict")));
    pair.works();
    server.kill().unwrap();
    server.wait().unwrap();
}
