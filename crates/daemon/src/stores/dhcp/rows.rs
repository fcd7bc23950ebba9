//! Who holds what: leases in use, counted by IKE_SA.
use super::Who;
use dhcp::{Lease, LeaseId};
use policy::Identity;
use pool::LeaseRow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A lease in use.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: LeaseId,
    pub(super) who: Who,
    lease: Lease,
    /// IKE_SAs that hold it: two during a reauthentication.
    holds: u32,
    /// Unix seconds.
    since: u64,
}

impl Row {
    pub(super) fn new(id: LeaseId, who: Who, lease: Lease, since: u64) -> Self {
        Self { id, who, lease, holds: 1, since }
    }
}

/// What giving back led to.
pub(super) enum Back {
    /// It was nobody's, or another's.
    Unknown,
    /// Others hold it still, or it was lost before.
    Counted,
    /// Nobody holds it any more.
    Last(Box<Row>),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: BTreeMap<Ipv4Addr, Row>,
    by_id: BTreeMap<LeaseId, Ipv4Addr>,
    /// Holders of leases that were lost: what they give back is gone already, and may be another's.
    lost: BTreeMap<(Identity, Ipv4Addr), u32>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn first(&self) -> Option<Ipv4Addr> {
        self.rows.keys().next().copied()
    }

    pub(super) fn insert(&mut self, address: Ipv4Addr, row: Row) {
        self.by_id.insert(row.id, address);
        self.rows.insert(address, row);
    }

    pub(super) fn lease(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.rows.get(&address).map(|row| &row.lease)
    }

    pub(super) fn who(&self, id: LeaseId) -> Option<&Who> {
        self.by_id.get(&id).and_then(|address| self.rows.get(address)).map(|row| &row.who)
    }

    pub(super) fn renewed(&mut self, id: LeaseId, lease: Lease) {
        if let Some(row) = self.by_id.get(&id).and_then(|address| self.rows.get_mut(address)) {
            row.lease = lease;
        }
    }

    /// One more IKE_SA of this client holds an address that it has.
    pub(super) fn share(&mut self, identity: &Identity, fits: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let own = |(address, row): &(&Ipv4Addr, &mut Row)| row.who.identity == *identity && fits(**address);
        let (address, row) = self.rows.iter_mut().find(own)?;
        row.holds = row.holds.saturating_add(1);
        Some(*address)
    }

    /// One IKE_SA less.
    pub(super) fn give_back(&mut self, identity: &Identity, address: Ipv4Addr) -> Back {
        let key = (identity.clone(), address);
        if let Some(holds) = self.lost.get_mut(&key) {
            *holds = holds.saturating_sub(1);
            if *holds == 0 {
                self.lost.remove(&key);
            }
            return Back::Counted;
        }
        let Some(row) = self.rows.get_mut(&address).filter(|row| row.who.identity == *identity) else {
            return Back::Unknown;
        };
        row.holds = row.holds.saturating_sub(1);
        if row.holds > 0 {
            return Back::Counted;
        }
        match self.rows.remove(&address) {
            Some(row) => {
                self.by_id.remove(&row.id);
                Back::Last(Box::new(row))
            }
            None => Back::Unknown,
        }
    }

    /// The server took it back.
    pub(super) fn lose(&mut self, id: LeaseId, address: Ipv4Addr) -> Option<Row> {
        self.by_id.remove(&id)?;
        let row = self.rows.remove(&address)?;
        let holds = self.lost.entry((row.who.identity.clone(), address)).or_default();
        *holds = holds.saturating_add(row.holds);
        Some(row)
    }

    /// In order of address; `clocks` are milliseconds of the monotonic clock and Unix seconds.
    pub(super) fn list(&self, clocks: (u64, u64)) -> impl Iterator<Item = LeaseRow> {
        let (mono, wall) = clocks;
        self.rows.iter().map(move |(address, row)| LeaseRow {
            address: (*address).into(),
            prefix: 32,
            identity: row.who.identity.clone(),
            online: true,
            since: Some(row.since),
            expires: row.lease.expires.map(|at| wall.saturating_add(at.saturating_sub(mono) / 1000)),
        })
    }
}
