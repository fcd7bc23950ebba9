//! The table of identities.
use crate::connection::{Connection, Error, Value};
use crate::value::stored;
use policy::Identity;

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

/// The number of an identity, which is given one where it has none; the second value says so.
pub(crate) async fn number(connection: &mut Connection, identity: &Identity) -> Result<(i64, bool), Error> {
    if let Some(number) = find(connection, identity).await? {
        return Ok((number, false));
    }
    let (kind, data) = stored(identity);
    let values = [Value::Int(kind), Value::Octets(&data)];
    connection
        .run("INSERT INTO identities (type, data) VALUES (?, ?) ON CONFLICT DO NOTHING", &values)
        .await?;
    match find(connection, identity).await? {
        Some(number) => Ok((number, true)),
        None => Err(Error::Wrong(format!("the database did not keep the identity {identity}"))),
    }
}
