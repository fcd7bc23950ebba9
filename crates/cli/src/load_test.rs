//! `cygnet load-test`: thousands of virtual road warriors against a gateway.
//!
//! The work is done by crate `loadtest`. Here: [`options`] (the command line) → [`arrange`] (a plan, and what is refused) with
//! [`papers`] (certificates) →
//! [`progress`] (the line on the terminal) → [`report`] (what came of it, as text and as JSON).
use crate::exit::{FAILED, Failure, INTERRUPTED};
use crate::interrupt;
use crate::out::{self, say};
use std::process::ExitCode;

mod arrange;
pub(crate) mod options;
mod papers;
mod progress;
mod report;

pub(crate) fn run(args: &options::LoadTest) -> Result<ExitCode, Failure> {
    let plan = arrange::plan(args)?;
    // The report is printed, and clients leave, also when nobody reads any more.
    out::outlive_reader();
    let interrupted = interrupt::watch()?;
    let mut line = progress::Line::new(plan.clients);
    let about = arrange::about(&plan);
    if args.json {
        out::error_line(format_args!("{about}"));
    } else {
        say!("{about}");
    }
    let ended = loadtest::run(&plan, interrupted.flag(), &mut |progress| line.show(progress));
    line.end();
    let ended = ended.map_err(|error| match error {
        loadtest::Error::Plan(text) => Failure::new(2, text),
        other => Failure::new(FAILED, other),
    })?;
    let report = report::Report::new(&plan, &ended);
    if args.json {
        report.json()
    } else {
        report.text()
    }
    Ok(if report.is_bad() {
        ExitCode::from(FAILED)
    } else if ended.stopped && !ended_as_wished(args) {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Who asks to be held for ever ends it by Ctrl-C.
fn ended_as_wished(args: &options::LoadTest) -> bool {
    args.hold == options::Hold::Forever
}
