//! `docs/crypto.md` says what the table says. To write it anew: `CYGNET_WRITE_DOCS=1 cargo test -p crypto --test docs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;

use crypto::table::{self, Backend, Row};

const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->\n";

fn tables() -> String {
    let rows = table::rows();
    let mut out = String::new();
    for (kind, title) in [
        ("encryption", "Encryption (transform type 1)"),
        ("prf", "Pseudo-random functions (transform type 2)"),
        ("integrity", "Integrity (transform type 3)"),
        ("ke", "Key exchange (transform types 4 and 6 to 12)"),
    ] {
        let (refused, usable): (Vec<_>, Vec<_>) = rows
            .iter()
            .filter(|row| row.kind == kind)
            .partition(|row| matches!(row.backend, Backend::Refused(_)));
        write!(out, "## {title}\n\n| number | name | keywords | backend | |\n|---|---|---|---|---|\n")
            .unwrap();
        for row in usable {
            let note = match (row.aead, row.legacy) {
                (_, true) => "legacy",
                (true, false) => "AEAD",
                (false, false) => "",
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {note} |",
                row.number,
                row.name,
                words(row),
                row.backend.name()
            )
            .unwrap();
        }
        if !refused.is_empty() {
            write!(out, "\nRefused by name:\n\n| number | name | keywords | reason |\n|---|---|---|---|\n")
                .unwrap();
            for row in refused {
                let Backend::Refused(reason) = row.backend else { continue };
                writeln!(out, "| {} | {} | {} | {reason} |", row.number, row.name, words(row)).unwrap();
            }
        }
        out.push('\n');
    }
    out
}

fn words(row: &Row) -> String {
    row.keywords.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/crypto.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a begin mark");
    let (written, after) = rest.split_once(END).expect("the page has an end mark");
    let wanted = format!("\n{}", tables());
    if std::env::var_os("CYGNET_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert!(written == wanted, "docs/crypto.md is behind the table; see the head of this test");
    }
}
