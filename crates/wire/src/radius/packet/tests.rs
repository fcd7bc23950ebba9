use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// RFC 2865 7.1: User telnet.
#[test]
fn rfc_2865_access_request() {
    let bytes = hex(
        "01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 13 ce
         31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03",
    );
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.code, packet.id), (RadiusCode::AccessRequest, 0));
    assert_eq!(packet.text(RadiusType::UserName), Some("nemo"));
    assert_eq!(packet.number(RadiusType::NasPort), Some(3));
    assert_eq!(
        packet.first(RadiusType::NasIpAddress).unwrap().as_address(),
        Some("192.168.1.16".parse().unwrap())
    );
    assert_eq!(packet.encode().unwrap(), bytes);
}

#[test]
fn lengths_that_lie_are_errors() {
    let mut good = Packet::new(RadiusCode::AccessAccept, 7, [3; 16]);
    good.push(Attribute::text(RadiusType::Class, "Research"));
    let bytes = good.encode().unwrap();
    assert_eq!(Packet::parse(&bytes).as_ref(), Ok(&good));
    // Padding behind the end is not part of it.
    assert_eq!(Packet::parse(&[bytes.as_slice(), &[0; 9]].concat()).as_ref(), Ok(&good));
    for end in 0..bytes.len() {
        assert!(Packet::parse(&bytes[..end]).is_err(), "{end}");
    }
    // The length of the packet: too small, too large, larger than what came.
    for length in [0_u16, 19, 4097, 0xffff, 31] {
        let mut bad = bytes.clone();
        bad[2..4].copy_from_slice(&length.to_be_bytes());
        assert!(Packet::parse(&bad).is_err(), "{length}");
    }
    // The length of an attribute: less than its own header, and beyond the packet.
    for length in [0, 1, 11, 255] {
        let mut bad = bytes.clone();
        bad[21] = length;
        assert!(Packet::parse(&bad).is_err(), "{length}");
    }
    // An attribute without room for its length.
    let mut bad = bytes;
    bad.push(25);
    bad[3] += 1;
    assert!(Packet::parse(&bad).is_err());
}

#[test]
fn too_long_is_not_encoded() {
    let mut packet = Packet::new(RadiusCode::AccessRequest, 0, [0; 16]);
    packet.push(Attribute::new(RadiusType::State, [0; 254]));
    assert!(packet.encode().is_err());
    packet.attributes.clear();
    packet.push_split(RadiusType::EapMessage, &[0; 4100]);
    assert!(packet.encode().is_err());
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let attribute = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..=Attribute::MAX))
        .prop_map(|(kind, value)| Attribute::new(RadiusType::from(kind), value));
    let attributes = proptest::collection::vec(attribute, 0..16);
    (any::<u8>(), any::<u8>(), any::<[u8; 16]>(), attributes).prop_map(
        |(code, id, authenticator, attributes)| Packet { code: code.into(), id, authenticator, attributes },
    )
}

proptest! {
    #[test]
    fn what_was_encoded_parses_to_the_same(packet in any_packet()) {
        let bytes = packet.encode().unwrap();
        prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
    }

    #[test]
    fn what_was_parsed_encodes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        if let Some(length) = bytes.get_mut(2..4) {
            length.copy_from_slice(&[0, length[1]]);
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            let again = packet.encode().unwrap();
            prop_assert_eq!(&bytes[..again.len()], again.as_slice());
        }
    }

    #[test]
    fn eap_survives_being_split(eap in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let mut packet = Packet::new(RadiusCode::AccessRequest, 0, [0; 16]);
        packet.push_split(RadiusType::EapMessage, &eap);
        let packet = Packet::parse(&packet.encode().unwrap()).unwrap();
        prop_assert_eq!(packet.joined(RadiusType::EapMessage), Some(eap));
        prop_assert_eq!(packet.joined(RadiusType::State), None);
    }
}
