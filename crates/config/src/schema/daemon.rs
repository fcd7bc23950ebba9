//! `strongswan.conf`: the section of the daemon, by default `charon-systemd`, then `charon`, then `libstrongswan`.
//!
//! Other than in `swanctl.conf`, nothing here is an error: strongSwan ignores what it does not know, and so do its
//! users' files. But each such key is a warning, once.

use super::values::{flag, number, text, time};
use super::{Key, Kind};
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Span, Value};
use policy::Settings;
use std::collections::BTreeSet;

pub mod credentials;
mod lan;
pub mod network;
mod radius;
mod unused;

pub use network::{FirewallMark, NetworkSettings, ResolveTarget};
pub use radius::{RadiusDae, RadiusServer, RadiusSettings};

pub use credentials::CredentialSettings;

/// Where a daemon of our name finds its settings: the first section that has a key wins.
pub const SECTIONS: [&str; 3] = ["charon-systemd", "charon", "libstrongswan"];

/// The keys that have an effect; `*` stands for any name.
pub const KEYS: &[Key] = &[
    Key::new("retransmit_timeout", Kind::Number, "4.0", "seconds to the first retransmission"),
    Key::new("retransmit_base", Kind::Number, "1.8", "factor between one retransmission and the next"),
    Key::new("retransmit_tries", Kind::Number, "5", "retransmissions before the peer is taken for dead"),
    Key::new(
        "retransmit_jitter",
        Kind::Number,
        "0",
        "percent by which a timeout is shortened at random, up to 20",
    ),
    Key::new("retransmit_limit", Kind::Number, "0", "seconds that a timeout grows to at most; 0 without end"),
    Key::new("keep_alive", Kind::Time, "20s", "interval of NAT keepalives; 0 none"),
    Key::new(
        "keep_alive_dpd_margin",
        Kind::Time,
        "0s",
        "check the peer when a keepalive is late by so much; 0 never",
    ),
    Key::new("half_open_timeout", Kind::Number, "30", "seconds that an IKE_SA may take to come up"),
    Key::new(
        "cookie_threshold",
        Kind::Number,
        "30",
        "half-open IKE_SAs from which on cookies are asked for; 0 never",
    ),
    Key::new("cookie_threshold_ip", Kind::Number, "3", "the same for one address of a peer"),
    Key::new("block_threshold", Kind::Number, "5", "half-open IKE_SAs of one address; 0 any number"),
    Key::new("dos_protection", Kind::Flag, "yes", "obey the three thresholds"),
    Key::new(
        "init_limit_half_open",
        Kind::Number,
        "0",
        "half-open IKE_SAs above which none is accepted; 0 any number",
    ),
    Key::new("ikesa_limit", Kind::Number, "0", "IKE_SAs above which none is accepted; 0 any number"),
    Key::new("make_before_break", Kind::Flag, "yes", "reauthenticate by a new SA before the old one goes"),
    Key::new("delete_rekeyed", Kind::Flag, "no", "IKEv1 only"),
    Key::new(
        "delete_rekeyed_delay",
        Kind::Number,
        "5",
        "seconds that the inbound SA stays after rekeying; 0 until it expires",
    ),
    Key::new("reuse_ikesa", Kind::Flag, "yes", "put new children into an IKE_SA that exists"),
    Key::new("close_ike_on_child_failure", Kind::Flag, "no", "close the IKE_SA when its first child fails"),
    Key::new("inactivity_close_ike", Kind::Flag, "no", "close the IKE_SA when its only child was inactive"),
    Key::new("initiator_only", Kind::Flag, "no", "ignore IKE_SAs that others initiate"),
    Key::new("prefer_configured_proposals", Kind::Flag, "yes", "as responder, our order of proposals counts"),
    Key::new(
        "fragment_size",
        Kind::Number,
        "1280",
        "size of IP packets with IKE fragments; 0 as RFC 7383 says",
    ),
    Key::new("fragment_size_v4", Kind::Number, "", "the same for IPv4; fragment_size"),
    Key::new("fragment_size_v6", Kind::Number, "", "the same for IPv6; fragment_size"),
    Key::new("max_packet", Kind::Number, "10000", "largest IKE packet that is accepted"),
    Key::new(
        "send_vendor_id",
        Kind::Flag,
        "no",
        "send strongSwan's vendor ID: BEET mode needs it from both ends",
    ),
    Key::new("replay_window", Kind::Number, "32", "default of the children's replay_window"),
    Key::new("spi_min", Kind::Number, "0xc0000000", "smallest SPI of ESP"),
    Key::new("spi_max", Kind::Number, "0xcfffffff", "largest SPI of ESP"),
    Key::new("reqid_base", Kind::Number, "1", "first reqid of our choice"),
    Key::new("port", Kind::Number, "500", "UDP port; 0 any"),
    Key::new("port_nat_t", Kind::Number, "4500", "UDP port behind NAT; 0 any"),
    Key::new(
        "retry_initiate_interval",
        Kind::Time,
        "0s",
        "try again after so long when initiating failed at once; 0 never",
    ),
    Key::new(
        "data_plane",
        Kind::Text("auto|xfrm|userspace"),
        "auto",
        "what protects packets: the kernel's IPsec (xfrm), ESP in user space, or the former where it can be used",
    ),
    Key::new(
        "firewall",
        Kind::Flag,
        "no",
        "keep an nftables table of our own that drops what no tunnel allows; not in strongSwan, see docs/operators.md",
    ),
    Key::new(
        "plugins.kernel-netlink.install_routes_xfrmi",
        Kind::Flag,
        "no",
        "install routes for children with an interface id, too",
    ),
    Key::new("plugins.kernel-netlink.mtu", Kind::Number, "0", "MTU of the routes; 0 none"),
    Key::new(
        "plugins.kernel-netlink.xfrm_acq_expires",
        Kind::Number,
        "165",
        "seconds that the kernel waits for an SA it asked for",
    ),
    Key::new(
        "plugins.kernel-libipsec.raw_esp",
        Kind::Flag,
        "no",
        "send ESP without UDP where there is no NAT; otherwise userspace ESP always goes in UDP, which is faster",
    ),
    Key::new("multiple_authentication", Kind::Flag, "yes", "announce RFC 4739"),
    Key::new(
        "signature_authentication",
        Kind::Flag,
        "yes",
        "announce RFC 7427 and use it with peers that do",
    ),
    Key::new("hash_and_url", Kind::Flag, "no", "send and take certificates as hash and URL"),
    Key::new(
        "force_eap_only_authentication",
        Kind::Flag,
        "no",
        "let EAP methods that authenticate both sides do so even if the peer did not offer it (RFC 5998)",
    ),
    Key::new(
        "announce_auth_methods",
        Kind::Flag,
        "no",
        "tell peers which authentication methods are accepted (RFC 9593); not in strongSwan. What peers tell is always heeded",
    ),
    Key::new("accept_private_algs", Kind::Flag, "no", "accept algorithms with private numbers from anybody"),
    Key::new("ignore_acquire_ts", Kind::Flag, "no", "leave the packet that woke a trap out of the selectors"),
    Key::new("flush_auth_cfg", Kind::Flag, "no", "forget what was only needed for authentication"),
    Key::new("dns1", Kind::Text("address"), "", "DNS server for clients with a virtual IP"),
    Key::new("dns2", Kind::Text("address"), "", "second DNS server"),
    Key::new("nbns1", Kind::Text("address"), "", "WINS server for clients with a virtual IP"),
    Key::new("nbns2", Kind::Text("address"), "", "second WINS server"),
    Key::new(
        "pool_order",
        Kind::Text("connection|plugins"),
        "connection",
        "which pool is asked first: as the connection lists them, or plugin by plugin as charon does",
    ),
    Key::new(
        "pool_store",
        Kind::Text("file"),
        "",
        "keeps the leases of pools in memory across a restart or a crash, in this SQLite file; not in strongSwan",
    ),
    Key::new("user", Kind::Text("name"), "", "user to become after the start"),
    Key::new("group", Kind::Text("name"), "", "group to become after the start"),
    Key::new("start-scripts.*", Kind::Text("command"), "", "commands to run after the start"),
    Key::new("stop-scripts.*", Kind::Text("command"), "", "commands to run before the end"),
    Key::new("filelog.*.*", Kind::Text("text"), "", "loggers to files"),
    Key::new("syslog.identifier", Kind::Text("text"), "", "name in syslog"),
    Key::new("syslog.*.*", Kind::Text("text"), "", "loggers to syslog"),
    Key::new("journal.*", Kind::Number, "", "logger to the journal"),
    Key::new("plugins.vici.socket", Kind::Text("URI"), "unix:///var/run/charon.vici", "where vici listens"),
    Key::new(
        "plugins.attr.*",
        Kind::List("values"),
        "",
        "attributes for clients, by the names in a pool or by number",
    ),
    Key::new(
        "plugins.p-cscf.enable.*",
        Kind::Flag,
        "no",
        "ask the gateway of the connection of this name for P-CSCF servers (RFC 7651), of the families of `vips`",
    ),
    Key::new("plugins.p-cscf.load", Kind::Flag, "yes", "ask for P-CSCF servers where a connection is named"),
    Key::new(
        "plugins.sql.database",
        Kind::Text("URI"),
        "",
        "database of connections and credentials, read at start and when settings are reloaded",
    ),
    Key::new("plugins.attr-sql.database", Kind::Text("URI"), "", "database of pools and attributes"),
    Key::new(
        "plugins.attr-sql.crash_recovery",
        Kind::Flag,
        "",
        "release at the start what was in use: yes everything, no what this gateway used, unset also what nobody is known to use",
    ),
    Key::new(
        "plugins.attr-sql.gateway",
        Kind::Text("name"),
        "",
        "name of this gateway in the database; that of the host",
    ),
    Key::new("plugins.attr-sql.lease_history", Kind::Flag, "yes", "keep ended leases in the database"),
    Key::new("plugins.attr-sql.load", Kind::Flag, "yes", "use the database"),
    Key::new(
        "plugins.kernel-libipsec.allow_peer_ts",
        Kind::Flag,
        "no",
        "accept selectors that have the peer inside",
    ),
    Key::new(
        "plugins.socket-default.set_source",
        Kind::Flag,
        "yes",
        "send from the address that we were addressed at",
    ),
    Key::new("plugins.socket-default.use_ipv4", Kind::Flag, "yes", "listen on IPv4"),
    Key::new("plugins.socket-default.use_ipv6", Kind::Flag, "yes", "listen on IPv6"),
];

