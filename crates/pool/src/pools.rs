//! The set of pools: loading, and leasing across several of them.
use crate::memory::Changes;
use crate::store::{Grant, Origin};
use crate::table::{Keys, Who};
use crate::{Change, LeaseView, Pool, PoolStatus, SavedLease};
use ipnet::IpNet;
use policy::{Identity, PoolConfig, PoolOverlap, VirtualIp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use wire::ike::ConfigAttr;

/// All pools by name. Time comes in as Unix seconds that never run backwards.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    pools: BTreeMap<String, Pool>,
    /// For pools that share addresses with others: those others.
    overlaps: BTreeMap<String, Vec<String>>,
    changes: Changes,
    keys: Keys,
}

/// Why a pool could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// No pool of that name.
    #[error("pool '{0}' not found")]
    Unknown(String),
    /// Its addresses are in use.
    #[error("pool '{name}' has {online} online leases, unable to {what}")]
    Online {
        /// The pool.
        name: String,
        /// Addresses in use.
        online: usize,
        /// `replace` or `unload`.
        what: &'static str,
    },
    /// It shares addresses with another pool, and they hand out prefixes of different lengths.
    #[error(
        "{0}, and cannot: one hands out prefixes of another length than the other; separate their addresses"
    )]
    Lengths(PoolOverlap),
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// Addresses, in the order of the requests; what could not be served is left out.
    pub grants: Vec<Grant>,
    /// The attributes of these pools, repetitions left out.
    pub attributes: Vec<ConfigAttr>,
}

impl Granted {
    /// The addresses alone.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.grants.iter().map(|grant| grant.address).collect()
    }
}

/// Where an address may come from, in the order all pools are searched.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Held,
    Reserved,
    Existing,
    Unused,
    Abandoned,
}

const STAGES: [Stage; 5] = [Stage::Held, Stage::Reserved, Stage::Existing, Stage::Unused, Stage::Abandoned];

impl Pools {
    /// No pools.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every change of a lease is noted, to be taken by [`Self::take_changes`].
    pub fn note_changes(&mut self) {
        self.changes.wanted = true;
    }

