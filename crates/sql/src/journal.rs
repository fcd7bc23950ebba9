//! The journal of the pools in memory: a SQLite file with one row for each lease, so that leases survive a restart
//! or a crash.
//!
//! Changes are handed over under the lock of the pools, in their order, and merged by address; one task writes all
//! that have gathered as one transaction, and only then are those told who wait for it. What could not be written
//! stays and is tried again. The file belongs to one process at a time.
use crate::journal::file::File;
use pool::{Change, Owned, SavedLease};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

mod file;

/// How long after a failure the next try comes by itself.
const AGAIN: Duration = Duration::from_secs(5);

/// Why the journal cannot be used. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened or made.
    #[error("the lease store {} cannot be opened: {why}; make its directory writable for the daemon, or name another file in charon.pool_store", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Something else lives in the file.
    #[error("{} is not a lease store, {what}; name another file in charon.pool_store", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A later version wrote it.
    #[error("the lease store {} has format {format}, this version knows format 1; update, or name another file in charon.pool_store", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: i64,
    },
    /// Its content makes no sense.
    #[error("the lease store {} is damaged: {why}; put a copy back, or move it away: then all leases begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another process has it.
    #[error("the lease store {} is in use by another process; each daemon needs its own", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

/// What is told the operator, once for each turn of events.
pub type Voice = Box<dyn Fn(String) + Send + Sync>;

/// The journal. Dropped, it forgets what is not yet written; see [`Journal::finish`].
pub struct Journal {
    shared: Arc<Shared>,
    writer: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// What is to be written, the latest state of each address.
    pending: Pending,
    /// Who waits for the next transaction.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// Pool and address → what is true from now on.
type Pending = BTreeMap<(String, IpAddr), Entry>;

#[derive(Debug, Clone)]
struct Entry {
    owned: Option<Owned>,
    /// What is on the disk says nothing of this owner.
    claim: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the changes are on the disk, or could not be brought there.
#[derive(Debug)]
pub struct Written(Option<oneshot::Receiver<Result<(), String>>>);

impl Written {
    /// Waits.
    ///
    /// # Errors
    /// What the system says. The changes are kept and tried again; [`Journal::claimed`] tells which of them matter.
    pub async fn wait(self) -> Result<(), String> {
        match self.0 {
            None => Ok(()),
            Some(result) => result.await.unwrap_or_else(|_| Err("the daemon ends".to_owned())),
        }
    }
}

impl Journal {
    /// Opens or makes the file, and returns its leases, those longest offline first: all of them offline, those that
    /// were in use since now (Unix seconds).
    ///
    /// # Errors
    /// [`JournalError`]; the file is then as it was.
    pub async fn open(path: &Path, now: u64, voice: Voice) -> Result<(Self, Vec<SavedLease>), JournalError> {
        let mut file = File::open(path).await?;
        let leases = file.leases(now).await?;
        let shared = Arc::new(Shared { path: path.to_owned(), state: Mutex::default(), wake: Notify::new() });
        let writer = tokio::spawn(write(Arc::clone(&shared), file, voice));
        Ok((Self { shared, writer }, leases))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Hands changes over. Call it under the lock that orders them.
    pub fn submit(&self, changes: Vec<Change>) -> Written {
        if changes.is_empty() {
            return Written(None);
        }
        let (tell, told) = oneshot::channel();
        let mut state = self.shared.lock();
        for Change { pool, address, owned, claim } in changes {
            let key = (pool, address);
            // What was not yet written of the same owner stays a claim.
            let unwritten =
                state.pending.get(&key).is_some_and(|earlier| earlier.claim && same(earlier, owned.as_ref()));
            state.pending.insert(key, Entry { owned, claim: claim || unwritten });
        }
        state.waiting.push(tell);
        drop(state);
        self.shared.wake.notify_one();
        Written(Some(told))
    }

    /// The disk does not yet know that this address is this identity's.
    pub fn claimed(&self, pool: &str, address: IpAddr) -> bool {
        let state = self.shared.lock();
        state.pending.get(&(pool.to_owned(), address)).is_some_and(|entry| entry.claim)
    }

    /// Writes what is left, and ends.
    ///
    /// # Errors
    /// What the system says.
    pub async fn finish(&self) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        self.shared.lock().waiting.push(tell);
        self.shared.wake.notify_one();
        Written(Some(told)).wait().await
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

fn same(entry: &Entry, owned: Option<&Owned>) -> bool {
    entry.owned.as_ref().map(|owned| &owned.identity) == owned.map(|owned| &owned.identity)
}

/// The task that writes.
async fn write(shared: Arc<Shared>, mut file: File, voice: Voice) {
    let mut failing = false;
    loop {
        if failing {
            let _sooner = tokio::time::timeout(AGAIN, shared.wake.notified()).await;
        } else {
            shared.wake.notified().await;
        }
        loop {
            let (batch, waiting) = {
                let mut state = shared.lock();
                (std::mem::take(&mut state.pending), std::mem::take(&mut state.waiting))
            };
            if batch.is_empty() && waiting.is_empty() {
                break;
            }
            // Until it is on the disk the claims of this batch count as unwritten: a failure puts them back before
            // anybody is told.
            let result = file.write(&batch).await;
            match &result {
                Ok(()) if failing => {
                    failing = false;
                    voice(format!("the lease store {} can be written again", shared.path.display()));
                }
                Ok(()) => {}
                Err(why) => {
                    put_back(&shared, batch);
                    if !failing {
                        failing = true;
                        voice(format!(
                            "the lease store {} cannot be written: {why}; until it can, clients get only addresses they had before",
                            shared.path.display()
                        ));
                    }
                }
            }
            let failed = result.is_err();
            for waiter in waiting {
                // Who does not wait any more has taken its lease back.
                _ = waiter.send(result.clone());
            }
            if failed {
                break;
            }
        }
    }
}

/// Changes that were not written, below those that came meanwhile.
fn put_back(shared: &Shared, batch: Pending) {
    let mut state = shared.lock();
    for (key, entry) in batch {
        match state.pending.get_mut(&key) {
            None => _ = state.pending.insert(key, entry),
            Some(later) => later.claim |= entry.claim && same(&entry, later.owned.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests;
