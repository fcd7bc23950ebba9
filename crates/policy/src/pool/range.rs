//! The addresses of a pool.
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses of a pool: a single address, a CIDR or `from-to`. May be empty.
///
/// A CIDR with more than two addresses serves neither its first (network) nor its last (broadcast) address. One
/// with host bits starts at the address written: `10.2.0.5/24` serves .5 to .254. A `from-to` serves all of it.
///
/// With a prefix length (IPv6) each client gets a whole prefix of that length: `2001:db8::/48` with prefixes of 64
/// serves all 65,536 of them, beginning with the one that holds the address written. libreswan's short form of the
/// same is `2001:db8::/48/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRange {
    /// First address served; what `get-pools` shows as base, like strongSwan 6.
    first: IpAddr,
    /// Addresses or prefixes served.
    size: u128,
    /// What `get-pools` shows as size: a subnet counts no further than 2³¹ addresses from its network address.
    shown: u32,
    /// Length of what one client gets: 32 or 128 for an address.
    prefix: u8,
}

/// `addrs`, with the prefix length, is not what a pool can serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolRangeError {
    /// Another form than those allowed.
    #[error("`{0}` is no subnet and no range from-to")]
    Form(String),
    /// The end comes before the beginning.
    #[error("the range `{0}` ends before it begins; write the lower address first")]
    Inverted(String),
    /// Both families in one range.
    #[error(
        "the range `{0}` begins in one address family and ends in the other; a pool has one family, make two"
    )]
    Mixed(String),
    /// The subnet's mask is longer than an address.
    #[error("`{0}`: a subnet of this family has a length of 0 to {1}")]
    Mask(String, u8),
    /// Prefixes of IPv4.
    #[error("`{0}` is IPv4; prefixes are given to clients in pools of IPv6 only")]
    Family(String),
    /// Length of a client's prefix: what was asked for, and the shortest that fits.
    #[error("`{text}` can be divided into prefixes of {min} to 128 bits, not of {prefix}")]
    Prefix {
        /// The addresses.
        text: String,
        /// The length asked for.
        prefix: u8,
        /// The shortest possible.
        min: u8,
    },
    /// The range cuts a prefix.
    #[error("`{0}` does not begin and end at the border of a prefix of {1} bits")]
    Border(String, u8),
    /// Two prefix lengths that contradict each other.
    #[error("`{0}` names another prefix length than `prefix = {1}`")]
    Twice(String, u8),
}

impl PoolRange {
    /// Reads `addrs` and, where there is one, the length of the prefix that each client gets.
    ///
    /// # Errors
    /// [`PoolRangeError`]
    pub fn parse(text: &str, prefix: Option<u8>) -> Result<Self, PoolRangeError> {
        let bad = || PoolRangeError::Form(text.to_owned());
        let trimmed = text.trim();
        if let Some((from, to)) = trimmed.split_once('-') {
            let from: IpAddr = from.trim().parse().map_err(|_| bad())?;
            let to: IpAddr = to.trim().parse().map_err(|_| bad())?;
            return Self::from_to(text, from, to, prefix);
        }
        let mut parts = trimmed.split('/').map(str::trim);
        let base: IpAddr = parts.next().and_then(|base| base.parse().ok()).ok_or_else(bad)?;
        let width = width(base);
        let mut length = || parts.next().map(|part| part.parse::<u8>().map_err(|_| bad())).transpose();
        let mask = length()?.unwrap_or(width);
        let short = length()?;
        if parts.next().is_some() {
            return Err(bad());
        }
        if mask > width {
            return Err(PoolRangeError::Mask(text.to_owned(), width));
        }
        let prefix = match (prefix, short) {
            (Some(prefix), Some(short)) if prefix != short => {
                return Err(PoolRangeError::Twice(text.to_owned(), prefix));
            }
            (prefix, short) => prefix.or(short),
        };
        match Self::length(text, base, mask, prefix)? {
            Some(prefix) => Ok(Self::prefixes(base, mask, prefix)),
            None => Ok(Self::subnet(base, mask)),
        }
    }

