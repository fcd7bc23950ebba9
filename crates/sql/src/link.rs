//! A connection that comes and goes: made when it is needed, not tried again at once when it fails.
use crate::connection::{Connection, Error};
use crate::schema;
use crate::uri::Uri;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// A connection that comes and goes.
pub(crate) struct Link {
    uri: Uri,
    connection: Option<Connection>,
    /// No attempt before this; and why the last one failed.
    closed: Option<(Instant, Error)>,
    pause: Duration,
}

impl Link {
    pub(crate) fn new(uri: Uri) -> Self {
        Self { uri, connection: None, closed: None, pause: PAUSES.0 }
    }

    /// There is a connection; it may be dead all the same.
    pub(crate) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// When a connection may be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.closed.as_ref().map(|(at, _)| *at)
    }

    /// The connection, made now if there is none. Tables of ours are added to a database that lacks them.
    ///
    /// # Errors
    /// [`Error`]: it failed, or has failed a moment ago.
    pub(crate) async fn up(&mut self) -> Result<&mut Connection, Error> {
        if self.connection.is_none() {
            if let Some((at, error)) = &self.closed
                && Instant::now() < *at
            {
                return Err(error.clone());
            }
            match connect(&self.uri).await {
                Ok(connection) => {
                    self.closed = None;
                    self.pause = PAUSES.0;
                    return Ok(self.connection.insert(connection));
                }
                Err(error) => {
                    self.fail(error.clone());
                    return Err(error);
                }
            }
        }
        let late = self.late();
        self.connection.as_mut().ok_or(late)
    }

    /// The connection for one use: whoever fails to give it back has used it up.
    ///
    /// # Errors
    /// As [`Link::up`].
    pub(crate) async fn borrow(&mut self) -> Result<Connection, Error> {
        self.up().await?;
        self.connection.take().ok_or_else(|| self.late())
    }

    /// Gives it back in good order.
    pub(crate) fn give_back(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Lets go of the connection and does not try again for a while.
    pub(crate) fn fail(&mut self, error: Error) {
        self.connection = None;
        let at = Instant::now();
        self.closed = Some((at.checked_add(self.pause).unwrap_or(at), error));
        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
    }

    /// Lets go of a connection on which something failed.
    pub(crate) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Nothing came back in time.
    pub(crate) fn late(&self) -> Error {
        Error::Unreachable { database: self.uri.to_string(), why: "no answer in time".to_owned() }
    }
}

async fn connect(uri: &Uri) -> Result<Connection, Error> {
    let mut connection = Connection::open(uri, false).await?;
    schema::adopt(&mut connection).await?;
    Ok(connection)
}
