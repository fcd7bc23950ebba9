//! Commands that are not done yet, and what they wait for.
//!
//! There may be as many as IKE_SAs: whatever happens to one of these, only who waits for it is looked at.
use crate::core::Core;
use crate::io::{CommandId, Event};
use crate::sa::IkeSa;
use std::collections::{BTreeMap, BTreeSet};

/// What a command waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// A child of that name of this IKE_SA comes up; `None`: the IKE_SA itself.
    Up { ike: u32, child: Option<String> },
    /// A trap or shunt is installed or removed.
    Policy(u32),
    /// The engine is empty.
    Empty,
}

/// One that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Ike(u32),
    Child(u32),
    Policy(u32),
    Engine,
}

/// A command that waits.
#[derive(Debug, Clone)]
enum Waiting {
    /// See [`Want::Up`].
    Up { ike: u32, child: Option<String> },
    /// So many of so many are still there; `open`: more may be named.
    Gone { left: u32, matches: u32, open: bool },
    /// For nothing but its thing.
    Once,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    list: BTreeMap<CommandId, Waiting>,
    /// Who waits for what.
    by_thing: BTreeSet<(Thing, CommandId)>,
    /// How many commands were looked at.
    #[cfg(test)]
    looked_at: std::cell::Cell<usize>,
}

impl Commands {
    pub(crate) fn add(&mut self, id: CommandId, want: Want) {
        let (waiting, thing) = match want {
            Want::Up { ike, child } => (Waiting::Up { ike, child }, Thing::Ike(ike)),
            Want::Policy(policy) => (Waiting::Once, Thing::Policy(policy)),
            Want::Empty => (Waiting::Once, Thing::Engine),
        };
        self.by_thing.insert((thing, id));
        self.list.insert(id, waiting);
    }

    /// A command waits for the end of these, too, see [`complete`](Self::complete).
    pub(crate) fn expect_end(&mut self, id: CommandId, ikes: &[u32], children: &[u32]) {
        let ikes = ikes.iter().copied().map(Thing::Ike);
        let mut more = 0u32;
        for thing in ikes.chain(children.iter().copied().map(Thing::Child)) {
            more = more.saturating_add(u32::from(self.by_thing.insert((thing, id))));
        }
        let none = Waiting::Gone { left: 0, matches: 0, open: true };
        if let Waiting::Gone { left, matches, .. } = self.list.entry(id).or_insert(none) {
            *left = left.saturating_add(more);
            *matches = matches.saturating_add(more);
        }
    }

    /// Nothing more is added to what a command waits for the end of; how many it were, if all are gone already.
    fn complete(&mut self, id: CommandId) -> Option<u32> {
        let Some(Waiting::Gone { left, matches, open }) = self.list.get_mut(&id) else { return None };
        *open = false;
        (*left == 0).then_some(*matches)
    }

    /// Whether any command wants to see the log of an IKE_SA.
    pub(crate) fn watches(&self, ike: u32) -> bool {
        !self.by_thing.is_empty() && self.of(Thing::Ike(ike)).next().is_some()
    }

    /// Commands that want to see the log of an IKE_SA.
    pub(crate) fn watchers(&self, ike: u32) -> Vec<CommandId> {
        self.of(Thing::Ike(ike)).map(|(id, _)| id).collect()
    }

    /// Commands that wait for this.
    fn of(&self, thing: Thing) -> impl Iterator<Item = (CommandId, &Waiting)> {
        let ids = self.by_thing.range((thing, CommandId(0))..=(thing, CommandId(u64::MAX)));
        ids.filter_map(|(_, id)| {
            #[cfg(test)]
            self.looked_at.set(self.looked_at.get() + 1);
            self.list.get(id).map(|waiting| (*id, waiting))
        })
    }

    /// Commands that wait for an IKE_SA or a child of it to come up, with the child's name.
    fn ups(&self, ike: u32) -> impl Iterator<Item = (CommandId, Option<&str>)> {
        self.of(Thing::Ike(ike)).filter_map(|(id, waiting)| match waiting {
            Waiting::Up { child, .. } => Some((id, child.as_deref())),
            Waiting::Gone { .. } | Waiting::Once => None,
        })
    }

    fn forget(&mut self, id: CommandId) {
        if let Some(Waiting::Up { ike, .. }) = self.list.remove(&id) {
            self.by_thing.remove(&(Thing::Ike(ike), id));
        }
    }

