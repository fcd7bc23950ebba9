//! `cygnet-bench`, run by `cargo xtask bench`: measures our daemon and its peers side by side on this machine, and
//! writes what it found into `docs/performance.md`.
//!
//! The walk: [`args`] → [`contender`] (who, and how its tunnel comes up; between the hosts of [`stage`], as processes of
//! [`nursery`]) → [`run`] (rounds, turns, topics) → [`iperf`], [`blast`] and [`search`], [`probe`], [`usage`] (the
//! measuring; [`loadtester`], [`warriors`], [`knock`], [`waits`] for IKE) → [`record`] and [`stats`] (what was found) → [`tables`], [`plots`],
//! [`targets`] → [`page`].
//!
//! What it does not do: judge whether a figure is good enough for a test. Tests do not time.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a terminal")]

mod args;
mod blast;
mod contender;
mod interrupt;
mod iperf;
mod knock;
mod loadtester;
mod nursery;
mod page;
mod plots;
mod probe;
mod record;
mod run;
mod search;
mod stage;
mod stats;
mod tables;
mod targets;
mod usage;
mod waits;
mod warriors;

use anyhow::{Context as _, Result, bail};
use args::Args;
use clap::Parser as _;
use nursery::Nursery;
use record::{Machine, Measured, Record};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The page of the repository.
const PAGE: &str = "docs/performance.md";

fn main() -> ExitCode {
    let args = Args::parse();
    match perform(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: Args) -> Result<ExitCode> {
    if !args.render.is_empty() {
        return render(&args);
    }
    // must come before the first thread
    stage::privileges()?;
    let interrupted = interrupt::watch()?;
    let nursery = Nursery::default();
    let (done, outcome) = mpsc::channel();
    let worker = {
        let nursery = nursery.clone();
        std::thread::spawn(move || drop(done.send(measure(&args, &nursery))))
    };
    let result = loop {
        if interrupted.raised() {
            nursery.end_all();
            eprintln!("interrupted; all processes ended");
            return Ok(ExitCode::from(interrupt::INTERRUPTED));
        }
        match outcome.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                drop(worker.join());
                nursery.end_all();
                bail!("the bench itself failed; this is a bug");
            }
        }
    };
    nursery.end_all();
    result
}

/// Joins earlier results and writes the page.
fn render(args: &Args) -> Result<ExitCode> {
    let mut joined: Option<Record> = None;
    for file in &args.render {
        let record = Record::read(file)?;
        match &mut joined {
            Some(joined) => joined.join(record),
            None => joined = Some(record),
        }
    }
    let record = joined.context("nothing to render")?;
    let file = args.page.clone().unwrap_or_else(|| PathBuf::from(PAGE));
    page::write(&record, &file)?;
    eprintln!("written: {}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, nursery: &Nursery) -> Result<ExitCode> {
    let (mut contenders, missing) = contender::find(args);
    for missing in &missing {
        eprintln!("not measured: {}: {}", missing.kind.name(), missing.reason);
    }
    if !args.contender.is_empty() {
        let wanted = |name: &str| args.contender.iter().any(|word| name.contains(word.as_str()));
        contenders.retain(|c| wanted(c.kind.name()));
        if contenders.is_empty() {
            bail!("no contender that is installed has such a name");
        }
    }
    let machine = Machine::here();
    let mut record = Record::new(machine);
    let found = contenders.iter().map(|c| Measured { kind: c.kind, version: c.version.clone() });
    record.contenders = found.collect();
    record.missing = missing;
    if let Some(file) = args.json.as_deref().filter(|file| file.exists()) {
        let mut earlier = Record::read(file).context("the file to add to")?;
        earlier.join(record);
        record = earlier;
    }
    run::all(args, &contenders, nursery, &mut record, |record| {
        args.json.as_deref().map_or(Ok(()), |file| record.write(file))
    })?;
    print!("{}", tables::all(&record));
    for failure in &record.failures {
        eprintln!("failed: {failure}");
    }
    let whole = args.only.is_empty() && args.contender.is_empty() && !args.quick;
    let usual = whole.then(|| PathBuf::from(PAGE));
    if let Some(file) = args.page.clone().or(usual) {
        page::write(&record, &file)?;
        eprintln!("written: {}", file.display());
    }
    let failed = !record.failures.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
