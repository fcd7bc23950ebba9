//! What fits, what is cut, and what its sender is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "sample/sample.rs"]
mod sample;

use esp::pmtu::{Fit, ICMP_MAX, IPV6_MINIMUM, esp_room, fit, inner_mtu, piece_header, pieces, too_big};
use esp::{HEADROOM, OutSa, Packet};
use policy::Mode;
use proptest::prelude::*;
use sample::{SUITES, pair, udp};
use std::net::IpAddr;
use std::sync::Arc;
use wire::ip::{Checksum, IPV4_LEN, IPV6_LEN, IpView};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IPv4 packet that may be cut.
fn divisible(len: usize) -> Vec<u8> {
    let mut packet = udp("10.0.0.1", "10.0.0.2", len - 28);
    packet[6] = 0;
    let [c0, c1] = checksum_over(&packet[..IPV4_LEN]);
    (packet[10], packet[11]) = (c0, c1);
    packet
}

fn checksum_over(header: &[u8]) -> [u8; 2] {
    let mut header = header.to_vec();
    header[10..12].fill(0);
    Checksum::new().bytes(&header).finish().to_be_bytes()
}

fn sealed_len(sa: &Arc<OutSa>, inner: &[u8]) -> usize {
    let mut memory = vec![0; HEADROOM + inner.len() + 128];
    memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(inner);
    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
    sa.try_turn().unwrap().seal(&mut packet, &IpView::parse(inner).unwrap(), 0, 65535).unwrap();
    packet.len()
}

/// The MTU said is the biggest packet that fits, to the byte, for every transform and mode.
#[test]
fn the_inner_mtu_is_exact() {
    for suite in SUITES {
        for mode in [Mode::Tunnel, Mode::Transport] {
            let (a, _) = pair(*suite, mode, |_| {});
            let sa = Arc::new(OutSa::new(&a).unwrap());
            for path_mtu in 1280..1301 {
                let room = esp_room(&sa.path(), path_mtu);
                let most = inner_mtu(&sa, &sa.path(), path_mtu);
                let packet = |len: usize| udp("192.0.2.1", "192.0.2.2", len - 28);
                assert!(sealed_len(&sa, &packet(most)) <= room, "{suite:?} {mode:?} {path_mtu}");
                assert!(sealed_len(&sa, &packet(most + 1)) > room, "{suite:?} {mode:?} {path_mtu}");
            }
        }
    }
}

#[test]
fn what_to_do_with_a_packet() {
    let (a, _) = pair(SUITES[0], Mode::Tunnel, |_| {});
    let tunnel = OutSa::new(&a).unwrap();
    let (a, _) = pair(SUITES[0], Mode::Transport, |_| {});
    let transport = OutSa::new(&a).unwrap();
    let check = |sa: &OutSa, packet: &[u8], mtu| fit(sa, &IpView::parse(packet).unwrap(), mtu);
    let v4 = |len: usize| udp("10.0.0.1", "10.0.0.2", len - 28);
    let v6 = |len: usize| udp("fd00::1", "fd00::2", len - 48);
    assert_eq!(check(&tunnel, &v4(1300), 1300), Fit::Seal);
    assert_eq!(check(&tunnel, &v4(1301), 1300), Fit::TooBig(1300));
    assert_eq!(check(&tunnel, &divisible(1301), 1300), Fit::Cut(1300));
    assert_eq!(check(&transport, &divisible(1301), 1300), Fit::Seal, "the outer packet is cut");
    assert_eq!(check(&tunnel, &v6(1301), 1300), Fit::TooBig(1300));
    assert_eq!(check(&tunnel, &v6(1280), 1000), Fit::Seal, "1280 bytes always pass");
    assert_eq!(check(&tunnel, &v6(1281), 1000), Fit::TooBig(IPV6_MINIMUM));
    assert_eq!(check(&tunnel, &v4(552), 60), Fit::Seal, "an absurd MTU is not believed");
}

