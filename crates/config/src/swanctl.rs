//! `swanctl.conf` as a whole: the sections, what they say, and the vici messages that load them.
use crate::report::{Report, closest};
use crate::resolve::{Disk, LoadError, Loaded, Loader, load};
use crate::schema::auth::{LOCAL, REMOTE};
use crate::schema::authority::{Authority, load_authority};
use crate::schema::connection::load_connection;
use crate::schema::pool::load_pool;
use crate::schema::secret::{SecretSection, SharedConfig, load_secret, shared_message};
use crate::schema::{Context, Key, Kind, authority, child, connection};
use crate::tree::{Node, Section, Span};
use policy::{AuthClass, Connection, Mode, PeerAddr, PoolConfig, SecretKind};
use std::collections::BTreeSet;
use std::path::Path;

/// Sections that are loaded; all others are there to be inherited from.
pub const SECTIONS: [&str; 4] = ["connections", "secrets", "pools", "authorities"];

/// A `swanctl.conf` that was read.
#[derive(Debug, Clone, Default)]
pub struct SwanctlConfig {
    /// Tree, files and warnings.
    pub loaded: Loaded,
}

/// All of it typed, and all that is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Connections in order.
    pub connections: Vec<Connection>,
    /// Shared secrets, and where private keys are.
    pub secrets: Vec<SecretSection>,
    /// Pools.
    pub pools: Vec<PoolConfig>,
    /// Authorities.
    pub authorities: Vec<Authority>,
    /// Errors and warnings in the order of the sections.
    pub reports: Vec<Report>,
}

impl Checked {
    /// Nothing is wrong (there may be warnings).
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.reports.iter().any(Report::is_error)
    }
}

/// Reads a `swanctl.conf`, or that of a directory, from the disk.
///
/// # Errors
/// As [`load`].
pub fn load_swanctl(path: &Path) -> Result<SwanctlConfig, LoadError> {
    let file = if path.is_dir() { path.join("swanctl.conf") } else { path.to_owned() };
    load_swanctl_with(&Disk, &file)
}

/// Reads a `swanctl.conf` through a loader.
///
/// # Errors
/// As [`load`].
pub fn load_swanctl_with(loader: &dyn Loader, file: &Path) -> Result<SwanctlConfig, LoadError> {
    let mut loaded = load(loader, file)?;
    let suspects: Vec<Report> =
        loaded.root.entries.iter().filter_map(|(name, node)| suspect(&loaded.root, name, node)).collect();
    loaded.warnings.extend(suspects);
    Ok(SwanctlConfig { loaded })
}

/// Sections of other names are for inheritance; one that looks like a slip of the finger is worth a word.
fn suspect(root: &Section, name: &str, node: &Node) -> Option<Report> {
    if SECTIONS.contains(&name) {
        return None;
    }
    let report = |text: &str| Report::warning(text).at(root.key_span(name)).key(name);
    match node {
        Node::Section(_) => {
            let near = closest(name, SECTIONS)?;
            Some(report("this section is not loaded").hint(format!("did you mean `{near}`?")))
        }
        Node::Value(_) | Node::List(_) => Some(report("values outside of sections have no effect")),
    }
}

impl SwanctlConfig {
    /// The sections of `connections`, `secrets`, `pools` or `authorities`, in order.
    pub fn sections(&self, kind: &str) -> impl Iterator<Item = (&str, &Section)> {
        self.loaded.root.section(kind).into_iter().flat_map(Section::sections)
    }

    /// Everything typed, and everything that is wrong.
    #[must_use]
    pub fn check(&self, context: &Context) -> Checked {
        let mut out = Checked { reports: self.loaded.warnings.clone(), ..Checked::default() };
        for kind in SECTIONS {
            self.stray_values(kind, &mut out.reports);
        }
        let mut reports = Vec::new();
        let mut keep = |result: Result<(), Vec<Report>>| reports.extend(result.err().unwrap_or_default());
        for (name, section) in self.sections("connections") {
            keep(load_connection(name, section, context).map(|c| out.connections.push(c)));
        }
        for (name, section) in self.sections("secrets") {
            keep(load_secret(name, section).map(|s| out.secrets.push(s)));
        }
        for (name, section) in self.sections("pools") {
            keep(load_pool(name, section).map(|p| out.pools.push(p)));
        }
        for (name, section) in self.sections("authorities") {
            keep(load_authority(name, section).map(|a| out.authorities.push(a)));
        }
        out.reports.extend(reports);
        self.cross_check(&mut out);
        out
    }

    /// Pools with common addresses: they load, unless they hand out prefixes of different lengths.
    fn overlaps(&self, out: &mut Checked) {
        let section = |name: &str| self.loaded.root.lookup_section("pools")?.section(name);
        let place = |name: &str| section(name).map_or(Span::NOWHERE, |pool| pool.key_span("addrs"));
        for (n, second) in out.pools.iter().enumerate() {
            for first in out.pools.iter().take(n) {
                let Some(overlap) = first.overlap(second) else { continue };
                let (report, hint) = if first.range.prefix() == second.range.prefix() {
                    (
                        Report::warning(overlap.to_string()),
                        "what one of them lends the other does not lend meanwhile",
                    )
                } else {
                    (
                        Report::error(overlap.to_string()),
                        "pools with prefixes of different lengths cannot share addresses",
                    )
                };
                let report = report.hint(hint).label(place(&first.name), "the other pool");
                out.reports.push(report.at(place(&second.name)).key(format!("pools.{}.addrs", second.name)));
            }
        }
    }

