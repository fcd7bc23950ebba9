//! Who wants which policy. The kernel has one of each name, so of several that CHILD_SAs and traps want by one name
//! the best is installed: the one with the lowest priority, and of these the newest. When it goes, the next takes its
//! place in one step, so that a rekeying leaves no gap and a trap is back when its CHILD_SA goes.
use linux::xfrm::{Policy, PolicyId};
use std::collections::{BTreeMap, BTreeSet};

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Child(u32),
    Shunt(u32),
}

/// What the kernel is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Put(Policy),
    Delete(PolicyId),
}

#[derive(Debug)]
struct Wish {
    owner: Owner,
    /// Larger is newer.
    age: u64,
    policy: Policy,
}

/// All wishes.
#[derive(Debug, Default)]
pub(super) struct Book {
    wishes: BTreeMap<PolicyId, Vec<Wish>>,
    /// The names each owner has wishes by.
    owned: BTreeMap<Owner, Vec<PolicyId>>,
    ages: u64,
}

impl Book {
    /// From now on `owner` wants just these.
    pub(super) fn set(&mut self, owner: Owner, policies: &[Policy]) -> Vec<Change> {
        self.ages = self.ages.saturating_add(1);
        let wanted: BTreeMap<PolicyId, Policy> = policies.iter().map(|p| (p.id, *p)).collect();
        let names = policies.iter().map(|p| p.id).chain(self.owned.remove(&owner).unwrap_or_default());
        let mut seen = BTreeSet::new();
        let names: Vec<PolicyId> = names.filter(|id| seen.insert(*id)).collect();
        if !wanted.is_empty() {
            self.owned.insert(owner, wanted.keys().copied().collect());
        }
        let mut changes = Vec::new();
        for id in names {
            let wishes = self.wishes.entry(id).or_default();
            let before = best(wishes);
            wishes.retain(|wish| wish.owner != owner);
            if let Some(policy) = wanted.get(&id) {
                wishes.push(Wish { owner, age: self.ages, policy: *policy });
            }
            match best(wishes) {
                Some(after) if Some(after) != before => changes.push(Change::Put(after)),
                Some(_) => {}
                None => {
                    self.wishes.remove(&id);
                    changes.extend(before.map(|_| Change::Delete(id)));
                }
            }
        }
        changes
    }

    /// `owner` wants nothing any more.
    pub(super) fn clear(&mut self, owner: Owner) -> Vec<Change> {
        self.set(owner, &[])
    }
}

fn best(wishes: &[Wish]) -> Option<Policy> {
    wishes
        .iter()
        .min_by_key(|wish| (wish.policy.priority, std::cmp::Reverse(wish.age)))
        .map(|wish| wish.policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux::xfrm::{Action, Direction, Mode, Protocol, Selector, Template};

    fn policy(net: &str, priority: u32, spi: u32) -> Policy {
        let selector = Selector::between(net.parse().unwrap(), "10.2.0.0/16".parse().unwrap());
        let end = "192.0.2.1".parse().unwrap();
        let template = Template {
            source: end,
            destination: end,
            protocol: Protocol::Esp,
            spi,
            reqid: 1,
            mode: Mode::Tunnel,
            compression: None,
        };
        Policy {
            id: PolicyId { direction: Direction::Out, selector, mark: (0, 0), if_id: 0 },
            priority,
            action: Action::Allow(Some(template)),
            icmp: false,
            offload: 0,
        }
    }

    #[test]
    fn a_rekeying_replaces_in_place_and_a_trap_comes_back() {
        let mut book = Book::default();
        let (trap, old, new) =
            (policy("10.1.0.0/16", 11, 0), policy("10.1.0.0/16", 10, 1), policy("10.1.0.0/16", 10, 2));
        assert_eq!(book.set(Owner::Shunt(1), &[trap]), [Change::Put(trap)]);
        assert_eq!(book.set(Owner::Child(1), &[old]), [Change::Put(old)]);
        assert_eq!(book.set(Owner::Child(2), &[new]), [Change::Put(new)]);
        assert_eq!(book.clear(Owner::Child(1)), []);
        assert_eq!(book.clear(Owner::Child(2)), [Change::Put(trap)]);
        assert_eq!(book.clear(Owner::Shunt(1)), [Change::Delete(trap.id)]);
        assert_eq!(book.clear(Owner::Shunt(1)), []);
    }

    #[test]
    fn the_newer_generation_may_go_first() {
        let mut book = Book::default();
        let (old, new) = (policy("10.1.0.0/16", 10, 1), policy("10.1.0.0/16", 10, 2));
        book.set(Owner::Child(1), &[old]);
        book.set(Owner::Child(2), &[new]);
        assert_eq!(book.clear(Owner::Child(2)), [Change::Put(old)]);
        assert_eq!(book.clear(Owner::Child(1)), [Change::Delete(old.id)]);
    }

    #[test]
    fn other_selectors_than_before_replace_the_old_ones() {
        let mut book = Book::default();
        let (a, b, c) =
            (policy("10.1.0.0/16", 1, 1), policy("10.3.0.0/16", 1, 1), policy("10.4.0.0/16", 1, 1));
        book.set(Owner::Child(1), &[a, b]);
        assert_eq!(book.set(Owner::Child(1), &[b, c]), [Change::Put(c), Change::Delete(a.id)]);
    }
}
