//! The updown script of a child: once for every pair of local and remote selectors, when a CHILD_SA comes up and
//! when it goes, not at rekeyings.
//!
//! Scripts run beside the engine. Those of one peer's child run one after the other, in the order of what
//! happened, through all generations and IKE_SAs: after a reauthentication the old CHILD_SA's `down` never overtakes
//! or is overtaken by the new one's `up`. What they print goes to the log; one that fails is named there, one that
//! does not end is killed with all it started, and nothing else waits for it.
use super::log::{Log, Voice};
use crate::asks::dns::{Given, given};
use crate::asks::resolve::interface_of;
use crate::scripts;
use ike::io::{ChildView, Group, IkeView};
use policy::selector::ANY_PORT;
use policy::{Identity, Selector, VirtualIp};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use wire::iana::ProtocolId;

/// Scripts running at a time.
const PARALLEL: usize = 16;
/// Ups and downs of one peer's child that may wait.
const WAITING: usize = 64;
/// How long one script may run.
const LIMIT: Duration = Duration::from_secs(60);

/// Variables of one run.
type Environment = Vec<(String, String)>;

/// Whose scripts run in order: connection, child, the peer's identity.
type Line = (String, String, String);

struct Job {
    command: String,
    ike: (String, u32),
    /// Names the CHILD_SA in the log.
    child: String,
    /// Our address, to find the interface.
    local: IpAddr,
    /// Found at up and kept for down, when the address may be gone.
    interface: Arc<OnceLock<String>>,
    runs: Vec<Environment>,
}

#[derive(Default)]
struct Book {
    /// What waits; a line that is here has a task.
    lines: BTreeMap<Line, VecDeque<Job>>,
    /// Interfaces of CHILD_SAs that are up.
    interfaces: BTreeMap<u32, Arc<OnceLock<String>>>,
}

/// Starts scripts.
#[derive(Clone)]
pub(crate) struct Handle {
    book: Arc<Mutex<Book>>,
    ended: Arc<Notify>,
    running: Arc<Semaphore>,
    log: Arc<Log>,
    runtime: tokio::runtime::Handle,
    /// `dns_handler`: the command gets the DNS servers.
    dns: bool,
}

impl Handle {
    pub(crate) fn new(log: Arc<Log>, runtime: tokio::runtime::Handle, dns: bool) -> Self {
        let running = Arc::new(Semaphore::new(PARALLEL));
        Self { book: Arc::default(), ended: Arc::default(), running, log, runtime, dns }
    }

    /// A CHILD_SA is up or down.
    pub(crate) fn child(&self, up: bool, sa: &IkeView, child: &ChildView) {
        let Some(command) = child.sa.config.updown.clone().filter(|command| !command.is_empty()) else {
            return;
        };
        let mut runs = environments(up, sa, child);
        if self.dns {
            let names = names(&given(&sa.connection, &sa.attributes));
            for environment in &mut runs {
                environment.extend(names.iter().cloned());
            }
        }
        let mut book = self.book();
        let known = if up { None } else { book.interfaces.remove(&child.sa.id) };
        let interface = known.unwrap_or_default();
        if up {
            book.interfaces.insert(child.sa.id, interface.clone());
        }
        let name = format!("{}{{{}}}", child.sa.config.name, child.sa.id);
        let job = Job {
            command,
            ike: (sa.name.clone(), sa.unique_id),
            child: name,
            local: sa.local.ip(),
            interface,
            runs,
        };
        let peer = identity(sa.remote_id.as_deref());
        let line = (sa.name.clone(), child.sa.config.name.clone(), peer);
        if let Some(waiting) = book.lines.get_mut(&line) {
            if waiting.len() >= WAITING {
                let text = format!(
                    "CHILD_SA {}: updown script is not run, {WAITING} of this child are waiting already",
                    job.child
                );
                self.log.line(Voice::Script, Group::Chd, 0, Some(job.ike), text);
                return;
            }
            waiting.push_back(job);
            return;
        }
        book.lines.insert(line.clone(), VecDeque::from([job]));
        drop(book);
        self.runtime.spawn(self.clone().work(line));
    }

