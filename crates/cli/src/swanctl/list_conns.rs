//! `--list-conns`.
use super::{Call, Outcome, list};
use crate::out::{bytes, clean};
use config::tree::Section;
use std::fmt::Write;
use vici::Message;

pub(super) fn list(call: &Call<'_>) -> Outcome {
    list::streamed(call, "list-conns", Section::default(), "list-conn", |event| bytes(text(event).as_bytes()))
}

fn text(event: &Section) -> String {
    let mut out = String::new();
    for (name, conn) in event.children() {
        // Writing to a String cannot fail.
        let _ = connection(name, conn, &mut out);
    }
    clean(&out).into_owned()
}

fn connection(name: &str, conn: &Section, out: &mut String) -> std::fmt::Result {
    let seconds = |key: &str| conn.number::<u64>(key).filter(|seconds| *seconds > 0);
    write!(out, "{name}: {}", conn.text("version").unwrap_or_default())?;
    let v1 = conn.text("version") == Some("IKEv1");
    match (seconds("reauth_time"), seconds("rekey_time")) {
        // IKEv1 cannot rekey: a rekey time is when it reauthenticates.
        (Some(reauth), _) if v1 => write!(out, ", reauthentication every {reauth}s")?,
        (None, Some(rekey)) if v1 => write!(out, ", reauthentication every {rekey}s")?,
        (Some(reauth), Some(rekey)) => {
            write!(out, ", reauthentication every {reauth}s, rekeying every {rekey}s")?
        }
        (Some(reauth), None) => write!(out, ", reauthentication every {reauth}s")?,
        (None, Some(rekey)) => write!(out, ", no reauthentication, rekeying every {rekey}s")?,
        (None, None) => write!(out, ", no reauthentication")?,
    }
    if let Some(delay) = seconds("dpd_delay") {
        write!(out, ", dpd delay {delay}s")?;
    }
    out.push('\n');
    if let Some(id) = conn.text("ppk_id") {
        let required = if conn.is_yes("ppk_required") { ", required" } else { "" };
        writeln!(out, "  ppk: {id}{required}")?;
    }
    for (key, label) in [("local_addrs", "local: "), ("remote_addrs", "remote:")] {
        for address in conn.items(key) {
            writeln!(out, "  {label} {address}")?;
        }
    }
    for side in ["local", "remote"] {
        for (_, round) in conn.children().filter(|(name, _)| name.starts_with(side)) {
            authentication(side, round, out)?;
        }
    }
    for (name, child) in conn.child("children").into_iter().flat_map(|all| all.children()) {
        self::child(name, child, seconds("dpd_delay").is_some(), out)?;
    }
    Ok(())
}

fn authentication(side: &str, round: &Section, out: &mut String) -> std::fmt::Result {
    let class = round.text("eap-type").or_else(|| round.text("class")).unwrap_or("unspecified");
    writeln!(out, "  {side} {} authentication:", if class == "any" { "unspecified" } else { class })?;
    for key in ["id", "ca_id", "eap_id", "xauth_id", "aaa_id"] {
        if let Some(value) = round.text(key) {
            writeln!(out, "    {key}: {value}")?;
        }
    }
    for (key, label) in
        [("groups", "groups"), ("cert_policy", "cert policy"), ("certs", "certs"), ("cacerts", "cacerts")]
    {
        let items = round.items(key);
        if !items.is_empty() {
            writeln!(out, "    {label}: {}", items.join(" "))?;
        }
    }
    Ok(())
}

