//! Packets through pairs of SAs: every transform, mode and family, and what must be refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "sample/sample.rs"]
mod sample;

use esp::{Drop, HEADROOM, InSa, Limit, OutSa, Packet, TAILROOM};
use policy::{ChildSa, Mode, Selector};
use proptest::prelude::*;
use sample::{SUITES, pair, udp};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::ip::IpView;

const GCM: (wire::iana::Encr, u16, wire::iana::Integ) = SUITES[0];

fn seal_with(out: &Arc<OutSa>, inner: &[u8]) -> Result<(Vec<u8>, esp::Sealed), Drop> {
    let mut memory = vec![0xee; HEADROOM + inner.len() + 4096];
    memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(inner);
    let view = IpView::parse(inner).map_err(|_| Drop::Malformed)?;
    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
    let mut turn = loop {
        match out.try_turn() {
            Some(turn) => break turn,
            None => std::thread::yield_now(),
        }
    };
    let sealed = turn.seal(&mut packet, &view, 7, 1400)?;
    Ok((packet.bytes().to_vec(), sealed))
}

fn open_with(sa: &InSa, esp: &[u8], class: u8) -> Result<(Vec<u8>, esp::Opened), Drop> {
    let mut memory = vec![0xee; HEADROOM + esp.len() + TAILROOM];
    memory[HEADROOM..HEADROOM + esp.len()].copy_from_slice(esp);
    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + esp.len()).unwrap();
    let opened = sa.open(&mut packet, sa.path().remote, class, 9)?;
    Ok((packet.bytes().to_vec(), opened))
}

fn halves(a: &ChildSa, b: &ChildSa) -> (Arc<OutSa>, InSa) {
    (Arc::new(OutSa::new(a).unwrap()), InSa::new(b).unwrap())
}

#[test]
fn every_transform_in_tunnel_mode() {
    for suite in SUITES {
        let (a, b) = pair(*suite, Mode::Tunnel, |_| {});
        let (out, sa) = halves(&a, &b);
        for len in [0, 1, 2, 3, 15, 16, 17, 1200] {
            for inner in [udp("10.0.0.1", "10.0.0.2", len), udp("fd00::1", "fd00::2", len)] {
                let (esp, _) = seal_with(&out, &inner).unwrap();
                assert_eq!(esp.len(), out.sealed_len(inner.len()), "{suite:?}");
                assert!(out.inner_room(esp.len()) >= inner.len());
                assert_eq!(open_with(&sa, &esp, 0).unwrap().0, inner, "{suite:?} {len}");
                assert_eq!(open_with(&sa, &esp, 0).unwrap_err(), Drop::Replay);
            }
        }
        assert_eq!(out.usage().packets, 16);
        assert_eq!(out.usage(), esp_usage(&sa, 7));
    }
}

fn esp_usage(sa: &InSa, last: u64) -> policy::sa::Usage {
    policy::sa::Usage { last: Some(last), ..sa.usage() }
}

#[test]
fn transport_mode_mends_the_checksum_behind_a_nat() {
    for (from, to, outer_from) in
        [("192.0.2.1", "192.0.2.2", "198.51.100.7"), ("2001:db8::1", "2001:db8::2", "2001:db8::77")]
    {
        let address = |a: &str| SocketAddr::new(a.parse().unwrap(), 4500);
        let (mut a, mut b) = pair(GCM, Mode::Transport, |_| {});
        (a.local, a.remote) = (address(from), address(to));
        (b.local, b.remote) = (address(to), address(outer_from));
        let (out, sa) = halves(&a, &b);
        let inner = udp(from, to, 100);
        let (esp, _) = seal_with(&out, &inner).unwrap();
        let (got, opened) = open_with(&sa, &esp, 0).unwrap();
        assert_eq!(opened.view.source, outer_from.parse::<std::net::IpAddr>().unwrap());
        // The packet that the peer would have made had it known its outer address.
        let expected = udp(outer_from, to, 100);
        assert_eq!(got[opened.view.header_len..], expected[opened.view.header_len..]);
    }
}

#[test]
fn transport_mode_refuses_fragments() {
    let (a, b) = pair(GCM, Mode::Transport, |_| {});
    let (out, _) = halves(&a, &b);
    let mut inner = udp("192.0.2.1", "192.0.2.2", 100);
    inner[6] = 0x20;
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Header);
}

