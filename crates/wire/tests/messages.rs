//! Round trips of generated messages; arbitrary bytes never panic.
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
use wire::iana::*;
use wire::ike::*;

fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), any::<Option<u16>>()).prop_map(|(kind, id, key_bits)| Transform {
        kind: kind.into(),
        id,
        key_bits,
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..9), vec(transform(), 0..20)).prop_map(
        |(number, protocol, spi, transforms)| Proposal { number, protocol: protocol.into(), spi, transforms },
    )
}

fn selector() -> impl Strategy<Value = TsSelector> {
    let v4 = any::<(u32, u32)>()
        .prop_map(|(a, b)| (IpAddr::V4(Ipv4Addr::from(a.min(b))), IpAddr::V4(Ipv4Addr::from(a.max(b)))));
    let v6 = any::<(u128, u128)>()
        .prop_map(|(a, b)| (IpAddr::V6(Ipv6Addr::from(a.min(b))), IpAddr::V6(Ipv6Addr::from(a.max(b)))));
    (any::<u8>(), any::<u16>(), any::<u16>(), prop_oneof![v4, v6]).prop_map(
        |(protocol, start_port, end_port, (start, end))| TsSelector {
            protocol,
            start_port,
            end_port,
            start,
            end,
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    let ts = || vec(selector(), 1..12).prop_map(|selectors| Ts { selectors });
    let id = || (any::<u8>(), data()).prop_map(|(kind, data)| Id { kind: kind.into(), data });
    prop_oneof![
        vec(proposal(), 1..6).prop_map(|proposals| Payload::Sa(Sa { proposals })),
        (any::<u16>(), data())
            .prop_map(|(method, data)| Payload::Ke(KeyExchange { method: method.into(), data })),
        id().prop_map(Payload::IdI),
        id().prop_map(Payload::IdR),
        (any::<u8>(), data()).prop_map(|(e, data)| Payload::Cert(Cert { encoding: e.into(), data })),
        (any::<u8>(), data())
            .prop_map(|(e, authorities)| Payload::CertReq(CertReq { encoding: e.into(), authorities })),
        (any::<u8>(), data()).prop_map(|(m, data)| Payload::Auth(Auth { method: m.into(), data })),
        vec(any::<u8>(), 16..=256).prop_map(Payload::Nonce),
        (any::<u8>(), any::<u16>(), prop::sample::select(vec![0_usize, 4, 8]), data()).prop_map(
            |(protocol, kind, spi, data)| Payload::Notify(Notify {
                protocol: protocol.into(),
                spi: vec![7; spi],
                kind: kind.into(),
                data,
            })
        ),
        (any::<bool>(), vec(any::<u32>(), 0..9)).prop_map(|(esp, spis)| Payload::Delete(if esp {
            Delete { protocol: ProtocolId::Esp, spis }
        } else {
            Delete { protocol: ProtocolId::Ike, spis: vec![] }
        })),
        data().prop_map(Payload::VendorId),
        ts().prop_map(Payload::TsI),
        ts().prop_map(Payload::TsR),
        (any::<u8>(), vec((0..0x8000_u16, data()), 0..9)).prop_map(|(kind, attributes)| Payload::Cp(Cp {
            kind: kind.into(),
            attributes: attributes
                .into_iter()
                .map(|(kind, value)| ConfigAttr { kind: kind.into(), value })
                .collect(),
        })),
        data().prop_map(Payload::Eap),
        (49..=52_u8, data()).prop_map(|(kind, body)| Payload::Unknown { kind: kind.into(), body }),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    (any::<(u64, u64)>(), any::<(u8, u8, u32)>(), 0..16_u8).prop_map(
        |((spi_i, spi_r), (exchange, flags, message_id), minor)| Header {
            spi_i,
            spi_r,
            next: PayloadType::None,
            major: 2,
            minor,
            exchange: exchange.into(),
            flags: Flags::from_bits_truncate(flags),
            message_id,
            length: 0,
        },
    )
}

/// Bytes that look enough like a message to reach the inner parsers.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    (header(), vec(payload(), 0..6), vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), any::<bool>())
        .prop_map(|(header, payloads, flips, fix)| {
            let mut bytes = Message::encode(header, &payloads);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if fix {
                let len = bytes.len() as u32;
                bytes[24..28].copy_from_slice(&len.to_be_bytes());
                bytes[17] = 0x20;
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_encoded_is_parsed_back(header in header(), payloads in vec(payload(), 0..8)) {
        let bytes = Message::encode(header, &payloads);
        let parsed = Message::parse(&bytes).unwrap();
        prop_assert_eq!(&parsed.payloads, &payloads);
        prop_assert_eq!(parsed.sealed, None);
        prop_assert_eq!(parsed.header.length as usize, bytes.len());
        let first = payloads.first().map_or(PayloadType::None, Payload::kind);
        prop_assert_eq!(parsed.header, Header { next: first, length: bytes.len() as u32, ..header });
        prop_assert_eq!(Message::encode(parsed.header, &parsed.payloads), bytes);
    }

    #[test]
    fn a_sealed_message_has_its_ranges(
        header in header(), inner in any::<u8>(), total in 1..9_u16, number in 1..9_u16, len in 0..200_usize, whole in any::<bool>(),
    ) {
        let fragment = (!whole).then_some((number.min(total), total));
        let bytes = Message::encode_sealed(header, inner.into(), fragment, len);
        let sealed = Message::parse(&bytes).unwrap().sealed.unwrap();
        let head = if whole { 32 } else { 36 };
        prop_assert_eq!(sealed, Sealed { inner: inner.into(), fragment, aad: 0..head, body: head..head + len });
        prop_assert_eq!(bytes.len(), head + len);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), first in any::<u8>()) {
        let _ = Header::parse(&bytes);
        let _ = Message::parse(&bytes);
        if let Ok(payloads) = parse_chain(first.into(), &bytes) {
            stable(&payloads)?;
        }
    }

    #[test]
    fn bent_messages_never_panic_and_reencode_stably(bytes in nearly()) {
        if let Ok(message) = Message::parse(&bytes) {
            stable(&message.payloads)?;
        }
    }

    #[test]
    fn a_cut_message_is_refused(header in header(), payloads in vec(payload(), 0..4), at in any::<prop::sample::Index>()) {
        let bytes = Message::encode(header, &payloads);
        let cut = at.index(bytes.len());
        prop_assert!(Message::parse(&bytes[..cut]).is_err());
        // And with the length made to fit the cut: no panic, and nothing is invented.
        let mut short = bytes[..cut].to_vec();
        if cut >= 28 {
            short[24..28].copy_from_slice(&(cut as u32).to_be_bytes());
            if let Ok(message) = Message::parse(&short) {
                prop_assert!(message.payloads.len() <= payloads.len());
            }
        }
    }
}

/// Encoding what was parsed and parsing it again gives the same value, and the same bytes from then on. Only a TS
/// payload whose every selector was of an unknown type cannot be said again.
fn stable(payloads: &[Payload]) -> Result<(), TestCaseError> {
    let mute = |p: &Payload| matches!(p, Payload::TsI(ts) | Payload::TsR(ts) if ts.selectors.is_empty());
    if payloads.iter().any(mute) {
        return Ok(());
    }
    let (first, bytes) = encode_chain(payloads);
    let again = parse_chain(first, &bytes).unwrap();
    prop_assert_eq!(&again, payloads);
    prop_assert_eq!(encode_chain(&again), (first, bytes));
    Ok(())
}
