//! Which route the kernel takes for a packet, and why: for people who ask, not for packets.
use super::route::{address, family, host_prefix};
use super::{Netlink, Route, Rule, errno};
use crate::{Attempt, Result};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use std::io;
use std::net::IpAddr;

/// A packet, as far as routing looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Where to.
    pub destination: IpAddr,
    /// From where; none: the kernel chooses.
    pub source: Option<IpAddr>,
    /// The interface it came in by, 0 for a packet of this host.
    pub input: u32,
    /// Its mark.
    pub mark: u32,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It leaves by an interface.
    Leaves,
    /// It is for this host.
    Local,
    /// It goes to all on a link, or to a group.
    Many,
    /// A route says that there is no way (`unreachable`, `prohibit`, `blackhole`): its word.
    Refused(&'static str),
    /// No route at all.
    NoRoute,
}

/// The kernel's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The route that decided, its interface, next hop and source as the kernel filled them in.
    pub route: Option<Route>,
    /// The first rule that asks this route's table for such a packet.
    pub rule: Option<Rule>,
}

impl Netlink {
    /// Asks the kernel what it would do with a packet.
    ///
    /// # Errors
    /// The system's, but for those that are an outcome.
    pub fn decide(&mut self, packet: &Packet) -> Result<Decision> {
        let what = || format!("looking for a route to {}", packet.destination);
        let refused = |outcome| Ok(Decision { outcome, route: None, rule: None });
        let found = match self.get(RouteNetlinkMessage::GetRoute(question(packet, RouteFlags::LookupTable))) {
            Ok(Some(RouteNetlinkMessage::NewRoute(found))) => found,
            Ok(_) => return Err(io::Error::from(io::ErrorKind::InvalidData)).attempt(what),
            Err(e) => {
                return match errno(&e) {
                    Some(libc::ENETUNREACH | libc::ESRCH) => refused(Outcome::NoRoute),
                    Some(libc::EHOSTUNREACH) => refused(Outcome::Refused("unreachable")),
                    Some(libc::EACCES) => refused(Outcome::Refused("prohibit")),
                    Some(libc::EINVAL) => refused(Outcome::Refused("blackhole")),
                    _ => Err(e).attempt(what),
                };
            }
        };
        let outcome = match found.header.kind {
            RouteType::Unicast => Outcome::Leaves,
            RouteType::Local | RouteType::Anycast => Outcome::Local,
            RouteType::Broadcast | RouteType::Multicast => Outcome::Many,
            RouteType::Unreachable => Outcome::Refused("unreachable"),
            RouteType::Prohibit => Outcome::Refused("prohibit"),
            RouteType::BlackHole => Outcome::Refused("blackhole"),
            _ => Outcome::NoRoute,
        };
        let mut route = Route::parse(&found);
        // The answer is for one packet; the route it was taken from says for which others, where the kernel tells.
        let matched = question(packet, RouteFlags::LookupTable | RouteFlags::FibMatch);
        if let (Some(route), Ok(Some(RouteNetlinkMessage::NewRoute(matched)))) =
            (&mut route, self.get(RouteNetlinkMessage::GetRoute(matched)))
        {
            let of = matched.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Destination(destination) => address(destination),
                _ => None,
            });
            let unspecified =
                if packet.destination.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            let prefix = matched.header.destination_prefix_length;
            if let Ok(net) = ipnet::IpNet::new(of.unwrap_or(unspecified), prefix) {
                route.destination = net;
            }
        }
        let rule = match &route {
            Some(route) => self.rules(packet.destination.is_ipv6())?.into_iter().find(|rule| {
                let marked = rule.mark.is_none_or(|(value, mask)| packet.mark & mask == value);
                rule.table == route.table && marked != rule.invert
            }),
            None => None,
        };
        Ok(Decision { outcome, route, rule })
    }
}

/// Asks for the way of a packet.
pub(super) fn question(packet: &Packet, flags: RouteFlags) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(packet.destination);
    message.header.destination_prefix_length = host_prefix(packet.destination);
    // v6 always tells the table, and refuses to be asked for it
    message.header.flags =
        if packet.destination.is_ipv4() { flags } else { flags.difference(RouteFlags::LookupTable) };
    message.attributes.push(RouteAttribute::Destination(packet.destination.into()));
    if let Some(source) = packet.source {
        message.header.source_prefix_length = host_prefix(source);
        message.attributes.push(RouteAttribute::Source(source.into()));
    }
    if packet.input != 0 {
        message.attributes.push(RouteAttribute::Iif(packet.input));
    }
    if packet.mark != 0 {
        message.attributes.push(RouteAttribute::Mark(packet.mark));
    }
    message
}
