//! Reads a command line as getopt_long does: unique prefixes of long names, values attached or apart, short options
//! run together, options and other words in any order.

/// An option.
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: char,
    pub(crate) value: bool,
    pub(crate) about: &'static str,
}

/// An option with a value.
pub(crate) const fn value(long: &'static str, short: char, about: &'static str) -> Opt {
    Opt { long, short, value: true, about }
}

/// An option without a value.
pub(crate) const fn flag(long: &'static str, short: char, about: &'static str) -> Opt {
    Opt { long, short, value: false, about }
}

/// What was given, in order.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    given: Vec<(&'static str, Option<&'a str>)>,
    others: Vec<&'a str>,
}

impl<'a> Parsed<'a> {
    pub(crate) fn value(&self, long: &str) -> Option<&'a str> {
        self.given.iter().rev().find(|(name, _)| *name == long).and_then(|(_, value)| *value)
    }

    pub(crate) fn has(&self, long: &str) -> bool {
        self.given.iter().any(|(name, _)| *name == long)
    }

    /// Every option and its value, in the order given.
    pub(crate) fn given(&self) -> &[(&'static str, Option<&'a str>)] {
        &self.given
    }

    /// Words that are no options.
    pub(crate) fn others(&self) -> &[&'a str] {
        &self.others
    }

    /// The values of an option that may be given several times.
    pub(crate) fn values<'s>(&'s self, long: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.given.iter().filter(move |(name, _)| *name == long).filter_map(|(_, value)| *value)
    }
}

/// The one name a prefix stands for; an exact name wins over longer ones.
pub(crate) fn complete(prefix: &str, names: &[&'static str]) -> Result<&'static str, String> {
    if let Some(exact) = names.iter().find(|name| **name == prefix) {
        return Ok(exact);
    }
    let fitting: Vec<&'static str> = names.iter().filter(|name| name.starts_with(prefix)).copied().collect();
    match fitting[..] {
        [one] => Ok(one),
        [] => Err(format!("unrecognized option '--{prefix}'")),
        _ => {
            let all: Vec<String> = fitting.iter().map(|name| format!("'--{name}'")).collect();
            Err(format!("option '--{prefix}' is ambiguous; possibilities: {}", all.join(" ")))
        }
    }
}

/// Replaces `--options FILE` by the words in the file.
pub(crate) fn expand(words: &[String]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(file) = word.strip_prefix("--options=") {
            out.extend(words_of(file)?);
        } else if word == "--options" || word == "-+" {
            let file = words.next().ok_or_else(|| format!("option '{word}' requires an argument"))?;
            out.extend(words_of(file)?);
        } else {
            out.push(word.clone());
        }
    }
    Ok(out)
}

/// The words of a file: apart by blanks or line ends, quotes hold them together, `#` begins a comment.
pub(crate) fn words_of(file: &str) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("reading options from '{file}': {error}"))?;
    let mut words = Vec::new();
    for line in text.lines() {
        words.extend(words_in(line).map_err(|error| format!("reading options from '{file}': {error}"))?);
    }
    Ok(words)
}

/// The words of one such line.
pub(crate) fn words_in(line: &str) -> Result<Vec<String>, &'static str> {
    if line.trim_start().starts_with('#') {
        return Ok(Vec::new());
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

/// Reads the options of a command, and those that it shares with others.
pub(crate) fn parse<'a>(
    words: &'a [String],
    options: &'static [Opt],
    shared: &'static [Opt],
) -> Result<Parsed<'a>, String> {
    let known: Vec<&'static Opt> = options.iter().chain(shared).collect();
    let names: Vec<&'static str> = known.iter().map(|option| option.long).collect();
    let mut parsed = Parsed { given: Vec::new(), others: Vec::new() };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.others.extend(words.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            let (prefix, attached) = match long.split_once('=') {
                Some((prefix, value)) => (prefix, Some(value)),
                None => (long, None),
            };
            let name = complete(prefix, &names)?;
            let takes = known.iter().any(|option| option.long == name && option.value);
            let value = match (takes, attached) {
                (true, Some(value)) => Some(value),
                (true, None) => {
                    Some(words.next().ok_or_else(|| format!("option '--{name}' requires an argument"))?)
                }
                (false, None) => None,
                (false, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
            };
            parsed.given.push((name, value));
        } else if let Some(mut letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            while let Some(letter) = letters.chars().next() {
                letters = &letters[letter.len_utf8()..];
                let option = known
                    .iter()
                    .find(|option| option.short == letter)
                    .ok_or_else(|| format!("invalid option -- '{letter}'"))?;
                if !option.value {
                    parsed.given.push((option.long, None));
                    continue;
                }
                let value = match letters {
                    "" => words.next().ok_or_else(|| format!("option requires an argument -- '{letter}'"))?,
                    attached => attached,
                };
                parsed.given.push((option.long, Some(value)));
                break;
            }
        } else {
            parsed.others.push(word);
        }
    }
    Ok(parsed)
}
