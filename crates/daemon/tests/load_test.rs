//! `cygnet load-test` against our daemon and the stock one: what it reports is what happened at the gateway.
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

use authority::Authority;
use lab::{Daemon, Kind, Lab, Path4, both, wait_for};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
/// A gateway that does not take many clients from one address for an attack.
const OPEN: &str = "block_threshold = 0\n cookie_threshold = 0\n cookie_threshold_ip = 0";

/// A connection for everybody from example.org.
fn gateway(local: &str, remote: &str, secrets: &str) -> String {
    format!(
        "connections {{
  load {{
    pools = v4, v6
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      {local}
    }}
    remote {{
      {remote}
    }}
    children {{
      net {{
        local_ts = 10.1.0.0/16, fd01::/64
        esp_proposals = aes128gcm16, aes128gcm16-x25519
      }}
    }}
  }}
}}
pools {{
  v4 {{
    addrs = 10.3.0.0/16
  }}
  v6 {{
    addrs = fd03::/112
  }}
}}
secrets {{
{secrets}
}}
"
    )
}

fn psk() -> String {
    gateway(
        "auth = psk\n id = gw",
        "auth = psk\n id = *@example.org",
        "ike {\n secret = \"a long enough secret\"\n}",
    )
}

/// Runs the load test from the client's namespace: exit code and report.
fn load(lab: &Lab, secret: &str, words: &str) -> (i32, Value, String) {
    let tool = Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
    assert!(tool.exists(), "{} is missing: cargo build -p cli", tool.display());
    let file = lab.dir().join("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    let out = Command::new("ip")
        .args(["netns", "exec", &lab.ns("cl")])
        .arg(tool)
        .args(["load-test", "192.0.2.1", "--json", "--proposal", "aes128gcm16-prfsha256-x25519"])
        .args(["--esp-proposal", "aes128gcm16-x25519"])
        .arg("--secret-file")
        .arg(file)
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = both(&out);
    let report = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}\n{said}"));
    (out.status.code().unwrap_or(-1), report, said)
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {report:#}"))
}

/// All came, nobody failed or was lost, and all have left the gateway.
fn all_well(gw: &Daemon, outcome: &(i32, Value, String), clients: u64) {
    let (code, report, said) = outcome;
    let told = || format!("{report:#}\n{said}\n{}", gw.said());
    assert_eq!(number(report, "/setups/established"), clients, "{}", told());
    assert_eq!(number(report, "/setups/failed"), 0, "{}", told());
    assert_eq!(number(report, "/lost"), 0, "{}", told());
    assert_eq!(number(report, "/left"), clients, "{}", told());
    assert_eq!(*code, 0, "{}", told());
    assert!(wait_for(SOON, || gw.sas().trim().lines().all(|l| !l.contains("list-sa event"))), "{}", gw.sas());
}

#[test]
fn five_hundred_with_traffic() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    gw.load(&psk());
    let words = "-n 500 --rate 200 --vip both --traffic 2:100 --target 10.1.0.10 --hold 2s --dpd 1s";
    let outcome = load(&lab, "a long enough secret", words);
    all_well(&gw, &outcome, 500);
    let report = &outcome.1;
    let (sent, received) = (number(report, "/packets/sent"), number(report, "/packets/received"));
    assert!(sent >= 1000 && received * 100 >= sent * 95, "{report:#}\n{}", gw.said());
    assert_eq!(number(report, "/latency_us/packet/count"), received);
    assert_eq!(number(report, "/latency_us/setup/count"), 500);
    assert_eq!(number(report, "/latency_us/goodbye/count"), 500, "{report:#}");
    assert!(number(report, "/latency_us/dpd/count") > 0, "{report:#}");
}

#[test]
fn packets_of_the_other_family() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    gw.load(&psk());
    let words = "-n 5 --vip v6 --traffic 10 --target fd01::10 --hold 1s --threads 2";
    let outcome = load(&lab, "a long enough secret", words);
    all_well(&gw, &outcome, 5);
    assert!(number(&outcome.1, "/packets/received") >= 25, "{:#}", outcome.1);
}

