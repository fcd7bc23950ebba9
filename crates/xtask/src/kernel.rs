//! Tests that need the kernel's own ESP (`kernel_*.rs`), on a kernel that has it.
//!
//! This machine's own kernel is used where it has ESP. Else a distribution's kernel is booted once for all of them,
//! over this machine's files: by `$CYGNET_UML`, a user-mode Linux, or under qemu's software emulation, which is slow.
//! So these tests are few and small, and none of them measures.

mod guest;
mod image;
mod machine;

use crate::programs::Program;
use crate::run::{command, is_root, root, run_command};
use anyhow::{Result, anyhow, bail};
use machine::Machine;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

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

/// Runs the tests, those that match `filter`.
pub(crate) fn test(programs: &[Program], filter: Option<&str>) -> Result<()> {
    if !is_root() {
        bail!("kernel-test: network namespaces and virtual machines need root");
    }
    let script = script(&ours(programs)?, filter);
    if own_kernel_has_esp() {
        println!("\nkernel-test: on this machine's own kernel");
        return run_command(command("sh", &["-c", &script]));
    }
    let machine = Machine::choose()?;
    println!("\nkernel-test: this machine's kernel has no ESP, booting {machine}");
    judge(machine.run(&script, None)?)
}

/// All of them, in a booted kernel, while something else goes on here.
pub(crate) struct Beside {
    machine: JoinHandle<Result<i32>>,
    said: tempfile::NamedTempFile,
}

impl Beside {
    /// Boots; `None` where this machine's own kernel will do, as tests on it are in the way of others.
    pub(crate) fn start(programs: &[Program]) -> Result<Option<Self>> {
        if own_kernel_has_esp() {
            return Ok(None);
        }
        let script = script(&ours(programs)?, None);
        let machine = Machine::choose()?;
        println!("\nkernel-test: this machine's kernel has no ESP, booting {machine} beside what follows");
        let said = tempfile::NamedTempFile::new()?;
        // For writing only: qemu takes the descriptor as it is.
        let out = fs::OpenOptions::new().append(true).open(said.path())?;
        let machine = std::thread::spawn(move || machine.run(&script, Some(out)));
        Ok(Some(Self { machine, said }))
    }

    /// Waits for the end, and shows what was said.
    pub(crate) fn finish(self) -> Result<()> {
        let outcome = self.machine.join().map_err(|_| anyhow!("kernel-test: the thread panicked"))?;
        print!("{}", String::from_utf8_lossy(&fs::read(self.said.path()).unwrap_or_default()));
        judge(outcome?)
    }
}

fn judge(status: i32) -> Result<()> {
    if status == 0 { Ok(()) } else { bail!("kernel-test: tests failed (exit status {status})") }
}

/// The programs with such tests.
fn ours(programs: &[Program]) -> Result<Vec<&Path>> {
    let of = |p: &&Program| CRATES.contains(&p.package.as_str()) && p.name.starts_with("kernel_");
    let found: Vec<&Path> = programs.iter().filter(of).map(|p| p.file.as_path()).collect();
    if found.is_empty() { bail!("kernel-test: no test program named kernel_*") } else { Ok(found) }
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

/// A shell script that runs them all, and fails when one fails.
fn script(programs: &[&Path], filter: Option<&str>) -> String {
    let filter = filter.map(guest::quoted).unwrap_or_default();
    let mut text = format!("cd {}\nfailed=0\n", guest::quoted(&root().display().to_string()));
    for file in programs {
        let file = guest::quoted(&file.display().to_string());
        text.push_str(&format!("{file} --ignored --test-threads 1 {filter} || failed=1\n"));
    }
    text.push_str("exit $failed\n");
    text
}

#[cfg(test)]
mod tests {
    use super::script;
    use std::path::Path;

    #[test]
    fn one_failure_fails_the_run_and_the_rest_still_runs() {
        let sh = |second: &str| {
            let files = ["/bin/true", second, "/bin/true"].map(Path::new);
            std::process::Command::new("sh").args(["-c", &script(&files, Some("it's"))]).status().unwrap()
        };
        assert!(sh("/bin/true").success());
        assert_eq!(sh("/bin/false").code(), Some(1));
    }
}
