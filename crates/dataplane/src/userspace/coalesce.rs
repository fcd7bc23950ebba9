//! From single opened packets to what one write gives the TUN device: packets of one TCP or UDP flow are joined
//! behind one header, and the kernel takes them as one.
//!
//! Packets stay where they were opened; only headers are copied. What is joined must have right checksums, since
//! the kernel will not look at them again.
use super::split::{get16, set16};
use linux::tun::{TunQueue, VIRTIO_HEADER};
use linux::wait;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsFd;
use wire::ip::{Checksum, IPV4_LEN, IPV6_LEN, IpView, UDP_LEN, Upper, protocol};

/// Packets joined at most; the kernel's own limit for UDP.
const MOST: usize = 64;
/// Bytes of a joined packet at most.
const LONGEST: usize = 65_000;
/// Virtio, IPv6 and the longest TCP header.
const HEAD: usize = VIRTIO_HEADER + IPV6_LEN + 60;
/// Items of one flow looked for among so many newest.
const NEAR: usize = 32;

/// Where an opened packet lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// In the scratch memory, not in the receive buffers.
    pub(super) scratch: bool,
    /// Where there.
    pub(super) range: Range<usize>,
}

/// One write to be.
#[derive(Debug)]
struct Item {
    head: [u8; HEAD],
    /// Bytes of IP and upper header in `head`; 0 when the packet goes as it is.
    head_len: usize,
    ip_len: usize,
    udp: bool,
    /// Payload bytes of every packet but the last.
    step: usize,
    /// Length of the joined IP packet.
    total: usize,
    /// TCP: the sequence number that may follow.
    next: u32,
    open: bool,
    parts: Vec<Place>,
}

/// The writes to be, in order. Memory is kept between batches.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    items: Vec<Item>,
    used: usize,
    /// The device takes joined UDP.
    udp: bool,
    /// The device takes virtio headers at all.
    offload: bool,
}

/// The headers of a packet that may be joined.
struct Joinable {
    udp: bool,
    head_len: usize,
    sequence: u32,
    push: bool,
}

impl Coalescer {
    pub(super) fn new(offload: bool, udp: bool) -> Self {
        Self { items: Vec::new(), used: 0, udp, offload }
    }

    /// Nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes a packet over; `memory` is what `place` points into.
    pub(super) fn add(&mut self, memory: &[u8], place: Place, view: &IpView) {
        let Some(packet) = memory.get(place.range.clone()) else { return };
        match self.joinable(packet, view) {
            Some(join) => self.join(packet, place, view, &join),
            None => {
                // it must not be overtaken by later packets of its flow
                for item in self.items.iter_mut().take(self.used) {
                    item.open = false;
                }
                if let Some(item) = self.item() {
                    item.parts.push(place);
                }
            }
        }
    }

    fn joinable(&self, packet: &[u8], view: &IpView) -> Option<Joinable> {
        let plain = if view.source.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
        if !self.offload || view.header_len != plain || view.is_fragment() || packet.len() != view.total_len {
            return None;
        }
        let upper = packet.get(plain..)?;
        let Upper::Ports { .. } = view.upper else { return None };
        let join = match view.protocol {
            protocol::TCP => {
                let head = usize::from(upper.get(12)? >> 4) * 4;
                let flags = *upper.get(13)?;
                // only data with ACK, and perhaps PSH: anything else must be seen by itself
                if flags & !0x08 != 0x10 || head < 20 || upper.len() <= head {
                    return None;
                }
                let sequence = u32::from_be_bytes(*upper.get(4..)?.first_chunk::<4>()?);
                Joinable { udp: false, head_len: plain + head, sequence, push: flags & 0x08 != 0 }
            }
            protocol::UDP if self.udp => {
                if usize::from(get16(upper, 4)?) != upper.len()
                    || upper.len() <= UDP_LEN
                    || get16(upper, 6)? == 0
                {
                    return None;
                }
                Joinable { udp: true, head_len: plain + UDP_LEN, sequence: 0, push: false }
            }
            _ => return None,
        };
        let sum = Checksum::new()
            .pseudo(view.source, view.destination, view.protocol, upper.len())
            .bytes(upper)
            .finish();
        let header =
            if view.source.is_ipv4() { Checksum::new().bytes(packet.get(..plain)?).finish() } else { 0 };
        (sum == 0 && header == 0).then_some(join)
    }

