//! Questions that are open, and who waits for their answers.
use crate::core::Waiter;
use crate::io::Ticket;
use std::collections::VecDeque;

/// Most are answered in the order in which they were asked: a queue, whose memory serves again and again.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// In order; without a waiter those that were answered before older ones.
    queue: VecDeque<(Ticket, Option<Waiter>)>,
    open: usize,
}

/// A queue that is not longer is left alone.
const SHORT: usize = 64;

impl Tickets {
    /// A question is asked. Numbers rise.
    pub(crate) fn open(&mut self, ticket: Ticket, waiter: Waiter) {
        if self.queue.len() > SHORT && self.queue.len() / 4 > self.open {
            // An old one keeps many that are answered from leaving the queue.
            self.queue.retain(|(_, waiter)| waiter.is_some());
            self.queue.shrink_to(SHORT);
        }
        self.queue.push_back((ticket, Some(waiter)));
        self.open = self.open.saturating_add(1);
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Option<Waiter>> {
        let at = self.queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        self.queue.get_mut(at).map(|(_, waiter)| waiter)
    }

    /// Who waits for the answer to an open question.
    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Waiter> {
        self.slot(ticket)?.as_mut()
    }

    /// It is answered; who waited. `None` where it was not open.
    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.slot(ticket)?.take()?;
        self.open = self.open.saturating_sub(1);
        while self.queue.front().is_some_and(|(_, waiter)| waiter.is_none()) {
            self.queue.pop_front();
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever is asked and answered in whichever order: as an ordered map would have it.
        #[test]
        fn it_knows_who_waits(answers in proptest::collection::vec((0u64..3, 0u64..400), 0..400)) {
            let (mut tickets, mut model) = (Tickets::default(), BTreeMap::new());
            let mut last = 0;
            for (asked, answered) in answers {
                for _ in 0..asked {
                    last += 1;
                    let waiter = Waiter::Ike(u32::try_from(last).unwrap());
                    tickets.open(Ticket(last), waiter);
                    model.insert(Ticket(last), waiter);
                }
                prop_assert_eq!(tickets.get_mut(Ticket(answered)).copied(), model.get(&Ticket(answered)).copied());
                prop_assert_eq!(tickets.close(Ticket(answered)), model.remove(&Ticket(answered)));
                prop_assert_eq!(tickets.open, model.len());
            }
        }
    }

    #[test]
    fn one_that_stays_open_keeps_no_others() {
        let mut tickets = Tickets::default();
        tickets.open(Ticket(1), Waiter::Policy(7));
        for n in 2..100_000 {
            tickets.open(Ticket(n), Waiter::Nobody);
            assert_eq!(tickets.close(Ticket(n)), Some(Waiter::Nobody));
            assert!(tickets.queue.len() <= 2 * SHORT);
        }
        assert_eq!(tickets.close(Ticket(1)), Some(Waiter::Policy(7)));
        assert!(tickets.queue.is_empty());
    }
}
