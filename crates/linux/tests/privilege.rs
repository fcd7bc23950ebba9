//! Giving up privilege, in a process of its own: it cannot be taken back.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use linux::privilege::{Capability, drop_to, has, is_root};
use linux::raw::RawSocket;
use linux::udp::{UdpOptions, UdpSocket};

const INSIDE: &str = "CYGNET_TEST_DROP";

#[test]
fn only_what_is_kept_remains() {
    if std::env::var_os(INSIDE).is_some() {
        inside();
        return;
    }
    if !is_root() || !has(Capability::NetRaw).unwrap() {
        assert!(std::env::var_os("CI").is_none(), "CI must run as root");
        eprintln!("NOT RUN, needs root");
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "only_what_is_kept_remains", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn inside() {
    assert!(drop_to(Some("no such user"), None, &[]).is_err());
    drop_to(Some("nobody"), None, &[Capability::NetBindService, Capability::NetAdmin]).unwrap();
    assert!(!is_root());
    assert!(has(Capability::NetBindService).unwrap());
    assert!(has(Capability::NetAdmin).unwrap());
    assert!(!has(Capability::NetRaw).unwrap());
    assert!(!has(Capability::DacOverride).unwrap());
    UdpSocket::bind("127.0.0.1:7".parse().unwrap(), &UdpOptions { mark: Some(1), ..UdpOptions::default() })
        .unwrap();
    RawSocket::esp(false, None, 0).unwrap_err();
    std::fs::write("/etc/hostname.cygnet-test", "").unwrap_err();
    // and it cannot be taken back
    drop_to(Some("root"), None, &[Capability::NetRaw]).unwrap_err();
}
