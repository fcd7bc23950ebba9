//! The packet path's threads: two per lane, one for each way; the one for the way in serves both while it can
//! ([`super::duty`]).
//!
//! Out ([`super::sealer`]), one pass:
//!  1. wait for the device's queue;
//!  2. read one packet, or a whole stream behind one header ([`super::split`]);
//!  3. look up the policy by the headers, once for the whole stream and for what follows it of its flow;
//!  4. what is too long for the path: ICMP to its sender, or cut before sealing;
//!  5. write each packet where it will be sealed, with its checksums, and seal it ([`super::outbox`]);
//!  6. when the queue is empty or enough was read: send, one call per path ([`super::wires`]).
//!
//! In ([`super::opener`]), one pass:
//!  1. wait for the sockets;
//!  2. receive a batch of datagrams, each perhaps many of one size joined by the kernel;
//!  3. cut, and sort: IKE goes to the daemon, keepalives end here;
//!  4. find the SA by its SPI, open in place (transport mode: in scratch memory, since its header grows);
//!  5. join packets of one flow and write them to the device, one call per flow ([`super::coalesce`]);
//!  6. send what the device has to say to that.
//!
//! What is written to the device may be answered at once: by this host itself, be it with an acknowledgement. So the way
//! in ends with a look at the device's queue, and its thread sends what it finds there: the answer does not wait until
//! another thread has woken up. The lock between the two threads of a lane is held for a pass; where each has its way,
//! the way in only takes it where it is free, and not while more waits on its sockets.
//!
//! A lone packet never waits for others: every pass ends with what there is. Nothing here allocates per packet, logs,
//! or takes a lock that lanes share.
use super::duty::{Duty, Passed, Way};
use super::opener::Opener;
use super::pace::{Pace, Rate};
use super::plane::Plane;
use super::sealer::Sealer;
use linux::clock::monotonic_ms;
use linux::message::{Batch, SLOTS};
use linux::raw::RawSocket;
use linux::tun::{TunQueue, VIRTIO_HEADER};
use linux::udp::UdpSocket;
use linux::wait::{self, Waker};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads before what was sealed must leave.
const READS: usize = 64;
/// Reads of the way in, for answers.
const ANSWERS: usize = 8;
/// Bytes read before what was sealed must leave: what is read first waits no longer than sealing them takes.
const READ_BYTES: usize = 256 << 10;
/// The longest read: virtio header and an IP packet.
const LONGEST: usize = VIRTIO_HEADER + 65_535;
/// Milliseconds until a device that could not be read is tried again.
const DOWN: u16 = 200;
/// Datagrams received at once while little passes: room for more costs time to prepare.
const LONE: usize = 1;
/// Batches read from one socket before the next has its turn.
const TURNS: usize = 4;

/// A lane's queue of the device, with who seals what comes out of it.
pub(super) struct Queue {
    plane: Arc<Plane>,
    tun: Arc<TunQueue>,
    sealer: Sealer,
    duty: Arc<Duty>,
    rate: Rate,
    buffer: Box<[u8]>,
}

/// The outbound half of a lane.
pub(super) struct Out {
    pub(super) plane: Arc<Plane>,
    pub(super) tun: Arc<TunQueue>,
    pub(super) queue: Arc<Mutex<Queue>>,
    pub(super) duty: Arc<Duty>,
    pub(super) waker: Arc<Waker>,
    /// Takes packets that traps kept.
    pub(super) first: bool,
}

impl Out {
    /// Runs until the plane stops.
    pub(super) fn run(self) {
        let mut pace = Pace::begin(monotonic_ms());
        let both = [self.waker.as_fd(), self.tun.as_fd()];
        while !self.plane.stopping() {
            // 1
            let awaited = if self.duty.apart() { &both[..] } else { &both[..1] };
            let Ok(ready) = wait::readable(awaited, None) else { return };
            let kept = ready & 1 != 0 && self.first;
            if ready & 1 != 0 {
                self.waker.reset();
            }
            // the way in may have taken the device over while this waited
            let mine = ready & 2 != 0 && self.duty.apart();
            if !kept && !mine {
                continue;
            }
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if kept {
                queue.released();
            }
            let passed = queue.pass(READS);
            drop(queue);
            let now = monotonic_ms();
            pace.passed(passed.unwrap_or(0), now, &self.plane.bulk);
            self.duty.decide(now, &self.waker);
            if passed.is_none() {
                // the device went down: packets come again when it is up
                let _ = wait::readable(&[self.waker.as_fd()], Some(DOWN));
            }
        }
    }
}

impl Queue {
    pub(super) fn new(plane: Arc<Plane>, tun: Arc<TunQueue>, sealer: Sealer, duty: Arc<Duty>) -> Self {
        let buffer = vec![0; LONGEST].into_boxed_slice();
        Self { plane, tun, sealer, duty, rate: Rate::begin(monotonic_ms()), buffer }
    }

    /// Seals what traps kept.
    fn released(&mut self) {
        let now = monotonic_ms();
        for packet in self.plane.take_released() {
            self.sealer.train(&packet, now);
        }
    }

