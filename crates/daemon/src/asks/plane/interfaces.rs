//! XFRM interfaces that connections have of their own: there as long as a CHILD_SA, a trap or a virtual IP needs them.
use super::{Ledger, Plane, chain};
use crate::observers::log::Voice;
use ike::io::Group;
use linux::netlink::LinkKind;
use linux::network::WantedLink;
use policy::{ChildSa, Interface, MarkValue};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who needs an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum User {
    Child(u32),
    Policy(u32),
    /// The virtual IPs of an IKE_SA.
    Vips(u32),
}

/// An interface that is there.
pub(super) struct Held {
    pub(super) link: WantedLink,
    users: BTreeSet<User>,
}

impl Plane {
    /// From now on the interface is there for `user`. What the newest user wants of it holds.
    pub(super) fn hold(
        &mut self,
        ledger: &mut Ledger,
        user: User,
        interface: &Interface,
        if_id: u32,
    ) -> Result<(), String> {
        if self.backend.is_none() {
            return Err(self.missing.clone());
        }
        if self.device().is_some() {
            return Err(format!("interface {} needs the kernel's IPsec (data_plane = xfrm)", interface.name));
        }
        let link = WantedLink {
            mtu: interface.mtu,
            vrf: interface.vrf.clone(),
            namespace: interface.netns.clone(),
            addresses: interface.addresses.iter().copied().collect(),
            ..WantedLink::new(&interface.name, LinkKind::Xfrm { if_id })
        };
        let was = self.network.has_link(&link.name);
        self.network.link(&link).map_err(|e| chain(&e))?;
        if !was {
            let place = interface.netns.as_ref().map(|name| format!(" in namespace {name}"));
            let place = place.unwrap_or_default();
            let text = format!("created XFRM interface {} with if_id {if_id:#x}{place}", link.name);
            self.log.say(Voice::Plane, Group::Knl, 1, text);
        }
        let name = link.name.clone();
        // It may have had another before.
        if ledger.uses.get(&user).is_some_and(|before| *before != name) {
            self.let_go(ledger, user);
        }
        let held = ledger
            .interfaces
            .entry(name.clone())
            .or_insert_with(|| Held { link: link.clone(), users: BTreeSet::new() });
        held.link = link;
        held.users.insert(user);
        ledger.uses.insert(user, name);
        Ok(())
    }

    /// `user` is gone; so is its interface where nobody else needs that, once the host's state is looked at.
    pub(super) fn let_go(&mut self, ledger: &mut Ledger, user: User) {
        self.drop_vti(ledger, user);
        let Some(name) = ledger.uses.remove(&user) else { return };
        let Some(held) = ledger.interfaces.get_mut(&name) else { return };
        held.users.remove(&user);
        if held.users.is_empty() {
            ledger.interfaces.remove(&name);
            ledger.dirty = true;
            let text = format!("removing XFRM interface {name}, which nothing needs any more");
            self.log.say(Voice::Plane, Group::Knl, 1, text);
        }
    }

    /// Packets that were encrypted for an interface or VTI device go out as our sockets' do: routes into the interface may cover
    /// the peer's own address, and the rule for our table leaves this mark out. The definition that says so, where it
    /// is another.
    pub(super) fn spare_outer(&self, sa: &ChildSa) -> Option<Arc<policy::Child>> {
        let mark = self.wishes.paths.mark?;
        let led = sa.interface.is_some() || sa.config.vti.as_ref().is_some_and(|vti| vti.routing);
        if !led || sa.config.set_mark_out.value != MarkValue::None {
            return None;
        }
        let mut config = policy::Child::clone(&sa.config);
        config.set_mark_out = policy::Mark { value: MarkValue::Fixed(mark), mask: u32::MAX };
        Some(Arc::new(config))
    }
}
