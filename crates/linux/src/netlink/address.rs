//! Addresses of interfaces.
use super::{Netlink, tolerate};
use crate::{Attempt, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::IpAddr;

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Interface index.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Prefix length of its network.
    pub prefix: u8,
    /// v6: made for privacy (RFC 8981).
    pub temporary: bool,
    /// v6: still valid, but not for new connections.
    pub deprecated: bool,
    /// v6: not yet known to be unique, or known not to be.
    pub tentative: bool,
    /// Valid on this link only.
    pub link_local: bool,
    /// Valid on this host only.
    pub host_local: bool,
}

impl Address {
    pub(super) fn parse(message: &AddressMessage) -> Option<Self> {
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        let (mut address, mut local) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(a) => address = Some(*a),
                AddressAttribute::Local(a) => local = Some(*a),
                AddressAttribute::Flags(f) => flags = *f,
                _ => {}
            }
        }
        let v6 = message.header.family == AddressFamily::Inet6;
        Some(Self {
            interface: message.header.index,
            // on a point-to-point link `Address` is the peer's
            address: local.or(address)?,
            prefix: message.header.prefix_len,
            // one bit, two names: on v4 it says "secondary"
            temporary: v6 && flags.contains(AddressFlags::Secondary),
            deprecated: flags.contains(AddressFlags::Deprecated),
            tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
            link_local: message.header.scope == AddressScope::Link,
            host_local: message.header.scope == AddressScope::Host,
        })
    }
}

fn message(interface: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.prefix_len = prefix;
    message.header.index = interface;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message
}

impl Netlink {
    /// Addresses of all interfaces, both families.
    ///
    /// # Errors
    /// The system's.
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let all = self
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .attempt(|| "listing addresses".to_owned())?;
        Ok(all
            .iter()
            .filter_map(|m| match m {
                RouteNetlinkMessage::NewAddress(address) => Address::parse(address),
                _ => None,
            })
            .collect())
    }

    /// Adds an address that belongs to a network on the link, usable at once (no duplicate detection).
    ///
    /// # Errors
    /// The system's. An address that is there already is no error; the answer is whether it was added.
    pub fn add_address(&mut self, interface: u32, address: IpAddr, prefix: u8) -> Result<bool> {
        self.put_address(message(interface, address, prefix))
    }

    /// Adds a virtual IP: no network route, no duplicate detection, and a v6 address is marked deprecated, so
    /// that only what names it as its source (our routes do) uses it.
    ///
    /// # Errors
    /// As [`Self::add_address`].
    pub fn add_virtual_ip(&mut self, interface: u32, address: IpAddr, prefix: u8) -> Result<bool> {
        let mut message = message(interface, address, prefix);
        if address.is_ipv6() {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = 0;
            lifetime.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        self.put_address(message)
    }

    fn put_address(&mut self, mut message: AddressMessage) -> Result<bool> {
        if message.header.family == AddressFamily::Inet6 {
            let mut flags = AddressFlags::Nodad;
            for attribute in &message.attributes {
                if let AddressAttribute::Flags(f) = attribute {
                    flags |= *f;
                }
            }
            message.attributes.retain(|a| !matches!(a, AddressAttribute::Flags(_)));
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        let what = format!("adding {}", describe(&message));
        let result =
            self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL).attempt(|| what);
        tolerate(result, &[libc::EEXIST])
    }

    /// Marks an existing v6 address deprecated or not, its validity kept for ever.
    ///
    /// # Errors
    /// The system's.
    pub fn set_deprecated(
        &mut self,
        interface: u32,
        address: IpAddr,
        prefix: u8,
        deprecated: bool,
    ) -> Result<()> {
        let mut message = message(interface, address, prefix);
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = if deprecated { 0 } else { u32::MAX };
        lifetime.ifa_valid = u32::MAX;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .attempt(|| format!("changing the lifetime of {address}"))
    }

    /// Removes an address.
    ///
    /// # Errors
    /// The system's. An address or interface that is gone is no error; the answer is whether it was there.
    pub fn delete_address(&mut self, interface: u32, address: IpAddr, prefix: u8) -> Result<bool> {
        let message = message(interface, address, prefix);
        let what = format!("removing {}", describe(&message));
        let result = self.change(RouteNetlinkMessage::DelAddress(message), 0).attempt(|| what);
        tolerate(result, &[libc::EADDRNOTAVAIL, libc::ENODEV])
    }
}

fn describe(message: &AddressMessage) -> String {
    let address = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(a) => Some(a.to_string()),
        _ => None,
    });
    format!(
        "address {}/{} of interface {}",
        address.unwrap_or_default(),
        message.header.prefix_len,
        message.header.index
    )
}
