//! Routes of ours: wanted by several, put and removed one by one.
use super::{Installed, Network, gone_is_fine, within};
use crate::netlink::{Netlink, Route, RouteKind};
use crate::{Error, Result};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// A route of ours. Of very many the ways are the same: they are shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WantedRoute {
    /// Where to.
    pub destination: IpNet,
    /// By which way.
    #[serde(flatten)]
    pub way: Arc<RouteWay>,
}

/// Everything about a route but where it goes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RouteWay {
    /// Table.
    pub table: u32,
    /// Interface name; none for a throw route.
    pub interface: Option<Arc<str>>,
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

impl WantedRoute {
    /// What the kernel has one route for.
    fn place(&self) -> (Option<&str>, IpNet, u32) {
        (self.way.namespace.as_deref(), self.destination, self.way.table)
    }

    /// The first in order of all with this destination and table.
    fn first_beside(&self) -> Self {
        let way = RouteWay { table: self.way.table, ..RouteWay::default() };
        Self { destination: self.destination, way: Arc::new(way) }
    }
}

/// Routes that are wanted, each by one or more, and which of them changed since the host was told.
#[derive(Debug, Default)]
pub struct Routes {
    all: BTreeMap<Arc<WantedRoute>, u32>,
    changed: BTreeSet<Arc<WantedRoute>>,
}

impl Routes {
    /// One more wants it. The route as it is kept: all share one.
    pub fn add(&mut self, route: WantedRoute) -> Arc<WantedRoute> {
        if let Some((kept, _)) = self.all.get_key_value(&route) {
            let kept = kept.clone();
            self.count(&kept);
            return kept;
        }
        let route = Arc::new(route);
        self.all.insert(route.clone(), 1);
        self.changed.insert(route.clone());
        route
    }

    fn count(&mut self, route: &WantedRoute) {
        if let Some(users) = self.all.get_mut(route) {
            *users = users.saturating_add(1);
        }
    }

    /// One less wants it.
    pub fn remove(&mut self, route: &Arc<WantedRoute>) {
        let Some(users) = self.all.get_mut(route) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.all.remove(route);
            self.changed.insert(route.clone());
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<WantedRoute>> {
        self.all.keys()
    }

    /// The host does not have what is wanted.
    #[must_use]
    pub fn have_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The host was told about all of them.
    pub fn settled(&mut self) {
        self.changed.clear();
    }

    /// Another that is wanted in its place, of which the kernel has one.
    fn heir(&self, route: &WantedRoute) -> Option<&Arc<WantedRoute>> {
        let near = self.all.range::<WantedRoute, _>(&route.first_beside()..).map(|(near, _)| near);
        heir(near, route)
    }
}

/// Among routes in order, beginning with the first of this destination: that which is in this one's place.
fn heir<'a>(
    mut near: impl Iterator<Item = &'a Arc<WantedRoute>>,
    route: &WantedRoute,
) -> Option<&'a Arc<WantedRoute>> {
    near.by_ref()
        .take_while(|near| (near.destination, near.way.table) == (route.destination, route.way.table))
        .find(|near| near.place() == route.place() && near.as_ref() != route)
}

/// Indices of interfaces, looked up once in a while that they cannot change in.
#[derive(Default)]
struct Indices(BTreeMap<(Option<String>, Arc<str>), u32>);

