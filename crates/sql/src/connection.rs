//! One connection to a database: statements in one spelling for all three kinds, transactions, errors.
use crate::uri::{Kind, Uri};
use sqlx::any::{AnyArguments, AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(3);

/// What can go wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or it was lost.
    #[error("database {database} cannot be reached: {why}")]
    Unreachable {
        /// The database, without password.
        database: String,
        /// What the driver says.
        why: String,
    },
    /// A table is not there.
    #[error("database {database} has no table '{table}'; `pool --init` creates what is missing")]
    NoTable {
        /// The database, without password.
        database: String,
        /// The table.
        table: String,
    },
    /// A statement was refused.
    #[error("database {database}: {why}")]
    Refused {
        /// The database, without password.
        database: String,
        /// What the database says.
        why: String,
    },
    /// The administrator asked for something that cannot be.
    #[error("{0}")]
    Wrong(String),
}

impl Error {
    /// It may well go right on another connection.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // Two writers met: the database chose one of them to try again.
            Self::Refused { why, .. } => why.to_lowercase().contains("deadlock"),
            Self::NoTable { .. } | Self::Wrong(_) => false,
        }
    }
}

/// Items of a list in one statement; SQLite takes 32,766 values.
pub(crate) const LIST: usize = 512;

/// A value of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// An integer.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Octets.
    Octets(&'a [u8]),
}

