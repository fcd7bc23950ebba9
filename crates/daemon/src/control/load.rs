//! Loading and unloading: connections, secrets, pools, authorities.
use super::store::Loaded;
use super::{Desk, Outcome};
use crate::observers::log::Voice;
use config::tree::{Node, Section};
use ike::io::{Group, StartActions};
use policy::secrets::SecretKind;
use policy::{Identity, SharedSecret};
use pool::PoolError;
use std::sync::PoisonError;
use vici::Message;

/// What certificates would need.
const NO_CERTIFICATES: &str =
    "certificates and private keys are not supported by this version of cygnetd, only pre-shared keys";

/// `load-conn`: every section of the message is a connection.
pub(crate) async fn conn(desk: &Desk, message: &Section) -> Outcome {
    let sections: Vec<(&str, &Section)> = message.children().collect();
    for (name, section) in sections {
        let mut store = desk.store.lock().await;
        let connection = crate::parse::connection(name, section, store.settings.replay_window)?;
        let actions = match store.put(connection) {
            Loaded::Same => {
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("unchanged vici connection: {name}"));
                continue;
            }
            Loaded::New => {
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("added vici connection: {name}"));
                StartActions { run: vec![name.to_owned()], undo: Vec::new() }
            }
            changed @ (Loaded::Replaced | Loaded::Updated) => {
                let verb = if changed == Loaded::Updated { "updated" } else { "replaced" };
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("{verb} vici connection: {name}"));
                StartActions { run: vec![name.to_owned()], undo: vec![name.to_owned()] }
            }
        };
        desk.shard.command(store.reload(actions)).await;
    }
    Ok(())
}

/// `unload-conn`
pub(crate) async fn unload_conn(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("unload: missing connection name")?;
    let mut store = desk.store.lock().await;
    if store.connections.shift_remove(name).is_none() {
        return Err(format!("unload: connection '{name}' not found"));
    }
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("removed vici connection: {name}"));
    let actions = StartActions { run: Vec::new(), undo: vec![name.to_owned()] };
    desk.shard.command(store.reload(actions)).await;
    Ok(())
}

/// `load-shared`
pub(crate) async fn shared(desk: &Desk, message: &Section) -> Outcome {
    let kind_text = text(message, "type").ok_or("shared key type missing")?;
    let kind = match kind_text.to_ascii_lowercase().as_str() {
        "ike" => SecretKind::Ike,
        "eap" => SecretKind::Eap,
        "xauth" => SecretKind::Xauth,
        "ntlm" => SecretKind::Ntlm,
        "ppk" => SecretKind::Ppk,
        _ => return Err(format!("invalid shared key type: {kind_text}")),
    };
    let data = message.bytes("data").filter(|data| !data.is_empty()).ok_or("shared key data missing")?;
    let mut owners = Vec::new();
    for owner in message.items("owners") {
        owners.push(Identity::parse(owner).map_err(|e| format!("invalid owner '{owner}': {e}"))?);
    }
    let id = message.text("id").unwrap_or_default().to_owned();
    let whose = owners.iter().map(|owner| format!("'{owner}'")).collect::<Vec<_>>().join(", ");
    let whose = if owners.is_empty() { "'%any'".to_owned() } else { whose };
    let named = if id.is_empty() { String::new() } else { format!("with id '{id}' ") };
    let kind_name = kind_text.to_ascii_uppercase();
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded {kind_name} shared key {named}for: {whose}"));
    let secret = SharedSecret { id, kind, data: crypto::Secret::from(data), owners };
    let mut store = desk.store.lock().await;
    store.put_secret(secret);
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// `unload-shared`
pub(crate) async fn unload_shared(desk: &Desk, message: &Section) -> Outcome {
    let id = text(message, "id").ok_or("unique identifier missing")?;
    let mut store = desk.store.lock().await;
    let before = store.secrets.len();
    store.secrets.retain(|secret| secret.id != id);
    if store.secrets.len() != before {
        desk.log.say(Voice::Control, Group::Cfg, 1, format!("unloaded shared key with id '{id}'"));
        desk.shard.command(store.reload(StartActions::default())).await;
    }
    Ok(())
}

/// `clear-creds`
pub(crate) async fn clear_creds(desk: &Desk) -> Outcome {
    let mut store = desk.store.lock().await;
    store.secrets.clear();
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// `load-pool`: every section of the message is a pool.
pub(crate) fn pool(desk: &Desk, message: &Section) -> Outcome {
    for (name, section) in message.children() {
        let config = crate::parse::pool(name, section)?;
        let (base, size) = (config.range.base(), config.range.shown_size());
        let mut pools = desk.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pools.get(name).is_some();
        pools.load(config).map_err(|e| refusal(&e))?;
        drop(pools);
        let verb = if known { "replaced" } else { "added" };
        desk.log.say(
            Voice::Control,
            Group::Cfg,
            1,
            format!("{verb} vici pool {name}: {base}, {size} entries"),
        );
    }
    Ok(())
}

/// `unload-pool`
pub(crate) fn unload_pool(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("missing pool name to unload")?;
    desk.pools.lock().unwrap_or_else(PoisonError::into_inner).unload(name).map_err(|e| refusal(&e))?;
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("unloaded vici pool {name}"));
    Ok(())
}

fn refusal(error: &PoolError) -> String {
    match error {
        PoolError::Unknown(name) => format!("{name} not found"),
        PoolError::Online { name, online, what } => {
            format!("vici pool {name} has {online} online leases, unable to {what}")
        }
    }
}

/// `load-authority`: every section of the message is an authority.
pub(crate) async fn authority(desk: &Desk, message: &Section) -> Outcome {
    const KEYS: [&str; 8] =
        ["cacert", "file", "handle", "slot", "module", "crl_uris", "ocsp_uris", "cert_uri_base"];
    for (name, section) in message.children() {
        if let Some(key) = section.entries.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown option: {key}, authority discarded"));
        }
        let has_certificate =
            ["cacert", "file", "handle"].iter().any(|key| section.bytes(key).is_some_and(|v| !v.is_empty()));
        if !has_certificate {
            return Err(format!("CA certificate missing: {name}"));
        }
        let mut store = desk.store.lock().await;
        let verb = if store.authorities.insert(name.to_owned(), section.clone()).is_some() {
            "replaced"
        } else {
            "added"
        };
        desk.log.say(
            Voice::Control,
            Group::Cfg,
            1,
            format!("{verb} vici authority: {name} (kept, not used: {NO_CERTIFICATES})"),
        );
    }
    Ok(())
}

