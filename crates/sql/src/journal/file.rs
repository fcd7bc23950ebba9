//! The file of the journal: opening it with care, reading all, writing a batch.
use super::{JournalError, Pending};
use futures_util::TryStreamExt as _;
use policy::Identity;
use pool::SavedLease;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteLockingMode};
use sqlx::{Connection, QueryBuilder, Row, Sqlite};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::iana::IdType;

/// `CyLe` in SQLite's header.
const APPLICATION: i64 = 0x4379_4c65;
/// The format this version reads and writes.
const FORMAT: i64 = 1;
/// Rows of one statement; SQLite takes 32,766 values.
const ROWS: usize = 500;
/// How long another process may take to leave the file.
const BUSY: Duration = Duration::from_secs(3);
/// Identities that have no form on the wire are kept as text.
const AS_TEXT: i64 = -1;

const TABLE: &str = "CREATE TABLE leases (
    pool TEXT NOT NULL,
    address TEXT NOT NULL,
    id_type INTEGER NOT NULL,
    id_data BLOB NOT NULL,
    online INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (pool, address)
) WITHOUT ROWID";

/// The open file.
pub(super) struct File {
    path: PathBuf,
    /// `None` after a failure: opened again at the next write.
    connection: Option<SqliteConnection>,
}

impl File {
    pub(super) async fn open(path: &Path) -> Result<Self, JournalError> {
        let connection = connect(path, true).await?;
        Ok(Self { path: path.to_owned(), connection: Some(connection) })
    }

    /// All leases, longest offline first. Those that were in use are offline since now, in the file, too.
    pub(super) async fn leases(&mut self, now: u64) -> Result<Vec<SavedLease>, JournalError> {
        let path = self.path.clone();
        let Some(connection) = self.connection.as_mut() else { return Ok(Vec::new()) };
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        // The clock may have been wrong when they were written; later than now was never.
        sqlx::query("UPDATE leases SET online = 0, since = ?1 WHERE online <> 0 OR since > ?1")
            .bind(now)
            .execute(&mut *connection)
            .await
            .map_err(|e| trouble(&path, &e))?;
        // One row at a time: rows as the driver holds them take many times what the leases do.
        let mut rows =
            sqlx::query("SELECT pool, address, id_type, id_data, since FROM leases ORDER BY since")
                .fetch(&mut *connection);
        let damaged = |why: String| JournalError::Damaged { path: path.clone(), why };
        let mut leases = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|e| trouble(&path, &e))? {
            let lease = read(&row).map_err(|e| damaged(e.to_string()))?;
            leases.push(lease.map_err(damaged)?);
        }
        drop(rows);
        Ok(leases)
    }

    /// Lets the file grow no further than this many pages.
    #[cfg(test)]
    pub(super) async fn limit(&mut self, pages: u32) {
        let mut query = QueryBuilder::<Sqlite>::new("PRAGMA max_page_count = ");
        query.push(pages);
        query.build().fetch_all(self.connection.as_mut().unwrap()).await.unwrap();
    }

    /// One transaction for all of it.
    pub(super) async fn write(&mut self, batch: &Pending) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path, false).await.map_err(|e| e.to_string())?,
        };
        write(&mut connection, batch).await.map_err(|e| e.to_string())?;
        self.connection = Some(connection);
        Ok(())
    }
}

