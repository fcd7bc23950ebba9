//! Transport mode (RFC 4303 3.1.1): the IP header leaves the packet before sealing and comes back after opening,
//! because the socket makes the outer one.
use crate::outbound::Path;
use crate::packet::Packet;
use crate::stats::Drop;
use std::net::IpAddr;
use wire::ip::protocol::{ICMPV6, TCP, UDP};
use wire::ip::{Checksum, IPV4_LEN, IPV6_LEN, IpView, ipv4_header, ipv6_header, protocol};

/// Cuts the IP header off; gives the protocol of what is left, which becomes the next header.
///
/// Fragments cannot be protected in transport mode (RFC 4303 3.3.4). IPv4 options and IPv6 hop-by-hop and routing
/// headers would have to stay outside of ESP (3.1.1), where the socket sends none: all these are refused.
/// Destination options may stand behind ESP, and go there.
pub(crate) fn strip(packet: &mut Packet<'_>, view: &IpView) -> Result<u8, Drop> {
    if view.is_fragment() {
        return Err(Drop::Header);
    }
    let (len, next) = match view.source {
        IpAddr::V4(_) if view.header_len > IPV4_LEN => return Err(Drop::Header),
        IpAddr::V4(_) => (IPV4_LEN, view.protocol),
        IpAddr::V6(_) => (IPV6_LEN, carried_next(packet.bytes(), view)?),
    };
    packet.narrow(len..view.total_len).ok_or(Drop::Malformed)?;
    Ok(next)
}

/// The next header of an IPv6 packet without extension headers, or with destination options only.
fn carried_next(packet: &[u8], view: &IpView) -> Result<u8, Drop> {
    let first = packet.get(6).copied().ok_or(Drop::Malformed)?;
    let mut next = first;
    let mut at = IPV6_LEN;
    while next == protocol::DESTINATION_OPTIONS && at < view.header_len {
        let Some([following, length]) = packet.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Err(Drop::Malformed);
        };
        next = *following;
        at = at.saturating_add(usize::from(*length) * 8 + 8);
    }
    if at == view.header_len && next == view.protocol { Ok(first) } else { Err(Drop::Header) }
}

/// Puts an IP header before the payload, from the outer addresses. Behind a NAT the transport checksum was made
/// over other addresses: it is made anew (RFC 3948 3.1.2), the integrity check has already vouched for the bytes.
pub(crate) fn rebuild(
    packet: &mut Packet<'_>,
    next_header: u8,
    path: &Path,
    class: u8,
) -> Result<IpView, Drop> {
    let (source, destination) = (path.remote.ip(), path.local.ip());
    let len = packet.len();
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            packet.grow_front(IPV4_LEN).ok_or(Drop::NoRoom)?;
            packet.write(0, &ipv4_header(s, d, next_header, len, 64, class, false)).ok_or(Drop::NoRoom)?;
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            packet.grow_front(IPV6_LEN).ok_or(Drop::NoRoom)?;
            packet.write(0, &ipv6_header(s, d, next_header, len, 64, class)).ok_or(Drop::NoRoom)?;
        }
        _ => return Err(Drop::Malformed),
    }
    let view = IpView::parse(packet.bytes()).map_err(|_| Drop::Malformed)?;
    if path.encap && !view.is_fragment() {
        // Behind destination options as well: hence from the packet, not from the next header.
        let upper = packet.bytes_mut().get_mut(view.header_len..view.total_len).unwrap_or_default();
        fix_checksum(upper, view.protocol, source, destination);
    }
    Ok(view)
}

fn fix_checksum(payload: &mut [u8], protocol: u8, source: IpAddr, destination: IpAddr) {
    let (at, zero_means_none) = match protocol {
        TCP => (16, false),
        UDP => (6, true),
        // ICMPv4 has no pseudo header; ICMPv6 has one (RFC 4443 2.3).
        ICMPV6 => (2, false),
        _ => return,
    };
    let len = payload.len();
    let Some(field) = payload.get_mut(at..at + 2) else { return };
    if zero_means_none && field.iter().all(|b| *b == 0) && source.is_ipv4() {
        return;
    }
    field.fill(0);
    let sum = Checksum::new().pseudo(source, destination, protocol, len).bytes(payload).finish();
    let sum = if sum == 0 && protocol == UDP { 0xffff } else { sum };
    if let Some(field) = payload.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}
