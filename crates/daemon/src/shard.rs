//! One engine, its queues and its timer.
//!
//! There is one shard for now: the engine handles some thousand handshakes a second on one core, and everything
//! that is slow happens outside of it. The SPIs carry the shard's number already, so that more shards need no new
//! protocol.
//!
//! The task never waits for anybody: datagrams that do not fit the queue are dropped (the peer retransmits),
//! questions go to workers through queues with room or are answered with a failure, events go to observers that
//! do not block.
use crate::asks::Asks;
use crate::observers::Observers;
use crate::sockets::Sockets;
use arc_swap::ArcSwap;
use ike::Engine;
use ike::io::{Answer, Command, Datagram, Filter, IkeView, Now, Output, Ticket};
use policy::sa::PolicyOnly;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Datagrams that may wait for the engine.
const DATAGRAMS: usize = 4096;
/// Commands, answers and queries that may wait for the engine.
const CONTROL: usize = 8192;
/// The longest sleep: a suspended machine must notice passed deadlines soon after it wakes.
const LONGEST_SLEEP: u64 = 10_000;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now { mono: linux::clock::monotonic_ms(), wall: linux::clock::wall_seconds() }
}

/// Something for the engine besides datagrams.
enum Input {
    Command(Command),
    Answer(Ticket, Answer),
    Query(Query),
}

/// A question of the operator, answered from the engine's memory.
enum Query {
    List(Filter, oneshot::Sender<Vec<IkeView>>),
    Policies(oneshot::Sender<Vec<Arc<PolicyOnly>>>),
    Counts(oneshot::Sender<Counts>),
}

/// How many IKE_SAs there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) total: usize,
    pub(crate) half_open: usize,
}

/// The way to the shard.
#[derive(Clone)]
pub(crate) struct Handle {
    datagrams: mpsc::Sender<Datagram>,
    control: mpsc::Sender<Input>,
    dropped: Arc<AtomicU64>,
    /// Addresses of ours that IKE is not spoken on.
    ignored: Arc<ArcSwap<BTreeSet<IpAddr>>>,
}

/// The queues' other ends, until the shard starts.
pub(crate) struct Inbox {
    datagrams: mpsc::Receiver<Datagram>,
    control: mpsc::Receiver<Input>,
}

impl Handle {
    pub(crate) fn new() -> (Self, Inbox) {
        let (datagrams, datagrams_rx) = mpsc::channel(DATAGRAMS);
        let (control, control_rx) = mpsc::channel(CONTROL);
        let handle = Self { datagrams, control, dropped: Arc::default(), ignored: Arc::default() };
        (handle, Inbox { datagrams: datagrams_rx, control: control_rx })
    }

    /// Hands over a datagram, or drops it when the engine is behind.
    pub(crate) fn datagram(&self, datagram: Datagram) {
        if self.ignores(datagram.local.ip()) {
            return;
        }
        if self.datagrams.try_send(datagram).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// IKE is not spoken on these addresses of ours.
    pub(crate) fn ignore(&self, addresses: BTreeSet<IpAddr>) {
        self.ignored.store(Arc::new(addresses));
    }

    /// Whether IKE is not spoken on this address of ours.
    pub(crate) fn ignores(&self, address: IpAddr) -> bool {
        let ignored = self.ignored.load();
        !ignored.is_empty() && ignored.contains(&address)
    }

    /// Datagrams dropped because the engine was behind.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Things waiting for the engine.
    pub(crate) fn backlog(&self) -> usize {
        let waiting = |max: usize, free: usize| max.saturating_sub(free);
        waiting(DATAGRAMS, self.datagrams.capacity())
            .saturating_add(waiting(CONTROL, self.control.capacity()))
    }

    /// Gives a command. An error means that the shard is gone, which happens at the end only.
    pub(crate) async fn command(&self, command: Command) {
        let _gone = self.control.send(Input::Command(command)).await;
    }

    /// Gives a command that may be lost when the engine is behind, since it will be repeated.
    pub(crate) fn hint(&self, command: Command) {
        let _busy = self.control.try_send(Input::Command(command));
    }

    /// Answers a question from a task.
    pub(crate) async fn answer(&self, ticket: Ticket, answer: Answer) {
        let _gone = self.control.send(Input::Answer(ticket, answer)).await;
    }

    /// Answers a question from a thread.
    pub(crate) fn answer_blocking(&self, ticket: Ticket, answer: Answer) {
        let _gone = self.control.blocking_send(Input::Answer(ticket, answer));
    }

    /// IKE_SAs that match.
    pub(crate) async fn list(&self, filter: Filter) -> Vec<IkeView> {
        self.query(|tx| Query::List(filter, tx)).await
    }

    /// Traps and shunts.
    pub(crate) async fn policies(&self) -> Vec<Arc<PolicyOnly>> {
        self.query(Query::Policies).await
    }

    /// How many IKE_SAs there are.
    pub(crate) async fn counts(&self) -> Counts {
        self.query(Query::Counts).await
    }

    async fn query<T: Default>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Query) -> T {
        let (tx, rx) = oneshot::channel();
        let _gone = self.control.send(Input::Query(make(tx))).await;
        rx.await.unwrap_or_default()
    }
}

/// A shard.
pub(crate) struct Shard {
    pub(crate) engine: Engine,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) asks: Asks,
    pub(crate) observers: Arc<Observers>,
}

impl Shard {
    /// Runs until all handles are gone.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        let mut answers = VecDeque::new();
        self.drain(&mut answers);
        loop {
            let sleep = self.engine.next_wake().map_or(LONGEST_SLEEP, |at| {
                at.saturating_sub(linux::clock::monotonic_ms()).min(LONGEST_SLEEP)
            });
            // Own work first: it ends exchanges, while a datagram may start one.
            tokio::select! {
                biased;
                input = inbox.control.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                Some(datagram) = inbox.datagrams.recv() => self.engine.receive(now(), datagram),
                () = tokio::time::sleep(Duration::from_millis(sleep)) => self.engine.wake(now()),
            }
            self.drain(&mut answers);
            // Timers must not starve while input keeps coming.
            if self.engine.next_wake().is_some_and(|at| at <= linux::clock::monotonic_ms()) {
                self.engine.wake(now());
                self.drain(&mut answers);
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.engine.command(now(), command),
            Input::Answer(ticket, answer) => {
                self.asks.eap.answered(ticket, &answer);
                self.engine.answer(now(), ticket, answer);
            }
            Input::Query(Query::List(filter, tx)) => {
                let _gone = tx.send(self.engine.list(&filter));
            }
            Input::Query(Query::Policies(tx)) => {
                let _gone = tx.send(self.engine.policies());
            }
            Input::Query(Query::Counts(tx)) => {
                let counts = Counts { total: self.engine.len(), half_open: self.engine.half_open() };
                let _gone = tx.send(counts);
            }
        }
    }

    /// Carries out what the engine wants; answers known at once are the next inputs.
    fn drain(&mut self, answers: &mut VecDeque<(Ticket, Answer)>) {
        loop {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Send(datagram) => self.sockets.send(&datagram),
                    Output::Ask(ticket, ask) => {
                        if let Some(answer) = self.asks.take(ticket, ask) {
                            answers.push_back((ticket, answer));
                        }
                    }
                    Output::Tell(event) => self.observers.tell(event),
                }
            }
            let Some((ticket, answer)) = answers.pop_front() else { return };
            self.engine.answer(now(), ticket, answer);
        }
    }
}
