//! The test run: what CI does, step by step, and what was skipped and why.
use crate::kernel::Beside;
use crate::programs::{self, Program};
use crate::run::{ci, command, exists, is_root, run, run_command};
use crate::{count, docs, imports, kernel, packages, sizes};
use anyhow::{Result, bail};
use std::time::Instant;

/// Crates whose tests need neither root nor a peer.
const PURE: &[&str] = &[
    "wire", "crypto", "policy", "pki", "eap", "radius", "ike", "esp", "pool", "dhcp", "config", "vici",
    "cli", "loadtest", "testkit", "bench", "count", "xtask",
];
/// Crates with tests that open sockets, TUN devices and namespaces, or start peers.
const REAL: &[&str] = &["linux", "dataplane", "token", "sql", "daemon"];

/// Format, structure, lints.
pub(crate) fn check() -> Result<()> {
    structure()?;
    lints()
}

fn structure() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    imports::check()?;
    sizes::check()?;
    docs::check()
}

fn lints() -> Result<()> {
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Unit, property and simulation tests, and the examples in documents.
pub(crate) fn unit(built: &[Program]) -> Result<()> {
    programs::run(built, PURE, &[])?;
    run("cargo", &["test", "--workspace", "--doc", "--quiet"])
}

/// Tests with real parts. One at a time: they measure loss on two cores.
pub(crate) fn interop(built: &[Program], filter: Option<&str>) -> Result<()> {
    let words: Vec<&str> = ["--test-threads", "1"].into_iter().chain(filter).collect();
    programs::run(built, REAL, &words)
}

/// A long simulation in an optimised build.
pub(crate) fn world() -> Result<()> {
    let mut c =
        command("cargo", &["test", "--release", "-p", "ike", "-p", "testkit", "--", "--nocapture", "world"]);
    if std::env::var_os("CYGNET_SEEDS").is_none() {
        c.env("CYGNET_SEEDS", "50000");
    }
    run_command(c)
}

/// Licences and advisories.
pub(crate) fn deny() -> Result<()> {
    if !exists("cargo-deny") {
        bail!("cargo-deny is not installed: `cargo install cargo-deny`");
    }
    run("cargo", &["deny", "--offline", "check", "licenses", "bans", "sources"])
}

/// Does one part, and says how long it took.
fn timed<T>(name: &str, part: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    println!("\n== {name}");
    let done = part()?;
    println!("== {name}: {} s", start.elapsed().as_secs());
    Ok(done)
}

/// Everything, in the order a contributor feels it.
pub(crate) fn all() -> Result<()> {
    let start = Instant::now();
    let mut skipped: Vec<String> = Vec::new();
    let left = timed("packages", packages::install)?;
    timed("format, structure", structure)?;
    let built = timed("building the tests", programs::build)?;
    let reason = match (is_root(), left.is_empty()) {
        (true, true) => None,
        (false, _) => Some("namespaces and TUN devices need root".to_owned()),
        (true, false) => Some(format!("packages are missing: {}", left.join(" "))),
    };
    // A kernel under emulation takes long and one core: what does not mind company is done beside it.
    let beside = if reason.is_none() { Beside::start(&built)? } else { None };
    let alone = beside.is_none();
    timed("lints", lints)?;
    timed("unit, property and simulation tests", || unit(&built))?;
    match count::hindrance() {
        None => timed("instruction counts", || count::run(&[]))?,
        Some(why) if ci() => bail!("under CI instructions must be counted: {why}"),
        Some(why) => skipped.push(format!("instruction counts: {why}")),
    }
    if let Some(beside) = beside {
        timed("waiting for the tests of the kernel's ESP", || beside.finish())?;
    }
    match reason {
        None => {
            timed("namespace and interop tests", || interop(&built, None))?;
            if alone {
                timed("tests of the kernel's ESP", || kernel::test(&built, None))?;
            }
        }
        Some(why) if ci() => bail!("under CI the interop tests must run: {why}"),
        Some(why) => skipped.push(format!("namespace, interop and kernel tests: {why}")),
    }
    if exists("cargo-deny") {
        timed("licences", deny)?;
    } else {
        skipped.push("cargo deny: not installed (`cargo install cargo-deny`)".into());
    }
    skipped.push(
        "a peer's regression scenarios: they need a checkout of the peer's suite (tests/scenarios/README.md)"
            .into(),
    );
    println!("\nall passed in {} s", start.elapsed().as_secs());
    for s in &skipped {
        println!("skipped: {s}");
    }
    Ok(())
}
