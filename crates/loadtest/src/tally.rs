//! What was counted and measured.
use crate::reason::Reason;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest time that is told apart, microseconds; longer ones count as this.
const LONGEST: u64 = 600_000_000;
/// Different reasons kept; what comes after counts as one of its kind.
const MOST_REASONS: usize = 64;

/// Times of one kind, in microseconds, with three significant digits.
#[derive(Debug, Clone)]
pub struct Times(Option<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // Only bounds out of order are an error.
        Self(Histogram::new_with_bounds(1, LONGEST, 3).ok())
    }
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        if let Some(h) = &mut self.0 {
            h.saturating_record(micros);
        }
    }

    fn join(&mut self, other: &Self) {
        if let (Some(h), Some(other)) = (&mut self.0, &other.0) {
            // The bounds are the same.
            let _added = h.add(other);
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that `percent` of all took at most, in microseconds; 0 if there are none.
    #[must_use]
    pub fn at(&self, percent: f64) -> u64 {
        self.0.as_ref().filter(|h| !h.is_empty()).map_or(0, |h| h.value_at_quantile(percent / 100.0))
    }

    /// The longest, in microseconds; 0 if there are none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.as_ref().filter(|h| !h.is_empty()).map_or(0, Histogram::max)
    }

    /// The mean, in microseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.0.as_ref().filter(|h| !h.is_empty()).map_or(0.0, Histogram::mean)
    }
}

/// Counts of reasons.
pub type Reasons = BTreeMap<Reason, u64>;

/// Everything of one lane, or of all.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Set-ups begun.
    pub begun: u64,
    /// Set-ups that ended well.
    pub established: u64,
    /// Set-ups that failed.
    pub failed: u64,
    /// Set-ups given up because the run ended.
    pub abandoned: u64,
    /// Clients that were up and went against our will.
    pub lost: u64,
    /// Clients that said goodbye, and were answered or gave up waiting.
    pub left: u64,
    /// Up now; of a run that has ended: those that the gateway was too silent to take leave of.
    pub up: u64,
    /// Under way now.
    pub under_way: u64,
    /// IKE requests sent for the first time, and again.
    pub requests: u64,
    /// Repetitions.
    pub retransmits: u64,
    /// Datagrams that the system did not take.
    pub unsent: u64,
    /// Cookies that the gateway demanded.
    pub cookies: u64,
    /// Times that it wanted another key exchange.
    pub other_ke: u64,
    /// Rekeyings of IKE_SAs.
    pub ike_rekeys: u64,
    /// Rekeyings of CHILD_SAs.
    pub child_rekeys: u64,
    /// Why set-ups failed.
    pub failures: Reasons,
    /// Why clients were lost.
    pub losses: Reasons,
    /// From the first IKE_SA_INIT to the CHILD_SA (without one: to the IKE_SA).
    pub setup: Times,
    /// IKE_SA_INIT alone.
    pub init: Times,
    /// Rekeying of an IKE_SA.
    pub rekey_ike: Times,
    /// Rekeying of a CHILD_SA.
    pub rekey_child: Times,
    /// Answers to liveness checks.
    pub dpd: Times,
    /// Answers to goodbyes.
    pub goodbye: Times,
    /// Packets through the tunnels.
    pub packets: Packets,
}

/// Packets through tunnels.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    /// Sent.
    pub sent: u64,
    /// Not sent: the system did not take them, or they could not be sealed.
    pub unsent: u64,
    /// Answers.
    pub received: u64,
    /// Came through a tunnel, and answer nothing.
    pub other: u64,
    /// Could not be opened: replayed, forged, not for the tunnel.
    pub refused: u64,
    /// For no tunnel that is there.
    pub strange: u64,
    /// From a packet to its answer.
    pub round_trip: Times,
}

fn count(reasons: &mut Reasons, reason: Reason) {
    let known = reasons.contains_key(&reason);
    let reason = if known || reasons.len() < MOST_REASONS {
        reason
    } else {
        Reason::Other("other reasons than those listed".to_owned())
    };
    let n = reasons.entry(reason).or_default();
    *n = n.saturating_add(1);
}

impl Tally {
    pub(crate) fn failure(&mut self, reason: Reason) {
        self.failed = self.failed.saturating_add(1);
        count(&mut self.failures, reason);
    }

    pub(crate) fn loss(&mut self, reason: Reason) {
        self.lost = self.lost.saturating_add(1);
        count(&mut self.losses, reason);
    }

    /// Adds another lane's.
    pub(crate) fn join(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.begun, other.begun),
            (&mut self.established, other.established),
            (&mut self.failed, other.failed),
            (&mut self.abandoned, other.abandoned),
            (&mut self.lost, other.lost),
            (&mut self.left, other.left),
            (&mut self.up, other.up),
            (&mut self.under_way, other.under_way),
            (&mut self.requests, other.requests),
            (&mut self.retransmits, other.retransmits),
            (&mut self.unsent, other.unsent),
            (&mut self.cookies, other.cookies),
            (&mut self.other_ke, other.other_ke),
            (&mut self.ike_rekeys, other.ike_rekeys),
            (&mut self.child_rekeys, other.child_rekeys),
            (&mut self.packets.sent, other.packets.sent),
            (&mut self.packets.unsent, other.packets.unsent),
            (&mut self.packets.received, other.packets.received),
            (&mut self.packets.other, other.packets.other),
            (&mut self.packets.refused, other.packets.refused),
            (&mut self.packets.strange, other.packets.strange),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in [(&mut self.failures, &other.failures), (&mut self.losses, &other.losses)] {
            for (reason, n) in theirs {
                let sum = mine.entry(reason.clone()).or_default();
                *sum = sum.saturating_add(*n);
            }
        }
        for (mine, theirs) in [
            (&mut self.setup, &other.setup),
            (&mut self.init, &other.init),
            (&mut self.rekey_ike, &other.rekey_ike),
            (&mut self.rekey_child, &other.rekey_child),
            (&mut self.dpd, &other.dpd),
            (&mut self.goodbye, &other.goodbye),
            (&mut self.packets.round_trip, &other.packets.round_trip),
        ] {
            mine.join(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_add_up() {
        let mut all = Tally::default();
        for lane in 0..3u64 {
            let mut one = Tally { begun: 10 + lane, ..Tally::default() };
            one.failure(Reason::NoAnswer);
            one.setup.add(Duration::from_millis(10 * (lane + 1)));
            all.join(&one);
        }
        assert_eq!((all.begun, all.failed, all.failures[&Reason::NoAnswer]), (33, 3, 3));
        assert_eq!(all.setup.count(), 3);
        let near = |value: u64, wanted: u64| value.abs_diff(wanted) <= wanted / 500;
        assert!(near(all.setup.at(50.0), 20_000) && near(all.setup.max(), 30_000));
        assert_eq!(Times::default().at(99.0), 0);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut t = Tally::default();
        for n in 0..10_000 {
            t.failure(Reason::Other(n.to_string()));
        }
        assert!(t.failures.len() <= MOST_REASONS + 1);
        assert_eq!(t.failures.values().sum::<u64>(), 10_000);
    }
}
