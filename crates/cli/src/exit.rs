//! How the program ends: exit codes, and failures that say what to do next.
use crate::out;
use anstyle::{AnsiColor, Style};
use std::fmt::Display;
use std::process::ExitCode;

/// The daemon, or the operation, said no.
pub(crate) const FAILED: u8 = 1;
/// No daemon to talk to.
pub(crate) const NO_DAEMON: u8 = 3;
/// The configuration is wrong.
pub(crate) const BAD_CONFIG: u8 = 4;
/// This machine lacks something the command needs.
pub(crate) const NOT_HERE: u8 = 5;
/// Ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// For `--help` and the man page.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    the daemon refused, or the operation failed
  2    wrong use of the command line
  3    no daemon reachable
  4    the configuration has errors
  5    this machine lacks something the command needs
  130  interrupted";

/// Why a command did not do its work, and what would help.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
    details: String,
    hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string(), details: String::new(), hints: Vec::new() }
    }

    /// Adds one line of advice.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Adds text of several lines that is shown as it is.
    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.details = text.into();
        self
    }

    pub(crate) fn details(&self) -> &str {
        &self.details
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints it to standard error.
    pub(crate) fn show(&self) -> ExitCode {
        let bad = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        out::error_line(format_args!("{bad}cygnet:{bad:#} {}", out::clean(&self.message)));
        if !self.details.is_empty() {
            out::error_line(format_args!("{}", out::clean(self.details.trim_end())));
        }
        for hint in &self.hints {
            out::error_line(format_args!("  {hint}"));
        }
        ExitCode::from(self.code)
    }
}

impl From<vici::ClientError> for Failure {
    fn from(error: vici::ClientError) -> Self {
        use vici::ClientError as E;
        let code = match error {
            E::Connect { .. } | E::Closed | E::Io(_) | E::Timeout => NO_DAEMON,
            _ => FAILED,
        };
        let closed = matches!(error, E::Closed | E::Io(_));
        let unknown = matches!(error, E::UnknownCommand(_) | E::UnknownEvent(_));
        let mut failure = Self::new(code, error);
        if closed {
            failure =
                failure.hint("it may have been stopped; 'journalctl -u strongswan' or its log file says why");
        }
        if unknown {
            failure = failure.hint("is this daemon older than this tool? 'cygnet version' shows both");
        }
        failure
    }
}
