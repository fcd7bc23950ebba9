//! What a gateway that ended without saying goodbye left behind.
use crate::connection::{Connection, Error, Value};
use crate::settings::Recovery;

/// Releases what is to be released when a gateway starts, in a transaction of its own; returns how many addresses.
pub(crate) async fn recover(
    connection: &mut Connection,
    what: Recovery,
    gateway: &str,
    now: u64,
    history: bool,
) -> Result<u64, Error> {
    connection.begin().await?;
    let mut released = release_own(connection, gateway, now, history).await?;
    let rest = match what {
        Recovery::Own => None,
        Recovery::OwnAndUnknown => Some([
            "INSERT INTO leases (address, identity, acquired, released) \
             SELECT a.id, a.identity, a.acquired, CAST(? AS BIGINT) FROM addresses a WHERE a.released = 0 \
             AND a.identity <> 0 AND NOT EXISTS (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id \
             AND h.identity = a.identity)",
            "UPDATE addresses SET released = ? WHERE released = 0 AND identity <> 0 AND NOT EXISTS \
             (SELECT 1 FROM cygnet_holds h WHERE h.address = addresses.id AND h.identity = addresses.identity)",
        ]),
        Recovery::All => {
            connection.run("DELETE FROM cygnet_holds", &[]).await?;
            Some([
                "INSERT INTO leases (address, identity, acquired, released) \
                 SELECT id, identity, acquired, CAST(? AS BIGINT) FROM addresses \
                 WHERE released = 0 AND identity <> 0",
                "UPDATE addresses SET released = ? WHERE released = 0 AND identity <> 0",
            ])
        }
    };
    if let Some([ended, ends]) = rest {
        let now = [Value::Int(i64::try_from(now).unwrap_or(i64::MAX))];
        if history {
            connection.run(ended, &now).await?;
        }
        released = released.saturating_add(connection.run(ends, &now).await?);
    }
    connection.commit().await?;
    Ok(released)
}

/// Releases the addresses that only this gateway uses, and forgets that it uses any; returns how many were released.
/// `history` writes the ended leases into the history.
pub(crate) async fn release_own(
    connection: &mut Connection,
    gateway: &str,
    now: u64,
    history: bool,
) -> Result<u64, Error> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let own = [Value::Int(now), Value::Text(gateway), Value::Text(gateway)];
    if history {
        connection
            .run(
                "INSERT INTO leases (address, identity, acquired, released) \
                 SELECT a.id, a.identity, a.acquired, CAST(? AS BIGINT) FROM addresses a WHERE a.identity <> 0 \
                 AND a.id IN (SELECT h.address FROM cygnet_holds h WHERE h.gateway = ? AND h.identity = a.identity) \
                 AND NOT EXISTS (SELECT 1 FROM cygnet_holds h WHERE h.address = a.id AND h.identity = a.identity \
                 AND h.gateway <> ?)",
                &own,
            )
            .await?;
    }
    let released = connection
        .run(
            "UPDATE addresses SET released = ? WHERE identity <> 0 \
             AND id IN (SELECT h.address FROM cygnet_holds h WHERE h.gateway = ? AND h.identity = addresses.identity) \
             AND NOT EXISTS (SELECT 1 FROM cygnet_holds h WHERE h.address = addresses.id \
             AND h.identity = addresses.identity AND h.gateway <> ?)",
            &own,
        )
        .await?;
    connection.run("DELETE FROM cygnet_holds WHERE gateway = ?", &[Value::Text(gateway)]).await?;
    Ok(released)
}
