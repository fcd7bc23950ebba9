//! Measuring: the programs side by side with their peers, or single crates.
use crate::run::{command, root, run};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// Builds daemon, tool and bench optimised and runs the bench with these words; or, with `--micro`, the crates' own.
pub(crate) fn run_words(words: &[String]) -> Result<()> {
    if let [micro, rest @ ..] = words
        && micro == "--micro"
    {
        let mut args = vec!["bench", "-p", "crypto", "-p", "esp", "-p", "pool", "-p", "ike", "-p", "wire"];
        args.extend(rest.iter().map(String::as_str));
        return run("cargo", &args);
    }
    // Without link-time optimisation, which takes longer than the whole bench: what it brings is not in the figures.
    let quick = ["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"];
    run("cargo", &[&["build", "--release"][..], &quick, &["--workspace", "--bins"]].concat())?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("release/cygnet-bench");
    let mut bench = command(&program.display().to_string(), &[]);
    let status = bench.args(words).status().with_context(|| format!("starting {}", program.display()))?;
    if !status.success() {
        bail!("the bench ended with {status}");
    }
    Ok(())
}
