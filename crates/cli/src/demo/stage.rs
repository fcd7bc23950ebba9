//! The network and the daemons in it.
//!
//! ```text
//! office host ---- gateway ======== internet ======== NAT router ---- client
//! 10.1.0.10        10.1.0.1  192.0.2.1     192.0.2.2   192.168.1.1    192.168.1.100
//! ```
use crate::exit::{FAILED, Failure, NOT_HERE};
use linux::netns::{self, Namespace};
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vici::Client;

/// The host in the office.
pub(super) const OFFICE_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 10));
/// The same, by its other address.
pub(super) const OFFICE_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0x10, 1, 0, 0, 0, 0, 0x10));

/// How long a daemon may take to open its socket.
const READY: Duration = Duration::from_secs(20);
/// How long a daemon may take to end.
const END: Duration = Duration::from_secs(10);

/// The namespaces, cabled and addressed.
pub(super) struct Stage {
    pub(super) office: Namespace,
    pub(super) gateway: Namespace,
    /// Held, for a namespace lives as long as somebody holds it.
    _router: Namespace,
    pub(super) client: Namespace,
    /// Whether the router translates, or why not.
    pub(super) nat: Result<(), String>,
}

/// Whether this process was root before it made namespaces.
pub(super) fn is_root() -> bool {
    *ROOT.get_or_init(linux::privilege::is_root)
}

static ROOT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();

/// Makes sure namespaces and TUN devices can be made, as root or in a user namespace.
pub(super) fn privileges() -> Result<(), Failure> {
    if !Path::new("/dev/net/tun").exists() {
        return Err(Failure::new(
            NOT_HERE,
            "/dev/net/tun is missing: the tunnel's packets come and go through it",
        )
        .hint("load the module (modprobe tun), or give the container the device (--device /dev/net/tun)"));
    }
    if is_root() {
        return Ok(());
    }
    netns::become_root().map_err(|error| {
        Failure::new(NOT_HERE, format_args!("not root, and user namespaces are not allowed here: {error}"))
            .hint("run it with sudo, or allow them: sysctl kernel.unprivileged_userns_clone=1")
            .hint("on Ubuntu also: sysctl kernel.apparmor_restrict_unprivileged_userns=0")
    })
}

impl Stage {
    pub(super) fn build() -> Result<Self, Failure> {
        let make = || {
            Namespace::create().map_err(|error| {
                Failure::new(NOT_HERE, format_args!("network namespaces cannot be made here: {error}"))
                    .hint("in a container, add the capability SYS_ADMIN (docker run --privileged), or run on the host")
            })
        };
        let (office, gateway, router, client) = (make()?, make()?, make()?, make()?);
        let failed =
            |error: linux::Error| Failure::new(NOT_HERE, format_args!("setting up the network: {error}"));
        netns::cable(&office, "eth0", &gateway, "lan0").map_err(failed)?;
        netns::cable(&gateway, "wan0", &router, "wan0").map_err(failed)?;
        netns::cable(&router, "lan0", &client, "eth0").map_err(failed)?;
        for (place, interface, address) in [
            (&office, "eth0", "10.1.0.10/16"),
            (&office, "eth0", "fd00:10:1::10/64"),
            (&gateway, "lan0", "10.1.0.1/16"),
            (&gateway, "lan0", "fd00:10:1::1/64"),
            (&gateway, "wan0", "192.0.2.1/24"),
            (&router, "wan0", "192.0.2.2/24"),
            (&router, "lan0", "192.168.1.1/24"),
            (&client, "eth0", "192.168.1.100/24"),
        ] {
            place.configure(interface, net(address)?).map_err(failed)?;
        }
        for (place, destination, via) in [
            (&office, "10.3.0.0/24", "10.1.0.1"),
            (&office, "fd00:10:3::/120", "fd00:10:1::1"),
            (&client, "0.0.0.0/0", "192.168.1.1"),
        ] {
            let via = via.parse().map_err(|error| Failure::new(FAILED, format_args!("{via}: {error}")))?;
            place.route(net(destination)?, via).map_err(failed)?;
        }
        gateway.forward().map_err(failed)?;
        router.forward().map_err(failed)?;
        let nat = router
            .run(|| netns::nat::masquerade("wan0", false))
            .map_err(failed)?
            .map_err(|error| error.to_string());
        if nat.is_err() {
            // Then the gateway must know the way back.
            let via = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
            gateway.route(net("192.168.1.0/24")?, via).map_err(failed)?;
        }
        Ok(Self { office, gateway, _router: router, client, nat })
    }
}

