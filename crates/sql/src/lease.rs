//! Who gets which address: the decisions inside one transaction.
//!
//! As strongSwan's `attr-sql` decides: the address an identity has or had and that is kept for it, in any of the
//! pools; else, pool by pool, the one it had and lost, one that nobody had, one whose time is over. Rows that are
//! not there yet come last of all. Every change of a row names what the row must have held, so that a stock charon on
//! the same database cannot be given the same address in between.
use crate::admin::INSERT_UNMADE;
use crate::connection::{Connection, Error, Value};
use crate::identities;
use crate::value::{address, after, octets};
use pool::{Grant, Origin, Wanted};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Addresses of one identity in one pool that are looked at.
const OWN: usize = 64;
/// Addresses of one pool that are passed over because another pool or a stock charon has them, per request.
const PASSED_OVER: usize = 256;

/// A granted address and its rows.
#[derive(Debug, Clone)]
pub(crate) struct Leased {
    pub(crate) grant: Grant,
    /// Number of the address row.
    pub(crate) row: i64,
    /// Number of the identity.
    pub(crate) owner: i64,
}

/// What one client got, and pools that had nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    pub(crate) leased: Vec<Leased>,
    pub(crate) full: Vec<String>,
}

struct PoolDef {
    id: i64,
    start: IpAddr,
    end: IpAddr,
    /// Seconds; 0: forever.
    timeout: i64,
    /// First address that has no row, where rows come as they are needed.
    next: Option<IpAddr>,
    moved: bool,
    /// Another pool has some of its addresses.
    overlapped: bool,
    /// This transaction has found no row that nobody had, and none whose time is over.
    no_unused: bool,
    no_expired: bool,
}

/// One transaction's knowledge.
pub(crate) struct Batch<'a> {
    connection: &'a mut Connection,
    gateway: &'a str,
    now: i64,
    pools: HashMap<String, PoolDef>,
}

/// A row that may be taken.
struct Candidate {
    row: i64,
    address: IpAddr,
    /// Identity and release that the row holds.
    identity: i64,
    released: i64,
}

