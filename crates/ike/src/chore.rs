//! Work on very many IKE_SAs at once: it is done a slice at a time, so that other inputs have their turn.
use crate::child::{self, ChildLife, ChildState};
use crate::engine::Engine;
use crate::io::{CommandId, Filter};
use crate::pace::{BEGIN, Pace};
use crate::sa::{IkeSa, Standing};
use crate::v2::{Job, close, enqueue, establish, ike_delete, mobike};
use std::collections::VecDeque;
use std::sync::Arc;

/// What is to be done with each.
#[derive(Debug, Clone)]
pub(crate) enum Chore {
    /// Close the IKE_SA.
    Close,
    /// Leave at once, with a last word to the peer that is not repeated.
    Leave,
    /// Rekey the IKE_SA.
    Rekey,
    /// Replace the IKE_SA by a new one with the same children.
    Reauthenticate,
    /// The IKE_SA must reauthenticate, or close, within so many seconds.
    ReauthenticateWithin(u64),
    /// Our addresses or routes changed.
    AddressesChanged,
    /// Undo the start action of these children; see [`Engine::undo_start`].
    UndoStart {
        /// Their names.
        children: Arc<[String]>,
        /// Others are about to be started.
        goes_on: bool,
    },
    /// Close the CHILD_SA.
    ChildDelete,
    /// Rekey the CHILD_SA.
    ChildRekey,
}

/// IKE_SAs that one step of a walk looks at: a millisecond, about.
pub(crate) const STEP: usize = 2048;

/// What a command is to do with those that it names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    /// End them.
    Terminate {
        /// Without waiting for the peer.
        force: bool,
    },
    /// Rekey them.
    Rekey {
        /// By reauthentication.
        reauth: bool,
    },
}

/// A walk over all IKE_SAs for those that a command names, a step at a time.
#[derive(Debug)]
struct Walk {
    id: CommandId,
    deed: Deed,
    filter: Filter,
    after: Option<u32>,
    /// The last IKE_SA when it began: those that come later are not meant.
    until: u32,
    /// How many were found.
    matches: u32,
}

/// Those that a filter names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) ikes: Vec<u32>,
    pub(crate) children: Vec<u32>,
}

impl Found {
    /// How many of both.
    pub(crate) fn count(&self) -> usize {
        self.ikes.len().saturating_add(self.children.len())
    }

    /// Adds what of an IKE_SA a filter names: its children, only if it names children, or itself.
    pub(crate) fn choose(&mut self, sa: &IkeSa, filter: &Filter) {
        if filter.child.is_some() || filter.child_id.is_some() {
            let live = |c: &&ChildLife| !matches!(c.state, ChildState::Removing | ChildState::Rekeyed);
            let named = sa.children.values().filter(|c| crate::list::names(filter, &c.sa));
            self.children.extend(named.filter(live).map(|c| c.sa.id));
        } else if !sa.has_ended() && sa.established().is_none_or(|e| e.standing != Standing::Rekeyed) {
            self.ikes.push(sa.id);
        }
    }
}

type List = (std::vec::IntoIter<u32>, Chore);

/// What is left to be done; numbers of IKE_SAs or of CHILD_SAs.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    /// Without delay, in order.
    left: VecDeque<List>,
    /// At the pace of those that are under way; lists have one begun by turns.
    paced: VecDeque<List>,
    pub(crate) pace: Pace,
    walks: VecDeque<Walk>,
}

impl Chores {
    /// When there is something to do: `now`, or when another may begin.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        if !self.left.is_empty() || !self.walks.is_empty() {
            return Some(now);
        }
        let waits = !self.paced.is_empty();
        waits.then(|| self.pace.room_at().unwrap_or(now))
    }

    /// What was begun for the sake of many is not begun any more.
    pub(crate) fn drop_paced(&mut self) {
        self.paced.clear();
    }

    fn add(&mut self, ids: Vec<u32>, chore: Chore, paced: bool) {
        if !ids.is_empty() {
            let lists = if paced { &mut self.paced } else { &mut self.left };
            lists.push_back((ids.into_iter(), chore));
        }
    }

    /// The next one of those that must not begin all at once, if it may.
    fn next_paced(&mut self) -> Option<(u32, Chore)> {
        if self.pace.room_at().is_some() {
            return None;
        }
        let found = first(&mut self.paced);
        if !self.paced.is_empty() {
            self.paced.rotate_left(1);
        }
        found
    }
}

