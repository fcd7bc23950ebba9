//! `connections.<conn>`.
use super::values::{dscp, flag, interface_id, item, number, one_of, some_time, text, time, word};
use super::{Context, Fields, Key, Kind, auth, child, interface};
use crate::capability::Capability;
use crate::report::{Report, closest};
use crate::tree::{Section, Value};
use policy::connection::{Childless, Fragmentation, Unique};
use policy::proposal::{ProposalError, parse_proposals};
use policy::{Connection, PeerAddr, ProposalSet};
use std::sync::Arc;
use wire::iana::ProtocolId;

const ADDRESSES: &str = "addresses, subnets, ranges, host names, %any";

/// The keys of a connection.
pub const KEYS: &[Key] = &[
    Key::new(
        "version",
        Kind::Words("0, 1, 2"),
        "0",
        "IKE version; 0 leaves it open, which means IKEv2 as long as there is no IKEv1",
    ),
    Key::new(
        "local_addrs",
        Kind::List(ADDRESSES),
        "%any",
        "our addresses; the first that is a host is used to initiate",
    ),
    Key::new(
        "remote_addrs",
        Kind::List(ADDRESSES),
        "%any",
        "addresses of the peer; the first that is a host is used to initiate",
    ),
    Key::new("local_port", Kind::Number, "500", "our UDP port; 500 moves to 4500 where needed"),
    Key::new("remote_port", Kind::Number, "500", "UDP port of the peer; 500 moves to 4500 where needed"),
    Key::new("proposals", Kind::List("proposals"), "default", "IKE proposals in order of preference"),
    Key::new(
        "vips",
        Kind::List("addresses"),
        "",
        "virtual IPs to ask for; 0.0.0.0 and :: for any, ::/64 for a prefix",
    ),
    Key::new(
        "install_vip_on",
        Kind::Text("name"),
        "",
        "interface for these addresses, before install_virtual_ip_on; not in strongSwan",
    ),
    Key::new(
        "install_dns",
        Kind::Flag,
        "yes",
        "ask for DNS servers together with virtual IPs, and install them; not in strongSwan",
    ),
    Key::new(
        "dns_domains",
        Kind::List("domains"),
        "",
        "domains to ask DNS servers for, others are not taken (RFC 8598); any, where there are none. Not in strongSwan",
    ),
    Key::new("aggressive", Kind::Flag, "no", "IKEv1 Aggressive Mode").needs(Capability::Ikev1),
    Key::new("pull", Kind::Flag, "yes", "IKEv1 Mode Config: ask for attributes (yes) or be told (no)")
        .needs(Capability::Ikev1),
    Key::new("dscp", Kind::Text("six binary digits"), "000000", "DSCP of our IKE packets"),
    Key::new("encap", Kind::Flag, "no", "pretend a NAT, so that ESP always goes in UDP"),
    Key::new("mobike", Kind::Flag, "yes", "keep the SA when addresses change (RFC 4555)"),
    Key::new(
        "dpd_delay",
        Kind::Time,
        "0s",
        "check the peer when nothing was heard from it for so long; 0 never",
    ),
    Key::new(
        "dpd_timeout",
        Kind::Time,
        "0s",
        "IKEv1 only: without effect on IKEv2, where retransmission decides",
    ),
    Key::new(
        "fragmentation",
        Kind::Words("yes, accept, no, force"),
        "yes",
        "IKE fragmentation (RFC 7383); force is the same as yes with IKEv2",
    ),
    Key::new(
        "childless",
        Kind::Words("allow, prefer, force, never"),
        "allow",
        "IKE_SAs without a first child (RFC 6023)",
    ),
    Key::new("send_certreq", Kind::Flag, "yes", "ask for certificates of the CAs we know"),
    Key::new("send_cert", Kind::Words("ifasked, always, never"), "ifasked", "when to send certificates"),
    Key::new("ocsp", Kind::Words("reply, request, both, never"), "reply", "OCSP inside of IKE (RFC 4806)"),
    Key::new("ppk_id", Kind::Text("text"), "", "identity of the post-quantum pre-shared key (RFC 8784)")
        .needs(Capability::Ppk),
    Key::new("ppk_required", Kind::Flag, "no", "refuse to go on without it").needs(Capability::Ppk),
    Key::new("keyingtries", Kind::Number, "1", "rounds of retransmission when initiating; 0 for ever"),
    Key::new(
        "unique",
        Kind::Words("no, never, keep, replace"),
        "no",
        "what to do about a second SA of the same peer",
    ),
    Key::new("reauth_time", Kind::Time, "0s", "authenticate anew after so long; 0 never"),
    Key::new(
        "rekey_time",
        Kind::Time,
        "4h",
        "rekey after so long; 0 never, which is the default where reauth_time is set",
    ),
    Key::new(
        "over_time",
        Kind::Time,
        "",
        "close when rekeying is late by so much; a tenth of the longer of rekey_time and reauth_time",
    ),
    Key::new("rand_time", Kind::Time, "", "rekey earlier by up to so much; the same as over_time"),
    Key::new("pools", Kind::List("names"), "", "pools to give virtual IPs and attributes from"),
    Key::new(
        "if_id_in",
        Kind::Text("number, %unique, %unique-dir"),
        "0",
        "XFRM interface id of the children, inbound",
    )
    .needs(Capability::InterfaceIds),
    Key::new(
        "if_id_out",
        Kind::Text("number, %unique, %unique-dir"),
        "0",
        "XFRM interface id of the children, outbound",
    )
    .needs(Capability::InterfaceIds),
    Key::new(
        "interface",
        Kind::Text("name"),
        "",
        "XFRM interface to make for the children, as long as there is one; %unique in the name: one for each IKE_SA. Not in strongSwan",
    )
    .needs(Capability::InterfaceIds),
    Key::new(
        "interface_addresses",
        Kind::List("addresses with /prefix"),
        "",
        "addresses of this interface, beside virtual IPs; not in strongSwan",
    ),
    Key::new("interface_mtu", Kind::Number, "", "MTU of this interface, in bytes; not in strongSwan"),
    Key::new(
        "interface_vrf",
        Kind::Text("name"),
        "",
        "VRF of this interface, which routes are made in; not in strongSwan",
    ),
    Key::new(
        "interface_netns",
        Kind::Text("name"),
        "",
        "network namespace that this interface is moved into, by its name for ip netns; not in strongSwan",
    ),
    Key::new("mediation", Kind::Flag, "no", "this connection mediates others").needs(Capability::Mediation),
    Key::new("mediated_by", Kind::Text("name"), "", "connection that mediates this one")
        .needs(Capability::Mediation),
    Key::new("mediation_peer", Kind::Text("identity"), "", "name of the peer at the mediation server")
        .needs(Capability::Mediation),
    Key::new("local", Kind::Sections, "", "how we authenticate, one section for each round"),
    Key::new("remote", Kind::Sections, "", "how the peer authenticates, one section for each round"),
    Key::new("children", Kind::Section, "", "the CHILD_SAs, one section each"),
];

