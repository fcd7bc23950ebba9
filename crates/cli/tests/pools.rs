//! `cygnet pools` and `cygnet leases` against a daemon that answers as told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "fake/daemon.rs"]
mod daemon;

use config::tree::Section;
use daemon::{Daemon, section, success, text, within};
use vici::Message;

fn pool(backend: &str, size: &str, online: &str) -> Section {
    let mut pool = section(&[("base", "10.3.0.0"), ("size", size), ("online", online), ("offline", "1")]);
    if !backend.is_empty() {
        pool.put("backend", backend);
    }
    pool
}

fn lease(address: &str, identity: &str, status: &str) -> Section {
    section(&[("address", address), ("identity", identity), ("status", status)])
}

/// A daemon with a pool in memory and one in a database that ends in an error.
fn two_backends(command: &str, message: &Section) -> (Vec<(&'static str, Section)>, Section) {
    let trouble = section(&[("success", "no"), ("errmsg", "dhcp: no server answers")]);
    match command {
        "list-pools" => {
            let memory = within("v4", pool("vici", "254", "1"));
            let events =
                vec![("list-pool", memory), ("list-pool", within("v4", pool("attr-sql", "10", "9")))];
            (events, if message.entries.is_empty() { trouble } else { success() })
        }
        "list-leases" => {
            let mut memory = section(&[("backend", "vici")]);
            memory.put_section("leases", within("0", lease("10.3.0.1", "carol@example.org", "online")));
            let mut sql = section(&[("backend", "attr-sql")]);
            let mut known = lease("10.4.0.1", "dave", "offline");
            known.put("since", 1_700_000_000).put("expires", 1_700_003_600);
            sql.put_section("leases", within("0", known));
            (vec![("list-lease", within("v4", memory)), ("list-lease", within("v4", sql))], success())
        }
        _ => (Vec::new(), section(&[("success", "no"), ("errmsg", "not asked for")])),
    }
}

#[test]
fn pools_of_every_backend_and_what_could_not_be_asked() {
    let daemon = Daemon::new(two_backends);
    let output = daemon.run(&["pools"]);
    assert_eq!(
        text(&output.stdout),
        "POOL  BACKEND   FROM      SIZE  ONLINE  OFFLINE  USAGE\n\
         v4    vici      10.3.0.0  254   1       1        <1%\n\
         v4    attr-sql  10.3.0.0  10    9       1        100%\n"
    );
    assert_eq!(text(&output.stderr), "cygnet: dhcp: no server answers\n");
    assert_eq!(output.status.code(), Some(1));
    let output = daemon.run(&["pools", "v4", "--backend", "vici", "--json"]);
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "cygnet.pools/1");
    assert_eq!((&json["pools"][0]["usage"], &json["pools"][1]["backend"]), (&2.into(), &"attr-sql".into()));
    assert_eq!(json["pools"][1]["leases"][0]["expires"], 1_700_003_600);
    let asked = daemon.asked().into_iter().rev().find(|(name, _)| name == "list-pools").unwrap().1;
    assert_eq!((asked.text("name"), asked.text("backend")), (Some("v4"), Some("vici")));
}

#[test]
fn leases_with_filters_and_as_ipsec_prints_them() {
    let daemon = Daemon::new(two_backends);
    let words = ["leases", "v4", "-i", "*@example.org", "--address", "10.3.0.1", "--online"];
    let output = daemon.run(&words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("ADDRESS ") && lines[0].ends_with(" POOL  BACKEND"), "{shown}");
    assert!(
        lines[1].starts_with("10.3.0.1  carol@example.org  online ") && lines[1].ends_with(" vici"),
        "{shown}"
    );
    assert!(lines[2].contains(" expired ") && lines[2].ends_with(" attr-sql"), "{shown}");
    let message = daemon.message("list-leases");
    for (key, value) in
        [("name", "v4"), ("identity", "*@example.org"), ("address", "10.3.0.1"), ("status", "online")]
    {
        assert_eq!(message.text(key), Some(value));
    }
    let output = daemon.run(&["leases", "v4", "--format", "ipsec"]);
    assert_eq!(
        text(&output.stdout),
        "Leases in pool 'v4', usage: 2/254, 1 online\n    10.3.0.1   online   'carol@example.org'\n\
         Leases in pool 'v4', usage: 10/10, 9 online\n    10.4.0.1   offline   'dave'\n"
    );
}

#[test]
fn the_stock_form_is_streamed_where_one_message_is_too_small() {
    let daemon = Daemon::new(two_backends);
    let output = daemon.run(&["swanctl", "--list-pools", "--leases", "--name", "v4"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(
        "v4                   10.3.0.0                            1 / 1 / 254\n  \
         10.3.0.1                       online   'carol@example.org'\n"
    ));
    assert_eq!(daemon.message("list-leases").text("backend"), Some("vici"));
}
