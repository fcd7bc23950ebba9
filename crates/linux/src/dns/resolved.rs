//! systemd-resolved, by D-Bus (`org.freedesktop.resolve1`): servers and domains of an interface.

use super::NameServers;
use crate::{Attempt, Error, Result};
use futures_util::StreamExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use zbus::fdo::DBusProxy;
use zbus::proxy::OwnerChangedStream;

/// How long one change may take.
const LIMIT: Duration = Duration::from_secs(5);
/// All names, as a domain.
const ALL: &str = ".";

#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1"
)]
trait Manager {
    #[zbus(name = "SetLinkDNS")]
    fn set_link_dns(&self, interface: i32, servers: &[(i32, Vec<u8>)]) -> zbus::Result<()>;
    fn set_link_domains(&self, interface: i32, domains: &[(&str, bool)]) -> zbus::Result<()>;
    fn set_link_default_route(&self, interface: i32, on: bool) -> zbus::Result<()>;
    fn revert_link(&self, interface: i32) -> zbus::Result<()>;
}

/// What one interface shall have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Link {
    servers: Vec<IpAddr>,
    domains: Vec<String>,
    /// The servers are for every name.
    all: bool,
}

struct Bus {
    manager: ManagerProxy<'static>,
    daemon: DBusProxy<'static>,
    owners: OwnerChangedStream<'static>,
}

/// The way to systemd-resolved, and the interfaces that have something of ours.
#[derive(Default)]
pub(super) struct Resolved {
    bus: Option<Bus>,
    ours: BTreeSet<String>,
}

impl Resolved {
    /// Interfaces with something of ours.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &String> {
        self.ours.iter()
    }

    /// Takes over what a predecessor set.
    pub(super) fn adopt(&mut self, interfaces: BTreeSet<String>) {
        self.ours.extend(interfaces);
    }

    /// Returns when systemd-resolved was started anew and may have forgotten us, or the bus is gone.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some(bus) = &mut self.bus else { return std::future::pending().await };
            match bus.owners.next().await {
                Some(Some(_)) => return,
                Some(None) => {}
                None => {
                    self.bus = None;
                    return;
                }
            }
        }
    }

    /// Makes these the servers of their interfaces, and takes ours from all others.
    pub(super) async fn put(&mut self, wanted: &[NameServers]) -> Result<()> {
        let links = links(wanted)?;
        if links.is_empty() && self.ours.is_empty() {
            return Ok(());
        }
        let what = || "asking systemd-resolved (org.freedesktop.resolve1)".to_owned();
        let work = async {
            let outcome = self.change(&links).await;
            if outcome.is_err() {
                self.bus = None;
            }
            outcome
        };
        match tokio::time::timeout(LIMIT, work).await {
            Ok(outcome) => outcome.map_err(|e| Error::new(what(), io::Error::other(e))),
            Err(_) => {
                self.bus = None;
                Err(Error::new(what(), io::Error::from(io::ErrorKind::TimedOut)))
            }
        }
    }

    async fn change(&mut self, links: &BTreeMap<String, Link>) -> std::result::Result<(), String> {
        let bus = match self.bus.take() {
            Some(bus) => self.bus.insert(bus),
            None => self.bus.insert(open().await.map_err(|e| e.to_string())?),
        };
        for name in self.ours.clone() {
            if links.contains_key(&name) {
                continue;
            }
            // What is of an interface goes with it.
            if let Some(index) = index(&name) {
                bus.manager.revert_link(index).await.or_else(gone).map_err(|e| format!("{name}: {e}"))?;
            }
            self.ours.remove(&name);
        }
        if !links.is_empty() {
            in_our_namespace(bus).await?;
        }
        for (name, link) in links {
            let index = index(name).ok_or_else(|| format!("there is no interface {name}"))?;
            self.ours.insert(name.clone());
            let servers: Vec<(i32, Vec<u8>)> = link.servers.iter().map(server).collect();
            let mut domains: Vec<(&str, bool)> = link.domains.iter().map(|d| (d.as_str(), true)).collect();
            if link.all {
                domains.push((ALL, true));
            }
            let manager = &bus.manager;
            let set = async {
                manager.set_link_dns(index, &servers).await?;
                manager.set_link_domains(index, &domains).await?;
                manager.set_link_default_route(index, link.all).await
            };
            set.await.map_err(|e| format!("{name}: {e}"))?;
        }
        Ok(())
    }
}

async fn open() -> zbus::Result<Bus> {
    let connection = zbus::Connection::system().await?;
    let manager = ManagerProxy::new(&connection).await?;
    let owners = manager.inner().receive_owner_changed().await?;
    Ok(Bus { daemon: DBusProxy::new(&connection).await?, manager, owners })
}

/// Interfaces are told by number, and numbers mean another interface in another network namespace.
async fn in_our_namespace(bus: &Bus) -> std::result::Result<(), String> {
    let Ok(pid) = bus.daemon.get_connection_unix_process_id(bus.manager.inner().destination().clone()).await
    else {
        return Ok(()); // it is not running and will be started by the bus
    };
    let ours = std::fs::read_link("/proc/self/ns/net");
    let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net"));
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours != theirs => {
            Err("it runs in another network namespace; set plugins.resolve.target = file".to_owned())
        }
        _ => Ok(()),
    }
}

/// Errors that mean there is nothing of ours: the interface went, or nobody is there to have anything.
const GONE: [&str; 3] = [
    "org.freedesktop.resolve1.NoSuchLink",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
];

fn gone(e: zbus::Error) -> zbus::Result<()> {
    match &e {
        zbus::Error::MethodError(name, _, _) if GONE.contains(&name.as_str()) => Ok(()),
        _ => Err(e),
    }
}

fn index(name: &str) -> Option<i32> {
    nix::net::if_::if_nametoindex(name).ok().and_then(|index| i32::try_from(index).ok())
}

fn server(address: &IpAddr) -> (i32, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    }
}

/// What peers brought, by interface. One peer's servers for every name make all of an interface's so.
fn links(wanted: &[NameServers]) -> Result<BTreeMap<String, Link>> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for one in wanted.iter().rev().filter(|one| !one.servers.is_empty()) {
        let name = one
            .interface
            .clone()
            .ok_or_else(|| io::Error::other("no interface leads to the servers"))
            .attempt(|| "asking systemd-resolved (org.freedesktop.resolve1)".to_owned())?;
        let link = links.entry(name).or_default();
        link.servers.extend(&one.servers);
        link.domains.extend(one.domains.iter().cloned());
        link.all |= one.domains.is_empty();
    }
    for link in links.values_mut() {
        link.servers = super::distinct(link.servers.iter().copied());
        link.domains = super::distinct(link.domains.iter().cloned());
    }
    Ok(links)
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved").field("ours", &self.ours).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_share_an_interface() {
        let one = |interface: &str, server: &str, domains: &[&str]| NameServers {
            interface: Some(interface.into()),
            servers: vec![server.parse().unwrap()],
            domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        };
        let links = links(&[
            one("tun0", "10.0.0.1", &["a.example"]),
            one("tun1", "10.1.0.1", &[]),
            one("tun0", "10.0.0.2", &["b.example", "a.example"]),
        ])
        .unwrap();
        assert_eq!(links["tun0"].domains, ["b.example", "a.example"]);
        assert!(!links["tun0"].all && links["tun1"].all);
        assert_eq!(links["tun0"].servers.len(), 2);
        assert!(super::links(&[NameServers { interface: None, ..one("x", "10.0.0.1", &[]) }]).is_err());
    }
}
