//! All leases and all transactions under way.
//!
//! The contract: one input ([`Client::start`], [`Client::receive`], [`Client::timeout`], [`Client::release`]), then
//! [`Client::poll`] until it is empty; [`Client::deadline`] says when the next [`Client::timeout`] is due.

mod lease;
mod timing;

use crate::message::{self, Answer, Frame, Kind, Purpose, encode, is_host};
use crate::subject::Subject;
use lease::Held;
pub use lease::Lease;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use timing::{GIVE_UP, PAUSE, resend};

/// Leases and transactions together; more are refused.
pub const MOST: usize = 65_536;
/// Transactions that wait for an address at once; more are refused.
pub const MOST_WAITING: usize = 1024;
/// How often one transaction begins anew after a refusal or a duplicate.
const MOST_RESTARTS: u32 = 3;
/// Answers of one transaction that are ignored with a word.
const MOST_COMPLAINTS: u32 = 8;
/// Draws of an xid before giving up; of 2^32 with [`MOST`] in use the first nearly always fits.
const DRAWS: u32 = 64;

/// Milliseconds of a monotonic clock.
pub type Millis = u64;

/// Where messages go and as whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where we look for a server: one server's address or a broadcast address.
    pub server: Ipv4Addr,
    /// Never speak to the address the server gives for itself.
    pub force_server: bool,
    /// Our address as relay agent (RFC 1542 4); `None`: as a client that broadcasts.
    pub relay: Option<Ipv4Addr>,
}

/// Names a lease from [`Client::start`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u64);

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Too many wait already.
    #[error("too many clients wait for DHCP servers")]
    Busy,
    /// Nobody offers anything.
    #[error("no DHCP server at {0} made an offer; is it reachable from here, has it a free address?")]
    NoOffer(Ipv4Addr),
    /// The server that offered does not confirm.
    #[error("DHCP server {0} made an offer and did not confirm it")]
    NoAck(Ipv4Addr),
    /// The server takes back what it offers.
    #[error("DHCP server {0} refused what it had offered, again and again")]
    Refused(Ipv4Addr),
    /// The server gives away what others have.
    #[error("DHCP server {0} offers only addresses that other clients have")]
    Duplicates(Ipv4Addr),
}

/// Why an address is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The server said so.
    #[error("DHCP server {0} refused to prolong the lease")]
    Refused(Ipv4Addr),
    /// Nobody prolonged it in time.
    #[error("the lease expired: no DHCP server prolonged it")]
    Expired,
}

/// What the client wants done or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To port 67 there.
    Send {
        /// A host or a broadcast address.
        to: Ipv4Addr,
        /// The message.
        datagram: Vec<u8>,
    },
    /// For the log.
    Log(LeaseId, String),
    /// An address is there.
    Bound(LeaseId, Lease),
    /// It is there for longer.
    Renewed(LeaseId, Lease),
    /// There is none; the id is gone.
    Failed(LeaseId, Failure),
    /// It must not be used any more; the id is gone.
    Lost(LeaseId, Ipv4Addr, Loss),
}

/// Where a lease stands (RFC 2131 figure 5).
#[derive(Debug, Clone)]
enum Phase {
    /// A discover was sent so many times.
    Selecting { sent: u32 },
    /// An offer was taken, a request sent so many times.
    Requesting { address: Ipv4Addr, server: Ipv4Addr, sent: u32 },
    /// The last address was a duplicate: a moment's rest.
    Pausing,
    /// In use.
    Bound(Held),
    /// In use, and the server was asked to prolong it.
    Renewing(Held),
    /// In use, and any server was asked.
    Rebinding(Held),
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    xid: u32,
    began: Millis,
    due: Millis,
    restarts: u32,
    /// Answers that were ignored with a word.
    complaints: u32,
    /// Why it began anew.
    grief: Option<Failure>,
    phase: Phase,
}

