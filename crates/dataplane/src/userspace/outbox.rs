//! Sealing into groups: packets of one SA, one after the other in one buffer, so that one call sends them all.
use super::wires::Wires;
use esp::{Drop, HEADROOM, OutSa, Packet, Path, Sealed, TAILROOM};
use policy::Mode;
use std::sync::Arc;
use wire::ip::IpView;

/// Packets sent by one call at most (`UDP_MAX_SEGMENTS` of older kernels).
const MOST: usize = 64;
/// Bytes sent by one call at most: what a UDP datagram takes.
const LONGEST: usize = 65_507;
/// Room behind the largest packet for padding, ICV and TFC padding up to a jumbo frame.
const SLACK: usize = 9216 + HEADROOM + TAILROOM;
/// SAs a lane collects for at the same time.
const GROUPS: usize = 8;

/// Sealed packets to be sent by one call: all of one length, the last may be shorter.
#[derive(Debug)]
struct Group {
    memory: Box<[u8]>,
    sa: Option<Arc<OutSa>>,
    path: Path,
    class: u8,
    len: usize,
    segment: usize,
    count: usize,
    /// A shorter packet ended it.
    closed: bool,
    /// Bytes before the next inner packet that sealing will fill.
    lead: usize,
}

/// A lane's groups.
#[derive(Debug)]
pub(super) struct Outbox {
    groups: Vec<Group>,
    wires: Wires,
    /// Several lanes may seal for one SA: they take turns, so that packets leave in the order of their numbers.
    turns: bool,
}

impl Outbox {
    pub(super) fn new(wires: Wires, turns: bool) -> Self {
        Self { groups: Vec::new(), wires, turns }
    }

    /// Seals a packet of at most `len` bytes that `write` puts down, and queues it. `room`: bytes of ESP the path
    /// takes.
    pub(super) fn seal(
        &mut self,
        sa: &Arc<OutSa>,
        len: usize,
        now: u64,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Sealed, Drop> {
        let at = self.group(sa);
        let wires = &self.wires;
        let group = self.groups.get_mut(at).ok_or(Drop::NoRoom)?;
        if group.len + len + SLACK > group.memory.len() {
            group.send(wires);
        }
        group.seal(wires, sa, now, room, write)
    }

    /// The group of this SA, made if there is none.
    fn group(&mut self, sa: &Arc<OutSa>) -> usize {
        let same = |g: &Group| g.sa.as_ref().is_some_and(|have| Arc::ptr_eq(have, sa));
        if let Some(at) = self.groups.iter().position(same) {
            return at;
        }
        if !self.groups.iter().any(|g| g.sa.is_none()) {
            if self.groups.len() < GROUPS {
                self.groups.push(Group::new(sa.path()));
            } else {
                self.flush();
            }
        }
        // Whoever waits for a turn holds none: lanes cannot wait for each other in a ring.
        if self.turns && !sa.try_turn() {
            self.flush();
            while !sa.try_turn() {
                std::thread::yield_now();
            }
        }
        let at = self.groups.iter().position(|g| g.sa.is_none()).unwrap_or(0);
        if let Some(group) = self.groups.get_mut(at) {
            group.begin(sa);
        }
        at
    }

    /// Sends everything.
    pub(super) fn flush(&mut self) {
        for group in &mut self.groups {
            group.send(&self.wires);
            if let Some(sa) = group.sa.take()
                && self.turns
            {
                sa.end_turn();
            }
        }
    }
}

impl Group {
    fn new(path: Path) -> Self {
        Self {
            memory: vec![0; LONGEST + HEADROOM + 65_535 + SLACK].into_boxed_slice(),
            sa: None,
            path,
            class: 0,
            len: 0,
            segment: 0,
            count: 0,
            closed: false,
            lead: HEADROOM,
        }
    }

    fn begin(&mut self, sa: &Arc<OutSa>) {
        self.path = sa.path();
        self.lead = HEADROOM;
        self.sa = Some(sa.clone());
    }

    fn send(&mut self, wires: &Wires) {
        if self.count > 0 {
            wires.send(&self.path, self.class, self.segment, self.memory.get(..self.len).unwrap_or_default());
        }
        (self.len, self.segment, self.count, self.closed) = (0, 0, 0, false);
    }

    fn seal(
        &mut self,
        wires: &Wires,
        sa: &OutSa,
        now: u64,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Sealed, Drop> {
        let start = self.len + self.lead;
        let inner = self.memory.get_mut(start..).ok_or(Drop::NoRoom)?;
        let len = write(inner).ok_or(Drop::NoRoom)?;
        let view = IpView::parse(inner.get(..len).unwrap_or_default()).map_err(|_| Drop::Malformed)?;
        let mut packet = Packet::new(&mut self.memory, start..start + len).ok_or(Drop::NoRoom)?;
        let sealed = sa.seal(&mut packet, &view, now, room)?;
        let range = packet.range();
        if range.start != self.len {
            let gap = range.start.saturating_sub(self.len);
            self.memory.copy_within(range.clone(), self.len);
            // in tunnel mode the gap is the same for every packet: leave none the next time
            if sa.mode == Mode::Tunnel {
                self.lead = self.lead.saturating_sub(gap);
            }
        }
        let n = range.len();
        let joins = !self.closed
            && n <= self.segment
            && self.count < MOST
            && self.len + n <= LONGEST
            && sealed.class == self.class;
        if self.count > 0 && !joins {
            let from = self.len;
            self.send(wires);
            self.memory.copy_within(from..from + n, 0);
        }
        if self.count == 0 {
            (self.segment, self.class) = (n, sealed.class);
        }
        self.closed = n < self.segment;
        self.count += 1;
        self.len += n;
        Ok(sealed)
    }
}
