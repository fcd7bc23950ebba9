//! Reads what a selector or a route needs to know off an IP packet.
use super::protocol;
use crate::WireError;
use crate::codec::Reader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv6 extension headers walked at most.
pub const MAX_EXTENSIONS: usize = 8;

/// What the upper layer tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upper {
    /// Ports of TCP, UDP, UDP-Lite, SCTP and DCCP.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// A protocol without ports, a fragment other than the first, or a header cut off: "OPAQUE" to a selector.
    Opaque,
}

impl Upper {
    /// Source and destination port as selectors have them: ICMP type and code as `type << 8 | code` on both
    /// sides (RFC 4301 4.4.1.1). `None` when opaque.
    #[must_use]
    #[inline]
    pub fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Ports { source, destination } => Some((source, destination)),
            Self::Icmp { kind, code } => {
                let both = u16::from_be_bytes([kind, code]);
                Some((both, both))
            }
            Self::Opaque => None,
        }
    }
}

/// An IP packet's headers, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpView {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Upper-layer protocol, behind all extension headers.
    pub protocol: u8,
    /// Ports, or ICMP type and code.
    pub upper: Upper,
    /// Bytes before the upper layer: IPv4 header with options, IPv6 header with extension headers.
    pub header_len: usize,
    /// Bytes of the whole packet as its header says; never more than were given. Bytes behind it are padding.
    pub total_len: usize,
    /// Offset of this fragment in bytes, 0 for the first and for whole packets.
    pub fragment_offset: u16,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Don't Fragment (IPv4); always true for IPv6, whose routers do not fragment.
    pub dont_fragment: bool,
    /// DSCP, six bits.
    pub dscp: u8,
    /// ECN, two bits.
    pub ecn: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl IpView {
    /// Reads a packet that begins with its IP header. Checks lengths, not checksums.
    ///
    /// Errors: another version; lengths that do not fit each other or the bytes; over [`MAX_EXTENSIONS`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        match packet.first().map(|b| b >> 4) {
            Some(4) => Self::parse_v4(packet),
            Some(6) => Self::parse_v6(packet),
            Some(version) => Err(WireError::Illegal { what: "IP version", value: version.into() }),
            None => Err(WireError::Truncated { what: "IP packet", need: 1, have: 0 }),
        }
    }

    /// Whether this is a part of a packet.
    #[must_use]
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Traffic class: DSCP and ECN as one byte.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.dscp << 2 | self.ecn
    }

    #[inline]
    fn parse_v4(packet: &[u8]) -> Result<Self, WireError> {
        let header = Reader::new(packet).array::<{ super::IPV4_LEN }>("IPv4 header")?;
        let [first, class, l0, l1, _, _, f0, f1, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = header;
        let header_len = usize::from(first & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([l0, l1]));
        let fragment = u16::from_be_bytes([f0, f1]);
        let (source, destination) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
        if header_len < super::IPV4_LEN {
            return Err(WireError::illegal("IPv4 header length", header_len));
        }
        if total_len < header_len {
            return Err(WireError::illegal("IPv4 total length", total_len));
        }
        let payload = cut(packet, total_len, "IPv4 packet")?.get(header_len..).unwrap_or_default();
        // Units of eight bytes; 13 bits hold, as 8191 * 8 is below 65536.
        let fragment_offset = (fragment & 0x1fff) * 8;
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            protocol,
            upper: Upper::read(protocol, fragment_offset, payload),
            header_len,
            total_len,
            fragment_offset,
            more_fragments: fragment & 0x2000 != 0,
            dont_fragment: fragment & 0x4000 != 0,
            dscp: class >> 2,
            ecn: class & 3,
            ttl,
        })
    }

    fn parse_v6(packet: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(packet);
        let first = r.u32("IPv6 header")?;
        let total_len = usize::from(r.u16("IPv6 payload length")?) + super::IPV6_LEN;
        let mut protocol = r.u8("IPv6 header")?;
        let ttl = r.u8("IPv6 header")?;
        let source = Ipv6Addr::from(r.array::<16>("IPv6 source")?);
        let destination = Ipv6Addr::from(r.array::<16>("IPv6 destination")?);
        let packet = cut(packet, total_len, "IPv6 packet")?;

        let mut r = Reader::new(packet);
        r.skip(super::IPV6_LEN, "IPv6 header")?;
        let mut fragment_offset = 0;
        let mut more_fragments = false;
        let mut walked = 0;
        // Behind the first fragment there is no header to walk to.
        while fragment_offset == 0
            && matches!(
                protocol,
                protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
            )
        {
            walked += 1;
            if walked > MAX_EXTENSIONS {
                return Err(WireError::TooMany {
                    what: "number of IPv6 extension headers",
                    limit: MAX_EXTENSIONS,
                });
            }
            let next = r.u8("IPv6 extension header")?;
            let length = r.u8("IPv6 extension header")?;
            if protocol == protocol::FRAGMENT {
                let field = r.u16("IPv6 fragment header")?;
                r.skip(4, "IPv6 fragment header")?;
                fragment_offset = field & 0xfff8;
                more_fragments = field & 1 != 0;
            } else {
                r.skip(usize::from(length) * 8 + 6, "IPv6 extension header")?;
            }
            protocol = next;
        }
        let header_len = r.position();
        let [class, ..] = (first << 4).to_be_bytes();
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            protocol,
            upper: Upper::read(protocol, fragment_offset, r.rest()),
            header_len,
            total_len,
            fragment_offset,
            more_fragments,
            dont_fragment: true,
            dscp: class >> 2,
            ecn: class & 3,
            ttl,
        })
    }
}

impl Upper {
    #[inline]
    fn read(protocol: u8, fragment_offset: u16, payload: &[u8]) -> Self {
        if fragment_offset != 0 {
            return Self::Opaque;
        }
        match (protocol, payload) {
            (
                protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP,
                [a, b, c, d, ..],
            ) => Self::Ports {
                source: u16::from_be_bytes([*a, *b]),
                destination: u16::from_be_bytes([*c, *d]),
            },
            (protocol::ICMP | protocol::ICMPV6, [kind, code, ..]) => Self::Icmp { kind: *kind, code: *code },
            _ => Self::Opaque,
        }
    }
}

#[inline]
fn cut<'a>(packet: &'a [u8], total: usize, what: &'static str) -> Result<&'a [u8], WireError> {
    packet.get(..total).ok_or(WireError::Truncated { what, need: total, have: packet.len() })
}
