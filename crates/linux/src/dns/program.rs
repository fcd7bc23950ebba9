//! The program `resolvconf`: Debian's, openresolv's or systemd's.

use crate::{Attempt, Error, Result};
use std::io;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long it may run.
const LIMIT: Duration = Duration::from_secs(10);
/// Most of what it says in an error.
const SAID: usize = 200;

/// Hands these over under the name of an interface, or withdraws that name.
pub(super) async fn set(
    program: &str,
    interface: &str,
    servers: &[IpAddr],
    domains: &[String],
) -> Result<()> {
    let verb = if servers.is_empty() { "-d" } else { "-a" };
    let what = || format!("running {program} {verb} {interface}");
    let mut input: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    if !domains.is_empty() && !servers.is_empty() {
        input.push_str(&format!("search {}\n", domains.join(" ")));
    }
    // As charon has it, the path is a command for the shell.
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("{program} \"$@\""), "resolvconf", verb, interface])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .attempt(what)?;
    let run = async {
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read its input says so by its exit code.
            let _unread = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(LIMIT, run).await {
        Ok(output) => output.attempt(what)?,
        Err(_) => {
            return Err(Error::new(what(), io::Error::other(format!("it runs for more than {LIMIT:?}"))));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(SAID).collect();
    Err(Error::new(what(), io::Error::other(format!("{}: {said}", output.status))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn program(dir: &Path, body: &str) -> String {
        let path = dir.join("resolvconf");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}\n", dir.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[tokio::test]
    async fn it_gets_the_servers_on_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let program = program(dir.path(), "echo \"$@\" >> log; [ \"$1\" = -d ] || cat >> log");
        let servers: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].iter().map(|s| s.parse().unwrap()).collect();
        set(&program, "lo.ipsec", &servers, &["corp.example".into()]).await.unwrap();
        set(&format!("/usr/bin/env {program}"), "lo.ipsec", &[], &["corp.example".into()]).await.unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("log")).unwrap(),
            "-a lo.ipsec\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch corp.example\n-d lo.ipsec\n"
        );
    }

    #[tokio::test]
    async fn what_it_complains_of_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let program = program(dir.path(), "echo no such interface >&2; exit 3");
        let error = set(&program, "x", &[], &[]).await.unwrap_err().to_string();
        assert!(error.contains("-d x: exit status: 3: no such interface"), "{error}");
        let error = set("/nonexistent/resolvconf", "x", &[], &[]).await.unwrap_err().to_string();
        assert!(error.contains("not found"), "{error}");
    }
}
