//! The line on the terminal while it runs.
use crate::out;
use loadtest::Progress;
use loadtest::run::Stage;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often it changes.
const EVERY: Duration = Duration::from_millis(200);
/// The rate is of so long.
const WINDOW: Duration = Duration::from_secs(2);

pub(super) struct Line {
    clients: u32,
    terminal: bool,
    shown: Option<Instant>,
    /// When, and how many had been set up then.
    past: std::collections::VecDeque<(Instant, u64)>,
}

impl Line {
    pub(super) fn new(clients: u32) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { clients, terminal, shown: None, past: std::collections::VecDeque::new() }
    }

    /// Shows it, on a terminal only, and not too often.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        let now = Instant::now();
        if !self.terminal || self.shown.is_some_and(|at| now.duration_since(at) < EVERY) {
            return;
        }
        self.shown = Some(now);
        let done = progress.tally.established;
        self.past.push_back((now, done));
        while self.past.len() > 2 && self.past.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.past.pop_front();
        }
        let rate = self.past.front().map_or(0.0, |(at, then)| {
            let time = now.duration_since(*at).as_secs_f64();
            if time > 0.0 { (done - then) as f64 / time } else { 0.0 }
        });
        let text = text(progress, self.clients, rate);
        let mut stderr = std::io::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        drop(write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush()));
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        if self.shown.is_some() {
            let mut stderr = std::io::stderr().lock();
            drop(write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush()));
        }
    }
}

fn text(progress: &Progress<'_>, clients: u32, rate: f64) -> String {
    let t = progress.tally;
    let stage = match progress.stage {
        Stage::SettingUp => "setting up",
        Stage::Holding => "holding",
        Stage::Leaving => "leaving",
    };
    format!(
        "{:>5} {stage}: {}/{} set up, {rate:.0}/s, {} up, {} under way, {} failed, {} lost; p50 {} p99 {}",
        out::duration(progress.elapsed.as_secs()),
        out::count(t.established),
        out::count(u64::from(clients)),
        out::count(t.up),
        out::count(t.under_way),
        out::count(t.failed),
        out::count(t.lost),
        super::report::micros(t.setup.at(50.0)),
        super::report::micros(t.setup.at(99.0)),
    )
}
