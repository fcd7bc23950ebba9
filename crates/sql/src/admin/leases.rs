//! Leases: who has, had or keeps which address.
use super::Admin;
use crate::connection::{Connection, Error, Value};
use crate::value::{address, identity, octets, stored};
use policy::Identity;
use std::collections::HashMap;
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
        leases(&mut self.connection, filter, limit, true, now).await
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

/// One statement for every filter: an empty one matches everything.
macro_rules! select {
    ($past:literal) => {
        concat!(
            "SELECT p.name, a.address, CAST(i.type AS BIGINT), i.data, CAST(l.acquired AS BIGINT), ",
            "CAST(l.released AS BIGINT), CAST(p.timeout AS BIGINT), CAST(a.id AS BIGINT), ",
            "CAST(l.latest AS BIGINT) ",
            "FROM (SELECT id AS address, identity, acquired, released, 1 AS latest FROM addresses WHERE identity <> 0",
            $past,
            ") l JOIN addresses a ON a.id = l.address JOIN pools p ON p.id = a.pool ",
            "JOIN identities i ON i.id = l.identity ",
            "WHERE (? = '' OR p.name = ?) AND (? = 0 OR a.address = ?) AND (? < 0 OR (i.type = ? AND i.data = ?)) ",
            "AND (? < 0 OR (l.acquired <= ? AND (l.released = 0 OR l.released >= ?))) ",
            "ORDER BY p.name, a.address, l.acquired, l.latest LIMIT ? OFFSET ?"
        )
    };
}

/// Rows read at a time while looking for those in the wanted state.
const PAGE: usize = 4096;

/// Leases that a filter lets through.
pub(crate) async fn leases(
    connection: &mut Connection,
    filter: &LeaseFilter,
    limit: usize,
    past: bool,
    now: u64,
) -> Result<Vec<Lease>, Error> {
    let sql = if past {
        // A lease that has just ended is in both tables.
        select!(
            " UNION ALL SELECT e.address, e.identity, e.acquired, e.released, 0 AS latest FROM leases e WHERE NOT EXISTS \
             (SELECT 1 FROM addresses b WHERE b.id = e.address AND b.identity = e.identity AND \
             b.acquired = e.acquired AND b.released = e.released)"
        )
    } else {
        select!("")
    };
    let holders = holders(connection).await?;
    let pool = filter.pool.as_deref().unwrap_or_default();
    let wanted = filter.address.map(octets).unwrap_or_default();
    let by_address = i64::from(filter.address.is_some());
    let (kind, data) = filter.identity.as_ref().map_or((-1, Vec::new()), stored);
    let at = filter.at.map_or(-1, whole);
    let mut found = Vec::new();
    let mut offset: usize = 0;
    loop {
        let page = if filter.state.is_some() { PAGE } else { limit.saturating_sub(found.len()).min(PAGE) };
        let rows = connection
            .rows(
                sql,
                &[
                    Value::Text(pool),
                    Value::Text(pool),
                    Value::Int(by_address),
                    Value::Octets(&wanted),
                    Value::Int(kind),
                    Value::Int(kind),
                    Value::Octets(&data),
                    Value::Int(at),
                    Value::Int(at),
                    Value::Int(at),
                    Value::Int(i64::try_from(page).unwrap_or(i64::MAX)),
                    Value::Int(i64::try_from(offset).unwrap_or(i64::MAX)),
                ],
            )
            .await?;
        for row in &rows {
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
            let lease = Lease {
                pool: row.text(0)?,
                address: address(&row.octets(1)?)?,
                identity: identity(row.int(2)?, &row.octets(3)?),
                state,
                acquired: Some(row.count(4)?).filter(|time| *time > 0),
                // A row that was never used is released since second 1.
                released: Some(released).filter(|time| !online && *time > 1),
                expires,
                gateways,
            };
            if filter.state.is_none_or(|wanted| wanted == state) && found.len() < limit {
                found.push(lease);
            }
        }
        offset = offset.saturating_add(rows.len());
        if rows.len() < page || found.len() >= limit {
            return Ok(found);
        }
    }
}

/// Which gateways use which address row.
async fn holders(connection: &mut Connection) -> Result<HashMap<i64, Vec<String>>, Error> {
    let sql = "SELECT CAST(h.address AS BIGINT), h.gateway FROM cygnet_holds h \
               JOIN addresses a ON a.id = h.address AND a.identity = h.identity ORDER BY h.gateway";
    let mut holders: HashMap<i64, Vec<String>> = HashMap::new();
    for row in connection.rows(sql, &[]).await? {
        holders.entry(row.int(0)?).or_default().push(row.text(1)?);
    }
    Ok(holders)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
