//! Single datagrams through a tunnel, as fast as they go or at a rate; and the greatest rate that arrives whole.
use crate::search::Search;
use anyhow::{Context as _, Result};
use linux::burst::{MOST, Receiver, Sender};
use linux::netns::Namespace;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PORT: u16 = 5302;
/// The pause of a paced sender between two looks at the clock.
const TICK: Duration = Duration::from_micros(50);
/// A receiver ends when nothing came for so long after the sender has ended.
const DRAIN: Duration = Duration::from_millis(200);
/// Lost of all at most, where "without loss" is asked for.
pub(crate) const TOLERATED: f64 = 0.001;
/// How near the search comes.
const PRECISION: f64 = 0.05;

/// Where from and to.
pub(crate) struct Path<'a> {
    pub(crate) near: &'a Namespace,
    pub(crate) far: &'a Namespace,
    pub(crate) to: IpAddr,
}

/// How one trial went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    /// Datagrams sent.
    sent: f64,
    /// Of them received.
    received: f64,
    /// Time of sending.
    seconds: f64,
}

impl Trial {
    /// Received per second.
    pub(crate) fn rate(&self) -> f64 {
        self.received / self.seconds.max(1e-9)
    }

    /// Whether this rate was offered, and nearly all of it came.
    fn held(&self, rate: f64) -> bool {
        let offered = self.sent / self.seconds.max(1e-9);
        offered >= rate * 0.98 && self.received >= self.sent * (1.0 - TOLERATED)
    }
}

/// Sends for some time at a rate, or without one; counts what arrives.
pub(crate) fn trial(path: &Path<'_>, size: usize, rate: Option<f64>, time: Duration) -> Result<Trial> {
    let to = SocketAddr::new(path.to, PORT);
    let over = AtomicBool::new(false);
    let (bound, ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| path.far.run(|| count(to, &bound, &over)));
        let sending = (|| -> Result<(usize, f64)> {
            ready
                .recv_timeout(Duration::from_secs(10))
                .ok()
                .context("the receiver did not open its socket")?;
            path.near.run(|| send(to, size, rate, time))?
        })();
        over.store(true, Ordering::Release);
        let received = counting.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))???;
        let (sent, seconds) = sending?;
        Ok(Trial { sent: sent as f64, received: received as f64, seconds })
    })
}

fn count(at: SocketAddr, bound: &mpsc::Sender<()>, over: &AtomicBool) -> Result<usize> {
    let mut receiver = Receiver::bind(at)?;
    let _ = bound.send(());
    let mut received = 0;
    loop {
        let came = receiver.receive(DRAIN)?;
        received += came;
        if came == 0 && over.load(Ordering::Acquire) {
            return Ok(received);
        }
    }
}

fn send(to: SocketAddr, size: usize, rate: Option<f64>, time: Duration) -> Result<(usize, f64)> {
    let mut sender = Sender::open(to, size)?;
    let started = Instant::now();
    let mut sent = 0_usize;
    loop {
        let elapsed = started.elapsed();
        if elapsed >= time {
            return Ok((sent, elapsed.as_secs_f64()));
        }
        let due = rate.map_or(MOST, |rate| due(rate, elapsed, sent));
        if due == 0 {
            std::thread::sleep(TICK);
        } else {
            sent += sender.send(due)?;
        }
    }
}

/// How many should have gone by now and have not; at most what one call takes.
fn due(rate: f64, elapsed: Duration, sent: usize) -> usize {
    let behind = (rate * elapsed.as_secs_f64() - sent as f64).clamp(0.0, MOST as f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to MOST")]
    let behind = behind as usize;
    behind
}

/// The greatest rate per second at which at most [`TOLERATED`] is lost, looked for from `start` on. `None` where even
/// the least rate loses.
pub(crate) fn lossless(path: &Path<'_>, size: usize, start: f64, time: Duration) -> Result<Option<f64>> {
    let mut search = Search::new(start, 4e6, PRECISION);
    while let Some(rate) = search.next() {
        let trial = trial(path, size, Some(rate), time)?;
        search.tell(trial.held(rate));
    }
    Ok(search.result())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_was_late_catches_up_by_one_call_at_most() {
        assert_eq!(due(1000.0, Duration::from_millis(10), 0), 10);
        assert_eq!(due(1000.0, Duration::from_millis(10), 10), 0);
        assert_eq!(due(1000.0, Duration::from_millis(10), 11), 0);
        assert_eq!(due(1e6, Duration::from_secs(1), 0), MOST);
    }

    #[test]
    fn a_rate_is_held_when_it_was_offered_and_arrived() {
        let trial = |sent: f64, received: f64| Trial { sent, received, seconds: 1.0 };
        assert!(trial(10_000.0, 10_000.0).held(10_000.0));
        assert!(trial(10_000.0, 9_990.0).held(10_000.0));
        assert!(!trial(10_000.0, 9_989.0).held(10_000.0));
        assert!(!trial(9_000.0, 9_000.0).held(10_000.0), "it was not offered");
    }
}
