//! `--list-sas`.
use super::{Call, Outcome, list};
use crate::out::{bytes, clean};
use config::tree::Section;
use std::fmt::Write;
use vici::Message;

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    for key in ["ike", "ike-id", "child", "child-id"] {
        call.copy(key, &mut message);
    }
    if call.has("noblock") {
        message.put_bool("noblock", true);
    }
    list::streamed(call, "list-sas", message, "list-sa", print)
}

/// Prints the IKE_SAs of an event.
pub(super) fn print(event: &Section) {
    bytes(text(event).as_bytes());
}

/// What [`print`] prints.
fn text(event: &Section) -> String {
    let mut out = String::new();
    for (name, sa) in event.children() {
        // Writing to a String cannot fail.
        let _ = ike_sa(name, sa, &mut out);
    }
    clean(&out).into_owned()
}

fn ike_sa(name: &str, sa: &Section, out: &mut String) -> std::fmt::Result {
    let get = |key: &str| sa.text(key).unwrap_or_default();
    let star = |ours: bool| if ours { "*" } else { "" };
    let ours = sa.is_yes("initiator");
    writeln!(
        out,
        "{name}: #{}, {}, IKEv{}, {}_i{} {}_r{}",
        get("uniqueid"),
        get("state"),
        get("version"),
        get("initiator-spi"),
        star(ours),
        get("responder-spi"),
        star(!ours),
    )?;
    for side in ["local", "remote"] {
        let part = |what: &str| sa.text(&format!("{side}-{what}"));
        write!(
            out,
            "  {side:<6} '{}' @ {}[{}]",
            part("id").unwrap_or_default(),
            part("host").unwrap_or_default(),
            part("port").unwrap_or_default(),
        )?;
        if let Some(id) = part("eap-id") {
            write!(out, " EAP: '{id}'")?;
        }
        if let Some(id) = part("xauth-id") {
            write!(out, " XAuth: '{id}'")?;
        }
        let vips = sa.items(&format!("{side}-vips"));
        if !vips.is_empty() {
            write!(out, " [{}]", vips.join(" "))?;
        }
        out.push('\n');
    }
    if sa.text("encr-alg").is_some() {
        writeln!(out, "  {}", algorithms(sa))?;
    }
    let times: Vec<String> = [
        ("established", "established ", " ago"),
        ("rekey-time", "rekeying in ", ""),
        ("reauth-time", "reauth in ", ""),
    ]
    .into_iter()
    .filter_map(|(key, before, after)| sa.text(key).map(|value| format!("{before}{value}s{after}")))
    .collect();
    if sa.text("established").is_some() {
        writeln!(out, "  {}", times.join(", "))?;
    }
    for (key, label) in
        [("tasks-queued", "queued: "), ("tasks-active", "active: "), ("tasks-passive", "passive:")]
    {
        let tasks = sa.items(key);
        if !tasks.is_empty() {
            writeln!(out, "  {label} {}", tasks.join(" "))?;
        }
    }
    for (_, child) in sa.child("child-sas").into_iter().flat_map(|all| all.children()) {
        child_sa(child, out)?;
    }
    Ok(())
}

fn child_sa(sa: &Section, out: &mut String) -> std::fmt::Result {
    let get = |key: &str| sa.text(key).unwrap_or_default();
    let mut algorithms = algorithms(sa);
    if sa.text("esn").is_some_and(|esn| esn != "0") {
        algorithms.push_str("/ESN");
    }
    let udp = if sa.is_yes("encap") { "-in-UDP" } else { "" };
    writeln!(
        out,
        "  {}: #{}, reqid {}, {}, {}{udp}, {}:{algorithms}",
        get("name"),
        get("uniqueid"),
        get("reqid"),
        get("state"),
        get("mode"),
        get("protocol"),
    )?;
    write!(out, "    installed {}s ago", get("install-time"))?;
    if let Some(seconds) = sa.text("rekey-time") {
        write!(out, ", rekeying in {seconds}s")?;
    }
    if let Some(seconds) = sa.text("life-time") {
        write!(out, ", expires in {seconds}s")?;
    }
    out.push('\n');
    for direction in ["in", "out"] {
        let part = |what: &str| sa.text(&format!("{what}-{direction}"));
        write!(out, "    {direction:<3} {}", part("spi").unwrap_or_default())?;
        if let Some(cpi) = part("cpi") {
            write!(out, "/{cpi}")?;
        }
        let mut labels = Vec::new();
        if let Some(mark) = part("mark") {
            labels.push(format!("0x{mark}/0x{}", part("mark-mask").unwrap_or_default()));
        }
        if let Some(id) = part("if-id") {
            labels.push(format!("0x{id}"));
        }
        if !labels.is_empty() {
            write!(out, " ({})", labels.join("|"))?;
        }
        write!(
            out,
            ", {:>6} bytes, {:>5} packets",
            part("bytes").unwrap_or_default(),
            part("packets").unwrap_or_default()
        )?;
        if let Some(seconds) = part("use") {
            write!(out, ", {seconds:>5}s ago")?;
        }
        out.push('\n');
    }
    if let Some(label) = sa.text("label") {
        writeln!(out, "    label  {label}")?;
    }
    writeln!(out, "    local  {}", sa.items("local-ts").join(" "))?;
    writeln!(out, "    remote {}", sa.items("remote-ts").join(" "))
}