/// Reads a connection, from a file or from vici's `load-conn`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_connection(name: &str, section: &Section, context: &Context) -> Result<Connection, Vec<Report>> {
    let path = format!("connections.{name}");
    let mut f = Fields::new(&path, section, KEYS, &context.capabilities);
    let mut c = Connection::named(name);
    f.set("version", &mut c.version, |t| word(t, &[("0", 0), ("1", 1), ("2", 2)]));
    if c.version == 1 {
        f.need(Capability::Ikev1, "version");
    }
    f.list("local_addrs", &mut c.local_addrs, addresses);
    f.list("remote_addrs", &mut c.remote_addrs, addresses);
    f.set("local_port", &mut c.local_port, number);
    if !matches!(c.local_port, 500 | 4500) {
        f.need(Capability::LocalPorts, "local_port");
    }
    f.set("remote_port", &mut c.remote_port, number);
    f.list("proposals", &mut c.proposals, |t| proposals(ProtocolId::Ike, t));
    f.list("vips", &mut c.vips, |t| {
        t.parse().map(|vip| vec![vip]).map_err(|e: policy::vip::VirtualIpError| e.to_string())
    });
    f.set("install_vip_on", &mut c.install_vip_on, super::daemon::network::interface);
    f.set("install_dns", &mut c.install_dns, flag);
    f.list("dns_domains", &mut c.dns_domains, |t| domain(t).map(|name| vec![name]));
    f.set("aggressive", &mut c.aggressive, flag);
    f.set("pull", &mut c.pull, flag);
    f.set("dscp", &mut c.dscp, dscp);
    f.set("encap", &mut c.encap, flag);
    f.set("mobike", &mut c.mobike, flag);
    f.set("dpd_delay", &mut c.dpd_delay, time);
    f.set("dpd_timeout", &mut c.dpd_timeout, time);
    f.set("fragmentation", &mut c.fragmentation, |t| word(t, FRAGMENTATION));
    f.set("childless", &mut c.childless, |t| word(t, CHILDLESS));
    f.set("send_certreq", &mut c.send_certreq, flag);
    f.set("send_cert", &mut c.send_cert, |t| one_of(t, &["ifasked", "always", "never"]));
    f.set("ocsp", &mut c.ocsp, |t| one_of(t, &["reply", "request", "both", "never"]));
    f.set("ppk_id", &mut c.ppk_id, text);
    f.set("ppk_required", &mut c.ppk_required, flag);
    f.set("keyingtries", &mut c.keyingtries, number);
    f.set("unique", &mut c.unique, |t| word(t, UNIQUE));
    lifetimes(&mut f, &mut c);
    f.list("pools", &mut c.pools, item);
    f.set("if_id_in", &mut c.if_id_in, interface_id);
    f.set("if_id_out", &mut c.if_id_out, interface_id);
    f.set("mediation", &mut false, flag);
    f.set("mediated_by", &mut None, text);
    f.set("mediation_peer", &mut None, text);
    children(&mut f, &mut c, &path, section, context);
    interface::load(&mut f, &mut c, &path, section);
    rounds(&mut f, &mut c, &path, context);
    f.finish(c)
}

