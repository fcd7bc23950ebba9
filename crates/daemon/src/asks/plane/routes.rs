//! Where packets for the peer's side are led: to our device, into an XFRM interface, or on the way to the peer.
use super::{Ledger, Plane, chain};
use linux::netlink::{LinkKind, MAIN, RouteKind};
use linux::network::{RouteWay, WantedRoute, within};
use policy::{Interface, Selector, Vti};
use std::net::IpAddr;
use std::sync::Arc;

/// Where packets for the peer's side are led.
pub(super) struct Way {
    interface: Arc<str>,
    /// Named namespace of the interface, ours without.
    namespace: Option<String>,
    /// Table that the routes are in.
    table: u32,
    gateway: Option<IpAddr>,
    /// The route is there for its source address only.
    for_source: bool,
}

/// The inner ends of a CHILD_SA.
pub(super) struct Ends {
    pub(super) local_ts: Vec<Selector>,
    pub(super) remote_ts: Vec<Selector>,
    pub(super) vips: Vec<IpAddr>,
}

impl Way {
    /// Into an interface that has tunnels behind it, in our namespace.
    fn by_tunnel(interface: Arc<str>, table: u32) -> Self {
        Self { interface, namespace: None, table, gateway: None, for_source: false }
    }
}

impl Plane {
    /// The way for packets of a CHILD_SA or trap: into the device that it names, the interface that has its id where
    /// routes for such are wanted, or towards the peer.
    pub(super) fn way_for(
        &mut self,
        vti: Option<&Vti>,
        interface: Option<&Interface>,
        if_id: u32,
        remote: Option<IpAddr>,
    ) -> Option<Way> {
        match (vti, interface, if_id) {
            (Some(vti), _, _) => self.way_into_vti(vti),
            (None, Some(interface), _) => self.way_into(interface),
            (None, None, 0) => self.way(remote),
            (None, None, if_id) if self.wishes.install_routes_xfrmi => self.way_by_id(if_id),
            (None, None, _) => None,
        }
    }

    /// The device packets are led to.
    pub(super) fn device(&self) -> Option<Arc<str>> {
        self.device.clone()
    }

    /// The device, or with the kernel's IPsec the way to the peer itself.
    fn way(&mut self, remote: Option<IpAddr>) -> Option<Way> {
        let table = self.wishes.table;
        if let Some(interface) = self.device() {
            return Some(Way::by_tunnel(interface, table));
        }
        self.backend.as_ref()?;
        let remote = remote?;
        let query = self.wishes.paths.query();
        let netlink = self.network.netlink();
        let found = netlink.path(remote, &query).and_then(|path| {
            let interface = netlink.link_name(path.interface)?.into();
            let gateway = path.gateway.or(Some(remote));
            Ok(Way { interface, namespace: None, table, gateway, for_source: true })
        });
        found.map_err(|e| self.complain(&format!("no route for a tunnel: {}", chain(&e)))).ok()
    }

    /// Into a child's VTI device, where packets are routed there.
    fn way_into_vti(&self, vti: &Vti) -> Option<Way> {
        vti.routing.then(|| Way::by_tunnel(vti.interface.as_str().into(), self.wishes.table))
    }

    /// Into a connection's own interface.
    fn way_into(&mut self, interface: &Interface) -> Option<Way> {
        let table = match (&interface.vrf, &interface.netns) {
            (Some(vrf), netns) => {
                let found = within(self.network.netlink(), netns.as_deref(), |netlink| netlink.link(vrf));
                match found.map(|link| link.vrf_table) {
                    Ok(Some(table)) => table,
                    Ok(None) => {
                        self.complain(&format!("no routes for a tunnel: interface {vrf} is no VRF"));
                        return None;
                    }
                    Err(e) => {
                        self.complain(&format!("no routes for a tunnel: {}", chain(&e)));
                        return None;
                    }
                }
            }
            // Of another namespace: that is where everybody there looks.
            (None, Some(_)) => MAIN,
            (None, None) => self.wishes.table,
        };
        let way = Way::by_tunnel(interface.name.as_str().into(), table);
        Some(Way { namespace: interface.netns.clone(), ..way })
    }

