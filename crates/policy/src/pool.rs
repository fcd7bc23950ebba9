//! Virtual IP pools as configured (`pools.<name>`).
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use wire::iana::ConfigAttribute;

/// A pool of virtual IPs and the attributes its clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// Section name; what `connections.<conn>.pools` refers to.
    pub name: String,
    /// `addrs`.
    pub range: PoolRange,
    /// Attributes in configured order.
    pub attributes: Vec<PoolAttribute>,
}

/// One configuration attribute of a pool, encoded as in the configuration payload (RFC 7296 3.15.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolAttribute {
    /// Attribute type.
    pub kind: ConfigAttribute,
    /// Value bytes.
    pub value: Vec<u8>,
}

/// The addresses of a pool: a single address, a CIDR or `from-to`. May be empty.
///
/// A CIDR with more than two addresses serves neither its first (network) nor its last (broadcast) address. One
/// with host bits starts at the address written: `10.2.0.5/24` serves .5 to .254. A `from-to` serves all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRange {
    /// The address written first; what `get-pools` shows.
    base: IpAddr,
    /// First address served.
    first: IpAddr,
    /// Addresses served.
    size: u128,
    /// What `get-pools` shows as size: a subnet counts no further than 2³¹ addresses from its network address.
    shown: u32,
}

/// `addrs` has another form than the three allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid addrs value: {0}")]
pub struct PoolRangeError(pub String);

impl PoolRange {
    /// The address written in the configuration.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// The first address served (where the range is not empty).
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Number of addresses served; all of IPv6 counts as `u128::MAX`.
    pub fn size(&self) -> u128 {
        self.size
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
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first).checked_add(offset)?)),
        })
    }

    /// Inverse of [`Self::nth`].
    pub fn offset(&self, address: IpAddr) -> Option<u128> {
        let offset = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(a)) => u128::from(u32::from(a).checked_sub(u32::from(first))?),
            (IpAddr::V6(first), IpAddr::V6(a)) => u128::from(a).checked_sub(u128::from(first))?,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        (offset < self.size).then_some(offset)
    }

    /// The pool serves addresses of this one's family.
    pub fn same_family(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4()
    }

    fn subnet(base: IpAddr, prefix: u32) -> Self {
        let (width, value) = numeric(base);
        let host_bits = width.saturating_sub(prefix);
        let mask = 1u128.checked_shl(host_bits).map_or(u128::MAX, |s| s.wrapping_sub(1));
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
        Self { base, first: address(base, first), size, shown: clip(shown) }
    }

    fn from_to(from: IpAddr, to: IpAddr) -> Option<Self> {
        let size = match (from, to) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(b).checked_sub(u32::from(a))?),
            (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(b).checked_sub(u128::from(a))?,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        }
        .saturating_add(1);
        Some(Self { base: from, first: from, size, shown: clip(size) })
    }
}

fn clip(size: u128) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX).min(1 << 31)
}

fn numeric(address: IpAddr) -> (u32, u128) {
    match address {
        IpAddr::V4(a) => (32, u128::from(u32::from(a))),
        IpAddr::V6(a) => (128, u128::from(a)),
    }
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
        let bad = || PoolRangeError(text.to_owned());
        let text = text.trim();
        if let Some((from, to)) = text.split_once('-') {
            let from: IpAddr = from.trim().parse().map_err(|_| bad())?;
            let to: IpAddr = to.trim().parse().map_err(|_| bad())?;
            return Self::from_to(from, to).ok_or_else(bad);
        }
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base.trim(), Some(prefix.trim())),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let width = numeric(base).0;
        let prefix: u32 = prefix.map_or(Ok(width), |p| p.parse().map_err(|_| bad()))?;
        if prefix > width {
            return Err(bad());
        }
        Ok(Self::subnet(base, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// base, first, size as strongSwan 5.9 lists them for the same `addrs`.
    #[test]
    fn ranges_as_strongswan_lists_them() {
        for (text, base, first, shown) in [
            ("10.1.0.0/24", "10.1.0.0", "10.1.0.1", 254),
            ("10.2.0.5/24", "10.2.0.5", "10.2.0.5", 250),
            ("10.3.0.1/32", "10.3.0.1", "10.3.0.1", 1),
            ("10.4.0.0/31", "10.4.0.0", "10.4.0.0", 2),
            ("10.4.1.1/31", "10.4.1.1", "10.4.1.1", 1),
            ("10.5.0.0/30", "10.5.0.0", "10.5.0.1", 2),
            ("10.5.0.5/30", "10.5.0.5", "10.5.0.5", 2),
            ("11.0.0.0/8", "11.0.0.0", "11.0.0.1", 16_777_214),
            ("0.0.0.0/0", "0.0.0.0", "0.0.0.1", 2_147_483_646),
            ("2001:db8::/64", "2001:db8::", "2001:db8::1", 2_147_483_646),
            ("2001:db8:1::5/64", "2001:db8:1::5", "2001:db8:1::5", 2_147_483_642),
            ("2001:db8:2::/120", "2001:db8:2::", "2001:db8:2::1", 254),
            ("2001:db8:3::/127", "2001:db8:3::", "2001:db8:3::", 2),
            ("2001:db8:4::1/128", "2001:db8:4::1", "2001:db8:4::1", 1),
            ("10.7.0.0-10.7.0.255", "10.7.0.0", "10.7.0.0", 256),
            ("10.8.0.7", "10.8.0.7", "10.8.0.7", 1),
            ("10.10.0.255/24", "10.10.0.255", "10.10.0.255", 0),
            ("10.11.0.254/24", "10.11.0.254", "10.11.0.254", 1),
            ("10.13.0.1 - 10.13.0.1", "10.13.0.1", "10.13.0.1", 1),
        ] {
            let range: PoolRange = text.parse().unwrap();
            assert_eq!(range.base(), base.parse::<IpAddr>().unwrap(), "{text}");
            assert_eq!(range.first(), first.parse::<IpAddr>().unwrap(), "{text}");
            assert_eq!(range.shown_size(), shown, "{text}");
        }
        for text in [
            "10.9.0.9-10.9.0.1",
            "10.9.0.1-2001::1",
            "%config",
            "foo",
            "10.0.0.0/33",
            "::/129",
            "",
            "1.1.1.1/",
        ] {
            assert_eq!(text.parse::<PoolRange>(), Err(PoolRangeError(text.to_owned())));
        }
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
