//! The databases of pools, on SQLite, MariaDB and PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod admin;
mod configs;
mod gateways;
mod outage;
mod promises;
mod servers;
mod store;
