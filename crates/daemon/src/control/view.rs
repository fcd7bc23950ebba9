//! IKE_SAs, CHILD_SAs, connections and policies as vici sections, key for key as charon lists them.
use config::tree::Section;
use crypto::sign::PublicKey;
use crypto::table;
use ike::io::{ChildView, IkeView};
use policy::sa::{PolicyOnly, Usage};
use policy::{Action, Auth, AuthClass, CertRef, Child, Connection, Identity, Mode, PeerAddr};
use std::fmt::Display;
use vici::Message;
use wire::iana::{Encr, Integ, Ke, ProtocolId};

/// An IKE_SA without its CHILD_SAs; `now` in monotonic milliseconds.
pub(crate) fn ike_sa(sa: &IkeView, now: u64) -> Section {
    let mut out = Section::default();
    out.put("uniqueid", sa.unique_id);
    out.put("version", sa.version);
    out.put("state", sa.state);
    out.put("local-host", sa.local.ip());
    out.put("local-port", sa.local.port());
    put_identity(&mut out, "local-id", sa.local_id.as_deref());
    out.put("remote-host", sa.remote.ip());
    out.put("remote-port", sa.remote.port());
    put_identity(&mut out, "remote-id", sa.remote_id.as_deref());
    if let Some(id) = &sa.remote_xauth_id {
        out.put("remote-xauth-id", id);
    }
    if let Some(id) = &sa.remote_eap_id {
        out.put("remote-eap-id", id);
    }
    put_if(&mut out, "initiator", sa.initiator);
    out.put("initiator-spi", format_args!("{:016x}", sa.spi_i));
    out.put("responder-spi", format_args!("{:016x}", sa.spi_r));
    put_if(&mut out, "nat-local", sa.nat_local);
    put_if(&mut out, "nat-remote", sa.nat_remote);
    put_if(&mut out, "nat-fake", sa.nat_fake);
    put_if(&mut out, "nat-any", sa.nat_any);
    put_hex(&mut out, "if-id-in", sa.if_id_in);
    put_hex(&mut out, "if-id-out", sa.if_id_out);
    if let Some(chosen) = &sa.proposal {
        put_algorithms(&mut out, chosen.encr, chosen.integ);
        if let Some(prf) = chosen.prf {
            out.put("prf-alg", table::prf_name(prf));
        }
        put_exchanges(&mut out, chosen.ke, &chosen.add_ke);
    }
    put_if(&mut out, "ppk", sa.ppk);
    // charon shows the times of an established IKE_SA only.
    if sa.state == "ESTABLISHED" {
        if let Some(at) = sa.established {
            out.put("established", seconds_since(at, now));
        }
        if let Some(at) = sa.rekey_at {
            out.put("rekey-time", seconds_until(at, now));
        }
        if let Some(at) = sa.reauth_at {
            out.put("reauth-time", seconds_until(at, now));
        }
    }
    put_some_list(&mut out, "local-vips", &sa.local_vips);
    put_some_list(&mut out, "remote-vips", &sa.remote_vips);
    put_some_list(&mut out, "tasks-queued", &sa.tasks_queued);
    put_some_list(&mut out, "tasks-active", &sa.tasks_active);
    put_some_list(&mut out, "tasks-passive", &sa.tasks_passive);
    out
}

/// The name of a CHILD_SA's section: its own with its unique id.
pub(crate) fn child_key(child: &ChildView) -> String {
    format!("{}-{}", child.sa.config.name, child.sa.id)
}

/// A CHILD_SA.
pub(crate) fn child_sa(child: &ChildView, now: u64) -> Section {
    let sa = &child.sa;
    let mut out = Section::default();
    out.put("name", &sa.config.name);
    out.put("uniqueid", sa.id);
    out.put("reqid", sa.reqid);
    out.put("state", child.state);
    out.put("mode", mode(sa.mode));
    let installed = !matches!(child.state, "CREATED" | "ROUTED" | "INSTALLING" | "DESTROYING");
    if installed {
        out.put("protocol", if sa.protocol == ProtocolId::Ah { "AH" } else { "ESP" });
        put_if(&mut out, "encap", sa.encap);
        out.put("spi-in", format_args!("{:08x}", sa.spi_in));
        out.put("spi-out", format_args!("{:08x}", sa.spi_out));
        if sa.cpi_in != 0 {
            out.put("cpi-in", format_args!("{:04x}", sa.cpi_in));
            out.put("cpi-out", format_args!("{:04x}", sa.cpi_out));
        }
        put_mark(&mut out, "mark-in", "mark-mask-in", sa.mark_in);
        put_mark(&mut out, "mark-out", "mark-mask-out", sa.mark_out);
        put_hex(&mut out, "if-id-in", sa.if_id_in);
        put_hex(&mut out, "if-id-out", sa.if_id_out);
        if let Some(label) = &sa.config.label {
            out.put("label", label);
        }
        put_algorithms(&mut out, sa.encr, sa.integ);
        put_exchanges(&mut out, child.ke, &child.add_ke);
        if sa.esn {
            out.put("esn", 1);
        }
        put_usage(&mut out, "in", child.usage_in, now);
        put_usage(&mut out, "out", child.usage_out, now);
        if let Some(at) = child.rekey_at {
            out.put("rekey-time", seconds_until(at, now));
        }
        if let Some(at) = child.expires_at {
            out.put("life-time", seconds_until(at, now));
        }
        out.put("install-time", seconds_since(child.installed, now));
    }
    out.put_list("local-ts", sa.local_ts.iter());
    out.put_list("remote-ts", sa.remote_ts.iter());
    out
}

