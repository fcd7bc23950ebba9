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

/// More bytes per millisecond are more than little: 16 Mbit/s.
const LITTLE: usize = 2_000;
/// So many bytes at once are more than little, without waiting for the rate.
const TRAIN: usize = 32 << 10;
/// So many bytes per millisecond are much: half a gigabit per second. Acknowledgements alone are less.
const MUCH: usize = 62_500;

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
    pub(super) fn passed(&self, way: Way, rate: &mut Rate, bytes: usize, now: u64) {
        let until = now.saturating_add(COUNTS);
        let rate = rate.passed(bytes, now);
        if bytes >= TRAIN || rate.is_some_and(|rate| rate > LITTLE) {
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

    /// So much per millisecond each way, for a tenth of a second from `start`.
    fn passes(duty: &Duty, start: u64, out: usize, inn: usize) {
        let [mut rate_out, mut rate_in] = [(); 2].map(|()| Rate::begin(start));
        for now in start + 1..=start + 100 {
            duty.passed(Way::Out, &mut rate_out, out, now);
            duty.passed(Way::In, &mut rate_in, inn, now);
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
        duty.passed(Way::In, &mut Rate::begin(0), TRAIN, 1);
        assert!(!duty.little(COUNTS) && duty.little(1 + COUNTS));
    }

    #[test]
    fn a_lone_thread_serves_always() {
        let duty = Duty::new(None);
        duty.decide(1, &Arc::new(Waker::new().unwrap()));
        assert!(duty.apart());
    }
}
