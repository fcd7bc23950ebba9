//! Running programs, with what runs shown first.
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// A command in the workspace root.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut c = Command::new(program);
    c.args(args).current_dir(root());
    c
}

/// Runs a command, output passed through; an exit status other than 0 is an error.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    run_command(command(program, args))
}

/// As [`run`], for a prepared command.
pub(crate) fn run_command(mut c: Command) -> Result<()> {
    let shown = format!("{:?}", c).replace('"', "");
    println!("\n$ {shown}");
    let status = c.stdin(Stdio::null()).status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Is the program on the PATH?
pub(crate) fn exists(program: &str) -> bool {
    let sbin = ["/usr/sbin", "/sbin", "/usr/lib/ipsec"].map(PathBuf::from);
    std::env::var_os("PATH")
        .map(|p| std::env::split_paths(&p).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .chain(sbin)
        .any(|d| d.join(program).is_file())
}

/// Running as CI: what is missing is a failure.
pub(crate) fn ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}

/// Running as root?
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|s| {
        s.lines().any(|l| l.strip_prefix("Uid:").is_some_and(|u| u.split_whitespace().nth(1) == Some("0")))
    })
}
