//! Host state, declared: tunnel interfaces, addresses, routes and rules.
//!
//! The caller says what shall be there; [`Network::apply`] makes it so and remembers, in memory and in a state
//! file, what it installed, so that it can be undone at exit, and at the next start after a crash. What others
//! installed is never touched: an address that was there before us stays when we go.
//!
//! Routes and addresses name interfaces by name, so that the state file still means the same after a restart. They may
//! be in another, named network namespace, where an interface of ours has been moved.

mod links;

use crate::netlink::{Address, Netlink, Route, RouteKind, Rule};
use crate::{Attempt, Error, Result};
use ipnet::IpNet;
use links::MadeLink;
pub use links::within;
pub use links::{LinkSettings, WantedLink};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A virtual IP on an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WantedAddress {
    /// Interface name.
    pub interface: String,
    /// Named network namespace of the interface, ours without.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The address.
    pub address: IpAddr,
    /// Prefix length: 32 or 128 for a virtual IP.
    pub prefix: u8,
}

/// A route of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WantedRoute {
    /// Where to.
    pub destination: IpNet,
    /// Table.
    pub table: u32,
    /// Interface name; none for a throw route.
    pub interface: Option<String>,
    /// Named network namespace, ours without.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Source address of what has none yet.
    pub source: Option<IpAddr>,
    /// MTU on this route.
    pub mtu: Option<u32>,
    /// What it does.
    pub kind: RouteKind,
}

/// What shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Tunnel interfaces, each of another name.
    pub links: BTreeSet<WantedLink>,
    /// Virtual IPs.
    pub addresses: BTreeSet<WantedAddress>,
    /// Routes.
    pub routes: BTreeSet<WantedRoute>,
    /// Rules.
    pub rules: BTreeSet<Rule>,
}

/// What we installed; also the content of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Installed {
    #[serde(default)]
    links: BTreeMap<String, MadeLink>,
    addresses: BTreeSet<WantedAddress>,
    routes: BTreeSet<WantedRoute>,
    rules: BTreeSet<Rule>,
}

impl Installed {
    fn is_empty(&self) -> bool {
        let Self { links, addresses, routes, rules } = self;
        links.is_empty() && addresses.is_empty() && routes.is_empty() && rules.is_empty()
    }
}

/// The keeper of the host's state, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Network {
    netlink: Netlink,
    state_file: Option<PathBuf>,
    installed: Installed,
    /// Wanted and there, but not by us: not ours to remove.
    foreign: BTreeSet<WantedAddress>,
}

impl Network {
    /// Opens, and undoes what a crashed predecessor left according to `state_file`.
    ///
    /// # Errors
    /// No netlink. What could not be undone is only logged: it must not keep us from starting.
    pub fn open(state_file: Option<&Path>) -> Result<Self> {
        let mut network = Self {
            netlink: Netlink::open()?,
            state_file: state_file.map(Path::to_owned),
            installed: Installed::default(),
            foreign: BTreeSet::new(),
        };
        if let Some(left) = state_file.and_then(read_state) {
            tracing::info!("removing interfaces, addresses, routes and rules left by a previous run");
            network.installed = left;
            for error in network.clear() {
                tracing::warn!("cleaning up: {error}");
            }
            network.installed = Installed::default();
            network.write_state()?;
        }
        Ok(network)
    }

