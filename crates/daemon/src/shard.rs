//! One engine, its queues and its timer, on a thread of its own.
//!
//! There is one shard for now: the engine handles some thousand handshakes a second on one core, and everything
//! that is slow happens outside of it. The SPIs carry the shard's number already, so that more shards need no new
//! protocol.
//!
//! The thread never waits for anybody: datagrams that do not fit the queue are dropped (the peer retransmits),
//! questions go to workers through queues with room or are answered with a failure, events go to observers that
//! do not block. What would take long (a list of all IKE_SAs) is asked for in pages.
//!
//! The walk: this file is what others hold; [`machine`] is the thread, [`bell`] what wakes it.

mod bell;
mod machine;

pub(crate) use machine::{Ear, Shard};

use arc_swap::ArcSwap;
use dataplane::userspace::IkeDatagram;
use ike::io::{Answer, Command, Filter, IkeView, Now, Ticket};
use ike::{Page, Tally};
use policy::sa::PolicyOnly;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Datagrams that may wait for the engine.
const DATAGRAMS: usize = 4096;
/// Answers that may wait for the engine.
const ANSWERS: usize = 8192;
/// Commands and queries that may wait for it.
const CONTROL: usize = 8192;
/// IKE_SAs in one page of a list: one page keeps the engine from its other work for well under a millisecond.
pub(crate) const PAGE: usize = 128;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now { mono: linux::clock::monotonic_ms(), wall: linux::clock::wall_seconds() }
}

/// Something for the engine besides datagrams and answers.
enum Input {
    Command(Command),
    Query(Query),
}

/// A question of the operator, answered from the engine's memory.
enum Query {
    /// IKE_SAs after this one, one page of them.
    List(Filter, Option<u32>, oneshot::Sender<Page>),
    /// How many SAs a command would mean, a slice of IKE_SAs after this one.
    Tally(Filter, Option<u32>, oneshot::Sender<Tally>),
    Policies(oneshot::Sender<Vec<Arc<PolicyOnly>>>),
    Counts(oneshot::Sender<Counts>),
}

/// How many IKE_SAs there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) total: usize,
    pub(crate) half_open: usize,
}

/// How the thread does.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// The longest it was away from its queues, in microseconds.
    longest: AtomicU64,
    /// The most IKE_SAs it showed at once.
    largest_page: AtomicUsize,
}

impl Gauges {
    /// The longest the engine was away from its queues since the start, in microseconds.
    pub(crate) fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
    }

    /// The most IKE_SAs it showed at once.
    pub(crate) fn largest_page(&self) -> usize {
        self.largest_page.load(Ordering::Relaxed)
    }
}

/// The way to the shard.
#[derive(Clone)]
pub(crate) struct Handle {
    datagrams: mpsc::Sender<IkeDatagram>,
    /// Apart, so that nobody who asks has to wait behind the answers to very many questions.
    answers: mpsc::Sender<(Ticket, Answer)>,
    control: mpsc::Sender<Input>,
    gauges: Arc<Gauges>,
    /// Addresses of ours that IKE is not spoken on.
    ignored: Arc<ArcSwap<BTreeSet<IpAddr>>>,
}

/// The queues' other ends, until the shard starts.
pub(crate) struct Inbox {
    datagrams: mpsc::Receiver<IkeDatagram>,
    answers: mpsc::Receiver<(Ticket, Answer)>,
    control: mpsc::Receiver<Input>,
    gauges: Arc<Gauges>,
    ignored: Arc<ArcSwap<BTreeSet<IpAddr>>>,
}

impl Handle {
    pub(crate) fn new() -> (Self, Inbox) {
        let (datagrams, datagrams_rx) = mpsc::channel(DATAGRAMS);
        let (answers, answers_rx) = mpsc::channel(ANSWERS);
        let (control, control_rx) = mpsc::channel(CONTROL);
        let handle = Self { datagrams, answers, control, gauges: Arc::default(), ignored: Arc::default() };
        let (gauges, ignored) = (handle.gauges.clone(), handle.ignored.clone());
        (handle, Inbox { datagrams: datagrams_rx, answers: answers_rx, control: control_rx, gauges, ignored })
    }

    /// The queue for IKE messages that others read from sockets.
    pub(crate) fn datagrams(&self) -> mpsc::Sender<IkeDatagram> {
        self.datagrams.clone()
    }

    /// How the engine does.
    pub(crate) fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// IKE is not spoken on these addresses of ours.
    pub(crate) fn ignore(&self, addresses: BTreeSet<IpAddr>) {
        self.ignored.store(Arc::new(addresses));
    }

    /// Whether IKE is not spoken on this address of ours.
    pub(crate) fn ignores(&self, address: IpAddr) -> bool {
        ignores(&self.ignored, address)
    }

