//! `docs/configuration.md` says what the tables say. To write it anew:
//! `CYGNET_WRITE_DOCS=1 cargo test -p config --test docs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use config::capability::Capabilities;
use config::schema::{Key, TABLES, daemon};
use std::fmt::Write as _;

const HEAD: &str = "\
# Configuration keys

Every key of `swanctl.conf` and `strongswan.conf`, written from the tables in `crates/config/src/schema`; a test compares
them. Names and defaults are strongSwan's. The grammar of the files is at the head of `crates/config/src/grammar.rs`.

Lists are separated by commas. A *time* is a number of seconds, or a number with `s`, `m`, `h` or `d` behind it. Numbers
may be hexadecimal after `0x`.

A key with something in the last column is refused, by name, at any other value than its default: what it needs is not
there, or not with userspace ESP. Single words are refused in the same way: `version = 1`, `auth = xauth`, EAP methods other
than those named, `mode` other than `tunnel`, `pass` and `drop`. `version = 0` means IKEv2 as long as there is no IKEv1.

";

const DAEMON: &str = "
## strongswan.conf

The sections `charon-systemd`, `charon` and `libstrongswan` are consulted in this order; the first that has a key wins. `*`
stands for any name. Nothing here is an error: what is unknown, without effect or unreadable gives a warning and leaves
the default.

";

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

fn row(out: &mut String, key: &Key, last: &str) {
    let what = if key.kind.is_list() {
        format!("list: {}", key.kind.describe())
    } else {
        key.kind.describe().to_owned()
    };
    writeln!(
        out,
        "| `{}` | {} | {} | {} | {} |",
        key.name,
        cell(&what),
        code(key.default),
        cell(key.help),
        cell(last)
    )
    .unwrap();
}

#[test]
fn the_page_is_written_from_the_tables() {
    let capabilities = Capabilities::userspace();
    let mut out = HEAD.to_owned();
    for (path, keys) in TABLES {
        writeln!(
            out,
            "## {path}\n\n| key | value | default | what | refused because |\n|---|---|---|---|---|"
        )
        .unwrap();
        for key in *keys {
            let missing =
                key.needs.filter(|needs| !capabilities.has(*needs)).map_or("", |needs| needs.missing());
            row(&mut out, key, missing);
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out.push_str(DAEMON);
    out.push_str("| key | value | default | what | no effect because |\n|---|---|---|---|---|\n");
    for key in daemon::keys() {
        row(&mut out, key, daemon::unused_reason(key.name).unwrap_or(""));
    }
    out.push_str("\nThese keys of strongSwan have no effect:\n\n| keys | because |\n|---|---|\n");
    for (name, why) in daemon::unused_keys() {
        let known = daemon::keys().any(|key| key.name == name);
        if !known {
            let why = if why.is_empty() { "there are no plugins to load" } else { why };
            writeln!(out, "| `{name}` | {why} |").unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("CYGNET_WRITE_DOCS").is_some() {
        std::fs::write(path, &out).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == out, "docs/configuration.md is behind the tables; see the head of this test");
}
