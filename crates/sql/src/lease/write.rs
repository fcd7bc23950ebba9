//! What was decided, written for many clients together.
use super::Slot;
use super::read::Own;
use crate::connection::{Connection, Error, LIST, Value};
use crate::value::{address, octets};
use pool::Origin;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

/// What a transaction will write.
#[derive(Default)]
pub(super) struct Writes {
    /// Rows to be made: pool, address and identity (0: nobody).
    made: Vec<(i64, IpAddr, i64)>,
    /// Who uses which row from now on.
    holds: BTreeMap<Slot, i64>,
    /// Rows that change, and whether their lease begins now.
    changed: BTreeMap<i64, bool>,
    /// From which pool and by whom addresses are used from now on.
    places: HashMap<IpAddr, Vec<(i64, i64)>>,
}

/// The numbers of all rows after the writing.
pub(crate) struct Rows(Vec<Option<i64>>);

impl Rows {
    /// The number of a row.
    pub(crate) fn number(&self, slot: Slot) -> Option<i64> {
        match slot {
            Slot::Row(number) => Some(number),
            Slot::Made(at) => self.0.get(at).copied().flatten(),
        }
    }
}

impl Writes {
    /// A row for an address that has none.
    pub(super) fn make(&mut self, pool: i64, address: IpAddr, owner: i64) -> Slot {
        self.made.push((pool, address, owner));
        Slot::Made(self.made.len().saturating_sub(1))
    }

    /// A row is this identity's from now on.
    pub(super) fn take(&mut self, pool: i64, row: &Own, owner: i64, origin: Origin) {
        if let Slot::Row(number) = row.slot
            && (row.released != 0 || row.identity != owner)
        {
            self.changed.insert(number, origin != Origin::Online);
        }
        self.holds.insert(row.slot, owner);
        self.places.entry(row.address).or_default().push((pool, owner));
    }

    /// Whether this transaction gives the row to somebody.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.holds.contains_key(&slot)
    }

    /// How many rows it gives away.
    pub(super) fn taken(&self) -> usize {
        self.holds.len()
    }

    /// Whether it gives this address to somebody else from another pool.
    pub(super) fn elsewhere(&self, address: IpAddr, pool: i64, owner: i64) -> bool {
        let mut places = self.places.get(&address).into_iter().flatten();
        places.any(|(other, user)| *other != pool && *user != owner)
    }

    /// Writes all of it; `moved`: how far pools have been handed out.
    pub(super) async fn write(
        self,
        connection: &mut Connection,
        gateway: &str,
        now: i64,
        moved: impl Iterator<Item = (i64, Option<IpAddr>)>,
    ) -> Result<Rows, Error> {
        let rows = make(connection, now, &self.made).await?;
        let mut holds = Vec::with_capacity(self.holds.len());
        for (slot, owner) in &self.holds {
            let Some(row) = rows.number(*slot) else {
                return Err(Error::Wrong("the database did not keep the row of an address".to_owned()));
            };
            holds.push((row, *owner));
        }
        hold(connection, gateway, &holds).await?;
        for begins in [true, false] {
            let rows = self.changed.iter().filter(|(_, new)| **new == begins).map(|(row, _)| *row);
            change(connection, gateway, now, begins, &rows.collect::<Vec<_>>()).await?;
        }
        for (pool, next) in moved {
            let next = next.map(octets).unwrap_or_default();
            let values = [Value::Octets(&next), Value::Int(pool)];
            connection.run("UPDATE cygnet_pools SET next = ? WHERE pool = ?", &values).await?;
        }
        Ok(rows)
    }
}

