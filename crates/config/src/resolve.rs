//! Files → one tree: includes, sections that extend earlier ones, inheritance (`section : other { … }`).
use crate::grammar::{Name, Sources, Statement, parse};
use crate::report::Report;
use crate::tree::{Node, Section, Span, Value};
use indexmap::{IndexMap, IndexSet};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Includes may nest this deep.
pub const MAX_INCLUDES: usize = 16;
/// Files that one configuration may consist of.
pub const MAX_FILES: usize = 4096;
/// Sections that a small configuration may expand to (inheritance multiplies); each one written adds 100.
pub const MAX_SECTIONS: usize = 100_000;

/// Gives files to the reader: the disk, or a map in tests.
pub trait Loader {
    /// The bytes of a file.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The paths that match a shell pattern, sorted. A path without wildcards matches itself if it exists.
    ///
    /// # Errors
    /// A pattern that is none.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Loader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let bad = |e: glob::PatternError| io::Error::new(io::ErrorKind::InvalidInput, e.msg);
        let pattern = pattern.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let options =
            glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
        glob::glob_with(pattern, options).map_err(bad)?.map(|entry| entry.map_err(io::Error::from)).collect()
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The tree, everything inherited in place.
    pub root: Section,
    /// The files it came from.
    pub sources: Sources,
    /// What the operator should look at.
    pub warnings: Vec<Report>,
}

/// What went wrong, with the files to show it in.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The errors (and warnings found on the way).
    pub reports: Vec<Report>,
    /// The files read so far.
    pub sources: Sources,
}

impl LoadError {
    /// All reports, rendered with their lines.
    #[must_use]
    pub fn render(&self) -> String {
        self.reports.iter().map(|r| r.render(&self.sources)).collect()
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.reports.iter().map(|r| r.line(&self.sources)).collect();
        f.write_str(&lines.join("; "))
    }
}

impl std::error::Error for LoadError {}

/// Reads a file and all it includes.
///
/// # Errors
/// The file or an included one cannot be read or is not in the grammar, or a bound above is exceeded.
pub fn load(loader: &dyn Loader, path: &Path) -> Result<Loaded, LoadError> {
    let mut reader = Reader { loader, sources: Sources::default(), warnings: Vec::new() };
    let mut root = Raw::default();
    let result = match loader.read(path) {
        Ok(text) => reader.file(path, &text, &mut root, 0),
        Err(error) => Err(Report::error(format!("cannot read {}: {error}", path.display()))),
    };
    reader.finish(result, &root)
}

/// Reads text without a file; relative includes are looked up from `directory`.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    loader: &dyn Loader,
    name: &str,
    directory: &Path,
    text: &[u8],
) -> Result<Loaded, LoadError> {
    let mut reader = Reader { loader, sources: Sources::default(), warnings: Vec::new() };
    let mut root = Raw::default();
    let result = reader.text(name, directory, text, &mut root, 0);
    reader.finish(result, &root)
}

/// A section as written, before inheritance.
#[derive(Debug, Default)]
struct Raw {
    span: Span,
    references: Vec<Name>,
    /// `None`: unset, which hides an inherited value.
    values: IndexMap<String, (Span, Option<Value>)>,
    sections: IndexMap<String, Self>,
}

impl Raw {
    /// Sections written in it. Files nest no deeper than [`MAX_DEPTH`](crate::grammar::MAX_DEPTH) each.
    fn count(&self) -> usize {
        self.sections.values().map(|section| section.count().saturating_add(1)).sum()
    }
}

struct Reader<'a> {
    loader: &'a dyn Loader,
    sources: Sources,
    warnings: Vec<Report>,
}

impl Reader<'_> {
    fn finish(mut self, result: Result<(), Report>, root: &Raw) -> Result<Loaded, LoadError> {
        let resolved = result.and_then(|()| Resolver::new(root, &mut self.warnings).resolve());
        match resolved {
            Ok(root) => Ok(Loaded { root, sources: self.sources, warnings: self.warnings }),
            Err(report) => {
                let mut reports = self.warnings;
                reports.push(report);
                Err(LoadError { reports, sources: self.sources })
            }
        }
    }

    fn file(&mut self, path: &Path, text: &[u8], into: &mut Raw, depth: usize) -> Result<(), Report> {
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        self.text(&path.display().to_string(), &directory, text, into, depth)
    }

    fn text(
        &mut self,
        name: &str,
        directory: &Path,
        text: &[u8],
        into: &mut Raw,
        depth: usize,
    ) -> Result<(), Report> {
        let file = self.sources.add(name, text);
        let statements = parse(file, text)?;
        self.statements(statements, directory, into, depth)
    }

    fn statements(
        &mut self,
        statements: Vec<Statement>,
        directory: &Path,
        into: &mut Raw,
        depth: usize,
    ) -> Result<(), Report> {
        for statement in statements {
            match statement {
                Statement::Value(name, value) => {
                    into.values.insert(name.text, (name.span, value));
                }
                Statement::Section(name, references, inner) => {
                    let section = into.sections.entry(name.text).or_default();
                    section.span = name.span;
                    section.references.extend(references);
                    self.statements(inner, directory, section, depth)?;
                }
                Statement::Include(pattern) => self.include(&pattern, directory, into, depth)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        pattern: &Value,
        directory: &Path,
        into: &mut Raw,
        depth: usize,
    ) -> Result<(), Report> {
        let error = |message: String| Report::error(message).at(pattern.span);
        let Some(text) = pattern.as_text() else {
            return Err(error("the name of an included file must be UTF-8".into()));
        };
        if depth == MAX_INCLUDES {
            return Err(error(format!("more than {MAX_INCLUDES} files included by each other")));
        }
        // An absolute path replaces the directory.
        let wanted = directory.join(text);
        let paths = self
            .loader
            .glob(&wanted)
            .map_err(|e| error(format!("cannot look for `{}`: {e}", wanted.display())))?;
        if paths.is_empty() && !text.contains(['*', '?', '[']) {
            let message = format!("there is no file `{}`", wanted.display());
            self.warnings.push(Report::warning(message).at(pattern.span));
        }
        for path in paths {
            if self.sources.len() == MAX_FILES {
                return Err(error(format!("more than {MAX_FILES} included files")));
            }
            let text =
                self.loader.read(&path).map_err(|e| error(format!("cannot read {}: {e}", path.display())))?;
            self.file(&path, &text, into, depth + 1)?;
        }
        Ok(())
    }
}

struct Resolver<'a> {
    root: &'a Raw,
    count: usize,
    limit: usize,
    warnings: &'a mut Vec<Report>,
}

