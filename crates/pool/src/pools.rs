//! The set of pools: loading, and leasing across several of them.
use crate::store::{Grant, Origin};
use crate::{LeaseView, Pool, PoolStatus, SavedLease};
use policy::{Identity, PoolConfig};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use wire::ike::ConfigAttr;

/// All pools by name.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    pools: BTreeMap<String, Pool>,
    /// For pools that share addresses with others: those others.
    overlaps: BTreeMap<String, Vec<String>>,
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
    Existing,
    Unused,
    Abandoned,
}

impl Pools {
    /// No pools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads a pool, or updates the one of that name: with the same range only its attributes change; with another
    /// range it is replaced, keeping offline leases that still fit.
    ///
    /// # Errors
    /// [`PoolError::Online`] when the range changes while addresses are in use.
    pub fn load(&mut self, config: PoolConfig) -> Result<(), PoolError> {
        let config = Arc::new(config);
        let name = config.name.clone();
        let pool = match self.pools.get_mut(&name) {
            Some(pool) if pool.config().range == config.range => {
                pool.set_config(config);
                return Ok(());
            }
            Some(pool) if pool.online() > 0 => {
                return Err(PoolError::Online { name, online: pool.online(), what: "replace" });
            }
            Some(old) => {
                let mut pool = Pool::new(config);
                for (lease, _) in old.in_order_of_release() {
                    pool.restore(lease.address, lease.identity, 0);
                }
                pool
            }
            None => Pool::new(config),
        };
        self.pools.insert(name, pool);
        self.find_overlaps();
        Ok(())
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
        self.pools.remove(name);
        self.find_overlaps();
        Ok(())
    }

    /// A pool by name.
    pub fn get(&self, name: &str) -> Option<&Pool> {
        self.pools.get(name)
    }

    /// Names, ordered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }

    /// Counts of every pool, ordered by name.
    pub fn status(&self) -> impl Iterator<Item = PoolStatus> {
        self.pools.iter().map(|(name, pool)| PoolStatus {
            name: name.clone(),
            base: pool.config().range.base(),
            size: pool.config().range.shown_size(),
            online: pool.online(),
            offline: pool.offline(),
        })
    }