/// `unload-authority`
pub(crate) async fn unload_authority(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("unload: missing authority name")?;
    match desk.store.lock().await.authorities.shift_remove(name) {
        Some(_) => Ok(()),
        None => Err(format!("unload: authority '{name}' not found")),
    }
}

/// Words for certificate types.
const CERTIFICATES: [&str; 6] = ["X509", "X509_AC", "X509_CRL", "OCSP_RESPONSE", "PUBKEY", "ANY"];

/// `load-cert`
pub(crate) fn cert(message: &Section) -> Outcome {
    let kind = text(message, "type").ok_or("certificate type missing")?;
    if !CERTIFICATES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        return Err(format!("invalid certificate type '{kind}'"));
    }
    if message.bytes("data").is_none_or(<[u8]>::is_empty) {
        return Err("certificate data missing".into());
    }
    Err(format!("{kind} certificate refused: {NO_CERTIFICATES}"))
}

/// `load-key`
pub(crate) fn key(message: &Section) -> Outcome {
    let kind = text(message, "type").ok_or("key type missing")?;
    if message.bytes("data").is_none_or(<[u8]>::is_empty) {
        return Err("key data missing".into());
    }
    Err(format!("{kind} private key refused: {NO_CERTIFICATES}"))
}

/// `unload-key`
pub(crate) fn unload_key(message: &Section) -> Outcome {
    text(message, "id").ok_or("key id missing")?;
    Err("key not found".into())
}

/// `load-token`
pub(crate) fn token(message: &Section) -> Outcome {
    text(message, "handle").ok_or("keyid missing")?;
    Err(format!("token refused: {NO_CERTIFICATES}"))
}

/// `flush-certs`: there is no cache yet, so there is nothing left in it.
pub(crate) fn flush_certs(message: &Section) -> Outcome {
    match text(message, "type") {
        Some(kind) if !CERTIFICATES.iter().any(|known| known.eq_ignore_ascii_case(kind)) => {
            Err(format!("invalid certificate type '{kind}'"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A value that is there and not empty.
fn text<'a>(message: &'a Section, key: &str) -> Option<&'a str> {
    match message.entries.get(key)? {
        Node::Value(_) => message.text(key).filter(|text| !text.is_empty()),
        Node::List(_) | Node::Section(_) => None,
    }
}
