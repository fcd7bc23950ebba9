//! The walk along a chain of payloads (RFC 7296 3.2).
use super::*;
use crate::WireError;
use crate::codec::{Reader, Writer};
use crate::iana::PayloadType;

/// Payloads in one chain at most.
pub const MAX_PAYLOADS: usize = 128;

/// Length of the generic payload header.
pub(super) const GENERIC: usize = 4;
/// Longest body of a payload: its 16-bit length counts the generic header.
pub(super) const MAX_BODY: usize = 65535 - GENERIC;

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
    /// 16 to 256 bytes (3.9).
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

impl Payload {
    /// Its type in the chain.
    #[must_use]
    pub fn kind(&self) -> PayloadType {
        match self {
            Self::Sa(_) => PayloadType::Sa,
            Self::Ke(_) => PayloadType::Ke,
            Self::IdI(_) => PayloadType::IdI,
            Self::IdR(_) => PayloadType::IdR,
            Self::Cert(_) => PayloadType::Cert,
            Self::CertReq(_) => PayloadType::CertReq,
            Self::Auth(_) => PayloadType::Auth,
            Self::Nonce(_) => PayloadType::Nonce,
            Self::Notify(_) => PayloadType::Notify,
            Self::Delete(_) => PayloadType::Delete,
            Self::VendorId(_) => PayloadType::VendorId,
            Self::TsI(_) => PayloadType::TsI,
            Self::TsR(_) => PayloadType::TsR,
            Self::Cp(_) => PayloadType::Cp,
            Self::Eap(_) => PayloadType::Eap,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Parses the body of a payload. `None`: a type this codec does not know.
    fn parse(kind: PayloadType, body: &[u8]) -> Result<Option<Self>, WireError> {
        let mut r = Reader::new(body);
        let payload = match kind {
            PayloadType::Sa => Self::Sa(Sa::parse(&mut r)?),
            PayloadType::Ke => Self::Ke(KeyExchange::parse(&mut r)?),
            PayloadType::IdI => Self::IdI(Id::parse(&mut r)?),
            PayloadType::IdR => Self::IdR(Id::parse(&mut r)?),
            PayloadType::Cert => Self::Cert(Cert::parse(&mut r)?),
            PayloadType::CertReq => Self::CertReq(CertReq::parse(&mut r)?),
            PayloadType::Auth => Self::Auth(Auth::parse(&mut r)?),
            PayloadType::Nonce => Self::Nonce(parse_nonce(&mut r)?),
            PayloadType::Notify => Self::Notify(Notify::parse(&mut r)?),
            PayloadType::Delete => Self::Delete(Delete::parse(&mut r)?),
            PayloadType::VendorId => Self::VendorId(r.rest().to_vec()),
            PayloadType::TsI => Self::TsI(Ts::parse(&mut r)?),
            PayloadType::TsR => Self::TsR(Ts::parse(&mut r)?),
            PayloadType::Cp => Self::Cp(Cp::parse(&mut r)?),
            PayloadType::Eap => Self::Eap(r.rest().to_vec()),
            // An encrypted payload is the outermost and the last (3.14): here it stands in a place it cannot.
            PayloadType::None | PayloadType::Sk | PayloadType::Skf => {
                return Err(WireError::Illegal {
                    what: "type of an inner payload",
                    value: u8::from(kind).into(),
                });
            }
            PayloadType::Unknown(_) => return Ok(None),
        };
        r.finish("bytes behind a payload's end")?;
        Ok(Some(payload))
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::Sa(p) => p.encode(w),
            Self::Ke(p) => p.encode(w),
            Self::IdI(p) | Self::IdR(p) => p.encode(w),
            Self::Cert(p) => p.encode(w),
            Self::CertReq(p) => p.encode(w),
            Self::Auth(p) => p.encode(w),
            Self::Notify(p) => p.encode(w),
            Self::Delete(p) => p.encode(w),
            Self::TsI(p) | Self::TsR(p) => p.encode(w),
            Self::Cp(p) => p.encode(w),
            Self::Nonce(b) | Self::VendorId(b) | Self::Eap(b) | Self::Unknown { body: b, .. } => {
                w.bytes(b);
            }
        }
    }
}

// "The size of the Nonce Data MUST be between 16 and 256 octets, inclusive." (3.9)
fn parse_nonce(r: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    match r.len() {
        16..=256 => Ok(r.rest().to_vec()),
        n => Err(WireError::illegal("nonce length", n)),
    }
}

/// The generic header and body of one payload.
pub(super) struct Raw<'a> {
    pub(super) next: PayloadType,
    pub(super) critical: bool,
    pub(super) body: &'a [u8],
}

