//! `cygnet quickstart` from the first command to the last, and what is in the files that users get.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "tests"
)]
use data_encoding::BASE64;
use pki::container::certificates;
use pki::{Item, load};
use plist::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

struct Gateway(TempDir);

impl Gateway {
    fn new(more: &[&str]) -> Self {
        let gateway = Self(tempfile::tempdir().unwrap());
        let out = gateway.run(&[&["--name", "gw.example.org"], more].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        gateway
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cygnet"))
            .args(["quickstart", "--dir"])
            .arg(self.0.path())
            .args(words)
            .output()
            .unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn user(&self, words: &[&str]) -> (serde_json::Value, PathBuf) {
        let out = self.run(&[&["--json", "user"], words].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let home = PathBuf::from(told["directory"].as_str().unwrap());
        (told, home)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn good(file: &Path) {
    let out = Command::new(env!("CARGO_BIN_EXE_cygnet")).arg("check").arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(!String::from_utf8_lossy(&out.stdout).contains("warning"), "{}", file.display());
}

#[test]
fn a_gateway_and_what_it_refuses() {
    let gateway =
        Gateway::new(&["--address", "192.0.2.1,2001:db8::1", "--dns", "10.1.0.53", "--pool", "10.9.0.0/24"]);
    good(&gateway.path("swanctl.conf"));
    let mode = |name: &str| gateway.path(name).metadata().unwrap().permissions().mode() & 0o777;
    for secret in ["quickstart/ca-key.pem", "private/quickstart-gateway.pem", "quickstart/state.json"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    assert_eq!(mode("quickstart"), 0o700);
    let certificate =
        certificates(&std::fs::read(gateway.path("x509/quickstart-gateway.pem")).unwrap()).unwrap().remove(0);
    let names: Vec<String> = certificate.names().iter().map(ToString::to_string).collect();
    // Windows looks for an address among the dNSNames.
    assert_eq!(names, ["gw.example.org", "192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::1"]);
    assert!(certificate.not_after() - certificate.not_before() < 825 * 86_400);
    // serverAuth for all, ikeIntermediate for old Apples.
    assert_eq!(certificate.extended_key_usage(), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.8.2.2"]);
    let before = read(&gateway.path("conf.d/quickstart.conf"));
    let again = gateway.run(&["--name", "gw.example.org"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing was changed"));
    assert_eq!(read(&gateway.path("conf.d/quickstart.conf")), before);
    let old = read(&gateway.path("x509/quickstart-gateway.pem"));
    assert!(gateway.run(&["--renew"]).status.success());
    assert_ne!(read(&gateway.path("x509/quickstart-gateway.pem")), old);
}

#[test]
fn nothing_is_written_on_trial_or_after_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway(directory);
    for (words, code) in [
        (&["--name", "gw.example.org", "--dry-run"][..], 0),
        (&[], 2),
        (&["--name", "no name"], 2),
        (&["--name", "gw.example.org", "--pool", "10.0.0.1"], 2),
        (&["--name", "gw.example.org", "--dns", "dns.example.org"], 2),
        (&["--name", "gw.example.org", "--address", "gw"], 2),
        (&["user", "alice"], 1),
        (&["user", "--list"], 1),
    ] {
        let out = gateway.run(words);
        assert_eq!(out.status.code(), Some(code), "{words:?} {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(std::fs::read_dir(gateway.0.path()).unwrap().count(), 0, "{words:?}");
    }
}

#[test]
fn a_foreign_file_is_left_alone() {
    let gateway = Gateway(tempfile::tempdir().unwrap());
    std::fs::create_dir(gateway.path("conf.d")).unwrap();
    std::fs::write(gateway.path("conf.d/quickstart.conf"), "# mine\n").unwrap();
    assert_eq!(gateway.run(&["--name", "gw.example.org"]).status.code(), Some(1));
    assert_eq!(read(&gateway.path("conf.d/quickstart.conf")), "# mine\n");
    assert!(!gateway.path("quickstart").exists());
}

#[test]
fn users_come_and_go() {
    let gateway = Gateway::new(&[]);
    let (told, home) = gateway.user(&["alice"]);
    let secret = gateway.path("conf.d/quickstart-user-alice.conf");
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(read(&secret).contains(told["password"].as_str().unwrap()));
    for file in told["files"].as_array().unwrap() {
        let mode = home.join(file.as_str().unwrap()).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    for file in ["swanctl-cert/swanctl.conf", "swanctl-login/swanctl.conf"] {
        good(&home.join(file));
    }
    good(&gateway.path("swanctl.conf"));
    assert_eq!(gateway.run(&["user", "alice"]).status.code(), Some(1));
    assert_eq!(gateway.run(&["user", "../alice"]).status.code(), Some(2));
    let (bob, home) = gateway.user(&["bob", "--cert"]);
    assert!(bob["password"].is_null() && !home.join("login.txt").exists());
    assert!(!gateway.path("conf.d/quickstart-user-bob.conf").exists());
    let (carol, home) = gateway.user(&["carol", "--eap"]);
    assert!(carol["container_password"].is_null() && !home.join("user.p12").exists());

    assert_eq!(gateway.run(&["user", "--revoke", "dave"]).status.code(), Some(1));
    for name in ["alice", "bob"] {
        assert!(gateway.run(&["user", "--revoke", name]).status.success());
    }
    assert!(!secret.exists());
    let crl = pki::Crl::from_der(&std::fs::read(gateway.path("x509crl/quickstart.crl")).unwrap()).unwrap();
    assert_eq!((crl.len(), crl.number()), (2, &[3][..]));
    let authority =
        certificates(&std::fs::read(gateway.path("x509ca/quickstart-ca.pem")).unwrap()).unwrap().remove(0);
    crl.verify(&authority).unwrap();
    let bobs = gateway.path("quickstart/users/bob/swanctl-cert/x509/client.pem");
    assert!(crl.entry(&certificates(&std::fs::read(bobs).unwrap()).unwrap()[0]).is_some());
    let out = gateway.run(&["--json", "user", "--list"]);
    let list: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let revoked: Vec<bool> =
        list["users"].as_array().unwrap().iter().map(|user| !user["revoked"].is_null()).collect();
    assert_eq!(revoked, [true, true, false]);
}

fn payload<'a>(profile: &'a plist::Dictionary, kind: &str) -> &'a plist::Dictionary {
    let all = profile["PayloadContent"].as_array().unwrap();
    all.iter()
        .map(|payload| payload.as_dictionary().unwrap())
        .find(|payload| payload["PayloadType"].as_string() == Some(kind))
        .unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn apple_profiles_have_what_apple_wants() {
    let gateway = Gateway::new(&[]);
    let (told, home) = gateway.user(&["alice", "--on-demand"]);
    for (file, certificate) in [("cert.mobileconfig", true), ("login.mobileconfig", false)] {
        let profile = Value::from_file(home.join(file)).unwrap();
        let profile = profile.as_dictionary().unwrap();
        let mut ids = std::collections::BTreeSet::new();
        let content =
            profile["PayloadContent"].as_array().unwrap().iter().map(|p| p.as_dictionary().unwrap());
        for part in std::iter::once(profile).chain(content) {
            for key in ["PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName"] {
                assert!(part[key].as_string().is_some_and(|text| !text.is_empty()), "{file} {key}");
            }
            assert_eq!(part["PayloadVersion"].as_signed_integer(), Some(1));
            assert!(ids.insert(part["PayloadUUID"].as_string().unwrap().to_owned()), "{file}: UUIDs differ");
        }
        let root = payload(profile, "com.apple.security.root");
        let authority = certificates(root["PayloadContent"].as_data().unwrap()).unwrap().remove(0);
        let vpn = payload(profile, "com.apple.vpn.managed");
        assert_eq!(vpn["VPNType"].as_string(), Some("IKEv2"));
        let ike = vpn["IKEv2"].as_dictionary().unwrap();
        let text = |key: &str| ike.get(key).and_then(Value::as_string);
        let number = |key: &str| ike.get(key).and_then(Value::as_signed_integer);
        assert_eq!(text("RemoteAddress"), Some("gw.example.org"));
        assert_eq!(text("RemoteIdentifier"), Some("gw.example.org"));
        assert_eq!(text("LocalIdentifier"), Some("alice@gw.example.org"));
        assert_eq!(text("ServerCertificateIssuerCommonName"), Some("gw.example.org VPN CA"));
        assert_eq!(authority.subject().to_string(), "CN=gw.example.org VPN CA");
        assert_eq!((number("EnablePFS"), number("OnDemandEnabled")), (Some(1), Some(1)));
        for key in ["IKESecurityAssociationParameters", "ChildSecurityAssociationParameters"] {
            let algorithms = ike[key].as_dictionary().unwrap();
            assert_eq!(algorithms["EncryptionAlgorithm"].as_string(), Some("AES-256-GCM"));
            assert_eq!(algorithms["DiffieHellmanGroup"].as_signed_integer(), Some(19));
        }
        if certificate {
            assert_eq!(
                (text("AuthenticationMethod"), number("ExtendedAuthEnabled")),
                (Some("Certificate"), Some(0))
            );
            let own = payload(profile, "com.apple.security.pkcs12");
            assert_eq!(text("PayloadCertificateUUID"), own["PayloadUUID"].as_string());
            let items = load(own["PayloadContent"].as_data().unwrap(), own["Password"].as_string()).unwrap();
            let named = items.iter().any(|item| match item {
                Item::Certificate(c) => {
                    c.names().iter().any(|name| name.to_string() == "alice@gw.example.org")
                }
                _ => false,
            });
            assert!(named && items.iter().any(|item| matches!(item, Item::PrivateKey(_))));
        } else {
            assert_eq!(
                (text("AuthenticationMethod"), number("ExtendedAuthEnabled")),
                (Some("None"), Some(1))
            );
            assert_eq!((text("AuthName"), text("AuthPassword")), (Some("alice"), told["password"].as_str()));
        }
    }
}

#[test]
fn android_profiles_are_as_documented() {
    let gateway = Gateway::new(&["--pool", "10.9.0.0/24", "--route", "10.1.0.0/16"]);
    let (told, home) = gateway.user(&["alice"]);
    for (file, kind) in [("cert.sswan", "ikev2-cert"), ("login.sswan", "ikev2-eap")] {
        let profile: serde_json::Value = serde_json::from_str(&read(&home.join(file))).unwrap();
        assert_eq!(profile["type"], kind);
        assert_eq!(profile["uuid"].as_str().unwrap().len(), 36);
        assert_eq!(
            (&profile["remote"]["addr"], &profile["remote"]["id"]),
            (&"gw.example.org".into(), &"gw.example.org".into())
        );
        let authority = BASE64.decode(profile["remote"]["cert"].as_str().unwrap().as_bytes()).unwrap();
        assert!(certificates(&authority).unwrap()[0].is_ca());
        assert_eq!(profile["split-tunneling"]["subnets"], serde_json::json!(["10.1.0.0/16"]));
        assert_eq!(profile["split-tunneling"]["block-ipv6"], true);
        if kind == "ikev2-cert" {
            let container = BASE64.decode(profile["local"]["p12"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(load(&container, told["container_password"].as_str()).unwrap().len(), 3);
        } else {
            assert_eq!(profile["local"]["eap_id"], "alice");
            assert!(profile.get("p12").is_none());
        }
    }
    assert!(read(&home.join("login.svg")).contains("<svg"));
}

/// As far as one can tell without PowerShell: here-strings are closed at the beginning of a line, quotes and braces pair.
fn sound(script: &str) {
    let mut outside = String::new();
    let mut inside = false;
    for line in script.trim_start_matches('\u{feff}').split("\r\n") {
        assert!(!line.contains('\n'), "line ends");
        if inside {
            inside = !line.starts_with("'@");
            outside.push_str(if inside { "" } else { &line[2..] });
        } else if let Some(before) = line.strip_suffix("@'") {
            inside = true;
            outside.push_str(before);
        } else if !line.trim_start().starts_with('#') {
            outside.push_str(line);
        }
        outside.push('\n');
    }
    assert!(!inside, "a here-string is not closed");
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        assert_eq!(outside.matches(open).count(), outside.matches(close).count(), "{open}{close}\n{outside}");
    }
    assert_eq!(outside.matches('\'').count() % 2, 0, "{outside}");
    // What a back-tick continues has a next line with a parameter.
    for pair in outside.lines().collect::<Vec<_>>().windows(2) {
        assert!(!pair[0].ends_with('`') || pair[1].trim_start().starts_with('-'), "{pair:?}");
    }
}

#[test]
fn windows_scripts_set_good_algorithms() {
    let gateway = Gateway::new(&[]);
    let (told, home) = gateway.user(&["alice"]);
    for file in ["cert.ps1", "login.ps1"] {
        let script = read(&home.join(file));
        sound(&script);
        for part in [
            "-TunnelType IKEv2",
            "$server = 'gw.example.org'",
            "-EncryptionMethod GCMAES256",
            "-DHGroup ECP384",
            "-PfsGroup ECP384",
            "-DestinationPrefix '::/0'",
        ] {
            assert!(script.contains(part), "{file}: {part}");
        }
        assert!(!script.contains("-SplitTunneling"));
    }
    assert!(read(&home.join("login.ps1")).contains("MsChapV2ConnectionPropertiesV1"));
    let script = read(&home.join("cert.ps1"));
    let container = script.split("@'\r\n").nth(2).unwrap().split("\r\n'@").next().unwrap();
    let container = BASE64.decode(container.as_bytes()).unwrap();
    assert_eq!(load(&container, told["container_password"].as_str()).unwrap().len(), 3);
}
