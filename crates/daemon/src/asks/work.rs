//! Room for work that takes a while: so much at a time, so much waiting, the rest refused.
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Steps at work at a time, each on a thread of its own.
const RUNNING: usize = 16;
/// Conversations open at a time; more are refused.
const OPEN: usize = 4096;

/// Where work is done.
#[derive(Clone)]
pub(crate) struct Workers {
    running: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

/// Leave to work, until it is dropped.
pub(crate) struct Place {
    running: Arc<Semaphore>,
    _open: OwnedSemaphorePermit,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self { running: Arc::new(Semaphore::new(RUNNING)), open: Arc::new(Semaphore::new(OPEN)) }
    }

    /// A place; `None` when too many have one.
    pub(crate) fn enter(&self) -> Option<Place> {
        let open = self.open.clone().try_acquire_owned().ok()?;
        Some(Place { running: self.running.clone(), _open: open })
    }
}

impl Place {
    /// Does one step of work beside the runtime, when it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.running.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let outcome = tokio::task::spawn_blocking(work).await;
        drop(turn);
        outcome.map_err(|e| format!("the work was not done: {e}"))
    }
}
