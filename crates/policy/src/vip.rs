//! Virtual IPs: addresses inside of the tunnel that the responder gives to the initiator (RFC 7296 3.15).
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address, or an IPv6 prefix, inside of the tunnel; unspecified: any of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualIp {
    /// The address; of a prefix, one of its addresses.
    address: IpAddr,
    /// Length of the prefix that belongs to it whole: 32 or 128 for the address alone.
    prefix: u8,
}

/// The text is no address, and no IPv6 prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IP address, and no prefix of IPv6 addresses (1 to 128 bits)")]
pub struct VirtualIpError(pub String);

impl VirtualIp {
    /// An IPv6 prefix of 1 to 128 bits, or an address of IPv4 with 32 bits; `None` for others.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let fits = if address.is_ipv4() { prefix == 32 } else { (1..=128).contains(&prefix) };
        fits.then_some(Self { address, prefix })
    }

    /// The address; of a prefix, the one it was built with.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix: 32 or 128 for a single address.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// More than one address.
    #[must_use]
    pub fn is_prefix(self) -> bool {
        self.address.is_ipv6() && self.prefix < 128
    }

    /// Any of its family will do.
    #[must_use]
    pub fn is_unspecified(self) -> bool {
        self.address.is_unspecified()
    }

    /// It is of IPv4.
    #[must_use]
    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// All its addresses.
    #[must_use]
    pub fn net(self) -> IpNet {
        let net = IpNet::new(self.address, self.prefix);
        net.map_or_else(|_| IpNet::from(self.address), |net| net.trunc())
    }

    /// The address that the client puts on its interface: of a prefix given by its first address, the second.
    ///
    /// RFC 4291 2.6.1: the first one of a prefix is its routers'.
    #[must_use]
    pub fn host(self) -> IpAddr {
        match (self.address, self.net()) {
            (IpAddr::V6(a), IpNet::V6(net)) if self.is_prefix() && a == net.network() => {
                Ipv6Addr::from(u128::from(a) | 1).into()
            }
            (address, _) => address,
        }
    }

    /// The address alone.
    #[must_use]
    pub fn alone(self) -> Self {
        self.host().into()
    }
}

impl From<IpAddr> for VirtualIp {
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl PartialEq<IpAddr> for VirtualIp {
    fn eq(&self, other: &IpAddr) -> bool {
        *self == Self::from(*other)
    }
}

impl fmt::Display for VirtualIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.is_prefix() { write!(f, "/{}", self.prefix) } else { Ok(()) }
    }
}

impl FromStr for VirtualIp {
    type Err = VirtualIpError;

    fn from_str(text: &str) -> Result<Self, VirtualIpError> {
        let bad = || VirtualIpError(text.to_owned());
        match text.split_once('/') {
            None => text.parse::<IpAddr>().map(Self::from).map_err(|_| bad()),
            Some((address, prefix)) => {
                let (address, prefix) = (address.parse(), prefix.parse());
                Self::new(address.map_err(|_| bad())?, prefix.map_err(|_| bad())?).ok_or_else(bad)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes() {
        for (text, shown, host, net) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.1", "10.0.0.1/32"),
            ("fd00::", "fd00::", "fd00::", "fd00::/128"),
            ("fd00::/64", "fd00::/64", "fd00::1", "fd00::/64"),
            ("fd00::7/64", "fd00::7/64", "fd00::7", "fd00::/64"),
            ("fd00::4/127", "fd00::4/127", "fd00::5", "fd00::4/127"),
            ("::/64", "::/64", "::1", "::/64"),
        ] {
            let vip: VirtualIp = text.parse().unwrap();
            assert_eq!(vip.to_string(), shown);
            assert_eq!(vip.host().to_string(), host);
            assert_eq!(vip.net().to_string(), net);
            assert_eq!(vip.to_string().parse(), Ok(vip));
        }
        for text in ["10.0.0.0/24", "fd00::/129", "fd00::/0", "x", "", "::/", "/64"] {
            assert_eq!(text.parse::<VirtualIp>(), Err(VirtualIpError(text.to_owned())));
        }
    }
}
