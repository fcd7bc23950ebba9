//! What `ip xfrm` shows, so that two kernels can be compared.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::lab::{Lab, wait_for};
use std::collections::BTreeSet;
use std::time::Duration;

/// Blocks of `ip xfrm`, each a first line and what is indented below it.
pub(crate) fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(char::is_whitespace) {
            all.push(Vec::new());
        }
        if let Some(last) = all.last_mut() {
            last.push(line.trim().to_owned());
        }
    }
    all
}

/// What an SA is made of, without what only one end has (window, reqid, counters).
pub(crate) fn states(lab: &Lab, name: &str) -> BTreeSet<String> {
    let shown = lab.exec(name, "ip xfrm state");
    let pick = |block: Vec<String>| {
        let mut parts = vec![block[0].clone()];
        for line in &block[1..] {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "proto" => parts.push(format!("{} mode {}", words[..4].join(" "), words[7])),
                "replay-window" => {
                    parts.extend(words.iter().skip_while(|w| **w != "flag").map(|w| (*w).to_owned()))
                }
                "aead" | "comp" | "auth-trunc" | "enc" | "encap" | "sel" | "mark" | "if_id" => {
                    parts.push(line.clone())
                }
                _ => {}
            }
        }
        // charon has no copying of headers by an IPComp tunnel, whatever it is told; nor by what the kernel adds to it.
        if parts.iter().any(|part| part.starts_with("proto comp") || part.starts_with("proto 4")) {
            parts.retain(|part| !["flag", "noecn", "nopmtudisc"].contains(&part.as_str()));
        }
        parts.join("; ")
    };
    // An SPI that charon has asked for and not used is no SA.
    let larval = |block: &Vec<String>| {
        let keyed = ["aead", "comp", "enc", "auth-trunc"];
        let known = block.iter().any(|line| keyed.iter().any(|key| line.starts_with(&format!("{key} "))));
        !known && !block.iter().any(|line| line.starts_with("proto 4"))
    };
    blocks(&shown).into_iter().filter(|block| !larval(block)).map(pick).collect()
}

/// Selector, priority and template of every policy of one direction, without SPI, reqid and level.
pub(crate) fn policies(lab: &Lab, name: &str, direction: &str) -> BTreeSet<String> {
    let shown = lab.exec(name, "ip xfrm policy");
    let pick = |block: Vec<String>| {
        let text = block.join(" ");
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut parts = Vec::new();
        let mut at = words.iter().peekable();
        while let Some(word) = at.next() {
            match *word {
                "dir" | "spi" | "reqid" | "level" => drop(at.next()),
                other => parts.push(other),
            }
        }
        (words.windows(2).any(|w| w == ["dir", direction])).then(|| parts.join(" "))
    };
    blocks(&shown).into_iter().filter_map(pick).collect()
}

/// Both ends have told their kernels the same.
pub(crate) fn same_in_both_kernels(lab: &Lab) {
    // What was replaced outlives its deletion for a while, on the one end longer than on the other.
    wait_for(Duration::from_secs(10), || states(lab, "gw") == states(lab, "cl"));
    assert_eq!(states(lab, "gw"), states(lab, "cl"));
    for (here, there) in [("gw", "cl"), ("cl", "gw")] {
        let out = policies(lab, here, "out");
        assert!(!out.is_empty());
        assert_eq!(out, policies(lab, there, "in"), "{here} -> {there}");
    }
}
