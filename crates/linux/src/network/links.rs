//! Tunnel interfaces of ours: made, changed, removed, and known again after a crash.
//!
//! One is made whole or not at all: an interface that cannot get its address or be put under its VRF goes again, and
//! the error says why. An interface that others made, by the same name or for the same tunnel, is never touched.
use super::Network;
use crate::netlink::{Link, LinkKind, Netlink};
use crate::netns::Namespace;
use crate::{Error, Result, sysctl};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd as _;

/// Settings of the kernel for one interface; what is `None` stays as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LinkSettings {
    /// Packets that come in by it are not held against policies without its mark (`disable_policy`).
    pub disable_policy: Option<bool>,
    /// Reverse path filter, v4: 0 off, 1 strict, 2 loose (`rp_filter`).
    pub rp_filter: Option<u8>,
    /// Packets that come in by it are passed on (`forwarding`).
    pub forwarding: Option<bool>,
}

/// An interface that shall be there, up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WantedLink {
    /// Name, at most 15 bytes.
    pub name: String,
    /// What it stands for.
    pub kind: LinkKind,
    /// The interface below it, by name.
    pub device: Option<String>,
    /// Named network namespace it is moved into. Its SAs stay in ours.
    pub namespace: Option<String>,
    /// MTU in bytes, `None` for the kernel's.
    pub mtu: Option<u32>,
    /// VRF it belongs to, by name, in its namespace.
    pub vrf: Option<String>,
    /// Addresses with their networks.
    pub addresses: BTreeSet<IpNet>,
    /// Settings of the kernel.
    pub settings: LinkSettings,
}

impl WantedLink {
    /// An interface of that name and kind with everything else left to the kernel.
    #[must_use]
    pub fn new(name: &str, kind: LinkKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            device: None,
            namespace: None,
            mtu: None,
            vrf: None,
            addresses: BTreeSet::new(),
            settings: LinkSettings::default(),
        }
    }

    /// What cannot be changed while it is there.
    fn identity(&self) -> (&str, LinkKind, Option<&str>, Option<&str>) {
        (&self.name, self.kind, self.device.as_deref(), self.namespace.as_deref())
    }
}

/// An interface we made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeLink {
    pub(super) wanted: WantedLink,
    /// Its index; 0 while it is being made.
    index: u32,
}

/// Runs `work` with a socket in the namespace of that name, `netlink` without.
///
/// # Errors
/// No such namespace (`ENOENT`), or those of `work`.
pub fn within<T: Send>(
    netlink: &mut Netlink,
    namespace: Option<&str>,
    work: impl FnOnce(&mut Netlink) -> Result<T> + Send,
) -> Result<T> {
    match namespace {
        None => work(netlink),
        Some(name) => Namespace::named(name)?.run(|| work(&mut Netlink::open()?))?,
    }
}

