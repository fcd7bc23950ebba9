//! Transport mode (RFC 4303 3.1.1): the IP header leaves the packet before sealing and comes back after opening,
//! because the socket makes the outer one.
use crate::outbound::Path;
use crate::packet::Packet;
use crate::stats::Drop;
use std::net::IpAddr;
use wire::ip::{Checksum, IPV4_LEN, IPV6_LEN, IpView, ipv4_header, ipv6_header, protocol};

/// Cuts the IP header off; gives the upper-layer protocol, which becomes the next header.
///
/// Fragments cannot be protected in transport mode (RFC 4303 3.3.4): they are refused. The header's options and
/// extension headers go with the header; the socket sends without any.
pub(crate) fn strip(packet: &mut Packet<'_>, view: &IpView) -> Result<u8, Drop> {
    if view.is_fragment() {
        return Err(Drop::Selector);
    }
    packet.narrow(view.header_len..view.total_len).ok_or(Drop::Malformed)?;
    Ok(view.protocol)
}

/// Puts an IP header before the payload, from the outer addresses. Behind a NAT the transport checksum was made
/// over other addresses: it is made anew (RFC 3948 3.1.2), the integrity check has already vouched for the bytes.
pub(crate) fn rebuild(packet: &mut Packet<'_>, next_header: u8, path: &Path, class: u8) -> Result<(), Drop> {
    let (source, destination) = (path.remote.ip(), path.local.ip());
    if path.encap {
        fix_checksum(packet.bytes_mut(), next_header, source, destination);
    }
    let len = packet.len();
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            packet.grow_front(IPV4_LEN).ok_or(Drop::NoRoom)?;
            packet.write(0, &ipv4_header(s, d, next_header, len, 64, class, false)).ok_or(Drop::NoRoom)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            packet.grow_front(IPV6_LEN).ok_or(Drop::NoRoom)?;
            packet.write(0, &ipv6_header(s, d, next_header, len, 64, class)).ok_or(Drop::NoRoom)
        }
        _ => Err(Drop::Malformed),
    }
}

fn fix_checksum(payload: &mut [u8], next_header: u8, source: IpAddr, destination: IpAddr) {
    let (at, zero_means_none) = match next_header {
        protocol::TCP => (16, false),
        protocol::UDP => (6, true),
        // ICMPv4 has no pseudo header; ICMPv6 has one (RFC 4443 2.3).
        protocol::ICMPV6 => (2, false),
        _ => return,
    };
    let len = payload.len();
    let Some(field) = payload.get_mut(at..at + 2) else { return };
    if zero_means_none && field.iter().all(|b| *b == 0) && source.is_ipv4() {
        return;
    }
    field.fill(0);
    let sum = Checksum::new().pseudo(source, destination, next_header, len).bytes(payload).finish();
    let sum = if sum == 0 && next_header == protocol::UDP { 0xffff } else { sum };
    if let Some(field) = payload.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}
