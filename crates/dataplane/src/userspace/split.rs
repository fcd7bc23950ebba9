//! From what one read of the TUN device gives to single packets.
//!
//! The kernel hands over a whole TCP or UDP stream behind one header (TSO, USO) and leaves checksums to us; the
//! virtio header says how to cut. Pure arithmetic on bytes.
use linux::tun::VIRTIO_HEADER;
use wire::ip::{Checksum, IPV6_LEN, IpView, UDP_LEN, protocol};

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_*`, without the ECN bit.
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
const GSO_ECN: u8 = 0x80;

const TCP_FIN_PSH: u8 = 0x09;
const TCP_CWR: u8 = 0x80;

/// One read of the device: one packet, or many in one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Train<'a> {
    /// The headers' view; `total_len` is that of the whole.
    pub(super) view: IpView,
    packet: &'a [u8],
    kind: Kind,
    /// Bytes before the upper layer's payload, with a stream.
    head: usize,
    /// Payload bytes per packet, with a stream.
    step: usize,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it is; where its checksum begins to count and where it belongs, if it is still to be made.
    Single(Option<(usize, usize)>),
    Tcp,
    Udp,
}

impl<'a> Train<'a> {
    /// Reads what the device gave. `None` for what is no IP packet or contradicts itself.
    pub(super) fn parse(read: &'a [u8], offload: bool) -> Option<Self> {
        if !offload {
            return Self::single(read, None);
        }
        let (header, packet) = read.split_first_chunk::<VIRTIO_HEADER>()?;
        let [flags, gso, _, _, s0, s1, c0, c1, o0, o1] = *header;
        let step = usize::from(u16::from_ne_bytes([s0, s1]));
        let start = usize::from(u16::from_ne_bytes([c0, c1]));
        let offset = usize::from(u16::from_ne_bytes([o0, o1]));
        let (kind, header_len) = match gso & !GSO_ECN {
            GSO_NONE => {
                let checksum = (flags & NEEDS_CHECKSUM != 0).then_some((start, offset));
                return Self::single(packet, checksum);
            }
            GSO_TCP4 | GSO_TCP6 => (Kind::Tcp, usize::from(packet.get(start.checked_add(12)?)? >> 4) * 4),
            GSO_UDP => (Kind::Udp, UDP_LEN),
            _ => return None,
        };
        let view = IpView::parse(packet).ok()?;
        let upper = if kind == Kind::Tcp { protocol::TCP } else { protocol::UDP };
        let head = start.checked_add(header_len)?;
        let fits = view.protocol == upper && view.header_len == start && !view.is_fragment() && step > 0;
        let long = header_len >= UDP_LEN && (kind == Kind::Udp || header_len >= 20);
        if !fits || !long || head > view.total_len {
            return None;
        }
        let count = (view.total_len - head).div_ceil(step).max(1);
        Some(Self { view, packet: packet.get(..view.total_len)?, kind, head, step, count })
    }

    fn single(packet: &'a [u8], checksum: Option<(usize, usize)>) -> Option<Self> {
        let view = IpView::parse(packet).ok()?;
        let packet = packet.get(..view.total_len)?;
        Some(Self { view, packet, kind: Kind::Single(checksum), head: 0, step: packet.len(), count: 1 })
    }

    /// How many packets this is.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the longest of them.
    pub(super) fn longest(&self) -> usize {
        self.len(0)
    }

    /// Bytes of packet `i`.
    pub(super) fn len(&self, i: usize) -> usize {
        match self.kind {
            Kind::Single(_) => self.packet.len(),
            Kind::Tcp | Kind::Udp => self.head + self.payload(i).len(),
        }
    }

    fn payload(&self, i: usize) -> &'a [u8] {
        let payload = self.packet.get(self.head..).unwrap_or_default();
        let start = i.saturating_mul(self.step).min(payload.len());
        let end = start.saturating_add(self.step).min(payload.len());
        payload.get(start..end).unwrap_or_default()
    }

    /// Writes packet `i`, [`Self::len`] bytes complete with their checksums, to the front of `out`. `None` when it
    /// does not fit.
    pub(super) fn write(&self, i: usize, out: &mut [u8]) -> Option<()> {
        let len = self.len(i);
        let out = out.get_mut(..len)?;
        match self.kind {
            Kind::Single(checksum) => {
                out.copy_from_slice(self.packet);
                if let Some((start, offset)) = checksum {
                    finish_checksum(out, start, offset, self.view.protocol)?;
                }
            }
            Kind::Tcp | Kind::Udp => self.write_part(i, out)?,
        }
        Some(())
    }

    fn write_part(&self, i: usize, out: &mut [u8]) -> Option<()> {
        let (start, len) = (self.view.header_len, out.len());
        let (head, body) = out.split_at_mut_checked(self.head)?;
        head.copy_from_slice(self.packet.get(..self.head)?);
        body.copy_from_slice(self.payload(i));
        let (ip, upper) = head.split_at_mut_checked(start)?;
        if self.view.source.is_ipv4() {
            set16(ip, 2, u16::try_from(len).ok()?)?;
            let id = get16(ip, 4)?.wrapping_add(u16::try_from(i).ok()?);
            set16(ip, 4, id)?;
            set16(ip, 10, 0)?;
            let sum = Checksum::new().bytes(ip).finish();
            set16(ip, 10, sum)?;
        } else {
            set16(ip, 4, u16::try_from(len.checked_sub(IPV6_LEN)?).ok()?)?;
        }
        let (kind, field) = if self.kind == Kind::Tcp {
            let sequence = upper.get_mut(4..8)?.first_chunk_mut::<4>()?;
            let skipped = u32::try_from(i.checked_mul(self.step)?).ok()?;
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(skipped).to_be_bytes();
            let flags = upper.get_mut(13)?;
            if i + 1 < self.count() {
                *flags &= !TCP_FIN_PSH;
            }
            if i > 0 {
                *flags &= !TCP_CWR;
            }
            (protocol::TCP, 16)
        } else {
            set16(upper, 4, u16::try_from(len.checked_sub(start)?).ok()?)?;
            (protocol::UDP, 6)
        };
        set16(upper, field, 0)?;
        let whole = out.get(start..)?;
        let sum = Checksum::new()
            .pseudo(self.view.source, self.view.destination, kind, whole.len())
            .bytes(whole)
            .finish();
        set16(out, start + field, if sum == 0 && kind == protocol::UDP { 0xffff } else { sum })
    }
}

/// The field holds the pseudo header's sum; the rest is to be added (`CHECKSUM_PARTIAL`).
fn finish_checksum(packet: &mut [u8], start: usize, offset: usize, upper: u8) -> Option<()> {
    let at = start.checked_add(offset)?;
    let sum = Checksum::new().bytes(packet.get(start..)?).finish();
    set16(packet, at, if sum == 0 && upper == protocol::UDP { 0xffff } else { sum })
}

pub(super) fn get16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|b| u16::from_be_bytes(*b))
}

pub(super) fn set16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut::<2>()? = value.to_be_bytes();
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use wire::ip::{ipv4_header, ipv6_header};

    pub(in super::super) fn addresses(v6: bool) -> (IpAddr, IpAddr) {
        if v6 {
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
        } else {
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
        }
    }

    /// A whole packet around `upper` (headers with a zero checksum field at `field`).
    pub(in super::super) fn packet(v6: bool, protocol: u8, mut upper: Vec<u8>, field: usize) -> Vec<u8> {
        let (s, d) = addresses(v6);
        let sum = Checksum::new().pseudo(s, d, protocol, upper.len()).bytes(&upper).finish();
        set16(&mut upper, field, sum).unwrap();
        let mut out = match (s, d) {
            (IpAddr::V4(s), IpAddr::V4(d)) => ipv4_header(s, d, protocol, upper.len(), 64, 0, true).to_vec(),
            (IpAddr::V6(s), IpAddr::V6(d)) => ipv6_header(s, d, protocol, upper.len(), 64, 0).to_vec(),
            _ => unreachable!(),
        };
        out.extend(upper);
        out
    }

    pub(in super::super) fn tcp(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut t = vec![0x10, 0, 0x20, 0];
        t.extend(seq.to_be_bytes());
        t.extend([0, 0, 0, 9, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        t.extend(payload);
        t
    }

    pub(in super::super) fn udp(payload: &[u8]) -> Vec<u8> {
        let mut u = vec![0x10, 0, 0x20, 0];
        u.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
        u.extend([0, 0]);
        u.extend(payload);
        u
    }

    pub(in super::super) fn virtio(gso: u8, flags: u8, step: u16, start: u16, offset: u16) -> Vec<u8> {
        let mut v = vec![flags, gso, 0, 0];
        v.extend(step.to_ne_bytes());
        v.extend(start.to_ne_bytes());
        v.extend(offset.to_ne_bytes());
        v
    }

    /// Both checksums of a packet are right.
    pub(in super::super) fn sound(packet: &[u8]) -> bool {
        let view = IpView::parse(packet).unwrap();
        let upper = &packet[view.header_len..];
        (!view.source.is_ipv4() || Checksum::new().bytes(&packet[..view.header_len]).finish() == 0)
            && view.total_len == packet.len()
            && Checksum::new()
                .pseudo(view.source, view.destination, view.protocol, upper.len())
                .bytes(upper)
                .finish()
                == 0
    }

    proptest! {
        #[test]
        fn streams_are_cut_into_sound_packets(v6: bool, is_tcp: bool, step in 1u16..1500, len in 0usize..9000, seq: u32) {
            let payload: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let start = if v6 { 40u16 } else { 20 };
            let (upper, proto, field, gso) = if is_tcp {
                (tcp(seq, 0x19 | 0x80, &payload), protocol::TCP, 16, if v6 { 4 } else { 1 })
            } else {
                (udp(&payload), protocol::UDP, 6, 5)
            };
            let whole = packet(v6, proto, upper, field);
            let mut read = virtio(gso, 1, step, start, u16::try_from(field).unwrap());
            read.extend(&whole);
            let train = Train::parse(&read, true).unwrap();
            let mut got = Vec::new();
            for i in 0..train.count() {
                let mut out = vec![0u8; 70_000];
                let n = train.len(i);
                train.write(i, &mut out).unwrap();
                prop_assert!(n <= train.longest());
                prop_assert!(sound(&out[..n]));
                let head = usize::from(start) + if is_tcp { 20 } else { 8 };
                prop_assert!(n - head <= usize::from(step));
                if is_tcp {
                    let at = usize::from(start);
                    let expected = seq.wrapping_add(u32::try_from(got.len()).unwrap());
                    prop_assert_eq!(&out[at + 4..at + 8], &expected.to_be_bytes()[..]);
                    prop_assert_eq!(out[at + 13] & 0x09 == 0x09, i + 1 == train.count());
                    prop_assert_eq!(out[at + 13] & 0x80 != 0, i == 0);
                }
                got.extend_from_slice(&out[head..n]);
            }
            prop_assert_eq!(got, payload);
        }

        #[test]
        fn nothing_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), offload: bool) {
            if let Some(train) = Train::parse(&bytes, offload) {
                let mut out = [0u8; 300];
                for i in 0..train.count().min(100) {
                    train.write(i, &mut out);
                }
            }
        }
    }

    #[test]
    fn an_unfinished_checksum_is_finished() {
        for v6 in [false, true] {
            let right = packet(v6, protocol::TCP, tcp(7, 0x10, b"odd"), 16);
            let (s, d) = addresses(v6);
            let start = if v6 { 40 } else { 20 };
            let mut unfinished = right.clone();
            let upper = unfinished.len() - start;
            let partial = !Checksum::new().pseudo(s, d, protocol::TCP, upper).finish();
            set16(&mut unfinished, start + 16, partial).unwrap();
            let mut read = virtio(0, 1, 0, u16::try_from(start).unwrap(), 16);
            read.extend(unfinished);
            let mut out = [0u8; 200];
            Train::parse(&read, true).unwrap().write(0, &mut out).unwrap();
            assert_eq!(&out[..right.len()], &right[..]);
        }
    }
}
