//! Log lines to the sinks of `strongswan.conf` (`filelog`, `syslog`, `journal`) and to vici clients.
//!
//! Writers never touch a file: a line goes through a bounded queue to one thread that owns all sinks. When that
//! thread cannot keep up, lines are counted and the count is logged instead, so that a slow disk never holds up
//! the engine.

mod format;
mod levels;
mod settings;
mod sink;

pub(crate) use format::group as group_name;
pub(crate) use levels::{Levels, Loudest};
pub(crate) use settings::{Origin, sinks};

use crate::control::events::Registry;
use ike::io::Group;
use jiff::Timestamp;
use sink::Sink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use vici::Message;

/// Lines that may wait for the log thread.
const QUEUE: usize = 8192;
/// How long the log thread sleeps after a line, so that one wake-up and one write serve all that is said meanwhile.
const NAP: Duration = Duration::from_millis(10);
/// vici shows levels 0 and 1 only.
const HEARD: i8 = 1;

/// Which part of the daemon speaks: charon prints the number of a thread, we print one per part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Start, stop, signals.
    Main,
    /// The engine.
    Engine,
    /// Data plane, routes, addresses.
    Plane,
    /// Sockets.
    Net,
    /// updown and other scripts.
    Script,
    /// A vici client.
    Control,
}

impl Voice {
    /// The number printed before the group.
    const fn number(self) -> u8 {
        match self {
            Self::Main => 0,
            Self::Engine => 1,
            Self::Plane => 2,
            Self::Net => 3,
            Self::Script => 4,
            Self::Control => 5,
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) time: Timestamp,
    pub(crate) thread: u8,
    pub(crate) group: Group,
    pub(crate) level: i8,
    /// Name (may be empty while no connection is chosen) and unique id of the IKE_SA.
    pub(crate) ike: Option<(String, u32)>,
    pub(crate) text: String,
}

enum Order {
    Line(Line),
    Sinks(Vec<Sink>),
    Flush(Sender<()>),
}

/// The log of the daemon.
pub(crate) struct Log {
    queue: Sender<Order>,
    /// Lines in it.
    waiting: Arc<AtomicUsize>,
    /// The highest level any sink wants of each group ([`Loudest`]).
    loudest: AtomicU64,
    lost: AtomicU64,
    clients: Arc<Registry>,
}

impl Log {
    /// Starts the log thread with no sinks.
    pub(crate) fn start(clients: Arc<Registry>) -> std::io::Result<Arc<Self>> {
        let (queue, orders) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        std::thread::Builder::new().name("log".into()).spawn(move || run(&orders, &written))?;
        Ok(Arc::new(Self { queue, waiting, loudest: AtomicU64::new(0), lost: AtomicU64::new(0), clients }))
    }

    /// Replaces the sinks; files are opened anew, which is what log rotation wants.
    pub(crate) fn configure(&self, sinks: Vec<Sink>) {
        let loudest = Loudest::of_all(sinks.iter().map(Sink::levels));
        self.loudest.store(loudest.0, Ordering::Relaxed);
        let _gone = self.queue.send(Order::Sinks(sinks));
    }

    /// What anybody wants to be told now: sinks, and vici clients.
    pub(crate) fn wanted(&self) -> Loudest {
        let sinks = Loudest(self.loudest.load(Ordering::Relaxed));
        if self.clients.hears_log() { sinks.at_least(HEARD) } else { sinks }
    }

    /// Writes a line that belongs to no IKE_SA.
    pub(crate) fn say(&self, voice: Voice, group: Group, level: i8, text: impl Into<String>) {
        self.line(voice, group, level, None, text.into());
    }

    /// Writes a line.
    pub(crate) fn line(
        &self,
        voice: Voice,
        group: Group,
        level: i8,
        ike: Option<(String, u32)>,
        text: String,
    ) {
        if (0..=HEARD).contains(&level) {
            self.clients.emit("log", || {
                let mut event = config::tree::Section::default();
                event.put("group", format::group(group));
                event.put("level", level);
                event.put("thread", voice.number());
                if let Some((name, id)) = &ike {
                    event.put("ikesa-name", name);
                    event.put("ikesa-uniqueid", id);
                }
                event.put("msg", &text);
                event
            });
        }
        if level > Loudest(self.loudest.load(Ordering::Relaxed)).level(group) {
            return;
        }
        let line = Line { time: Timestamp::now(), thread: voice.number(), group, level, ike, text };
        if !self.queue(line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = match self.lost.load(Ordering::Relaxed) {
            0 => return,
            _ => self.lost.swap(0, Ordering::Relaxed),
        };
        let text = format!("{lost} log messages lost, the log could not keep up");
        let (thread, group, level, ike) = (0, Group::Lib, 0, None);
        if !self.queue(Line { time: Timestamp::now(), thread, group, level, ike, text }) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Queues a line; false where there is no room.
    fn queue(&self, line: Line) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE && self.queue.send(Order::Line(line)).is_ok()
        {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Waits until everything said so far is written, at most a second.
    pub(crate) fn flush(&self) {
        let (done, wait) = channel();
        if self.queue.send(Order::Flush(done)).is_ok() {
            let _late = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

fn run(orders: &Receiver<Order>, waiting: &AtomicUsize) {
    let mut sinks: Vec<Sink> = Vec::new();
    while let Ok(first) = orders.recv() {
        if matches!(first, Order::Line(_)) && !sinks.iter().any(Sink::is_prompt) {
            std::thread::sleep(NAP);
        }
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Line(line) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    for sink in &mut sinks {
                        sink.write(&line);
                    }
                }
                Order::Sinks(new) => {
                    flush(&mut sinks);
                    sinks = new;
                }
                Order::Flush(done) => {
                    flush(&mut sinks);
                    let _gone = done.send(());
                }
            }
            next = orders.try_recv().ok();
        }
        flush(&mut sinks);
    }
}

fn flush(sinks: &mut [Sink]) {
    for sink in sinks {
        sink.flush();
    }
}