    /// The netlink socket, for questions.
    pub fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }

    /// Makes `desired` true and removes what we installed and is not in it. May be called again at any time.
    ///
    /// Everything that can be done is done; what cannot is tried again by the next call. Returns the failures.
    pub fn apply(&mut self, desired: &Desired) -> Vec<Error> {
        let mut failures = Vec::new();
        self.announce(desired, &mut failures);
        self.foreign.retain(|a| desired.addresses.contains(a));
        // gone first: a route may only be in the way of a new one, an address may be wanted elsewhere
        for rule in self.installed.rules.difference(&desired.rules).copied().collect::<Vec<_>>() {
            match self.netlink.delete_rule(&rule) {
                Ok(_) => {
                    self.installed.rules.remove(&rule);
                }
                Err(e) => failures.push(e),
            }
        }
        for route in self.installed.routes.difference(&desired.routes).cloned().collect::<Vec<_>>() {
            // The kernel knows one route per destination and table: another of ours there is put in its place.
            let heir = desired.routes.iter().find(|r| place(r) == place(&route));
            let result = match heir {
                Some(heir) => {
                    self.installed.routes.remove(heir);
                    Ok(())
                }
                None => self.delete_route(&route),
            };
            match result {
                Ok(()) => {
                    self.installed.routes.remove(&route);
                }
                Err(e) => failures.push(e),
            }
        }
        for address in self.installed.addresses.difference(&desired.addresses).cloned().collect::<Vec<_>>() {
            match self.delete_address(&address) {
                Ok(()) => {
                    self.installed.addresses.remove(&address);
                }
                Err(e) => failures.push(e),
            }
        }
        self.drop_links(&desired.links, &mut failures);
        for link in &desired.links {
            if let Err(e) = self.link(link) {
                failures.push(e);
            }
        }
        // then addresses, since routes name them as their source, then routes, then the rules that use them
        for address in &desired.addresses {
            if self.installed.addresses.contains(address) || self.foreign.contains(address) {
                continue;
            }
            match self.add_address(address) {
                Ok(true) => {
                    self.installed.addresses.insert(address.clone());
                }
                Ok(false) => {
                    self.foreign.insert(address.clone());
                }
                Err(e) => failures.push(e),
            }
        }
        for route in &desired.routes {
            if self.installed.routes.contains(route) {
                continue;
            }
            match self.put_route(route) {
                Ok(()) => {
                    self.installed.routes.insert(route.clone());
                }
                Err(e) => failures.push(e),
            }
        }
        for rule in &desired.rules {
            if self.installed.rules.contains(rule) {
                continue;
            }
            match self.netlink.add_rule(rule) {
                Ok(true) => {
                    self.installed.rules.insert(*rule);
                }
                Ok(false) => {}
                Err(e) => failures.push(e),
            }
        }
        if let Err(e) = self.write_state() {
            failures.push(e);
        }
        failures
    }

    /// As [`Self::apply`], but trusts nothing: looks what is still there, since the kernel drops routes by itself
    /// when interfaces or addresses go, and puts what is missing. For the time after a network change. Changes
    /// nothing, and so tells nobody, when all is there.
    pub fn refresh(&mut self, desired: &Desired) -> Vec<Error> {
        let mut failures = Vec::new();
        self.look_at_links(&mut failures);
        for link in &desired.links {
            if let Err(e) = self.link(link) {
                failures.push(e);
            }
        }
        for address in self.installed.addresses.clone() {
            if desired.addresses.contains(&address)
                && let Err(e) = self.add_address(&address)
            {
                failures.push(e);
            }
        }
        // Only what is missing is put: every change is told to all who listen, us included.
        let mut tables: BTreeMap<Option<&str>, BTreeSet<u32>> = BTreeMap::new();
        for route in &desired.routes {
            tables.entry(route.namespace.as_deref()).or_default().insert(route.table);
        }
        for (namespace, tables) in tables {
            match within(&mut self.netlink, namespace, |netlink| seen(netlink, &tables)) {
                Ok((there, names)) => self.installed.routes.retain(|wanted| {
                    wanted.namespace.as_deref() != namespace
                        || there.iter().any(|route| is(wanted, route, &names))
                }),
                Err(e) => failures.push(e),
            }
        }
        for rule in self.installed.rules.clone() {
            if desired.rules.contains(&rule)
                && let Err(e) = self.netlink.add_rule(&rule)
            {
                failures.push(e);
            }
        }
        self.foreign.clear();
        failures.extend(self.apply(desired));
        failures
    }

    /// Undoes everything. Returns the failures.
    pub fn clear(&mut self) -> Vec<Error> {
        self.apply(&Desired::default())
    }

    /// Writes what is and what will be to the state file, before anything is done.
    fn announce(&mut self, desired: &Desired, failures: &mut Vec<Error>) {
        if self.state_file.is_none() {
            return;
        }
        let mut union = self.installed.clone();
        union.addresses.extend(desired.addresses.difference(&self.foreign).cloned());
        // An address that exists already is not ours, and the file must not claim it.
        let namespaces: BTreeSet<Option<String>> =
            union.addresses.iter().map(|address| address.namespace.clone()).collect();
        for namespace in namespaces {
            let existing = within(&mut self.netlink, namespace.as_deref(), Netlink::addresses);
            let existing: Vec<Address> = existing.unwrap_or_default();
            let ours = &self.installed.addresses;
            union.addresses.retain(|a| {
                a.namespace != namespace
                    || ours.contains(a)
                    || !existing.iter().any(|e| e.address == a.address)
            });
        }
        union.routes.extend(desired.routes.iter().cloned());
        union.rules.extend(desired.rules.iter().copied());
        if let Err(e) = self.store(&union) {
            failures.push(e);
        }
    }

    fn write_state(&self) -> Result<()> {
        self.store(&self.installed)
    }

    fn store(&self, state: &Installed) -> Result<()> {
        let Some(path) = &self.state_file else { return Ok(()) };
        let what = || format!("writing {}", path.display());
        if state.is_empty() {
            return match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).attempt(what),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_string_pretty(state).map_err(io::Error::other).attempt(what)?;
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).attempt(what)
    }

    fn add_address(&mut self, wanted: &WantedAddress) -> Result<bool> {
        within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            let index = netlink.link_index(&wanted.interface)?;
            netlink.add_virtual_ip(index, wanted.address, wanted.prefix)
        })
    }

    fn delete_address(&mut self, wanted: &WantedAddress) -> Result<()> {
        gone_is_fine(within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            let index = netlink.link_index(&wanted.interface)?;
            netlink.delete_address(index, wanted.address, wanted.prefix).map(drop)
        }))
    }

    fn put_route(&mut self, wanted: &WantedRoute) -> Result<()> {
        within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            let interface = wanted.interface.as_ref().map(|name| netlink.link_index(name)).transpose()?;
            netlink.put_route(&route(wanted, interface))
        })
    }

    fn delete_route(&mut self, wanted: &WantedRoute) -> Result<()> {
        gone_is_fine(within(&mut self.netlink, wanted.namespace.as_deref(), |netlink| {
            let interface = wanted.interface.as_ref().map(|name| netlink.link_index(name)).transpose()?;
            netlink.delete_route(&route(wanted, interface)).map(drop)
        }))
    }
}

