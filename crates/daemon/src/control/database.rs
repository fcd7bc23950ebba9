//! Connections and credentials from the database of `charon.plugins.sql`: read at start and whenever settings are
//! reloaded. Clients see them like the rest and cannot unload them.
use super::Desk;
use super::credentials::private_key;
use crate::credentials::Held;
use crate::data_plane::DataPlane;
use crate::observers::log::Voice;
use crypto::sign::PublicKey;
use ike::io::{Group, StartActions};
use indexmap::IndexMap;
use pki::{Item, Signer, Trust};
use policy::{Connection, Identity, SharedSecret};
use sql::configs::Configs;
use std::sync::Arc;

/// What the database holds.
#[derive(Default)]
pub(crate) struct FromDatabase {
    pub(super) connections: IndexMap<String, Arc<Connection>>,
    pub(super) secrets: Vec<Arc<SharedSecret>>,
    /// Certificates, raw public keys, CRLs.
    pub(super) held: Vec<Held>,
    pub(super) keys: Vec<Arc<dyn Signer>>,
    /// Whose raw public keys they are.
    pub(super) owners: Vec<(Identity, PublicKey)>,
}

/// Reads the database of that URI; without one, what came from a database before goes. When it cannot be read,
/// everything stays as it was.
pub(crate) async fn read(desk: &Desk, uri: Option<&str>) {
    let window = desk.store.lock().await.settings.replay_window;
    let found = match uri {
        None => FromDatabase::default(),
        Some(text) => match configs(text).await {
            Ok((shown, configs)) => {
                let (found, complaints) = typed(configs, window, desk.data_plane);
                for complaint in complaints {
                    desk.log.say(Voice::Control, Group::Cfg, 0, format!("{shown}: {complaint}"));
                }
                let counts = format!(
                    "{} connections, {} shared keys, {} certificates, {} private keys",
                    found.connections.len(),
                    found.secrets.len(),
                    found.held.len(),
                    found.keys.len()
                );
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded {counts} from {shown}"));
                found
            }
            Err(why) => {
                desk.log.say(Voice::Control, Group::Cfg, 0, format!("plugins.sql.database not read: {why}"));
                return;
            }
        },
    };
    let mut store = desk.store.lock().await;
    let actions = changes(&store.database, &found);
    store.database = found;
    desk.shard.command(store.reload(actions)).await;
}

/// The database's contents, and its name without a password.
async fn configs(text: &str) -> Result<(String, Configs), String> {
    let uri = sql::Uri::parse(text).map_err(|e| e.to_string())?;
    let mut connection = sql::Connection::open(&uri, false).await.map_err(|e| e.to_string())?;
    let configs = sql::configs::read(&mut connection).await.map_err(|e| e.to_string());
    connection.close().await;
    Ok((uri.to_string(), configs?))
}

/// What is sound of it, and what is wrong with the rest.
fn typed(configs: Configs, window: u32, plane: DataPlane) -> (FromDatabase, Vec<String>) {
    let mut out = FromDatabase::default();
    let mut complaints = configs.complaints;
    for (name, section) in &configs.connections {
        match crate::parse::connection(name, section, window, plane) {
            Ok(_) if out.connections.contains_key(name) => {
                complaints.push(format!("connection '{name}' is there twice; the first one counts"));
            }
            Ok(connection) => drop(out.connections.insert(name.clone(), Arc::new(connection))),
            Err(why) => complaints.push(format!("connection '{name}': {why}")),
        }
    }
    out.secrets = configs.secrets.into_iter().map(Arc::new).collect();
    for (number, (data, owners)) in configs.certificates.into_iter().enumerate() {
        let number = number.saturating_add(1);
        match pki::load(&data, None) {
            Ok(items) => {
                for item in items.into_iter().filter_map(held) {
                    if let Some(key) = item.public_key() {
                        out.owners.extend(owners.iter().map(|owner| (owner.clone(), key.clone())));
                    }
                    out.held.push(item);
                }
            }
            Err(why) => complaints.push(format!("certificate {number}: {why}")),
        }
    }
    for (number, (data, _)) in configs.keys.iter().enumerate() {
        match private_key(data) {
            Ok(key) => out.keys.push(Arc::new(key)),
            Err(why) => complaints.push(format!("private key {}: {why}", number.saturating_add(1))),
        }
    }
    (out, complaints)
}

/// CA certificates in the database are trusted, as with charon.
fn held(item: Item) -> Option<Held> {
    match item {
        Item::Certificate(certificate) => {
            let trust = if certificate.is_ca() { Trust::Ca } else { Trust::None };
            Some(Held::Certificate(certificate, trust))
        }
        Item::Crl(crl) => Some(Held::Crl(Arc::new(*crl))),
        Item::PublicKey(key) => Some(Held::PublicKey(key)),
        Item::PrivateKey(_) => None,
    }
}

/// Which connections are new or changed, and which are changed or gone.
fn changes(old: &FromDatabase, new: &FromDatabase) -> StartActions {
    let run = new.connections.iter().filter(|(name, c)| old.connections.get(*name) != Some(c));
    let undo = old.connections.iter().filter(|(name, c)| new.connections.get(*name) != Some(c));
    StartActions {
        run: run.map(|(name, _)| name.clone()).collect(),
        undo: undo.map(|(name, _)| name.clone()).collect(),
    }
}
