//! A lease and its times.
use super::Millis;
use super::timing::{HALF_AT_LEAST, fuzz};
use crate::message::Answer;
use std::net::Ipv4Addr;

/// What a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client's address.
    pub address: Ipv4Addr,
    /// Who gave it, as it calls itself.
    pub server: Ipv4Addr,
    /// Netmask of the LAN.
    pub mask: Option<Ipv4Addr>,
    /// Name servers, at most 8.
    pub dns: Vec<Ipv4Addr>,
    /// WINS servers, at most 8.
    pub wins: Vec<Ipv4Addr>,
    /// Domain of the LAN.
    pub domain: Option<String>,
    /// When it ends, unless it is renewed; `None`: never.
    pub expires: Option<Millis>,
}

/// A lease in use.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) lease: Lease,
    /// T1.
    pub(super) renew_at: Option<Millis>,
    /// T2.
    pub(super) rebind_at: Option<Millis>,
}

impl Held {
    /// From a confirmation. `random`: for the fuzz of RFC 2131 4.4.5.
    pub(super) fn new(now: Millis, answer: &Answer, random: u64) -> Self {
        // RFC 2131 3.3: all ones is for ever.
        let seconds = answer.lease.filter(|seconds| *seconds != u32::MAX).map(u64::from);
        let times = seconds.map(|lease| {
            let lease = lease.saturating_mul(1000);
            let told = |seconds: Option<u32>| seconds.map(|s| u64::from(s).saturating_mul(1000));
            let (t1, t2) = match (told(answer.renew), told(answer.rebind)) {
                (Some(t1), Some(t2)) if t1 > 0 && t1 < t2 && t2 < lease => (t1, t2),
                // RFC 2131 4.4.5: the defaults, also for times that make no sense.
                _ => (lease / 2, (lease / 8).saturating_mul(7)),
            };
            let t1 = t1.saturating_sub(fuzz(t1, random)).max(1000);
            (now.saturating_add(t1), now.saturating_add(t2.max(t1)), now.saturating_add(lease))
        });
        Self {
            lease: Lease {
                address: answer.address,
                server: answer.server,
                mask: answer.mask,
                dns: answer.dns.clone(),
                wins: answer.wins.clone(),
                domain: answer.domain.clone(),
                expires: times.map(|(_, _, end)| end),
            },
            renew_at: times.map(|(t1, _, _)| t1),
            rebind_at: times.map(|(_, t2, _)| t2),
        }
    }

    /// RFC 2131 4.4.5: a repetition after half the time that is left until `end`, but not within a minute.
    pub(super) fn next(&self, now: Millis, end: Option<Millis>) -> Option<Millis> {
        let end = end?;
        let half = end.saturating_sub(now) / 2;
        Some(now.saturating_add(half.max(HALF_AT_LEAST)).min(end))
    }
}
