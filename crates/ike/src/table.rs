//! The IKE_SAs of an engine and every way to find one. Nothing here walks through all of them but [`Table::range`].
//!
//! While an SA is worked on it is taken out, so that whoever works on it may look at all others.
use crate::sa::IkeSa;
use crate::when::When;
use policy::Identity;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::Bound;
use std::sync::Arc;

/// A responder's SA that is not authenticated yet: the peer's first address, port and SPI.
pub(crate) type FirstContact = (IpAddr, u16, u64);

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Empty where the SA is being worked on.
    sas: BTreeMap<u32, Option<Box<IkeSa>>>,
    /// Our SPI to the SA.
    by_spi: BTreeMap<u64, u32>,
    half_open: BTreeMap<FirstContact, u32>,
    /// How many are half-open with each peer.
    half_open_with: BTreeMap<IpAddr, usize>,
    /// CHILD_SA to IKE_SA.
    child_of: BTreeMap<u32, u32>,
    deadlines: BTreeSet<(u64, u32)>,
    /// By the name of the connection.
    by_name: BTreeMap<Arc<str>, BTreeSet<u32>>,
    /// By the peer's address, see [`fold`], and, once the peer is authenticated, our identity, see [`own`].
    by_peer: BTreeSet<(u32, u32, u32)>,
    /// By both identities, see [`pair`].
    by_identities: BTreeSet<(u64, u32)>,
    /// IKE_SAs that are to be replaced (reauthentication), with those that will do so.
    replaced: BTreeSet<(u32, u32)>,
    /// How many SAs were looked at.
    #[cfg(test)]
    looked_at: std::cell::Cell<usize>,
}

/// Where an SA is filed; the SA carries it along.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filed {
    spi: Option<NonZeroU64>,
    deadline: When,
    half_open: Option<Box<FirstContact>>,
    name: Option<Arc<str>>,
    peer: Option<(u32, u32)>,
    identities: Option<u64>,
    /// Our identity, as a key.
    own: u32,
    replaces: Option<u32>,
    /// How many children, and the newest.
    children: (u32, u32),
}

impl Filed {
    /// Its SPI leads to it.
    pub(crate) fn has_spi(&self) -> bool {
        self.spi.is_some()
    }
}

/// An address as a short key; others may have the same.
fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => short(&v6),
    }
}

/// An identity of ours as a short key; others may have the same.
fn own(identity: &Identity) -> u32 {
    short(identity)
}

fn short(value: &impl Hash) -> u32 {
    let mut hash = DefaultHasher::new();
    value.hash(&mut hash);
    let (high, low) = (hash.finish() >> 32, hash.finish());
    u32::try_from((high ^ low) & u64::from(u32::MAX)).unwrap_or_default()
}

/// Two identities as a short key; others may have the same.
fn pair(local: &Identity, remote: &Identity) -> u64 {
    let mut hash = DefaultHasher::new();
    local.hash(&mut hash);
    remote.hash(&mut hash);
    hash.finish()
}

