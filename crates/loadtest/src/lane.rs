//! A thread of the run: one engine, its sockets, its share of the clients.
//!
//! A turn: (1) datagrams that are there, (2) the engine's deadlines, (3) clients that may start, (4) clients that shall
//! leave, (5) what was counted is published; then it waits for a datagram, a deadline or a start. Every input of the
//! engine is followed by draining its outputs.
mod life;

use crate::asks::Asks;
use crate::credentials::Credenza;
use crate::crew::Crew;
use crate::exchanges::{Exchanges, In, Out};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::reason::Reason;
use crate::tally::Tally;
use crate::traffic::Flows;
use crate::wires::{Arrival, Wires};
use ike::io::{Group, Levels};
use ike::{Answer, Command, Engine, Now, Output, Shard, Ticket};
use linux::wait::{Waker, readable};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::iana::{ExchangeType, NotifyType};

/// How often the counts are published and old entries looked for.
const PUBLISH: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST: Duration = Duration::from_millis(100);
/// How long goodbyes are waited for when nothing comes at all.
const SILENCE: Duration = Duration::from_secs(15);
/// How long answers to packets are waited for at the end.
const ECHOES: Duration = Duration::from_secs(1);
/// Goodbyes are said this much faster than hellos.
const GOODBYES: f64 = 4.0;
/// Marks the commands that take clients down.
const LEAVE: u64 = 1 << 32;

/// What the conductor and a lane have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// All shall leave.
    pub(crate) ending: AtomicBool,
    /// What the lane has counted, as of its last look.
    pub(crate) tally: Mutex<Tally>,
    /// Wakes the lane.
    pub(crate) waker: Waker,
}

/// Which clients are a lane's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Number of the lane.
    pub(crate) lane: u8,
    /// How many lanes there are.
    pub(crate) lanes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Not begun, or to begin again.
    #[default]
    Out,
    Starting,
    Up,
    Leaving,
    /// Failed, lost, or left for good.
    Over,
}

/// What is known of a client while it is not starting; small, since there may be very many.
#[derive(Debug, Clone, Copy, Default)]
struct Client {
    /// Unique id of its IKE_SA.
    ike: u32,
    /// Unique id of its CHILD_SA.
    child: u32,
    state: State,
}

/// A set-up under way.
struct Start {
    at: Instant,
    why: Option<Reason>,
}

/// See the head of the file.
pub(crate) struct Lane {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    share: Share,
    engine: Engine,
    wires: Wires,
    crew: Crew,
    asks: Asks,
    exchanges: Exchanges,
    tally: Tally,
    clients: Vec<Client>,
    /// Clients that come again, by index.
    again: VecDeque<usize>,
    /// Index of the next one that was never there.
    fresh: usize,
    starts: Pace,
    concurrent: usize,
    starting: HashMap<u32, Start>,
    /// Why clients that are up are about to go.
    dying: HashMap<u32, Reason>,
    /// Clients by when they stop sending, and by when they leave and come again.
    churn: VecDeque<(Instant, usize)>,
    quieted: VecDeque<(Instant, usize)>,
    goodbyes: Pace,
    /// Index of the next one to say goodbye.
    farewell: usize,
    leaving: usize,
    /// CREATE_CHILD_SA requests by SPI, until it is known what came of them.
    rekeying: HashMap<u64, Instant>,
    /// The Delete that was answered just now, until it is known whether it was a goodbye: SPI and time.
    farewelled: Option<(u64, Duration)>,
    /// When the gateway last said anything.
    heard: Instant,
    /// Commands that follow from events.
    todo: Vec<Command>,
    published: Instant,
    swept: Instant,
    answers: VecDeque<(Ticket, Answer)>,
}

/// Both clocks of the engine.
fn clocks() -> Now {
    Now { mono: linux::clock::monotonic_ms(), wall: linux::clock::wall_seconds() }
}