    /// Into the interface that somebody made for this interface id, where it is in our namespace.
    fn way_by_id(&mut self, if_id: u32) -> Option<Way> {
        match self.network.netlink().tunnel(&LinkKind::Xfrm { if_id }) {
            Ok(Some(link)) => Some(Way::by_tunnel(link.name.into(), self.wishes.table)),
            Ok(None) => {
                self.complain(&format!(
                    "no routes for a tunnel: no XFRM interface with if_id {if_id:#x} is here"
                ));
                None
            }
            Err(e) => {
                self.complain(&chain(&e));
                None
            }
        }
    }

    /// The peer is elsewhere: so is the way there.
    pub(super) fn lead_again(&mut self, ledger: &mut Ledger, child: u32, remote: IpAddr) {
        let Some(ends) = ledger.children.get_mut(&child).and_then(|child| child.ends.take()) else { return };
        let way = self.way(Some(remote));
        let routes = self.routes(way, &ends.local_ts, &ends.remote_ts, &ends.vips);
        let routes = ledger.add_routes(routes);
        let Some(child) = ledger.children.get_mut(&child) else { return };
        child.ends = Some(ends);
        let old = std::mem::replace(&mut child.routes, routes);
        ledger.drop_routes(&old);
    }

    /// Routes to the peer's side, each with a source of ours that the selectors allow.
    pub(super) fn routes(
        &mut self,
        way: Option<Way>,
        local_ts: &[Selector],
        remote_ts: &[Selector],
        vips: &[IpAddr],
    ) -> Vec<WantedRoute> {
        let Some(way) = way.filter(|_| self.wishes.install_routes) else {
            return Vec::new();
        };
        self.look_at_addresses(way.namespace.as_ref());
        let own = self.addresses.get(&way.namespace).map(Vec::as_slice).unwrap_or_default();
        let mut routes = Vec::new();
        for remote in remote_ts {
            let family = local_ts.iter().filter(|local| local.is_ipv4() == remote.is_ipv4());
            let mut matching = family.peekable();
            if matching.peek().is_none() {
                continue;
            }
            let mut source = None;
            for local in matching {
                // A virtual IP that was not to be installed is no source.
                let there = |vip: &IpAddr| own.iter().any(|address| address.address == *vip);
                let vip = vips.iter().copied().find(|vip| local.contains_address(*vip) && there(vip));
                source = vip.or_else(|| {
                    own.iter()
                        .filter(|address| !address.link_local && !address.host_local)
                        .map(|address| address.address)
                        .find(|address| local.contains_address(*address))
                });
                if source.is_some() {
                    break;
                }
            }
            if way.for_source && source.is_none() {
                continue;
            }
            for destination in remote.to_subnets() {
                let gateway = way.gateway.filter(|gateway| gateway.is_ipv4() == destination.addr().is_ipv4());
                let shared = share(
                    &mut self.last_way,
                    RouteWay {
                        table: way.table,
                        interface: Some(way.interface.clone()),
                        namespace: way.namespace.clone(),
                        gateway,
                        source,
                        mtu: self.wishes.mtu,
                        kind: RouteKind::Unicast,
                    },
                );
                routes.push(WantedRoute { destination, way: shared });
            }
        }
        routes
    }

    /// Asks for the host's addresses, unless they are known.
    fn look_at_addresses(&mut self, namespace: Option<&String>) {
        let key = namespace.cloned();
        // Of other namespaces nobody tells us when they change.
        if key.is_none() && self.addresses.contains_key(&key) {
            return;
        }
        let netlink = self.network.netlink();
        match within(netlink, key.as_deref(), linux::netlink::Netlink::addresses) {
            Ok(own) => _ = self.addresses.insert(key, own),
            Err(e) => self.complain(&e.to_string()),
        }
    }

    pub(super) fn pass_routes(&mut self, remote_ts: &[Selector]) -> Vec<WantedRoute> {
        if !self.wishes.install_routes {
            return Vec::new();
        }
        let (table, kind) = (self.wishes.table, RouteKind::Throw);
        let way = share(&mut self.last_way, RouteWay { table, kind, ..RouteWay::default() });
        let destinations = remote_ts.iter().flat_map(Selector::to_subnets);
        destinations.map(|destination| WantedRoute { destination, way: way.clone() }).collect()
    }
}

/// The routes of most CHILD_SAs go the same way: it is kept once.
fn share(last: &mut Option<Arc<RouteWay>>, way: RouteWay) -> Arc<RouteWay> {
    match last {
        Some(last) if **last == way => last.clone(),
        _ => last.insert(Arc::new(way)).clone(),
    }
}
