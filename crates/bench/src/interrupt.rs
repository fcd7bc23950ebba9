//! Ctrl-C, and SIGTERM from whoever runs this.
use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of an interrupted run.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether somebody wants an end.
#[derive(Clone)]
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    pub(crate) fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts to watch; from now on the signals no longer end the program by themselves, but the second one does.
pub(crate) fn watch() -> Result<Interrupted> {
    let raised = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .context("watching for Ctrl-C")?;
    drop(guard);
    let flag = Arc::clone(&raised);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let [a, b, c] = &mut ends[..] else { return };
            tokio::select! { _ = a.recv() => {} _ = b.recv() => {} _ = c.recv() => {} }
            flag.store(true, Ordering::Relaxed);
            tokio::select! { _ = a.recv() => {} _ = b.recv() => {} _ = c.recv() => {} }
            // what runs still is killed by the kernel when we end
            std::process::exit(i32::from(INTERRUPTED));
        });
    });
    Ok(Interrupted(raised))
}