impl Table {
    /// IKE_SAs of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.sas.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sas.is_empty()
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.sas.contains_key(&id)
    }

    /// The SA of that number, unless it is being worked on.
    pub(crate) fn get(&self, id: u32) -> Option<&IkeSa> {
        self.look(self.sas.get(&id)?)
    }

    /// All SAs whose numbers are above `after`, in order.
    pub(crate) fn range(&self, after: Option<u32>) -> impl Iterator<Item = &IkeSa> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sas.range((from, Bound::Unbounded)).filter_map(|(_, sa)| self.look(sa))
    }

    fn look<'a>(&'a self, sa: &'a Option<Box<IkeSa>>) -> Option<&'a IkeSa> {
        #[cfg(test)]
        self.looked_at.set(self.looked_at.get() + 1);
        sa.as_deref()
    }

    /// All numbers.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.sas.keys().copied().collect()
    }

    /// Number of the SA that has this SPI of ours.
    pub(crate) fn of_spi(&self, spi: u64) -> Option<u32> {
        self.by_spi.get(&spi).copied()
    }

    /// Number of the half-open SA that began so.
    pub(crate) fn of_first(&self, first: &FirstContact) -> Option<u32> {
        self.half_open.get(first).copied()
    }

    /// Half-open SAs.
    pub(crate) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Half-open SAs with this peer.
    pub(crate) fn half_open_with(&self, peer: IpAddr) -> usize {
        self.half_open_with.get(&peer).copied().unwrap_or_default()
    }

    /// Number of the IKE_SA of a CHILD_SA.
    pub(crate) fn of_child(&self, child: u32) -> Option<u32> {
        self.child_of.get(&child).copied()
    }

    /// A CHILD_SA is gone.
    pub(crate) fn child_gone(&mut self, child: u32) {
        self.child_of.remove(&child);
    }

    /// The earliest deadline, and whose it is.
    pub(crate) fn first_deadline(&self) -> Option<(u64, u32)> {
        self.deadlines.first().copied()
    }

    /// If the SA still has this deadline, it gets a later one.
    pub(crate) fn put_off(&mut self, id: u32, from: u64, to: u64) {
        if self.deadlines.remove(&(from, id)) {
            self.deadlines.insert((to, id));
            if let Some(sa) = self.sas.get_mut(&id).and_then(Option::as_mut) {
                sa.filed.deadline = When::at(to);
            }
        }
    }

    /// The name of a connection, shared by all that have it.
    pub(crate) fn name(&self, connection: &str) -> Arc<str> {
        let known = self.by_name.get_key_value(connection).map(|(name, _)| Arc::clone(name));
        known.unwrap_or_else(|| Arc::from(connection))
    }

    /// SAs of the connection of that name, in the order of their numbers.
    pub(crate) fn named(&self, connection: &str) -> impl Iterator<Item = &IkeSa> {
        self.by_name.get(connection).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// How many there are of the connection of that name.
    pub(crate) fn count_named(&self, connection: &str) -> usize {
        self.by_name.get(connection).map_or(0, BTreeSet::len)
    }

    /// The highest number.
    pub(crate) fn last(&self) -> Option<u32> {
        self.sas.keys().next_back().copied()
    }

    /// SAs whose peer is at this address.
    pub(crate) fn at(&self, peer: IpAddr) -> impl Iterator<Item = &IkeSa> {
        let key = fold(peer);
        let found = self.by_peer.range((key, 0, 0)..=(key, u32::MAX, u32::MAX));
        found.filter_map(|(_, _, id)| self.get(*id)).filter(move |sa| sa.remote.ip() == peer)
    }

    /// SAs in service, or soon to be, between this identity of ours and whoever is at this address.
    pub(crate) fn of_ours_at<'a>(
        &'a self,
        me: &'a Identity,
        peer: IpAddr,
    ) -> impl Iterator<Item = &'a IkeSa> {
        let (key, own) = (fold(peer), own(me));
        let found = self.by_peer.range((key, own, 0)..=(key, own, u32::MAX));
        found.filter_map(|(_, _, id)| self.get(*id)).filter(move |sa| {
            sa.remote.ip() == peer && sa.counts_for_unique() && sa.local_id.as_deref() == Some(me)
        })
    }

    /// SAs in service, or soon to be, between these identities; that of the peer as
    /// [`IkeSa::peer`] has it.
    pub(crate) fn between<'a>(
        &'a self,
        local: &'a Identity,
        remote: &'a Identity,
    ) -> impl Iterator<Item = &'a IkeSa> {
        let key = pair(local, remote);
        let found = self.by_identities.range((key, 0)..=(key, u32::MAX)).filter_map(|(_, id)| self.get(*id));
        found.filter(move |sa| sa.local_id.as_deref() == Some(local) && sa.peer() == Some(remote))
    }

    /// SAs that will replace this one.
    pub(crate) fn successors(&self, old: u32) -> Vec<u32> {
        self.replaced.range((old, 0)..=(old, u32::MAX)).map(|(_, new)| *new).collect()
    }

    /// Takes an SA out to work on it.
    pub(crate) fn take(&mut self, id: u32) -> Option<Box<IkeSa>> {
        self.sas.get_mut(&id)?.take()
    }

    /// Puts an SA in, or back; it is filed as it is now. `deadline`: when it wants to be woken.
    pub(crate) fn put(&mut self, mut sa: Box<IkeSa>, deadline: Option<u64>) {
        self.file_spi(&mut sa);
        self.file_half_open(&mut sa);
        self.file_deadline(&mut sa, deadline);
        self.file_name(&mut sa);
        self.file_identities(&mut sa);
        self.file_peer(&mut sa);
        self.file_replaces(&mut sa);
        self.file_children(&mut sa);
        self.sas.insert(sa.id, Some(sa));
    }

    /// Forgets an SA that was taken out.
    pub(crate) fn forget(&mut self, sa: &mut IkeSa) {
        let filed = std::mem::take(&mut sa.filed);
        if let Some(spi) = filed.spi {
            self.drop_spi(spi.get(), sa.id);
        }
        if let Some(first) = filed.half_open {
            self.drop_half_open(&first, sa.id);
        }
        if let Some(at) = filed.deadline.get() {
            self.deadlines.remove(&(at, sa.id));
        }
        if let Some(name) = filed.name {
            self.drop_name(&name, sa.id);
        }
        if let Some((key, own)) = filed.peer {
            self.by_peer.remove(&(key, own, sa.id));
        }
        if let Some(key) = filed.identities {
            self.by_identities.remove(&(key, sa.id));
        }
        if let Some(old) = filed.replaces {
            self.replaced.remove(&(old, sa.id));
        }
        for child in sa.children.keys() {
            self.child_of.remove(child);
        }
        self.sas.remove(&sa.id);
    }

    fn file_spi(&mut self, sa: &mut IkeSa) {
        let now = NonZeroU64::new(sa.spi_local()).filter(|_| !sa.has_ended());
        if now == sa.filed.spi {
            return;
        }
        if let Some(spi) = std::mem::replace(&mut sa.filed.spi, now) {
            self.drop_spi(spi.get(), sa.id);
        }
        if let Some(spi) = now {
            self.by_spi.insert(spi.get(), sa.id);
        }
    }

    fn drop_spi(&mut self, spi: u64, id: u32) {
        if self.by_spi.get(&spi) == Some(&id) {
            self.by_spi.remove(&spi);
        }
    }

    fn file_half_open(&mut self, sa: &mut IkeSa) {
        if sa.is_half_open() == sa.filed.half_open.is_some() {
            return;
        }
        match sa.filed.half_open.take() {
            Some(first) => self.drop_half_open(&first, sa.id),
            None => {
                let first = (sa.remote.ip(), sa.remote.port(), sa.spi_i);
                if self.half_open.insert(first, sa.id).is_none() {
                    let with = self.half_open_with.entry(first.0).or_default();
                    *with = with.saturating_add(1);
                }
                sa.filed.half_open = Some(Box::new(first));
            }
        }
    }

    fn drop_half_open(&mut self, first: &FirstContact, id: u32) {
        if self.half_open.get(first) != Some(&id) {
            return;
        }
        self.half_open.remove(first);
        if let Some(with) = self.half_open_with.get_mut(&first.0) {
            *with = with.saturating_sub(1);
            if *with == 0 {
                self.half_open_with.remove(&first.0);
            }
        }
    }

    fn file_deadline(&mut self, sa: &mut IkeSa, now: Option<u64>) {
        if now == sa.filed.deadline.get() {
            return;
        }
        if let Some(at) = std::mem::replace(&mut sa.filed.deadline, now.into()).get() {
            self.deadlines.remove(&(at, sa.id));
        }
        if let Some(at) = now {
            self.deadlines.insert((at, sa.id));
        }
    }

    fn file_name(&mut self, sa: &mut IkeSa) {
        if sa.filed.name.as_deref() == Some(&sa.conn.name) {
            return;
        }
        if let Some(name) = sa.filed.name.take() {
            self.drop_name(&name, sa.id);
        }
        let name = self.name(&sa.conn.name);
        self.by_name.entry(Arc::clone(&name)).or_default().insert(sa.id);
        sa.filed.name = Some(name);
    }

    fn drop_name(&mut self, name: &str, id: u32) {
        if let Some(ids) = self.by_name.get_mut(name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    fn file_peer(&mut self, sa: &mut IkeSa) {
        let now = (fold(sa.remote.ip()), sa.filed.own);
        if sa.filed.peer == Some(now) {
            return;
        }
        if let Some((key, own)) = sa.filed.peer.replace(now) {
            self.by_peer.remove(&(key, own, sa.id));
        }
        self.by_peer.insert((now.0, now.1, sa.id));
    }

    /// Identities are settled once the peer is authenticated.
    fn file_identities(&mut self, sa: &mut IkeSa) {
        if sa.counts_for_unique() == sa.filed.identities.is_some() {
            return;
        }
        match sa.filed.identities.take() {
            Some(key) => {
                self.by_identities.remove(&(key, sa.id));
                sa.filed.own = 0;
            }
            None => {
                let key = sa.local_id.as_ref().zip(sa.peer()).map(|(local, peer)| pair(local, peer));
                sa.filed.own = sa.local_id.as_deref().map_or(0, own);
                self.by_identities.extend(key.map(|key| (key, sa.id)));
                sa.filed.identities = key;
            }
        }
    }

    fn file_replaces(&mut self, sa: &mut IkeSa) {
        if sa.replaces == sa.filed.replaces {
            return;
        }
        if let Some(old) = std::mem::replace(&mut sa.filed.replaces, sa.replaces) {
            self.replaced.remove(&(old, sa.id));
        }
        self.replaced.extend(sa.replaces.map(|old| (old, sa.id)));
    }

    /// Numbers of CHILD_SAs rise: whoever has a new one has another newest one, or more.
    fn file_children(&mut self, sa: &mut IkeSa) {
        let count = u32::try_from(sa.children.len()).unwrap_or(u32::MAX);
        let now = (count, sa.children.keys().next_back().copied().unwrap_or_default());
        if now == sa.filed.children {
            return;
        }
        sa.filed.children = now;
        self.child_of.extend(sa.children.keys().map(|child| (*child, sa.id)));
    }
}

#[cfg(test)]
mod tests;
