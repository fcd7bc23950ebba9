//! Leases: who has, had or keeps which address.
use super::Admin;
use crate::connection::{Connection, Error, Row, Value};
use crate::value::{address, identity, octets, stored};
use policy::Identity;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Which leases to list; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseFilter {
    /// Of this pool.
    pub pool: Option<String>,
    /// Of this identity.
    pub identity: Option<Identity>,
    /// Of this address.
    pub address: Option<IpAddr>,
    /// In this state.
    pub state: Option<LeaseState>,
    /// In use at this time (Unix seconds).
    pub at: Option<u64>,
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseState {
    /// In use.
    Online,
    /// Not in use and kept for who had it, for some time or (pools without timeout) for good.
    Valid,
    /// Over: others may have the address.
    Expired,
}

/// A lease, of now or of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The pool.
    pub pool: String,
    /// The address.
    pub address: IpAddr,
    /// Who has or had it.
    pub identity: Identity,
    /// How it stands.
    pub state: LeaseState,
    /// Since when it is or was in use (Unix seconds); none: it never was.
    pub acquired: Option<u64>,
    /// Since when it is not in use (Unix seconds).
    pub released: Option<u64>,
    /// When it ends or ended for good (Unix seconds), where it does.
    pub expires: Option<u64>,
    /// Gateways that use it now; none for one that stock strongSwan uses.
    pub gateways: Vec<String>,
}

impl Admin {
    /// Leases of now and, with the history, of the past, in order of pool, address and time; at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn leases(&mut self, filter: &LeaseFilter, limit: usize) -> Result<Vec<Lease>, Error> {
        let now = (self.clock)();
        leases(&mut self.connection, filter, limit, now).await
    }

    /// Takes all its addresses from a gateway that is gone for good; returns how many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release_gateway(&mut self, gateway: &str) -> Result<u64, Error> {
        let now = (self.clock)();
        self.enter().await?;
        let outcome = crate::recovery::release_own(&mut self.connection, gateway, now, true).await;
        self.leave(outcome).await
    }
}

/// One statement for every filter: an empty one matches everything. `+ 0`: in order of address, not all of the pool
/// and then sorted.
macro_rules! list {
    ($lease:literal, $latest:literal, $id:literal, $and:literal) => {
        concat!(
            "SELECT p.name, a.address, CAST(i.type AS BIGINT), i.data, CAST(l.acquired AS BIGINT), ",
            "CAST(l.released AS BIGINT), CAST(p.timeout AS BIGINT), CAST(a.id AS BIGINT), CAST(",
            $latest,
            " AS BIGINT), CAST(",
            $id,
            " AS BIGINT) FROM pools p JOIN addresses a ON a.pool + 0 = p.id ",
            $lease,
            " JOIN identities i ON i.id = l.identity WHERE p.name = ? AND a.address >= ? AND (a.address > ? OR ",
            $id,
            " > ?) ",
            $and,
            "AND (? = 0 OR a.address = ?) AND (? < 0 OR (i.type = ? AND i.data = ?)) ",
            "AND (? < 0 OR (l.acquired <= ? AND (l.released = 0 OR l.released >= ?))) ORDER BY a.address, ",
            $id,
            " LIMIT ?"
        )
    };
}

/// Leases of now.
const CURRENT: &str = list!("JOIN addresses l ON l.id = a.id", "1", "a.id", "AND a.identity <> 0 ");

/// Leases of the past. One that has just ended is in both tables.
const PAST: &str = list!(
    "JOIN leases l ON l.address = a.id",
    "0",
    "l.id",
    "AND NOT (a.identity = l.identity AND a.acquired = l.acquired AND a.released = l.released) "
);

/// Rows read at a time.
const PAGE: usize = 4096;

/// One of the two lists of a pool's leases, page by page in order of address.
struct Pages<'a> {
    pool: &'a str,
    sql: &'static str,
    /// Address and number of the last row that was read.
    last: (Vec<u8>, i64),
    waiting: VecDeque<Lease>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(pool: &'a str, sql: &'static str) -> Self {
        Self { pool, sql, last: (Vec::new(), 0), waiting: VecDeque::new(), ended: false }
    }

    /// The address of the next lease; reads a page where none is left.
    async fn next(
        &mut self,
        connection: &mut Connection,
        filter: &LeaseFilter,
        now: u64,
    ) -> Result<Option<IpAddr>, Error> {
        while self.waiting.is_empty() && !self.ended {
            let wanted = filter.address.map(octets).unwrap_or_default();
            let (kind, data) = filter.identity.as_ref().map_or((-1, Vec::new()), stored);
            let at = Value::Int(filter.at.map_or(-1, whole));
            let values = [
                Value::Text(self.pool),
                Value::Octets(&self.last.0),
                Value::Octets(&self.last.0),
                Value::Int(self.last.1),
                Value::Int(i64::from(filter.address.is_some())),
                Value::Octets(&wanted),
                Value::Int(kind),
                Value::Int(kind),
                Value::Octets(&data),
                at,
                at,
                at,
                Value::count(PAGE),
            ];
            let rows = connection.rows(self.sql, &values).await?;
            self.ended = rows.len() < PAGE;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
            self.last = (last.octets(1)?, last.int(9)?);
            let part = (self.pool, first.octets(1)?, self.last.0.clone());
            let holders = if self.sql == CURRENT { holders(connection, part).await? } else { HashMap::new() };
            for row in &rows {
                let lease = read(row, &holders, now)?;
                if filter.state.is_none_or(|wanted| wanted == lease.state) {
                    self.waiting.push_back(lease);
                }
            }
        }
        Ok(self.waiting.front().map(|lease| lease.address))
    }
}