impl Lane {
    /// Opens sockets and makes the engine.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        shared: Arc<Shared>,
        share: Share,
        sources: Vec<IpAddr>,
        seed: [u8; 32],
    ) -> Result<Self, crate::Error> {
        let wires = Wires::open(plan.gateway)?;
        let crew = Crew::new(plan, sources, wires.ports());
        let lanes = u32::from(share.lanes.max(1));
        let mine = plan.clients.saturating_sub(u32::from(share.lane)).div_ceil(lanes);
        let mut rng = crypto::Rng::from_seed(seed);
        let mut seed = [0; 32];
        rng.fill(&mut seed);
        let engine_rng = crypto::Rng::from_seed(seed);
        let bits = u8::try_from(lanes.next_power_of_two().trailing_zeros()).unwrap_or(0);
        let mut engine = Engine::new(clocks(), engine_rng, crew.empty(), Shard { index: share.lane, bits });
        // What says why something failed is said in these.
        let mut levels = Levels::NONE;
        levels.want(Group::Ike, 1);
        engine.set_levels(levels);
        let now = Instant::now();
        let rate = plan.rate / f64::from(lanes);
        let run = rng.u32().to_be_bytes();
        let flows = plan.traffic.map(|traffic| Flows::new(traffic, run, now));
        Ok(Self {
            engine,
            plan: Arc::clone(plan),
            shared,
            share,
            wires,
            crew,
            asks: Asks { credentials: Credenza::new(plan, rng), flows },
            exchanges: Exchanges::default(),
            tally: Tally::default(),
            clients: vec![Client::default(); usize::try_from(mine).unwrap_or(0)],
            again: VecDeque::new(),
            fresh: 0,
            starts: Pace::new(rate, now),
            concurrent: usize::try_from(plan.concurrent.div_ceil(lanes)).unwrap_or(1),
            starting: HashMap::new(),
            dying: HashMap::new(),
            churn: VecDeque::new(),
            quieted: VecDeque::new(),
            goodbyes: Pace::new((rate * GOODBYES).max(GOODBYES), now),
            farewell: 0,
            leaving: 0,
            rekeying: HashMap::new(),
            farewelled: None,
            heard: now,
            todo: Vec::new(),
            published: now,
            swept: now,
            answers: VecDeque::new(),
        })
    }

    /// Runs until all clients have left after the end was called.
    pub(crate) fn run(mut self) -> Tally {
        let mut ended: Option<Instant> = None;
        loop {
            self.receive();
            let now = clocks();
            if self.engine.next_wake().is_some_and(|at| at <= now.mono) {
                self.engine.wake(now);
                self.drain();
            }
            let ending = self.shared.ending.load(Ordering::Relaxed);
            if ending {
                let since = *ended.get_or_insert_with(Instant::now);
                if self.is_quiet(since) {
                    self.say_goodbye();
                }
                // A gateway that is silent for so long will not answer the rest, either.
                if self.engine.is_empty() || since.max(self.heard).elapsed() > SILENCE {
                    break;
                }
            } else {
                self.send_packets();
                self.start_some();
                self.let_go();
            }
            let now = Instant::now();
            if now.saturating_duration_since(self.published) >= PUBLISH {
                self.publish(now);
            }
            self.wait(ending);
        }
        self.publish(Instant::now());
        self.tally
    }

    fn publish(&mut self, now: Instant) {
        self.published = now;
        self.tally.unsent = self.wires.unsent;
        if let Some(flows) = &self.asks.flows {
            self.tally.packets = flows.packets.clone();
        }
        self.tally.under_way = u64::try_from(self.starting.len()).unwrap_or(u64::MAX);
        *self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner) = self.tally.clone();
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.exchanges.sweep(now);
            self.rekeying.retain(|_, at| now.saturating_duration_since(*at) < SWEEP * 20);
        }
    }

    fn wait(&self, ending: bool) {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let mut wait = LONGEST;
        if let Some(at) = self.engine.next_wake() {
            wait = wait.min(Duration::from_millis(at.saturating_sub(linux::clock::monotonic_ms())));
        }
        if ending {
            if self.farewell < self.clients.len() {
                wait = wait.min(until(self.goodbyes.next()));
            }
        } else {
            if let Some(at) = self.asks.flows.as_ref().and_then(Flows::next) {
                wait = wait.min(until(at));
            }
            if self.may_start() {
                wait = wait.min(until(self.starts.next()));
            }
            for (at, _) in [self.churn.front(), self.quieted.front()].into_iter().flatten() {
                wait = wait.min(until(*at));
            }
        }
        // Rounded up: a wait that ends too early would be made again and again.
        let ms = u16::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(100);
        let [ike, nat_t] = self.wires.descriptors();
        if readable(&[ike, nat_t, self.shared.waker.as_fd()], Some(ms)).is_ok() {
            self.shared.waker.reset();
        }
    }

    // -------------------------------------------------------------------------------------- datagrams

    fn receive(&mut self) {
        let (mut came, mut first) = (Vec::new(), Vec::new());
        let (flows, mono) = (&mut self.asks.flows, linux::clock::monotonic_ms());
        self.wires.receive(|arrival| match arrival {
            Arrival::Ike(datagram) => came.push(datagram),
            Arrival::Esp(bytes, from) => {
                if let Some(flows) = flows.as_mut() {
                    first.extend(flows.receive(bytes, from, Instant::now(), mono));
                }
            }
        });
        for command in first {
            self.engine.command(clocks(), command);
            self.drain();
        }
        for datagram in came {
            let now = Instant::now();
            let answered = self.exchanges.received(&datagram.bytes, now);
            if let Some(answered) = answered {
                self.note(&answered);
            }
            self.heard = now;
            self.engine.receive(clocks(), datagram);
            self.drain();
            // It was about an SA that was rekeyed.
            self.farewelled = None;
        }
    }

    fn note(&mut self, answered: &In) {
        match answered.demand {
            Some(NotifyType::Cookie) => self.tally.cookies = self.tally.cookies.saturating_add(1),
            Some(NotifyType::InvalidKePayload) => {
                self.tally.other_ke = self.tally.other_ke.saturating_add(1);
            }
            _ => {}
        }
        match answered.exchange {
            ExchangeType::IkeSaInit if answered.demand.is_none() => self.tally.init.add(answered.took),
            ExchangeType::Informational if answered.delete => {
                self.farewelled = Some((answered.spi, answered.took));
            }
            ExchangeType::Informational => self.tally.dpd.add(answered.took),
            _ => {}
        }
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Send(datagram) => {
                        let now = Instant::now();
                        match self.exchanges.sent(&datagram.bytes, now) {
                            Out::Again => self.tally.retransmits = self.tally.retransmits.saturating_add(1),
                            Out::Request(exchange, spi) => {
                                self.tally.requests = self.tally.requests.saturating_add(1);
                                if exchange == ExchangeType::CreateChildSa {
                                    self.rekeying.insert(spi, now);
                                }
                            }
                            Out::Other => {}
                        }
                        self.wires.send(&datagram);
                    }
                    Output::Ask(ticket, ask) => self.answers.push_back((ticket, self.asks.take(ask))),
                    Output::Tell(event) => self.hear(event),
                }
            }
            if let Some((ticket, answer)) = self.answers.pop_front() {
                self.engine.answer(clocks(), ticket, answer);
            } else if let Some(command) = self.todo.pop() {
                self.engine.command(clocks(), command);
            } else {
                return;
            }
        }
    }

    /// Sends what is due through the tunnels.
    fn send_packets(&mut self) {
        let Some(flows) = &mut self.asks.flows else { return };
        let wires = &self.wires;
        let commands =
            flows.send(Instant::now(), linux::clock::monotonic_ms(), |esp, path| wires.send_esp(esp, path));
        for command in commands {
            self.engine.command(clocks(), command);
            self.drain();
        }
    }

    /// No answer to a packet of ours is still to come.
    fn is_quiet(&self, since: Instant) -> bool {
        self.asks.flows.as_ref().is_none_or(|flows| flows.is_settled() || since.elapsed() > ECHOES)
    }
}
