//! Interfaces that stand for tunnels: XFRM interfaces and VTIs.
use super::{Link, Netlink};
use crate::{Attempt, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVti, InfoXfrm, LinkAttribute, LinkInfo, LinkMessage,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// What kind of tunnel an interface stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LinkKind {
    /// `xfrm`: SAs and policies with this interface id.
    Xfrm {
        /// The interface id, not 0.
        if_id: u32,
    },
    /// `vti`, or `vti6` between v6 addresses: SAs and policies between these addresses, with these marks.
    Vti {
        /// Our outer address.
        local: IpAddr,
        /// The peer's; unspecified: anybody's.
        remote: IpAddr,
        /// Mark of policies for packets to us.
        key_in: u32,
        /// Mark of policies for packets to the peer.
        key_out: u32,
    },
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xfrm { if_id } => write!(f, "XFRM interface with if_id {if_id:#x}"),
            Self::Vti { local, remote, key_in, key_out } => {
                write!(f, "VTI between {local} and {remote} with keys {key_in:#x} and {key_out:#x}")
            }
        }
    }
}

impl LinkKind {
    fn info(&self, device: Option<u32>) -> Vec<LinkInfo> {
        let (kind, data) = match *self {
            Self::Xfrm { if_id } => {
                let mut all = vec![InfoXfrm::IfId(if_id)];
                all.extend(device.map(InfoXfrm::Link));
                (InfoKind::Xfrm, InfoData::Xfrm(all))
            }
            Self::Vti { local, remote, key_in, key_out } => {
                let mut all = vec![
                    InfoVti::Local(local),
                    InfoVti::Remote(remote),
                    InfoVti::IKey(key_in),
                    InfoVti::OKey(key_out),
                ];
                all.extend(device.map(InfoVti::Link));
                (if local.is_ipv4() { InfoKind::Vti } else { InfoKind::Vti6 }, InfoData::Vti(all))
            }
        };
        vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]
    }

    pub(super) fn parse(info: &[LinkInfo]) -> Option<Self> {
        let data = info.iter().find_map(|i| if let LinkInfo::Data(data) = i { Some(data) } else { None })?;
        match data {
            InfoData::Xfrm(all) => all.iter().find_map(|one| match one {
                InfoXfrm::IfId(if_id) => Some(Self::Xfrm { if_id: *if_id }),
                _ => None,
            }),
            InfoData::Vti(all) => {
                let (mut ends, mut keys) = ((None, None), (0, 0));
                for one in all {
                    match one {
                        InfoVti::Local(a) => ends.0 = Some(*a),
                        InfoVti::Remote(a) => ends.1 = Some(*a),
                        InfoVti::IKey(key) => keys.0 = *key,
                        InfoVti::OKey(key) => keys.1 = *key,
                        _ => {}
                    }
                }
                Some(Self::Vti { local: ends.0?, remote: ends.1?, key_in: keys.0, key_out: keys.1 })
            }
            _ => None,
        }
    }
}

impl Netlink {
    /// Makes a tunnel's interface, down. `device`: index of the interface below it, where it shall have one.
    ///
    /// # Errors
    /// The system's. `EEXIST`: an interface of that name, or one for the same tunnel, is there.
    pub fn add_tunnel(
        &mut self,
        name: &str,
        kind: &LinkKind,
        device: Option<u32>,
        mtu: Option<u32>,
    ) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        message.attributes.push(LinkAttribute::LinkInfo(kind.info(device)));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .attempt(|| format!("making interface {name}, an {kind}"))
    }

    /// The interface that stands for this tunnel, as far as it is in this namespace.
    ///
    /// # Errors
    /// The system's.
    pub fn tunnel(&mut self, kind: &LinkKind) -> Result<Option<Link>> {
        Ok(self.links()?.into_iter().find(|link| link.kind.as_ref() == Some(kind)))
    }

    /// Moves an interface into another namespace. It arrives there down, without addresses, and maybe with another
    /// index.
    ///
    /// # Errors
    /// The system's. `EEXIST`: an interface of its name is there.
    pub fn move_link(&mut self, index: u32, namespace: BorrowedFd<'_>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        self.change(RouteNetlinkMessage::SetLink(message), 0)
            .attempt(|| format!("moving interface {index} into another namespace"))
    }
}

#[cfg(test)]
mod tests {
    use super::LinkKind;

    #[test]
    fn a_kind_is_read_as_it_was_written() {
        let vti = |local: &str, remote: &str| LinkKind::Vti {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            key_in: 7,
            key_out: 8,
        };
        let kinds =
            [LinkKind::Xfrm { if_id: 42 }, vti("192.0.2.1", "0.0.0.0"), vti("2001:db8::1", "2001:db8::2")];
        for kind in kinds {
            assert_eq!(LinkKind::parse(&kind.info(Some(3))), Some(kind));
        }
    }
}
