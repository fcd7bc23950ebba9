//! `--load-all`, `--load-conns`, `--load-creds`, `--load-pools`, `--load-authorities`.
use super::{Call, INVALID, Outcome, Trouble};
use crate::load::{self, Progress, Source, Tally};
use crate::out::{clean, complain, put};
use crate::source;
use config::tree::Section;
use std::path::Path;
use vici::Client;

pub(super) fn all(call: &Call<'_>) -> Outcome {
    let (source, mut client) = begin(call)?;
    let client = &mut client;
    let codes = [
        creds(call, &source, client)?,
        auths(call, &source, client)?,
        ranges(call, &source, client)?,
        conns(call, &source, client)?,
    ];
    // swanctl goes on after a failure, and so do we; the first one is the exit code.
    Ok(codes.into_iter().find(|code| *code != 0).unwrap_or(0))
}

pub(super) fn credentials(call: &Call<'_>) -> Outcome {
    let (source, mut client) = begin(call)?;
    creds(call, &source, &mut client)
}

pub(super) fn authorities(call: &Call<'_>) -> Outcome {
    let (source, mut client) = begin(call)?;
    auths(call, &source, &mut client)
}

pub(super) fn pools(call: &Call<'_>) -> Outcome {
    let (source, mut client) = begin(call)?;
    ranges(call, &source, &mut client)
}

pub(super) fn connections(call: &Call<'_>) -> Outcome {
    let (source, mut client) = begin(call)?;
    conns(call, &source, &mut client)
}

/// The configuration is read and judged first, so that a mistake in it changes nothing in the daemon.
fn begin(call: &Call<'_>) -> Result<(Source, Client), Trouble> {
    let source = source::swanctl(call.value("file").map(Path::new))?;
    Ok((source, call.connect()?))
}

/// Failures of single credentials do not change the exit code, as in swanctl: a unit file would not start the daemon.
fn creds(call: &Call<'_>, source: &Source, client: &mut Client) -> Outcome {
    let asker = (!call.has("noprompt")).then_some(load::passphrase::terminal as load::passphrase::Asker);
    load::credentials(source, call.has("clear"), asker, client, &mut Printed(call))?;
    Ok(0)
}

fn auths(call: &Call<'_>, source: &Source, client: &mut Client) -> Outcome {
    let tally = load::authorities(source, client, &mut Printed(call))?;
    Ok(summary(call, "authorities", &tally))
}

fn ranges(call: &Call<'_>, source: &Source, client: &mut Client) -> Outcome {
    let tally = load::pools(source, client, &mut Printed(call))?;
    Ok(summary(call, "pools", &tally))
}

fn conns(call: &Call<'_>, source: &Source, client: &mut Client) -> Outcome {
    let tally = load::connections(source, client, &mut Printed(call))?;
    Ok(summary(call, "connections", &tally))
}

fn summary(call: &Call<'_>, kind: &str, tally: &Tally) -> u8 {
    if call.form().is_some() {
        return 0;
    }
    let Tally { found, loaded, unloaded } = *tally;
    if found == 0 {
        put!("no {kind} found, {unloaded} unloaded");
        return 0;
    }
    if tally.failed() == 0 {
        put!("successfully loaded {loaded} {kind}, {unloaded} unloaded");
        return 0;
    }
    complain!("loaded {loaded} of {found} {kind}, {} failed to load, {unloaded} unloaded", tally.failed());
    INVALID
}

struct Printed<'a>(&'a Call<'a>);

impl Progress for Printed<'_> {
    fn answer(&mut self, command: &str, message: &Section) {
        self.0.raw(&format!("{command} reply"), message);
    }

    fn loaded(&mut self, what: &str) {
        if self.0.form().is_none() {
            put!("loaded {}", clean(what));
        }
    }

    fn failed(&mut self, text: &str) {
        if self.0.form().is_none() {
            complain!("{}", clean(text));
        }
    }
}
