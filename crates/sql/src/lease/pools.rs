//! The pools as a transaction finds them.
use super::read::{Ahead, Spare};
use crate::connection::{Connection, Error};
use crate::value::address;
use std::collections::HashMap;
use std::net::IpAddr;

/// A pool.
pub(super) struct PoolDef {
    pub(super) id: i64,
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    /// Seconds; 0: forever.
    pub(super) timeout: i64,
    /// First address that has no row, where rows come as they are needed.
    pub(super) next: Option<IpAddr>,
    /// This transaction has changed it.
    pub(super) moved: bool,
    /// Another pool has some of its addresses.
    pub(super) overlapped: bool,
    /// Rows that nobody had.
    pub(super) unused: Spare,
    /// Rows whose time is over.
    pub(super) expired: Spare,
    /// What is known of the addresses without rows.
    pub(super) ahead: Ahead,
}

/// Reads all pools.
pub(super) async fn read(connection: &mut Connection) -> Result<HashMap<String, PoolDef>, Error> {
    let rows = connection
        .rows(
            "SELECT p.name, CAST(p.id AS BIGINT), p.start, p.\"end\", CAST(p.timeout AS BIGINT), c.next \
             FROM pools p LEFT JOIN cygnet_pools c ON c.pool = p.id AND c.name = p.name AND c.start = p.start",
            &[],
        )
        .await?;
    let mut pools = HashMap::new();
    for row in rows {
        let next = row.octets(5)?;
        let next = if next.is_empty() { None } else { Some(address(&next)?) };
        let pool = PoolDef {
            id: row.int(1)?,
            start: address(&row.octets(2)?)?,
            end: address(&row.octets(3)?)?,
            timeout: row.int(4)?,
            next,
            moved: false,
            overlapped: false,
            unused: Spare::default(),
            expired: Spare::default(),
            ahead: Ahead::default(),
        };
        pools.insert(row.text(0)?, pool);
    }
    find_overlaps(&mut pools);
    Ok(pools)
}

/// One sweep over the ranges ordered by their first address.
fn find_overlaps(pools: &mut HashMap<String, PoolDef>) {
    let mut ranges: Vec<&mut PoolDef> = pools.values_mut().collect();
    ranges.sort_by_key(|pool| pool.start);
    // The range so far that reaches furthest, and where it is.
    let mut furthest: Option<(IpAddr, usize)> = None;
    for at in 0..ranges.len() {
        let (before, rest) = ranges.split_at_mut(at);
        let Some(pool) = rest.first_mut() else { break };
        if let Some((end, index)) = furthest
            && end.is_ipv4() == pool.start.is_ipv4()
            && pool.start <= end
        {
            pool.overlapped = true;
            if let Some(other) = before.get_mut(index) {
                other.overlapped = true;
            }
        }
        if furthest.is_none_or(|(end, _)| end.is_ipv4() != pool.end.is_ipv4() || pool.end > end) {
            furthest = Some((pool.end, at));
        }
    }
}
