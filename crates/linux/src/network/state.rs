//! The state file: what of our making would outlive us.
//!
//! JSON: first all of it, then one value for each route that came or went since. It is written anew when the second
//! part has become longer than the first, so that one route among many costs one line.
use super::links::MadeLink;
use super::{WantedAddress, WantedRoute};
use crate::netlink::Rule;
use crate::{Attempt, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many lines may always be added.
const LINES: usize = 256;

/// What we installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Installed {
    #[serde(default)]
    pub(super) links: BTreeMap<String, MadeLink>,
    pub(super) addresses: BTreeSet<WantedAddress>,
    pub(super) routes: BTreeSet<Arc<WantedRoute>>,
    pub(super) rules: BTreeSet<Rule>,
}

impl Installed {
    fn is_empty(&self) -> bool {
        let Self { links, addresses, routes, rules } = self;
        links.is_empty() && addresses.is_empty() && routes.is_empty() && rules.is_empty()
    }
}

/// A line after the first part.
#[derive(Debug, Serialize, Deserialize)]
enum Line<'a> {
    #[serde(rename = "route")]
    Put(std::borrow::Cow<'a, WantedRoute>),
    #[serde(rename = "gone")]
    Gone(std::borrow::Cow<'a, WantedRoute>),
}

/// The file, or none.
#[derive(Debug)]
pub(super) struct StateFile {
    path: Option<PathBuf>,
    /// An interface that ends with us; routes on it are not written down.
    pub(super) fleeting: Option<Arc<str>>,
    /// The file is there.
    exists: bool,
    /// Things in its first part, and lines behind that.
    things: usize,
    lines: usize,
}

impl StateFile {
    /// The file, and what a predecessor left in it.
    pub(super) fn open(path: Option<&Path>) -> (Self, Option<Installed>) {
        let left = path.and_then(read);
        let exists = path.is_some_and(Path::exists);
        (Self { path: path.map(Path::to_owned), fleeting: None, exists, things: 0, lines: 0 }, left)
    }

    /// There is one.
    pub(super) const fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// The route would outlive us.
    pub(super) fn concerns(&self, route: &WantedRoute) -> bool {
        self.is_kept() && !self.is_fleeting(route)
    }

    fn is_fleeting(&self, route: &WantedRoute) -> bool {
        self.fleeting.is_some() && route.way.interface == self.fleeting && route.way.namespace.is_none()
    }

    /// Writes everything.
    pub(super) fn store(&mut self, state: &Installed) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let what = || format!("writing {}", path.display());
        let durable = state.routes.iter().filter(|route| !self.is_fleeting(route)).cloned().collect();
        let durable = Installed { routes: durable, ..state.clone_without_routes() };
        (self.things, self.lines) = (durable.routes.len(), 0);
        if durable.is_empty() {
            if !self.exists {
                return Ok(());
            }
            self.exists = false;
            return match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).attempt(what),
                _ => Ok(()),
            };
        }
        let mut text = serde_json::to_string_pretty(&durable).map_err(io::Error::other).attempt(what)?;
        text.push('\n');
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).attempt(what)?;
        self.exists = true;
        Ok(())
    }

    /// Adds what becomes of some routes; false where the whole must be written instead.
    pub(super) fn add<'a>(
        &mut self,
        put: impl Iterator<Item = &'a WantedRoute>,
        gone: impl Iterator<Item = &'a WantedRoute>,
    ) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(true) };
        let what = || format!("writing {}", path.display());
        let put = put.map(|route| Line::Put(std::borrow::Cow::Borrowed(route)));
        let gone = gone.map(|route| Line::Gone(std::borrow::Cow::Borrowed(route)));
        let (mut text, mut lines) = (Vec::new(), 0usize);
        for line in put.chain(gone) {
            serde_json::to_writer(&mut text, &line).map_err(io::Error::other).attempt(what)?;
            text.push(b'\n');
            lines = lines.saturating_add(1);
        }
        if lines == 0 {
            return Ok(true);
        }
        let total = self.lines.saturating_add(lines);
        if !self.exists || total > self.things.saturating_add(LINES) {
            return Ok(false);
        }
        let mut file = OpenOptions::new().append(true).open(path).attempt(what)?;
        file.write_all(&text).attempt(what)?;
        self.lines = total;
        Ok(true)
    }
}

impl Installed {
    fn clone_without_routes(&self) -> Self {
        let Self { links, addresses, rules, .. } = self;
        let (links, addresses, rules) = (links.clone(), addresses.clone(), rules.clone());
        Self { links, addresses, routes: BTreeSet::new(), rules }
    }
}

/// What the file says. A last line that was not completed counts for nothing.
fn read(path: &Path) -> Option<Installed> {
    let text = fs::read_to_string(path).ok()?;
    let mut state: Installed = match serde_json::Deserializer::from_str(&text).into_iter().next()? {
        Ok(state) => state,
        Err(e) => {
            tracing::warn!("{} is not readable and is ignored: {e}", path.display());
            return None;
        }
    };
    let first = {
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>();
        let _state = values.next();
        values.byte_offset()
    };
    for line in text.get(first..).unwrap_or_default().lines() {
        match serde_json::from_str(line) {
            Ok(Line::Put(route)) => _ = state.routes.insert(Arc::new(route.into_owned())),
            Ok(Line::Gone(route)) => _ = state.routes.remove(&*route),
            Err(_) => {}
        }
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::RouteKind;
    use crate::network::RouteWay;

    fn route(to: &str, interface: &str) -> Arc<WantedRoute> {
        Arc::new(WantedRoute {
            destination: to.parse().unwrap(),
            way: Arc::new(RouteWay {
                table: 220,
                interface: Some(interface.into()),
                namespace: None,
                gateway: None,
                source: None,
                mtu: None,
                kind: RouteKind::Unicast,
            }),
        })
    }

    #[test]
    fn single_routes_are_lines_until_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (mut file, left) = StateFile::open(Some(&path));
        assert_eq!(left, None);
        let mut state = Installed::default();
        state.routes.insert(route("10.0.0.1/32", "eth0"));
        file.store(&state).unwrap();
        let (one, two) = (route("10.0.0.2/32", "eth0"), route("10.0.0.1/32", "eth0"));
        assert!(file.add([&*one].into_iter(), [&*two].into_iter()).unwrap());
        state.routes.insert(one.clone());
        state.routes.remove(&two);
        assert_eq!(read(&path), Some(state.clone()));
        let mut written = fs::read(&path).unwrap();
        written.truncate(written.len() - 3);
        fs::write(&path, written).unwrap();
        state.routes.insert(two.clone());
        assert_eq!(read(&path), Some(state.clone()), "the line that was cut off is none");
        file.store(&state).unwrap();
        let mut added = 0;
        while file.add([&*one].into_iter(), [].into_iter()).unwrap() {
            added += 1;
        }
        assert_eq!(added, LINES + 2);
        state.routes.clear();
        file.store(&state).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_ends_with_us_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (mut file, _) = StateFile::open(Some(&path));
        file.fleeting = Some("ipsec0".into());
        let own = route("10.0.0.1/32", "ipsec0");
        assert!(!file.concerns(&own) && file.concerns(&route("10.0.0.1/32", "eth0")));
        file.store(&Installed { routes: [own].into(), ..Installed::default() }).unwrap();
        assert!(!path.exists());
    }
}
