//! A gateway from `cygnet quickstart`, and clients out of the folders that its users get: ours and strongSwan's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4};
use std::path::Path;
use std::process::Command;

fn quickstart(gateway: &Daemon, words: &[&str]) {
    let tool = Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    assert!(tool.exists(), "{} is missing: cargo build -p cli", tool.display());
    let out = Command::new(tool)
        .args(["quickstart", "--dir"])
        .arg(gateway.file("swanctl"))
        .args(words)
        .output()
        .unwrap();
    assert!(out.status.success(), "quickstart {words:?}: {}", lab::both(&out));
}

fn reload(daemon: &Daemon) {
    daemon.swanctl(&["--load-all", "--noprompt"]);
}

/// A client with the user's folder as its swanctl directory.
fn client(lab: &mut Lab, gateway: &Daemon, kind: Kind, name: &str, folder: &str) -> Daemon {
    let client = lab.start_with("cl", kind, "");
    let from = gateway.file(&format!("swanctl/quickstart/users/{name}/{folder}"));
    lab::sh(&format!("cp -r {}/. {}/", from.display(), client.file("swanctl").display()));
    reload(&client);
    client
}

fn tunnels(kind: Kind) {
    let mut lab = Lab::new(Path4::Direct);
    let gateway = lab.start_with("gw", Kind::Cygnet, "");
    quickstart(
        &gateway,
        &["--name", "192.0.2.1", "--pool", "10.3.0.0/24,fd03::/112", "--route", "10.1.0.0/16,fd01::/64"],
    );
    for name in ["alice", "bob"] {
        quickstart(&gateway, &["user", name]);
    }
    reload(&gateway);
    for (name, folder) in [("alice", "swanctl-cert"), ("alice", "swanctl-login"), ("bob", "swanctl-cert")] {
        let client = client(&mut lab, &gateway, kind, name, folder);
        client.initiate("home");
        lab.ping("cl", "10.1.0.10", 3);
        assert!(gateway.sas().contains(name), "{folder}\n{}", gateway.sas());
        client.swanctl(&["--terminate", "--ike", "home"]);
        assert!(lab.stop(&client), "{folder}");
    }
    quickstart(&gateway, &["user", "--revoke", "alice"]);
    reload(&gateway);
    for folder in ["swanctl-cert", "swanctl-login"] {
        let client = client(&mut lab, &gateway, kind, "alice", folder);
        let (up, said) = client.try_swanctl(&["--initiate", "--child", "home", "--timeout", "10"]);
        assert!(!up, "{folder}: a revoked user came in\n{said}");
        assert!(lab.stop(&client), "{folder}");
    }
}

#[test]
fn users_of_a_quickstart_come_in_with_our_client() {
    tunnels(Kind::Cygnet);
}

#[test]
fn users_of_a_quickstart_come_in_with_strongswan() {
    tunnels(Kind::Charon);
}
