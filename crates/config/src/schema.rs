//! How a key is declared, and how a section is read by its declarations.
//!
//! Each section has a table of [`Key`]s, one row per key, and a function that reads it into a `policy` value. The
//! table is the documentation: man page, hints and lists of keys are made of it.

pub mod auth;
pub mod authority;
pub mod certificate;
pub mod child;
pub mod connection;
pub mod daemon;
mod interface;
pub mod pool;
pub mod secret;
pub mod values;

use crate::capability::{Capabilities, Capability};
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Span, Value};
use policy::CertRef;

/// What stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// yes or no.
    Flag,
    /// A decimal number, or hexadecimal after 0x.
    Number,
    /// A number of seconds, or with s, m, h or d.
    Time,
    /// One of a few words.
    Words(&'static str),
    /// Text of a grammar of its own.
    Text(&'static str),
    /// A comma-separated list of such text (in vici, a list).
    List(&'static str),
    /// A section of that name.
    Section,
    /// Sections whose names begin with it.
    Sections,
}

/// One key of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name; of [`Kind::Sections`], how the names begin.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Default; empty for none, or one that follows from other keys (see `help`).
    pub default: &'static str,
    /// What it does, one sentence.
    pub help: &'static str,
    /// What any other value than the default needs.
    pub needs: Option<Capability>,
}

impl Key {
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, kind, default, help, needs: None }
    }

    pub(crate) const fn needs(self, capability: Capability) -> Self {
        Self { needs: Some(capability), ..self }
    }
}

/// All tables of `swanctl.conf`: path of the section, and its keys.
pub const TABLES: &[(&str, &[Key])] = &[
    ("connections.<conn>", connection::KEYS),
    ("connections.<conn>.local<suffix>", auth::LOCAL),
    ("connections.<conn>.remote<suffix>", auth::REMOTE),
    ("connections.<conn>.{local,remote}<suffix>.{cert,cacert}<suffix>", certificate::KEYS),
    ("connections.<conn>.children.<child>", child::KEYS),
    ("secrets.<kind><suffix>", secret::KEYS),
    ("pools.<name>", pool::KEYS),
    ("authorities.<name>", authority::KEYS),
];

impl Kind {
    /// What to write, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Flag => "yes, no",
            Self::Number => "number",
            Self::Time => "time",
            Self::Words(text) | Self::Text(text) | Self::List(text) => text,
            Self::Section => "section",
            Self::Sections => "sections",
        }
    }

    /// More than one, separated by commas.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// What reading depends on besides the section itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// What there is.
    pub capabilities: Capabilities,
    /// `charon.replay_window`, the default of children.
    pub replay_window: u32,
}

impl Default for Context {
    fn default() -> Self {
        Self { capabilities: Capabilities::default(), replay_window: 32 }
    }
}

/// Reads one section by its table; collects all that is wrong.
pub(crate) struct Fields<'a> {
    section: &'a Section,
    keys: &'static [Key],
    path: String,
    capabilities: &'a Capabilities,
    reports: Vec<Report>,
}

impl<'a> Fields<'a> {
    /// Checks the names of all entries.
    pub(crate) fn new(
        path: impl Into<String>,
        section: &'a Section,
        keys: &'static [Key],
        capabilities: &'a Capabilities,
    ) -> Self {
        let mut out = Self { section, keys, path: path.into(), capabilities, reports: Vec::new() };
        for (name, node) in &section.entries {
            out.check_name(name, node);
        }
        out
    }

    fn check_name(&mut self, name: &str, node: &Node) {
        let is_section = matches!(node, Node::Section(_));
        let row = self.keys.iter().find(|key| match key.kind {
            Kind::Sections => is_section && name.starts_with(key.name),
            Kind::Section => is_section && name == key.name,
            _ => !is_section && name == key.name,
        });
        let Some(row) = row else {
            self.reports.push(self.unknown(name, node));
            return;
        };
        if matches!(row.kind, Kind::Section | Kind::Sections)
            && let Some(capability) = row.needs
        {
            self.refuse(capability, name, self.place(name, None));
        }
    }

    fn unknown(&self, name: &str, node: &Node) -> Report {
        let is_section = matches!(node, Node::Section(_));
        let report = |message: &str| Report::error(message).at(self.place(name, None)).key(self.sub(name));
        // The right name for the wrong kind of thing.
        let same = self.keys.iter().find(|key| key.name == name);
        if let Some(row) = same {
            return match row.kind {
                Kind::Section | Kind::Sections => {
                    report("this is a section, not a value").hint(format!("write `{name} {{ … }}`"))
                }
                _ => report("this is a value, not a section").hint(format!("write `{name} = …`")),
            };
        }
        let what = if is_section { "section" } else { "key" };
        let report = report(&format!("unknown {what}"));
        match closest(name, self.keys.iter().map(|key| key.name)) {
            Some(known) => report.hint(format!("did you mean `{known}`?")),
            None => report,
        }
    }

