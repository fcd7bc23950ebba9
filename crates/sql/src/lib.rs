//! Pools of virtual addresses in a database (SQLite, MySQL, MariaDB, PostgreSQL) in the schema that strongSwan's
//! `attr-sql` and its `pool` tool use, and the journal that lets pools in memory survive a restart.
//!
//! The walk: [`uri`] (where) → [`connection`] (statements and transactions) → [`schema`] (tables) → [`admin`] (what
//! the `pool` tool does). Beside it [`journal`]: the leases of pools in memory, on disk.

pub mod admin;
pub mod connection;
mod identities;
pub mod journal;
mod recovery;
pub mod schema;
pub mod uri;
pub mod value;

pub use admin::Admin;
pub use connection::{Connection, Error, Value};
pub use uri::{Kind, Uri, UriError};
