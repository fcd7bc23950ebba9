//! Messages written out by hand from the figures of RFC 7296, and the rules that refuse bent ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::net::IpAddr;
use wire::WireError;
use wire::iana::*;
use wire::ike::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect()
}

/// A road warrior's first message: SA (one proposal of AES-CBC-256, PRF and integrity by SHA-256, X25519 or
/// modp2048), KE, Ni, both NAT detection hashes, fragmentation, signature hashes, redirect.
const INIT: &str = "
    1122334455667788 0000000000000000 21 20 22 08 00000000 000000f8
    22 00 0038
        00 00 0034 01 01 00 05
        03 00 000c 01 00 000c 800e 0100
        03 00 0008 02 00 0005
        03 00 0008 03 00 000c
        03 00 0008 04 00 001f
        00 00 0008 04 00 000e
    28 00 0028 001f 0000
        000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f
    29 00 0024
        a0a1a2a3a4a5a6a7a8a9aaabacadaeaf b0b1b2b3b4b5b6b7b8b9babbbcbdbebf
    29 00 001c 00 00 4004 c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3
    29 00 001c 00 00 4005 e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3
    29 00 0008 00 00 402e
    29 00 0010 00 00 402f 0002 0003 0004 0005
    00 00 0008 00 00 4016
";

#[test]
fn ike_sa_init_request() {
    let bytes = hex(INIT);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        message.header,
        Header {
            spi_i: 0x1122_3344_5566_7788,
            spi_r: 0,
            next: PayloadType::Sa,
            major: 2,
            minor: 0,
            exchange: ExchangeType::IkeSaInit,
            flags: Flags::INITIATOR,
            message_id: 0,
            length: 248,
        }
    );
    let t = |kind, id, key_bits| Transform { kind, id, key_bits };
    let notify = |kind, data: &[u8]| {
        Payload::Notify(Notify { protocol: ProtocolId::None, spi: vec![], kind, data: data.into() })
    };
    let expected = vec![
        Payload::Sa(Sa {
            proposals: vec![Proposal {
                number: 1,
                protocol: ProtocolId::Ike,
                spi: vec![],
                transforms: vec![
                    t(TransformType::Encr, Encr::AesCbc.into(), Some(256)),
                    t(TransformType::Prf, Prf::HmacSha256.into(), None),
                    t(TransformType::Integ, Integ::HmacSha256_128.into(), None),
                    t(TransformType::Ke, Ke::X25519.into(), None),
                    t(TransformType::Ke, Ke::Modp2048.into(), None),
                ],
            }],
        }),
        Payload::Ke(KeyExchange { method: Ke::X25519, data: (0..32).collect() }),
        Payload::Nonce((0xa0..0xc0).collect()),
        notify(NotifyType::NatDetectionSourceIp, &(0xc0..0xd4).collect::<Vec<_>>()),
        notify(NotifyType::NatDetectionDestinationIp, &(0xe0..0xf4).collect::<Vec<_>>()),
        notify(NotifyType::Ikev2FragmentationSupported, &[]),
        notify(NotifyType::SignatureHashAlgorithms, &[0, 2, 0, 3, 0, 4, 0, 5]),
        notify(NotifyType::RedirectSupported, &[]),
    ];
    assert_eq!(message.payloads, expected);
    assert_eq!(Message::encode(message.header, &message.payloads), bytes);
}