/// Everything the daemon takes from `strongswan.conf`.
#[derive(Debug, Clone)]
pub struct DaemonSettings {
    /// For the engines.
    pub engine: Settings,
    /// For routes, addresses and interfaces.
    pub network: NetworkSettings,
    /// For certificates, tokens and EAP.
    pub credentials: CredentialSettings,
    /// URI of the vici socket.
    pub vici_socket: String,
    /// RADIUS: servers, accounting, dynamic authorization.
    pub radius: RadiusSettings,
    /// User to become.
    pub user: Option<String>,
    /// Group to become.
    pub group: Option<String>,
    /// Commands after the start: name and command.
    pub start_scripts: Vec<(String, String)>,
    /// Commands before the end.
    pub stop_scripts: Vec<(String, String)>,
    /// All sections in one: loggers, plugins and whatever else is read by path.
    pub section: Section,
}

/// All keys that have an effect.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(network::KEYS).chain(credentials::KEYS).chain(radius::KEYS).chain(lan::KEYS)
}

/// Why a key has no effect; `None` for one that has.
#[must_use]
pub fn unused_reason(name: &str) -> Option<&'static str> {
    // A row of its own wins over what is said of a plugin as a whole.
    let whole = |pattern: &str| pattern.ends_with(".**") || pattern == "plugins.*.load";
    let own = keys().any(|key| key.name == name);
    let found = unused::UNUSED.iter().find(|(pattern, _)| fits(pattern, name) && !(own && whole(pattern)));
    found.map(|(_, why)| *why)
}

