//! Pairs of SAs and inner packets for tests and benches.
#![allow(dead_code, reason = "each user takes its part")]

use crypto::Secret;
use policy::{Child, ChildSa, Mode, SaKeys, Selector};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::iana::{Encr, Integ, ProtocolId};
use wire::ip::{IPV4_LEN, IPV6_LEN, ipv4_header, ipv6_header, udp_header};

/// Every transform the data plane must carry.
pub(crate) const SUITES: &[(Encr, u16, Integ)] = &[
    (Encr::AesGcm16, 128, Integ::None),
    (Encr::AesGcm16, 256, Integ::None),
    (Encr::AesGcm12, 128, Integ::None),
    (Encr::AesGcm8, 128, Integ::None),
    (Encr::AesCcm16, 128, Integ::None),
    (Encr::AesCcm8, 256, Integ::None),
    (Encr::ChaCha20Poly1305, 0, Integ::None),
    (Encr::AesCbc, 128, Integ::HmacSha1_96),
    (Encr::AesCbc, 256, Integ::HmacSha256_128),
    (Encr::AesCbc, 192, Integ::HmacSha384_192),
    (Encr::AesCbc, 128, Integ::HmacSha512_256),
    (Encr::AesCbc, 128, Integ::AesXcbc96),
    (Encr::AesCtr, 128, Integ::AesCmac96),
    (Encr::TripleDes, 0, Integ::HmacSha256_128),
    (Encr::Null, 0, Integ::HmacSha256_128),
];

/// Both ends of one CHILD_SA; `a` initiated.
pub(crate) fn pair(
    suite: (Encr, u16, Integ),
    mode: Mode,
    change: impl Fn(&mut ChildSa),
) -> (ChildSa, ChildSa) {
    let (encr, bits, integ) = suite;
    let key = |seed: u8| SaKeys {
        encr: Secret::new(vec![seed; crypto::table::key_len(encr, bits).unwrap()]),
        integ: Secret::new(vec![seed ^ 0xff; crypto::table::integ_key_len(integ).unwrap()]),
    };
    let config = Child { replay_window: 64, ..Child::default() };
    let (a, b): (SocketAddr, SocketAddr) =
        ("192.0.2.1:4500".parse().unwrap(), "192.0.2.2:4500".parse().unwrap());
    let inner = |v4: bool| Selector::everything(v4);
    let build = |initiator: bool| {
        let (local, remote) = if initiator { (a, b) } else { (b, a) };
        let (spi_in, spi_out, in_seed, out_seed) =
            if initiator { (0xa001, 0xb001, 1, 2) } else { (0xb001, 0xa001, 2, 1) };
        let mut sa = ChildSa {
            id: 1,
            ike_id: 1,
            config: Arc::new(config.clone()),
            connection: "test".into(),
            reqid: 1,
            protocol: ProtocolId::Esp,
            mode,
            spi_in,
            spi_out,
            encr: (encr, bits),
            integ,
            esn: false,
            keys_in: key(in_seed),
            keys_out: key(out_seed),
            local,
            remote,
            encap: true,
            tfc_allowed: true,
            local_ts: [inner(true), inner(false)].into(),
            remote_ts: [inner(true), inner(false)].into(),
            local_vips: [].into(),
            initiator,
            replaces: None,
            inbound_only: false,
            mark_in: (0, 0),
            mark_out: (0, 0),
            if_id_in: 0,
            if_id_out: 0,
            interface: None,
            soft: (0, 0),
            cpi_in: 0,
            cpi_out: 0,
            hard: (0, 0),
        };
        change(&mut sa);
        sa
    };
    (build(true), build(false))
}

/// A UDP packet of `len` payload bytes.
pub(crate) fn udp(source: &str, destination: &str, len: usize) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let payload: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut out = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ipv4_header(s, d, 17, 8 + len, 61, 0, true).to_vec(),
        (IpAddr::V6(s), IpAddr::V6(d)) => ipv6_header(s, d, 17, 8 + len, 61, 0).to_vec(),
        _ => panic!("mixed families"),
    };
    assert!(out.len() == IPV4_LEN || out.len() == IPV6_LEN);
    out.extend(udp_header(source, destination, 1000, 2000, &payload));
    out.extend(payload);
    out
}
