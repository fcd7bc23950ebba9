//! What must hold for every byte string that reaches `vici`.

use vici::{Frames, Packet, message};

/// A message's body, a packet, and a stream of frames.
pub(crate) fn message(bytes: &[u8]) {
    if let Ok(tree) = message::decode(bytes) {
        let again = message::encode(&tree).expect("what was decoded can be encoded");
        assert_eq!(message::decode(&again).expect("our own encoding"), tree);
    }
    if let Ok(packet) = Packet::decode(bytes) {
        let frame = packet.encode().expect("what was decoded can be encoded");
        assert_eq!(Packet::decode(&frame[4..]).expect("our own encoding"), packet);
    }
    let mut frames = Frames::default();
    frames.push(bytes);
    while let Ok(Some(body)) = frames.next_body() {
        assert!(body.len() <= bytes.len());
    }
}
