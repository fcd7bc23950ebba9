//! How a lane thread waits: for any of some descriptors, or for being woken.

use crate::{Attempt, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Wakes a thread that waits; may be triggered from anywhere, any number of times.
#[derive(Debug)]
pub struct Waker {
    event: EventFd,
}

impl Waker {
    /// Makes one.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .attempt(|| "making an eventfd".to_owned())?;
        Ok(Self { event })
    }

    /// Wakes.
    pub fn wake(&self) {
        // only fails when the counter is full, and then it is triggered already
        let _ = self.event.write(1);
    }

    /// Forgets past wake-ups.
    pub fn reset(&self) {
        let _ = self.event.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of at most 16 descriptors is readable, or `milliseconds` passed (`None`: for ever). Bit `i` of
/// the answer says that descriptor `i` is readable or broken; 0 means that time passed or a signal came.
///
/// # Errors
/// The system's.
pub fn readable(descriptors: &[BorrowedFd<'_>], milliseconds: Option<u16>) -> io::Result<u32> {
    wait(descriptors, PollFlags::POLLIN, milliseconds)
}

/// As [`readable`], until one is writable.
///
/// # Errors
/// The system's.
pub fn writable(descriptors: &[BorrowedFd<'_>], milliseconds: Option<u16>) -> io::Result<u32> {
    wait(descriptors, PollFlags::POLLOUT, milliseconds)
}

fn wait(descriptors: &[BorrowedFd<'_>], flags: PollFlags, milliseconds: Option<u16>) -> io::Result<u32> {
    const MOST: usize = 16;
    let Some(first) = descriptors.first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    if descriptors.len() > MOST {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut polled: [PollFd<'_>; MOST] =
        std::array::from_fn(|i| PollFd::new(*descriptors.get(i).unwrap_or(first), flags));
    let polled = polled.get_mut(..descriptors.len()).unwrap_or_default();
    let timeout = milliseconds.map_or(PollTimeout::NONE, PollTimeout::from);
    match poll(polled, timeout) {
        Ok(_) => {}
        Err(nix::errno::Errno::EINTR) => return Ok(0),
        Err(e) => return Err(e.into()),
    }
    let mut ready = 0;
    for (i, one) in polled.iter().enumerate() {
        if one.any().unwrap_or(true) {
            ready |= 1 << i;
        }
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_wakes_until_reset() {
        let (a, b) = (Waker::new().unwrap(), Waker::new().unwrap());
        assert_eq!(readable(&[a.as_fd(), b.as_fd()], Some(0)).unwrap(), 0);
        b.wake();
        b.wake();
        assert_eq!(readable(&[a.as_fd(), b.as_fd()], Some(1000)).unwrap(), 2);
        b.reset();
        assert_eq!(readable(&[a.as_fd(), b.as_fd()], Some(0)).unwrap(), 0);
    }
}
