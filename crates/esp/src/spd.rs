//! Which policy wants an outbound packet (RFC 4301 4.4.1): longest match over the selectors.
//!
//! Each pair of a local and a remote selector is filed once, under the smallest prefixes that hold its addresses;
//! a range that is no prefix is compared exactly on top. A look-up tries each pair of prefix lengths in use (a few,
//! in practice), best priority first, and stops when nothing better can follow. Readers see immutable snapshots; a
//! change copies one shard of the table.
//!
//! Known limit: policies that differ in nothing but protocol and ports share a place and are tried one by one.
use crate::OutSa;
use arc_swap::{ArcSwap, Guard};
use policy::Selector;
use policy::selector::ANY_PORT;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use wire::ip::IpView;

/// What a policy does with a packet.
#[derive(Debug, Clone)]
pub enum Target {
    /// Seal it with this SA.
    Protect(Arc<OutSa>),
    /// Start the CHILD_SA of this trap.
    Trap(u32),
    /// Let it go unprotected.
    Pass,
    /// Drop it.
    Drop,
}

impl Target {
    /// Among equal priorities: an SA serves before its trap does.
    fn rank(&self) -> u8 {
        match self {
            Self::Protect(_) => 0,
            Self::Trap(_) => 1,
            Self::Pass => 2,
            Self::Drop => 3,
        }
    }

    /// Where the computed priorities of a kind begin (what strongSwan gives the kernel): pass shunts come before
    /// everything, drop shunts after everything.
    fn base(&self) -> u32 {
        match self {
            Self::Pass => 199_999,
            Self::Protect(_) => 399_999,
            Self::Trap(_) => 400_000,
            Self::Drop => 599_999,
        }
    }
}

/// What a look-up needs of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Our side (source of an outbound packet).
    pub local: IpAddr,
    /// The peer's side.
    pub remote: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Ports, ours first; `None` when opaque.
    pub ports: Option<(u16, u16)>,
}

impl Flow {
    /// Of an outbound packet.
    #[must_use]
    pub fn outbound(view: &IpView) -> Self {
        Self {
            local: view.source,
            remote: view.destination,
            protocol: view.protocol,
            ports: view.upper.ports(),
        }
    }

    /// Of an inbound packet: the same flow seen from here.
    #[must_use]
    pub fn inbound(view: &IpView) -> Self {
        let ports = view.upper.ports().map(|(s, d)| (d, s));
        Self { local: view.destination, remote: view.source, protocol: view.protocol, ports }
    }
}

/// Do `ports` of a selector take `port`? An opaque port is taken by "any" and by "OPAQUE" only (RFC 4301 4.4.1.1).
pub(crate) fn port_matches(ports: (u16, u16), port: Option<u16>) -> bool {
    match (ports, port) {
        ((0, u16::MAX), _) | ((u16::MAX, 0), None) => true,
        ((start, end), Some(port)) => start <= port && port <= end,
        (_, None) => false,
    }
}

/// One policy: one pair of selectors.
#[derive(Debug, Clone)]
struct Entry {
    key: Key,
    order: Order,
    policy: Arc<Policy>,
}

#[derive(Debug)]
struct Policy {
    local: Selector,
    remote: Selector,
    target: Target,
}

/// Priority, rank, and the newest of equals: lower first.
type Order = (u32, u8, u64);

/// Where an entry is filed. Addresses stand at the high end of their 128 bits, masked to the lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    v4: bool,
    /// Prefix lengths: remote, local.
    lengths: (u8, u8),
    remote: u128,
    local: u128,
}

impl Key {
    fn new(v4: bool, lengths: (u8, u8), remote: u128, local: u128) -> Self {
        Self { v4, lengths, remote: masked(remote, lengths.0), local: masked(local, lengths.1) }
    }

    fn of(local: &Selector, remote: &Selector) -> Self {
        let lengths = (cover(remote), cover(local));
        Self::new(remote.is_ipv4(), lengths, high(remote.start), high(local.start))
    }
}

impl Policy {
    fn matches(&self, flow: &Flow) -> bool {
        let protocol = |s: &Selector| s.protocol == 0 || s.protocol == flow.protocol;
        self.local.contains_address(flow.local)
            && self.remote.contains_address(flow.remote)
            && protocol(&self.local)
            && protocol(&self.remote)
            && port_matches(self.local.ports, flow.ports.map(|p| p.0))
            && port_matches(self.remote.ports, flow.ports.map(|p| p.1))
    }