impl Value<'_> {
    /// A number of rows.
    pub(crate) fn count(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A row of an answer; columns are counted from 0.
pub struct Row(AnyRow);

/// A connection.
pub struct Connection {
    inner: AnyConnection,
    kind: Kind,
    shown: Arc<str>,
    /// Statements in this database's spelling.
    spelled: HashMap<&'static str, Arc<str>>,
}

impl Connection {
    /// Connects. `create` makes the file of an SQLite database that is not there.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after three seconds at most.
    pub async fn open(uri: &Uri, create: bool) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let shown: Arc<str> = uri.to_string().into();
        let unreachable = |why: String| Error::Unreachable { database: shown.to_string(), why };
        if let Some(path) = uri.path()
            && !create
            && !path.exists()
        {
            return Err(unreachable("there is no such file; `pool --init` creates it".to_owned()));
        }
        let mode = match uri.kind() {
            Kind::Sqlite if create => "?mode=rwc",
            Kind::Sqlite => "?mode=rw",
            Kind::Mysql | Kind::Postgres => "",
        };
        let url = zeroize::Zeroizing::new(format!("{}{mode}", uri.url()));
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|_| unreachable("the URI cannot be used".to_owned()))?
            .disable_statement_logging();
        let attempt = tokio::time::timeout(CONNECT, AnyConnection::connect_with(&options)).await;
        let inner = match attempt {
            Ok(Ok(inner)) => inner,
            Ok(Err(error)) => return Err(unreachable(reason(&error))),
            Err(_late) => {
                return Err(unreachable(format!("no answer within {} seconds", CONNECT.as_secs())));
            }
        };
        let mut connection = Self { inner, kind: uri.kind(), shown, spelled: HashMap::new() };
        connection.prepare().await?;
        Ok(connection)
    }

    /// Session settings: durability, and that no wait for a lock is long.
    async fn prepare(&mut self) -> Result<(), Error> {
        match self.kind {
            // Another process may have the file for a moment; readers are never in the way of the writer.
            Kind::Sqlite => {
                self.script(
                    "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
                )
                .await
            }
            Kind::Mysql => {
                self.script("SET SESSION innodb_lock_wait_timeout = 3").await?;
                self.script("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                // A gateway that vanished in the middle of a transaction must not hold the others up. MariaDB only.
                let _ = self.script("SET SESSION idle_transaction_timeout = 10").await;
                Ok(())
            }
            Kind::Postgres => {
                self.script("SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = warning;").await
            }
        }
    }

    /// Which kind of database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Begins a transaction that may write: one at a time, of all gateways and tools that use this database.
    ///
    /// # Errors
    /// [`Error`]: lost, or somebody else is writing for longer than three seconds.
    pub async fn begin(&mut self) -> Result<(), Error> {
        match self.kind {
            Kind::Sqlite => self.script("BEGIN IMMEDIATE").await,
            Kind::Mysql => self.script("START TRANSACTION").await,
            Kind::Postgres => self.script("BEGIN").await,
        }?;
        if self.kind != Kind::Sqlite {
            self.rows("SELECT id FROM cygnet_lock WHERE id = 1 FOR UPDATE", &[]).await?;
        }
        Ok(())
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// [`Error`]: it may or may not have happened when the connection was lost.
    pub async fn commit(&mut self) -> Result<(), Error> {
        self.script("COMMIT").await
    }

    /// Takes the transaction back.
    ///
    /// # Errors
    /// [`Error`]: lost; the database takes it back by itself.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.script("ROLLBACK").await
    }

    /// Runs statements without values.
    ///
    /// # Errors
    /// [`Error`]: lost or refused.
    pub async fn script(&mut self, sql: &'static str) -> Result<(), Error> {
        let done = sqlx::raw_sql(sql).execute(&mut self.inner).await;
        done.map(|_| ()).map_err(|error| self.error(&error))
    }

    /// Runs a statement with `?` for each value and returns how many rows it touched. `{…}` in it is repeated with
    /// commas as often as there are values for it: `IN ({?})`, `VALUES {(?, ?)}`.
    ///
    /// # Errors
    /// [`Error`]: lost or refused.
    pub async fn run(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        let (sql, keep) = self.spell(sql, values.len())?;
        let arguments = self.arguments(values)?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(keep);
        let done = query.execute(&mut self.inner).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.error(&error))
    }

    /// Runs a query with `?` for each value; `{…}` as in [`Connection::run`].
    ///
    /// # Errors
    /// [`Error`]: lost or refused.
    pub async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let (sql, keep) = self.spell(sql, values.len())?;
        let arguments = self.arguments(values)?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(keep);
        let rows = query.fetch_all(&mut self.inner).await;
        Ok(rows.map_err(|error| self.error(&error))?.into_iter().map(Row).collect())
    }

    /// The first row of an answer.
    ///
    /// # Errors
    /// [`Error`]: lost or refused.
    pub async fn row(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The first column of the first row; 0 where there is none.
    ///
    /// # Errors
    /// [`Error`]: lost or refused.
    pub async fn number(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<i64, Error> {
        self.row(sql, values).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Defines a table or an index.
    pub(crate) async fn define(&mut self, ddl: &str) -> Result<(), Error> {
        let done = sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut self.inner).await;
        done.map(|_| ()).map_err(|error| self.error(&error))
    }

    pub(crate) fn no_table(&self, table: &str) -> Error {
        Error::NoTable { database: self.shown.to_string(), table: table.to_owned() }
    }

    /// Says goodbye.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CONNECT, self.inner.close()).await;
    }

    fn arguments(&self, values: &[Value<'_>]) -> Result<AnyArguments, Error> {
        let mut arguments = AnyArguments::default();
        for value in values {
            let added = match value {
                Value::Int(number) => arguments.add(*number),
                Value::Text(text) => arguments.add((*text).to_owned()),
                Value::Octets(octets) => arguments.add(octets.to_vec()),
            };
            added.map_err(|error| Error::Refused {
                database: self.shown.to_string(),
                why: error.to_string(),
            })?;
        }
        Ok(arguments)
    }

    /// A statement in this database's spelling, and whether it is worth keeping: one with a list is not, unless the
    /// list has one item or all.
    fn spell(&mut self, sql: &'static str, values: usize) -> Result<(Arc<str>, bool), Error> {
        let kind = self.kind;
        if !sql.contains('{') {
            return Ok((self.spelled.entry(sql).or_insert_with(|| spell(kind, sql).into()).clone(), true));
        }
        let Some((sql, items)) = expand(sql, values) else {
            return Err(Error::Wrong(format!("{values} values do not fit a statement: {sql}")));
        };
        Ok((spell(kind, &sql).into(), items == 1 || items == LIST))
    }

    fn error(&self, error: &sqlx::Error) -> Error {
        let database = self.shown.to_string();
        match error {
            sqlx::Error::Database(refused) if refused.code().is_some_and(|code| goodbye(&code)) => {
                Error::Unreachable { database, why: reason(error) }
            }
            sqlx::Error::Database(refused) => match missing_table(refused.message()) {
                Some(table) => Error::NoTable { database, table },
                None => Error::Refused { database, why: reason(error) },
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::AnyDriverError(_) => {
                Error::Refused { database, why: error.to_string() }
            }
            _ => Error::Unreachable { database, why: reason(error) },
        }
    }
}

impl Row {
    /// An integer; 0 for NULL.
    ///
    /// # Errors
    /// [`Error::Wrong`]: the column holds something else.
    pub fn int(&self, column: usize) -> Result<i64, Error> {
        Ok(self.0.try_get::<Option<i64>, _>(column).map_err(|e| unfit(&e))?.unwrap_or(0))
    }

    /// An unsigned integer; 0 for NULL and for negative numbers.
    ///
    /// # Errors
    /// [`Error::Wrong`]: the column holds something else.
    pub fn count(&self, column: usize) -> Result<u64, Error> {
        Ok(u64::try_from(self.int(column)?).unwrap_or(0))
    }

    /// A text; empty for NULL.
    ///
    /// # Errors
    /// [`Error::Wrong`]: the column holds something else.
    pub fn text(&self, column: usize) -> Result<String, Error> {
        Ok(self.0.try_get::<Option<String>, _>(column).map_err(|e| unfit(&e))?.unwrap_or_default())
    }

    /// Octets; empty for NULL. A text is taken as its octets.
    ///
    /// # Errors
    /// [`Error::Wrong`]: the column holds something else.
    pub fn octets(&self, column: usize) -> Result<Vec<u8>, Error> {
        match self.0.try_get::<Option<Vec<u8>>, _>(column) {
            Ok(octets) => Ok(octets.unwrap_or_default()),
            Err(_) => Ok(self.text(column)?.into_bytes()),
        }
    }
}

fn unfit(error: &sqlx::Error) -> Error {
    Error::Wrong(format!("a column of the database holds what it should not: {error}"))
}

/// What the driver says, in one line.
fn reason(error: &sqlx::Error) -> String {
    let text = match error {
        sqlx::Error::Database(refused) => refused.message().to_owned(),
        sqlx::Error::Io(io) => io.to_string(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// SQLSTATEs with which a server ends a connection: shutting down, killed by an administrator.
fn goodbye(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "70100"
}

/// The table's name in the message of an unknown table.
fn missing_table(message: &str) -> Option<String> {
    let quoted = |quote: char| message.split(quote).nth(1).map(str::to_owned);
    if let Some(table) = message.split("no such table: ").nth(1) {
        return Some(table.trim().to_owned());
    }
    if message.starts_with("relation ") && message.ends_with("does not exist") {
        return quoted('"');
    }
    if message.starts_with("Table ") && message.ends_with("doesn't exist") {
        return quoted('\'').map(|table| table.rsplit('.').next().unwrap_or(&table).to_owned());
    }
    None
}

/// Repeats the item of a list, `{…}`, for all values that are left for it; how often. Nothing where they do not fit.
fn expand(sql: &str, values: usize) -> Option<(String, usize)> {
    let (before, rest) = sql.split_once('{')?;
    let (item, after) = rest.split_once('}')?;
    let marks = |text: &str| text.matches('?').count();
    let left = values.checked_sub(marks(before))?.checked_sub(marks(after))?;
    let items = left.checked_div(marks(item))?;
    if items == 0 || items.checked_mul(marks(item)) != Some(left) {
        return None;
    }
    Some((format!("{before}{}{after}", vec![item; items].join(", ")), items))
}

/// One spelling for all: `?` for values, `"name"`, `AS BIGINT`, `ON CONFLICT …`, `FROM DUAL`, `FOR UPDATE`.
fn spell(kind: Kind, sql: &str) -> String {
    match kind {
        Kind::Sqlite => sql.replace(" FROM DUAL", "").replace(" FOR UPDATE", ""),
        Kind::Mysql => {
            let sql = sql.replace('"', "`").replace("AS BIGINT)", "AS SIGNED)").replace(
                "ON CONFLICT (address, gateway) DO UPDATE SET identity = excluded.identity",
                "ON DUPLICATE KEY UPDATE identity = VALUES(identity)",
            );
            match sql.strip_suffix(" ON CONFLICT DO NOTHING") {
                Some(sql) => sql.replacen("INSERT INTO", "INSERT IGNORE INTO", 1),
                None => sql,
            }
        }
        Kind::Postgres => {
            let mut out = String::with_capacity(sql.len());
            let mut number: u32 = 0;
            for c in sql.replace(" FROM DUAL", "").chars() {
                if c == '?' {
                    number = number.saturating_add(1);
                    out.push('$');
                    out.push_str(&number.to_string());
                } else {
                    out.push(c);
                }
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_spelled_for_each_database() {
        let sql = "INSERT INTO t (\"end\") SELECT CAST(? AS BIGINT), ? FROM DUAL WHERE 1 = ? ON CONFLICT DO NOTHING";
        assert_eq!(
            spell(Kind::Sqlite, sql),
            "INSERT INTO t (\"end\") SELECT CAST(? AS BIGINT), ? WHERE 1 = ? ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            spell(Kind::Mysql, sql),
            "INSERT IGNORE INTO t (`end`) SELECT CAST(? AS SIGNED), ? FROM DUAL WHERE 1 = ?"
        );
        assert_eq!(
            spell(Kind::Postgres, sql),
            "INSERT INTO t (\"end\") SELECT CAST($1 AS BIGINT), $2 WHERE 1 = $3 ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn lists_are_as_long_as_their_values() {
        let sql = "SELECT id FROM t WHERE pool = ? AND id IN ({?}) LIMIT ?";
        let three = "SELECT id FROM t WHERE pool = ? AND id IN (?, ?, ?) LIMIT ?";
        assert_eq!(expand(sql, 5), Some((three.to_owned(), 3)));
        assert_eq!(expand("VALUES {(?, ?)}", 4), Some(("VALUES (?, ?), (?, ?)".to_owned(), 2)));
        assert_eq!((expand(sql, 2), expand(sql, 1), expand("VALUES {(?, ?)}", 3)), (None, None, None));
    }

    #[test]
    fn a_missing_table_is_known_by_the_message_of_each_database() {
        for message in
            ["no such table: pools", "relation \"pools\" does not exist", "Table 'vpn.pools' doesn't exist"]
        {
            assert_eq!(missing_table(message).as_deref(), Some("pools"));
        }
        assert_eq!(missing_table("database is locked"), None);
    }
}