/// `AES_CBC-128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768/PPK`
fn algorithms(sa: &Section) -> String {
    let sized = |alg: &str, size: &str| {
        sa.text(alg).map(|alg| match sa.text(size) {
            Some(size) => format!("{alg}-{size}"),
            None => alg.to_owned(),
        })
    };
    let mut parts: Vec<String> = sized("encr-alg", "encr-keysize").into_iter().collect();
    parts.extend(sized("integ-alg", "integ-keysize"));
    parts.extend(sa.text("prf-alg").map(str::to_owned));
    parts.extend(sa.text("dh-group").map(str::to_owned));
    parts.extend((1..=7).filter_map(|n| sa.text(&format!("ake{n}")).map(|ke| format!("KE{n}_{ke}"))));
    if sa.is_yes("ppk") {
        parts.push("PPK".to_owned());
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_swanctl_prints_a_road_warrior() {
        // What swanctl 5.9.8 printed for these values.
        let expected = "\
home: #4, ESTABLISHED, IKEv2, 5e0fe371174d74a7_i* 83f13a7a8d11b61e_r
  local  'carol@example.org' @ 192.0.2.2[4500] [10.3.0.1 fd00:3::1]
  remote 'gw.example.org' @ 192.0.2.1[4500]
  AES_GCM_16-128/PRF_HMAC_SHA2_256/CURVE_25519
  established 61s ago, rekeying in 13644s
  net: #5, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-128
    installed 61s ago, rekeying in 3447s, expires in 3959s
    in  740d905c,    168 bytes,     2 packets,     0s ago
    out ffd4c771, 1048576 bytes,  1234 packets,     0s ago
    local  10.3.0.1/32 fd00:3::1/128
    remote 10.1.0.0/16 fd00:1::/64
";
        assert_eq!(text(&crate::view::tests::sample()), expected);
    }

    #[test]
    fn everything_an_sa_can_have() {
        let mut child = Section::default();
        for (key, value) in [
            ("name", "net"),
            ("uniqueid", "3"),
            ("reqid", "2"),
            ("state", "INSTALLED"),
            ("mode", "TUNNEL"),
            ("protocol", "AH"),
            ("encap", "yes"),
            ("spi-in", "c0000001"),
            ("spi-out", "c0000002"),
            ("cpi-in", "ab01"),
            ("mark-in", "00000001"),
            ("mark-mask-in", "ffffffff"),
            ("if-id-in", "00000003"),
            ("encr-alg", "AES_CBC"),
            ("encr-keysize", "128"),
            ("integ-alg", "HMAC_SHA2_256_128"),
            ("integ-keysize", "160"),
            ("prf-alg", "P"),
            ("dh-group", "CURVE_25519"),
            ("esn", "1"),
            ("bytes-in", "123456789012"),
            ("packets-in", "1234567"),
            ("use-in", "3"),
            ("bytes-out", "0"),
            ("packets-out", "0"),
            ("install-time", "60"),
            ("label", "l"),
        ] {
            child.put(key, value);
        }
        child.put_list("local-ts", ["10.0.0.0/8"]).put_list("remote-ts", ["dynamic"]);
        let mut children = Section::default();
        children.put_section("net-3", child);
        let mut sa = Section::default();
        for (key, value) in [
            ("uniqueid", "7"),
            ("version", "2"),
            ("state", "ESTABLISHED"),
            ("local-host", "192.0.2.1"),
            ("local-port", "4500"),
            ("local-id", "gw"),
            ("remote-host", "192.0.2.2"),
            ("remote-port", "4500"),
            ("remote-id", "carol"),
            ("remote-eap-id", "user"),
            ("remote-xauth-id", "xuser"),
            ("initiator-spi", "01"),
            ("responder-spi", "02"),
            ("encr-alg", "AES_CBC"),
            ("encr-keysize", "256"),
            ("integ-alg", "HMAC_SHA2_256_128"),
            ("prf-alg", "PRF_HMAC_SHA2_256"),
            ("dh-group", "ECP_256"),
            ("ake1", "ML_KEM_768"),
            ("ppk", "yes"),
            ("established", "5"),
            ("rekey-time", "6"),
            ("reauth-time", "7"),
        ] {
            sa.put(key, value);
        }
        sa.put_list("tasks-queued", ["A", "B"])
            .put_list("tasks-active", ["C"])
            .put_list("tasks-passive", ["D"]);
        sa.put_section("child-sas", children);
        let mut event = Section::default();
        event.put_section("eap", sa);
        let expected = "\
eap: #7, ESTABLISHED, IKEv2, 01_i 02_r*
  local  'gw' @ 192.0.2.1[4500]
  remote 'carol' @ 192.0.2.2[4500] EAP: 'user' XAuth: 'xuser'
  AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256/KE1_ML_KEM_768/PPK
  established 5s ago, rekeying in 6s, reauth in 7s
  queued:  A B
  active:  C
  passive: D
  net: #3, reqid 2, INSTALLED, TUNNEL-in-UDP, AH:AES_CBC-128/HMAC_SHA2_256_128-160/P/CURVE_25519/ESN
    installed 60s ago
    in  c0000001/ab01 (0x00000001/0xffffffff|0x00000003), 123456789012 bytes, 1234567 packets,     3s ago
    out c0000002,      0 bytes,     0 packets
    label  l
    local  10.0.0.0/8
    remote dynamic
";
        assert_eq!(text(&event), expected);
    }
}
