//! Errors and warnings with the place they are about, and the line under it.
use crate::grammar::Sources;
use crate::tree::Span;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// What it is about was not loaded.
    Error,
    /// Loaded; the operator should look.
    Warning,
}

/// Something to tell the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How bad.
    pub severity: Severity,
    /// What is wrong, one line, without the place.
    pub message: String,
    /// Path of the key, `connections.home.version`; may be empty.
    pub path: String,
    /// Place in a file; [`Span::NOWHERE`] for vici messages.
    pub span: Span,
    /// What to do about it.
    pub hint: Option<String>,
    /// A second place, and what it has to do with this.
    pub related: Option<Box<(Span, String)>>,
    /// The line holds a secret: it is never shown.
    pub secret: bool,
}

impl Report {
    /// An error.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            path: String::new(),
            span: Span::NOWHERE,
            hint: None,
            related: None,
            secret: false,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Is an error, not a warning.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Says where.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// Says which key.
    #[must_use]
    pub fn key(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Points to a second place.
    #[must_use]
    pub fn label(self, span: Span, text: impl Into<String>) -> Self {
        Self { related: Some(Box::new((span, text.into()))), ..self }
    }

    /// Keeps the line from being shown.
    #[must_use]
    pub fn hide_line(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Several lines: what, `file:line:column`, the line itself with a mark below, and the hint. Without colours.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let Some((source, (name, line, column))) = sources.get(self.span).zip(sources.position(self.span))
        else {
            return format!("{self}\n");
        };
        if self.secret {
            let word = if self.is_error() { "error" } else { "warning" };
            return format!("{word}: {name}:{line}:{column}: {}\n", self.text());
        }
        let place = |span: Span| {
            let start = usize::try_from(span.start).unwrap_or(0).min(source.text.len());
            let end = usize::try_from(span.end).unwrap_or(0).min(source.text.len());
            start..end.max(start)
        };
        let mut snippet = Snippet::source(source.text.as_str())
            .path(name)
            .annotation(AnnotationKind::Primary.span(place(self.span)));
        if let Some((span, text)) = self.related.as_deref()
            && span.file == self.span.file
        {
            snippet = snippet.annotation(AnnotationKind::Context.span(place(*span)).label(text.as_str()));
        }
        let mut group: Group<'_> = level.primary_title(self.titled()).element(snippet);
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        format!("{}\n", Renderer::plain().render(&[group]))
    }

    /// One line with the place, for logs: `file:line:column: path: message`.
    #[must_use]
    pub fn line(&self, sources: &Sources) -> String {
        match sources.position(self.span) {
            Some((name, line, column)) => format!("{name}:{line}:{column}: {}", self.text()),
            None => self.text(),
        }
    }

    /// One line without severity and place, as for a vici `errmsg`: `path: message (hint)`.
    #[must_use]
    pub fn text(&self) -> String {
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}{hint}", self.titled())
    }

    fn titled(&self) -> String {
        if self.path.is_empty() { self.message.clone() } else { format!("{}: {}", self.path, self.message) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_error() { "error" } else { "warning" };
        write!(f, "{word}: {}", self.text())
    }
}

impl std::error::Error for Report {}

/// The known word closest to a mistyped one, if it is close enough to be meant.
#[must_use]
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|k| (distance(word, k), k));
    distances.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// Edits from one word to the other: letters put in, left out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&row, j) + usize::from(x != y);
            let mut best = changed.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_for_slips_of_the_finger() {
        let known = ["remote_addrs", "local_addrs", "version", "unique", "encap"];
        assert_eq!(closest("remote_adrs", known), Some("remote_addrs"));
        assert_eq!(closest("verison", known), Some("version"));
        assert_eq!(closest("left", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_line_is_shown_unless_it_holds_a_secret() {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", b"x = 1\nb\xe4h = 0xzz\x1b\n");
        let report = Report::error("no").key("x").at(Span { file, start: 6, end: 9 }).hint("do");
        assert_eq!(
            report.render(&sources),
            "error: x: no\n --> a.conf:2:1\n  |\n2 | b?h = 0xzz?\n  | ^^^\n  |\n  = help: do\n"
        );
        assert_eq!(report.line(&sources), "a.conf:2:1: x: no (do)");
        assert_eq!(report.clone().hide_line().render(&sources), "error: a.conf:2:1: x: no (do)\n");
        assert_eq!(report.at(Span::NOWHERE).render(&sources), "error: x: no (do)\n");
    }
}
