//! What clients have loaded, and the snapshot the engine gets of it.
use super::database::FromDatabase;
use crate::credentials::{self, Credentials, Held, Shared};
use config::schema::secret::{SharedConfig, VaultPath};
use ike::io::{Command, StartActions};
use indexmap::IndexMap;
use pki::Trust;
use policy::{Connection, Settings, SharedSecret, Snapshot};
use std::sync::Arc;

/// Everything loaded. Whoever changes it sends the engine the new snapshot before letting go of the lock, so
/// that snapshots arrive in order.
pub(crate) struct Store {
    pub(crate) connections: IndexMap<String, Arc<Connection>>,
    /// What their rounds name, read once.
    named: IndexMap<String, Vec<Held>>,
    pub(crate) secrets: Vec<Arc<SharedSecret>>,
    /// Where secrets come from that are read anew from the Vault, by their id.
    pub(crate) from_vault: IndexMap<String, (SharedConfig, VaultPath)>,
    pub(crate) credentials: Credentials,
    /// What `charon.plugins.sql` configures, beside all that clients load.
    pub(crate) database: FromDatabase,
    pub(crate) settings: Arc<Settings>,
    shared: Arc<Shared>,
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
    /// Nothing loaded; what will be is published in `shared`.
    pub(crate) fn new(settings: Arc<Settings>, shared: Arc<Shared>) -> Self {
        Self {
            connections: IndexMap::new(),
            named: IndexMap::new(),
            secrets: Vec::new(),
            from_vault: IndexMap::new(),
            credentials: Credentials::default(),
            database: FromDatabase::default(),
            settings,
            shared,
        }
    }

    /// Certificates, public keys and CRLs, the newest first.
    pub(crate) fn held(&self) -> Vec<Held> {
        self.credentials.list(std::iter::once(&self.database.held).chain(self.named.values()))
    }

    /// All connections: what clients loaded, then the database's, of which those of the same names are hidden.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let database = self.database.connections.iter();
        let beside = database.filter(|(name, _)| !self.connections.contains_key(*name)).map(|(_, c)| c);
        self.connections.values().chain(beside)
    }

    /// Adds or replaces a connection.
    pub(crate) fn put(&mut self, connection: Connection) -> Loaded {
        self.named.insert(connection.name.clone(), credentials::named(&connection));
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

    /// Removes a connection.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.named.shift_remove(name);
        self.connections.shift_remove(name).is_some()
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

    /// Publishes everything; gives the command that tells the engine.
    pub(crate) fn reload(&self, start_actions: StartActions) -> Command {
        Command::Reload { snapshot: Arc::new(self.snapshot()), start_actions }
    }

    /// Publishes everything; gives the engine's part.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let named = self.named.values().chain(std::iter::once(&self.database.held));
        let mut store = self.credentials.store(named, &self.settings);
        for key in &self.database.keys {
            store.add_signer(key.clone());
        }
        for (owner, key) in &self.database.owners {
            store.add_public_key_of(owner.clone(), key.clone());
        }
        let authorities = store
            .certificates()
            .iter()
            .filter(|(_, trust)| *trust == Trust::Ca)
            .map(|(certificate, _)| Arc::new(certificate.to_policy()))
            .collect();
        let ocsp_signers = store
            .certificates()
            .iter()
            .filter(|(certificate, trust)| *trust == Trust::Ocsp && certificate.is_self_signed())
            .map(|(certificate, _)| Arc::new(certificate.to_policy()))
            .collect();
        self.shared.store.store(Arc::new(store));
        let secrets: Vec<_> = self.secrets.iter().chain(&self.database.secrets).cloned().collect();
        self.shared.secrets.store(Arc::new(secrets.clone()));
        self.shared.connections.store(Arc::new(self.all().cloned().collect()));
        Snapshot {
            authorities,
            ocsp_signers,
            connections: self.all().cloned().collect(),
            secrets,
            settings: self.settings.clone(),
        }
    }

    /// Whether a connection, or any where none is named, has a child of that name.
    pub(crate) fn has_child(&self, ike: Option<&str>, child: &str) -> bool {
        self.all()
            .filter(|connection| ike.is_none_or(|ike| connection.name == ike))
            .any(|connection| connection.children.iter().any(|c| c.name == child))
    }
}
