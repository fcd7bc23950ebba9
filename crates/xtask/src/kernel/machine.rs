//! The machine that boots the kernel: user-mode Linux or qemu, and its time limit.
use super::guest::Guest;
use super::image::Image;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The whole boot, at most; `CYGNET_KERNEL_LIMIT` in seconds changes it.
const LIMIT: Duration = Duration::from_secs(2700);
/// For the file server's socket to appear.
const SOCKET: Duration = Duration::from_secs(10);
/// MiB.
const MEMORY: u32 = 1536;
/// What plain cryptography of today needs; more (AVX, five-level paging) makes emulation slower.
const PROCESSOR: &str = "qemu64,+aes,+pclmulqdq,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand";
/// File server for the guest's root.
const VIRTIOFSD: &str = "/usr/lib/qemu/virtiofsd";

/// How a kernel is booted.
#[derive(Debug)]
pub(crate) enum Machine {
    /// A user-mode Linux, and its modules where they are not built in.
    Uml { kernel: PathBuf, modules: Option<PathBuf> },
    /// Software emulation.
    Qemu(Image),
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uml { kernel, .. } => write!(f, "user-mode Linux {}", kernel.display()),
            Self::Qemu(image) => write!(f, "Linux {} under qemu", image.release),
        }
    }
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Machine {
    /// User-mode Linux where `$CYGNET_UML` names one, else qemu.
    pub(crate) fn choose() -> Result<Self> {
        if let Some(kernel) = std::env::var_os("CYGNET_UML").map(PathBuf::from) {
            if !kernel.is_file() {
                bail!("CYGNET_UML: there is no {}", kernel.display());
            }
            let modules = std::env::var_os("CYGNET_UML_MODULES").map(PathBuf::from);
            return Ok(Self::Uml { kernel, modules });
        }
        let missing: Vec<&str> = super::PACKAGES
            .iter()
            .filter(|(file, _)| !Path::new(file).exists())
            .map(|(_, package)| *package)
            .collect();
        if !missing.is_empty() {
            bail!("booting a kernel needs {}: run `cargo xtask packages`", missing.join(" "));
        }
        Ok(Self::Qemu(Image::get()?))
    }

    /// Boots, runs the script as root, passes its output on, to a file if there is one; its exit status.
    pub(crate) fn run(&self, script: &str, out: Option<fs::File>) -> Result<i32> {
        let out = out.map_or_else(Stdio::inherit, Stdio::from);
        let modules = match self {
            Self::Uml { modules, .. } => modules.as_deref(),
            Self::Qemu(image) => Some(image.modules.as_path()),
        };
        let guest = Guest::new(script, modules)?;
        let limit = std::env::var("CYGNET_KERNEL_LIMIT").ok().and_then(|text| text.parse().ok());
        let end = Instant::now() + limit.map_or(LIMIT, Duration::from_secs);
        let (_files, mut machine) = match self {
            Self::Uml { kernel, .. } => (None, uml(kernel, &guest, out)?),
            Self::Qemu(image) => {
                let files = file_server(&guest)?;
                (Some(files), qemu(image, &guest, out)?)
            }
        };
        let in_time = loop {
            if machine.0.try_wait()?.is_some() {
                break true;
            }
            if Instant::now() > end {
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        drop(machine);
        let console = guest.console();
        for line in console.lines().filter(|line| is_trouble(line)) {
            println!("kernel: {line}");
        }
        if !in_time {
            bail!("kernel-test: not done in time; CYGNET_KERNEL_LIMIT=seconds gives more");
        }
        guest.status().with_context(|| {
            let lines: Vec<&str> = console.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n");
            let said = fs::read_to_string(guest.path("machine.log")).unwrap_or_default();
            format!("kernel-test: the booted kernel gave no exit status; its console ended:\n{tail}\n{said}")
        })
    }
}

/// A line of the console that somebody should see.
fn is_trouble(line: &str) -> bool {
    ["BUG:", "Oops", "WARNING:", "Call Trace", "general protection", "kernel-test:", "Kernel panic"]
        .iter()
        .any(|word| line.contains(word))
}

/// A program that ends when we do, whatever happens to us. Its descriptor 3 is its standard output. It goes before what
/// is beside it: the tests in it have limits of time.
fn bound(program: &str) -> Command {
    let mut c = Command::new("sh");
    c.args(["-c", "exec nice -n -10 setpriv --pdeathsig KILL \"$@\" 3>&1", "sh", program])
        .stdin(Stdio::null());
    c
}

fn started(mut c: Command, what: &str) -> Result<Running> {
    c.spawn().map(Running).with_context(|| format!("starting {what}"))
}

fn file_server(guest: &Guest) -> Result<Running> {
    let socket = guest.path("files");
    let log = fs::File::create(guest.path("files.log"))?;
    let mut c = bound(VIRTIOFSD);
    c.arg(format!("--socket-path={}", socket.display()))
        .args(["-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot", "-o", "log_level=err"])
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut server = started(c, "virtiofsd")?;
    let end = Instant::now() + SOCKET;
    while !socket.exists() {
        if server.0.try_wait()?.is_some() || Instant::now() > end {
            let said = fs::read_to_string(guest.path("files.log")).unwrap_or_default();
            bail!("virtiofsd did not start: {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

fn qemu(image: &Image, guest: &Guest, out: Stdio) -> Result<Running> {
    let run = guest.path("");
    let run = run.display().to_string();
    let run = run.trim_end_matches('/');
    let append = format!(
        "console=ttyS0 panic=-1 reboot=t root=files rootfstype=virtiofs rw mitigations=off pti=off nokaslr \
         tsc=reliable no_timer_check fb_tunnels=none audit=0 apparmor=0 random.trust_cpu=on init={run}/init -- {run}"
    );
    let mut c = bound("qemu-system-x86_64");
    c.args(["-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", PROCESSOR, "-smp", "1"])
        .args(["-m", &format!("{MEMORY}M")])
        .args(["-object", &format!("memory-backend-memfd,id=mem,size={MEMORY}M,share=on")])
        .args(["-numa", "node,memdev=mem"])
        .args(["-chardev", &format!("socket,id=files,path={run}/files")])
        .args(["-device", "vhost-user-fs-pci,chardev=files,tag=files"])
        .args(["-chardev", &format!("file,id=console,path={run}/console"), "-serial", "chardev:console"])
        // Not the stdio device: with nothing to read it hangs up, and the guest's writes wait for ever.
        .args(["-add-fd", "fd=3,set=1", "-chardev", "file,id=out,path=/dev/fdset/1,append=on"])
        .args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=out,nr=1"])
        .arg("-kernel")
        .arg(&image.vmlinux)
        .args(["-append", &append])
        .stdout(out)
        .stderr(fs::File::create(guest.path("machine.log"))?);
    started(c, "qemu-system-x86_64")
}

fn uml(kernel: &Path, guest: &Guest, out: Stdio) -> Result<Running> {
    let run = guest.path("");
    let run = run.display().to_string();
    let run = run.trim_end_matches('/');
    // Without setarch -R it may leave a random gap of up to a gigabyte in its memory.
    let mut c = bound("setarch");
    c.arg("-R")
        .arg(kernel)
        .arg(format!("mem={MEMORY}M"))
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw"])
        .args(["con=null", "con0=null,fd:2", "ssl=null", "ssl0=null,fd:1"])
        .args([&format!("uml_dir={run}"), "umid=uml", "panic=-1", "fb_tunnels=none"])
        .args([&format!("init={run}/init"), "--", run])
        .env("TMPDIR", "/dev/shm")
        .stdout(out)
        .stderr(fs::File::create(guest.path("console"))?);
    started(c, "user-mode Linux")
}
