//! Loading and unloading: connections, pools.
use super::store::Loaded;
use super::{Desk, Outcome};
use crate::credentials::resolve::{self, Wrong};
use crate::observers::log::Voice;
use config::tree::{Node, Section};
use ike::io::{Group, StartActions};
use policy::Connection;
use pool::PoolError;
use vici::Message;

/// `load-conn`: every section of the message is a connection.
pub(crate) async fn conn(desk: &Desk, message: &Section) -> Outcome {
    let sections: Vec<(&str, &Section)> = message.children().collect();
    for (name, section) in sections {
        let window = desk.store.lock().await.settings.replay_window;
        let connection = crate::parse::connection(name, section, window, desk.data_plane)?;
        let connection = with_certificates(desk, connection).await?;
        for pool in &connection.pools {
            if let Some(text) = desk.stores.unknown(pool).await {
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("connection {name}: {text}"));
            }
        }
        let mut store = desk.store.lock().await;
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

/// Reads the certificates and keys that the rounds name, beside the runtime: they may be on a token.
async fn with_certificates(desk: &Desk, mut connection: Connection) -> Result<Connection, String> {
    let shared = desk.credentials.clone();
    let name = connection.name.clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut log = Vec::new();
        resolve::connection(&mut connection, &shared.tokens, &mut log).map(|()| (connection, log))
    });
    match work.await {
        Ok(Ok((connection, log))) => {
            for line in log {
                desk.log.say(Voice::Control, Group::Cfg, 1, format!("  {line}"));
            }
            Ok(connection)
        }
        Ok(Err(wrong)) => {
            let Wrong { key, why } = wrong;
            // charon's words first, which scripts look for.
            let words = match key {
                "cert" | "cacert" => format!("unable to load certificate: {key}"),
                _ => format!("invalid value for: {key}, config discarded"),
            };
            Err(format!("{words} (connections.{name}: {why})"))
        }
        Err(e) => Err(format!("reading the certificates of {name} failed: {e}")),
    }
}

/// `unload-conn`
pub(crate) async fn unload_conn(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("unload: missing connection name")?;
    let mut store = desk.store.lock().await;
    if !store.remove(name) {
        return Err(format!("unload: connection '{name}' not found"));
    }
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("removed vici connection: {name}"));
    let actions = StartActions { run: Vec::new(), undo: vec![name.to_owned()] };
    desk.shard.command(store.reload(actions)).await;
    Ok(())
}

/// `load-pool`: every section of the message is a pool.
pub(crate) fn pool(desk: &Desk, message: &Section) -> Outcome {
    for (name, section) in message.children() {
        let config = crate::parse::pool(name, section)?;
        let (base, size) = (config.range.first(), config.range.shown_size());
        let loaded = desk.stores.memory.load(config).map_err(|e| refusal(&e))?;
        let say = |text: String| desk.log.say(Voice::Control, Group::Cfg, 1, text);
        let verb = if loaded.replaced { "replaced" } else { "added" };
        say(format!("{verb} vici pool {name}: {base}, {size} entries"));
        if loaded.restored > 0 {
            say(format!("  {} leases came back from the lease store", loaded.restored));
        }
        for overlap in loaded.overlaps {
            say(format!("  {overlap}: what one of them lends the other does not lend meanwhile"));
        }
    }
    Ok(())
}

/// `unload-pool`
pub(crate) fn unload_pool(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("missing pool name to unload")?;
    desk.stores.memory.unload(name).map_err(|e| refusal(&e))?;
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("unloaded vici pool {name}"));
    Ok(())
}

fn refusal(error: &PoolError) -> String {
    match error {
        PoolError::Unknown(name) => format!("{name} not found"),
        PoolError::Online { name, online, what } => {
            format!("vici pool {name} has {online} online leases, unable to {what}")
        }
        lengths @ PoolError::Lengths(_) => lengths.to_string(),
    }
}

/// A value that is there and not empty.
pub(super) fn text<'a>(message: &'a Section, key: &str) -> Option<&'a str> {
    match message.entries.get(key)? {
        Node::Value(_) => message.text(key).filter(|text| !text.is_empty()),
        Node::List(_) | Node::Section(_) => None,
    }
}
