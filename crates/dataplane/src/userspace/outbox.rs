//! Sealing into groups: packets of one path, one after the other in one buffer, whichever SAs they belong to. One call
//! sends all groups.
use super::wires::{Load, Wires};
use esp::{Drop, HEADROOM, Limit, OutSa, Packet, Path, Sealed, TAILROOM, Turn};
use policy::Mode;
use std::sync::Arc;
use wire::ip::IpView;

/// Packets of a group at most (`UDP_MAX_SEGMENTS` of older kernels).
const MOST: usize = 64;
/// Bytes of a group at most: what a UDP datagram takes.
const LONGEST: usize = 65_507;
/// Room behind the largest packet for padding, ICV and TFC padding up to a jumbo frame.
const SLACK: usize = 9216 + HEADROOM + TAILROOM;
/// Groups a lane collects.
const GROUPS: usize = 8;
/// SAs a lane seals for at the same time.
const TURNS: usize = 64;

/// A lane's groups.
#[derive(Debug)]
pub(super) struct Outbox {
    groups: Vec<Group>,
    /// How many of them are in use.
    used: usize,
    /// How often they have left.
    round: u64,
    /// Given back when all has left.
    turns: Vec<Held>,
    wires: Wires,
}

/// The turn of an SA, and the group it sealed into last, in this round.
#[derive(Debug)]
struct Held {
    turn: Turn,
    group: usize,
    round: u64,
}

/// Sealed packets to be sent at once: all of one length, the last may be shorter.
#[derive(Debug)]
struct Group {
    memory: Box<[u8]>,
    path: Path,
    class: u8,
    len: usize,
    segment: usize,
    count: usize,
    /// Nothing more comes into it: the next of its path follows.
    closed: bool,
}

impl Outbox {
    pub(super) fn new(wires: Wires) -> Self {
        Self { groups: Vec::new(), used: 0, round: 0, turns: Vec::with_capacity(TURNS), wires }
    }