/// An IPv6 packet whose UDP header stands behind one extension header of eight bytes.
fn extended(kind: u8) -> Vec<u8> {
    let plain = udp("2001:db8::1", "2001:db8::2", 100);
    let extension = [17, 0, 1, 4, 0, 0, 0, 0];
    let mut packet = [&plain[..40], &extension, &plain[40..]].concat();
    packet[6] = kind;
    let len = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet
}

#[test]
fn transport_mode_keeps_destination_options_and_refuses_what_it_cannot_keep() {
    let address = |a: &str| SocketAddr::new(a.parse().unwrap(), 4500);
    for seen_as in ["2001:db8::1", "2001:db8::77"] {
        let (mut a, mut b) = pair(GCM, Mode::Transport, |_| {});
        (a.local, a.remote) = (address("2001:db8::1"), address("2001:db8::2"));
        (b.local, b.remote) = (address("2001:db8::2"), address(seen_as));
        let (out, sa) = halves(&a, &b);
        let inner = extended(60);
        let (esp, _) = seal_with(&out, &inner).unwrap();
        let (got, opened) = open_with(&sa, &esp, 0).unwrap();
        assert_eq!((opened.view.header_len, opened.view.protocol), (48, 17));
        assert_eq!(got[40..48], inner[40..48], "the options are still there");
        let expected = udp(seen_as, "2001:db8::2", 100);
        assert_eq!(got[48..], expected[40..], "the checksum fits the addresses seen");
        for kind in [0, 43] {
            assert_eq!(seal_with(&out, &extended(kind)).unwrap_err(), Drop::Header, "header {kind}");
        }
    }
    let (a, b) = pair(GCM, Mode::Transport, |_| {});
    let (out, _) = halves(&a, &b);
    let plain = udp("192.0.2.1", "192.0.2.2", 100);
    let mut options = [&plain[..20], &[0x94, 4, 0, 0], &plain[20..]].concat();
    options[0] = 0x46;
    let len = u16::try_from(options.len()).unwrap();
    options[2..4].copy_from_slice(&len.to_be_bytes());
    assert_eq!(seal_with(&out, &options).unwrap_err(), Drop::Header);
}

#[test]
fn numbers_running_out_are_told_in_time() {
    let (a, _) = pair(GCM, Mode::Tunnel, |_| {});
    let inner = udp("10.0.0.1", "10.0.0.2", 4);
    let last = u64::from(u32::MAX);
    let limit = |out: &Arc<OutSa>| seal_with(out, &inner).unwrap().1.limit;
    let out = Arc::new(OutSa::resumed(&a, last - (last >> 4) - 2).unwrap());
    assert_eq!([limit(&out), limit(&out), limit(&out)], [None, Some(Limit::Soft), None]);
    let out = Arc::new(OutSa::resumed(&a, last - 2).unwrap());
    assert_eq!([limit(&out), limit(&out)], [Some(Limit::Soft), Some(Limit::Hard)]);
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Exhausted);
    let (a, _) = pair(GCM, Mode::Tunnel, |c| c.esn = true);
    let out = Arc::new(OutSa::resumed(&a, last - 2).unwrap());
    assert_eq!([limit(&out), limit(&out), limit(&out)], [None; 3], "extended numbers go on");
    let out = Arc::new(OutSa::resumed(&a, u64::MAX - 1).unwrap());
    assert_eq!(limit(&out), Some(Limit::Hard));
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Exhausted);
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Exhausted);
}

#[test]
fn what_is_said_of_the_opened_packet_is_what_it_says() {
    let (a, b) = pair(GCM, Mode::Tunnel, |c| Arc::make_mut(&mut c.config).copy_dscp = "yes".into());
    let (out, sa) = halves(&a, &b);
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        let mut inner = udp(from, to, 4);
        wire::ip::set_ecn(&mut inner, 2);
        let (esp, _) = seal_with(&out, &inner).unwrap();
        let (got, opened) = open_with(&sa, &esp, 46 << 2 | 3).unwrap();
        assert_eq!(IpView::parse(&got).unwrap(), opened.view);
        assert_eq!((opened.view.dscp, opened.view.ecn), (46, 3));
    }
}

