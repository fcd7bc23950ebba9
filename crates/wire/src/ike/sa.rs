//! Security Association payload: proposals, transforms, attributes (RFC 7296 3.3).
use super::{Proposal, Sa, Transform};
use crate::WireError;
use crate::codec::{Reader, Writer, at_most, count8};

/// Proposals in one payload at most: they are numbered with a byte.
const MAX_PROPOSALS: usize = 255;
/// Attributes of one transform at most.
const MAX_ATTRIBUTES: usize = 16;
/// "Key Length (in bits)", the only attribute IKEv2 has (3.3.5).
const KEY_LENGTH: u16 = 14;
/// Attribute format bit: type and value.
const TYPE_VALUE: u16 = 0x8000;

impl Transform {
    /// The number given to a transform that came with an attribute this codec does not know, or with a key
    /// length that is doubled or not in its short form. The last of the private numbers: no policy names it.
    ///
    /// A transform with an attribute that the responder does not understand must not be chosen, while others of
    /// its type still may be (3.3.6).
    pub const UNACCEPTABLE: u16 = u16::MAX;

    fn parse(r: &mut Reader<'_>, last: bool) -> Result<Self, WireError> {
        let more = r.u8("last transform mark")?;
        if more != if last { 0 } else { 3 } {
            return Err(WireError::Illegal { what: "last transform mark", value: more.into() });
        }
        r.skip(1, "transform")?;
        let length = usize::from(r.u16("transform length")?);
        let body_len = length.checked_sub(4).ok_or_else(|| WireError::illegal("transform length", length))?;
        let mut r = Reader::new(r.take(body_len, "transform")?);
        let kind = r.u8("transform type")?.into();
        r.skip(1, "transform")?;
        let mut transform = Self { kind, id: r.u16("transform id")?, key_bits: None };
        let mut attributes = 0;
        while !r.is_empty() {
            attributes += 1;
            if attributes > MAX_ATTRIBUTES {
                return Err(WireError::TooMany {
                    what: "number of transform attributes",
                    limit: MAX_ATTRIBUTES,
                });
            }
            let attribute = r.u16("transform attribute type")?;
            let value = r.u16("transform attribute")?;
            if attribute == TYPE_VALUE | KEY_LENGTH && transform.key_bits.is_none() {
                transform.key_bits = Some(value);
                continue;
            }
            if attribute & TYPE_VALUE == 0 {
                r.skip(value.into(), "transform attribute")?;
            }
            transform.id = Self::UNACCEPTABLE;
        }
        Ok(transform)
    }

    fn encode(&self, w: &mut Writer, last: bool) {
        let length = if self.key_bits.is_some() { 12 } else { 8 };
        w.u8(if last { 0 } else { 3 }).u8(0).u16(length).u8(self.kind.into()).u8(0).u16(self.id);
        if let Some(bits) = self.key_bits {
            w.u16(TYPE_VALUE | KEY_LENGTH).u16(bits);
        }
    }
}

impl Proposal {
    /// The proposal and whether it says that it is the last.
    fn parse(r: &mut Reader<'_>) -> Result<(Self, bool), WireError> {
        let more = r.u8("last proposal mark")?;
        if !matches!(more, 0 | 2) {
            return Err(WireError::Illegal { what: "last proposal mark", value: more.into() });
        }
        r.skip(1, "proposal")?;
        let length = usize::from(r.u16("proposal length")?);
        let body_len = length.checked_sub(4).ok_or_else(|| WireError::illegal("proposal length", length))?;
        let mut r = Reader::new(r.take(body_len, "proposal")?);
        let number = r.u8("proposal number")?;
        let protocol = r.u8("proposal protocol")?.into();
        let spi_size = r.u8("proposal SPI size")?;
        let count = r.u8("number of transforms")?;
        let spi = r.take(spi_size.into(), "proposal SPI")?.to_vec();
        // Each has eight bytes at least: a count that is a lie costs no more than it sent.
        let mut transforms = Vec::with_capacity(usize::from(count).min(r.len() / 8));
        for left in (0..count).rev() {
            transforms.push(Transform::parse(&mut r, left == 0)?);
        }
        r.finish("bytes behind the last transform")?;
        Ok((Self { number, protocol, spi, transforms }, more == 0))
    }

    fn encode(&self, w: &mut Writer, last: bool) {
        let spi = at_most(&self.spi, 255);
        let transforms = at_most(&self.transforms, 255);
        w.u8(if last { 0 } else { 2 }).u8(0).counted16(4, usize::MAX, |w| {
            w.u8(self.number)
                .u8(self.protocol.into())
                .u8(count8(spi.len()))
                .u8(count8(transforms.len()))
                .bytes(spi);
            for (i, transform) in transforms.iter().enumerate() {
                transform.encode(w, i + 1 == transforms.len());
            }
        });
    }
}

impl Sa {
    /// At least one proposal; the marks must fit the place.
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut proposals = Vec::new();
        loop {
            if proposals.len() == MAX_PROPOSALS {
                return Err(WireError::TooMany { what: "number of proposals", limit: MAX_PROPOSALS });
            }
            let (proposal, last) = Proposal::parse(r)?;
            proposals.push(proposal);
            if last {
                r.finish("bytes behind the last proposal")?;
                return Ok(Self { proposals });
            }
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        let proposals = at_most(&self.proposals, MAX_PROPOSALS);
        for (i, proposal) in proposals.iter().enumerate() {
            proposal.encode(w, i + 1 == proposals.len());
        }
    }
}
