//! The walk along a chain of payloads (RFC 7296 3.2).
use super::*;
use crate::WireError;
use crate::iana::PayloadType;

/// One payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as RFC 7296 names them")]
pub enum Payload {
    Sa(Sa),
    Ke(KeyExchange),
    IdI(Id),
    IdR(Id),
    Cert(Cert),
    CertReq(CertReq),
    Auth(Auth),
    Nonce(Vec<u8>),
    Notify(Notify),
    Delete(Delete),
    VendorId(Vec<u8>),
    TsI(Ts),
    TsR(Ts),
    Cp(Cp),
    /// An EAP packet, unparsed.
    Eap(Vec<u8>),
    /// A payload this codec does not know, without the critical bit.
    Unknown {
        /// Its type.
        kind: PayloadType,
        /// Its body.
        body: Vec<u8>,
    },
}

/// Parses a chain whose first payload has type `first`. At most 128 payloads.
#[allow(unused, reason = "contract")]
pub fn parse_chain(first: PayloadType, bytes: &[u8]) -> Result<Vec<Payload>, WireError> { todo!() }

/// Encodes a chain; returns the type of the first payload (`None` for an empty chain) and the bytes.
#[allow(unused, reason = "contract")]
pub fn encode_chain(payloads: &[Payload]) -> (PayloadType, Vec<u8>) { todo!() }
