//! `--list-pools`, `--list-pols`, `--list-authorities`, `--list-algs`.
use super::{Call, Outcome};
use crate::commands::pools::ask::{self, Query};
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
    if answer.text("success") == Some("no") {
        return streamed_pools(call);
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

/// The same where the leases are too many for one message.
fn streamed_pools(call: &Call<'_>) -> Outcome {
    let query = Query {
        pool: call.value("name").map(str::to_owned),
        backend: Some("vici".to_owned()),
        ..Query::default()
    };
    let mut client = call.connect()?;
    let (pools, trouble) = ask::pools(&mut client, &query)?;
    for pool in pools {
        let usage = format!("{} / {} / {}", pool.online, pool.offline, pool.size);
        put!("{:<20} {:<30} {usage:>16}", clean(&pool.name), clean(&pool.base));
        let only = Query { pool: Some(pool.name), ..query.clone() };
        let missing = ask::leases(&mut client, &only, |_, _, lease| {
            let status = if lease.online { "online" } else { "offline" };
            put!("  {:<30} {status:<8} '{}'", clean(&lease.address), clean(&lease.identity));
        })?;
        if let Some(failure) = missing {
            return Err(failure.into());
        }
    }
    trouble.map_or(Ok(0), |failure| Err(failure.into()))
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
