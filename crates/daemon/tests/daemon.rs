//! The daemon as an operator's neighbour: clients that misbehave, signals, crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use config::tree::Section;
use lab::{Daemon, Kind, Lab, Path4, sh};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use vici::{Client, Message};

const LIMIT: Duration = Duration::from_secs(10);

fn client(daemon: &Daemon) -> Client {
    let uri = format!("unix://{}", daemon.file("vici").display());
    Client::connect(&uri, Some(LIMIT)).unwrap()
}

fn raw(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.file("vici")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Something that is logged at level 1.
fn make_noise(client: &mut Client) {
    let mut message = Section::default();
    message.put("child", "nix");
    let answer = client.request("initiate", message).unwrap();
    assert_eq!(answer.text("errmsg"), Some("CHILD_SA config 'nix' not found"));
}

#[test]
fn a_client_that_does_not_read_stalls_nobody() {
    let mut lab = Lab::new(Path4::Direct);
    let daemon = lab.start_with("gw", Kind::Cygnet, "");
    let mut slow = raw(&daemon);
    slow.write_all(&[0, 0, 0, 5, 3, 3, b'l', b'o', b'g']).unwrap();
    let mut confirmed = [0; 5];
    slow.read_exact(&mut confirmed).unwrap();
    assert_eq!(confirmed, [0, 0, 0, 1, 5]);
    let mut quick = client(&daemon);
    // More than its socket and its queue can hold.
    for _ in 0..6000 {
        make_noise(&mut quick);
    }
    let stats = quick.request("stats", Section::default()).unwrap();
    let dropped: u64 = stats.child("dropped").and_then(|d| d.number("events")).unwrap();
    assert!(dropped > 0, "{stats:?}");
    drop(slow);
    make_noise(&mut quick);
}

#[test]
fn a_client_that_breaks_the_protocol_is_dropped_alone() {
    let mut lab = Lab::new(Path4::Direct);
    let daemon = lab.start_with("gw", Kind::Cygnet, "");
    let mut good = client(&daemon);
    let too_long = (512 * 1024 + 1u32).to_be_bytes();
    let bad: [&[u8]; 5] = [
        &too_long,
        &[0, 0, 0, 0],
        &[0, 0, 0, 1, 99],
        // A command whose message ends inside an element.
        &[0, 0, 0, 5, 0, 1, b'x', 3, 200],
        // An event from a client.
        &[0, 0, 0, 5, 7, 3, b'l', b'o', b'g'],
    ];
    for bytes in bad {
        let mut client = raw(&daemon);
        client.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{bytes:?} was answered with {rest:?}");
        make_noise(&mut good);
    }
    // In pieces, and an unknown command and event.
    let mut client = raw(&daemon);
    for byte in [0, 0, 0, 3, 0, 1, b'x', 0, 0, 0, 3, 3, 1, b'x'] {
        client.write_all(&[byte]).unwrap();
    }
    let mut answers = [0; 10];
    client.read_exact(&mut answers).unwrap();
    assert_eq!(answers, [0, 0, 0, 1, 2, 0, 0, 0, 1, 6]);
}

#[test]
fn the_socket_is_for_root_only_and_goes_at_the_end() {
    use std::os::unix::fs::PermissionsExt;
    let mut lab = Lab::new(Path4::Direct);
    let daemon = lab.start_with("gw", Kind::Cygnet, "");
    let socket = daemon.file("vici");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7, 0, "{mode:o}");
    assert!(lab.stop(&daemon));
    assert!(!socket.exists());
    assert!(daemon.logged("SIGTERM received, shutting down", LIMIT));
}

#[test]
fn a_crash_leaves_nothing_behind_after_the_next_start() {
    let mut lab = Lab::new(Path4::Direct);
    let daemon = lab.start_with("gw", Kind::Cygnet, "");
    let rules = |lab: &Lab| {
        let all = lab.exec("gw", "ip rule; ip -6 rule");
        all.lines().filter(|line| line.contains("lookup 220")).count()
    };
    assert!(lab::wait_for(LIMIT, || rules(&lab) == 2));
    lab.kill(&daemon);
    assert_eq!(rules(&lab), 2);
    // The socket of the dead is in the way, too.
    assert!(daemon.file("vici").exists());
    let again = lab.start_again("gw", &daemon);
    assert!(lab::wait_for(LIMIT, || rules(&lab) == 2));
    assert!(lab.stop(&again));
    assert_eq!(rules(&lab), 0);
}

#[test]
fn hangup_opens_the_loggers_again() {
    let mut lab = Lab::new(Path4::Direct);
    let daemon = lab.start_with("gw", Kind::Cygnet, "");
    let moved = daemon.file("log.1");
    std::fs::rename(daemon.file("log"), &moved).unwrap();
    sh(&format!("kill -HUP {}", daemon.pid));
    assert!(lab::wait_for(LIMIT, || daemon.file("log").exists()));
    make_noise(&mut client(&daemon));
    assert!(daemon.logged("vici initiate CHILD_SA 'nix'", LIMIT));
    // A file that is wrong changes nothing, and says where it is wrong.
    std::fs::write(daemon.file("strongswan.conf"), "charon {\n  filelog {\n").unwrap();
    sh(&format!("kill -HUP {}", daemon.pid));
    assert!(daemon.logged("strongswan.conf not loaded", LIMIT));
    make_noise(&mut client(&daemon));
}

#[test]
fn scripts_run_at_start_and_stop() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = "start-scripts {
    one = echo started by $0
  }
  stop-scripts {
    one = echo stopped
  }";
    let daemon = lab.start_with("gw", Kind::Cygnet, settings);
    assert!(daemon.logged("start-scripts: started by", LIMIT));
    assert!(lab.stop(&daemon));
    assert!(daemon.logged("stop-scripts: stopped", LIMIT));
}
