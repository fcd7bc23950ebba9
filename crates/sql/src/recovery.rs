//! What a gateway that ended without saying goodbye left behind.
use crate::connection::{Connection, Error, Value};

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
