//! What must hold for every byte string that reaches `wire`.

use wire::esp::{EspHeader, EspTrailer};
use wire::frame::{Frame, STREAM_PREFIX, StreamSplitter, stream_frame};
use wire::ike::{Header, Message, Payload, encode_chain, parse_chain};
use wire::ip::{Checksum, IpView, set_ecn};

/// A whole datagram.
pub(crate) fn message(bytes: &[u8]) {
    if let Ok(header) = Header::parse(bytes) {
        let mut again = Vec::new();
        header.encode(&mut again);
        assert_eq!(Header::parse(&again).as_ref(), Ok(&header));
    }
    // Past the checks that would stop nearly every mutation: version and length.
    let mut fitted = bytes.to_vec();
    if let (Some(version), Ok(length)) = (bytes.get(17), u32::try_from(bytes.len())) {
        fitted[17] = 0x20 | version & 0x0f;
        if let Some(field) = fitted.get_mut(24..28) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
    for bytes in [bytes, &fitted] {
        let Ok(message) = Message::parse(bytes) else { continue };
        assert_eq!(u32::try_from(bytes.len()), Ok(message.header.length));
        stable(&message.payloads);
        let Some(sealed) = message.sealed else { continue };
        assert_eq!((sealed.aad.start, sealed.aad.end, sealed.body.end), (0, sealed.body.start, bytes.len()));
        if message.payloads.is_empty() {
            let again =
                Message::encode_sealed(message.header, sealed.inner, sealed.fragment, sealed.body.len());
            let again = Message::parse(&again).expect("our own encoding");
            assert_eq!(again.sealed, Some(sealed));
        }
    }
}

/// What a decrypted SK payload holds; the first byte is the type of the first payload.
pub(crate) fn chain(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    if let Ok(payloads) = parse_chain((*first).into(), bytes) {
        assert!(payloads.len() * 4 <= bytes.len());
        stable(&payloads);
    }
}

/// What was parsed is encoded to bytes that parse to the same. A TS payload of nothing but unknown selector types
/// comes out empty and cannot be said again.
fn stable(payloads: &[Payload]) {
    if payloads.iter().any(|p| matches!(p, Payload::TsI(ts) | Payload::TsR(ts) if ts.selectors.is_empty())) {
        return;
    }
    let (first, bytes) = encode_chain(payloads);
    let again = parse_chain(first, &bytes).expect("our own encoding");
    assert_eq!(again, payloads);
    assert_eq!(encode_chain(&again), (first, bytes));
}

/// A packet: as ESP, as decrypted ESP, as IP.
pub(crate) fn esp_ip(bytes: &[u8]) {
    if let Ok(header) = EspHeader::parse(bytes) {
        assert_eq!(Some(&header.encode()[..]), bytes.get(..8));
    }
    if let Ok((payload, trailer)) = EspTrailer::parse(bytes) {
        assert_eq!(payload.len() + usize::from(trailer.pad_len) + EspTrailer::LEN, bytes.len());
    }
    let Ok(view) = IpView::parse(bytes) else { return };
    assert!(view.header_len <= view.total_len && view.total_len <= bytes.len());
    assert_eq!(view.source.is_ipv4(), view.destination.is_ipv4());
    // ECN changes and nothing else; a right IPv4 header checksum stays right.
    let mut marked = bytes.to_vec();
    set_ecn(&mut marked, 3);
    assert_eq!(IpView::parse(&marked), Ok(IpView { ecn: 3, ..view }));
    let sum = |p: &[u8]| p.get(..view.header_len).map(|h| Checksum::new().bytes(h).finish());
    if view.source.is_ipv4() && sum(bytes) == Some(0) {
        assert_eq!(sum(&marked), Some(0));
    }
}

/// A datagram on the NAT-T port, and a TCP stream cut into pieces as the first byte says.
pub(crate) fn frame(bytes: &[u8]) {
    match Frame::parse(bytes) {
        Ok(Frame::Ike(inner)) => assert_eq!(inner.len() + 4, bytes.len()),
        Ok(Frame::Esp(inner)) => assert!(inner.len() == bytes.len() && inner.get(..4) != Some(&[0; 4])),
        Ok(Frame::Keepalive) => assert_eq!(bytes.len(), 1),
        Err(_) => assert!(bytes.len() < 4),
    }
    let Some((how, stream)) = bytes.split_first() else { return };
    let accepted = how & 1 != 0;
    let whole = split(accepted, stream, usize::MAX);
    assert_eq!(split(accepted, stream, usize::from(how >> 1).max(1)), whole);
    let (frames, clean) = whole;
    if clean {
        let mut again = if accepted { STREAM_PREFIX.to_vec() } else { Vec::new() };
        for frame in &frames {
            again.extend(stream_frame(frame).expect("came out of a frame"));
        }
        assert!(stream.starts_with(&again) || again.len() > stream.len());
    }
}

fn split(accepted: bool, stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut splitter = StreamSplitter::new(accepted);
    let mut frames = Vec::new();
    for mut piece in stream.chunks(piece.min(stream.len()).max(1)) {
        loop {
            match splitter.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}
