//! Names of the pools, and the attributes: read at most once a second, however many clients come.
use crate::admin::{self, Attribute, Lease, LeaseFilter, PoolRow};
use crate::connection::Error;
use crate::link::Link;
use crate::settings::Settings;
use policy::Identity;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::ike::ConfigAttr;

/// How old what was read may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long a reader waits, for its turn and for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) pools: BTreeSet<String>,
    attributes: Vec<Attribute>,
    at: Option<Instant>,
}

/// The connection on which nothing is written.
pub(crate) struct Reader {
    settings: Settings,
    link: tokio::sync::Mutex<Link>,
    latest: Lock<Arc<Snapshot>>,
}

impl Reader {
    pub(crate) fn new(settings: Settings) -> Self {
        let link = tokio::sync::Mutex::new(Link::new(settings.database.clone()));
        Self { settings, link, latest: Lock::default() }
    }

    /// What was read last; nothing before the database has answered.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was read within the last second, or is read now.
    pub(crate) async fn fresh(&self) -> Result<Arc<Snapshot>, Error> {
        let fresh = |snapshot: &Snapshot| snapshot.at.is_some_and(|at| at.elapsed() < FRESH);
        let latest = self.latest();
        if fresh(&latest) {
            return Ok(latest);
        }
        let read = async {
            let mut link = self.link.lock().await;
            // Somebody else may have read it while this one waited.
            let latest = self.latest();
            if fresh(&latest) {
                return Ok(latest);
            }
            let read = with(&mut link, Query::Snapshot).await?;
            let Answer::Snapshot(snapshot) = read else { return Ok(latest) };
            let snapshot = Arc::new(snapshot);
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = snapshot.clone();
            Ok(snapshot)
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(outcome) => outcome,
            Err(_late) => Err(self.late()),
        }
    }

    /// The pools and how they are used.
    pub(crate) async fn status(&self) -> Result<Vec<PoolRow>, Error> {
        let now = (self.settings.clock)();
        match self.ask(Query::Status(now)).await? {
            Answer::Status(pools) => Ok(pools),
            Answer::Leases(_) | Answer::Snapshot(_) => Ok(Vec::new()),
        }
    }

    /// The current leases of a pool.
    pub(crate) async fn leases(&self, pool: &str, limit: usize) -> Result<Vec<Lease>, Error> {
        let filter = LeaseFilter { pool: Some(pool.to_owned()), ..LeaseFilter::default() };
        let now = (self.settings.clock)();
        match self.ask(Query::Leases(filter, limit, now)).await? {
            Answer::Leases(leases) => Ok(leases),
            Answer::Status(_) | Answer::Snapshot(_) => Ok(Vec::new()),
        }
    }

    async fn ask(&self, query: Query) -> Result<Answer, Error> {
        let read = async { with(&mut *self.link.lock().await, query).await };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(outcome) => outcome,
            Err(_late) => Err(self.late()),
        }
    }

    fn late(&self) -> Error {
        Error::Unreachable {
            database: self.settings.database.to_string(),
            why: "no answer in time".to_owned(),
        }
    }
}

#[derive(Clone)]
enum Query {
    Snapshot,
    Status(u64),
    Leases(LeaseFilter, usize, u64),
}

enum Answer {
    Snapshot(Snapshot),
    Status(Vec<PoolRow>),
    Leases(Vec<Lease>),
}

/// Asks; once more on a new connection where an old one turns out to be dead. A question that nobody waits for any
/// more costs the connection, for its answer may still come.
async fn with(link: &mut Link, query: Query) -> Result<Answer, Error> {
    loop {
        let old = link.is_up();
        let mut connection = link.borrow().await?;
        match ask(&mut connection, query.clone()).await {
            Ok(answer) => {
                link.give_back(connection);
                return Ok(answer);
            }
            Err(error) if old && error.passes() => {}
            Err(error) => return Err(error),
        }
    }
}

async fn ask(connection: &mut crate::Connection, query: Query) -> Result<Answer, Error> {
    match query {
        Query::Snapshot => {
            let names = connection.rows("SELECT name FROM pools", &[]).await?;
            let pools = names.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
            let attributes = admin::all_attributes(connection).await?;
            Ok(Answer::Snapshot(Snapshot { pools, attributes, at: Some(Instant::now()) }))
        }
        Query::Status(now) => {
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            admin::pool_status(connection, now).await.map(Answer::Status)
        }
        Query::Leases(filter, limit, now) => {
            admin::list_leases(connection, &filter, limit, false, now).await.map(Answer::Leases)
        }
    }
}

impl Snapshot {
    /// The database has answered at least once.
    pub(crate) fn known(&self) -> bool {
        self.at.is_some()
    }

    /// What a client is given: what is for it in its pools; where there is none, what is for its pools; where there
    /// is none, what is for it anywhere; else what is for everybody.
    pub(crate) fn attributes(&self, identity: &Identity, pools: &[String]) -> Vec<ConfigAttr> {
        let of = |own: bool, pool: bool| -> Vec<ConfigAttr> {
            let mut found: Vec<ConfigAttr> = Vec::new();
            for attribute in &self.attributes {
                let mine = match &attribute.identity {
                    Some(owner) => own && owner == identity,
                    None => !own,
                };
                let here = match &attribute.pool {
                    Some(name) => pool && pools.contains(name),
                    None => !pool,
                };
                let attribute = ConfigAttr { kind: attribute.kind, value: attribute.value.clone() };
                if mine && here && !found.contains(&attribute) {
                    found.push(attribute);
                }
            }
            found
        };
        [(true, true), (false, true), (true, false), (false, false)]
            .into_iter()
            .map(|(own, pool)| of(own, pool))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }
}
