//! Ctrl-C, and SIGTERM from whoever runs what must clean up before it ends.
use crate::exit::{FAILED, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody wants an end.
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    pub(crate) fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For whom looks by himself.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Starts to watch; from now on the signals no longer end the program by themselves.
pub(crate) fn watch() -> Result<Interrupted, Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILED, format_args!("watching for Ctrl-C: {error}"));
    let raised = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let guard = runtime.enter();
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(|kind| signal(kind).map_err(failed))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    drop(guard);
    let flag = Arc::clone(&raised);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let [a, b, c] = &mut ends[..] else { return };
            tokio::select! { _ = a.recv() => {} _ = b.recv() => {} _ = c.recv() => {} }
            flag.store(true, Ordering::Relaxed);
            // A second Ctrl-C means it: the cleaning up may be stuck.
            tokio::select! { _ = a.recv() => {} _ = b.recv() => {} _ = c.recv() => {} }
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        });
    });
    Ok(Interrupted(raised))
}