impl Network {
    /// Makes one interface true at once, for who must know whether it is there. The next declarations must have it,
    /// or it goes again. Nothing is done when it is there as wanted.
    ///
    /// # Errors
    /// An interface of that name or for the same tunnel exists and is not ours; no such device, VRF or namespace;
    /// the system's. Then nothing is left of it.
    pub fn link(&mut self, wanted: &WantedLink) -> Result<()> {
        let Some(made) = self.installed.links.get(&wanted.name).cloned() else {
            return self.make_link(wanted);
        };
        if made.wanted == *wanted {
            return Ok(());
        }
        if made.wanted.identity() != wanted.identity() {
            let what = format!("making interface {}, an {}", wanted.name, wanted.kind);
            let why = format!("it is in use by us as an {}", made.wanted.kind);
            return Err(Error::new(what, io::Error::new(io::ErrorKind::AlreadyExists, why)));
        }
        within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            furnish(netlink, made.index, wanted, Some(&made.wanted))
        })?;
        self.installed
            .links
            .insert(wanted.name.clone(), MadeLink { wanted: wanted.clone(), index: made.index });
        self.write_state()
    }

    /// An interface of that name is there and we made it.
    #[must_use]
    pub fn has_link(&self, name: &str) -> bool {
        self.installed.links.contains_key(name)
    }

    fn make_link(&mut self, wanted: &WantedLink) -> Result<()> {
        self.unclaimed(wanted)?;
        let device = match &wanted.device {
            Some(name) => Some(self.netlink.link_index(name)?),
            None => None,
        };
        // Looked at first, so that a name that is wrong does not make and unmake an interface.
        let namespace = wanted.namespace.as_deref().map(Namespace::named).transpose()?;
        let name = &wanted.name;
        self.installed.links.insert(name.clone(), MadeLink { wanted: wanted.clone(), index: 0 });
        let made = self.write_state().and_then(|()| {
            self.netlink.add_tunnel(&wanted.name, &wanted.kind, device, wanted.mtu)?;
            self.place(wanted, namespace.as_ref())
        });
        self.installed.links.remove(name);
        if let Ok(index) = made {
            self.installed.links.insert(name.clone(), MadeLink { wanted: wanted.clone(), index });
            // What was on one of that name before has gone with it.
            let gone = |interface: Option<&str>, namespace: &Option<String>| {
                interface == Some(name.as_str()) && *namespace == wanted.namespace
            };
            self.installed.addresses.retain(|a| !gone(Some(&a.interface), &a.namespace));
            self.installed.routes.retain(|r| !gone(r.way.interface.as_deref(), &r.way.namespace));
        }
        self.write_state()?;
        made.map(drop)
    }

    /// Nobody has an interface of that name, or one for the same tunnel.
    fn unclaimed(&mut self, wanted: &WantedLink) -> Result<()> {
        let claimed = |why: String| {
            let what = format!("making interface {}, an {}", wanted.name, wanted.kind);
            Err(Error::new(what, io::Error::new(io::ErrorKind::AlreadyExists, why)))
        };
        for link in self.netlink.links()? {
            if link.name == wanted.name {
                return claimed(format!(
                    "an interface of that name is there and is not ours: choose another name, or remove it \
                     (ip link del {})",
                    link.name
                ));
            }
            if link.kind == Some(wanted.kind) {
                return claimed(format!("interface {} is that already, and is not ours", link.name));
            }
        }
        Ok(())
    }

    /// Gives a new interface its place and all it shall have; removes it where that fails.
    fn place(&mut self, wanted: &WantedLink, namespace: Option<&Namespace>) -> Result<u32> {
        let index = self.netlink.link_index(&wanted.name)?;
        if let Some(namespace) = namespace
            && let Err(e) = self.netlink.move_link(index, namespace.as_fd())
        {
            self.netlink.delete_link(index)?;
            let what = format!("interface {}: {}", wanted.name, e.what);
            return Err(Error::new(what, e.source));
        }
        within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            let index = netlink.link_index(&wanted.name)?;
            let furnished = furnish(netlink, index, wanted, None);
            if furnished.is_err() {
                netlink.delete_link(index)?;
            }
            furnished.map(|()| index)
        })
    }

    /// Removes an interface we made; one that is gone, or that others have put in its place, is no error.
    pub(super) fn unmake_link(&mut self, made: &MadeLink) -> Result<()> {
        let result = within(&mut self.netlink, made.wanted.namespace.as_deref(), |netlink| {
            match netlink.link(&made.wanted.name) {
                Ok(link) if ours(made, &link) => netlink.delete_link(link.index).map(|()| true),
                Ok(_) => Ok(false),
                Err(e) if e.errno() == Some(libc::ENODEV) => Ok(false),
                Err(e) => Err(e),
            }
        });
        match result {
            // One that was being made when we died had not been moved yet.
            Ok(false) if made.index == 0 && made.wanted.namespace.is_some() => {
                let mut here = made.clone();
                here.wanted.namespace = None;
                self.unmake_link(&here)
            }
            Ok(_) => Ok(()),
            // An interface goes with its namespace.
            Err(e) if e.errno() == Some(libc::ENOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Forgets interfaces that are no longer there, and brings those up that somebody took down.
    pub(super) fn look_at_links(&mut self, failures: &mut Vec<Error>) {
        let mut there = BTreeMap::new();
        for (name, made) in std::mem::take(&mut self.installed.links) {
            let seen = within(&mut self.netlink, made.wanted.namespace.as_deref(), |netlink| {
                let link = netlink.link(&made.wanted.name)?;
                if ours(&made, &link) && !link.up {
                    netlink.set_up(link.index, true)?;
                }
                Ok(ours(&made, &link))
            });
            match seen {
                Ok(true) => drop(there.insert(name, made)),
                Ok(false) => {}
                Err(e) if matches!(e.errno(), Some(libc::ENODEV | libc::ENOENT)) => {}
                Err(e) => {
                    failures.push(e);
                    there.insert(name, made);
                }
            }
        }
        self.installed.links = there;
    }

    /// Removes interfaces that are not wanted any more, or not as they are.
    pub(super) fn drop_links(&mut self, wanted: &BTreeSet<WantedLink>, failures: &mut Vec<Error>) {
        let kept: BTreeSet<_> = wanted.iter().map(WantedLink::identity).collect();
        let all = std::mem::take(&mut self.installed.links);
        let (keep, drop): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, made)| kept.contains(&made.wanted.identity()));
        self.installed.links = keep;
        for (name, made) in drop {
            if let Err(e) = self.unmake_link(&made) {
                failures.push(e);
                self.installed.links.insert(name, made);
            }
        }
    }
}