#[test]
fn inside_of_an_ike_auth_request() {
    let inside = hex("
        2f 00 000c 02 000000 6d6f6f6e
        27 00 0010 01 000000 0001 0000 0008 0000
        29 00 000c 02 000000 deadbeef
        21 00 0008 00 00 4000
        2c 00 002c 00 00 0028 01 03 04 03 c0000001
            03 00 000c 01 00 0014 800e 0080
            03 00 0008 05 00 0001
            00 00 0008 05 00 0000
        2d 00 0018 01 000000 07 00 0010 0000 ffff 00000000 ffffffff
        2a 00 0030 01 000000 08 11 0028 0035 0035 20010db8000000000000000000000000 20010db8ffffffffffffffffffffffff
        00 00 000c 03 04 0001 c0000009
    ");
    let payloads = parse_chain(PayloadType::IdI, &inside).unwrap();
    assert_eq!(payloads.len(), 8);
    assert_eq!(payloads[0], Payload::IdI(Id { kind: IdType::Fqdn, data: b"moon".to_vec() }));
    assert_eq!(
        payloads[1],
        Payload::Cp(Cp {
            kind: ConfigType::Request,
            attributes: vec![
                ConfigAttr { kind: ConfigAttribute::Ip4Address, value: vec![] },
                ConfigAttr { kind: ConfigAttribute::Ip6Address, value: vec![] },
            ],
        })
    );
    assert_eq!(
        payloads[2],
        Payload::Auth(Auth { method: AuthMethod::Psk, data: vec![0xde, 0xad, 0xbe, 0xef] })
    );
    let Payload::Sa(sa) = &payloads[4] else { panic!("{:?}", payloads[4]) };
    assert_eq!(sa.proposals[0].spi, [0xc0, 0, 0, 1]);
    assert_eq!(sa.proposals[0].transforms.len(), 3);
    let Payload::TsR(ts) = &payloads[6] else { panic!("{:?}", payloads[6]) };
    let ip = |t: &str| t.parse::<IpAddr>().unwrap();
    assert_eq!(
        ts.selectors,
        [TsSelector {
            protocol: 17,
            start_port: 53,
            end_port: 53,
            start: ip("2001:db8::"),
            end: ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        }]
    );
    assert_eq!(payloads[7], Payload::Delete(Delete { protocol: ProtocolId::Esp, spis: vec![0xc000_0009] }));
    assert_eq!(encode_chain(&payloads), (PayloadType::IdI, inside));
}

/// One payload of type `kind` with this body.
fn one(kind: PayloadType, body: &str) -> Result<Payload, WireError> {
    let body = hex(body);
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    bytes.extend_from_slice(&body);
    parse_chain(kind, &bytes).map(|mut p| p.remove(0))
}

#[test]
fn a_transform_with_an_unknown_attribute_is_kept_as_one_nobody_chooses() {
    let sa = |attribute: &str| {
        let attribute = attribute.replace(' ', "");
        let n = attribute.len() / 2;
        let body = format!("00 00 {:04x} 01 03 00 01 00 00 {:04x} 01 00 000c {attribute}", 16 + n, 8 + n);
        let Payload::Sa(sa) = one(PayloadType::Sa, &body).unwrap() else { panic!() };
        sa.proposals[0].transforms[0]
    };
    assert_eq!(sa("800e 0080"), Transform { kind: TransformType::Encr, id: 12, key_bits: Some(128) });
    // Unknown, short form and long form; a key length in long form; two key lengths.
    for attribute in ["800f 0001", "0011 0003 aabbcc", "000e 0002 0080", "800e 0080 800e 0100"] {
        assert_eq!(sa(attribute).id, Transform::UNACCEPTABLE, "{attribute}");
        assert_eq!(sa(attribute).kind, TransformType::Encr);
    }
}

#[test]
fn unknown_payloads_survive_unless_critical() {
    let plain = hex("00 00 0006 abcd");
    let critical = hex("00 80 0006 abcd");
    let unknown = PayloadType::Unknown(200);
    assert_eq!(
        parse_chain(unknown, &plain).unwrap(),
        [Payload::Unknown { kind: unknown, body: vec![0xab, 0xcd] }]
    );
    assert_eq!(parse_chain(unknown, &critical), Err(WireError::UnsupportedCritical(200)));
    // Understood: the bit means nothing.
    assert_eq!(parse_chain(PayloadType::VendorId, &critical).unwrap(), [Payload::VendorId(vec![0xab, 0xcd])]);
}

#[test]
fn traffic_selectors_of_unknown_types_are_skipped() {
    let ts = one(PayloadType::TsI, "02 000000 09 00 0008 01020304 07 06 0010 0050 0050 0a000001 0a000001")
        .unwrap();
    let Payload::TsI(ts) = ts else { panic!() };
    assert_eq!(ts.selectors.len(), 1);
    let Payload::TsI(none) = one(PayloadType::TsI, "01 000000 0a 00 0008 01020304").unwrap() else {
        panic!()
    };
    assert_eq!(none.selectors, []);
}

#[test]
fn bent_payloads_are_refused() {
    use PayloadType as P;
    for (kind, body, why) in [
        (P::Delete, "03 08 0001 0102030405060708", "SPI size of ESP is 4"),
        (P::Delete, "01 08 0001 0102030405060708", "IKE has no SPIs here"),
        (P::Delete, "01 00 0001", "nor a count"),
        (P::Delete, "03 04 0002 01020304", "fewer SPIs than counted"),
        (P::Delete, "03 04 0001 01020304 05", "a byte too many"),
        (P::Notify, "03 05 4000 0102030405", "SPI of five bytes"),
        (P::Notify, "03 04 4000 01", "SPI cut off"),
        (P::Nonce, "0102030405060708090a0b0c0d0e0f", "nonce of 15 bytes"),
        (P::TsI, "00 000000", "no selector"),
        (P::TsI, "02 000000 07 00 0010 0000 ffff 00000000 ffffffff", "one fewer than counted"),
        (P::TsI, "01 000000 07 00 0014 0000 ffff 00000000 ffffffff 00000000", "IPv4 has 16 bytes"),
        (P::TsI, "01 000000 07 00 0010 0000 ffff 0a000002 0a000001", "the range runs backwards"),
        (P::TsI, "01 000000 07 00 0003", "shorter than its head"),
        (P::TsI, "01 000000 07 00 0010 0000 ffff 00000000 ffffffff 00", "a byte too many"),
        (P::Sa, "", "no proposal"),
        (P::Sa, "02 00 0008 01 03 00 00", "another proposal promised"),
        (P::Sa, "01 00 0008 01 03 00 00", "the mark is 0 or 2"),
        (P::Sa, "00 00 0008 01 03 00 00 00 00 0008 02 03 00 00", "one behind the last"),
        (P::Sa, "00 00 0010 01 03 00 01 03 00 0008 01 00 000c", "another transform promised"),
        (P::Sa, "00 00 0010 01 03 00 00 00 00 0008 01 00 000c", "more transforms than counted"),
        (P::Sa, "00 00 0010 01 03 00 02 00 00 0008 01 00 000c", "fewer transforms than counted"),
        (P::Sa, "00 00 0007 01 03 00", "proposal shorter than its head"),
        (P::Cp, "01 000000 0001 0004 0a0000", "attribute cut off"),
        (P::Ke, "001f 00", "cut off"),
        (P::IdI, "02 0000", "cut off"),
        (P::Sk, "00", "encrypted within encrypted"),
        (P::None, "00", "bytes behind the end"),
    ] {
        assert!(one(kind, body).is_err(), "{why}: {kind:?} {body}");
    }
}

#[test]
fn bent_headers_are_refused() {
    let good = hex(INIT);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Message::parse(&bytes)
    };
    assert_eq!(with(17, 0x10), Err(WireError::Version(1, 0)));
    assert_eq!(with(17, 0x31), Err(WireError::Version(3, 1)));
    assert!(with(17, 0x23).is_ok(), "minor versions are ignored");
    assert_eq!(with(27, 0xf9), Err(WireError::Illegal { what: "message length", value: 249 }));
    assert!(with(19, 0xff).is_ok(), "reserved flags are ignored");
    let mut long = good.clone();
    long.push(0);
    assert!(Message::parse(&long).is_err(), "trailing byte");
    assert_eq!(
        Message::parse(&good[..27]),
        Err(WireError::Truncated { what: "IKE header", need: 28, have: 27 })
    );
}

