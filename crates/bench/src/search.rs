//! Looks for the greatest rate that a path carries without loss: up or down by a factor of two to the first change,
//! then by halves between what was held and what was not. A rate counts as not held only when it failed twice, since
//! anything else on the machine may disturb one trial. Decides which rate comes next; sends nothing.

/// Trials at most.
const TRIALS: usize = 40;

/// A search under way.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The greatest rate that was held.
    held: Option<f64>,
    /// The least rate that was not.
    lost: Option<f64>,
    next: f64,
    /// `next` failed once.
    doubted: bool,
    trials: usize,
    /// Ends when what was lost is at most this many times what was held.
    precision: f64,
    /// Nothing above can be offered.
    ceiling: f64,
}

impl Search {
    /// Begins at `start`; ends when the answer is known to a factor of `1 + precision`, or at `ceiling`.
    pub(crate) fn new(start: f64, ceiling: f64, precision: f64) -> Self {
        let ceiling = ceiling.max(1.0);
        Self {
            held: None,
            lost: None,
            next: start.clamp(1.0, ceiling),
            doubted: false,
            trials: 0,
            precision: 1.0 + precision.max(0.001),
            ceiling,
        }
    }

    /// The rate to try, `None` when the search is over.
    pub(crate) fn next(&self) -> Option<f64> {
        let narrow = match (self.held, self.lost) {
            (Some(held), Some(lost)) => lost <= held * self.precision,
            (Some(held), None) => held >= self.ceiling,
            (None, Some(lost)) => lost <= 1.0,
            (None, None) => false,
        };
        (!narrow && self.trials < TRIALS).then_some(self.next)
    }

    /// Whether the rate that [`Self::next`] named was held.
    pub(crate) fn tell(&mut self, held: bool) {
        self.trials += 1;
        if !held && !self.doubted {
            self.doubted = true;
            return;
        }
        self.doubted = false;
        if held {
            self.held = Some(self.next);
        } else {
            self.lost = Some(self.next);
        }
        self.next = match (self.held, self.lost) {
            (Some(held), Some(lost)) => (held * lost).sqrt(),
            (Some(held), None) => (held * 2.0).min(self.ceiling),
            (None, Some(lost)) => (lost / 2.0).max(1.0),
            (None, None) => self.next,
        };
    }

    /// The greatest rate that was held.
    pub(crate) fn result(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a search against a path that carries so much; how many trials it took.
    fn run(mut search: Search, mut holds: impl FnMut(f64) -> bool) -> (Option<f64>, usize) {
        let mut trials = 0;
        while let Some(rate) = search.next() {
            search.tell(holds(rate));
            trials += 1;
            assert!(trials <= TRIALS);
        }
        (search.result(), trials)
    }

    proptest! {
        #[test]
        fn what_a_path_carries_is_found(capacity in 100.0..1e6_f64, start in 100.0..1e6_f64) {
            let (found, _) = run(Search::new(start, 4e6, 0.05), |rate| rate <= capacity);
            let found = found.unwrap();
            prop_assert!(found <= capacity && found * 1.05 >= capacity, "{found} of {capacity}");
        }

        #[test]
        fn one_disturbed_trial_changes_nothing(capacity in 100.0..1e6_f64, which in 0..12_usize) {
            let (quiet, _) = run(Search::new(3e5, 4e6, 0.05), |rate| rate <= capacity);
            let mut trial = 0;
            let (disturbed, _) = run(Search::new(3e5, 4e6, 0.05), |rate| {
                trial += 1;
                rate <= capacity && trial - 1 != which
            });
            prop_assert_eq!(quiet, disturbed);
        }
    }

    #[test]
    fn a_path_that_carries_all_is_tried_up_to_the_ceiling() {
        let (found, trials) = run(Search::new(1000.0, 5000.0, 0.05), |_| true);
        assert_eq!((found, trials), (Some(5000.0), 4));
    }

    #[test]
    fn a_path_that_carries_nothing_ends_the_search() {
        let (found, trials) = run(Search::new(1e6, 4e6, 0.05), |_| false);
        assert_eq!(found, None);
        assert_eq!(trials, TRIALS);
    }
}