#[test]
fn certificates_made_as_they_come() {
    let mut lab = Lab::new(Path4::Direct);
    let authority = Authority::open(&lab.dir().join("pki"));
    authority.end("gw", "rsa --size 2048", "ca", "--san gw.example.org");
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    authority.give(&gw, &[("x509ca", "ca.pem"), ("x509", "gw.pem"), ("private", "gw.key")]);
    gw.load(&gateway(
        "auth = pubkey\n certs = gw.pem\n id = gw.example.org",
        "auth = pubkey\n id = *@example.org",
        "",
    ));
    let (ca, key) = (authority.file("ca.pem"), authority.file("ca.key"));
    let issuer = format!("--issuer {} --issuer-key {}", ca.display(), key.display());
    let words = format!("-n 50 --auth cert --hold 0s --gateway-id gw.example.org {issuer}");
    all_well(&gw, &load(&lab, "-", &words), 50);

    // Whose authority did not make the gateway's certificate does not trust it.
    let other = Authority::open(&lab.dir().join("other"));
    let (ca, key) = (other.file("ca.pem"), other.file("ca.key"));
    let words = format!("-n 3 --auth cert --issuer {} --issuer-key {}", ca.display(), key.display());
    let (code, report, said) = load(&lab, "-", &words);
    assert_eq!((code, number(&report, "/setups/failed")), (1, 3), "{said}");
}

#[test]
fn passwords_of_each_client() {
    let mut lab = Lab::new(Path4::Direct);
    let authority = Authority::open(&lab.dir().join("pki"));
    authority.end("gw", "ecdsa --size 256", "ca", "--san gw.example.org");
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    authority.give(&gw, &[("x509ca", "ca.pem"), ("x509", "gw.pem"), ("private", "gw.key")]);
    let users: String = (1..=50)
        .map(|n| format!("eap-{n} {{\n id = client-{n}@example.org\n secret = \"password of {n}\"\n}}\n"))
        .collect();
    gw.load(&gateway(
        "auth = pubkey\n certs = gw.pem\n id = gw.example.org",
        "auth = eap-mschapv2\n eap_id = %any\n id = *@example.org",
        &users,
    ));
    let ca = format!("--ca {}", authority.file("ca.pem").display());
    let words = format!("-n 50 --auth eap --secret-per-client --hold 0s --gateway-id gw.example.org {ca}");
    all_well(&gw, &load(&lab, "password of %d", &words), 50);
    // One password for all is that of nobody.
    let words = format!("-n 3 --auth eap --hold 0s --gateway-id gw.example.org {ca}");
    let (code, report, said) = load(&lab, "password of %d", &words);
    assert_eq!((code, number(&report, "/setups/failed")), (1, 3), "{said}");
}

#[test]
fn clients_rekey_and_come_again() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    gw.load(&psk());
    let words = "-n 20 --rekey-child 2s --rekey-ike 3s --traffic 5 --target 10.1.0.10 --hold 5s";
    let outcome = load(&lab, "a long enough secret", words);
    all_well(&gw, &outcome, 20);
    let report = &outcome.1;
    for kind in ["ike", "child"] {
        let (n, timed) = (
            number(report, &format!("/rekeys/{kind}")),
            number(report, &format!("/latency_us/rekey_{kind}/count")),
        );
        assert!(n >= 20 && timed == n, "{kind}: {report:#}");
    }
    let (sent, received) = (number(report, "/packets/sent"), number(report, "/packets/received"));
    assert!(received * 100 >= sent * 95, "{report:#}");

    let words = "-n 10 --churn 1s --duration 6s --traffic 5 --target 10.1.0.10";
    let (code, report, said) = load(&lab, "a long enough secret", words);
    let told = format!("{report:#}\n{said}\n{}", gw.said());
    assert_eq!((code, number(&report, "/setups/failed"), number(&report, "/lost")), (0, 0, 0), "{told}");
    assert!(number(&report, "/setups/established") >= 20, "{told}");
}