/// All keys of strongSwan without an effect here: pattern (`*` one name, `**` any number) and reason, which is empty
/// where nobody needs to be told.
pub fn unused_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    unused::UNUSED.iter().copied()
}

/// Reads the settings of a daemon whose sections have these names (see [`SECTIONS`]). Never fails: what cannot be read
/// keeps its default and gives a warning.
#[must_use]
pub fn load_daemon(root: &Section, names: &[&str]) -> (DaemonSettings, Vec<Report>) {
    let section = effective(root, names);
    let mut r = Reader {
        section: &section,
        name: names.get(1).or(names.first()).copied().unwrap_or(""),
        warnings: Vec::new(),
    };
    r.check_names();
    let network = network::read(&mut r);
    let request_p_cscf = p_cscf(&mut r);
    let (rule, _) = network.marks();
    let passed_mark = rule.invert.then_some((rule.value, rule.mask));
    let engine = Settings { request_dns: network.wants_dns(), request_p_cscf, passed_mark, ..engine(&mut r) };
    let credentials = credentials::read(&mut r);
    let mut vici_socket = None;
    r.set("plugins.vici.socket", &mut vici_socket, text);
    let (mut user, mut group) = (None, None);
    r.set("user", &mut user, text);
    r.set("group", &mut group, text);
    let radius = radius::read(&mut r);
    let warnings = r.warnings;
    let scripts = |name: &str| -> Vec<(String, String)> {
        let values = section.section(name).into_iter().flat_map(Section::values);
        values.filter_map(|(key, value)| Some((key.to_owned(), value.as_text()?.to_owned()))).collect()
    };
    let settings = DaemonSettings {
        engine,
        network,
        radius,
        credentials,
        vici_socket: vici_socket.unwrap_or_else(|| "unix:///var/run/charon.vici".to_owned()),
        user,
        group,
        start_scripts: scripts("start-scripts"),
        stop_scripts: scripts("stop-scripts"),
        section,
    };
    (settings, warnings)
}

