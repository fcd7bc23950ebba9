//! Connections and credentials from the tables of strongSwan's `sql` plugin.
use crate::servers::{Fresh, KINDS, fresh};
use config::tree::Section;
use policy::{Identity, SecretKind};
use sql::configs::read;
use sql::{Connection, Error, Kind};

const SCHEMA: &str = include_str!("../../schema/sqlite.sql");

/// Two gateways by pre-shared key; road warriors with certificates, a pool and EAP; a shunt.
const DATA: &str = "
INSERT INTO identities (type, data) VALUES (2, X'6d6f6f6e');
INSERT INTO identities (type, data) VALUES (2, X'73756e');
INSERT INTO identities (type, data) VALUES (0, '%any');
INSERT INTO shared_secrets (type, data) VALUES (1, X'00ff10');
INSERT INTO shared_secret_identity VALUES (1, 1);
INSERT INTO shared_secret_identity VALUES (1, 2);
INSERT INTO shared_secrets (type, data) VALUES (2, 'for anybody');
INSERT INTO shared_secrets (type, data) VALUES (3, 'a passphrase');
INSERT INTO ike_configs (local, remote) VALUES ('192.0.2.1', '192.0.2.2, gw.example');
INSERT INTO ike_configs (local, remote, certreq, force_encap) VALUES ('%any', '0::0', 0, 1);
INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id, auth_method, mobike) VALUES ('net-net', 1, 1, 2, 2, 0);
INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id, eap_type, pool, dpd_delay) \
    VALUES ('rw', 2, 1, 3, 26, 'v4,v6', 0);
INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id, auth_method) VALUES ('shunts', 2, 3, 3, 0);
INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id, eap_type) VALUES ('odd', 2, 1, 3, 99);
INSERT INTO child_configs (name, updown, start_action, dpd_action) VALUES ('net', '/bin/updown a,b', 1, 2);
INSERT INTO child_configs (name, mode, start_action) VALUES ('local-net', 4, 1);
INSERT INTO peer_config_child_config VALUES (1, 1);
INSERT INTO peer_config_child_config VALUES (3, 2);
INSERT INTO traffic_selectors (start_addr, end_addr) VALUES (X'0a010000', X'0a01ffff');
INSERT INTO traffic_selectors (protocol, start_addr, end_addr, start_port, end_port) \
    VALUES (6, X'0a020000', X'0a0200ff', 80, 80);
INSERT INTO traffic_selectors (type, protocol) VALUES (7, 17);
INSERT INTO child_config_traffic_selector VALUES (1, 1, 0);
INSERT INTO child_config_traffic_selector VALUES (1, 3, 2);
INSERT INTO child_config_traffic_selector VALUES (1, 2, 1);
INSERT INTO proposals (proposal) VALUES ('aes256-sha256-x25519');
INSERT INTO proposals (proposal) VALUES ('aes128gcm16');
INSERT INTO ike_config_proposal VALUES (1, 1, 1);
INSERT INTO child_config_proposal VALUES (1, 1, 2);
INSERT INTO certificates (type, keytype, data) VALUES (1, 1, X'30');
INSERT INTO certificates (type, keytype, data) VALUES (8, 1, X'99');
INSERT INTO certificate_identity VALUES (1, 1);
INSERT INTO certificate_identity VALUES (1, 2);
INSERT INTO private_keys (type, data) VALUES (1, X'31');
INSERT INTO private_key_identity VALUES (1, 1);
INSERT INTO certificate_authorities (certificate) VALUES (1);
INSERT INTO certificate_distribution_points (ca, type, uri) VALUES (1, 1, 'http://crl.example/');
";

/// Statements for SQLite as another database spells them.
fn spelled(kind: Kind, statement: &str) -> String {
    match kind {
        Kind::Sqlite => statement.to_owned(),
        Kind::Mysql => statement
            .replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY")
            .replace("TEXT", "VARCHAR(190)")
            .replace("BLOB", "VARBINARY(512)")
            .replace('"', "`"),
        Kind::Postgres => statement
            .replace("INTEGER PRIMARY KEY AUTOINCREMENT", "SERIAL PRIMARY KEY")
            .replace("BLOB", "BYTEA")
            .replace("X'", "'\\x"),
    }
}

async fn database(kind: Kind, script: &str) -> (Fresh, Connection) {
    let database = fresh(kind).await;
    let mut connection = Connection::open(&database.uri, true).await.unwrap();
    for statement in script.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        let statement = spelled(kind, statement);
        let done = connection.script(Box::leak(statement.into_boxed_str())).await;
        done.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    }
    (database, connection)
}

fn text<'a>(section: &'a Section, path: &str) -> Option<&'a str> {
    section.lookup(path)?.as_text()
}

