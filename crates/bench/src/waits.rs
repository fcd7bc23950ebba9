//! How long a daemon keeps others waiting while it works: something small is asked over and over, an IKE_SA_INIT through
//! IKE and `stats` through vici (the engine answers both), and the longest time to an answer is noted.
//!
//! Beside them somebody sleeps, over and over, and notes how much longer than meant: so long nobody ran at all, or the
//! machine stood still, and no daemon could have answered.
//!
//! The next question follows a millisecond after the answer to the one before: whatever holds the daemon up for longer than
//! that meets a question.
use crate::knock::Knocker;
use crate::stage::{FAR, NEAR};
use anyhow::{Context as _, Result, anyhow};
use config::tree::Section;
use linux::netns::Namespace;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vici::Client;

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);
/// A question that has no answer after this has none.
const LATE: Duration = Duration::from_secs(1);
/// The same through vici, where nothing is lost.
const STUCK: Duration = Duration::from_secs(20);

/// How long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waits {
    /// The longest; for a question without an answer, as long as it was waited for.
    pub(crate) longest: Duration,
    pub(crate) asked: usize,
    /// Questions without an answer.
    pub(crate) lost: usize,
}

/// Both ways, and how long a sleeper overslept at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waited {
    pub(crate) ike: Waits,
    pub(crate) vici: Waits,
    pub(crate) overslept: Duration,
}

/// Asks a daemon, at the other host and at its vici address, while `work` is done; what the work gave, too.
pub(crate) fn during<T>(
    near: &Namespace,
    uri: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Waited)> {
    let over = AtomicBool::new(false);
    let over = &over;
    std::thread::scope(|scope| {
        let ike = scope.spawn(move || -> Result<Waits> {
            near.run(|| {
                let knocker = Knocker::new(NEAR, FAR)?;
                ask(over, || knocker.knock(LATE))
            })?
        });
        let vici = scope.spawn(move || -> Result<Waits> {
            let mut client = Client::connect(uri, Some(STUCK))?;
            ask(over, || Ok(client.request("stats", Section::default()).map(|_| true)?))
        });
        let sleeper = scope.spawn(move || sleep(over));
        let worked = work();
        over.store(true, Ordering::Release);
        let panicked = |_| anyhow!("who asks panicked");
        let (ike, vici) = (ike.join().map_err(panicked)?, vici.join().map_err(panicked)?);
        let overslept = sleeper.join().map_err(panicked)?;
        let (ike, vici) = (ike.context("through IKE")?, vici.context("through vici")?);
        let waited = Waited { ike, vici, overslept };
        Ok((worked?, waited))
    })
}

/// Asks until all is over; `question` says whether it was answered.
fn ask(over: &AtomicBool, mut question: impl FnMut() -> Result<bool>) -> Result<Waits> {
    let mut waits = Waits::default();
    while !over.load(Ordering::Acquire) {
        let asked = Instant::now();
        let answered = question()?;
        waits.longest = waits.longest.max(asked.elapsed());
        waits.asked += 1;
        waits.lost += usize::from(!answered);
        std::thread::sleep(PAUSE);
    }
    Ok(waits)
}

/// Sleeps until all is over; the longest that it overslept.
fn sleep(over: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Acquire) {
        let lay_down = Instant::now();
        std::thread::sleep(PAUSE);
        longest = longest.max(lay_down.elapsed().saturating_sub(PAUSE));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_and_what_was_lost_too() {
        let over = AtomicBool::new(false);
        let mut asked = 0;
        let waits = ask(&over, || {
            asked += 1;
            if asked == 2 {
                std::thread::sleep(Duration::from_millis(30));
            }
            over.store(asked == 4, Ordering::Release);
            Ok(asked != 3)
        })
        .unwrap();
        assert_eq!((waits.asked, waits.lost), (4, 1));
        assert!(waits.longest >= Duration::from_millis(30), "{waits:?}");
    }

    #[test]
    fn a_question_that_cannot_be_asked_ends_it() {
        assert!(ask(&AtomicBool::new(false), || Err(anyhow!("no"))).is_err());
    }
}