/// The connections named in `plugins.p-cscf.enable`.
fn p_cscf(r: &mut Reader<'_>) -> BTreeSet<String> {
    let mut load = true;
    r.set("plugins.p-cscf.load", &mut load, flag);
    let section = r.section.lookup_section("plugins.p-cscf.enable").filter(|_| load);
    let names: Vec<String> =
        section.into_iter().flat_map(Section::values).map(|(name, _)| name.to_owned()).collect();
    let on = |name: &String| {
        let mut on = false;
        r.set(&format!("plugins.p-cscf.enable.{name}"), &mut on, flag);
        on
    };
    names.into_iter().filter(on).collect()
}

/// The sections of these names in one; values of the first win, sections are joined.
#[must_use]
pub fn effective(root: &Section, names: &[&str]) -> Section {
    let mut out = Section::new();
    for section in names.iter().filter_map(|name| root.section(name)) {
        if out.is_empty() {
            out.span = section.span;
        }
        join(&mut out, section);
    }
    // The TLS library has a section of its own, which says the same as `tls` of the daemon's.
    if let Some(section) = root.section("libtls") {
        let mut tls = Section::new();
        tls.insert("tls", Node::Section(section.clone()));
        tls.key_spans.insert("tls".to_owned(), root.key_span("libtls"));
        join(&mut out, &tls);
    }
    out
}

fn join(into: &mut Section, from: &Section) {
    for (name, node) in &from.entries {
        match (into.entries.get_mut(name), node) {
            (None, _) => {
                into.entries.insert(name.clone(), node.clone());
                into.key_spans.insert(name.clone(), from.key_span(name));
            }
            (Some(Node::Section(inner)), Node::Section(other)) => join(inner, other),
            (Some(_), _) => {}
        }
    }
}

