//! The engine's thread. One turn:
//!
//!  1. answers that wait, commands and queries, then messages that others read, then one batch from each socket that has one;
//!  2. after each of them, all that the engine wants: to be sent, asked, told; after each queue's turn the data plane gets
//!     what it was asked;
//!  3. its deadline, if it has passed;
//!  4. nothing of all that: sleep until a queue is filled, a socket has something, or the deadline passes.
//!
//! Every queue has its turn before one of them has another: a flood on one socket holds up nobody on another.
use super::bell::Bell;
use super::{Counts, Gauges, Inbox, Input, PAGE, Query, ignores};
use crate::asks::Asks;
use crate::observers::Observers;
use crate::observers::log::{Loudest, Voice};
use crate::sockets::{LARGEST, Sockets, strip};
use arc_swap::ArcSwap;
use ike::Engine;
use ike::io::{Answer, Datagram, Group, Levels, Now, Output, Ticket};
use linux::clock::{Alarm, monotonic_us, wall_seconds};
use linux::message::{Batch, SLOTS};
use linux::udp::UdpSocket;
use linux::wait;
use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// Inputs of one queue before the next has its turn.
const TURN: usize = 64;
/// Sockets at most: two ports, two families.
const EARS: usize = 4;

/// A socket that IKE is read from.
pub(crate) struct Ear {
    pub(crate) socket: Arc<UdpSocket>,
    /// IKE has a marker before it.
    pub(crate) nat_t: bool,
}

/// A shard.
pub(crate) struct Shard {
    engine: Engine,
    sockets: Arc<Sockets>,
    asks: Asks,
    observers: Arc<Observers>,
    ears: Vec<Ear>,
    bell: Arc<Bell>,
    alarm: Alarm,
    answers: VecDeque<(Ticket, Answer)>,
    gauges: Arc<Gauges>,
    ignored: Arc<ArcSwap<BTreeSet<IpAddr>>>,
    /// What of the log the engine knows to be wanted.
    wanted: Option<Loudest>,
    /// When it last looked at a queue, in microseconds.
    looked: u64,
}

