//! Pools: add, replace, delete, resize, fill, purge, status.
use super::Admin;
use crate::connection::{Connection, Error, Value};
use crate::identities;
use crate::value::{address, after, octets, size};
use policy::Identity;
use std::net::IpAddr;

/// Address rows that [`Admin::fill`] makes at most.
pub const FILL_LIMIT: u128 = 1 << 20;

/// A pool to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// Its name, at most 190 characters.
    pub name: String,
    /// First address.
    pub start: IpAddr,
    /// Last address, of the same family.
    pub end: IpAddr,
    /// Seconds for which an address stays with who had it; 0: forever.
    pub timeout: u64,
}

/// A pool as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
    /// Seconds for which an address stays with who had it; 0: forever.
    pub timeout: u64,
    /// Addresses in it.
    pub size: u128,
    /// Addresses in use.
    pub online: u64,
    /// Addresses in use or kept for who had them.
    pub used: u64,
    /// Address rows that are not there yet: they are made as they are needed.
    pub unmade: u128,
}

/// A pool's row.
struct Found {
    id: i64,
    start: IpAddr,
    end: IpAddr,
    /// First address without a row, where rows are made as they are needed.
    next: Option<IpAddr>,
    lazy: bool,
}

impl Admin {
    /// Makes a pool from a range. Its size does not matter: rows of addresses come as they are needed.
    ///
    /// # Errors
    /// [`Error::Wrong`]: it exists, or the range is none. Else [`Error`] of the database.
    pub async fn add_pool(&mut self, pool: &NewPool) -> Result<(), Error> {
        check_range(pool.start, pool.end)?;
        self.enter().await?;
        let outcome = add(&mut self.connection, pool, true).await.map(|_| ());
        self.leave(outcome).await
    }

    /// Makes a pool from single addresses, each of them for one identity or for anybody; all of one family.
    ///
    /// # Errors
    /// As [`Admin::add_pool`]; also no address at all, two families, or an address twice.
    pub async fn add_addresses(
        &mut self,
        name: &str,
        timeout: u64,
        addresses: &[(IpAddr, Option<Identity>)],
    ) -> Result<(), Error> {
        let mut sorted: Vec<IpAddr> = addresses.iter().map(|(address, _)| *address).collect();
        sorted.sort_unstable();
        if let Some([twice, _]) = sorted.array_windows().find(|[a, b]| a == b) {
            return Err(Error::Wrong(format!("address {twice} is there twice")));
        }
        let (Some(start), Some(end)) = (sorted.first().copied(), sorted.last().copied()) else {
            return Err(Error::Wrong("there is no address for the pool".to_owned()));
        };
        check_range(start, end)?;
        let pool = NewPool { name: name.to_owned(), start, end, timeout };
        self.enter().await?;
        let outcome = add_rows(&mut self.connection, &pool, addresses).await;
        self.leave(outcome).await
    }

    /// Deletes a pool with its addresses and the history of its leases.
    ///
    /// # Errors
    /// [`Error::Wrong`]: there is none. Else [`Error`] of the database.
    pub async fn delete_pool(&mut self, name: &str) -> Result<(), Error> {
        self.enter().await?;
        let outcome = delete(&mut self.connection, name).await;
        self.leave(outcome).await
    }

    /// Moves the end of a pool. What was kept for clients behind the new end is forgotten.
    ///
    /// # Errors
    /// [`Error::Wrong`]: there is none, another family, or addresses behind the new end are in use.
    pub async fn resize_pool(&mut self, name: &str, end: IpAddr) -> Result<(), Error> {
        self.enter().await?;
        let outcome = resize(&mut self.connection, name, end).await;
        self.leave(outcome).await
    }

