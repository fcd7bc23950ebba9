//! Sessions as records (RFC 2866): Start, Interim-Update, Stop.
//!
//! Nothing is lost while the servers are away: Start and Stop are kept and sent later, with Acct-Delay-Time.
use crate::client::{Purpose, Request, ServerId};
use crate::relay::Facts;
use ipnet::IpNet;
use std::collections::{BTreeMap, VecDeque};
use wire::iana::{AcctStatus, RadiusType, TerminateCause};
use wire::radius::Attribute;

/// Milliseconds between attempts to deliver a record.
const AGAIN: u64 = 60_000;
/// Attempts: about a day's worth.
const ATTEMPTS: u32 = 1_440;
/// Records kept for later.
const LATE: usize = 8_192;
/// The shortest interval between updates, in seconds (RFC 2869 5.16: "MUST NOT be smaller than 60" is about what
/// servers send; our own setting may go below).
const SHORTEST: u64 = 1;

/// The two clocks: monotonic milliseconds, and seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds.
    pub mono: u64,
    /// Seconds.
    pub wall: u64,
}

/// Settings; `strongswan.conf`'s keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounting {
    /// `accounting_interval`: seconds between updates where the server names none; 0 none.
    pub interval: u64,
    /// `accounting_requires_vip`: only for clients with a virtual IP.
    pub requires_vip: bool,
    /// `accounting_send_class`: give Class back.
    pub send_class: bool,
    /// `accounting_close_on_timeout`: close the IKE_SA when an update is not answered.
    pub close_on_timeout: bool,
    /// `station_id_with_port`.
    pub station_id_with_port: bool,
}

/// What went through a CHILD_SA: `input` came from the peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Counters {
    pub input_octets: u64,
    pub output_octets: u64,
    pub input_packets: u64,
    pub output_packets: u64,
}

impl Counters {
    fn plus(self, other: Self) -> Self {
        Self {
            input_octets: self.input_octets.saturating_add(other.input_octets),
            output_octets: self.output_octets.saturating_add(other.output_octets),
            input_packets: self.input_packets.saturating_add(other.input_packets),
            output_packets: self.output_packets.saturating_add(other.output_packets),
        }
    }

    /// Counters only grow; a figure that came late does not take anything back.
    fn at_least(self, other: Self) -> Self {
        Self {
            input_octets: self.input_octets.max(other.input_octets),
            output_octets: self.output_octets.max(other.output_octets),
            input_packets: self.input_packets.max(other.input_packets),
            output_packets: self.output_packets.max(other.output_packets),
        }
    }
}

/// A session, as it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who, where.
    pub facts: Facts,
    /// Virtual IPs and prefixes.
    pub addresses: Vec<IpNet>,
    /// Class of the Access-Accept.
    pub class: Vec<Vec<u8>>,
    /// Acct-Interim-Interval of the Access-Accept.
    pub interim: Option<u64>,
    /// The server that accepted the peer gets the records, while it is there.
    pub server: Option<ServerId>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    since: u64,
    next_interim: Option<u64>,
    /// By CHILD_SA.
    counters: BTreeMap<u32, Counters>,
    /// Of those that are gone.
    gone: Counters,
}

/// Names a record until it is delivered or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    Interim,
    Stop,
}

#[derive(Debug, Clone)]
struct Record {
    kind: Kind,
    ike_id: u32,
    attributes: Vec<Attribute>,
    server: Option<ServerId>,
    /// When it was made.
    made: u64,
    attempts: u32,
}

/// What becomes of a record that no server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// Sent again later.
    Later,
    /// Given up: an update, which the next one makes good, or a record too old, or too many of them.
    Dropped,
    /// Given up, and the IKE_SA must go (`accounting_close_on_timeout`).
    Close(u32),
}

/// All sessions that are open, and the records of them that no server has acknowledged.
#[derive(Debug)]
pub struct Ledger {
    options: Accounting,
    boot: u64,
    open: BTreeMap<u32, Open>,
    records: BTreeMap<RecordId, Record>,
    late: VecDeque<(u64, Record)>,
    next: u64,
    out: VecDeque<(RecordId, Request)>,
}

impl Ledger {
    /// Nothing is open. `boot`, the seconds since 1970, makes session ids unique across restarts.
    #[must_use]
    pub fn new(options: Accounting, boot: u64) -> Self {
        Self {
            options,
            boot,
            open: BTreeMap::new(),
            records: BTreeMap::new(),
            late: VecDeque::new(),
            next: 1,
            out: VecDeque::new(),
        }
    }