    /// Seals the packet of `view` that `write` puts down, and queues it. `room`: bytes of ESP the path takes. Gives the
    /// limit that it reached.
    pub(super) fn seal(
        &mut self,
        sa: &Arc<OutSa>,
        view: &IpView,
        now: u64,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Result<Option<Limit>, Drop> {
        // the newest first: packets come in trains
        let held = self.turns.iter().rposition(|held| Arc::ptr_eq(held.turn.sa(), sa));
        let held = match held {
            Some(held) => held,
            None => self.begin(sa),
        };
        let group = self.place(held, sa.sealed_len(view.total_len)).ok_or(Drop::NoRoom)?;
        let turn = &mut self.turns.get_mut(held).ok_or(Drop::NoRoom)?.turn;
        let packet = self.groups.get_mut(group).ok_or(Drop::NoRoom)?;
        let (sealed, len) = packet.seal(turn, view, now, room, write)?;
        self.add(held, group, sealed.class, len).ok_or(Drop::NoRoom)?;
        Ok(sealed.limit)
    }

    /// Takes a turn of this SA.
    fn begin(&mut self, sa: &Arc<OutSa>) -> usize {
        if self.turns.len() >= TURNS {
            self.flush();
        }
        let turn = sa.try_turn().unwrap_or_else(|| {
            // Whoever waits for a turn holds none: lanes cannot wait for each other in a ring.
            self.flush();
            loop {
                if let Some(turn) = sa.try_turn() {
                    return turn;
                }
                std::thread::yield_now();
            }
        });
        // of no round: its group is to be found yet
        self.turns.push(Held { turn, group: 0, round: u64::MAX });
        self.turns.len() - 1
    }

    /// The group that the next packet of a turn goes to, of so many bytes in all likelihood.
    fn place(&mut self, held: usize, len: usize) -> Option<usize> {
        let Held { turn, group, round } = self.turns.get(held)?;
        let path = *turn.path();
        let at = if *round == self.round { *group } else { self.group(&path) };
        if self.groups.get(at)?.takes(len) {
            return Some(at);
        }
        self.groups.get_mut(at)?.closed = true;
        Some(self.group(&path))
    }

    /// The open group of a path, made if there is none.
    fn group(&mut self, path: &Path) -> usize {
        let open = self.groups.iter().take(self.used).position(|group| !group.closed && group.path == *path);
        if let Some(at) = open {
            return at;
        }
        if self.used >= GROUPS {
            self.leave();
        }
        let at = self.used;
        match self.groups.get_mut(at) {
            Some(group) => group.begin(*path),
            None => self.groups.push(Group::new(*path)),
        }
        self.used += 1;
        at
    }

    /// Takes the packet into account that was sealed behind what is in the group; moves it to another where it does not
    /// fit after all.
    fn add(&mut self, held: usize, mut at: usize, class: u8, len: usize) -> Option<()> {
        let group = self.groups.get_mut(at)?;
        if !group.takes(len) || group.count > 0 && group.class != class {
            group.closed = true;
            let (path, from) = (group.path, group.len..group.len + len);
            let other = self.group(&path);
            if other == at {
                // all have left, and it is the first again
                self.groups.get_mut(at)?.memory.copy_within(from, 0);
            } else {
                let [group, other_group] = self.groups.get_disjoint_mut([at, other]).ok()?;
                other_group.memory.get_mut(..len)?.copy_from_slice(group.memory.get(from)?);
                at = other;
            }
        }
        let group = self.groups.get_mut(at)?;
        if group.count == 0 {
            (group.segment, group.class) = (len, class);
        }
        // the next of its path must not overtake a shorter one
        group.closed = len < group.segment;
        group.count += 1;
        group.len += len;
        let round = self.round;
        let held = self.turns.get_mut(held)?;
        (held.group, held.round) = (at, round);
        Some(())
    }

    /// Sends everything, and gives the turns back.
    pub(super) fn flush(&mut self) {
        self.leave();
        self.turns.clear();
    }

    /// Sends everything.
    fn leave(&mut self) {
        let nothing = |path| Load { path, class: 0, segment: 0, data: &[] };
        let mut loads: [Option<Load<'_>>; GROUPS] = [None; GROUPS];
        let full = self.groups.iter().take(self.used).filter(|group| group.count > 0);
        let mut count = 0;
        for (slot, group) in loads.iter_mut().zip(full) {
            *slot = Some(group.load());
            count += 1;
        }
        if let Some(first) = loads.first().copied().flatten() {
            let loads = loads.map(|load| load.unwrap_or(nothing(first.path)));
            self.wires.send_all(loads.get(..count).unwrap_or_default());
        }
        self.used = 0;
        self.round = self.round.wrapping_add(1);
    }
}

impl Group {
    fn new(path: Path) -> Self {
        Self {
            memory: vec![0; LONGEST + HEADROOM + 65_535 + SLACK].into_boxed_slice(),
            path,
            class: 0,
            len: 0,
            segment: 0,
            count: 0,
            closed: false,
        }
    }

    fn begin(&mut self, path: Path) {
        self.path = path;
        (self.len, self.segment, self.count, self.closed) = (0, 0, 0, false);
    }

    fn load(&self) -> Load<'_> {
        let data = self.memory.get(..self.len).unwrap_or_default();
        Load { path: self.path, class: self.class, segment: self.segment, data }
    }

    /// A packet of so many bytes can be the next.
    fn takes(&self, len: usize) -> bool {
        self.count == 0
            || !self.closed && len <= self.segment && self.count < MOST && self.len + len <= LONGEST
    }

    /// Seals behind what is there. Gives the length as well.
    fn seal(
        &mut self,
        turn: &mut Turn,
        view: &IpView,
        now: u64,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Result<(Sealed, usize), Drop> {
        // In tunnel mode the ESP packet begins where the one before it ends; in transport mode it is moved there.
        let lead = if turn.sa().mode == Mode::Tunnel { turn.sa().head_len() } else { HEADROOM };
        let start = self.len + lead;
        write(self.memory.get_mut(start..).ok_or(Drop::NoRoom)?).ok_or(Drop::NoRoom)?;
        let mut packet = Packet::new(&mut self.memory, start..start + view.total_len).ok_or(Drop::NoRoom)?;
        let sealed = turn.seal(&mut packet, view, now, room)?;
        let range = packet.range();
        if range.start != self.len {
            self.memory.copy_within(range.clone(), self.len);
        }
        Ok((sealed, range.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::Counters;
    use super::super::sample;
    use super::*;
    use linux::message::{Batch, SLOTS};
    use linux::udp::{UdpOptions, UdpSocket};
    use linux::wait;
    use std::net::SocketAddr;
    use std::os::fd::AsFd;
    use wire::esp::EspHeader;
    use wire::ip::ipv4_header;

    fn socket() -> Arc<UdpSocket> {
        Arc::new(UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap())
    }

    /// SPI and sequence number of everything that comes until `count` came, and how many datagrams the kernel joined
    /// at most.
    fn received(socket: &UdpSocket, count: usize) -> (Vec<(u32, u32)>, usize) {
        let mut batch = Batch::new(SLOTS, 65_535);
        let (mut all, mut joined) = (Vec::new(), 0);
        while all.len() < count && wait::readable(&[socket.as_fd()], Some(5000)).unwrap() != 0 {
            socket.receive(&mut batch).unwrap();
            for (meta, bytes) in batch.iter_mut() {
                joined = joined.max(meta.len.div_ceil(meta.stride));
                all.extend(bytes.chunks(meta.stride).map(|esp| {
                    let header = EspHeader::parse(esp).unwrap();
                    (header.spi, header.seq)
                }));
            }
        }
        (all, joined)
    }

    fn seal(outbox: &mut Outbox, sa: &Arc<OutSa>, len: usize) {
        let address = "192.0.2.1".parse().unwrap();
        let header = ipv4_header(address, address, 17, len, 64, 0, true);
        let packet = [&header[..], &vec![7; len]].concat();
        let view = IpView::parse(&packet).unwrap();
        let sealed = outbox.seal(sa, &view, 1, 1400, |out| {
            out[..packet.len()].copy_from_slice(&packet);
            Some(())
        });
        assert_eq!(sealed, Ok(None));
    }

    #[test]
    fn one_call_takes_packets_of_many_sas_in_order() {
        let (ours, theirs) = (socket(), socket());
        let to = |id| sample::sa(id, ours.local(), theirs.local());
        let sas: Vec<_> = (0..3).map(to).collect();
        let wires =
            Wires { udp: vec![ours.clone()], raw: Vec::new(), counters: Arc::new(Counters::default()) };
        let mut outbox = Outbox::new(wires);
        for _ in 0..10 {
            sas.iter().for_each(|sa| seal(&mut outbox, sa, 100));
        }
        assert!(sas[0].try_turn().is_none(), "the turn is held while packets wait");
        outbox.flush();
        assert!(sas.iter().all(|sa| sa.try_turn().is_some()), "and given back when they left");
        let (got, joined) = received(&theirs, 30);
        let expected: Vec<(u32, u32)> =
            (1..11).flat_map(|seq| (0..3).map(move |id| (2000 + id, seq))).collect();
        assert_eq!((got, joined), (expected, 30));
    }

    /// More SAs, more paths, more and bigger packets than are held at once: everything leaves, each SA's in order.
    #[test]
    fn nothing_is_lost_beyond_the_bounds() {
        let ours = socket();
        let theirs: Vec<_> = (0..GROUPS + 3).map(|_| socket()).collect();
        let wires =
            Wires { udp: vec![ours.clone()], raw: Vec::new(), counters: Arc::new(Counters::default()) };
        let mut outbox = Outbox::new(wires);
        let remote = |id: usize| -> SocketAddr { theirs[id % theirs.len()].local() };
        let sas: Vec<_> = (0..TURNS * 2)
            .map(|id| sample::sa(u32::try_from(id).unwrap(), ours.local(), remote(id)))
            .collect();
        for round in 0..4 {
            for (id, sa) in sas.iter().enumerate() {
                seal(&mut outbox, sa, 40 + (id + round) % 3 * 300);
            }
        }
        outbox.flush();
        for (n, socket) in theirs.iter().enumerate() {
            let own: Vec<u32> =
                (n..sas.len()).step_by(theirs.len()).map(|id| 2000 + u32::try_from(id).unwrap()).collect();
            let (got, _) = received(socket, own.len() * 4);
            for spi in own {
                let numbers: Vec<u32> = got.iter().filter(|(s, _)| *s == spi).map(|(_, seq)| *seq).collect();
                assert_eq!(numbers, [1, 2, 3, 4], "SPI {spi}");
            }
        }
    }
}