/// Many workers, one SA: no number is used twice outbound, and of every packet that comes twice one is taken.
#[test]
fn workers_share_an_sa() {
    let (a, b) = pair(GCM, Mode::Tunnel, |c| Arc::make_mut(&mut c.config).replay_window = 4096);
    let (out, sa) = halves(&a, &b);
    let inner = udp("10.0.0.1", "10.0.0.2", 40);
    let sealed: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let seal = || (0..250).map(|_| seal_with(&out, &inner).unwrap().0).collect::<Vec<_>>();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(seal)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    let numbers: std::collections::BTreeSet<_> = sealed.iter().map(|p| p[4..8].to_vec()).collect();
    assert_eq!(numbers.len(), 1000);
    let taken: usize = std::thread::scope(|scope| {
        let open = || sealed.iter().filter(|p| open_with(&sa, p, 0).is_ok()).count();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        workers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert_eq!(taken, 1000);
    assert_eq!((sa.usage().packets, out.usage().packets), (1000, 1000));
}

#[test]
fn any_changed_byte_is_refused() {
    for suite in SUITES {
        let (a, b) = pair(*suite, Mode::Tunnel, |_| {});
        let (out, sa) = halves(&a, &b);
        let (esp, _) = seal_with(&out, &udp("10.0.0.1", "10.0.0.2", 40)).unwrap();
        for at in 4..esp.len() {
            let mut bad = esp.clone();
            bad[at] ^= 2;
            assert_eq!(open_with(&sa, &bad, 0).unwrap_err(), Drop::Integrity, "{suite:?} byte {at}");
        }
        assert!(open_with(&sa, &esp, 0).is_ok(), "a forged packet must not move the window");
    }
}

#[test]
fn sequence_numbers_never_cycle() {
    let (a, b) = pair(GCM, Mode::Tunnel, |_| {});
    let out = Arc::new(OutSa::resumed(&a, u64::from(u32::MAX) - 1).unwrap());
    let sa = InSa::new(&b).unwrap();
    let inner = udp("10.0.0.1", "10.0.0.2", 4);
    assert!(open_with(&sa, &seal_with(&out, &inner).unwrap().0, 0).is_ok());
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Exhausted);
}

#[test]
fn extended_numbers_pass_into_the_next_subspace() {
    let (a, b) = pair(SUITES[8], Mode::Tunnel, |c| c.esn = true);
    let start = u64::from(u32::MAX) - 20;
    let (out, sa) = (Arc::new(OutSa::resumed(&a, start).unwrap()), InSa::resumed(&b, start).unwrap());
    let inner = udp("10.0.0.1", "10.0.0.2", 4);
    let mut late = None;
    for n in 0..60 {
        let (esp, _) = seal_with(&out, &inner).unwrap();
        if n == 15 {
            late = Some(esp);
        } else {
            assert!(open_with(&sa, &esp, 0).is_ok(), "packet {n}");
        }
    }
    assert!(
        open_with(&sa, &late.unwrap(), 0).is_ok(),
        "a late packet of the old subspace, still in the window"
    );
}

#[test]
fn selectors_are_enforced_inside() {
    let net = |s: &str| Selector::subnet(s.parse().unwrap());
    let (a, b) = pair(GCM, Mode::Tunnel, |c| {
        let (ours, theirs) = (net("10.1.0.0/16"), net("10.2.0.0/16").restricted(17, (0, 65535)));
        (c.local_ts, c.remote_ts) =
            if c.initiator { ([ours].into(), [theirs].into()) } else { ([theirs].into(), [ours].into()) };
    });
    let (out, sa) = halves(&a, &b);
    let send = |s, d| open_with(&sa, &seal_with(&out, &udp(s, d, 4)).unwrap().0, 0);
    assert!(send("10.1.0.1", "10.2.0.1").is_ok());
    assert_eq!(send("10.9.0.1", "10.2.0.1").unwrap_err(), Drop::Selector);
    assert_eq!(send("10.1.0.1", "10.9.0.1").unwrap_err(), Drop::Selector);
    assert_eq!(send("fd00::1", "fd00::2").unwrap_err(), Drop::Selector);
}

#[test]
fn limits_are_told_once_and_obeyed() {
    let (a, b) = pair(GCM, Mode::Tunnel, |c| (c.soft, c.hard) = ((0, 3), (0, 5)));
    let (out, sa) = halves(&a, &b);
    let inner = udp("10.0.0.1", "10.0.0.2", 4);
    let mut told = vec![];
    for _ in 0..5 {
        let (esp, sealed) = seal_with(&out, &inner).unwrap();
        told.push(sealed.limit);
        open_with(&sa, &esp, 0).unwrap();
    }
    assert_eq!(told, [None, None, Some(Limit::Soft), None, Some(Limit::Hard)]);
    assert_eq!(seal_with(&out, &inner).unwrap_err(), Drop::Expired);
}

#[test]
fn ecn_and_dscp_cross_the_tunnel_as_rfc_6040_says() {
    let (a, b) = pair(GCM, Mode::Tunnel, |_| {});
    let (out, sa) = halves(&a, &b);
    // (inner, outer on arrival) -> inner afterwards; None = drop. RFC 6040 figure 4.
    let table = [
        (0, 0, Some(0)),
        (0, 1, Some(0)),
        (0, 2, Some(0)),
        (0, 3, None),
        (2, 0, Some(2)),
        (2, 1, Some(1)),
        (2, 2, Some(2)),
        (2, 3, Some(3)),
        (1, 0, Some(1)),
        (1, 1, Some(1)),
        (1, 2, Some(1)),
        (1, 3, Some(3)),
        (3, 0, Some(3)),
        (3, 1, Some(3)),
        (3, 2, Some(3)),
        (3, 3, Some(3)),
    ];
    for (inner_ecn, outer, expected) in table {
        for (s, d) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let mut inner = udp(s, d, 4);
            wire::ip::set_ecn(&mut inner, inner_ecn);
            let (esp, sealed) = seal_with(&out, &inner).unwrap();
            assert_eq!(sealed.class & 3, inner_ecn);
            let got = open_with(&sa, &esp, outer);
            match expected {
                None => assert_eq!(got.unwrap_err(), Drop::Ecn),
                Some(ecn) => {
                    assert_eq!(IpView::parse(&got.unwrap().0).unwrap().ecn, ecn, "{inner_ecn} {outer}")
                }
            }
        }
    }
}

