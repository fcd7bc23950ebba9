//! Why packets were dropped, counted.
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a packet was not sealed, opened or let through. None of these says anything to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Drop {
    /// Not an IP packet, or cut off.
    Malformed,
    /// No policy wants the packet (outbound).
    NoPolicy,
    /// A policy says drop.
    Policy,
    /// A trap caught it; negotiation is under way.
    Trap,
    /// No SA has this SPI.
    UnknownSpi,
    /// Seen before, or left of the replay window.
    Replay,
    /// The integrity check failed.
    Integrity,
    /// Bad padding or trailer under a good integrity check: the peer's fault.
    Padding,
    /// A dummy packet (RFC 4303 2.6): not an error.
    Dummy,
    /// Inner addresses, protocol or ports outside the SA's selectors (RFC 4301 5.2).
    Selector,
    /// Sequence numbers used up.
    Exhausted,
    /// A hard byte or packet limit is reached.
    Expired,
    /// Transport mode: a fragment, or options and extension headers that the socket cannot send.
    Header,
    /// Bigger than the path takes, and not to be fragmented.
    TooBig,
    /// No room in the buffer for headers or padding.
    NoRoom,
    /// The inner packet says ECN-capable was lost on the way (RFC 6040: CE over not-ECT).
    Ecn,
}

/// Every reason, in order.
pub const REASONS: [Drop; 16] = [
    Drop::Malformed,
    Drop::NoPolicy,
    Drop::Policy,
    Drop::Trap,
    Drop::UnknownSpi,
    Drop::Replay,
    Drop::Integrity,
    Drop::Padding,
    Drop::Dummy,
    Drop::Selector,
    Drop::Exhausted,
    Drop::Expired,
    Drop::Header,
    Drop::TooBig,
    Drop::NoRoom,
    Drop::Ecn,
];

/// Counters, one per reason. Each lane has its own and they are added up when somebody asks.
#[derive(Debug, Default)]
pub struct Stats {
    counts: [AtomicU64; REASONS.len()],
}

impl Stats {
    /// Counts one packet.
    pub fn count(&self, reason: Drop) {
        let at = REASONS.iter().position(|r| *r == reason);
        if let Some(counter) = at.and_then(|at| self.counts.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Packets dropped for `reason`.
    #[must_use]
    pub fn get(&self, reason: Drop) -> u64 {
        let at = REASONS.iter().position(|r| *r == reason);
        at.and_then(|at| self.counts.get(at)).map_or(0, |c| c.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_reason_apart() {
        let stats = Stats::default();
        for (n, reason) in REASONS.iter().enumerate() {
            (0..=n).for_each(|_| stats.count(*reason));
        }
        for (n, reason) in REASONS.iter().enumerate() {
            assert_eq!(stats.get(*reason), n as u64 + 1);
        }
    }
}
