//! Notify (RFC 7296 3.10) and Delete (3.11).
use super::{Delete, Notify};
use crate::WireError;
use crate::codec::{Reader, Writer, at_most, count8, count16};
use crate::iana::ProtocolId;

/// As many SPIs as fit one payload.
const MAX_SPIS: usize = (super::chain::MAX_BODY - 4) / 4;

impl Notify {
    /// SPIs of other sizes than 0, 4 and 8 bytes are refused.
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let protocol = r.u8("notify protocol")?.into();
        let spi_size = r.u8("notify SPI size")?;
        let kind = r.u16("notify type")?.into();
        if !matches!(spi_size, 0 | 4 | 8) {
            return Err(WireError::Illegal { what: "notify SPI size", value: spi_size.into() });
        }
        let spi = r.take(spi_size.into(), "notify SPI")?.to_vec();
        Ok(Self { protocol, spi, kind, data: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        let spi = at_most(&self.spi, 8);
        w.u8(self.protocol.into()).u8(count8(spi.len())).u16(self.kind.into()).bytes(spi).bytes(&self.data);
    }
}

impl Delete {
    /// "The SPI Size MUST be zero for IKE (SPI is in message header) or four for AH and ESP." (3.11)
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let protocol = ProtocolId::from(r.u8("delete protocol")?);
        let spi_size = r.u8("delete SPI size")?;
        let count = r.u16("number of SPIs to delete")?;
        let expected = if protocol == ProtocolId::Ike { 0 } else { 4 };
        if spi_size != expected {
            return Err(WireError::Illegal { what: "delete SPI size", value: spi_size.into() });
        }
        if protocol == ProtocolId::Ike && count != 0 {
            return Err(WireError::Illegal { what: "number of SPIs to delete", value: count.into() });
        }
        let mut spis = Vec::new();
        for _ in 0..count {
            spis.push(r.u32("SPI to delete")?);
        }
        Ok(Self { protocol, spis })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        let spis = if self.protocol == ProtocolId::Ike { &[] } else { at_most(&self.spis, MAX_SPIS) };
        let size = if self.protocol == ProtocolId::Ike { 0 } else { 4 };
        w.u8(self.protocol.into()).u8(size).u16(count16(spis.len()));
        for spi in spis {
            w.u32(*spi);
        }
    }
}
