//! Name servers from the peer, into `resolv.conf` or `resolvconf`, and out again.

use crate::{Attempt, Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What marks a line of ours.
const MARK: &str = "   # by cygnet";

/// Where name servers go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsTarget {
    /// Lines at the top of this file, each marked as ours.
    File(PathBuf),
    /// The program `resolvconf`, under this interface name.
    Resolvconf {
        /// Path of the program.
        program: PathBuf,
        /// Interface label, `lo.ipsec` by default.
        interface: String,
    },
}

impl DnsTarget {
    /// Makes `servers` (in this order) the servers of ours, and only them. None left restores what was before.
    ///
    /// # Errors
    /// The file cannot be written or the program fails.
    pub fn set(&self, servers: &[IpAddr]) -> Result<()> {
        match self {
            Self::File(path) => set_file(path, servers).attempt(|| format!("writing {}", path.display())),
            Self::Resolvconf { program, interface } => set_resolvconf(program, interface, servers),
        }
    }
}

/// Our lines first, so that they win, then the file as others wrote it.
fn set_file(path: &Path, servers: &[IpAddr]) -> io::Result<()> {
    // behind a link is the file that others write
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (old, existed) = match fs::read_to_string(&real) {
        Ok(text) => (text, true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (String::new(), false),
        Err(e) => return Err(e),
    };
    let mut new: String = servers.iter().map(|server| format!("nameserver {server}{MARK}\n")).collect();
    new.extend(old.split_inclusive('\n').filter(|line| !is_ours(line)));
    if new == old {
        return Ok(());
    }
    if existed && new.is_empty() && !old.is_empty() {
        // there was nothing but our lines: the file was ours
        return fs::remove_file(&real);
    }
    replace(&real, &new, existed)
}

fn is_ours(line: &str) -> bool {
    line.starts_with("nameserver ") && line.trim_end_matches('\n').ends_with(MARK)
}

/// Readers see the old or the new file. A mount point or a foreign directory allows only writing in place.
fn replace(path: &Path, text: &str, existed: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".cygnet");
    let beside = path.with_file_name(name);
    let write = || -> io::Result<()> {
        fs::write(&beside, text)?;
        if existed {
            fs::set_permissions(&beside, fs::metadata(path)?.permissions())?;
        }
        fs::rename(&beside, path)
    };
    write().or_else(|_| {
        let _ = fs::remove_file(&beside);
        fs::write(path, text)
    })
}

fn set_resolvconf(program: &Path, interface: &str, servers: &[IpAddr]) -> Result<()> {
    let what = || format!("running {}", program.display());
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = if servers.is_empty() {
        command.args(["-d", interface]).output().attempt(what)?
    } else {
        let mut child = command.args(["-a", interface]).stdin(Stdio::piped()).spawn().attempt(what)?;
        if let Some(mut input) = child.stdin.take() {
            let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
            input.write_all(text.as_bytes()).attempt(what)?;
        }
        child.wait_with_output().attempt(what)?
    };
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect();
    Err(Error::new(what(), io::Error::other(format!("{}: {said}", output.status))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn servers(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|s| s.parse().unwrap()).collect()
    }

    #[test]
    fn lines_come_and_go_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let original = "# mine\nnameserver 192.0.2.1\nsearch example.org"; // no newline at the end
        fs::write(&path, original).unwrap();
        let target = DnsTarget::File(path.clone());
        target.set(&servers(&["10.0.0.1", "2001:db8::1"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("nameserver 10.0.0.1   # by cygnet\nnameserver 2001:db8::1   # by cygnet\n{original}")
        );
        target.set(&servers(&["10.0.0.2"])).unwrap();
        target.set(&servers(&["10.0.0.2"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("nameserver 10.0.0.2   # by cygnet\n{original}")
        );
        target.set(&[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), original);
    }

    #[test]
    fn a_file_of_ours_alone_is_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let target = DnsTarget::File(path.clone());
        target.set(&[]).unwrap();
        assert!(!path.exists());
        target.set(&servers(&["10.0.0.1"])).unwrap();
        assert!(path.exists());
        target.set(&[]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn links_and_permissions_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "search a\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        DnsTarget::File(link.clone()).set(&servers(&["10.0.0.1"])).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::read_to_string(&real).unwrap().starts_with("nameserver 10.0.0.1"));
    }

    #[test]
    fn resolvconf_gets_the_servers_on_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let (program, log) = (dir.path().join("resolvconf"), dir.path().join("log"));
        fs::write(
            &program,
            format!("#!/bin/sh\necho \"$@\" >> {0}\n[ \"$1\" = -d ] || cat >> {0}\n", log.display()),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let target = DnsTarget::Resolvconf { program, interface: "lo.ipsec".into() };
        target.set(&servers(&["10.0.0.1", "10.0.0.2"])).unwrap();
        target.set(&[]).unwrap();
        assert_eq!(
            fs::read_to_string(&log).unwrap(),
            "-a lo.ipsec\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n-d lo.ipsec\n"
        );
    }
}