fn child(name: &str, child: &Section, dpd: bool, out: &mut String) -> std::fmt::Result {
    let mode = child.text("mode").unwrap_or_default();
    write!(out, "  {name}: {mode}, ")?;
    let every: Vec<String> = [("rekey_time", "s"), ("rekey_bytes", " bytes"), ("rekey_packets", " packets")]
        .into_iter()
        .filter_map(|(key, unit)| {
            child.number::<u64>(key).filter(|limit| *limit > 0).map(|limit| format!("{limit}{unit}"))
        })
        .collect();
    if every.is_empty() || matches!(mode, "PASS" | "DROP") {
        out.push_str("no rekeying");
    } else {
        write!(out, "rekeying every {}", every.join(" or "))?;
    }
    if dpd {
        write!(out, ", dpd action is {}", child.text("dpd_action").unwrap_or_default())?;
    }
    out.push('\n');
    if let Some(label) = child.text("label") {
        writeln!(out, "    label:  {label}")?;
    }
    writeln!(out, "    local:  {}", child.items("local-ts").join(" "))?;
    writeln!(out, "    remote: {}", child.items("remote-ts").join(" "))?;
    for key in ["interface", "priority"] {
        if let Some(value) = child.text(key) {
            writeln!(out, "    {key}: {value}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(section: &mut Section, values: &[(&str, &str)]) {
        for (key, value) in values {
            section.put(key, value);
        }
    }

    #[test]
    fn as_swanctl_prints_a_gateway() {
        let mut child = Section::default();
        put(
            &mut child,
            &[
                ("mode", "TUNNEL"),
                ("rekey_time", "2400"),
                ("rekey_bytes", "0"),
                ("rekey_packets", "0"),
                ("dpd_action", "none"),
                ("close_action", "none"),
            ],
        );
        child.put_list("local-ts", ["10.1.0.0/16", "fd00:1::/64"]).put_list("remote-ts", ["dynamic"]);
        let mut children = Section::default();
        children.put_section("office", child);
        let [mut local, mut remote] = [Section::default(), Section::default()];
        put(&mut local, &[("id", "gw.example.org"), ("class", "pre-shared key")]);
        put(&mut remote, &[("id", "*@example.org"), ("class", "pre-shared key")]);
        local.put_list("certs", [""; 0]);
        let mut conn = Section::default();
        conn.put_list("local_addrs", ["192.0.2.1"]).put_list("remote_addrs", ["%any"]);
        put(
            &mut conn,
            &[("version", "IKEv1/2"), ("reauth_time", "0"), ("rekey_time", "14400"), ("dpd_delay", "30")],
        );
        conn.put_section("local-1", local).put_section("remote-1", remote).put_section("children", children);
        let mut event = Section::default();
        event.put_section("gw", conn);
        assert_eq!(
            text(&event),
            "\
gw: IKEv1/2, no reauthentication, rekeying every 14400s, dpd delay 30s
  local:  192.0.2.1
  remote: %any
  local pre-shared key authentication:
    id: gw.example.org
  remote pre-shared key authentication:
    id: *@example.org
  office: TUNNEL, rekeying every 2400s, dpd action is none
    local:  10.1.0.0/16 fd00:1::/64
    remote: dynamic
"
        );
    }

    #[test]
    fn rekeying_in_all_its_forms() {
        for (version, reauth, rekey, words) in [
            ("IKEv2", 5, 6, "IKEv2, reauthentication every 5s, rekeying every 6s"),
            ("IKEv1", 0, 50, "IKEv1, reauthentication every 50s"),
            ("IKEv1", 0, 0, "IKEv1, no reauthentication"),
            ("IKEv1/2", 0, 9, "IKEv1/2, no reauthentication, rekeying every 9s"),
        ] {
            let mut conn = Section::default();
            conn.put("version", version).put("reauth_time", reauth).put("rekey_time", rekey);
            let mut event = Section::default();
            event.put_section("c", conn);
            assert_eq!(text(&event), format!("c: {words}\n"));
        }
        for (mode, time, bytes, packets, words) in [
            ("TUNNEL", 1, 2, 3, "rekeying every 1s or 2 bytes or 3 packets"),
            ("TUNNEL", 0, 0, 3, "rekeying every 3 packets"),
            ("PASS", 3600, 0, 0, "no rekeying"),
        ] {
            let mut one = Section::default();
            one.put("mode", mode)
                .put("rekey_time", time)
                .put("rekey_bytes", bytes)
                .put("rekey_packets", packets);
            let mut out = String::new();
            child("k", &one, false, &mut out).unwrap();
            assert!(out.starts_with(&format!("  k: {mode}, {words}\n")), "{out}");
        }
    }
}
