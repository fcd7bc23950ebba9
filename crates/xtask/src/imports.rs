//! Who may import whom: the table is the law (design: imports only point down).
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// Crate, and the crates of ours that it may import.
const LAW: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", &["wire"]),
    ("policy", &["wire", "crypto"]),
    ("pki", &["wire", "crypto", "policy"]),
    ("token", &["crypto"]),
    ("eap", &["wire", "crypto"]),
    ("radius", &["wire", "crypto"]),
    ("pool", &["policy", "wire"]),
    ("sql", &["policy", "pool", "wire", "crypto", "config"]),
    ("dhcp", &[]),
    ("ike", &["wire", "crypto", "policy"]),
    ("esp", &["wire", "crypto", "policy"]),
    ("config", &["wire", "crypto", "policy"]),
    ("vici", &["config"]),
    ("linux", &[]),
    ("dataplane", &["policy", "crypto", "esp", "wire", "linux"]),
    (
        "daemon",
        &[
            "wire",
            "crypto",
            "policy",
            "pki",
            "eap",
            "radius",
            "ike",
            "esp",
            "pool",
            "config",
            "vici",
            "linux",
            "dataplane",
            "token",
            "sql",
            "dhcp",
        ],
    ),
    ("loadtest", &["wire", "crypto", "policy", "pki", "eap", "ike", "esp", "linux"]),
    ("cli", &["vici", "config", "policy", "linux", "crypto", "pki", "pool", "sql", "loadtest"]),
    (
        "testkit",
        &[
            "wire",
            "crypto",
            "policy",
            "pki",
            "eap",
            "radius",
            "ike",
            "esp",
            "pool",
            "config",
            "vici",
            "linux",
            "dataplane",
        ],
    ),
    ("bench", &["linux", "config", "vici", "policy", "pool"]),
    ("count", &["wire", "crypto", "policy", "pki", "ike", "esp", "pool"]),
    ("xtask", &[]),
];

/// Crates on the pure floors, and what must not be among their dependencies.
const PURE: &[&str] = &["wire", "crypto", "policy", "pki", "eap", "radius", "pool", "dhcp", "ike", "esp"];
const IMPURE: &[&str] =
    &["tokio", "sqlx", "zbus", "socket2", "nix", "libc", "getrandom", "rtnetlink", "tun-rs", "quinn-udp"];

/// Compares the workspace's dependencies with the table.
pub(crate) fn check() -> Result<()> {
    let out = crate::run::command("cargo", &["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cargo metadata")?;
    let meta: Value = serde_json::from_slice(&out.stdout).context("cargo metadata's output")?;
    let law: BTreeMap<_, _> = LAW.iter().copied().collect();
    let mut faults = Vec::new();
    for package in meta.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(allowed) = law.get(name) else {
            faults.push(format!("{name}: not in the table of crates/xtask/src/imports.rs"));
            continue;
        };
        for dep in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
            let (dep_name, kind) = (
                dep.get("name").and_then(Value::as_str).unwrap_or_default(),
                dep.get("kind").and_then(Value::as_str),
            );
            if kind == Some("dev") {
                continue;
            }
            if law.contains_key(dep_name) && !allowed.contains(&dep_name) {
                faults.push(format!("{name} imports {dep_name}: the house does not allow it"));
            }
            if PURE.contains(&name) && IMPURE.contains(&dep_name) {
                faults.push(format!("{name} is on a pure floor and depends on {dep_name}"));
            }
        }
    }
    if faults.is_empty() {
        println!("imports: {} crates keep to the table", law.len());
        return Ok(());
    }
    bail!("imports:\n  {}", faults.join("\n  "));
}