    fn stray_values(&self, kind: &str, reports: &mut Vec<Report>) {
        let Some(section) = self.loaded.root.section(kind) else {
            if let Some(Node::Value(value)) = self.loaded.root.get(kind) {
                reports.push(Report::error("this is a section, not a value").at(value.span).key(kind));
            }
            return;
        };
        for (name, value) in section.values() {
            let report = Report::error("this is a section, not a value").at(value.span);
            reports.push(report.key(format!("{kind}.{name}")));
        }
    }

    /// What only the whole file can tell.
    fn cross_check(&self, out: &mut Checked) {
        self.overlaps(out);
        let place = |c: &Connection, key: &str| -> Span {
            let section = self.loaded.root.lookup_section("connections").and_then(|all| all.section(&c.name));
            section.map_or(Span::NOWHERE, |s| if s.get(key).is_some() { s.key_span(key) } else { s.span })
        };
        let pools: BTreeSet<&str> = self.sections("pools").map(|(name, _)| name).collect();
        let broken_secrets = out.reports.iter().any(|r| r.path.starts_with("secrets."));
        for c in &out.connections {
            let starts = c.children.iter().find(|child| child.start_action.start);
            if let Some(child) = starts
                && !c.remote_addrs.iter().any(PeerAddr::is_host)
                && !matches!(child.mode, Mode::Pass | Mode::Drop)
            {
                let report = Report::warning("there is no address to initiate to");
                let hint = format!("`start_action = {}` of `{}` needs one", child.start_action, child.name);
                let path = format!("connections.{}.remote_addrs", c.name);
                out.reports.push(report.hint(hint).at(place(c, "remote_addrs")).key(path));
            }
            for pool in c.pools.iter().filter(|pool| *pool != "radius") {
                if !pools.contains(pool.as_str()) {
                    let mut report = Report::warning(format!("there is no pool `{pool}` in this file"));
                    report.hint =
                        closest(pool, pools.iter().copied()).map(|known| format!("did you mean `{known}`?"));
                    out.reports
                        .push(report.at(place(c, "pools")).key(format!("connections.{}.pools", c.name)));
                }
            }
            let psk = c.local.iter().chain(&c.remote).any(|round| round.class == AuthClass::Psk);
            let me = c.local.first().and_then(|round| round.id.as_ref());
            let other = c.remote.first().and_then(|round| round.id.as_ref());
            // Patterns and missing identities may come to fit; only two known ends can be judged here.
            let known = me.is_some() && other.is_some_and(|id| !id.is_pattern());
            let mut secrets = shared(&out.secrets).filter(|s| s.kind == SecretKind::Ike);
            let any = self.sections("secrets").any(|(name, _)| name.starts_with("ike"));
            let found = if known { secrets.any(|s| s.fits(me, other)) } else { any };
            if psk && !found && !broken_secrets {
                let report = Report::warning("there is no secret for this connection in this file");
                let hint = "add `secrets { ike-… { id = …, secret = … } }`, or load one in another way";
                out.reports.push(report.hint(hint).at(place(c, "")).key(format!("connections.{}", c.name)));
            }
        }
    }
}

fn shared(secrets: &[SecretSection]) -> impl Iterator<Item = &SharedConfig> {
    secrets.iter().filter_map(|section| match section {
        SecretSection::Shared(secret) => Some(secret),
        SecretSection::Private(_) | SecretSection::Token(_) => None,
    })
}

/// The `load-conn` message of a section of `connections`.
#[must_use]
pub fn connection_message(name: &str, section: &Section) -> Section {
    let mut inner = with_lists(connection::KEYS, section);
    for (key, node) in &mut inner.entries {
        let Node::Section(section) = node else { continue };
        if key == "children" {
            for child in section.entries.values_mut() {
                if let Node::Section(section) = child {
                    *section = with_lists(child::KEYS, section);
                }
            }
        } else if key.starts_with("local") {
            *section = with_lists(LOCAL, section);
        } else if key.starts_with("remote") {
            *section = with_lists(REMOTE, section);
        }
    }
    wrapped(name, inner)
}

/// The `load-pool` message of a section of `pools`: every key but `addrs` is a list.
#[must_use]
pub fn pool_message(name: &str, section: &Section) -> Section {
    let mut inner = section.clone();
    for (key, node) in &mut inner.entries {
        if let Node::Value(value) = node
            && key != "addrs"
        {
            *node = Node::List(value.split());
        }
    }
    wrapped(name, inner)
}

/// The `load-authority` message of a section of `authorities`.
#[must_use]
pub fn authority_message(name: &str, section: &Section) -> Section {
    wrapped(name, with_lists(authority::KEYS, section))
}

/// The `load-shared` message of a section of `secrets`.
///
/// # Errors
/// As [`load_secret`].
pub fn secret_message(name: &str, section: &Section) -> Result<Section, Vec<Report>> {
    shared_message(name, section)
}

fn wrapped(name: &str, inner: Section) -> Section {
    let mut out = Section::new();
    out.insert(name, Node::Section(inner));
    out
}

/// Comma-separated values of list keys become lists.
fn with_lists(keys: &[Key], section: &Section) -> Section {
    let mut out = section.clone();
    for (key, node) in &mut out.entries {
        let is_list = keys.iter().any(|row| row.name == key && matches!(row.kind, Kind::List(_)));
        if let Node::Value(value) = node
            && is_list
        {
            *node = Node::List(value.split());
        }
    }
    out
}

#[cfg(test)]
mod tests;
