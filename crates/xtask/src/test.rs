//! The test run: what CI does, step by step, and what was skipped and why.
use crate::run::{ci, command, exists, is_root, run, run_command};
use crate::{count, docs, imports, kernel, packages, sizes};
use anyhow::{Result, bail};
use std::time::Instant;

/// Crates whose tests need neither root nor a peer.
pub(crate) const PURE: &[&str] = &[
    "wire", "crypto", "policy", "pki", "eap", "radius", "ike", "esp", "pool", "dhcp", "config", "vici",
    "cli", "loadtest", "testkit", "bench", "count", "xtask",
];
/// Crates with tests that open sockets, TUN devices and namespaces, or start peers.
const REAL: &[&str] = &["linux", "dataplane", "token", "sql", "daemon"];

/// Format, lints, structure.
pub(crate) fn check() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    imports::check()?;
    sizes::check()?;
    docs::check()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Unit, property and simulation tests.
pub(crate) fn unit() -> Result<()> {
    let mut args = vec!["test"];
    PURE.iter().for_each(|c| args.extend(["-p", c]));
    run("cargo", &args)
}

/// Tests with real parts. One at a time: they measure loss on two cores.
pub(crate) fn interop(filter: Option<&str>) -> Result<()> {
    run("cargo", &["build", "-p", "daemon", "-p", "cli"])?;
    let mut args = vec!["test"];
    REAL.iter().for_each(|c| args.extend(["-p", c]));
    args.push("--");
    args.extend(["--test-threads", "1"]);
    args.extend(filter);
    run("cargo", &args)
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

/// Everything, in the order a contributor feels it.
pub(crate) fn all() -> Result<()> {
    let start = Instant::now();
    let mut skipped: Vec<String> = Vec::new();
    let timed = |name: &str, f: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        let t = Instant::now();
        println!("\n== {name}");
        f()?;
        println!("== {name}: {} s", t.elapsed().as_secs());
        Ok(())
    };
    let mut left = Vec::new();
    timed("packages", &mut || {
        left = packages::install()?;
        Ok(())
    })?;
    timed("format, structure, lints", &mut check)?;
    timed("unit, property and simulation tests", &mut unit)?;
    match count::hindrance() {
        None => timed("instruction counts", &mut || count::run(&[]))?,
        Some(why) if ci() => bail!("under CI instructions must be counted: {why}"),
        Some(why) => skipped.push(format!("instruction counts: {why}")),
    }
    let reason = match (is_root(), left.is_empty()) {
        (true, true) => None,
        (false, _) => Some("namespaces and TUN devices need root".to_owned()),
        (true, false) => Some(format!("packages are missing: {}", left.join(" "))),
    };
    match reason {
        None => {
            timed("namespace and interop tests", &mut || interop(None))?;
            timed("tests of the kernel's ESP", &mut || kernel::test(None))?;
        }
        Some(why) if ci() => bail!("under CI the interop tests must run: {why}"),
        Some(why) => skipped.push(format!("namespace, interop and kernel tests: {why}")),
    }
    if exists("cargo-deny") {
        timed("licences", &mut deny)?;
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
