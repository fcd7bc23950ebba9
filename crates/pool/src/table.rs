//! The leases of one pool: found by address, by identity, and by how long they are offline. Every step costs a few
//! look-ups, however many leases there are. One lease takes 40 bytes, its owner 16 beside the identity, and the
//! two indexes 5 and 9 bytes for every place they keep ready.
//!
//! With many leases time is what memory takes to answer, so nothing is looked at twice: an identity is hashed once
//! for a whole request ([`Who`]), the index of identities keeps the hashes, and in the index of addresses neighbours
//! lie side by side.
use crate::slab::{NONE, Slab};
use hashbrown::HashTable;
use policy::Identity;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// Not in the list at all; `NONE` is the end of one.
const OUT: u32 = NONE - 1;

/// A lease, by its number.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// The lower 64 bits of the offset.
    low: u64,
    owner: u32,
    /// Neighbours among the offline leases of its owner.
    mine: Links,
    /// Neighbours among the offline leases that may change their owner, in order of release.
    idle: Links,
    /// IKE_SAs using it: a client that reauthenticates holds its address twice for a while.
    holds: u32,
    /// Unix seconds since when it is in use, or since when not.
    since: u32,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    const OUT: Self = Self { prev: OUT, next: OUT };
}

impl Default for Lease {
    fn default() -> Self {
        Self { low: 0, owner: NONE, mine: Links::OUT, idle: Links::OUT, holds: 0, since: 0 }
    }
}

impl Lease {
    pub(crate) fn holds(&self) -> u32 {
        self.holds
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.into()
    }
}

/// An identity and the leases it has. In a cache line of its own: among many, each line that is looked at counts.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Owner {
    identity: Identity,
    /// Its lease that went offline last.
    first: u32,
    /// All its leases.
    leases: u32,
}

impl Default for Owner {
    fn default() -> Self {
        Self { identity: Identity::Any, first: NONE, leases: 0 }
    }
}

/// Keys of the hashes. Clients can neither know them nor choose identities or addresses that collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(RandomState);

/// An identity with its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) identity: &'a Identity,
    hash: u32,
}

impl Keys {
    pub(crate) fn of<'a>(&self, identity: &'a Identity) -> Who<'a> {
        let hash = u32::try_from(self.0.hash_one(identity) >> 32).unwrap_or(0);
        Who { identity, hash }
    }

    /// The hash of an offset. Addresses are handed out in order: sixteen neighbours have neighbouring places (which
    /// the index takes from the lower bits) and differ in their tags (the upper seven bits).
    fn place(&self, offset: u128) -> u64 {
        let within = u64::try_from(offset & 15).unwrap_or(0);
        let block = self.0.hash_one(offset >> 4);
        (block & !15 | within) ^ within << 57
    }
}

/// The place of an owner in the index, with its hash: the index grows without a look at the owners.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    owner: u32,
}

impl Entry {
    /// A hash for the index, which wants good bits at both ends.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// The leases of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    leases: Slab<Lease>,
    owners: Slab<Owner>,
    by_offset: HashTable<u32>,
    by_identity: HashTable<Entry>,
    /// The upper 64 bits of the few offsets that have any.
    high: BTreeMap<u32, u64>,
    keys: Keys,
    /// First and last of the idle list: the one offline longest, and the latest.
    idle: Links,
    idle_len: usize,
    online: usize,
}