    /// Things waiting for the engine.
    pub(crate) fn backlog(&self) -> usize {
        let waiting = |max: usize, free: usize| max.saturating_sub(free);
        waiting(DATAGRAMS, self.datagrams.capacity())
            .saturating_add(waiting(ANSWERS, self.answers.capacity()))
            .saturating_add(waiting(CONTROL, self.control.capacity()))
    }

    /// Gives a command. An error means that the shard is gone, which happens at the end only.
    pub(crate) async fn command(&self, command: Command) {
        let _gone = self.control.send(Input::Command(command)).await;
    }

    /// Gives a command that may be lost when the engine is behind, since it will be repeated. False: it is lost.
    pub(crate) fn hint(&self, command: Command) -> bool {
        self.control.try_send(Input::Command(command)).is_ok()
    }

    /// Answers a question from a task.
    pub(crate) async fn answer(&self, ticket: Ticket, answer: Answer) {
        let _gone = self.answers.send((ticket, answer)).await;
    }

    /// Answers a question from a thread.
    pub(crate) fn answer_blocking(&self, ticket: Ticket, answer: Answer) {
        if let Err(mpsc::error::TrySendError::Full(answer)) = self.answers.try_send((ticket, answer)) {
            let _gone = self.answers.blocking_send(answer);
        }
    }

    /// IKE_SAs that match, page by page. What comes and goes meanwhile is on one of the pages or on none.
    pub(crate) fn pages(&self, filter: Filter) -> Pages {
        Pages { shard: self.clone(), filter, after: None, last: false }
    }

    /// All IKE_SAs that match.
    pub(crate) async fn list(&self, filter: Filter) -> Vec<IkeView> {
        let mut all = Vec::new();
        let mut pages = self.pages(filter);
        while let Some(page) = pages.next().await {
            all.extend(page);
        }
        all
    }

    /// How many SAs a command with this filter would mean: CHILD_SAs where it names a child, else IKE_SAs.
    pub(crate) async fn count(&self, filter: &Filter) -> usize {
        let (mut count, mut after) = (0usize, None);
        loop {
            let filter = filter.clone();
            let tally = self.query(|tx| Query::Tally(filter, after, tx)).await;
            count = count.saturating_add(tally.count);
            after = tally.next;
            if after.is_none() {
                return count;
            }
        }
    }

    /// Traps and shunts.
    pub(crate) async fn policies(&self) -> Vec<Arc<PolicyOnly>> {
        self.query(Query::Policies).await
    }

    /// How many IKE_SAs there are.
    pub(crate) async fn counts(&self) -> Counts {
        self.query(Query::Counts).await
    }

    async fn query<T: Default>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Query) -> T {
        let (tx, rx) = oneshot::channel();
        let _gone = self.control.send(Input::Query(make(tx))).await;
        rx.await.unwrap_or_default()
    }
}

fn ignores(ignored: &ArcSwap<BTreeSet<IpAddr>>, address: IpAddr) -> bool {
    let ignored = ignored.load();
    !ignored.is_empty() && ignored.contains(&address)
}

/// A list of IKE_SAs that is asked for page by page: between two pages the engine does what else there is.
pub(crate) struct Pages {
    shard: Handle,
    filter: Filter,
    after: Option<u32>,
    last: bool,
}

impl Pages {
    /// The next page, perhaps with nothing on it; none when there are no more.
    pub(crate) async fn next(&mut self) -> Option<Vec<IkeView>> {
        if self.last {
            return None;
        }
        let (filter, after) = (self.filter.clone(), self.after);
        let page = self.shard.query(|tx| Query::List(filter, after, tx)).await;
        self.after = page.next;
        self.last = page.next.is_none();
        Some(page.sas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers to very many questions leave room for who asks.
    #[tokio::test]
    async fn nobody_waits_behind_answers() {
        let (handle, mut inbox) = Handle::new();
        for n in 0..ANSWERS {
            handle.answer(Ticket(n as u64), Answer::Done).await;
        }
        assert_eq!(handle.backlog(), ANSWERS);
        assert!(handle.answers.try_send((Ticket(0), Answer::Done)).is_err());
        assert!(handle.hint(Command::AddressesChanged));
        assert!(matches!(inbox.control.try_recv(), Ok(Input::Command(Command::AddressesChanged))));
    }

    /// How many there are is asked for a slice at a time.
    #[tokio::test]
    async fn slices_are_counted_together() {
        let (handle, mut inbox) = Handle::new();
        let count = tokio::spawn(async move { handle.count(&Filter::default()).await });
        for (expected, next) in [(None, Some(7)), (Some(7), Some(9)), (Some(9), None)] {
            match inbox.control.recv().await {
                Some(Input::Query(Query::Tally(_, after, tx))) if after == expected => {
                    tx.send(Tally { count: 2, next }).unwrap();
                }
                _ => panic!("not asked for what comes after {expected:?}"),
            }
        }
        assert_eq!(count.await.unwrap(), 6);
    }
}