    fn join(&mut self, packet: &[u8], place: Place, view: &IpView, join: &Joinable) {
        let payload = packet.len() - join.head_len;
        let next = join.sequence.wrapping_add(u32::try_from(payload).unwrap_or(0));
        for item in self.items.iter_mut().take(self.used).rev().take(NEAR) {
            if item.head_len == 0 || item.udp != join.udp || !item.same_flow(packet, view.header_len) {
                continue;
            }
            if item.takes(packet, payload, join) {
                item.parts.push(Place { range: place.range.start + join.head_len..place.range.end, ..place });
                item.total += payload;
                item.next = next;
                item.open = payload == item.step && !join.push;
                if join.push
                    && let Some(flags) = item.head.get_mut(VIRTIO_HEADER + item.ip_len + 13)
                {
                    *flags |= 0x08;
                }
                return;
            }
            item.open = false;
            break;
        }
        let Some(item) = self.item() else { return };
        let Some((to, from)) =
            item.head.get_mut(VIRTIO_HEADER..VIRTIO_HEADER + join.head_len).zip(packet.get(..join.head_len))
        else {
            item.parts.push(place);
            return;
        };
        to.copy_from_slice(from);
        item.head_len = join.head_len;
        item.ip_len = view.header_len;
        item.udp = join.udp;
        item.step = payload;
        item.total = packet.len();
        item.next = next;
        item.open = !join.push;
        item.parts.push(Place { range: place.range.start + join.head_len..place.range.end, ..place });
    }

    /// A fresh item at the end.
    fn item(&mut self) -> Option<&mut Item> {
        if self.used == self.items.len() {
            self.items.push(Item::new());
        }
        let item = self.items.get_mut(self.used)?;
        self.used += 1;
        item.reset();
        Some(item)
    }

    /// Writes everything to the device, in order, and begins anew. Gives how many writes failed.
    pub(super) fn flush(&mut self, tun: &TunQueue, received: &[u8], scratch: &[u8]) -> u64 {
        let mut failed = 0;
        for item in self.items.iter_mut().take(self.used) {
            item.finish();
            let mut slices = [IoSlice::new(&[]); MOST + 1];
            let from = if self.offload { 0 } else { VIRTIO_HEADER };
            let head = item.head.get(from..VIRTIO_HEADER + item.head_len).unwrap_or_default();
            let mut count = 0;
            let all = std::iter::once(head).filter(|h| !h.is_empty()).chain(item.parts.iter().map(|part| {
                let memory = if part.scratch { scratch } else { received };
                memory.get(part.range.clone()).unwrap_or_default()
            }));
            for (slot, bytes) in slices.iter_mut().zip(all) {
                *slot = IoSlice::new(bytes);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            if write(tun, slices).is_err() {
                failed += 1;
            }
        }
        self.used = 0;
        failed
    }
}

fn write(tun: &TunQueue, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match tun.write(slices) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            wait::writable(&[tun.as_fd()], Some(20))?;
            tun.write(slices)
        }
        result => result,
    }
}

impl Item {
    fn new() -> Self {
        Self {
            head: [0; HEAD],
            head_len: 0,
            ip_len: 0,
            udp: false,
            step: 0,
            total: 0,
            next: 0,
            open: false,
            parts: Vec::with_capacity(MOST),
        }
    }

    fn reset(&mut self) {
        self.head_len = 0;
        self.open = false;
        self.parts.clear();
        if let Some(virtio) = self.head.get_mut(..VIRTIO_HEADER) {
            virtio.fill(0);
        }
    }