/// A connection as `list-conn` shows it.
pub(crate) fn connection(conn: &Connection) -> Section {
    let mut out = Section::default();
    out.put_list("local_addrs", conn.local_addrs.iter().map(address));
    out.put_list("remote_addrs", conn.remote_addrs.iter().map(address));
    // Not in charon 5.9's list; shown where they differ from what everybody expects.
    for (key, port) in [("local_port", conn.local_port), ("remote_port", conn.remote_port)] {
        if port != 500 {
            out.put(key, port);
        }
    }
    out.put(
        "version",
        match conn.version {
            1 => "IKEv1",
            2 => "IKEv2",
            _ => "IKEv1/2",
        },
    );
    out.put("reauth_time", conn.reauth_time);
    out.put("rekey_time", conn.rekey_time);
    out.put(
        "unique",
        match conn.unique {
            policy::connection::Unique::Never => "UNIQUE_NEVER",
            policy::connection::Unique::No => "UNIQUE_NO",
            policy::connection::Unique::Keep => "UNIQUE_KEEP",
            policy::connection::Unique::Replace => "UNIQUE_REPLACE",
        },
    );
    if conn.dpd_delay > 0 {
        out.put("dpd_delay", conn.dpd_delay);
    }
    if conn.dpd_timeout > 0 {
        out.put("dpd_timeout", conn.dpd_timeout);
    }
    if let Some(id) = &conn.ppk_id {
        out.put("ppk_id", id);
    }
    put_if(&mut out, "ppk_required", conn.ppk_required);
    for (side, rounds) in [("local", &conn.local), ("remote", &conn.remote)] {
        for (number, auth) in rounds.iter().enumerate() {
            out.put_section(&format!("{side}-{}", number.saturating_add(1)), round(auth));
        }
    }
    let mut children = Section::default();
    for child in &conn.children {
        children.put_section(&child.name, child_config(child));
    }
    out.put_section("children", children);
    out
}

fn round(auth: &Auth) -> Section {
    let mut out = Section::default();
    if let Some(id) = &auth.aaa_id {
        out.put("aaa_id", id);
    }
    if let Some(id) = &auth.id {
        out.put("id", id);
    }
    if let Some(id) = &auth.eap_id {
        out.put("eap_id", id);
    }
    if let Some(id) = &auth.xauth_id {
        out.put("xauth_id", id);
    }
    match &auth.class {
        AuthClass::Psk => {
            out.put("class", "pre-shared key");
        }
        AuthClass::Pubkey(_) => {
            out.put("class", "public key");
        }
        AuthClass::Eap(method) => {
            if !method.is_empty() {
                let name = method.split_once(':').map_or(method.as_str(), |(name, _)| name);
                out.put("eap-type", format_args!("EAP_{}", name.to_uppercase()));
            }
            out.put("class", "EAP");
        }
        AuthClass::Xauth(method) => {
            if !method.is_empty() {
                out.put("xauth", method);
            }
            out.put("class", "XAuth");
        }
        AuthClass::Any => {
            out.put("class", "any");
        }
        AuthClass::Null => {
            out.put("class", "NULL");
        }
    }
    match auth.revocation.as_str() {
        "strict" => {
            out.put("revocation", "GOOD");
        }
        "ifuri" => {
            out.put("revocation", "SKIPPED");
        }
        _ => {}
    }
    if let Some(id) = &auth.ca_id {
        out.put("ca_id", id);
    }
    out.put_list("groups", &auth.groups);
    out.put_list("cert_policy", &auth.cert_policy);
    let subject = |reference: &CertRef| match reference {
        CertRef::Loaded(certificate) => Some(certificate.subject.to_string()),
        // As charon: a raw public key is a certificate whose name is its fingerprint.
        CertRef::Key(spki) => {
            PublicKey::from_spki(spki).ok().map(|key| Identity::KeyId(key.spki_id()).to_string())
        }
        CertRef::Raw(_) | CertRef::File(_) | CertRef::Token { .. } => None,
    };
    let certs: Vec<String> = auth.certs.iter().chain(&auth.pubkeys).filter_map(subject).collect();
    out.put_list("certs", certs);
    let cacerts: Vec<String> = auth.cacerts.iter().filter_map(subject).collect();
    out.put_list("cacerts", cacerts);
    out
}

