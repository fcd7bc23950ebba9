//! What may be given away, read for many clients together.
use super::Slot;
use super::pools::PoolDef;
use super::write::Writes;
use crate::connection::{Connection, Error, LIST, Row, Value};
use crate::value::{address, octets, plus};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

/// Addresses of one identity in one pool that are looked at.
const OWN: usize = 64;
/// Of the rows whose time is over, so many of those that have been over longest are considered.
const WINDOW: usize = 1024;

/// A row and who has or had it.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) slot: Slot,
    pub(super) address: IpAddr,
    pub(super) identity: i64,
    /// 0: in use.
    pub(super) released: i64,
    /// A gateway uses it.
    pub(super) held: bool,
    /// Somebody else uses this address from another pool.
    pub(super) elsewhere: bool,
}

impl Own {
    pub(super) fn online(&self) -> bool {
        self.held || self.released == 0
    }
}

/// Rows for anybody, read ahead in order of their numbers.
#[derive(Default)]
pub(super) struct Spare {
    rows: VecDeque<Own>,
    /// There are no more.
    all: bool,
}

impl Spare {
    pub(super) fn first(&self) -> Option<&Own> {
        self.rows.front()
    }

    pub(super) fn pop(&mut self) -> Option<Own> {
        self.rows.pop_front()
    }
}

/// What is known of the next addresses without rows.
#[derive(Default)]
pub(super) struct Ahead {
    /// Up to here.
    until: Option<IpAddr>,
    /// These have rows nevertheless.
    pub(super) made: HashSet<IpAddr>,
    /// Who uses them from other pools.
    pub(super) users: HashMap<IpAddr, Vec<i64>>,
}

macro_rules! used_elsewhere {
    () => {
        "SELECT 1 FROM addresses b WHERE b.address = a.address AND b.pool <> a.pool AND b.identity <> a.identity \
         AND b.identity <> 0 AND (b.released = 0 OR EXISTS \
         (SELECT 1 FROM cygnet_holds g WHERE g.address = b.id AND g.identity = b.identity))"
    };
}

macro_rules! select {
    ($($more:expr),*) => {
        concat!(
            "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), CAST(a.released AS BIGINT), ",
            $($more),*
        )
    };
}

macro_rules! own {
    ($elsewhere:expr) => {
        select!(
            "(SELECT COUNT(*) FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity), ",
            $elsewhere,
            " FROM addresses a WHERE a.pool = ? AND a.identity IN ({?}) ORDER BY a.identity, a.id LIMIT ? FOR UPDATE"
        )
    };
}

macro_rules! unused {
    ($and:expr) => {
        select!(
            "CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM addresses a WHERE a.pool = ? AND a.identity = 0",
            $and,
            " ORDER BY a.id LIMIT ? FOR UPDATE"
        )
    };
}

/// 1: never used. Of those there may be a million in the index, and what is reserved waits for its owner.
macro_rules! expired {
    ($and:expr) => {
        select!(
            "CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM addresses a WHERE a.id IN (SELECT id FROM \
             (SELECT a.id FROM addresses a WHERE a.pool = ? AND a.released > 1 AND a.released <= ? \
             AND a.identity <> 0 AND NOT EXISTS \
             (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity)",
            $and,
            " ORDER BY a.released LIMIT ?) longest) AND a.released > 1 AND a.released <= ? AND a.identity <> 0 \
             ORDER BY a.id LIMIT ? FOR UPDATE"
        )
    };
}

/// Addresses that identities have or had in a pool.
pub(super) async fn own(
    connection: &mut Connection,
    pool: &PoolDef,
    mut owners: Vec<i64>,
    into: &mut HashMap<(i64, i64), Vec<Own>>,
) -> Result<(), Error> {
    let sql = if pool.overlapped {
        own!(concat!("CAST(CASE WHEN EXISTS (", used_elsewhere!(), ") THEN 1 ELSE 0 END AS BIGINT)"))
    } else {
        own!("CAST(0 AS BIGINT)")
    };
    owners.sort_unstable();
    owners.dedup();
    let mut left = owners.as_slice();
    while !left.is_empty() {
        let some = left.get(..LIST).unwrap_or(left);
        let limit = some.len().saturating_mul(OWN);
        let mut values = vec![Value::Int(pool.id)];
        values.extend(some.iter().map(|owner| Value::Int(*owner)));
        values.push(Value::count(limit));
        let rows = connection.rows(sql, &values).await?;
        let mut last = None;
        for row in &rows {
            let own = own_row(row)?;
            last = Some(own.identity);
            let all = into.entry((pool.id, own.identity)).or_default();
            if all.len() < OWN {
                all.push(own);
            }
        }
        let done = match last.filter(|_| rows.len() >= limit) {
            None => some.len(),
            // Some have so many that not all were read: on with the last one, which may not be complete.
            Some(last) => {
                let complete = into.get(&(pool.id, last)).is_some_and(|all| all.len() >= OWN);
                if !complete {
                    into.remove(&(pool.id, last));
                }
                some.partition_point(|owner| *owner < last || complete && *owner == last)
            }
        };
        left = left.get(done..).unwrap_or_default();
    }
    Ok(())
}

