//! Answers ARP and neighbour solicitations of LANs for the virtual addresses of clients, as strongSwan's farp plugin:
//! a client whose address is one of the LAN's is reached there without a route.
//!
//! Nothing of it is in the kernel's tables: what a crash ends, is ended. The sockets are open only while some client has
//! an address of some LAN, and their filters let nothing else through.
//!
//! Not the kernel's own proxies: they answer after a random delay of up to 0.8 s, need forwarding settings per interface,
//! would have to be taken back after a crash, and answer clients that sit on the LAN themselves.

mod table;

use crate::observers::log::{Log, Voice};
use ike::io::{Event, Group, IkeView};
use ipnet::IpNet;
use linux::multicast::Groups;
use linux::netlink::Netlink;
use linux::packet::{AsyncPacketSocket, PacketSocket, Received, Traffic};
use std::net::IpAddr;
use std::sync::Arc;
use table::{Holder, Lan, Table};
use tokio::sync::mpsc;
use wire::neighbour::{ArpRequest, Solicitation};

/// Changes that may wait.
const QUEUE: usize = 8192;
/// Larger questions are cut, and none is.
const LARGEST: usize = 512;

enum Change {
    Up(u32, Holder),
    Down(u32),
    Moved(u32, IpAddr),
    Network,
}

/// The way to the task; without one nothing is answered.
#[derive(Clone, Default)]
pub(crate) struct Handle {
    changes: Option<mpsc::Sender<Change>>,
}

impl Handle {
    /// Starts the task.
    pub(crate) fn start(log: Arc<Log>) -> Self {
        let (changes, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(
            Task { table: Table::default(), groups: Groups::default(), arp: None, ndp: None, log }.run(inbox),
        );
        Self { changes: Some(changes) }
    }

    /// Something happened to an IKE_SA. False when it is lost.
    pub(crate) fn event(&self, event: &Event) -> bool {
        // To a prefix the LAN needs a route: it is no neighbour's.
        let single = |sa: &IkeView| {
            sa.remote_vips.iter().filter(|vip| !vip.is_prefix()).map(|vip| vip.address()).collect()
        };
        let holder = |sa: &IkeView| Holder { remote: sa.remote.ip(), addresses: single(sa) };
        match event {
            Event::IkeUpDown { up: true, sa } => self.send(Change::Up(sa.unique_id, holder(sa))),
            Event::IkeUpDown { up: false, sa } => self.send(Change::Down(sa.unique_id)),
            Event::IkeRekey { old, new } => {
                self.send(Change::Up(new.unique_id, holder(new)))
                    && (old.unique_id == new.unique_id || self.send(Change::Down(old.unique_id)))
            }
            Event::IkeUpdate { sa, remote, .. } => self.send(Change::Moved(sa.unique_id, remote.ip())),
            _ => true,
        }
    }

    /// Interfaces or addresses changed.
    pub(crate) fn network_changed(&self) {
        self.send(Change::Network);
    }

    fn send(&self, change: Change) -> bool {
        self.changes.as_ref().is_none_or(|changes| changes.try_send(change).is_ok())
    }
}

struct Task {
    table: Table,
    groups: Groups,
    arp: Option<AsyncPacketSocket>,
    ndp: Option<AsyncPacketSocket>,
    log: Arc<Log>,
}

impl Task {
    async fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        self.look();
        let (mut arp, mut ndp) = ([0; LARGEST], [0; LARGEST]);
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Some(change) = change else { return };
                    self.change(change);
                    while let Ok(change) = changes.try_recv() {
                        self.change(change);
                    }
                    self.adjust();
                }
                received = receive(self.arp.as_ref(), &mut arp) => self.arp(received, &arp),
                received = receive(self.ndp.as_ref(), &mut ndp) => self.ndp(received, &ndp),
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Up(ike_id, holder) => self.table.up(ike_id, holder),
            Change::Down(ike_id) => self.table.down(ike_id),
            Change::Moved(ike_id, remote) => self.table.moved(ike_id, remote),
            Change::Network => self.look(),
        }
    }

    /// Which LANs there are.
    fn look(&mut self) {
        let find = || -> linux::Result<Vec<Lan>> {
            let mut netlink = Netlink::open()?;
            let links = netlink.links()?;
            let addresses = netlink.addresses()?;
            let lan = |link: linux::netlink::Link| {
                let own = addresses.iter().filter(|address| address.interface == link.index);
                let addresses = own.filter_map(|a| IpNet::new(a.address, a.prefix).ok()).collect();
                Some(Lan { interface: link.index, mac: link.hardware?, addresses })
            };
            Ok(links.into_iter().filter(|link| link.up).filter_map(lan).collect())
        };
        match find() {
            Ok(lans) => self.table.set_lans(lans),
            Err(e) => self.say(e.to_string()),
        }
    }

    /// Opens and closes what is needed no more and no less.
    fn adjust(&mut self) {
        for (v4, traffic) in [(true, Traffic::ArpRequests), (false, Traffic::Solicitations)] {
            let wanted = self.table.matters(v4);
            let socket = if v4 { &mut self.arp } else { &mut self.ndp };
            if !wanted {
                *socket = None;
            } else if socket.is_none() {
                match PacketSocket::open(traffic, None).and_then(AsyncPacketSocket::new) {
                    Ok(open) => *socket = Some(open),
                    Err(e) => self.say(format!("LANs will not find virtual addresses: {e}")),
                }
            }
        }
        if let Err(e) = self.groups.set(&self.table.groups()) {
            self.say(format!("LANs may not find virtual IPv6 addresses: {e}"));
        }
    }

    fn arp(&self, received: std::io::Result<Received>, buffer: &[u8]) {
        let (Some(socket), Ok(received)) = (&self.arp, received) else { return };
        let packet = buffer.get(..received.length).unwrap_or_default();
        let Ok(request) = ArpRequest::parse(packet) else { return };
        if let Some(reply) = self.table.arp(received.interface, &request) {
            // A full queue loses it as the LAN might: it is asked for again.
            let _lost = socket.socket().send(received.interface, request.sender_mac, &reply);
        }
    }

    fn ndp(&self, received: std::io::Result<Received>, buffer: &[u8]) {
        let (Some(socket), Ok(received)) = (&self.ndp, received) else { return };
        let packet = buffer.get(..received.length).unwrap_or_default();
        let Ok(asked) = Solicitation::parse(packet) else { return };
        let answer = self.table.advertisement(received.interface, received.source, &asked);
        if let Some((to, advertisement)) = answer {
            let _lost = socket.socket().send(received.interface, to, &advertisement);
        }
    }

    fn say(&self, text: String) {
        self.log.say(Voice::Plane, Group::Net, 1, text);
    }
}

/// The next packet; none ever from a socket that is not open.
async fn receive(socket: Option<&AsyncPacketSocket>, buffer: &mut [u8]) -> std::io::Result<Received> {
    match socket {
        Some(socket) => {
            let received = socket.receive(buffer).await;
            if received.is_err() {
                // An interface that went down: its socket stays.
                tokio::task::yield_now().await;
            }
            received
        }
        None => std::future::pending().await,
    }
}