#[test]
fn tfc_padding_hides_the_length() {
    let (a, b) = pair(GCM, Mode::Tunnel, |c| Arc::make_mut(&mut c.config).tfc_padding = u32::MAX);
    let (out, sa) = halves(&a, &b);
    let lengths: Vec<_> = [0, 100, 900]
        .map(|len| {
            let inner = udp("10.0.0.1", "10.0.0.2", len);
            let (esp, _) = seal_with(&out, &inner).unwrap();
            assert_eq!(open_with(&sa, &esp, 0).unwrap().0, inner);
            esp.len()
        })
        .into();
    assert!(lengths.iter().all(|l| *l == lengths[0] && *l <= 1400 && *l > 1380), "{lengths:?}");
}

#[test]
fn ah_and_beet_are_refused_by_name() {
    let (mut a, _) = pair(GCM, Mode::Tunnel, |_| {});
    a.mode = Mode::Beet;
    assert!(OutSa::new(&a).unwrap_err().to_string().contains("Beet"));
    a.mode = Mode::Tunnel;
    a.protocol = wire::iana::ProtocolId::Ah;
    assert!(InSa::new(&a).unwrap_err().to_string().contains("AH"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), suite in 0..SUITES.len(), transport: bool) {
        let (_, b) = pair(SUITES[suite], if transport { Mode::Transport } else { Mode::Tunnel }, |_| {});
        let sa = InSa::new(&b).unwrap();
        prop_assert!(open_with(&sa, &bytes, 0).is_err());
    }

    /// Whatever is sealed under the right key by a peer who lies inside opens or is refused, never worse.
    #[test]
    fn lying_peers_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), transport: bool) {
        let (a, b) = pair(GCM, if transport { Mode::Transport } else { Mode::Tunnel }, |_| {});
        let sa = InSa::new(&b).unwrap();
        let cipher = crypto::EspCipher::new(GCM.0, GCM.1, GCM.2, a.keys_out.encr.as_slice(), &[]).unwrap();
        let plain = bytes.len() / 4 * 4;
        let mut esp = vec![0; 16 + plain + 16];
        esp[..4].copy_from_slice(&a.spi_out.to_be_bytes());
        esp[7] = 1;
        esp[16..16 + plain].copy_from_slice(&bytes[..plain]);
        cipher.seal(None, &mut esp, 1).unwrap();
        let _ = open_with(&sa, &esp, 0);
    }
}
