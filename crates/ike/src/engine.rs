//! The one door: find the SA, feed it, collect outputs, keep deadlines.
use crate::admit::{Admission, Load, Verdict};
use crate::chore::Chores;
use crate::core::{Core, Later, Waiter};
use crate::io::{Answer, Ask, Command, Datagram, Event, Group, Levels, Now, Output, Ticket};
use crate::sa::{IkeSa, Phase, Wait};
use crate::v2::send::host;
use crate::v2::window::Datagrams;
use crate::v2::{self, close, init, receive, timers};
use crate::when::When;
use crypto::Rng;
use policy::Snapshot;
use policy::sa::PolicyOnly;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use wire::WireError;
use wire::iana::{ExchangeType, NotifyType};
use wire::ike::{Flags, Header, Message};

/// Which of the daemon's engines this is. Our IKE SPIs carry `index` in their low `bits` bits, and so do unique ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shard {
    /// Number of the engine, below 2^bits.
    pub index: u8,
    /// log2 of the number of engines, at most 8.
    pub bits: u8,
}

impl Shard {
    fn mask(self) -> u64 {
        (1u64 << self.bits.min(8)).wrapping_sub(1)
    }

    /// A number that no other shard gives out.
    pub(crate) fn unique(self, n: u32) -> u32 {
        let low = u32::try_from(u64::from(self.index) & self.mask()).unwrap_or(0);
        n.wrapping_shl(u32::from(self.bits.min(8))) | low
    }

    /// A random SPI of this shard, never 0.
    pub(crate) fn ike_spi(self, rng: &mut Rng) -> u64 {
        loop {
            let spi = (rng.u64() & !self.mask()) | (u64::from(self.index) & self.mask());
            if spi & !self.mask() != 0 {
                return spi;
            }
        }
    }
}

/// Most deferred steps after one input; a bound, not a limit anybody should meet.
const MAX_LATER: usize = 100_000;

/// Most IKE_SAs that one call works on where many are due.
pub const SLICE: usize = 128;

/// One shard's worth of IKE_SAs.
///
/// After each of [`receive`](Self::receive), [`command`](Self::command), [`answer`](Self::answer) and
/// [`wake`](Self::wake): drain [`poll`](Self::poll), then ask [`next_wake`](Self::next_wake).
#[derive(Debug)]
pub struct Engine {
    pub(crate) core: Core,
    pub(crate) chores: Chores,
    admission: Admission,
    last_words: BTreeMap<u64, LastWords>,
    /// Until when which are kept, oldest first.
    last_said: VecDeque<(u64, u64)>,
}

/// The last response of an SA that is gone.
#[derive(Debug)]
struct LastWords {
    until: u64,
    /// SHA-1 of the request.
    request: [u8; 20],
    response: Datagrams,
}

/// How long last words are repeated, and of how many SAs.
const LAST_WORDS_MS: u64 = 60_000;
const MAX_LAST_WORDS: usize = 1024;

impl Engine {
    /// An engine without SAs. `rng` is the only source of randomness; equal seeds and inputs give equal outputs
    /// (except for key exchanges whose backend draws its own, ML-KEM).
    #[must_use]
    pub fn new(now: Now, rng: Rng, snapshot: Arc<Snapshot>, shard: Shard) -> Self {
        let mut core = Core::new(now, rng, snapshot, shard);
        let admission = Admission::new(&mut core);
        Self {
            core,
            chores: Chores::default(),
            admission,
            last_words: BTreeMap::new(),
            last_said: VecDeque::new(),
        }
    }

    /// A datagram arrived.
    pub fn receive(&mut self, now: Now, d: Datagram) {
        self.core.now = now;
        // NAT keepalives (RFC 3948 2.3) are the edge's to drop; one that comes through costs nothing.
        if d.bytes.len() <= 1 {
            return;
        }
        self.dispatch(d);
        self.run_later();
    }

    /// An order came in.
    pub fn command(&mut self, now: Now, c: Command) {
        self.core.now = now;
        self.obey(c);
        self.run_later();
    }

    /// A question was answered. An unknown ticket is ignored.
    pub fn answer(&mut self, now: Now, t: Ticket, a: Answer) {
        self.core.now = now;
        match self.core.redeem(t) {
            Some(Waiter::Ike(id)) => self.touch(id, |core, sa| {
                if let Some(wait) = sa.waiting.remove(&t) {
                    v2::answered(core, sa, wait, a);
                }
            }),
            Some(Waiter::Policy(id)) => crate::trap::answered(&mut self.core, id, &a),
            Some(Waiter::Nobody) | None => {}
        }
        self.run_later();
    }