    /// Acct-Session-Id of an IKE_SA, as strongSwan makes it.
    #[must_use]
    pub fn session_id(boot: u64, ike_id: u32) -> String {
        format!("{boot}-{ike_id}")
    }

    /// Seconds since 1970 at the start.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Other settings, for what comes from now on.
    pub fn configure(&mut self, options: Accounting) {
        self.options = options;
    }

    /// User-Name and Acct-Session-Id of an IKE_SA's session.
    #[must_use]
    pub fn identity(&self, ike_id: u32) -> Option<(String, String)> {
        let facts = &self.open.get(&ike_id)?.session.facts;
        Some((facts.user.clone(), facts.session.clone()))
    }

    /// Whether there is a session of that IKE_SA.
    #[must_use]
    pub fn is_open(&self, ike_id: u32) -> bool {
        self.open.contains_key(&ike_id)
    }

    /// An IKE_SA is up. False when it gets no records.
    pub fn open(&mut self, now: Clock, session: Session) -> bool {
        let ike_id = session.facts.ike_id;
        if (self.options.requires_vip && session.addresses.is_empty()) || self.is_open(ike_id) {
            return false;
        }
        let interval = session.interim.unwrap_or(self.options.interval);
        let next_interim = (interval > 0).then(|| due(now.mono, interval));
        let open = Open {
            session,
            since: now.mono,
            next_interim,
            counters: BTreeMap::new(),
            gone: Counters::default(),
        };
        let attributes = self.attributes(now, &open, AcctStatus::Start);
        let server = open.session.server;
        self.open.insert(ike_id, open);
        self.emit(now, Kind::Start, ike_id, attributes, server);
        true
    }

    /// What a CHILD_SA has counted so far.
    pub fn count(&mut self, ike_id: u32, child: u32, counters: Counters) {
        if let Some(open) = self.open.get_mut(&ike_id) {
            let known = open.counters.entry(child).or_default();
            *known = known.at_least(counters);
        }
    }

    /// A CHILD_SA is gone; what it counted stays.
    pub fn child_gone(&mut self, ike_id: u32, child: u32) {
        if let Some(open) = self.open.get_mut(&ike_id)
            && let Some(counters) = open.counters.remove(&child)
        {
            open.gone = open.gone.plus(counters);
        }
    }

    /// The IKE_SA was rekeyed: the session goes on, under the same Acct-Session-Id.
    pub fn rekeyed(&mut self, old: u32, new: u32) {
        if let Some(open) = self.open.remove(&old) {
            self.open.insert(new, open);
        }
    }

    /// The peer's or our address has changed (MOBIKE, NAT).
    pub fn moved(&mut self, ike_id: u32, local: std::net::SocketAddr, remote: std::net::SocketAddr) {
        if let Some(open) = self.open.get_mut(&ike_id) {
            (open.session.facts.local, open.session.facts.remote) = (local, remote);
        }
    }

    /// Sessions whose update is due; the caller counts them anew and calls [`Self::interim`] for each.
    pub fn due(&mut self, now: Clock) -> Vec<u32> {
        let options = self.options.interval;
        let mut due_now = Vec::new();
        for (ike_id, open) in &mut self.open {
            if open.next_interim.is_some_and(|at| at <= now.mono) {
                due_now.push(*ike_id);
                let interval = open.session.interim.unwrap_or(options);
                open.next_interim = Some(due(now.mono, interval));
            }
        }
        due_now
    }

    /// Makes an update.
    pub fn interim(&mut self, now: Clock, ike_id: u32) {
        let Some(open) = self.open.get(&ike_id) else { return };
        let attributes = self.attributes(now, open, AcctStatus::InterimUpdate);
        let server = open.session.server;
        self.emit(now, Kind::Interim, ike_id, attributes, server);
    }

    /// An IKE_SA is down.
    pub fn close(&mut self, now: Clock, ike_id: u32, cause: TerminateCause) {
        let Some(open) = self.open.remove(&ike_id) else { return };
        let mut attributes = self.attributes(now, &open, AcctStatus::Stop);
        attributes.push(Attribute::number(RadiusType::AcctTerminateCause, u32::from(u16::from(cause))));
        // A Start that comes after its Stop would open the session for ever.
        self.late.retain(|(_, record)| record.ike_id != ike_id || record.kind == Kind::Stop);
        let server = open.session.server;
        self.emit(now, Kind::Stop, ike_id, attributes, server);
    }

    /// A server has acknowledged the record.
    pub fn delivered(&mut self, id: RecordId, server: ServerId) {
        if let Some(record) = self.records.remove(&id)
            && let Some(open) = self.open.get_mut(&record.ike_id)
        {
            open.session.server = Some(server);
        }
    }

