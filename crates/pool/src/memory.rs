//! One pool in memory: which address a client gets.
use crate::reserved::Reserved;
use crate::table::{Keys, Table, Who};
use crate::{Change, LeaseView, Owned};
use ipnet::IpNet;
use policy::{Identity, PoolConfig};
use std::collections::{BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::sync::Arc;

/// Offline leases one pool remembers. A range larger than that reuses the oldest of them instead of growing, so
/// that clients who come with ever new identities cannot fill the memory.
pub const REMEMBERED: usize = 1 << 20;

/// A pool: its configuration and its leases.
#[derive(Debug, Clone)]
pub struct Pool {
    config: Arc<PoolConfig>,
    /// By offset into the range, or behind it for reserved addresses outside.
    leases: Table,
    reserved: Reserved,
    /// Every offset below has a lease, is reserved, or is in one of the two sets.
    fresh: u128,
    /// Offsets that had a lease and have none any more.
    returned: BTreeSet<u128>,
    /// Offsets stepped over because another pool with the same addresses had them in use.
    skipped: BTreeSet<u128>,
}

/// An address that a search found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) address: IpAddr,
    offset: u128,
    /// The lease it has.
    lease: Option<u32>,
}

/// Notes what changes, where somebody wants to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) wanted: bool,
    pub(crate) list: Vec<Change>,
}

