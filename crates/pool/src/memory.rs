//! One pool in memory. Every step costs O(log leases).
use crate::LeaseView;
use policy::{Identity, PoolConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

/// Offline leases one pool remembers. A range larger than that reuses the oldest of them instead of growing, so
/// that clients who come with ever new identities cannot fill the memory.
pub const REMEMBERED: usize = 1 << 20;

/// A pool: its configuration and its leases.
#[derive(Debug, Clone)]
pub struct Pool {
    config: Arc<PoolConfig>,
    /// By offset into the range.
    leases: BTreeMap<u128, Lease>,
    /// Offline leases in order of their release.
    idle: BTreeMap<u64, u128>,
    /// Offline leases of each identity, by its hash: numbers compare without a look at the identity. Those few with
    /// one hash are told apart by comparing.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// Every offset below has a lease, or is in `skipped`.
    fresh: u128,
    /// Offsets stepped over because another pool with the same addresses had them in use.
    skipped: BTreeSet<u128>,
    /// Number of the next release.
    tick: u64,
}

#[derive(Debug, Clone)]
struct Lease {
    identity: Arc<Identity>,
    /// IKE_SAs using it: a client that reauthenticates holds its address twice for a while.
    holds: u32,
    /// Number of the release; meaningful while `holds` is 0.
    released: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    identity: Arc<Identity>,
    offsets: BTreeSet<u128>,
}

impl Pool {
    /// An empty pool. Costs the same for every size.
    pub fn new(config: Arc<PoolConfig>) -> Self {
        Self {
            config,
            leases: BTreeMap::new(),
            idle: BTreeMap::new(),
            waiting: BTreeMap::new(),
            fresh: 0,
            skipped: BTreeSet::new(),
            tick: 0,
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<PoolConfig> {
        &self.config
    }

    /// Takes over a configuration of the same range.
    pub(crate) fn set_config(&mut self, config: Arc<PoolConfig>) {
        self.config = config;
    }

    /// Addresses in use.
    pub fn online(&self) -> usize {
        self.leases.len().saturating_sub(self.idle.len())
    }

    /// Addresses not in use, kept for who had them.
    pub fn offline(&self) -> usize {
        self.idle.len()
    }

    /// Who uses this address now.
    pub fn user(&self, address: IpAddr) -> Option<&Identity> {
        let lease = self.leases.get(&self.config.range.offset(address)?)?;
        (lease.holds > 0).then_some(&*lease.identity)
    }

    /// All leases in order of address.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView<'_>> {
        self.leases.iter().filter_map(|(offset, lease)| self.view(*offset, lease))
    }

    /// Leases and their holds, online ones first, then the offline ones, oldest first.
    pub(crate) fn in_order_of_release(&self) -> impl Iterator<Item = (LeaseView<'_>, u32)> {
        let online = self.leases.iter().filter(|(_, lease)| lease.holds > 0);
        let offline = self.idle.values().filter_map(|offset| self.leases.get_key_value(offset));
        online.chain(offline).filter_map(|(offset, lease)| Some((self.view(*offset, lease)?, lease.holds)))
    }

    fn view<'a>(&self, offset: u128, lease: &'a Lease) -> Option<LeaseView<'a>> {
        let address = self.config.range.nth(offset)?;
        Some(LeaseView { address, identity: &lease.identity, online: lease.holds > 0 })
    }

    /// What this identity had or has: the address it asks for, else any it has offline.
    pub(crate) fn existing(
        &self,
        identity: &Identity,
        requested: IpAddr,
        taken: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        if let Some(offset) = self.config.range.offset(requested)
            && self.leases.get(&offset).is_some_and(|lease| *lease.identity == *identity)
            && !taken(requested)
        {
            return Some(requested);
        }
        self.waiting(identity)?.offsets.iter().filter_map(|o| self.config.range.nth(*o)).find(|a| !taken(*a))
    }

    /// An address nobody had yet: the one asked for, else the next.
    pub(crate) fn unused(&mut self, requested: IpAddr, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if self.idle.len() >= REMEMBERED {
            return None;
        }
        let range = &self.config.range;
        if let Some(offset) = range.offset(requested)
            && !self.leases.contains_key(&offset)
            && !taken(requested)
        {
            return Some(requested);
        }
        while let Some(address) = range.nth(self.fresh) {
            let leased = self.leases.contains_key(&self.fresh);
            if !leased && !taken(address) {
                return Some(address);
            }
            if !leased {
                self.skipped.insert(self.fresh);
            }
            self.fresh = self.fresh.saturating_add(1);
        }
        self.skipped.iter().filter_map(|o| range.nth(*o)).find(|a| !taken(*a))
    }

    /// An address whose owner is away: the one asked for, else the one away longest.
    pub(crate) fn abandoned(&self, requested: IpAddr, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if let Some(offset) = self.config.range.offset(requested)
            && self.leases.get(&offset).is_some_and(|lease| lease.holds == 0)
            && !taken(requested)
        {
            return Some(requested);
        }
        self.idle.values().filter_map(|o| self.config.range.nth(*o)).find(|a| !taken(*a))
    }

    /// Hands out an address that one of the three searches found.
    pub(crate) fn take(&mut self, address: IpAddr, identity: &Identity) -> bool {
        let Some(offset) = self.config.range.offset(address) else { return false };
        self.skipped.remove(&offset);
        if let Some(lease) = self.leases.get_mut(&offset) {
            if *lease.identity == *identity && lease.holds > 0 {
                lease.holds = lease.holds.saturating_add(1);
                return true;
            }
            if lease.holds > 0 {
                return false;
            }
            let (released, owner) = (lease.released, Arc::clone(&lease.identity));
            self.idle.remove(&released);
            self.forget_waiting(&owner, offset);
            if *owner == *identity {
                self.leases.insert(offset, Lease { identity: owner, holds: 1, released: 0 });
                return true;
            }
        }
        let identity = self.shared(identity);
        self.leases.insert(offset, Lease { identity, holds: 1, released: 0 });
        true
    }

    /// Puts a saved lease back, offline unless it had holders.
    pub(crate) fn restore(&mut self, address: IpAddr, identity: &Identity, holds: u32) -> bool {
        let Some(offset) = self.config.range.offset(address) else { return false };
        if self.leases.contains_key(&offset) || !self.take(address, identity) {
            return false;
        }
        match holds {
            0 => self.release(address, identity),
            _ => self.leases.get_mut(&offset).map(|lease| lease.holds = holds).is_some(),
        }
    }

    /// One holder less; the last one leaves the address offline. `false`: this identity does not use it.
    pub(crate) fn release(&mut self, address: IpAddr, identity: &Identity) -> bool {
        let Some(offset) = self.config.range.offset(address) else { return false };
        let Some(lease) = self.leases.get_mut(&offset) else { return false };
        if *lease.identity != *identity || lease.holds == 0 {
            return false;
        }
        lease.holds = lease.holds.saturating_sub(1);
        if lease.holds == 0 {
            lease.released = self.tick;
            self.idle.insert(self.tick, offset);
            let same = self.waiting.entry(hash(identity)).or_default();
            if let Some(waiting) = same.iter_mut().find(|w| *w.identity == *identity) {
                waiting.offsets.insert(offset);
            } else {
                let identity = Arc::clone(&lease.identity);
                same.push(Waiting { identity, offsets: BTreeSet::from([offset]) });
            }
            self.tick = self.tick.saturating_add(1);
        }
        true
    }

    fn waiting(&self, identity: &Identity) -> Option<&Waiting> {
        self.waiting.get(&hash(identity))?.iter().find(|w| *w.identity == *identity)
    }

    /// The identity as already held in memory, else a copy.
    fn shared(&self, identity: &Identity) -> Arc<Identity> {
        self.waiting(identity).map_or_else(|| Arc::new(identity.clone()), |w| Arc::clone(&w.identity))
    }

    fn forget_waiting(&mut self, identity: &Identity, offset: u128) {
        let hash = hash(identity);
        let Some(same) = self.waiting.get_mut(&hash) else { return };
        if let Some(waiting) = same.iter_mut().find(|w| *w.identity == *identity) {
            waiting.offsets.remove(&offset);
        }
        same.retain(|w| !w.offsets.is_empty());
        if same.is_empty() {
            self.waiting.remove(&hash);
        }
    }
}

/// The same in every run: nothing outside of this table sees it.
fn hash(identity: &Identity) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}
