//! A packet: code, identifier, authenticator, attributes.
use super::{Attribute, Vendor, VendorAttribute};
use crate::WireError;
use crate::codec::{Reader, Writer, count16};
use crate::iana::{RadiusCode, RadiusType};

/// A RADIUS packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub code: RadiusCode,
    /// Which request it answers, or is.
    pub id: u8,
    /// Request or Response Authenticator.
    pub authenticator: [u8; 16],
    /// In order.
    pub attributes: Vec<Attribute>,
}

impl Packet {
    /// Bytes before the attributes.
    pub const HEADER: usize = 20;
    /// Bytes of the longest packet (RFC 2865 3).
    pub const MAX: usize = 4096;

    /// An empty packet.
    #[must_use]
    pub fn new(code: RadiusCode, id: u8, authenticator: [u8; 16]) -> Self {
        Self { code, id, authenticator, attributes: Vec::new() }
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// It is too short or too long, or an attribute does not fit in.
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(datagram);
        let code = RadiusCode::from(r.u8("RADIUS code")?);
        let id = r.u8("RADIUS identifier")?;
        let length = usize::from(r.u16("RADIUS length")?);
        let Some(rest) = length.checked_sub(4).filter(|_| (Self::HEADER..=Self::MAX).contains(&length))
        else {
            return Err(WireError::illegal("RADIUS length", length));
        };
        // RFC 2865 3: "Octets outside the range of the Length field MUST be treated as padding and ignored on
        // reception. If the packet is shorter than the Length field indicates, it MUST be silently discarded."
        let mut r = Reader::new(r.take(rest, "RADIUS packet")?);
        let authenticator = r.array("RADIUS authenticator")?;
        let mut attributes = Vec::new();
        while !r.is_empty() {
            attributes.push(Attribute::parse(&mut r)?);
        }
        Ok(Self { code, id, authenticator, attributes })
    }

    /// The bytes to send.
    ///
    /// # Errors
    /// An attribute or the whole is too long.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut attributes = Writer::new();
        for attribute in &self.attributes {
            attribute.encode(&mut attributes)?;
        }
        let length = Self::HEADER.saturating_add(attributes.len());
        if length > Self::MAX {
            return Err(WireError::TooMany { what: "RADIUS packet", limit: Self::MAX });
        }
        let mut w = Writer::new();
        w.u8(self.code.into()).u8(self.id).u16(count16(length)).bytes(&self.authenticator);
        w.bytes(&attributes.into_vec());
        Ok(w.into_vec())
    }

    /// Adds an attribute.
    pub fn push(&mut self, attribute: Attribute) -> &mut Self {
        self.attributes.push(attribute);
        self
    }

    /// All attributes of that type, in order.
    pub fn all(&self, kind: RadiusType) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| attribute.kind == kind)
    }

    /// The first attribute of that type.
    #[must_use]
    pub fn first(&self, kind: RadiusType) -> Option<&Attribute> {
        self.all(kind).next()
    }

    /// The first attribute of that type as a number.
    #[must_use]
    pub fn number(&self, kind: RadiusType) -> Option<u32> {
        self.first(kind)?.as_number()
    }

    /// The first attribute of that type as text.
    #[must_use]
    pub fn text(&self, kind: RadiusType) -> Option<&str> {
        self.first(kind)?.as_text()
    }

    /// The bytes of all attributes of that type joined: of EAP-Message, the EAP packet (RFC 3579 3.1). `None` where
    /// there is none.
    #[must_use]
    pub fn joined(&self, kind: RadiusType) -> Option<Vec<u8>> {
        self.first(kind)?;
        Some(self.all(kind).flat_map(|attribute| attribute.value.iter().copied()).collect())
    }

    /// Adds bytes of any length in as many attributes of that type as they need, at least one.
    pub fn push_split(&mut self, kind: RadiusType, bytes: &[u8]) -> &mut Self {
        if bytes.is_empty() {
            self.push(Attribute::new(kind, []));
        }
        for piece in bytes.chunks(Attribute::MAX) {
            self.push(Attribute::new(kind, piece));
        }
        self
    }

    /// What all attributes of a vendor hold; those that are cut off inside are left out.
    pub fn vendor(&self, id: u32) -> impl Iterator<Item = VendorAttribute> {
        self.all(RadiusType::VendorSpecific)
            .filter_map(|attribute| Vendor::parse(&attribute.value).ok())
            .filter(move |vendor| vendor.id == id)
            .flat_map(|vendor| vendor.attributes)
    }
}

#[cfg(test)]
mod tests;