    /// Leases of one pool in order of address; none for an unknown pool.
    pub fn leases(&self, pool: &str) -> impl Iterator<Item = LeaseView<'_>> {
        self.pools.get(pool).into_iter().flat_map(Pool::leases)
    }

    /// Serves one client: an address for each request (unspecified = any of that family), taken from the named
    /// pools in order, and the attributes of the pools that served. Unknown names are passed over.
    pub fn lease(&mut self, pools: &[String], identity: &Identity, requested: &[IpAddr]) -> Granted {
        let mut granted = Granted::default();
        for request in requested {
            // Two requests of one client are never served by one address.
            let repeated = granted.grants.iter().any(|grant| grant.address == *request);
            let request = if repeated { unspecified(*request) } else { *request };
            granted.grants.extend(self.acquire_at(pools, identity, request));
        }
        let served = |name: &&String| granted.grants.iter().any(|grant| grant.pool == **name);
        let served: Vec<String> = pools.iter().filter(served).cloned().collect();
        granted.attributes = self.attributes(&served);
        granted
    }

    /// Leases one address of the family of `requested`: the identity's own (the one it asks for, else one it has
    /// offline), else one nobody had (the one asked for, else the next), else the one offline longest.
    pub fn acquire(&mut self, pools: &[String], identity: &Identity, requested: IpAddr) -> Option<IpAddr> {
        self.acquire_at(pools, identity, requested).map(|grant| grant.address)
    }

    /// Gives an address back. Searches the named pools, or all of them when none is named. `false` when this
    /// identity does not use it.
    pub fn release(&mut self, pools: &[String], identity: &Identity, address: IpAddr) -> bool {
        if pools.is_empty() {
            return self.pools.values_mut().any(|pool| pool.release(address, identity));
        }
        pools.iter().any(|name| self.pools.get_mut(name).is_some_and(|pool| pool.release(address, identity)))
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
        };
        self.pools
            .iter()
            .flat_map(|(name, pool)| pool.in_order_of_release().map(move |lease| saved(name, lease)))
            .collect()
    }

    /// Puts saved leases back (`online` keeps their holders, otherwise all come back offline) and returns how many
    /// found their place: the pool exists, the address is in its range and has no other owner.
    pub fn restore(&mut self, saved: &[SavedLease], online: bool) -> usize {
        saved
            .iter()
            .filter(|lease| {
                let holds = if online { lease.holds } else { 0 };
                let elsewhere = holds > 0 && self.taken(&lease.pool, &lease.identity, lease.address);
                self.pools
                    .get_mut(&lease.pool)
                    .is_some_and(|pool| !elsewhere && pool.restore(lease.address, &lease.identity, holds))
            })
            .count()
    }

    fn acquire_at(&mut self, pools: &[String], identity: &Identity, requested: IpAddr) -> Option<Grant> {
        for stage in [Stage::Existing, Stage::Unused, Stage::Abandoned] {
            for name in pools {
                if let Some((address, origin)) = self.try_stage(stage, name, identity, requested) {
                    let prefix = if address.is_ipv4() { 32 } else { 128 };
                    return Some(Grant { pool: name.clone(), address, prefix, origin });
                }
            }
        }
        None
    }

    fn try_stage(
        &mut self,
        stage: Stage,
        name: &str,
        identity: &Identity,
        requested: IpAddr,
    ) -> Option<(IpAddr, Origin)> {
        if !self.pools.get(name)?.config().range.same_family(requested) {
            return None;
        }
        if !self.overlaps.contains_key(name) {
            return serve(self.pools.get_mut(name)?, stage, identity, requested, |_| false);
        }
        // Take the pool out while the others are asked whether they have lent the address to somebody else.
        let (key, mut pool) = self.pools.remove_entry(name)?;
        let address = serve(&mut pool, stage, identity, requested, |a| self.taken(name, identity, a));
        self.pools.insert(key, pool);
        address
    }

    /// Another pool with the same addresses has this one in use by somebody else.
    fn taken(&self, name: &str, identity: &Identity, address: IpAddr) -> bool {
        let others = self.overlaps.get(name).into_iter().flatten();
        others.filter_map(|other| self.pools.get(other)?.user(address)).any(|user| user != identity)
    }

    /// One sweep over the ranges ordered by their first address.
    fn find_overlaps(&mut self) {
        self.overlaps.clear();
        let mut ranges: Vec<_> = self
            .pools
            .iter()
            .filter_map(|(name, pool)| {
                let range = &pool.config().range;
                Some((range.first(), range.nth(range.size().checked_sub(1)?)?, name))
            })
            .collect();
        ranges.sort();
        for (i, (_, end, name)) in ranges.iter().enumerate() {
            let later = ranges.iter().skip(i.saturating_add(1));
            for (_, _, other) in later.take_while(|(start, _, _)| start <= end) {
                self.overlaps.entry((*name).clone()).or_default().push((*other).clone());
                self.overlaps.entry((*other).clone()).or_default().push((*name).clone());
            }
        }
    }
}

fn serve(
    pool: &mut Pool,
    stage: Stage,
    identity: &Identity,
    requested: IpAddr,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, Origin)> {
    let address = match stage {
        Stage::Existing => pool.existing(identity, requested, taken),
        Stage::Unused => pool.unused(requested, taken),
        Stage::Abandoned => pool.abandoned(requested, taken),
    }?;
    let origin = match stage {
        Stage::Existing if pool.user(address).is_some() => Origin::Online,
        Stage::Existing => Origin::Offline,
        Stage::Unused | Stage::Abandoned => Origin::New,
    };
    pool.take(address, identity).then_some((address, origin))
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
