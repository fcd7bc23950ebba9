//! Identities (RFC 7296 3.5) in strongSwan's grammar; matching with wildcards.
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::iana::IdType;

pub mod dn;
mod matching;

pub use dn::Dn;

/// An identity or a pattern for identities.
///
/// Text grammar, as documented for strongSwan's `id` keys ("Identity Parsing"):
///
/// * `%any`, `%any6`, `0.0.0.0`, `::`, `*` and nothing at all: [`Identity::Any`];
/// * a prefix `ipv4:`, `ipv6:`, `ipv4net:`, `ipv6net:`, `ipv4range:`, `ipv6range:`, `rfc822:`, `email:`,
///   `userfqdn:`, `fqdn:`, `dns:`, `asn1dn:`, `asn1gn:`, `keyid:` or `{number}:`: the rest is the data of that type,
///   as written or, after `#`, in hexadecimal; `^…$` after `rfc822`, `fqdn` and `asn1dn` is a regular expression;
/// * something with `=`: a distinguished name, or a KEY_ID when it cannot be encoded as one;
/// * `@#hex` (KEY_ID), `@@user@host` (RFC822), `@name` (FQDN), `user@host` (RFC822);
/// * something with a colon: an IPv6 address, subnet or range, or a KEY_ID when it is none;
/// * an IPv4 address, subnet or range; else an FQDN.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Identity {
    /// `%any`: matches everything, sent as nothing.
    Any,
    /// IPv4 or IPv6 address.
    Ip(IpAddr),
    /// First and last address of a range or subnet: a pattern.
    Range(IpAddr, IpAddr),
    /// Host name; a pattern may start with `*`.
    Fqdn(String),
    /// Mail address; a pattern may start with `*`.
    Rfc822(String),
    /// DER of a distinguished name, and its text (RDNs as strongSwan prints them). A pattern's RDN may be `*`.
    Dn {
        /// DER as sent.
        der: Vec<u8>,
        /// Text form, `C=CH, O=Cygnet, CN=moon`.
        text: String,
    },
    /// Opaque bytes.
    KeyId(Vec<u8>),
    /// Any other type, raw; also data that is not what its type promises.
    Other(IdType, Vec<u8>),
    /// An anchored pattern `^…$` for the text of identities of one type, compared without regard to case.
    Pattern(IdType, String),
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// `#` promises hexadecimal digits.
    #[error("`{0}` is not an even number of hexadecimal digits")]
    Hex(String),
    /// A regular expression that does not compile.
    #[error("`{0}` is not a regular expression: {1}")]
    Regex(String, String),
    /// A regular expression for a type that has no text.
    #[error(
        "identities of type `{0}` cannot be matched by a regular expression (rfc822, fqdn and asn1dn can)"
    )]
    RegexType(String),
    /// `{number}:` beyond a byte.
    #[error("`{0}` is no identity type (0 to 255)")]
    Type(String),
    /// Data of a peer that does not fit its type (RFC 7296 3.5).
    #[error("identity of type {0:?} with invalid data")]
    Data(IdType),
}

/// The documented type prefixes.
const PREFIXES: &[(&str, u8)] = &[
    ("ipv4", 1),
    ("ipv4net", IPV4_NET),
    ("ipv4range", IPV4_RANGE),
    ("ipv6", 5),
    ("ipv6net", IPV6_NET),
    ("ipv6range", IPV6_RANGE),
    ("rfc822", 3),
    ("email", 3),
    ("userfqdn", 3),
    ("fqdn", 2),
    ("dns", 2),
    ("asn1dn", 9),
    ("asn1gn", 10),
    ("keyid", 11),
];

// ISAKMP's types for subnets and ranges (RFC 2407 4.6.2.1); IKEv2 has none.
const IPV4_NET: u8 = 4;
const IPV6_NET: u8 = 6;
const IPV4_RANGE: u8 = 7;
const IPV6_RANGE: u8 = 8;

