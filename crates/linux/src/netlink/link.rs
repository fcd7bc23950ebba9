//! Interfaces.
use super::{LinkKind, Netlink, unexpected};
use crate::{Attempt, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier.
    pub running: bool,
    /// Loopback.
    pub loopback: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Its Ethernet address, where it has one that others can send to.
    pub hardware: Option<[u8; 6]>,
    /// The tunnel it stands for, where it does.
    pub kind: Option<LinkKind>,
    /// Table of the VRF that it is.
    pub vrf_table: Option<u32>,
    /// The interface below it, by index.
    pub device: Option<u32>,
    /// The bridge or VRF above it, by index.
    pub controller: Option<u32>,
}

impl Link {
    pub(super) fn parse(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            up: message.header.flags.contains(LinkFlags::Up),
            running: message.header.flags.contains(LinkFlags::Running),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            mtu: 0,
            hardware: None,
            kind: None,
            vrf_table: None,
            device: None,
            controller: None,
        };
        let speaks_arp = message.header.link_layer_type == LinkLayerType::Ether
            && !message.header.flags.intersects(LinkFlags::Noarp | LinkFlags::Loopback);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::LinkInfo(info) => {
                    link.kind = LinkKind::parse(info);
                    link.vrf_table = vrf_table(info);
                }
                LinkAttribute::Link(device) => link.device = Some(*device).filter(|device| *device != 0),
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::Address(address) if speaks_arp => {
                    link.hardware = address.as_slice().try_into().ok();
                }
                _ => {}
            }
        }
        link
    }
}

fn vrf_table(info: &[LinkInfo]) -> Option<u32> {
    info.iter().find_map(|one| match one {
        LinkInfo::Data(InfoData::Vrf(all)) => all.iter().find_map(|one| match one {
            InfoVrf::TableId(table) => Some(*table),
            _ => None,
        }),
        _ => None,
    })
}

impl Netlink {
    /// All interfaces.
    ///
    /// # Errors
    /// The system's.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let all = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .attempt(|| "listing interfaces".to_owned())?;
        Ok(all
            .iter()
            .filter_map(|m| match m {
                RouteNetlinkMessage::NewLink(link) => Some(Link::parse(link)),
                _ => None,
            })
            .collect())
    }

    /// One interface by name.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn link(&mut self, name: &str) -> Result<Link> {
        let what = || format!("looking for interface {name}");
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(message).attempt(what)
    }

    /// One interface by index.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn link_by_index(&mut self, index: u32) -> Result<Link> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.one_link(message).attempt(|| format!("looking for interface {index}"))
    }

    fn one_link(&mut self, message: LinkMessage) -> io::Result<Link> {
        match self.get(RouteNetlinkMessage::GetLink(message))? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(Link::parse(&link)),
            _ => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        }
    }

    /// Index of an interface.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn link_index(&mut self, name: &str) -> Result<u32> {
        self.link(name).map(|l| l.index)
    }

    /// Brings an interface up or down.
    ///
    /// # Errors
    /// The system's.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.change(RouteNetlinkMessage::SetLink(message), 0)
            .attempt(|| format!("bringing interface {index} {}", if up { "up" } else { "down" }))
    }

    /// Sets the MTU.
    ///
    /// # Errors
    /// The system's.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<()> {
        self.set(index, LinkAttribute::Mtu(mtu))
            .attempt(|| format!("setting the MTU of interface {index} to {mtu}"))
    }

    /// Sets how many packets may wait to be sent.
    ///
    /// # Errors
    /// The system's.
    pub fn set_queue_length(&mut self, index: u32, packets: u32) -> Result<()> {
        self.set(index, LinkAttribute::TxQueueLen(packets))
            .attempt(|| format!("setting the queue length of interface {index} to {packets}"))
    }

    fn set(&mut self, index: u32, attribute: LinkAttribute) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(attribute);
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes an interface.
    ///
    /// # Errors
    /// The system's.
    pub fn delete_link(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.change(RouteNetlinkMessage::DelLink(message), 0)
            .attempt(|| format!("removing interface {index}"))
    }

    /// Makes a bridge.
    ///
    /// # Errors
    /// The system's.
    pub fn add_bridge(&mut self, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .attempt(|| format!("making bridge {name}"))
    }

    /// Makes a pair of virtual ethernet interfaces, `name` here and `peer` in `namespace` (or here as well).
    ///
    /// # Errors
    /// The system's: names taken, no privilege, no veth in this kernel.
    pub fn add_veth(&mut self, name: &str, peer: &str, namespace: Option<BorrowedFd<'_>>) -> Result<()> {
        let mut other = LinkMessage::default();
        other.attributes.push(LinkAttribute::IfName(peer.to_owned()));
        if let Some(fd) = namespace {
            other.attributes.push(LinkAttribute::NetNsFd(fd.as_raw_fd()));
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
        ]));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .attempt(|| format!("making the veth pair {name} and {peer}"))
    }

    /// Puts an interface under a bridge or VRF (`None`: takes it out).
    ///
    /// # Errors
    /// The system's.
    pub fn set_controller(&mut self, index: u32, controller: Option<u32>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Controller(controller.unwrap_or(0)));
        self.change(RouteNetlinkMessage::SetLink(message), 0)
            .attempt(|| format!("putting interface {index} under {controller:?}"))
    }

    /// Name of an interface.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn link_name(&mut self, index: u32) -> Result<String> {
        let name = self.link_by_index(index)?.name;
        if name.is_empty() { Err(unexpected("an interface without a name")) } else { Ok(name) }
    }
}
