//! Text → statements, spans kept: the grammar of strongswan.conf and swanctl.conf.
//!
//! ```text
//! file      = { statement }
//! statement = name "{" { statement } "}"
//!           | name ":" path { "," path } "{" { statement } "}"
//!           | name "=" value
//!           | "include" word
//! path      = name { "." name }
//! name      = any characters but  . , : { } = " #  and white space
//! value     = { word | quoted }, up to the end of the line, "#" or "}"; joined by one space; may be empty
//! quoted    = '"' { any | escape } '"', over any number of lines
//! escape    = "\n" | "\r" | "\t" | "\" newline (nothing) | "\" any (that character)
//! ```
//!
//! `#` starts a comment up to the end of the line. What the documentation leaves open was learned by asking a running
//! swanctl. Beyond it, a byte order mark at the start is skipped.

use crate::report::Report;
use crate::tree::{Span, Value};
use winnow::ascii::take_escaped;
use winnow::error::EmptyError;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::{self, none_of, take_till, take_while};
use winnow::{ModalResult, Parser};

/// Sections may nest this deep in one file.
pub const MAX_DEPTH: usize = 64;

type Input<'a> = LocatingSlice<&'a [u8]>;

/// The files that were read; spans point into them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path or other name, for messages.
    pub name: String,
    /// The text as it can be shown: bytes that are no UTF-8, and control characters, are `?`, at the same offsets.
    pub text: String,
}

impl Sources {
    /// Adds a file and gives its number.
    pub fn add(&mut self, name: impl Into<String>, text: &[u8]) -> u32 {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1);
        self.files.push(Source { name: name.into(), text: printable(text) });
        number
    }

    /// The file a span points into.
    #[must_use]
    pub fn get(&self, span: Span) -> Option<&Source> {
        self.files.get(usize::try_from(span.file).ok()?)
    }

    /// File name, line and column of the start of a span, both from 1; the column counts characters.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<(&str, usize, usize)> {
        let source = self.get(span)?;
        let before = source.text.get(..usize::try_from(span.start).ok()?)?;
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some((&source.name, line, column))
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No file was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Names of the files in order of reading.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|f| f.name.as_str())
    }
}

/// Keeps offsets: every byte that cannot be shown becomes one `?`.
fn printable(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\n' && c != '\t' {
                out.extend(std::iter::repeat_n('?', c.len_utf8()));
            } else {
                out.push(c);
            }
        }
        out.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    out
}

/// A name and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name; of a reference, with its dots.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `key = value`; no value means unset.
    Value(Name, Option<Value>),
    /// `name : references { … }`.
    Section(Name, Vec<Name>, Vec<Self>),
    /// `include pattern`.
    Include(Value),
}

/// Reads one file; includes are not followed. Total: any bytes give statements or a report.
///
/// # Errors
/// The first place where the text is not in the grammar.
pub fn parse(file: u32, text: &[u8]) -> Result<Vec<Statement>, Report> {
    let text = text.get(..usize::try_from(u32::MAX).unwrap_or(usize::MAX)).unwrap_or(text);
    let mut parser = Grammar { file, input: LocatingSlice::new(text) };
    if parser.input.starts_with(b"\xef\xbb\xbf") {
        parser.input.next_slice(3);
    }
    let mut open: Vec<(Name, Vec<Name>, Vec<Statement>)> = Vec::new();
    let mut statements = Vec::new();
    loop {
        parser.blank();
        let Some(byte) = parser.peek() else { break };
        if byte == b'}' {
            let Some((name, references, outer)) = open.pop() else {
                return Err(parser
                    .unexpected("a name or the end of the file")
                    .hint("there is no open section here"));
            };
            parser.skip();
            let inner = std::mem::replace(&mut statements, outer);
            statements.push(Statement::Section(name, references, inner));
            continue;
        }
        let name =
            parser.name(if open.is_empty() { "a name or the end of the file" } else { "a name or `}`" })?;
        parser.blank();
        match parser.peek() {
            Some(b'=') => {
                parser.skip();
                let value = parser.value()?;
                statements.push(Statement::Value(name, value));
            }
            Some(b'{') => {
                parser.open(&mut open, name, Vec::new(), &mut statements)?;
            }
            Some(b':') => {
                parser.skip();
                let references = parser.references()?;
                parser.open(&mut open, name, references, &mut statements)?;
            }
            Some(_) if name.text == "include" => {
                let pattern = parser.word()?.ok_or_else(|| parser.unexpected("the name of a file"))?;
                statements.push(Statement::Include(pattern));
            }
            _ => return Err(parser.unexpected("`=`, `{` or `:`").label(name.span, "after this name")),
        }
    }
    match open.pop() {
        None => Ok(statements),
        Some((name, ..)) => {
            let message = format!("section `{}` is not closed", name.text);
            Err(Report::error(message).at(name.span).hint("a `}` is missing at the end of the file"))
        }
    }
}

struct Grammar<'a> {
    file: u32,
    input: Input<'a>,
}