impl Identity {
    /// Reads the text form.
    ///
    /// # Errors
    /// Only explicit forms can fail: bad hexadecimal digits, a bad regular expression, a bad type number.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if matches!(text, "" | "%any" | "%any6" | "0.0.0.0" | "::" | "*") {
            return Ok(Self::Any);
        }
        if let Some((prefix, data)) = text.split_once(':')
            && let Some(kind) = prefix_type(prefix)?
        {
            return Self::parse_typed(prefix, kind, data);
        }
        if text.contains('=') {
            return Ok(Dn::parse(text)
                .map_or_else(|| Self::KeyId(text.as_bytes().to_vec()), |dn| dn.into_identity()));
        }
        if let Some(rest) = text.strip_prefix("@#") {
            return Ok(Self::KeyId(hex(rest)?));
        }
        if let Some(rest) = text.strip_prefix("@@") {
            return Ok(Self::Rfc822(rest.to_owned()));
        }
        if let Some(rest) = text.strip_prefix('@') {
            return Ok(Self::Fqdn(rest.to_owned()));
        }
        if text.contains('@') {
            return Ok(Self::Rfc822(text.to_owned()));
        }
        if let Some(address) = parse_address(text) {
            return Ok(address);
        }
        if text.contains(':') {
            return Ok(Self::KeyId(text.as_bytes().to_vec()));
        }
        Ok(Self::Fqdn(text.to_owned()))
    }

    fn parse_typed(prefix: &str, kind: u8, data: &str) -> Result<Self, IdentityError> {
        if data.starts_with('^') && data.ends_with('$') {
            let kind = IdType::from(kind);
            if !matches!(kind, IdType::Rfc822 | IdType::Fqdn | IdType::Dn) {
                return Err(IdentityError::RegexType(prefix.to_owned()));
            }
            matching::compile(data).map_err(|error| {
                IdentityError::Regex(data.to_owned(), error.to_string().replace('\n', " "))
            })?;
            return Ok(Self::Pattern(kind, data.to_owned()));
        }
        let bytes = match data.strip_prefix('#') {
            Some(digits) => hex(digits)?,
            None => data.as_bytes().to_vec(),
        };
        if let Some(range) = binary_range(kind, &bytes) {
            return Ok(range);
        }
        let kind = IdType::from(kind);
        Ok(Self::from_wire(kind, &bytes).unwrap_or(Self::Other(kind, bytes)))
    }

    /// Type and data as they go into an ID payload (RFC 7296 3.5). Patterns cannot be sent: they give type 0
    /// without data, like [`Identity::Any`]; see [`Identity::is_pattern`].
    #[must_use]
    pub fn to_wire(&self) -> (IdType, Vec<u8>) {
        match self {
            Self::Any | Self::Range(..) | Self::Pattern(..) => (IdType::Any, Vec::new()),
            Self::Ip(IpAddr::V4(a)) => (IdType::Ipv4, a.octets().to_vec()),
            Self::Ip(IpAddr::V6(a)) => (IdType::Ipv6, a.octets().to_vec()),
            Self::Fqdn(s) => (IdType::Fqdn, s.as_bytes().to_vec()),
            Self::Rfc822(s) => (IdType::Rfc822, s.as_bytes().to_vec()),
            Self::Dn { der, .. } => (IdType::Dn, der.clone()),
            Self::KeyId(bytes) => (IdType::KeyId, bytes.clone()),
            Self::Other(kind, bytes) => (*kind, bytes.clone()),
        }
    }

    /// Reads an ID payload.
    ///
    /// # Errors
    /// [`IdentityError::Data`] when the data is not of its type: an address of the wrong length, a name that is
    /// empty, holds control characters or is no UTF-8, a malformed distinguished name. Types without a form here
    /// become [`Identity::Other`].
    pub fn from_wire(kind: IdType, data: &[u8]) -> Result<Self, IdentityError> {
        let bad = || IdentityError::Data(kind);
        match kind {
            IdType::Ipv4 => {
                let octets: [u8; 4] = data.try_into().map_err(|_| bad())?;
                Ok(Self::Ip(Ipv4Addr::from(octets).into()))
            }
            IdType::Ipv6 => {
                let octets: [u8; 16] = data.try_into().map_err(|_| bad())?;
                Ok(Self::Ip(Ipv6Addr::from(octets).into()))
            }
            IdType::Fqdn => name(data).map(Self::Fqdn).ok_or_else(bad),
            IdType::Rfc822 => name(data).map(Self::Rfc822).ok_or_else(bad),
            IdType::Dn => Dn::from_der(data).map(Dn::into_identity).ok_or_else(bad),
            IdType::KeyId => Ok(Self::KeyId(data.to_vec())),
            IdType::Any | IdType::Gn | IdType::FcName | IdType::Null | IdType::Unknown(_) => {
                Ok(Self::Other(kind, data.to_vec()))
            }
        }
    }

    /// The type an ID payload with this identity has; of a pattern, the type it is for.
    #[must_use]
    pub fn kind(&self) -> IdType {
        match self {
            Self::Any => IdType::Any,
            Self::Ip(IpAddr::V4(_)) | Self::Range(IpAddr::V4(_), _) => IdType::Ipv4,
            Self::Ip(IpAddr::V6(_)) | Self::Range(IpAddr::V6(_), _) => IdType::Ipv6,
            Self::Fqdn(_) => IdType::Fqdn,
            Self::Rfc822(_) => IdType::Rfc822,
            Self::Dn { .. } => IdType::Dn,
            Self::KeyId(_) => IdType::KeyId,
            Self::Other(kind, _) | Self::Pattern(kind, _) => *kind,
        }
    }

    /// May match more than one identity, and so cannot be ours: `%any`, wildcards, ranges, regular expressions.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        match self {
            Self::Any | Self::Range(..) | Self::Pattern(..) => true,
            Self::Fqdn(s) | Self::Rfc822(s) => s.starts_with('*'),
            Self::Dn { der, .. } => Dn::from_der(der).is_some_and(|dn| dn.has_wildcards()),
            Self::Ip(_) | Self::KeyId(_) | Self::Other(..) => false,
        }
    }
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        if address.is_unspecified() { Self::Any } else { Self::Ip(address) }
    }
}

