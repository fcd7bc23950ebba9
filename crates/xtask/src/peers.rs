//! Other people's programs that are not installed, but kept below `target/peers`.
use crate::run::{ci, command, exists, root, run, run_command};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A Python client for vici, from the Python package index.
const PYTHON: &str = "target/peers/python";
/// libreswan, whose Debian package cannot be installed beside strongSwan's.
const LIBRESWAN: &str = "target/peers/libreswan";

/// Gets what is not there yet.
pub(crate) fn get() -> Result<()> {
    let python = root().join(PYTHON);
    if !python.join("vici").is_dir() {
        let target = python.display().to_string();
        run("python3", &["-m", "pip", "install", "--quiet", "--no-deps", "--target", &target, "vici"])?;
    }
    let libreswan = root().join(LIBRESWAN);
    if libreswan.is_dir() {
        return Ok(());
    }
    match (exists("apt-get") && exists("dpkg-deb"), ci()) {
        (true, _) => unpack("libreswan", &libreswan),
        (false, true) => {
            bail!("libreswan, a peer of the tests, is fetched by apt-get and dpkg-deb: they are missing")
        }
        (false, false) => {
            println!("libreswan, a peer of the tests of the kernel's ESP, is left out: there is no apt-get");
            Ok(())
        }
    }
}

/// Unpacks a Debian package, and what it needs and this machine lacks, into a directory.
fn unpack(package: &str, into: &Path) -> Result<()> {
    let out = Command::new("apt-get")
        .args(["-s", "install", "--no-install-recommends", package])
        .env("LC_ALL", "C")
        .output()
        .context("asking apt-get what a package needs")?;
    let said = String::from_utf8_lossy(&out.stdout);
    let wanted = new_packages(&said);
    if !out.status.success() || wanted.is_empty() {
        bail!(
            "apt-get cannot install {package}: run `apt-get update`\n{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    let beside = into.parent().unwrap_or(into);
    fs::create_dir_all(beside)?;
    let scratch = tempfile::tempdir_in(beside)?;
    let mut args = vec!["-q", "-o", "APT::Sandbox::User=root", "download"];
    args.extend(&wanted);
    let mut download = command("apt-get", &args);
    download.current_dir(scratch.path());
    run_command(download)?;
    let new = scratch.path().join("new");
    fs::create_dir(&new)?;
    for entry in fs::read_dir(scratch.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run("dpkg-deb", &["-x", &path.display().to_string(), &new.display().to_string()])?;
        }
    }
    fs::rename(&new, into)?;
    Ok(())
}

/// The packages that apt-get's simulation would install, without headers.
fn new_packages(simulation: &str) -> Vec<&str> {
    let named = simulation.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    named.filter(|name| !name.ends_with("-dev")).collect()
}

#[cfg(test)]
mod tests {
    use super::new_packages;

    #[test]
    fn a_simulation_of_apt_names_the_packages() {
        let said = "Reading package lists...\n\
            Remv strongswan-starter [5.9.8-5+deb12u6]\n\
            Inst libnss3-dev [2:3.87.1-1] (2:3.87.1-1+deb12u4 Debian-Security:12/oldstable [amd64]) []\n\
            Inst libnss3 [2:3.87.1-1] (2:3.87.1-1+deb12u4 Debian-Security:12/oldstable [amd64])\n\
            Inst libreswan (4.10-2+deb12u1 Debian:12.15/oldstable [amd64])\n\
            Conf libreswan (4.10-2+deb12u1 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(new_packages(said), ["libnss3", "libreswan"]);
    }
}