impl Shard {
    /// All but the thread.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn new(
        engine: Engine,
        sockets: Arc<Sockets>,
        ears: Vec<Ear>,
        asks: Asks,
        observers: Arc<Observers>,
        inbox: &Inbox,
    ) -> linux::Result<Self> {
        let (gauges, ignored) = (inbox.gauges.clone(), inbox.ignored.clone());
        let (bell, alarm, answers) = (Bell::new()?, Alarm::new()?, VecDeque::new());
        let looked = monotonic_us();
        let wanted = None;
        Ok(Self {
            engine,
            sockets,
            asks,
            observers,
            ears,
            bell,
            alarm,
            answers,
            gauges,
            ignored,
            wanted,
            looked,
        })
    }

    /// Starts the thread. Work beside the engine is done in `runtime`.
    pub(crate) fn start(self, inbox: Inbox, runtime: tokio::runtime::Handle) -> std::io::Result<()> {
        let work = move || {
            let _inside = runtime.enter();
            self.run(inbox);
        };
        std::thread::Builder::new().name("ike".into()).spawn(work).map(drop)
    }

    /// Runs until all handles are gone.
    fn run(mut self, mut inbox: Inbox) {
        let waker = Waker::from(self.bell.clone());
        let mut context = Context::from_waker(&waker);
        let mut batch = Batch::new(SLOTS, LARGEST);
        // Which sockets may have something.
        let mut ready = u32::MAX;
        let mut busy = 0u32;
        self.drain();
        self.hand_over();
        loop {
            self.hear_what_is_wanted();
            let mut idle = true;
            for _ in 0..TURN {
                let Poll::Ready(Some((ticket, answer))) = inbox.answers.poll_recv(&mut context) else {
                    break;
                };
                self.answered(ticket, answer);
                idle = false;
            }
            self.hand_over();
            for _ in 0..TURN {
                match inbox.control.poll_recv(&mut context) {
                    Poll::Ready(Some(input)) => self.take(input),
                    Poll::Ready(None) => return,
                    Poll::Pending => break,
                }
                idle = false;
            }
            self.hand_over();
            for _ in 0..TURN {
                let Poll::Ready(Some((local, remote, bytes))) = inbox.datagrams.poll_recv(&mut context)
                else {
                    break;
                };
                self.receive(Datagram { local, remote, bytes, dscp: 0 });
                idle = false;
            }
            self.hand_over();
            for number in 0..self.ears.len().min(EARS) {
                if ready & (1 << number) != 0 {
                    if !self.listen(number, &mut batch) {
                        ready &= !(1 << number);
                    }
                    self.hand_over();
                    idle = false;
                }
            }
            if self.engine.next_wake().is_some_and(|at| at <= self.looked / 1000) {
                self.engine.wake(self.now());
                self.drain();
                self.hand_over();
                idle = false;
            }
            busy = if idle { 0 } else { busy.saturating_add(1) };
            if idle {
                ready = self.sleep();
            } else if busy > 1 {
                // The queues may be full for ever: sockets must have their turn.
                ready |= self.look(Some(0)) >> 2;
            }
        }
    }

    /// Lines of the log that nobody reads are not made.
    fn hear_what_is_wanted(&mut self) {
        let wanted = self.observers.log.wanted();
        if self.wanted == Some(wanted) {
            return;
        }
        let mut levels = Levels::NONE;
        for group in wanted.groups() {
            levels.want(group, wanted.level(group));
        }
        self.engine.set_levels(levels);
        self.wanted = Some(wanted);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.engine.command(self.now(), command),
            Input::Query(Query::List(filter, after, tx)) => {
                let page = self.engine.list_after(&filter, after, PAGE);
                self.gauges.largest_page.fetch_max(page.sas.len(), Ordering::Relaxed);
                let _gone = tx.send(page);
            }
            Input::Query(Query::Tally(filter, after, tx)) => {
                let _gone = tx.send(self.engine.count_after(&filter, after));
            }
            Input::Query(Query::Policies(tx)) => {
                let _gone = tx.send(self.engine.policies());
            }
            Input::Query(Query::Counts(tx)) => {
                let counts = Counts { total: self.engine.len(), half_open: self.engine.half_open() };
                let _gone = tx.send(counts);
            }
        }
        self.drain();
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer) {
        self.asks.eap.answered(ticket, &answer);
        self.engine.answer(self.now(), ticket, answer);
        self.drain();
    }

    fn receive(&mut self, datagram: Datagram) {
        if !ignores(&self.ignored, datagram.local.ip()) {
            self.engine.receive(self.now(), datagram);
            self.drain();
        }
    }

    /// Reads one batch from a socket. False: there is no more for now.
    fn listen(&mut self, number: usize, batch: &mut Batch) -> bool {
        let Some(ear) = self.ears.get(number) else { return false };
        let (bound, nat_t) = (ear.socket.local(), ear.nat_t);
        match ear.socket.receive(batch) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
            Err(e) => {
                // Errors of earlier sends are reported here; the socket goes on.
                self.observers.log.say(Voice::Net, Group::Net, 2, format!("error reading socket: {e}"));
                return false;
            }
        }
        let full = batch.len() == SLOTS;
        for (meta, bytes) in batch.iter_mut() {
            if meta.truncated {
                continue;
            }
            let local = SocketAddr::new(meta.destination.unwrap_or(bound.ip()), bound.port());
            // Several datagrams of one size may have been joined by the kernel.
            for bytes in bytes.chunks(meta.stride.max(1)) {
                if let Some(bytes) = strip(bytes, nat_t) {
                    self.receive(Datagram { local, remote: meta.source, bytes: bytes.to_vec(), dscp: 0 });
                }
            }
        }
        full
    }

    /// Carries out what the engine wants; answers known at once are the next inputs.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Send(datagram) => self.sockets.send(&datagram),
                    Output::Ask(ticket, ask) => {
                        if let Some(answer) = self.asks.take(ticket, ask) {
                            self.answers.push_back((ticket, answer));
                        }
                        if self.asks.plane.is_full() {
                            self.answers.extend(self.asks.plane.send());
                        }
                    }
                    Output::Tell(event) => self.observers.tell(event),
                }
            }
            let Some((ticket, answer)) = self.answers.pop_front() else { break };
            self.engine.answer(self.now(), ticket, answer);
        }
        self.looks_again();
    }

    /// Hands over what the engine asked the data plane since; what is refused may lead to more questions.
    fn hand_over(&mut self) {
        loop {
            self.answers.extend(self.asks.plane.send());
            if self.answers.is_empty() {
                return;
            }
            self.drain();
        }
    }

    /// Sleeps; which sockets have something then.
    fn sleep(&mut self) -> u32 {
        let next = self.engine.next_wake();
        // One that rings too early does no harm, and costs less than to be set anew for each input.
        let early = self.alarm.at().zip(next).is_some_and(|(set, next)| set <= next);
        if !early && let Err(e) = self.alarm.set(next) {
            self.observers.log.say(Voice::Engine, Group::Job, 0, format!("setting a timer failed: {e}"));
        }
        if !self.bell.lie_down() {
            self.bell.rise(false);
            return 0;
        }
        let awake = self.look(None);
        self.looked = monotonic_us();
        self.bell.rise(awake & 1 != 0);
        awake >> 2
    }

    /// Which descriptors have something, after so many milliseconds at most: the bell, the alarm, the sockets.
    fn look(&mut self, milliseconds: Option<u16>) -> u32 {
        let mut descriptors = [self.bell.as_fd(); EARS + 2];
        let [_, alarm, ears @ ..] = &mut descriptors;
        *alarm = self.alarm.as_fd();
        for (slot, ear) in ears.iter_mut().zip(&self.ears) {
            *slot = ear.socket.as_fd();
        }
        let used = self.ears.len().min(EARS).saturating_add(2);
        let seen = wait::readable(descriptors.get(..used).unwrap_or_default(), milliseconds);
        let seen = seen.unwrap_or_else(|e| {
            self.observers.log.say(Voice::Engine, Group::Job, 0, format!("waiting failed: {e}"));
            0
        });
        if seen & 2 != 0 {
            self.alarm.reset();
        }
        seen
    }

    /// Both clocks, now: it looked at its queues just now.
    fn now(&self) -> Now {
        Now { mono: self.looked / 1000, wall: wall_seconds() }
    }

    /// One input is dealt with: how long did it take?
    fn looks_again(&mut self) {
        let now = monotonic_us();
        let away = now.saturating_sub(self.looked);
        self.looked = now;
        if away > self.gauges.longest.load(Ordering::Relaxed) {
            self.gauges.longest.store(away, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::io::{Command, CommandId, Filter};
    use policy::{Connection, PeerAddr, Snapshot};

    #[test]
    fn a_list_of_many_comes_in_pages() {
        let many = u32::try_from(PAGE * 2 + 3).unwrap();
        let connection = |i: u32| {
            let name = format!("c{i}");
            let remote_addrs = vec![PeerAddr::Name(format!("{name}.cygnet.test"))];
            Arc::new(Connection { remote_addrs, ..Connection::named(&name) })
        };
        let snapshot = Snapshot { connections: (0..many).map(connection).collect(), ..Snapshot::default() };
        let rng = crypto::Rng::from_seed([7; 32]);
        let mut engine = Engine::new(Now::default(), rng, Arc::new(snapshot), ike::Shard::default());
        for i in 0..many {
            let (id, ike) = (CommandId(i.into()), Some(format!("c{i}")));
            engine.command(Now::default(), Command::Initiate { id, ike, child: None });
        }
        assert_eq!(engine.len(), PAGE * 2 + 3);
        let (mut seen, mut after, mut sizes) = (Vec::new(), None, Vec::new());
        loop {
            let page = engine.list_after(&Filter::default(), after, PAGE);
            sizes.push(page.sas.len());
            seen.extend(page.sas.iter().map(|sa| sa.unique_id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [PAGE, PAGE, 3]);
        assert!(seen.is_sorted() && seen.len() == PAGE * 2 + 3);
        seen.dedup();
        assert_eq!(seen.len(), PAGE * 2 + 3);
    }
}
