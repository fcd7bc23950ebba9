//! `cygnet doctor`: looks at this host as an experienced colleague would, and says what to change.
//!
//! It changes nothing. Every check reads what it needs and gives findings; a check that cannot be made (no daemon, no
//! privilege) says so.
//!
//! The walk: `kernel`, `network`, `ports` (sockets and other daemons), `clock`, `files`, `daemon` (what the daemon says).

mod clock;
mod daemon;
mod files;
mod kernel;
mod network;
mod ports;

use crate::args::Doctor;
use crate::exit::{FAILED, Failure};
use crate::out::{clean, put, say};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::process::ExitCode;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Good,
    /// Could not be looked at.
    Unknown,
    /// May be meant so.
    Warning,
    /// Will not work.
    Wrong,
}

impl State {
    const fn shown(self) -> (&'static str, Option<AnsiColor>) {
        match self {
            Self::Good => ("good", Some(AnsiColor::Green)),
            Self::Unknown => ("unknown", None),
            Self::Warning => ("warning", Some(AnsiColor::Yellow)),
            Self::Wrong => ("wrong", Some(AnsiColor::Red)),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    says: String,
    /// What to do.
    fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, says: impl Into<String>) -> Self {
        Self { check, state, says: says.into(), fix: None }
    }

    fn good(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, State::Good, says)
    }

    fn unknown(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, State::Unknown, says)
    }

    fn warning(check: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(check, State::Warning, says) }
    }

    fn wrong(check: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..Self::new(check, State::Wrong, says) }
    }
}

/// `{"schema": "cygnet.doctor/1", "findings": […]}`; fields are only ever added.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    findings: &'a [Finding],
}

/// Looks at everything. The exit status is 1 where something is wrong.
pub(crate) fn run(uri: Option<&str>, args: &Doctor) -> Result<ExitCode, Failure> {
    let mut told = daemon::ask(uri);
    let mut findings = kernel::look(&told);
    findings.extend(network::look(&told));
    findings.extend(ports::look());
    findings.extend(clock::look());
    findings.extend(files::look());
    findings.append(&mut told.findings);
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    if args.json {
        let document = Document { schema: "cygnet.doctor/1", findings: &findings };
        put!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
    } else {
        for line in lines(&findings) {
            say!("{line}");
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let (word, colour) = finding.state.shown();
        let style = colour.map_or_else(Style::new, |colour| Style::new().fg_color(Some(colour.into())));
        lines.push(format!("{style}{word:<7}{style:#}  {:<width$}  {}", finding.check, clean(&finding.says)));
        if let Some(fix) = &finding.fix {
            lines.push(format!("{:<7}  {:<width$}  -> {}", "", "", clean(fix)));
        }
    }
    let count = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let (wrong, odd) = (count(State::Wrong), count(State::Warning));
    lines.push(match (wrong, odd) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, odd) => format!("nothing is wrong, {odd} to look at"),
        (wrong, 0) => format!("{wrong} wrong"),
        (wrong, odd) => format!("{wrong} wrong, {odd} to look at"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_stands_under_what_it_mends_and_the_end_counts() {
        let findings = [
            Finding::good("clock", "kept by a time service"),
            Finding::wrong("forwarding", "off for IPv4", "sysctl -w net.ipv4.ip_forward=1"),
            Finding::warning("mtu", "wan: 1000", "ip link set wan mtu 1500"),
        ];
        let plain: Vec<String> =
            lines(&findings).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(
            plain,
            [
                "good     clock       kept by a time service",
                "wrong    forwarding  off for IPv4",
                "                     -> sysctl -w net.ipv4.ip_forward=1",
                "warning  mtu         wan: 1000",
                "                     -> ip link set wan mtu 1500",
                "1 wrong, 1 to look at",
            ]
        );
        assert_eq!(lines(&[]), ["nothing is wrong"]);
    }
}