#[test]
fn the_sender_is_told() {
    let mut out = [0; ICMP_MAX];
    let packet = udp("10.0.0.1", "10.0.0.2", 1400);
    let view = IpView::parse(&packet).unwrap();
    let len = too_big(&packet, &view, 1338, None, &mut out).unwrap();
    let error = &out[..len];
    let head = IpView::parse(error).unwrap();
    assert_eq!((head.source, head.destination), (ip("10.0.0.2"), ip("10.0.0.1")));
    assert_eq!(head.total_len, len);
    assert!(len <= 576, "RFC 1812 4.3.2.3");
    assert_eq!(error[20..22], [3, 4]);
    assert_eq!(error[26..28], 1338u16.to_be_bytes());
    assert_eq!(error[28..], packet[..len - 28]);
    assert_eq!(Checksum::new().bytes(&error[20..]).finish(), 0);
    assert_eq!(Checksum::new().bytes(&error[..20]).finish(), 0);

    let packet = udp("fd00::1", "fd00::2", 1400);
    let view = IpView::parse(&packet).unwrap();
    let len = too_big(&packet, &view, 1300, Some(ip("fd00::99")), &mut out).unwrap();
    let error = &out[..len];
    let head = IpView::parse(error).unwrap();
    assert_eq!((head.source, head.total_len), (ip("fd00::99"), IPV6_MINIMUM));
    assert_eq!((error[40], &error[44..48]), (2, &1300u32.to_be_bytes()[..]));
    let sum =
        Checksum::new().pseudo(head.source, head.destination, 58, len - IPV6_LEN).bytes(&error[IPV6_LEN..]);
    assert_eq!(sum.finish(), 0);
}

#[test]
fn nobody_is_told_who_must_not_be() {
    let mut out = [0; ICMP_MAX];
    let mut told = |packet: &[u8]| {
        let view = IpView::parse(packet).unwrap();
        too_big(packet, &view, 1300, None, &mut out).is_some()
    };
    assert!(told(&udp("10.0.0.1", "10.0.0.2", 1400)));
    assert!(!told(&udp("0.0.0.0", "10.0.0.2", 1400)), "nobody");
    assert!(!told(&udp("224.0.0.1", "10.0.0.2", 1400)), "a group");
    assert!(!told(&udp("10.0.0.1", "224.0.0.5", 1400)), "about a packet to a group");
    assert!(!told(&udp("10.0.0.1", "255.255.255.255", 1400)), "about a broadcast");
    assert!(!told(&udp("fd00::1", "ff02::5", 1400)), "from a group");
    let mut later = udp("10.0.0.1", "10.0.0.2", 1400);
    later[7] = 8;
    assert!(!told(&later), "about a later fragment");
    for (kind, expected) in [(3, false), (8, true), (11, false)] {
        let mut icmp = udp("10.0.0.1", "10.0.0.2", 1400);
        (icmp[9], icmp[20]) = (1, kind);
        assert_eq!(told(&icmp), expected, "ICMP type {kind}");
    }
    for (kind, expected) in [(1, false), (2, false), (128, true), (137, false)] {
        let mut icmp = udp("fd00::1", "fd00::2", 1400);
        (icmp[6], icmp[40]) = (58, kind);
        assert_eq!(told(&icmp), expected, "ICMPv6 type {kind}");
    }
}

proptest! {
    /// Put together again, the pieces are the packet; none is longer than said; all but the last hold whole units.
    #[test]
    fn pieces_make_the_whole(len in 28usize..4000, mtu in 28usize..1500, offset in 0u16..100, more: bool) {
        let mut packet = divisible(len);
        let field = offset | if more { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        let view = IpView::parse(&packet).unwrap();
        let header: [u8; IPV4_LEN] = packet[..IPV4_LEN].try_into().unwrap();
        let mut whole = Vec::new();
        let mut ended = false;
        for piece in pieces(&view, mtu) {
            prop_assert!(!ended);
            let made = piece_header(&header, &view, piece).unwrap();
            let payload = &packet[IPV4_LEN + piece.offset..][..piece.len];
            let bytes = [&made[..], payload].concat();
            prop_assert!(bytes.len() <= mtu);
            prop_assert_eq!(Checksum::new().bytes(&made).finish(), 0);
            let seen = IpView::parse(&bytes).unwrap();
            prop_assert_eq!(usize::from(seen.fragment_offset), usize::from(offset) * 8 + whole.len());
            ended = whole.len() + piece.len == len - IPV4_LEN;
            prop_assert_eq!(seen.more_fragments, more || !ended);
            prop_assert!(ended || piece.len % 8 == 0);
            whole.extend_from_slice(payload);
        }
        prop_assert_eq!(&whole[..], &packet[IPV4_LEN..]);
    }

    /// No packet whatever makes an answer that is no packet.
    #[test]
    fn answers_are_packets(bytes in prop::collection::vec(any::<u8>(), 1..2000), v6: bool, mtu in 0usize..100_000) {
        let mut bytes = bytes;
        bytes[0] = if v6 { 0x60 } else { 0x45 };
        if let Ok(view) = IpView::parse(&bytes) {
            let mut out = [0; ICMP_MAX];
            if let Some(len) = too_big(&bytes, &view, mtu, None, &mut out) {
                prop_assert_eq!(IpView::parse(&out[..len]).unwrap().total_len, len);
            }
            prop_assert!(pieces(&view, mtu).count() <= 65536 / 8);
        }
    }
}
