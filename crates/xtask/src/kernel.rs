//! Tests that need the kernel's own ESP (`kernel_*.rs`), on a kernel that has it.
//!
//! This machine's own kernel is used where it has ESP. Else a distribution's kernel is booted once for all of them,
//! over this machine's files: by `$CYGNET_UML`, a user-mode Linux, or under qemu's software emulation, which is slow.
//! So these tests are few and small, and none of them measures.

mod guest;
mod image;
mod machine;

use crate::run::{command, is_root, root, run, run_command};
use anyhow::{Context, Result, bail};
use machine::Machine;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Crates with such tests.
const CRATES: &[&str] = &["linux", "dataplane", "daemon"];

/// Debian packages of the lab, needed where this machine's kernel has no ESP: `(a file that shows it, package)`.
pub(crate) const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/lib/qemu/virtiofsd", "qemu-system-common"),
    ("/bin/busybox", "busybox-static"),
    ("/usr/bin/objcopy", "binutils"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/bin/zstd", "zstd"),
    ("/sbin/depmod", "kmod"),
    ("/usr/bin/setpriv", "util-linux"),
];

/// Builds the tests and runs them, those that match `filter`.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    if !is_root() {
        bail!("kernel-test: network namespaces and virtual machines need root");
    }
    run("cargo", &["build", "-p", "daemon", "-p", "cli"])?;
    let binaries = binaries()?;
    if binaries.is_empty() {
        bail!("kernel-test: no test binary named kernel_*");
    }
    let script = script(&binaries, filter);
    if own_kernel_has_esp() {
        println!("\nkernel-test: on this machine's own kernel");
        return run_command(command("sh", &["-c", &script]));
    }
    let machine = Machine::choose()?;
    println!("\nkernel-test: this machine's kernel has no ESP, booting {machine}");
    let status = machine.run(&script)?;
    if status != 0 {
        bail!("kernel-test: tests failed (exit status {status})");
    }
    Ok(())
}

/// Whether this machine's kernel can be given an ESP SA with the most usual cipher, tried in a namespace of its own.
pub(crate) fn own_kernel_has_esp() -> bool {
    let add = "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel \
               aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128";
    Command::new("unshare")
        .args(["--net", "sh", "-c", &format!("PATH=$PATH:/sbin:/usr/sbin; {add}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The test binaries by what cargo says it built.
fn binaries() -> Result<Vec<PathBuf>> {
    let mut args = vec!["test", "--no-run", "--message-format", "json", "--test", "kernel_*"];
    CRATES.iter().for_each(|c| args.extend(["-p", c]));
    let out =
        command("cargo", &args).stderr(Stdio::inherit()).output().context("building the kernel tests")?;
    if !out.status.success() {
        bail!("building the kernel tests: {}", out.status);
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let name = message.pointer("/target/name").and_then(Value::as_str).unwrap_or_default();
        let file = message.get("executable").and_then(Value::as_str);
        if let (true, Some(file)) = (name.starts_with("kernel_"), file) {
            found.push(PathBuf::from(file));
        }
    }
    found.sort();
    Ok(found)
}

/// A shell script that runs them all, and fails when one fails.
fn script(binaries: &[PathBuf], filter: Option<&str>) -> String {
    let filter = filter.map(guest::quoted).unwrap_or_default();
    let mut text = format!("cd {}\nfailed=0\n", guest::quoted(&root().display().to_string()));
    for binary in binaries {
        let binary = guest::quoted(&binary.display().to_string());
        text.push_str(&format!("{binary} --ignored --test-threads 1 {filter} || failed=1\n"));
    }
    text.push_str("exit $failed\n");
    text
}

#[cfg(test)]
mod tests {
    use super::script;

    #[test]
    fn one_failure_fails_the_run_and_the_rest_still_runs() {
        let sh = |second: &str| {
            let binaries = ["true", second, "true"].map(|name| format!("/bin/{name}").into());
            std::process::Command::new("sh").args(["-c", &script(&binaries, Some("it's"))]).status().unwrap()
        };
        assert!(sh("true").success());
        assert_eq!(sh("false").code(), Some(1));
    }
}
