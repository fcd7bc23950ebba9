//! The packet path's threads: two per lane, one for each way.
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
//!  5. join packets of one flow and write them to the device, one call per flow ([`super::coalesce`]).
//!
//! A lone packet never waits for others: every pass ends with what there is. Nothing here allocates per packet, logs,
//! or takes a lock that SAs share.
use super::opener::Opener;
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
use std::sync::Arc;

/// Reads before what was sealed must leave.
const READS: usize = 64;
/// Bytes read before what was sealed must leave: what is read first waits no longer than sealing them takes.
const READ_BYTES: usize = 256 << 10;
/// The longest read: virtio header and an IP packet.
const LONGEST: usize = VIRTIO_HEADER + 65_535;
/// Batches read from one socket before the next has its turn.
const TURNS: usize = 4;

/// The outbound half of a lane.
pub(super) struct Out {
    pub(super) plane: Arc<Plane>,
    pub(super) tun: Arc<TunQueue>,
    pub(super) sealer: Sealer,
    pub(super) waker: Arc<Waker>,
    /// Takes packets that traps kept.
    pub(super) first: bool,
}

impl Out {
    /// Runs until the plane stops.
    pub(super) fn run(mut self) {
        let mut buffer = vec![0u8; LONGEST];
        while !self.plane.stopping() {
            // 1
            match wait::readable(&[self.tun.as_fd(), self.waker.as_fd()], None) {
                Ok(0) => continue,
                Ok(ready) if ready & 2 != 0 => {
                    self.waker.reset();
                    if self.first {
                        let now = monotonic_ms();
                        for packet in self.plane.take_released() {
                            self.sealer.train(&packet, now);
                        }
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
            self.pass(&mut buffer);
        }
    }

    fn pass(&mut self, buffer: &mut [u8]) {
        let now = monotonic_ms();
        let mut bytes = 0;
        for _ in 0..READS {
            // 2
            match self.tun.read(buffer) {
                Ok(n) => {
                    self.sealer.train(buffer.get(..n).unwrap_or_default(), now);
                    bytes += n;
                    if bytes >= READ_BYTES {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // the device went down: packets come again when it is up
                    self.plane.counters.device_failed.add(1);
                    let _ = wait::readable(&[self.waker.as_fd()], Some(200));
                    break;
                }
            }
        }
        // 6
        self.sealer.flush();
    }
}

/// The inbound half of a lane.
pub(super) struct In {
    pub(super) plane: Arc<Plane>,
    pub(super) opener: Opener,
    pub(super) udp: Vec<Arc<UdpSocket>>,
    pub(super) raw: Vec<Arc<RawSocket>>,
    pub(super) waker: Arc<Waker>,
}

impl In {
    /// Runs until the plane stops.
    pub(super) fn run(mut self) {
        let mut batch = Batch::new(SLOTS, 65_535);
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.waker.as_fd()];
        descriptors.extend(self.udp.iter().map(|s| s.as_fd()));
        descriptors.extend(self.raw.iter().map(|s| s.as_fd()));
        while !self.plane.stopping() {
            // 1
            let Ok(ready) = wait::readable(&descriptors, None) else { return };
            if ready & 1 != 0 {
                self.waker.reset();
            }
            for (i, socket) in self.udp.iter().enumerate() {
                if ready & (2 << i) != 0 {
                    // 2
                    drain(&mut batch, |b| socket.receive(b), |b| self.opener.datagrams(b, socket.local()));
                }
            }
            for (i, socket) in self.raw.iter().enumerate() {
                if ready & (2 << (self.udp.len() + i)) != 0 {
                    drain(&mut batch, |b| socket.receive(b), |b| self.opener.packets(b, socket));
                }
            }
        }
    }
}

/// Receives and handles batches while they come full.
fn drain(
    batch: &mut Batch,
    receive: impl Fn(&mut Batch) -> io::Result<usize>,
    mut handle: impl FnMut(&mut Batch),
) {
    for _ in 0..TURNS {
        let count = receive(batch).unwrap_or(0);
        if count > 0 {
            handle(batch);
        }
        if count < SLOTS {
            return;
        }
    }
}
