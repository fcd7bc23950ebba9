//! Traffic selectors: ranges, narrowing, intersection (RFC 7296 2.9, RFC 4301 4.4.1.1).
use crate::VirtualIp;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::ike::TsSelector;

mod services;
mod text;

pub use text::{SelectorError, parse_range};

/// Any port.
pub const ANY_PORT: (u16, u16) = (0, u16::MAX);
/// Packets whose port is not visible, such as fragments (RFC 4301 4.4.1.1, RFC 7296 3.13.1).
pub const OPAQUE: (u16, u16) = (u16::MAX, 0);

/// A concrete selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// IP protocol, 0 for any.
    pub protocol: u8,
    /// First and last port; ICMP type and code as `type << 8 | code`; `(65535, 0)` is OPAQUE.
    pub ports: (u16, u16),
    /// First address.
    pub start: IpAddr,
    /// Last address, same family.
    pub end: IpAddr,
}

/// A configured selector: concrete, or `dynamic` (becomes the host address or the virtual IPs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SelectorTemplate {
    /// As written.
    Fixed(Selector),
    /// `dynamic[protocol/ports]`.
    Dynamic {
        /// IP protocol, 0 for any.
        protocol: u8,
        /// Ports as in [`Selector`].
        ports: (u16, u16),
    },
}

impl Selector {
    /// All traffic of one host.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { protocol: 0, ports: ANY_PORT, start: address, end: address }
    }

    /// All traffic of one family: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub fn everything(ipv4: bool) -> Self {
        if ipv4 {
            Self {
                protocol: 0,
                ports: ANY_PORT,
                start: Ipv4Addr::UNSPECIFIED.into(),
                end: Ipv4Addr::BROADCAST.into(),
            }
        } else {
            let last = Ipv6Addr::from_bits(u128::MAX);
            Self { protocol: 0, ports: ANY_PORT, start: Ipv6Addr::UNSPECIFIED.into(), end: last.into() }
        }
    }

    /// All traffic of a prefix; host bits of `net` are ignored.
    #[must_use]
    pub fn subnet(net: ipnet::IpNet) -> Self {
        Self { protocol: 0, ports: ANY_PORT, start: net.network(), end: net.broadcast() }
    }

    /// The same addresses with a protocol and ports.
    #[must_use]
    pub fn restricted(self, protocol: u8, ports: (u16, u16)) -> Self {
        Self { protocol, ports, ..self }
    }

    /// Selects IPv4 addresses.
    #[must_use]
    #[inline]
    pub fn is_ipv4(&self) -> bool {
        self.start.is_ipv4()
    }

    /// The address, when it is only one.
    #[must_use]
    pub fn host_address(&self) -> Option<IpAddr> {
        (self.start == self.end).then_some(self.start)
    }

    /// Selects exactly this address (whatever the protocol and ports).
    #[must_use]
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.start == address && self.end == address
    }

    /// Selects every address of its family, whatever the protocol and ports.
    #[must_use]
    pub fn covers_family(&self) -> bool {
        let all = Self::everything(self.is_ipv4());
        self.start == all.start && self.end == all.end
    }

    /// The address lies inside.
    #[must_use]
    #[inline]
    pub fn contains_address(&self, address: IpAddr) -> bool {
        match (self.start, address, self.end) {
            (IpAddr::V4(start), IpAddr::V4(address), IpAddr::V4(end)) => start <= address && address <= end,
            (IpAddr::V6(start), IpAddr::V6(address), IpAddr::V6(end)) => start <= address && address <= end,
            _ => false,
        }
    }

    /// Every packet that `other` selects is selected by this one.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && self.start <= other.start
            && other.end <= self.end
            && (self.protocol == 0 || self.protocol == other.protocol)
            && ports_contain(self.ports, other.ports)
    }

    /// What both select; `None` if nothing.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.is_ipv4() != other.is_ipv4() {
            return None;
        }
        let protocol = match (self.protocol, other.protocol) {
            (a, b) if a == b => a,
            (0, b) => b,
            (a, 0) => a,
            _ => return None,
        };
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        if start > end {
            return None;
        }
        Some(Self { protocol, ports: ports_intersect(self.ports, other.ports)?, start, end })
    }

    /// The smallest list of prefixes that covers the addresses exactly, in order.
    #[must_use]
    pub fn to_subnets(&self) -> Vec<ipnet::IpNet> {
        match (self.start, self.end) {
            (IpAddr::V4(a), IpAddr::V4(b)) => ipnet::Ipv4Subnets::new(a, b, 0).map(Into::into).collect(),
            (IpAddr::V6(a), IpAddr::V6(b)) => ipnet::Ipv6Subnets::new(a, b, 0).map(Into::into).collect(),
            _ => Vec::new(),
        }
    }

    /// For a TS payload.
    #[must_use]
    pub fn to_wire(&self) -> TsSelector {
        TsSelector {
            protocol: self.protocol,
            start_port: self.ports.0,
            end_port: self.ports.1,
            start: self.start,
            end: self.end,
        }
    }

    /// From a TS payload. `None` for what selects nothing: mixed families, a range that ends before it starts.
    #[must_use]
    pub fn from_wire(ts: &TsSelector) -> Option<Self> {
        let ports = (ts.start_port, ts.end_port);
        let sound = ts.start.is_ipv4() == ts.end.is_ipv4()
            && ts.start <= ts.end
            && (ports.0 <= ports.1 || ports == OPAQUE);
        sound.then_some(Self { protocol: ts.protocol, ports, start: ts.start, end: ts.end })
    }
}