    /// The prefix length if there is one and it is not that of an address.
    fn length(text: &str, base: IpAddr, min: u8, prefix: Option<u8>) -> Result<Option<u8>, PoolRangeError> {
        let Some(prefix) = prefix else { return Ok(None) };
        if base.is_ipv4() {
            return Err(PoolRangeError::Family(text.to_owned()));
        }
        let min = min.max(1);
        if !(min..=128).contains(&prefix) {
            return Err(PoolRangeError::Prefix { text: text.to_owned(), prefix, min });
        }
        Ok(Some(prefix).filter(|prefix| *prefix < 128))
    }

    /// The first address served; of an empty range, the one that was written.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address served, of the last prefix the last; `None` where the range is empty.
    pub fn last(&self) -> Option<IpAddr> {
        self.nth(self.size.checked_sub(1)?).map(|last| self.end_of(last))
    }

    /// The last address of the prefix that begins here; an address is its own.
    pub fn end_of(&self, first: IpAddr) -> IpAddr {
        let (IpAddr::V6(start), 1..) = (first, self.shift()) else { return first };
        IpAddr::V6(Ipv6Addr::from(u128::from(start) | self.mask()))
    }

    /// Number of addresses or prefixes served; all of IPv6 counts as `u128::MAX`.
    pub fn size(&self) -> u128 {
        self.size
    }

    /// Length of what one client gets: 32 or 128 for an address.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The size as strongSwan reports it, which knows at most 2³¹ addresses per pool.
    pub fn shown_size(&self) -> u32 {
        self.shown
    }

    /// The address `offset` steps after the first one, `None` outside of the range.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        if offset >= self.size {
            return None;
        }
        Some(match self.first {
            IpAddr::V4(first) => {
                IpAddr::V4(Ipv4Addr::from(u32::from(first).checked_add(u32::try_from(offset).ok()?)?))
            }
            IpAddr::V6(first) => {
                IpAddr::V6(Ipv6Addr::from(u128::from(first).checked_add(offset.checked_shl(self.shift())?)?))
            }
        })
    }

    /// Inverse of [`Self::nth`]; an address inside of a prefix stands for the prefix.
    pub fn offset(&self, address: IpAddr) -> Option<u128> {
        let offset = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(a)) => u128::from(u32::from(a).checked_sub(u32::from(first))?),
            (IpAddr::V6(first), IpAddr::V6(a)) => {
                u128::from(a).checked_sub(u128::from(first))?.checked_shr(self.shift())?
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        (offset < self.size).then_some(offset)
    }

    /// This address is one that a client may get as its first: no bits behind the prefix.
    pub fn is_aligned(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(a) => u128::from(a) & self.mask() == 0,
        }
    }

    /// The pool serves addresses of this one's family.
    pub fn same_family(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4()
    }

    /// Bits behind a client's prefix.
    fn shift(&self) -> u32 {
        u32::from(width(self.first).saturating_sub(self.prefix))
    }

    fn mask(&self) -> u128 {
        low_bits(self.shift())
    }

    fn subnet(base: IpAddr, prefix: u8) -> Self {
        let value = numeric(base);
        let host_bits = u32::from(width(base).saturating_sub(prefix));
        let mask = low_bits(host_bits);
        let (network, end) = (value & !mask, value | mask);
        let (mut first, mut last) = (value, end);
        if host_bits > 1 {
            first = first.max(network.saturating_add(1));
            last = end.saturating_sub(1);
        }
        let size = last.checked_sub(first).map_or(0, |n| n.saturating_add(1));
        let far = network.saturating_add((1 << 31) - 2).min(last);
        let shown = far.checked_sub(first).map_or(0, |n| n.saturating_add(1));
        // Host bits beyond the part strongSwan can count: show what is there, as far as the number goes.
        let shown = if shown == 0 { size } else { shown };
        Self { first: address(base, first), size, shown: clip(shown), prefix: width(base) }
    }

    /// All prefixes of a subnet, beginning with the one that holds the base. At most 2¹²⁷.
    fn prefixes(base: IpAddr, mask: u8, prefix: u8) -> Self {
        let value = numeric(base);
        let shift = u32::from(128u8.saturating_sub(prefix));
        let first = value & !low_bits(shift);
        let end = value | low_bits(u32::from(128u8.saturating_sub(mask)));
        let size = end.wrapping_sub(first).checked_shr(shift).unwrap_or(0).saturating_add(1);
        Self { first: address(base, first), size, shown: clip(size), prefix }
    }

    fn from_to(text: &str, from: IpAddr, to: IpAddr, prefix: Option<u8>) -> Result<Self, PoolRangeError> {
        if from.is_ipv4() != to.is_ipv4() {
            return Err(PoolRangeError::Mixed(text.to_owned()));
        }
        let Some(span) = numeric(to).checked_sub(numeric(from)) else {
            return Err(PoolRangeError::Inverted(text.to_owned()));
        };
        let Some(prefix) = Self::length(text, from, 1, prefix)? else {
            let size = span.saturating_add(1);
            return Ok(Self { first: from, size, shown: clip(size), prefix: width(from) });
        };
        let shift = u32::from(128u8.saturating_sub(prefix));
        let mask = low_bits(shift);
        // The end may be written as the first or the last address of the last prefix.
        let (start, end) = (numeric(from) & mask, numeric(to) & mask);
        if start != 0 || (end != 0 && end != mask) {
            return Err(PoolRangeError::Border(text.to_owned(), prefix));
        }
        let size = span.checked_shr(shift).unwrap_or(0).saturating_add(1);
        Ok(Self { first: from, size, shown: clip(size), prefix })
    }
}