fn net<N>(text: &str) -> Result<N, Failure>
where
    N: std::str::FromStr,
    N::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::new(FAILED, format_args!("{text}: {error}")))
}

/// Every process started and every directory made, so that none outlives the demo however that ends.
#[derive(Clone, Default)]
pub(super) struct Reaper(Arc<Mutex<Vec<(Child, tempfile::TempDir)>>>);

impl Reaper {
    /// Ends all: asks first, kills what does not listen. How many had to be killed.
    pub(super) fn end_all(&self) -> usize {
        let mut children = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (child, _) in &children {
            linux::process::terminate(child.id());
        }
        let deadline = Instant::now() + END;
        let mut killed = 0;
        for (child, _) in &mut children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            if matches!(child.try_wait(), Ok(None)) {
                killed += 1;
                drop(child.kill());
                drop(child.wait());
            }
        }
        killed
    }

    fn ended(&self, pid: u32) -> Option<std::process::ExitStatus> {
        let mut children = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        children.iter_mut().find(|(child, _)| child.id() == pid)?.0.try_wait().ok()?
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The last one to know the children ends them, also on the way out of a panic.
        if Arc::strong_count(&self.0) == 1 {
            self.end_all();
        }
    }
}

/// A running cygnetd.
pub(super) struct Daemon {
    name: &'static str,
    pub(super) pid: u32,
    /// What it prints.
    pub(super) log: PathBuf,
    reaper: Reaper,
}

impl Daemon {
    /// Starts it inside a namespace, with a `/run` of its own, from the strongswan.conf in `directory`.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        directory: &Path,
        place: &Namespace,
        reaper: &Reaper,
    ) -> Result<Self, Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(FAILED, format_args!("starting cygnetd on the {name}: {what}: {error}"))
        };
        let logs = tempfile::Builder::new()
            .prefix("cygnet-demo-")
            .tempdir()
            .map_err(|error| failed("a directory for its log", &error))?;
        let log = logs.path().join(format!("{name}.log"));
        let output = std::fs::File::create(&log).map_err(|error| failed("its log", &error))?;
        let errors = output.try_clone().map_err(|error| failed("its log", &error))?;
        let directory = directory.canonicalize().map_err(|error| failed("its configuration", &error))?;
        let mut command = Command::new(program);
        command
            .env("STRONGSWAN_CONF", directory.join("strongswan.conf"))
            .env("SWANCTL_DIR", &directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C is for the demo, which then ends the daemons in order.
            .process_group(0);
        place.confine(&mut command, &[Path::new("/run")]).map_err(|error| failed("its namespace", &error))?;
        let child = command.spawn().map_err(|error| failed(&program.display().to_string(), &error))?;
        let pid = child.id();
        reaper.0.lock().unwrap_or_else(PoisonError::into_inner).push((child, logs));
        let daemon = Self { name, pid, log, reaper: reaper.clone() };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Its socket, as seen from outside its mount namespace.
    pub(super) fn uri(&self) -> String {
        format!("unix:///proc/{}/root/run/charon.vici", self.pid)
    }

    pub(super) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.uri(), Some(Duration::from_secs(30)))
            .map_err(|error| self.explain(Failure::new(FAILED, error)))
    }

    fn wait(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY;
        loop {
            if Client::connect(&self.uri(), None).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.reaper.ended(self.pid) {
                return Err(self.explain(Failure::new(
                    FAILED,
                    format_args!("cygnetd on the {} ended: {status}", self.name),
                )));
            }
            if Instant::now() > deadline {
                let text = format!(
                    "cygnetd on the {} did not open its socket within {} s",
                    self.name,
                    READY.as_secs()
                );
                return Err(self.explain(Failure::new(FAILED, text)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Adds the end of its log to a failure.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(15)..];
        let mut failure = failure.hint(format_args!("the {} said last:", self.name));
        for line in tail {
            failure = failure.hint(format_args!("  {}", crate::out::clean(line)));
        }
        failure
    }
}