fn ports_contain(a: (u16, u16), b: (u16, u16)) -> bool {
    a == ANY_PORT || a == b || (a != OPAQUE && b != OPAQUE && a.0 <= b.0 && b.1 <= a.1)
}

fn ports_intersect(a: (u16, u16), b: (u16, u16)) -> Option<(u16, u16)> {
    // OPAQUE is a value of its own: only ANY includes it (RFC 4301 4.4.1.1).
    match (a, b) {
        (a, b) if a == b => Some(a),
        (ANY_PORT, other) | (other, ANY_PORT) => Some(other),
        (OPAQUE, _) | (_, OPAQUE) => None,
        (a, b) => {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            (first <= last).then_some((first, last))
        }
    }
}

impl SelectorTemplate {
    /// `dynamic` without restriction: the default of `local_ts` and `remote_ts`.
    pub const DYNAMIC: Self = Self::Dynamic { protocol: 0, ports: ANY_PORT };

    /// The selectors for these hosts: `dynamic` gives one for each address or prefix. An unspecified one stands for all
    /// addresses of its family (a virtual IP not assigned yet).
    #[must_use]
    pub fn resolve(&self, hosts: &[VirtualIp]) -> Vec<Selector> {
        match *self {
            Self::Fixed(selector) => vec![selector],
            Self::Dynamic { protocol, ports } => hosts
                .iter()
                .map(|host| {
                    let all = if host.is_unspecified() {
                        Selector::everything(host.is_ipv4())
                    } else {
                        Selector::subnet(host.net())
                    };
                    all.restricted(protocol, ports)
                })
                .collect(),
        }
    }

    /// Is `dynamic`.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dynamic { .. })
    }
}

/// Resolves all templates, without duplicates, in [`order`].
#[must_use]
pub fn resolve(templates: &[SelectorTemplate], hosts: &[VirtualIp]) -> Vec<Selector> {
    let mut out: Vec<Selector> = Vec::new();
    for selector in templates.iter().flat_map(|t| t.resolve(hosts)) {
        if !out.contains(&selector) {
            out.push(selector);
        }
    }
    order(&mut out);
    out
}

/// The order strongSwan has selectors in, in messages and listings: by family and address.
pub fn order(list: &mut [Selector]) {
    list.sort_by_key(|s| (!s.is_ipv4(), s.start, s.end, s.protocol, s.ports));
}

/// What both lists select (RFC 7296 2.9): the intersections of all pairs, without those that another one already
/// contains, in [`order`]. Empty means TS_UNACCEPTABLE.
#[must_use]
pub fn narrow(ours: &[Selector], theirs: &[Selector]) -> Vec<Selector> {
    let mut out: Vec<Selector> = Vec::new();
    for selector in ours.iter().flat_map(|a| theirs.iter().filter_map(|b| a.intersect(b))) {
        if out.iter().any(|kept| kept.contains(&selector)) {
            continue;
        }
        out.retain(|kept| !selector.contains(kept));
        out.push(selector);
    }
    order(&mut out);
    out
}

/// Length of the prefix that is exactly this range; `None` if it is no single prefix.
#[must_use]
pub fn single_prefix(start: IpAddr, end: IpAddr) -> Option<u8> {
    let (bits, width) = match (start, end) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let (a, b) = (a.to_bits(), b.to_bits());
            let free = 32 - (a ^ b).leading_zeros();
            let mask = u32::MAX.checked_shr(32 - free).unwrap_or(0);
            ((a & mask == 0 && b & mask == mask).then_some(free)?, 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let (a, b) = (a.to_bits(), b.to_bits());
            let free = 128 - (a ^ b).leading_zeros();
            let mask = u128::MAX.checked_shr(128 - free).unwrap_or(0);
            ((a & mask == 0 && b & mask == mask).then_some(free)?, 128)
        }
        _ => return None,
    };
    u8::try_from(width - bits).ok()
}

#[cfg(test)]
mod tests;
