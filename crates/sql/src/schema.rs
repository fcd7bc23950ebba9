//! The tables: those of strongSwan's `attr-sql` and `pool`, and three of our own.
//!
//! Ours hold what strongSwan's have no place for: which row is locked by who writes (`cygnet_lock`), how far a pool
//! has been handed out whose address rows are made as they are needed (`cygnet_pools`), and which gateway uses an
//! address (`cygnet_holds`). strongSwan's programs neither see nor need them.
use crate::connection::{Connection, Error, Value};
use crate::uri::Kind;

/// strongSwan's tables, in the order in which they can be made.
const TABLES: &[(&str, &str)] = &[
    (
        "identities",
        "CREATE TABLE identities ({id}, type {int} NOT NULL, data {octets512} NOT NULL, UNIQUE (type, data))",
    ),
    (
        "pools",
        "CREATE TABLE pools ({id}, name {text} NOT NULL UNIQUE, start {octets16} NOT NULL, \"end\" {octets16} NOT NULL, timeout {int} NOT NULL)",
    ),
    (
        "addresses",
        "CREATE TABLE addresses ({id}, pool {int} NOT NULL, address {octets16} NOT NULL, identity {int} NOT NULL DEFAULT 0, acquired {int} NOT NULL DEFAULT 0, released {int} NOT NULL DEFAULT 1)",
    ),
    (
        "leases",
        "CREATE TABLE leases ({id}, address {int} NOT NULL, identity {int} NOT NULL, acquired {int} NOT NULL, released {int} NOT NULL)",
    ),
    ("attribute_pools", "CREATE TABLE attribute_pools ({id}, name {text} NOT NULL)"),
    (
        "attributes",
        "CREATE TABLE attributes ({id}, identity {int} NOT NULL DEFAULT 0, pool {int} NOT NULL DEFAULT 0, type {int} NOT NULL, value {octets} NOT NULL)",
    ),
];

/// Our own tables.
const OURS: &[(&str, &str)] = &[
    ("cygnet_lock", "CREATE TABLE cygnet_lock (id {int} NOT NULL PRIMARY KEY)"),
    (
        "cygnet_pools",
        "CREATE TABLE cygnet_pools (pool {int} NOT NULL PRIMARY KEY, name {text} NOT NULL, start {octets16} NOT NULL, next {octets16} NOT NULL)",
    ),
    (
        "cygnet_holds",
        "CREATE TABLE cygnet_holds (address {int} NOT NULL, gateway {text} NOT NULL, identity {int} NOT NULL, PRIMARY KEY (address, gateway))",
    ),
];

/// Indexes that keep every lease at a few look-ups, however many rows there are.
const INDEXES: &[(&str, &str, &str)] = &[
    ("cygnet_addresses_identity", "addresses", "pool, identity{id}"),
    ("cygnet_addresses_released", "addresses", "pool, released"),
    ("cygnet_addresses_address", "addresses", "address, pool"),
    ("cygnet_leases_address", "leases", "address"),
    ("cygnet_holds_gateway", "cygnet_holds", "gateway"),
];

/// Makes all tables that are not there: the first step with a new database.
///
/// # Errors
/// [`Error`]: lost, or the account may not create tables.
pub async fn create(connection: &mut Connection) -> Result<(), Error> {
    for (name, ddl) in TABLES {
        make(connection, name, ddl).await?;
    }
    adopt(connection).await
}

/// Checks that strongSwan's tables are there and makes ours where they are not.
///
/// # Errors
/// [`Error::NoTable`] names the first one of strongSwan's that is missing; [`Error::Refused`]: the account may not
/// create tables.
pub async fn adopt(connection: &mut Connection) -> Result<(), Error> {
    for (name, _) in TABLES {
        if !has_table(connection, name).await? {
            return Err(connection.no_table(name));
        }
    }
    for (name, ddl) in OURS {
        make(connection, name, ddl).await?;
    }
    for (name, table, columns) in INDEXES {
        if !has_index(connection, name, table).await? {
            // The others have the row's number at the end of every index.
            let id = if connection.kind() == Kind::Postgres { ", id" } else { "" };
            let ddl = format!("CREATE INDEX {name} ON {table} ({})", columns.replace("{id}", id));
            let made = connection.define(&ddl).await;
            // Somebody else may have made it in between.
            if made.is_err() && !has_index(connection, name, table).await? {
                return made;
            }
        }
    }
    connection
        .run("INSERT INTO cygnet_lock (id) VALUES (?) ON CONFLICT DO NOTHING", &[Value::Int(1)])
        .await?;
    Ok(())
}

async fn make(connection: &mut Connection, name: &str, ddl: &str) -> Result<(), Error> {
    if has_table(connection, name).await? {
        return Ok(());
    }
    let made = connection.define(&ddl_for(connection.kind(), ddl)).await;
    if made.is_err() && has_table(connection, name).await? {
        return Ok(());
    }
    made
}

async fn has_table(connection: &mut Connection, table: &str) -> Result<bool, Error> {
    let sql = match connection.kind() {
        Kind::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?",
        Kind::Mysql => {
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
        }
        Kind::Postgres => {
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false)) AND table_name = ?"
        }
    };
    Ok(connection.number(sql, &[Value::Text(table)]).await? > 0)
}

async fn has_index(connection: &mut Connection, index: &str, table: &str) -> Result<bool, Error> {
    let sql = match connection.kind() {
        Kind::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND name = ? AND tbl_name = ?"
        }
        Kind::Mysql => {
            "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name = ? AND table_name = ?"
        }
        Kind::Postgres => {
            "SELECT COUNT(*) FROM pg_indexes WHERE schemaname = ANY (current_schemas(false)) AND indexname = ? AND tablename = ?"
        }
    };
    Ok(connection.number(sql, &[Value::Text(index), Value::Text(table)]).await? > 0)
}

/// The types of each database.
fn ddl_for(kind: Kind, ddl: &str) -> String {
    let (id, int, text, octets) = match kind {
        // AUTOINCREMENT: the number of a row that was deleted is never used again.
        Kind::Sqlite => ("id INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER", "TEXT", ["BLOB"; 3]),
        Kind::Mysql => (
            "id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
            "BIGINT",
            "VARCHAR(190)",
            ["VARBINARY(16)", "VARBINARY(512)", "BLOB"],
        ),
        Kind::Postgres => ("id BIGSERIAL PRIMARY KEY", "BIGINT", "TEXT", ["BYTEA"; 3]),
    };
    let [octets16, octets512, octets] = octets;
    let ddl = ddl
        .replace("{id}", id)
        .replace("{int}", int)
        .replace("{text}", text)
        .replace("{octets16}", octets16)
        .replace("{octets512}", octets512)
        .replace("{octets}", octets);
    match kind {
        Kind::Mysql => format!("{} ENGINE = InnoDB", ddl.replace('"', "`")),
        Kind::Sqlite | Kind::Postgres => ddl,
    }
}
