//! Our virtual IPs and the DNS servers that come with them, as the client of a gateway.
use super::super::dns;
use super::super::resolve::interface_of;
use super::interfaces::User;
use super::{Ledger, Plane};
use crate::observers::log::Voice;
use ike::io::{Answer, Group};
use linux::dns::{Keeper, NameServers};
use linux::netlink::Netlink;
use linux::network::{WantedAddress, within};
use policy::{ChildSa, Connection, Interface, MarkValue};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::ike::ConfigAttr;

/// How long the end waits for name servers to be taken back.
const NAMES: Duration = Duration::from_secs(2);

/// Who takes DNS servers of gateways.
#[derive(Debug)]
pub(crate) enum Names {
    /// This host, at the place that the log calls so.
    Host { keeper: Keeper, target: String },
    /// The updown command.
    Updown,
    /// Nobody.
    Nowhere,
}

/// What one IKE_SA brought.
pub(super) struct Vips {
    connection: String,
    pub(super) addresses: BTreeSet<WantedAddress>,
    names: NameServers,
    /// Why addresses are wanted and not there.
    failed: Option<String>,
}

impl Plane {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of the question")]
    pub(super) fn virtual_ips(
        &mut self,
        ledger: &mut Ledger,
        ike_id: u32,
        connection: &Connection,
        local: IpAddr,
        addresses: &[IpAddr],
        attributes: &[ConfigAttr],
        up: bool,
    ) -> Answer {
        let ike = Some((connection.name.clone(), ike_id));
        if up {
            if let Some(interface) = self.vips_interface(connection, addresses) {
                let if_id = match connection.if_id_out {
                    MarkValue::Fixed(if_id) => if_id,
                    _ => 0,
                };
                if let Err(why) = self.hold(ledger, User::Vips(ike_id), &interface, if_id) {
                    return Answer::Failed(format!("connection '{}': {why}", connection.name));
                }
            }
            let wanted = self.wanted_addresses(connection, local, addresses);
            let given = dns::given(connection, attributes);
            for why in &given.refused {
                self.log.line(Voice::Plane, Group::Ike, 1, ike.clone(), why.clone());
            }
            for server in &given.p_cscf {
                let text = format!("received P-CSCF server IP {server}");
                self.log.line(Voice::Plane, Group::Ike, 1, ike.clone(), text);
            }
            for server in &given.servers {
                let text = match &self.names {
                    Names::Host { target, .. } => format!("installing DNS server {server} to {target}"),
                    Names::Updown => format!("leaving DNS server {server} to the updown command"),
                    Names::Nowhere => format!("ignoring DNS server {server}: plugins.resolve.load = no"),
                };
                self.log.line(Voice::Plane, Group::Ike, 1, ike.clone(), text);
            }
            // Where packets go into the tunnel, whatever has the address.
            let on = wanted.first().map(|address| address.interface.clone());
            let interface =
                self.device().map(|device| device.to_string()).or(on).or_else(|| interface_of(local));
            let names = NameServers { interface, servers: given.servers, domains: given.domains };
            ledger.names_dirty |= !names.servers.is_empty();
            ledger.vips.insert(
                ike_id,
                Vips { connection: connection.name.clone(), addresses: wanted, names, failed: None },
            );
        } else if let Some(gone) = ledger.vips.remove(&ike_id) {
            self.let_go(ledger, User::Vips(ike_id));
            for server in gone.names.servers.iter().rev() {
                ledger.names_dirty = true;
                let kept = ledger.vips.values().any(|vips| vips.names.servers.contains(server));
                if let Names::Host { target, .. } = &self.names
                    && !kept
                {
                    let text = format!("removing DNS server {server} from {target}");
                    self.log.line(Voice::Plane, Group::Ike, 1, ike.clone(), text);
                }
            }
        }
        if let Some(backend) = &mut self.backend {
            let all: Vec<IpAddr> =
                ledger.vips.values().flat_map(|vips| vips.addresses.iter().map(|a| a.address)).collect();
            backend.local_addresses(&all);
        }
        ledger.dirty = true;
        Answer::Done
    }

