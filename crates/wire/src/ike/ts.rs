//! Traffic Selector payload (RFC 7296 3.13).
//!
//! Rules: there is at least one selector; the count matches; a selector of an unknown type (an FC address, a
//! security label) is skipped by its length, so the list may come out empty, which no policy accepts; a known
//! selector has the length of its type and its first address is not above its last. Port ranges are not judged:
//! `(65535, 0)` is OPAQUE and ICMP puts type and code there.
use super::{Ts, TsSelector};
use crate::WireError;
use crate::codec::{Reader, Writer, at_most, count8};
use crate::iana::TsType;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Ts {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = r.u8("number of traffic selectors")?;
        r.skip(3, "traffic selector payload")?;
        if count == 0 {
            return Err(WireError::Illegal { what: "number of traffic selectors", value: 0 });
        }
        let mut selectors = Vec::new();
        for _ in 0..count {
            selectors.extend(TsSelector::parse(r)?);
        }
        Ok(Self { selectors })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        let selectors = at_most(&self.selectors, 255);
        w.u8(count8(selectors.len())).zeros(3);
        for selector in selectors {
            selector.encode(w);
        }
    }
}

impl TsSelector {
    /// `None`: a type this codec does not know.
    fn parse(r: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let kind = TsType::from(r.u8("traffic selector type")?);
        let protocol = r.u8("traffic selector protocol")?;
        let length = r.u16("traffic selector length")?;
        let wrong = || WireError::Illegal { what: "traffic selector length", value: length.into() };
        let body = r.take(usize::from(length).checked_sub(4).ok_or_else(wrong)?, "traffic selector")?;
        let mut r = Reader::new(body);
        let expected = match kind {
            TsType::Ipv4 => 12,
            TsType::Ipv6 => 36,
            TsType::Unknown(_) => return Ok(None),
        };
        if body.len() != expected {
            return Err(wrong());
        }
        let start_port = r.u16("start port")?;
        let end_port = r.u16("end port")?;
        let mut address = |what| match kind {
            TsType::Ipv4 => r.array::<4>(what).map(|b| IpAddr::V4(Ipv4Addr::from(b))),
            TsType::Ipv6 | TsType::Unknown(_) => r.array::<16>(what).map(|b| IpAddr::V6(Ipv6Addr::from(b))),
        };
        let start = address("starting address")?;
        let end = address("ending address")?;
        if start > end {
            return Err(WireError::Illegal {
                what: "range of a traffic selector",
                value: u8::from(kind).into(),
            });
        }
        Ok(Some(Self { protocol, start_port, end_port, start, end }))
    }

    /// A selector of two families cannot be said: the last address then becomes the first.
    fn encode(&self, w: &mut Writer) {
        match (self.start, self.end) {
            (IpAddr::V4(start), end) => {
                w.u8(TsType::Ipv4.into()).u8(self.protocol).u16(16).u16(self.start_port).u16(self.end_port);
                let end = if let IpAddr::V4(end) = end { end } else { start };
                w.bytes(&start.octets()).bytes(&end.octets());
            }
            (IpAddr::V6(start), end) => {
                w.u8(TsType::Ipv6.into()).u8(self.protocol).u16(40).u16(self.start_port).u16(self.end_port);
                let end = if let IpAddr::V6(end) = end { end } else { start };
                w.bytes(&start.octets()).bytes(&end.octets());
            }
        }
    }
}
