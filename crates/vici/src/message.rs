//! Bytes to tree and back.
//!
//! A message is a flat run of elements; sections open and close, lists open, hold items and close:
//!
//! ```text
//! SECTION_START  1  u8 length, name
//! SECTION_END    2
//! KEY_VALUE      3  u8 length, name, u16 length, value
//! LIST_START     4  u8 length, name
//! LIST_ITEM      5  u16 length, value
//! LIST_END       6
//! ```
use config::tree::{Node, Section, Span, Value};
use indexmap::map::Entry;
use std::fmt::Display;

/// How deep sections may nest. No message in use goes beyond five.
pub const MAX_DEPTH: usize = 64;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// Why bytes are no message, or a tree cannot be sent as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes end inside an element.
    #[error("message ends inside an element")]
    Truncated,
    /// An element type that vici does not have.
    #[error("unknown element type {0}")]
    UnknownElement(u8),
    /// An element where it may not stand, such as a list item outside a list.
    #[error("{0} where it may not stand")]
    Misplaced(&'static str),
    /// A section or list is still open at the end.
    #[error("section or list not closed")]
    Unclosed,
    /// A name occurs twice in one section.
    #[error("name '{0}' occurs twice in one section")]
    Duplicate(String),
    /// Sections nest deeper than [`MAX_DEPTH`].
    #[error("sections nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A name is not UTF-8.
    #[error("a name is not text")]
    NameNotText,
    /// A name does not fit its length byte.
    #[error("name of {0} bytes is longer than 255")]
    NameTooLong(usize),
    /// A value does not fit its length field.
    #[error("value of '{0}' is longer than 65535 bytes")]
    ValueTooLong(String),
    /// The message does not fit into a frame.
    #[error("message of {0} bytes does not fit a frame of {max} bytes", max = crate::packet::MAX_BODY)]
    TooLong(usize),
}

/// The place of what came over a socket: no file.
const NOWHERE: Span = Span { file: u32::MAX, start: 0, end: 0 };

/// Reads a message.
///
/// # Errors
/// Whatever makes the bytes no message; nothing is guessed.
pub fn decode(bytes: &[u8]) -> Result<Section, MessageError> {
    let mut input = Input { rest: bytes };
    // The section being filled, and those around it with the name each will get in its parent.
    let mut current = empty();
    let mut outer: Vec<(Section, String)> = Vec::new();
    while let Some(element) = input.next_byte() {
        match element {
            SECTION_START => {
                let name = input.name()?;
                if outer.len() >= MAX_DEPTH {
                    return Err(MessageError::TooDeep);
                }
                if current.entries.contains_key(&name) {
                    return Err(MessageError::Duplicate(name));
                }
                outer.push((std::mem::replace(&mut current, empty()), name));
            }
            SECTION_END => {
                let (parent, name) = outer.pop().ok_or(MessageError::Misplaced("section end"))?;
                let done = std::mem::replace(&mut current, parent);
                insert(&mut current, name, Node::Section(done))?;
            }
            KEY_VALUE => {
                let name = input.name()?;
                let value = input.value()?;
                insert(&mut current, name, Node::Value(value))?;
            }
            LIST_START => {
                let name = input.name()?;
                let items = input.list()?;
                insert(&mut current, name, Node::List(items))?;
            }
            LIST_ITEM => return Err(MessageError::Misplaced("list item")),
            LIST_END => return Err(MessageError::Misplaced("list end")),
            other => return Err(MessageError::UnknownElement(other)),
        }
    }
    if outer.is_empty() { Ok(current) } else { Err(MessageError::Unclosed) }
}

/// Writes a message.
///
/// # Errors
/// When the tree has a name, value, depth or size that the format cannot carry.
pub fn encode(message: &Section) -> Result<Vec<u8>, MessageError> {
    let mut out = Vec::new();
    write_section(message, &mut out, 0)?;
    if out.len() > crate::packet::MAX_BODY {
        return Err(MessageError::TooLong(out.len()));
    }
    Ok(out)
}

fn write_section(section: &Section, out: &mut Vec<u8>, depth: usize) -> Result<(), MessageError> {
    if depth > MAX_DEPTH {
        return Err(MessageError::TooDeep);
    }
    for (name, node) in &section.entries {
        match node {
            Node::Value(value) => {
                out.push(KEY_VALUE);
                write_name(name, out)?;
                write_value(name, value, out)?;
            }
            Node::List(items) => {
                out.push(LIST_START);
                write_name(name, out)?;
                for item in items {
                    out.push(LIST_ITEM);
                    write_value(name, item, out)?;
                }
                out.push(LIST_END);
            }
            Node::Section(inner) => {
                out.push(SECTION_START);
                write_name(name, out)?;
                write_section(inner, out, depth.saturating_add(1))?;
                out.push(SECTION_END);
            }
        }
    }
    Ok(())
}

