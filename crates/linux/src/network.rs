//! Host state, declared: tunnel interfaces, addresses, routes and rules.
//!
//! The caller says what shall be there; [`Network::apply`] makes it so and remembers, in memory and in a state
//! file, what it installed, so that it can be undone at exit, and at the next start after a crash. What others
//! installed is never touched: an address that was there before us stays when we go.
//!
//! Routes and addresses name interfaces by name, so that the state file still means the same after a restart. They may
//! be in another, named network namespace, where an interface of ours has been moved.
//!
//! Routes may be many (one for each client), and come and go singly: [`Network::change_routes`] looks at those that
//! changed and at no other.

mod links;
mod routes;
mod state;

use crate::netlink::{Address, Netlink, Rule};
use crate::{Error, Result};
pub use links::within;
pub use links::{LinkSettings, WantedLink};
pub use routes::{RouteWay, Routes, WantedRoute};
use serde::{Deserialize, Serialize};
use state::{Installed, StateFile};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

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

/// What shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Tunnel interfaces, each of another name.
    pub links: BTreeSet<WantedLink>,
    /// Virtual IPs.
    pub addresses: BTreeSet<WantedAddress>,
    /// Routes.
    pub routes: BTreeSet<Arc<WantedRoute>>,
    /// Rules.
    pub rules: BTreeSet<Rule>,
}

/// The keeper of the host's state, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Network {
    netlink: Netlink,
    state: StateFile,
    installed: Installed,
    /// Wanted and there, but not by us: not ours to remove.
    foreign: BTreeSet<WantedAddress>,
    /// Index of the interface that ends with us.
    fleeting_index: Option<u32>,
    /// Routes that could not be put or removed: tried again at every opportunity.
    owed: BTreeSet<Arc<WantedRoute>>,
}

impl Network {
    /// Opens, and undoes what a crashed predecessor left according to `state_file`.
    ///
    /// # Errors
    /// No netlink. What could not be undone is only logged: it must not keep us from starting.
    pub fn open(state_file: Option<&Path>) -> Result<Self> {
        let (state, left) = StateFile::open(state_file);
        let mut network = Self {
            netlink: Netlink::open()?,
            state,
            installed: Installed::default(),
            foreign: BTreeSet::new(),
            fleeting_index: None,
            owed: BTreeSet::new(),
        };
        if let Some(left) = left {
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

    /// This interface is ours and ends with this process, and its routes with it: nobody needs to be told what was on
    /// it.
    pub fn set_fleeting(&mut self, interface: &str) {
        self.state.fleeting = Some(interface.into());
        // Nobody takes it away and makes another of that name: its index need not be asked for again.
        self.fleeting_index = self.netlink.link_index(interface).ok();
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
        self.remove_routes(&desired.routes, &mut failures);
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
        self.put_routes(&desired.routes, &mut failures);
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
        // Only what is missing is put: every change is told to all who listen.
        self.look_at_routes(&desired.routes, &mut failures);
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
        if !self.state.is_kept() {
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
        if let Err(e) = self.state.store(&union) {
            failures.push(e);
        }
    }

    fn write_state(&mut self) -> Result<()> {
        self.state.store(&self.installed)
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
}

/// Addresses and routes go with their interface, and that with its namespace.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    crate::netlink::tolerate(result, &[libc::ENODEV, libc::ENOENT]).map(drop)
}
