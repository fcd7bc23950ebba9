//! Values of configuration attributes: how they are written, and what goes into the payload (RFC 7296 3.15.1).
use super::AttributeError;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a value is written and encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// An address: 4 or 16 octets.
    Address,
    /// A client's address: 4 octets, or 16 and the prefix length (`/128` may be left out).
    Host,
    /// A netmask of IPv4, dotted or as a length: 4 octets.
    Mask,
    /// A subnet: address and mask, or address and prefix length.
    Subnet,
    /// Subnets of IPv4 in Cisco's way: address, mask, and six octets for protocol and ports that nobody uses.
    UnitySubnet,
    /// Addresses of IPv4 in one attribute.
    Addresses,
    /// Text as it is.
    Text,
    /// Names in one attribute, a comma between them.
    Names,
    /// A domain name in presentation format, A-labels only (RFC 8598 3.2).
    Domain,
    /// A number of 16 bits.
    Number,
    /// Octets: `0x` and hexadecimal digits, else the text's.
    Octets,
    /// An address, a subnet or octets, whatever it looks like.
    Guess,
}

/// An encoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// As in the payload.
    pub value: Vec<u8>,
    /// It is one of IPv6.
    pub v6: bool,
}

impl Form {
    /// Values are IPv4's, or both families' with a type for each.
    pub(super) fn is_ip4(self) -> bool {
        matches!(
            self,
            Self::Address | Self::Host | Self::Mask | Self::Subnet | Self::UnitySubnet | Self::Addresses
        )
    }

    /// Several values make one attribute, with this between them.
    pub(super) fn joined_by(self) -> Option<&'static [u8]> {
        match self {
            Self::Addresses | Self::Names => Some(b","),
            // A comma in a text is no end of it.
            Self::Text => Some(b", "),
            _ => None,
        }
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn encode(self, written: &[u8]) -> Result<Encoded, AttributeError> {
        let text = std::str::from_utf8(written).unwrap_or_default().trim();
        let bad = |what| {
            let text = String::from_utf8_lossy(written).escape_debug().take(80).collect();
            AttributeError::Value { text, what }
        };
        let plain = |value: Vec<u8>| Ok(Encoded { value, v6: false });
        match self {
            Self::Address => match text.parse().map_err(|_| bad("address"))? {
                IpAddr::V4(a) => plain(a.octets().to_vec()),
                IpAddr::V6(a) => Ok(Encoded { value: a.octets().to_vec(), v6: true }),
            },
            Self::Host => match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(IpNet::V4(net)) if net.prefix_len() == 32 => plain(net.addr().octets().to_vec()),
                Ok(IpNet::V6(net)) => Ok(Encoded { value: v6_net(net.addr(), net.prefix_len()), v6: true }),
                _ => Err(bad("address")),
            },
            Self::Mask => {
                let length = text.strip_prefix('/').and_then(|length| length.parse().ok());
                let of_length = length.and_then(|length| Ipv4Net::new(Ipv4Addr::UNSPECIFIED, length).ok());
                if let Some(net) = of_length {
                    return plain(net.netmask().octets().to_vec());
                }
                match text.parse() {
                    Ok(IpAddr::V4(a)) => plain(a.octets().to_vec()),
                    // Not a value, but a family that has none.
                    Ok(IpAddr::V6(a)) => Ok(Encoded { value: a.octets().to_vec(), v6: true }),
                    Err(_) => Err(bad("netmask")),
                }
            }
            Self::Subnet => match subnet(text).ok_or_else(|| bad("subnet"))? {
                IpNet::V4(net) => plain(v4_net(net)),
                IpNet::V6(net) => Ok(Encoded { value: v6_net(net.network(), net.prefix_len()), v6: true }),
            },
            Self::UnitySubnet => match subnet(text).ok_or_else(|| bad("subnet"))? {
                IpNet::V4(net) => plain([v4_net(net).as_slice(), &[0; 6]].concat()),
                IpNet::V6(net) => Ok(Encoded { value: v6_net(net.network(), net.prefix_len()), v6: true }),
            },
            Self::Addresses => {
                let mut value = Vec::new();
                for item in text.split(',').map(str::trim) {
                    let address: Ipv4Addr = item.parse().map_err(|_| bad("list of IPv4 addresses"))?;
                    value.extend(address.octets());
                }
                plain(value)
            }
            Self::Text | Self::Names if written.is_empty() => Err(bad("text")),
            Self::Text | Self::Names => plain(written.to_vec()),
            Self::Domain if is_domain(text) => plain(text.as_bytes().to_vec()),
            Self::Domain => Err(bad("domain name (A-labels, `xn--…`, for what is not ASCII)")),
            Self::Number => {
                let number: u16 = text.parse().map_err(|_| bad("number (0 to 65535)"))?;
                plain(number.to_be_bytes().to_vec())
            }
            Self::Octets => match text.strip_prefix("0x") {
                Some(digits) => plain(hex(digits).ok_or_else(|| bad("even number of hexadecimal digits"))?),
                None => plain(written.to_vec()),
            },
            Self::Guess => Self::Address
                .encode(written)
                .or_else(|_| Self::Subnet.encode(written))
                .or_else(|_| Self::Octets.encode(written)),
        }
    }

    /// The value as an operator would write it; `None` when it is not of this form.
    pub fn show(self, value: &[u8]) -> Option<String> {
        Some(match self {
            Self::Address => address(value)?.to_string(),
            Self::Host if value.len() == 17 => IpNet::from(read_v6_net(value)?).to_string(),
            Self::Host => address(value)?.to_string(),
            Self::Mask => address(value).filter(IpAddr::is_ipv4)?.to_string(),
            Self::Subnet if value.len() == 17 => IpNet::from(read_v6_net(value)?).to_string(),
            Self::Subnet if value.len() == 8 => read_v4_net(value)?.to_string(),
            Self::Subnet => return None,
            Self::UnitySubnet => joined(value, 14, |chunk| Some(read_v4_net(chunk.get(..8)?)?.to_string()))?,
            Self::Addresses => joined(value, 4, |chunk| Some(address(chunk)?.to_string()))?,
            Self::Text | Self::Names | Self::Domain => {
                let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
                text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
            }
            Self::Number => u16::from_be_bytes(value.try_into().ok()?).to_string(),
            Self::Octets | Self::Guess => {
                let mut text = "0x".to_owned();
                for byte in value {
                    write!(text, "{byte:02x}").ok()?;
                }
                text
            }
        })
    }
}

