//! Commands that are not done yet, and what they wait for.
use crate::core::Core;
use crate::io::{CommandId, Event};
use crate::sa::IkeSa;
use std::collections::{BTreeMap, BTreeSet};

/// What a command waits for.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// A child of that name of this IKE_SA comes up; `None`: the IKE_SA itself.
    Up { ike: u32, child: Option<String> },
    /// These IKE_SAs and CHILD_SAs go.
    Gone { ikes: BTreeSet<u32>, children: BTreeSet<u32>, matches: u32 },
    /// A trap or shunt is installed or removed.
    Policy(u32),
    /// The engine is empty.
    Empty,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    list: BTreeMap<CommandId, Want>,
}

impl Commands {
    pub(crate) fn add(&mut self, id: CommandId, want: Want) {
        self.list.insert(id, want);
    }

    /// Whether any command wants to see the log of an IKE_SA.
    pub(crate) fn watches(&self, ike: u32) -> bool {
        !self.list.is_empty() && !self.watchers(ike).is_empty()
    }

    /// Commands that want to see the log of an IKE_SA.
    pub(crate) fn watchers(&self, ike: u32) -> Vec<CommandId> {
        self.list
            .iter()
            .filter(|(_, w)| match w {
                Want::Up { ike: i, .. } => *i == ike,
                Want::Gone { ikes, .. } => ikes.contains(&ike),
                Want::Policy(_) | Want::Empty => false,
            })
            .map(|(id, _)| *id)
            .collect()
    }
}

impl Core {
    /// A command is done.
    pub(crate) fn done(&mut self, id: CommandId, matches: u32, done: u32, error: Option<String>) {
        self.commands.list.remove(&id);
        self.tell(Event::CommandDone { id, matches, done, error });
    }

    fn waiting_for(&self, f: impl Fn(&Want) -> bool) -> Vec<CommandId> {
        self.commands.list.iter().filter(|(_, w)| f(w)).map(|(id, _)| *id).collect()
    }

    /// A child came into service.
    pub(crate) fn child_up(&mut self, sa: &IkeSa, child: u32) {
        let Some(name) = sa.children.get(&child).map(|c| c.sa.config.name.clone()) else { return };
        let hit = self
            .waiting_for(|w| matches!(w, Want::Up { ike, child: Some(n) } if *ike == sa.id && *n == name));
        for id in hit {
            self.done(id, 1, 1, None);
        }
    }

    /// A child could not be brought up.
    pub(crate) fn child_failed(&mut self, ike: u32, name: &str) {
        let hit =
            self.waiting_for(|w| matches!(w, Want::Up { ike: i, child: Some(n) } if *i == ike && n == name));
        for id in hit {
            self.done(id, 1, 0, Some(format!("establishing CHILD_SA '{name}' failed")));
        }
    }

    /// An IKE_SA is established.
    pub(crate) fn ike_up(&mut self, sa: &IkeSa) {
        let hit = self.waiting_for(|w| matches!(w, Want::Up { ike, child: None } if *ike == sa.id));
        for id in hit {
            self.done(id, 1, 1, None);
        }
    }

    /// A child is gone.
    pub(crate) fn child_gone(&mut self, child: u32) {
        self.table.child_gone(child);
        self.shrink(None, Some(child));
    }

    /// An IKE_SA is gone, also by failing to come up.
    pub(crate) fn ike_gone(&mut self, ike: u32, name: &str) {
        let hit: Vec<(CommandId, Option<String>)> = self
            .commands
            .list
            .iter()
            .filter_map(|(id, w)| match w {
                Want::Up { ike: i, child } if *i == ike => Some((*id, child.clone())),
                Want::Up { .. } | Want::Gone { .. } | Want::Policy(_) | Want::Empty => None,
            })
            .collect();
        for (id, child) in hit {
            let error = match child {
                Some(c) => format!("establishing CHILD_SA '{c}' failed"),
                None => format!("establishing IKE_SA '{name}' failed"),
            };
            self.done(id, 1, 0, Some(error));
        }
        self.shrink(Some(ike), None);
    }

    fn shrink(&mut self, ike: Option<u32>, child: Option<u32>) {
        let mut over = Vec::new();
        for (id, w) in &mut self.commands.list {
            if let Want::Gone { ikes, children, matches } = w {
                let hit = ike.is_some_and(|i| ikes.remove(&i)) | child.is_some_and(|c| children.remove(&c));
                if hit && ikes.is_empty() && children.is_empty() {
                    over.push((*id, *matches));
                }
            }
        }
        for (id, matches) in over {
            self.done(id, matches, matches, None);
        }
    }

    /// Commands that wait for something to come up go on with the IKE_SA that reauthentication made.
    pub(crate) fn ups_replaced(&mut self, old: u32, new: u32) {
        for w in self.commands.list.values_mut() {
            match w {
                Want::Up { ike, .. } if *ike == old => *ike = new,
                Want::Up { .. } | Want::Gone { .. } | Want::Policy(_) | Want::Empty => {}
            }
        }
    }

    /// Commands go on with the successor of a rekeyed IKE_SA.
    pub(crate) fn ike_replaced(&mut self, old: u32, new: u32) {
        for w in self.commands.list.values_mut() {
            match w {
                Want::Up { ike, .. } if *ike == old => *ike = new,
                Want::Gone { ikes, .. } => {
                    if ikes.remove(&old) {
                        ikes.insert(new);
                    }
                }
                Want::Up { .. } | Want::Policy(_) | Want::Empty => {}
            }
        }
    }

    /// A trap or shunt was installed or removed, or that failed.
    pub(crate) fn policy_done(&mut self, policy: u32, error: Option<String>) {
        let hit = self.waiting_for(|w| matches!(w, Want::Policy(p) if *p == policy));
        for id in hit {
            let done = u32::from(error.is_none());
            self.done(id, 1, done, error.clone());
        }
    }

    /// The engine is empty.
    pub(crate) fn all_gone(&mut self) {
        for id in self.waiting_for(|w| matches!(w, Want::Empty)) {
            self.done(id, 0, 0, None);
        }
    }
}
