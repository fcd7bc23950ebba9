//! Distinguished names (X.501): text to DER and back, as strongSwan prints them.
use super::Identity;
use std::fmt::{self, Write as _};

/// Attribute types with a keyword, in the documented spelling; the first row of an OID is the one printed.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("street", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("T", "2.5.4.12"),
    ("D", "2.5.4.13"),
    ("postalAddress", "2.5.4.16"),
    ("postalCode", "2.5.4.17"),
    ("N", "2.5.4.41"),
    ("G", "2.5.4.42"),
    ("I", "2.5.4.43"),
    ("ID", "2.5.4.45"),
    ("dnQualifier", "2.5.4.46"),
    ("dmdName", "2.5.4.54"),
    ("pseudonym", "2.5.4.65"),
    ("organizationIdentifier", "2.5.4.97"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EN", "2.16.840.1.113730.3.1.3"),
    ("employeeNumber", "2.16.840.1.113730.3.1.3"),
    ("E", "1.2.840.113549.1.9.1"),
    ("email", "1.2.840.113549.1.9.1"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("UN", "1.2.840.113549.1.9.2"),
    ("unstructuredName", "1.2.840.113549.1.9.2"),
    ("UA", "1.2.840.113549.1.9.8"),
    ("unstructuredAddress", "1.2.840.113549.1.9.8"),
    ("ND", "0.2.262.1.10.7.20"),
    ("TCGID", "1.3.6.1.4.1.1201.1.1.2.2.75"),
];

/// Attributes that are an IA5String by their definition (RFC 4519 2.4, RFC 2985 5.2.1); all others are printable or
/// UTF-8 strings (RFC 5280 4.1.2.4).
const IA5: &[&str] = &["0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1"];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const BMP: u8 = 0x1e;
const UNIVERSAL: u8 = 0x1c;
/// An RDN sequence longer than this is refused (a peer chooses its length).
const MAX_ATTRIBUTES: usize = 128;

/// One attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Content of the OBJECT IDENTIFIER.
    pub oid: Vec<u8>,
    /// DER tag of the value.
    pub tag: u8,
    /// Content of the value.
    pub value: Vec<u8>,
    /// Belongs to the RDN of the attribute before it (a multi-valued RDN).
    pub joined: bool,
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn {
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
    der: Vec<u8>,
}

impl Dn {
    /// Reads `C=CH, O=Cygnet, CN=moon` or `/C=CH/O=Cygnet/CN=moon`. Keywords compare without regard to case and may
    /// be dotted OIDs; RDNs are never nested. `None` if it is not such a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (separator, body) = match text.strip_prefix('/') {
            Some(rest) => ('/', rest),
            None => (',', text),
        };
        let mut attributes = Vec::new();
        let body = body.trim_end().strip_suffix(separator).unwrap_or(body);
        for part in body.split(separator) {
            let (key, value) = part.split_once('=')?;
            let (key, value) = (key.trim(), value.trim());
            let dotted = match ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
                Some((_, dotted)) => dotted,
                None => key,
            };
            let oid = encode_oid(dotted)?;
            let tag = if IA5.contains(&dotted) && value.is_ascii() {
                IA5_STRING
            } else if value.bytes().all(is_printable_string) {
                PRINTABLE
            } else {
                UTF8
            };
            attributes.push(Attribute { oid, tag, value: value.as_bytes().to_vec(), joined: false });
        }
        (attributes.len() <= MAX_ATTRIBUTES).then(|| Self::from_attributes(attributes))
    }

    fn from_attributes(attributes: Vec<Attribute>) -> Self {
        let mut body = Vec::new();
        for a in &attributes {
            let mut pair = tlv(OID, &a.oid);
            pair.extend(tlv(a.tag, &a.value));
            body.extend(tlv(SET, &tlv(SEQUENCE, &pair)));
        }
        Self { attributes, der: tlv(SEQUENCE, &body) }
    }

    /// Reads DER strictly: definite minimal lengths, nothing behind the name, at most 128 attributes.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (body, rest) = expect(SEQUENCE, der)?;
        if !rest.is_empty() {
            return None;
        }
        let mut attributes = Vec::new();
        let mut rdns = body;
        while !rdns.is_empty() {
            let (mut set, after) = expect(SET, rdns)?;
            rdns = after;
            if set.is_empty() {
                return None;
            }
            let mut joined = false;
            while !set.is_empty() {
                let (pair, after) = expect(SEQUENCE, set)?;
                set = after;
                let (oid, value) = expect(OID, pair)?;
                let (tag, value, end) = read(value)?;
                if !end.is_empty() || oid.is_empty() || attributes.len() == MAX_ATTRIBUTES {
                    return None;
                }
                attributes.push(Attribute { oid: oid.to_vec(), tag, value: value.to_vec(), joined });
                joined = true;
            }
        }
        Some(Self { attributes, der: der.to_vec() })
    }

    /// The encoding: that of the peer, or ours.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Has an attribute whose value is `*`.
    #[must_use]
    pub fn has_wildcards(&self) -> bool {
        self.attributes.iter().any(|a| a.value == b"*")
    }

    /// Number of attributes matched by a wildcard if `other` has the same attributes in the same order with equal
    /// values; `None` if it does not. Values compare as text, without regard to case and to the kind of string.
    #[must_use]
    pub fn matches(&self, other: &Self) -> Option<u32> {
        if self.attributes.len() != other.attributes.len() {
            return None;
        }
        let mut wildcards: u32 = 0;
        for (ours, theirs) in self.attributes.iter().zip(&other.attributes) {
            if ours.oid != theirs.oid {
                return None;
            }
            if ours.value == b"*" {
                wildcards = wildcards.saturating_add(1);
            } else if ours.value != theirs.value || ours.tag != theirs.tag {
                match (ours.text(), theirs.text()) {
                    (Some(a), Some(b)) if a.to_lowercase() == b.to_lowercase() => {}
                    _ => return None,
                }
            }
        }
        Some(wildcards)
    }

    /// As an identity.
    #[must_use]
    pub fn into_identity(self) -> Identity {
        let text = self.to_string();
        Identity::Dn { der: self.der, text }
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, a) in self.attributes.iter().enumerate() {
            if i > 0 {
                f.write_str(if a.joined { " + " } else { ", " })?;
            }
            let dotted = decode_oid(&a.oid);
            match ATTRIBUTES.iter().find(|(_, oid)| *oid == dotted) {
                Some((name, _)) => f.write_str(name)?,
                None => f.write_str(&dotted)?,
            }
            f.write_str("=")?;
            match a.text() {
                Some(text) => {
                    text.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))?
                }
                None => {
                    f.write_str("#")?;
                    a.value.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                }
            }
        }
        Ok(())
    }
}