    /// No server has.
    pub fn undelivered(&mut self, now: Clock, id: RecordId) -> Undelivered {
        let Some(record) = self.records.remove(&id) else { return Undelivered::Dropped };
        match record.kind {
            Kind::Interim if self.options.close_on_timeout && self.is_open(record.ike_id) => {
                Undelivered::Close(record.ike_id)
            }
            Kind::Interim => Undelivered::Dropped,
            Kind::Start if !self.is_open(record.ike_id) => Undelivered::Dropped,
            Kind::Start | Kind::Stop => {
                if record.attempts >= ATTEMPTS || self.late.len() >= LATE {
                    return Undelivered::Dropped;
                }
                self.late.push_back((now.mono.saturating_add(AGAIN), record));
                Undelivered::Later
            }
        }
    }

    /// When [`Self::wake`] or [`Self::due`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let late = self.late.front().map(|(at, _)| *at);
        self.open.values().filter_map(|open| open.next_interim).chain(late).min()
    }

    /// Sends again what is late.
    pub fn wake(&mut self, now: Clock) {
        while let Some((_, record)) = self.late.pop_front_if(|(at, _)| *at <= now.mono) {
            self.send(now, record);
        }
    }

    /// The next record to deliver.
    pub fn poll(&mut self) -> Option<(RecordId, Request)> {
        self.out.pop_front()
    }

    /// Records that no server has acknowledged.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.records.len().saturating_add(self.late.len())
    }

    fn emit(
        &mut self,
        now: Clock,
        kind: Kind,
        ike_id: u32,
        attributes: Vec<Attribute>,
        server: Option<ServerId>,
    ) {
        self.send(now, Record { kind, ike_id, attributes, server, made: now.mono, attempts: 0 });
    }

    fn send(&mut self, now: Clock, mut record: Record) {
        let id = RecordId(self.next);
        self.next = self.next.saturating_add(1);
        let mut attributes = record.attributes.clone();
        let delay = now.mono.saturating_sub(record.made) / 1_000;
        if record.attempts > 0 {
            attributes.push(Attribute::number(RadiusType::AcctDelayTime, low(delay)));
        }
        record.attempts = record.attempts.saturating_add(1);
        let request =
            Request { purpose: Purpose::Accounting, attributes, server: record.server, movable: true };
        self.records.insert(id, record);
        self.out.push_back((id, request));
    }

    fn attributes(&self, now: Clock, open: &Open, status: AcctStatus) -> Vec<Attribute> {
        let Session { facts, addresses, class, .. } = &open.session;
        let mut out = vec![
            Attribute::number(RadiusType::AcctStatusType, u32::from(u16::from(status))),
            Attribute::text(RadiusType::AcctSessionId, &facts.session),
        ];
        if self.options.send_class {
            let class = class.iter().filter(|class| class.len() <= Attribute::MAX);
            out.extend(class.map(|class| Attribute::new(RadiusType::Class, class.clone())));
        }
        out.extend(facts.attributes(self.options.station_id_with_port));
        out.push(Attribute::text(RadiusType::UserName, &facts.user));
        for address in addresses {
            out.push(crate::prefix::framed(*address));
        }
        out.push(Attribute::number(RadiusType::EventTimestamp, low(now.wall)));
        if status != AcctStatus::Start {
            let sum = open.counters.values().fold(open.gone, |sum, counters| sum.plus(*counters));
            let mut octets = |kind, gigawords, octets: u64| {
                out.push(Attribute::number(kind, low(octets)));
                // RFC 2869 5.1: how often the counter has wrapped around.
                let high = low(octets.wrapping_shr(32));
                if high > 0 {
                    out.push(Attribute::number(gigawords, high));
                }
            };
            octets(RadiusType::AcctOutputOctets, RadiusType::AcctOutputGigawords, sum.output_octets);
            octets(RadiusType::AcctInputOctets, RadiusType::AcctInputGigawords, sum.input_octets);
            out.push(Attribute::number(RadiusType::AcctOutputPackets, low(sum.output_packets)));
            out.push(Attribute::number(RadiusType::AcctInputPackets, low(sum.input_packets)));
            let seconds = now.mono.saturating_sub(open.since) / 1_000;
            out.push(Attribute::number(RadiusType::AcctSessionTime, low(seconds)));
        }
        out
    }
}

fn due(now: u64, seconds: u64) -> u64 {
    now.saturating_add(seconds.max(SHORTEST).saturating_mul(1_000))
}

/// The low 32 bits: counters wrap around.
fn low(number: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