#[test]
fn an_isakmp_header_is_read_with_its_flags() {
    let bytes = hex("1122334455667788 99aabbccddeeff00 08 10 05 01 deadbeef 0000005c");
    let header = Header::parse(&bytes).unwrap();
    assert_eq!((header.major, header.exchange), (1, ExchangeType::InformationalV1));
    assert_eq!(header.flags.bits(), 1);
    let mut again = Vec::new();
    header.encode(&mut again);
    assert_eq!(again, bytes);
}

#[test]
fn fragments_outside_their_total_are_refused() {
    let header = Message::parse(&hex(INIT)).unwrap().header;
    for (number, total, good) in [(1, 1, true), (3, 3, true), (0, 3, false), (4, 3, false), (0, 0, false)] {
        let bytes = Message::encode_sealed(header, PayloadType::IdI, Some((number, total)), 40);
        assert_eq!(Message::parse(&bytes).is_ok(), good, "{number}/{total}");
    }
}

#[test]
fn an_encrypted_payload_is_the_last() {
    let header = Message::parse(&hex(INIT)).unwrap().header;
    let mut bytes = Message::encode_sealed(header, PayloadType::IdI, None, 40);
    // Shorten the SK payload: four bytes lie behind it.
    bytes[31] -= 4;
    assert!(Message::parse(&bytes).is_err());
}

#[test]
fn payloads_are_counted() {
    let many = |n| encode_chain(&vec![Payload::VendorId(vec![]); n]);
    let (first, bytes) = many(MAX_PAYLOADS);
    assert_eq!(parse_chain(first, &bytes).unwrap().len(), MAX_PAYLOADS);
    let (first, bytes) = many(MAX_PAYLOADS + 1);
    assert!(matches!(parse_chain(first, &bytes), Err(WireError::TooMany { .. })));
}

#[test]
fn what_does_not_fit_is_cut_and_stays_well_formed() {
    let t = Transform { kind: TransformType::Encr, id: 12, key_bits: Some(128) };
    let p = Proposal { number: 1, protocol: ProtocolId::Esp, spi: vec![1; 300], transforms: vec![t; 300] };
    let (first, bytes) = encode_chain(&[
        Payload::VendorId(vec![1; 70_000]),
        Payload::Sa(Sa { proposals: vec![p] }),
        Payload::Delete(Delete { protocol: ProtocolId::Esp, spis: vec![9; 70_000] }),
    ]);
    let parsed = parse_chain(first, &bytes).unwrap();
    assert_eq!(parsed[0], Payload::VendorId(vec![1; 65_531]));
    let Payload::Sa(sa) = &parsed[1] else { panic!() };
    assert_eq!((sa.proposals[0].spi.len(), sa.proposals[0].transforms.len()), (255, 255));
}
