//! Name servers and domains from peers, into `resolv.conf`, `resolvconf` or systemd-resolved, and out again.
//!
//! The caller says which there shall be; a [`Keeper`] makes it so on a thread of its own, since programs and D-Bus may
//! take their time, and remembers in a state file what to undo at the next start after a crash.

mod file;
mod program;
mod resolved;

use crate::{Attempt, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the caller of [`Keeper::set`] is kept waiting, where the keeper is not behind anyway.
const PATIENCE: Duration = Duration::from_millis(500);
/// First and longest pause before systemd-resolved is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Programs that are looked for where nothing is configured.
const RESOLVCONF: [&str; 3] = ["/sbin/resolvconf", "/usr/sbin/resolvconf", "/usr/bin/resolvconf"];
/// Whose files systemd-resolved writes: who links `resolv.conf` there leaves it to systemd-resolved.
const RESOLVED_FILES: [&str; 3] =
    ["/run/systemd/resolve/", "/usr/lib/systemd/resolv.conf", "/lib/systemd/resolv.conf"];

/// What one peer brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameServers {
    /// The interface that leads to the servers.
    pub interface: Option<String>,
    /// Servers, as the peer ordered them.
    pub servers: Vec<IpAddr>,
    /// Names (and all below them) that these servers are for; none: all names.
    pub domains: Vec<String>,
}

/// Where name servers go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Lines in this file, each marked as ours.
    File(PathBuf),
    /// The program `resolvconf`, under this interface name.
    Resolvconf {
        /// The command, as a shell takes it.
        program: String,
        /// Interface label, `lo.ipsec` by default.
        interface: String,
    },
    /// systemd-resolved, by D-Bus.
    Resolved,
}

impl Target {
    /// What this host uses: systemd-resolved where `resolv.conf` is its own (it would write over our lines, and a
    /// `resolvconf` there is its own, too), a `resolvconf` program where there is one, else the file.
    #[must_use]
    pub fn of_host(resolv_conf: &Path, interface: &str) -> Self {
        let behind =
            fs::canonicalize(resolv_conf).or_else(|_| fs::read_link(resolv_conf)).unwrap_or_default();
        let behind = behind.to_string_lossy().replace("../", "/").replace("//", "/");
        if RESOLVED_FILES.iter().any(|own| behind.starts_with(own)) {
            return Self::Resolved;
        }
        match RESOLVCONF.into_iter().find(|path| Path::new(path).exists()) {
            Some(program) => {
                Self::Resolvconf { program: program.to_owned(), interface: interface.to_owned() }
            }
            None => Self::File(resolv_conf.to_owned()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Resolvconf { .. } => f.write_str("resolvconf"),
            Self::Resolved => f.write_str("systemd-resolved"),
        }
    }
}

/// What a crashed predecessor may have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    target: Target,
    interfaces: BTreeSet<String>,
}

enum Order {
    Set(Vec<NameServers>, std::sync::mpsc::SyncSender<()>),
}

/// Keeps the host's name servers.
#[derive(Debug)]
pub struct Keeper {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
    /// The order before is still being carried out.
    behind: Option<std::sync::mpsc::Receiver<()>>,
}

impl Keeper {
    /// Starts the thread; it first undoes what a crashed predecessor left according to `state_file`. `say` gets what
    /// went wrong, or right again, in words for the log.
    ///
    /// # Errors
    /// No thread.
    pub fn start(
        target: Target,
        state_file: Option<PathBuf>,
        say: impl Fn(String) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker::new(target, state_file, Box::new(say));
        let thread = std::thread::Builder::new()
            .name("dns".into())
            .spawn(move || runtime.block_on(worker.run(inbox)))?;
        Ok(Self { orders, thread, behind: None })
    }

    /// Makes these the name servers of ours, and only them; of the latest peer come first. Returns when that is done, or
    /// is not done within half a second.
    pub fn set(&mut self, wanted: Vec<NameServers>) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        let idle = self.behind.take().is_none_or(|before| before.try_recv().is_ok());
        if self.orders.send(Order::Set(wanted, done)).is_err() {
            return;
        }
        if !idle || wait.recv_timeout(PATIENCE).is_err() {
            self.behind = Some(wait);
        }
    }

    /// Undoes everything and ends. What hangs is left for the next start.
    pub fn finish(mut self, patience: Duration) {
        self.set(Vec::new());
        let late = self.behind.take().is_some_and(|wait| wait.recv_timeout(patience).is_err());
        drop(self.orders);
        if !late {
            let _panicked = self.thread.join();
        }
    }
}

/// The thread's state.
struct Worker {
    target: Target,
    state_file: Option<PathBuf>,
    say: Box<dyn Fn(String) + Send>,
    wanted: Vec<NameServers>,
    resolved: resolved::Resolved,
    /// When to try again, and the pause after that.
    retry: Option<(Instant, Duration)>,
    /// Something of ours is there, or may be.
    installed: bool,
    failing: bool,
}