    /// Makes the rows of all addresses of a pool, as strongSwan's programs need them; returns how many.
    ///
    /// # Errors
    /// [`Error::Wrong`]: there is no such pool, or more than [`FILL_LIMIT`] rows would have to be made.
    pub async fn fill(&mut self, name: &str) -> Result<u64, Error> {
        let mut made: u64 = 0;
        loop {
            // In pieces: gateways go on in between.
            self.enter().await?;
            let outcome = fill(&mut self.connection, name).await;
            let (some, done) = self.leave(outcome).await?;
            made = made.saturating_add(some);
            if done {
                return Ok(made);
            }
        }
    }

    /// Deletes the history of a pool's leases; returns how many.
    ///
    /// # Errors
    /// [`Error::Wrong`]: there is no such pool. Else [`Error`] of the database.
    pub async fn purge(&mut self, name: &str) -> Result<u64, Error> {
        self.enter().await?;
        let outcome = purge(&mut self.connection, name).await;
        self.leave(outcome).await
    }

    /// All pools in order of their names.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn status(&mut self) -> Result<Vec<PoolRow>, Error> {
        let now = i64::try_from((self.clock)()).unwrap_or(i64::MAX);
        status(&mut self.connection, now).await
    }
}

/// The pools and how they are used.
pub(crate) async fn status(connection: &mut Connection, now: i64) -> Result<Vec<PoolRow>, Error> {
    let rows = connection
        .rows(
            "SELECT p.name, p.start, p.\"end\", CAST(p.timeout AS BIGINT), \
             (SELECT COUNT(*) FROM addresses a WHERE a.pool = p.id), \
             (SELECT COUNT(*) FROM addresses a WHERE a.pool = p.id AND a.identity <> 0 AND (a.released = 0 OR \
              EXISTS (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity))), \
             (SELECT COUNT(*) FROM addresses a WHERE a.pool = p.id AND a.identity <> 0 AND \
              (p.timeout = 0 OR a.released = 0 OR a.released + p.timeout > ? OR \
              EXISTS (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity))), \
             c.next, CAST(COALESCE(c.pool, 0) AS BIGINT) \
             FROM pools p LEFT JOIN cygnet_pools c ON c.pool = p.id AND c.name = p.name AND c.start = p.start \
             ORDER BY p.name",
            &[Value::Int(now)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (start, end) = (address(&row.octets(1)?)?, address(&row.octets(2)?)?);
            let made = u128::from(row.count(4)?);
            let lazy = row.int(8)? != 0;
            let next = row.octets(7)?;
            let unmade = if lazy && !next.is_empty() { size(address(&next)?, end) } else { 0 };
            Ok(PoolRow {
                name: row.text(0)?,
                start,
                end,
                timeout: row.count(3)?,
                size: made.saturating_add(unmade),
                online: row.count(5)?,
                used: row.count(6)?,
                unmade,
            })
        })
        .collect()
}

fn check_range(start: IpAddr, end: IpAddr) -> Result<(), Error> {
    if start.is_ipv4() != end.is_ipv4() {
        return Err(Error::Wrong(format!("{start} and {end} are not of one family")));
    }
    if start > end {
        return Err(Error::Wrong(format!("{start} is behind {end}: the first address comes first")));
    }
    Ok(())
}

fn unknown(name: &str) -> Error {
    Error::Wrong(format!("there is no pool '{name}'"))
}

