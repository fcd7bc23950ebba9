//! Connections and credentials in the tables of strongSwan's `sql` plugin.
//!
//! A connection comes out as the section that `load-conn` would take, so that everything is checked as it is there.

mod section;

use crate::connection::{Connection, Error, Row};
use crate::value;
use config::tree::Section;
use policy::{Identity, SecretKind, SharedSecret};
use section::{Child, Peer, Selector};
use std::collections::BTreeMap;

/// What is configured in a database.
#[derive(Debug, Default)]
pub struct Configs {
    /// Connections by name, in the order of the table.
    pub connections: Vec<(String, Section)>,
    /// Shared secrets.
    pub secrets: Vec<SharedSecret>,
    /// Certificates, raw public keys and CRLs (DER or PEM), and who the database says they are of.
    pub certificates: Vec<(Vec<u8>, Vec<Identity>)>,
    /// Private keys (DER or PEM), and who the database says they are of.
    pub keys: Vec<(crypto::Secret, Vec<Identity>)>,
    /// What was left out, and why.
    pub complaints: Vec<String>,
}

const PEERS: &str = "SELECT CAST(p.id AS BIGINT), p.name, CAST(p.ike_version AS BIGINT), \
    CAST(p.cert_policy AS BIGINT), CAST(p.uniqueid AS BIGINT), CAST(p.auth_method AS BIGINT), \
    CAST(p.eap_type AS BIGINT), CAST(p.eap_vendor AS BIGINT), CAST(p.keyingtries AS BIGINT), \
    CAST(p.rekeytime AS BIGINT), CAST(p.reauthtime AS BIGINT), CAST(p.jitter AS BIGINT), \
    CAST(p.overtime AS BIGINT), CAST(p.mobike AS BIGINT), CAST(p.dpd_delay AS BIGINT), p.virtual, p.pool, \
    CAST(c.certreq AS BIGINT), CAST(c.force_encap AS BIGINT), c.local, c.remote, \
    CAST(l.type AS BIGINT), l.data, CAST(r.type AS BIGINT), r.data, CAST(c.id AS BIGINT) \
    FROM peer_configs p JOIN ike_configs c ON p.ike_cfg = c.id JOIN identities l ON p.local_id = l.id \
    JOIN identities r ON p.remote_id = r.id ORDER BY p.id";

const CHILDREN: &str = "SELECT CAST(m.peer_cfg AS BIGINT), CAST(c.id AS BIGINT), c.name, \
    CAST(c.lifetime AS BIGINT), CAST(c.rekeytime AS BIGINT), CAST(c.jitter AS BIGINT), c.updown, \
    CAST(c.hostaccess AS BIGINT), CAST(c.mode AS BIGINT), CAST(c.start_action AS BIGINT), \
    CAST(c.dpd_action AS BIGINT), CAST(c.close_action AS BIGINT), CAST(c.ipcomp AS BIGINT), \
    CAST(c.reqid AS BIGINT) FROM child_configs c JOIN peer_config_child_config m ON m.child_cfg = c.id \
    ORDER BY m.peer_cfg, c.id";

const SELECTORS: &str = "SELECT CAST(m.child_cfg AS BIGINT), CAST(m.kind AS BIGINT), CAST(t.type AS BIGINT), \
    CAST(t.protocol AS BIGINT), t.start_addr, t.end_addr, CAST(t.start_port AS BIGINT), \
    CAST(t.end_port AS BIGINT) FROM traffic_selectors t \
    JOIN child_config_traffic_selector m ON m.traffic_selector = t.id ORDER BY m.child_cfg, t.id";

const IKE_PROPOSALS: &str = "SELECT CAST(m.ike_cfg AS BIGINT), p.proposal FROM proposals p \
    JOIN ike_config_proposal m ON m.prop = p.id ORDER BY m.ike_cfg, m.prio";

const CHILD_PROPOSALS: &str = "SELECT CAST(m.child_cfg AS BIGINT), p.proposal FROM proposals p \
    JOIN child_config_proposal m ON m.prop = p.id ORDER BY m.child_cfg, m.prio";

const SECRETS: &str = "SELECT CAST(s.id AS BIGINT), CAST(s.type AS BIGINT), s.data, CAST(i.type AS BIGINT), i.data \
    FROM shared_secrets s LEFT JOIN shared_secret_identity m ON m.shared_secret = s.id \
    LEFT JOIN identities i ON m.identity = i.id ORDER BY s.id";

const CERTIFICATES: &str = "SELECT CAST(c.id AS BIGINT), CAST(c.type AS BIGINT), c.data, CAST(i.type AS BIGINT), i.data \
    FROM certificates c LEFT JOIN certificate_identity m ON m.certificate = c.id \
    LEFT JOIN identities i ON m.identity = i.id ORDER BY c.id";

const KEYS: &str = "SELECT CAST(k.id AS BIGINT), CAST(k.type AS BIGINT), k.data, CAST(i.type AS BIGINT), i.data \
    FROM private_keys k LEFT JOIN private_key_identity m ON m.private_key = k.id \
    LEFT JOIN identities i ON m.identity = i.id ORDER BY k.id";

