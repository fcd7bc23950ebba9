//! The tree that configuration files, vici messages and settings share.
use indexmap::IndexMap;

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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

/// A section: ordered, keys unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Entries in order.
    pub entries: IndexMap<String, Node>,
    /// Where its name stood.
    pub span: Span,
    /// Where each key stood.
    pub key_spans: IndexMap<String, Span>,
}
