//! The updown script of a child: once for every pair of local and remote selectors, when a CHILD_SA comes up and
//! when it goes, not at rekeyings.
//!
//! Scripts run beside the engine. Those of one CHILD_SA (through all its generations) run in order; what they
//! print goes to the log; one that does not end is killed.
use super::log::{Log, Voice};
use crate::asks::dns::{Given, given};
use crate::asks::resolve::interface_of;
use crate::scripts;
use ike::io::{ChildView, Group, IkeView};
use policy::{Identity, Selector, VirtualIp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use wire::iana::ProtocolId;

/// Scripts running at a time.
const PARALLEL: usize = 16;
/// CHILD_SAs with scripts to run that are remembered.
const JOBS_PER_CHILD: usize = 8;
/// How long one script may run.
const LIMIT: Duration = Duration::from_secs(60);

/// Variables of one run.
type Environment = Vec<(String, String)>;

struct Job {
    up: bool,
    command: String,
    ike: (String, u32),
    /// Our address, to find the interface.
    local: IpAddr,
    runs: Vec<Environment>,
}

/// Starts scripts.
#[derive(Clone)]
pub(crate) struct Handle {
    queues: Arc<Mutex<BTreeMap<u32, mpsc::Sender<Job>>>>,
    running: Arc<Semaphore>,
    log: Arc<Log>,
    runtime: tokio::runtime::Handle,
    /// `dns_handler`: the command gets the DNS servers.
    dns: bool,
}

impl Handle {
    pub(crate) fn new(log: Arc<Log>, runtime: tokio::runtime::Handle, dns: bool) -> Self {
        Self { queues: Arc::default(), running: Arc::new(Semaphore::new(PARALLEL)), log, runtime, dns }
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
        let ike = (sa.name.clone(), sa.unique_id);
        let job = Job { up, command, ike, local: sa.local.ip(), runs };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(child.sa.id).or_insert_with(|| self.start());
        if queue.try_send(job).is_err() {
            self.log.say(Voice::Script, Group::Chd, 1, "too many updown scripts waiting, one is not run");
        }
        if !up {
            // Its task ends when this was the last job.
            queues.remove(&child.sa.id);
        }
    }

    /// A CHILD_SA goes on as another one.
    pub(crate) fn rekeyed(&self, old: u32, new: u32) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.remove(&old) {
            queues.insert(new, queue);
        }
    }

    /// Waits until all scripts have ended, within reason.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let all = u32::try_from(PARALLEL).unwrap_or(1);
        let _late = tokio::time::timeout(patience, self.running.acquire_many(all)).await;
    }

    fn start(&self) -> mpsc::Sender<Job> {
        let (tx, mut jobs) = mpsc::channel::<Job>(JOBS_PER_CHILD);
        let (running, log) = (self.running.clone(), self.log.clone());
        self.runtime.spawn(async move {
            // Found at up and kept for down, when the address may be gone.
            let mut interface: Option<String> = None;
            while let Some(job) = jobs.recv().await {
                let turn = running.acquire().await;
                if job.up || interface.is_none() {
                    let local = job.local;
                    interface =
                        tokio::task::spawn_blocking(move || interface_of(local)).await.unwrap_or_default();
                }
                run(&job, interface.as_deref().unwrap_or("unknown"), &log).await;
                drop(turn);
            }
        });
        tx
    }
}

async fn run(job: &Job, interface: &str, log: &Log) {
    for environment in &job.runs {
        let mut environment = environment.clone();
        environment.push(("PLUTO_INTERFACE".into(), interface.to_owned()));
        let outcome = scripts::run(&job.command, &environment, LIMIT, |line| {
            log.line(Voice::Script, Group::Chd, 1, Some(job.ike.clone()), format!("updown: {line}"));
        })
        .await;
        if let Err(e) = outcome {
            log.line(Voice::Script, Group::Chd, 1, Some(job.ike.clone()), format!("updown script: {e}"));
        }
    }
}

/// The variables of all runs; `PLUTO_INTERFACE` is added when the script starts.
fn environments(up: bool, sa: &IkeView, child: &ChildView) -> Vec<Environment> {
    let mut runs = Vec::new();
    for local in &child.sa.local_ts {
        for remote in &child.sa.remote_ts {
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
    put("MY_ID", identity(sa.local_id.as_ref()));
    put("MY_CLIENT", net(local));
    // For ICMP the type is in our port, the code in the peer's.
    let icmp = matches!(local.protocol, 1 | 58);
    let ours = if icmp { local.ports.0.wrapping_shr(8) } else { single(local) };
    let theirs = if icmp { local.ports.0 & 0xff } else { single(remote) };
    put("MY_PORT", ours.to_string());
    put("MY_PROTOCOL", local.protocol.to_string());
    put("PEER", sa.remote.ip().to_string());
    put("PEER_ID", identity(sa.remote_id.as_ref()));
    put("PEER_CLIENT", net(remote));
    put("PEER_PORT", theirs.to_string());
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

/// A single port, 0 for any.
fn single(selector: &Selector) -> u16 {
    if selector.ports.0 == selector.ports.1 { selector.ports.0 } else { 0 }
}