    /// As strongSwan computes them: every bit of prefix is worth 512, a protocol 256, a port 64.
    fn priority(&self, key: &Key) -> u32 {
        let bits = u32::from(key.lengths.0) + u32::from(key.lengths.1);
        let protocol = u32::from(self.local.protocol != 0 || self.remote.protocol != 0);
        let ports = u32::from(self.local.ports != ANY_PORT) + u32::from(self.remote.ports != ANY_PORT);
        self.target.base().saturating_sub(512 * bits + 256 * protocol + 64 * ports)
    }
}

/// The entries of a shard in order of key, then [`Order`].
type Shard = Vec<Entry>;
/// With 100,000 policies a shard holds some 25; more and smaller ones were measured and found no faster.
const SHARDS: usize = 1 << 12;

/// A pair of prefix lengths in use.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    v4: bool,
    lengths: (u8, u8),
    /// No entry of these lengths has a smaller priority.
    best: u32,
}

/// The outbound policies.
#[derive(Debug)]
pub struct Spd {
    /// Best priority first.
    in_use: ArcSwap<Vec<Lengths>>,
    shards: Box<[ArcSwap<Shard>]>,
    /// Writers take turns; readers never touch it.
    writer: Mutex<Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    /// Entries made so far: later ones win among equals.
    serial: u64,
    /// The entries of an owner.
    entries: BTreeMap<u32, Vec<(Key, Order)>>,
    /// How many entries have these lengths.
    counts: BTreeMap<(bool, (u8, u8)), usize>,
}

impl Default for Spd {
    fn default() -> Self {
        let empty = Arc::new(Shard::new());
        Self {
            in_use: ArcSwap::default(),
            shards: (0..SHARDS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect(),
            writer: Mutex::default(),
        }
    }
}

impl Spd {
    /// Adds the policies of `owner`: each local with each remote selector of the same family. The lower `priority`
    /// comes first. 0 computes it as strongSwan does: pass shunts, then SAs and traps, then drop shunts, and among
    /// each the more specific selectors first. Of equals an SA comes before a trap, and the newest first.
    pub fn insert(
        &self,
        owner: u32,
        priority: u32,
        local: &[Selector],
        remote: &[Selector],
        target: &Target,
    ) {
        let mut turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for l in local {
            for r in remote.iter().filter(|r| r.is_ipv4() == l.is_ipv4()) {
                turn.serial += 1;
                let policy = Policy { local: *l, remote: *r, target: target.clone() };
                let key = Key::of(l, r);
                let priority = if priority == 0 { policy.priority(&key) } else { priority };
                let order = (priority, target.rank(), u64::MAX - turn.serial);
                self.announce(&key, priority);
                *turn.counts.entry((key.v4, key.lengths)).or_default() += 1;
                turn.entries.entry(owner).or_default().push((key, order));
                let entry = Entry { key, order, policy: Arc::new(policy) };
                self.change(&key, |shard| {
                    let at = shard.partition_point(|e| (e.key, e.order) < (key, order));
                    shard.insert(at, entry);
                });
            }
        }
    }

    /// Removes the policies of `owner`; false when it had none.
    pub fn remove(&self, owner: u32) -> bool {
        let mut turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = turn.entries.remove(&owner) else { return false };
        for (key, order) in entries {
            self.change(&key, |shard| shard.retain(|e| e.key != key || e.order != order));
            let lengths = (key.v4, key.lengths);
            let left = turn.counts.get(&lengths).map_or(0, |n| n.saturating_sub(1));
            if left > 0 {
                turn.counts.insert(lengths, left);
            } else {
                turn.counts.remove(&lengths);
                let rest =
                    self.in_use.load().iter().filter(|l| (l.v4, l.lengths) != lengths).copied().collect();
                self.in_use.store(Arc::new(rest));
            }
        }
        true
    }

    /// Hands the policy that wants this flow to `act`. `None` when no policy does.
    pub fn lookup<R>(&self, flow: &Flow, act: impl FnOnce(&Target) -> R) -> Option<R> {
        self.find(flow, |entry| act(&entry.policy.target))
    }

    /// The policy that wants this flow, for people: its selectors, its priority and what it does.
    #[must_use]
    pub fn explain(&self, flow: &Flow) -> Option<(String, u32, Target)> {
        self.find(flow, |entry| {
            let Policy { local, remote, target } = &*entry.policy;
            (format!("{local} === {remote}"), entry.order.0, target.clone())
        })
    }

