//! What `Vendor-Specific` attributes hold (RFC 2865 5.26).
use super::Attribute;
use crate::WireError;
use crate::codec::{Reader, Writer, count8};
use crate::iana::RadiusType;

/// Numbers of vendors.
pub mod vendors {
    /// Microsoft (RFC 2548).
    pub const MICROSOFT: u32 = 311;
    /// Cisco.
    pub const CISCO: u32 = 9;
    /// Altiga, the Cisco VPN 3000: `CVPN3000-*`, of which clients' configurations are made.
    pub const ALTIGA: u32 = 3076;
    /// strongSwan.
    pub const STRONGSWAN: u32 = 36906;
}

/// Attributes of a vendor in one `Vendor-Specific`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    /// SMI Network Management Private Enterprise Code.
    pub id: u32,
    /// In order.
    pub attributes: Vec<VendorAttribute>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorAttribute {
    /// The vendor's type.
    pub kind: u8,
    /// Value.
    pub value: Vec<u8>,
}

impl Vendor {
    /// Bytes that the value of one attribute can have.
    pub const MAX: usize = Attribute::MAX - 6;

    /// Reads the value of a `Vendor-Specific`, which has the usual form: a type, a length, a value, and again.
    ///
    /// # Errors
    /// Something is cut off, or a length too small.
    pub fn parse(value: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(value);
        let id = r.u32("RADIUS vendor")?;
        let mut attributes = Vec::new();
        while !r.is_empty() {
            let kind = r.u8("RADIUS vendor's type")?;
            let length = r.u8("RADIUS vendor's length")?;
            let Some(rest) = length.checked_sub(2) else {
                return Err(WireError::illegal("RADIUS vendor's length", usize::from(length)));
            };
            let value = r.take(usize::from(rest), "RADIUS vendor's attribute")?.to_vec();
            attributes.push(VendorAttribute { kind, value });
        }
        Ok(Self { id, attributes })
    }

    /// A `Vendor-Specific` with one attribute.
    ///
    /// # Errors
    /// The value is too long.
    pub fn attribute(id: u32, kind: u8, value: &[u8]) -> Result<Attribute, WireError> {
        if value.len() > Self::MAX {
            return Err(WireError::TooMany { what: "RADIUS vendor's attribute", limit: Self::MAX });
        }
        let mut w = Writer::new();
        w.u32(id).u8(kind).u8(count8(value.len().saturating_add(2))).bytes(value);
        Ok(Attribute::new(RadiusType::VendorSpecific, w.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iana::RadiusCode;
    use crate::radius::Packet;

    #[test]
    fn vendors_lengths_that_lie_are_errors() {
        let good = Vendor::attribute(vendors::MICROSOFT, 17, &[7; 34]).unwrap();
        let parsed = Vendor::parse(&good.value).unwrap();
        assert_eq!((parsed.id, parsed.attributes.len()), (311, 1));
        assert_eq!(parsed.attributes[0], VendorAttribute { kind: 17, value: vec![7; 34] });
        // The vendor is cut off, a length counts less than its header, a length goes beyond the attribute.
        for end in [0, 3, 5, 10, good.value.len() - 1] {
            assert!(Vendor::parse(&good.value[..end]).is_err(), "{end}");
        }
        for length in [0, 1, 37, 255] {
            let mut bad = good.value.clone();
            bad[5] = length;
            assert!(Vendor::parse(&bad).is_err(), "{length}");
        }
        assert!(Vendor::attribute(9, 1, &[0; 248]).is_err());
        // In a packet the broken one is passed over, the whole one is found.
        let mut packet = Packet::new(RadiusCode::AccessAccept, 0, [0; 16]);
        packet.push(Attribute::new(RadiusType::VendorSpecific, [0, 0, 1, 0x37, 17, 200, 1]));
        packet.push(good);
        let found: Vec<_> = packet.vendor(vendors::MICROSOFT).collect();
        assert_eq!(found, parsed.attributes);
        assert_eq!(packet.vendor(vendors::CISCO).count(), 0);
    }
}
