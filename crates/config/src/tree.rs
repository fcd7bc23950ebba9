//! The tree that configuration files, vici messages and settings share.
use indexmap::IndexMap;
use std::fmt;

/// Where a piece of text stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Number of the file in the [`Sources`](crate::grammar::Sources) it came from; `u32::MAX` = no file (vici).
    pub file: u32,
    /// Byte offset of the start.
    pub start: u32,
    /// Byte offset of the end.
    pub end: u32,
}

/// A value with its place. Values may be arbitrary bytes (vici carries keys).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Where it stood.
    pub span: Span,
}

/// One entry of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `key = value`.
    Value(Value),
    /// A vici list. Files have none: there a list is a comma-separated value.
    List(Vec<Value>),
    /// `name { … }`.
    Section(Section),
}

/// A section: ordered, keys unique. `Debug` shows no value of a key that holds secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Entries in order.
    pub entries: IndexMap<String, Node>,
    /// Where its name stood.
    pub span: Span,
    /// Where each key stood.
    pub key_spans: IndexMap<String, Span>,
}

/// Keys whose values are secrets, in files and in vici messages.
const SECRET_KEYS: [&str; 4] = ["secret", "data", "pin", "password"];

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.bytes).fmt(f)
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, node) in &self.entries {
            match node {
                Node::Section(section) => map.entry(name, section),
                _ if SECRET_KEYS.contains(&name.as_str()) => map.entry(name, &format_args!("…")),
                Node::Value(value) => map.entry(name, value),
                Node::List(items) => map.entry(name, items),
            };
        }
        map.finish()
    }
}

impl Span {
    /// In no file: vici messages and settings made by programs.
    pub const NOWHERE: Self = Self { file: u32::MAX, start: 0, end: 0 };

    /// Stood in a file.
    #[must_use]
    pub fn is_somewhere(&self) -> bool {
        self.file != u32::MAX
    }
}

impl Value {
    /// A value that stood in no file.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), span: Span::NOWHERE }
    }

    /// The value as text, if it is UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// The items of a comma-separated value: without the white space around them and without empty ones.
    #[must_use]
    pub fn split(&self) -> Vec<Self> {
        let parts = self.bytes.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        parts
            .filter(|part| !part.is_empty())
            .map(|part| Self { bytes: part.to_vec(), span: self.span })
            .collect()
    }
}

impl Section {
    /// An empty section that stood in no file.
    #[must_use]
    pub fn new() -> Self {
        Self { span: Span::NOWHERE, ..Self::default() }
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key)
    }

    /// The value of that name.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        match self.entries.get(key)? {
            Node::Value(value) => Some(value),
            Node::List(_) | Node::Section(_) => None,
        }
    }

    /// The section of that name.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Self> {
        match self.entries.get(key)? {
            Node::Section(section) => Some(section),
            Node::Value(_) | Node::List(_) => None,
        }
    }

    /// The items of that name: of a list, or of a comma-separated value.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<Vec<Value>> {
        match self.entries.get(key)? {
            Node::List(items) => Some(items.clone()),
            Node::Value(value) => Some(value.split()),
            Node::Section(_) => None,
        }
    }

    /// All sections in order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.entries.iter().filter_map(|(name, node)| match node {
            Node::Section(section) => Some((name.as_str(), section)),
            Node::Value(_) | Node::List(_) => None,
        })
    }

    /// All values in order.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().filter_map(|(name, node)| match node {
            Node::Value(value) => Some((name.as_str(), value)),
            Node::Section(_) | Node::List(_) => None,
        })
    }

    /// Puts an entry; one of that name is replaced where it stands.
    pub fn insert(&mut self, key: impl Into<String>, node: Node) -> Option<Node> {
        self.entries.insert(key.into(), node)
    }

    /// The value at a path with dots, `plugins.vici.socket`.
    #[must_use]
    pub fn lookup(&self, path: &str) -> Option<&Value> {
        match path.rsplit_once('.') {
            Some((holder, key)) => self.lookup_section(holder)?.value(key),
            None => self.value(path),
        }
    }

    /// The section at a path with dots.
    #[must_use]
    pub fn lookup_section(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |at, name| at.section(name))
    }

    /// Sets the value at a path with dots; makes sections on the way, replaces what is none.
    pub fn set(&mut self, path: &str, value: Value) {
        match path.split_once('.') {
            None => {
                self.insert(path, Node::Value(value));
            }
            Some((name, rest)) => {
                if self.section(name).is_none() {
                    self.insert(name, Node::Section(Self::new()));
                }
                if let Some(Node::Section(inner)) = self.entries.get_mut(name) {
                    inner.set(rest, value);
                }
            }
        }
    }

    /// Where a key stood; [`Span::NOWHERE`] if that is not known.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Span {
        self.key_spans.get(key).copied().unwrap_or(Span::NOWHERE)
    }

    /// Has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_dots() {
        let mut root = Section::new();
        root.set("charon.plugins.vici.socket", Value::new("unix:///a"));
        root.set("charon.port", Value::new("0"));
        root.set("charon.port", Value::new("500"));
        assert_eq!(root.lookup("charon.plugins.vici.socket"), Some(&Value::new("unix:///a")));
        assert_eq!(root.lookup("charon.port").unwrap().as_text(), Some("500"));
        assert_eq!(root.lookup("charon.plugins"), None);
        assert_eq!(root.lookup_section("charon.plugins").unwrap().sections().count(), 1);
    }

    #[test]
    fn debugging_shows_no_secrets() {
        let mut root = Section::new();
        root.set("ike.secret", Value::new("hush"));
        root.set("ike.id", Value::new("moon"));
        assert_eq!(format!("{root:?}"), r#"{"ike": {"secret": …, "id": "moon"}}"#);
    }

    #[test]
    fn lists_lose_what_is_empty() {
        let items: Vec<Vec<u8>> = Value::new("a b , ,c,").split().into_iter().map(|v| v.bytes).collect();
        assert_eq!(items, [b"a b".to_vec(), b"c".to_vec()]);
    }
}