/// The interface of that name is the one we made.
fn ours(made: &MadeLink, link: &Link) -> bool {
    link.kind == Some(made.wanted.kind) && (made.index == 0 || made.index == link.index)
}

/// Gives an interface what it shall have, in its own namespace; `before`: what it has.
fn furnish(
    netlink: &mut Netlink,
    index: u32,
    wanted: &WantedLink,
    before: Option<&WantedLink>,
) -> Result<()> {
    if before.is_none_or(|before| before.vrf != wanted.vrf) && (before.is_some() || wanted.vrf.is_some()) {
        let vrf = match &wanted.vrf {
            Some(name) => Some(netlink.link_index(name)?),
            None => None,
        };
        netlink.set_controller(index, vrf)?;
    }
    if let (Some(mtu), Some(before)) = (wanted.mtu, before)
        && before.mtu != Some(mtu)
    {
        netlink.set_mtu(index, mtu)?;
    }
    set(wanted)?;
    netlink.set_up(index, true)?;
    let nothing = BTreeSet::new();
    let had = before.map_or(&nothing, |before| &before.addresses);
    for address in had.difference(&wanted.addresses) {
        netlink.delete_address(index, address.addr(), address.prefix_len())?;
    }
    for address in &wanted.addresses {
        netlink.add_address(index, address.addr(), address.prefix_len())?;
    }
    Ok(())
}

fn set(wanted: &WantedLink) -> Result<()> {
    let LinkSettings { disable_policy, rp_filter, forwarding } = wanted.settings;
    let flag = |on: bool| if on { "1" } else { "0" };
    let key = |family: &str, what: &str| format!("net/{family}/conf/{}/{what}", wanted.name);
    if let Some(filter) = rp_filter {
        sysctl::set_reverse_path_filter(&wanted.name, filter)?;
    }
    for (what, value) in [("disable_policy", disable_policy), ("forwarding", forwarding)] {
        let Some(on) = value else { continue };
        sysctl::write(&key("ipv4", what), flag(on))?;
        match sysctl::write(&key("ipv6", what), flag(on)) {
            // a kernel without IPv6
            Err(e) if e.errno() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}
