//! Who has this address? ARP (RFC 826) and neighbour discovery (RFC 4861), as far as somebody answers for others.
use crate::codec::{Reader, WireError, Writer};
use crate::ip::{Checksum, ipv6_header};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

const ETHERNET: u16 = 1;
const IPV4: u16 = 0x0800;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// RFC 4861 7.1: nothing from beyond the link arrives with it.
const HOP_LIMIT: u8 = 255;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// An ARP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpRequest {
    /// Who asks.
    pub sender_mac: Mac,
    /// With which address; unspecified in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// For which address.
    pub target: Ipv4Addr,
}

impl ArpRequest {
    /// Reads what follows the Ethernet header.
    ///
    /// # Errors
    /// Not a request for an IPv4 address on Ethernet.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let expect = |what, value: u16, wanted: u16| {
            if value == wanted { Ok(()) } else { Err(WireError::Illegal { what, value: value.into() }) }
        };
        expect("ARP hardware type", reader.u16("ARP hardware type")?, ETHERNET)?;
        expect("ARP protocol type", reader.u16("ARP protocol type")?, IPV4)?;
        expect("ARP address lengths", reader.u16("ARP address lengths")?, 0x0604)?;
        expect("ARP operation", reader.u16("ARP operation")?, REQUEST)?;
        let sender_mac = reader.array("ARP sender")?;
        let sender = Ipv4Addr::from(reader.array::<4>("ARP sender")?);
        reader.skip(6, "ARP target")?;
        Ok(Self { sender_mac, sender, target: Ipv4Addr::from(reader.array::<4>("ARP target")?) })
    }

    /// The reply that this address has the target.
    #[must_use]
    pub fn reply(&self, mac: Mac) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(ETHERNET).u16(IPV4).u16(0x0604).u16(REPLY);
        writer.bytes(&mac).bytes(&self.target.octets());
        writer.bytes(&self.sender_mac).bytes(&self.sender.octets());
        writer.into_vec()
    }
}

/// A neighbour solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified in duplicate address detection (RFC 4862 5.4).
    pub source: Ipv6Addr,
    /// For which address.
    pub target: Ipv6Addr,
    /// Where the answer goes.
    pub source_mac: Option<Mac>,
}

impl Solicitation {
    /// Reads an IPv6 packet, by the rules of RFC 4861 7.1.1.
    ///
    /// # Errors
    /// Not a valid solicitation.
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        let illegal = |what, value: u64| Err(WireError::Illegal { what, value });
        let mut reader = Reader::new(packet);
        let version = reader.u32("IPv6 header")? >> 28;
        let length = reader.u16("IPv6 payload length")?;
        let (next, hops) = (reader.u8("IPv6 next header")?, reader.u8("IPv6 hop limit")?);
        let source = Ipv6Addr::from(reader.array::<16>("IPv6 source")?);
        let destination = Ipv6Addr::from(reader.array::<16>("IPv6 destination")?);
        if (version, next, hops) != (6, ICMPV6, HOP_LIMIT) {
            return illegal("IPv6 header", hops.into());
        }
        let body = reader.take(length.into(), "ICMPv6 message")?;
        let sum = Checksum::new().pseudo(source.into(), IpAddr::from(destination), ICMPV6, body.len());
        if sum.bytes(body).finish() != 0 {
            return illegal("ICMPv6 checksum", 0);
        }
        let mut reader = Reader::new(body);
        let (kind, code) = (reader.u8("ICMPv6 type")?, reader.u8("ICMPv6 code")?);
        if (kind, code) != (SOLICITATION, 0) {
            return illegal("ICMPv6 type", kind.into());
        }
        reader.skip(6, "ICMPv6 header")?;
        let target = Ipv6Addr::from(reader.array::<16>("solicited address")?);
        if target.is_multicast() {
            return illegal("solicited address", 0);
        }
        let mut source_mac = None;
        while !reader.is_empty() {
            let kind = reader.u8("option type")?;
            let units = reader.u8("option length")?;
            let Some(length) = usize::from(units).saturating_mul(8).checked_sub(2) else {
                return illegal("option length", 0);
            };
            let value = reader.take(length, "option")?;
            if kind == SOURCE_LINK_LAYER {
                source_mac = value.try_into().ok();
            }
        }
        if source.is_unspecified() && (source_mac.is_some() || destination != solicited_node(target)) {
            return illegal("source of a probe", 0);
        }
        Ok(Self { source, target, source_mac })
    }

    /// The advertisement that this address has the target, from an address of its interface: an IPv6 packet. As somebody
    /// who answers for another (RFC 4861 7.2.8), it overrides nothing.
    #[must_use]
    pub fn advertisement(&self, mac: Mac, from: Ipv6Addr) -> Vec<u8> {
        let probe = self.source.is_unspecified();
        let to = if probe { ALL_NODES } else { self.source };
        let mut writer = Writer::new();
        // Solicited, unless nobody in particular asked.
        let flags: u32 = if probe { 0 } else { 0x4000_0000 };
        writer.u8(ADVERTISEMENT).u8(0).u16(0).u32(flags).bytes(&self.target.octets());
        writer.u8(TARGET_LINK_LAYER).u8(1).bytes(&mac);
        let mut body = writer.into_vec();
        let sum = Checksum::new().pseudo(from.into(), IpAddr::from(to), ICMPV6, body.len()).bytes(&body);
        if let Some(field) = body.get_mut(2..4) {
            field.copy_from_slice(&sum.finish().to_be_bytes());
        }
        [&ipv6_header(from, to, ICMPV6, body.len(), HOP_LIMIT, 0)[..], &body].concat()
    }

    /// The Ethernet address an advertisement goes to; `sender` sent the solicitation.
    #[must_use]
    pub fn answer_to(&self, sender: Mac) -> Mac {
        if self.source.is_unspecified() {
            [0x33, 0x33, 0, 0, 0, 1]
        } else {
            self.source_mac.unwrap_or(sender)
        }
    }
}