    /// A thing is gone; commands that waited for nothing else, with the number of what they waited for.
    fn gone(&mut self, thing: Thing) -> Vec<(CommandId, u32)> {
        let waited: Vec<CommandId> = self
            .of(thing)
            .filter(|(_, waiting)| matches!(waiting, Waiting::Gone { .. }))
            .map(|(id, _)| id)
            .collect();
        let mut over = Vec::new();
        for id in waited {
            self.by_thing.remove(&(thing, id));
            if let Some(Waiting::Gone { left, matches, open }) = self.list.get_mut(&id) {
                *left = left.saturating_sub(1);
                if *left == 0 && !*open {
                    over.push((id, *matches));
                }
            }
        }
        over
    }

    /// Who waited for one IKE_SA now waits for another; `all`: also who waits for its end.
    fn replace(&mut self, old: u32, new: u32, all: bool) {
        let hit: Vec<CommandId> = self
            .of(Thing::Ike(old))
            .filter(|(_, waiting)| all || matches!(waiting, Waiting::Up { .. }))
            .map(|(id, _)| id)
            .collect();
        for id in hit {
            self.by_thing.remove(&(Thing::Ike(old), id));
            let waits_already = !self.by_thing.insert((Thing::Ike(new), id));
            match self.list.get_mut(&id) {
                Some(Waiting::Up { ike, .. }) => *ike = new,
                Some(Waiting::Gone { left, .. }) if waits_already => *left = left.saturating_sub(1),
                Some(Waiting::Gone { .. } | Waiting::Once) | None => {}
            }
        }
    }

    /// Who waits for this and for nothing else; they wait no longer.
    fn take(&mut self, thing: Thing) -> Vec<CommandId> {
        let hit: Vec<CommandId> = self.of(thing).map(|(id, _)| id).collect();
        for id in &hit {
            self.by_thing.remove(&(thing, *id));
        }
        hit
    }
}

impl Core {
    /// A command is done.
    pub(crate) fn done(&mut self, id: CommandId, matches: u32, done: u32, error: Option<String>) {
        self.commands.forget(id);
        self.tell(Event::CommandDone { id, matches, done, error });
    }

    /// All whose end a command waits for are named.
    pub(crate) fn expects_no_more(&mut self, id: CommandId) {
        if let Some(matches) = self.commands.complete(id) {
            self.done(id, matches, matches, None);
        }
    }

    /// A child came into service.
    pub(crate) fn child_up(&mut self, sa: &IkeSa, child: u32) {
        let Some(name) = sa.children.get(&child).map(|c| c.sa.config.name.as_str()) else { return };
        for id in self.waiting_for_child(sa.id, name) {
            self.done(id, 1, 1, None);
        }
    }

    fn waiting_for_child(&self, ike: u32, name: &str) -> Vec<CommandId> {
        self.commands.ups(ike).filter(|(_, child)| *child == Some(name)).map(|(id, _)| id).collect()
    }

    /// A child could not be brought up.
    pub(crate) fn child_failed(&mut self, ike: u32, name: &str) {
        for id in self.waiting_for_child(ike, name) {
            self.done(id, 1, 0, Some(format!("establishing CHILD_SA '{name}' failed")));
        }
    }

    /// An IKE_SA is established.
    pub(crate) fn ike_up(&mut self, sa: &IkeSa) {
        let hit: Vec<CommandId> =
            self.commands.ups(sa.id).filter(|(_, child)| child.is_none()).map(|(id, _)| id).collect();
        for id in hit {
            self.done(id, 1, 1, None);
        }
    }

    /// A child is gone.
    pub(crate) fn child_gone(&mut self, child: u32) {
        self.table.child_gone(child);
        self.shrink(Thing::Child(child));
    }

    /// An IKE_SA is gone, also by failing to come up.
    pub(crate) fn ike_gone(&mut self, ike: u32, name: &str) {
        let hit: Vec<(CommandId, String)> = self
            .commands
            .ups(ike)
            .map(|(id, child)| match child {
                Some(c) => (id, format!("establishing CHILD_SA '{c}' failed")),
                None => (id, format!("establishing IKE_SA '{name}' failed")),
            })
            .collect();
        for (id, error) in hit {
            self.done(id, 1, 0, Some(error));
        }
        self.shrink(Thing::Ike(ike));
    }

    fn shrink(&mut self, thing: Thing) {
        for (id, matches) in self.commands.gone(thing) {
            self.done(id, matches, matches, None);
        }
    }

    /// Commands that wait for something to come up go on with the IKE_SA that reauthentication made.
    pub(crate) fn ups_replaced(&mut self, old: u32, new: u32) {
        self.commands.replace(old, new, false);
    }

