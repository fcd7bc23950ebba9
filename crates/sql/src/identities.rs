//! The table of identities.
use crate::connection::{Connection, Error, LIST, Value};
use crate::value::stored;
use policy::Identity;
use std::collections::{BTreeMap, HashMap};

/// Octets of an identity that is stored at most: more does not fit into an index of PostgreSQL.
const LONGEST: usize = 2000;

/// The number of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) number: i64,
    /// It had none before: nothing in the database is its.
    pub(crate) new: bool,
}

/// The number of an identity, if it has one.
pub(crate) async fn find(connection: &mut Connection, identity: &Identity) -> Result<Option<i64>, Error> {
    let (kind, data) = stored(identity);
    let values = [Value::Int(kind), Value::Octets(&data)];
    let row = connection
        .row(
            "SELECT CAST(id AS BIGINT) FROM identities WHERE type = ? AND data = ? ORDER BY id LIMIT 1",
            &values,
        )
        .await?;
    row.map(|row| row.int(0)).transpose()
}

/// The number of an identity, which is given one where it has none.
///
/// # Errors
/// [`Error::Wrong`]: the database cannot keep it. Else [`Error`] of the database.
pub(crate) async fn number(connection: &mut Connection, identity: &Identity) -> Result<i64, Error> {
    match numbers(connection, &[identity]).await?.first() {
        Some(Some(owner)) => Ok(owner.number),
        _ => Err(Error::Wrong(unfit(identity))),
    }
}

/// What to say of an identity that the database does not keep.
pub(crate) fn unfit(identity: &Identity) -> String {
    format!(
        "the database cannot keep the identity {identity}: it may be too long for the column identities.data"
    )
}

/// The numbers of identities in their order, given to those that have none; nothing for those that the database
/// cannot keep.
pub(crate) async fn numbers(
    connection: &mut Connection,
    identities: &[&Identity],
) -> Result<Vec<Option<Owner>>, Error> {
    let stored: Vec<(i64, Vec<u8>)> = identities.iter().map(|identity| stored(identity)).collect();
    let mut unknown: BTreeMap<i64, Vec<&[u8]>> = BTreeMap::new();
    for (kind, data) in stored.iter().filter(|(_, data)| data.len() <= LONGEST) {
        unknown.entry(*kind).or_default().push(data);
    }
    let mut owners: HashMap<(i64, Vec<u8>), Owner> = HashMap::with_capacity(stored.len());
    for new in [false, true] {
        for (kind, data) in &mut unknown {
            data.sort_unstable();
            data.dedup();
            if new {
                insert(connection, *kind, data).await?;
            }
            read(connection, *kind, data, new, &mut owners).await?;
            data.retain(|data| !owners.contains_key(&(*kind, data.to_vec())));
        }
    }
    Ok(stored.iter().map(|key| owners.get(key).copied()).collect())
}

async fn insert(connection: &mut Connection, kind: i64, data: &[&[u8]]) -> Result<(), Error> {
    for data in data.chunks(LIST) {
        let values: Vec<Value<'_>> =
            data.iter().flat_map(|data| [Value::Int(kind), Value::Octets(data)]).collect();
        connection
            .run("INSERT INTO identities (type, data) VALUES {(?, ?)} ON CONFLICT DO NOTHING", &values)
            .await?;
    }
    Ok(())
}

async fn read(
    connection: &mut Connection,
    kind: i64,
    data: &[&[u8]],
    new: bool,
    owners: &mut HashMap<(i64, Vec<u8>), Owner>,
) -> Result<(), Error> {
    for data in data.chunks(LIST) {
        let mut values = vec![Value::Int(kind)];
        values.extend(data.iter().map(|data| Value::Octets(data)));
        let sql = "SELECT CAST(id AS BIGINT), data FROM identities WHERE type = ? AND data IN ({?})";
        for row in connection.rows(sql, &values).await? {
            let number = row.int(0)?;
            let owner = owners.entry((kind, row.octets(1)?)).or_insert(Owner { number, new });
            // Tables that others have made may have one twice: the first counts.
            owner.number = owner.number.min(number);
        }
    }
    Ok(())
}