#[tokio::test]
async fn connections_come_out_as_load_conn_takes_them() {
    for kind in KINDS {
        let (_database, mut connection) = database(kind, &format!("{SCHEMA}{DATA}")).await;
        let configs = read(&mut connection).await.unwrap();
        let names: Vec<&str> = configs.connections.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["net-net", "rw", "shunts"]);
        let of = |name: &str| &configs.connections.iter().find(|(n, _)| n == name).unwrap().1;

        let net = of("net-net");
        for (key, value) in [
            ("version", "2"),
            ("local_addrs", "192.0.2.1"),
            ("remote_addrs", "192.0.2.2, gw.example"),
            ("proposals", "aes256-sha256-x25519"),
            ("mobike", "no"),
            ("dpd_delay", "120"),
            ("send_cert", "ifasked"),
            ("unique", "never"),
            ("local.auth", "psk"),
            ("local.id", "{2}:#6d6f6f6e"),
            ("remote.auth", "any"),
            ("remote.id", "{2}:#73756e"),
            ("children.net.local_ts", "10.1.0.0-10.1.255.255, dynamic[17]"),
            ("children.net.remote_ts", "10.2.0.0-10.2.0.255[6/80]"),
            ("children.net.esp_proposals", "aes128gcm16"),
            ("children.net.updown", "/bin/updown a,b"),
            ("children.net.mode", "tunnel"),
            ("children.net.start_action", "trap"),
            ("children.net.dpd_action", "start"),
        ] {
            assert_eq!(text(net, key), Some(value), "{key}");
        }

        let rw = of("rw");
        for (key, value) in [
            ("remote_addrs", Some("::")),
            ("pools", Some("v4,v6")),
            ("encap", Some("yes")),
            ("send_certreq", Some("no")),
            ("local.auth", Some("pubkey")),
            ("remote.auth", Some("eap-mschapv2")),
            ("remote.id", None),
            ("vips", None),
        ] {
            assert_eq!(text(rw, key), value, "{key}");
        }
        assert!(text(rw, "proposals").unwrap().starts_with("aes128-aes192-aes256-sha256"));
        assert_eq!(text(of("shunts"), "children.local-net.mode"), Some("pass"));
    }
}

/// Every section is sound, as its loader sees it.
#[tokio::test]
async fn the_loader_of_connections_takes_them() {
    for kind in KINDS {
        let (_database, mut connection) = database(kind, &format!("{SCHEMA}{DATA}")).await;
        for (name, section) in read(&mut connection).await.unwrap().connections {
            let loaded = config::load_connection(&name, &section, &config::Context::default());
            let loaded = loaded.unwrap_or_else(|reports| panic!("{name}: {reports:?}"));
            if name == "rw" {
                // charon's order: other ciphers first, ECP_256 before X25519.
                let first = loaded.proposals.first().unwrap().to_string();
                assert!(first.starts_with("IKE:AES_CBC_128/"), "{first}");
                assert!(first.find("ECP_256").unwrap() < first.find("CURVE_25519").unwrap(), "{first}");
            }
        }
    }
}

#[tokio::test]
async fn credentials_belong_to_identities() {
    for kind in KINDS {
        let (_database, mut connection) = database(kind, &format!("{SCHEMA}{DATA}")).await;
        let configs = read(&mut connection).await.unwrap();
        let id = |text: &str| Identity::parse(text).unwrap();
        let secrets: Vec<_> =
            configs.secrets.iter().map(|s| (s.kind, s.data.as_slice(), &*s.owners)).collect();
        assert_eq!(
            secrets,
            [
                (SecretKind::Ike, &[0, 0xff, 0x10][..], &[id("moon"), id("sun")][..]),
                (SecretKind::Eap, b"for anybody", &[]),
            ]
        );
        assert_eq!(configs.certificates, [(vec![0x30], vec![id("moon"), id("sun")])]);
        assert_eq!(configs.keys.len(), 1);
        assert_eq!(configs.keys[0].1, [id("moon")]);
        assert_eq!(
            configs.complaints,
            [
                "connection 'odd': eap_type 99 is not supported",
                "shared secret 3: type 3 is not supported",
                "certificate 2: type 8 is not supported",
                "certificate_distribution_points: they are not read; name the authority in swanctl.conf, or the URIs in \
                 the certificates",
            ]
        );
    }
}

#[tokio::test]
async fn a_database_of_pools_only_is_named() {
    for kind in KINDS {
        let (_database, mut connection) = database(kind, "CREATE TABLE pools (id INTEGER)").await;
        let error = read(&mut connection).await.unwrap_err();
        assert!(matches!(&error, Error::NoTable { table, .. } if table == "proposals"), "{error}");
    }
}
