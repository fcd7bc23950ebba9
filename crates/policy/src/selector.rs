//! Traffic selectors: ranges, narrowing, intersection (RFC 7296 2.9, RFC 4301 4.4.1.1).
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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
