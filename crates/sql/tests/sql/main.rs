//! The databases of pools, on SQLite, MariaDB and PostgreSQL.

mod admin;
mod servers;
mod store;
