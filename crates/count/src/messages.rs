//! IKE messages read and written, IP packets looked at.
use crate::meter::Counts;
use crate::sample;
use std::hint::black_box;
use wire::iana::{Encr, ExchangeType, Ke, NotifyType, PayloadType, Prf, ProtocolId, TransformType};
use wire::ike::{Flags, Header, KeyExchange, Message, Notify, Payload, Proposal, Sa, Transform};
use wire::ip::IpView;

const TIMES: u32 = 100;

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

pub(crate) fn all(counts: &mut Counts) {
    let (header, payloads) = init();
    let datagram = Message::encode(header, &payloads);
    counts.bench("wire/parse/IKE_SA_INIT", TIMES, |meter| {
        meter.count(|| (0..TIMES).for_each(|_| drop(Message::parse(black_box(&datagram)).unwrap())));
    });
    counts.bench("wire/encode/IKE_SA_INIT", TIMES, |meter| {
        meter.count(|| (0..TIMES).for_each(|_| drop(Message::encode(header, black_box(&payloads)))));
    });
    let packet = sample::udp("10.0.0.1", "10.0.0.2", 1372);
    counts.bench("wire/look/IPv4 UDP", TIMES, |meter| {
        meter.count(|| (0..TIMES).for_each(|_| _ = black_box(IpView::parse(black_box(&packet)).unwrap())));
    });
}
