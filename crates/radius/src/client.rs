//! Requests to servers: choice of server, identifiers, retransmission, fail-over.
//!
//! A server that says nothing to anybody for (the second half of) one timeout is down: requests that may move are sent to another one as well,
//! and the first reply wins; those that cannot (a login whose state the server holds) go on being retransmitted; and
//! nobody new is sent there while another server is up. Any valid reply brings it back, also one to the Status-Server
//! packets that a server gets while it is down.

mod flight;
mod lane;
mod request;
mod settings;

pub use request::{Failure, Keys, Output, Purpose, Reply, Request, RequestId, ServerId, Socket, code_name};
pub use settings::{ClientSettings, ServerSettings};

use crate::crypt::{self, Authenticator, Demand};
use crypto::Rng;
use flight::{Flight, Seat};
use lane::{Lane, Slot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::iana::{RadiusCode, RadiusType};
use wire::radius::{Attribute, Packet};

/// Requests that may wait for an identifier to become free.
const WAITING: usize = 8192;
/// Milliseconds from a server's falling silent to the first Status-Server packet, and between two.
const FIRST_PROBE: u64 = 1_000;
const PROBE: u64 = 15_000;
/// Milliseconds after which a server that is down gets one login that may move, since not every server answers
/// Status-Server packets.
const TRIAL: u64 = 60_000;
/// Transmissions that are refused before a login that cannot go elsewhere fails.
const REFUSALS: u32 = 3;
/// What being the server of the session's other records adds to the rank.
const PREFERRED: i64 = 10_000;

/// All servers, and all requests to them.
pub struct Client {
    settings: ClientSettings,
    lanes: Vec<Lane>,
    flights: BTreeMap<RequestId, Flight>,
    waiting: BTreeMap<Purpose, VecDeque<RequestId>>,
    timers: BTreeSet<(u64, RequestId)>,
    next: u64,
    /// Counts transmissions, for turns among equal servers.
    turn: u64,
    rng: Rng,
    out: VecDeque<Output>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} servers, {} requests)", self.settings.servers.len(), self.flights.len())
    }
}

impl Client {
    /// Knows its servers and has asked none.
    #[must_use]
    pub fn new(settings: ClientSettings, rng: Rng) -> Self {
        let lanes = settings.servers.iter().enumerate().flat_map(|(index, server)| {
            [Purpose::Login, Purpose::Accounting].map(|purpose| Lane::new(ServerId(index), purpose, server))
        });
        Self {
            lanes: lanes.collect(),
            settings,
            flights: BTreeMap::new(),
            waiting: BTreeMap::new(),
            timers: BTreeSet::new(),
            next: 1,
            turn: 0,
            rng,
            out: VecDeque::new(),
        }
    }

    /// Sends a request, or lets it wait for its turn. Its end is told as [`Output::Replied`] or [`Output::Failed`].
    pub fn send(&mut self, now: u64, request: Request) -> RequestId {
        let id = RequestId(self.next);
        self.next = self.next.saturating_add(1);
        let known = request.server.filter(|server| server.0 < self.settings.servers.len());
        let lost = request.server.is_some() && known.is_none() && !request.movable;
        if self.settings.servers.is_empty() || lost {
            self.out.push_back(Output::Failed(id, Failure::NoServer));
            return id;
        }
        let patience = self.settings.servers.iter().map(ServerSettings::patience).max().unwrap_or_default();
        let purpose = request.purpose;
        let deadline = now.saturating_add(patience);
        self.flights.insert(id, Flight::new(Request { server: known, ..request }, deadline));
        if !self.launch(now, id) {
            let waiting = self.waiting.entry(purpose).or_default();
            if waiting.len() >= WAITING {
                self.fail(now, id, Failure::Busy);
            } else {
                waiting.push_back(id);
                self.set_timer(id, deadline);
            }
        }
        id
    }

