//! How fast IKE messages are read and written, and IP packets looked at.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use wire::iana::{Encr, ExchangeType, Ke, NotifyType, PayloadType, Prf, ProtocolId, TransformType};
use wire::ike::{Flags, Header, KeyExchange, Message, Notify, Payload, Proposal, Sa, Transform};
use wire::ip::{IpView, ipv4_header, udp_header};

/// An IKE_SA_INIT request as a road warrior sends it.
fn init() -> (Header, Vec<Payload>) {
    let transform = |kind, id, key_bits| Transform { kind, id, key_bits };
    let proposal = Proposal {
        number: 1,
        protocol: ProtocolId::Ike,
        spi: Vec::new(),
        transforms: vec![
            transform(TransformType::Encr, Encr::AesGcm16.into(), Some(128)),
            transform(TransformType::Encr, Encr::AesGcm16.into(), Some(256)),
            transform(TransformType::Prf, Prf::HmacSha256.into(), None),
            transform(TransformType::Ke, Ke::X25519.into(), None),
            transform(TransformType::Ke, Ke::Ecp256.into(), None),
        ],
    };
    let notify =
        |kind, data| Payload::Notify(Notify { protocol: ProtocolId::None, spi: Vec::new(), kind, data });
    let header = Header {
        spi_i: 0x0102_0304_0506_0708,
        spi_r: 0,
        next: PayloadType::Sa,
        major: 2,
        minor: 0,
        exchange: ExchangeType::IkeSaInit,
        flags: Flags::INITIATOR,
        message_id: 0,
        length: 0,
    };
    let payloads = vec![
        Payload::Sa(Sa { proposals: vec![proposal] }),
        Payload::Ke(KeyExchange { method: Ke::X25519, data: vec![7; 32] }),
        Payload::Nonce(vec![9; 32]),
        notify(NotifyType::NatDetectionSourceIp, vec![1; 20]),
        notify(NotifyType::NatDetectionDestinationIp, vec![2; 20]),
        notify(NotifyType::Ikev2FragmentationSupported, Vec::new()),
    ];
    (header, payloads)
}

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    let (header, payloads) = init();
    let datagram = Message::encode(header, &payloads);
    group.throughput(Throughput::Bytes(datagram.len() as u64));
    group.bench_function("parse/IKE_SA_INIT", |b| b.iter(|| Message::parse(black_box(&datagram)).unwrap()));
    group.bench_function("encode/IKE_SA_INIT", |b| b.iter(|| Message::encode(header, black_box(&payloads))));

    let (source, destination) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let payload = [5u8; 1372];
    let udp = udp_header(std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination), 1, 2, &payload);
    let mut packet = ipv4_header(source, destination, 17, 8 + payload.len(), 64, 0, false).to_vec();
    packet.extend(udp);
    packet.extend(payload);
    group.throughput(Throughput::Elements(1));
    group.bench_function("look/IPv4 UDP", |b| b.iter(|| IpView::parse(black_box(&packet)).unwrap()));
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