/// Takes the next payload off the chain without looking inside.
pub(super) fn take_raw<'a>(r: &mut Reader<'a>) -> Result<Raw<'a>, WireError> {
    let next = PayloadType::from(r.u8("next payload type")?);
    let critical = r.u8("critical bit")? & 0x80 != 0;
    let length = usize::from(r.u16("payload length")?);
    let body_len = length.checked_sub(GENERIC).ok_or_else(|| WireError::illegal("payload length", length))?;
    Ok(Raw { next, critical, body: r.take(body_len, "payload")? })
}

/// Parses payloads from type `first` on, until the chain ends or a payload of a type in `stop` comes; gives its
/// type back (`None`: the chain ended). Bytes may be left in `r`.
pub(super) fn walk(
    first: PayloadType,
    r: &mut Reader<'_>,
    stop: &[PayloadType],
) -> Result<(Vec<Payload>, PayloadType), WireError> {
    let mut kind = first;
    // A chain has a handful: one piece of memory for all of them.
    let mut payloads =
        Vec::with_capacity(if kind == PayloadType::None || stop.contains(&kind) { 0 } else { 16 });
    while kind != PayloadType::None && !stop.contains(&kind) {
        if payloads.len() == MAX_PAYLOADS {
            return Err(WireError::TooMany { what: "number of payloads", limit: MAX_PAYLOADS });
        }
        let raw = take_raw(r)?;
        match Payload::parse(kind, raw.body)? {
            // "The critical bit MUST be ignored by the recipient if the recipient understands the payload type
            // code." (3.2)
            Some(payload) => payloads.push(payload),
            None if raw.critical => return Err(WireError::UnsupportedCritical(kind.into())),
            None => payloads.push(Payload::Unknown { kind, body: raw.body.to_vec() }),
        }
        kind = raw.next;
    }
    Ok((payloads, kind))
}

/// Parses a chain whose first payload has type `first`. At most [`MAX_PAYLOADS`] payloads, nothing behind them.
pub fn parse_chain(first: PayloadType, bytes: &[u8]) -> Result<Vec<Payload>, WireError> {
    let mut r = Reader::new(bytes);
    let (payloads, _) = walk(first, &mut r, &[])?;
    r.finish("bytes behind the last payload")?;
    Ok(payloads)
}

/// Room for the messages that are common.
pub(super) const ROOM: usize = 512;

/// Encodes a chain; returns the type of the first payload (`None` for an empty chain) and the bytes.
#[must_use]
pub fn encode_chain(payloads: &[Payload]) -> (PayloadType, Vec<u8>) {
    if payloads.is_empty() {
        return (PayloadType::None, Vec::new());
    }
    let mut out = Writer::with_room(ROOM);
    (write_chain(&mut out, payloads), out.into_vec())
}

/// Appends a chain; the type of its first payload.
pub(super) fn write_chain(out: &mut Writer, payloads: &[Payload]) -> PayloadType {
    let first = payloads.first().map_or(PayloadType::None, Payload::kind);
    let followers = payloads.iter().skip(1).map(Payload::kind).chain(std::iter::once(PayloadType::None));
    for (payload, next) in payloads.iter().zip(followers) {
        out.u8(next.into()).u8(0).counted16(GENERIC, MAX_BODY, |w| payload.encode(w));
    }
    first
}