    /// Nobody wants the reply any more.
    pub fn cancel(&mut self, now: u64, id: RequestId) {
        self.end(now, id);
        self.start_waiting(now);
    }

    /// A datagram came on a socket; its sender is the server's address, which the socket is connected to.
    pub fn receive(&mut self, now: u64, socket: Socket, datagram: &[u8]) {
        let Some(at) = self.lane_of(socket) else { return };
        let Some(server) = self.settings.servers.get(socket.server.0) else { return };
        let name = server.name.clone();
        let packet = match Packet::parse(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                self.log(1, format!("received invalid RADIUS message from server '{name}': {why}"));
                return;
            }
        };
        let Some(lane) = self.lanes.get(at) else { return };
        let Some(slot) = lane.slot(socket.number, packet.id) else {
            self.log(2, format!("RADIUS reply {} from server '{name}' has no request, ignored", packet.id));
            return;
        };
        let demand = match (socket.purpose, slot.probe) {
            (Purpose::Login, false) => Demand::Present,
            _ => Demand::RightIfPresent,
        };
        let fits = match socket.purpose {
            Purpose::Login => matches!(
                packet.code,
                RadiusCode::AccessAccept | RadiusCode::AccessReject | RadiusCode::AccessChallenge
            ),
            Purpose::Accounting => packet.code == RadiusCode::AccountingResponse,
        };
        let verified = crypt::verify_reply(&packet, &slot.authenticator, &server.secret, demand);
        let (request, authenticator) = (slot.request, slot.authenticator);
        if request.is_some() && !fits {
            self.log(
                1,
                format!("RADIUS {} from server '{name}' answers nothing, ignored", code_name(packet.code)),
            );
            return;
        }
        if let Err(why) = verified {
            self.log(1, format!("RADIUS message from server '{name}' is not accepted: {why}"));
            if let Some(flight) = request.and_then(|id| self.flights.get_mut(&id)) {
                flight.forged = Some(why);
            }
            return;
        }
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.heard = Some(now);
        let back = lane.come_up();
        lane.free(socket.number, packet.id);
        if back {
            self.out.push_back(Output::Server { name: name.clone(), purpose: socket.purpose, up: true });
        }
        // A late reply to a request that was answered or given up is a sign of life and no more.
        if let (true, Some(id)) = (fits, request) {
            let keys = self.keys(&packet, socket.server, &authenticator);
            self.log(1, format!("received RADIUS {} from server '{name}'", code_name(packet.code)));
            self.end(now, id);
            let reply = Reply { server: socket.server, name, packet, keys };
            self.out.push_back(Output::Replied(id, Box::new(reply)));
        }
        self.start_waiting(now);
    }

    /// The network said that nothing listens there. It may lie, so that a server is only doubted for it, and a login that
    /// cannot move fails when it was said about several transmissions.
    pub fn refused(&mut self, now: u64, socket: Socket) {
        let Some(at) = self.lane_of(socket) else { return };
        self.go_down(now, at);
        let mut there = Vec::new();
        for (id, flight) in &mut self.flights {
            let current = flight.lane == at;
            let Some(seat) = flight.seats.get_mut(&at).filter(|seat| seat.socket == socket.number) else {
                continue;
            };
            seat.refused = seat.refused.saturating_add(1).min(seat.sent);
            let hopeless = seat.refused >= REFUSALS && flight.request.purpose == Purpose::Login;
            if current {
                there.push((*id, hopeless));
            }
        }
        for (id, hopeless) in there {
            match self.elsewhere(id).filter(|to| self.lanes.get(*to).is_some_and(Lane::is_up)) {
                Some(to) => self.transmit(now, id, to),
                None if hopeless && self.elsewhere(id).is_none() => {
                    self.fail(now, id, Failure::Refused { server: self.name(at) });
                }
                None => {}
            }
        }
    }

    /// When [`Self::wake`] wants to be called.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let lanes = self.lanes.iter().filter_map(Lane::next_wake).min();
        timer.into_iter().chain(lanes).min()
    }

    /// Time has passed.
    pub fn wake(&mut self, now: u64) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.expired(now, id);
        }
        for at in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(at) {
                lane.forget(now);
                if lane.probe_due(now) {
                    self.probe(now, at);
                }
            }
        }
        self.start_waiting(now);
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Requests without reply or failure.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.flights.len()
    }

    /// The server of that place.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&ServerSettings> {
        self.settings.servers.get(id.0)
    }

    fn log(&mut self, level: i8, text: String) {
        self.out.push_back(Output::Log(level, text));
    }

    fn name(&self, lane: usize) -> String {
        let server = self.lanes.get(lane).and_then(|lane| self.settings.servers.get(lane.server.0));
        server.map(|server| server.name.clone()).unwrap_or_default()
    }

    fn lane_of(&self, socket: Socket) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.server == socket.server && lane.purpose == socket.purpose)
    }

    fn set_timer(&mut self, id: RequestId, at: u64) {
        if let Some(flight) = self.flights.get_mut(&id) {
            self.timers.remove(&(flight.at, id));
            flight.at = at;
            self.timers.insert((at, id));
        }
    }

    /// The lane that shall carry a request first.
    fn best(&mut self, now: u64, request: &Request) -> Option<usize> {
        let only = request.server.filter(|_| !request.movable);
        let mut ranked: Vec<(i64, u64, usize)> = Vec::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            if lane.purpose != request.purpose
                || only.is_some_and(|server| server != lane.server)
                || !lane.has_room()
            {
                continue;
            }
            let mut rank = lane.rank();
            // One login in a while finds out whether the server is back.
            if request.movable && lane.trial_due(now) {
                rank = rank.saturating_add(lane::UP);
            }
            // The records of a session go to one server while it is there.
            if request.server == Some(lane.server) && lane.is_up() {
                rank = rank.saturating_add(PREFERRED);
            }
            ranked.push((rank, lane.used_at, at));
        }
        for (rank, _, at) in &ranked {
            let name = self.name(*at);
            self.log(2, format!("RADIUS server '{name}' is candidate: {rank}"));
        }
        // Equals take turns.
        ranked.sort_by_key(|(rank, used, at)| (std::cmp::Reverse(*rank), *used, *at));
        ranked.first().map(|(_, _, at)| *at)
    }

    /// Sends a request for the first time. False when there is no room.
    fn launch(&mut self, now: u64, id: RequestId) -> bool {
        let Some(request) = self.flights.get(&id).map(|flight| flight.request.clone()) else { return true };
        let Some(at) = self.best(now, &request) else { return false };
        self.transmit(now, id, at);
        true
    }

    /// Sends a request on a lane, anew or again.
    fn transmit(&mut self, now: u64, id: RequestId, at: usize) {
        let seated = self.flights.get(&id).is_some_and(|flight| flight.seats.contains_key(&at));
        if !seated && !self.board(now, id, at) {
            return;
        }
        self.turn = self.turn.saturating_add(1);
        let name = self.name(at);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.used_at = self.turn;
        lane.tried(now);
        let Some(server) = self.settings.servers.get(lane.server.0) else { return };
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let moved = flight.lane != at && flight.seats.len() > 1;
        flight.lane = at;
        let Some(seat) = flight.seats.get_mut(&at) else { return };
        let timeout = server.timeout(seat.sent);
        (seat.sent, seat.last) = (seat.sent.saturating_add(1), now);
        let what = match lane.purpose {
            Purpose::Login => "Access-Request",
            Purpose::Accounting => "Accounting-Request",
        };
        let text = match seat.sent {
            1 if moved => format!("sending RADIUS {what} to server '{name}' instead"),
            1 => format!("sending RADIUS {what} to server '{name}'"),
            sent => {
                format!("retransmit {} of RADIUS {what} to server '{name}'", sent.saturating_sub(1))
            }
        };
        let socket = Socket { server: lane.server, purpose: lane.purpose, number: seat.socket };
        let datagram = seat.bytes.clone();
        self.set_timer(id, now.saturating_add(timeout));
        self.log(1, text);
        self.out.push_back(Output::Send { socket, datagram });
    }

    /// Gives a request an identifier on a lane and makes its packet. False: it has failed.
    fn board(&mut self, now: u64, id: RequestId, at: usize) -> bool {
        let taken = self.lanes.get_mut(at).and_then(Lane::take);
        let made = taken.and_then(|(socket, ident)| Some((socket, ident, self.packet(id, at, ident)?)));
        let Some((socket, ident, (authenticator, bytes))) = made else {
            self.fail(now, id, if taken.is_some() { Failure::TooLong } else { Failure::Busy });
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.put(socket, ident, Slot { request: Some(id), authenticator, probe: false, until: u64::MAX });
        }
        if let Some(flight) = self.flights.get_mut(&id) {
            let seat = Seat { socket, ident, bytes, last: now, sent: 0, refused: 0 };
            flight.seats.insert(at, seat);
        }
        true
    }

    fn packet(&mut self, id: RequestId, at: usize, ident: u8) -> Option<(Authenticator, Vec<u8>)> {
        let flight = self.flights.get(&id)?;
        let server = self.settings.servers.get(self.lanes.get(at)?.server.0)?;
        let code = match flight.request.purpose {
            Purpose::Login => RadiusCode::AccessRequest,
            Purpose::Accounting => RadiusCode::AccountingRequest,
        };
        let mut packet = Packet::new(code, ident, random(&mut self.rng));
        packet.attributes.clone_from(&flight.request.attributes);
        if !server.nas_identifier.is_empty() {
            packet.push(Attribute::text(RadiusType::NasIdentifier, &server.nas_identifier));
        }
        let bytes = match flight.request.purpose {
            Purpose::Login => crypt::seal_access(packet, &server.secret),
            Purpose::Accounting => crypt::seal_digest(packet, &server.secret),
        };
        let bytes = bytes.ok()?;
        Some((Packet::parse(&bytes).ok()?.authenticator, bytes))
    }

    /// A request's timer has fired.
    fn expired(&mut self, now: u64, id: RequestId) {
        let Some(flight) = self.flights.get(&id) else { return };
        if flight.waits() {
            return self.fail(now, id, Failure::Busy);
        }
        let (at, deadline) = (flight.lane, flight.deadline);
        let Some(seat) = flight.seats.get(&at) else { return };
        let (sent, last) = (seat.sent, seat.last);
        // What came soon after the request may have been the server's last word; a server that is there and busy speaks
        // in the second half of the wait, too.
        let half = last.midpoint(now);
        let silent = self.lanes.get(at).is_some_and(|lane| lane.heard.is_none_or(|heard| heard < half));
        if silent {
            self.go_down(now, at);
        }
        let tries = self
            .lanes
            .get(at)
            .and_then(|lane| self.settings.servers.get(lane.server.0))
            .map_or(0, |server| server.retransmit_tries);
        match self.elsewhere(id) {
            _ if now >= deadline => self.give_up(now, id),
            Some(to) if silent => self.transmit(now, id, to),
            _ if sent > tries => self.give_up(now, id),
            _ => self.transmit(now, id, at),
        }
    }

    /// Where else a request may go: to a server that is up, else to one it was not sent to, else to the one it was sent to
    /// longest ago.
    fn elsewhere(&self, id: RequestId) -> Option<usize> {
        let flight = self.flights.get(&id).filter(|flight| flight.request.movable)?;
        let others = self.lanes.iter().enumerate().filter(|(at, lane)| {
            let seated = flight.seats.contains_key(at);
            *at != flight.lane && lane.purpose == flight.request.purpose && (seated || lane.has_room())
        });
        let key = |(at, lane): &(usize, &Lane)| {
            let last = flight.seats.get(at).map_or(0, |seat| seat.last);
            (!lane.is_up(), last, std::cmp::Reverse(lane.rank()), *at)
        };
        others.min_by_key(key).map(|(at, _)| at)
    }

    fn give_up(&mut self, now: u64, id: RequestId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let server = self.name(flight.lane);
        let failure = match flight.forged {
            Some(why) => Failure::Forged { server, why },
            None => Failure::Silent { server, transmissions: flight.transmissions() },
        };
        self.fail(now, id, failure);
    }

    fn go_down(&mut self, now: u64, at: usize) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let purpose = lane.purpose;
        if lane.go_down(now) {
            let name = self.name(at);
            self.out.push_back(Output::Server { name, purpose, up: false });
        }
    }

    fn fail(&mut self, now: u64, id: RequestId, failure: Failure) {
        self.end(now, id);
        self.out.push_back(Output::Failed(id, failure));
    }

    /// Forgets a request. Its identifiers stay taken for as long as a reply may come late.
    fn end(&mut self, now: u64, id: RequestId) {
        let Some(flight) = self.flights.remove(&id) else { return };
        self.timers.remove(&(flight.at, id));
        if flight.waits() {
            for waiting in self.waiting.values_mut() {
                waiting.retain(|other| *other != id);
            }
        }
        for (at, seat) in &flight.seats {
            let Some(lane) = self.lanes.get_mut(*at) else { continue };
            let patience = self.settings.servers.get(lane.server.0).map_or(0, ServerSettings::patience);
            lane.haunt(seat.socket, seat.ident, now.saturating_add(patience));
        }
    }

    fn start_waiting(&mut self, now: u64) {
        for purpose in [Purpose::Login, Purpose::Accounting] {
            while let Some(id) = self.waiting.get_mut(&purpose).and_then(VecDeque::pop_front) {
                if self.launch(now, id) {
                    continue;
                }
                if let Some(waiting) = self.waiting.get_mut(&purpose) {
                    waiting.push_front(id);
                }
                break;
            }
        }
    }

    /// Asks a server that is down for a sign of life (RFC 5997).
    fn probe(&mut self, now: u64, at: usize) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.probed(now);
        let Some(server) = self.settings.servers.get(lane.server.0) else { return };
        let Some((socket, ident)) = lane.take() else { return };
        let mut packet = Packet::new(RadiusCode::StatusServer, ident, random(&mut self.rng));
        if !server.nas_identifier.is_empty() {
            packet.push(Attribute::text(RadiusType::NasIdentifier, &server.nas_identifier));
        }
        let authenticator = packet.authenticator;
        let Ok(datagram) = crypt::seal_access(packet, &server.secret) else { return };
        let until = now.saturating_add(server.patience());
        lane.put(socket, ident, Slot { request: None, authenticator, probe: true, until });
        let socket = Socket { server: lane.server, purpose: lane.purpose, number: socket };
        self.out.push_back(Output::Send { socket, datagram });
    }

    fn keys(&self, packet: &Packet, server: ServerId, request: &Authenticator) -> Keys {
        use wire::iana::MicrosoftType::{MppeRecvKey, MppeSendKey};
        let Some(server) = self.settings.servers.get(server.0) else { return Keys::default() };
        let mut keys = Keys::default();
        for attribute in packet.vendor(wire::radius::vendors::MICROSOFT) {
            let slot = match wire::iana::MicrosoftType::from(attribute.kind) {
                MppeRecvKey => &mut keys.recv,
                MppeSendKey => &mut keys.send,
                _ => continue,
            };
            *slot = crypt::uncover_key(&attribute.value, request, &server.secret);
        }
        keys
    }
}

fn random(rng: &mut Rng) -> Authenticator {
    let mut out = [0; 16];
    rng.fill(&mut out);
    out
}

#[cfg(test)]
mod tests;
