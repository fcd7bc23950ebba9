//! Time: monotonic including suspend, and wall clock.

use crate::{Attempt, Result};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`): lifetimes and liveness go on while a laptop
/// sleeps.
#[must_use]
pub fn monotonic_ms() -> u64 {
    read(ClockId::CLOCK_BOOTTIME).map_or(0, |(s, ns)| s.saturating_mul(1000).saturating_add(ns / 1_000_000))
}

/// As [`monotonic_ms`], in microseconds.
#[must_use]
pub fn monotonic_us() -> u64 {
    read(ClockId::CLOCK_BOOTTIME).map_or(0, |(s, ns)| s.saturating_mul(1_000_000).saturating_add(ns / 1000))
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

/// A timer on the clock of [`monotonic_ms`]: it rings also for a time that passed while the machine slept, and costs
/// nothing while it waits. It is readable once it rang, until it is set or cleared.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// What it is set to.
    at: Option<u64>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(nix::sys::timerfd::ClockId::CLOCK_BOOTTIME, flags);
        Ok(Self { timer: timer.attempt(|| "making a timer".to_owned())?, at: None })
    }

    /// Sets it to a time in milliseconds of [`monotonic_ms`]; `None` clears it. One that is set to this time already
    /// costs no system call, unless it rang.
    ///
    /// # Errors
    /// The system's.
    pub fn set(&mut self, at: Option<u64>) -> io::Result<()> {
        if at == self.at {
            return Ok(());
        }
        match at {
            // Zero would mean never.
            Some(at) => {
                let expiration = Expiration::OneShot(TimeSpec::from(Duration::from_millis(at.max(1))));
                self.timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.unset()?,
        }
        self.at = at;
        Ok(())
    }

    /// What it is set to, in milliseconds of [`monotonic_ms`].
    #[must_use]
    pub const fn at(&self) -> Option<u64> {
        self.at
    }

    /// It rang: from now on it is not set.
    pub fn reset(&mut self) {
        let _would_block = nix::unistd::read(&self.timer, &mut [0; 8]);
        self.at = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }
}

/// [`Alarm`] for tokio tasks.
#[derive(Debug)]
pub struct Sleeper {
    /// Without a descriptor for it, somewhat late after the machine slept.
    alarm: Option<AsyncFd<Alarm>>,
}

/// The longest sleep without an alarm, in milliseconds.
const LONGEST: u64 = 10_000;

impl Sleeper {
    /// One for this task, within a tokio runtime.
    #[must_use]
    #[allow(unsafe_code, reason = "tokio registers descriptors that are promised to stay")]
    pub fn new() -> Self {
        // SAFETY: the alarm owns its descriptor, and nothing closes or exchanges it before the drop.
        let registered = Alarm::new().ok().map(|alarm| unsafe { AsyncFd::register(alarm) });
        Self { alarm: registered.and_then(|alarm| alarm.ok()) }
    }

    /// Waits until this time in milliseconds of [`monotonic_ms`]; for ever without one. Dropped, it may be called
    /// again with another time.
    pub async fn until(&mut self, at: Option<u64>) {
        let Some(at) = at else { return std::future::pending().await };
        while monotonic_ms() < at {
            let Some(alarm) = self.alarm.as_mut() else {
                let left = at.saturating_sub(monotonic_ms()).min(LONGEST);
                tokio::time::sleep(Duration::from_millis(left)).await;
                continue;
            };
            if alarm.get_mut().set(Some(at)).is_err() {
                self.alarm = None;
                continue;
            }
            let Ok(mut ready) = alarm.readable_mut().await else { continue };
            ready.get_inner_mut().reset();
            ready.clear_ready();
        }
    }
}

impl Default for Sleeper {
    fn default() -> Self {
        Self::new()
    }
}

fn read(id: ClockId) -> Option<(u64, u64)> {
    let time = clock_gettime(id).ok()?;
    Some((u64::try_from(time.tv_sec()).ok()?, u64::try_from(time.tv_nsec()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::readable;

    #[test]
    fn clocks_run() {
        assert!(monotonic_ms() > 0);
        assert!(wall_seconds() > 1_600_000_000);
    }

    #[test]
    fn an_alarm_rings_once_and_may_be_set_anew() {
        let mut alarm = Alarm::new().unwrap();
        let rang = |alarm: &Alarm, wait| readable(&[alarm.as_fd()], Some(wait)).unwrap() == 1;
        assert!(!rang(&alarm, 0));
        // passed already
        alarm.set(Some(1)).unwrap();
        assert!(rang(&alarm, 1000) && alarm.at() == Some(1));
        alarm.reset();
        assert!(!rang(&alarm, 0) && alarm.at().is_none());
        alarm.set(Some(monotonic_ms() + 100_000)).unwrap();
        assert!(!rang(&alarm, 0));
        alarm.set(None).unwrap();
        alarm.set(Some(1)).unwrap();
        assert!(rang(&alarm, 1000));
    }

    #[tokio::test]
    async fn a_sleeper_waits_for_one_time_after_the_other() {
        let mut sleeper = Sleeper::new();
        let start = monotonic_ms();
        sleeper.until(Some(start.saturating_sub(5))).await;
        for after in [20, 40] {
            sleeper.until(Some(start + after)).await;
            assert!(monotonic_ms() >= start + after);
        }
        // given up for a sooner one
        let long = sleeper.until(None);
        assert!(tokio::time::timeout(Duration::from_millis(1), long).await.is_err());
        let long = sleeper.until(Some(start + 1_000_000));
        assert!(tokio::time::timeout(Duration::from_millis(1), long).await.is_err());
        sleeper.until(Some(monotonic_ms() + 10)).await;
    }
}