/// Addresses and routes go with their interface, and that with its namespace.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    crate::netlink::tolerate(result, &[libc::ENODEV, libc::ENOENT]).map(drop)
}

/// What the kernel has one route for.
fn place(route: &WantedRoute) -> (Option<&str>, IpNet, u32) {
    (route.namespace.as_deref(), route.destination, route.table)
}

/// Routes of these tables, and names of all interfaces.
fn seen(netlink: &mut Netlink, tables: &BTreeSet<u32>) -> Result<(Vec<Route>, BTreeMap<u32, String>)> {
    let mut there = Vec::new();
    for table in tables {
        there.extend(netlink.routes(*table)?);
    }
    Ok((there, netlink.links()?.into_iter().map(|link| (link.index, link.name)).collect()))
}

fn route(wanted: &WantedRoute, interface: Option<u32>) -> Route {
    Route {
        interface,
        gateway: wanted.gateway,
        source: wanted.source,
        mtu: wanted.mtu,
        kind: wanted.kind,
        ..Route::new(wanted.destination, wanted.table)
    }
}

/// The kernel's route is the wanted one.
fn is(wanted: &WantedRoute, route: &Route, names: &BTreeMap<u32, String>) -> bool {
    let interface = route.interface.and_then(|index| names.get(&index));
    (wanted.destination, wanted.table, wanted.kind) == (route.destination, route.table, route.kind)
        && (wanted.gateway, wanted.source, wanted.mtu) == (route.gateway, route.source, route.mtu)
        // v6 routes that lead nowhere are shown on the loopback interface
        && (wanted.interface.is_none() || wanted.interface.as_ref() == interface)
}

fn read_state(path: &Path) -> Option<Installed> {
    let text = fs::read_to_string(path).ok()?;
    match serde_json::from_str(&text) {
        Ok(state) => Some(state),
        Err(e) => {
            tracing::warn!("{} is not readable and is ignored: {e}", path.display());
            None
        }
    }
}