const FRAGMENTATION: &[(&str, Fragmentation)] = &[
    ("yes", Fragmentation::Yes),
    ("accept", Fragmentation::Accept),
    ("no", Fragmentation::No),
    ("force", Fragmentation::Force),
];

const CHILDLESS: &[(&str, Childless)] = &[
    ("allow", Childless::Allow),
    ("prefer", Childless::Prefer),
    ("force", Childless::Force),
    ("never", Childless::Never),
];

const UNIQUE: &[(&str, Unique)] =
    &[("no", Unique::No), ("never", Unique::Never), ("keep", Unique::Keep), ("replace", Unique::Replace)];

fn domain(text: &str) -> Result<String, String> {
    policy::domain::parse(text).ok_or_else(|| format!("`{text}` is no name of a domain"))
}

fn addresses(text: &str) -> Result<Vec<PeerAddr>, String> {
    PeerAddr::parse(text).map(|a| vec![a]).map_err(|e| e.to_string())
}

/// Proposals whose algorithms are all there.
pub(super) fn proposals(protocol: ProtocolId, text: &str) -> Result<ProposalSet, String> {
    let set = parse_proposals(protocol, text).map_err(|error| match &error {
        ProposalError::Unknown(word) => {
            let rows = crypto::table::rows();
            let known = rows.iter().flat_map(|row| row.keywords.iter().map(String::as_str));
            match closest(&word.to_ascii_lowercase(), known.chain(["esn", "noesn", "none", "default"])) {
                Some(near) => format!("{error}; did you mean `{near}`?"),
                None => error.to_string(),
            }
        }
        ProposalError::Misplaced { .. }
        | ProposalError::Mixed
        | ProposalError::Missing { .. }
        | ProposalError::Empty => error.to_string(),
    })?;
    set.iter().try_for_each(policy::Proposal::available).map_err(|e| e.to_string())?;
    Ok(set)
}

fn lifetimes(f: &mut Fields<'_>, c: &mut Connection) {
    f.set("reauth_time", &mut c.reauth_time, time);
    let (mut rekey, mut over, mut rand) = (None, None, None);
    f.set("rekey_time", &mut rekey, some_time);
    f.set("over_time", &mut over, some_time);
    f.set("rand_time", &mut rand, some_time);
    c.rekey_time = rekey.unwrap_or(if c.reauth_time > 0 { 0 } else { c.rekey_time });
    c.over_time = over.unwrap_or(c.rekey_time.max(c.reauth_time) / 10);
    c.rand_time = rand.unwrap_or(c.over_time);
}

fn children(f: &mut Fields<'_>, c: &mut Connection, path: &str, section: &Section, context: &Context) {
    let Some(children) = section.section("children") else { return };
    for (name, node) in &children.entries {
        let path = format!("{path}.children.{name}");
        match node {
            crate::tree::Node::Section(inner) => {
                let loaded = child::load_child(&path, name, inner, context);
                c.children.extend(f.inner(loaded).map(Arc::new));
            }
            crate::tree::Node::Value(_) | crate::tree::Node::List(_) => {
                let report = Report::error("a child is a section, not a value");
                f.inner::<()>(Err(vec![report.at(children.key_span(name)).key(path)]));
            }
        }
    }
}

fn rounds(f: &mut Fields<'_>, c: &mut Connection, path: &str, context: &Context) {
    let mut read = |side: auth::Side| {
        let mut rounds = Vec::new();
        for (name, inner) in f.sections(side.prefix()) {
            let loaded = auth::load_auth(&format!("{path}.{name}"), name, side, inner, context);
            rounds.extend(f.inner(loaded));
        }
        // Rounds without a number keep their order.
        rounds.sort_by_key(|round| round.round);
        rounds
    };
    (c.local, c.remote) = (read(auth::Side::Local), read(auth::Side::Remote));
    // Connections that only hold pass and drop policies have no peer to authenticate; the others authenticate with a
    // public key where nothing else is said.
    if only_shunts(f) {
        return;
    }
    for (side, rounds) in [(auth::Side::Local, &mut c.local), (auth::Side::Remote, &mut c.remote)] {
        if rounds.is_empty() && f.sections(side.prefix()).is_empty() {
            rounds.push(policy::Auth::named(side.prefix(), policy::AuthClass::Pubkey("pubkey".into())));
        }
    }
}

/// Judged by the words, so that a child with a mistake in it does not cause a second message about authentication.
fn only_shunts(f: &Fields<'_>) -> bool {
    let children: Vec<&Section> =
        f.sections("children").into_iter().flat_map(|(_, s)| s.sections().map(|(_, child)| child)).collect();
    let shunt =
        |child: &&Section| matches!(child.value("mode").and_then(Value::as_text), Some("pass" | "drop"));
    !children.is_empty() && children.iter().all(shunt)
}
