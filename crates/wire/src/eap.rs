//! EAP packets (RFC 3748 4) and the numbers of methods (registry "Method Types").
use crate::WireError;
use crate::codec::{Reader, Writer, count16};
use std::fmt;

/// Bytes of code, identifier and length.
pub const HEADER: usize = 4;
/// Longest packet that the length field can tell.
pub const MAX_PACKET: usize = 65535;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
const EXPANDED: u8 = 254;

/// A method, by number and, where it has one of its own, vendor (RFC 3748 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EapType {
    /// SMI number of the vendor; 0: the number is IANA's.
    pub vendor: u32,
    /// Number of the method.
    pub number: u32,
}

impl EapType {
    /// Identity (RFC 3748 5.1).
    pub const IDENTITY: Self = Self::ietf(1);
    /// Notification (RFC 3748 5.2).
    pub const NOTIFICATION: Self = Self::ietf(2);
    /// Legacy Nak (RFC 3748 5.3.1).
    pub const NAK: Self = Self::ietf(3);
    /// MD5-Challenge (RFC 3748 5.4).
    pub const MD5: Self = Self::ietf(4);
    /// One-Time Password (RFC 3748 5.5).
    pub const OTP: Self = Self::ietf(5);
    /// Generic Token Card (RFC 3748 5.6).
    pub const GTC: Self = Self::ietf(6);
    /// EAP-TLS (RFC 5216).
    pub const TLS: Self = Self::ietf(13);
    /// EAP-SIM (RFC 4186).
    pub const SIM: Self = Self::ietf(18);
    /// EAP-TTLS (RFC 5281).
    pub const TTLS: Self = Self::ietf(21);
    /// EAP-AKA (RFC 4187).
    pub const AKA: Self = Self::ietf(23);
    /// PEAP.
    pub const PEAP: Self = Self::ietf(25);
    /// EAP-MSCHAPv2.
    pub const MSCHAPV2: Self = Self::ietf(26);
    /// The TLVs inside PEAP (EAP Extensions).
    pub const TLV: Self = Self::ietf(33);
    /// EAP-FAST (RFC 4851).
    pub const FAST: Self = Self::ietf(43);
    /// EAP-AKA' (RFC 9048).
    pub const AKA_PRIME: Self = Self::ietf(50);
    /// TEAP (RFC 7170).
    pub const TEAP: Self = Self::ietf(55);

    /// A method of IANA's registry.
    #[must_use]
    pub const fn ietf(number: u8) -> Self {
        // A widening that `From` cannot do in a constant.
        Self { vendor: 0, number: number as u32 }
    }

    /// The one-byte number, of methods that have no vendor.
    #[must_use]
    pub fn short(self) -> Option<u8> {
        if self.vendor == 0 { u8::try_from(self.number).ok().filter(|n| *n != EXPANDED) } else { None }
    }

    /// Name without the prefix, as in charon's message summaries: `ID`, `MD5`, ….
    #[must_use]
    pub fn label(self) -> String {
        let known = match self {
            Self::IDENTITY => "ID",
            Self::NOTIFICATION => "NOTIF",
            Self::NAK => "NAK",
            Self::MD5 => "MD5",
            Self::OTP => "OTP",
            Self::GTC => "GTC",
            Self::TLS => "TLS",
            Self::SIM => "SIM",
            Self::TTLS => "TTLS",
            Self::AKA => "AKA",
            Self::PEAP => "PEAP",
            Self::MSCHAPV2 => "MSCHAPV2",
            Self::TLV => "MSTLV",
            Self::FAST => "FAST",
            Self::AKA_PRIME => "AKA_PRIME",
            Self::TEAP => "TEAP",
            Self { vendor: 0, number } => return number.to_string(),
            Self { vendor, number } => return format!("{number}-{vendor}"),
        };
        known.to_owned()
    }
}

impl fmt::Display for EapType {
    /// charon's names: `EAP_IDENTITY`, `EAP_MD5`, ….
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IDENTITY => f.write_str("EAP_IDENTITY"),
            Self::NOTIFICATION => f.write_str("EAP_NOTIFICATION"),
            Self { vendor: 0, number } if self.label() == number.to_string() => write!(f, "EAP_{number}"),
            Self { vendor, number } if vendor != 0 => {
                write!(f, "vendor specific EAP method {number}-{vendor}")
            }
            known => write!(f, "EAP_{}", known.label()),
        }
    }
}

/// An EAP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EapPacket<'a> {
    /// From the authenticator.
    Request {
        /// Identifier: matches responses to requests.
        id: u8,
        /// Method.
        method: EapType,
        /// What the method says.
        data: &'a [u8],
    },
    /// From the peer.
    Response {
        /// Identifier of the request.
        id: u8,
        /// Method.
        method: EapType,
        /// What the method says.
        data: &'a [u8],
    },
    /// The authenticator is satisfied.
    Success {
        /// Identifier of the last response.
        id: u8,
    },
    /// It is not.
    Failure {
        /// Identifier of the last response.
        id: u8,
    },
}