/// Reads everything.
///
/// # Errors
/// [`Error`]: the database is lost, or a table or a column is missing. A row that means nothing is only complained
/// about.
pub async fn read(connection: &mut Connection) -> Result<Configs, Error> {
    let mut out = Configs::default();
    let ike_proposals = proposals(connection, IKE_PROPOSALS).await?;
    let child_proposals = proposals(connection, CHILD_PROPOSALS).await?;
    let mut selectors: BTreeMap<i64, Vec<Selector>> = BTreeMap::new();
    for row in connection.rows(SELECTORS, &[]).await? {
        selectors.entry(row.int(0)?).or_default().push(selector(&row)?);
    }
    let mut children: BTreeMap<i64, Vec<Child>> = BTreeMap::new();
    for row in connection.rows(CHILDREN, &[]).await? {
        let id = row.int(1)?;
        let selectors = selectors.get(&id).cloned().unwrap_or_default();
        let proposals = child_proposals.get(&id).cloned().unwrap_or_default();
        children.entry(row.int(0)?).or_default().push(child(&row, selectors, proposals)?);
    }
    for row in connection.rows(PEERS, &[]).await? {
        let children = children.remove(&row.int(0)?).unwrap_or_default();
        let proposals = ike_proposals.get(&row.int(25)?).cloned().unwrap_or_default();
        let peer = peer(&row, children, proposals)?;
        let name = peer.name.clone();
        match peer.section() {
            Ok(section) => out.connections.push((name, section)),
            Err(why) => out.complaints.push(format!("connection '{name}': {why}")),
        }
    }
    secrets(connection, &mut out).await?;
    for (id, kind, data, owners) in owned(connection, CERTIFICATES).await? {
        match kind {
            // X.509 certificates, CRLs, raw public keys.
            1 | 2 | 6 => out.certificates.push((data.as_slice().to_vec(), owners)),
            _ => out.complaints.push(format!("certificate {id}: type {kind} is not supported")),
        }
    }
    for (_, _, data, owners) in owned(connection, KEYS).await? {
        out.keys.push((data, owners));
    }
    if connection.number("SELECT COUNT(*) FROM certificate_distribution_points", &[]).await? > 0 {
        let why = "they are not read; name the authority in swanctl.conf, or the URIs in the certificates";
        out.complaints.push(format!("certificate_distribution_points: {why}"));
    }
    Ok(out)
}

async fn proposals(
    connection: &mut Connection,
    sql: &'static str,
) -> Result<BTreeMap<i64, Vec<String>>, Error> {
    let mut out: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in connection.rows(sql, &[]).await? {
        out.entry(row.int(0)?).or_default().push(row.text(1)?);
    }
    Ok(out)
}

fn selector(row: &Row) -> Result<Selector, Error> {
    Ok(Selector {
        kind: row.int(1)?,
        protocol: row.int(3)?,
        addresses: (row.octets(4)?, row.octets(5)?),
        ports: (row.int(6)?, row.int(7)?),
    })
}

fn child(row: &Row, selectors: Vec<Selector>, proposals: Vec<String>) -> Result<Child, Error> {
    Ok(Child {
        name: row.text(2)?,
        life_time: row.count(3)?,
        rekey_time: row.count(4)?,
        rand_time: row.count(5)?,
        updown: row.text(6)?,
        hostaccess: row.int(7)? != 0,
        mode: row.int(8)?,
        start_action: row.int(9)?,
        dpd_action: row.int(10)?,
        close_action: row.int(11)?,
        ipcomp: row.int(12)? != 0,
        reqid: row.count(13)?,
        selectors,
        proposals,
    })
}

fn peer(row: &Row, children: Vec<Child>, proposals: Vec<String>) -> Result<Peer, Error> {
    Ok(Peer {
        name: row.text(1)?,
        version: row.int(2)?,
        cert_policy: row.int(3)?,
        unique: row.int(4)?,
        auth_method: row.int(5)?,
        eap: (row.int(6)?, row.int(7)?),
        keyingtries: row.count(8)?,
        rekey_time: row.count(9)?,
        reauth_time: row.count(10)?,
        rand_time: row.count(11)?,
        over_time: row.count(12)?,
        mobike: row.int(13)? != 0,
        dpd_delay: row.count(14)?,
        vips: row.text(15)?,
        pools: row.text(16)?,
        certreq: row.int(17)? != 0,
        encap: row.int(18)? != 0,
        addresses: (row.text(19)?, row.text(20)?),
        local: (row.int(21)?, row.octets(22)?),
        remote: (row.int(23)?, row.octets(24)?),
        children,
        proposals,
    })
}

/// Rows of something with data that may belong to several identities: id, type, data, owners.
async fn owned(
    connection: &mut Connection,
    sql: &'static str,
) -> Result<Vec<(i64, i64, crypto::Secret, Vec<Identity>)>, Error> {
    let mut out: Vec<(i64, i64, crypto::Secret, Vec<Identity>)> = Vec::new();
    for row in connection.rows(sql, &[]).await? {
        let id = row.int(0)?;
        // 0 without data is what an outer join leaves of nobody.
        let (kind, data) = (row.int(3)?, row.octets(4)?);
        let owner = (kind != 0 || !data.is_empty()).then(|| identity(kind, &data));
        match out.last_mut() {
            Some((last, _, _, owners)) if *last == id => owners.extend(owner),
            _ => {
                out.push((id, row.int(1)?, crypto::Secret::new(row.octets(2)?), owner.into_iter().collect()))
            }
        }
    }
    Ok(out)
}

async fn secrets(connection: &mut Connection, out: &mut Configs) -> Result<(), Error> {
    for (id, kind, data, owners) in owned(connection, SECRETS).await? {
        let kind = match kind {
            1 => SecretKind::Ike,
            2 => SecretKind::Eap,
            _ => {
                out.complaints.push(format!("shared secret {id}: type {kind} is not supported"));
                continue;
            }
        };
        out.secrets.push(SharedSecret { id: String::new(), kind, data, owners });
    }
    Ok(())
}

/// `%any` is stored with any data, also with none.
fn identity(kind: i64, data: &[u8]) -> Identity {
    if kind == 0 { Identity::Any } else { value::identity(kind, data) }
}
