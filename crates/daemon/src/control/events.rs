//! Who listens to which vici event, and the bounded queue in front of every client.
//!
//! A client that does not read loses events, which are counted, and nothing else happens: nobody here ever waits
//! for a client. Responses and streamed lists wait for room, but only in the client's own task.
use config::tree::Section;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use vici::Packet;

/// Frames that may wait for one client.
const QUEUE: usize = 512;
/// Bytes of events that may wait for one client.
const QUEUE_BYTES: usize = 4 << 20;

/// The event of a log line.
const LOG: &str = "log";

/// Every event there is.
pub(crate) const EVENTS: [&str; 15] = [
    LOG,
    "control-log",
    "list-sa",
    "list-policy",
    "list-conn",
    "list-cert",
    "list-authority",
    "list-pool",
    "list-lease",
    "ike-updown",
    "ike-rekey",
    "ike-update",
    "child-updown",
    "child-rekey",
    "alert",
];

/// Name of a client.
pub(crate) type ClientId = u64;

/// A frame on its way to a client.
#[derive(Debug, Clone)]
pub(crate) struct Frame(pub(crate) Arc<[u8]>);

impl Frame {
    /// Encodes a packet; what cannot be encoded (too large for the protocol) is `None`.
    pub(crate) fn of(packet: &Packet) -> Option<Self> {
        packet.encode().ok().map(|bytes| Self(bytes.into()))
    }

    /// Encodes an event.
    pub(crate) fn event(name: &str, message: Section) -> Option<Self> {
        Self::of(&Packet::Event { name: name.to_owned(), message })
    }
}

/// The queue in front of one client.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Frame>,
    waiting: Arc<AtomicUsize>,
}

/// The other end, for the client's writer.
#[derive(Debug)]
pub(crate) struct OutboxReader {
    queue: mpsc::Receiver<Frame>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, OutboxReader) {
        let (tx, rx) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { queue: tx, waiting: waiting.clone() }, OutboxReader { queue: rx, waiting })
    }

    /// Queues, waiting for room. False: the client is gone.
    pub(crate) async fn send(&self, frame: Frame) -> bool {
        self.waiting.fetch_add(frame.0.len(), Ordering::Relaxed);
        self.queue.send(frame).await.is_ok()
    }

    /// Queues if there is room.
    fn offer(&self, frame: &Frame) -> bool {
        if self.waiting.load(Ordering::Relaxed).saturating_add(frame.0.len()) > QUEUE_BYTES {
            return false;
        }
        self.waiting.fetch_add(frame.0.len(), Ordering::Relaxed);
        if self.queue.try_send(frame.clone()).is_ok() {
            return true;
        }
        self.waiting.fetch_sub(frame.0.len(), Ordering::Relaxed);
        false
    }
}

impl OutboxReader {
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = self.queue.recv().await?;
        self.waiting.fetch_sub(frame.0.len(), Ordering::Relaxed);
        Some(frame)
    }
}

#[derive(Debug)]
struct Listener {
    events: BTreeSet<&'static str>,
    outbox: Outbox,
}

/// All clients and what they listen to.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    clients: Mutex<BTreeMap<ClientId, Listener>>,
    /// How many registrations there are in all: nobody builds an event that nobody wants.
    registrations: AtomicUsize,
    /// How many of them are for the log.
    log: AtomicUsize,
    dropped: AtomicU64,
}

impl Registry {
    /// A client connected.
    pub(crate) fn join(&self, client: ClientId, outbox: Outbox) {
        self.lock().insert(client, Listener { events: BTreeSet::new(), outbox });
    }

    /// A client is gone.
    pub(crate) fn leave(&self, client: ClientId) {
        if let Some(listener) = self.lock().remove(&client) {
            self.registrations.fetch_sub(listener.events.len(), Ordering::Relaxed);
            if listener.events.contains(LOG) {
                self.log.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Registers for an event. False: there is no such event.
    pub(crate) fn register(&self, client: ClientId, event: &str) -> bool {
        let Some(event) = EVENTS.iter().find(|known| **known == event) else { return false };
        if let Some(listener) = self.lock().get_mut(&client)
            && listener.events.insert(event)
        {
            self.registrations.fetch_add(1, Ordering::Relaxed);
            if *event == LOG {
                self.log.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }

    /// Undoes a registration. False: there was none.
    pub(crate) fn unregister(&self, client: ClientId, event: &str) -> bool {
        let removed = self.lock().get_mut(&client).is_some_and(|listener| listener.events.remove(event));
        if removed {
            self.registrations.fetch_sub(1, Ordering::Relaxed);
            if event == LOG {
                self.log.fetch_sub(1, Ordering::Relaxed);
            }
        }
        removed
    }

    /// Whether any client listens to the log.
    pub(crate) fn hears_log(&self) -> bool {
        self.log.load(Ordering::Relaxed) > 0
    }

    /// Whether a client listens to an event.
    pub(crate) fn listens(&self, client: ClientId, event: &str) -> bool {
        self.lock().get(&client).is_some_and(|listener| listener.events.contains(event))
    }

    /// Sends an event to everyone who listens; `build` runs only if somebody does.
    pub(crate) fn emit(&self, event: &'static str, build: impl FnOnce() -> Section) {
        if self.registrations.load(Ordering::Relaxed) == 0 {
            return;
        }
        let clients = self.lock();
        let mut listeners = clients.values().filter(|listener| listener.events.contains(event)).peekable();
        if listeners.peek().is_none() {
            return;
        }
        let Some(frame) = Frame::event(event, build()) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for listener in listeners {
            if !listener.outbox.offer(&frame) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Events that slow clients did not get.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClientId, Listener>> {
        // Nothing below can leave the map half changed.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_loses_events_only() {
        let registry = Registry::default();
        let (slow, _slow_reader) = Outbox::new();
        let (quick, mut quick_reader) = Outbox::new();
        registry.join(1, slow);
        registry.join(2, quick);
        assert!(registry.register(1, "log"));
        assert!(registry.register(2, "log"));
        assert!(!registry.register(2, "nix"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..QUEUE + 10 {
                registry.emit("log", Section::default);
                assert!(quick_reader.next().await.is_some());
            }
        });
        assert_eq!(registry.dropped(), 10);
        assert!(registry.hears_log());
        assert!(registry.unregister(1, "log"));
        assert!(!registry.unregister(1, "log"));
        registry.leave(2);
        assert!(!registry.hears_log());
        registry.emit("log", || unreachable!("nobody listens"));
    }
}