fn engine(r: &mut Reader<'_>) -> Settings {
    let mut s = Settings::default();
    r.set("retransmit_timeout", &mut s.retransmit_timeout, positive);
    r.set("retransmit_base", &mut s.retransmit_base, positive);
    r.set("retransmit_tries", &mut s.retransmit_tries, number);
    r.set("retransmit_jitter", &mut s.retransmit_jitter, |t| match number(t)? {
        n @ 0..=20 => Ok(n),
        n => Err(format!("{n} is more than 20 percent")),
    });
    r.set("retransmit_limit", &mut s.retransmit_limit, number);
    r.set("keep_alive", &mut s.keep_alive, time);
    r.set("keep_alive_dpd_margin", &mut s.keep_alive_dpd_margin, time);
    r.set("half_open_timeout", &mut s.half_open_timeout, time);
    r.set("cookie_threshold", &mut s.cookie_threshold, number);
    r.set("cookie_threshold_ip", &mut s.cookie_threshold_ip, number);
    r.set("block_threshold", &mut s.block_threshold, number);
    r.set("dos_protection", &mut s.dos_protection, flag);
    r.set("init_limit_half_open", &mut s.init_limit_half_open, number);
    r.set("ikesa_limit", &mut s.ikesa_limit, number);
    r.set("make_before_break", &mut s.make_before_break, flag);
    r.set("delete_rekeyed", &mut s.delete_rekeyed, flag);
    r.set("delete_rekeyed_delay", &mut s.delete_rekeyed_delay, time);
    r.set("reuse_ikesa", &mut s.reuse_ikesa, flag);
    r.set("close_ike_on_child_failure", &mut s.close_ike_on_child_failure, flag);
    r.set("inactivity_close_ike", &mut s.inactivity_close_ike, flag);
    r.set("initiator_only", &mut s.initiator_only, flag);
    r.set("prefer_configured_proposals", &mut s.prefer_configured_proposals, flag);
    r.set("fragment_size", &mut s.fragment_size, number);
    (s.fragment_size_v4, s.fragment_size_v6) = (s.fragment_size, s.fragment_size);
    r.set("fragment_size_v4", &mut s.fragment_size_v4, number);
    r.set("fragment_size_v6", &mut s.fragment_size_v6, number);
    r.set("max_packet", &mut s.max_packet, number);
    r.set("send_vendor_id", &mut s.send_vendor_id, flag);
    r.set("replay_window", &mut s.replay_window, number);
    r.set("spi_min", &mut s.spi_min, spi);
    r.set("spi_max", &mut s.spi_max, spi);
    if s.spi_min > s.spi_max {
        r.wrong("spi_max", "this is below spi_min");
        (s.spi_min, s.spi_max) = (Settings::default().spi_min, Settings::default().spi_max);
    }
    r.set("reqid_base", &mut s.reqid_base, number);
    r.set("port", &mut s.port, number);
    r.set("port_nat_t", &mut s.port_nat_t, number);
    r.set("retry_initiate_interval", &mut s.retry_initiate_interval, time);
    r.set("multiple_authentication", &mut s.multiple_authentication, flag);
    r.set("signature_authentication", &mut s.signature_authentication, flag);
    r.set("hash_and_url", &mut s.hash_and_url, flag);
    r.set("force_eap_only_authentication", &mut s.force_eap_only_authentication, flag);
    r.set("announce_auth_methods", &mut s.announce_auth_methods, flag);
    r.set("accept_private_algs", &mut s.accept_private_algs, flag);
    r.set("ignore_acquire_ts", &mut s.ignore_acquire_ts, flag);
    r.set("flush_auth_cfg", &mut s.flush_auth_cfg, flag);
    s
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err(format!("`{text}` is no number above 0")),
    }
}

