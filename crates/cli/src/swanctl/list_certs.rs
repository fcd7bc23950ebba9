//! `--list-certs`, as strongSwan's swanctl prints it (seen with version 5.9.8).
use super::{Call, Outcome, list};
use crate::out::{clean, complain, put};
use crate::pki::input::Certificate;
use crate::pki::print::{self, View};
use crate::pki::{Trouble, describe, signcrl};
use config::tree::Section;
use crypto::sign::PublicKey;
use vici::Message;

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    for key in ["subject", "type", "flag"] {
        call.copy(key, &mut message);
    }
    let view = View { utc: call.has("utc"), short: call.has("short"), ..View::plain() };
    let mut last = None;
    list::streamed(call, "list-certs", message, "list-cert", |event| {
        let kind = event.text("type").unwrap_or("X509").to_owned();
        let flag = event.text("flag").unwrap_or_default().to_owned();
        let Some(data) = event.bytes("data") else { return };
        if call.has("pem") {
            return pem(&kind, data);
        }
        let heading = Some((kind.clone(), flag.clone()));
        if last != heading {
            put!("\nList of {}", title(&kind, &flag));
            last = heading;
        }
        put!("");
        let view = View { has_key: event.is_yes("has_privkey"), ..view };
        if let Err(trouble) = show(&kind, data, view) {
            complain!("  {trouble}");
        }
    })
}

fn title(kind: &str, flag: &str) -> &'static str {
    match (kind, flag) {
        ("X509", "CA") => "X.509 CA Certificates",
        ("X509", "AA") => "X.509 AA Certificates",
        ("X509", "OCSP") => "X.509 OCSP Signer Certificates",
        ("X509_AC", _) => "X.509 Attribute Certificates",
        ("X509_CRL", _) => "X.509 CRLs",
        ("OCSP_RESPONSE", _) => "OCSP Responses",
        ("PUBKEY", _) => "Raw Public Keys",
        _ => "X.509 End Entity Certificates",
    }
}

fn show(kind: &str, data: &[u8], view: View) -> Result<(), Trouble> {
    match kind {
        "X509_CRL" => print::show_crl(&signcrl::from_bytes(data)?, view),
        "X509_AC" => print::show_attributes(data, view),
        "PUBKEY" => {
            print::show_key(&PublicKey::from_spki(data)?, view);
            Ok(())
        }
        "OCSP_RESPONSE" => {
            let response = pki::ocsp::Response::from_der(data).map_err(Trouble::failed)?;
            let name = response.responder_name().map_or_else(String::new, |name| name.to_string());
            put!("  issuer:   \"{}\"", clean(&name));
            Ok(())
        }
        _ => describe::certificate(&Certificate::from_bytes(data)?, view),
    }
}

fn pem(kind: &str, data: &[u8]) {
    let label = match kind {
        "X509_CRL" => "X509 CRL",
        "PUBKEY" => "PUBLIC KEY",
        "X509_AC" => "ATTRIBUTE CERTIFICATE",
        "OCSP_RESPONSE" => "OCSP RESPONSE",
        _ => "CERTIFICATE",
    };
    put!("-----BEGIN {label}-----");
    for line in data_encoding::BASE64.encode(data).as_bytes().chunks(64) {
        put!("{}", String::from_utf8_lossy(line));
    }
    put!("-----END {label}-----");
}
