//! Which command of swanctl a word names, and in which form it shall answer.
use super::format::Form;
use super::options::{COMMANDS, Command};
use crate::getopt::{Parsed, complete};

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

/// `--raw` or `--pretty`, the last one given.
pub(super) fn form(options: &Parsed<'_>) -> Option<Form> {
    options.given().iter().rev().find_map(|(name, _)| match *name {
        "raw" => Some(Form::Raw),
        "pretty" => Some(Form::Pretty),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::options::SHARED;
    use super::*;
    use crate::getopt::{Opt, expand, parse};

    fn options(long: &str) -> &'static [Opt] {
        COMMANDS.iter().find(|command| command.long == long).map(|command| command.options).unwrap()
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn parsed(long: &str, line: &str) -> Result<Vec<(String, Option<String>)>, String> {
        let words = words(line);
        parse(&words, options(long), SHARED).map(|parsed| {
            parsed
                .given()
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                .collect()
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
        assert_eq!(form(&parse(&line, &[], SHARED).unwrap()), Some(Form::Pretty));
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
