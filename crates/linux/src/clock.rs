//! Time: monotonic including suspend, and wall clock.

use nix::time::{ClockId, clock_gettime};

/// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`): lifetimes and liveness go on while a laptop
/// sleeps.
#[must_use]
pub fn monotonic_ms() -> u64 {
    read(ClockId::CLOCK_BOOTTIME).map_or(0, |(s, ns)| s.saturating_mul(1000).saturating_add(ns / 1_000_000))
}

/// Seconds since 1970 (`CLOCK_REALTIME`).
#[must_use]
pub fn wall_seconds() -> u64 {
    read(ClockId::CLOCK_REALTIME).map_or(0, |(s, _)| s)
}

/// Whether a time service keeps the wall clock, as far as the kernel was told; none where it does not answer.
#[must_use]
#[allow(unsafe_code, reason = "adjtimex, which nix does not know")]
pub fn synchronised() -> Option<bool> {
    // SAFETY: all zeroes are a valid `timex`; with no mode set the call only fills it in.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut timex)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

fn read(id: ClockId) -> Option<(u64, u64)> {
    let time = clock_gettime(id).ok()?;
    Some((u64::try_from(time.tv_sec()).ok()?, u64::try_from(time.tv_nsec()).ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn clocks_run() {
        assert!(super::monotonic_ms() > 0);
        assert!(super::wall_seconds() > 1_600_000_000);
    }
}
