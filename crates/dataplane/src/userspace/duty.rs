//! Which of a lane's two threads serves the device's queue. The one for the way in serves both ways, while it can: a packet
//! and the answer to it, data and its acknowledgements, then wake one thread, not two; and to wake a processor takes longer
//! than all else that is done for a packet. When much passes both ways, each way has its thread.
//!
//! Each thread asks before it waits. Whoever changes the duty wakes the other one, which must wait for something else
//! from now on.
use super::pace::{COUNTS, Rate, Until};
use linux::wait::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that a read or a received buffer counts at least: they take time even where little is in them.
const LEAST: usize = 1_024;
/// More bytes per millisecond are more than little: 16 Mbit/s, or two packets per millisecond.
const LITTLE: usize = 2 * LEAST;
/// So many bytes at once are more than little, without waiting for the rate.
const TRAIN: usize = 32 << 10;
/// So many bytes per millisecond are much: half a gigabit per second, or 61,000 small packets; a flood of those must not
/// keep what goes the other way waiting. Acknowledgements alone are less: many come in one buffer.
const MUCH: usize = 61 * LEAST;

/// What passed one way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) bytes: usize,
    /// Reads or buffers they came in.
    reads: usize,
}

impl Passed {
    pub(super) fn add(&mut self, bytes: usize, reads: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.reads = self.reads.saturating_add(reads);
    }

    /// Bytes, or what takes as long.
    fn work(self) -> usize {
        self.bytes.max(self.reads.saturating_mul(LEAST))
    }
}

/// The ways of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Out,
    In,
}

/// The duty of a lane's threads.
#[derive(Debug)]
pub(super) struct Duty {
    apart: AtomicBool,
    /// Until when more than little passes, either way.
    busy: Until,
    /// Until when much passes, out and in.
    much: [Until; 2],
    /// Of the two threads, out and in; without a way in there is but one.
    wakers: Option<[Arc<Waker>; 2]>,
}

impl Duty {
    /// `wakers` of the threads of the way out and of the way in, where there is one.
    pub(super) fn new(wakers: Option<[Arc<Waker>; 2]>) -> Self {
        Self {
            apart: AtomicBool::new(wakers.is_none()),
            busy: Until::default(),
            much: Default::default(),
            wakers,
        }
    }

    /// Each way has its thread.
    pub(super) fn apart(&self) -> bool {
        self.apart.load(Ordering::Acquire)
    }

    /// Little passes: packets come one by one.
    pub(super) fn little(&self, now: u64) -> bool {
        !self.busy.lasts(now)
    }

    /// Counts what passed one way.
    pub(super) fn passed(&self, way: Way, rate: &mut Rate, passed: Passed, now: u64) {
        let until = now.saturating_add(COUNTS);
        let rate = rate.passed(passed.work(), now);
        if passed.bytes >= TRAIN || rate.is_some_and(|rate| rate > LITTLE) {
            self.busy.extend(until);
        }
        if rate.is_some_and(|rate| rate > MUCH) {
            let [out, inn] = &self.much;
            let own = match way {
                Way::Out => out,
                Way::In => inn,
            };
            own.extend(until);
        }
    }

    /// Changes the duty with what passes. `own`: waker of the thread that decides, which need not be woken.
    pub(super) fn decide(&self, now: u64, own: &Arc<Waker>) {
        let Some(wakers) = &self.wakers else { return };
        let apart = self.much.iter().all(|much| much.lasts(now));
        if self.apart() == apart || self.apart.swap(apart, Ordering::AcqRel) == apart {
            return;
        }
        wakers.iter().filter(|waker| !Arc::ptr_eq(waker, own)).for_each(|waker| waker.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux::wait;
    use std::os::fd::AsFd;

    fn woken(waker: &Waker) -> bool {
        let woken = wait::readable(&[waker.as_fd()], Some(0)).unwrap() != 0;
        waker.reset();
        woken
    }

    fn read(bytes: usize) -> Passed {
        Passed { bytes, reads: 1 }
    }

    /// So much per millisecond each way, for a tenth of a second from `start`.
    fn passes(duty: &Duty, start: u64, out: usize, inn: usize) {
        let [mut rate_out, mut rate_in] = [(); 2].map(|()| Rate::begin(start));
        for now in start + 1..=start + 100 {
            duty.passed(Way::Out, &mut rate_out, read(out), now);
            duty.passed(Way::In, &mut rate_in, read(inn), now);
        }
    }

    #[test]
    fn much_both_ways_parts_them_and_the_other_thread_learns_of_it() {
        let wakers = [(); 2].map(|()| Arc::new(Waker::new().unwrap()));
        let [out, inn] = &wakers;
        for (o, i) in [(MUCH * 20, MUCH), (MUCH, MUCH * 20)] {
            let duty = Duty::new(Some(wakers.clone()));
            passes(&duty, 0, o, i);
            duty.decide(100, inn);
            assert!(!duty.apart() && !woken(out) && !woken(inn), "one way alone does not");
        }
        let duty = Duty::new(Some(wakers.clone()));
        passes(&duty, 200, MUCH + 1, MUCH + 1);
        duty.decide(300, inn);
        assert!(duty.apart() && woken(out) && !woken(inn));
        duty.decide(301, out);
        assert!(duty.apart() && !woken(out) && !woken(inn));
        duty.decide(300 + COUNTS, out);
        assert!(!duty.apart() && !woken(out) && woken(inn));
    }

    #[test]
    fn a_rate_or_a_train_is_more_than_little_for_a_while() {
        let little = |bytes: usize, now: u64| {
            let duty = Duty::new(None);
            passes(&duty, 0, bytes, 0);
            duty.little(now)
        };
        assert!(little(LITTLE, 100));
        assert!(!little(LITTLE + 1, 100) && little(LITTLE + 1, 100 + COUNTS));
        let duty = Duty::new(None);
        duty.passed(Way::In, &mut Rate::begin(0), read(TRAIN), 1);
        assert!(!duty.little(COUNTS) && duty.little(1 + COUNTS));
    }

    #[test]
    fn a_flood_of_small_packets_is_much() {
        let duty = Duty::new(Some([(); 2].map(|()| Arc::new(Waker::new().unwrap()))));
        let [mut rate_out, mut rate_in] = [(); 2].map(|()| Rate::begin(0));
        for now in 1..=100 {
            duty.passed(Way::Out, &mut rate_out, read(MUCH + 1), now);
            duty.passed(Way::In, &mut rate_in, Passed { bytes: 62 * 40, reads: 62 }, now);
        }
        duty.decide(100, &Arc::new(Waker::new().unwrap()));
        assert!(duty.apart());
    }

    #[test]
    fn a_lone_thread_serves_always() {
        let duty = Duty::new(None);
        duty.decide(1, &Arc::new(Waker::new().unwrap()));
        assert!(duty.apart());
    }
}