fn child_config(child: &Child) -> Section {
    let mut out = Section::default();
    out.put("mode", mode(child.mode));
    if let Some(label) = &child.label {
        out.put("label", label);
    }
    out.put("rekey_time", child.lifetime.time.rekey);
    out.put("rekey_bytes", child.lifetime.bytes.rekey);
    out.put("rekey_packets", child.lifetime.packets.rekey);
    out.put("dpd_action", action(child.dpd_action));
    out.put("close_action", action(child.close_action));
    out.put_list("local-ts", &child.local_ts);
    out.put_list("remote-ts", &child.remote_ts);
    if let Some(interface) = &child.interface {
        out.put("interface", interface);
    }
    if child.priority > 0 {
        out.put("priority", child.priority);
    }
    out
}

/// A trap, pass or drop policy as `list-policy` shows it.
pub(crate) fn policy(policy: &PolicyOnly) -> Section {
    let mut out = Section::default();
    out.put("child", &policy.config.name);
    out.put("ike", &policy.connection);
    out.put("mode", mode(policy.config.mode));
    if let Some(label) = &policy.config.label {
        out.put("label", label);
    }
    if policy.reqid != 0 {
        out.put("reqid", policy.reqid);
    }
    out.put_list("local-ts", &policy.local_ts);
    out.put_list("remote-ts", &policy.remote_ts);
    out
}

/// charon's word for a mode.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Tunnel => "TUNNEL",
        Mode::Transport => "TRANSPORT",
        Mode::TransportProxy => "TRANSPORT_PROXY",
        Mode::Beet => "BEET",
        Mode::Iptfs => "IPTFS",
        Mode::Pass => "PASS",
        Mode::Drop => "DROP",
    }
}

const fn action(action: Action) -> &'static str {
    match (action.trap, action.start) {
        (false, false) => "none",
        (true, false) => "trap",
        (false, true) => "start",
        (true, true) => "trap | start",
    }
}

/// An address list entry as written in the configuration.
pub(crate) fn address(address: &PeerAddr) -> String {
    match address {
        PeerAddr::Any(None) => "%any".to_owned(),
        PeerAddr::Any(Some(v6)) => if *v6 { "%any6" } else { "%any4" }.to_owned(),
        PeerAddr::Ip(ip) => ip.to_string(),
        PeerAddr::Range(from, to) => match policy::selector::single_prefix(*from, *to) {
            Some(prefix) => format!("{from}/{prefix}"),
            None => format!("{from}-{to}"),
        },
        PeerAddr::Name(name) => name.clone(),
    }
}

fn put_identity(out: &mut Section, key: &str, id: Option<&Identity>) {
    match id {
        Some(id) => out.put(key, id),
        None => out.put(key, "%any"),
    };
}

fn put_if(out: &mut Section, key: &str, set: bool) {
    if set {
        out.put(key, "yes");
    }
}

fn put_hex(out: &mut Section, key: &str, id: u32) {
    if id != 0 {
        out.put(key, format_args!("{id:08x}"));
    }
}

fn put_mark(out: &mut Section, key: &str, mask_key: &str, (value, mask): (u32, u32)) {
    if value != 0 {
        out.put(key, format_args!("{value:08x}"));
        if mask != u32::MAX {
            out.put(mask_key, format_args!("{mask:08x}"));
        }
    }
}

fn put_algorithms(out: &mut Section, (encr, bits): (Encr, u16), integ: Integ) {
    out.put("encr-alg", table::encr_name(encr, bits));
    if bits != 0 {
        out.put("encr-keysize", bits);
    }
    if integ != Integ::None {
        out.put("integ-alg", table::integ_name(integ));
    }
}

fn put_exchanges(out: &mut Section, ke: Ke, additional: &[Ke]) {
    if ke != Ke::None {
        out.put("dh-group", table::ke_name(ke));
    }
    for (number, ke) in additional.iter().enumerate() {
        if *ke != Ke::None {
            out.put(&format!("ake{}", number.saturating_add(1)), table::ke_name(*ke));
        }
    }
}

fn put_usage(out: &mut Section, direction: &str, usage: Usage, now: u64) {
    out.put(&format!("bytes-{direction}"), usage.bytes);
    out.put(&format!("packets-{direction}"), usage.packets);
    if let Some(last) = usage.last {
        out.put(&format!("use-{direction}"), seconds_since(last, now));
    }
}

fn put_some_list<T: Display>(out: &mut Section, key: &str, items: &[T]) {
    if !items.is_empty() {
        out.put_list(key, items);
    }
}

fn seconds_since(at: u64, now: u64) -> u64 {
    now.saturating_sub(at) / 1000
}

/// Seconds until a deadline, 0 when it has passed.
fn seconds_until(at: u64, now: u64) -> u64 {
    at.saturating_sub(now) / 1000
}