impl<'a> Batch<'a> {
    /// Reads the pools. The transaction has begun.
    pub(crate) async fn new(
        connection: &'a mut Connection,
        gateway: &'a str,
        now: u64,
    ) -> Result<Self, Error> {
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
                no_unused: false,
                no_expired: false,
            };
            pools.insert(row.text(0)?, pool);
        }
        find_overlaps(&mut pools);
        Ok(Self { connection, gateway, now: i64::try_from(now).unwrap_or(i64::MAX), pools })
    }

    /// Leases what one client wants.
    pub(crate) async fn lease(&mut self, wanted: &Wanted) -> Result<Served, Error> {
        let mut served = Served::default();
        let (owner, new) = identities::number(self.connection, &wanted.identity).await?;
        for requested in &wanted.requested {
            let granted: HashSet<IpAddr> = served.leased.iter().map(|leased| leased.grant.address).collect();
            let mut found = None;
            if !new {
                found = self.kept(wanted, owner, requested.address(), &granted).await?;
            }
            for name in &wanted.pools {
                if found.is_some() {
                    break;
                }
                if self.pools.get(name).is_none_or(|pool| pool.start.is_ipv4() != requested.is_ipv4()) {
                    continue;
                }
                found = self.fresh(name, owner, new, &granted).await?;
                if found.is_none() {
                    served.full.push(name.clone());
                }
            }
            served.leased.extend(found);
        }
        Ok(served)
    }

    /// Writes down how far pools have been handed out. The transaction is not committed here.
    pub(crate) async fn finish(self) -> Result<(), Error> {
        for pool in self.pools.values().filter(|pool| pool.moved) {
            let next = pool.next.map(octets).unwrap_or_default();
            let values = [Value::Octets(&next), Value::Int(pool.id)];
            self.connection.run("UPDATE cygnet_pools SET next = ? WHERE pool = ?", &values).await?;
        }
        Ok(())
    }

    /// Releases an address that this gateway uses no longer.
    pub(crate) async fn release(&mut self, row: i64, owner: i64, history: bool) -> Result<(), Error> {
        let hold = [Value::Int(row), Value::Text(self.gateway)];
        self.connection.run("DELETE FROM cygnet_holds WHERE address = ? AND gateway = ?", &hold).await?;
        let values = [Value::Int(self.now), Value::Int(row), Value::Int(owner)];
        let released = self
            .connection
            .run(
                "UPDATE addresses SET released = ? WHERE id = ? AND identity = ? AND released = 0 AND NOT EXISTS \
                 (SELECT 1 FROM cygnet_holds h WHERE h.address = addresses.id AND h.identity = addresses.identity)",
                &values,
            )
            .await?;
        if released > 0 && history {
            self.connection
                .run(
                    "INSERT INTO leases (address, identity, acquired, released) \
                     SELECT id, identity, acquired, released FROM addresses WHERE id = ?",
                    &[Value::Int(row)],
                )
                .await?;
        }
        Ok(())
    }

    /// The address that an identity has, or that is kept for it; the one it asks for before others.
    async fn kept(
        &mut self,
        wanted: &Wanted,
        owner: i64,
        requested: IpAddr,
        granted: &HashSet<IpAddr>,
    ) -> Result<Option<Leased>, Error> {
        for name in &wanted.pools {
            let Some(pool) = self.pools.get(name) else { continue };
            if pool.start.is_ipv4() != requested.is_ipv4() {
                continue;
            }
            let timeout = pool.timeout;
            let mut own = self.own(name, owner).await?;
            own.retain(|(candidate, held)| {
                let kept = timeout == 0 || candidate.released.saturating_add(timeout) > self.now;
                !granted.contains(&candidate.address) && (*held || candidate.released == 0 || kept)
            });
            own.sort_by_key(|(candidate, held)| {
                let online = *held || candidate.released == 0;
                (candidate.address != requested, !online)
            });
            for (candidate, held) in own {
                let online = held || candidate.released == 0;
                let origin = if online { Origin::Online } else { Origin::Offline };
                if let Some(leased) = self.take(name, &candidate, owner, origin).await? {
                    return Ok(Some(leased));
                }
            }
        }
        Ok(None)
    }

    /// An address for an identity for which this pool keeps none.
    async fn fresh(
        &mut self,
        name: &str,
        owner: i64,
        new: bool,
        granted: &HashSet<IpAddr>,
    ) -> Result<Option<Leased>, Error> {
        if !new {
            for (candidate, held) in self.own(name, owner).await? {
                if !held
                    && candidate.released != 0
                    && !granted.contains(&candidate.address)
                    && let Some(leased) = self.take(name, &candidate, owner, Origin::New).await?
                {
                    return Ok(Some(leased));
                }
            }
        }
        for _ in 0..PASSED_OVER {
            let Some(candidate) = self.free(name).await? else { break };
            if let Some(leased) = self.take(name, &candidate, owner, Origin::New).await? {
                return Ok(Some(leased));
            }
            // It is another pool's, or a stock charon has just taken it: not again in this transaction.
            if self.pools.get(name).is_some_and(|pool| pool.overlapped) {
                break;
            }
        }
        self.unmade(name, owner).await
    }

    /// Rows of an identity in a pool, and whether a gateway uses them.
    async fn own(&mut self, name: &str, owner: i64) -> Result<Vec<(Candidate, bool)>, Error> {
        let Some(pool) = self.pools.get(name) else { return Ok(Vec::new()) };
        let limit = i64::try_from(OWN).unwrap_or(i64::MAX);
        let (overlapped, id) = (pool.overlapped, pool.id);
        let rows = self
            .connection
            .rows(
                "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), CAST(a.released AS BIGINT), \
                 (SELECT COUNT(*) FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity) \
                 FROM addresses a WHERE a.pool = ? AND a.identity = ? ORDER BY a.id LIMIT ?",
                &[Value::Int(id), Value::Int(owner), Value::Int(limit)],
            )
            .await?;
        let mut own = Vec::with_capacity(rows.len());
        for row in &rows {
            let candidate = candidate(row)?;
            if !overlapped || !self.elsewhere(candidate.address, id, owner).await? {
                own.push((candidate, row.int(4)? > 0));
            }
        }
        Ok(own)
    }

    /// A row that nobody had, or whose time is over.
    async fn free(&mut self, name: &str) -> Result<Option<Candidate>, Error> {
        let Some(pool) = self.pools.get_mut(name) else { return Ok(None) };
        if !pool.no_unused {
            let sql = if pool.overlapped { UNUSED_OVERLAPPED } else { UNUSED };
            if let Some(row) = self.connection.row(sql, &[Value::Int(pool.id)]).await? {
                return candidate(&row).map(Some);
            }
            pool.no_unused = true;
        }
        if pool.timeout > 0 && !pool.no_expired {
            let sql = if pool.overlapped { EXPIRED_OVERLAPPED } else { EXPIRED };
            let before = self.now.saturating_sub(pool.timeout);
            if let Some(row) = self.connection.row(sql, &[Value::Int(pool.id), Value::Int(before)]).await? {
                return candidate(&row).map(Some);
            }
            pool.no_expired = true;
        }
        Ok(None)
    }

    /// The next address that has no row yet.
    async fn unmade(&mut self, name: &str, owner: i64) -> Result<Option<Leased>, Error> {
        for _ in 0..PASSED_OVER {
            let Some(pool) = self.pools.get_mut(name) else { return Ok(None) };
            let Some(address) = pool.next.filter(|next| *next <= pool.end) else { return Ok(None) };
            pool.next = after(address);
            pool.moved = true;
            let (id, overlapped) = (pool.id, pool.overlapped);
            let text = octets(address);
            let at = [Value::Int(id), Value::Octets(&text)];
            let [pool_number, stored] = at;
            let elsewhere = overlapped && self.elsewhere(address, id, owner).await?;
            if elsewhere {
                // Its row waits until the other pool's client is gone.
                let values = [pool_number, stored, pool_number, stored];
                self.connection.run(INSERT_UNMADE, &values).await?;
                if let Some(pool) = self.pools.get_mut(name) {
                    pool.no_unused = false;
                }
                continue;
            }
            let values = [
                pool_number,
                stored,
                Value::Int(owner),
                Value::Int(self.now),
                Value::Int(0),
                pool_number,
                stored,
            ];
            if self.connection.run(INSERT_LEASED, &values).await? == 0 {
                continue;
            }
            let sql =
                "SELECT CAST(id AS BIGINT) FROM addresses WHERE pool = ? AND address = ? AND identity = ?";
            let row = self.connection.number(sql, &[pool_number, stored, Value::Int(owner)]).await?;
            self.hold(row, owner).await?;
            return Ok(Some(leased(name, address, row, owner, Origin::New)));
        }
        Ok(None)
    }

    /// Takes a row, if it still holds what was read.
    async fn take(
        &mut self,
        name: &str,
        candidate: &Candidate,
        owner: i64,
        origin: Origin,
    ) -> Result<Option<Leased>, Error> {
        if candidate.released != 0 || candidate.identity != owner {
            let values = [
                Value::Int(owner),
                Value::Int(self.now),
                Value::Int(candidate.row),
                Value::Int(candidate.identity),
                Value::Int(candidate.released),
            ];
            let changed = if origin != Origin::Online {
                let sql = "UPDATE addresses SET identity = ?, acquired = ?, released = 0 \
                           WHERE id = ? AND identity = ? AND released = ?";
                self.connection.run(sql, &values).await?
            } else {
                let [owner, _, row, identity, released] = values;
                let sql = "UPDATE addresses SET identity = ?, released = 0 WHERE id = ? AND identity = ? AND released = ?";
                self.connection.run(sql, &[owner, row, identity, released]).await?
            };
            if changed == 0 {
                return Ok(None);
            }
        }
        self.hold(candidate.row, owner).await?;
        Ok(Some(leased(name, candidate.address, candidate.row, owner, origin)))
    }

    /// Notes that this gateway uses an address.
    async fn hold(&mut self, row: i64, owner: i64) -> Result<(), Error> {
        let values = [Value::Int(row), Value::Text(self.gateway), Value::Int(owner)];
        self.connection
            .run(
                "INSERT INTO cygnet_holds (address, gateway, identity) VALUES (?, ?, ?) \
                 ON CONFLICT (address, gateway) DO UPDATE SET identity = excluded.identity",
                &values,
            )
            .await
            .map(|_| ())
    }

    /// Somebody else uses this address from another pool.
    async fn elsewhere(&mut self, address: IpAddr, pool: i64, owner: i64) -> Result<bool, Error> {
        let text = octets(address);
        let values = [Value::Octets(&text), Value::Int(pool), Value::Int(owner)];
        let sql = "SELECT COUNT(*) FROM addresses b WHERE b.address = ? AND b.pool <> ? AND b.identity <> ? \
                   AND b.identity <> 0 AND (b.released = 0 OR EXISTS \
                   (SELECT 1 FROM cygnet_holds h WHERE h.address = b.id AND h.identity = b.identity))";
        Ok(self.connection.number(sql, &values).await? > 0)
    }
}

