//! A policy: which packets, what to do with them, and through which SA.
use super::state::{Mode, Protocol, mark};
use super::{address, family};
use ipnet::IpNet;
use netlink_packet_xfrm::policy::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, Id, LifetimeConfig, UserOffloadDev, UserPolicyId, UserPolicyInfo, UserTemplate,
    XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK, XFRM_POLICY_FWD, XFRM_POLICY_ICMP, XFRM_POLICY_IN, XFRM_POLICY_OUT,
    XfrmAttrs,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// `XFRM_OFFLOAD_PACKET`, since Linux 6.2.
const OFFLOAD_PACKET: u8 = 4;

/// Where a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// Packets to this host.
    In,
    /// Packets that leave.
    Out,
    /// Packets passed on.
    Forward,
}

impl Direction {
    const fn number(self) -> u8 {
        match self {
            Self::In => XFRM_POLICY_IN,
            Self::Out => XFRM_POLICY_OUT,
            Self::Forward => XFRM_POLICY_FWD,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            XFRM_POLICY_IN => Some(Self::In),
            XFRM_POLICY_OUT => Some(Self::Out),
            XFRM_POLICY_FWD => Some(Self::Forward),
            _ => None,
        }
    }
}

/// Which packets. Ports are `(value, mask)`, `(0, 0)` for any; of ICMP, type and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// Source.
    pub source: IpNet,
    /// Destination.
    pub destination: IpNet,
    /// IP protocol, 0 for any.
    pub protocol: u8,
    /// Source port.
    pub source_port: (u16, u16),
    /// Destination port.
    pub destination_port: (u16, u16),
    /// Interface index, 0 for any.
    pub interface: u32,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} === {}", self.source, self.destination)?;
        if self.protocol != 0 {
            write!(f, " protocol {}", self.protocol)?;
        }
        Ok(())
    }
}

impl Selector {
    /// All packets of one family.
    #[must_use]
    pub fn between(source: IpNet, destination: IpNet) -> Self {
        Self { source, destination, protocol: 0, source_port: (0, 0), destination_port: (0, 0), interface: 0 }
    }

    pub(super) fn message(&self) -> netlink_packet_xfrm::Selector {
        netlink_packet_xfrm::Selector {
            daddr: Address::from_ip(&self.destination.network()),
            saddr: Address::from_ip(&self.source.network()),
            dport: self.destination_port.0,
            dport_mask: self.destination_port.1,
            sport: self.source_port.0,
            sport_mask: self.source_port.1,
            family: family(self.destination.addr()),
            prefixlen_d: self.destination.prefix_len(),
            prefixlen_s: self.source.prefix_len(),
            proto: self.protocol,
            ifindex: i32::try_from(self.interface).unwrap_or(0),
            user: 0,
        }
    }

    pub(super) fn parse(s: &netlink_packet_xfrm::Selector) -> Option<Self> {
        Some(Self {
            source: IpNet::new(address(&s.saddr, s.family), s.prefixlen_s).ok()?,
            destination: IpNet::new(address(&s.daddr, s.family), s.prefixlen_d).ok()?,
            protocol: s.proto,
            source_port: (s.sport, s.sport_mask),
            destination_port: (s.dport, s.dport_mask),
            interface: u32::try_from(s.ifindex).unwrap_or(0),
        })
    }
}

/// What the kernel knows a policy by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyId {
    /// Direction.
    pub direction: Direction,
    /// Packets.
    pub selector: Selector,
    /// Mark, `(0, 0)` for none.
    pub mark: (u32, u32),
    /// XFRM interface, 0 for none.
    pub if_id: u32,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::In => "in",
            Direction::Out => "out",
            Direction::Forward => "fwd",
        };
        write!(f, "{} {direction}", self.selector)
    }
}

impl PolicyId {
    pub(super) fn message(&self) -> DelGetMessage {
        let user_policy_id =
            UserPolicyId { selector: self.selector.message(), index: 0, direction: self.direction.number() };
        DelGetMessage { user_policy_id, nlas: self.attributes() }
    }

    fn attributes(&self) -> Vec<XfrmAttrs> {
        let mut attributes = Vec::new();
        attributes.extend(mark(self.mark));
        if self.if_id != 0 {
            attributes.push(XfrmAttrs::IfId(self.if_id));
        }
        attributes
    }
}

/// The SA a packet needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Template {
    /// Outer source; the unspecified address in transport mode.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// SPI, 0 for any.
    pub spi: u32,
    /// reqid of the SA.
    pub reqid: u32,
    /// Mode.
    pub mode: Mode,
    /// Packets are compressed first, by an SA of this mode between these ends; the other is then in transport mode.
    #[serde(default)]
    pub compression: Option<Compression>,
}

/// Compression before what a [`Template`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Compression {
    /// CPI, 0 for any.
    pub cpi: u16,
    /// Packets that are not compressed will do, as short ones never are.
    pub optional: bool,
}

