//! What went wrong, counted; nothing on the packet path is logged.
use esp::Stats;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the whole data plane. Lanes add to them; who asks adds them up.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets dropped on their way out, by reason.
    pub out: Stats,
    /// Packets dropped on their way in, by reason.
    pub inbound: Stats,
    /// Datagrams on the NAT-T port too short to be anything.
    pub short: Counter,
    /// IKE messages the daemon had no room for.
    pub ike_lost: Counter,
    /// NAT keepalives.
    pub keepalives: Counter,
    /// Packets or batches the sockets refused.
    pub send_failed: Counter,
    /// Packets the device refused.
    pub device_failed: Counter,
    /// Notices the daemon had no room for.
    pub notices_lost: Counter,
}

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// All that is not zero, by name, in a fixed order.
    #[must_use]
    pub fn list(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = Vec::new();
        for (way, stats) in [("out", &self.out), ("in", &self.inbound)] {
            for reason in esp::stats::REASONS {
                all.push((format!("{way}: {reason:?}"), stats.get(reason)));
            }
        }
        for (name, counter) in [
            ("short datagrams", &self.short),
            ("IKE messages lost", &self.ike_lost),
            ("keepalives", &self.keepalives),
            ("sends failed", &self.send_failed),
            ("device writes failed", &self.device_failed),
            ("notices lost", &self.notices_lost),
        ] {
            all.push((name.to_owned(), counter.get()));
        }
        all.retain(|(_, n)| *n > 0);
        all
    }
}
