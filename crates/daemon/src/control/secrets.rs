//! `load-shared` and the rest about shared secrets, also those in a Vault.
use super::load::text;
use super::{Desk, Outcome};
use crate::observers::log::Voice;
use config::schema::secret::{SecretData, SharedConfig, VaultPath};
use config::tree::Section;
use crypto::Secret;
use ike::io::{Group, StartActions};
use policy::Identity;
use policy::secrets::{SecretKind, decode_secret};
use vici::Message;

/// `load-shared`
pub(super) async fn load(desk: &Desk, message: &Section) -> Outcome {
    let kind_text = text(message, "type").ok_or("shared key type missing")?;
    let kind = match kind_text.to_ascii_lowercase().as_str() {
        "ike" => SecretKind::Ike,
        "eap" => SecretKind::Eap,
        "xauth" => SecretKind::Xauth,
        "ntlm" => SecretKind::Ntlm,
        "ppk" => SecretKind::Ppk,
        _ => return Err(format!("invalid shared key type: {kind_text}")),
    };
    let data = match (message.bytes("data").filter(|data| !data.is_empty()), text(message, "vault")) {
        (Some(data), None) => SecretData::Given(Secret::from(data)),
        (None, Some(path)) => SecretData::Vault(VaultPath::parse(path)?),
        (Some(_), Some(_)) => return Err("shared key data and vault path given".into()),
        (None, None) => return Err("shared key data missing".into()),
    };
    let mut owners = Vec::new();
    for owner in message.items("owners") {
        owners.push(Identity::parse(owner).map_err(|e| format!("invalid owner '{owner}': {e}"))?);
    }
    let id = message.text("id").unwrap_or_default().to_owned();
    let config = SharedConfig { id, kind, data, owners };
    let secret = match &config.data {
        SecretData::Given(data) => data.clone(),
        SecretData::Vault(path) => read(desk, path).await?,
    };
    let whose = config.owners.iter().map(|owner| format!("'{owner}'")).collect::<Vec<_>>().join(", ");
    let whose = if whose.is_empty() { "'%any'".to_owned() } else { whose };
    let named = if config.id.is_empty() { String::new() } else { format!("with id '{}' ", config.id) };
    let kind_name = kind_text.to_ascii_uppercase();
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded {kind_name} shared key {named}for: {whose}"));
    let mut store = desk.store.lock().await;
    match config.data.clone() {
        SecretData::Vault(path) => drop(store.from_vault.insert(config.id.clone(), (config.clone(), path))),
        SecretData::Given(_) => drop(store.from_vault.shift_remove(&config.id)),
    }
    store.put_secret(config.with(secret));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

async fn read(desk: &Desk, path: &VaultPath) -> Result<Secret, String> {
    let text = desk.credentials.read_vault(path).await?;
    decode_secret(text.as_slice()).map(Secret::new).map_err(|e| format!("{path}: {e}"))
}

/// Reads what is in the Vault again; what cannot be read stays as it was.
pub(super) async fn read_vault(desk: &Desk) {
    let all: Vec<(SharedConfig, VaultPath)> = desk.store.lock().await.from_vault.values().cloned().collect();
    for (config, path) in all {
        match read(desk, &path).await {
            Ok(secret) => {
                let mut store = desk.store.lock().await;
                // It may have been unloaded meanwhile.
                if store.from_vault.contains_key(&config.id) {
                    store.put_secret(config.with(secret));
                }
            }
            Err(why) => {
                let text = format!("shared key '{}' not read again: {why}", config.id);
                desk.log.say(Voice::Control, Group::Cfg, 0, text);
            }
        }
    }
}

/// `unload-shared`
pub(super) async fn unload(desk: &Desk, message: &Section) -> Outcome {
    let id = text(message, "id").ok_or("unique identifier missing")?;
    let mut store = desk.store.lock().await;
    store.from_vault.shift_remove(id);
    let before = store.secrets.len();
    store.secrets.retain(|secret| secret.id != id);
    if store.secrets.len() != before {
        desk.log.say(Voice::Control, Group::Cfg, 1, format!("unloaded shared key with id '{id}'"));
        desk.shard.command(store.reload(StartActions::default())).await;
    }
    Ok(())
}

/// `get-shared`
pub(super) async fn list(desk: &Desk) -> Section {
    let store = desk.store.lock().await;
    let mut out = Section::default();
    out.put_list("keys", store.secrets.iter().map(|secret| &secret.id).filter(|id| !id.is_empty()));
    out
}
