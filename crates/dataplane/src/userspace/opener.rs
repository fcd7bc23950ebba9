//! The way in, stages 3 to 5 of [`super::lane`]: what sockets received becomes packets on the device.
use super::coalesce::{Coalescer, Place};
use super::plane::Plane;
use crate::backend::Notice;
use esp::{Drop, HEADROOM, InSa, Limit, Opening, Packet};
use linux::clock::monotonic_ms;
use linux::message::{Batch, Meta};
use linux::raw::RawSocket;
use linux::tun::TunQueue;
use policy::Mode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use wire::esp::EspHeader;
use wire::frame::Frame;

/// Memory for packets whose headers grow.
const SCRATCH: usize = 1 << 20;
/// Milliseconds between two notices of one moved mapping.
const TELL_AGAIN: u64 = 1000;
/// Moved mappings remembered.
const MOVED: usize = 1024;

/// The inbound half of a lane.
pub(super) struct Opener {
    plane: Arc<Plane>,
    tun: Arc<TunQueue>,
    coalescer: Coalescer,
    /// Packets whose headers grow are opened here.
    scratch: Vec<u8>,
    scratch_used: usize,
    /// Mappings told, and when.
    moved: BTreeMap<u32, (SocketAddr, u64)>,
}

/// Where a packet came from, and when.
#[derive(Clone, Copy)]
struct Origin {
    from: SocketAddr,
    /// Outer DSCP and ECN.
    class: u8,
    now: u64,
}

impl Opener {
    /// `udp_offload`: the device takes joined UDP.
    pub(super) fn new(plane: Arc<Plane>, tun: Arc<TunQueue>, udp_offload: bool) -> Self {
        let coalescer = Coalescer::new(tun.offload(), udp_offload);
        Self { plane, tun, coalescer, scratch: vec![0; SCRATCH], scratch_used: 0, moved: BTreeMap::new() }
    }

    /// What came on a UDP socket.
    pub(super) fn datagrams(&mut self, batch: &mut Batch, bound: SocketAddr) {
        let now = monotonic_ms();
        for i in 0..batch.len() {
            let Some((meta, mut range)) = batch.get(i) else { continue };
            if range.is_empty() {
                self.plane.counters.short.add(1);
            }
            while !range.is_empty() {
                let done = self.datagram(batch, range.clone(), &meta, bound, now);
                range.start = range.end.min(done.max(range.start + 1));
            }
        }
        self.flush(batch.memory());
    }

    /// Handles the first of the datagrams in `range`, and, if it is ESP, what follows of its SA. Gives where the next
    /// begins.
    fn datagram(
        &mut self,
        batch: &mut Batch,
        range: Range<usize>,
        meta: &Meta,
        bound: SocketAddr,
        now: u64,
    ) -> usize {
        // 3
        let first = one(&range, meta);
        match Frame::parse(batch.memory().get(first.clone()).unwrap_or_default()) {
            Ok(Frame::Esp(_)) if meta.truncated => self.drop(Drop::Malformed),
            Ok(Frame::Esp(esp)) => {
                let Some(sa) = self.find(esp) else { return first.end };
                let origin = Origin { from: meta.source, class: meta.tos, now };
                return self.train(batch, range, meta, &sa, origin);
            }
            Ok(Frame::Ike(message)) => {
                let local = SocketAddr::new(meta.destination.unwrap_or(bound.ip()), bound.port());
                if self.plane.ike.try_send((local, meta.source, message.to_vec())).is_err() {
                    self.plane.counters.ike_lost.add(1);
                }
            }
            Ok(Frame::Keepalive) => self.plane.counters.keepalives.add(1),
            Err(_) => self.plane.counters.short.add(1),
        }
        first.end
    }

    /// Opens the datagrams of `range` as long as they are for `sa`. Gives where the next begins.
    fn train(
        &mut self,
        batch: &mut Batch,
        mut range: Range<usize>,
        meta: &Meta,
        sa: &InSa,
        origin: Origin,
    ) -> usize {
        let mut opening = sa.begin();
        while !range.is_empty() {
            let next = one(&range, meta);
            let esp = batch.memory().get(next.clone()).unwrap_or_default();
            if !EspHeader::parse(esp).is_ok_and(|header| header.spi == sa.spi) {
                break;
            }
            range.start = next.end;
            self.esp(batch, next, &mut opening, origin);
        }
        range.start
    }

    /// What came on a raw socket.
    pub(super) fn packets(&mut self, batch: &mut Batch, socket: &RawSocket) {
        let now = monotonic_ms();
        for i in 0..batch.len() {
            let Some((meta, range)) = batch.get(i) else { continue };
            let payload =
                batch.memory_mut().get_mut(range.clone()).and_then(|b| socket.payload(b)).map(|p| p.len());
            let Some(len) = payload.filter(|_| !meta.truncated) else {
                self.drop(Drop::Malformed);
                continue;
            };
            let range = range.end - len..range.end;
            if let Some(sa) = self.find(batch.memory().get(range.clone()).unwrap_or_default()) {
                let origin = Origin { from: RawSocket::peer(meta.source), class: meta.tos, now };
                self.esp(batch, range, &mut sa.begin(), origin);
            }
        }
        self.flush(batch.memory());
    }

    // 4

    /// The SA of an ESP packet.
    fn find(&self, esp: &[u8]) -> Option<Arc<InSa>> {
        let Ok(header) = EspHeader::parse(esp) else {
            self.drop(Drop::Malformed);
            return None;
        };
        let sa = self.plane.sad.get(header.spi);
        if sa.is_none() {
            self.drop(Drop::UnknownSpi);
        }
        sa
    }

    fn esp(&mut self, batch: &mut Batch, range: Range<usize>, sa: &mut Opening<'_>, origin: Origin) {
        let scratch = sa.sa().mode == Mode::Transport;
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
        let Origin { from, class, now } = origin;
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
        let child = sa.sa().child;
        if let Some(limit) = opened.limit {
            self.plane.tell(Notice::Expire { child, hard: limit == Limit::Hard });
        }
        if opened.first {
            self.plane.tell(Notice::FirstUse { child });
        }
        if opened.moved {
            self.tell_moved(child, from, now);
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

/// The first datagram of a buffer's rest.
fn one(range: &Range<usize>, meta: &Meta) -> Range<usize> {
    range.start..range.start.saturating_add(meta.stride).min(range.end)
}
