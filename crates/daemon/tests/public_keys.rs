//! Authentication by certificates with a stock strongSwan at the other end, in both roles.
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
use pair::{CAROL, MOON, Pair, ROLES, SOON, TO_CAROL, TO_MOON, client, gateway};

/// Moon is the gateway, Carol the client, with keys of this kind.
fn meet(ca: &Authority, pair: &Pair, kind: &str) {
    ca.end("moon", kind, "ca", "--san moon.cygnet.test --flag serverAuth");
    ca.end("carol", kind, "ca", "--san carol@cygnet.test");
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
}

#[test]
fn every_kind_of_key_in_both_roles() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let ca = pair.authority();
        for (kind, scheme) in [
            ("rsa --size 2048", "RSA_EMSA_PKCS1_SHA2_256"),
            ("ecdsa --size 256", "ECDSA_WITH_SHA256_DER"),
            ("ecdsa --size 384", "ECDSA_WITH_SHA384_DER"),
            ("ecdsa --size 521", "ECDSA_WITH_SHA512_DER"),
            ("ed25519", "ED25519"),
        ] {
            eprintln!("{kind}, gateway {:?}", kinds[0]);
            meet(&ca, &pair, kind);
            pair.load(&gateway(MOON, TO_CAROL), &client(CAROL, TO_MOON));
            pair.works();
            let ours = pair.ours();
            assert!(ours.logged(&format!("with {scheme} successful"), SOON), "{kind}\n{}", ours.said());
        }
    }
}

#[test]
fn rsa_with_pss_and_without_rfc_7427() {
    for kinds in ROLES {
        for (settings, auth, words) in [
            ("rsa_pss = yes", "pubkey", "RSA_EMSA_PSS_SHA2_256_SALT_32"),
            ("", "ike:rsa/pss-sha384", "RSA_EMSA_PSS_SHA2_384_SALT_48"),
            ("signature_authentication = no", "pubkey", "RSA_EMSA_PKCS1_SHA1"),
        ] {
            let pair = Pair::new(kinds, settings);
            let ca = pair.authority();
            meet(&ca, &pair, "rsa --size 2048");
            let with = |text: &str| text.replace("auth = pubkey", &format!("auth = {auth}"));
            pair.load(&gateway(&with(MOON), &with(TO_CAROL)), &client(&with(CAROL), &with(TO_MOON)));
            pair.works();
            let ours = pair.ours();
            let line = format!("with {words} successful");
            assert!(ours.logged(&line, SOON), "{settings} {auth}\n{}", ours.said());
        }
    }
}

#[test]
fn a_chain_with_an_intermediate_and_names_from_the_certificate() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let ca = pair.authority();
        ca.intermediate("research", "ca", "--pathlen 0");
        ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test");
        ca.end("carol", "ecdsa --size 256", "research", "--san carol@cygnet.test");
        ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
        let own = [
            ("x509", "carol.pem"),
            ("private", "carol.key"),
            ("x509ca", "ca.pem"),
            ("x509ca", "research.pem"),
        ];
        ca.give(&pair.cl, &own);
        // Without `id` the client is whom its certificate names; the gateway wants one of that department.
        let department = format!("auth = pubkey\n id = \"{}\"\n ca_id = \"{}\"", dn("*"), dn("research"));
        pair.load(
            &gateway("certs = moon.pem\n id = moon.cygnet.test", &department),
            &client("certs = carol.pem", TO_MOON),
        );
        pair.works();
        assert!(pair.gw.logged("CN=carol", SOON), "{}", pair.gw.said());
    }
}

#[test]
fn raw_public_keys() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let ca = pair.authority();
        for name in ["moon", "carol"] {
            ca.key(name, "ecdsa --size 256");
            ca.run(&format!("pki --pub --in {name}.key --outform pem >{name}.pub"));
        }
        ca.give(&pair.gw, &[("private", "moon.key"), ("pubkey", "moon.pub"), ("pubkey", "carol.pub")]);
        ca.give(&pair.cl, &[("private", "carol.key"), ("pubkey", "moon.pub"), ("pubkey", "carol.pub")]);
        let (moon, carol) =
            ("id = moon.cygnet.test\n pubkeys = moon.pub", "id = carol@cygnet.test\n pubkeys = carol.pub");
        pair.load(&gateway(moon, carol), &client(carol, moon));
        pair.works();
    }
}

#[test]
fn a_certificate_and_then_a_password() {
    for kinds in ROLES {
        let pair = Pair::new(kinds, "");
        let ca = pair.authority();
        meet(&ca, &pair, "ecdsa --size 256");
        let user = pair::secrets("eap-carol {\n id = carol\n secret = \"Ar3etTnp\"\n }");
        // A second section closes the first: the text is put between the braces of one.
        let ours = format!("{CAROL}\n }}\n local-2 {{\n auth = eap-mschapv2\n id = carol");
        let theirs = format!("{TO_CAROL}\n }}\n remote-2 {{\n auth = eap-mschapv2\n id = carol");
        pair.load(&(gateway(MOON, &theirs) + &user), &(client(&ours, TO_MOON) + &user));
        pair.works();
    }
}

#[test]
fn groups_from_attribute_certificates() {
    let pair = Pair::new([lab::Kind::Cygnet, lab::Kind::Charon], "");
    let ca = pair.authority();
    meet(&ca, &pair, "ecdsa --size 256");
    ca.end("aa", "rsa --size 2048", "ca", "");
    ca.run("pki --acert --issuercert aa.pem --issuerkey aa.key --in carol.pem --group sales --outform pem >ac.pem");
    ca.give(&pair.gw, &[("x509aa", "aa.pem"), ("x509ac", "ac.pem")]);
    pair.load(&gateway(MOON, &format!("{TO_CAROL}\n groups = sales, research")), &client(CAROL, TO_MOON));
    pair.works();
    pair.load(&gateway(MOON, &format!("{TO_CAROL}\n groups = research")), &client(CAROL, TO_MOON));
    let alerts = pair.alerts();
    pair.fails();
    alerts.wait_for("peer-auth-failed");
}