/// The group that hears solicitations of an address (RFC 4291 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 9];

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn request() -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
        bytes.extend(THEIRS);
        bytes.extend([10, 1, 0, 10, 0, 0, 0, 0, 0, 0, 10, 1, 0, 50]);
        bytes
    }

    #[test]
    fn an_arp_request_and_its_reply() {
        let asked = ArpRequest::parse(&request()).unwrap();
        assert_eq!(asked.sender_mac, THEIRS);
        assert_eq!((asked.sender, asked.target), ([10, 1, 0, 10].into(), [10, 1, 0, 50].into()));
        let mut expected = vec![0, 1, 8, 0, 6, 4, 0, 2];
        expected.extend(OURS);
        expected.extend([10, 1, 0, 50]);
        expected.extend(THEIRS);
        expected.extend([10, 1, 0, 10]);
        assert_eq!(asked.reply(OURS), expected);
        for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 2)] {
            let mut other = request();
            other[at] = value;
            ArpRequest::parse(&other).unwrap_err();
        }
    }

    fn solicitation(source: Ipv6Addr, options: &[u8]) -> Vec<u8> {
        let target = v6("fd01::50");
        let to = solicited_node(target);
        let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
        body.extend(target.octets());
        body.extend(options);
        let sum = Checksum::new().pseudo(source.into(), to.into(), 58, body.len()).bytes(&body).finish();
        body[2..4].copy_from_slice(&sum.to_be_bytes());
        [&ipv6_header(source, to, 58, body.len(), 255, 0)[..], &body].concat()
    }

    const LINK: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 9];

    #[test]
    fn a_solicitation_and_its_advertisement() {
        assert_eq!(solicited_node(v6("fd01::ab:cdef")), v6("ff02::1:ffab:cdef"));
        let asked = Solicitation::parse(&solicitation(v6("fe80::9"), &LINK)).unwrap();
        assert_eq!((asked.source, asked.target), (v6("fe80::9"), v6("fd01::50")));
        assert_eq!(asked.source_mac, Some(THEIRS));
        assert_eq!(asked.answer_to([7; 6]), THEIRS);
        let answer = asked.advertisement(OURS, v6("fe80::1"));
        assert_eq!(&answer[24..40], &v6("fe80::9").octets());
        let body = &answer[40..];
        assert_eq!(&body[..2], &[136, 0]);
        assert_eq!(body[4], 0x40, "solicited, neither a router nor overriding");
        assert_eq!(&body[24..], &[2, 1, 2, 0, 0, 0, 0, 1]);
        let sum = Checksum::new().pseudo(v6("fe80::1").into(), v6("fe80::9").into(), 58, 32).bytes(body);
        assert_eq!(sum.finish(), 0);
    }

    #[test]
    fn a_probe_is_answered_to_all() {
        let asked = Solicitation::parse(&solicitation(Ipv6Addr::UNSPECIFIED, &[])).unwrap();
        assert_eq!(asked.answer_to(THEIRS), [0x33, 0x33, 0, 0, 0, 1]);
        let answer = asked.advertisement(OURS, v6("fe80::1"));
        assert_eq!(&answer[24..40], &v6("ff02::1").octets());
        assert_eq!(answer[44], 0);
    }

    #[test]
    fn what_came_over_a_router_or_breaks_the_rules_is_refused() {
        let good = solicitation(v6("fe80::9"), &LINK);
        for (at, value) in [(0, 0x40), (6, 17), (7, 254), (40, 136), (41, 1), (42, 1), (50, 1)] {
            let mut other = good.clone();
            other[at] ^= value;
            Solicitation::parse(&other).unwrap_err();
        }
        // RFC 4861 7.1.1: a probe has no link-layer address, an option has a length.
        Solicitation::parse(&solicitation(Ipv6Addr::UNSPECIFIED, &LINK)).unwrap_err();
        Solicitation::parse(&solicitation(v6("fe80::9"), &[1, 0, 0, 0, 0, 0, 0, 0])).unwrap_err();
        Solicitation::parse(&solicitation(v6("fe80::9"), &[1, 2, 0, 0, 0, 0, 0, 0])).unwrap_err();
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _arp = ArpRequest::parse(&bytes);
            let _ndp = Solicitation::parse(&bytes);
        }
    }
}
