//! Payloads that are a small head and data nobody here looks into: KE, ID, CERT, CERTREQ, AUTH.
//!
//! The data of AUTH method 14 ("Digital Signature", RFC 7427) begins with an AlgorithmIdentifier; that is the
//! verifier's to read.
use super::{Auth, Cert, CertReq, Id, KeyExchange};
use crate::WireError;
use crate::codec::{Reader, Writer};

impl KeyExchange {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let method = r.u16("key exchange method")?.into();
        r.skip(2, "key exchange payload")?;
        Ok(Self { method, data: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u16(self.method.into()).u16(0).bytes(&self.data);
    }
}

impl Id {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = r.u8("identity type")?.into();
        r.skip(3, "identity payload")?;
        Ok(Self { kind, data: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.kind.into()).zeros(3).bytes(&self.data);
    }

    /// The body as it stands in the payload: what the signed octets of RFC 7296 2.15 cover (`RestOfIDPayload`).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut w = Writer::with_room(self.data.len().saturating_add(4));
        self.encode(&mut w);
        w.into_vec()
    }
}

impl Cert {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { encoding: r.u8("certificate encoding")?.into(), data: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.encoding.into()).bytes(&self.data);
    }
}

impl CertReq {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { encoding: r.u8("certificate encoding")?.into(), authorities: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.encoding.into()).bytes(&self.authorities);
    }
}

impl Auth {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let method = r.u8("authentication method")?.into();
        r.skip(3, "authentication payload")?;
        Ok(Self { method, data: r.rest().to_vec() })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.method.into()).zeros(3).bytes(&self.data);
    }
}
