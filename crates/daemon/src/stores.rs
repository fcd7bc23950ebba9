//! Who hands out virtual addresses: the backends, and the order in which they are asked.

pub(crate) mod attributes;
pub(crate) mod chosen;
pub(crate) mod detours;
pub(crate) mod dhcp;
pub(crate) mod held;
pub(crate) mod memory;
pub(crate) mod radius;
pub(crate) mod sql;
#[cfg(test)]
mod tests;
pub(crate) mod turns;

use detours::Detours;
use held::Taken;
use memory::Memory;
use pool::{Grant, Store, Trouble, Wanted};
use std::sync::Arc;
use std::time::Duration;

/// How long all stores together have for one client. Its initiator repeats its request meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client waits for attributes of stores that have no address for it.
const BRIEF: Duration = Duration::from_secs(3);

/// Which pool is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// As the connection lists its pools.
    #[default]
    Connection,
    /// As charon does: plugin by plugin, whatever the order of the pools.
    Plugins,
}

/// All backends.
pub(crate) struct Stores {
    /// Pools in memory: they can be asked without waiting.
    pub(crate) memory: Arc<Memory>,
    /// The others, in the order charon asks its plugins.
    pub(crate) others: Vec<Arc<dyn Store>>,
    pub(crate) order: Order,
    pub(crate) detours: Detours,
}

/// Pools next to each other that one store serves.
struct Group {
    store: Arc<dyn Store>,
    pools: Vec<String>,
}

/// What the stores gave, and what the operator should hear.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) grants: Vec<Grant>,
    pub(crate) attributes: Vec<wire::ike::ConfigAttr>,
    pub(crate) troubles: Vec<Trouble>,
    /// Pools that nobody knows.
    pub(crate) unknown: Vec<String>,
    /// Addresses of which the store itself has told the operator.
    pub(crate) told: Vec<std::net::IpAddr>,
}

impl Stores {
    /// Serves a client whose pools are all in memory; `None` where another store must be asked.
    pub(crate) fn lease_now(&self, wanted: &Wanted) -> Option<Outcome> {
        let others = self.others.iter().any(|store| store.for_everyone());
        if others || !wanted.pools.iter().all(|name| self.memory.has(name)) {
            return None;
        }
        let mut outcome = Outcome::default();
        match self.memory.lease_now(wanted)? {
            Ok(grants) => outcome.grants = grants,
            Err(trouble) => outcome.troubles.push(trouble),
        }
        outcome.attributes = self.memory.attributes_now(wanted, &outcome.grants);
        Some(outcome)
    }

    /// Serves a client from all its pools in order. What is not granted within [`PATIENCE`] is not granted.
    pub(crate) async fn lease(&self, wanted: Wanted) -> Outcome {
        let mut outcome = Outcome::default();
        let groups = self.all_groups(&wanted, &mut outcome.unknown).await;
        let mut left = wanted.requested.clone();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for group in &groups {
            if left.is_empty() {
                break;
            }
            let wanted = Wanted { pools: group.pools.clone(), requested: left.clone(), ..wanted.clone() };
            match tokio::time::timeout_at(deadline, group.store.lease(&wanted)).await {
                Ok(Ok(grants)) => {
                    let grants = self.take(group, &wanted, grants, &mut outcome.troubles).await;
                    for grant in &grants {
                        // The request for this very address, else one for any of its family.
                        let exact = left.iter().position(|asked| asked.address() == grant.address);
                        let any = || left.iter().position(|asked| asked.is_ipv4() == grant.address.is_ipv4());
                        if let Some(at) = exact.or_else(any) {
                            left.remove(at);
                        }
                    }
                    if group.store.tells() {
                        outcome.told.extend(grants.iter().map(|grant| grant.address));
                    }
                    outcome.grants.extend(grants);
                }
                Ok(Err(trouble)) => outcome.troubles.push(trouble),
                Err(_late) => outcome.troubles.push(Trouble::Unavailable {
                    pool: group.pools.join(", "),
                    why: format!("no answer within {} seconds", PATIENCE.as_secs()),
                }),
            }
        }
        self.detours.note(&wanted, &outcome.grants);
        if !outcome.grants.is_empty() {
            self.attributes(&wanted, &groups, &mut outcome, deadline).await;
        }
        outcome
    }

    /// Of what a store grants, that which nobody else has. The rest goes back.
    async fn take(
        &self,
        group: &Group,
        wanted: &Wanted,
        grants: Vec<Grant>,
        troubles: &mut Vec<Trouble>,
    ) -> Vec<Grant> {
        // Pools in memory have looked before they granted.
        if group.store.plugin() == self.memory.plugin() {
            return grants;
        }
        let mut kept = Vec::new();
        for grant in grants {
            match self.memory.take_beside(&grant, &wanted.identity) {
                Ok(()) => kept.push(grant),
                Err(Taken(by)) => {
                    let why = format!("{} is in use by '{by}', who has it from another pool", grant.vip());
                    troubles.push(Trouble::Unavailable { pool: grant.pool.clone(), why });
                    group.store.release(&group.pools, &wanted.identity, grant.address).await;
                }
            }
        }
        kept
    }