    /// Same addresses and ports.
    fn same_flow(&self, packet: &[u8], ip_len: usize) -> bool {
        let header = self.head.get(VIRTIO_HEADER..).unwrap_or_default();
        // the ports follow the addresses; sizes known when compiled are compared without a call
        self.ip_len == ip_len
            && if ip_len == IPV4_LEN { same::<12>(header, packet, 12) } else { same::<36>(header, packet, 8) }
    }

    /// The packet continues this item and differs from it in nothing that a joined header could not say.
    fn takes(&self, packet: &[u8], payload: usize, join: &Joinable) -> bool {
        let header = self.head.get(VIRTIO_HEADER..).unwrap_or_default();
        let ip = self.ip_len;
        // v4: version to TOS, flags to protocol; v6: version to flow label, next header and hop limit
        let ip_same = if ip == IPV4_LEN {
            same::<2>(header, packet, 0) && same::<4>(header, packet, 6)
        } else {
            same::<4>(header, packet, 0) && same::<2>(header, packet, 6)
        };
        // acknowledgement, window and options
        let upper_same = join.udp
            || (join.sequence == self.next
                && same::<4>(header, packet, ip + 8)
                && same::<2>(header, packet, ip + 14)
                && header.get(ip + 20..self.head_len) == packet.get(ip + 20..self.head_len));
        self.open
            && self.head_len == join.head_len
            && payload <= self.step
            && self.parts.len() < MOST
            && self.total + payload <= LONGEST
            && ip_same
            && upper_same
    }

    /// Makes the header right for what was joined.
    fn finish(&mut self) {
        if self.head_len == 0 || self.parts.len() < 2 {
            // a single packet goes as it came, its checksums included
            return;
        }
        let (ip_len, total, udp) = (self.ip_len, self.total, self.udp);
        let Some((virtio, header)) = self.head.split_at_mut_checked(VIRTIO_HEADER) else { return };
        let upper_len = total - ip_len;
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let Ok(view) = view_of(header, ip_len) else { return };
        if ip_len == IPV4_LEN {
            set16(header, 2, short(total));
            set16(header, 10, 0);
            let sum = Checksum::new().bytes(header.get(..ip_len).unwrap_or_default()).finish();
            set16(header, 10, sum);
        } else {
            set16(header, 4, short(upper_len));
        }
        let (kind, field) = if udp { (protocol::UDP, 6) } else { (protocol::TCP, 16) };
        if udp {
            set16(header, ip_len + 4, short(upper_len));
        }
        // the field holds the pseudo header's sum, the kernel or the card adds the rest
        let sum = !Checksum::new().pseudo(view.0, view.1, kind, upper_len).finish();
        set16(header, ip_len + field, sum);
        let gso = match (udp, ip_len == IPV4_LEN) {
            (true, _) => 5u8,
            (false, true) => 1,
            (false, false) => 4,
        };
        let [h0, h1] = short(self.head_len).to_ne_bytes();
        let [s0, s1] = short(self.step).to_ne_bytes();
        let [c0, c1] = short(ip_len).to_ne_bytes();
        let [o0, o1] = short(field).to_ne_bytes();
        virtio.copy_from_slice(&[1, gso, h0, h1, s0, s1, c0, c1, o0, o1]);
    }
}

/// Both have the same `N` bytes there.
#[inline]
fn same<const N: usize>(a: &[u8], b: &[u8], at: usize) -> bool {
    let there = |bytes: &[u8]| bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied();
    there(a) == there(b)
}

fn view_of(header: &[u8], ip_len: usize) -> Result<(std::net::IpAddr, std::net::IpAddr), ()> {
    let pair = if ip_len == IPV4_LEN {
        let source = header.get(12..).and_then(|b| b.first_chunk::<4>());
        let destination = header.get(16..).and_then(|b| b.first_chunk::<4>());
        source.zip(destination).map(|(s, d)| ((*s).into(), (*d).into()))
    } else {
        let source = header.get(8..).and_then(|b| b.first_chunk::<16>());
        let destination = header.get(24..).and_then(|b| b.first_chunk::<16>());
        source.zip(destination).map(|(s, d)| ((*s).into(), (*d).into()))
    };
    pair.ok_or(())
}