fn clip(size: u128) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX).min(1 << 31)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn numeric(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn low_bits(count: u32) -> u128 {
    1u128.checked_shl(count).map_or(u128::MAX, |bit| bit.wrapping_sub(1))
}

fn address(like: IpAddr, value: u128) -> IpAddr {
    match like {
        // The value stays inside of a subnet of 32 bits.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
    }
}

impl FromStr for PoolRange {
    type Err = PoolRangeError;

    fn from_str(text: &str) -> Result<Self, PoolRangeError> {
        Self::parse(text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Base and size as strongSwan 6.0 lists them; 5.9 differs in the base, which is the address as written.
    #[test]
    fn ranges_as_strongswan_lists_them() {
        for (text, base, shown) in [
            ("10.1.0.0/24", "10.1.0.1", 254),
            ("10.2.0.5/24", "10.2.0.5", 250),
            ("10.3.0.1/32", "10.3.0.1", 1),
            ("10.4.0.0/31", "10.4.0.0", 2),
            ("10.4.1.1/31", "10.4.1.1", 1),
            ("10.5.0.0/30", "10.5.0.1", 2),
            ("10.5.0.5/30", "10.5.0.5", 2),
            ("11.0.0.0/8", "11.0.0.1", 16_777_214),
            ("0.0.0.0/0", "0.0.0.1", 2_147_483_646),
            ("2001:db8::/64", "2001:db8::1", 2_147_483_646),
            ("2001:db8:1::5/64", "2001:db8:1::5", 2_147_483_642),
            ("2001:db8:2::/120", "2001:db8:2::1", 254),
            ("2001:db8:3::/127", "2001:db8:3::", 2),
            ("2001:db8:4::1/128", "2001:db8:4::1", 1),
            ("10.7.0.0-10.7.0.255", "10.7.0.0", 256),
            ("10.8.0.7", "10.8.0.7", 1),
            ("10.10.0.255/24", "10.10.0.255", 0),
            ("10.11.0.254/24", "10.11.0.254", 1),
            ("10.13.0.1 - 10.13.0.1", "10.13.0.1", 1),
        ] {
            let range: PoolRange = text.parse().unwrap();
            assert_eq!(range.first(), base.parse::<IpAddr>().unwrap(), "{text}");
            assert_eq!(range.shown_size(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_said_by_name() {
        for (text, prefix, words) in [
            ("%config", None, "`%config` is no subnet and no range from-to"),
            ("", None, "`` is no subnet"),
            ("1.1.1.1/", None, "`1.1.1.1/` is no subnet"),
            ("::/1/2/3", None, "is no subnet"),
            ("10.0.0.0/33", None, "length of 0 to 32"),
            ("::/129", None, "length of 0 to 128"),
            ("10.9.0.9-10.9.0.1", None, "ends before it begins"),
            ("10.9.0.1-2001::1", None, "a pool has one family"),
            ("10.0.0.0/8", Some(24), "pools of IPv6 only"),
            ("10.0.0.0/8/24", None, "pools of IPv6 only"),
            ("2001:db8::/48", Some(32), "prefixes of 48 to 128 bits, not of 32"),
            ("2001:db8::/48", Some(129), "prefixes of 48 to 128 bits, not of 129"),
            ("::/0", Some(0), "prefixes of 1 to 128"),
            ("2001:db8::/48/64", Some(56), "another prefix length than `prefix = 56`"),
            ("2001:db8::1-2001:db8:0:5::", Some(64), "border of a prefix of 64"),
            ("2001:db8::-2001:db8:0:5::1", Some(64), "border of a prefix of 64"),
        ] {
            let error = PoolRange::parse(text, prefix).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn prefixes() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, prefix, first, size, last) in [
            ("2001:db8::/48", Some(64), "2001:db8::", 65536, "2001:db8:0:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::/56/64", None, "2001:db8::", 256, "2001:db8:0:ff:ffff:ffff:ffff:ffff"),
            ("2001:db8:0:5::9/48", Some(64), "2001:db8:0:5::", 65531, "2001:db8:0:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::/64", Some(64), "2001:db8::", 1, "2001:db8::ffff:ffff:ffff:ffff"),
            (
                "2001:db8:0:2::-2001:db8:0:4::",
                Some(64),
                "2001:db8:0:2::",
                3,
                "2001:db8:0:4:ffff:ffff:ffff:ffff",
            ),
            ("2001:db8::/126", Some(128), "2001:db8::1", 2, "2001:db8::2"),
            ("::/0", Some(1), "::", 2, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let range = PoolRange::parse(text, prefix).unwrap();
            assert_eq!((range.first(), range.size()), (ip(first), size), "{text}");
            assert_eq!(range.last(), Some(ip(last)), "{text}");
            assert_eq!(range.nth(size), None);
            assert_eq!(range.offset(ip(last)), Some(size - 1), "{text}");
            assert_eq!(range.offset(range.nth(size - 1).unwrap()), Some(size - 1), "{text}");
        }
        let range = PoolRange::parse("2001:db8::/48", Some(64)).unwrap();
        assert_eq!(range.nth(7), Some(ip("2001:db8:0:7::")));
        assert_eq!(range.offset(ip("2001:db8:0:7::1")), Some(7));
        assert!(range.is_aligned(ip("2001:db8:0:7::")) && !range.is_aligned(ip("2001:db8:0:7::1")));
    }

    #[test]
    fn whole_families() {
        let all: PoolRange = "::/0".parse().unwrap();
        assert_eq!(all.size(), u128::MAX - 1);
        assert_eq!(all.nth(u128::MAX - 2), Some(IpAddr::V6(Ipv6Addr::from(u128::MAX - 1))));
        assert_eq!(all.nth(u128::MAX - 1), None);
        let all: PoolRange = "0.0.0.0-255.255.255.255".parse().unwrap();
        assert_eq!(all.size(), 1 << 32);
        assert_eq!(all.offset("255.255.255.255".parse().unwrap()), Some((1 << 32) - 1));
        let all: PoolRange = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(all.size(), u128::MAX);
    }
}