impl Network {
    /// Puts and removes the routes that changed. What cannot be done is tried again by the next call, whatever it is
    /// about. Returns the failures.
    pub fn change_routes(&mut self, routes: &mut Routes) -> Vec<Error> {
        let mut failures = Vec::new();
        let mut changed = std::mem::take(&mut routes.changed);
        changed.extend(std::mem::take(&mut self.owed));
        let wanted = |route: &Arc<WantedRoute>| routes.all.contains_key(route);
        let installed = &self.installed.routes;
        let (put, gone): (Vec<_>, Vec<_>) =
            changed.into_iter().filter(|route| wanted(route) != installed.contains(route)).partition(wanted);
        let concerns = |route: &&Arc<WantedRoute>| self.state.concerns(route);
        let noted = put.iter().filter(concerns).cloned().collect::<Vec<_>>();
        let forgotten = gone.iter().filter(concerns).cloned().collect::<Vec<_>>();
        // Written before it is there, removed from the file when it is gone.
        self.note(noted.iter(), [].iter(), &mut failures);
        let (mut replaced, mut removed) = (Vec::new(), Vec::new());
        for route in gone {
            // The kernel knows one route per destination and table: another of ours there is put in its place.
            match routes.heir(&route) {
                Some(heir) => {
                    if self.installed.routes.contains(heir) {
                        replaced.push(heir.clone());
                    }
                    self.installed.routes.remove(&route);
                }
                None => removed.push(route),
            }
        }
        let mut indices = self.indices();
        let outcomes = self.each(&removed, &mut indices, Netlink::delete_routes);
        for (route, outcome) in removed.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => _ = self.installed.routes.remove(&route),
                // Routes go with their interface.
                Err(e) if matches!(e.errno(), Some(libc::ENODEV | libc::ENOENT)) => {
                    self.installed.routes.remove(&route);
                }
                Err(e) => {
                    failures.push(e);
                    self.owed.insert(route);
                }
            }
        }
        let put = replaced.into_iter().chain(put).collect::<Vec<_>>();
        let outcomes = self.each(&put, &mut indices, |netlink, routes| {
            netlink.put_routes(routes).into_iter().map(|outcome| outcome.map(|()| true)).collect()
        });
        for (route, outcome) in put.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => _ = self.installed.routes.insert(route),
                Err(e) => {
                    failures.push(e);
                    self.installed.routes.remove(&route);
                    self.owed.insert(route);
                }
            }
        }
        let forgotten = forgotten.iter().filter(|route| !self.installed.routes.contains(*route));
        let forgotten: Vec<_> = forgotten.cloned().collect();
        self.note([].iter(), forgotten.iter(), &mut failures);
        failures
    }

    /// What is known of indices for good.
    fn indices(&self) -> Indices {
        let own = self.state.fleeting.clone().zip(self.fleeting_index);
        Indices(own.map(|(name, index)| ((None, name), index)).into_iter().collect())
    }

    /// Does something to these routes, all of a namespace in one go.
    fn each(
        &mut self,
        wanted: &[Arc<WantedRoute>],
        indices: &mut Indices,
        mut work: impl FnMut(&mut Netlink, &[Route]) -> Vec<Result<bool>> + Send,
    ) -> Vec<Result<bool>> {
        let mut outcomes: Vec<Result<bool>> = Vec::with_capacity(wanted.len());
        let mut rest = wanted;
        while let Some(first) = rest.first() {
            let namespace = first.way.namespace.as_deref();
            let same = rest.iter().take_while(|route| route.way.namespace.as_deref() == namespace).count();
            let (these, others) = rest.split_at(same);
            rest = others;
            let done = within(&mut self.netlink, namespace, |netlink| {
                let mut known = Vec::with_capacity(these.len());
                let mut found = Vec::with_capacity(these.len());
                for wanted in these {
                    let interface = indices.of(netlink, wanted);
                    found.push(interface.map(|interface| known.push(route(wanted, interface))));
                }
                let mut done = work(netlink, &known).into_iter();
                let done = found
                    .into_iter()
                    .map(|found| found.and_then(|()| done.next().unwrap_or_else(|| Err(unanswered()))));
                Ok(done.collect::<Vec<_>>())
            });
            match done {
                Ok(done) => outcomes.extend(done),
                Err(e) => {
                    let (errno, text) = (e.errno(), e.to_string());
                    outcomes.extend(these.iter().map(|_| Err(again(errno, &text))));
                }
            }
        }
        outcomes
    }

    fn note<'a>(
        &mut self,
        put: impl Iterator<Item = &'a Arc<WantedRoute>> + Clone,
        gone: impl Iterator<Item = &'a Arc<WantedRoute>>,
        failures: &mut Vec<Error>,
    ) {
        let written = self.state.add(put.clone().map(AsRef::as_ref), gone.map(AsRef::as_ref));
        let written = match written {
            Ok(false) => {
                let mut union = Installed { routes: self.installed.routes.clone(), ..self.installed.clone() };
                union.routes.extend(put.cloned());
                self.state.store(&union)
            }
            Ok(true) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            failures.push(e);
        }
    }

    /// Removes what is installed and not wanted.
    pub(super) fn remove_routes(&mut self, wanted: &BTreeSet<Arc<WantedRoute>>, failures: &mut Vec<Error>) {
        self.owed.clear();
        let mut indices = Indices::default();
        for route in self.installed.routes.difference(wanted).cloned().collect::<Vec<_>>() {
            // The kernel knows one route per destination and table: another of ours there is put in its place.
            let result = match heir(wanted.range::<WantedRoute, _>(&route.first_beside()..), &route) {
                Some(heir) => {
                    self.installed.routes.remove(heir);
                    Ok(())
                }
                None => delete_route(&mut self.netlink, &route, &mut indices),
            };
            match result {
                Ok(()) => _ = self.installed.routes.remove(&route),
                Err(e) => failures.push(e),
            }
        }
    }

    /// Puts what is wanted and not installed.
    pub(super) fn put_routes(&mut self, wanted: &BTreeSet<Arc<WantedRoute>>, failures: &mut Vec<Error>) {
        let mut indices = Indices::default();
        for route in wanted.difference(&self.installed.routes).cloned().collect::<Vec<_>>() {
            match put_route(&mut self.netlink, &route, &mut indices) {
                Ok(()) => _ = self.installed.routes.insert(route),
                Err(e) => failures.push(e),
            }
        }
    }

    /// Forgets routes that the kernel does not have any more.
    pub(super) fn look_at_routes(&mut self, wanted: &BTreeSet<Arc<WantedRoute>>, failures: &mut Vec<Error>) {
        let mut tables: BTreeMap<Option<&str>, BTreeSet<u32>> = BTreeMap::new();
        for route in wanted {
            tables.entry(route.way.namespace.as_deref()).or_default().insert(route.way.table);
        }
        for (namespace, tables) in tables {
            match within(&mut self.netlink, namespace, |netlink| seen(netlink, &tables)) {
                Ok((there, names)) => {
                    let mut by_place: BTreeMap<(IpNet, u32), Vec<&Route>> = BTreeMap::new();
                    for route in &there {
                        by_place.entry((route.destination, route.table)).or_default().push(route);
                    }
                    let has = |wanted: &WantedRoute| {
                        let near = by_place.get(&(wanted.destination, wanted.way.table));
                        near.is_some_and(|near| near.iter().any(|route| is(wanted, route, &names)))
                    };
                    self.installed
                        .routes
                        .retain(|wanted| wanted.way.namespace.as_deref() != namespace || has(wanted));
                }
                Err(e) => failures.push(e),
            }
        }
    }
}

