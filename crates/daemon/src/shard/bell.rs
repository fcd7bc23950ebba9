//! Wakes the engine's thread: rung by whoever fills one of its queues, and only if it sleeps.
use linux::wait::Waker;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Wake;

/// It works, and looks at its queues before it sleeps.
const AWAKE: u8 = 0;
/// It sleeps, or is about to.
const ASLEEP: u8 = 1;
/// Somebody rang since it last woke.
const RUNG: u8 = 2;

/// What a queue without anything in it is given to ring.
#[derive(Debug)]
pub(super) struct Bell {
    state: AtomicU8,
    waker: Waker,
}

impl Bell {
    pub(super) fn new() -> linux::Result<Arc<Self>> {
        Ok(Arc::new(Self { state: AtomicU8::new(AWAKE), waker: Waker::new()? }))
    }

    /// May the thread sleep? Not if somebody rang since it looked at its queues.
    pub(super) fn lie_down(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The thread works again. `heard`: its descriptor was readable.
    pub(super) fn rise(&self, heard: bool) {
        self.state.store(AWAKE, Ordering::Release);
        if heard {
            self.waker.reset();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.waker.wake();
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux::wait::readable;

    #[test]
    fn a_sleeper_is_woken_and_a_worker_is_not() {
        let bell = Bell::new().unwrap();
        let rings = || readable(&[bell.as_fd()], Some(0)).unwrap() == 1;
        bell.wake_by_ref();
        assert!(!rings(), "it was awake");
        assert!(!bell.lie_down(), "and has something to look at");
        bell.rise(false);
        assert!(bell.lie_down());
        assert!(!rings());
        bell.wake_by_ref();
        bell.wake_by_ref();
        assert!(rings());
        bell.rise(true);
        assert!(!rings() && bell.lie_down());
    }
}