    #[inline]
    fn find<R>(&self, flow: &Flow, act: impl FnOnce(&Entry) -> R) -> Option<R> {
        let in_use = self.in_use.load();
        let v4 = flow.remote.is_ipv4();
        let (remote, local) = (high(flow.remote), high(flow.local));
        // The snapshot is kept, not the policy: counting references to it would be a write that all workers share.
        let mut best: Option<(Order, Guard<Arc<Shard>>, usize)> = None;
        for candidate in in_use.iter().filter(|l| l.v4 == v4) {
            if best.as_ref().is_some_and(|(order, ..)| order.0 < candidate.best) {
                break;
            }
            let key = Key::new(v4, candidate.lengths, remote, local);
            let Some(shard) = self.shard(&key).map(ArcSwap::load) else { continue };
            let start = shard.partition_point(|e| e.key < key);
            let place = shard.get(start..).unwrap_or_default().iter().take_while(|e| e.key == key);
            let found = place.enumerate().find(|(_, e)| e.policy.matches(flow));
            let Some((order, at)) = found.map(|(n, e)| (e.order, start + n)) else { continue };
            if best.as_ref().is_none_or(|(other, ..)| order < *other) {
                best = Some((order, shard, at));
            }
        }
        let (_, shard, at) = best?;
        shard.get(at).map(act)
    }

    /// Makes the lengths of an entry known, before the entry itself.
    fn announce(&self, key: &Key, priority: u32) {
        let in_use = self.in_use.load();
        let same = |l: &Lengths| l.v4 == key.v4 && l.lengths == key.lengths;
        if in_use.iter().any(|l| same(l) && l.best <= priority) {
            return;
        }
        let mut new: Vec<Lengths> = in_use.iter().filter(|l| !same(l)).copied().collect();
        let at = new.partition_point(|l| l.best < priority);
        new.insert(at, Lengths { v4: key.v4, lengths: key.lengths, best: priority });
        self.in_use.store(Arc::new(new));
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Shard)) {
        if let Some(shard) = self.shard(key) {
            let old = shard.load();
            let mut new = Shard::with_capacity(old.len() + 1);
            new.extend(old.iter().cloned());
            change(&mut new);
            shard.store(Arc::new(new));
        }
    }

    fn shard(&self, key: &Key) -> Option<&ArcSwap<Shard>> {
        let mut mixed = u128::from(key.lengths.0) << 8 | u128::from(key.lengths.1);
        for part in [key.remote, key.local] {
            mixed = (mixed ^ part ^ part >> 64).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            mixed ^= mixed >> 67;
        }
        self.shards.get(usize::try_from(mixed & 0xffff_ffff).unwrap_or(0) % SHARDS)
    }
}

/// Length of the smallest prefix that holds the selector's addresses.
fn cover(s: &Selector) -> u8 {
    let common = (high(s.start) ^ high(s.end)).leading_zeros();
    u8::try_from(common).unwrap_or(128).min(if s.is_ipv4() { 32 } else { 128 })
}

fn high(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn masked(bits: u128, len: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(len.into())).map_or(0, |mask| bits & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(target: Target, local: &str, remote: &str, restrict: Option<(u8, u16)>) -> u32 {
        let net = |s: &str| Selector::subnet(s.parse().unwrap());
        let (local, mut remote) = (net(local), net(remote));
        if let Some((protocol, port)) = restrict {
            remote = remote.restricted(protocol, (port, port));
        }
        let key = Key::of(&local, &remote);
        Policy { local, remote, target }.priority(&key)
    }

    /// What strongSwan 5.9 gave the kernel for the same shunts and traps.
    #[test]
    fn priorities_are_those_of_strongswan() {
        let (site, host) = ("10.1.0.0/16", "10.1.0.1/32");
        assert_eq!(priority(Target::Pass, "0.0.0.0/0", "0.0.0.0/0", None), 199_999);
        assert_eq!(priority(Target::Pass, site, "10.2.0.0/16", None), 183_615);
        assert_eq!(priority(Target::Drop, site, "10.3.0.0/16", None), 583_615);
        assert_eq!(priority(Target::Drop, host, "10.6.0.1/32", Some((6, 80))), 566_911);
        assert_eq!(priority(Target::Trap(1), site, "10.4.0.0/16", None), 383_616);
        assert_eq!(priority(Target::Trap(1), host, "10.5.0.1/32", None), 367_232);
    }
}
