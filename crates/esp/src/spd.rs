//! Which policy wants an outbound packet (RFC 4301 4.4.1): longest match over the selectors.
//!
//! Policies are kept by length of the remote prefix, each length a sharded hash table of immutable snapshots. A
//! look-up costs one hash per prefix length in use; a change copies one shard.
use crate::OutSa;
use arc_swap::ArcSwap;
use policy::Selector;
use std::collections::HashMap;
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
    /// Among equal selectors: an SA serves before its trap does.
    fn rank(&self) -> u8 {
        match self {
            Self::Protect(_) => 0,
            Self::Trap(_) => 1,
            Self::Pass => 2,
            Self::Drop => 3,
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
#[derive(Debug)]
struct Entry {
    /// Who owns it: a CHILD_SA or a policy handle, for removal.
    owner: u32,
    local: Selector,
    remote: Selector,
    target: Target,
    /// Order among entries that match: lower first.
    order: (u32, u32, u8, u64),
}

impl Entry {
    fn matches(&self, flow: &Flow) -> bool {
        let protocol = |s: &Selector| s.protocol == 0 || s.protocol == flow.protocol;
        self.local.contains_address(flow.local)
            && self.remote.contains_address(flow.remote)
            && protocol(&self.local)
            && protocol(&self.remote)
            && port_matches(self.local.ports, flow.ports.map(|p| p.0))
            && port_matches(self.remote.ports, flow.ports.map(|p| p.1))
    }
}

type Bucket = HashMap<(bool, u128), Vec<Arc<Entry>>>;
const SHARDS: usize = 64;

#[derive(Debug)]
struct Level {
    v4: bool,
    len: u8,
    shards: Box<[ArcSwap<Bucket>]>,
}

impl Level {
    fn new(v4: bool, len: u8) -> Self {
        Self { v4, len, shards: (0..SHARDS).map(|_| ArcSwap::from_pointee(Bucket::new())).collect() }
    }

    fn shard(&self, key: u128) -> Option<&ArcSwap<Bucket>> {
        let mixed = (key ^ key >> 64).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 96;
        self.shards.get(usize::try_from(mixed).unwrap_or(0) % SHARDS)
    }
}

/// The outbound policies.
#[derive(Debug, Default)]
pub struct Spd {
    levels: ArcSwap<Vec<Arc<Level>>>,
    writer: Mutex<Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    /// Entries made so far: later ones win among equals.
    serial: u64,
    /// Where the entries of an owner are.
    places: HashMap<u32, Vec<(bool, u8, u128)>>,
}

impl Spd {
    /// Adds the policies of `owner`: each local with each remote selector of the same family. `priority` 0 leaves the
    /// order to the selectors (the more specific first); other priorities come before, the lower first.
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
                let specific = specificity(l) + specificity(r);
                let priority = if priority == 0 { u32::MAX } else { priority };
                let order = (priority, u32::MAX - specific, target.rank(), u64::MAX - turn.serial);
                let entry = Arc::new(Entry { owner, local: *l, remote: *r, target: target.clone(), order });
                for net in r.to_subnets() {
                    let (v4, len, key) =
                        (r.is_ipv4(), net.prefix_len(), masked(net.network(), net.prefix_len()));
                    let level = self.level(v4, len);
                    let Some(shard) = level.shard(key) else { continue };
                    let mut bucket = Bucket::clone(&shard.load());
                    let list = bucket.entry((v4, key)).or_default();
                    let at = list.partition_point(|e| e.order < entry.order);
                    list.insert(at, entry.clone());
                    shard.store(Arc::new(bucket));
                    turn.places.entry(owner).or_default().push((v4, len, key));
                }
            }
        }
    }

    /// Removes the policies of `owner`; false when it had none.
    pub fn remove(&self, owner: u32) -> bool {
        let mut turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(places) = turn.places.remove(&owner) else { return false };
        for (v4, len, key) in places {
            let level = self.level(v4, len);
            let Some(shard) = level.shard(key) else { continue };
            let mut bucket = Bucket::clone(&shard.load());
            if let Some(list) = bucket.get_mut(&(v4, key)) {
                list.retain(|e| e.owner != owner);
                if list.is_empty() {
                    bucket.remove(&(v4, key));
                }
            }
            shard.store(Arc::new(bucket));
        }
        true
    }

    /// Hands the policy that wants this flow to `act`. `None` when no policy does.
    pub fn lookup<R>(&self, flow: &Flow, act: impl FnOnce(&Target) -> R) -> Option<R> {
        let levels = self.levels.load();
        let mut best: Option<Arc<Entry>> = None;
        for level in levels.iter().filter(|l| l.v4 == flow.remote.is_ipv4()) {
            let key = masked(flow.remote, level.len);
            let Some(shard) = level.shard(key) else { continue };
            let bucket = shard.load();
            let Some(found) = bucket.get(&(level.v4, key)).and_then(|l| l.iter().find(|e| e.matches(flow)))
            else {
                continue;
            };
            if best.as_ref().is_none_or(|b| found.order < b.order) {
                best = Some(found.clone());
            }
        }
        best.map(|entry| act(&entry.target))
    }

    fn level(&self, v4: bool, len: u8) -> Arc<Level> {
        let levels = self.levels.load();
        if let Some(level) = levels.iter().find(|l| l.v4 == v4 && l.len == len) {
            return level.clone();
        }
        let level = Arc::new(Level::new(v4, len));
        let mut all = Vec::clone(&levels);
        all.push(level.clone());
        all.sort_by_key(|l| (l.v4, u8::MAX - l.len));
        self.levels.store(Arc::new(all));
        level
    }
}

/// How narrow a selector is: fixed address bits, then protocol, then ports.
fn specificity(s: &Selector) -> u32 {
    let (start, end) = (bits(s.start), bits(s.end));
    let free = 128 - (start ^ end).leading_zeros();
    let width = if s.is_ipv4() { 32 } else { 128 };
    let fixed = u32::saturating_sub(width, free);
    fixed * 4 + u32::from(s.protocol != 0) * 2 + u32::from(s.ports != (0, u16::MAX))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn masked(address: IpAddr, len: u8) -> u128 {
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let free = width.saturating_sub(len.into());
    bits(address).checked_shr(free).and_then(|b| b.checked_shl(free)).unwrap_or(0)
}
