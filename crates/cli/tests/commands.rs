//! The program itself against a daemon that answers as told and remembers what it was asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "tests"
)]
#[path = "fake/daemon.rs"]
mod daemon;

use config::tree::{Node, Section};
use daemon::{Daemon, cygnet, section, success, text, within};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use vici::Message;

/// A daemon with one connection that is up.
fn one_up(command: &str, _message: &Section) -> (Vec<(&'static str, Section)>, Section) {
    match command {
        "list-sas" => {
            let mut sa = section(&[
                ("uniqueid", "1"),
                ("version", "2"),
                ("state", "ESTABLISHED"),
                ("local-host", "192.0.2.2"),
            ]);
            let child = section(&[("name", "net"), ("uniqueid", "2"), ("state", "INSTALLED")]);
            sa.put_section("child-sas", within("net-2", child));
            (vec![("list-sa", within("home", sa))], Section::default())
        }
        "list-conns" => {
            let children = within("children", within("net", Section::default()));
            (vec![("list-conn", within("home", children))], Section::default())
        }
        "initiate" | "terminate" => {
            let log = section(&[("group", "IKE"), ("level", "1"), ("msg", "doing it")]);
            (
                vec![("control-log", log)],
                section(&[("success", "yes"), ("matches", "1"), ("terminated", "1")]),
            )
        }
        _ => (Vec::new(), success()),
    }
}

#[test]
fn status_as_a_table_and_as_json() {
    let daemon = Daemon::new(one_up);
    let output = daemon.run(&["status"]);
    assert!(output.status.success());
    let shown = text(&output.stdout);
    assert!(shown.starts_with("IKE_SA ") && shown.contains("home[1]") && shown.contains("net{2}"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours into a pipe");
    let json: serde_json::Value =
        serde_json::from_slice(&daemon.run(&["status", "--json", "home"]).stdout).unwrap();
    assert_eq!(json["schema"], "cygnet.status/1");
    assert_eq!(json["ike_sas"][0]["child_sas"][0]["name"], "net");
    assert_eq!(daemon.asked()[1].1.text("ike"), Some("home"));
}

/// Certificates as `cygnet pki` makes them: one good for ten days, one for a year.
static CERTIFICATES: std::sync::LazyLock<[Vec<u8>; 2]> = std::sync::LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let made = cygnet(&["pki", "--gen", "--type", "ed25519"]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    std::fs::write(&key, made.stdout).unwrap();
    ["10", "365"].map(|days| {
        let name = format!("C=CH, CN={days}");
        let words = ["pki", "--self", "--dn", &name, "--lifetime", days, "--in"];
        let made = cygnet(&words).arg(&key).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        made.stdout
    })
});

#[test]
fn certificates_as_a_table_and_as_json() {
    fn holding(command: &str, message: &Section) -> (Vec<(&'static str, Section)>, Section) {
        if command != "list-certs" || message.text("type") != Some("X509") {
            return (Vec::new(), Section::default());
        }
        let mut own = section(&[("type", "X509"), ("flag", "NONE"), ("has_privkey", "yes")]);
        own.put_bytes("data", CERTIFICATES[0].as_slice());
        let mut ca = section(&[("type", "X509"), ("flag", "CA")]);
        ca.put_bytes("data", CERTIFICATES[1].as_slice());
        let broken = section(&[("type", "X509"), ("flag", "NONE"), ("data", "no certificate")]);
        let events = [own, ca, broken].map(|event| ("list-cert", event));
        (events.to_vec(), Section::default())
    }
    // Not made while the tool waits for them: it knows what time it was when it asked.
    std::sync::LazyLock::force(&CERTIFICATES);
    let daemon = Daemon::new(holding);
    let output = daemon.run(&["certs"]);
    assert!(output.status.success());
    let shown = text(&output.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[0].starts_with("SUBJECT ") && lines[0].ends_with(" STATE"), "{shown}");
    assert!(lines[1].starts_with("C=CH, CN=10 ") && lines[1].ends_with(" expires soon"), "{shown}");
    assert!(lines[2].contains(" CA ") && lines[2].ends_with(" valid"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours into a pipe");
    assert!(text(&output.stderr).starts_with("a certificate of type X509 cannot be read: "));
    let json: serde_json::Value = serde_json::from_slice(&daemon.run(&["certs", "--json"]).stdout).unwrap();
    assert_eq!(json["schema"], "cygnet.certs/1");
    let own = &json["certificates"][0];
    assert_eq!((&own["subject"], &own["issuer"]), (&"C=CH, CN=10".into(), &"C=CH, CN=10".into()));
    assert_eq!((&own["private_key"], &own["state"]), (&true.into(), &"expiring".into()));
    let days = own["days_left"].as_i64().unwrap();
    assert!((9..=10).contains(&days), "{days}");
    assert_eq!(
        (&json["certificates"][1]["flag"], &json["certificates"][1]["state"]),
        (&"CA".into(), &"valid".into())
    );
}

#[test]
fn up_finds_out_what_a_name_means_and_shows_the_log() {
    fn none_up(command: &str, message: &Section) -> (Vec<(&'static str, Section)>, Section) {
        if command == "list-sas" { (Vec::new(), Section::default()) } else { one_up(command, message) }
    }
    let daemon = Daemon::new(none_up);
    let output = daemon.run(&["up", "home", "--timeout", "7"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "  [IKE] doing it\nnet of home is up\n");
    let message = daemon.message("initiate");
    assert_eq!((message.text("ike"), message.text("child")), (Some("home"), Some("net")));
    assert_eq!((message.text("timeout"), message.text("loglevel")), (Some("7000"), Some("1")));
}

#[test]
fn up_does_not_double_what_is_up() {
    let daemon = Daemon::new(one_up);
    assert_eq!(text(&daemon.run(&["up", "home"]).stdout), "net of home is up already\n");
    assert!(!daemon.commands().contains(&"initiate".to_owned()));
}

#[test]
fn down_picks_by_name() {
    let daemon = Daemon::new(one_up);
    assert_eq!(text(&daemon.run(&["down", "net", "--quiet", "--force"]).stdout), "net is down\n");
    let message = daemon.message("terminate");
    assert_eq!((message.text("child"), message.text("force")), (Some("net"), Some("yes")));
    let output = daemon.run(&["down", "nope"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("up are: home, net"));
}

#[test]
fn a_refusal_carries_the_daemons_reason_and_exit_code_1() {
    fn refusing(command: &str, message: &Section) -> (Vec<(&'static str, Section)>, Section) {
        match command {
            "list-conns" => one_up(command, message),
            "list-sas" => (Vec::new(), Section::default()),
            _ => (Vec::new(), section(&[("success", "no"), ("errmsg", "peer not responding")])),
        }
    }
    let daemon = Daemon::new(refusing);
    let output = daemon.run(&["up", "net"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "cygnet: initiate: peer not responding\n");
}

#[test]
fn no_daemon_is_exit_code_3_and_says_what_to_do() {
    let output = cygnet(&["status", "--uri", "unix:///nonexistent/vici"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let shown = text(&output.stderr);
    assert!(shown.contains("not running") && shown.contains("systemctl start"), "{shown}");
    let output = cygnet(&["status", "--uri", "nonsense"]).output().unwrap();
    assert!(text(&output.stderr).contains("unix:///path or tcp://host:port"));
}

#[test]
fn the_socket_is_found_in_strongswan_conf() {
    let daemon = Daemon::new(one_up);
    let settings =
        format!("charon {{\n  plugins {{\n    vici {{\n      socket = {}\n    }}\n  }}\n}}\n", daemon.uri());
    let file = daemon.write("strongswan.conf", &settings);
    let output = cygnet(&["status"]).env("STRONGSWAN_CONF", &file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

const CONFIGURATION: &str = r#"
connections {
  gw {
    local_addrs = 192.0.2.1
    pools = v4, v6
    local {
      auth = psk
    }
    children {
      office {
        local_ts = 10.1.0.0/16, fd00:1::/64
        rekey_time = 40m
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.3.0.0/24
    dns = 10.1.0.53, 10.1.0.54
  }
}
secrets {
  ike-1 {
    secret = 0x666f6f
    id-a = gw.example.org
    id-b = carol@example.org
  }
}
"#;

/// A daemon that holds things which are no longer configured.
fn stale(command: &str, _message: &Section) -> (Vec<(&'static str, Section)>, Section) {
    let mut answer = match command {
        "get-pools" => within("old-pool", Section::default()),
        _ => success(),
    };
    match command {
        "get-conns" => {
            answer.put_list("conns", ["gw", "old-conn"]);
        }
        "get-shared" => {
            answer.put_list("keys", ["old-secret", "ike-1"]);
        }
        "get-keys" => {
            answer.put_list("keys", ["old-key"]);
        }
        "get-authorities" => {
            answer.put_list("authorities", ["old-ca"]);
        }
        _ => {}
    }
    (Vec::new(), answer)
}

#[test]
fn load_sends_what_the_files_say_and_unloads_the_rest() {
    let daemon = Daemon::new(stale);
    daemon.write("swanctl.conf", CONFIGURATION);
    daemon.write("x509ca/ca.pem", "a certificate");
    let output = daemon.run(&["load"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        daemon.commands(),
        [
            "get-keys",
            "get-shared",
            "load-cert",
            "load-shared",
            "unload-key",
            "unload-shared",
            "get-authorities",
            "unload-authority",
            "get-pools",
            "load-pool",
            "unload-pool",
            "get-conns",
            "load-conn",
            "unload-conn",
        ]
    );
    let shared = daemon.message("load-shared");
    assert_eq!((shared.text("id"), shared.text("type")), (Some("ike-1"), Some("ike")));
    assert_eq!(shared.bytes("data"), Some(&b"foo"[..]));
    assert_eq!(shared.items("owners"), ["gw.example.org", "carol@example.org"]);
    assert_eq!(daemon.message("unload-shared").text("id"), Some("old-secret"));
    let pool = daemon.message("load-pool");
    let pool = pool.child("v4").unwrap();
    assert_eq!(
        (pool.text("addrs"), pool.items("dns")),
        (Some("10.3.0.0/24"), vec!["10.1.0.53", "10.1.0.54"])
    );
    let conn = daemon.message("load-conn");
    let gw = conn.child("gw").unwrap();
    assert_eq!(gw.items("pools"), ["v4", "v6"]);
    assert_eq!(gw.child("children").unwrap().child("office").unwrap().items("local_ts").len(), 2);
    assert!(matches!(gw.entries.get("local"), Some(Node::Section(_))));
    assert_eq!(daemon.message("unload-conn").text("name"), Some("old-conn"));
    assert_eq!(daemon.message("load-cert").text("flag"), Some("CA"));
    let shown = text(&output.stdout);
    let summary = "1 connection (unloaded 1), 1 pool (unloaded 1), 2 credentials (unloaded 2), 0 authorities (unloaded 1)\n";
    assert!(shown.ends_with(summary), "{shown}");
    assert!(!shown.contains("foo"), "secrets are not printed");
}

#[test]
fn swanctl_load_all_prints_what_swanctl_prints() {
    let daemon = Daemon::new(stale);
    daemon.write("swanctl.conf", CONFIGURATION);
    let output = daemon.run(&["swanctl", "--load-all", "--noprompt"]);
    assert_eq!(
        text(&output.stdout),
        "loaded ike secret 'ike-1'\nno authorities found, 1 unloaded\nloaded pool 'v4'\nsuccessfully loaded 1 pools, 1 \
         unloaded\nloaded connection 'gw'\nsuccessfully loaded 1 connections, 1 unloaded\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_the_daemon_refuses_is_named() {
    fn refusing(command: &str, message: &Section) -> (Vec<(&'static str, Section)>, Section) {
        match command {
            "load-conn" => {
                (Vec::new(), section(&[("success", "no"), ("errmsg", "unknown option: frobnicate")]))
            }
            _ => stale(command, message),
        }
    }
    let daemon = Daemon::new(refusing);
    daemon.write("swanctl.conf", CONFIGURATION);
    let output = daemon.run(&["swanctl", "--load-conns"]);
    assert_eq!(output.status.code(), Some(22));
    assert_eq!(
        text(&output.stderr),
        "loading connection 'gw' failed: unknown option: frobnicate\nloaded 0 of 1 connections, 1 failed to load, 1 \
         unloaded\n"
    );
    let output = daemon.run(&["load"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("frobnicate"));
}

#[test]
fn a_broken_file_changes_nothing() {
    let daemon = Daemon::new(stale);
    daemon.write("swanctl.conf", "connections {\n  gw {\n    version 2\n  }\n}\n");
    for (words, code) in [(&["load"][..], 4), (&["swanctl", "--load-all"], 22), (&["check"], 4)] {
        let output = match words {
            ["check"] => cygnet(words).env("SWANCTL_DIR", daemon.path()).output().unwrap(),
            _ => daemon.run(words),
        };
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains("swanctl.conf:3:") && shown.contains("version 2"), "{shown}");
    }
    assert!(daemon.commands().is_empty(), "the daemon heard of it");
}

/// What `cygnet pki` makes, in a file.
fn made(file: &Path, words: &[&str]) {
    let output = cygnet(&["pki"]).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, output.stdout).unwrap();
}

#[test]
fn check_looks_at_the_certificates_and_keys_that_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (own, other) = (at("private/own.der"), at("other.der"));
    for key in [&own, &other] {
        made(key, &["--gen", "--type", "ed25519"]);
    }
    let certify = |name: &str, key: &Path, dates: [&str; 4]| {
        let head = ["--self", "--dn", "CN=gw", "--in", key.to_str().unwrap()];
        made(&at(name), &[&head[..], &dates].concat());
    };
    let year = ["--lifetime", "365", "--outform", "der"];
    certify("x509/good.der", &own, year);
    certify("x509/foreign.der", &other, year);
    certify("x509/soon.der", &own, ["--lifetime", "10", "--outform", "pem"]);
    certify("x509/past.der", &own, ["--not-before", "01.01.20 00:00:00", "--not-after", "01.01.21 00:00:00"]);
    std::fs::create_dir_all(at("x509ca")).unwrap();
    std::fs::write(at("x509ca/broken.pem"), "nonsense").unwrap();
    std::fs::copy(&own, at("x509/key.der")).unwrap();
    let check = |text: &str, more: &[&str]| {
        let file = at("swanctl.conf");
        std::fs::write(&file, text).unwrap();
        let output = cygnet(&["check"]).args(more).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let good = "connections {\n gw {\n  local {\n   certs = good.der\n  }\n  remote {\n   certs = foreign.der\n  }\n }\n}\n";
    assert_eq!(check(good, &[]), (Some(0), String::new()));

    let bad = "\
connections {
  gw {
    local {
      certs = good.der, soon.der
    }
    local-2 {
      certs = foreign.der
    }
    remote {
      certs = past.der
      cacerts = broken.pem
    }
    remote-2 {
      certs = gone.der
    }
    remote-3 {
      certs = key.der
    }
  }
}
secrets {
  private-own {
    file = own.der
  }
  private-gone {
    file = gone.key
    secret = hush
  }
}
";
    let (code, shown) = check(bad, &[]);
    assert_eq!(code, Some(4), "{shown}");
    let place = |line: &str, words: &str| {
        let lines: Vec<&str> = shown.lines().collect();
        let found =
            lines.iter().position(|l| l.contains(words)).unwrap_or_else(|| panic!("no {words}: {shown}"));
        assert!(
            lines[found..].iter().take(2).any(|l| l.contains(&format!("swanctl.conf:{line}:"))),
            "{words}: {shown}"
        );
    };
    place("4", "soon.der expires on ");
    place("7", "there is no private key for ");
    place("10", "past.der expired on ");
    place("11", "x509ca/broken.pem: ");
    place("14", "x509/gone.der: No such file");
    place("17", "key.der holds no certificate");
    place("26", "private/gone.key: No such file");
    assert!(shown.contains("5 errors, 2 warnings") && !shown.contains("hush"), "{shown}");
    assert_eq!(check(bad, &["--no-files"]), (Some(0), String::new()));

    // A key that cannot be opened may be the one: nothing is said of missing keys then.
    std::fs::write(at("private/broken"), "nonsense").unwrap();
    let (code, shown) = check(&good.replace("good.der", "foreign.der"), &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("private/broken: ") && !shown.contains("no private key for"), "{shown}");
}

#[test]
fn raw_and_pretty_print_messages_as_they_are() {
    let daemon = Daemon::new(one_up);
    let raw = daemon.run(&["swanctl", "--list-sas", "--raw"]);
    assert_eq!(
        text(&raw.stdout),
        "list-sa event {home {uniqueid=1 version=2 state=ESTABLISHED local-host=192.0.2.2 child-sas {net-2 {name=net \
         uniqueid=2 state=INSTALLED}}}}\nlist-sas reply {}\n"
    );
    let pretty = daemon.run(&["swanctl", "--initiate", "--child", "net", "-P"]);
    let head = "log {\n  group = IKE\n  level = 1\n  msg = doing it\n}\ninitiate reply {\n";
    assert!(text(&pretty.stdout).starts_with(head));
}

#[test]
fn called_by_its_other_name() {
    let daemon = Daemon::new(one_up);
    let link = daemon.path().join("swanctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cygnet"), &link).unwrap();
    let run = |words: &[&str]| {
        Command::new(&link).args(words).env("STRONGSWAN_CONF", "/nonexistent").output().unwrap()
    };
    let output = run(&["--list-sas", "-r", "--uri", &daemon.uri()]);
    assert!(text(&output.stdout).ends_with("list-sas reply {}\n"));
    let help = text(&run(&["--help"]).stdout);
    assert_eq!(help.lines().filter(|line| line.starts_with("  swanctl --")).count(), 26, "{help}");
    let wrong = run(&["--list"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).starts_with("swanctl: option '--list' is ambiguous; possibilities: '--list-sas'")
    );
    let missing = run(&["--stats", "--uri", "unix:///nonexistent"]);
    assert_eq!(missing.status.code(), Some(2), "the system's error number, as swanctl does");
    assert!(
        text(&missing.stderr)
            .starts_with("connecting to 'unix:///nonexistent' failed: No such file or directory\n")
    );
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let output = cygnet(&["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains("cygnet"), "{shell}");
    }
    assert!(text(&cygnet(&["man"]).output().unwrap().stdout).contains(".TH cygnet"));
    let directory = tempfile::tempdir().unwrap();
    assert!(cygnet(&["man"]).arg(directory.path()).output().unwrap().status.success());
    assert!(directory.path().join("cygnet-status.1").is_file());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = cygnet(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    child.wait().unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
}
