//! The test programs of the workspace: built all together, so that every crate they depend on is built once, with one
//! set of features, and run by the packages they belong to.
use crate::run::{command, run_command};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// One test program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    /// The package it tests.
    pub(crate) package: String,
    /// The target: the library's or program's name, or the name of a file in `tests/`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// The package's directory, in which its tests run.
    directory: PathBuf,
}

/// Builds the tests of the whole workspace, and our programs, which they start.
///
/// # Errors
/// What cargo says: something does not compile.
pub(crate) fn build() -> Result<Vec<Program>> {
    let messages = messages(&["test", "--workspace", "--no-run", "--lib", "--bins", "--tests"])?;
    let mut found: Vec<Program> = messages.iter().filter_map(program).collect();
    found.sort();
    if found.is_empty() {
        bail!("building the tests: cargo named no test program");
    }
    Ok(found)
}

/// Runs cargo, which says what it has built.
///
/// # Errors
/// Something does not compile; cargo has shown what.
pub(crate) fn messages(words: &[&str]) -> Result<Vec<Value>> {
    println!("\n$ cargo {}", words.join(" "));
    let mut c = command("cargo", words);
    c.args(["--message-format", "json-render-diagnostics"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let out = c.output().context("starting cargo")?;
    if !out.status.success() {
        bail!("cargo {}: {}", words.join(" "), out.status);
    }
    let said = String::from_utf8_lossy(&out.stdout);
    Ok(said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The test program of one of cargo's messages.
fn program(message: &Value) -> Option<Program> {
    if message.pointer("/profile/test")? != &Value::Bool(true) {
        return None;
    }
    let file = PathBuf::from(message.get("executable")?.as_str()?);
    let name = message.pointer("/target/name")?.as_str()?.to_owned();
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    let directory = manifest.parent()?.to_owned();
    // A package is called as its directory is (`cargo xtask imports` sees to it).
    let package = directory.file_name()?.to_str()?.to_owned();
    Some(Program { package, name, file, directory })
}

/// Runs the programs of these packages one after the other, all of them even when one fails.
///
/// # Errors
/// Which failed.
pub(crate) fn run(programs: &[Program], packages: &[&str], words: &[&str]) -> Result<()> {
    let of = |program: &&Program| packages.contains(&program.package.as_str());
    if let Some(package) = packages.iter().find(|name| !programs.iter().any(|p| p.package == **name)) {
        bail!("there are no tests of {package}");
    }
    let mut failed = Vec::new();
    for program in programs.iter().filter(of) {
        let mut c = command(&program.file.display().to_string(), words);
        c.current_dir(&program.directory).env("CARGO_MANIFEST_DIR", &program.directory);
        if run_command(c).is_err() {
            failed.push(format!("{}: {}", program.package, program.name));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{Program, program, run};

    fn said(test: bool, executable: &str) -> serde_json::Value {
        let text = format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/esp/Cargo.toml",
                "target":{{"name":"packets"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_test_programs_are_taken() {
        let found = program(&said(true, "\"/t/packets-1\"")).unwrap();
        assert_eq!((found.package.as_str(), found.name.as_str()), ("esp", "packets"));
        assert_eq!(program(&said(false, "\"/t/cygnetd\"")), None);
        assert_eq!(program(&said(true, "null")), None);
        assert_eq!(program(&serde_json::json!({})), None);
    }

    #[test]
    fn one_failure_is_told_and_the_rest_runs() {
        let at = |package: &str, file: &str| Program {
            package: package.to_owned(),
            name: "all".to_owned(),
            file: file.into(),
            directory: "/".into(),
        };
        let programs = [at("a", "/bin/false"), at("b", "/bin/true"), at("c", "/bin/false")];
        assert!(run(&programs, &["b"], &[]).is_ok());
        let said = run(&programs, &["a", "b", "c"], &[]).unwrap_err().to_string();
        assert_eq!(said, "failed: a: all, c: all");
        assert!(run(&programs, &["b", "d"], &[]).unwrap_err().to_string().contains("no tests of d"));
    }
}
