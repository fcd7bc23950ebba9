//! WHEN to rekey, reauthenticate and expire: the only place.
use policy::{Connection, Lifetime};

/// Deadlines of an IKE_SA, monotonic ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IkeTimes {
    pub(crate) rekey_at: Option<u64>,
    pub(crate) reauth_at: Option<u64>,
    pub(crate) expire_at: Option<u64>,
}

/// Deadlines of an IKE_SA that is established now. `rand_time` is subtracted at random from rekeying and
/// reauthentication; `over_time` after the earlier of the two it ends.
pub(crate) fn ike(c: &Connection, now: u64, random: u64) -> IkeTimes {
    let jitter = less(c.rand_time.saturating_mul(1000), random);
    let soft = |seconds: u64| {
        if seconds == 0 {
            return None;
        }
        let ms = seconds.saturating_mul(1000);
        Some(now.saturating_add(ms.saturating_sub(jitter).max(1)))
    };
    let (rekey_at, reauth_at) = (soft(c.rekey_time), soft(c.reauth_time));
    let first = [rekey_at, reauth_at].into_iter().flatten().min();
    IkeTimes {
        rekey_at,
        reauth_at,
        expire_at: first.map(|at| at.saturating_add(c.over_time.saturating_mul(1000))),
    }
}

/// Deadlines of a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ChildTimes {
    pub(crate) rekey_at: Option<u64>,
    pub(crate) expires_at: Option<u64>,
}

/// Deadlines of a CHILD_SA installed now.
pub(crate) fn child(l: &Lifetime, now: u64, random: u64) -> ChildTimes {
    let at = |seconds: u64, jitter: u64| {
        (seconds > 0).then(|| now.saturating_add(seconds.saturating_mul(1000).saturating_sub(jitter).max(1)))
    };
    ChildTimes {
        rekey_at: at(l.time.rekey, less(l.time.rand.saturating_mul(1000), random)),
        expires_at: at(l.time.life, 0),
    }
}

/// Soft limits in (bytes, packets) after jitter.
pub(crate) fn soft(l: &Lifetime, random: u64) -> (u64, u64) {
    let cut = |limit: policy::lifetime::Limit, random: u64| {
        if limit.rekey == 0 { 0 } else { limit.rekey.saturating_sub(less(limit.rand, random)).max(1) }
    };
    (cut(l.bytes, random), cut(l.packets, random.rotate_left(32)))
}

/// A random part of `most`.
fn less(most: u64, random: u64) -> u64 {
    if most == 0 { 0 } else { random % most.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::lifetime::Limit;

    #[test]
    fn jitter_only_shortens_and_zero_means_never() {
        let l = Lifetime { time: Limit { rekey: 100, life: 110, rand: 10 }, ..Lifetime::default() };
        for r in 0..50_000 {
            let t = child(&l, 1_000, r);
            assert!((91_000..=101_000).contains(&t.rekey_at.unwrap()));
            assert_eq!(t.expires_at, Some(111_000));
        }
        assert_eq!(child(&Lifetime::default(), 5, 7), ChildTimes::default());
        assert_eq!(soft(&Lifetime::default(), 7), (0, 0));
    }
}
