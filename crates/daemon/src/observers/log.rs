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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use vici::Message;

/// Lines that may wait for the log thread.
const QUEUE: usize = 8192;
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
    Flush(std::sync::mpsc::Sender<()>),
}

/// The log of the daemon.
pub(crate) struct Log {
    queue: SyncSender<Order>,
    /// The highest level any sink wants of each group ([`Loudest`]).
    loudest: AtomicU64,
    lost: AtomicU64,
    clients: Arc<Registry>,
}

impl Log {
    /// Starts the log thread with no sinks.
    pub(crate) fn start(clients: Arc<Registry>) -> std::io::Result<Arc<Self>> {
        let (queue, orders) = sync_channel(QUEUE);
        std::thread::Builder::new().name("log".into()).spawn(move || run(&orders))?;
        Ok(Arc::new(Self { queue, loudest: AtomicU64::new(0), lost: AtomicU64::new(0), clients }))
    }

    /// Replaces the sinks; files are opened anew, which is what log rotation wants.
    pub(crate) fn configure(&self, sinks: Vec<Sink>) {
        let loudest = Loudest::of_all(sinks.iter().map(Sink::levels));
        self.loudest.store(loudest.0, Ordering::Relaxed);
        // Waiting is fine here: start, SIGHUP and reload-settings only.
        let _full = self.queue.send(Order::Sinks(sinks));
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
        match self.queue.try_send(Order::Line(line)) {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let text = format!("{lost} log messages lost, the log could not keep up");
                    let line = Line {
                        time: Timestamp::now(),
                        thread: 0,
                        group: Group::Lib,
                        level: 0,
                        ike: None,
                        text,
                    };
                    if self.queue.try_send(Order::Line(line)).is_err() {
                        self.lost.fetch_add(lost, Ordering::Relaxed);
                    }
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything said so far is written, at most a second.
    pub(crate) fn flush(&self) {
        let (done, wait) = std::sync::mpsc::channel();
        if self.queue.send(Order::Flush(done)).is_ok() {
            let _late = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

fn run(orders: &Receiver<Order>) {
    let mut sinks: Vec<Sink> = Vec::new();
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(_) => {
                for sink in &mut sinks {
                    sink.flush();
                }
                match orders.recv() {
                    Ok(order) => order,
                    Err(_) => return,
                }
            }
        };
        match order {
            Order::Line(line) => {
                for sink in &mut sinks {
                    sink.write(&line);
                }
            }
            Order::Sinks(new) => {
                for sink in &mut sinks {
                    sink.flush();
                }
                sinks = new;
            }
            Order::Flush(done) => {
                for sink in &mut sinks {
                    sink.flush();
                }
                let _gone = done.send(());
            }
        }
    }
}
