//! Connections and credentials from a database in strongSwan's schema, with a stock client at the other end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/authority.rs"]
mod authority;
#[path = "lab/lab.rs"]
mod lab;

use authority::{Authority, dn};
use lab::{Daemon, Kind, Lab, Path4, sh};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut out, octet| {
        let _infallible = write!(out, "{octet:02x}");
        out
    })
}

/// A database of the shipped schema with these rows.
fn database(lab: &Lab, rows: &str) -> PathBuf {
    let path = lab.dir().join("ipsec.db");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/schema/sqlite.sql");
    insert(&path, &(std::fs::read_to_string(schema).unwrap() + rows));
    path
}

fn insert(path: &std::path::Path, rows: &str) {
    let script = path.with_extension("sql");
    std::fs::write(&script, rows).unwrap();
    sh(&format!("sqlite3 {} <{}", path.display(), script.display()));
}

fn gateway(lab: &mut Lab, path: &std::path::Path) -> Daemon {
    let settings = format!("plugins {{ sql {{ database = sqlite://{} }} }}", path.display());
    lab.start_with("gw", Kind::Cygnet, &settings)
}

/// A gateway that is moon, for whoever comes, and a tunnel to its LAN.
fn rows(auth_method: u8) -> String {
    format!(
        "INSERT INTO identities (type, data) VALUES (2, X'{}');
         INSERT INTO identities (type, data) VALUES (0, '%any');
         INSERT INTO ike_configs (local, remote) VALUES ('192.0.2.1', '0.0.0.0');
         INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id, auth_method) VALUES ('rw', 1, 1, 2, {auth_method});
         INSERT INTO child_configs (name) VALUES ('net');
         INSERT INTO peer_config_child_config VALUES (1, 1);
         INSERT INTO traffic_selectors (type, start_addr, end_addr) VALUES (7, X'0a010000', X'0a01ffff');
         INSERT INTO traffic_selectors (type) VALUES (7);
         INSERT INTO child_config_traffic_selector VALUES (1, 1, 0);
         INSERT INTO child_config_traffic_selector VALUES (1, 2, 3);\n",
        hex(b"moon.cygnet.test")
    )
}

fn client(local: &str, remote: &str) -> String {
    format!(
        "connections {{ home {{
           remote_addrs = 192.0.2.1
           proposals = aes128-sha256-x25519
           encap = yes
           local {{ {local} }}
           remote {{ {remote} }}
           children {{ home {{ remote_ts = 10.1.0.0/16
                              esp_proposals = aes128gcm16 }} }} }} }}"
    )
}

#[test]
fn a_shared_key_and_a_connection_from_the_database() {
    let mut lab = Lab::new(Path4::Direct);
    let secret = format!(
        "INSERT INTO shared_secrets (type, data) VALUES (1, X'{}');
         INSERT INTO shared_secret_identity VALUES (1, 1);",
        hex(b"a good long secret")
    );
    let path = database(&lab, &(rows(2) + &secret));
    let gw = gateway(&mut lab, &path);
    // An empty swanctl.conf unloads what clients loaded: nothing of the database.
    gw.load("");
    let said = gw.swanctl(&["--list-conns", "--raw"]);
    assert!(said.contains("rw {"), "{said}\n{}", gw.said());
    let configuration = client("auth = psk\n id = carol@cygnet.test", "auth = psk\n id = moon.cygnet.test")
        + "secrets { ike { secret = \"a good long secret\" } }";
    let cl = lab.start("cl", Kind::Charon, &configuration);
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);

    // What is changed is taken when settings are reloaded; a database that cannot be read changes nothing.
    insert(
        &path,
        "INSERT INTO peer_configs (name, ike_cfg, local_id, remote_id) VALUES ('second', 1, 1, 2);
         UPDATE peer_configs SET auth_method = 9 WHERE name = 'rw';",
    );
    gw.swanctl(&["--reload-settings"]);
    let said = gw.swanctl(&["--list-conns", "--raw"]);
    assert!(said.contains("second {") && !said.contains("rw {"), "{said}");
    assert!(gw.logged("connection 'rw': auth_method 9 is not supported", SOON), "{}", gw.said());
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    gw.swanctl(&["--reload-settings"]);
    assert!(gw.logged("plugins.sql.database not read: ", SOON), "{}", gw.said());
    assert!(gw.swanctl(&["--list-conns", "--raw"]).contains("second {"));
}

#[test]
fn certificates_and_raw_keys_from_the_database() {
    let mut lab = Lab::new(Path4::Direct);
    let ca = Authority::open(&lab.dir().join("ca"));
    ca.end("moon", "rsa --size 2048", "ca", "--san moon.cygnet.test");
    ca.end("carol", "rsa --size 2048", "ca", "--san carol@cygnet.test");
    ca.key("dave", "rsa --size 2048");
    ca.run(
        "for k in moon dave; do pki --pub --in $k.key --outform der >$k.pub; done
         openssl x509 -in ca.pem -outform der >ca.der; openssl x509 -in moon.pem -outform der >moon.der",
    );
    let file = |name: &str| hex(&std::fs::read(ca.file(name)).unwrap());
    let credentials = format!(
        "INSERT INTO identities (type, data) VALUES (2, X'{}');
         INSERT INTO certificates (type, keytype, data) VALUES (1, 1, X'{}');
         INSERT INTO certificates (type, keytype, data) VALUES (1, 1, X'{}');
         INSERT INTO certificates (type, keytype, data) VALUES (6, 1, X'{}');
         INSERT INTO certificate_identity VALUES (2, 1);
         INSERT INTO certificate_identity VALUES (3, 3);
         INSERT INTO private_keys (type, data) VALUES (1, X'{}');",
        hex(b"dave.cygnet.test"),
        file("ca.der"),
        file("moon.der"),
        file("dave.pub"),
        file("moon.key")
    );
    let path = database(&lab, &(rows(1) + &credentials));
    let gw = gateway(&mut lab, &path);
    assert!(
        gw.swanctl(&["--list-certs"]).contains(&dn("Root").replace("C=CH, O=Cygnet, ", "")),
        "{}",
        gw.said()
    );

    // Carol by her certificate, Dave by his key, which the database says is his.
    let cl = lab.start_with("cl", Kind::Charon, "");
    ca.give(
        &cl,
        &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem"), ("pubkey", "dave.pub")],
    );
    ca.give(&cl, &[("private", "dave.key"), ("pubkey", "moon.pub")]);
    let moon = "auth = pubkey\n id = moon.cygnet.test";
    cl.load(&client("auth = pubkey\n certs = carol.pem\n id = carol@cygnet.test", moon));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
    cl.swanctl(&["--terminate", "--ike", "home"]);
    cl.load(&client("auth = pubkey\n pubkeys = dave.pub\n id = dave.cygnet.test", moon));
    cl.initiate("home");
    lab.ping("cl", "10.1.0.10", 3);
    cl.swanctl(&["--terminate", "--ike", "home"]);
    // That key is no other's.
    cl.load(&client("auth = pubkey\n pubkeys = dave.pub\n id = erin.cygnet.test", moon));
    assert!(!cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]).0);
}