/// Takes one of the first list; a list that was its last is gone.
fn first(lists: &mut VecDeque<List>) -> Option<(u32, Chore)> {
    let (ids, chore) = lists.front_mut()?;
    let found = ids.next().map(|id| (id, chore.clone()));
    if ids.len() == 0 {
        lists.pop_front();
    }
    found
}

impl Engine {
    /// Does this with all of them: the first slice now, more at every [`wake`](Self::wake).
    pub(crate) fn set_about(&mut self, ids: Vec<u32>, chore: Chore) {
        self.chores.add(ids, chore, false);
        self.work_off(crate::engine::SLICE);
    }

    /// Does this with all that a filter names; where there are very many IKE_SAs, they are looked for a step at a time.
    pub(crate) fn seek(&mut self, id: CommandId, filter: Filter, deed: Deed) {
        let until = self.core.table.last().unwrap_or_default();
        let mut walk = Walk { id, deed, filter, after: None, until, matches: 0 };
        if !self.is_quick(&walk.filter) {
            return self.chores.walks.push_back(walk);
        }
        let mut found = Found::default();
        self.matching(&walk.filter).for_each(|sa| found.choose(sa, &walk.filter));
        self.deal_with(&mut walk, found);
        self.carried_out(walk.id, walk.deed, walk.matches);
        self.work_off(crate::engine::SLICE);
    }

    /// One step of the first walk.
    fn walk(&mut self) {
        let Some(mut walk) = self.chores.walks.pop_front() else { return };
        let (mut seen, mut found) = (0, Found::default());
        for sa in self.core.table.range(walk.after).take(STEP).take_while(|sa| sa.id <= walk.until) {
            (seen, walk.after) = (seen + 1, Some(sa.id));
            if crate::list::matches(sa, &walk.filter) {
                found.choose(sa, &walk.filter);
            }
        }
        self.deal_with(&mut walk, found);
        match seen {
            STEP => self.chores.walks.push_front(walk),
            _ => self.carried_out(walk.id, walk.deed, walk.matches),
        }
    }

    /// Has begun what a walk is for; very many begin as others are done.
    fn deal_with(&mut self, walk: &mut Walk, found: Found) {
        walk.matches = walk.matches.saturating_add(u32::try_from(found.count()).unwrap_or(u32::MAX));
        let paced = usize::try_from(walk.matches).is_ok_and(|all| all > crate::engine::SLICE);
        let (ikes, children) = match walk.deed {
            Deed::Terminate { force } => {
                self.core.commands.expect_end(walk.id, &found.ikes, &found.children);
                (if force { Chore::Leave } else { Chore::Close }, Chore::ChildDelete)
            }
            Deed::Rekey { reauth: true } => (Chore::Reauthenticate, Chore::ChildRekey),
            Deed::Rekey { reauth: false } => (Chore::Rekey, Chore::ChildRekey),
        };
        self.chores.add(found.ikes, ikes, paced);
        self.chores.add(found.children, children, paced);
    }