/// Leases that a filter lets through: pool by pool and address by address, those of the past first.
async fn leases(
    connection: &mut Connection,
    filter: &LeaseFilter,
    limit: usize,
    now: u64,
) -> Result<Vec<Lease>, Error> {
    let mut found = Vec::new();
    for row in connection.rows("SELECT name FROM pools ORDER BY name", &[]).await? {
        let name = row.text(0)?;
        if filter.pool.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let (mut past, mut current) = (Pages::new(&name, PAST), Pages::new(&name, CURRENT));
        while found.len() < limit {
            let before = past.next(connection, filter, now).await?;
            let present = current.next(connection, filter, now).await?;
            let earlier = match (before, present) {
                (Some(before), Some(present)) => before <= present,
                (before, _) => before.is_some(),
            };
            let next = if earlier { past.waiting.pop_front() } else { current.waiting.pop_front() };
            let Some(lease) = next else { break };
            found.push(lease);
        }
    }
    Ok(found)
}

/// The current leases of one pool that have been used, above `after`, in order of address. Costs what it returns.
pub(crate) async fn page(
    connection: &mut Connection,
    pool: &str,
    after: Option<IpAddr>,
    limit: usize,
    now: u64,
) -> Result<Vec<Lease>, Error> {
    let sql = "SELECT p.name, a.address, CAST(i.type AS BIGINT), i.data, CAST(a.acquired AS BIGINT), \
               CAST(a.released AS BIGINT), CAST(p.timeout AS BIGINT), CAST(a.id AS BIGINT), CAST(1 AS BIGINT) \
               FROM pools p JOIN addresses a ON a.pool + 0 = p.id JOIN identities i ON i.id = a.identity \
               WHERE p.name = ? AND a.address > ? AND a.identity <> 0 AND a.acquired > 0 \
               ORDER BY a.address LIMIT ?";
    let after = after.map(octets).unwrap_or_default();
    let limit = Value::Int(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = connection.rows(sql, &[Value::Text(pool), Value::Octets(&after), limit]).await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let holders = holders(connection, (pool, first.octets(1)?, last.octets(1)?)).await?;
    rows.iter().map(|row| read(row, &holders, now)).collect()
}

/// A row of either statement.
fn read(row: &Row, holders: &HashMap<i64, Vec<String>>, now: u64) -> Result<Lease, Error> {
    let id = row.int(7)?;
    let current = row.int(8)? != 0;
    let gateways = if current { holders.get(&id).cloned().unwrap_or_default() } else { Vec::new() };
    let (released, timeout) = (row.count(5)?, row.count(6)?);
    let online = current && (released == 0 || !gateways.is_empty());
    let expires = (!online && timeout > 0).then(|| released.saturating_add(timeout));
    let state = match expires {
        _ if online => LeaseState::Online,
        _ if !current => LeaseState::Expired,
        Some(end) if end <= now => LeaseState::Expired,
        _ => LeaseState::Valid,
    };
    Ok(Lease {
        pool: row.text(0)?,
        address: address(&row.octets(1)?)?,
        identity: identity(row.int(2)?, &row.octets(3)?),
        state,
        acquired: Some(row.count(4)?).filter(|time| *time > 0),
        // A row that was never used is released since second 1.
        released: Some(released).filter(|time| !online && *time > 1),
        expires,
        gateways,
    })
}

/// Which gateways use which address row of a pool, between two addresses.
async fn holders(
    connection: &mut Connection,
    (pool, first, last): (&str, Vec<u8>, Vec<u8>),
) -> Result<HashMap<i64, Vec<String>>, Error> {
    let sql = "SELECT CAST(h.address AS BIGINT), h.gateway FROM pools p JOIN addresses a ON a.pool + 0 = p.id \
               JOIN cygnet_holds h ON h.address = a.id AND h.identity = a.identity \
               WHERE p.name = ? AND a.address >= ? AND a.address <= ? ORDER BY h.gateway";
    let values = [Value::Text(pool), Value::Octets(&first), Value::Octets(&last)];
    let rows = connection.rows(sql, &values).await?;
    let mut holders: HashMap<i64, Vec<String>> = HashMap::new();
    for row in rows {
        holders.entry(row.int(0)?).or_default().push(row.text(1)?);
    }
    Ok(holders)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
