//! What must hold for every packet that reaches `esp`, from the net, from a peer that holds the keys, from the host.

use crypto::esp_cipher::EspCipher;
use esp::{HEADROOM, InSa, OutSa, Packet, TAILROOM, pmtu};
use policy::{ChildSa, Mode};
use std::sync::Arc;
use wire::esp::EspHeader;
use wire::ip::IpView;

#[path = "../../crates/esp/tests/sample/sample.rs"]
mod sample;

/// The first byte picks suite and mode, the rest is the packet.
pub(crate) fn open(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(2000)];
    let suite = sample::SUITES[usize::from(how >> 1) % sample::SUITES.len()];
    let mode = if how & 1 == 0 { Mode::Tunnel } else { Mode::Transport };
    let (ours, theirs) = sample::pair(suite, mode, |_| {});
    from_the_net(&ours, bytes);
    from_the_peer(&ours, &theirs, bytes);
    if let Ok(view) = IpView::parse(bytes) {
        from_the_host(&ours, &theirs, bytes, &view);
    }
}

/// Bytes that nobody sealed are refused and harm nothing.
fn from_the_net(sa: &ChildSa, bytes: &[u8]) {
    let sa_in = InSa::new(sa).expect("a good SA");
    let mut memory = room(bytes);
    let end = HEADROOM + bytes.len();
    let mut packet = Packet::new(&mut memory, HEADROOM..end).expect("it is there");
    assert!(sa_in.open(&mut packet, sa.remote, 0, 0).is_err());
    assert_eq!(sa_in.usage().packets, 0);
}

/// A peer seals whatever it likes: what comes out is an IP packet, or nothing.
fn from_the_peer(ours: &ChildSa, theirs: &ChildSa, plain: &[u8]) {
    let keys = &theirs.keys_out;
    let (encr, bits) = theirs.encr;
    let cipher = EspCipher::new(encr, bits, theirs.integ, keys.encr.as_slice(), keys.integ.as_slice());
    let cipher = cipher.expect("a good SA");
    // A cipher seals whole blocks only.
    let plain = &plain[..plain.len() - plain.len() % cipher.align()];
    let mut sealed = EspHeader { spi: theirs.spi_out, seq: 1 }.encode().to_vec();
    sealed.resize(sealed.len() + cipher.iv_len(), 0);
    sealed.extend_from_slice(plain);
    sealed.resize(sealed.len() + cipher.icv_len(), 0);
    cipher.seal(None, &mut sealed, 1).expect("whole blocks");
    let sa_in = InSa::new(ours).expect("a good SA");
    let mut memory = room(&sealed);
    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + sealed.len()).expect("it is there");
    match sa_in.open(&mut packet, ours.remote, 0, 0) {
        Ok(opened) => {
            assert_eq!(IpView::parse(packet.bytes()), Ok(opened.view));
            assert_eq!(packet.len(), opened.view.total_len);
        }
        Err(_) => assert_eq!(sa_in.usage().packets, 0),
    }
    // Once is enough.
    let mut memory = room(&sealed);
    let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + sealed.len()).expect("it is there");
    assert!(sa_in.open(&mut packet, ours.remote, 0, 0).is_err());
}

/// What the host sends comes out at the other end as it went in; what does not fit is cut or answered.
fn from_the_host(ours: &ChildSa, theirs: &ChildSa, bytes: &[u8], view: &IpView) {
    let sa = Arc::new(OutSa::new(ours).expect("a good SA"));
    let mut turn = sa.try_turn().expect("nobody has it");
    let mut memory = room(bytes);
    let end = HEADROOM + bytes.len();
    let mut packet = Packet::new(&mut memory, HEADROOM..end).expect("it is there");
    if turn.seal(&mut packet, view, 0, 1400).is_ok() {
        let sa_in = InSa::new(theirs).expect("a good SA");
        if sa_in.open(&mut packet, theirs.remote, 0, 0).is_ok() && ours.mode == Mode::Tunnel {
            assert_eq!(packet.bytes()[view.header_len..], bytes[view.header_len..view.total_len]);
        }
    }
    let mut out = [0; pmtu::ICMP_MAX];
    for mtu in [0, 68, 576, 1280] {
        if let Some(len) = pmtu::too_big(bytes, view, mtu, None, &mut out) {
            let answer = IpView::parse(&out[..len]).expect("our own packet");
            assert_eq!((answer.destination, answer.total_len), (view.source, len));
        }
        let mut at = 0;
        for piece in pmtu::pieces(view, mtu) {
            assert_eq!(piece.offset, at);
            at += piece.len;
            let header = bytes.first_chunk().expect("an IPv4 header");
            assert!(at <= view.total_len - view.header_len);
            let _ = pmtu::piece_header(header, view, piece);
        }
    }
}

fn room(bytes: &[u8]) -> Vec<u8> {
    [&[0; HEADROOM][..], bytes, &[0; TAILROOM]].concat()
}