impl Table {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            leases: Slab::new(),
            owners: Slab::new(),
            by_offset: HashTable::new(),
            by_identity: HashTable::new(),
            high: BTreeMap::new(),
            keys,
            idle: Links { prev: NONE, next: NONE },
            idle_len: 0,
            online: 0,
        }
    }

    /// Leases, online and offline.
    pub(crate) fn len(&self) -> usize {
        self.by_offset.len()
    }

    pub(crate) fn online(&self) -> usize {
        self.online
    }

    /// Offline leases that may change their owner.
    pub(crate) fn idle(&self) -> usize {
        self.idle_len
    }

    pub(crate) fn find(&self, offset: u128) -> Option<u32> {
        self.by_offset.find(self.keys.place(offset), |n| self.offset(*n) == Some(offset)).copied()
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// The identity with its hash in this table.
    pub(crate) fn who<'a>(&self, identity: &'a Identity) -> Who<'a> {
        self.keys.of(identity)
    }

    pub(crate) fn lease(&self, number: u32) -> Option<&Lease> {
        self.leases.get(number)
    }

    pub(crate) fn identity(&self, number: u32) -> Option<&Identity> {
        Some(&self.owners.get(self.leases.get(number)?.owner)?.identity)
    }

    pub(crate) fn offset(&self, number: u32) -> Option<u128> {
        let low = u128::from(self.leases.get(number)?.low);
        if self.high.is_empty() {
            return Some(low);
        }
        Some(low | u128::from(self.high.get(&number).copied().unwrap_or(0)) << 64)
    }

    /// The offline leases of this identity, the latest first.
    pub(crate) fn offline_of(&self, who: Who<'_>) -> impl Iterator<Item = u32> {
        let first = self.owner(who).and_then(|n| self.owners.get(n)).map_or(NONE, |owner| owner.first);
        self.walk(first, |lease| lease.mine.next)
    }

    /// Offline leases that may change their owner, the one offline longest first.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = u32> {
        self.walk(self.idle.prev, |lease| lease.idle.next)
    }

    pub(crate) fn longest_offline(&self) -> Option<u32> {
        self.oldest().next()
    }

    fn walk(&self, first: u32, next: impl Fn(&Lease) -> u32) -> impl Iterator<Item = u32> {
        let known = move |n: &u32| self.leases.get(*n).is_some();
        std::iter::successors(Some(first).filter(known), move |n| {
            self.leases.get(*n).map(&next).filter(|n| self.leases.get(*n).is_some())
        })
    }

    /// All leases, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> {
        self.leases.iter().filter(|(_, lease)| lease.owner != NONE).map(|(number, _)| number)
    }

    /// A new lease, in use once. `None` when there are 2³² of them.
    pub(crate) fn insert(&mut self, offset: u128, who: Who<'_>, now: u64) -> Option<u32> {
        let low = u64::try_from(offset & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        let owner = self.owner(who).or_else(|| self.new_owner(who))?;
        let lease = Lease { low, owner, holds: 1, since: seconds(now), ..Lease::default() };
        let Some(number) = self.leases.insert(lease) else {
            self.forget_owner(owner);
            return None;
        };
        if let Ok(high @ 1..) = u64::try_from(offset >> 64) {
            self.high.insert(number, high);
        }
        let Self { by_offset, leases, high, keys, .. } = self;
        let rehash = |n: &u32| {
            let low = leases.get(*n).map_or(0, |lease| u128::from(lease.low));
            keys.place(low | u128::from(high.get(n).copied().unwrap_or(0)) << 64)
        };
        by_offset.insert_unique(keys.place(offset), number, rehash);
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.leases = owner.leases.saturating_add(1);
        }
        self.online = self.online.saturating_add(1);
        Some(number)
    }

    /// One more IKE_SA uses it.
    pub(crate) fn hold(&mut self, number: u32, now: u64) {
        self.unlink(number);
        let Some(lease) = self.leases.get_mut(number) else { return };
        if lease.holds == 0 {
            lease.since = seconds(now);
            self.online = self.online.saturating_add(1);
        }
        lease.holds = lease.holds.saturating_add(1);
    }

    /// So many IKE_SAs use it (after a restart).
    pub(crate) fn set_holds(&mut self, number: u32, holds: u32) {
        if let Some(lease) = self.leases.get_mut(number).filter(|lease| lease.holds > 0) {
            lease.holds = holds.max(1);
        }
    }

    /// One IKE_SA less uses it. `Some(true)`: it is offline now; `None`: it was not in use.
    pub(crate) fn release(&mut self, number: u32) -> Option<bool> {
        let lease = self.leases.get_mut(number).filter(|lease| lease.holds > 0)?;
        lease.holds = lease.holds.saturating_sub(1);
        Some(lease.holds == 0)
    }

    /// After the last release: its owner finds it again, and others may have it some day (`shared`).
    pub(crate) fn offline(&mut self, number: u32, now: u64, shared: bool) {
        let Some(lease) = self.leases.get_mut(number).filter(|lease| lease.holds == 0) else { return };
        lease.since = seconds(now);
        self.online = self.online.saturating_sub(1);
        let Some(owner) = self.owners.get_mut(lease.owner) else { return };
        let second = std::mem::replace(&mut owner.first, number);
        lease.mine = Links { prev: NONE, next: second };
        if shared {
            lease.idle = Links { prev: self.idle.next, next: NONE };
        }
        if let Some(second) = self.leases.get_mut(second) {
            second.mine.prev = number;
        }
        if shared {
            let last = std::mem::replace(&mut self.idle.next, number);
            match self.leases.get_mut(last) {
                Some(last) => last.idle.next = number,
                None => self.idle.prev = number,
            }
            self.idle_len = self.idle_len.saturating_add(1);
        }
    }

    /// Takes a lease away, in use or not.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(offset) = self.offset(number) else { return };
        let Some(was_linked) = self.leases.get(number).map(|lease| lease.mine.prev != OUT) else { return };
        if !was_linked {
            self.online = self.online.saturating_sub(1);
        }
        self.unlink(number);
        if let Ok(entry) = self.by_offset.find_entry(self.keys.place(offset), |n| *n == number) {
            entry.remove();
        }
        self.high.remove(&number);
        let Some(lease) = self.leases.remove(number) else { return };
        if let Some(owner) = self.owners.get_mut(lease.owner) {
            owner.leases = owner.leases.saturating_sub(1);
        }
        self.forget_owner(lease.owner);
    }

    /// Takes it out of both lists of offline leases.
    fn unlink(&mut self, number: u32) {
        let Some(lease) = self.leases.get_mut(number) else { return };
        let mine = std::mem::replace(&mut lease.mine, Links::OUT);
        let idle = std::mem::replace(&mut lease.idle, Links::OUT);
        let owner = lease.owner;
        if mine.prev != OUT {
            match self.leases.get_mut(mine.prev) {
                Some(prev) => prev.mine.next = mine.next,
                None => {
                    if let Some(owner) = self.owners.get_mut(owner) {
                        owner.first = mine.next;
                    }
                }
            }
            if let Some(next) = self.leases.get_mut(mine.next) {
                next.mine.prev = mine.prev;
            }
        }
        if idle.prev != OUT {
            match self.leases.get_mut(idle.prev) {
                Some(prev) => prev.idle.next = idle.next,
                None => self.idle.prev = idle.next,
            }
            match self.leases.get_mut(idle.next) {
                Some(next) => next.idle.prev = idle.prev,
                None => self.idle.next = idle.prev,
            }
            self.idle_len = self.idle_len.saturating_sub(1);
        }
    }

    fn owner(&self, who: Who<'_>) -> Option<u32> {
        let same = |entry: &Entry| {
            entry.hash == who.hash
                && self.owners.get(entry.owner).is_some_and(|owner| owner.identity == *who.identity)
        };
        self.by_identity.find(Entry::spread(who.hash), same).map(|entry| entry.owner)
    }

    fn new_owner(&mut self, who: Who<'_>) -> Option<u32> {
        let owner = self.owners.insert(Owner { identity: who.identity.clone(), ..Owner::default() })?;
        let entry = Entry { hash: who.hash, owner };
        self.by_identity.insert_unique(Entry::spread(who.hash), entry, |entry| Entry::spread(entry.hash));
        Some(owner)
    }

    /// Forgets an identity without leases.
    fn forget_owner(&mut self, number: u32) {
        let Some(owner) = self.owners.get(number).filter(|owner| owner.leases == 0) else { return };
        let hash = self.keys.of(&owner.identity).hash;
        if let Ok(entry) = self.by_identity.find_entry(Entry::spread(hash), |entry| entry.owner == number) {
            entry.remove();
        }
        self.owners.remove(number);
    }
}

/// Unix seconds as kept: good until the year 2106.
fn seconds(now: u64) -> u32 {
    u32::try_from(now).unwrap_or(u32::MAX)
}
