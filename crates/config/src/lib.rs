//! Reads and writes strongswan.conf and swanctl.conf: text, tree, policy, with errors that point at the line.
//!
//! Deliberately not here: what a connection does. This floor ends where a [`policy`] value begins.
//!
//! The walk: [`grammar`] (text → statements) → [`resolve`] (files → one tree) → [`tree`] (sections and values; what
//! vici carries, too) → [`schema`] (one row per key; tree → policy) with [`capability`] (what there is) → [`swanctl`]
//! (a whole file, checked and as vici messages); [`mod@write`] (policy → tree → text) and
//! [`report`] (what to tell the operator).

pub mod capability;
pub mod grammar;
pub mod report;
pub mod resolve;
pub mod schema;
pub mod swanctl;
pub mod tree;
pub mod write;

pub use capability::{Capabilities, Capability};
pub use grammar::Sources;
pub use report::{Report, Severity};
pub use resolve::{Disk, LoadError, Loaded, Loader, load};
pub use schema::Context;
pub use schema::authority::{Authority, load_authority};
pub use schema::connection::load_connection;
pub use schema::daemon::credentials::VaultSettings;
pub use schema::daemon::{
    CredentialSettings, DaemonSettings, FirewallMark, NetworkSettings, RadiusDae, RadiusServer,
    RadiusSettings, ResolveTarget, load_daemon,
};
pub use schema::pool::load_pool;
pub use schema::secret::{
    PrivateFile, SecretData, SecretSection, SharedConfig, TokenKey, VaultPath, load_secret, load_shared,
    shared_message,
};
pub use swanctl::{Checked, SwanctlConfig, load_swanctl};
pub use tree::{Node, Section, Span, Value};
