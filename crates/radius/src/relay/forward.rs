//! Attributes that go through the gateway, between the peer and its RADIUS server (strongSwan's `eap-radius.forward`).
use wire::radius::{Attribute, AttributeName, Packet, Vendor};

/// Attributes for the peer of one Access-Accept, and what they may take together: the response also has the EAP packet.
const MANY: usize = 16;
const BYTES: usize = 1024;

/// Of what a peer sent, that which these names allow: whole attributes with type and length, nothing cut off.
pub(super) fn from_peer(sent: &[Vec<u8>], names: &[AttributeName]) -> Vec<Attribute> {
    let attributes = sent.iter().filter_map(|bytes| Attribute::from_bytes(bytes).ok());
    attributes.flat_map(|attribute| chosen(&attribute, names)).take(MANY).collect()
}

/// Of what the server said, that which these names allow, in its order.
pub(super) fn to_peer(packet: &Packet, names: &[AttributeName]) -> Vec<Vec<u8>> {
    let mut room = BYTES;
    let attributes = packet.attributes.iter().flat_map(|attribute| chosen(attribute, names));
    let bytes = attributes.filter_map(|attribute| attribute.to_bytes().ok());
    let fits = |bytes: &Vec<u8>| room.checked_sub(bytes.len()).map(|left| room = left).is_some();
    bytes.filter(fits).take(MANY).collect()
}

/// The attribute, or of a vendor's the parts that are named.
fn chosen(attribute: &Attribute, names: &[AttributeName]) -> Vec<Attribute> {
    if names.contains(&AttributeName::Standard(attribute.kind)) {
        return vec![attribute.clone()];
    }
    let Some(vendor) = attribute.as_vendor() else { return Vec::new() };
    let named =
        vendor.attributes.iter().filter(|part| names.contains(&AttributeName::Vendor(vendor.id, part.kind)));
    named.filter_map(|part| Vendor::attribute(vendor.id, part.kind, &part.value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::iana::{RadiusCode, RadiusType};
    use wire::radius::parse_name;

    fn names(texts: &[&str]) -> Vec<AttributeName> {
        texts.iter().map(|text| parse_name(text).unwrap()).collect()
    }

    #[test]
    fn only_what_is_named_goes_through() {
        let hello = Attribute::text(RadiusType::ReplyMessage, "hello");
        let mut two = Vendor::attribute(36906, 12, b"twelve").unwrap();
        two.value.extend([13, 4, 1, 2]);
        let mut packet = Packet::new(RadiusCode::AccessAccept, 1, [0; 16]);
        packet.attributes = vec![Attribute::text(RadiusType::Class, "staff"), hello.clone(), two.clone()];
        assert!(to_peer(&packet, &[]).is_empty());
        let sent = to_peer(&packet, &names(&["Reply-Message", "36906:12"]));
        // RFC 2865 5.18: type 18, the length of all, the text.
        assert_eq!(sent[0], b"\x12\x07hello");
        assert_eq!(sent[1], [&[26, 14, 0, 0, 0x90, 0x2a, 12, 8][..], b"twelve"].concat());
        assert_eq!(sent.len(), 2, "the other part of the vendor's attribute stays");
        assert_eq!(from_peer(&sent, &names(&["18"])), [hello]);
        assert_eq!(from_peer(&sent, &names(&["36906:12"])).len(), 1);
        assert!(from_peer(&sent, &names(&["Class", "36906:13"])).is_empty());
    }

    #[test]
    fn garbage_and_floods_stop_here() {
        let all = names(&["Reply-Message", "36906:12"]);
        for bytes in [
            &[][..],
            &[18],
            &[18, 1],
            &[18, 9, 1],
            &[18, 3, 1, 1],
            &[26, 4, 0, 0],
            &[26, 8, 0, 0, 0x90, 0x2a, 12, 9],
        ] {
            assert!(from_peer(&[bytes.to_vec()], &all).is_empty(), "{bytes:?}");
        }
        let many = vec![vec![18, 3, b'x']; 40];
        assert_eq!(from_peer(&many, &all).len(), MANY);
        let mut packet = Packet::new(RadiusCode::AccessAccept, 1, [0; 16]);
        packet.attributes = vec![Attribute::new(RadiusType::ReplyMessage, [b'x'; 253]); 9];
        assert_eq!(to_peer(&packet, &all).len(), BYTES / 255);
    }
}
