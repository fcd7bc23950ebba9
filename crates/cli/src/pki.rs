//! strongSwan's `pki`: keys, certificates, requests and revocation lists from the command line.
//!
//! Called as `pki` (through a link) or as `cygnet pki`, with strongSwan's options (`--gen`) or plain words (`gen`).
//! [`options`] knows the words; one file per command does the work. [`input`] reads what there may be in a file,
//! [`output`] writes it, [`signer`] signs with the keys of `crypto`, [`structures`] and [`extensions`] are what is
//! signed. What is printed is what strongSwan's tool prints, as seen with version 5.9.8 of Debian.
use crate::getopt::{Parsed, complete, expand, parse};
use crate::out::complain;
use options::{COMMANDS, Command, SHARED};
use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

mod acert;
pub(crate) mod container;
pub(crate) mod dates;
pub(crate) mod describe;
pub(crate) mod extensions;
mod generate;
pub(crate) mod input;
pub(crate) mod issue;
mod names;
mod ocsp;
mod options;
pub(crate) mod output;
pub(crate) mod print;
mod public;
mod request;
pub(crate) mod signcrl;
pub(crate) mod signer;
pub(crate) mod structures;
mod verify;

/// How a command ended: its exit code.
type Outcome = Result<u8, Trouble>;

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command line is wrong; the command's usage follows.
    Usage(String),
    /// Anything else.
    Failed(String),
}

impl Trouble {
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::Failed(message.to_string())
    }

    fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
        }
    }
}

impl From<der::Error> for Trouble {
    fn from(error: der::Error) -> Self {
        Self::Failed(format!("encoding failed: {error}"))
    }
}

impl From<crypto::sign::SignError> for Trouble {
    fn from(error: crypto::sign::SignError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// One run of one command.
struct Call<'a> {
    options: Parsed<'a>,
}

impl Call<'_> {
    /// The value of an option, the last one given.
    fn value(&self, long: &str) -> Option<&str> {
        self.options.value(long)
    }

    fn has(&self, long: &str) -> bool {
        self.options.has(long)
    }

    /// The value of an option that must be there.
    fn need(&self, long: &str) -> Result<&str, Trouble> {
        self.value(long).ok_or_else(|| Trouble::Usage(format!("--{long} is required")))
    }

    /// A value that is one of a few words.
    fn choice<'s>(
        &'s self,
        long: &str,
        default: &'s str,
        known: &[&str],
        what: &str,
    ) -> Result<&'s str, Trouble> {
        let word = self.value(long).unwrap_or(default);
        if known.contains(&word) { Ok(word) } else { Err(Trouble::Usage(format!("invalid {what}"))) }
    }

    /// A value that is a number.
    fn number<T: std::str::FromStr>(&self, long: &str) -> Result<Option<T>, Trouble> {
        let read = |text: &str| text.parse().map_err(|_| Trouble::Usage(format!("invalid --{long} value")));
        self.value(long).map(read).transpose()
    }
}

/// Runs pki with these arguments (its name not among them).
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(run(&words))
}

fn run(words: &[String]) -> u8 {
    let Some((first, rest)) = words.split_first() else {
        options::print_usage(None);
        return 0;
    };
    let command = match find(first) {
        Ok(Some(command)) => command,
        Ok(None) => {
            options::print_usage(None);
            return 0;
        }
        Err(mistake) => {
            complain!("pki: {mistake}");
            options::print_usage(Some("invalid operation"));
            return 1;
        }
    };
    let misused = |mistake: &str| {
        command.print_usage(Some(mistake));
        1
    };
    let rest = match expand(rest) {
        Ok(rest) => rest,
        Err(mistake) => return misused(&mistake),
    };
    let options = match parse(&rest, command.options, SHARED) {
        Ok(options) => options,
        Err(mistake) => {
            complain!("pki: {mistake}");
            return misused(&format!("invalid --{} option", command.long));
        }
    };
    if options.has("help") {
        command.print_usage(None);
        return 0;
    }
    match (command.run)(&Call { options }) {
        Ok(code) => code,
        Err(Trouble::Usage(mistake)) => misused(&mistake),
        Err(Trouble::Failed(message)) => {
            complain!("{message}");
            1
        }
    }
}

/// Which command a word names: `--gen`, a unique beginning of it, `-g` or `gen`; `None` is help.
fn find(word: &str) -> Result<Option<&'static Command>, String> {
    let letters: Vec<char> = word.chars().collect();
    let name = match letters[..] {
        ['-', 'h'] => return Ok(None),
        ['-', letter] => {
            let found = COMMANDS.iter().find(|command| command.short == letter);
            return found.map(Some).ok_or_else(|| format!("invalid option -- '{letter}'"));
        }
        _ => word.strip_prefix("--").unwrap_or(word),
    };
    let names: Vec<&'static str> = COMMANDS.iter().map(|command| command.long).chain(["help"]).collect();
    let found = complete(name, &names)?;
    Ok(COMMANDS.iter().find(|command| command.long == found))
}

/// Commands of strongSwan's tool that this one does not have.
fn missing(name: &'static str, reason: &str) -> Outcome {
    Err(Trouble::Failed(format!("pki --{name} is not available: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_every_spelling() {
        for word in ["--gen", "gen", "-g", "--ge"] {
            assert!(find(word).is_ok_and(|c| c.is_some_and(|c| c.long == "gen")), "{word}");
        }
        for word in ["--help", "-h", "help"] {
            assert!(find(word).is_ok_and(|c| c.is_none()), "{word}");
        }
        for word in ["--pkcs", "frobnicate", "-Z", ""] {
            assert!(find(word).is_err(), "{word}");
        }
    }

    #[test]
    fn every_command_and_option_has_its_own_letter() {
        for (at, command) in COMMANDS.iter().enumerate() {
            for other in &COMMANDS[at + 1..] {
                assert_ne!(command.short, other.short, "{} {}", command.long, other.long);
            }
            for (at, option) in command.options.iter().enumerate() {
                for other in command.options[at + 1..].iter().chain(SHARED) {
                    assert_ne!(option.short, other.short, "{}: {} {}", command.long, option.long, other.long);
                    assert_ne!(option.long, other.long, "{}", command.long);
                }
            }
        }
    }
}
