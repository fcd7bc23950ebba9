//! One order after the other for each client: a lease waits until what the same identity gave back is back.
use policy::Identity;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Who is waiting for whom.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    /// The last order of each identity.
    last: Arc<Mutex<HashMap<Identity, Last>>>,
}

/// Its number, and what ends with it.
type Last = (u64, oneshot::Receiver<()>);

/// The place of one order. The next of the same identity has its turn when this is dropped.
pub(crate) struct Turn {
    turns: Turns,
    identity: Identity,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Turns {
    /// Whether orders of this identity are under way.
    pub(crate) fn busy(&self, identity: &Identity) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).contains_key(identity)
    }

    /// A place behind all earlier orders of this identity.
    pub(crate) fn take(&self, identity: &Identity) -> Turn {
        let (done, after) = oneshot::channel();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let number = last.get(identity).map_or(0, |(number, _)| number.wrapping_add(1));
        let before = last.insert(identity.clone(), (number, after)).map(|(_, before)| before);
        drop(last);
        Turn { turns: self.clone(), identity: identity.clone(), number, before, _done: done }
    }
}

impl Turn {
    /// Waits for the orders before.
    pub(crate) async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            let _ended = before.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut last = self.turns.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&self.identity).is_some_and(|(number, _)| *number == self.number) {
            last.remove(&self.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_of_one_identity_wait_for_each_other_and_leave_nothing() {
        let turns = Turns::default();
        let who = Identity::Fqdn("carol".into());
        let first = turns.take(&who);
        let mut second = turns.take(&who);
        let mut other = turns.take(&Identity::Fqdn("dave".into()));
        other.wait().await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), second.wait()).await.is_err());
        drop(first);
        second.wait().await;
        assert!(turns.busy(&who));
        drop(second);
        drop(other);
        assert!(turns.last.lock().unwrap().is_empty());
    }
}
