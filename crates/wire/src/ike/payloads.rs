//! The payloads as values.
use crate::iana::{
    AuthMethod, CertEncoding, ConfigAttribute, ConfigType, IdType, Ke, NotifyType, ProtocolId, TransformType,
};
use std::net::IpAddr;

/// Security Association payload (3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sa {
    /// Proposals in the sender's order of preference.
    pub proposals: Vec<Proposal>,
}

/// One proposal (3.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Proposal number, from 1.
    pub number: u8,
    /// IKE, AH or ESP.
    pub protocol: ProtocolId,
    /// Sender's SPI: empty, 4 (ESP/AH) or 8 (IKE rekey) bytes.
    pub spi: Vec<u8>,
    /// Transforms as sent.
    pub transforms: Vec<Transform>,
}

/// One transform (3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transform {
    /// Type of the transform.
    pub kind: TransformType,
    /// Its number in the registry of that type.
    pub id: u16,
    /// Key Length attribute in bits, where sent (3.3.5).
    pub key_bits: Option<u16>,
}

/// Key Exchange payload (3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExchange {
    /// Method.
    pub method: Ke,
    /// Public value or ciphertext.
    pub data: Vec<u8>,
}

/// Identification payload (3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// Type of the identity.
    pub kind: IdType,
    /// Its encoding.
    pub data: Vec<u8>,
}

/// Certificate payload (3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cert {
    /// Encoding.
    pub encoding: CertEncoding,
    /// Data.
    pub data: Vec<u8>,
}

/// Certificate Request payload (3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertReq {
    /// Encoding wanted.
    pub encoding: CertEncoding,
    /// Concatenated SHA-1 key hashes of trusted CAs.
    pub authorities: Vec<u8>,
}

/// Authentication payload (3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Method.
    pub method: AuthMethod,
    /// Data.
    pub data: Vec<u8>,
}

/// Notify payload (3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Protocol the SPI belongs to; `None` without one.
    pub protocol: ProtocolId,
    /// SPI of 0, 4 or 8 bytes.
    pub spi: Vec<u8>,
    /// Type.
    pub kind: NotifyType,
    /// Data.
    pub data: Vec<u8>,
}

/// Delete payload (3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// IKE (no SPIs), AH or ESP.
    pub protocol: ProtocolId,
    /// SPIs of AH or ESP SAs, as the sender receives on them.
    pub spis: Vec<u32>,
}

/// Traffic Selector payload (3.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ts {
    /// Selectors.
    pub selectors: Vec<TsSelector>,
}

/// One traffic selector (3.13.1). ICMP type and code share the port fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TsSelector {
    /// IP protocol, 0 for any.
    pub protocol: u8,
    /// First port; `start > end` (65535, 0) is OPAQUE.
    pub start_port: u16,
    /// Last port.
    pub end_port: u16,
    /// First address.
    pub start: IpAddr,
    /// Last address, of the same family.
    pub end: IpAddr,
}

/// Configuration payload (3.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cp {
    /// Request, reply, set or ack.
    pub kind: ConfigType,
    /// Attributes in order.
    pub attributes: Vec<ConfigAttr>,
}

/// One configuration attribute (3.15.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigAttr {
    /// Type.
    pub kind: ConfigAttribute,
    /// Value, may be empty in a request.
    pub value: Vec<u8>,
}