/// RFC 4303 2.1: 1 to 255 are reserved, 0 is for local use.
fn spi(text: &str) -> Result<u32, String> {
    match number(text)? {
        n @ 0..=255 => Err(format!("{n} is no SPI for an SA (256 and up)")),
        n => Ok(n),
    }
}

struct Reader<'a> {
    section: &'a Section,
    name: &'a str,
    warnings: Vec<Report>,
}

impl Reader<'_> {
    fn set<T>(&mut self, path: &str, slot: &mut T, parse: impl Fn(&str) -> Result<T, String>) {
        debug_assert!(keys().any(|key| fits(key.name, path)), "{path} is not declared");
        let Some(value) = self.section.lookup(path) else { return };
        match value.as_text().ok_or_else(|| "this is no UTF-8 text".to_owned()).and_then(parse) {
            Ok(parsed) => *slot = parsed,
            Err(message) => self.wrong(path, &message),
        }
    }

    fn wrong(&mut self, path: &str, message: &str) {
        let span = self.section.lookup(path).map_or(Span::NOWHERE, |value| value.span);
        let report = Report::warning(format!("{message}; the default counts"));
        self.warnings.push(report.at(span).key(format!("{}.{path}", self.name)));
    }

    /// Nothing changes by it: the key is set to what counts anyway.
    fn is_default(&self, row: &Key, path: &str) -> bool {
        let Some(text) = self.section.lookup(path).and_then(Value::as_text) else { return false };
        let same = match row.kind {
            Kind::Flag => flag(text) == flag(row.default),
            Kind::Time => time(text) == time(row.default),
            Kind::Number => number::<u64>(text) == number(row.default),
            _ => text == row.default,
        };
        same && !row.default.is_empty()
    }

    /// Tells about every key that has no effect, and every section of a plugin that does not exist here.
    fn check_names(&mut self) {
        let mut found = Vec::new();
        leaves(self.section, "", &mut found);
        let mut told = BTreeSet::new();
        for (path, span) in found {
            let row = keys().find(|key| fits(key.name, &path));
            if row.is_some_and(|row| unused_reason(row.name).is_none() || self.is_default(row, &path)) {
                continue;
            }
            let (message, hint) = match unused::UNUSED.iter().find(|(pattern, _)| fits(pattern, &path)) {
                Some((_, "")) => continue,
                Some((_, why)) => (format!("has no effect: {why}"), None),
                None => {
                    let known =
                        keys().map(|key| key.name).chain(unused::UNUSED.iter().map(|(name, _)| *name));
                    let near = closest(&path, known.filter(|name| !name.contains('*')));
                    (
                        "unknown key, has no effect".to_owned(),
                        near.map(|near| format!("did you mean `{near}`?")),
                    )
                }
            };
            if told.insert(path.clone()) {
                let mut report = Report::warning(message).at(span).key(format!("{}.{path}", self.name));
                report.hint = hint;
                self.warnings.push(report);
            }
        }
    }
}

fn leaves(section: &Section, path: &str, out: &mut Vec<(String, Span)>) {
    for (name, node) in &section.entries {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match node {
            Node::Value(_) => out.push((path, section.key_span(name))),
            Node::Section(inner) => leaves(inner, &path, out),
            Node::List(_) => {}
        }
    }
}

