//! EAP methods with a stock strongSwan at the other end, in both roles; those that Debian's strongSwan lacks between two
//! of ours.
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

use lab::Kind;
use pair::{MOON, Pair, ROLES, SOON, TO_MOON, client, gateway, secrets};

const CAROL: &str = "eap-carol {\n id = carol\n secret = \"Ar3etTnp\"\n }";

/// The client's round, and the gateway's for it.
fn rounds(method: &str) -> (String, String) {
    (
        format!("auth = eap-{method}\n id = carol@cygnet.test\n eap_id = carol"),
        format!("auth = eap-{method}\n id = *@cygnet.test\n eap_id = %any"),
    )
}

fn with_certificates(pair: &Pair) {
    let ca = pair.authority();
    ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test --flag serverAuth");
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509ca", "ca.pem")]);
}

#[test]
fn passwords_in_both_roles() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        with_certificates(&pair);
        for method in ["md5", "mschapv2", "gtc"] {
            // Debian's strongSwan verifies passwords of EAP-GTC through PAM.
            if method == "gtc" && kinds[0] == Kind::Charon {
                continue;
            }
            eprintln!("{method}, gateway {:?}", kinds[0]);
            let (ours, theirs) = rounds(method);
            pair.load(
                &(gateway(MOON, &theirs) + &secrets(CAROL)),
                &(client(&ours, TO_MOON) + &secrets(CAROL)),
            );
            pair.works();
        }
        assert!(
            pair.gw.logged("EAP method EAP_MSCHAPV2 succeeded, MSK established", SOON),
            "{}",
            pair.gw.said()
        );
        assert!(pair.gw.logged("received EAP identity 'carol'", SOON), "{}", pair.gw.said());
    }
}

#[test]
fn methods_over_tls_in_both_roles() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        with_certificates(&pair);
        let ca = pair.authority();
        ca.end("carol", "ecdsa --size 256", "ca", "--san carol@cygnet.test");
        ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key")]);
        let tls = "auth = eap-tls\n id = carol@cygnet.test\n certs = carol.pem";
        pair.load(&gateway(MOON, "auth = eap-tls\n id = *@cygnet.test"), &client(tls, TO_MOON));
        pair.works();
        assert!(pair.gw.logged("EAP method EAP_TLS succeeded, MSK established", SOON), "{}", pair.gw.said());
        let (ours, theirs) = rounds("ttls");
        pair.load(&(gateway(MOON, &theirs) + &secrets(CAROL)), &(client(&ours, TO_MOON) + &secrets(CAROL)));
        pair.works();
        assert!(pair.gw.logged("EAP method EAP_TTLS succeeded, MSK established", SOON), "{}", pair.gw.said());
    }
}

#[test]
fn between_two_of_ours() {
    let pair = Pair::new([Kind::Cygnet, Kind::Cygnet], "tls {\n version_max = 1.3\n }");
    with_certificates(&pair);
    for method in ["peap", "ttls", "dynamic", "gtc"] {
        eprintln!("{method}");
        let (ours, theirs) = rounds(method);
        let ours = ours.replace("eap-dynamic", "eap-mschapv2");
        pair.load(&(gateway(MOON, &theirs) + &secrets(CAROL)), &(client(&ours, TO_MOON) + &secrets(CAROL)));
        pair.works();
    }
    assert!(pair.gw.logged("EAP_PEAP succeeded", SOON), "{}", pair.gw.said());
}

#[test]
fn who_does_not_know_the_password_learns_nothing() {
    for (password, user) in [("wrong", "carol"), ("Ar3etTnp", "mallory")] {
        for method in ["mschapv2", "md5", "ttls"] {
            let pair = Pair::new([Kind::Cygnet, Kind::Charon], "");
            with_certificates(&pair);
            let (ours, theirs) = rounds(method);
            let ours = ours.replace("eap_id = carol", &format!("eap_id = {user}"));
            let theirs_secret = format!("eap-x {{\n id = {user}\n secret = \"{password}\"\n }}");
            let alerts = pair.alerts();
            pair.load(
                &(gateway(MOON, &theirs) + &secrets(CAROL)),
                &(client(&ours, TO_MOON) + &secrets(&theirs_secret)),
            );
            pair.fails();
            let said = alerts.one("peer-auth-failed").reason;
            assert!(!said.contains("Ar3etTnp") && !pair.gw.said().contains("Ar3etTnp"), "{said}");
            let log = pair.cl.said();
            assert!(
                log.contains("AUTH_FAILED") || log.contains("EAP_FAILURE") || log.contains("EAP/FAIL"),
                "{log}"
            );
        }
    }
}