/// All of them.
pub struct Client {
    settings: Settings,
    random: Box<dyn FnMut() -> u64 + Send>,
    entries: BTreeMap<LeaseId, Entry>,
    by_xid: BTreeMap<u32, LeaseId>,
    held: BTreeMap<Ipv4Addr, LeaseId>,
    due: BTreeSet<(Millis, LeaseId)>,
    waiting: usize,
    next: u64,
    outputs: VecDeque<Output>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).field("entries", &self.entries).finish()
    }
}

impl Client {
    /// A client without leases. `random`: bits that others cannot guess.
    pub fn new(settings: Settings, random: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self {
            settings,
            random: Box::new(random),
            entries: BTreeMap::new(),
            by_xid: BTreeMap::new(),
            held: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: 0,
            next: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Other settings; leases stay, and go by them from their next message on.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What comes next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Client::timeout`] is due.
    pub fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Bits of its generator, as for [`Subject::random`].
    pub fn draw(&mut self) -> u64 {
        (self.random)()
    }

    /// Leases and transactions under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing is leased or under way.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks for an address.
    ///
    /// # Errors
    /// [`Failure::Busy`] when [`MOST`] or [`MOST_WAITING`] are reached.
    pub fn start(&mut self, now: Millis, subject: Subject) -> Result<LeaseId, Failure> {
        if self.entries.len() >= MOST || self.waiting >= MOST_WAITING {
            return Err(Failure::Busy);
        }
        let xid = self.draw_xid().ok_or(Failure::Busy)?;
        let id = LeaseId(self.next);
        self.next = self.next.wrapping_add(1);
        let entry = Entry {
            subject,
            xid,
            began: now,
            due: now,
            restarts: 0,
            complaints: 0,
            grief: None,
            phase: Phase::Selecting { sent: 0 },
        };
        self.waiting = self.waiting.saturating_add(1);
        self.by_xid.insert(xid, id);
        self.due.insert((entry.due, id));
        self.entries.insert(id, entry);
        self.timeout(now);
        Ok(id)
    }

    /// Gives an address back, or stops looking for one.
    pub fn release(&mut self, now: Millis, id: LeaseId) {
        let Some(entry) = self.remove(id) else { return };
        let (address, server) = match &entry.phase {
            // The server may have bound it, and its answer be on the way.
            Phase::Requesting { address, server, .. } => (*address, *server),
            Phase::Bound(held) | Phase::Renewing(held) | Phase::Rebinding(held) => {
                (held.lease.address, held.lease.server)
            }
            Phase::Selecting { .. } | Phase::Pausing => return,
        };
        let to = self.unicast(server);
        self.say(id, format!("sending DHCP RELEASE for {address} to {to}"));
        self.send(now, &entry, to, Purpose::Release { address, server });
    }

    /// What time has come for.
    pub fn timeout(&mut self, now: Millis) {
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            let Some(mut entry) = self.entries.remove(&id) else { continue };
            match self.wake(now, id, &mut entry) {
                Some(due) => self.put(id, entry, due),
                None => self.forget(id, &entry),
            }
        }
    }

    /// A datagram from a server's port.
    pub fn receive(&mut self, now: Millis, from: Ipv4Addr, datagram: &[u8]) {
        // What is broadcast for others is no news, and neither is rubbish.
        let Ok(answer) = message::decode(datagram) else { return };
        let Some(id) = self.by_xid.get(&answer.xid).copied() else { return };
        let Some(mut entry) = self.entries.remove(&id) else { return };
        if entry.subject.hardware != answer.hardware {
            self.entries.insert(id, entry);
            return;
        }
        self.due.remove(&(entry.due, id));
        match self.step(now, id, &mut entry, from, &answer) {
            Some(due) => self.put(id, entry, due),
            None => self.forget(id, &entry),
        }
    }

    /// A timer: what to do, and when next. `None`: it is over.
    fn wake(&mut self, now: Millis, id: LeaseId, entry: &mut Entry) -> Option<Millis> {
        let end = entry.began.saturating_add(GIVE_UP);
        match entry.phase.clone() {
            Phase::Selecting { .. } | Phase::Requesting { .. } | Phase::Pausing if now >= end => {
                let why = match entry.phase {
                    Phase::Requesting { server, .. } => Failure::NoAck(server),
                    _ => entry.grief.unwrap_or(Failure::NoOffer(self.settings.server)),
                };
                if let Phase::Requesting { address, server, .. } = entry.phase {
                    self.send(now, entry, self.unicast(server), Purpose::Release { address, server });
                }
                self.outputs.push_back(Output::Failed(id, why));
                None
            }
            Phase::Selecting { sent } => {
                let (to, hardware) = (self.settings.server, entry.subject.hardware);
                self.say(id, format!("sending DHCP DISCOVER for {hardware} to {to}"));
                self.send(now, entry, to, Purpose::Discover);
                entry.phase = Phase::Selecting { sent: sent.saturating_add(1) };
                Some(now.saturating_add(resend(sent, (self.random)())).min(end))
            }
            Phase::Requesting { address, server, sent } => {
                let to = self.to_all(server);
                self.say(id, format!("sending DHCP REQUEST for {address} to {to}"));
                self.send(now, entry, to, Purpose::Select { address, server });
                entry.phase = Phase::Requesting { address, server, sent: sent.saturating_add(1) };
                Some(now.saturating_add(resend(sent, (self.random)())).min(end))
            }
            Phase::Pausing => self.begin_again(now, id, entry),
            Phase::Bound(held) | Phase::Renewing(held) | Phase::Rebinding(held) => {
                let passed = |at: Option<Millis>| at.is_some_and(|at| now >= at);
                if passed(held.lease.expires) {
                    self.outputs.push_back(Output::Lost(id, held.lease.address, Loss::Expired));
                    return None;
                }
                self.prolong_xid(now, id, entry);
                if passed(held.rebind_at) {
                    self.rebind(now, id, entry, held)
                } else {
                    self.renew(now, id, entry, held)
                }
            }
        }
    }

    /// A renewal is a transaction of its own.
    fn prolong_xid(&mut self, now: Millis, id: LeaseId, entry: &mut Entry) {
        if matches!(entry.phase, Phase::Bound(_)) {
            entry.began = now;
            entry.complaints = 0;
            if let Some(xid) = self.draw_xid() {
                self.by_xid.remove(&entry.xid);
                self.by_xid.insert(xid, id);
                entry.xid = xid;
            }
        }
    }

    /// Asks the server that gave the lease.
    fn renew(&mut self, now: Millis, id: LeaseId, entry: &mut Entry, held: Held) -> Option<Millis> {
        let (address, to) = (held.lease.address, self.unicast(held.lease.server));
        let due = held.next(now, held.rebind_at)?;
        entry.phase = Phase::Renewing(held);
        self.say(id, format!("sending DHCP REQUEST for {address} to {to} to renew its lease"));
        self.send(now, entry, to, Purpose::Prolong { address });
        Some(due)
    }

    /// Asks every server.
    fn rebind(&mut self, now: Millis, id: LeaseId, entry: &mut Entry, held: Held) -> Option<Millis> {
        let (address, to) = (held.lease.address, self.settings.server);
        let due = held.next(now, held.lease.expires)?;
        entry.phase = Phase::Rebinding(held);
        self.say(id, format!("sending DHCP REQUEST for {address} to {to} to renew its lease"));
        self.send(now, entry, to, Purpose::Prolong { address });
        Some(due)
    }

    /// An answer: what to do, and when next. `None`: it is over.
    fn step(
        &mut self,
        now: Millis,
        id: LeaseId,
        entry: &mut Entry,
        from: Ipv4Addr,
        answer: &Answer,
    ) -> Option<Millis> {
        let ignored = Some(entry.due);
        match (entry.phase.clone(), answer.kind) {
            (Phase::Selecting { .. }, Kind::Offer) => {
                if let Some(fault) = self.fault(answer) {
                    return self
                        .ignore(id, entry, || format!("OFFER {} from {from}: {fault}", answer.address));
                }
                self.say(id, format!("received DHCP OFFER {} from {}", answer.address, answer.server));
                entry.phase = Phase::Requesting { address: answer.address, server: answer.server, sent: 0 };
                self.wake(now, id, entry)
            }
            (Phase::Requesting { address, server, .. }, Kind::Ack) if server == answer.server => {
                if address != answer.address {
                    let other = answer.address;
                    return self.ignore(id, entry, || format!("ACK for {other}: {address} was offered"));
                }
                if let Some(fault) = self.fault(answer) {
                    return self.ignore(id, entry, || format!("ACK for {address} from {from}: {fault}"));
                }
                self.bind(now, id, entry, answer)
            }
            (Phase::Requesting { address, server, .. }, Kind::Nak) if server == answer.server => {
                self.say(id, format!("received DHCP NAK for {address} from {server}"));
                // What it asked for is not to be had.
                entry.subject.requested = None;
                entry.grief = Some(Failure::Refused(server));
                self.begin_again(now, id, entry)
            }
            (Phase::Renewing(held), Kind::Ack) if held.lease.server == answer.server => {
                self.prolong(now, id, entry, held, answer)
            }
            (Phase::Rebinding(held), Kind::Ack) => self.prolong(now, id, entry, held, answer),
            (Phase::Renewing(held), Kind::Nak) if held.lease.server == answer.server => {
                self.lose(id, held.lease.address, answer.server)
            }
            (Phase::Rebinding(held), Kind::Nak) => self.lose(id, held.lease.address, answer.server),
            // Second offers, repetitions, servers that were not chosen.
            _ => ignored,
        }
    }

    /// Goes on waiting. Whoever floods us does not fill the log.
    fn ignore(&mut self, id: LeaseId, entry: &mut Entry, what: impl FnOnce() -> String) -> Option<Millis> {
        if entry.complaints < MOST_COMPLAINTS {
            entry.complaints = entry.complaints.saturating_add(1);
            self.say(id, format!("ignoring DHCP {}", what()));
        }
        Some(entry.due)
    }

    fn lose(&mut self, id: LeaseId, address: Ipv4Addr, server: Ipv4Addr) -> Option<Millis> {
        self.say(id, format!("received DHCP NAK for {address} from {server}"));
        self.outputs.push_back(Output::Lost(id, address, Loss::Refused(server)));
        None
    }

    /// What is wrong with an offer or a confirmation.
    fn fault(&self, answer: &Answer) -> Option<&'static str> {
        if !is_host(answer.address) {
            return Some("no host can have this address");
        }
        if Some(answer.address) == self.settings.relay || answer.address == answer.server {
            return Some("this address is in use");
        }
        match answer.lease {
            None => Some("it has no lease time"),
            Some(seconds) if seconds < timing::SHORTEST_LEASE => Some("its lease time is too short"),
            Some(_) => None,
        }
    }

    fn bind(&mut self, now: Millis, id: LeaseId, entry: &mut Entry, answer: &Answer) -> Option<Millis> {
        let (address, server) = (answer.address, answer.server);
        self.say(id, format!("received DHCP ACK for {address}"));
        if self.held.contains_key(&address) {
            // RFC 2131 3.1 (5): the address is in use, and the server must know.
            let to = self.to_all(server);
            self.say(id, format!("another client has {address}, sending DHCP DECLINE to {to}"));
            self.send(now, entry, to, Purpose::Decline { address, server });
            entry.subject.requested = None;
            entry.grief = Some(Failure::Duplicates(server));
            entry.phase = Phase::Pausing;
            return Some(now.saturating_add(PAUSE));
        }
        let held = Held::new(now, answer, (self.random)());
        self.held.insert(address, id);
        self.waiting = self.waiting.saturating_sub(1);
        self.outputs.push_back(Output::Bound(id, held.lease.clone()));
        let due = held.renew_at.unwrap_or(Millis::MAX);
        entry.phase = Phase::Bound(held);
        Some(due)
    }

    fn prolong(
        &mut self,
        now: Millis,
        id: LeaseId,
        entry: &mut Entry,
        held: Held,
        answer: &Answer,
    ) -> Option<Millis> {
        let address = held.lease.address;
        if address != answer.address {
            return self.ignore(id, entry, || format!("ACK for {}: {address} is leased", answer.address));
        }
        if let Some(fault) = self.fault(answer) {
            return self.ignore(id, entry, || format!("ACK for {address}: {fault}"));
        }
        self.say(id, format!("received DHCP ACK for {address}"));
        let held = Held::new(now, answer, (self.random)());
        self.outputs.push_back(Output::Renewed(id, held.lease.clone()));
        let due = held.renew_at.unwrap_or(Millis::MAX);
        entry.phase = Phase::Bound(held);
        Some(due)
    }

    /// From the beginning, with another xid; not for ever.
    fn begin_again(&mut self, now: Millis, id: LeaseId, entry: &mut Entry) -> Option<Millis> {
        let xid = if entry.restarts < MOST_RESTARTS { self.draw_xid() } else { None };
        let Some(xid) = xid else {
            let why = entry.grief.unwrap_or(Failure::NoOffer(self.settings.server));
            self.outputs.push_back(Output::Failed(id, why));
            return None;
        };
        entry.restarts = entry.restarts.saturating_add(1);
        self.by_xid.remove(&entry.xid);
        self.by_xid.insert(xid, id);
        entry.xid = xid;
        entry.phase = Phase::Selecting { sent: 0 };
        self.wake(now, id, entry)
    }

    fn draw_xid(&mut self) -> Option<u32> {
        (0..DRAWS).find_map(|_| {
            let [a, b, c, d, ..] = (self.random)().to_be_bytes();
            let xid = u32::from_be_bytes([a, b, c, d]);
            (!self.by_xid.contains_key(&xid)).then_some(xid)
        })
    }

    /// Where a chosen server hears us alone.
    fn unicast(&self, server: Ipv4Addr) -> Ipv4Addr {
        if self.settings.force_server { self.settings.server } else { server }
    }

    /// Where a chosen server hears us, and those that were not chosen (RFC 2131 3.1 (3)). A relay agent's servers are
    /// not on its link.
    fn to_all(&self, server: Ipv4Addr) -> Ipv4Addr {
        if self.settings.relay.is_some() { self.unicast(server) } else { self.settings.server }
    }

    fn send(&mut self, now: Millis, entry: &Entry, to: Ipv4Addr, purpose: Purpose) {
        let secs = now.saturating_sub(entry.began) / 1000;
        let frame = Frame {
            subject: &entry.subject,
            xid: entry.xid,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            relay: self.settings.relay,
        };
        if let Some(datagram) = encode(&frame, purpose) {
            self.outputs.push_back(Output::Send { to, datagram });
        }
    }

    fn say(&mut self, id: LeaseId, text: String) {
        self.outputs.push_back(Output::Log(id, text));
    }

    fn put(&mut self, id: LeaseId, mut entry: Entry, due: Millis) {
        entry.due = due;
        // A lease for ever has no timer.
        if due != Millis::MAX {
            self.due.insert((due, id));
        }
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: LeaseId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.due.remove(&(entry.due, id));
        self.forget(id, &entry);
        Some(entry)
    }

    /// Takes an entry that is gone out of the indices.
    fn forget(&mut self, id: LeaseId, entry: &Entry) {
        self.by_xid.remove(&entry.xid);
        match &entry.phase {
            Phase::Selecting { .. } | Phase::Requesting { .. } | Phase::Pausing => {
                self.waiting = self.waiting.saturating_sub(1);
            }
            Phase::Bound(held) | Phase::Renewing(held) | Phase::Rebinding(held) => {
                if self.held.get(&held.lease.address) == Some(&id) {
                    self.held.remove(&held.lease.address);
                }
            }
        }
    }
}