    /// What changed since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes.list)
    }

    /// Loads a pool, or updates the one of that name: with the same range only its attributes, its timeout and its
    /// hosts change; with another range it is replaced, keeping offline leases that still fit.
    ///
    /// # Errors
    /// [`PoolError::Online`] when the range changes while addresses are in use; [`PoolError::Lengths`].
    pub fn load(&mut self, config: PoolConfig) -> Result<(), PoolError> {
        let config = Arc::new(config);
        let name = config.name.clone();
        let overlaps = self.common(&config);
        let lengths = |overlap: &&PoolOverlap| {
            let other = self.pools.get(&overlap.second).map(|pool| pool.config().range.prefix());
            other.is_some_and(|prefix| prefix != config.range.prefix())
        };
        if let Some(overlap) = overlaps.iter().find(lengths) {
            return Err(PoolError::Lengths(overlap.clone()));
        }
        match self.pools.get_mut(&name) {
            Some(pool) if pool.config().range == config.range => {
                pool.set_config(Arc::clone(&config), &mut self.changes);
            }
            Some(pool) if pool.online() > 0 => {
                return Err(PoolError::Online { name, online: pool.online(), what: "replace" });
            }
            Some(old) => {
                let mut pool = Pool::new(Arc::clone(&config), self.keys.clone());
                pool.take_over(old, &mut self.changes);
                *old = pool;
            }
            None => _ = self.pools.insert(name.clone(), Pool::new(Arc::clone(&config), self.keys.clone())),
        }
        self.forget_overlaps(&name);
        for overlap in overlaps {
            self.overlaps.entry(name.clone()).or_default().push(overlap.second.clone());
            self.overlaps.entry(overlap.second).or_default().push(name.clone());
        }
        Ok(())
    }

    /// What this pool has in common with those that are loaded.
    pub fn common(&self, config: &PoolConfig) -> Vec<PoolOverlap> {
        let others = self.pools.iter().filter(|(name, _)| **name != config.name);
        others.filter_map(|(_, other)| config.overlap(other.config())).collect()
    }

    /// Removes a pool and its offline leases.
    ///
    /// # Errors
    /// [`PoolError::Unknown`]; [`PoolError::Online`] while addresses are in use.
    pub fn unload(&mut self, name: &str) -> Result<(), PoolError> {
        let pool = self.pools.get(name).ok_or_else(|| PoolError::Unknown(name.to_owned()))?;
        if pool.online() > 0 {
            let (name, online) = (name.to_owned(), pool.online());
            return Err(PoolError::Online { name, online, what: "unload" });
        }
        if self.changes.wanted {
            let gone = |lease: LeaseView<'_>| Change {
                pool: name.to_owned(),
                address: lease.address,
                owned: None,
                claim: false,
            };
            self.changes.list.extend(pool.leases().map(gone));
        }
        self.pools.remove(name);
        self.forget_overlaps(name);
        Ok(())
    }

    /// A pool by name.
    pub fn get(&self, name: &str) -> Option<&Pool> {
        self.pools.get(name)
    }

    /// Who uses an address of this network, or one around it; `except` may.
    pub fn user(&self, net: IpNet, except: &Identity) -> Option<&Identity> {
        self.pools.values().find_map(|pool| pool.user_within(net, except))
    }

    /// Names, ordered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }

    /// Counts of every pool, ordered by name.
    pub fn status(&self) -> impl Iterator<Item = PoolStatus> {
        self.pools.iter().map(|(name, pool)| PoolStatus {
            name: name.clone(),
            base: pool.config().range.first(),
            size: pool.config().range.shown_size(),
            online: pool.online(),
            offline: pool.offline(),
        })
    }

    /// Leases of one pool in order of address; none for an unknown pool.
    pub fn leases(&self, pool: &str) -> impl Iterator<Item = LeaseView<'_>> {
        self.pools.get(pool).into_iter().flat_map(Pool::leases)
    }

    /// Ends all leases that have been offline for longer than their pools keep them.
    pub fn expire(&mut self, now: u64) {
        for pool in self.pools.values_mut() {
            pool.expire(now, &mut self.changes);
        }
    }

    /// When the next lease has been offline for long enough to end, in seconds as given to [`Self::expire`].
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        self.pools.values().filter_map(Pool::next_end).min()
    }

    /// Some leases of one pool in order of address: those above `after`, at most `limit`.
    pub fn leases_after(&self, pool: &str, after: Option<IpAddr>, limit: usize) -> Vec<LeaseView<'_>> {
        self.pools.get(pool).map(|pool| pool.leases_after(after, limit)).unwrap_or_default()
    }

    /// Serves one client: an address for each request (unspecified = any of that family), taken from the named
    /// pools in order, and the attributes of the pools that served. Unknown names are passed over.
    pub fn lease(
        &mut self,
        pools: &[String],
        identity: &Identity,
        requested: &[VirtualIp],
        now: u64,
    ) -> Granted {
        self.lease_beside(pools, identity, requested, now, &|_| false)
    }

    /// The same, where somebody else lends addresses, too: those that are `elsewhere` are passed over.
    pub fn lease_beside(
        &mut self,
        pools: &[String],
        identity: &Identity,
        requested: &[VirtualIp],
        now: u64,
        elsewhere: &dyn Fn(VirtualIp) -> bool,
    ) -> Granted {
        let mut granted = Granted::default();
        for request in requested.iter().map(|vip| vip.address()) {
            // Two requests of one client are never served by one address.
            let repeated = granted.grants.iter().any(|grant| grant.address == request);
            let request = if repeated { unspecified(request) } else { request };
            granted.grants.extend(self.acquire_beside(pools, identity, request, now, elsewhere));
        }
        let served = |name: &&String| granted.grants.iter().any(|grant| grant.pool == **name);
        let served: Vec<String> = pools.iter().filter(served).cloned().collect();
        granted.attributes = self.attributes(&served);
        granted
    }

    /// Leases one address of the family of `requested`: the one the identity asks for and uses already (it
    /// reauthenticates), else the one reserved for it, else one it had (the one it asks for, else the last it had),
    /// else one nobody has (the one asked for, else the next), else the one offline longest.
    pub fn acquire(
        &mut self,
        pools: &[String],
        identity: &Identity,
        requested: IpAddr,
        now: u64,
    ) -> Option<Grant> {
        self.acquire_beside(pools, identity, requested, now, &|_| false)
    }

    fn acquire_beside(
        &mut self,
        pools: &[String],
        identity: &Identity,
        requested: IpAddr,
        now: u64,
        elsewhere: &dyn Fn(VirtualIp) -> bool,
    ) -> Option<Grant> {
        for name in pools {
            if let Some(pool) = self.pools.get_mut(name) {
                pool.expire(now, &mut self.changes);
            }
        }
        let who = self.keys.of(identity);
        for stage in STAGES {
            for name in pools {
                if let Some(grant) = self.try_stage(stage, name, who, requested, now, elsewhere) {
                    return Some(grant);
                }
            }
        }
        None
    }

    /// Gives an address back. Searches the named pools, or all of them when none is named. `false` when this
    /// identity does not use it.
    pub fn release(&mut self, pools: &[String], identity: &Identity, address: IpAddr, now: u64) -> bool {
        let changes = &mut self.changes;
        if pools.is_empty() {
            return self.pools.values_mut().any(|pool| pool.release(address, identity, now, changes));
        }
        pools.iter().any(|name| {
            self.pools.get_mut(name).is_some_and(|pool| pool.release(address, identity, now, changes))
        })
    }

    /// Takes back a grant that its client was never told: nothing stays of a new one.
    pub fn revoke(&mut self, grant: &Grant, identity: &Identity, now: u64) {
        if let Some(pool) = self.pools.get_mut(&grant.pool) {
            let new = grant.origin == Origin::New;
            pool.revoke(grant.address, identity, new, now, &mut self.changes);
        }
    }

    /// Attributes of these pools in order, repetitions left out.
    pub fn attributes(&self, pools: &[String]) -> Vec<ConfigAttr> {
        let mut all: Vec<ConfigAttr> = Vec::new();
        for attribute in pools.iter().filter_map(|n| self.pools.get(n)).flat_map(|p| &p.config().attributes) {
            let attribute = ConfigAttr { kind: attribute.kind, value: attribute.value.clone() };
            if !all.contains(&attribute) {
                all.push(attribute);
            }
        }
        all
    }

    /// All leases, to be saved.
    pub fn save(&self) -> Vec<SavedLease> {
        let saved = |name: &String, (lease, holds): (LeaseView<'_>, u32)| SavedLease {
            pool: name.clone(),
            address: lease.address,
            identity: lease.identity.clone(),
            holds,
            since: lease.since,
        };
        self.pools
            .iter()
            .flat_map(|(name, pool)| pool.in_order_of_release().map(move |lease| saved(name, lease)))
            .collect()
    }

    /// Puts saved leases back, those longest offline first (`online` keeps their holders, otherwise all come back
    /// offline), and returns how many found their place: the pool exists, the address is in its range, has no other
    /// owner and is not reserved for another. What found none is noted as gone.
    pub fn restore(&mut self, saved: &[SavedLease], online: bool) -> usize {
        let mut count = 0usize;
        for lease in saved {
            let holds = if online { lease.holds } else { 0 };
            let elsewhere = holds > 0 && self.taken(&lease.pool, &lease.identity, lease.address);
            let fits = self.pools.get_mut(&lease.pool).is_some_and(|pool| {
                !elsewhere && pool.restore(lease.address, &lease.identity, holds, lease.since)
            });
            if fits {
                count = count.saturating_add(1);
            } else if self.changes.wanted
                && self.pools.get(&lease.pool).is_some_and(|pool| !pool.has_lease(lease.address))
            {
                let (pool, address) = (lease.pool.clone(), lease.address);
                self.changes.list.push(Change { pool, address, owned: None, claim: false });
            }
        }
        count
    }

    fn try_stage(
        &mut self,
        stage: Stage,
        name: &str,
        who: Who<'_>,
        requested: IpAddr,
        now: u64,
        elsewhere: &dyn Fn(VirtualIp) -> bool,
    ) -> Option<Grant> {
        let pool = self.pools.get_mut(name)?;
        let prefix = pool.config().range.prefix();
        let elsewhere = |address| VirtualIp::new(address, prefix).is_some_and(elsewhere);
        if !pool.config().range.same_family(requested) {
            return None;
        }
        if !self.overlaps.contains_key(name) {
            return serve(pool, stage, who, requested, elsewhere, now, &mut self.changes);
        }
        // Take the pool out while the others are asked whether they have lent the address to somebody else.
        let (key, mut pool) = self.pools.remove_entry(name)?;
        let mut changes = std::mem::take(&mut self.changes);
        let own = Arc::clone(pool.config());
        let taken = |address| self.taken_beside(&own, who.identity, address) || elsewhere(address);
        let grant = serve(&mut pool, stage, who, requested, taken, now, &mut changes);
        self.changes = changes;
        self.pools.insert(key, pool);
        grant
    }

    fn taken(&self, name: &str, identity: &Identity, address: IpAddr) -> bool {
        self.pools.get(name).is_some_and(|pool| self.taken_beside(pool.config(), identity, address))
    }

    /// Another pool with the same addresses has this one in use by somebody else, or reserved.
    fn taken_beside(&self, own: &PoolConfig, identity: &Identity, address: IpAddr) -> bool {
        let mine = || own.hosts.iter().any(|host| host.address == address && host.identity.same(identity));
        let others = self.overlaps.get(&own.name).into_iter().flatten();
        others.filter_map(|other| self.pools.get(other)).any(|other| {
            other.user(address).is_some_and(|user| user != identity)
                || other.reserved(address).is_some_and(|owner| !owner.same(identity) && !mine())
        })
    }

    fn forget_overlaps(&mut self, name: &str) {
        for other in self.overlaps.remove(name).unwrap_or_default() {
            let Some(names) = self.overlaps.get_mut(&other) else { continue };
            names.retain(|known| known != name);
            if names.is_empty() {
                self.overlaps.remove(&other);
            }
        }
    }
}

fn serve(
    pool: &mut Pool,
    stage: Stage,
    who: Who<'_>,
    requested: IpAddr,
    taken: impl Fn(IpAddr) -> bool,
    now: u64,
    changes: &mut Changes,
) -> Option<Grant> {
    let (spot, origin) = match stage {
        Stage::Held => (pool.held(who.identity, requested)?, Origin::Online),
        Stage::Reserved => (pool.fixed(who.identity, taken)?, Origin::New),
        Stage::Existing => (pool.existing(who, requested, taken)?, Origin::Offline),
        Stage::Unused => (pool.unused(requested, taken)?, Origin::New),
        Stage::Abandoned => (pool.abandoned(requested, taken)?, Origin::New),
    };
    // A reserved address is new to its owner only once.
    let origin =
        if origin == Origin::New && pool.had(who.identity, &spot) { Origin::Offline } else { origin };
    pool.take(spot, who, now, changes).then(|| Grant {
        pool: pool.config().name.clone(),
        address: spot.address,
        prefix: pool.config().range.prefix(),
        origin,
    })
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
