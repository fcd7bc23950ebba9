//! What is counted: the work handed to [`Meter::count`], and nothing around it.
//!
//! callgrind finds the two functions here by their names: it collects while it is inside [`measured`], and writes what it
//! has collected when [`written`] is entered. So one run of the program gives one dump for each line it prints.
use std::hint::black_box;

/// All that is counted, one name after the other.
pub(crate) struct Counts {
    /// Beginnings of the names that are wanted; empty: all.
    wanted: Vec<String>,
}

/// Counts one thing.
pub(crate) struct Meter(());

impl Counts {
    pub(crate) fn new(wanted: Vec<String>) -> Self {
        Self { wanted }
    }

    /// Is any of the names that begin like this wanted? For what is dear to set up.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|w| name.starts_with(w) || w.starts_with(name))
    }

    /// Counts one thing, which `work` does `times` times: the count is divided by it.
    pub(crate) fn bench(&mut self, name: &str, times: u32, work: impl FnOnce(&mut Meter)) {
        if self.wanted.is_empty() || self.wanted.iter().any(|w| name.starts_with(w)) {
            work(&mut Meter(()));
            println!("{name} {times}");
            written();
        }
    }
}

impl Meter {
    /// Does this, counted.
    pub(crate) fn count<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let mut work = Some(work);
        let mut result = None;
        measured(&mut || result = work.take().map(|work| black_box(work())));
        result.expect("measured() does its work")
    }
}

/// Inside here instructions are collected.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    black_box(work)();
}

/// When this is entered what was collected is written.
#[inline(never)]
fn written() {
    black_box(());
}

/// What the meter itself costs, and whether it counts what it should: a known loop of dependent multiplications.
pub(crate) fn probe(counts: &mut Counts) {
    counts.bench("meter/nothing", 1000, |meter| {
        for _ in 0..1000 {
            meter.count(|| ());
        }
    });
    counts.bench("meter/1000 steps", 1, |meter| {
        meter.count(|| (0..1000u64).fold(1, |sum: u64, n| black_box(sum.wrapping_mul(n | 1))));
    });
}
