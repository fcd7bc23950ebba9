//! The one task that writes: it takes all that waits into one transaction and answers when that is durable.
use crate::connection::Error;
use crate::lease::{Batch, Leased, Served};
use crate::link::Link;
use crate::recovery;
use crate::settings::Settings;
use policy::Identity;
use pool::{Grant, Origin, Trouble, Wanted};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait; more are refused.
pub const QUEUE: usize = 4096;
/// Requests in one transaction.
const BATCH: usize = 512;
/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses given back in one transaction.
const ENDS: usize = 2048;
/// How long the release of all that an earlier process left may take.
const RECOVERY: Duration = Duration::from_secs(60);

/// A request for addresses.
pub(crate) struct LeaseJob {
    pub(crate) wanted: Wanted,
    pub(crate) reply: oneshot::Sender<Result<Given, Trouble>>,
}

/// An address that is given back.
pub(crate) struct ReleaseJob {
    /// The pools it may be from; none: any.
    pub(crate) pools: Vec<String>,
    pub(crate) identity: Identity,
    pub(crate) address: IpAddr,
    /// Whether the identity held it.
    pub(crate) reply: Option<oneshot::Sender<bool>>,
}

/// Granted addresses on their way: dropped before somebody took them, they are given back.
pub(crate) struct Given {
    grants: Vec<Grant>,
    identity: Identity,
    releases: mpsc::UnboundedSender<ReleaseJob>,
}

impl Given {
    pub(crate) fn take(mut self) -> Vec<Grant> {
        std::mem::take(&mut self.grants)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for grant in self.grants.drain(..) {
            let job = ReleaseJob {
                pools: vec![grant.pool],
                identity: self.identity.clone(),
                address: grant.address,
                reply: None,
            };
            let _ = self.releases.send(job);
        }
    }
}

/// An address that this process uses, for how many IKE_SAs, and how many of those are not about to give it back.
#[derive(Debug, Clone)]
struct Held {
    row: i64,
    owner: i64,
    count: u32,
    live: u32,
}

/// By identity, address and pool.
type Key = (Identity, IpAddr, String);

/// The task.
pub(crate) struct Writer {
    settings: Settings,
    link: Link,
    leases: mpsc::Receiver<LeaseJob>,
    releases: mpsc::UnboundedReceiver<ReleaseJob>,
    /// To be put into [`Given`]; weak, so that the task ends with the store.
    back: mpsc::WeakUnboundedSender<ReleaseJob>,
    held: BTreeMap<Key, Held>,
    /// Given back and not yet written: never more than are held.
    ending: VecDeque<Key>,
    /// What an earlier process left has been released.
    recovered: bool,
    /// The operator knows that the database does not answer.
    down: bool,
}

impl Writer {
    pub(crate) fn new(
        settings: Settings,
        leases: mpsc::Receiver<LeaseJob>,
        releases: mpsc::UnboundedReceiver<ReleaseJob>,
        back: mpsc::WeakUnboundedSender<ReleaseJob>,
    ) -> Self {
        let link = Link::new(settings.database.clone());
        Self {
            settings,
            link,
            leases,
            releases,
            back,
            held: BTreeMap::new(),
            ending: VecDeque::new(),
            recovered: false,
            down: false,
        }
    }

    /// Serves until the store is gone.
    pub(crate) async fn run(mut self) {
        let mut jobs = Vec::new();
        let mut given_back = Vec::new();
        // What an earlier process left is released now, not when the first client comes.
        self.work(Vec::new(), Vec::new()).await;
        loop {
            let waiting = !self.ending.is_empty() || !self.recovered;
            let retry = self.link.retry_at().unwrap_or_else(tokio::time::Instant::now);
            let open = tokio::select! {
                count = self.releases.recv_many(&mut given_back, BATCH) => count > 0,
                count = self.leases.recv_many(&mut jobs, BATCH) => count > 0,
                () = tokio::time::sleep_until(retry), if waiting => true,
            };
            while jobs.len() < BATCH
                && let Ok(job) = self.leases.try_recv()
            {
                jobs.push(job);
            }
            while given_back.len() < BATCH
                && let Ok(job) = self.releases.try_recv()
            {
                given_back.push(job);
            }
            self.work(std::mem::take(&mut jobs), std::mem::take(&mut given_back)).await;
            if !open {
                return;
            }
        }
    }

