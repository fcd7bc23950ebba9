//! Which policy wants an outbound packet (RFC 4301 4.4.1): longest match over the selectors.
//!
//! Each pair of a local and a remote selector is filed once, under the smallest prefixes that hold its addresses;
//! a range that is no prefix is compared exactly on top. A look-up tries each pair of prefix lengths in use (a few,
//! in practice), best priority first, and stops when nothing better can follow.
//!
//! Known limit: policies that differ in nothing but protocol and ports share a place and are tried one by one.
use crate::OutSa;
use crate::table::{Chain, Table, mix, short};
use arc_swap::ArcSwap;
use policy::Selector;
use policy::selector::ANY_PORT;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
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
struct Policy {
    local: Selector,
    remote: Selector,
    target: Target,
    owner: u32,
    order: Order,
}

/// Priority, rank, and the newest of equals: lower first.
type Order = (u32, u8, u64);

/// A pair of prefix lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lengths {
    v4: bool,
    remote: u8,
    local: u8,
}

impl Lengths {
    fn of(local: &Selector, remote: &Selector) -> Self {
        Self { v4: remote.is_ipv4(), remote: cover(remote), local: cover(local) }
    }

    /// Where policies of these lengths are filed that hold these addresses (at the high end of 128 bits).
    #[inline]
    fn hash(self, remote: u128, local: u128) -> u32 {
        let [r0, r1] = words(masked(remote, self.remote));
        let [l0, l1] = words(masked(local, self.local));
        let lengths = u64::from(self.remote) << 8 | u64::from(self.local);
        let ends = mix(r0 ^ lengths, l0 ^ u64::from(self.v4));
        if self.v4 { short(ends) } else { short(mix(ends ^ r1, l1)) }
    }
}

impl Policy {
    fn lengths(&self) -> Lengths {
        Lengths::of(&self.local, &self.remote)
    }

    fn hash(&self) -> u32 {
        self.lengths().hash(high(self.remote.start), high(self.local.start))
    }

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
    fn computed_priority(&self) -> u32 {
        let lengths = self.lengths();
        let bits = u32::from(lengths.remote) + u32::from(lengths.local);
        let protocol = u32::from(self.local.protocol != 0 || self.remote.protocol != 0);
        let ports = u32::from(self.local.ports != ANY_PORT) + u32::from(self.remote.ports != ANY_PORT);
        self.target.base().saturating_sub(512 * bits + 256 * protocol + 64 * ports)
    }
}

/// A pair of prefix lengths in use.
#[derive(Debug, Clone, Copy)]
struct InUse {
    lengths: Lengths,
    /// No policy of these lengths has a smaller priority.
    best: u32,
}

/// The outbound policies.
#[derive(Debug, Default)]
pub struct Spd {
    /// Best priority first.
    in_use: ArcSwap<Vec<InUse>>,
    policies: Table<Policy>,
    /// Changes so far.
    generation: AtomicU64,
    /// Writers take turns; readers never touch it.
    writer: Mutex<Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    /// Policies made so far: later ones win among equals.
    serial: u64,
    /// How many policies have these lengths.
    counts: BTreeMap<Lengths, usize>,
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
                let order = (priority, target.rank(), u64::MAX - turn.serial);
                let mut policy = Policy { local: *l, remote: *r, target: target.clone(), owner, order };
                if priority == 0 {
                    policy.order.0 = policy.computed_priority();
                }
                let (lengths, hash, order) = (policy.lengths(), policy.hash(), policy.order);
                self.announce(lengths, order.0);
                *turn.counts.entry(lengths).or_default() += 1;
                self.policies.insert(hash, policy, |other| other.order > order);
            }
        }
        self.changed();
    }

    /// Removes the policies that `owner` has between these selectors, whoever has others there; false when it has none.
    /// What is filed by the selectors alone need not be remembered a second time.
    pub fn remove(&self, owner: u32, local: &[Selector], remote: &[Selector]) -> bool {
        let mut turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = false;
        let pairs = local.iter().flat_map(|l| remote.iter().map(move |r| (l, r)));
        for (l, r) in pairs.filter(|(l, r)| l.is_ipv4() == r.is_ipv4()) {
            let lengths = Lengths::of(l, r);
            let hash = lengths.hash(high(r.start), high(l.start));
            let its = |policy: &Policy| policy.owner == owner && policy.local == *l && policy.remote == *r;
            if self.policies.remove(hash, its).is_none() {
                continue;
            }
            found = true;
            let left = turn.counts.get(&lengths).map_or(0, |n| n.saturating_sub(1));
            if left > 0 {
                turn.counts.insert(lengths, left);
            } else {
                turn.counts.remove(&lengths);
                let rest = self.in_use.load().iter().filter(|l| l.lengths != lengths).copied().collect();
                self.in_use.store(Arc::new(rest));
            }
        }
        if found {
            self.changed();
        }
        found
    }

    /// Differs after every change from what it was before: whoever remembers an answer remembers this as well, asked
    /// before the answer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Hands the policy that wants this flow to `act`. `None` when no policy does.
    pub fn lookup<R>(&self, flow: &Flow, act: impl FnOnce(&Target) -> R) -> Option<R> {
        self.find(flow, |policy| act(&policy.target))
    }

    /// The policy that wants this flow, for people: its selectors, its priority and what it does.
    #[must_use]
    pub fn explain(&self, flow: &Flow) -> Option<(String, u32, Target)> {
        self.find(flow, |policy| {
            let Policy { local, remote, target, order, .. } = policy;
            (format!("{local} === {remote}"), order.0, target.clone())
        })
    }

    #[inline]
    fn find<R>(&self, flow: &Flow, act: impl FnOnce(&Policy) -> R) -> Option<R> {
        let in_use = self.in_use.load();
        let v4 = flow.remote.is_ipv4();
        let (remote, local) = (high(flow.remote), high(flow.local));
        // The chain is kept, not the policy: counting references to it would be a write that all workers share.
        let mut best: Option<(Order, Chain<Policy>)> = None;
        for candidate in in_use.iter().filter(|l| l.lengths.v4 == v4) {
            if best.as_ref().is_some_and(|(order, _)| order.0 < candidate.best) {
                break;
            }
            let chain = self.policies.chain(candidate.lengths.hash(remote, local));
            let found = chain.iter().find(|policy| policy.matches(flow)).map(|policy| policy.order);
            if let Some(order) = found
                && best.as_ref().is_none_or(|(other, _)| order < *other)
            {
                best = Some((order, chain));
            }
        }
        let (order, chain) = best?;
        chain.iter().find(|policy| policy.order == order).map(act)
    }

    /// Makes the lengths of a policy known, before the policy itself.
    fn announce(&self, lengths: Lengths, priority: u32) {
        let in_use = self.in_use.load();
        if in_use.iter().any(|l| l.lengths == lengths && l.best <= priority) {
            return;
        }
        let mut new: Vec<InUse> = in_use.iter().filter(|l| l.lengths != lengths).copied().collect();
        let at = new.partition_point(|l| l.best < priority);
        new.insert(at, InUse { lengths, best: priority });
        self.in_use.store(Arc::new(new));
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

#[inline]
fn words(bits: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bits.to_be_bytes();
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}

#[inline]
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
        Policy { local, remote, target, owner: 0, order: (0, 0, 0) }.computed_priority()
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
