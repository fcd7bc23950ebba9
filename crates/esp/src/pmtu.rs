//! What fits through an SA, and what to tell the sender of what does not (RFC 4301 8, RFC 4303 3.3.4).
use policy::Mode;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::ip::{Checksum, IPV4_LEN, IPV6_LEN, IpView, UDP_LEN, ipv4_header, ipv6_header, protocol};

use crate::OutSa;
use crate::outbound::Path;

/// Bytes of ESP that one outer packet of `mtu` bytes holds.
#[must_use]
pub fn esp_room(path: &Path, mtu: usize) -> usize {
    let ip = if path.remote.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
    mtu.saturating_sub(ip + if path.encap { UDP_LEN } else { 0 })
}

/// The biggest inner packet that goes through the SA on this path unfragmented.
#[must_use]
pub fn inner_mtu(sa: &OutSa, path: &Path, mtu: usize) -> usize {
    let room = sa.inner_room(esp_room(path, mtu));
    match sa.mode {
        // The packet's own IP header becomes the outer one.
        Mode::Transport => room + if path.remote.is_ipv4() { IPV4_LEN } else { IPV6_LEN },
        _ => room,
    }
}

/// No IPv6 link takes less (RFC 8200 5).
pub const IPV6_MINIMUM: usize = 1280;
/// No IPv4 path MTU below this is believed; what Linux takes for its minimum.
pub const IPV4_MINIMUM: usize = 552;

/// What to do with a packet on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Seal it. Where it is longer than the path takes all the same, leave DF off the outer packet.
    Seal,
    /// Cut it into pieces of at most this length ([`pieces`]) and seal those.
    Cut(usize),
    /// Answer with [`too_big`] and this MTU, and drop it.
    TooBig(usize),
}

/// Decides for a packet and [`inner_mtu`]'s answer. The minimum of each family always passes: a sender of IPv6 need
/// not go below 1280 (RFC 8200 5), and would send the same packet for ever.
#[must_use]
pub fn fit(sa: &OutSa, view: &IpView, inner_mtu: usize) -> Fit {
    let v4 = view.source.is_ipv4();
    let mtu = inner_mtu.max(if v4 { IPV4_MINIMUM } else { IPV6_MINIMUM });
    if view.total_len <= mtu {
        Fit::Seal
    } else if !v4 || view.dont_fragment {
        Fit::TooBig(mtu)
    } else if sa.mode == Mode::Transport || view.header_len > IPV4_LEN {
        // Transport mode takes whole packets only; options are not cut here: the outer packet is.
        Fit::Seal
    } else {
        Fit::Cut(mtu)
    }
}

/// Longest ICMP error made here: an IPv6 error carries at most what keeps it within 1280 bytes.
pub const ICMP_MAX: usize = 1280;

/// Writes the ICMP error that tells the sender of `packet` that only `mtu` bytes fit: "fragmentation needed" (RFC
/// 1191) or "packet too big" (RFC 4443 3.2), from `from` (the sender's own target when `None`). Gives its length, or
/// `None` where none may be sent: to multicast or unspecified senders, about packets to multicast, for ICMP errors,
/// for later fragments.
#[must_use]
pub fn too_big(
    packet: &[u8],
    view: &IpView,
    mtu: usize,
    from: Option<IpAddr>,
    out: &mut [u8; ICMP_MAX],
) -> Option<usize> {
    if view.fragment_offset != 0 || icmp_error(packet, view) || !unicast(view.source) {
        return None;
    }
    let from = from.unwrap_or(view.destination);
    // RFC 1122 3.2.2: not about multicast in IPv4. In IPv6 it is allowed (RFC 4443 2.4 e.3), from a unicast address.
    if !unicast(from) || view.source.is_ipv4() && !unicast(view.destination) {
        return None;
    }
    match (from, view.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let quoted = packet.get(..packet.len().min(548))?;
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).max(68).to_be_bytes();
            let with = |sum: [u8; 2]| [3, 4, sum[0], sum[1], 0, 0, mtu[0], mtu[1]];
            let sum = Checksum::new().bytes(&with([0, 0])).bytes(quoted).finish();
            let head = ipv4_header(from, to, protocol::ICMP, 8 + quoted.len(), 64, 0, false);
            assemble(out, &[&head, &with(sum.to_be_bytes()), quoted])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let quoted = packet.get(..packet.len().min(ICMP_MAX - IPV6_LEN - 8))?;
            let mtu = u32::try_from(mtu).unwrap_or(u32::MAX).max(1280).to_be_bytes();
            let with = |sum: [u8; 2]| [2, 0, sum[0], sum[1], mtu[0], mtu[1], mtu[2], mtu[3]];
            let len = 8 + quoted.len();
            let sum = Checksum::new()
                .pseudo(from.into(), to.into(), protocol::ICMPV6, len)
                .bytes(&with([0, 0]))
                .bytes(quoted)
                .finish();
            let head = ipv6_header(from, to, protocol::ICMPV6, len, 64, 0);
            assemble(out, &[&head, &with(sum.to_be_bytes()), quoted])
        }
        _ => None,
    }
}

