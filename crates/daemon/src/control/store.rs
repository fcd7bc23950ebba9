//! What clients have loaded, and the snapshot the engine gets of it.
use config::tree::Section;
use ike::io::{Command, StartActions};
use indexmap::IndexMap;
use policy::{Connection, Settings, SharedSecret, Snapshot};
use std::sync::Arc;

/// Everything loaded. Whoever changes it sends the engine the new snapshot before letting go of the lock, so
/// that snapshots arrive in order.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) connections: IndexMap<String, Arc<Connection>>,
    pub(crate) secrets: Vec<Arc<SharedSecret>>,
    pub(crate) authorities: IndexMap<String, Section>,
    pub(crate) settings: Arc<Settings>,
}

/// What became of a connection that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loaded {
    New,
    /// The peer's part is another one.
    Replaced,
    /// Only children changed.
    Updated,
    Same,
}

impl Store {
    /// Adds or replaces a connection.
    pub(crate) fn put(&mut self, connection: Connection) -> Loaded {
        match self.connections.get_mut(&connection.name) {
            Some(old) if **old == connection => Loaded::Same,
            Some(old) => {
                let bare = |c: &Connection| Connection { children: Vec::new(), ..c.clone() };
                let updated = bare(old) == bare(&connection);
                *old = Arc::new(connection);
                if updated { Loaded::Updated } else { Loaded::Replaced }
            }
            None => {
                self.connections.insert(connection.name.clone(), Arc::new(connection));
                Loaded::New
            }
        }
    }

    /// Adds a shared secret; one of the same id is replaced, and an equal one is not kept twice.
    pub(crate) fn put_secret(&mut self, secret: SharedSecret) {
        self.secrets.retain(|old| {
            let same_id = !secret.id.is_empty() && old.id == secret.id;
            let equal = old.id == secret.id
                && old.kind == secret.kind
                && old.owners == secret.owners
                && old.data == secret.data;
            !same_id && !equal
        });
        self.secrets.push(Arc::new(secret));
    }

    /// The command that tells the engine.
    pub(crate) fn reload(&self, start_actions: StartActions) -> Command {
        Command::Reload { snapshot: Arc::new(self.snapshot()), start_actions }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            authorities: Vec::new(),
            connections: self.connections.values().cloned().collect(),
            secrets: self.secrets.clone(),
            settings: self.settings.clone(),
        }
    }

    /// Whether a connection, or any where none is named, has a child of that name.
    pub(crate) fn has_child(&self, ike: Option<&str>, child: &str) -> bool {
        self.connections
            .values()
            .filter(|connection| ike.is_none_or(|ike| connection.name == ike))
            .any(|connection| connection.children.iter().any(|c| c.name == child))
    }
}