/// Makes rows; their numbers, in the same order.
async fn make(connection: &mut Connection, now: i64, made: &[(i64, IpAddr, i64)]) -> Result<Rows, Error> {
    let mut by_pool: BTreeMap<i64, Vec<(IpAddr, i64)>> = BTreeMap::new();
    for (pool, address, owner) in made {
        by_pool.entry(*pool).or_default().push((*address, *owner));
    }
    let mut numbers: HashMap<(i64, IpAddr), i64> = HashMap::with_capacity(made.len());
    for (pool, rows) in by_pool {
        for rows in rows.chunks(LIST) {
            let rows: Vec<(Vec<u8>, i64)> =
                rows.iter().map(|(address, owner)| (octets(*address), *owner)).collect();
            let mut values = Vec::new();
            for (address, owner) in &rows {
                let (acquired, released) = if *owner == 0 { (0, 1) } else { (now, 0) };
                values.extend([Value::Int(pool), Value::Octets(address)]);
                values.extend([Value::Int(*owner), Value::Int(acquired), Value::Int(released)]);
            }
            let sql = "INSERT INTO addresses (pool, address, identity, acquired, released) VALUES {(?, ?, ?, ?, ?)}";
            connection.run(sql, &values).await?;
            let mut values = vec![Value::Int(pool)];
            values.extend(rows.iter().map(|(address, _)| Value::Octets(address)));
            let sql = "SELECT CAST(id AS BIGINT), address FROM addresses WHERE pool = ? AND address IN ({?})";
            for row in connection.rows(sql, &values).await? {
                numbers.insert((pool, address(&row.octets(1)?)?), row.int(0)?);
            }
        }
    }
    let number = |(pool, address, _): &(i64, IpAddr, i64)| numbers.get(&(*pool, *address)).copied();
    Ok(Rows(made.iter().map(number).collect()))
}

/// Notes that this gateway uses rows.
async fn hold(connection: &mut Connection, gateway: &str, holds: &[(i64, i64)]) -> Result<(), Error> {
    for holds in holds.chunks(LIST) {
        let values: Vec<Value<'_>> = holds
            .iter()
            .flat_map(|(row, owner)| [Value::Int(*row), Value::Text(gateway), Value::Int(*owner)])
            .collect();
        let sql = "INSERT INTO cygnet_holds (address, gateway, identity) VALUES {(?, ?, ?)} \
                   ON CONFLICT (address, gateway) DO UPDATE SET identity = excluded.identity";
        connection.run(sql, &values).await?;
    }
    Ok(())
}

/// Gives rows to those who use them now; `begins`: as leases that begin now.
async fn change(
    connection: &mut Connection,
    gateway: &str,
    now: i64,
    begins: bool,
    rows: &[i64],
) -> Result<(), Error> {
    for rows in rows.chunks(LIST) {
        let mut values = vec![Value::Text(gateway)];
        if begins {
            values.push(Value::Int(now));
        }
        values.extend(rows.iter().map(|row| Value::Int(*row)));
        let sql = if begins {
            "UPDATE addresses SET identity = (SELECT h.identity FROM cygnet_holds h WHERE h.address = addresses.id \
             AND h.gateway = ?), acquired = ?, released = 0 WHERE id IN ({?})"
        } else {
            "UPDATE addresses SET identity = (SELECT h.identity FROM cygnet_holds h WHERE h.address = addresses.id \
             AND h.gateway = ?), released = 0 WHERE id IN ({?})"
        };
        let changed = connection.run(sql, &values).await?;
        if usize::try_from(changed).ok() != Some(rows.len()) {
            return Err(Error::Wrong("rows of addresses have gone while they were being leased".to_owned()));
        }
    }
    Ok(())
}

/// Releases rows that this gateway uses no longer, unless others use them; `history`: writes the leases down.
pub(super) async fn release(
    connection: &mut Connection,
    gateway: &str,
    now: i64,
    ended: &[(i64, i64)],
    history: bool,
) -> Result<(), Error> {
    for ended in ended.chunks(LIST) {
        let rows: Vec<Value<'_>> = ended.iter().map(|(row, _)| Value::Int(*row)).collect();
        let mut values = vec![Value::Text(gateway)];
        values.extend(&rows);
        connection.run("DELETE FROM cygnet_holds WHERE gateway = ? AND address IN ({?})", &values).await?;
        let sql = "SELECT CAST(a.id AS BIGINT), CAST(a.identity AS BIGINT) FROM addresses a WHERE a.id IN ({?}) \
                   AND a.released = 0 AND NOT EXISTS \
                   (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity) FOR UPDATE";
        let owners: HashSet<(i64, i64)> = ended.iter().copied().collect();
        let mut released = Vec::new();
        for row in connection.rows(sql, &rows).await? {
            let number = row.int(0)?;
            if owners.contains(&(number, row.int(1)?)) {
                released.push(Value::Int(number));
            }
        }
        if released.is_empty() {
            continue;
        }
        let mut values = vec![Value::Int(now)];
        values.extend(&released);
        connection.run("UPDATE addresses SET released = ? WHERE id IN ({?})", &values).await?;
        if history {
            let sql = "INSERT INTO leases (address, identity, acquired, released) \
                       SELECT id, identity, acquired, released FROM addresses WHERE id IN ({?})";
            connection.run(sql, &released).await?;
        }
    }
    Ok(())
}