    /// One transaction, and the answers.
    async fn work(&mut self, jobs: Vec<LeaseJob>, given_back: Vec<ReleaseJob>) {
        let mut answers = Vec::new();
        for job in given_back {
            let held = self.give_back(&job);
            answers.extend(job.reply.map(|reply| (reply, held)));
        }
        // Who does not wait any more gets nothing.
        let jobs: Vec<LeaseJob> = jobs.into_iter().filter(|job| !job.reply.is_closed()).collect();
        let wanted: Vec<&Wanted> = jobs.iter().map(|job| &job.wanted).collect();
        let outcome = self.attempt(&wanted).await;
        for (reply, held) in answers {
            let _ = reply.send(held);
        }
        match outcome {
            Ok(served) => {
                if std::mem::take(&mut self.down) {
                    (self.settings.say)(None, format!("database {} answers again", self.settings.database));
                }
                for (job, served) in jobs.into_iter().zip(served) {
                    self.answer(job, served);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.down, true) {
                    (self.settings.say)(None, error.to_string());
                }
                for job in jobs {
                    let pool = job.wanted.pools.join(", ");
                    let _ = job.reply.send(Err(Trouble::Unavailable { pool, why: error.to_string() }));
                }
            }
        }
    }

    /// Notes that an address is given back; `false` when the identity does not have it.
    fn give_back(&mut self, job: &ReleaseJob) -> bool {
        let key = if job.pools.is_empty() {
            let from = (job.identity.clone(), job.address, String::new());
            let mut keys = self.held.range(from..).take_while(|((identity, address, _), _)| {
                *identity == job.identity && *address == job.address
            });
            keys.find(|(_, held)| held.live > 0).map(|(key, _)| key.clone())
        } else {
            let mut keys = job.pools.iter().map(|pool| (job.identity.clone(), job.address, pool.clone()));
            keys.find(|key| self.held.get(key).is_some_and(|held| held.live > 0))
        };
        let Some(key) = key else { return false };
        if let Some(held) = self.held.get_mut(&key) {
            held.live = held.live.saturating_sub(1);
        }
        self.ending.push_back(key);
        true
    }

    /// Tries a transaction; once more on a new connection where an old one turns out to be dead.
    async fn attempt(&mut self, wanted: &[&Wanted]) -> Result<Vec<Served>, Error> {
        loop {
            let old = self.link.is_up();
            let error = match self.recover().await {
                Ok(()) => match tokio::time::timeout(PATIENCE, self.transaction(wanted)).await {
                    Ok(Ok(served)) => return Ok(served),
                    Ok(Err(error)) => error,
                    Err(_late) => {
                        let error = self.link.late();
                        self.link.fail(error.clone());
                        return Err(error);
                    }
                },
                Err(error) => error,
            };
            self.link.drop_connection();
            if !(old && error.passes()) {
                return Err(error);
            }
        }
    }

