//! Reads a command line as getopt_long does: unique prefixes of long names, values attached or apart, short options
//! run together, options and other words in any order.
use super::format::Form;
use super::options::{COMMANDS, Command, Opt, SHARED};

/// What was given, in order.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    given: Vec<(&'static str, Option<&'a str>)>,
    /// `--raw` or `--pretty`.
    pub(super) form: Option<Form>,
}

impl<'a> Parsed<'a> {
    pub(super) fn value(&self, long: &str) -> Option<&'a str> {
        self.given.iter().rev().find(|(name, _)| *name == long).and_then(|(_, value)| *value)
    }

    pub(super) fn has(&self, long: &str) -> bool {
        self.given.iter().any(|(name, _)| *name == long)
    }
}

/// Which command a word names; `None` is `--help`.
pub(super) fn command(word: &str) -> Result<Option<&'static Command>, String> {
    if let Some(name) = word.strip_prefix("--") {
        let names: Vec<&'static str> =
            COMMANDS.iter().map(|command| command.long).chain(std::iter::once("help")).collect();
        let found = complete(name, &names)?;
        return Ok(COMMANDS.iter().find(|command| command.long == found));
    }
    match word.strip_prefix('-').map(|rest| rest.chars().collect::<Vec<_>>()).as_deref() {
        Some(['h']) => Ok(None),
        // What these two commands were called before strongSwan 6.
        Some(['v']) => by_letter('V').map(Some),
        Some(['u']) => by_letter('U').map(Some),
        Some([letter]) => by_letter(*letter).map(Some),
        Some([letter, ..]) => {
            Err(format!("'{word}': only one command at a time; -{letter} and its options go apart"))
        }
        _ => Err(format!("'{word}' is no command")),
    }
}

fn by_letter(letter: char) -> Result<&'static Command, String> {
    COMMANDS
        .iter()
        .find(|command| command.short == letter)
        .ok_or_else(|| format!("invalid option -- '{letter}'"))
}

/// The one name a prefix stands for; an exact name wins over longer ones.
fn complete(prefix: &str, names: &[&'static str]) -> Result<&'static str, String> {
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
pub(super) fn expand(words: &[String]) -> Result<Vec<String>, String> {
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
pub(super) fn words_of(file: &str) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("reading options from '{file}': {error}"))?;
    let mut words = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
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
            return Err(format!("reading options from '{file}': a quote is not closed"));
        }
        words.extend(word);
    }
    Ok(words)
}

/// Reads a command's options. Words that are none are ignored, as swanctl does.
pub(super) fn parse<'a>(words: &'a [String], options: &'static [Opt]) -> Result<Parsed<'a>, String> {
    let known: Vec<&'static Opt> = options.iter().chain(SHARED).collect();
    let names: Vec<&'static str> = known.iter().map(|option| option.long).collect();
    let mut parsed = Parsed { given: Vec::new(), form: None };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            break;
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
        }
    }
    parsed.form = parsed.given.iter().rev().find_map(|(name, _)| match *name {
        "raw" => Some(Form::Raw),
        "pretty" => Some(Form::Pretty),
        _ => None,
    });
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(long: &str) -> &'static [Opt] {
        COMMANDS.iter().find(|command| command.long == long).map(|command| command.options).unwrap()
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn parsed(long: &str, line: &str) -> Result<Vec<(String, Option<String>)>, String> {
        let words = words(line);
        parse(&words, options(long)).map(|parsed| {
            parsed.given.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
        })
    }

    #[test]
    fn commands_by_prefix_and_letter() {
        for (word, long) in [
            ("--list-sas", "list-sas"),
            ("--list-s", "list-sas"),
            ("-l", "list-sas"),
            ("--init", "initiate"),
            ("--reload", "reload-settings"),
            ("--log", "log"),
            ("-V", "version"),
            ("-v", "version"),
            ("-u", "uninstall"),
            ("-U", "uninstall"),
            ("-q", "load-all"),
            ("--stat", "stats"),
            ("-d", "redirect"),
        ] {
            assert_eq!(command(word).map(|found| found.map(|c| c.long)), Ok(Some(long)), "{word}");
        }
        assert!(command("--help").is_ok_and(|found| found.is_none()));
        assert!(command("-h").is_ok_and(|found| found.is_none()));
        let ambiguous = command("--lo").map(drop).unwrap_err();
        assert!(
            ambiguous.starts_with("option '--lo' is ambiguous; possibilities: '--load-all'"),
            "{ambiguous}"
        );
        for word in ["--bogus", "-z", "word", "-", ""] {
            assert!(command(word).is_err(), "{word}");
        }
    }

    #[test]
    fn options_in_every_spelling() {
        let wanted = Ok(vec![
            ("child".to_owned(), Some("net".to_owned())),
            ("timeout".to_owned(), Some("5".to_owned())),
        ]);
        for line in [
            "--child net --timeout 5",
            "--child=net --timeout=5",
            "-c net -t 5",
            "-cnet -t5",
            "--chi net word -t 5",
        ] {
            assert_eq!(parsed("initiate", line), wanted, "{line}");
        }
        assert_eq!(
            parsed("list-sas", "-nP -inet"),
            Ok(vec![("noblock".into(), None), ("pretty".into(), None), ("ike".into(), Some("net".into()))])
        );
        let line = words("-r -P");
        assert_eq!(parse(&line, &[]).unwrap().form, Some(Form::Pretty));
    }

    #[test]
    fn mistakes_in_getopts_words() {
        for (line, message) in [
            ("--bogus", "unrecognized option '--bogus'"),
            ("--child", "option '--child' requires an argument"),
            ("-c", "option requires an argument -- 'c'"),
            ("-z", "invalid option -- 'z'"),
            ("--raw=1", "option '--raw' doesn't allow an argument"),
        ] {
            assert_eq!(parsed("initiate", line).unwrap_err(), message);
        }
        assert!(parsed("list-sas", "--ch x").unwrap_err().contains("ambiguous"));
    }

    #[test]
    fn an_exact_name_wins_over_a_longer_one() {
        assert_eq!(parsed("terminate", "--ike a --child b").unwrap().len(), 2);
    }

    #[test]
    fn options_come_from_files_too() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("options");
        std::fs::write(&file, "# comment\n--child \"two words\"\n  -t 5\n").unwrap();
        let given = vec!["--options".to_owned(), file.to_string_lossy().into_owned(), "--raw".to_owned()];
        assert_eq!(expand(&given).unwrap(), ["--child", "two words", "-t", "5", "--raw"]);
        std::fs::write(&file, "--child \"open").unwrap();
        assert!(expand(&given).is_err());
        assert!(expand(&["--options".to_owned()]).is_err());
    }
}
