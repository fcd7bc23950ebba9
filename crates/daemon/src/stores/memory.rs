//! Pools in memory (`load-pool`), and the file that keeps their leases where the operator wants one.
use super::held::{Held, Taken};
use linux::clock::Sleeper;
use policy::{Identity, PoolConfig, PoolOverlap, VirtualIp};
use pool::{
    Attributes, Grant, Later, LeaseRow, PoolError, PoolStatus, Pools, SavedLease, Store, Trouble, Wanted,
};
use sql::journal::{Journal, JournalError, Voice, Written};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use wire::ike::ConfigAttr;

#[cfg(test)]
mod tests;

/// How long a client waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Milliseconds between two looks at leases that ended where nobody asks.
const EXPIRY: u64 = 60_000;

/// The pools that control commands load.
pub(crate) struct Memory {
    pools: Mutex<Pools>,
    clock: Clock,
    journal: Option<Journal>,
    /// What the other stores lend, not to be lent here.
    held: Arc<Held>,
    /// Leases of the journal whose pools are not loaded yet. Locked after the pools.
    dormant: Mutex<BTreeMap<String, Vec<SavedLease>>>,
    /// When the next lease ends, as far as [`Self::keep_time`] knows; `u64::MAX` for never.
    due: AtomicU64,
    /// One ends before that.
    sooner: Notify,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            pools: Mutex::default(),
            clock: Clock::start(),
            journal: None,
            held: Arc::default(),
            dormant: Mutex::default(),
            due: AtomicU64::new(u64::MAX),
            sooner: Notify::new(),
        }
    }
}

/// Unix time that goes on evenly: whoever sets the host's clock neither ends leases nor prolongs them.
#[derive(Debug)]
struct Clock {
    wall: u64,
    mono_ms: u64,
    /// What a test adds to it.
    #[cfg(test)]
    ahead: AtomicU64,
}

impl Clock {
    fn start() -> Self {
        Self {
            wall: linux::clock::wall_seconds(),
            mono_ms: linux::clock::monotonic_ms(),
            #[cfg(test)]
            ahead: Default::default(),
        }
    }

    /// A time of this clock in milliseconds of the host's.
    fn mono(&self, at: u64) -> u64 {
        self.mono_ms.saturating_add(at.saturating_sub(self.wall).saturating_mul(1000))
    }

    #[cfg(not(test))]
    fn now(&self) -> u64 {
        let passed = linux::clock::monotonic_ms().saturating_sub(self.mono_ms);
        self.wall.saturating_add(passed / 1000)
    }
}

/// What came of loading a pool.
#[derive(Debug)]
pub(crate) struct PoolLoaded {
    /// There was one of that name.
    pub(crate) replaced: bool,
    /// Leases that came back from the file.
    pub(crate) restored: usize,
    /// Pools with the same addresses.
    pub(crate) overlaps: Vec<PoolOverlap>,
}

/// Grants whose client was told nothing yet: dropped, they go back.
struct Untold<'a> {
    memory: &'a Memory,
    identity: &'a Identity,
    grants: Vec<Grant>,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if self.grants.is_empty() {
            return;
        }
        let now = self.memory.clock.now();
        let mut pools = self.memory.lock();
        for grant in &self.grants {
            pools.revoke(grant, self.identity, now);
        }
        self.memory.note(&mut pools);
    }
}

impl Memory {
    /// Pools whose leases are kept in a file. They come back when their pools are loaded.
    ///
    /// # Errors
    /// [`JournalError`]: with a file that cannot keep leases nothing starts.
    pub(crate) async fn kept_in(path: &Path, voice: Voice) -> Result<Self, JournalError> {
        Self::open(path, voice, Clock::start()).await
    }

    async fn open(path: &Path, voice: Voice, clock: Clock) -> Result<Self, JournalError> {
        let (journal, leases) = Journal::open(path, clock.now(), voice).await?;
        let mut dormant: BTreeMap<String, Vec<SavedLease>> = BTreeMap::new();
        for lease in leases {
            dormant.entry(lease.pool.clone()).or_default().push(lease);
        }
        let mut pools = Pools::new();
        pools.note_changes();
        let (pools, dormant) = (Mutex::new(pools), Mutex::new(dormant));
        Ok(Self { pools, clock, journal: Some(journal), dormant, ..Self::default() })
    }