fn put_route(netlink: &mut Netlink, wanted: &WantedRoute, indices: &mut Indices) -> Result<()> {
    within(netlink, wanted.way.namespace.as_deref(), |netlink| {
        let interface = indices.of(netlink, wanted)?;
        netlink.put_route(&route(wanted, interface))
    })
}

fn delete_route(netlink: &mut Netlink, wanted: &WantedRoute, indices: &mut Indices) -> Result<()> {
    gone_is_fine(within(netlink, wanted.way.namespace.as_deref(), |netlink| {
        let interface = indices.of(netlink, wanted)?;
        netlink.delete_route(&route(wanted, interface)).map(drop)
    }))
}

impl Indices {
    fn of(&mut self, netlink: &mut Netlink, wanted: &WantedRoute) -> Result<Option<u32>> {
        let Some(name) = &wanted.way.interface else { return Ok(None) };
        let key = (wanted.way.namespace.clone(), name.clone());
        if let Some(index) = self.0.get(&key) {
            return Ok(Some(*index));
        }
        let index = netlink.link_index(name)?;
        self.0.insert(key, index);
        Ok(Some(index))
    }
}

/// An error that concerns several.
fn again(errno: Option<i32>, text: &str) -> Error {
    Error::new(text, errno.map_or_else(|| io::Error::other("no namespace"), io::Error::from_raw_os_error))
}

fn unanswered() -> Error {
    Error::new("changing routes", io::Error::from(io::ErrorKind::UnexpectedEof))
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
    let RouteWay { table, gateway, source, mtu, kind, .. } = *wanted.way;
    Route { interface, gateway, source, mtu, kind, ..Route::new(wanted.destination, table) }
}

/// The kernel's route is the wanted one.
fn is(wanted: &WantedRoute, route: &Route, names: &BTreeMap<u32, String>) -> bool {
    let interface = route.interface.and_then(|index| names.get(&index));
    let way = &wanted.way;
    (wanted.destination, way.table, way.kind) == (route.destination, route.table, route.kind)
        && (way.gateway, way.source, way.mtu) == (route.gateway, route.source, route.mtu)
        // v6 routes that lead nowhere are shown on the loopback interface
        && (way.interface.is_none() || way.interface.as_deref() == interface.map(String::as_str))
}
