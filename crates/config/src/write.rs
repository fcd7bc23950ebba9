//! Policy → tree → text: connections as `swanctl.conf` has them.
//!
//! Written is what differs from the default, so that reading it back gives the same connection.

use crate::tree::{Node, Section, Value};
use policy::connection::{Childless, Fragmentation, Unique};
use policy::lifetime::Limit;
use policy::proposal::default_proposals;
use policy::{Auth, AuthClass, CertRef, Child, Connection, Mark, MarkValue, ProposalSet};
use std::fmt::Display;
use wire::iana::ProtocolId;

/// A tree as text that [`grammar`](crate::grammar) reads back: lists become comma-separated values, values are quoted
/// where they must be. Names that are no names of the grammar are left out, with all below them: files cannot hold them.
#[must_use]
pub fn to_text(section: &Section) -> Vec<u8> {
    let mut out = Vec::new();
    write_section(section, 0, &mut out);
    out
}

fn write_section(section: &Section, depth: usize, out: &mut Vec<u8>) {
    let indent = |out: &mut Vec<u8>| out.extend(std::iter::repeat_n(b' ', depth * 4));
    for (name, node) in section.entries.iter().filter(|(name, _)| is_name(name)) {
        indent(out);
        out.extend_from_slice(name.as_bytes());
        match node {
            Node::Value(value) => {
                out.extend_from_slice(b" = ");
                write_value(&value.bytes, out);
                out.push(b'\n');
            }
            Node::List(items) => {
                out.extend_from_slice(b" = ");
                let joined: Vec<&[u8]> = items.iter().map(|item| item.bytes.as_slice()).collect();
                write_value(&joined.join(&b", "[..]), out);
                out.push(b'\n');
            }
            Node::Section(inner) => {
                out.extend_from_slice(b" {\n");
                write_section(inner, depth + 1, out);
                indent(out);
                out.extend_from_slice(b"}\n");
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.bytes().any(|b| b" \t\r\n.,:{}=\"#".contains(&b))
}

fn write_value(value: &[u8], out: &mut Vec<u8>) {
    // Words are joined by one space when read; anything else, and a comment or the end of a section, needs quotes.
    let words: Vec<&[u8]> = value.split(|b| *b == b' ').collect();
    let plain = words.iter().all(|word| !word.is_empty() && !word.iter().any(|b| b"\t\r\n}#\"".contains(b)));
    if plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for b in value {
        match b {
            b'"' | b'\\' => out.extend([b'\\', *b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(*b),
        }
    }
    out.push(b'"');
}

/// Collects what differs from the default.
#[derive(Default)]
struct Writer(Section);

impl Writer {
    fn put(&mut self, key: &str, value: impl Display) {
        self.0.insert(key, Node::Value(Value::new(value.to_string())));
    }

    fn differs<T: PartialEq + Display>(&mut self, key: &str, value: &T, default: &T) {
        if value != default {
            self.put(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool, default: bool) {
        if value != default {
            self.put(key, if value { "yes" } else { "no" });
        }
    }

    fn some<T: Display>(&mut self, key: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn list<T: Display + PartialEq>(&mut self, key: &str, items: &[T], default: &[T]) {
        if items != default && !items.is_empty() {
            let items = items.iter().map(|item| Value::new(item.to_string())).collect();
            self.0.insert(key, Node::List(items));
        }
    }

    /// Certificates and keys as vici carries them: their bytes. Files and tokens are sections of their own.
    fn certificates(&mut self, key: &str, items: &[CertRef]) {
        let bytes = items.iter().filter_map(|item| match item {
            CertRef::Loaded(certificate) => Some(Value::new(&*certificate.der)),
            CertRef::Key(der) => Some(Value::new(&**der)),
            CertRef::Raw(bytes) => Some(Value::new(bytes.as_slice())),
            CertRef::File(_) | CertRef::Token { .. } => None,
        });
        let items: Vec<Value> = bytes.collect();
        if !items.is_empty() {
            self.0.insert(key, Node::List(items));
        }
    }

    fn section(&mut self, key: &str, section: Section) {
        self.0.insert(key, Node::Section(section));
    }
}

/// The section of a connection, below `connections`.
#[must_use]
pub fn connection(c: &Connection) -> Section {
    let d = Connection::named(&c.name);
    let mut w = Writer::default();
    w.differs("version", &c.version, &d.version);
    w.list("local_addrs", &c.local_addrs, &d.local_addrs);
    w.list("remote_addrs", &c.remote_addrs, &d.remote_addrs);
    w.differs("local_port", &c.local_port, &d.local_port);
    w.differs("remote_port", &c.remote_port, &d.remote_port);
    w.list("proposals", &proposals(&c.proposals, ProtocolId::Ike), &["default".to_owned()]);
    w.list("vips", &c.vips, &[]);
    w.some("install_vip_on", c.install_vip_on.as_ref());
    w.flag("install_dns", c.install_dns, d.install_dns);
    w.list("dns_domains", &c.dns_domains, &[]);
    w.flag("aggressive", c.aggressive, d.aggressive);
    w.flag("pull", c.pull, d.pull);
    w.differs("dscp", &format!("{:06b}", c.dscp), &"000000".to_owned());
    w.flag("encap", c.encap, d.encap);
    w.flag("mobike", c.mobike, d.mobike);
    w.differs("dpd_delay", &c.dpd_delay, &d.dpd_delay);
    w.differs("dpd_timeout", &c.dpd_timeout, &d.dpd_timeout);
    w.differs("fragmentation", &fragmentation(c.fragmentation), &fragmentation(d.fragmentation));
    w.differs("childless", &childless(c.childless), &childless(d.childless));
    w.flag("send_certreq", c.send_certreq, d.send_certreq);
    w.differs("send_cert", &c.send_cert, &d.send_cert);
    w.differs("ocsp", &c.ocsp, &d.ocsp);
    w.some("ppk_id", c.ppk_id.as_ref());
    w.flag("ppk_required", c.ppk_required, d.ppk_required);
    w.differs("keyingtries", &c.keyingtries, &d.keyingtries);
    w.differs("unique", &unique(c.unique), &unique(d.unique));
    w.differs("reauth_time", &c.reauth_time, &d.reauth_time);
    // What follows from other keys is written where it does not follow.
    let rekey = if c.reauth_time > 0 { 0 } else { d.rekey_time };
    w.differs("rekey_time", &c.rekey_time, &rekey);
    w.differs("over_time", &c.over_time, &(c.rekey_time.max(c.reauth_time) / 10));
    w.differs("rand_time", &c.rand_time, &c.over_time);
    w.list("pools", &c.pools, &[]);
    w.some("if_id_in", interface_id(c.if_id_in).as_ref());
    w.some("if_id_out", interface_id(c.if_id_out).as_ref());
    if let Some(interface) = &c.interface {
        w.put("interface", &interface.name);
        w.list("interface_addresses", &interface.addresses, &[]);
        w.some("interface_mtu", interface.mtu.as_ref());
        w.some("interface_vrf", interface.vrf.as_ref());
        w.some("interface_netns", interface.netns.as_ref());
    }
    for round in &c.local {
        w.section(&round.name, auth(round));
    }
    for round in &c.remote {
        w.section(&round.name, auth(round));
    }
    if !c.children.is_empty() {
        let mut children = Writer::default();
        for one in &c.children {
            children.section(&one.name, child(one));
        }
        w.section("children", children.0);
    }
    w.0
}

/// The section of an authentication round.
#[must_use]
pub fn auth(a: &Auth) -> Section {
    let d = Auth::named(&a.name, a.class.clone());
    let mut w = Writer::default();
    w.differs("round", &a.round, &d.round);
    w.put("auth", auth_word(&a.class));
    w.some("id", a.id.as_ref());
    w.some("eap_id", a.eap_id.as_ref());
    w.some("aaa_id", a.aaa_id.as_ref());
    w.some("xauth_id", a.xauth_id.as_ref());
    w.list("groups", &a.groups, &[]);
    w.list("cert_policy", &a.cert_policy, &[]);
    w.certificates("certs", &a.certs);
    w.certificates("cacerts", &a.cacerts);
    w.some("ca_id", a.ca_id.as_ref());
    w.certificates("pubkeys", &a.pubkeys);
    w.differs("revocation", &a.revocation, &d.revocation);
    w.0
}

fn auth_word(class: &AuthClass) -> String {
    let with = |word: &str, method: &str| {
        if method.is_empty() { word.to_owned() } else { format!("{word}-{method}") }
    };
    match class {
        AuthClass::Psk => "psk".to_owned(),
        AuthClass::Pubkey(text) => text.clone(),
        AuthClass::Eap(method) => with("eap", method),
        AuthClass::Xauth(backend) => with("xauth", backend),
        AuthClass::Any => "any".to_owned(),
        AuthClass::Null => "null".to_owned(),
    }
}

/// The section of a child.
#[must_use]
pub fn child(c: &Child) -> Section {
    let d = Child::named(&c.name);
    let mut w = Writer::default();
    if c.proposals.first().is_some_and(|p| p.protocol == ProtocolId::Ah) {
        w.list("ah_proposals", &proposals(&c.proposals, ProtocolId::Ah), &[]);
    } else {
        w.list("esp_proposals", &proposals(&c.proposals, ProtocolId::Esp), &["default".to_owned()]);
    }
    w.flag("sha256_96", c.sha256_96, d.sha256_96);
    w.list("local_ts", &c.local_ts, &d.local_ts);
    w.list("remote_ts", &c.remote_ts, &d.remote_ts);
    limit(
        &mut w,
        ["rekey_time", "life_time", "rand_time"],
        c.lifetime.time,
        policy::lifetime::CHILD_REKEY_TIME,
    );
    limit(&mut w, ["rekey_bytes", "life_bytes", "rand_bytes"], c.lifetime.bytes, 0);
    limit(&mut w, ["rekey_packets", "life_packets", "rand_packets"], c.lifetime.packets, 0);
    w.some("updown", c.updown.as_ref());
    w.flag("hostaccess", c.hostaccess, d.hostaccess);
    w.differs("mode", &c.mode.to_string(), &d.mode.to_string());
    w.flag("policies", c.policies, d.policies);
    w.flag("policies_fwd_out", c.policies_fwd_out, d.policies_fwd_out);
    w.differs("dpd_action", &c.dpd_action.to_string(), &d.dpd_action.to_string());
    w.flag("ipcomp", c.ipcomp, d.ipcomp);
    w.differs("inactivity", &c.inactivity, &d.inactivity);
    w.differs("reqid", &c.reqid, &d.reqid);
    w.differs("priority", &c.priority, &d.priority);
    w.some("interface", c.interface.as_ref());
    if let Some(vti) = &c.vti {
        w.put("vti_interface", &vti.interface);
        w.some("vti_address", vti.address.as_ref());
        w.flag("vti_routing", vti.routing, true);
        w.flag("vti_shared", vti.shared, false);
    }
    w.some("mark_in", mark(c.mark_in).as_ref());
    w.flag("mark_in_sa", c.mark_in_sa, d.mark_in_sa);
    w.some("mark_out", mark(c.mark_out).as_ref());
    w.some("set_mark_in", mark(c.set_mark_in).as_ref());
    w.some("set_mark_out", mark(c.set_mark_out).as_ref());
    w.some("if_id_in", interface_id(c.if_id_in).as_ref());
    w.some("if_id_out", interface_id(c.if_id_out).as_ref());
    w.some("label", c.label.as_ref());
    w.differs("label_mode", &c.label_mode, &d.label_mode);
    if c.tfc_padding == u32::MAX {
        w.put("tfc_padding", "mtu");
    } else {
        w.differs("tfc_padding", &c.tfc_padding, &d.tfc_padding);
    }
    w.differs("replay_window", &c.replay_window, &d.replay_window);
    w.differs("per_cpu_sas", &c.per_cpu_sas, &d.per_cpu_sas);
    w.differs("hw_offload", &c.hw_offload, &d.hw_offload);
    w.flag("copy_df", c.copy_df, d.copy_df);
    w.flag("copy_ecn", c.copy_ecn, d.copy_ecn);
    w.differs("copy_dscp", &c.copy_dscp, &d.copy_dscp);
    w.flag("icmp", c.icmp, d.icmp);
    w.differs("start_action", &c.start_action.to_string(), &d.start_action.to_string());
    w.differs("close_action", &c.close_action.to_string(), &d.close_action.to_string());
    w.0
}

/// Keywords; the default proposals, where they stand together, in one word.
fn proposals(set: &ProposalSet, protocol: ProtocolId) -> Vec<String> {
    let default = default_proposals(protocol);
    let mut out = Vec::new();
    let mut rest = set.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(default.as_slice()) {
            out.push("default".to_owned());
            rest = behind;
        } else {
            out.push(first.keywords());
            rest = tail;
        }
    }
    out
}

fn limit(w: &mut Writer, names: [&str; 3], limit: Limit, default: u64) {
    let [rekey, life, rand] = names;
    w.differs(rekey, &limit.rekey, &default);
    let follows = Limit::complete(Some(limit.rekey), None, None, 0);
    w.differs(life, &limit.life, &follows.life);
    w.differs(rand, &limit.rand, &limit.life.saturating_sub(limit.rekey));
}

fn mark(mark: Mark) -> Option<String> {
    let value = match mark.value {
        MarkValue::None => return None,
        MarkValue::Fixed(n) => format!("{n:#x}"),
        MarkValue::Unique => "%unique".to_owned(),
        MarkValue::UniqueDir => "%unique-dir".to_owned(),
        MarkValue::Same => "%same".to_owned(),
    };
    Some(if mark.mask == u32::MAX { value } else { format!("{value}/{:#x}", mark.mask) })
}

fn interface_id(id: MarkValue) -> Option<String> {
    match id {
        MarkValue::None | MarkValue::Same => None,
        MarkValue::Fixed(n) => Some(n.to_string()),
        MarkValue::Unique => Some("%unique".to_owned()),
        MarkValue::UniqueDir => Some("%unique-dir".to_owned()),
    }
}

/// The word of `fragmentation`.
#[must_use]
pub fn fragmentation(value: Fragmentation) -> &'static str {
    match value {
        Fragmentation::Yes => "yes",
        Fragmentation::Accept => "accept",
        Fragmentation::No => "no",
        Fragmentation::Force => "force",
    }
}

/// The word of `childless`.
#[must_use]
pub fn childless(value: Childless) -> &'static str {
    match value {
        Childless::Allow => "allow",
        Childless::Prefer => "prefer",
        Childless::Never => "never",
        Childless::Force => "force",
    }
}

/// The word of `unique`.
#[must_use]
pub fn unique(value: Unique) -> &'static str {
    match value {
        Unique::Never => "never",
        Unique::No => "no",
        Unique::Keep => "keep",
        Unique::Replace => "replace",
    }
}

#[cfg(test)]
mod tests;