    /// The pools, to look at. What changes them is a method here, so that the journal hears of it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands what changed to the journal, in the order in which it changed.
    fn note(&self, pools: &mut Pools) -> Option<Written> {
        if pools.next_end().is_some_and(|end| end < self.due.load(Ordering::Relaxed)) {
            self.sooner.notify_one();
        }
        self.journal.as_ref().map(|journal| journal.submit(pools.take_changes()))
    }

    /// Nobody needs to wait for a disk.
    pub(crate) fn is_immediate(&self) -> bool {
        self.journal.is_none()
    }

    /// What the other stores lend.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Notes what another store grants, unless somebody else has it there or here.
    pub(crate) fn take_beside(&self, grant: &Grant, identity: &Identity) -> Result<(), Taken> {
        // Locked as for a lease of our own: neither comes between.
        let pools = self.lock();
        if let Some(user) = pools.user(grant.vip().net(), identity) {
            return Err(Taken(user.clone()));
        }
        self.held.take(grant, identity)
    }

    /// A pool of this name is loaded.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().get(name).is_some()
    }

    fn page(&self, pool: &str, after: Option<IpAddr>, limit: usize) -> Vec<LeaseRow> {
        self.tick();
        self.lock().leases_after(pool, after, limit).into_iter().map(LeaseRow::from).collect()
    }

    /// The loaded pool whose name is most like this one.
    pub(crate) fn like(&self, name: &str) -> Option<String> {
        config::report::closest(name, self.lock().names()).map(str::to_owned)
    }

    /// Loads a pool, or changes the one of that name.
    ///
    /// # Errors
    /// [`PoolError`]
    pub(crate) fn load(&self, config: PoolConfig) -> Result<PoolLoaded, PoolError> {
        let mut pools = self.lock();
        let name = config.name.clone();
        let overlaps = pools.common(&config);
        let replaced = pools.get(&name).is_some();
        pools.load(config)?;
        let saved = self.dormant.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let restored = saved.map_or(0, |saved| pools.restore(&saved, false));
        pools.expire(self.clock.now());
        self.note(&mut pools);
        Ok(PoolLoaded { replaced, restored, overlaps })
    }

    /// Removes a pool and its leases.
    ///
    /// # Errors
    /// [`PoolError`]
    pub(crate) fn unload(&self, name: &str) -> Result<(), PoolError> {
        let mut pools = self.lock();
        pools.unload(name)?;
        self.note(&mut pools);
        Ok(())
    }

    /// Gives an address back; `false` when this identity does not use it.
    pub(crate) fn give_back(&self, pools: &[String], identity: &Identity, address: IpAddr) -> bool {
        self.return_lease(pools, identity, address).0
    }

    fn return_lease(
        &self,
        names: &[String],
        identity: &Identity,
        address: IpAddr,
    ) -> (bool, Option<Written>) {
        let mut pools = self.lock();
        let known = pools.release(names, identity, address, self.clock.now());
        (known, self.note(&mut pools))
    }

    /// Ends what has been offline for too long.
    pub(crate) fn tick(&self) {
        let mut pools = self.lock();
        pools.expire(self.clock.now());
        self.note(&mut pools);
    }

    /// Ends leases when their time has come, also where nobody asks.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let mut sleeper = Sleeper::new();
        let mut not_before = 0;
        loop {
            // What is given back from here on is told, or seen.
            self.due.store(u64::MAX, Ordering::Relaxed);
            let end = self.lock().next_end();
            self.due.store(end.unwrap_or(u64::MAX), Ordering::Relaxed);
            let at = end.map(|end| self.clock.mono(end).max(not_before));
            tokio::select! {
                () = sleeper.until(at) => {
                    self.tick();
                    not_before = linux::clock::monotonic_ms().saturating_add(EXPIRY);
                }
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn finish(&self) -> Result<(), String> {
        match &self.journal {
            Some(journal) => journal.finish().await,
            None => Ok(()),
        }
    }

    /// Attributes of the pools that served.
    pub(crate) fn attributes_now(&self, wanted: &Wanted, granted: &[Grant]) -> Vec<ConfigAttr> {
        let served = |name: &&String| granted.iter().any(|grant| grant.pool == **name);
        let pools: Vec<String> = wanted.pools.iter().filter(served).cloned().collect();
        self.lock().attributes(&pools)
    }

    fn grant(&self, wanted: &Wanted) -> (Vec<Grant>, Option<Written>) {
        let mut pools = self.lock();
        let now = self.clock.now();
        let Wanted { pools: names, identity, requested, .. } = wanted;
        let elsewhere = |vip: VirtualIp| self.held.taken(vip.net(), identity).is_some();
        let granted = pools.lease_beside(names, identity, requested, now, &elsewhere);
        (granted.grants, self.note(&mut pools))
    }

    /// Leases, and waits until the disk knows whose the addresses are. Where it cannot be told, only those are
    /// granted that it knows already.
    async fn lease_kept(&self, journal: &Journal, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let (grants, written) = self.grant(wanted);
        let mut untold = Untold { memory: self, identity: &wanted.identity, grants };
        if untold.grants.is_empty() {
            return all_or_trouble(wanted, Vec::new());
        }
        let Some(written) = written else { return Ok(std::mem::take(&mut untold.grants)) };
        let why = match tokio::time::timeout(PATIENCE, written.wait()).await {
            Ok(Ok(())) => return Ok(std::mem::take(&mut untold.grants)),
            Ok(Err(why)) => {
                let claimed = |grant: &Grant| journal.claimed(&grant.pool, grant.address);
                let (refused, known): (Vec<Grant>, Vec<Grant>) =
                    std::mem::take(&mut untold.grants).into_iter().partition(claimed);
                untold.grants = refused;
                if !known.is_empty() {
                    return Ok(known);
                }
                why
            }
            Err(_late) => format!("no answer within {} seconds", PATIENCE.as_secs()),
        };
        let pool = untold.grants.first().map_or_else(String::new, |grant| grant.pool.clone());
        let why = format!("the lease store {} cannot be written: {why}", journal.path().display());
        Err(Trouble::Unavailable { pool, why })
    }
}

fn all_or_trouble(wanted: &Wanted, grants: Vec<Grant>) -> Result<Vec<Grant>, Trouble> {
    let none = grants.is_empty() && !wanted.requested.is_empty();
    if none { Err(Trouble::Exhausted(wanted.pools.clone())) } else { Ok(grants) }
}

impl Store for Memory {
    fn plugin(&self) -> &'static str {
        "vici"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(self.has(pool)))
    }

    fn lease_now(&self, wanted: &Wanted) -> Option<Result<Vec<Grant>, Trouble>> {
        self.is_immediate().then(|| all_or_trouble(wanted, self.grant(wanted).0))
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(async move {
            match &self.journal {
                Some(journal) => self.lease_kept(journal, wanted).await,
                None => all_or_trouble(wanted, self.grant(wanted).0),
            }
        })
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async { Ok(self.attributes_now(wanted, granted)) })
    }

    fn release<'a>(
        &'a self,
        pools: &'a [String],
        identity: &'a Identity,
        address: IpAddr,
    ) -> Later<'a, bool> {
        Box::pin(async move {
            let (known, written) = self.return_lease(pools, identity, address);
            if let Some(written) = written {
                // Whatever the disk does, the address is back: after a crash it is offline in any case.
                _ = tokio::time::timeout(PATIENCE, written.wait()).await;
            }
            known
        })
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        self.tick();
        Box::pin(async { Ok(self.lock().status().collect()) })
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move { Ok(self.page(pool, None, limit)) })
    }

    fn leases_after<'a>(
        &'a self,
        pool: &'a str,
        after: IpAddr,
        limit: usize,
    ) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move { Ok(self.page(pool, Some(after), limit)) })
    }
}
