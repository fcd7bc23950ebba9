//! The backend of pools: what the daemon asks.
use crate::settings::Settings;
use crate::snapshot::Reader;
use crate::writer::{Given, LeaseJob, QUEUE, ReleaseJob, Writer};
use crate::{Error, admin::LeaseState};
use policy::Identity;
use pool::{Attributes, Grant, Later, LeaseRow, PoolStatus, Store, Trouble, Wanted};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a client waits for the writer: two attempts of a transaction and their connections.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pools in a database.
pub struct Pools {
    settings: Settings,
    reader: Reader,
    leases: mpsc::Sender<LeaseJob>,
    releases: mpsc::UnboundedSender<ReleaseJob>,
}

impl Pools {
    /// Starts the task that writes, on the runtime of the caller. It connects by itself, and again whenever that is
    /// necessary, and ends with the last use of the store.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let (leases, leases_inbox) = mpsc::channel(QUEUE);
        let (releases, releases_inbox) = mpsc::unbounded_channel();
        let writer = Writer::new(settings.clone(), leases_inbox, releases_inbox, releases.downgrade());
        tokio::spawn(writer.run());
        Self { reader: Reader::new(settings.clone()), settings, leases, releases }
    }

    async fn grant(&self, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let trouble = |why: String| Trouble::Unavailable { pool: wanted.pools.join(", "), why };
        let (reply, answer) = oneshot::channel::<Result<Given, Trouble>>();
        self.leases.try_send(LeaseJob { wanted: wanted.clone(), reply }).map_err(|_full| {
            trouble(format!("database {}: {QUEUE} requests are waiting already", self.settings.database))
        })?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(outcome)) => outcome.map(Given::take),
            Ok(Err(_gone)) => {
                Err(trouble(format!("database {}: it is being closed", self.settings.database)))
            }
            Err(_late) => Err(trouble(format!("database {}: no answer in time", self.settings.database))),
        }
    }

    async fn page(&self, pool: &str, after: Option<IpAddr>, limit: usize) -> Result<Vec<LeaseRow>, Trouble> {
        let leases = self.reader.leases(pool, after, limit).await.map_err(|error| self.trouble(&error))?;
        Ok(leases.into_iter().map(row).collect())
    }

    fn trouble(&self, error: &Error) -> Trouble {
        Trouble::Unavailable { pool: self.plugin().to_owned(), why: error.to_string() }
    }
}

impl Store for Pools {
    fn plugin(&self) -> &'static str {
        "attr-sql"
    }

    fn tells(&self) -> bool {
        true
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            match self.reader.fresh().await {
                Ok(snapshot) => snapshot.pools.contains(pool),
                // The client is told what is wrong with the database rather than that there is no such pool.
                Err(_) => {
                    let latest = self.reader.latest();
                    !latest.known() || latest.pools.contains(pool)
                }
            }
        })
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(self.grant(wanted))
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async move {
            if granted.is_empty() {
                return Ok(Vec::new());
            }
            let pools: Vec<String> = granted.iter().map(|grant| grant.pool.clone()).collect();
            match self.reader.fresh().await {
                Ok(snapshot) => Ok(snapshot.attributes(&wanted.identity, &pools)),
                Err(error) => {
                    let latest = self.reader.latest();
                    // Old attributes are better than none.
                    if latest.known() {
                        Ok(latest.attributes(&wanted.identity, &pools))
                    } else {
                        Err(self.trouble(&error))
                    }
                }
            }
        })
    }

    fn for_everyone(&self) -> bool {
        true
    }

    fn release<'a>(
        &'a self,
        pools: &'a [String],
        identity: &'a Identity,
        address: IpAddr,
    ) -> Later<'a, bool> {
        let (reply, answer) = oneshot::channel();
        // Sent before anybody waits: it happens whether somebody waits or not.
        let job =
            ReleaseJob { pools: pools.to_vec(), identity: identity.clone(), address, reply: Some(reply) };
        let sent = self.releases.send(job).is_ok();
        Box::pin(async move { sent && answer.await.unwrap_or(false) })
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(async move {
            let pools = self.reader.status().await.map_err(|error| self.trouble(&error))?;
            let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            let status = |pool: crate::admin::PoolRow| PoolStatus {
                base: pool.start,
                // As strongSwan counts: at most 2³¹.
                size: u32::try_from(pool.size).unwrap_or(u32::MAX).min(1 << 31),
                online: number(pool.online),
                offline: number(pool.used.saturating_sub(pool.online)),
                name: pool.name,
            };
            Ok(pools.into_iter().map(status).collect())
        })
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(self.page(pool, None, limit))
    }

    fn leases_after<'a>(
        &'a self,
        pool: &'a str,
        after: IpAddr,
        limit: usize,
    ) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(self.page(pool, Some(after), limit))
    }
}

fn row(lease: crate::admin::Lease) -> LeaseRow {
    let online = lease.state == LeaseState::Online;
    LeaseRow {
        address: lease.address,
        prefix: if lease.address.is_ipv4() { 32 } else { 128 },
        identity: lease.identity,
        online,
        since: if online { lease.acquired } else { lease.released },
        expires: lease.expires,
    }
}