    /// Goes on with what is left, up to so many SAs.
    pub(crate) fn work_off(&mut self, most: usize) {
        if most > 0 && !self.chores.walks.is_empty() {
            return self.walk();
        }
        for _ in 0..most {
            let Some((id, chore)) = first(&mut self.chores.left) else { break };
            self.do_chore(id, chore);
        }
        self.chores.pace.look(self.core.now.mono);
        for _ in 0..most.min(BEGIN) {
            let Some((id, chore)) = self.chores.next_paced() else { break };
            let ike = match chore {
                Chore::ChildDelete | Chore::ChildRekey => self.core.table.of_child(id),
                _ => Some(id),
            };
            self.do_chore(id, chore);
            for id in ike.into_iter().chain(ike.into_iter().flat_map(|old| self.core.table.successors(old))) {
                if self.core.table.get(id).is_some_and(IkeSa::is_at_work) {
                    self.chores.pace.begin(id, self.core.now.mono);
                }
            }
        }
    }

    fn do_chore(&mut self, id: u32, chore: Chore) {
        match chore {
            Chore::Close => self.touch(id, close::close),
            Chore::Leave => self.touch(id, |core, sa| {
                if sa.established().is_some() && sa.window.flight.is_none() {
                    ike_delete::start(core, sa);
                }
                close::leave(core, sa);
            }),
            Chore::Rekey => self.touch(id, |core, sa| {
                if sa.is_up() {
                    enqueue(core, sa, Job::IkeRekey);
                }
            }),
            Chore::Reauthenticate => self.reauthenticate(id),
            Chore::ReauthenticateWithin(seconds) => {
                self.touch(id, |core, sa| establish::reauthenticate_within(core, sa, seconds));
            }
            Chore::AddressesChanged => self.touch(id, mobike::addresses_changed),
            Chore::UndoStart { children, goes_on } => self.undo_start(id, &children, goes_on),
            Chore::ChildDelete => self.with_child(id, |core, sa| {
                if sa.established().is_some() {
                    enqueue(core, sa, Job::ChildDelete(id));
                } else {
                    child::remove(core, sa, id, child::Farewell::Closed);
                }
            }),
            Chore::ChildRekey => self.with_child(id, |core, sa| enqueue(core, sa, Job::ChildRekey(id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Command, Event, Now, Output};
    use policy::{Connection, PeerAddr, Snapshot};

    /// Whoever ends or rekeys all of very many looks at a step of them at a time, and those that come meanwhile are not
    /// meant.
    #[test]
    fn very_many_are_looked_for_in_steps() {
        let many = u32::try_from(2 * STEP + 10).unwrap();
        let remote_addrs = vec![PeerAddr::Name("peer.cygnet.test".to_owned())];
        let settings = policy::Settings { reuse_ikesa: false, ..Default::default() };
        let connection = Arc::new(Connection { remote_addrs, ..Connection::named("c") });
        let snapshot =
            Snapshot { connections: vec![connection], settings: Arc::new(settings), ..Snapshot::default() };
        let rng = crypto::Rng::from_seed([7; 32]);
        let now = Now::default();
        let mut engine = Engine::new(now, rng, Arc::new(snapshot), crate::Shard::default());
        let start = |engine: &mut Engine, i: u32| {
            let id = CommandId(i.into());
            engine.command(now, Command::Initiate { id, ike: Some("c".to_owned()), child: None });
        };
        (0..many).for_each(|i| start(&mut engine, i));
        while engine.poll().is_some() {}
        assert_eq!(engine.len(), usize::try_from(many).unwrap());
        let (id, filter) = (CommandId(1 << 40), Filter::default());
        engine.command(now, Command::Rekey { id, filter, reauth: false });
        start(&mut engine, many);
        let mut told = Vec::new();
        for step in 1..=3 {
            assert_eq!(engine.next_wake(), Some(now.mono));
            engine.wake(now);
            while let Some(output) = engine.poll() {
                if let Output::Tell(Event::CommandDone { id: done, matches, error, .. }) = output {
                    told.push((step, done, matches, error));
                }
            }
        }
        assert_eq!(told, [(3, id, many, None)]);
        let (mut counted, mut after) = (Vec::new(), None);
        loop {
            let tally = engine.count_after(&Filter::default(), after);
            counted.push(tally.count);
            after = tally.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(counted, [STEP, STEP, 11]);
    }
}
