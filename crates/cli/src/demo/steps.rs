//! Says what happens, one numbered line per step, with its time.
use super::stage::Daemon;
use crate::exit::Failure;
use crate::out::{complain, say};
use anstyle::{AnsiColor, Style};
use std::time::Instant;

/// Prints the steps; to standard error where standard output belongs to JSON.
pub(super) struct Steps {
    json: bool,
    number: usize,
    last_ms: u128,
}

impl Steps {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, number: 0, last_ms: 0 }
    }

    /// How long the last step took.
    pub(super) const fn last_ms(&self) -> u128 {
        self.last_ms
    }

    /// Does one step. `work` returns its result and what to say about it.
    pub(super) fn run<T>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<(T, String), Failure>,
    ) -> Result<T, Failure> {
        self.number += 1;
        let number = self.number;
        let head = Style::new().bold();
        self.line(&format!("{head}{number:>2}. {what}{head:#}"));
        let started = Instant::now();
        let result = work();
        self.last_ms = started.elapsed().as_millis();
        match result {
            Ok((value, text)) => {
                let good = Style::new().fg_color(Some(AnsiColor::Green.into()));
                let quiet = Style::new().dimmed();
                self.line(&format!("    {good}{text}{good:#} {quiet}({} ms){quiet:#}", self.last_ms));
                Ok(value)
            }
            Err(failure) => {
                let bad = Style::new().fg_color(Some(AnsiColor::Red.into()));
                self.line(&format!("    {bad}failed{bad:#}"));
                Err(failure)
            }
        }
    }

    /// Shows a table under a heading; not with JSON, which holds the same.
    pub(super) fn show(&self, heading: &str, text: &str) {
        if !self.json {
            let head = Style::new().bold().underline();
            say!("\n{head}{heading}{head:#}\n\n{text}\n");
        }
    }

    /// What to play with.
    pub(super) fn keep(&self, gateway: &Daemon, client: &Daemon) {
        let program =
            std::env::current_exe().map_or_else(|_| "cygnet".to_owned(), |path| path.display().to_string());
        let sudo = if super::stage::is_root() { "" } else { "-U --preserve-credentials " };
        let (at_client, at_gateway) = (client.uri(), gateway.uri());
        self.line(&format!(
            "\nIt stays up until Ctrl-C. In another terminal:
  {program} status --watch -u {at_client}
  {program} leases -u {at_gateway}
  {program} log -u {at_gateway}
  {program} rekey office -u {at_client}
  {program} swanctl --list-sas -u {at_gateway}
  nsenter -t {pid} {sudo}-n ping 10.1.0.10          # as the client
  {program} down home -u {at_client}
  {program} up home -u {at_client}
logs: {log_client}
      {log_gateway}",
            pid = client.pid,
            log_client = client.log.display(),
            log_gateway = gateway.log.display(),
        ));
    }

    fn line(&self, text: &str) {
        if self.json {
            complain!("{text}");
        } else {
            say!("{text}");
        }
    }
}