    /// Commands go on with the successor of a rekeyed IKE_SA.
    pub(crate) fn ike_replaced(&mut self, old: u32, new: u32) {
        self.commands.replace(old, new, true);
    }

    /// A trap or shunt was installed or removed, or that failed.
    pub(crate) fn policy_done(&mut self, policy: u32, error: Option<String>) {
        for id in self.commands.take(Thing::Policy(policy)) {
            let done = u32::from(error.is_none());
            self.done(id, 1, done, error.clone());
        }
    }

    /// The engine is empty.
    pub(crate) fn all_gone(&mut self) {
        for id in self.commands.take(Thing::Engine) {
            self.done(id, 0, 0, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = 3_000;

    fn up(ike: u32, child: Option<&str>) -> Want {
        Want::Up { ike, child: child.map(str::to_owned) }
    }

    /// A command that waits for the end of these.
    fn ends(commands: &mut Commands, id: CommandId, ikes: &[u32], children: &[u32]) {
        commands.expect_end(id, ikes, children);
        assert_eq!(commands.complete(id), None);
    }

    /// As many commands as IKE_SAs, and one for the end of all.
    fn many() -> Commands {
        let mut commands = Commands::default();
        for n in 0..ALL {
            commands.add(CommandId(n.into()), up(n, Some("net")));
        }
        ends(&mut commands, CommandId(ALL.into()), &(0..ALL).collect::<Vec<_>>(), &[]);
        commands
    }

    #[test]
    fn nobody_is_looked_at_in_vain() {
        let mut commands = many();
        assert_eq!(commands.watchers(7), [CommandId(7), CommandId(ALL.into())]);
        assert!(commands.watches(8) && !commands.watches(ALL));
        assert_eq!(commands.ups(9).collect::<Vec<_>>(), [(CommandId(9), Some("net"))]);
        commands.forget(CommandId(10));
        assert_eq!(commands.ups(10).count(), 0);
        commands.replace(11, ALL + 1, true);
        assert_eq!(commands.watchers(11), [CommandId(0); 0]);
        assert_eq!(commands.ups(ALL + 1).collect::<Vec<_>>(), [(CommandId(11), Some("net"))]);
        assert!(commands.gone(Thing::Ike(12)).is_empty());
        assert!(commands.looked_at.get() <= 16, "{}", commands.looked_at.get());
    }

    #[test]
    fn who_waits_for_the_end_of_many_waits_for_the_last() {
        let mut commands = Commands::default();
        let (first, second) = (CommandId(1), CommandId(2));
        ends(&mut commands, first, &[1, 2, 3], &[1]);
        ends(&mut commands, second, &[2], &[]);
        assert_eq!(commands.gone(Thing::Ike(1)), []);
        assert_eq!(commands.gone(Thing::Ike(1)), []);
        assert_eq!(commands.gone(Thing::Ike(2)), [(second, 1)]);
        // Its successor is one of those that it waits for already, or a new one.
        commands.forget(second);
        ends(&mut commands, second, &[3, 4], &[]);
        commands.replace(4, 3, true);
        commands.replace(3, 5, true);
        assert_eq!(commands.gone(Thing::Ike(3)), []);
        assert_eq!(commands.gone(Thing::Ike(5)), [(second, 2)]);
        assert_eq!(commands.gone(Thing::Child(1)), [(first, 4)]);
        commands.forget(first);
        commands.forget(second);
        assert!(commands.list.is_empty() && commands.by_thing.is_empty());
    }

    #[test]
    fn nothing_is_over_before_all_are_named() {
        let mut commands = Commands::default();
        let id = CommandId(1);
        commands.expect_end(id, &[1], &[]);
        assert_eq!(commands.gone(Thing::Ike(1)), []);
        commands.expect_end(id, &[2, 3], &[]);
        assert_eq!(commands.gone(Thing::Ike(2)), []);
        assert_eq!(commands.complete(id), None);
        assert_eq!(commands.gone(Thing::Ike(3)), [(id, 3)]);
        commands.forget(id);
        commands.expect_end(id, &[4], &[]);
        assert_eq!(commands.gone(Thing::Ike(4)), []);
        assert_eq!(commands.complete(id), Some(1));
    }

    #[test]
    fn reauthentication_takes_over_who_waits_for_a_start() {
        let mut commands = Commands::default();
        commands.add(CommandId(1), up(1, None));
        ends(&mut commands, CommandId(2), &[1], &[]);
        commands.replace(1, 2, false);
        assert_eq!(commands.watchers(2), [CommandId(1)]);
        assert_eq!(commands.gone(Thing::Ike(1)), [(CommandId(2), 1)]);
    }
}