async fn find(connection: &mut Connection, name: &str) -> Result<Option<Found>, Error> {
    let row = connection
        .row(
            "SELECT CAST(p.id AS BIGINT), p.start, p.\"end\", c.next, CAST(COALESCE(c.pool, 0) AS BIGINT) FROM pools p \
             LEFT JOIN cygnet_pools c ON c.pool = p.id AND c.name = p.name AND c.start = p.start WHERE p.name = ?",
            &[Value::Text(name)],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let next = row.octets(3)?;
    let next = if next.is_empty() { None } else { Some(address(&next)?) };
    Ok(Some(Found {
        id: row.int(0)?,
        start: address(&row.octets(1)?)?,
        end: address(&row.octets(2)?)?,
        next,
        lazy: row.int(4)? != 0,
    }))
}

/// Adds the row of a pool and returns its number.
async fn add(connection: &mut Connection, pool: &NewPool, lazy: bool) -> Result<i64, Error> {
    if pool.name.is_empty() || pool.name.chars().count() > 190 {
        return Err(Error::Wrong("a pool's name has 1 to 190 characters".to_owned()));
    }
    if find(connection, &pool.name).await?.is_some() {
        return Err(Error::Wrong(format!("there is a pool '{}' already", pool.name)));
    }
    let timeout = i64::from(u32::try_from(pool.timeout).unwrap_or(u32::MAX));
    let (start, end) = (octets(pool.start), octets(pool.end));
    connection
        .run(
            "INSERT INTO pools (name, start, \"end\", timeout) VALUES (?, ?, ?, ?)",
            &[Value::Text(&pool.name), Value::Octets(&start), Value::Octets(&end), Value::Int(timeout)],
        )
        .await?;
    let id = find(connection, &pool.name).await?.ok_or_else(|| unknown(&pool.name))?.id;
    // A pool deleted by a program that does not know our tables may have had the same number.
    connection.run("DELETE FROM cygnet_pools WHERE pool = ?", &[Value::Int(id)]).await?;
    if lazy {
        set_next(connection, id, &pool.name, pool.start, Some(pool.start)).await?;
    }
    Ok(id)
}

/// Says how far a pool has been handed out; nothing: all of it.
pub(crate) async fn set_next(
    connection: &mut Connection,
    id: i64,
    name: &str,
    start: IpAddr,
    next: Option<IpAddr>,
) -> Result<(), Error> {
    let (start, next) = (octets(start), next.map(octets).unwrap_or_default());
    connection.run("DELETE FROM cygnet_pools WHERE pool = ?", &[Value::Int(id)]).await?;
    let values = [Value::Int(id), Value::Text(name), Value::Octets(&start), Value::Octets(&next)];
    connection.run("INSERT INTO cygnet_pools (pool, name, start, next) VALUES (?, ?, ?, ?)", &values).await?;
    Ok(())
}

async fn add_rows(
    connection: &mut Connection,
    pool: &NewPool,
    addresses: &[(IpAddr, Option<Identity>)],
) -> Result<(), Error> {
    let id = add(connection, pool, false).await?;
    for (address, identity) in addresses {
        let owner = match identity {
            Some(identity) => identities::number(connection, identity).await?,
            None => 0,
        };
        add_address(connection, id, *address, owner).await?;
    }
    Ok(())
}

async fn add_address(
    connection: &mut Connection,
    pool: i64,
    address: IpAddr,
    owner: i64,
) -> Result<(), Error> {
    let address = octets(address);
    let values = [Value::Int(pool), Value::Octets(&address), Value::Int(owner)];
    let sql = "INSERT INTO addresses (pool, address, identity, acquired, released) VALUES (?, ?, ?, 0, 1)";
    connection.run(sql, &values).await.map(|_| ())
}

async fn delete(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let found = find(connection, name).await?.ok_or_else(|| unknown(name))?;
    let pool = [Value::Int(found.id)];
    for sql in [
        "DELETE FROM leases WHERE address IN (SELECT id FROM addresses WHERE pool = ?)",
        "DELETE FROM cygnet_holds WHERE address IN (SELECT id FROM addresses WHERE pool = ?)",
        "DELETE FROM addresses WHERE pool = ?",
        "DELETE FROM cygnet_pools WHERE pool = ?",
        "DELETE FROM pools WHERE id = ?",
    ] {
        connection.run(sql, &pool).await?;
    }
    Ok(())
}

async fn resize(connection: &mut Connection, name: &str, end: IpAddr) -> Result<(), Error> {
    let found = find(connection, name).await?.ok_or_else(|| unknown(name))?;
    check_range(found.start, end)?;
    if end < found.end {
        cut(connection, &found, name, end).await?;
    }
    let octets = octets(end);
    let values = [Value::Octets(&octets), Value::Int(found.id)];
    connection.run("UPDATE pools SET \"end\" = ? WHERE id = ?", &values).await?;
    if end > found.end && (!found.lazy || found.next.is_none()) {
        set_next(connection, found.id, name, found.start, after(found.end)).await?;
    }
    Ok(())
}

/// Removes the addresses behind a new end.
async fn cut(connection: &mut Connection, found: &Found, name: &str, end: IpAddr) -> Result<(), Error> {
    let last = octets(end);
    let behind = [Value::Int(found.id), Value::Octets(&last)];
    let sql = "SELECT COUNT(*) FROM addresses a WHERE a.pool = ? AND a.address > ? AND a.identity <> 0 AND \
               (a.released = 0 OR EXISTS \
               (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity))";
    let online = connection.number(sql, &behind).await?;
    if online > 0 {
        return Err(Error::Wrong(format!(
            "pool '{name}' has addresses behind {end} that are in use ({online}): their clients have to go first"
        )));
    }
    for sql in [
        "DELETE FROM leases WHERE address IN (SELECT id FROM addresses WHERE pool = ? AND address > ?)",
        "DELETE FROM cygnet_holds WHERE address IN (SELECT id FROM addresses WHERE pool = ? AND address > ?)",
        "DELETE FROM addresses WHERE pool = ? AND address > ?",
    ] {
        connection.run(sql, &behind).await?;
    }
    if found.next.is_some_and(|next| next > end) {
        set_next(connection, found.id, name, found.start, None).await?;
    }
    Ok(())
}

/// Rows made in one transaction.
const PIECE: usize = 4096;

/// Makes some of the rows that are missing; how many, and whether that was all.
async fn fill(connection: &mut Connection, name: &str) -> Result<(u64, bool), Error> {
    let found = find(connection, name).await?.ok_or_else(|| unknown(name))?;
    if !found.lazy {
        return Ok((0, true));
    }
    let unmade = found.next.map_or(0, |next| size(next, found.end));
    if unmade > FILL_LIMIT {
        let text = format!(
            "pool '{name}' has {unmade} addresses without a row, more than {FILL_LIMIT}: strongSwan could not serve it"
        );
        return Err(Error::Wrong(text));
    }
    let mut next = found.next;
    let mut made: u64 = 0;
    for _ in 0..PIECE {
        let Some(address) = next.filter(|address| *address <= found.end) else { break };
        let text = octets(address);
        let values = [Value::Int(found.id), Value::Octets(&text), Value::Int(found.id), Value::Octets(&text)];
        made = made.saturating_add(connection.run(INSERT_UNMADE, &values).await?);
        next = after(address);
    }
    let more = next.filter(|address| *address <= found.end);
    if more.is_some() {
        set_next(connection, found.id, name, found.start, more).await?;
    } else {
        connection.run("DELETE FROM cygnet_pools WHERE pool = ?", &[Value::Int(found.id)]).await?;
    }
    Ok((made, more.is_none()))
}

/// A row for an address that has none.
const INSERT_UNMADE: &str = "INSERT INTO addresses (pool, address, identity, acquired, released) \
     SELECT CAST(? AS BIGINT), ?, 0, 0, 1 FROM DUAL \
     WHERE NOT EXISTS (SELECT 1 FROM addresses WHERE pool = ? AND address = ?)";

async fn purge(connection: &mut Connection, name: &str) -> Result<u64, Error> {
    let found = find(connection, name).await?.ok_or_else(|| unknown(name))?;
    let sql = "DELETE FROM leases WHERE address IN (SELECT id FROM addresses WHERE pool = ?)";
    connection.run(sql, &[Value::Int(found.id)]).await
}