#[cfg(test)]
mod tests {
    use super::super::split::Train;
    use super::super::split::tests::{packet, sound, tcp, udp};
    use super::*;

    /// Joins, then cuts what would be written again.
    fn round_trip(packets: &[Vec<u8>]) -> (usize, Vec<Vec<u8>>) {
        let mut memory = Vec::new();
        let mut coalescer = Coalescer::new(true, true);
        let mut places = Vec::new();
        for p in packets {
            places.push(memory.len()..memory.len() + p.len());
            memory.extend(p);
        }
        for range in places {
            let view = IpView::parse(&memory[range.clone()]).unwrap();
            coalescer.add(&memory, Place { scratch: false, range }, &view);
        }
        let mut out = Vec::new();
        for item in coalescer.items.iter_mut().take(coalescer.used) {
            item.finish();
            let mut read = item.head[..VIRTIO_HEADER + item.head_len].to_vec();
            for part in &item.parts {
                read.extend(&memory[part.range.clone()]);
            }
            let train = Train::parse(&read, true).unwrap();
            for i in 0..train.count() {
                let mut p = vec![0; train.len(i)];
                train.write(i, &mut p).unwrap();
                assert!(sound(&p));
                out.push(p);
            }
        }
        (coalescer.used, out)
    }

    /// Without the identification field, which a joined packet counts up.
    fn essence(p: &[u8]) -> Vec<u8> {
        let mut p = p.to_vec();
        if p[0] >> 4 == 4 {
            p[4..6].fill(0);
            p[10..12].fill(0);
        }
        p
    }

    #[test]
    fn a_tcp_stream_becomes_one_write() {
        for v6 in [false, true] {
            let mut packets: Vec<Vec<u8>> = (0..10u32)
                .map(|i| {
                    packet(v6, protocol::TCP, tcp(1000 + i * 100, 0x10, &[u8::try_from(i).unwrap(); 100]), 16)
                })
                .collect();
            packets.push(packet(v6, protocol::TCP, tcp(2000, 0x18, b"end"), 16));
            let (writes, got) = round_trip(&packets);
            assert_eq!(writes, 1);
            assert_eq!(
                got.iter().map(|p| essence(p)).collect::<Vec<_>>(),
                packets.iter().map(|p| essence(p)).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn datagrams_of_one_size_become_one_write() {
        for v6 in [false, true] {
            let packets: Vec<Vec<u8>> =
                (0..5u8).map(|i| packet(v6, protocol::UDP, udp(&[i; 200]), 6)).collect();
            let (writes, got) = round_trip(&packets);
            assert_eq!((writes, got.len()), (1, 5));
            // a bigger one begins anew
            let (writes, _) =
                round_trip(&[packets, vec![packet(v6, protocol::UDP, udp(&[9; 201]), 6)]].concat());
            assert_eq!(writes, 2);
        }
    }

    #[test]
    fn what_may_not_be_joined_is_left_alone() {
        let data = |seq, flags| packet(false, protocol::TCP, tcp(seq, flags, &[1; 50]), 16);
        // a gap, a FIN, and order kept around the FIN
        assert_eq!(round_trip(&[data(0, 0x10), data(51, 0x10)]).0, 2);
        let all = [data(0, 0x10), data(50, 0x11), data(100, 0x10), data(150, 0x10)];
        let (writes, got) = round_trip(&all);
        assert_eq!(writes, 3);
        assert_eq!(
            got.iter().map(|p| essence(p)).collect::<Vec<_>>(),
            all.iter().map(|p| essence(p)).collect::<Vec<_>>()
        );
        // a wrong checksum is for the receiver to see
        let mut bad = data(50, 0x10);
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let mut memory = data(0, 0x10);
        let first = memory.len();
        memory.extend(&bad);
        let mut coalescer = Coalescer::new(true, true);
        for range in [0..first, first..memory.len()] {
            let view = IpView::parse(&memory[range.clone()]).unwrap();
            coalescer.add(&memory, Place { scratch: false, range }, &view);
        }
        assert_eq!(coalescer.used, 2);
    }
}
