//! `--list-pools`, `--list-pols`, `--list-authorities`, `--list-algs`, `--list-certs`.
use super::{Call, Outcome, Trouble};
use crate::out::{clean, put};
use config::tree::Section;
use vici::Message;

pub(super) fn pools(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    if call.has("leases") {
        message.put_bool("leases", true);
    }
    call.copy("name", &mut message);
    let answer = call.connect()?.request("get-pools", message)?;
    if call.raw("get-pools reply", &answer) {
        return Ok(0);
    }
    for (name, pool) in answer.children() {
        let [base, online, offline, size] = ["base", "online", "offline", "size"]
            .map(|key| clean(pool.text(key).unwrap_or_default()).into_owned());
        let usage = format!("{online} / {offline} / {size}");
        put!("{:<20} {base:<30} {usage:>16}", clean(name));
        for (_, lease) in pool.child("leases").into_iter().flat_map(|all| all.children()) {
            let [address, status, identity] = ["address", "status", "identity"]
                .map(|key| clean(lease.text(key).unwrap_or_default()).into_owned());
            put!("  {address:<30} {status:<8} '{identity}'");
        }
    }
    Ok(0)
}

pub(super) fn policies(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    let kinds = ["trap", "drop", "pass"];
    let any = kinds.iter().any(|kind| call.has(kind));
    for kind in kinds {
        if !any || call.has(kind) {
            message.put_bool(kind, true);
        }
    }
    call.copy("child", &mut message);
    streamed(call, "list-policies", message, "list-policy", |message| {
        for (name, policy) in message.children() {
            put!("{}, {}", clean(name), clean(policy.text("mode").unwrap_or_default()));
            if let Some(label) = policy.text("label") {
                put!("  label:  {}", clean(label));
            }
            put!("  local:  {}", clean(&policy.items("local-ts").join(" ")));
            put!("  remote: {}", clean(&policy.items("remote-ts").join(" ")));
        }
    })
}

pub(super) fn authorities(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    call.copy("name", &mut message);
    streamed(call, "list-authorities", message, "list-authority", |message| {
        for (name, authority) in message.children() {
            put!("{}:", clean(name));
            if let Some(subject) = authority.text("cacert") {
                put!("  cacert: {}", clean(subject));
            }
            for (number, uri) in authority.items("crl_uris").into_iter().enumerate() {
                let label = if number == 0 { "crl_uris: " } else { "          " };
                put!("  {label} {}", clean(uri));
            }
            for uri in authority.items("ocsp_uris") {
                put!("  ocsp_uris: {}", clean(uri));
            }
            if let Some(base) = authority.text("cert_uri_base") {
                put!("  cert_uri_base: {}", clean(base));
            }
        }
    })
}

pub(super) fn algorithms(call: &Call<'_>) -> Outcome {
    let answer = call.connect()?.request("get-algorithms", Section::default())?;
    if call.raw("get-algorithms reply", &answer) {
        return Ok(0);
    }
    for (kind, algorithms) in answer.children() {
        put!("{}:", clean(kind));
        for name in algorithms.entries.keys() {
            put!("  {}[{}]", clean(name), clean(algorithms.text(name).unwrap_or_default()));
        }
    }
    Ok(0)
}

pub(super) fn certs(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    for key in ["subject", "type", "flag"] {
        call.copy(key, &mut message);
    }
    let mut unreadable = 0_u32;
    let code = streamed(call, "list-certs", message, "list-cert", |message| {
        let kind = message.text("type").unwrap_or("X509");
        match message.bytes("data") {
            Some(data) if call.has("pem") => print_pem(kind, data),
            Some(_) => unreadable += 1,
            // A public key by its subject only.
            None => put!("  subject:  \"{}\"", clean(message.text("subject").unwrap_or_default())),
        }
    })?;
    if unreadable > 0 {
        return Err(Trouble::Failed(
            format!(
                "this build cannot print the contents of certificates ({unreadable} held); use --pem or --raw"
            ),
            1,
        ));
    }
    Ok(code)
}

fn print_pem(kind: &str, data: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let label = match kind {
        "X509_CRL" => "X509 CRL",
        "PUBKEY" => "PUBLIC KEY",
        "X509_AC" => "ATTRIBUTE CERTIFICATE",
        "OCSP_RESPONSE" => "OCSP RESPONSE",
        _ => "CERTIFICATE",
    };
    let mut text = String::new();
    for group in data.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let six = bits >> (18 - 6 * place) & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    put!("-----BEGIN {label}-----");
    for line in text.as_bytes().chunks(64) {
        put!("{}", String::from_utf8_lossy(line));
    }
    put!("-----END {label}-----");
}

/// Runs a streaming command; prints events as they are if so asked, else through `each`.
pub(super) fn streamed(
    call: &Call<'_>,
    command: &str,
    message: Section,
    event: &str,
    mut each: impl FnMut(&Section),
) -> Outcome {
    // swanctl labels the events of list-authorities with the name of the command.
    let label = if command == "list-authorities" { command } else { event };
    let answer = call.connect()?.request_streamed(command, message, event, |message| {
        if !call.raw(&format!("{label} event"), &message) {
            each(&message);
        }
    })?;
    call.raw(&format!("{command} reply"), &answer);
    Ok(0)
}
