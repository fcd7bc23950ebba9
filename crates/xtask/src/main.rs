//! Checks and chores of the project. `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a terminal")]

mod bench;
mod count;
mod docs;
mod imports;
mod kernel;
mod packages;
mod peers;
mod programs;
mod run;
mod scenarios;
mod sizes;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test        everything CI runs: format, lints, structure, unit, property, simulation and interop tests
  check       the quick half: format, lints, structure
  unit        unit, property and simulation tests (no root, no peers)
  interop     tests with real sockets, namespaces and stock peers (root); FILTER narrows them
  kernel-test tests of the kernel's ESP, on a kernel booted for them where this one has none (root); FILTER
  world       long simulation; CYGNET_SEEDS=n sets how many seeds
  bench       measures us and every installed peer side by side, writes docs/performance.md; --help lists its options
  bench --micro  the benchmarks of single crates, one after the other
  count       instruction counts against their bounds (valgrind); --accept takes new ones; NAME… narrows them
  imports     does every crate import only what the house allows?
  sizes       list files that have grown too long
  docs        do the documents name only paths that exist?
  deny        licences and advisories (needs cargo-deny)
  packages    install the Debian packages the tests use
  scenarios   a peer's regression scenarios with our daemon in its place (see tests/scenarios/README.md)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let first = rest.first().map(String::as_str);
    let outcome = match command.as_str() {
        "test" => test::all(),
        "check" => test::check(),
        "unit" => programs::build().and_then(|built| test::unit(&built)),
        "interop" => programs::build().and_then(|built| test::interop(&built, first)),
        "kernel-test" => programs::build().and_then(|built| kernel::test(&built, first)),
        "world" => test::world(),
        "bench" => bench::run_words(&rest),
        "count" => count::run(&rest),
        "imports" => imports::check(),
        "sizes" => sizes::check(),
        "docs" => docs::check(),
        "deny" => test::deny(),
        "packages" => packages::install().map(|_| ()),
        "scenarios" => scenarios::run(&rest),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("no command '{other}'; see `cargo xtask help`")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
