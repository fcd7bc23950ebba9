//! A distribution's kernel for qemu: fetched by apt as it is, unpacked, not installed.
use crate::run::{command, root, run, run_command};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Packages that depend on the kernel of the day, newest first. Small ones, with virtiofs built in.
const WANTED: [&str; 2] = ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"];

/// Unpacked files, kept from run to run: `vmlinux`, `release`, `lib/modules/RELEASE`.
const KEPT: &str = "target/kernel";

/// A kernel to boot.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) vmlinux: PathBuf,
    /// `lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
    pub(crate) release: String,
}

impl Image {
    /// The one that is kept, else fetches it.
    pub(crate) fn get() -> Result<Self> {
        let kept = root().join(KEPT);
        if !kept.join("release").exists() {
            fetch(&kept).context("fetching a kernel to test on")?;
        }
        let release = fs::read_to_string(kept.join("release"))?.trim().to_owned();
        Ok(Self { vmlinux: kept.join("vmlinux"), modules: kept.join("lib/modules").join(&release), release })
    }
}

fn fetch(kept: &Path) -> Result<()> {
    let package = WANTED
        .iter()
        .find_map(|name| depends_on(name))
        .with_context(|| format!("none of {} is known to apt: run `apt-get update`", WANTED.join(", ")))?;
    fs::create_dir_all(kept.parent().unwrap_or(kept))?;
    let beside = tempfile::tempdir_in(kept.parent().unwrap_or(kept))?;
    let at = beside.path();
    let mut download = command("apt-get", &["-q", "-o", "APT::Sandbox::User=root", "download", &package]);
    download.current_dir(at);
    run_command(download)?;
    let package = only(at, ".deb")?;
    run("dpkg-deb", &["-x", &text(&package), &text(at)])?;
    let new = at.join("new");
    fs::create_dir(&new)?;
    let packed = fs::read(only(&at.join("boot"), "vmlinuz-")?)?;
    fs::write(new.join("vmlinux"), unpacked(&packed)?)?;
    fs::rename(at.join("lib"), new.join("lib"))?;
    let release = only(&new.join("lib/modules"), "")?;
    lighten(&release)?;
    let release = release.file_name().unwrap_or_default().to_string_lossy().into_owned();
    run("depmod", &["-b", &text(&new), &release])?;
    fs::write(new.join("release"), release)?;
    if kept.exists() {
        fs::remove_dir_all(kept)?;
    }
    fs::rename(new, kept)?;
    Ok(())
}

/// The image that a package of no content of its own depends on.
fn depends_on(name: &str) -> Option<String> {
    let out = Command::new("apt-cache").args(["depends", name]).output().ok()?;
    let said = String::from_utf8_lossy(&out.stdout);
    said.lines().find_map(|line| {
        let package = line.trim().strip_prefix("Depends: ")?;
        package.starts_with("linux-image-").then(|| package.to_owned())
    })
}

/// The kernel proper within the boot file: under emulation its own unpacker would take long.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const XZ: [u8; 4] = [0xfd, b'7', b'z', b'X'];
    for (magic, program) in [(ZSTD, "zstd"), (XZ, "xz")] {
        let starts = packed.windows(4).enumerate().filter(|(_, w)| *w == magic).map(|(at, _)| at);
        for start in starts {
            let elf = filter(program, packed.get(start..).unwrap_or_default())?;
            if elf.starts_with(b"\x7fELF") {
                return Ok(elf);
            }
        }
    }
    bail!("the kernel's boot file has no image packed by zstd or xz");
}

/// What `PROGRAM -dc` makes of these bytes; rubbish behind them does not matter.
fn filter(program: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), bytes)?;
    let out = Command::new(program)
        .args(["-d", "-c", "-q"])
        .stdin(fs::File::open(file.path())?)
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("running {program}"))?;
    Ok(out.stdout)
}

/// Modules as they are quickest to load: not packed, without debug data and signature.
fn lighten(modules: &Path) -> Result<()> {
    let at = text(modules);
    let find = "find \"$1\" -name '*.ko.xz' -print0 | xargs -0 -r xz -d
                find \"$1\" -name '*.ko' -print0 | xargs -0 -r -n 100 sh -c 'for f; do objcopy -g -R .BTF \"$f\" || exit 1; done' sh";
    run("sh", &["-ec", find, "sh", &at])
}

/// The one entry of a directory whose name contains `part`.
fn only(directory: &Path, part: &str) -> Result<PathBuf> {
    fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)))
        .with_context(|| format!("nothing named *{part}* in {}", directory.display()))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
