//! Everything configured, frozen; lookups by address and identity.
use crate::{Connection, Settings, SharedSecret};
use std::sync::Arc;

/// A frozen configuration, in the order of loading.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Connections in order of loading.
    pub connections: Vec<Arc<Connection>>,
    /// Shared secrets.
    pub secrets: Vec<Arc<SharedSecret>>,
    /// Daemon-wide settings.
    pub settings: Arc<Settings>,
}