    /// A CHILD_SA goes on as another one.
    pub(crate) fn rekeyed(&self, old: u32, new: u32) {
        let mut book = self.book();
        if let Some(interface) = book.interfaces.remove(&old) {
            book.interfaces.insert(new, interface);
        }
    }

    /// Waits until all scripts have ended, within reason.
    pub(crate) async fn finish(&self, patience: Duration) {
        let all = async {
            loop {
                let told = self.ended.notified();
                if self.book().lines.is_empty() {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            self.log.say(Voice::Script, Group::Chd, 0, "some updown scripts did not end in time");
        }
    }

    /// Runs what waits in a line, until nothing does.
    async fn work(self, line: Line) {
        while let Some(job) = self.next(&line) {
            // Nobody closes it.
            let _turn = self.running.acquire().await;
            self.run(&job).await;
        }
        self.ended.notify_waiters();
    }

    fn next(&self, line: &Line) -> Option<Job> {
        let mut book = self.book();
        let job = book.lines.get_mut(line)?.pop_front();
        if job.is_none() {
            book.lines.remove(line);
        }
        job
    }

    async fn run(&self, job: &Job) {
        if job.interface.get().is_none() {
            let local = job.local;
            let found = tokio::task::spawn_blocking(move || interface_of(local)).await.unwrap_or_default();
            let _there = job.interface.set(found.unwrap_or_else(|| "unknown".to_owned()));
        }
        for environment in &job.runs {
            let mut environment = environment.clone();
            let interface = job.interface.get().cloned().unwrap_or_default();
            environment.push(("PLUTO_INTERFACE".into(), interface));
            let say =
                |level, text| self.log.line(Voice::Script, Group::Chd, level, Some(job.ike.clone()), text);
            let outcome = scripts::run(&job.command, &environment, LIMIT, |line| {
                say(1, format!("updown: {line}"));
            })
            .await;
            if let Err(e) = outcome {
                let of = |key: &str| environment.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v);
                let text = format!(
                    "CHILD_SA {}: updown script for {} {} === {} {e}",
                    job.child,
                    of("PLUTO_VERB"),
                    of("PLUTO_MY_CLIENT"),
                    of("PLUTO_PEER_CLIENT"),
                );
                say(0, text);
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing below can leave it half changed.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The variables of all runs; `PLUTO_INTERFACE` is added when the script starts.
fn environments(up: bool, sa: &IkeView, child: &ChildView) -> Vec<Environment> {
    let mut runs = Vec::new();
    for local in child.sa.local_ts.iter() {
        for remote in child.sa.remote_ts.iter() {
            if local.is_ipv4() == remote.is_ipv4() {
                runs.push(environment(up, sa, child, local, remote));
            }
        }
    }
    runs
}

fn environment(
    up: bool,
    sa: &IkeView,
    child: &ChildView,
    local: &Selector,
    remote: &Selector,
) -> Environment {
    let config = &child.sa.config;
    let mut env = Environment::new();
    let mut put = |key: &str, value: String| env.push((format!("PLUTO_{key}"), value));
    // `host` when the tunnel ends at our own address, `client` for what is behind it.
    let host = local.is_host(sa.local.ip());
    put("VERSION", "1.1".into());
    put(
        "VERB",
        format!(
            "{}{}{}",
            if up { "up" } else { "down" },
            if host { "-host" } else { "-client" },
            if local.is_ipv4() { "" } else { "-v6" }
        ),
    );
    put("CONNECTION", config.name.clone());
    put("REQID", child.sa.reqid.to_string());
    put("PROTO", if child.sa.protocol == ProtocolId::Ah { "ah" } else { "esp" }.into());
    put("UNIQUEID", sa.unique_id.to_string());
    put("ME", sa.local.ip().to_string());
    put("MY_ID", identity(sa.local_id.as_deref()));
    put("MY_CLIENT", net(local));
    // For ICMP the type is in our port, the code in the peer's.
    let icmp = matches!(local.protocol, 1 | 58);
    let (kind, code) = (local.ports.0.wrapping_shr(8), local.ports.0 & 0xff);
    let ours = if icmp { kind.to_string() } else { ports(local) };
    let theirs = if icmp { code.to_string() } else { ports(remote) };
    put("MY_PORT", ours);
    put("MY_PROTOCOL", local.protocol.to_string());
    put("PEER", sa.remote.ip().to_string());
    put("PEER_ID", identity(sa.remote_id.as_deref()));
    put("PEER_CLIENT", net(remote));
    put("PEER_PORT", theirs);
    put("PEER_PROTOCOL", remote.protocol.to_string());
    // Ours are on an interface; what is the peer's may be a prefix.
    vips("MY", sa.local_vips.iter().map(|vip| vip.alone()).collect(), &mut put);
    vips("PEER", sa.remote_vips.clone(), &mut put);
    if let Some(id) = sa.remote_eap_id.as_ref().or(sa.remote_xauth_id.as_ref()) {
        put("XAUTH_ID", id.to_string());
    }
    for (key, (value, mask)) in [("MARK_IN", child.sa.mark_in), ("MARK_OUT", child.sa.mark_out)] {
        if value != 0 {
            put(key, format!("{value}/0x{mask:08x}"));
        }
    }
    for (key, id) in [("IF_ID_IN", child.sa.if_id_in), ("IF_ID_OUT", child.sa.if_id_out)] {
        if id != 0 {
            put(key, id.to_string());
        }
    }
    if child.sa.encap {
        put("UDP_ENC", sa.remote.port().to_string());
    }
    if child.sa.cpi_in != 0 {
        put("IPCOMP", "1".into());
    }
    if config.hostaccess {
        put("HOST_ACCESS", "1".into());
    }
    env
}

/// DNS servers and domains of the gateway; the domains are not in strongSwan.
fn names(given: &Given) -> Environment {
    let mut env = Environment::new();
    for (key, v4) in [("DNS4", true), ("DNS6", false)] {
        for (number, server) in given.servers.iter().filter(|server| server.is_ipv4() == v4).enumerate() {
            env.push((format!("PLUTO_{key}_{}", number.saturating_add(1)), server.to_string()));
        }
    }
    for (number, domain) in given.domains.iter().enumerate() {
        env.push((format!("PLUTO_DNS_DOMAIN_{}", number.saturating_add(1)), domain.clone()));
    }
    env
}

fn vips(side: &str, addresses: Vec<VirtualIp>, put: &mut impl FnMut(&str, String)) {
    for (key, v4) in [("SOURCEIP4", true), ("SOURCEIP6", false)] {
        for (number, address) in addresses.iter().filter(|address| address.is_ipv4() == v4).enumerate() {
            put(&format!("{side}_{key}_{}", number.saturating_add(1)), address.to_string());
        }
    }
    // The older name has the first one only.
    if let Some(first) = addresses.first() {
        put(&format!("{side}_SOURCEIP"), first.to_string());
    }
}

fn identity(id: Option<&Identity>) -> String {
    id.map_or_else(|| "%any".to_owned(), ToString::to_string)
}

/// A selector's addresses in CIDR notation (charon widens a range to the network around it).
fn net(selector: &Selector) -> String {
    if let Some(address) = selector.host_address() {
        return format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
    }
    let nets = selector.to_subnets();
    match nets.as_slice() {
        [one] => one.to_string(),
        _ => {
            let width = if selector.is_ipv4() { 32 } else { 128 };
            (0..=width)
                .rev()
                .filter_map(|prefix| ipnet::IpNet::new(selector.start, prefix).ok())
                .find(|net| net.contains(&selector.end))
                .map_or_else(|| selector.start.to_string(), |net| net.trunc().to_string())
        }
    }
}

/// One port, or a range as iptables takes it; 0 for any.
fn ports(selector: &Selector) -> String {
    match selector.ports {
        ANY_PORT => "0".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}:{last}"),
    }
}
