//! Configuration payload (RFC 7296 3.15).
use super::{ConfigAttr, Cp};
use crate::WireError;
use crate::codec::{Reader, Writer, at_most, count16};
use crate::iana::ConfigAttribute;

/// Attributes in one payload at most.
const MAX_ATTRIBUTES: usize = 1024;

impl Cp {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = r.u8("configuration type")?.into();
        r.skip(3, "configuration payload")?;
        let mut attributes = Vec::new();
        while !r.is_empty() {
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(WireError::TooMany {
                    what: "number of configuration attributes",
                    limit: MAX_ATTRIBUTES,
                });
            }
            // The highest bit is reserved.
            let attribute = ConfigAttribute::from(r.u16("configuration attribute type")? & 0x7fff);
            let length = r.u16("configuration attribute length")?;
            let value = r.take(length.into(), "configuration attribute")?.to_vec();
            attributes.push(ConfigAttr { kind: attribute, value });
        }
        Ok(Self { kind, attributes })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.kind.into()).zeros(3);
        for attribute in at_most(&self.attributes, MAX_ATTRIBUTES) {
            let value = at_most(&attribute.value, u16::MAX.into());
            w.u16(u16::from(attribute.kind) & 0x7fff).u16(count16(value.len())).bytes(value);
        }
    }
}