fn write_name(name: &str, out: &mut Vec<u8>) -> Result<(), MessageError> {
    let len = u8::try_from(name.len()).map_err(|_| MessageError::NameTooLong(name.len()))?;
    out.push(len);
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

fn write_value(name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), MessageError> {
    let len = u16::try_from(value.bytes.len()).map_err(|_| MessageError::ValueTooLong(name.to_owned()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&value.bytes);
    Ok(())
}

fn insert(section: &mut Section, name: String, node: Node) -> Result<(), MessageError> {
    match section.entries.entry(name) {
        Entry::Vacant(slot) => {
            slot.insert(node);
            Ok(())
        }
        Entry::Occupied(slot) => Err(MessageError::Duplicate(slot.key().clone())),
    }
}

fn empty() -> Section {
    Section { span: NOWHERE, ..Section::default() }
}

/// What is left to read.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn next_byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(MessageError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn name(&mut self) -> Result<String, MessageError> {
        let len = self.next_byte().ok_or(MessageError::Truncated)?;
        let bytes = self.take(usize::from(len))?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| MessageError::NameNotText)
    }

    fn value(&mut self) -> Result<Value, MessageError> {
        let (len, rest) = self.rest.split_first_chunk::<2>().ok_or(MessageError::Truncated)?;
        let len = usize::from(u16::from_be_bytes(*len));
        self.rest = rest;
        Ok(Value { bytes: self.take(len)?.to_vec(), span: NOWHERE })
    }

    fn list(&mut self) -> Result<Vec<Value>, MessageError> {
        let mut items = Vec::new();
        loop {
            match self.next_byte().ok_or(MessageError::Unclosed)? {
                LIST_ITEM => items.push(self.value()?),
                LIST_END => return Ok(items),
                SECTION_START | SECTION_END | KEY_VALUE | LIST_START => {
                    return Err(MessageError::Misplaced("an element that is no list item"));
                }
                other => return Err(MessageError::UnknownElement(other)),
            }
        }
    }
}

/// Builds and reads messages field by field.
pub trait Message {
    /// Sets `key` to the text of `value`, replacing what was there.
    fn put(&mut self, key: &str, value: impl Display) -> &mut Self;
    /// Sets `key` to raw bytes.
    fn put_bytes(&mut self, key: &str, value: impl Into<Vec<u8>>) -> &mut Self;
    /// Sets `key` to `yes` or `no`.
    fn put_bool(&mut self, key: &str, value: bool) -> &mut Self;
    /// Sets `key` to a list; an empty list is sent as one.
    fn put_list<T: Display>(&mut self, key: &str, items: impl IntoIterator<Item = T>) -> &mut Self;
    /// Sets `key` to a section.
    fn put_section(&mut self, key: &str, section: Section) -> &mut Self;
    /// The value of `key` as text. `None`: absent, no value, or not UTF-8.
    fn text(&self, key: &str) -> Option<&str>;
    /// The value of `key` as bytes.
    fn bytes(&self, key: &str) -> Option<&[u8]>;
    /// Whether the value of `key` is `yes`.
    fn is_yes(&self, key: &str) -> bool;
    /// The value of `key` as a decimal number.
    fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N>;
    /// The items of the list `key` that are text; empty when there is no such list.
    fn items(&self, key: &str) -> Vec<&str>;
    /// The section `key`.
    fn child(&self, key: &str) -> Option<&Section>;
    /// All sections in order.
    fn children(&self) -> impl Iterator<Item = (&str, &Section)>;
}

impl Message for Section {
    fn put(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.put_bytes(key, value.to_string())
    }

    fn put_bytes(&mut self, key: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        let value = Value { bytes: value.into(), span: NOWHERE };
        self.entries.insert(key.to_owned(), Node::Value(value));
        self
    }

    fn put_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.put(key, if value { "yes" } else { "no" })
    }

    fn put_list<T: Display>(&mut self, key: &str, items: impl IntoIterator<Item = T>) -> &mut Self {
        let items = items
            .into_iter()
            .map(|item| Value { bytes: item.to_string().into_bytes(), span: NOWHERE })
            .collect();
        self.entries.insert(key.to_owned(), Node::List(items));
        self
    }

    fn put_section(&mut self, key: &str, section: Section) -> &mut Self {
        self.entries.insert(key.to_owned(), Node::Section(section));
        self
    }

    fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(Message::bytes(self, key)?).ok()
    }

    fn bytes(&self, key: &str) -> Option<&[u8]> {
        match self.entries.get(key)? {
            Node::Value(value) => Some(&value.bytes),
            Node::List(_) | Node::Section(_) => None,
        }
    }

    fn is_yes(&self, key: &str) -> bool {
        Message::text(self, key) == Some("yes")
    }

    fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        Message::text(self, key)?.parse().ok()
    }

    fn items(&self, key: &str) -> Vec<&str> {
        match self.entries.get(key) {
            Some(Node::List(items)) => {
                items.iter().filter_map(|item| std::str::from_utf8(&item.bytes).ok()).collect()
            }
            Some(Node::Value(_) | Node::Section(_)) | None => Vec::new(),
        }
    }

    fn child(&self, key: &str) -> Option<&Section> {
        match self.entries.get(key)? {
            Node::Section(section) => Some(section),
            Node::Value(_) | Node::List(_) => None,
        }
    }

    fn children(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.entries.iter().filter_map(|(name, node)| match node {
            Node::Section(section) => Some((name.as_str(), section)),
            Node::Value(_) | Node::List(_) => None,
        })
    }
}
