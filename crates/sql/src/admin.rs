//! What an administrator does with a database of pools: the operations of the `pool` tool.
//!
//! Each operation is a transaction of its own, or part of the one between [`Admin::begin`] and [`Admin::commit`].

mod attributes;
mod leases;
mod pools;

pub use attributes::Attribute;
pub use leases::{Lease, LeaseFilter, LeaseState};
pub use pools::{FILL_LIMIT, NewPool, PoolRow};

pub(crate) use attributes::attributes as all_attributes;
pub(crate) use leases::page as page_of_leases;
pub(crate) use pools::status as pool_status;

use crate::connection::{Connection, Error};
use crate::schema;
use crate::uri::Uri;

/// A database of pools, open for administration.
pub struct Admin {
    connection: Connection,
    /// Inside [`Admin::begin`] … [`Admin::commit`].
    batch: bool,
    clock: fn() -> u64,
}

impl Admin {
    /// Opens a database that has its tables; our own are added.
    ///
    /// # Errors
    /// [`Error`]: not there, no tables (`pool --init` makes them), not allowed.
    pub async fn open(uri: &Uri) -> Result<Self, Error> {
        let mut connection = Connection::open(uri, false).await?;
        schema::adopt(&mut connection).await?;
        Ok(Self { connection, batch: false, clock: crate::value::now })
    }

    /// Makes all tables that are not there, and the file of an SQLite database; nothing that is there is touched.
    ///
    /// # Errors
    /// [`Error`]: not there, not allowed.
    pub async fn init(uri: &Uri) -> Result<Self, Error> {
        let mut connection = Connection::open(uri, true).await?;
        schema::create(&mut connection).await?;
        Ok(Self { connection, batch: false, clock: crate::value::now })
    }

    /// Another clock than the system's (Unix seconds).
    #[must_use]
    pub fn with_clock(self, clock: fn() -> u64) -> Self {
        Self { clock, ..self }
    }

    /// Begins one transaction for all that follows.
    ///
    /// # Errors
    /// [`Error`]: lost, or others write for longer than three seconds.
    pub async fn begin(&mut self) -> Result<(), Error> {
        if !self.batch {
            self.connection.begin().await?;
            self.batch = true;
        }
        Ok(())
    }

    /// Keeps what was done since [`Admin::begin`].
    ///
    /// # Errors
    /// [`Error`]: lost.
    pub async fn commit(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.batch) { self.connection.commit().await } else { Ok(()) }
    }

    /// Takes back what was done since [`Admin::begin`].
    ///
    /// # Errors
    /// [`Error`]: lost; it is taken back all the same.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.batch) { self.connection.rollback().await } else { Ok(()) }
    }

    /// Says goodbye; what was not committed is taken back.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// Begins the transaction of one operation, unless it is part of a batch.
    async fn enter(&mut self) -> Result<(), Error> {
        if self.batch { Ok(()) } else { self.connection.begin().await }
    }

    /// Ends the transaction of one operation: kept when it went well.
    async fn leave<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if !self.batch {
            if outcome.is_ok() {
                self.connection.commit().await?;
            } else {
                let _ = self.connection.rollback().await;
            }
        }
        outcome
    }
}
