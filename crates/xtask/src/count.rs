//! Instruction counts: what valgrind counts in `crates/count`, against the bounds in `crates/count/bounds.txt`.
//!
//! A count does not depend on how busy a machine is, nor on which one it is: valgrind shows every program the same
//! processor (one with AVX2 and without AVX-512 and SHA extensions), wherever the real one has what that one has.
mod bounds;

use crate::programs;
use crate::run::{command, exists, root};
use anyhow::{Context, Result, bail};
use bounds::Bounds;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where the bounds are.
const FILE: &str = "crates/count/bounds.txt";
/// What the real processor must have, so that valgrind shows the one that the bounds are for.
const FLAGS: &[&str] = &["avx2", "aes", "pclmulqdq", "bmi1", "bmi2", "f16c", "rdrand"];

/// Why nothing can be counted here; `None`: it can.
pub(crate) fn hindrance() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the bounds are for x86-64".to_owned());
    }
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let lacks: Vec<&str> =
        FLAGS.iter().copied().filter(|flag| !flags.split_whitespace().any(|f| f == *flag)).collect();
    if !lacks.is_empty() {
        return Some(format!("the bounds are for processors with {}", lacks.join(", ")));
    }
    (!exists("valgrind")).then(|| "valgrind is not installed (`cargo xtask packages`)".to_owned())
}

/// Counts and compares. `--accept` puts what is out of bounds into the file; other words are beginnings of names, to
/// count only these.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(why) = hindrance() {
        bail!("count: {why}");
    }
    let accept = args.iter().any(|arg| arg == "--accept");
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--accept").collect();
    if let Some(option) = wanted.iter().find(|word| word.starts_with('-')) {
        bail!("count: no option '{option}'; there is --accept");
    }
    let file = root().join(FILE);
    let text = std::fs::read_to_string(&file).with_context(|| FILE.to_owned())?;
    let bounds = Bounds::parse(&text).with_context(|| FILE.to_owned())?;
    let program = build()?;
    let counts = measure(&program, &wanted)?;
    if counts.is_empty() {
        bail!("count: nothing is called {}", wanted.join(" or "));
    }
    let report = bounds.compare(&counts, wanted.is_empty());
    print!("{report}");
    if accept {
        let new = bounds.accept(&counts, wanted.is_empty());
        if new != text {
            std::fs::write(&file, new)?;
            println!("count: {FILE} has the new counts; the commit that brings them says why");
        }
        return Ok(());
    }
    if report.faults() > 0 {
        bail!(
            "count: {} out of bounds. Where that is meant, `cargo xtask count --accept` puts the new counts into {FILE}",
            report.faults()
        );
    }
    Ok(())
}

/// Builds the program; gives where it is. It is chosen from the whole workspace, so that what it depends on has the
/// features it has for the tests, and is not built once more.
fn build() -> Result<PathBuf> {
    let profile = ["build", "--config", "crates/count/profile.toml", "--workspace", "--bench", "count"];
    let messages = programs::messages(&profile)?;
    let executable = |m: &Value| m.get("executable").and_then(Value::as_str).map(PathBuf::from);
    messages.iter().filter_map(executable).next_back().context("cargo does not say where the program is")
}

/// Runs the program under callgrind. Gives the instructions for one time of each thing.
fn measure(program: &Path, wanted: &[&str]) -> Result<BTreeMap<String, u64>> {
    let dir = tempfile::tempdir()?;
    let dumps = dir.path().join("dump");
    let mut c = command("valgrind", &["--tool=callgrind", "--quiet"]);
    c.arg(format!("--callgrind-out-file={}", dumps.display()))
        .args(["--toggle-collect=count::meter::measured", "--dump-before=count::meter::written"])
        .arg(program)
        .args(wanted)
        // Nothing of the surroundings may choose another implementation of anything.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    println!("\n$ valgrind --tool=callgrind {} {}", program.display(), wanted.join(" "));
    let out = c.output().context("valgrind")?;
    if !out.status.success() {
        bail!("count: {} under valgrind: {}", program.display(), out.status);
    }
    let mut counts = BTreeMap::new();
    for (number, line) in String::from_utf8_lossy(&out.stdout).lines().enumerate() {
        let (name, times) = line.rsplit_once(' ').with_context(|| format!("'{line}' is no count"))?;
        let times: u64 = times.parse().with_context(|| format!("'{line}' is no count"))?;
        let path = dir.path().join(format!("dump.{}", number + 1));
        let dump = std::fs::read_to_string(&path).with_context(|| format!("the dump of {name}"))?;
        let total = bounds::total(&dump).with_context(|| format!("the dump of {name}"))?;
        if total == 0 || times == 0 {
            bail!("count: nothing was counted of {name}");
        }
        counts.insert(name.to_owned(), total.div_ceil(times));
    }
    Ok(counts)
}