    /// Seals and sends what is there, `reads` packets or streams at most. Gives how many bytes there were; `None` when
    /// the device cannot be read.
    fn pass(&mut self, reads: usize) -> Option<usize> {
        let now = monotonic_ms();
        // the next is not expected to be there yet, and to find that out takes time
        let each = self.duty.little(now);
        let (mut passed, mut readable) = (Passed::default(), true);
        for _ in 0..reads {
            // 2
            match self.tun.read(&mut self.buffer) {
                Ok(n) => {
                    self.sealer.train(self.buffer.get(..n).unwrap_or_default(), now);
                    passed.add(n, 1);
                    if each {
                        self.sealer.flush();
                    }
                    if passed.bytes >= READ_BYTES {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.plane.counters.device_failed.add(1);
                    readable = false;
                    break;
                }
            }
        }
        // 6
        self.sealer.flush();
        self.duty.passed(Way::Out, &mut self.rate, passed, now);
        readable.then_some(passed.bytes)
    }
}

/// The inbound half of a lane.
pub(super) struct In {
    pub(super) plane: Arc<Plane>,
    pub(super) opener: Opener,
    pub(super) udp: Vec<Arc<UdpSocket>>,
    pub(super) raw: Vec<Arc<RawSocket>>,
    pub(super) tun: Arc<TunQueue>,
    /// Where answers to what came in may wait, and all that leaves while this thread serves both ways.
    pub(super) queue: Arc<Mutex<Queue>>,
    pub(super) duty: Arc<Duty>,
    pub(super) waker: Arc<Waker>,
}

impl In {
    /// Runs until the plane stops.
    pub(super) fn run(mut self) {
        // slots of an even size: copies to odd addresses are slower
        let mut batch = Batch::new(SLOTS, 1 << 16);
        let mut looks = Looks::default();
        let mut now = monotonic_ms();
        let (mut pace, mut rate) = (Pace::begin(now), Rate::begin(now));
        let (tun, waker) = (self.tun.clone(), self.waker.clone());
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![tun.as_fd(), waker.as_fd()];
        descriptors.extend(self.udp.iter().map(|s| s.as_fd()));
        descriptors.extend(self.raw.iter().map(|s| s.as_fd()));
        // while the device is down: when it is tried again
        let mut again: Option<u64> = None;
        while !self.plane.stopping() {
            // 1
            let skipped = usize::from(again.is_some() || self.duty.apart());
            let wanted = descriptors.get(skipped..).unwrap_or_default();
            let Ok(ready) = wait::readable(wanted, again.map(|_| DOWN)) else { return };
            // bits as if the device had been waited for
            let ready = ready << skipped;
            if ready & 2 != 0 {
                waker.reset();
            }
            batch.take(if self.duty.little(now) { LONE } else { SLOTS });
            let (mut all, mut passed) = (true, Passed::default());
            for (i, socket) in self.udp.iter().enumerate() {
                if ready & (4 << i) != 0 {
                    // 2
                    let handle = |b: &mut Batch| self.opener.datagrams(b, socket.local());
                    all &= drain(&mut batch, &mut passed, |b| socket.receive(b), handle);
                }
            }
            for (i, socket) in self.raw.iter().enumerate() {
                if ready & (4 << (self.udp.len() + i)) != 0 {
                    let handle = |b: &mut Batch| self.opener.packets(b, socket);
                    all &= drain(&mut batch, &mut passed, |b| socket.receive(b), handle);
                }
            }
            now = monotonic_ms();
            self.duty.passed(Way::In, &mut rate, passed, now);
            let mut bytes = passed.bytes;
            // 6
            if !self.duty.apart() {
                if again.is_none() {
                    let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    let left = queue.pass(READS);
                    drop(queue);
                    bytes += left.unwrap_or(0);
                    again = left.is_none().then_some(now + u64::from(DOWN));
                }
            } else if all
                && looks.due()
                && let Ok(mut queue) = self.queue.try_lock()
            {
                looks.found(queue.pass(ANSWERS).is_some_and(|bytes| bytes > 0));
            }
            pace.passed(bytes, now, &self.plane.bulk);
            self.duty.decide(now, &waker);
            again = again.filter(|at| *at > now);
        }
    }
}

/// When to look for answers: always while there are some, and more and more rarely while there are none.
#[derive(Debug, Default)]
struct Looks {
    /// Passes until the next look.
    pause: u32,
    /// What it was after the last one.
    last: u32,
}

impl Looks {
    /// Passes between two looks at most.
    const RAREST: u32 = 63;

    fn due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    fn found(&mut self, something: bool) {
        self.last = if something { 0 } else { (self.last * 2 + 1).min(Self::RAREST) };
        self.pause = self.last;
    }
}

/// Receives and handles batches while they come full, and counts them. True when nothing was left.
fn drain(
    batch: &mut Batch,
    passed: &mut Passed,
    receive: impl Fn(&mut Batch) -> io::Result<usize>,
    mut handle: impl FnMut(&mut Batch),
) -> bool {
    for _ in 0..TURNS {
        let count = receive(batch).unwrap_or(0);
        if count > 0 {
            passed.add(batch.bytes(), count);
            handle(batch);
        }
        if count < SLOTS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_while_nothing_is_found() {
        let mut looks = Looks::default();
        let mut times = Vec::new();
        for pass in 0..400 {
            if looks.due() {
                looks.found(pass < 3);
                times.push(pass);
            }
        }
        assert_eq!(times, [0, 1, 2, 3, 5, 9, 17, 33, 65, 129, 193, 257, 321, 385]);
        looks.found(true);
        assert!(looks.due(), "and come at once again");
    }
}
