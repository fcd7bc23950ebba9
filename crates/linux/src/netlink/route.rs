//! Routes, and the question which way a packet would take.
use super::lookup::{Packet, question};
use super::{Netlink, tolerate};
use crate::{Attempt, Result};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The main table.
pub const MAIN: u32 = 254;
/// The table of local addresses.
pub const LOCAL: u32 = 255;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum RouteKind {
    /// Sends on.
    #[default]
    Unicast,
    /// Ends the lookup in this table; the next rule goes on.
    Throw,
    /// Drops silently.
    Blackhole,
    /// Drops and says so.
    Unreachable,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// Table.
    pub table: u32,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Interface, by index.
    pub interface: Option<u32>,
    /// Source address for what leaves by it and has none.
    pub source: Option<IpAddr>,
    /// Metric, `None` for the kernel's default.
    pub metric: Option<u32>,
    /// MTU on the way, `None` for the interface's.
    pub mtu: Option<u32>,
    /// What it does.
    pub kind: RouteKind,
}

impl Route {
    /// A route to `destination` in `table` with everything else left open.
    #[must_use]
    pub const fn new(destination: IpNet, table: u32) -> Self {
        Self {
            destination,
            table,
            gateway: None,
            interface: None,
            source: None,
            metric: None,
            mtu: None,
            kind: RouteKind::Unicast,
        }
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        let header = &mut message.header;
        header.address_family = family(self.destination.addr());
        header.destination_prefix_length = self.destination.prefix_len();
        header.protocol = RouteProtocol::Static;
        header.scope =
            if self.gateway.is_none() && self.kind == RouteKind::Unicast && self.destination.addr().is_ipv4()
            {
                RouteScope::Link
            } else {
                RouteScope::Universe
            };
        header.kind = match self.kind {
            RouteKind::Unicast => RouteType::Unicast,
            RouteKind::Throw => RouteType::Throw,
            RouteKind::Blackhole => RouteType::BlackHole,
            RouteKind::Unreachable => RouteType::Unreachable,
        };
        match u8::try_from(self.table) {
            Ok(table) => header.table = table,
            Err(_) => message.attributes.push(RouteAttribute::Table(self.table)),
        }
        if self.destination.prefix_len() > 0 {
            message.attributes.push(RouteAttribute::Destination(self.destination.network().into()));
        }
        if let Some(gateway) = self.gateway {
            message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        }
        if let Some(interface) = self.interface {
            message.attributes.push(RouteAttribute::Oif(interface));
        }
        if let Some(source) = self.source {
            message.attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        if let Some(metric) = self.metric {
            message.attributes.push(RouteAttribute::Priority(metric));
        }
        if let Some(mtu) = self.mtu {
            message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        }
        message
    }

    pub(super) fn parse(message: &RouteMessage) -> Option<Self> {
        let unspecified = match message.header.address_family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return None,
        };
        let kind = match message.header.kind {
            RouteType::Unicast | RouteType::Local => RouteKind::Unicast,
            RouteType::Throw => RouteKind::Throw,
            RouteType::BlackHole => RouteKind::Blackhole,
            RouteType::Unreachable | RouteType::Prohibit => RouteKind::Unreachable,
            _ => return None,
        };
        let mut destination = unspecified;
        let mut route = Self::new(IpNet::from(unspecified), u32::from(message.header.table));
        route.kind = kind;
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(a) => destination = address(a)?,
                RouteAttribute::Gateway(a) => route.gateway = address(a),
                RouteAttribute::PrefSource(a) => route.source = address(a),
                RouteAttribute::Oif(index) => route.interface = Some(*index),
                RouteAttribute::Priority(metric) => route.metric = Some(*metric),
                RouteAttribute::Table(table) => route.table = *table,
                RouteAttribute::Metrics(all) => {
                    for metric in all {
                        if let RouteMetric::Mtu(mtu) = metric {
                            route.mtu = Some(*mtu);
                        }
                    }
                }
                // of several next hops the first stands for all
                RouteAttribute::MultiPath(hops) => {
                    if let Some(hop) = hops.first() {
                        route.interface = Some(hop.interface_index);
                        for attribute in &hop.attributes {
                            if let RouteAttribute::Gateway(a) = attribute {
                                route.gateway = address(a);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        route.destination = IpNet::new(destination, message.header.destination_prefix_length).ok()?;
        Some(route)
    }
}

/// The way a packet would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Interface index.
    pub interface: u32,
    /// Next hop, if the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Our address on that way.
    pub source: Option<IpAddr>,
    /// MTU if the route or what was learnt about the path says so.
    pub mtu: Option<u32>,
    /// The table that decided.
    pub table: u32,
}

/// How to ask for a path.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathQuery {
    /// Mark of the packets.
    pub mark: Option<u32>,
    /// Source address the packets shall have.
    pub source: Option<IpAddr>,
    /// A table whose routes do not count: ours, that lead into tunnels.
    pub avoid_table: Option<u32>,
    /// Prefer temporary v6 addresses (RFC 8981) when the kernel names no source.
    pub prefer_temporary: bool,
}

impl Netlink {
    /// The routes of one table, both families.
    ///
    /// # Errors
    /// The system's.
    pub fn routes(&mut self, table: u32) -> Result<Vec<Route>> {
        let mut all = self.all_routes(AddressFamily::Inet, Some(table))?;
        all.extend(self.all_routes(AddressFamily::Inet6, Some(table))?);
        Ok(all)
    }

    fn all_routes(&mut self, family: AddressFamily, table: Option<u32>) -> Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        if let Some(table) = table {
            match u8::try_from(table) {
                Ok(table) => message.header.table = table,
                Err(_) => message.attributes.push(RouteAttribute::Table(table)),
            }
        }
        let answer = match self.dump(RouteNetlinkMessage::GetRoute(message)) {
            // a table nobody has used yet
            Err(e) if crate::netlink::errno(&e) == Some(libc::ENOENT) => Vec::new(),
            other => other.attempt(|| "listing routes".to_owned())?,
        };
        Ok(answer
            .iter()
            .filter_map(|m| match m {
                RouteNetlinkMessage::NewRoute(route) => Route::parse(route),
                _ => None,
            })
            .filter(|r| table.is_none_or(|t| r.table == t))
            .collect())
    }

    /// Adds a route, or replaces the one to the same destination in the same table with the same metric.
    ///
    /// # Errors
    /// The system's.
    pub fn put_route(&mut self, route: &Route) -> Result<()> {
        self.change(RouteNetlinkMessage::NewRoute(route.message()), NLM_F_CREATE | NLM_F_REPLACE)
            .attempt(|| format!("adding the route to {} in table {}", route.destination, route.table))
    }

    /// Adds or replaces many routes, as [`Self::put_route`] does one; the outcomes are in the same order.
    pub fn put_routes(&mut self, routes: &[Route]) -> Vec<Result<()>> {
        let message = |route: &Route| RouteNetlinkMessage::NewRoute(route.message());
        let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
        let outcomes = self.0.change_many(routes.iter().map(message).collect(), flags);
        let named = |(outcome, route): (io::Result<()>, &Route)| {
            outcome.attempt(|| format!("adding the route to {} in table {}", route.destination, route.table))
        };
        outcomes.into_iter().zip(routes).map(named).collect()
    }

    /// Removes many routes, as [`Self::delete_route`] does one; the outcomes are in the same order.
    pub fn delete_routes(&mut self, routes: &[Route]) -> Vec<Result<bool>> {
        let message = |route: &Route| {
            let mut message = route.message();
            message.header.scope = RouteScope::NoWhere;
            RouteNetlinkMessage::DelRoute(message)
        };
        let outcomes = self.0.change_many(routes.iter().map(message).collect(), NLM_F_REQUEST);
        let named = |(outcome, route): (io::Result<()>, &Route)| {
            let what = || format!("removing the route to {} in table {}", route.destination, route.table);
            tolerate(outcome.attempt(what), &[libc::ESRCH, libc::ENODEV, libc::ENOENT])
        };
        outcomes.into_iter().zip(routes).map(named).collect()
    }

    /// Removes a route.
    ///
    /// # Errors
    /// The system's. A route or interface that is gone is no error; the answer is whether it was there.
    pub fn delete_route(&mut self, route: &Route) -> Result<bool> {
        let mut message = route.message();
        message.header.scope = RouteScope::NoWhere;
        let result = self
            .change(RouteNetlinkMessage::DelRoute(message), 0)
            .attempt(|| format!("removing the route to {} in table {}", route.destination, route.table));
        tolerate(result, &[libc::ESRCH, libc::ENODEV, libc::ENOENT])
    }

    /// The way to `destination`: the kernel's answer, or, when a table to avoid would decide, the longest match
    /// among the others.
    ///
    /// # Errors
    /// `ENETUNREACH` and the like when there is none.
    pub fn path(&mut self, destination: IpAddr, query: &PathQuery) -> Result<Path> {
        let what = || format!("looking for a route to {destination}");
        let packet = Packet { destination, source: query.source, input: 0, mark: query.mark.unwrap_or(0) };
        let message = question(&packet, RouteFlags::LookupTable);
        let answer = match self.get(RouteNetlinkMessage::GetRoute(message)).attempt(what)? {
            Some(RouteNetlinkMessage::NewRoute(message)) => Route::parse(&message),
            _ => None,
        };
        let route = answer.ok_or_else(|| io::Error::from_raw_os_error(libc::ENETUNREACH)).attempt(what)?;
        let route = if query.avoid_table == Some(route.table) {
            self.longest_match(destination, query.avoid_table)?
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENETUNREACH))
                .attempt(what)?
        } else {
            route
        };
        let interface =
            route.interface.ok_or_else(|| io::Error::from_raw_os_error(libc::ENETUNREACH)).attempt(what)?;
        let source = match query.source.or(route.source) {
            Some(source) if !(query.prefer_temporary && query.source.is_none() && destination.is_ipv6()) => {
                Some(source)
            }
            found => self
                .address_on(interface, route.gateway.unwrap_or(destination), query.prefer_temporary)?
                .or(found),
        };
        Ok(Path { interface, gateway: route.gateway, source, mtu: route.mtu, table: route.table })
    }

    /// The best route outside `avoid` and the table of local addresses.
    fn longest_match(&mut self, destination: IpAddr, avoid: Option<u32>) -> Result<Option<Route>> {
        let all = self.all_routes(family(destination), None)?;
        Ok(all
            .into_iter()
            .filter(|r| Some(r.table) != avoid && r.table != LOCAL && r.kind == RouteKind::Unicast)
            .filter(|r| r.destination.contains(&destination))
            .max_by_key(|r| (r.destination.prefix_len(), std::cmp::Reverse(r.metric.unwrap_or(0)))))
    }

    /// An address of `interface` to speak from to `next`: one of the same network first.
    fn address_on(&mut self, interface: u32, next: IpAddr, prefer_temporary: bool) -> Result<Option<IpAddr>> {
        let all = self.addresses()?;
        Ok(all
            .iter()
            .filter(|a| a.interface == interface && a.address.is_ipv4() == next.is_ipv4())
            .filter(|a| !a.tentative && !a.deprecated && !a.host_local)
            .max_by_key(|a| {
                let same = IpNet::new(a.address, a.prefix).is_ok_and(|net| net.contains(&next));
                let link_local = is_link_local(next) == a.link_local;
                (link_local, same && !is_link_local(next), a.temporary == prefer_temporary)
            })
            .map(|a| a.address))
    }
}

/// A v6 address of the link (fe80::/10) or a v4 one (169.254/16).
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80),
    }
}

pub(super) const fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

pub(super) const fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

pub(super) const fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(a) => Some(IpAddr::V4(*a)),
        RouteAddress::Inet6(a) => Some(IpAddr::V6(*a)),
        _ => None,
    }
}
