//! Pools of virtual addresses in a database (SQLite, MySQL, MariaDB, PostgreSQL) in the schema that strongSwan's
//! `attr-sql` and its `pool` tool use, and the journal that lets pools in memory survive a restart.
//!
//! The walk: [`uri`] (where) → [`connection`] (statements and transactions) → `link` (one that comes and goes) →
//! [`schema`] (tables) → `lease` (who gets which address) → `writer` (the one task that writes) → `snapshot` (what is
//! only read) → [`store`] (what the daemon asks); [`admin`] is what the `pool` tool does. Beside it [`journal`]: the
//! leases of pools in memory, on disk. [`configs`]: connections and credentials in the tables of strongSwan's `sql` plugin.

pub mod admin;
pub mod configs;
pub mod connection;
mod identities;
pub mod journal;
mod lease;
mod link;
mod recovery;
pub mod schema;
pub mod settings;
mod snapshot;
pub mod store;
pub mod uri;
pub mod value;
mod writer;

pub use admin::Admin;
pub use connection::{Connection, Error, Value};
pub use settings::{Recovery, Settings};
pub use store::Pools;
pub use uri::{Kind, Uri, UriError};
pub use writer::QUEUE;
