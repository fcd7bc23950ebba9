//! When the next client starts: evenly, never faster than asked for, never more at once than asked for.
use std::time::{Duration, Instant};

/// How far a lane that was held up may catch up, in seconds' worth of starts.
const CATCH_UP: f64 = 0.05;

/// The starts of one lane.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Seconds between two.
    gap: f64,
    next: Instant,
}

impl Pace {
    /// `rate` starts per second from `now` on.
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        Self { gap: 1.0 / rate, next: now }
    }

    /// When the next one may start.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Whether one may start now; if so it is taken for started.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.next > now {
            return false;
        }
        // What was missed for longer than a moment is not made up for: that would be a burst.
        let behind = now.saturating_duration_since(self.next).as_secs_f64();
        if behind > CATCH_UP.max(self.gap) {
            self.next = now;
        }
        self.next += Duration::from_secs_f64(self.gap);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(rate: f64, step: Duration, steps: u32, gap_at: Option<u32>) -> Vec<u32> {
        let begin = Instant::now();
        let mut pace = Pace::new(rate, begin);
        let mut now = begin;
        (0..steps)
            .map(|n| {
                now += step;
                if gap_at == Some(n) {
                    now += Duration::from_secs(60);
                }
                let mut count = 0;
                while pace.take(now) {
                    count += 1;
                }
                count
            })
            .collect()
    }

    #[test]
    fn starts_are_even() {
        let per_ms = starts(2_500.0, Duration::from_millis(1), 1000, None);
        assert!((2499..=2502).contains(&per_ms.iter().sum::<u32>()));
        assert!(per_ms.iter().all(|n| *n <= 4));
        let slow = starts(0.5, Duration::from_millis(100), 100, None);
        // At 0, 2, 4, 6, 8 and 10 seconds.
        assert_eq!(slow.iter().sum::<u32>(), 6);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let counts = starts(1000.0, Duration::from_millis(1), 100, Some(50));
        assert!(counts.iter().all(|n| *n <= 51), "{counts:?}");
        assert!(counts.iter().sum::<u32>() <= 160);
    }
}
