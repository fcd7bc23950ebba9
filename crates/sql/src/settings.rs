//! How a gateway uses a database of pools: `charon.plugins.attr-sql`.
use crate::uri::Uri;
use pool::Wanted;
use std::sync::Arc;

/// Which addresses that are in use are released when a gateway starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Those this gateway used when it ended without saying goodbye.
    Own,
    /// Also those of which nobody knows which gateway uses them, as stock strongSwan leaves them. Right as long as
    /// no stock strongSwan serves from the same database.
    #[default]
    OwnAndUnknown,
    /// All of them, whoever uses them, as `crash_recovery = yes` says. Wrong where gateways share the database.
    All,
}

/// Tells the operator something: about a client, or about the database.
pub type Say = Arc<dyn Fn(Option<&Wanted>, String) + Send + Sync>;

/// Unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a gateway uses a database of pools.
#[derive(Clone)]
pub struct Settings {
    /// Where the database is.
    pub database: Uri,
    /// This gateway's name among those that share the database.
    pub gateway: String,
    /// What is released when the gateway starts.
    pub recovery: Recovery,
    /// Ended leases are written into the table `leases`.
    pub history: bool,
    /// The log.
    pub say: Say,
    /// The wall clock.
    pub clock: Clock,
}

impl Settings {
    /// As strongSwan's defaults, with the system's clock and no log.
    #[must_use]
    pub fn new(database: Uri, gateway: impl Into<String>) -> Self {
        Self {
            database,
            gateway: gateway.into(),
            recovery: Recovery::default(),
            history: true,
            say: Arc::new(|_, _| {}),
            clock: Arc::new(crate::value::now),
        }
    }
}
