//! The program `nft`, which is given rules as text.
//!
//! Its language is the stable and documented face of nf_tables. One call is one transaction: all of it or nothing.

use crate::{Attempt as _, Error, Result};
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Most of what it says in an error.
const SAID: usize = 400;

/// Carries out these commands, all or none.
pub fn run(commands: &str) -> Result<()> {
    call(&["-f", "-"], commands).map(drop)
}

/// Lists a table (`inet cygnet`) as text; `None` if there is none.
pub fn table(family: &str, name: &str) -> Result<Option<String>> {
    match call(&["list", "table", family, name], "") {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn call(words: &[&str], input: &str) -> Result<String> {
    let what = || format!("running nft {}", words.join(" "));
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => io::Error::other("there is no such program; install nftables"),
        _ => e,
    };
    let mut child = Command::new("nft")
        .args(words)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)
        .attempt(what)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It reads all of it before it says anything; who does not read says so by the exit code.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().attempt(what)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(SAID).collect();
    let kind = if said.contains("No such file or directory") {
        io::ErrorKind::NotFound
    } else {
        io::ErrorKind::Other
    };
    Err(Error::new(what(), io::Error::new(kind, format!("{}: {said}", output.status))))
}