impl Grammar<'_> {
    fn offset(&self) -> usize {
        self.input.current_token_start()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { file: self.file, start: clip(start), end: clip(end) }
    }

    fn peek(&self) -> Option<u8> {
        self.input.peek_token()
    }

    fn skip(&mut self) {
        let _skipped = self.input.next_token();
    }

    fn blank(&mut self) {
        // Total: both parsers may match nothing.
        while let Ok(taken) = blank(&mut self.input) {
            if taken.is_empty() {
                break;
            }
        }
    }

    fn unexpected(&self, expected: &str) -> Report {
        let start = self.offset();
        let rest: &[u8] = &self.input;
        let len = rest.utf8_chunks().next().and_then(|c| c.valid().chars().next()).map_or(1, char::len_utf8);
        let found = match rest.first() {
            None => {
                return Report::error(format!("unexpected end of the file, expected {expected}"))
                    .at(self.span(start, start));
            }
            Some(b'\n' | b'\r') => "end of the line".to_owned(),
            Some(_) => format!("`{}`", printable(rest.get(..len).unwrap_or(rest))),
        };
        let report = Report::error(format!("unexpected {found}, expected {expected}"))
            .at(self.span(start, start + len));
        match rest.first() {
            Some(b'"') => report.hint("names of sections and keys are never quoted"),
            Some(b'.') => report.hint("names of sections and keys have no dots"),
            _ => report,
        }
    }

    fn name(&mut self, expected: &str) -> Result<Name, Report> {
        let start = self.offset();
        let Ok(bytes) = name(&mut self.input) else { return Err(self.unexpected(expected)) };
        let span = self.span(start, start + bytes.len());
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Name { text: text.to_owned(), span }),
            Err(_) => Err(Report::error("a name must be UTF-8").at(span)),
        }
    }

    fn references(&mut self) -> Result<Vec<Name>, Report> {
        let mut out = Vec::new();
        loop {
            self.blank();
            let mut path = self.name("the name of a section")?;
            while self.peek() == Some(b'.') {
                self.skip();
                let part = self.name("the name of a section")?;
                path.text = format!("{}.{}", path.text, part.text);
                path.span.end = part.span.end;
            }
            out.push(path);
            self.blank();
            if self.peek() != Some(b',') {
                return Ok(out);
            }
            self.skip();
        }
    }

    fn open(
        &mut self,
        open: &mut Vec<(Name, Vec<Name>, Vec<Statement>)>,
        name: Name,
        references: Vec<Name>,
        statements: &mut Vec<Statement>,
    ) -> Result<(), Report> {
        if self.peek() != Some(b'{') {
            return Err(self.unexpected("`,` or `{`"));
        }
        if open.len() == MAX_DEPTH {
            return Err(
                Report::error(format!("more than {MAX_DEPTH} sections inside of each other")).at(name.span)
            );
        }
        self.skip();
        open.push((name, references, std::mem::take(statements)));
        Ok(())
    }

    fn value(&mut self) -> Result<Option<Value>, Report> {
        let mut out: Option<Value> = None;
        while let Some(word) = self.word()? {
            match &mut out {
                None => out = Some(word),
                Some(value) => {
                    value.bytes.push(b' ');
                    value.bytes.extend(word.bytes);
                    value.span.end = word.span.end;
                }
            }
        }
        Ok(out)
    }

    /// The next word or quoted string on this line.
    fn word(&mut self) -> Result<Option<Value>, Report> {
        let _spaces = spaces(&mut self.input);
        let start = self.offset();
        match self.peek() {
            None | Some(b'\n' | b'\r' | b'}' | b'#') => Ok(None),
            Some(b'"') => {
                let Ok(raw) = quoted(&mut self.input) else {
                    let report = Report::error("this string is not closed").at(self.span(start, start + 1));
                    return Err(report.hint("a `\"` is missing; inside of strings, write `\\\"` for one"));
                };
                Ok(Some(Value { bytes: unescape(raw), span: self.span(start, self.offset()) }))
            }
            Some(_) => {
                let Ok(bytes) = word(&mut self.input) else { return Ok(None) };
                Ok(Some(Value { bytes: bytes.to_vec(), span: self.span(start, start + bytes.len()) }))
            }
        }
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn is_blank(b: u8) -> bool {
    is_space(b) || matches!(b, b'\n' | b'\r')
}

fn is_name(b: u8) -> bool {
    !is_blank(b) && !b".,:{}=\"#".contains(&b)
}

fn spaces<'a>(input: &mut Input<'a>) -> ModalResult<&'a [u8], EmptyError> {
    take_while(0.., is_space).parse_next(input)
}

/// White space, or a comment up to the end of its line; may be nothing.
fn blank<'a>(input: &mut Input<'a>) -> ModalResult<&'a [u8], EmptyError> {
    if input.peek_token() == Some(b'#') {
        return take_till(0.., [b'\n', b'\r']).parse_next(input);
    }
    take_while(0.., is_blank).parse_next(input)
}

fn name<'a>(input: &mut Input<'a>) -> ModalResult<&'a [u8], EmptyError> {
    take_while(1.., is_name).parse_next(input)
}

fn word<'a>(input: &mut Input<'a>) -> ModalResult<&'a [u8], EmptyError> {
    take_while(1.., |b| !is_blank(b) && !b"}#\"".contains(&b)).parse_next(input)
}

/// What stands between two quotes, escapes not yet resolved.
fn quoted<'a>(input: &mut Input<'a>) -> ModalResult<&'a [u8], EmptyError> {
    (b'"', take_escaped(none_of([b'\\', b'"']), '\\', token::any), b'"')
        .map(|(_, raw, _)| raw)
        .parse_next(input)
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(b) = rest.next() {
        match (b, b == b'\\') {
            (_, false) => out.push(b),
            (_, true) => match rest.next() {
                Some(b'n') => out.push(b'\n'),
                Some(b'r') => out.push(b'\r'),
                Some(b't') => out.push(b'\t'),
                Some(b'\n') | None => {}
                Some(other) => out.push(other),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests;