impl<'a> EapPacket<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// Bytes that are cut off, an unknown code, a length that the packet cannot have.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let code = r.u8("EAP code")?;
        let id = r.u8("EAP identifier")?;
        let length = usize::from(r.u16("EAP length")?);
        let Some(body) = length.checked_sub(HEADER) else {
            return Err(WireError::illegal("EAP length", length));
        };
        // RFC 3748 4: "Octets outside the range of the Length field should be treated as Data Link Layer padding and
        // MUST be ignored upon reception."
        let mut r = Reader::new(r.take(body, "EAP packet")?);
        let packet = match code {
            REQUEST | RESPONSE => {
                let mut method = EapType::ietf(r.u8("EAP type")?);
                if method == EapType::ietf(EXPANDED) {
                    let [a, b, c] = r.array("EAP vendor")?;
                    method = EapType {
                        vendor: u32::from_be_bytes([0, a, b, c]),
                        number: r.u32("EAP vendor type")?,
                    };
                }
                let data = r.rest();
                if code == REQUEST {
                    Self::Request { id, method, data }
                } else {
                    Self::Response { id, method, data }
                }
            }
            // RFC 3748 4.2: a length of 4.
            SUCCESS | FAILURE if body != 0 => return Err(WireError::illegal("EAP length", length)),
            SUCCESS => Self::Success { id },
            FAILURE => Self::Failure { id },
            other => return Err(WireError::illegal("EAP code", usize::from(other))),
        };
        r.finish("EAP packet")?;
        Ok(packet)
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> u8 {
        match self {
            Self::Request { id, .. }
            | Self::Response { id, .. }
            | Self::Success { id }
            | Self::Failure { id } => *id,
        }
    }

    /// The bytes; data that no length field can tell is cut off.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Writer::new();
        let code = match self {
            Self::Request { method, data, .. } => {
                put(&mut body, *method, data);
                REQUEST
            }
            Self::Response { method, data, .. } => {
                put(&mut body, *method, data);
                RESPONSE
            }
            Self::Success { .. } => SUCCESS,
            Self::Failure { .. } => FAILURE,
        };
        let mut body = body.into_vec();
        body.truncate(MAX_PACKET - HEADER);
        let mut w = Writer::new();
        w.u8(code).u8(self.id()).u16(count16(body.len() + HEADER)).bytes(&body);
        w.into_vec()
    }

    /// Summary as charon writes it into its lists of payloads: `EAP/REQ/MD5`.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Request { method, .. } => format!("EAP/REQ/{}", method.label()),
            Self::Response { method, .. } => format!("EAP/RES/{}", method.label()),
            Self::Success { .. } => "EAP/SUCC".to_owned(),
            Self::Failure { .. } => "EAP/FAIL".to_owned(),
        }
    }
}

fn put(w: &mut Writer, method: EapType, data: &[u8]) {
    match method.short() {
        Some(number) => w.u8(number),
        None => {
            let [_, vendor @ ..] = method.vendor.to_be_bytes();
            w.u8(EXPANDED).bytes(&vendor).u32(method.number)
        }
    }
    .bytes(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let bytes = [1, 7, 0, 9, 4, 2, 0xaa, 0xbb, b'x'];
        let packet = EapPacket::parse(&bytes).unwrap();
        assert_eq!(packet, EapPacket::Request { id: 7, method: EapType::MD5, data: &[2, 0xaa, 0xbb, b'x'] });
        assert_eq!(packet.encode(), bytes);
        assert_eq!(packet.summary(), "EAP/REQ/MD5");
        assert_eq!(EapPacket::parse(&[3, 9, 0, 4]), Ok(EapPacket::Success { id: 9 }));
        assert_eq!(EapPacket::Failure { id: 1 }.encode(), [4, 1, 0, 4]);
    }

    #[test]
    fn padding_is_ignored_and_lies_are_not() {
        assert_eq!(
            EapPacket::parse(&[2, 1, 0, 5, 1, 0, 0]),
            Ok(EapPacket::Response { id: 1, method: EapType::IDENTITY, data: &[] })
        );
        for bad in [
            &[][..],
            &[1, 1, 0],
            &[1, 1, 0, 3],
            &[1, 1, 0, 4],
            &[1, 1, 0, 6, 1],
            &[3, 1, 0, 5, 0],
            &[5, 1, 0, 5, 1],
            &[0, 1, 0, 5, 1],
            &[1, 1, 0, 8, 254, 0, 0, 0],
        ] {
            assert!(EapPacket::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn expanded_types() {
        let bytes = [2, 3, 0, 14, 254, 0, 0x37, 0x2a, 0, 0, 0, 1, 8, 9];
        let packet = EapPacket::parse(&bytes).unwrap();
        let method = EapType { vendor: 14122, number: 1 };
        assert_eq!(packet, EapPacket::Response { id: 3, method, data: &[8, 9] });
        assert_eq!(packet.encode(), bytes);
        assert_eq!(method.to_string(), "vendor specific EAP method 1-14122");
        assert_eq!(EapType::MSCHAPV2.to_string(), "EAP_MSCHAPV2");
        assert_eq!(EapType::ietf(99).to_string(), "EAP_99");
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_written(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(packet) = EapPacket::parse(&bytes) {
                let again = packet.encode();
                prop_assert_eq!(EapPacket::parse(&again), Ok(packet));
            }
        }
    }
}
