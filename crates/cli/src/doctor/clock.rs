//! Certificates live by the clock.
use super::Finding;
use linux::clock;

/// Before this program was written, no clock that shows it is right: 2026-01-01.
const WRITTEN: u64 = 1_767_225_600;

pub(super) fn look() -> Vec<Finding> {
    vec![judge(clock::wall_seconds(), clock::synchronised())]
}

fn judge(now: u64, synchronised: Option<bool>) -> Finding {
    const CHECK: &str = "clock";
    const FIX: &str = "run a time service: systemctl enable --now systemd-timesyncd (or chrony)";
    if now < WRITTEN {
        return Finding::wrong(CHECK, "it is set to a time long past: certificates will not be valid", FIX);
    }
    match synchronised {
        Some(true) => Finding::good(CHECK, "kept by a time service"),
        Some(false) => Finding::warning(CHECK, "no time service keeps it: certificates live by it", FIX),
        None => Finding::unknown(CHECK, "the kernel does not say whether a time service keeps it"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_its_time_and_its_keeper() {
        assert_eq!(judge(1_000, Some(true)).state, State::Wrong);
        assert_eq!(judge(WRITTEN + 1, Some(true)).state, State::Good);
        assert_eq!(judge(WRITTEN + 1, Some(false)).state, State::Warning);
        assert_eq!(judge(WRITTEN + 1, None).state, State::Unknown);
    }
}
