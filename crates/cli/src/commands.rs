//! One file per command of `cygnet`.
use crate::args::{Command, Cygnet};
use crate::exit::Failure;
use std::process::ExitCode;

pub(crate) mod certs;
mod check;
mod conns;
mod down;
mod generate;
mod json;
mod load;
mod log;
pub(crate) mod pools;
mod stats;
pub(crate) mod status;
mod trace;
mod up;

/// Runs the command.
pub(crate) fn run(cygnet: Cygnet) -> Result<ExitCode, Failure> {
    let uri = cygnet.uri.as_deref();
    match cygnet.command {
        Command::Up(args) => up::run(uri, &args),
        Command::Down(args) => down::run(uri, &args),
        Command::Terminate(args) => down::terminate(uri, &args),
        Command::Rekey(args) => down::rekey(uri, &args),
        Command::Status(args) => status::run(uri, &args),
        Command::Leases(args) => pools::leases(uri, &args),
        Command::Pools(args) => pools::pools(uri, &args),
        Command::Conns(args) => conns::run(uri, &args),
        Command::Certs(args) => certs::run(uri, &args),
        Command::Load(args) => load::run(uri, &args),
        Command::Check(args) => check::run(&args),
        Command::Log(args) => log::run(uri, &args),
        Command::Stats(args) => stats::stats(uri, &args),
        Command::Version(args) => stats::version(uri, &args),
        Command::Trace(args) => trace::run(uri, &args),
        Command::Doctor(args) => crate::doctor::run(uri, &args),
        Command::Demo(args) => crate::demo::run(&args),
        Command::Quickstart(args) => crate::quickstart::run(&args),
        Command::LoadTest(args) => crate::load_test::run(&args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::man(directory.as_deref()),
        Command::Pki { words } => Ok(crate::pki::main(words)),
        Command::Pool { words } => Ok(crate::pool::main(words)),
        Command::Xfrmi { words } => Ok(crate::xfrmi::main(words)),
        Command::Swanctl { words } => Ok(crate::swanctl::main(words)),
    }
}