    /// A deadline passed. Waking early does no harm. At most [`SLICE`] IKE_SAs are worked on: while more is due,
    /// [`next_wake`](Self::next_wake) names a time that is not after `now`, so that other inputs have their turn.
    pub fn wake(&mut self, now: Now) {
        self.core.now = now;
        // Chores have a share, so that neither has to wait for the end of the other.
        let busy = self.chores.next(now.mono).is_some_and(|at| at <= now.mono);
        let share = if busy { SLICE / 2 } else { 0 };
        for _ in share..SLICE {
            let due = self.core.table.first_deadline().filter(|(at, _)| *at <= now.mono);
            let Some((at, id)) = due else { break };
            self.touch(id, timers::wake);
            self.run_later();
            // What stays due would come round for ever: it must wait a moment.
            self.core.table.put_off(id, at, now.mono.saturating_add(1));
        }
        self.work_off(share);
        self.run_later();
    }

    /// When [`wake`](Self::wake) is wanted, in monotonic milliseconds.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let deadline = self.core.table.first_deadline().map(|(at, _)| at);
        deadline.into_iter().chain(self.chores.next(self.core.now.mono)).min()
    }

    /// The next output; `None` when all are drained.
    pub fn poll(&mut self) -> Option<Output> {
        self.core.pop()
    }

    /// From now on only these lines of the log are made; at the beginning all are. Lines of an IKE_SA that a command
    /// brings up or ends are made in any case, for whoever gave the command.
    pub fn set_levels(&mut self, levels: Levels) {
        self.core.levels = levels;
    }

    /// The configuration of now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.core.snapshot)
    }

    /// Half-open IKE_SAs (RFC 7296 2.6) that others began with us.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.core.table.half_open()
    }

    /// IKE_SAs of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// No IKE_SA is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.table.is_empty()
    }

    /// Traps and shunts that are installed, in the order of their handles.
    #[must_use]
    pub fn policies(&self) -> Vec<Arc<PolicyOnly>> {
        self.core.traps.list()
    }

    // -------------------------------------------------------------------------------------- the receive path

    fn dispatch(&mut self, d: Datagram) {
        let header = match Header::parse(&d.bytes) {
            Ok(h) => h,
            Err(e) => return self.malformed(&d, &e, "parse-error-header"),
        };
        if header.major != 2 {
            return self.version(&d, header);
        }
        let message = match Message::parse(&d.bytes) {
            Ok(m) => m,
            Err(e) => {
                if header.exchange == ExchangeType::IkeSaInit && !header.flags.contains(Flags::RESPONSE) {
                    self.refuse_init(&d, header, &e);
                }
                return self.malformed(&d, &e, "parse-error-body");
            }
        };
        let response = header.flags.contains(Flags::RESPONSE);
        if header.exchange == ExchangeType::IkeSaInit && !response && header.spi_r == 0 {
            if header.message_id != 0 || header.spi_i == 0 || !header.flags.contains(Flags::INITIATOR) {
                return self.malformed(
                    &d,
                    &WireError::Illegal { what: "message id", value: u64::from(header.message_id) },
                    "parse-error-header",
                );
            }
            return self.first_message(&d, &message);
        }
        let ours = if header.flags.contains(Flags::INITIATOR) { header.spi_r } else { header.spi_i };
        let theirs = if header.flags.contains(Flags::INITIATOR) { header.spi_i } else { header.spi_r };
        let found = self.core.table.of_spi(ours);
        if found.is_none() && !response && self.last_words(ours, &d) {
            return;
        }
        let sa = found.and_then(|id| self.core.table.get(id));
        let waits_for_first = sa.is_some_and(|sa| matches!(sa.phase, Phase::InitSent(_)));
        if !sa.is_some_and(|sa| waits_for_first || sa.spi_remote() == theirs) {
            self.core.count("invalid-spi", None);
            self.core.tell(Event::Alert { kind: "invalid-ike-spi", sa: None, detail: Vec::new() });
            self.core.log_stranger(Group::Net, 1, || {
                format!(
                    "received packet from {} with unknown IKE SPIs {:016x}_i {:016x}_r, ignored",
                    host(d.remote),
                    header.spi_i,
                    header.spi_r
                )
            });
            return;
        }
        if let Some(id) = found {
            self.touch(id, |core, sa| receive::receive(core, sa, d, message));
        }
    }

    fn malformed(&mut self, d: &Datagram, e: &WireError, alert: &'static str) {
        self.core.count("invalid", None);
        self.core.tell(Event::Alert { kind: alert, sa: None, detail: Vec::new() });
        self.core.log_stranger(Group::Net, 1, || {
            format!("received invalid IKE packet from {}: {e}, ignored", host(d.remote))
        });
    }

    /// RFC 7296 2.5: "If an endpoint receives a message with a higher major version number, it MUST drop the
    /// message and SHOULD send an unauthenticated Notify message of type INVALID_MAJOR_VERSION".
    fn version(&mut self, d: &Datagram, h: Header) {
        self.core.count("invalid", None);
        let (major, minor) = (h.major, h.minor);
        self.core.log_stranger(Group::Net, 1, || {
            format!("received unsupported IKE version {major}.{minor} from {}", d.remote.ip())
        });
        if major > 2 && !h.flags.contains(Flags::RESPONSE) && self.core.may_answer_stranger() {
            let answer = Header { major: 2, minor: 0, flags: answer_flags(h.flags), ..h };
            let payload = crate::message::notify(NotifyType::InvalidMajorVersion, &[]);
            let bytes = Message::encode(answer, &[payload]);
            self.core.push(Output::Send(Datagram { local: d.local, remote: d.remote, bytes, dscp: 0 }));
        }
    }

    /// An IKE_SA_INIT request that cannot be parsed: an unknown critical payload is said so.
    fn refuse_init(&mut self, d: &Datagram, h: Header, e: &WireError) {
        let WireError::UnsupportedCritical(kind) = e else { return };
        if self.core.may_answer_stranger() {
            let answer = Header { flags: answer_flags(h.flags), ..h };
            let payload = crate::message::notify(NotifyType::UnsupportedCriticalPayload, &[*kind]);
            let bytes = Message::encode(answer, &[payload]);
            self.core.push(Output::Send(Datagram { local: d.local, remote: d.remote, bytes, dscp: 0 }));
        }
    }

    fn first_message(&mut self, d: &Datagram, m: &Message) {
        let key = (d.remote.ip(), d.remote.port(), m.header.spi_i);
        if let Some(id) = self.core.table.of_first(&key) {
            return self.touch(id, |core, sa| again(core, sa, d));
        }
        let load = Load {
            all: self.core.table.len(),
            half_open: self.core.table.half_open(),
            from_peer: self.core.table.half_open_with(d.remote.ip()),
        };
        if self.admission.judge(&mut self.core, d, m, load) == Verdict::Refuse {
            return;
        }
        let mut spi = self.core.shard.ike_spi(&mut self.core.rng);
        while self.core.table.of_spi(spi).is_some() {
            spi = self.core.shard.ike_spi(&mut self.core.rng);
        }
        if let Some(sa) = init::respond(&mut self.core, d, m, spi) {
            self.put_back(Box::new(sa));
        }
    }

    // -------------------------------------------------------------------------------------- last words

    /// Keeps the last response of an SA that is gone: its peer may not have received it.
    fn remember(&mut self, sa: &IkeSa) {
        let w = &sa.window;
        let Some(request) = w.answered.filter(|_| !w.cached.is_empty()) else { return };
        let now = self.core.now.mono;
        let words =
            LastWords { until: now.saturating_add(LAST_WORDS_MS), request, response: w.cached.clone() };
        while let Some((_, spi)) = self.last_said.front().copied().filter(|(until, _)| *until <= now) {
            self.last_said.pop_front();
            self.last_words.remove(&spi);
        }
        if self.last_words.len() < MAX_LAST_WORDS && !self.last_words.contains_key(&sa.spi_local()) {
            self.last_said.push_back((words.until, sa.spi_local()));
            self.last_words.insert(sa.spi_local(), words);
        }
    }

    /// Answers a repeated request to an SA that is gone.
    fn last_words(&mut self, spi: u64, d: &Datagram) -> bool {
        let now = self.core.now.mono;
        let known = self
            .last_words
            .get(&spi)
            .filter(|l| l.until > now && l.request == crypto::prf::sha1(&[&d.bytes]));
        let Some(response) = known.map(|l| l.response.clone()) else { return false };
        for bytes in response.iter().map(<[u8]>::to_vec) {
            self.core.push(Output::Send(Datagram { local: d.local, remote: d.remote, bytes, dscp: 0 }));
        }
        true
    }

    // -------------------------------------------------------------------------------------- the table

    /// Works on an SA, then on its queue, then files it again.
    pub(crate) fn touch(&mut self, id: u32, f: impl FnOnce(&mut Core, &mut IkeSa)) {
        let Some(mut sa) = self.core.table.take(id) else { return };
        let before = crate::view::state(&sa);
        f(&mut self.core, &mut sa);
        v2::pump(&mut self.core, &mut sa);
        close::settle(&mut self.core, &mut sa);
        let after = crate::view::state(&sa);
        if before != after {
            say!(self.core, sa, Ike 2, "IKE_SA {} state change: {before} => {after}", sa.title());
        }
        self.put_back(sa);
    }

    pub(crate) fn put_back(&mut self, mut sa: Box<IkeSa>) {
        if sa.has_ended() && sa.filed.has_spi() {
            self.remember(&sa);
        }
        if self.chores.pace.has(sa.id) && (matches!(sa.phase, Phase::Gone) || !sa.is_at_work()) {
            self.chores.pace.over(sa.id);
        }
        if matches!(sa.phase, Phase::Gone) {
            self.core.table.forget(&mut sa);
            self.core.ike_gone(sa.id, &sa.conn.name);
            if self.core.table.is_empty() {
                self.core.all_gone();
            }
            return;
        }
        let deadline = timers::next(&self.core, &sa);
        self.core.table.put(sa, deadline);
    }

    /// Does what had to wait until the SA at hand was back in the table.
    fn run_later(&mut self) {
        for _ in 0..MAX_LATER {
            let Some(later) = self.core.later.pop_front() else { return };
            match later {
                Later::Insert(sa) => {
                    let id = sa.id;
                    self.put_back(sa);
                    self.touch(id, |_, _| {});
                }
                Later::Succeed { old, new } => self.succeed(old, new),
                Later::Close(id) => self.touch(id, close::close),
                Later::Destroy(id) => self.touch(id, close::leave),
                Later::Initiate(start) => self.initiate(start),
                Later::Trap(conn, child) => crate::trap::install(&mut self.core, &conn, &child, None),
                Later::Inherit { new, parcel } => self.inherit(new, *parcel),
                Later::Replace(id, remote) => self.touch(id, |core, sa| {
                    let soon = core.now.mono.saturating_add(10_000);
                    // Same place: it reauthenticates and will close the old one itself.
                    let same = sa.remote == remote;
                    match sa.established_mut() {
                        Some(e) if same => e.close_at = When::at(soon),
                        _ => close::close(core, sa),
                    }
                }),
                Later::Lease(id, request) => self.touch(id, |core, sa| {
                    if matches!(sa.phase, Phase::Leasing(_)) {
                        let ticket = core.ask(Waiter::Ike(sa.id), Ask::Lease((*request).clone()));
                        sa.waiting.insert(ticket, Wait::Lease(request));
                    }
                }),
                Later::Reauthenticate(id) => self.reauthenticate(id),
            }
        }
    }

    /// Reauthentication brings up the children that were there when it began; those that came since, or are still
    /// on their way, must not be lost with the old IKE_SA.
    fn succeed(&mut self, old: u32, new: u32) {
        let Some(sa) = self.core.table.get(old) else { return };
        let all = sa.children_to_start();
        self.core.ups_replaced(old, new);
        self.touch(new, |core, sa| {
            let mut has: Vec<String> =
                sa.children_to_start().into_iter().map(|c| c.config.name.clone()).collect();
            for start in all {
                match has.iter().position(|name| *name == start.config.name) {
                    Some(at) => drop(has.swap_remove(at)),
                    None => v2::enqueue(core, sa, v2::Job::ChildCreate(start)),
                }
            }
        });
    }

    fn inherit(&mut self, new: u32, parcel: crate::sa::Parcel) {
        let from = parcel.from;
        // Either the successor, or, if it went in between, the old one: whoever has the parcel cleans up.
        let to = if self.core.table.contains(new) { new } else { from };
        self.core.ike_replaced(from, to);
        for id in self.core.table.successors(from) {
            // A reauthentication of the old one is now one of the new one.
            self.touch(id, |_, sa| sa.replaces = Some(to));
        }
        for ticket in parcel.waiting.keys() {
            self.core.hand_over(*ticket, Waiter::Ike(to));
        }
        self.touch(to, |core, sa| {
            let view = parcel.view.clone();
            parcel.give(sa);
            if sa.id != from && sa.announced {
                v2::ike_rekey::announce(core, view, sa);
            }
            if sa.established().is_none() {
                close::abandon_children(core, sa);
            }
        });
    }
}

/// Flags of an answer to a message we have no SA for.
fn answer_flags(request: Flags) -> Flags {
    if request.contains(Flags::INITIATOR) { Flags::RESPONSE } else { Flags::RESPONSE | Flags::INITIATOR }
}

/// A retransmitted IKE_SA_INIT request gets the same response; another one with the same SPI gets none.
fn again(core: &mut Core, sa: &mut IkeSa, d: &Datagram) {
    let same = if let Phase::Answered(a) = &sa.phase { a.hs.request == d.bytes } else { false };
    if same && sa.window.next_in == 1 {
        say!(core, sa, Ike 1, "received retransmit of request with ID 0, retransmitting response");
        v2::send::repeat(core, sa, (d.local, d.remote));
    }
}
