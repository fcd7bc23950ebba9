//! Replays the fuzz seeds, and the corpora where there are any, through the same checks, on the stable toolchain.
//!
//! What fuzzing finds becomes a file under `fuzz/seeds/<target>/` and is replayed here ever after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../../../fuzz/checks/config.rs"]
mod config_checks;
#[path = "../../../fuzz/checks/dhcp.rs"]
mod dhcp_checks;
#[path = "../../../fuzz/checks/eap.rs"]
mod eap_checks;
#[path = "../../../fuzz/checks/esp.rs"]
mod esp_checks;
#[path = "../../../fuzz/checks/ike.rs"]
mod ike_checks;
#[path = "../../../fuzz/checks/pki.rs"]
mod pki_checks;
#[path = "../../../fuzz/checks/radius.rs"]
mod radius_checks;
#[path = "../../../fuzz/checks/vici.rs"]
mod vici_checks;
#[path = "../../../fuzz/checks/wire.rs"]
mod wire_checks;

use std::fs;
use std::path::Path;

/// Every file of one target, whole and cut at several places.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut replayed = 0;
    for kind in ["seeds", "corpus"] {
        let Ok(directory) = fs::read_dir(fuzz.join(kind).join(target)) else { continue };
        for entry in directory {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            check(&bytes);
            for cut in (0..bytes.len()).step_by(1 + bytes.len() / 16) {
                check(&bytes[..cut]);
                check(&bytes[cut..]);
            }
            replayed += 1;
        }
    }
    assert!(replayed > 0, "{target} has no seeds");
}

#[test]
fn wire_message() {
    replay("wire_message", wire_checks::message);
}

#[test]
fn wire_chain() {
    replay("wire_chain", wire_checks::chain);
}

#[test]
fn wire_esp_ip() {
    replay("wire_esp_ip", wire_checks::esp_ip);
}

#[test]
fn wire_frame() {
    replay("wire_frame", wire_checks::frame);
}

#[test]
fn dhcp_server() {
    replay("dhcp_server", dhcp_checks::server);
}

#[test]
fn vici_message() {
    replay("vici_message", vici_checks::message);
}

#[test]
fn config_text() {
    replay("config_text", config_checks::text);
}

#[test]
fn esp_open() {
    replay("esp_open", esp_checks::open);
}

#[test]
fn ike_peer() {
    replay("ike_peer", ike_checks::peer);
}

#[test]
fn ike_knock() {
    replay("ike_knock", ike_checks::knock);
}

#[test]
fn eap_server() {
    replay("eap_server", eap_checks::server);
}

#[test]
fn eap_peer() {
    replay("eap_peer", eap_checks::peer);
}

#[test]
fn pki_bundle() {
    replay("pki_bundle", pki_checks::bundle);
}

#[test]
fn pki_crl() {
    replay("pki_crl", pki_checks::crl);
}

#[test]
fn pki_ocsp() {
    replay("pki_ocsp", pki_checks::ocsp);
}

#[test]
fn pki_auth() {
    replay("pki_auth", pki_checks::auth);
}

#[test]
fn pki_pkcs12() {
    replay("pki_pkcs12", pki_checks::pkcs12);
}

#[test]
fn radius_packet() {
    replay("radius_packet", radius_checks::packet);
}

#[test]
fn radius_login() {
    replay("radius_login", radius_checks::login);
}

#[test]
fn radius_dae() {
    replay("radius_dae", radius_checks::dae);
}
