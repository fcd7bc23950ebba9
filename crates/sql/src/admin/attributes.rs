//! Attributes: for everybody, for a pool, for an identity (in a pool).
use super::Admin;
use crate::connection::{Connection, Error, Value};
use crate::identities;
use crate::value::identity;
use policy::Identity;
use wire::iana::ConfigAttribute;

/// An attribute that clients are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its type.
    pub kind: ConfigAttribute,
    /// Its value, as sent.
    pub value: Vec<u8>,
    /// For clients of this pool only.
    pub pool: Option<String>,
    /// For this identity only.
    pub identity: Option<Identity>,
}

impl Admin {
    /// Adds an attribute; `false`: it is there already.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add_attribute(&mut self, attribute: &Attribute) -> Result<bool, Error> {
        self.enter().await?;
        let outcome = add(&mut self.connection, attribute).await;
        self.leave(outcome).await
    }

    /// Deletes the attributes of this type that are for this pool and this identity (neither: for everybody), all
    /// of them or those with this value; returns how many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete_attributes(
        &mut self,
        kind: ConfigAttribute,
        value: Option<&[u8]>,
        pool: Option<&str>,
        identity: Option<&Identity>,
    ) -> Result<u64, Error> {
        self.enter().await?;
        let outcome = delete(&mut self.connection, kind, value, pool, identity).await;
        self.leave(outcome).await
    }

    /// All attributes, in the order in which they were added.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn attributes(&mut self) -> Result<Vec<Attribute>, Error> {
        attributes(&mut self.connection).await
    }
}

/// All attributes, in the order in which they were added.
pub(crate) async fn attributes(connection: &mut Connection) -> Result<Vec<Attribute>, Error> {
    let rows = connection
        .rows(
            "SELECT CAST(t.type AS BIGINT), t.value, CAST(t.pool AS BIGINT), p.name, CAST(t.identity AS BIGINT), \
             CAST(i.type AS BIGINT), i.data FROM attributes t LEFT JOIN attribute_pools p ON p.id = t.pool \
             LEFT JOIN identities i ON i.id = t.identity ORDER BY t.id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Attribute {
                kind: ConfigAttribute::from(u16::try_from(row.int(0)?).unwrap_or_default()),
                value: row.octets(1)?,
                pool: if row.int(2)? == 0 { None } else { Some(row.text(3)?) },
                identity: match row.int(4)? {
                    0 => None,
                    _ => Some(identity(row.int(5)?, &row.octets(6)?)),
                },
            })
        })
        .collect()
}

async fn pool_number(connection: &mut Connection, name: &str) -> Result<Option<i64>, Error> {
    let sql = "SELECT CAST(id AS BIGINT) FROM attribute_pools WHERE name = ? ORDER BY id LIMIT 1";
    connection.row(sql, &[Value::Text(name)]).await?.map(|row| row.int(0)).transpose()
}

async fn add(connection: &mut Connection, attribute: &Attribute) -> Result<bool, Error> {
    let pool = match &attribute.pool {
        None => 0,
        Some(name) => match pool_number(connection, name).await? {
            Some(number) => number,
            None => {
                let sql = "INSERT INTO attribute_pools (name) VALUES (?)";
                connection.run(sql, &[Value::Text(name)]).await?;
                pool_number(connection, name).await?.ok_or_else(|| {
                    Error::Wrong(format!("the database did not keep the pool name '{name}'"))
                })?
            }
        },
    };
    let owner = match &attribute.identity {
        None => 0,
        Some(identity) => identities::number(connection, identity).await?,
    };
    let values = [
        Value::Int(owner),
        Value::Int(pool),
        Value::Int(i64::from(u16::from(attribute.kind))),
        Value::Octets(&attribute.value),
    ];
    let sql = "SELECT COUNT(*) FROM attributes WHERE identity = ? AND pool = ? AND type = ? AND value = ?";
    if connection.number(sql, &values).await? > 0 {
        return Ok(false);
    }
    connection
        .run("INSERT INTO attributes (identity, pool, type, value) VALUES (?, ?, ?, ?)", &values)
        .await?;
    Ok(true)
}

async fn delete(
    connection: &mut Connection,
    kind: ConfigAttribute,
    value: Option<&[u8]>,
    pool: Option<&str>,
    identity: Option<&Identity>,
) -> Result<u64, Error> {
    let pool = match pool {
        None => 0,
        Some(name) => match pool_number(connection, name).await? {
            Some(number) => number,
            None => return Ok(0),
        },
    };
    let owner = match identity {
        None => 0,
        Some(identity) => match identities::find(connection, identity).await? {
            Some(number) => number,
            None => return Ok(0),
        },
    };
    let kind = i64::from(u16::from(kind));
    let scope = [Value::Int(owner), Value::Int(pool), Value::Int(kind)];
    match value {
        None => {
            connection
                .run("DELETE FROM attributes WHERE identity = ? AND pool = ? AND type = ?", &scope)
                .await
        }
        Some(value) => {
            let [owner, pool, kind] = scope;
            let values = [owner, pool, kind, Value::Octets(value)];
            let sql = "DELETE FROM attributes WHERE identity = ? AND pool = ? AND type = ? AND value = ?";
            connection.run(sql, &values).await
        }
    }
}
