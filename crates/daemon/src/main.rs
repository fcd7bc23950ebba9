//! cygnetd: keying daemon for IPsec, started and controlled as strongSwan's charon is.
//!
//! The walk: [`boot`] starts and stops everything, on one page → [`shard`] drives the engine → [`sockets`] brings
//! datagrams → [`asks`] answers the engine's questions → [`observers`] reads its events → [`control`] is the vici
//! server → [`reload`] reads `strongswan.conf` again.
//!
//! What it does not do: decide anything about IKE or ESP. That is in `ike` and `esp`.

mod args;
mod asks;
mod boot;
mod conf;
mod control;
mod credentials;
mod data_plane;
mod fetch;
mod interfaces;
mod neighbours;
mod notices;
mod observers;
mod parse;
mod reload;
mod scripts;
mod shard;
mod sockets;
mod stores;
mod vault;

use std::process::ExitCode;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's own words before there is a log")]
fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args::Parsed::Run(args)) => args,
        Ok(args::Parsed::Show(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("cygnetd: {why}\n{}", args::USAGE);
            return ExitCode::from(64);
        }
    };
    // Capabilities belong to threads: before there are others.
    if let Err(e) = boot::drop_privileges(&args) {
        eprintln!("cygnetd: {e:#}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(threads()).build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(boot::run(args));
            // Blocking DNS look-ups must not hold up the exit.
            runtime.shutdown_background();
            outcome
        }
        Err(e) => Err(e.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cygnetd: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Two threads at least, so that a client's work never waits for the engine's, four at most: packets have their
/// own threads.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}