    /// The attributes of every store that has a say.
    async fn attributes(
        &self,
        wanted: &Wanted,
        groups: &[Group],
        outcome: &mut Outcome,
        deadline: tokio::time::Instant,
    ) {
        let asked =
            |store: &Arc<dyn Store>| groups.iter().any(|group| group.store.plugin() == store.plugin());
        let besides = self.others.iter().filter(|store| store.for_everyone() && !asked(store));
        let besides = besides.map(|store| (store, Vec::new(), deadline.min(soon())));
        let serving = groups.iter().map(|group| (&group.store, group.pools.clone(), deadline));
        for (store, pools, deadline) in serving.chain(besides) {
            let wanted = Wanted { pools, ..wanted.clone() };
            match tokio::time::timeout_at(deadline, store.attributes(&wanted, &outcome.grants)).await {
                Ok(Ok(attributes)) => attributes::add(&mut outcome.attributes, attributes),
                Ok(Err(trouble)) => outcome.troubles.push(trouble),
                Err(_late) => {}
            }
        }
    }

    /// Gives an address back to whoever lent it.
    pub(crate) async fn release(
        &self,
        pools: &[String],
        identity: &policy::Identity,
        address: std::net::IpAddr,
    ) -> bool {
        let detour = self.detours.take(identity, address);
        let pools = detour.as_ref().map_or(pools, std::slice::from_ref);
        let mut known = false;
        for group in self.groups(pools, &mut Vec::new()).await {
            if group.store.release(&group.pools, identity, address).await {
                known = true;
                break;
            }
        }
        // Also what its store has lost meanwhile.
        self.memory.held().give_back(address, pools, identity);
        known
    }

    /// What to say of a pool that nobody serves; `None` where there is one.
    pub(crate) async fn unknown(&self, name: &str) -> Option<String> {
        match self.server(name).await {
            Some(_) => None,
            None => Some(self.no_such(name)),
        }
    }

    /// What to say of a pool that nobody serves.
    pub(crate) fn no_such(&self, name: &str) -> String {
        let like =
            self.memory.like(name).map_or_else(String::new, |like| format!(" (did you mean '{like}'?)"));
        format!("there is no pool '{name}'{like}; until it is loaded, clients get no address from it")
    }

    /// Who serves a pool: what is in memory, then stores whose names are fixed, which know without looking, and the
    /// others at last: a database that does not answer stands in nobody's way.
    async fn server(&self, name: &str) -> Option<Arc<dyn Store>> {
        if self.memory.has(name) {
            return Some(self.memory.clone());
        }
        for fixed in [true, false] {
            for store in self.others.iter().filter(|store| store.has_fixed_names() == fixed) {
                if store.serves(name).await {
                    return Some(store.clone());
                }
            }
        }
        None
    }

    /// Every store, memory first.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<dyn Store>> {
        let memory: Arc<dyn Store> = self.memory.clone();
        std::iter::once(memory).chain(self.others.iter().cloned())
    }

    /// The groups of the client's pools, each with what its store wants asked besides.
    async fn all_groups(&self, wanted: &Wanted, unknown: &mut Vec<String>) -> Vec<Group> {
        let mut all: Vec<Group> = Vec::new();
        for mut group in self.groups(&wanted.pools, unknown).await {
            // What an earlier store named was asked before its turn.
            group.pools.retain(|name| !all.iter().any(|earlier| earlier.pools.contains(name)));
            if group.pools.is_empty() {
                continue;
            }
            let mut also = group.store.also(wanted).await;
            let store = group.store.plugin();
            all.push(group);
            also.retain(|name| !all.iter().any(|earlier| earlier.pools.contains(name)));
            let more = self.groups(&also, unknown).await;
            all.extend(more.into_iter().filter(|group| group.store.plugin() != store));
        }
        all
    }

    /// Splits the pools by who serves them, in the order in which they are asked.
    async fn groups(&self, pools: &[String], unknown: &mut Vec<String>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for name in pools {
            let Some(store) = self.server(name).await else {
                unknown.push(name.clone());
                continue;
            };
            let same = |group: &&mut Group| group.store.plugin() == store.plugin();
            let found = match self.order {
                Order::Connection => groups.last_mut().filter(same),
                Order::Plugins => groups.iter_mut().find(same),
            };
            match found {
                Some(group) => group.pools.push(name.clone()),
                None => groups.push(Group { store, pools: vec![name.clone()] }),
            }
        }
        if self.order == Order::Plugins {
            groups.sort_by_key(|group| self.rank(group.store.plugin()));
        }
        groups
    }

    /// Place of a plugin in charon's order.
    fn rank(&self, plugin: &str) -> usize {
        // charon loads vici after the others: what is in memory comes last there.
        self.others.iter().position(|store| store.plugin() == plugin).unwrap_or(self.others.len())
    }
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + BRIEF
}
