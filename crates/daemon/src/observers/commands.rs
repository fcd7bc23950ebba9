//! Operators waiting for a command to end, and what it says meanwhile.
use ike::io::{CommandId, Group};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Log lines of one command that may wait for its client; more are dropped.
const QUEUE: usize = 1024;

/// How a command ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) matches: u32,
    pub(crate) done: u32,
    pub(crate) error: Option<String>,
}

/// A log line that a command caused.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) group: Group,
    pub(crate) level: i8,
    pub(crate) ike: Option<(String, u32)>,
    pub(crate) text: String,
}

struct Waiting {
    level: i8,
    progress: mpsc::Sender<Progress>,
    outcome: oneshot::Sender<Outcome>,
}

/// A command's ends, for who waits.
pub(crate) struct Waiter {
    pub(crate) id: CommandId,
    pub(crate) progress: mpsc::Receiver<Progress>,
    pub(crate) outcome: oneshot::Receiver<Outcome>,
}

/// All commands somebody waits for.
#[derive(Default)]
pub(crate) struct Commands {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<CommandId, Waiting>>,
}

impl Commands {
    /// A number for a command nobody waits for.
    pub(crate) fn unattended(&self) -> CommandId {
        CommandId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for a command, and the ends to wait at; log lines above `level` are not wanted.
    pub(crate) fn open(&self, level: i8) -> Waiter {
        let id = self.unattended();
        let (progress, progress_rx) = mpsc::channel(QUEUE);
        let (outcome, outcome_rx) = oneshot::channel();
        self.lock().insert(id, Waiting { level, progress, outcome });
        Waiter { id, progress: progress_rx, outcome: outcome_rx }
    }

    /// Nobody waits any longer.
    pub(crate) fn close(&self, id: CommandId) {
        self.lock().remove(&id);
    }

    /// The engine says a command ended.
    pub(crate) fn done(&self, id: CommandId, outcome: Outcome) {
        if let Some(waiting) = self.lock().remove(&id) {
            let _gone = waiting.outcome.send(outcome);
        }
    }

    /// The engine says something about a command.
    pub(crate) fn log(&self, id: CommandId, progress: Progress) {
        if let Some(waiting) = self.lock().get(&id)
            && progress.level <= waiting.level
        {
            let _full = waiting.progress.try_send(progress);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<CommandId, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