/// A row that nobody had.
const UNUSED: &str = "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), \
    CAST(a.released AS BIGINT) FROM addresses a WHERE a.pool = ? AND a.identity = 0 ORDER BY a.id LIMIT 1";

/// The same, where another pool may have lent the address.
const UNUSED_OVERLAPPED: &str = "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), \
    CAST(a.released AS BIGINT) FROM addresses a WHERE a.pool = ? AND a.identity = 0 \
    AND NOT EXISTS (SELECT 1 FROM addresses b WHERE b.address = a.address AND b.pool <> a.pool \
    AND b.identity <> 0 AND (b.released = 0 OR EXISTS \
    (SELECT 1 FROM cygnet_holds g WHERE g.address = b.id AND g.identity = b.identity))) ORDER BY a.id LIMIT 1";

/// A row whose time is over and that nobody uses; the one released first.
const EXPIRED: &str = "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), \
    CAST(a.released AS BIGINT) FROM addresses a WHERE a.pool = ? AND a.released > 0 AND a.released <= ? \
    AND a.identity <> 0 AND NOT EXISTS \
    (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity) \
    ORDER BY a.released, a.id LIMIT 1";

/// The same, where another pool may have lent the address.
const EXPIRED_OVERLAPPED: &str = "SELECT CAST(a.id AS BIGINT), a.address, CAST(a.identity AS BIGINT), \
    CAST(a.released AS BIGINT) FROM addresses a WHERE a.pool = ? AND a.released > 0 AND a.released <= ? \
    AND a.identity <> 0 AND NOT EXISTS \
    (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity) \
    AND NOT EXISTS (SELECT 1 FROM addresses b WHERE b.address = a.address AND b.pool <> a.pool \
    AND b.identity <> 0 AND (b.released = 0 OR EXISTS \
    (SELECT 1 FROM cygnet_holds g WHERE g.address = b.id AND g.identity = b.identity))) \
    ORDER BY a.released, a.id LIMIT 1";

/// A row for an address that has none, taken at once.
const INSERT_LEASED: &str = "INSERT INTO addresses (pool, address, identity, acquired, released) \
    SELECT CAST(? AS BIGINT), ?, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM DUAL \
    WHERE NOT EXISTS (SELECT 1 FROM addresses WHERE pool = ? AND address = ?)";

fn candidate(row: &crate::connection::Row) -> Result<Candidate, Error> {
    Ok(Candidate {
        row: row.int(0)?,
        address: address(&row.octets(1)?)?,
        identity: row.int(2)?,
        released: row.int(3)?,
    })
}

fn leased(name: &str, address: IpAddr, row: i64, owner: i64, origin: Origin) -> Leased {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    Leased { grant: Grant { pool: name.to_owned(), address, prefix, origin }, row, owner }
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
