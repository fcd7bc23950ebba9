//! Work on very many IKE_SAs at once: it is done a slice at a time, so that other inputs have their turn.
use crate::child;
use crate::engine::Engine;
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

/// What is left to be done, in order; numbers of IKE_SAs or of CHILD_SAs.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    left: VecDeque<(std::vec::IntoIter<u32>, Chore)>,
}

impl Chores {
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next one, if any.
    fn next(&mut self) -> Option<(u32, Chore)> {
        while let Some((ids, chore)) = self.left.front_mut() {
            let found = ids.next().map(|id| (id, chore.clone()));
            if ids.len() == 0 {
                self.left.pop_front();
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

impl Engine {
    /// Does this with all of them: the first slice now, more at every [`wake`](Self::wake).
    pub(crate) fn set_about(&mut self, ids: Vec<u32>, chore: Chore) {
        self.chores.left.push_back((ids.into_iter(), chore));
        self.work_off(crate::engine::SLICE);
    }

    /// Goes on with what is left, up to so many SAs.
    pub(crate) fn work_off(&mut self, most: usize) {
        for _ in 0..most {
            let Some((id, chore)) = self.chores.next() else { return };
            self.do_chore(id, chore);
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