impl<'a> Resolver<'a> {
    fn new(root: &'a Raw, warnings: &'a mut Vec<Report>) -> Self {
        let limit = MAX_SECTIONS.saturating_add(root.count().saturating_mul(100));
        Self { root, count: 0, limit, warnings }
    }

    fn resolve(mut self) -> Result<Section, Report> {
        self.section(&[self.root], &[])
    }

    /// One section out of the raw ones it consists of: its own first, then those it inherits from. Its own entries
    /// come first in order, and the first value of a name wins, even if that unsets it.
    fn section(&mut self, parts: &[&'a Raw], above: &[&'a Raw]) -> Result<Section, Report> {
        let span = parts.first().map_or(Span::NOWHERE, |raw| raw.span);
        self.count += 1;
        if self.count > self.limit {
            let message = format!("inheritance makes more than {} sections", self.limit);
            return Err(Report::error(message).at(span));
        }
        let mut out = Section { span, ..Section::default() };
        let mut unset: BTreeSet<&str> = BTreeSet::new();
        let mut names: IndexSet<&str> = IndexSet::new();
        for raw in parts {
            for (key, (key_span, value)) in &raw.values {
                if out.entries.contains_key(key) || unset.contains(key.as_str()) {
                    continue;
                }
                match value {
                    None => {
                        unset.insert(key);
                    }
                    Some(value) => {
                        out.entries.insert(key.clone(), Node::Value(value.clone()));
                        out.key_spans.insert(key.clone(), *key_span);
                    }
                }
            }
            names.extend(raw.sections.keys().map(String::as_str));
        }
        let above: Vec<&'a Raw> = above.iter().chain(parts).copied().collect();
        for name in names {
            let mut inner: Vec<&'a Raw> = Vec::new();
            for raw in parts.iter().filter_map(|raw| raw.sections.get(name)) {
                // A section that inherits from one that it stands in does not contain itself once more.
                for part in self.expand(raw, &mut Vec::new()) {
                    let known = inner.iter().chain(&above).any(|other| std::ptr::eq(*other, part));
                    if !known {
                        inner.push(part);
                    }
                }
            }
            let section = self.section(&inner, &above)?;
            if let Some(Node::Value(value)) = out.entries.get(name) {
                let message = format!("`{name}` is a value and a section");
                return Err(Report::error(message).at(section.span).label(value.span, "the value"));
            }
            out.key_spans.insert(name.to_owned(), section.span);
            out.entries.insert(name.to_owned(), Node::Section(section));
        }
        Ok(out)
    }

    /// A raw section and all it inherits from, nearest first, none twice.
    fn expand(&mut self, raw: &'a Raw, open: &mut Vec<&'a Raw>) -> Vec<&'a Raw> {
        let mut out = vec![raw];
        if open.iter().any(|other| std::ptr::eq(*other, raw)) {
            return out;
        }
        open.push(raw);
        for reference in &raw.references {
            let found = self.find(reference, open);
            if found.is_empty() {
                let report =
                    Report::warning(format!("there is no section `{}`", reference.text)).at(reference.span);
                if !self.warnings.contains(&report) {
                    self.warnings.push(report);
                }
            }
            for part in found {
                if !out.iter().any(|other| std::ptr::eq(*other, part)) {
                    out.push(part);
                }
            }
        }
        open.pop();
        out
    }

    fn find(&mut self, reference: &Name, open: &mut Vec<&'a Raw>) -> Vec<&'a Raw> {
        let mut parts = vec![self.root];
        for name in reference.text.split('.') {
            let mut next: Vec<&'a Raw> = Vec::new();
            for raw in parts.iter().filter_map(|raw| raw.sections.get(name)) {
                for part in self.expand(raw, open) {
                    if !next.iter().any(|other| std::ptr::eq(*other, part)) {
                        next.push(part);
                    }
                }
            }
            parts = next;
        }
        parts
    }
}

#[cfg(test)]
mod tests;