/// Reads rows that nobody had, unless some are there.
pub(super) async fn unused(
    connection: &mut Connection,
    pool: &mut PoolDef,
    at_once: usize,
    writes: &Writes,
) -> Result<(), Error> {
    if pool.unused.first().is_some() || pool.unused.all {
        return Ok(());
    }
    let sql = if pool.overlapped {
        unused!(concat!(" AND NOT EXISTS (", used_elsewhere!(), ")"))
    } else {
        unused!("")
    };
    let limit = limit(at_once, writes);
    let rows = connection.rows(sql, &[Value::Int(pool.id), Value::count(limit)]).await?;
    keep(&mut pool.unused, &rows, limit, writes)
}

/// Reads rows whose time is over, unless some are there.
pub(super) async fn expired(
    connection: &mut Connection,
    pool: &mut PoolDef,
    at_once: usize,
    now: i64,
    writes: &Writes,
) -> Result<(), Error> {
    if pool.expired.first().is_some() || pool.expired.all || pool.timeout == 0 {
        return Ok(());
    }
    let sql = if pool.overlapped {
        expired!(concat!(" AND NOT EXISTS (", used_elsewhere!(), ")"))
    } else {
        expired!("")
    };
    let before = Value::Int(now.saturating_sub(pool.timeout));
    let limit = limit(at_once, writes);
    // What this transaction gives away is still there in what it reads.
    let window = Value::count(WINDOW.max(limit).saturating_add(writes.taken()));
    let values = [Value::Int(pool.id), before, window, before, Value::count(limit)];
    let rows = connection.rows(sql, &values).await?;
    keep(&mut pool.expired, &rows, limit, writes)
}

/// How many rows to read: what is needed besides those that are given away already.
fn limit(at_once: usize, writes: &Writes) -> usize {
    at_once.max(writes.taken()).min(LIST).saturating_add(writes.taken())
}

fn keep(spare: &mut Spare, rows: &[Row], limit: usize, writes: &Writes) -> Result<(), Error> {
    for row in rows {
        let row = own_row(row)?;
        if !writes.has(row.slot) {
            spare.rows.push_back(row);
        }
    }
    spare.all = rows.len() < limit || spare.rows.is_empty();
    Ok(())
}

/// Reads what there is to know of addresses from `from` on, unless it is known.
pub(super) async fn unmade(
    connection: &mut Connection,
    pool: &mut PoolDef,
    from: IpAddr,
    at_once: usize,
) -> Result<(), Error> {
    if pool.ahead.until.is_some_and(|until| from <= until) {
        return Ok(());
    }
    let more = u32::try_from(at_once.min(LIST)).unwrap_or(u32::MAX).saturating_sub(1);
    let until = plus(from, more).map_or(pool.end, |until| until.min(pool.end));
    let (first, last) = (octets(from), octets(until));
    let values = [Value::Octets(&first), Value::Octets(&last), Value::Int(pool.id)];
    // `+ 0`: that no database looks into the index of the pool first.
    let rows = connection
        .rows(
            "SELECT b.address, CAST(b.pool AS BIGINT), CAST(b.identity AS BIGINT) FROM addresses b \
             WHERE b.address >= ? AND b.address <= ? AND (b.pool + 0 = ? OR (b.identity <> 0 AND (b.released = 0 OR EXISTS \
             (SELECT 1 FROM cygnet_holds h WHERE h.address = b.id AND h.identity = b.identity))))",
            &values,
        )
        .await?;
    let mut ahead = Ahead { until: Some(until), ..Ahead::default() };
    for row in rows {
        let address = address(&row.octets(0)?)?;
        if row.int(1)? == pool.id {
            ahead.made.insert(address);
        } else {
            ahead.users.entry(address).or_default().push(row.int(2)?);
        }
    }
    pool.ahead = ahead;
    Ok(())
}

fn own_row(row: &Row) -> Result<Own, Error> {
    Ok(Own {
        slot: Slot::Row(row.int(0)?),
        address: address(&row.octets(1)?)?,
        identity: row.int(2)?,
        released: row.int(3)?,
        held: row.int(4)? > 0,
        elsewhere: row.int(5)? > 0,
    })
}
