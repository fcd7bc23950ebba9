//! VTI devices of children (`vti_interface`), as libreswan makes them: there as long as a CHILD_SA or a trap needs one.
use super::interfaces::User;
use super::{Ledger, Plane, chain};
use crate::observers::log::Voice;
use ike::io::Group;
use linux::netlink::LinkKind;
use linux::network::{LinkSettings, WantedLink};
use policy::sa::PolicyOnly;
use policy::{Child, ChildSa};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// All devices by name, and what each user wants of one.
pub(super) type Devices = BTreeMap<String, BTreeMap<User, WantedLink>>;

/// What is to be there: a device is one for all its users, with the addresses that any of them gives it.
pub(super) fn wanted(devices: &Devices) -> BTreeSet<WantedLink> {
    devices.values().filter_map(joined).collect()
}

fn joined(users: &BTreeMap<User, WantedLink>) -> Option<WantedLink> {
    let mut link = users.values().next_back()?.clone();
    link.addresses = users.values().flat_map(|link| link.addresses.iter().copied()).collect();
    Some(link)
}

/// The device of a child between these addresses.
fn link(config: &Child, local: IpAddr, remote: Option<IpAddr>, keys: (u32, u32)) -> Option<WantedLink> {
    let vti = config.vti.as_ref()?;
    let anybody = if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let remote = remote.filter(|_| !vti.shared).unwrap_or(anybody);
    let kind = LinkKind::Vti { local, remote, key_in: keys.0, key_out: keys.1 };
    Some(WantedLink {
        addresses: vti.address.into_iter().collect(),
        // What comes out of it was let in by its SA already, and may come from anywhere.
        settings: LinkSettings { disable_policy: Some(true), rp_filter: Some(0), forwarding: Some(true) },
        ..WantedLink::new(&vti.interface, kind)
    })
}

impl Plane {
    /// The device of this CHILD_SA is there from now on.
    pub(super) fn hold_vti(&mut self, ledger: &mut Ledger, sa: &ChildSa) -> Result<(), String> {
        let keys = (sa.mark_in.0, sa.mark_out.0);
        let Some(link) = link(&sa.config, sa.local.ip(), Some(sa.remote.ip()), keys) else { return Ok(()) };
        if sa.if_id_out != 0 {
            let name = &sa.config.name;
            return Err(format!(
                "CHILD_SA {name}: its connection has an XFRM interface, so no vti_interface"
            ));
        }
        self.hold_device(ledger, User::Child(sa.id), link)
            .map_err(|why| format!("CHILD_SA {}{{{}}}: vti_interface: {why}", sa.config.name, sa.id))
    }

    /// The device of this trap is there from now on.
    pub(super) fn hold_vti_of_trap(&mut self, ledger: &mut Ledger, trap: &PolicyOnly) -> Result<(), String> {
        let Some(vti) = &trap.config.vti else { return Ok(()) };
        let named = |why: String| format!("CHILD_SA {}: vti_interface: {why}", trap.config.name);
        if trap.remote.is_none() && !vti.shared {
            return Err(named("a trap needs remote_addrs with one address, or vti_shared = yes".to_owned()));
        }
        let local =
            match (trap.local, trap.remote) {
                (Some(local), _) => local,
                (None, Some(remote)) => {
                    let query = self.wishes.paths.query();
                    self.network.netlink().path(remote, &query).ok().and_then(|path| path.source).ok_or_else(
                        || named(format!("a trap needs local_addrs, as no way leads to {remote}")),
                    )?
                }
                (None, None) => return Err(named("a trap needs local_addrs or remote_addrs".to_owned())),
            };
        let keys = (trap.mark_in.0, trap.mark_out.0);
        match link(&trap.config, local, trap.remote, keys) {
            Some(link) => self.hold_device(ledger, User::Policy(trap.id), link).map_err(named),
            None => Ok(()),
        }
    }

    fn hold_device(&mut self, ledger: &mut Ledger, user: User, link: WantedLink) -> Result<(), String> {
        if self.backend.is_none() {
            return Err(self.missing.clone());
        }
        let was = self.network.has_link(&link.name);
        let (name, kind) = (link.name.clone(), link.kind);
        let mut users = ledger.devices.get(&name).cloned().unwrap_or_default();
        users.insert(user, link);
        if let Some(all) = joined(&users) {
            self.network.link(&all).map_err(|e| {
                let shared = if was { "; vti_shared = yes lets several peers use it" } else { "" };
                format!("{}{shared}", chain(&e))
            })?;
        }
        if !was {
            self.log.say(Voice::Plane, Group::Knl, 1, format!("created {name}, a {kind}"));
        }
        ledger.devices.insert(name, users);
        Ok(())
    }

    /// The user is gone; so are devices that nobody else needs, once the host's state is looked at.
    pub(super) fn drop_vti(&mut self, ledger: &mut Ledger, user: User) {
        let mut gone = Vec::new();
        for (name, users) in &mut ledger.devices {
            ledger.dirty |= users.remove(&user).is_some();
            if users.is_empty() {
                gone.push(name.clone());
            }
        }
        for name in gone {
            ledger.devices.remove(&name);
            let text = format!("removing {name}, a VTI that nothing needs any more");
            self.log.say(Voice::Plane, Group::Knl, 1, text);
        }
    }

    /// An end of the tunnel is elsewhere: a device that names it is made anew.
    pub(super) fn move_vti(
        &mut self,
        ledger: &mut Ledger,
        child: u32,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        for users in ledger.devices.values_mut() {
            let Some(link) = users.get_mut(&User::Child(child)) else { continue };
            let LinkKind::Vti { local: ours, remote: theirs, .. } = &mut link.kind else { continue };
            *ours = local.ip();
            if !theirs.is_unspecified() {
                *theirs = remote.ip();
            }
            ledger.dirty = true;
        }
    }
}