impl Worker {
    fn new(target: Target, state_file: Option<PathBuf>, say: Box<dyn Fn(String) + Send>) -> Self {
        Self {
            target,
            state_file,
            say,
            wanted: Vec::new(),
            resolved: resolved::Resolved::default(),
            retry: None,
            installed: false,
            failing: false,
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        self.clean_up().await;
        loop {
            let retry = self.retry;
            let again = async move {
                match retry {
                    Some((at, _)) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut done = None;
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Set(wanted, tx)) => {
                        self.retry = None;
                        self.wanted = wanted;
                        done = Some(tx);
                    }
                    None => return,
                },
                () = self.resolved.changed() => {}
                () = again => {}
            }
            self.apply().await;
            if let Some(done) = done {
                let _gone = done.send(());
            }
        }
    }

    async fn clean_up(&mut self) {
        let Some(left) = self.state_file.as_deref().and_then(read_state) else { return };
        (self.say)(format!("removing DNS servers from {} that a previous run left", left.target));
        self.resolved.adopt(left.interfaces);
        if let Err(e) = put(&left.target, &mut self.resolved, &[]).await {
            (self.say)(format!("removing DNS servers from {} failed: {}", left.target, with_cause(&e)));
        }
        self.forget();
    }

    async fn apply(&mut self) {
        if self.wanted.is_empty() && !self.installed {
            return;
        }
        self.announce();
        self.installed = true;
        match put(&self.target, &mut self.resolved, &self.wanted).await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) && !self.wanted.is_empty() {
                    (self.say)(format!("DNS servers are installed to {} now", self.target));
                }
                self.retry = None;
                if self.wanted.is_empty() {
                    self.installed = false;
                    self.forget();
                }
            }
            Err(e) => {
                let what = if self.wanted.is_empty() {
                    "removing DNS servers from"
                } else {
                    "adding DNS servers to"
                };
                let text = format!("{what} {} failed: {}", self.target, with_cause(&e));
                // systemd-resolved may be about to start; a file that cannot be written stays so.
                let again = matches!(self.target, Target::Resolved) && !self.wanted.is_empty();
                let pause = self.retry.map_or(PAUSE.0, |(_, pause)| pause);
                self.retry = again.then(|| (Instant::now() + pause, pause.saturating_mul(2).min(PAUSE.1)));
                if !(again && std::mem::replace(&mut self.failing, true)) {
                    (self.say)(text);
                }
            }
        }
    }

    /// Writes down what may have to be undone, before it is done.
    fn announce(&self) {
        let Some(path) = &self.state_file else { return };
        let wanted = self.wanted.iter().filter_map(|w| w.interface.clone());
        let interfaces = self.resolved.interfaces().cloned().chain(wanted).collect();
        let left = Left { target: self.target.clone(), interfaces };
        if let Err(e) = write_state(path, &left) {
            (self.say)(format!("{}; DNS servers would stay after a crash", with_cause(&e)));
        }
    }

    fn forget(&self) {
        if let Some(path) = &self.state_file
            && let Err(e) = fs::remove_file(path)
            && e.kind() != io::ErrorKind::NotFound
        {
            (self.say)(format!("removing {}: {e}", path.display()));
        }
    }
}

async fn put(target: &Target, resolved: &mut resolved::Resolved, wanted: &[NameServers]) -> Result<()> {
    match target {
        Target::File(path) => {
            let (servers, domains) = stacked(wanted);
            file::set(path, &servers, &domains).attempt(|| format!("writing {}", path.display()))
        }
        Target::Resolvconf { program, interface } => {
            let (servers, domains) = latest_first(wanted);
            program::set(program, interface, &servers, &domains).await
        }
        Target::Resolved => resolved.put(wanted).await,
    }
}

/// As charon does it: every server is put before those that are there.
fn stacked(wanted: &[NameServers]) -> (Vec<IpAddr>, Vec<String>) {
    let given = wanted.iter().flat_map(|w| w.servers.iter().copied());
    let mut servers = distinct(given);
    servers.reverse();
    (servers, distinct(wanted.iter().flat_map(|w| w.domains.iter().cloned())))
}

fn latest_first(wanted: &[NameServers]) -> (Vec<IpAddr>, Vec<String>) {
    let servers = distinct(wanted.iter().rev().flat_map(|w| w.servers.iter().copied()));
    (servers, distinct(wanted.iter().rev().flat_map(|w| w.domains.iter().cloned())))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for one in all {
        if !out.contains(&one) {
            out.push(one);
        }
    }
    out
}

fn with_cause(e: &Error) -> String {
    format!("{}: {}", e.what, e.source)
}

fn read_state(path: &Path) -> Option<Left> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_state(path: &Path, left: &Left) -> Result<()> {
    let what = || format!("writing {}", path.display());
    let text = serde_json::to_string(left).map_err(io::Error::other).attempt(what)?;
    let beside = path.with_extension("new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).attempt(what)
}

#[cfg(test)]
mod tests;
