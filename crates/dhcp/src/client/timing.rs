//! When to repeat, when to stop.
use super::Millis;

/// How long a client waits for an address. Its initiator repeats its request meanwhile, and gives up some time.
pub(super) const GIVE_UP: Millis = 15_000;
/// RFC 2131 3.1 (5) has clients rest for ten seconds after a DECLINE, against loops: ours are bounded, and somebody
/// waits.
pub(super) const PAUSE: Millis = 1000;
/// Seconds. Shorter leases cannot be renewed in time.
pub(super) const SHORTEST_LEASE: u32 = 4;
/// RFC 2131 4.4.5: between repetitions while a lease is in use.
pub(super) const HALF_AT_LEAST: Millis = 60_000;
/// Until the first repetition. RFC 2131 4.1 proposes four seconds; the client that waits has not got the patience.
const FIRST: Millis = 1000;
/// Doublings.
const MOST_DOUBLINGS: u32 = 3;

/// How long to wait for an answer after `sent` repetitions: 1, 2, 4, 8 seconds, a quarter more or less.
pub(super) fn resend(sent: u32, random: u64) -> Millis {
    let step = FIRST << sent.min(MOST_DOUBLINGS);
    let spread = step / 2;
    step.saturating_sub(spread / 2).saturating_add(random.checked_rem(spread).unwrap_or(0))
}

/// Up to a twentieth of a time, so that many clients do not ask at once.
pub(super) fn fuzz(time: Millis, random: u64) -> Millis {
    random.checked_rem((time / 20).saturating_add(1)).unwrap_or(0)
}
