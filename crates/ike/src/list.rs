//! Listing IKE_SAs: all at once, or in slices that do not hold anything up.
use crate::chore::{Found, STEP};
use crate::engine::Engine;
use crate::io::{Filter, IkeView};
use crate::sa::IkeSa;
use policy::ChildSa;

/// A slice of the walk over all IKE_SAs.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Those that match, in the order of their unique ids.
    pub sas: Vec<IkeView>,
    /// Go on after this unique id; `None`: that was the last slice.
    pub next: Option<u32>,
}

/// A slice of the walk that only counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// CHILD_SAs that a command with this filter would mean where it names children, else IKE_SAs.
    pub count: usize,
    /// Go on after this unique id; `None`: that was the last slice.
    pub next: Option<u32>,
}

impl Engine {
    /// Counts those that a command with this filter would mean, in slices as [`list_after`](Self::list_after).
    #[must_use]
    pub fn count_after(&self, filter: &Filter, after: Option<u32>) -> Tally {
        let mut found = Found::default();
        if after.is_none() && self.is_quick(filter) {
            self.matching(filter).for_each(|sa| found.choose(sa, filter));
            return Tally { count: found.count(), next: None };
        }
        let (mut seen, mut last) = (0, None);
        for sa in self.core.table.range(after).take(STEP) {
            (seen, last) = (seen + 1, Some(sa.id));
            if matches(sa, filter) {
                found.choose(sa, filter);
            }
        }
        Tally { count: found.count(), next: last.filter(|_| seen == STEP) }
    }

    /// IKE_SAs that match, in the order of their unique ids, each with the children that match. Usage is what
    /// [`Command::Traffic`](crate::Command::Traffic) last reported.
    #[must_use]
    pub fn list(&self, filter: &Filter) -> Vec<IkeView> {
        self.list_after(filter, None, usize::MAX).sas
    }

    /// The same in slices: looks at no more than `most` IKE_SAs (at least one), which come after the unique id `after`.
    /// SAs may come and go between two slices; each that is there all the time is seen once.
    #[must_use]
    pub fn list_after(&self, filter: &Filter, after: Option<u32>, most: usize) -> Page {
        if let Some(found) = self.numbered(filter) {
            let found = found.filter(|sa| after.is_none_or(|after| after < sa.id));
            return Page { sas: found.and_then(|sa| view(sa, filter)).into_iter().collect(), next: None };
        }
        let mut walk = self.core.table.range(after);
        let mut page = Page::default();
        let mut last = None;
        for sa in walk.by_ref().take(most.max(1)) {
            last = Some(sa.id);
            page.sas.extend(view(sa, filter));
        }
        page.next = last.filter(|_| walk.next().is_some());
        page
    }

    /// Whom a filter names by number, if it does: found without a walk.
    fn numbered(&self, filter: &Filter) -> Option<Option<&IkeSa>> {
        let id = match (filter.ike_id, filter.child_id) {
            (Some(id), _) => Some(id),
            (None, Some(child)) => self.core.table.of_child(child),
            (None, None) => return None,
        };
        Some(id.and_then(|id| self.core.table.get(id)))
    }

    /// Few have to be looked at to find whom a filter names.
    pub(crate) fn is_quick(&self, filter: &Filter) -> bool {
        let table = &self.core.table;
        let named = filter.ike.as_ref().map(|name| table.count_named(name));
        self.numbered(filter).is_some() || named.unwrap_or_else(|| table.len()) <= STEP
    }

    /// IKE_SAs that match, themselves and by a child.
    pub(crate) fn matching(&self, filter: &Filter) -> impl Iterator<Item = &IkeSa> {
        let table = &self.core.table;
        let (one, named, all) = match (self.numbered(filter), &filter.ike) {
            (Some(one), _) => (one, None, None),
            (None, Some(name)) => (None, Some(table.named(name)), None),
            (None, None) => (None, None, Some(table.range(None))),
        };
        let found = one.into_iter().chain(named.into_iter().flatten()).chain(all.into_iter().flatten());
        found.filter(move |sa| matches(sa, filter))
    }
}

/// A child is of the name and number that a filter gives, if it gives any.
pub(crate) fn names(filter: &Filter, child: &ChildSa) -> bool {
    filter.child.as_ref().is_none_or(|name| *name == child.config.name)
        && filter.child_id.is_none_or(|id| id == child.id)
}

fn names_children(filter: &Filter) -> bool {
    filter.child.is_some() || filter.child_id.is_some()
}

pub(crate) fn matches(sa: &IkeSa, filter: &Filter) -> bool {
    filter.ike.as_ref().is_none_or(|name| *name == sa.conn.name)
        && filter.ike_id.is_none_or(|id| id == sa.id)
        && (!names_children(filter) || sa.children.values().any(|c| names(filter, &c.sa)))
}

/// An IKE_SA as it is listed, if it matches.
fn view(sa: &IkeSa, filter: &Filter) -> Option<IkeView> {
    if !matches(sa, filter) {
        return None;
    }
    let mut view = crate::view::ike(sa);
    view.children.retain(|c| names(filter, &c.sa));
    Some(view)
}