impl Attribute {
    /// The value as text, where it is a kind of string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self.tag {
            BMP => {
                let units: Vec<u16> =
                    self.value.chunks(2).map(|p| p.iter().fold(0, |n, b| n << 8 | u16::from(*b))).collect();
                String::from_utf16(&units).ok()
            }
            UNIVERSAL => self
                .value
                .chunks(4)
                .map(|p| char::from_u32(p.iter().fold(0, |n, b| n << 8 | u32::from(*b))))
                .collect(),
            // Numeric, printable, T61, IA5, visible, general and UTF-8 strings. T61 is Latin 1 in practice.
            UTF8 | 0x12..=0x14 | IA5_STRING | 0x1a | 0x1b => match std::str::from_utf8(&self.value) {
                Ok(text) => Some(text.to_owned()),
                Err(_) if self.tag == 0x14 => Some(self.value.iter().map(|b| char::from(*b)).collect()),
                Err(_) => None,
            },
            _ => None,
        }
    }
}

fn is_printable_string(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b)
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let octets = content.len().to_be_bytes();
            let significant: Vec<u8> = octets.into_iter().skip_while(|b| *b == 0).collect();
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

fn read(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    // Multi-byte tags do not occur in names.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&n, rest) = rest.split_first()?;
            (usize::from((n >= 0x80).then_some(n)?), rest)
        }
        0x82 => {
            let (octets, rest) = rest.split_first_chunk::<2>()?;
            let n = u16::from_be_bytes(*octets);
            (usize::from((n >= 0x100).then_some(n)?), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = read(input)?;
    (found == tag).then_some((content, rest))
}

fn encode_oid(dotted: &str) -> Option<Vec<u8>> {
    let arcs: Vec<u32> = dotted.split('.').map(|arc| arc.parse().ok()).collect::<Option<_>>()?;
    let (first, rest) = arcs.split_first()?;
    let (second, rest) = rest.split_first()?;
    if *first > 2 || (*first < 2 && *second > 39) {
        return None;
    }
    let mut out = Vec::new();
    encode_arc(first.checked_mul(40)?.checked_add(*second)?, &mut out);
    rest.iter().for_each(|arc| encode_arc(*arc, &mut out));
    Some(out)
}

fn encode_arc(arc: u32, out: &mut Vec<u8>) {
    for shift in [28, 21, 14, 7, 0] {
        let septet = u8::try_from(arc >> shift & 0x7f).unwrap_or(0);
        if shift == 0 {
            out.push(septet);
        } else if arc >> shift != 0 {
            out.push(septet | 0x80);
        }
    }
}

fn decode_oid(content: &[u8]) -> String {
    let mut out = String::new();
    let mut arc: u64 = 0;
    let mut first = true;
    for b in content {
        arc = arc.wrapping_shl(7) | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        if first {
            let root = (arc / 40).min(2);
            let _infallible = write!(out, "{root}.{}", arc.saturating_sub(root * 40));
            first = false;
        } else {
            let _infallible = write!(out, ".{arc}");
        }
        arc = 0;
    }
    out
}
