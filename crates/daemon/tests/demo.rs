//! The README's first command: `cygnet demo` with this build's daemon ends well, says what it measured, leaves nothing
//! behind, and ends at once on Ctrl-C. Needs root (or user namespaces) and `/dev/net/tun`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The tool beside the daemon; the test run builds both.
fn cygnet() -> PathBuf {
    let daemon = Path::new(env!("CARGO_BIN_EXE_cygnetd"));
    let tool = daemon.with_file_name("cygnet");
    assert!(tool.is_file(), "{} is not built: cargo build -p cli", tool.display());
    tool
}

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(cygnet());
    command.arg("demo").args(["--daemon", env!("CARGO_BIN_EXE_cygnetd")]).args(words).stdin(Stdio::null());
    command
}

#[test]
fn it_ends_well_and_says_what_it_measured() {
    let output = demo(&["--json", "--seconds", "1"]).output().unwrap();
    let (said, shown) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["schema"], "cygnet.demo/1");
    assert_eq!(json["virtual_ips"], serde_json::json!(["10.3.0.1", "fd00:10:3::1"]), "{shown}");
    for ping in json["pings"].as_array().unwrap() {
        assert_eq!(ping["received"], ping["sent"], "{shown}");
    }
    assert!(json["transfer"]["mbit_per_second"].as_f64().unwrap() > 1.0, "{shown}");
    let child = &json["client"][0]["child_sas"][0];
    assert_eq!(child["state"], "INSTALLED");
    // What the client received through the tunnel is at least what arrived over TCP.
    assert!(child["inbound"]["bytes"].as_u64() >= json["transfer"]["bytes"].as_u64(), "{json:#}");
    assert_eq!(json["pools"][0]["leases"][0]["identity"], "carol@example.org");
}

#[test]
fn ctrl_c_ends_it_and_its_daemons() {
    let mut child = demo(&["--seconds", "60"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut daemons = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(rest) = line.trim_start().strip_prefix("process ") {
            daemons = rest.split([' ', ',']).filter_map(|word| word.parse::<u32>().ok()).take(2).collect();
            break;
        }
    }
    assert_eq!(daemons.len(), 2, "the demo names its two daemons");
    linux::process::interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for pid in daemons {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        assert!(!name.starts_with("cygnetd"), "process {pid} is still there");
    }
}
