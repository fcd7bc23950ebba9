//! Writes the headers an outer packet, an ICMP error or a test needs.
use super::checksum::{Checksum, update16};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Length of an IPv6 header.
pub const IPV6_LEN: usize = 40;
/// Length of a UDP header.
pub const UDP_LEN: usize = 8;

/// An IPv4 header without options, checksum filled in; identification 0 (RFC 6864 allows that with `dont_fragment`).
/// `class` is DSCP and ECN. A payload over 65515 bytes saturates the total length.
#[must_use]
pub fn ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload_len: usize,
    ttl: u8,
    class: u8,
    dont_fragment: bool,
) -> [u8; IPV4_LEN] {
    let [total_hi, total_lo] = length16(payload_len.saturating_add(IPV4_LEN));
    let flags = if dont_fragment { 0x40 } else { 0 };
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    let with = |c: u16| {
        let [c0, c1] = c.to_be_bytes();
        [
            0x45, class, total_hi, total_lo, 0, 0, flags, 0, ttl, protocol, c0, c1, s0, s1, s2, s3, d0, d1,
            d2, d3,
        ]
    };
    with(Checksum::new().bytes(&with(0)).finish())
}

/// An IPv6 header, flow label 0. A payload over 65535 bytes saturates the length.
#[must_use]
pub fn ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    payload_len: usize,
    hop_limit: u8,
    class: u8,
) -> [u8; IPV6_LEN] {
    let mut out = [0; IPV6_LEN];
    let first = (0x6000_0000 | u32::from(class) << 20).to_be_bytes();
    let bytes = first
        .into_iter()
        .chain(length16(payload_len))
        .chain([protocol, hop_limit])
        .chain(source.octets())
        .chain(destination.octets());
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
    out
}

/// A UDP header for `payload`, checksum filled in (never 0: RFC 768).
#[must_use]
pub fn udp_header(
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    payload: &[u8],
) -> [u8; UDP_LEN] {
    let len = payload.len().saturating_add(UDP_LEN);
    let [s0, s1] = source_port.to_be_bytes();
    let [d0, d1] = destination_port.to_be_bytes();
    let [l0, l1] = length16(len);
    let with = |c: u16| {
        let [c0, c1] = c.to_be_bytes();
        [s0, s1, d0, d1, l0, l1, c0, c1]
    };
    let sum =
        Checksum::new().pseudo(source, destination, super::protocol::UDP, len).bytes(&with(0)).bytes(payload);
    with(match sum.finish() {
        0 => 0xffff,
        c => c,
    })
}

/// Sets the ECN field of an IP packet (two bits), keeping the IPv4 header checksum right. Does nothing to what is
/// no IP header.
pub fn set_ecn(packet: &mut [u8], ecn: u8) {
    match packet {
        [first, class, _, _, _, _, _, _, _, _, c0, c1, ..] if *first >> 4 == 4 => {
            let old = u16::from_be_bytes([*first, *class]);
            *class = *class & 0xfc | ecn & 3;
            let new = u16::from_be_bytes([*first, *class]);
            [*c0, *c1] = update16(u16::from_be_bytes([*c0, *c1]), old, new).to_be_bytes();
        }
        [first, second, ..] if *first >> 4 == 6 => *second = *second & 0xcf | (ecn & 3) << 4,
        _ => {}
    }
}

fn length16(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}
