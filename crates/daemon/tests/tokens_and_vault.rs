//! Keys on a token (SoftHSM 2) and secrets in a Vault.
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
#[path = "lab/pair.rs"]
mod pair;

use lab::{Daemon, Kind, sh};
use pair::{Pair, SOON, TO_CAROL, TO_MOON, client, gateway, secrets};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Our tool, which knows `vault`; the stock one does not.
fn load(daemon: &Daemon, conf: &str) -> String {
    std::fs::write(daemon.dir.join("swanctl/swanctl.conf"), conf).unwrap();
    let tool = Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    let out = Command::new(tool)
        .args(["swanctl", "--load-all", "--noprompt", "--uri"])
        .arg(format!("unix://{}/vici", daemon.dir.display()))
        .env("STRONGSWAN_CONF", daemon.dir.join("strongswan.conf"))
        .env("SWANCTL_DIR", daemon.dir.join("swanctl"))
        .output()
        .unwrap();
    lab::both(&out)
}

#[test]
fn a_gateway_with_its_key_on_a_token() {
    let home = tempfile::tempdir().unwrap();
    let conf = home.path().join("softhsm2.conf");
    std::fs::create_dir(home.path().join("tokens")).unwrap();
    std::fs::write(
        &conf,
        format!(
            "directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
            home.path().display()
        ),
    )
    .unwrap();
    // The daemon inherits it; no other test of this binary uses a token.
    let hsm = |line: &str| sh(&format!("export SOFTHSM2_CONF={}; {line}", conf.display()));
    hsm("softhsm2-util --init-token --free --label moon --so-pin 12345678 --pin 4321");
    let settings =
        format!("plugins {{\n pkcs11 {{\n modules {{\n soft {{\n path = {MODULE}\n }}\n }}\n }}\n }}\n");
    let pair =
        Pair::with_environment([Kind::Cygnet, Kind::Charon], [&settings, ""], &[("SOFTHSM2_CONF", &conf)]);
    let ca = pair.authority();
    ca.end("moon", "rsa --size 2048", "ca", "--san moon.cygnet.test");
    ca.end("carol", "ecdsa --size 256", "ca", "--san carol@cygnet.test");
    ca.run("openssl pkcs8 -topk8 -nocrypt -in moon.key -out moon.p8");
    hsm(&format!(
        "softhsm2-util --import {} --token moon --label moon --id 0a01 --pin 4321",
        ca.file("moon.p8").display()
    ));
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509", "carol.pem"), ("private", "carol.key"), ("x509ca", "ca.pem")]);
    let token =
        |pin: &str| secrets(&format!("token-moon {{\n handle = 0a01\n module = soft\n pin = {pin}\n }}"));
    let ours = "auth = pubkey\n id = moon.cygnet.test\n certs = moon.pem";
    // The stock swanctl loads keys on tokens, too.
    pair.load(
        &(gateway(ours, TO_CAROL) + &token("4321")),
        &client("certs = carol.pem\n id = carol@cygnet.test", TO_MOON),
    );
    pair.works();
    assert!(pair.gw.logged("loaded private key with handle 0a01 from token", SOON), "{}", pair.gw.said());
    let said = pair.gw.swanctl(&["--load-creds", "--noprompt"]);
    assert!(said.contains("from token"), "{said}");
    std::fs::write(pair.gw.dir.join("swanctl/swanctl.conf"), token("9999")).unwrap();
    let said = pair.gw.swanctl(&["--load-creds", "--noprompt"]);
    assert!(said.contains("loading private key from token failed (login to slot"), "{said}");
    assert!(!said.contains("9999"), "{said}");
}

/// A server that answers as a Vault with version 2 of the key/value engine at `secret/` does, in the gateway's namespace
/// through a file that the test may change.
fn vault(pair: &Pair, password: &str) -> std::process::Child {
    let script = pair.lab.dir().join("vault.py");
    let mut file = std::fs::File::create(&script).unwrap();
    file.write_all(
        br#"import http.server, json, sys
class Vault(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("X-Vault-Token") != "hvs.good":
            return self.answer(403, {"errors": ["permission denied"]})
        if self.path != "/v1/secret/data/vpn/carol":
            return self.answer(404, {"errors": []})
        password = open(sys.argv[1]).read().strip()
        self.answer(200, {"request_id": "1", "lease_id": "", "renewable": False, "lease_duration": 0, "data": {"data": {"password": password}, "metadata": {"created_time": "2026-01-01T00:00:00Z", "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": 1}}, "wrap_info": None, "warnings": None, "auth": None})
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.HTTPServer(("127.0.0.1", 8200), Vault).serve_forever()
"#,
    )
    .unwrap();
    std::fs::write(pair.lab.dir().join("password"), password).unwrap();
    let (script, file) =
        (script.display().to_string(), pair.lab.dir().join("password").display().to_string());
    let child = pair.lab.spawn("gw", &["python3", &script, &file]);
    assert!(lab::wait_for(SOON, || pair.lab.exec("gw", "ss -Hltn").contains(":8200 ")), "no server");
    child
}

#[test]
fn a_password_in_a_vault_is_read_by_the_daemon_and_again_on_reload() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "hvs.good\n").unwrap();
    let settings = format!(
        "plugins {{\n vault {{\n address = http://127.0.0.1:8200\n token_file = {}\n }}\n }}\n",
        token.display()
    );
    let pair = Pair::with_environment([Kind::Cygnet, Kind::Charon], [&settings, ""], &[]);
    let mut server = vault(&pair, "first");
    let ca = pair.authority();
    ca.end("moon", "ecdsa --size 256", "ca", "--san moon.cygnet.test");
    ca.give(&pair.gw, &[("x509", "moon.pem"), ("private", "moon.key"), ("x509ca", "ca.pem")]);
    ca.give(&pair.cl, &[("x509ca", "ca.pem")]);
    let user = |secret: &str| secrets(&format!("eap-carol {{\n id = carol\n {secret}\n }}"));
    let theirs = "auth = eap-mschapv2\n id = carol@cygnet.test\n eap_id = %any";
    let conf = gateway(pair::MOON, theirs) + &user("vault = secret/data/vpn/carol:password");
    let said = load(&pair.gw, &conf);
    assert!(said.contains("loaded eap secret 'eap-carol'"), "{said}\n{}", pair.gw.said());
    let ours = "auth = eap-mschapv2\n id = carol@cygnet.test\n eap_id = carol";
    pair.cl.load(&(client(ours, TO_MOON) + &user("secret = first")));
    pair.works();
    // The password changes there; the daemon learns it when it reads its settings again.
    std::fs::write(pair.lab.dir().join("password"), "second").unwrap();
    pair.gw.swanctl(&["--reload-settings"]);
    pair.fails();
    pair.cl.load(&(client(ours, TO_MOON) + &user("secret = second")));
    pair.works();
    // A server that is gone takes nothing away.
    server.kill().unwrap();
    let mut rest = String::new();
    server.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
    server.wait().unwrap();
    pair.gw.swanctl(&["--reload-settings"]);
    assert!(pair.gw.logged("shared key 'eap-carol' not read again", SOON), "{}", pair.gw.said());
    pair.works();
    // A wrong path is told by name, without token and password.
    let said = load(&pair.gw, &(gateway(pair::MOON, theirs) + &user("vault = secret/data/nobody:password")));
    assert!(said.contains("secret/data/nobody:password"), "{said}");
    assert!(!said.contains("hvs.good") && !pair.gw.said().contains("hvs.good"));
}
