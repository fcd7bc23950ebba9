//! ESP, IP and framing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::WireError;
use wire::esp::{EspHeader, EspTrailer};
use wire::frame::{Frame, StreamSplitter, stream_frame, with_marker};
use wire::ip::{
    Checksum, IpView, Upper, ipv4_header, ipv6_header, protocol, set_ecn, udp_header, update16, update32,
};

const A4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn v4(proto: u8, payload: &[u8]) -> Vec<u8> {
    [&ipv4_header(A4, B4, proto, payload.len(), 64, 0xb9, true)[..], payload].concat()
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    [&ipv6_header(A6, B6, next, payload.len(), 64, 0xb9)[..], payload].concat()
}

#[test]
fn a_header_from_the_textbook() {
    // The example of RFC 1071's algorithm in many a textbook.
    let mut packet =
        [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
    assert_eq!(Checksum::new().bytes(&packet).finish(), 0);
    packet[10..12].fill(0);
    assert_eq!(Checksum::new().bytes(&packet).finish(), 0xb861);
    let ours = ipv4_header([192, 168, 0, 1].into(), [192, 168, 0, 199].into(), 17, 95, 64, 0, true);
    assert_eq!(ours[10..12], [0xb8, 0x61]);
}

#[test]
fn ipv4_fields() {
    let udp = udp_header(A4.into(), B4.into(), 1000, 53, b"abc");
    let mut packet = v4(protocol::UDP, &[&udp[..], b"abc"].concat());
    packet.push(0xee);
    let view = IpView::parse(&packet).unwrap();
    assert_eq!(
        view,
        IpView {
            source: A4.into(),
            destination: B4.into(),
            protocol: 17,
            upper: Upper::Ports { source: 1000, destination: 53 },
            header_len: 20,
            total_len: 31,
            fragment_offset: 0,
            more_fragments: false,
            dont_fragment: true,
            dscp: 0x2e,
            ecn: 1,
            ttl: 64,
        }
    );
    let sum = Checksum::new().pseudo(A4.into(), B4.into(), 17, 11).bytes(&packet[20..31]).finish();
    assert_eq!(sum, 0);
    // A later fragment has no ports.
    packet[6..8].copy_from_slice(&0x2001_u16.to_be_bytes());
    let view = IpView::parse(&packet).unwrap();
    assert_eq!((view.upper, view.fragment_offset, view.more_fragments), (Upper::Opaque, 8, true));
    assert!(view.is_fragment() && !view.dont_fragment);
}

#[test]
fn icmp_type_and_code_are_the_ports() {
    let view = IpView::parse(&v4(protocol::ICMP, &[8, 3, 0, 0])).unwrap();
    assert_eq!(view.upper, Upper::Icmp { kind: 8, code: 3 });
    assert_eq!(view.upper.ports(), Some((0x0803, 0x0803)));
    assert_eq!(IpView::parse(&v6(protocol::ICMPV6, &[128])).unwrap().upper, Upper::Opaque, "cut off");
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let dest = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let tcp = [0, 22, 1, 0, 9, 9, 9, 9];
    let packet = v6(0, &[&dest(60)[..], &dest(44), &[6, 0, 0, 1, 0, 0, 0, 7], &tcp].concat());
    let view = IpView::parse(&packet).unwrap();
    assert_eq!(view.protocol, 6);
    assert_eq!(view.upper, Upper::Ports { source: 22, destination: 256 });
    assert_eq!((view.header_len, view.total_len), (64, 72));
    assert!(view.more_fragments && view.fragment_offset == 0);
    assert_eq!((view.dscp, view.ecn, view.traffic_class()), (0x2e, 1, 0xb9));
    // A later fragment: its next header names the upper layer, but what follows is not that header.
    let later = v6(44, &[60, 0, 0, 8, 0, 0, 0, 7, 1, 2, 3]);
    let view = IpView::parse(&later).unwrap();
    assert_eq!((view.protocol, view.fragment_offset, view.upper), (60, 8, Upper::Opaque));
    // Eight are walked, not nine.
    let chain = |n: usize| v6(60, &[dest(60).repeat(n - 1), dest(59).to_vec()].concat());
    assert_eq!(IpView::parse(&chain(8)).unwrap().protocol, 59);
    assert!(matches!(IpView::parse(&chain(9)), Err(WireError::TooMany { .. })));
}

#[test]
fn bent_ip_headers_are_refused() {
    let good = v4(17, &[0; 8]);
    let with = |at: usize, value: u8| {
        let mut p = good.clone();
        p[at] = value;
        IpView::parse(&p)
    };
    assert!(with(0, 0x44).is_err(), "header of 16 bytes");
    assert!(with(0, 0x55).is_err(), "version 5");
    assert!(with(0, 0x4f).is_err(), "options beyond the total length");
    assert!(with(3, 19).is_err(), "total length below the header");
    assert!(with(3, 29).is_err(), "total length beyond the bytes");
    assert!(IpView::parse(&good[..19]).is_err());
    assert!(IpView::parse(&[]).is_err());
    assert!(IpView::parse(&v6(17, &[0; 8])[..47]).is_err());
    assert!(IpView::parse(&v6(60, &[6, 1, 0, 0, 0, 0, 0, 0])).is_err(), "extension header cut off");
}

#[test]
fn esp_ends() {
    let header = EspHeader { spi: 0xc012_3456, seq: 7 };
    assert_eq!(header.encode(), [0xc0, 0x12, 0x34, 0x56, 0, 0, 0, 7]);
    assert_eq!(EspHeader::parse(&header.encode()), Ok(header));
    assert!(EspHeader::parse(&[0, 0, 0, 255, 0, 0, 0, 1]).is_err());
    assert!(EspHeader::parse(&[1, 0, 0, 0, 0, 0, 0]).is_err());
    let (payload, trailer) = EspTrailer::parse(&[9, 9, 1, 2, 3, 3, 4]).unwrap();
    assert_eq!((payload, trailer), (&[9, 9][..], EspTrailer { pad_len: 3, next_header: 4 }));
    assert_eq!(EspTrailer::parse(&[0, 59]).unwrap().0, []);
    assert!(EspTrailer::parse(&[1, 1, 2, 4, 3, 4]).is_err(), "padding is 1, 2, 3");
    assert!(EspTrailer::parse(&[1, 2, 3, 4]).is_err(), "padding longer than the packet");
    assert!(EspTrailer::parse(&[4]).is_err());
}

#[test]
fn datagrams_on_the_shared_port() {
    assert_eq!(Frame::parse(&[0xff]), Ok(Frame::Keepalive));
    assert_eq!(Frame::parse(&with_marker(b"ike")), Ok(Frame::Ike(b"ike")));
    assert_eq!(Frame::parse(&[0xff, 0xff, 0, 0, 1]), Ok(Frame::Esp(&[0xff, 0xff, 0, 0, 1])));
    assert!(Frame::parse(&[0, 0, 0]).is_err());
    assert!(Frame::parse(&[]).is_err());
}

#[test]
fn a_stream_with_a_wrong_start_is_broken_for_good() {
    let mut s = StreamSplitter::new(true);
    assert!(s.next(&mut &b"IKEUDP"[..]).is_err());
    assert!(s.next(&mut &b"IKETCP"[..]).is_err());
    let mut s = StreamSplitter::new(false);
    assert!(s.next(&mut &[0, 1, 5][..]).is_err());
    assert!(stream_frame(&vec![0; 65534]).is_err());
    assert_eq!(stream_frame(&vec![0; 65533]).unwrap().len(), 65535);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), version in prop::sample::select(vec![0x45_u8, 0x60, 0x4f])) {
        let mut bytes = bytes;
        let _ = IpView::parse(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(view) = IpView::parse(&bytes) {
            prop_assert!(view.header_len <= view.total_len && view.total_len <= bytes.len());
        }
        let _ = EspHeader::parse(&bytes);
        if let Ok((payload, trailer)) = EspTrailer::parse(&bytes) {
            prop_assert_eq!(payload.len() + usize::from(trailer.pad_len) + 2, bytes.len());
        }
        let _ = Frame::parse(&bytes);
        set_ecn(&mut bytes, 3);
    }

    #[test]
    fn a_stream_comes_out_as_it_went_in(frames in vec(vec(any::<u8>(), 0..300), 0..9), cuts in vec(1..50_usize, 1..9), prefix in any::<bool>()) {
        let mut stream = if prefix { b"IKETCP".to_vec() } else { vec![] };
        for frame in &frames {
            stream.extend(stream_frame(frame).unwrap());
        }
        let mut splitter = StreamSplitter::new(prefix);
        let mut got = Vec::new();
        let mut rest = &stream[..];
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (mut piece, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            rest = tail;
            while let Some(frame) = splitter.next(&mut piece).unwrap() {
                got.push(frame);
            }
            prop_assert!(piece.is_empty());
        }
        prop_assert_eq!(got, frames);
    }

    #[test]
    fn arbitrary_streams_never_panic(bytes in vec(any::<u8>(), 0..500), prefix in any::<bool>()) {
        let mut splitter = StreamSplitter::new(prefix);
        let mut input = &bytes[..];
        while let Ok(Some(_)) = splitter.next(&mut input) {}
    }

    #[test]
    fn checksums_by_difference_equal_whole_ones(mut bytes in vec(any::<u8>(), 8..60), at in any::<prop::sample::Index>(), new in any::<u32>()) {
        // At least one word that is not zero: 0x0000 and 0xffff are the same sum otherwise.
        bytes[0] |= 1;
        bytes.truncate(bytes.len() & !1);
        let before = Checksum::new().bytes(&bytes).finish();
        let at = 2 + 2 * at.index((bytes.len() - 6) / 2 + 1);
        let at = at.min(bytes.len() - 4);
        let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
        prop_assert_eq!(update32(before, old, new), Checksum::new().bytes(&bytes).finish());
        let halves = update16(before, (old >> 16) as u16, (new >> 16) as u16);
        prop_assert_eq!(update16(halves, old as u16, new as u16), Checksum::new().bytes(&bytes).finish());
    }

    #[test]
    fn checksum_does_not_depend_on_the_cut(bytes in vec(any::<u8>(), 0..90), at in any::<prop::sample::Index>()) {
        let at = at.index(bytes.len() + 1) & !1;
        let slow = {
            let mut sum = 0_u32;
            for pair in bytes.chunks(2) {
                sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            }
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            !(sum as u16)
        };
        prop_assert_eq!(Checksum::new().bytes(&bytes[..at]).bytes(&bytes[at..]).finish(), slow);
    }

    #[test]
    fn headers_read_back(len in 0..400_usize, class in any::<u8>(), df in any::<bool>(), ttl in any::<u8>(), ecn in 0..4_u8) {
        let payload = vec![0; len];
        let mut four = [&ipv4_header(A4, B4, 50, len, ttl, class, df)[..], &payload].concat();
        let mut six = [&ipv6_header(A6, B6, 50, len, ttl, class)[..], &payload].concat();
        for _ in 0..2 {
            prop_assert_eq!(Checksum::new().bytes(&four[..20]).finish(), 0);
            let a = IpView::parse(&four).unwrap();
            let b = IpView::parse(&six).unwrap();
            prop_assert_eq!((a.dscp, a.ttl, a.dont_fragment, a.total_len, a.protocol), (class >> 2, ttl, df, len + 20, 50));
            prop_assert_eq!((b.traffic_class(), b.ttl, b.total_len), (a.traffic_class(), ttl, len + 40));
            prop_assert_eq!((a.source, b.destination), (IpAddr::from(A4), IpAddr::from(B6)));
            set_ecn(&mut four, ecn);
            set_ecn(&mut six, ecn);
            prop_assert_eq!(IpView::parse(&four).unwrap().ecn, ecn);
        }
    }

    #[test]
    fn padding_fills_the_block(len in 0..2000_usize, block in prop::sample::select(vec![1_u8, 4, 8, 16])) {
        let pad = EspTrailer::padding_for(len, block);
        prop_assert_eq!((len + usize::from(pad) + 2) % usize::from(block.max(4)), 0);
        prop_assert!(pad < block.max(4));
    }
}
