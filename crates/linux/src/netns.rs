//! Network namespaces: those an administrator has named are entered; those of tests and the demo are made, joined by
//! virtual cables, entered by threads and by programs to be started, without the `ip` program.
//!
//! A namespace made here lives as long as a descriptor, a thread or a process holds it: nothing is mounted, nothing is left
//! behind after a crash.
#![allow(unsafe_code, reason = "a started program enters its namespace between fork and exec")]

pub mod nat;

use crate::netlink::{LOCAL, MAIN, Netlink, PathQuery, Route};
use crate::{Attempt, Error, Result};
use ipnet::IpNet;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid};
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// The calling thread's namespace.
    ///
    /// # Errors
    /// No `/proc`.
    pub fn current() -> Result<Self> {
        let file =
            File::open("/proc/thread-self/ns/net").attempt(|| "opening this network namespace".to_owned())?;
        Ok(Self { file })
    }

    /// The one that `ip netns add` has given this name.
    ///
    /// # Errors
    /// `ENOENT` where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let what = || format!("opening network namespace '{name}' (ip netns list shows all)");
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(Error::new(what(), io::Error::from_raw_os_error(libc::ENOENT)));
        }
        let file = File::open(Path::new("/run/netns").join(name)).attempt(what)?;
        Ok(Self { file })
    }

    /// A new one with its loopback interface up.
    ///
    /// # Errors
    /// Needs CAP_SYS_ADMIN: root, or a user namespace ([`become_root`]).
    pub fn create() -> Result<Self> {
        // a thread of its own, since unshare moves the thread that calls it
        thread::scope(|scope| {
            scope
                .spawn(|| -> Result<Self> {
                    unshare(CloneFlags::CLONE_NEWNET).attempt(|| "making a network namespace".to_owned())?;
                    let mut netlink = Netlink::open()?;
                    let index = netlink.link_index("lo")?;
                    netlink.set_up(index, true)?;
                    Self::current()
                })
                .join()
                .unwrap_or_else(|_| Err(died()))
        })
    }

    /// Moves the calling thread into this namespace, for good. For a thread that does nothing else.
    ///
    /// # Errors
    /// The system's.
    pub fn enter(&self) -> Result<()> {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
            .attempt(|| "entering a network namespace".to_owned())
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. Sockets opened there stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the thread panicked.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| -> Result<T> {
                    self.enter()?;
                    Ok(work())
                })
                .join()
                .unwrap_or_else(|_| Err(died()))
        })
    }

    /// A program started with `command` will run inside this namespace; with `private`, these directories are
    /// fresh and empty for it (`/run`, `/etc/swanctl`, …), nobody else sees what is in them, and all its other
    /// mounts are private too.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn confine(&self, command: &mut Command, private: &[&Path]) -> Result<()> {
        let file = self.file.try_clone().attempt(|| "copying a namespace's descriptor".to_owned())?;
        let private: Vec<PathBuf> = private.iter().map(|p| (*p).to_owned()).collect();
        let enter = move || -> io::Result<()> {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            if !private.is_empty() {
                unshare(CloneFlags::CLONE_NEWNS)?;
                mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            }
            for directory in &private {
                mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only; what it needs was allocated before,
        // and nix copies short paths to the stack.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    /// Adds an address to an interface inside and brings the interface up. The address can be used at once.
    ///
    /// # Errors
    /// The system's.
    pub fn configure(&self, interface: &str, address: IpNet) -> Result<()> {
        self.run(|| -> Result<()> {
            let mut netlink = Netlink::open()?;
            let index = netlink.link_index(interface)?;
            netlink.set_up(index, true)?;
            netlink.add_address(index, address.addr(), address.prefix_len())?;
            if address.addr().is_ipv4() {
                return Ok(());
            }
            // a v6 address gets its local route from a worker of the kernel, later
            patiently(&format!("address {address}"), || {
                Ok(netlink.path(address.addr(), &PathQuery::default()).is_ok_and(|path| path.table == LOCAL))
            })
        })?
    }

    /// Adds a route through a gateway to the main table inside.
    ///
    /// # Errors
    /// The system's.
    pub fn route(&self, destination: IpNet, gateway: IpAddr) -> Result<()> {
        self.run(|| -> Result<()> {
            Netlink::open()?.put_route(&Route { gateway: Some(gateway), ..Route::new(destination, MAIN) })
        })?
    }

    /// Lets the namespace forward packets, both families.
    ///
    /// # Errors
    /// The system's.
    pub fn forward(&self) -> Result<()> {
        self.run(|| -> Result<()> {
            crate::sysctl::set_forwarding(false, true)?;
            crate::sysctl::set_forwarding(true, true)
        })?
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Joins two namespaces by a cable: `a_name` in `a`, `b_name` in `b`, both up and carrying.
///
/// # Errors
/// The system's, or the cable does not come up within some seconds.
pub fn cable(a: &Namespace, a_name: &str, b: &Namespace, b_name: &str) -> Result<()> {
    a.run(|| -> Result<()> {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(a_name, b_name, Some(b.as_fd()))?;
        let index = netlink.link_index(a_name)?;
        netlink.set_up(index, true)
    })??;
    b.run(|| -> Result<()> {
        let mut netlink = Netlink::open()?;
        let index = netlink.link_index(b_name)?;
        netlink.set_up(index, true)
    })??;
    a.run(|| carrying(a_name))??;
    b.run(|| carrying(b_name))?
}

/// Waits until an interface has noticed its carrier; before, the kernel drops what is sent.
fn carrying(interface: &str) -> Result<()> {
    let mut netlink = Netlink::open()?;
    patiently(&format!("the carrier of {interface}"), || Ok(netlink.link(interface)?.running))
}

/// Waits some seconds for what the kernel does in its own time.
fn patiently(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..500 {
        if done()? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(Error::new(format!("waiting for {what}"), io::Error::from(io::ErrorKind::TimedOut)))
}

/// Makes this process root of a user namespace of its own, where the kernel allows that to anybody; for rootless
/// demos and tests. Must be called before the first thread is started.
///
/// # Errors
/// The kernel or its administrator forbids user namespaces.
pub fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .attempt(|| "making a user namespace (are they allowed to everybody here?)".to_owned())?;
    let write = |path: &str, text: String| fs::write(path, text).attempt(|| format!("writing {path}"));
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn died() -> Error {
    Error::new("working inside a namespace", io::Error::other("the thread panicked"))
}
