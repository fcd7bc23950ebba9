//! The tool as strongSwan's administrators know it: `swanctl --list-sas`.
//!
//! [`options`] knows the words, [`getopt`] reads them as getopt_long would, [`format`] writes `--raw` and `--pretty`,
//! and one file per family of commands does the work and prints what swanctl prints. Differences on purpose are in
//! `docs/differences.md`.
use crate::getopt::{Parsed, expand, parse, words_of};
use crate::out::complain;
use crate::session;
use config::tree::Section;
use options::Command;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use vici::{Client, ClientError};

mod act;
mod format;
mod getopt;
mod list;
mod list_certs;
mod list_conns;
mod list_sas;
mod loading;
mod options;
mod stats;
mod stream;

/// EINVAL, with which swanctl ends when something could not be loaded.
const INVALID: u8 = 22;

/// How a command ended: its exit code.
type Outcome = Result<u8, Trouble>;

/// Why a command could not do its work.
pub(crate) enum Trouble {
    /// The command line of this command is wrong; its usage follows.
    Usage(String),
    /// Talking to the daemon failed.
    Daemon(ClientError),
    /// Anything else: message and exit code.
    Failed(String, u8),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Daemon(error)
    }
}

impl From<crate::exit::Failure> for Trouble {
    fn from(failure: crate::exit::Failure) -> Self {
        let text = [failure.message(), failure.details().trim_end()].join("\n");
        Self::Failed(text.trim_end().to_owned(), INVALID)
    }
}

/// One run of one command.
struct Call<'a> {
    command: &'static Command,
    options: Parsed<'a>,
    uri: Option<String>,
}

impl Call<'_> {
    /// The value of an option, the last one given.
    fn value(&self, long: &str) -> Option<&str> {
        self.options.value(long)
    }

    fn has(&self, long: &str) -> bool {
        self.options.has(long)
    }

    fn form(&self) -> Option<format::Form> {
        getopt::form(&self.options)
    }

    /// Connects as swanctl does: without a time limit, for `--initiate` may take long.
    fn connect(&self) -> Result<Client, Trouble> {
        let uri = session::uri(self.uri.as_deref());
        match Client::connect(&uri, None) {
            Ok(client) => Ok(client),
            Err(ClientError::Connect { uri, source }) => {
                complain!("connecting to '{uri}' failed: {}", reason(&source));
                let code = source.raw_os_error().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                Err(Trouble::Failed(format!("connecting to '{uri}' URI failed: {}", reason(&source)), code))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Copies an option's value into a message.
    fn copy(&self, long: &str, message: &mut Section) {
        use vici::Message as _;
        if let Some(value) = self.value(long) {
            message.put(long, value);
        }
    }

    /// Prints an answer in the form asked for; `false` when none was.
    fn raw(&self, label: &str, message: &Section) -> bool {
        let Some(form) = self.form() else {
            return false;
        };
        crate::out::bytes(form.write(label, message).as_bytes());
        true
    }
}

/// The system's words for an error, without Rust's "(os error 2)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Runs swanctl with these arguments (its name not among them).
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(run(words))
}

fn run(words: Vec<String>) -> u8 {
    let (uri, words) = match leading(words) {
        Ok(split) => split,
        Err(mistake) => return wrong(&mistake),
    };
    let Some((first, rest)) = words.split_first() else {
        options::print_usage(Some("invalid operation"));
        return 1;
    };
    let command = match getopt::command(first) {
        Ok(Some(command)) => command,
        Ok(None) => {
            options::print_usage(None);
            return 0;
        }
        Err(mistake) => return wrong(&mistake),
    };
    let rest = match expand(rest) {
        Ok(rest) => rest,
        Err(mistake) => return misused(command, &mistake),
    };
    let parsed = match parse(&rest, command.options, options::SHARED) {
        Ok(parsed) => parsed,
        Err(mistake) => {
            complain!("swanctl: {mistake}");
            return misused(command, "invalid options");
        }
    };
    if parsed.has("help") {
        command.print_usage(None);
        return 0;
    }
    let uri = parsed.value("uri").map(str::to_owned).or(uri);
    let call = Call { command, options: parsed, uri };
    match (command.run)(&call) {
        Ok(code) => code,
        Err(Trouble::Usage(mistake)) => misused(command, &mistake),
        Err(Trouble::Daemon(error)) => {
            complain!("Error: {error}");
            1
        }
        Err(Trouble::Failed(message, code)) => {
            complain!("Error: {message}");
            code
        }
    }
}

/// Options every command shares may stand before it, too. `-v` and `-u` alone were commands once (version,
/// uninstall): they are options only where a value follows that fits.
fn leading(words: Vec<String>) -> Result<(Option<String>, Vec<String>), String> {
    let mut uri = None;
    let mut words = words.into_iter().peekable();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        let mut next_fits = |numeric: bool| {
            words
                .peek()
                .is_some_and(|next| if numeric { next.parse::<i8>().is_ok() } else { !next.starts_with('-') })
        };
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match (name, attached) {
            ("--debug", Some(_)) => {}
            ("--uri", Some(value)) => uri = Some(value),
            ("--options", Some(file)) => rest.extend(words_of(&file)?),
            ("--debug" | "-v", None) if next_fits(true) => drop(words.next()),
            ("--uri" | "-u", None) if next_fits(false) => uri = words.next(),
            ("--options" | "-+", None) if next_fits(false) => {
                rest.extend(words_of(&words.next().unwrap_or_default())?);
            }
            _ => {
                rest.push(word);
                break;
            }
        }
    }
    rest.extend(words);
    Ok((uri, rest))
}

fn wrong(mistake: &str) -> u8 {
    complain!("swanctl: {mistake}");
    options::print_usage(Some("invalid operation"));
    1
}

fn misused(command: &Command, mistake: &str) -> u8 {
    command.print_usage(Some(mistake));
    1
}

#[cfg(test)]
mod tests {
    use super::options::COMMANDS;
    use super::*;

    fn split(line: &str) -> (Option<String>, String) {
        let (uri, words) =
            leading(line.split(' ').map(str::to_owned).collect()).unwrap_or_else(|e| panic!("{e}"));
        (uri, words.join(" "))
    }

    #[test]
    fn shared_options_may_come_first() {
        assert_eq!(
            split("--uri unix:///x --list-sas -r"),
            (Some("unix:///x".into()), "--list-sas -r".into())
        );
        assert_eq!(split("--uri=unix:///x -l"), (Some("unix:///x".into()), "-l".into()));
        assert_eq!(split("-v 2 -u unix:///x -l"), (Some("unix:///x".into()), "-l".into()));
        assert_eq!(split("-v"), (None, "-v".into()));
        assert_eq!(split("-u --child x"), (None, "-u --child x".into()));
    }

    #[test]
    fn every_command_has_its_own_letter_and_name() {
        for (number, command) in COMMANDS.iter().enumerate() {
            for other in &COMMANDS[number + 1..] {
                assert_ne!(command.short, other.short, "{} {}", command.long, other.long);
                assert_ne!(command.long, other.long);
            }
            for (at, option) in command.options.iter().enumerate() {
                for other in command.options[at + 1..].iter().chain(options::SHARED) {
                    assert_ne!(option.short, other.short, "{}: {} {}", command.long, option.long, other.long);
                }
            }
        }
    }
}