/// `*` stands for one name, `**` at the end for any number of them.
fn fits(pattern: &str, path: &str) -> bool {
    let mut names = path.split('.');
    for part in pattern.split('.') {
        if part == "**" {
            return true;
        }
        match names.next() {
            Some(name) if part == "*" || part == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Disk, Loaded, load_text};
    use std::path::Path;

    fn tree(text: &str) -> Loaded {
        load_text(&Disk, "s.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap()
    }

    fn read(text: &str) -> (DaemonSettings, Vec<String>) {
        let loaded = tree(text);
        let (settings, warnings) = load_daemon(&loaded.root, &SECTIONS);
        (settings, warnings.iter().map(|w| w.line(&loaded.sources)).collect())
    }

    #[test]
    fn connections_that_ask_for_p_cscf_servers() {
        let text = "charon {\nplugins {\np-cscf {\nenable {\nims = yes\nrw = no\nodd = perhaps\n}\n}\n}\n}\n";
        let (settings, warnings) = read(text);
        assert_eq!(settings.engine.request_p_cscf, BTreeSet::from(["ims".to_owned()]));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("plugins.p-cscf.enable.odd"), "{warnings:?}");
        let (settings, _) = read(&text.replace("enable {", "load = no\nenable {"));
        assert!(settings.engine.request_p_cscf.is_empty());
    }

    #[test]
    fn the_tls_library_has_a_section_of_its_own() {
        let (with, warnings) = read(
            "charon { tls { version_min = 1.3\n } }\nlibtls { version_max = 1.3\n version_min = 1.2\n }\n",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(with.credentials.tls_max, credentials::TlsVersion::V13);
        assert_eq!(with.credentials.tls_min, credentials::TlsVersion::V13);
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let lines: String = keys()
            .filter(|key| !key.default.is_empty() && !key.name.contains('.'))
            .map(|key| format!("{} = {}\n", key.name, key.default))
            .collect();
        let (with, warnings) = read(&format!("charon {{\n{lines}}}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(with.engine, Settings::default());
        let (without, _) = read("");
        assert_eq!((without.engine, without.network), (with.engine, with.network));
    }

    #[test]
    fn the_daemons_own_section_comes_first() {
        let (settings, warnings) = read(
            "charon { port = 501\n half_open_timeout = 10\n plugins { vici { socket = unix:///a\n } }\n start-scripts { a = b c\n } }
             charon-systemd { port = 0\n journal { default = 2\n }\n filelog { x { path = /x\n default = 1\n } } }
             libstrongswan { half_open_timeout = 99\n reqid_base = 7\n }",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(
            (settings.engine.port, settings.engine.half_open_timeout, settings.engine.reqid_base),
            (0, 10, 7)
        );
        assert_eq!(settings.vici_socket, "unix:///a");
        assert_eq!(settings.start_scripts, [("a".to_owned(), "b c".to_owned())]);
        assert_eq!(settings.section.lookup("filelog.x.path").unwrap().as_text(), Some("/x"));
    }

    #[test]
    fn what_has_no_effect_is_told_once() {
        let (settings, warnings) = read(
            "charon {\nretransmit_tires = 3\nthreads = 32\nload_modular = yes\nsend_vendor_id = no\naccept_private_algs = yes\nplugins { aes { load = yes\n }\nha { local = 1.2.3.4\n }\nnosuch { x = 1\n } }\nretransmit_jitter = 50\nport = x\nspi_min = 0xffffffff\nfragment_size = 0\n}\n",
        );
        assert_eq!(
            warnings,
            [
                "s.conf:2:1: charon.retransmit_tires: unknown key, has no effect (did you mean `retransmit_tries`?)",
                "s.conf:3:1: charon.threads: has no effect: the number of threads follows from the number of CPUs",
                "s.conf:6:1: charon.accept_private_algs: has no effect: this is not available yet",
                "s.conf:9:6: charon.plugins.ha.local: has no effect: this plugin's work is not available yet",
                "s.conf:11:10: charon.plugins.nosuch.x: unknown key, has no effect",
                "s.conf:13:21: charon.retransmit_jitter: 50 is more than 20 percent; the default counts",
                "charon.spi_max: this is below spi_min; the default counts",
                "s.conf:14:8: charon.port: `x` is no number; the default counts",
            ]
        );
        assert_eq!((settings.engine.port, settings.engine.spi_min), (500, 0xc000_0000));
        assert_eq!((settings.engine.fragment_size_v4, settings.engine.fragment_size_v6), (0, 0));
    }

    #[test]
    fn patterns() {
        assert!(
            fits("a.*.c", "a.b.c") && !fits("a.*", "a.b.c") && !fits("a.b.c", "a.b") && fits("a.**", "a.b.c")
        );
    }
}
