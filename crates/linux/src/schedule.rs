//! How long a thread computes before others have their turn.
#![allow(unsafe_code, reason = "sched_setattr, which no kept crate names")]

use std::io;
use std::mem::size_of;
use std::time::Duration;

/// `struct sched_attr` as of Linux 4.0; later fields follow it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// With the usual policy, since Linux 6.12: the slice, nanoseconds.
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// `SCHED_OTHER`.
const USUAL: u32 = 0;

/// Asks for turns of this length for the calling thread, `None` for the system's usual. A thread with shorter turns is
/// let in sooner when it wakes up, and gets no more of the processor (EEVDF). Needs no privilege. Before Linux 6.12
/// nothing changes; nor does it for threads under another policy than the usual one.
///
/// # Errors
/// The system's: where a sandbox forbids the call.
pub fn slice(length: Option<Duration>) -> io::Result<()> {
    let mut attributes = Attributes::default();
    let size = u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `size` bytes, which is what `attributes` has; 0 is the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    if attributes.policy != USUAL {
        return Ok(());
    }
    attributes.size = size;
    attributes.runtime = length.map_or(0, |length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
    // SAFETY: the kernel reads `size` bytes, all of which are set; 0 is the calling thread.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_can_be_asked_for_and_given_back() {
        std::thread::spawn(|| {
            for length in [Some(Duration::from_micros(100)), None, None] {
                slice(length).unwrap();
            }
        })
        .join()
        .unwrap();
    }
}
