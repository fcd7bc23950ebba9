//! Selectors as text: `10.1.0.0/16[tcp/80]`, `dynamic[gre]`, `10.0.0.1..10.0.0.9`.
use super::services::{protocol_name, protocol_number, service_name, service_number};
use super::{ANY_PORT, OPAQUE, Selector, SelectorTemplate, single_prefix};
use std::fmt;
use std::net::IpAddr;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither an address, a prefix, a range nor `dynamic`.
    #[error("`{0}` is no subnet, address, range of addresses or `dynamic`")]
    Addresses(String),
    /// `[` without `]` or text behind it.
    #[error("`{0}` should end with `]`")]
    Bracket(String),
    /// An unknown protocol.
    #[error("`{0}` is no IP protocol (a name like tcp, or 0 to 255)")]
    Protocol(String),
    /// An unknown port.
    #[error("`{0}` is no port: a number, a range like 1000-2000, a service name, `opaque` or `%any`")]
    Port(String),
}

impl SelectorTemplate {
    /// Reads `addresses[protocol/ports]`: addresses as a CIDR subnet, an address, a range `a-b` (also `a..b`), or
    /// `dynamic` (the default when only brackets are given); protocol a name, a number or `%any`; ports a number, a
    /// range, a service name, `opaque` or `%any`. With ICMP a number below 256 is a type with all its codes, any
    /// other `type << 8 | code`; `type(code)` is read, too.
    ///
    /// # Errors
    /// What part is not in the grammar.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        let (addresses, restriction) = match text.split_once('[') {
            None => (text, None),
            Some((addresses, rest)) => {
                let inner = rest.strip_suffix(']').ok_or_else(|| SelectorError::Bracket(text.to_owned()))?;
                (addresses.trim(), Some(inner))
            }
        };
        let (protocol, ports) = match restriction {
            None => (0, ANY_PORT),
            Some(inner) => match inner.split_once('/') {
                None => (parse_protocol(inner)?, ANY_PORT),
                Some((protocol, ports)) => {
                    let protocol = parse_protocol(protocol)?;
                    (protocol, parse_ports(protocol, ports)?)
                }
            },
        };
        if addresses == "dynamic" || (addresses.is_empty() && restriction.is_some()) {
            return Ok(Self::Dynamic { protocol, ports });
        }
        let (start, end) =
            parse_range(addresses).ok_or_else(|| SelectorError::Addresses(addresses.to_owned()))?;
        Ok(Self::Fixed(Selector { protocol, ports, start, end }))
    }
}

/// First and last address of `a/len`, `a-b`, `a..b` or `a`. Host bits of a prefix are ignored.
#[must_use]
pub fn parse_range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, address));
    }
    if let Some((address, len)) = text.split_once('/') {
        if !len.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let net = ipnet::IpNet::new(address.trim().parse().ok()?, len.parse().ok()?).ok()?;
        return Some((net.network(), net.broadcast()));
    }
    let (first, last) = text.split_once("..").or_else(|| text.split_once('-'))?;
    let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last))
}

fn parse_protocol(text: &str) -> Result<u8, SelectorError> {
    let text = text.trim();
    if text.is_empty() || text == "%any" {
        return Ok(0);
    }
    let number = text.parse().ok().or_else(|| protocol_number(text));
    number.ok_or_else(|| SelectorError::Protocol(text.to_owned()))
}

fn parse_ports(protocol: u8, text: &str) -> Result<(u16, u16), SelectorError> {
    let text = text.trim();
    let bad = || SelectorError::Port(text.to_owned());
    if text.is_empty() || text == "%any" {
        return Ok(ANY_PORT);
    }
    if text.eq_ignore_ascii_case("opaque") {
        return Ok(OPAQUE);
    }
    // The name first: `netbios-ns` is no range.
    if let Some(port) = service_number(text) {
        return Ok((port, port));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) =
        (one_port(protocol, first).ok_or_else(bad)?, one_port(protocol, last).ok_or_else(bad)?);
    let ports = (first.0, last.1);
    if ports.0 > ports.1 { Err(bad()) } else { Ok(ports) }
}

fn one_port(protocol: u8, text: &str) -> Option<(u16, u16)> {
    let text = text.trim();
    if !matches!(protocol, ICMP | ICMPV6) {
        let port = text.parse().ok().or_else(|| service_number(text))?;
        return Some((port, port));
    }
    if let Some((kind, code)) = text.split_once('(') {
        let kind: u8 = kind.trim().parse().ok()?;
        let code: u8 = code.strip_suffix(')')?.trim().parse().ok()?;
        let both = u16::from_be_bytes([kind, code]);
        return Some((both, both));
    }
    match text.parse::<u16>().ok()?.to_be_bytes() {
        [0, kind] => Some((u16::from_be_bytes([kind, 0]), u16::from_be_bytes([kind, 255]))),
        both => Some((u16::from_be_bytes(both), u16::from_be_bytes(both))),
    }
}

impl fmt::Display for Selector {
    /// As charon prints: `10.1.0.0/16`, `10.0.0.1..10.0.0.9`, `192.168.0.1/32[tcp/http]`, `[icmp/8]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match single_prefix(self.start, self.end) {
            Some(len) => write!(f, "{}/{len}", self.start)?,
            None => write!(f, "{}..{}", self.start, self.end)?,
        }
        write_restriction(f, self.protocol, self.ports)
    }
}

impl fmt::Display for SelectorTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(selector) => selector.fmt(f),
            Self::Dynamic { protocol, ports } => {
                f.write_str("dynamic")?;
                write_restriction(f, *protocol, *ports)
            }
        }
    }
}

impl std::str::FromStr for SelectorTemplate {
    type Err = SelectorError;
    fn from_str(s: &str) -> Result<Self, SelectorError> {
        Self::parse(s)
    }
}

fn write_restriction(f: &mut fmt::Formatter<'_>, protocol: u8, ports: (u16, u16)) -> fmt::Result {
    if protocol == 0 && ports == ANY_PORT {
        return Ok(());
    }
    f.write_str("[")?;
    match protocol_name(protocol) {
        Some(name) => f.write_str(name)?,
        None => write!(f, "{protocol}")?,
    }
    if ports == OPAQUE {
        f.write_str("/OPAQUE")?;
    } else if ports != ANY_PORT {
        f.write_str("/")?;
        if matches!(protocol, ICMP | ICMPV6) {
            write_icmp(f, ports)?;
        } else if ports.0 != ports.1 {
            write!(f, "{}-{}", ports.0, ports.1)?;
        } else if let Some(name) = service_name(protocol, ports.0) {
            f.write_str(name)?;
        } else {
            write!(f, "{}", ports.0)?;
        }
    }
    f.write_str("]")
}

fn write_icmp(f: &mut fmt::Formatter<'_>, ports: (u16, u16)) -> fmt::Result {
    let ([kind, code], [last_kind, last_code]) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    if ports.0 == ports.1 {
        return if code == 0 { write!(f, "{kind}") } else { write!(f, "{kind}({code})") };
    }
    if code == 0 && last_code == 255 {
        return if kind == last_kind { write!(f, "{kind}") } else { write!(f, "{kind}-{last_kind}") };
    }
    write!(f, "{kind}({code})-{last_kind}({last_code})")
}
