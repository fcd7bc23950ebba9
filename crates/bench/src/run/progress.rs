//! Says what happens on standard error, and how long it will take.
use std::time::{Duration, Instant};

/// Progress of a run.
pub(crate) struct Progress {
    started: Instant,
    /// Seconds that all steps should take, and those that are done.
    planned: f64,
    done: f64,
}

impl Progress {
    pub(crate) fn new(planned: f64) -> Self {
        Self { started: Instant::now(), planned, done: 0.0 }
    }

    /// A contender's turn begins.
    pub(crate) fn turn(&mut self, round: u32, rounds: u32, name: &str) {
        let left = left(self.planned, self.done, self.started.elapsed());
        eprintln!("round {round}/{rounds}, {name} (about {} left)", in_words(left));
    }

    /// A step is done that was planned to take so many seconds.
    pub(crate) fn done(&mut self, planned: f64, said: &str) {
        self.done += planned;
        eprintln!("    {said}");
    }

    /// A step failed that was planned to take so many seconds.
    pub(crate) fn failed(&mut self, planned: f64, error: &anyhow::Error) {
        self.done += planned;
        eprintln!("    FAILED: {error:#}");
    }
}

/// What is left of the plan, stretched by as much as what is done took longer.
fn left(planned: f64, done: f64, elapsed: Duration) -> f64 {
    let stretch = if done > 0.0 { elapsed.as_secs_f64() / done } else { 1.0 };
    (planned - done).max(0.0) * stretch
}

fn in_words(seconds: f64) -> String {
    if seconds >= 90.0 { format!("{:.0} min", seconds / 60.0) } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_what_was_needed() {
        assert!((left(100.0, 0.0, Duration::ZERO) - 100.0).abs() < 1e-9);
        assert!((left(100.0, 50.0, Duration::from_secs(100)) - 100.0).abs() < 1e-9);
        assert!(left(100.0, 120.0, Duration::from_secs(100)).abs() < 1e-9);
        assert_eq!((in_words(600.0), in_words(12.4)), ("10 min".to_owned(), "12 s".to_owned()));
    }
}
