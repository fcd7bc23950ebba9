//! One attribute: a type and up to 253 bytes.
use super::Vendor;
use crate::WireError;
use crate::codec::{Reader, Writer, count8};
use crate::iana::RadiusType;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An attribute as it stands in the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Type.
    pub kind: RadiusType,
    /// Value, at most [`Attribute::MAX`] bytes.
    pub value: Vec<u8>,
}

/// A value with a tag before it (RFC 2868 3.1); tag 0: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<T> {
    /// Which tunnel it belongs to.
    pub tag: u8,
    /// The value.
    pub value: T,
}

impl Attribute {
    /// Bytes that a value can have.
    pub const MAX: usize = 253;

    /// Bytes.
    #[must_use]
    pub fn new(kind: RadiusType, value: impl Into<Vec<u8>>) -> Self {
        Self { kind, value: value.into() }
    }

    /// Text, cut where it is too long for one attribute.
    #[must_use]
    pub fn text(kind: RadiusType, text: &str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        Self::new(kind, text.as_bytes().get(..end).unwrap_or_default())
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn number(kind: RadiusType, number: u32) -> Self {
        Self::new(kind, number.to_be_bytes())
    }

    /// The bytes of an address; which type fits its family is the caller's business.
    #[must_use]
    pub fn address(kind: RadiusType, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::new(kind, address.octets()),
            IpAddr::V6(address) => Self::new(kind, address.octets()),
        }
    }

    /// The value as a number; `None` unless it has four bytes.
    #[must_use]
    pub fn as_number(&self) -> Option<u32> {
        <[u8; 4]>::try_from(self.value.as_slice()).ok().map(u32::from_be_bytes)
    }

    /// The value as UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }

    /// The value as an address, of the family that its length says.
    #[must_use]
    pub fn as_address(&self) -> Option<IpAddr> {
        match *self.value.as_slice() {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).into()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }

    /// The value as a tagged number (RFC 2868 3.1): a tag and three bytes.
    #[must_use]
    pub fn as_tagged_number(&self) -> Option<Tagged<u32>> {
        match *self.value.as_slice() {
            [tag, a, b, c] => Some(Tagged { tag, value: u32::from_be_bytes([0, a, b, c]) }),
            _ => None,
        }
    }

    /// The value as tagged text (RFC 2868 3.6): the first byte is a tag if it is at most 0x1f, else text.
    #[must_use]
    pub fn as_tagged_text(&self) -> Option<Tagged<&str>> {
        let (tag, text) = match self.value.split_first() {
            Some((tag, rest)) if *tag <= 0x1f => (*tag, rest),
            _ => (0, self.value.as_slice()),
        };
        std::str::from_utf8(text).ok().map(|value| Tagged { tag, value })
    }

    /// One attribute with its type and length, and nothing more.
    ///
    /// # Errors
    /// Something is cut off or left over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let attribute = Self::parse(&mut r)?;
        if r.is_empty() {
            Ok(attribute)
        } else {
            Err(WireError::illegal("RADIUS attribute length", bytes.len()))
        }
    }

    /// With its type and length.
    ///
    /// # Errors
    /// The value is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        let mut w = Writer::new();
        self.encode(&mut w)?;
        Ok(w.into_vec())
    }

    /// A vendor's attributes, where it holds such in the usual form.
    #[must_use]
    pub fn as_vendor(&self) -> Option<Vendor> {
        if self.kind == RadiusType::VendorSpecific { Vendor::parse(&self.value).ok() } else { None }
    }

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = RadiusType::from(r.u8("RADIUS attribute type")?);
        // RFC 2865 5: the length counts type and length as well.
        let length = r.u8("RADIUS attribute length")?;
        let Some(rest) = length.checked_sub(2) else {
            return Err(WireError::illegal("RADIUS attribute length", usize::from(length)));
        };
        Ok(Self::new(kind, r.take(usize::from(rest), "RADIUS attribute")?))
    }

    pub(super) fn encode(&self, w: &mut Writer) -> Result<(), WireError> {
        if self.value.len() > Self::MAX {
            return Err(WireError::TooMany { what: "RADIUS attribute", limit: Self::MAX });
        }
        w.u8(self.kind.into()).u8(count8(self.value.len().saturating_add(2))).bytes(&self.value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let number = Attribute::number(RadiusType::SessionTimeout, 3600);
        assert_eq!((number.as_number(), number.value.len()), (Some(3600), 4));
        assert_eq!(Attribute::new(RadiusType::SessionTimeout, [1, 2, 3]).as_number(), None);
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Attribute::address(RadiusType::FramedIpAddress, address).as_address(), Some(address));
        }
        assert_eq!(Attribute::new(RadiusType::FramedIpAddress, [1; 5]).as_address(), None);
        let long = "ü".repeat(200);
        let cut = Attribute::text(RadiusType::UserName, &long);
        assert_eq!((cut.value.len(), cut.as_text()), (252, Some(&*"ü".repeat(126))));
        let tunnel = Attribute::new(RadiusType::TunnelType, [1, 0, 0, 9]);
        assert_eq!(tunnel.as_tagged_number(), Some(Tagged { tag: 1, value: 9 }));
        let group = |bytes: &[u8]| Attribute::new(RadiusType::TunnelPrivateGroupId, bytes);
        assert_eq!(group(b"\x02vlan").as_tagged_text(), Some(Tagged { tag: 2, value: "vlan" }));
        assert_eq!(group(b"vlan").as_tagged_text(), Some(Tagged { tag: 0, value: "vlan" }));
        assert_eq!(group(b"").as_tagged_text(), Some(Tagged { tag: 0, value: "" }));
    }
}
