//! The packet path: two threads per lane, one for each way.
//!
//! Out, one pass of `run_out`:
//!  1. wait for the device's queue;
//!  2. read one packet, or a whole stream behind one header ([`super::split`]);
//!  3. look up the policy by the headers, once for the whole stream;
//!  4. what is too long for the path: ICMP to its sender, or cut before sealing;
//!  5. write each packet where it will be sealed, with its checksums, and seal it ([`super::outbox`]);
//!  6. when the queue is empty or enough was read: send, one call per SA ([`super::wires`]).
//!
//! In, one pass of `run_in`:
//!  1. wait for the sockets;
//!  2. receive a batch of datagrams, each perhaps many of one size joined by the kernel;
//!  3. cut, and sort: IKE goes to the daemon, keepalives end here;
//!  4. find the SA by its SPI, open in place (transport mode: in scratch memory, since its header grows);
//!  5. join packets of one flow and write them to the device, one call per flow ([`super::coalesce`]).
//!
//! Nothing here allocates per packet, logs, or takes a lock that SAs share.
use super::coalesce::{Coalescer, Place};
use super::outbox::Outbox;
use super::plane::Plane;
use super::split::Train;
use super::wires::{PathMtus, Wires};
use crate::backend::Notice;
use esp::pmtu::{Fit, ICMP_MAX, Piece, esp_room, fit, inner_mtu, piece_header, pieces, too_big};
use esp::{Drop, Flow, HEADROOM, Limit, OutSa, Packet, Target};
use linux::clock::monotonic_ms;
use linux::message::{Batch, Meta, SLOTS};
use linux::raw::RawSocket;
use linux::tun::{TunQueue, VIRTIO_HEADER};
use linux::udp::UdpSocket;
use linux::wait::{self, Waker};
use policy::{Mode, Selector};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use wire::esp::EspHeader;
use wire::frame::Frame;
use wire::ip::{IPV4_LEN, IpView};

/// Reads before what was sealed must leave.
const READS: usize = 64;
/// The longest read: virtio header and an IP packet.
const LONGEST: usize = VIRTIO_HEADER + 65_535;
/// Batches read from one socket before the next has its turn.
const TURNS: usize = 4;
/// Memory for packets whose headers grow.
const SCRATCH: usize = 1 << 20;
/// Milliseconds between two notices of one moved mapping.
const TELL_AGAIN: u64 = 1000;
/// Moved mappings remembered.
const MOVED: usize = 1024;

/// The outbound half of a lane.
pub(super) struct Out {
    pub(super) plane: Arc<Plane>,
    pub(super) tun: Arc<TunQueue>,
    pub(super) wires: Wires,
    pub(super) waker: Arc<Waker>,
    /// Several lanes seal.
    pub(super) shared: bool,
    pub(super) mark: Option<u32>,
    /// Takes packets that traps kept.
    pub(super) first: bool,
}