#[test]
fn failures_have_reasons() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    gw.load(&psk());
    let reasons = |outcome: &(i32, Value, String)| -> Vec<(String, u64)> {
        let list = outcome.1.pointer("/failures").and_then(Value::as_array).unwrap();
        list.iter()
            .map(|f| (f["reason"].as_str().unwrap().to_owned(), f["count"].as_u64().unwrap()))
            .collect()
    };
    let wrong = load(&lab, "not the secret", "-n 20 --hold 0s");
    assert_eq!((wrong.0, reasons(&wrong)), (1, vec![("refused:AUTHENTICATION_FAILED".to_owned(), 20)]));
    let stranger = load(&lab, "a long enough secret", "-n 2 --hold 0s --identity stranger-%d@example.com");
    assert_eq!((stranger.0, reasons(&stranger)), (1, vec![("refused:AUTHENTICATION_FAILED".to_owned(), 2)]));
    let elsewhere = load(&lab, "a long enough secret", "-n 2 --hold 0s --remote-ts 172.16.0.0/12");
    assert_eq!((elsewhere.0, reasons(&elsewhere)), (1, vec![("no-child:TS_UNACCEPTABLE".to_owned(), 2)]));
    let without = load(&lab, "a long enough secret", "-n 2 --hold 0s --vip none");
    assert_eq!((without.0, reasons(&without)), (1, vec![("no-child:FAILED_CP_REQUIRED".to_owned(), 2)]));
    lab.stop(&gw);
    let silent =
        load(&lab, "a long enough secret", "-n 2 --hold 0s --retransmit-timeout 100ms --retransmit-tries 1");
    assert_eq!((silent.0, reasons(&silent)), (1, vec![("no-answer".to_owned(), 2)]));
    assert_eq!(number(&silent.1, "/retransmits"), 2, "{:#}", silent.1);
}

#[test]
fn cookies_are_brought_back() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with(
        "gw",
        Kind::Cygnet,
        "block_threshold = 0\n cookie_threshold = 1\n cookie_threshold_ip = 1",
    );
    gw.load(&psk());
    let outcome = load(&lab, "a long enough secret", "-n 100 --rate 5000 --concurrent 100 --hold 0s");
    all_well(&gw, &outcome, 100);
    assert!(number(&outcome.1, "/cookies") > 0, "{:#}", outcome.1);
}

#[test]
fn a_gateway_that_dies_is_missed() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Cygnet, OPEN);
    gw.load(&psk());
    let (lab, gw) = (&mut lab, &gw);
    let killer = {
        let pid = gw.pid;
        let uri = format!("unix://{}/vici", gw.dir.display());
        std::thread::spawn(move || {
            let up = || {
                let mut client = vici::Client::connect(&uri, None).unwrap();
                let stats = client.request("stats", config::tree::Section::default()).unwrap();
                let text = String::from_utf8_lossy(&config::write::to_text(&stats)).into_owned();
                text.contains("total = 5")
            };
            assert!(wait_for(SOON, up));
            lab::sh(&format!("kill -KILL {pid}"));
        })
    };
    let words = "-n 5 --hold 60s --dpd 1s --retransmit-timeout 100ms --retransmit-tries 1";
    let (code, report, said) = load(lab, "a long enough secret", words);
    killer.join().unwrap();
    assert_eq!((code, number(&report, "/lost")), (1, 5), "{report:#}\n{said}");
    assert_eq!(report.pointer("/losses/0/reason").and_then(Value::as_str), Some("dead"), "{report:#}");
}

#[test]
fn a_hundred_at_the_stock_daemon() {
    let mut lab = Lab::new(Path4::Direct);
    let gw = lab.start_with("gw", Kind::Charon, OPEN);
    gw.load(&psk());
    let words = "-n 100 --vip v4 --traffic 2 --target 10.1.0.10 --hold 2s --dpd 1s";
    let outcome = load(&lab, "a long enough secret", words);
    all_well(&gw, &outcome, 100);
    let report = &outcome.1;
    let (sent, received) = (number(report, "/packets/sent"), number(report, "/packets/received"));
    assert!(sent >= 200 && received * 100 >= sent * 90, "{report:#}\n{}", gw.said());
}