    /// Path of an entry.
    pub(crate) fn sub(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Place of an entry: that of its value, else of its name, else of the section.
    fn place(&self, name: &str, value: Option<&Value>) -> Span {
        let spans = [value.map_or(Span::NOWHERE, |v| v.span), self.section.key_span(name), self.section.span];
        spans.into_iter().find(|span| span.is_somewhere()).unwrap_or(Span::NOWHERE)
    }

    /// Says that something about an entry is wrong.
    pub(crate) fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let value = self.section.value(name);
        let report = Report::error(message).at(self.place(name, value)).key(self.sub(name));
        self.reports.push(report);
    }

    /// Says that something about the section is wrong.
    pub(crate) fn missing(&mut self, message: impl Into<String>) {
        self.reports.push(Report::error(message).at(self.section.span).key(self.path.clone()));
    }

    /// Says that an entry needs something, unless it is there.
    pub(crate) fn need(&mut self, capability: Capability, name: &str) {
        let value = self.section.value(name);
        self.refuse(capability, name, self.place(name, value));
    }

    fn refuse(&mut self, capability: Capability, name: &str, span: Span) {
        if !self.capabilities.has(capability) {
            self.reports.push(Report::error(capability.missing()).at(span).key(self.sub(name)));
        }
    }

    fn row(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name && !matches!(key.kind, Kind::Section | Kind::Sections))
    }

    /// Reads a value into `slot`, which holds the default. A value that differs from it needs what the row says.
    pub(crate) fn set<T: PartialEq>(
        &mut self,
        name: &str,
        slot: &mut T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) {
        debug_assert!(self.row(name).is_some(), "{name} is not declared");
        let value = match self.section.get(name) {
            None | Some(Node::Section(_)) => return,
            Some(Node::Value(value)) => value,
            Some(Node::List(items)) => match items.as_slice() {
                [one] => one,
                _ => return self.wrong(name, "this takes one value, not a list"),
            },
        };
        let parsed = value.as_text().ok_or_else(|| "this is no UTF-8 text".to_owned()).and_then(&parse);
        match parsed {
            Err(message) => self.wrong(name, message),
            Ok(parsed) if parsed == *slot => {}
            Ok(parsed) => {
                if let Some(capability) = self.row(name).and_then(|row| row.needs) {
                    self.need(capability, name);
                }
                *slot = parsed;
            }
        }
    }

    /// Reads a list into `slot`. An empty list leaves the default.
    pub(crate) fn list<T: PartialEq>(
        &mut self,
        name: &str,
        slot: &mut Vec<T>,
        parse: impl Fn(&str) -> Result<Vec<T>, String>,
    ) {
        debug_assert!(self.row(name).is_some(), "{name} is not declared");
        let Some(items) = self.section.list(name) else { return };
        let mut out = Vec::new();
        for item in &items {
            match item.as_text().ok_or_else(|| "this is no UTF-8 text".to_owned()).and_then(&parse) {
                Ok(parsed) => out.extend(parsed),
                Err(message) => {
                    let report = Report::error(message).at(self.place(name, Some(item))).key(self.sub(name));
                    self.reports.push(report);
                }
            }
        }
        if items.is_empty() || out == *slot {
            return;
        }
        if let Some(capability) = self.row(name).and_then(|row| row.needs) {
            self.need(capability, name);
        }
        *slot = out;
    }

    /// A list of certificates or keys, or of the files they are in; the bytes are for the daemon to look into.
    pub(crate) fn certificates(&mut self, name: &str, slot: &mut Vec<CertRef>) {
        let Some(items) = self.section.list(name).filter(|items| !items.is_empty()) else { return };
        if let Some(capability) = self.row(name).and_then(|row| row.needs) {
            self.need(capability, name);
        }
        *slot = items.iter().map(|item| CertRef::Raw(item.bytes.clone())).collect();
    }

    /// Certificates that a section each names, by file or by token.
    pub(crate) fn certificate_sections(&mut self, prefix: &str, slot: &mut Vec<CertRef>) {
        for (name, section) in self.sections(prefix) {
            let loaded = certificate::load(&self.sub(name), section, self.capabilities);
            slot.extend(self.inner(loaded));
        }
    }

    /// The key is set to something.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.section.get(name).is_some()
    }

    /// The sections whose names begin so, in order.
    pub(crate) fn sections(&self, prefix: &str) -> Vec<(&'a str, &'a Section)> {
        self.section.sections().filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    /// Takes over what was wrong inside; gives the value if there is one.
    pub(crate) fn inner<T>(&mut self, result: Result<T, Vec<Report>>) -> Option<T> {
        result.map_err(|reports| self.reports.extend(reports)).ok()
    }

    /// The value, unless something was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Vec<Report>> {
        if self.reports.is_empty() { Ok(value) } else { Err(self.reports) }
    }
}

#[cfg(test)]
mod tests;