    /// Releases what an earlier process left, once.
    async fn recover(&mut self) -> Result<(), Error> {
        if self.recovered {
            return Ok(());
        }
        let Settings { gateway, recovery, history, clock, say, .. } = &self.settings;
        let connection = self.link.up().await?;
        let work = recovery::recover(connection, *recovery, gateway, clock(), *history);
        match tokio::time::timeout(RECOVERY, work).await {
            Ok(Ok(released)) => {
                self.recovered = true;
                if released > 0 {
                    say(None, format!("released {released} leases that were online when the last run ended"));
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_late) => Err(self.link.late()),
        }
    }

    /// One transaction: addresses that are given back, then those that are wanted.
    async fn transaction(&mut self, wanted: &[&Wanted]) -> Result<Vec<Served>, Error> {
        let Self { settings, link, held, ending, .. } = self;
        let connection = link.up().await?;
        let ends = ending.len().min(ENDS);
        if wanted.is_empty() && ends == 0 {
            return Ok(Vec::new());
        }
        connection.begin().await?;
        let mut batch = Batch::new(connection, &settings.gateway, (settings.clock)()).await?;
        let mut changes: BTreeMap<Key, Change> = BTreeMap::new();
        let mut ended = Vec::new();
        for key in ending.iter().take(ends) {
            let Some(change) = change(&mut changes, held, key) else { continue };
            change.count = change.count.saturating_sub(1);
            if change.count == 0 {
                ended.push((change.row, change.owner));
            }
        }
        batch.release(&ended, settings.history).await?;
        let all = batch.lease(wanted).await?;
        let rows = batch.finish().await?;
        for (wanted, served) in wanted.iter().zip(&all) {
            for Leased { grant, slot, owner } in &served.leased {
                let Some(row) = rows.number(*slot) else { continue };
                let key = (wanted.identity.clone(), grant.address, grant.pool.clone());
                if change(&mut changes, held, &key).is_none() {
                    changes.insert(key.clone(), Change { row, owner: *owner, count: 0, added: 0 });
                }
                if let Some(change) = changes.get_mut(&key) {
                    (change.row, change.owner) = (row, *owner);
                    change.count = change.count.saturating_add(1);
                    change.added = change.added.saturating_add(1);
                }
            }
        }
        connection.commit().await?;
        // It is durable: from here nothing may fail.
        ending.drain(..ends);
        for (key, Change { row, owner, count, added }) in changes {
            let live = held.get(&key).map_or(0, |held| held.live).saturating_add(added);
            if count == 0 {
                held.remove(&key);
            } else {
                held.insert(key, Held { row, owner, count, live });
            }
        }
        Ok(all)
    }

    /// Tells the client and the log.
    fn answer(&self, job: LeaseJob, served: Served) {
        let LeaseJob { wanted, reply } = job;
        if let Some(why) = served.refused {
            let _ = reply.send(Err(Trouble::Unavailable { pool: wanted.pools.join(", "), why }));
            return;
        }
        let say = |text: String| (self.settings.say)(Some(&wanted), text);
        for pool in &served.full {
            say(format!("no available address found in pool '{pool}'"));
        }
        let grants: Vec<Grant> = served.leased.into_iter().map(|leased| leased.grant).collect();
        for grant in &grants {
            let kind = if grant.origin == Origin::New { "new" } else { "existing" };
            say(format!("acquired {kind} lease for address {} in pool '{}'", grant.address, grant.pool));
        }
        if grants.is_empty() && !wanted.requested.is_empty() {
            let _ = reply.send(Err(Trouble::Exhausted(wanted.pools)));
            return;
        }
        // Without a store there is nobody who could give anything back, or wait.
        if let Some(releases) = self.back.upgrade() {
            let _ = reply.send(Ok(Given { grants, identity: wanted.identity, releases }));
        }
    }
}

/// What a transaction changes about an address in use.
struct Change {
    row: i64,
    owner: i64,
    count: u32,
    added: u32,
}

/// The change of an address, begun from what is in use.
fn change<'a>(
    changes: &'a mut BTreeMap<Key, Change>,
    held: &BTreeMap<Key, Held>,
    key: &Key,
) -> Option<&'a mut Change> {
    if !changes.contains_key(key) {
        let held = held.get(key)?;
        let change = Change { row: held.row, owner: held.owner, count: held.count, added: 0 };
        changes.insert(key.clone(), change);
    }
    changes.get_mut(key)
}