fn assemble(out: &mut [u8; ICMP_MAX], parts: &[&[u8]]) -> Option<usize> {
    let mut at = 0usize;
    for part in parts {
        out.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    Some(at)
}

fn unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !(a.is_multicast() || a.is_unspecified() || a == Ipv4Addr::BROADCAST),
        IpAddr::V6(a) => !(a.is_multicast() || a == Ipv6Addr::UNSPECIFIED),
    }
}

fn icmp_error(packet: &[u8], view: &IpView) -> bool {
    let kind = packet.get(view.header_len).copied();
    match (view.protocol, kind) {
        (protocol::ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        // Redirects are no errors, and yet not to be answered (RFC 4443 2.4 e.2).
        (protocol::ICMPV6, Some(kind)) => kind < 128 || kind == 137,
        _ => false,
    }
}

/// How an IPv4 packet without Don't Fragment is cut: one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where its payload begins in the packet's payload, a multiple of 8.
    pub offset: usize,
    /// Bytes of payload.
    pub len: usize,
    /// More pieces follow (or the packet was a fragment itself with more to come).
    pub more: bool,
}

/// The pieces of `view`'s packet that fit into `mtu` bytes each. Empty when it cannot be cut: IPv6, Don't Fragment,
/// IP options, or an MTU that holds no eight bytes.
pub fn pieces(view: &IpView, mtu: usize) -> impl Iterator<Item = Piece> + use<> {
    let payload = view.total_len.saturating_sub(view.header_len);
    let step = mtu.saturating_sub(view.header_len) & !7;
    let possible = view.source.is_ipv4() && !view.dont_fragment && view.header_len == IPV4_LEN && step >= 8;
    let count = if possible { payload.div_ceil(step) } else { 0 };
    let more = view.more_fragments;
    (0..count).map(move |n| {
        let offset = n * step;
        Piece { offset, len: step.min(payload - offset), more: n + 1 < count || more }
    })
}

/// The header of one piece, from the header of the whole packet.
#[must_use]
pub fn piece_header(header: &[u8; IPV4_LEN], view: &IpView, piece: Piece) -> Option<[u8; IPV4_LEN]> {
    let mut out = *header;
    let total = u16::try_from(IPV4_LEN + piece.len).ok()?.to_be_bytes();
    let offset = u16::try_from((usize::from(view.fragment_offset) + piece.offset) / 8).ok()?;
    let fragment = (offset | if piece.more { 0x2000 } else { 0 }).to_be_bytes();
    let [_, _, l0, l1, _, _, f0, f1, _, _, c0, c1, ..] = &mut out;
    [*l0, *l1] = total;
    [*f0, *f1] = fragment;
    [*c0, *c1] = [0, 0];
    let sum = Checksum::new().bytes(&out).finish().to_be_bytes();
    let [_, _, _, _, _, _, _, _, _, _, c0, c1, ..] = &mut out;
    [*c0, *c1] = sum;
    Some(out)
}