    /// The connection's own interface, where its virtual IPs shall be on that.
    fn vips_interface(&self, connection: &Connection, addresses: &[IpAddr]) -> Option<Arc<Interface>> {
        let wanted = self.wishes.install_virtual_ip && !addresses.is_empty();
        connection.interface.clone().filter(|_| wanted && connection.install_vip_on.is_none())
    }

    /// The virtual IPs of a connection, where they shall be.
    fn wanted_addresses(
        &self,
        connection: &Connection,
        local: IpAddr,
        addresses: &[IpAddr],
    ) -> BTreeSet<WantedAddress> {
        if !self.wishes.install_virtual_ip || addresses.is_empty() {
            return BTreeSet::new();
        }
        let own = self.vips_interface(connection, addresses);
        let named = connection.install_vip_on.clone();
        let (interface, namespace) = match own {
            Some(own) => (Some(own.name.clone()), own.netns.clone()),
            None => (named.or_else(|| self.wishes.install_virtual_ip_on.clone()), None),
        };
        let device = || self.device().map(|device| device.to_string());
        let interface = interface.or_else(device).or_else(|| interface_of(local));
        let Some(interface) = interface else { return BTreeSet::new() };
        let wanted = |address: &IpAddr| WantedAddress {
            interface: interface.clone(),
            namespace: namespace.clone(),
            address: *address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        };
        addresses.iter().map(wanted).collect()
    }

    /// Why a virtual IP of this IKE_SA is wanted and not there.
    pub(super) fn note_missing(
        &mut self,
        ledger: &mut Ledger,
        ike_id: u32,
        failures: &[String],
    ) -> Option<String> {
        let vips = ledger.vips.get_mut(&ike_id).filter(|vips| !vips.addresses.is_empty())?;
        let place = vips.addresses.first().and_then(|wanted| wanted.namespace.as_deref());
        let there = within(self.network.netlink(), place, Netlink::addresses).ok()?;
        let absent = |wanted: &&WantedAddress| !there.iter().any(|a| a.address == wanted.address);
        let wanted = vips.addresses.iter().find(absent)?;
        let (address, interface) = (wanted.address, &wanted.interface);
        let why = match within(self.network.netlink(), place, |netlink| netlink.link_index(interface)) {
            Ok(_) => format!("{address} on {interface}: {}", failures.join("; ")),
            Err(_) => format!(
                "{address}: connection '{}' wants it on interface '{interface}', which is not there",
                vips.connection
            ),
        };
        vips.failed = Some(why.clone());
        Some(why)
    }

    /// Why a CHILD_SA cannot work: a virtual IP of it could not be installed, and still is not.
    pub(super) fn lacks_address(&mut self, ledger: &mut Ledger, sa: &ChildSa) -> Option<String> {
        let failing = ledger.vips.values_mut().filter(|vips| vips.failed.is_some());
        for vips in failing {
            let place = vips.addresses.first().and_then(|wanted| wanted.namespace.as_deref());
            let there = within(self.network.netlink(), place, Netlink::addresses).ok()?;
            let absent = |wanted: &WantedAddress| {
                sa.local_vips.contains(&wanted.address) && !there.iter().any(|a| a.address == wanted.address)
            };
            if vips.addresses.iter().any(absent) {
                return vips.failed.clone();
            }
        }
        None
    }

    /// Makes the host's name servers what the ledger says.
    pub(super) fn tell_names(&mut self, ledger: &mut Ledger) {
        if !std::mem::take(&mut ledger.names_dirty) {
            return;
        }
        if let Names::Host { keeper, .. } = &mut self.names {
            let given =
                ledger.vips.values().map(|vips| &vips.names).filter(|names| !names.servers.is_empty());
            keeper.set(given.cloned().collect());
        }
    }

    /// Takes back all name servers, at the end.
    pub(super) fn drop_names(&mut self) {
        if let Names::Host { keeper, .. } = std::mem::replace(&mut self.names, Names::Nowhere) {
            keeper.finish(NAMES);
        }
    }
}