/// An address of either family from its octets.
pub(super) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

fn joined(value: &[u8], size: usize, show: impl Fn(&[u8]) -> Option<String>) -> Option<String> {
    if value.is_empty() || !value.len().is_multiple_of(size) {
        return None;
    }
    let all: Option<Vec<String>> = value.chunks(size).map(show).collect();
    all.map(|all| all.join(","))
}

/// `net/length`, `net/mask` or a single address.
fn subnet(text: &str) -> Option<IpNet> {
    if let Ok(net) = text.parse() {
        return Some(net);
    }
    if let Some((net, mask)) = text.split_once('/') {
        return IpNet::with_netmask(net.trim().parse().ok()?, mask.trim().parse().ok()?).ok();
    }
    text.parse::<IpAddr>().ok().map(IpNet::from)
}

fn v4_net(net: Ipv4Net) -> Vec<u8> {
    [net.network().octets(), net.netmask().octets()].concat()
}

fn v6_net(address: Ipv6Addr, length: u8) -> Vec<u8> {
    let mut value = address.octets().to_vec();
    value.push(length);
    value
}

fn read_v4_net(value: &[u8]) -> Option<IpNet> {
    let (net, mask) = value.split_at_checked(4)?;
    IpNet::with_netmask(address(net)?, address(mask)?).ok()
}

fn read_v6_net(value: &[u8]) -> Option<Ipv6Net> {
    let (address, length) = value.split_at_checked(16)?;
    let address: [u8; 16] = address.try_into().ok()?;
    Ipv6Net::new(address.into(), *length.first()?).ok()
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at.checked_add(2)?)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// A name as a resolver takes it: labels of letters, digits, `-` and `_`, 255 octets at most; the root too.
fn is_domain(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-')
    };
    text == "." || name.len() <= 253 && name.split('.').all(label)
}