/// What happens to the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// They pass, through this SA if there is one.
    Allow(Option<Template>),
    /// They are dropped.
    Block,
}

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub id: PolicyId,
    /// The lowest wins.
    pub priority: u32,
    /// What is done.
    pub action: Action,
    /// ICMP errors about the packets are let through.
    pub icmp: bool,
    /// Interface of the card that handles whole packets, 0 for none.
    pub offload: u32,
}

impl Template {
    fn messages(&self) -> Vec<UserTemplate> {
        let own = UserTemplate {
            id: Id {
                daddr: Address::from_ip(&self.destination),
                spi: self.spi,
                proto: self.protocol.number(),
            },
            family: family(self.destination),
            saddr: Address::from_ip(&self.source),
            reqid: self.reqid,
            mode: self.mode.number(),
            ..UserTemplate::default()
        };
        let Some(compression) = self.compression else { return vec![own] };
        let mut first = own;
        first.id.spi = compression.cpi.into();
        first.id.proto = Protocol::Comp.number();
        first.optional = compression.optional.into();
        let mut second = own;
        second.id.daddr = Address::default();
        second.saddr = Address::default();
        second.mode = Mode::Transport.number();
        vec![first, second]
    }

    fn parse(templates: &[UserTemplate]) -> Option<Self> {
        let (outer, own, compression) = match templates {
            [own] => (own, own, None),
            [first, own] if first.id.proto == Protocol::Comp.number() => {
                let cpi = u16::try_from(first.id.spi).ok()?;
                (first, own, Some(Compression { cpi, optional: first.optional != 0 }))
            }
            _ => return None,
        };
        Some(Self {
            source: address(&outer.saddr, outer.family),
            destination: address(&outer.id.daddr, outer.family),
            protocol: Protocol::from_number(own.id.proto)?,
            spi: own.id.spi,
            reqid: own.reqid,
            mode: Mode::from_number(outer.mode)?,
            compression,
        })
    }
}

impl Policy {
    pub(super) fn message(&self) -> ModifyMessage {
        let mut attributes = self.id.attributes();
        if let Action::Allow(Some(template)) = &self.action {
            attributes.push(XfrmAttrs::Template(template.messages()));
        }
        if self.offload != 0 {
            let ifindex = i32::try_from(self.offload).unwrap_or(0);
            attributes.push(XfrmAttrs::OffloadDevice(UserOffloadDev { ifindex, flags: OFFLOAD_PACKET }));
        }
        let user_policy_info = UserPolicyInfo {
            selector: self.id.selector.message(),
            lifetime_cfg: LifetimeConfig::default(),
            priority: self.priority,
            direction: self.id.direction.number(),
            action: if self.action == Action::Block { XFRM_POLICY_BLOCK } else { XFRM_POLICY_ALLOW },
            flags: if self.icmp { XFRM_POLICY_ICMP } else { 0 },
            ..UserPolicyInfo::default()
        };
        ModifyMessage { user_policy_info, nlas: attributes }
    }

    /// `None` for what we could not have installed.
    pub(super) fn parse(message: &ModifyMessage) -> Option<Self> {
        let info = &message.user_policy_info;
        let mut policy = Self {
            id: PolicyId {
                direction: Direction::from_number(info.direction)?,
                selector: Selector::parse(&info.selector)?,
                mark: (0, 0),
                if_id: 0,
            },
            priority: info.priority,
            action: if info.action == XFRM_POLICY_BLOCK { Action::Block } else { Action::Allow(None) },
            icmp: info.flags & XFRM_POLICY_ICMP != 0,
            offload: 0,
        };
        for attribute in &message.nlas {
            match attribute {
                XfrmAttrs::Mark(mark) => policy.id.mark = (mark.value, mark.mask),
                XfrmAttrs::IfId(id) => policy.id.if_id = *id,
                XfrmAttrs::OffloadDevice(device) => {
                    policy.offload = u32::try_from(device.ifindex).unwrap_or(0);
                }
                XfrmAttrs::Template(templates) => {
                    policy.action = Action::Allow(Some(Template::parse(templates)?));
                }
                _ => {}
            }
        }
        Some(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let selector = Selector {
            protocol: 6,
            source_port: (80, u16::MAX),
            destination_port: (1000, 0xfff8),
            interface: 4,
            ..Selector::between("10.1.0.0/16".parse().unwrap(), "10.2.0.0/15".parse().unwrap())
        };
        let id = PolicyId { direction: Direction::Forward, selector, mark: (5, 0xff), if_id: 42 };
        let template = Template {
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            protocol: Protocol::Esp,
            spi: 0xc000_0001,
            reqid: 9,
            mode: Mode::Tunnel,
            compression: None,
        };
        let compression = Some(Compression { cpi: 0x1234, optional: true });
        let compressed = Template { compression, ..template };
        let templates = [None, Some(template), Some(compressed)];
        for action in templates.map(Action::Allow).into_iter().chain([Action::Block]) {
            let policy = Policy { id, priority: 383_615, action, icmp: true, offload: 0 };
            assert_eq!(Policy::parse(&policy.message()), Some(policy));
        }
    }
}
