//! RADIUS: logins, records and the wishes of servers, all in one task beside the engine.
//!
//! The task owns the client's state and the ledger, and never waits for anybody: datagrams, steps of logins, events and
//! timers are its inputs. What it cannot take at once (a full queue) is refused at once.

mod dae;
mod desk;
mod logins;
mod sockets;

use crate::control::events::Registry;
use crate::observers::commands::Commands;
use crate::observers::log::Log;
use crate::shard::Handle as Shard;
use config::RadiusSettings;
use ike::io::{Answer, EapServe, EapSession, Event, LogLine, Ticket};
use policy::Identity;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Inputs that may wait for the task.
const QUEUE: usize = 16_384;

/// A login begins.
pub(crate) struct Start {
    /// What the engine knows.
    pub(crate) serve: EapServe,
    /// The connection that was chosen.
    pub(crate) connection: String,
    /// The peer's EAP identity and the packet it told it in, where it was asked.
    pub(crate) identity: Option<(Identity, Vec<u8>)>,
    /// What the first answer shall log before its own lines.
    pub(crate) log: Vec<LogLine>,
}

/// What the task is told.
enum Input {
    Start(Ticket, EapSession, Box<Start>),
    /// The EAP packet, and attributes that came with it.
    Packet(Ticket, EapSession, Vec<u8>, Vec<Vec<u8>>),
    Abandon(EapSession),
    Event(Box<Event>),
    /// Counters of IKE_SAs whose record is due.
    Counted(Vec<ike::io::IkeView>, Vec<u32>),
    /// IKE_SAs to compare a server's wish with.
    Compared(radius::dae::WishId, radius::dae::Wish, Vec<ike::io::IkeView>),
    /// What the server wants an IKE_SA's client to look like.
    Framed(u32, oneshot::Sender<radius::relay::Framed>),
    Datagram(radius::client::Socket, Vec<u8>),
    Refused(radius::client::Socket),
    Wish(dae::Arrived),
    Settings(Box<RadiusSettings>),
    /// Addresses of the servers, in the order of these settings.
    Resolved(Box<RadiusSettings>, Vec<Option<IpAddr>>),
    Stopping,
    Finish(oneshot::Sender<()>),
}

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Handle {
    inputs: mpsc::Sender<Input>,
    /// Somebody takes records.
    accounting: Arc<AtomicBool>,
}

/// Everybody whom the task talks to.
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) log: Arc<Log>,
    pub(crate) clients: Arc<Registry>,
    pub(crate) commands: Arc<Commands>,
}

/// The queue's other end, until the task starts.
pub(crate) struct Inbox {
    inputs: mpsc::Receiver<Input>,
    handle: mpsc::WeakSender<Input>,
    accounting: Arc<AtomicBool>,
}

impl Handle {
    pub(crate) fn new() -> (Self, Inbox) {
        let (tx, rx) = mpsc::channel(QUEUE);
        let accounting = Arc::new(AtomicBool::new(false));
        let inbox = Inbox { inputs: rx, handle: tx.downgrade(), accounting: accounting.clone() };
        (Self { inputs: tx, accounting }, inbox)
    }

    /// A login begins: the first answer comes later, or a refusal at once.
    pub(crate) fn start(&self, ticket: Ticket, session: EapSession, start: Start) -> Option<Answer> {
        self.step(Input::Start(ticket, session, Box::new(start)))
    }

    /// The peer's next packet.
    pub(crate) fn packet(
        &self,
        ticket: Ticket,
        session: EapSession,
        packet: Vec<u8>,
        told: Vec<Vec<u8>>,
    ) -> Option<Answer> {
        self.step(Input::Packet(ticket, session, packet, told))
    }

    fn step(&self, input: Input) -> Option<Answer> {
        let busy = || Answer::Failed("RADIUS is too busy".into());
        self.inputs.try_send(input).err().map(|_| busy())
    }

    /// Nobody waits for the login's end any more.
    pub(crate) fn abandon(&self, session: EapSession) {
        let _busy = self.inputs.try_send(Input::Abandon(session));
    }

    /// What the server that accepted the peer of an IKE_SA said about its addresses; nothing, if it said nothing.
    pub(crate) async fn framed(&self, ike_id: u32) -> radius::relay::Framed {
        let (tx, rx) = oneshot::channel();
        // A queue that is full is waited for: no word of the server's may get lost.
        if self.inputs.send(Input::Framed(ike_id, tx)).await.is_err() {
            return radius::relay::Framed::default();
        }
        rx.await.unwrap_or_default()
    }

    /// Records are wanted.
    pub(crate) fn accounts(&self) -> bool {
        self.accounting.load(Ordering::Relaxed)
    }

    /// For the records. False when the queue is full.
    pub(crate) fn event(&self, event: Event) -> bool {
        self.inputs.try_send(Input::Event(Box::new(event))).is_ok()
    }

    /// Other settings.
    pub(crate) fn settings(&self, settings: RadiusSettings) {
        let _busy = self.inputs.try_send(Input::Settings(Box::new(settings)));
    }

    /// The daemon is about to end: what closes now, closes for that.
    pub(crate) async fn stopping(&self) {
        let _gone = self.inputs.send(Input::Stopping).await;
    }

    /// Waits until all records are delivered, within reason.
    pub(crate) async fn finish(&self, patience: Duration) {
        let (tx, rx) = oneshot::channel();
        if self.inputs.send(Input::Finish(tx)).await.is_ok() {
            let _late = tokio::time::timeout(patience, rx).await;
        }
    }
}

impl Inbox {
    /// Starts the task.
    pub(crate) fn start(self, settings: RadiusSettings, world: World, rng: crypto::Rng) {
        // Before the engine starts: no event may be missed.
        self.accounting.store(settings.accounting, Ordering::Relaxed);
        tokio::spawn(desk::Desk::new(settings, world, rng, self.handle, self.accounting).run(self.inputs));
    }
}