impl std::str::FromStr for Identity {
    type Err = IdentityError;
    fn from_str(s: &str) -> Result<Self, IdentityError> {
        Self::parse(s)
    }
}

impl fmt::Display for Identity {
    /// As charon prints identities. Text of a peer is printed without its control characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("%any"),
            Self::Ip(address) => address.fmt(f),
            Self::Range(first, last) => match crate::selector::single_prefix(*first, *last) {
                Some(len) => write!(f, "{first}/{len}"),
                None => write!(f, "{first}-{last}"),
            },
            Self::Fqdn(s) | Self::Rfc822(s) => write_text(f, s),
            Self::Dn { text, .. } => write_text(f, text),
            Self::KeyId(bytes) => match printable(bytes) {
                Some(text) => f.write_str(text),
                None => write_hex(f, bytes),
            },
            Self::Other(kind, bytes) => {
                write!(f, "{{{}}}:", u8::from(*kind))?;
                match printable(bytes) {
                    Some(text) if !text.starts_with(['#', '^']) => f.write_str(text),
                    Some(_) | None => {
                        f.write_str("#")?;
                        bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
                    }
                }
            }
            Self::Pattern(kind, text) => {
                let prefix = PREFIXES.iter().find(|(_, n)| IdType::from(*n) == *kind).map_or("", |(p, _)| *p);
                write!(f, "{prefix}:{text}")
            }
        }
    }
}

fn prefix_type(prefix: &str) -> Result<Option<u8>, IdentityError> {
    if let Some(number) = prefix.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        return number.trim().parse().map(Some).map_err(|_| IdentityError::Type(number.to_owned()));
    }
    Ok(PREFIXES.iter().find(|(p, _)| *p == prefix).map(|(_, n)| *n))
}

fn parse_address(text: &str) -> Option<Identity> {
    let (first, last) = crate::selector::parse_range(text)?;
    Some(if first == last { Identity::Ip(first) } else { Identity::Range(first, last) })
}

fn binary_range(kind: u8, bytes: &[u8]) -> Option<Identity> {
    let address = |bytes: &[u8]| -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
            return Some(octets.into());
        }
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    };
    let half = match kind {
        IPV4_NET | IPV4_RANGE => 4,
        IPV6_NET | IPV6_RANGE => 16,
        _ => return None,
    };
    let (a, b) = bytes.split_at_checked(half)?;
    let (first, second) = (address(a)?, address(b)?);
    if a.len() != b.len() {
        return None;
    }
    if matches!(kind, IPV4_RANGE | IPV6_RANGE) {
        return (first <= second).then_some(Identity::Range(first, second));
    }
    let net = ipnet::IpNet::with_netmask(first, second).ok()?;
    Some(Identity::Range(net.network(), net.broadcast()))
}

fn name(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn hex(digits: &str) -> Result<Vec<u8>, IdentityError> {
    let bad = || IdentityError::Hex(digits.to_owned());
    let digits: Vec<u8> = digits
        .strip_prefix("0x")
        .unwrap_or(digits)
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(bad))
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err(bad());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect())
}

fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.bytes().all(|b| matches!(b, 0x20..=0x7e))).then_some(text)
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.chars().any(char::is_control) {
        return f.write_str(text);
    }
    text.chars().try_for_each(|c| fmt::Write::write_char(f, if c.is_control() { '?' } else { c }))
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            f.write_str(":")?;
        }
        write!(f, "{b:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