impl Pool {
    /// An empty pool. Costs the same for every size.
    pub(crate) fn new(config: Arc<PoolConfig>, keys: Keys) -> Self {
        Self {
            reserved: Reserved::new(&config, std::iter::empty()),
            config,
            leases: Table::new(keys),
            fresh: 0,
            returned: BTreeSet::new(),
            skipped: BTreeSet::new(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<PoolConfig> {
        &self.config
    }

    /// Takes over a configuration of the same range. Leases that do not fit the new `hosts` go when they are offline.
    pub(crate) fn set_config(&mut self, config: Arc<PoolConfig>, changes: &mut Changes) {
        if self.config.hosts == config.hosts {
            self.config = config;
            return;
        }
        let in_use = self.leases().filter(|lease| lease.online).map(|lease| lease.address);
        let mut new =
            Self { reserved: Reserved::new(&config, in_use), ..Self::new(config, self.leases.keys()) };
        new.take_over(self, changes);
        *self = new;
    }

    /// Takes over the leases of another pool, as far as they fit.
    pub(crate) fn take_over(&mut self, old: &Self, changes: &mut Changes) {
        for (lease, holds) in old.in_order_of_release() {
            let fits =
                holds > 0 || self.offset(lease.address).is_some_and(|o| self.may_keep(o, lease.identity));
            if !fits || !self.restore(lease.address, lease.identity, holds, lease.since) {
                self.note(changes, lease.address, None, false);
            }
        }
    }

    /// Addresses in use.
    pub fn online(&self) -> usize {
        self.leases.online()
    }

    /// Addresses not in use, kept for who had them.
    pub fn offline(&self) -> usize {
        self.leases.len().saturating_sub(self.leases.online())
    }

    /// Who uses this address now.
    pub fn user(&self, address: IpAddr) -> Option<&Identity> {
        let number = self.leases.find(self.offset(address)?)?;
        self.leases.lease(number).filter(|lease| lease.holds() > 0)?;
        self.leases.identity(number)
    }

    /// Who else than `except` uses an address of this network, or one around it. A network of many addresses costs a
    /// look at all leases.
    pub(crate) fn user_within(&self, net: IpNet, except: &Identity) -> Option<&Identity> {
        let (first, last) = (self.offset(net.network()), self.offset(net.broadcast()));
        if first.is_some() && first == last {
            return self.user(net.network()).filter(|user| *user != except);
        }
        if first.is_none()
            && last.is_none()
            && !net.contains(&self.config.range.first())
            && self.reserved.is_empty()
        {
            return None;
        }
        let used = self.leases.all().filter(|number| self.in_use(*number));
        let within =
            used.filter(|number| self.spot_of(*number).is_some_and(|spot| net.contains(&spot.address)));
        within.filter_map(|number| self.leases.identity(number)).find(|user| *user != except)
    }

    pub(crate) fn has_lease(&self, address: IpAddr) -> bool {
        self.offset(address).and_then(|offset| self.leases.find(offset)).is_some()
    }

    /// This identity had this address last.
    pub(crate) fn had(&self, identity: &Identity, spot: &Spot) -> bool {
        spot.lease.and_then(|number| self.leases.identity(number)) == Some(identity)
    }

    /// Whom this address is reserved for.
    pub fn reserved(&self, address: IpAddr) -> Option<&Identity> {
        self.reserved.owner(self.offset(address)?)
    }

    /// All leases in order of address.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView<'_>> {
        let mut all: Vec<(IpAddr, u32)> =
            self.leases.all().filter_map(|n| Some((self.address(self.leases.offset(n)?)?, n))).collect();
        all.sort_unstable();
        all.into_iter().filter_map(|(_, number)| self.view(number))
    }

    /// Some leases in order of address: those above `after`, at most `limit`. Holds no more than these, and goes
    /// through all leases to find them.
    pub fn leases_after(&self, after: Option<IpAddr>, limit: usize) -> Vec<LeaseView<'_>> {
        let mut first: BinaryHeap<(IpAddr, u32)> = BinaryHeap::new();
        for number in self.leases.all() {
            let Some(address) = self.leases.offset(number).and_then(|offset| self.address(offset)) else {
                continue;
            };
            let wanted = after.is_none_or(|after| address > after);
            if wanted && (first.len() < limit || first.peek().is_some_and(|(last, _)| address < *last)) {
                first.push((address, number));
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        first.into_sorted_vec().into_iter().filter_map(|(_, number)| self.view(number)).collect()
    }

    /// Leases and their holds, online ones first, then the offline ones, oldest first.
    pub(crate) fn in_order_of_release(&self) -> impl Iterator<Item = (LeaseView<'_>, u32)> {
        let shared = |n: &u32| self.leases.offset(*n).is_some_and(|o| self.reserved.owner(o).is_none());
        let online = |n: &u32| self.leases.lease(*n).is_some_and(|lease| lease.holds() > 0);
        let first = self.leases.all().filter(move |n| online(n) || !shared(n));
        let first: Vec<u32> = first.collect();
        first
            .into_iter()
            .chain(self.leases.oldest().filter(move |n| shared(n)))
            .filter_map(|number| Some((self.view(number)?, self.leases.lease(number)?.holds())))
    }

    fn view(&self, number: u32) -> Option<LeaseView<'_>> {
        let lease = self.leases.lease(number)?;
        let online = lease.holds() > 0;
        let offset = self.leases.offset(number)?;
        let ends = self.config.timeout.filter(|_| !online && self.reserved.owner(offset).is_none());
        Some(LeaseView {
            address: self.address(offset)?,
            prefix: self.config.range.prefix(),
            identity: self.leases.identity(number)?,
            online,
            since: lease.since(),
            expires: ends.map(|timeout| lease.since().saturating_add(timeout)),
        })
    }

    fn offset(&self, address: IpAddr) -> Option<u128> {
        self.reserved.offset(&self.config, address)
    }

    fn address(&self, offset: u128) -> Option<IpAddr> {
        self.reserved.address(&self.config, offset)
    }

    /// An offline lease may stay: it is this identity's own reserved one, or in the range and nobody's.
    fn may_keep(&self, offset: u128, identity: &Identity) -> bool {
        match self.reserved.owner(offset) {
            Some(owner) => owner.same(identity),
            None => offset < self.config.range.size(),
        }
    }

    fn spot_of(&self, number: u32) -> Option<Spot> {
        let offset = self.leases.offset(number)?;
        Some(Spot { address: self.address(offset)?, offset, lease: Some(number) })
    }

    fn in_use(&self, number: u32) -> bool {
        self.leases.lease(number).is_some_and(|lease| lease.holds() > 0)
    }

    /// The address asked for, where this identity uses it already: it reauthenticates.
    pub(crate) fn held(&self, identity: &Identity, requested: IpAddr) -> Option<Spot> {
        let number = self.leases.find(self.offset(requested)?)?;
        let its_own = self.in_use(number) && self.leases.identity(number)? == identity;
        if its_own { self.spot_of(number) } else { None }
    }

    /// What is reserved for this identity and not in use.
    pub(crate) fn fixed(&self, identity: &Identity, taken: impl Fn(IpAddr) -> bool) -> Option<Spot> {
        let offset = self.reserved.of(identity)?;
        let lease = self.leases.find(offset);
        let address = self.address(offset)?;
        let free = lease.is_none_or(|number| !self.in_use(number)) && !taken(address);
        free.then_some(Spot { address, offset, lease })
    }

    /// What this identity had: the address it asks for, else any it has offline.
    pub(crate) fn existing(
        &self,
        who: Who<'_>,
        requested: IpAddr,
        taken: impl Fn(IpAddr) -> bool,
    ) -> Option<Spot> {
        if let Some(number) = self.offset(requested).and_then(|offset| self.leases.find(offset))
            && !self.in_use(number)
            && self.leases.identity(number) == Some(who.identity)
            && let Some(spot) = self.spot_of(number)
            && !taken(spot.address)
        {
            return Some(spot);
        }
        let mut mine = self.leases.offline_of(who).filter_map(|number| self.spot_of(number));
        mine.find(|spot| !taken(spot.address))
    }

    /// An address nobody has: the one asked for, else the next.
    pub(crate) fn unused(&mut self, requested: IpAddr, taken: impl Fn(IpAddr) -> bool) -> Option<Spot> {
        if self.leases.idle() >= REMEMBERED {
            return None;
        }
        let range = self.config.range;
        let spot = |offset: u128, address: IpAddr| Some(Spot { address, offset, lease: None });
        let free = |offset: u128, leases: &Table, reserved: &Reserved| {
            leases.find(offset).is_none() && reserved.owner(offset).is_none()
        };
        if let Some(offset) = range.offset(requested)
            && free(offset, &self.leases, &self.reserved)
            && let Some(address) = range.nth(offset)
            && !taken(address)
        {
            return spot(offset, address);
        }
        while let Some(offset) = self.returned.first().copied() {
            match range.nth(offset).filter(|_| free(offset, &self.leases, &self.reserved)) {
                Some(address) if !taken(address) => return spot(offset, address),
                Some(_) => _ = self.skipped.insert(offset),
                None => {}
            }
            self.returned.remove(&offset);
        }
        while let Some(address) = range.nth(self.fresh) {
            let free = free(self.fresh, &self.leases, &self.reserved);
            if free && !taken(address) {
                return spot(self.fresh, address);
            }
            if free {
                self.skipped.insert(self.fresh);
            }
            self.fresh = self.fresh.saturating_add(1);
        }
        let mut skipped = self.skipped.iter().filter_map(|offset| spot(*offset, range.nth(*offset)?));
        skipped.find(|spot| !taken(spot.address))
    }

    /// An address whose owner is away: the one asked for, else the one away longest.
    pub(crate) fn abandoned(&self, requested: IpAddr, taken: impl Fn(IpAddr) -> bool) -> Option<Spot> {
        if let Some(offset) = self.config.range.offset(requested)
            && let Some(number) = self.leases.find(offset)
            && !self.in_use(number)
            && self.reserved.owner(offset).is_none()
            && let Some(spot) = self.spot_of(number)
            && !taken(spot.address)
        {
            return Some(spot);
        }
        let mut away = self.leases.oldest().filter_map(|number| self.spot_of(number));
        away.find(|spot| !taken(spot.address))
    }

    /// Hands out an address that one of the searches found just now.
    pub(crate) fn take(&mut self, spot: Spot, who: Who<'_>, now: u64, changes: &mut Changes) -> bool {
        let mut claim = true;
        if let Some(number) = spot.lease {
            let in_use = self.in_use(number);
            if self.leases.identity(number) == Some(who.identity) {
                self.leases.hold(number, now);
                claim = false;
            } else if in_use {
                return false;
            } else {
                self.leases.remove(number);
            }
            if in_use {
                return true;
            }
        }
        if claim && self.leases.insert(spot.offset, who, now).is_none() {
            return false;
        }
        self.unlist(spot.offset);
        let owned = || Some(Owned { identity: who.identity.clone(), online: true, since: now });
        self.note_with(changes, spot.address, claim, owned);
        true
    }

    /// It has a lease: the next search for a free one goes past it.
    fn unlist(&mut self, offset: u128) {
        if self.fresh == offset {
            self.fresh = offset.saturating_add(1);
        } else {
            self.returned.remove(&offset);
            self.skipped.remove(&offset);
        }
    }

    /// Puts a saved lease back, offline unless it has holders.
    pub(crate) fn restore(&mut self, address: IpAddr, identity: &Identity, holds: u32, since: u64) -> bool {
        let Some(offset) = self.offset(address) else { return false };
        if self.leases.find(offset).is_some() || (holds == 0 && !self.may_keep(offset, identity)) {
            return false;
        }
        let who = self.leases.who(identity);
        let Some(number) = self.leases.insert(offset, who, since) else { return false };
        if holds == 0 {
            self.leases.release(number);
            self.leases.offline(number, since, self.reserved.owner(offset).is_none());
        } else {
            self.leases.set_holds(number, holds);
        }
        self.unlist(offset);
        true
    }

    /// One holder less; the last one leaves the address offline. `false`: this identity does not use it.
    pub(crate) fn release(
        &mut self,
        address: IpAddr,
        identity: &Identity,
        now: u64,
        changes: &mut Changes,
    ) -> bool {
        let Some(offset) = self.offset(address) else { return false };
        let Some(number) = self.leases.find(offset) else { return false };
        if self.leases.identity(number) != Some(identity) {
            return false;
        }
        match self.leases.release(number) {
            None => return false,
            Some(false) => return true,
            Some(true) => {}
        }
        if self.may_keep(offset, identity) {
            self.leases.offline(number, now, self.reserved.owner(offset).is_none());
            let owned = || Some(Owned { identity: identity.clone(), online: false, since: now });
            self.note_with(changes, address, false, owned);
        } else {
            self.drop_lease(number, offset);
            self.note(changes, address, None, false);
        }
        true
    }

    /// Takes back a lease that was never told to its client: one holder less, and nothing stays of a new one.
    pub(crate) fn revoke(
        &mut self,
        address: IpAddr,
        identity: &Identity,
        new: bool,
        now: u64,
        changes: &mut Changes,
    ) {
        if self.release(address, identity, now, changes)
            && new
            && let Some(offset) = self.offset(address)
            && let Some(number) = self.leases.find(offset)
            && self.leases.lease(number).is_some_and(|lease| lease.holds() == 0)
        {
            self.drop_lease(number, offset);
            self.note(changes, address, None, false);
        }
    }

    /// When that which is offline longest ends.
    pub(crate) fn next_end(&self) -> Option<u64> {
        let timeout = self.config.timeout?;
        let lease = self.leases.lease(self.leases.longest_offline()?)?;
        Some(lease.since().saturating_add(timeout))
    }

    /// Ends what has been offline for longer than the pool's timeout.
    pub(crate) fn expire(&mut self, now: u64, changes: &mut Changes) {
        let Some(timeout) = self.config.timeout else { return };
        while let Some(number) = self.leases.longest_offline() {
            let ends = self.leases.lease(number).map(|lease| lease.since().saturating_add(timeout));
            let Some(offset) = self.leases.offset(number).filter(|_| ends.is_some_and(|end| end <= now))
            else {
                return;
            };
            if let Some(address) = self.address(offset) {
                self.note(changes, address, None, false);
            }
            self.drop_lease(number, offset);
        }
    }

    fn drop_lease(&mut self, number: u32, offset: u128) {
        self.leases.remove(number);
        if offset < self.fresh {
            self.returned.insert(offset);
        }
    }

    fn note(&self, changes: &mut Changes, address: IpAddr, owned: Option<Owned>, claim: bool) {
        self.note_with(changes, address, claim, || owned);
    }

    fn note_with(
        &self,
        changes: &mut Changes,
        address: IpAddr,
        claim: bool,
        owned: impl FnOnce() -> Option<Owned>,
    ) {
        if changes.wanted {
            let pool = self.config.name.clone();
            changes.list.push(Change { pool, address, owned: owned(), claim });
        }
    }
}
