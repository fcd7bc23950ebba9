//! The table that marks answers, in network namespaces of its own. Traffic is in the daemon's `kernel_marks`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "tests say what they could not do")]

use linux::netns::Namespace;
use linux::nft::returns::{Return, Returns, TABLE};
use std::process::Command;

fn nft(words: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out = Command::new("nft").args(words).env("PATH", path).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn listed() -> String {
    nft(&["list", "table", "inet", TABLE])
}

fn sa(local: &str, spi: u32, port: Option<u16>, mark: u32) -> Return {
    Return { local: local.parse().unwrap(), spi, port, mark_in: mark, mark_out: mark }
}

#[test]
fn comes_with_the_first_sa_and_goes_with_the_last_and_after_a_crash() {
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(e) if std::env::var_os("CI").is_some() => panic!("CI must be able to make namespaces: {e}"),
        Err(e) => return eprintln!("NOT RUN, needs root: {e}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("connmark.state");
    namespace
        .run(|| {
            let mut returns = Returns::open(Some(file.clone()));
            assert!(!listed().contains("chain") && !file.exists(), "nothing before it is needed");
            let all = [
                sa("192.0.2.1", 0xc000_0001, Some(4500), 1),
                sa("192.0.2.1", 0xc000_0002, None, 2),
                sa("2001:db8::1", 0xc000_0003, Some(4500), 3),
                sa("2001:db8::1", 0xc000_0004, None, 4),
                // a rekeying: another SPI, the same mark
                sa("192.0.2.1", 0xc000_0005, Some(4500), 1),
            ];
            for sa in all {
                returns.add(sa).unwrap();
            }
            let shown = listed();
            for part in [
                "192.0.2.1 . 4500 . 0x",
                "2001:db8::1 . 4500 . 0x",
                "elements = { 0x00000001 : 0x00000001, 0x00000002 : 0x00000002,",
                "meta mark set ip daddr . esp spi map @esp4",
                "meta mark set ip daddr . udp dport . @th,64,32 map @udp4",
                "meta mark set ip6 daddr . udp dport . @th,64,32 map @udp6",
                "ct mark @returns meta mark set ct mark",
            ] {
                assert!(shown.contains(part), "{part}\n{shown}");
            }
            // the old generation goes, its mark stays
            returns.remove(&all[0]).unwrap();
            let shown = listed();
            assert_eq!(shown.matches(" . 4500 . ").count(), 2, "{shown}");
            assert!(shown.contains("0x00000001 : 0x00000001"), "{shown}");
            // a firewall starts anew
            nft(&["flush", "ruleset"]);
            returns.add(all[0]).unwrap();
            assert_eq!(listed().matches(" . 4500 . ").count(), 3);
            assert!(returns.refresh().unwrap() && !returns.refresh().unwrap(), "restored, but not told");
            nft(&["flush", "ruleset"]);
            assert!(returns.refresh().unwrap() && !returns.refresh().unwrap());
            assert_eq!(listed().matches(" . 4500 . ").count(), 3);
            nft(&["flush", "ruleset"]);
            returns.remove(&all[0]).unwrap();
            assert_eq!(listed().matches(" . 4500 . ").count(), 2);
            assert!(returns.refresh().unwrap() && !returns.refresh().unwrap(), "restored, but not told");
            // what is not ours stays, and ours goes after a crash
            nft(&["add", "table", "inet", "theirs"]);
            std::mem::forget(returns);
            assert!(file.exists());
            let mut again = Returns::open(Some(file.clone()));
            assert!(!listed().contains("chain") && !file.exists());
            again.add(all[1]).unwrap();
            again.remove(&all[1]).unwrap();
            assert!(!listed().contains("chain") && !file.exists(), "the last one takes the table along");
            again.add(all[1]).unwrap();
            drop(again);
            assert!(!listed().contains("chain") && !file.exists());
            assert!(nft(&["list", "tables"]).contains("inet theirs"));
        })
        .unwrap();
}

#[test]
fn a_thousand_sas() {
    let Ok(namespace) = Namespace::create() else { return eprintln!("NOT RUN, needs root") };
    namespace
        .run(|| {
            let mut returns = Returns::open(None);
            for number in 1..=1000 {
                returns.add(sa("192.0.2.1", 0xc000_0000 + number, Some(4500), number)).unwrap();
            }
            nft(&["flush", "ruleset"]);
            assert!(returns.refresh().unwrap());
            assert_eq!(listed().matches(" . 4500 . ").count(), 1000);
        })
        .unwrap();
}