impl Out {
    /// Runs until the plane stops.
    pub(super) fn run(self) {
        let mut buffer = vec![0u8; LONGEST];
        let mut sealer = Sealer {
            outbox: Outbox::new(self.wires.clone(), self.shared),
            mtus: PathMtus::new(self.mark),
            plane: self.plane.clone(),
            tun: self.tun.clone(),
        };
        while !self.plane.stopping() {
            // 1
            match wait::readable(&[self.tun.as_fd(), self.waker.as_fd()], None) {
                Ok(0) => continue,
                Ok(ready) if ready & 2 != 0 => {
                    self.waker.reset();
                    if self.first {
                        let now = monotonic_ms();
                        for packet in self.plane.take_released() {
                            sealer.train(&packet, now);
                        }
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
            let now = monotonic_ms();
            for _ in 0..READS {
                // 2
                match self.tun.read(&mut buffer) {
                    Ok(n) => sealer.train(buffer.get(..n).unwrap_or_default(), now),
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
            sealer.outbox.flush();
        }
    }
}

/// Stages 3 to 5 of the way out.
struct Sealer {
    plane: Arc<Plane>,
    tun: Arc<TunQueue>,
    outbox: Outbox,
    mtus: PathMtus,
}

impl Sealer {
    fn train(&mut self, read: &[u8], now: u64) {
        let Some(train) = Train::parse(read, self.tun.offload()) else {
            self.drop(Drop::Malformed);
            return;
        };
        // 3
        let flow = Flow::outbound(&train.view);
        let target = self.plane.spd.lookup(&flow, Target::clone);
        match target {
            Some(Target::Protect(sa)) => self.protect(&train, &sa, now),
            Some(Target::Trap(trap)) => {
                self.drop(Drop::Trap);
                let ask = self.plane.traps.caught(trap, read, now);
                // An SA installed since the look-up has released what was kept before, but not this packet.
                let served = self.plane.spd.lookup(&flow, |t| matches!(t, Target::Protect(_)));
                if served == Some(true) {
                    self.plane.release(self.plane.traps.release(trap));
                } else if ask {
                    let packet = Some((host(flow.local, &flow, true), host(flow.remote, &flow, false)));
                    if !self.plane.tell(Notice::Acquire { trap, packet }) {
                        self.plane.traps.not_asked(trap);
                    }
                }
            }
            // What passes unprotected has no business on the device: its route goes elsewhere.
            Some(Target::Pass | Target::Drop) => self.drop(Drop::Policy),
            None => self.drop(Drop::NoPolicy),
        }
    }

    fn protect(&mut self, train: &Train<'_>, sa: &Arc<OutSa>, now: u64) {
        let path = sa.path();
        let mtu = self.mtus.get(path.remote.ip(), now);
        let room = esp_room(&path, mtu);
        // 4
        let longest = IpView { total_len: train.longest(), ..train.view };
        match fit(sa, &longest, inner_mtu(sa, mtu)) {
            Fit::Seal => {}
            Fit::Cut(most) => {
                self.cut(train, sa, now, room, most);
                return;
            }
            Fit::TooBig(most) => {
                self.drop(Drop::TooBig);
                self.refuse(train, most);
                return;
            }
        }
        // 5
        for i in 0..train.count() {
            let sealed = self.outbox.seal(sa, train.len(i), now, room, |out| train.write(i, out));
            self.sealed(sa, sealed.map(|s| s.limit));
        }
    }

    /// Packets that may be cut, cut to `most` bytes.
    fn cut(&mut self, train: &Train<'_>, sa: &Arc<OutSa>, now: u64, room: usize, most: usize) {
        for i in 0..train.count() {
            let mut bytes = vec![0u8; train.len(i)];
            let view = train.write(i, &mut bytes).and_then(|_| IpView::parse(&bytes).ok());
            let Some((view, header)) = view.zip(bytes.first_chunk::<IPV4_LEN>()) else {
                self.drop(Drop::Malformed);
                continue;
            };
            for piece in pieces(&view, most) {
                self.piece(sa, &bytes, header, &view, piece, now, room);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a piece and all it was cut from")]
    fn piece(
        &mut self,
        sa: &Arc<OutSa>,
        whole: &[u8],
        header: &[u8; IPV4_LEN],
        view: &IpView,
        piece: Piece,
        now: u64,
        room: usize,
    ) {
        let sealed = self.outbox.seal(sa, IPV4_LEN + piece.len, now, room, |out| {
            let head = piece_header(header, view, piece)?;
            let start = view.header_len + piece.offset;
            let (to_head, to_body) = out.get_mut(..IPV4_LEN + piece.len)?.split_at_mut_checked(IPV4_LEN)?;
            to_head.copy_from_slice(&head);
            to_body.copy_from_slice(whole.get(start..start + piece.len)?);
            Some(IPV4_LEN + piece.len)
        });
        self.sealed(sa, sealed.map(|s| s.limit));
    }

    /// Tells the sender what fits, through the device.
    fn refuse(&self, train: &Train<'_>, most: usize) {
        let mut packet = vec![0u8; train.longest()];
        let view = train.write(0, &mut packet).and_then(|_| IpView::parse(&packet).ok());
        let mut icmp = [0u8; ICMP_MAX];
        let Some(len) = view.and_then(|view| too_big(&packet, &view, most, None, &mut icmp)) else { return };
        let virtio = [0u8; VIRTIO_HEADER];
        let parts = [IoSlice::new(&virtio), IoSlice::new(icmp.get(..len).unwrap_or_default())];
        let parts = if self.tun.offload() { &parts } else { parts.get(1..).unwrap_or_default() };
        if self.tun.write(parts).is_err() {
            self.plane.counters.device_failed.add(1);
        }
    }

    fn sealed(&self, sa: &OutSa, result: Result<Option<Limit>, Drop>) {
        match result {
            Ok(None) => {}
            Ok(Some(limit)) => {
                self.plane.tell(Notice::Expire { child: sa.child, hard: limit == Limit::Hard });
            }
            Err(reason) => self.drop(reason),
        }
    }

    fn drop(&self, reason: Drop) {
        self.plane.counters.out.count(reason);
    }
}

/// A selector of one host, with the packet's protocol and port.
fn host(address: IpAddr, flow: &Flow, ours: bool) -> Selector {
    let ports = match flow.ports {
        Some((local, _)) if ours => (local, local),
        Some((_, remote)) => (remote, remote),
        None => (0, u16::MAX),
    };
    Selector { protocol: flow.protocol, ports, start: address, end: address }
}

/// The inbound half of a lane.
pub(super) struct In {
    pub(super) plane: Arc<Plane>,
    pub(super) tun: Arc<TunQueue>,
    pub(super) udp: Vec<Arc<UdpSocket>>,
    pub(super) raw: Vec<Arc<RawSocket>>,
    pub(super) waker: Arc<Waker>,
    /// The device takes joined UDP.
    pub(super) udp_offload: bool,
}

impl In {
    /// Runs until the plane stops.
    pub(super) fn run(self) {
        let mut opener = Opener {
            coalescer: Coalescer::new(self.tun.offload(), self.udp_offload),
            scratch: vec![0; SCRATCH],
            scratch_used: 0,
            moved: BTreeMap::new(),
            plane: self.plane.clone(),
            tun: self.tun.clone(),
        };
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
                if ready & (2 << i) == 0 {
                    continue;
                }
                // 2
                for _ in 0..TURNS {
                    if !socket.receive(&mut batch).is_ok_and(|n| n > 0) {
                        break;
                    }
                    opener.datagrams(&mut batch, socket.local());
                }
            }
            for (i, socket) in self.raw.iter().enumerate() {
                if ready & (2 << (self.udp.len() + i)) == 0 {
                    continue;
                }
                for _ in 0..TURNS {
                    if !socket.receive(&mut batch).is_ok_and(|n| n > 0) {
                        break;
                    }
                    opener.packets(&mut batch, socket);
                }
            }
        }
    }
}

/// Stages 3 to 5 of the way in.
struct Opener {
    plane: Arc<Plane>,
    tun: Arc<TunQueue>,
    coalescer: Coalescer,
    /// Packets whose headers grow are opened here.
    scratch: Vec<u8>,
    scratch_used: usize,
    /// Mappings told, and when.
    moved: BTreeMap<u32, (SocketAddr, u64)>,
}

impl Opener {
    /// What came on a UDP socket.
    fn datagrams(&mut self, batch: &mut Batch, bound: SocketAddr) {
        let now = monotonic_ms();
        for i in 0..batch.len() {
            let Some((meta, range)) = batch.get(i) else { continue };
            let mut start = range.start;
            while start < range.end {
                let end = start.saturating_add(meta.stride).min(range.end);
                self.datagram(batch, start..end, &meta, bound, now);
                start = end;
            }
            if range.is_empty() {
                self.plane.counters.short.add(1);
            }
        }
        self.flush(batch.memory());
    }

    fn datagram(&mut self, batch: &mut Batch, range: Range<usize>, meta: &Meta, bound: SocketAddr, now: u64) {
        // 3
        match Frame::parse(batch.memory().get(range.clone()).unwrap_or_default()) {
            Ok(Frame::Esp(_)) if meta.truncated => self.drop(Drop::Malformed),
            Ok(Frame::Esp(_)) => self.esp(batch, range, meta.source, meta.tos, now),
            Ok(Frame::Ike(message)) => {
                let local = SocketAddr::new(meta.destination.unwrap_or(bound.ip()), bound.port());
                if self.plane.ike.try_send((local, meta.source, message.to_vec())).is_err() {
                    self.plane.counters.ike_lost.add(1);
                }
            }
            Ok(Frame::Keepalive) => self.plane.counters.keepalives.add(1),
            Err(_) => self.plane.counters.short.add(1),
        }
    }

    /// What came on a raw socket.
    fn packets(&mut self, batch: &mut Batch, socket: &RawSocket) {
        let now = monotonic_ms();
        for i in 0..batch.len() {
            let Some((meta, range)) = batch.get(i) else { continue };
            let payload =
                batch.memory_mut().get_mut(range.clone()).and_then(|b| socket.payload(b)).map(|p| p.len());
            match payload {
                Some(len) if !meta.truncated => {
                    let from = RawSocket::peer(meta.source);
                    self.esp(batch, range.end - len..range.end, from, meta.tos, now);
                }
                _ => self.drop(Drop::Malformed),
            }
        }
        self.flush(batch.memory());
    }

    fn esp(&mut self, batch: &mut Batch, range: Range<usize>, from: SocketAddr, class: u8, now: u64) {
        // 4
        let bytes = batch.memory().get(range.clone()).unwrap_or_default();
        let Ok(header) = EspHeader::parse(bytes) else {
            self.drop(Drop::Malformed);
            return;
        };
        let Some(sa) = self.plane.sad.get(header.spi) else {
            self.drop(Drop::UnknownSpi);
            return;
        };
        let scratch = sa.mode == Mode::Transport;
        let range = if scratch {
            match self.copy(batch.memory(), range) {
                Some(range) => range,
                None => {
                    self.drop(Drop::NoRoom);
                    return;
                }
            }
        } else {
            range
        };
        let memory = if scratch { self.scratch.as_mut_slice() } else { batch.memory_mut() };
        let Some(mut packet) = Packet::new(memory, range) else { return };
        let opened = match sa.open(&mut packet, from, class, now) {
            Ok(opened) => opened,
            Err(reason) => {
                self.drop(reason);
                return;
            }
        };
        // 5
        let place = Place { scratch, range: packet.range() };
        let memory = if scratch { self.scratch.as_slice() } else { batch.memory() };
        self.coalescer.add(memory, place, &opened.view);
        if let Some(limit) = opened.limit {
            self.plane.tell(Notice::Expire { child: sa.child, hard: limit == Limit::Hard });
        }
        if opened.first {
            self.plane.tell(Notice::FirstUse { child: sa.child });
        }
        if opened.moved {
            self.tell_moved(sa.child, from, now);
        }
    }

    /// Copies a packet to where it has room before it.
    fn copy(&mut self, memory: &[u8], range: Range<usize>) -> Option<Range<usize>> {
        let source = memory.get(range)?;
        if self.scratch_used + HEADROOM + source.len() > self.scratch.len() {
            self.flush(memory);
        }
        let start = self.scratch_used + HEADROOM;
        let end = start + source.len();
        self.scratch.get_mut(start..end)?.copy_from_slice(source);
        self.scratch_used = end;
        Some(start..end)
    }

    fn flush(&mut self, memory: &[u8]) {
        if !self.coalescer.is_empty() {
            let failed = self.coalescer.flush(&self.tun, memory, &self.scratch);
            self.plane.counters.device_failed.add(failed);
        }
        self.scratch_used = 0;
    }

    /// The engine needs a moment to move the SA; every packet until then says the same.
    fn tell_moved(&mut self, child: u32, remote: SocketAddr, now: u64) {
        let recent = self
            .moved
            .get(&child)
            .is_some_and(|(told, when)| *told == remote && now.saturating_sub(*when) < TELL_AGAIN);
        if recent {
            return;
        }
        if self.moved.len() >= MOVED {
            self.moved.clear();
        }
        self.moved.insert(child, (remote, now));
        self.plane.tell(Notice::Mapping { child, remote });
    }

    fn drop(&self, reason: Drop) {
        self.plane.counters.inbound.count(reason);
    }
}