async fn write(connection: &mut SqliteConnection, batch: &Pending) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let kept: Vec<_> = batch.iter().filter_map(|(key, entry)| Some((key, entry.owned.as_ref()?))).collect();
    for rows in kept.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO leases (pool, address, id_type, id_data, online, since) ",
        );
        query.push_values(rows, |mut row, ((pool, address), owned)| {
            let (kind, data) = encode(&owned.identity);
            row.push_bind(pool.as_str())
                .push_bind(address.to_string())
                .push_bind(kind)
                .push_bind(data)
                .push_bind(i64::from(owned.online))
                .push_bind(i64::try_from(owned.since).unwrap_or(i64::MAX));
        });
        query.build().persistent(rows.len() == ROWS || rows.len() == 1).execute(&mut *transaction).await?;
    }
    let gone: Vec<_> = batch.iter().filter(|(_, entry)| entry.owned.is_none()).map(|(key, _)| key).collect();
    for rows in gone.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM leases WHERE (pool, address) IN (");
        query.push_values(rows, |mut row, (pool, address)| {
            row.push_bind(pool.as_str()).push_bind(address.to_string());
        });
        query.push(")");
        query.build().persistent(rows.len() == ROWS || rows.len() == 1).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Opens or makes the file. Nothing is written before it is known to be ours, or empty. `check`: reads all of it.
async fn connect(path: &Path, check: bool) -> Result<SqliteConnection, JournalError> {
    prepare(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .locking_mode(SqliteLockingMode::Exclusive);
    let failed = |e: sqlx::Error| trouble(path, &e);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let number = |row: sqlx::sqlite::SqliteRow| row.try_get::<i64, _>(0);
    let application = sqlx::query("PRAGMA application_id").fetch_one(&mut connection).await.and_then(number);
    let application = application.map_err(failed)?;
    let tables = sqlx::query("SELECT count(*) FROM sqlite_master").fetch_one(&mut connection).await;
    let tables = tables.and_then(number).map_err(failed)?;
    let format = sqlx::query("PRAGMA user_version").fetch_one(&mut connection).await.and_then(number);
    let format = format.map_err(failed)?;
    let fresh = application == 0 && tables == 0 && format == 0;
    if !fresh && application != APPLICATION {
        let what = "but another program's SQLite database".to_owned();
        return Err(JournalError::Foreign { path: path.to_owned(), what });
    }
    if !fresh && format != FORMAT {
        return Err(JournalError::Newer { path: path.to_owned(), format });
    }
    for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"] {
        sqlx::query(pragma).fetch_all(&mut connection).await.map_err(failed)?;
    }
    if fresh {
        let mut transaction = connection.begin().await.map_err(failed)?;
        sqlx::query(TABLE).execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("PRAGMA application_id = 0x43794c65").execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("PRAGMA user_version = 1").execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        return Ok(connection);
    }
    if check {
        let found = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut connection).await;
        let found: String = found.and_then(|row| row.try_get(0)).map_err(failed)?;
        if found != "ok" {
            return Err(JournalError::Damaged { path: path.to_owned(), why: found });
        }
    }
    Ok(connection)
}

/// The file is there, readable by its owner only, and so is its directory.
fn prepare(path: &Path) -> Result<(), JournalError> {
    let failed = |e: std::io::Error| JournalError::Open { path: path.to_owned(), why: e.to_string() };
    if let Some(directory) = path.parent()
        && !directory.as_os_str().is_empty()
        && !directory.exists()
    {
        std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(failed)?;
    }
    let file =
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let what = "and not even a file".to_owned();
        return Err(JournalError::Foreign { path: path.to_owned(), what });
    }
    Ok(())
}

/// What SQLite says, as something to act on.
fn trouble(path: &Path, error: &sqlx::Error) -> JournalError {
    let path = path.to_owned();
    // SQLite's codes are stable; the upper bits tell more.
    let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => JournalError::Busy { path },
        Some(11) => JournalError::Damaged { path, why: error.to_string() },
        Some(26) => JournalError::Foreign { path, what: "nor any SQLite file".to_owned() },
        _ => JournalError::Open { path, why: error.to_string() },
    }
}

fn encode(identity: &Identity) -> (i64, Vec<u8>) {
    match identity {
        Identity::Any | Identity::Range(..) | Identity::Pattern(..) => {
            (AS_TEXT, identity.to_string().into_bytes())
        }
        Identity::Ip(_)
        | Identity::Fqdn(_)
        | Identity::Rfc822(_)
        | Identity::Dn { .. }
        | Identity::KeyId(_)
        | Identity::Other(..) => {
            let (kind, data) = identity.to_wire();
            (u8::from(kind).into(), data)
        }
    }
}

fn decode(kind: i64, data: Vec<u8>) -> Result<Identity, String> {
    if kind == AS_TEXT {
        let text = String::from_utf8(data).map_err(|e| e.to_string())?;
        return Identity::parse(&text).map_err(|e| e.to_string());
    }
    let kind = u8::try_from(kind).map_err(|_| format!("{kind} is no type of an identity"))?;
    let kind = IdType::from(kind);
    Ok(Identity::from_wire(kind, &data).unwrap_or(Identity::Other(kind, data)))
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Result<SavedLease, String>, sqlx::Error> {
    let address: String = row.try_get(1)?;
    let (kind, data): (i64, Vec<u8>) = (row.try_get(2)?, row.try_get(3)?);
    let since: i64 = row.try_get(4)?;
    let pool: String = row.try_get(0)?;
    let lease = || -> Result<SavedLease, String> {
        let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no address"))?;
        let identity = decode(kind, data)?;
        Ok(SavedLease { pool, address, identity, holds: 0, since: u64::try_from(since).unwrap_or(0) })
    };
    Ok(lease())
}
