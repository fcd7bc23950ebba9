//! Names to addresses, and which of our addresses the kernel would use towards them.
use crate::shard::Handle as Shard;
use ike::io::{Answer, Ticket};
use linux::netlink::{Netlink, PathQuery};
use policy::PeerAddr;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Names being resolved at a time; the others wait.
const PARALLEL: usize = 16;
/// Questions waiting at most; more are refused.
const WAITING: usize = 4096;
/// How long DNS may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses of one name that are tried.
const CANDIDATES: usize = 16;

/// How paths are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathRules {
    /// Mark of our own sockets.
    pub(crate) mark: Option<u32>,
    /// Our routing table, whose routes lead into tunnels.
    pub(crate) table: Option<u32>,
    /// `prefer_temporary_addrs`.
    pub(crate) prefer_temporary: bool,
}

impl PathRules {
    /// The question to the kernel, whatever our address.
    pub(crate) fn query(self) -> PathQuery {
        PathQuery {
            mark: self.mark,
            source: None,
            avoid_table: self.table,
            prefer_temporary: self.prefer_temporary,
        }
    }
}

/// Resolves.
pub(crate) struct Resolver {
    shard: Shard,
    rules: PathRules,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Resolver {
    pub(crate) fn new(shard: Shard, rules: PathRules) -> Self {
        Self {
            shard,
            rules,
            running: Arc::new(Semaphore::new(PARALLEL)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Starts a task that will answer.
    pub(crate) fn start(&self, ticket: Ticket, names: Vec<PeerAddr>, local: Vec<PeerAddr>) -> Option<Answer> {
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            return Some(Answer::Failed("too many names to resolve".into()));
        };
        let (shard, rules, running) = (self.shard.clone(), self.rules, self.running.clone());
        tokio::spawn(async move {
            let turn = running.acquire_owned().await;
            let answer = match tokio::time::timeout(PATIENCE, resolve(names, local, rules, &shard)).await {
                Ok(answer) => answer,
                Err(_) => Answer::Failed("resolving took too long".into()),
            };
            drop((turn, place));
            shard.answer(ticket, answer).await;
        });
        None
    }
}

async fn resolve(names: Vec<PeerAddr>, local: Vec<PeerAddr>, rules: PathRules, shard: &Shard) -> Answer {
    let mut remotes = Vec::new();
    let mut failures = Vec::new();
    for name in &names {
        match name {
            PeerAddr::Ip(address) => remotes.push(*address),
            PeerAddr::Name(name) => match lookup(name).await {
                Ok(addresses) => remotes.extend(addresses),
                Err(e) => failures.push(format!("unable to resolve '{name}': {e}")),
            },
            // Nobody can be called at `%any` or at a whole network.
            PeerAddr::Any(_) | PeerAddr::Range(_, _) => {}
        }
    }
    let mut seen = BTreeSet::new();
    remotes.retain(|address| !address.is_unspecified() && seen.insert(*address));
    remotes.truncate(CANDIDATES);
    let mut locals = Vec::new();
    for name in &local {
        match name {
            PeerAddr::Name(name) => match lookup(name).await {
                Ok(addresses) => locals.extend(addresses.into_iter().map(PeerAddr::Ip)),
                Err(e) => failures.push(format!("unable to resolve '{name}': {e}")),
            },
            other => locals.push(other.clone()),
        }
    }
    if remotes.is_empty() {
        let why =
            if failures.is_empty() { "no address to initiate to".to_owned() } else { failures.join("; ") };
        return Answer::Failed(why);
    }
    // Netlink is quick but blocking.
    let paired = tokio::task::spawn_blocking(move || pair(&remotes, &locals, rules)).await;
    match paired {
        Ok(Ok(pairs)) => {
            let pairs: Vec<_> = pairs.into_iter().filter(|(local, _)| !shard.ignores(*local)).collect();
            if pairs.is_empty() {
                Answer::Failed("no usable local address".into())
            } else {
                Answer::Resolved(pairs)
            }
        }
        Ok(Err(e)) => Answer::Failed(e.to_string()),
        Err(_) => Answer::Failed("looking up the route failed".into()),
    }
}

async fn lookup(name: &str) -> std::io::Result<Vec<IpAddr>> {
    // charon takes `host` as well as `host.domain`; a port is only needed by the interface of the resolver.
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}

/// Every remote address with the local one to use, in order of the remotes.
fn pair(remotes: &[IpAddr], locals: &[PeerAddr], rules: PathRules) -> linux::Result<Vec<(IpAddr, IpAddr)>> {
    let mut netlink = Netlink::open()?;
    let mut pairs = Vec::new();
    let open = locals.is_empty() || locals.iter().any(|local| matches!(local, PeerAddr::Any(_)));
    for remote in remotes {
        let mut fixed = locals.iter().filter_map(|local| match local {
            PeerAddr::Ip(ip) if ip.is_ipv4() == remote.is_ipv4() && !ip.is_unspecified() => Some(*ip),
            _ => None,
        });
        // Where any address will do, one that is named comes first, but only while it leads there.
        let fixed =
            if open { fixed.find(|ip| leads(&mut netlink, *ip, *remote, rules)) } else { fixed.next() };
        if let Some(local) = fixed {
            pairs.push((local, *remote));
            continue;
        }
        let Ok(path) = netlink.path(*remote, &rules.query()) else { continue };
        let source = path.source.filter(|source| {
            open || locals.iter().any(|local| match local {
                PeerAddr::Range(from, to) => {
                    from.is_ipv4() == source.is_ipv4() && from <= source && source <= to
                }
                PeerAddr::Any(_) | PeerAddr::Ip(_) | PeerAddr::Name(_) => false,
            })
        });
        let source = match source {
            Some(source) => Some(source),
            // Some other address of ours inside a configured range.
            None => netlink
                .addresses()?
                .into_iter()
                .map(|address| address.address)
                .find(|ip| {
                    ip.is_ipv4() == remote.is_ipv4()
                        && locals.iter().any(|local| {
                            matches!(local, PeerAddr::Range(from, to) if from.is_ipv4() == ip.is_ipv4() && from <= ip && ip <= to)
                        })
                }),
        };
        if let Some(source) = source {
            pairs.push((source, *remote));
        }
    }
    Ok(pairs)
}

/// Whether what we send from this address leaves through the interface that has it.
fn leads(netlink: &mut Netlink, local: IpAddr, remote: IpAddr, rules: PathRules) -> bool {
    let query = PathQuery { source: Some(local), ..rules.query() };
    let Ok(path) = netlink.path(remote, &query) else { return false };
    netlink
        .addresses()
        .is_ok_and(|all| all.iter().any(|a| a.address == local && a.interface == path.interface))
}

/// The interface that has an address of ours.
pub(crate) fn interface_of(address: IpAddr) -> Option<String> {
    let mut netlink = Netlink::open().ok()?;
    let found = netlink.addresses().ok()?.into_iter().find(|a| a.address == address)?;
    netlink.link_name(found.interface).ok()
}
