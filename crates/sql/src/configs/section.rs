//! Rows to the words of `swanctl.conf`.
use config::tree::{Node, Section, Value};
use std::fmt::{Display, Write as _};
use std::net::IpAddr;

/// charon's default IKE proposals in this plugin: other ciphers before AEAD, the curves of NIST first.
const IKE_PROPOSALS: &str = "aes128-aes192-aes256-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512\
    -ecp256-ecp384-ecp521-x25519-modp3072-modp4096-modp6144-modp8192-modp2048, \
    aes128gcm16-aes192gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512\
    -ecp256-ecp384-ecp521-x25519-modp3072-modp4096-modp6144-modp8192-modp2048";

/// A row of `peer_configs` with what belongs to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) cert_policy: i64,
    pub(super) unique: i64,
    pub(super) auth_method: i64,
    /// Type and vendor.
    pub(super) eap: (i64, i64),
    pub(super) keyingtries: u64,
    pub(super) rekey_time: u64,
    pub(super) reauth_time: u64,
    pub(super) rand_time: u64,
    pub(super) over_time: u64,
    pub(super) mobike: bool,
    pub(super) dpd_delay: u64,
    pub(super) vips: String,
    pub(super) pools: String,
    pub(super) certreq: bool,
    pub(super) encap: bool,
    /// Ours and the peer's.
    pub(super) addresses: (String, String),
    /// Identity: type and data.
    pub(super) local: (i64, Vec<u8>),
    /// Identity: type and data.
    pub(super) remote: (i64, Vec<u8>),
    pub(super) children: Vec<Child>,
    pub(super) proposals: Vec<String>,
}

/// A row of `child_configs` with what belongs to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) life_time: u64,
    pub(super) rekey_time: u64,
    pub(super) rand_time: u64,
    pub(super) updown: String,
    pub(super) hostaccess: bool,
    pub(super) mode: i64,
    pub(super) start_action: i64,
    pub(super) dpd_action: i64,
    pub(super) close_action: i64,
    pub(super) ipcomp: bool,
    pub(super) reqid: u64,
    pub(super) selectors: Vec<Selector>,
    pub(super) proposals: Vec<String>,
}

/// A row of `traffic_selectors`.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    /// 0 ours, 1 the peer's, 2 ours and dynamic, 3 the peer's and dynamic.
    pub(super) kind: i64,
    pub(super) protocol: i64,
    pub(super) addresses: (Vec<u8>, Vec<u8>),
    pub(super) ports: (i64, i64),
}

fn put(section: &mut Section, key: &str, value: impl Display) {
    section.insert(key, Node::Value(Value::new(value.to_string())));
}

fn flag(section: &mut Section, key: &str, value: bool) {
    put(section, key, if value { "yes" } else { "no" });
}

/// One of the words that the numbers from 0 stand for.
fn word(what: &str, words: &[&'static str], number: i64) -> Result<&'static str, String> {
    let found =
        usize::try_from(number).ok().and_then(|at| words.get(at).copied()).filter(|word| !word.is_empty());
    found.ok_or_else(|| format!("{what} {number} is not supported"))
}

impl Peer {
    /// The section, or what cannot be said in it.
    pub(super) fn section(&self) -> Result<Section, String> {
        let mut out = Section::new();
        put(&mut out, "version", word("ike_version", &["0", "1", "2"], self.version)?);
        put(&mut out, "local_addrs", addresses(&self.addresses.0));
        put(&mut out, "remote_addrs", addresses(&self.addresses.1));
        put(&mut out, "proposals", proposals(&self.proposals, IKE_PROPOSALS));
        if !self.vips.trim().is_empty() {
            put(&mut out, "vips", addresses(&self.vips));
        }
        if !self.pools.trim().is_empty() {
            put(&mut out, "pools", &self.pools);
        }
        flag(&mut out, "encap", self.encap);
        flag(&mut out, "mobike", self.mobike);
        put(&mut out, "dpd_delay", self.dpd_delay);
        flag(&mut out, "send_certreq", self.certreq);
        put(&mut out, "send_cert", word("cert_policy", &["always", "ifasked", "never"], self.cert_policy)?);
        put(&mut out, "keyingtries", self.keyingtries);
        put(&mut out, "unique", word("uniqueid", &["never", "no", "replace", "keep"], self.unique)?);
        put(&mut out, "reauth_time", self.reauth_time);
        put(&mut out, "rekey_time", self.rekey_time);
        put(&mut out, "rand_time", self.rand_time);
        put(&mut out, "over_time", self.over_time);
        out.insert("local", Node::Section(self.local_round()?));
        out.insert("remote", Node::Section(self.remote_round()?));
        let mut children = Section::new();
        for child in &self.children {
            let section = child.section().map_err(|why| format!("child '{}': {why}", child.name))?;
            children.insert(child.name.clone(), Node::Section(section));
        }
        out.insert("children", Node::Section(children));
        Ok(out)
    }

    fn local_round(&self) -> Result<Section, String> {
        let mut out = Section::new();
        let class = match word("auth_method", &["pubkey", "pubkey", "psk", "eap", "xauth"], self.auth_method)?
        {
            "eap" if self.eap != (0, 0) => format!("eap-{}", self.eap_method()?),
            class => class.to_owned(),
        };
        put(&mut out, "auth", class);
        if let Some(id) = identity(&self.local) {
            put(&mut out, "id", id);
        }
        Ok(out)
    }

    /// Who has an EAP method and does not use it asks the peer for it; else the peer may do what it can.
    fn remote_round(&self) -> Result<Section, String> {
        let mut out = Section::new();
        let asks = self.eap != (0, 0) && self.auth_method != 3;
        put(&mut out, "auth", if asks { format!("eap-{}", self.eap_method()?) } else { "any".to_owned() });
        if let Some(id) = identity(&self.remote) {
            put(&mut out, "id", id);
        }
        Ok(out)
    }

    fn eap_method(&self) -> Result<&'static str, String> {
        let (kind, vendor) = self.eap;
        if vendor != 0 {
            return Err(format!("eap_type {kind} of vendor {vendor} is not supported"));
        }
        Ok(match kind {
            4 => "md5",
            6 => "gtc",
            13 => "tls",
            18 => "sim",
            21 => "ttls",
            23 => "aka",
            25 => "peap",
            26 => "mschapv2",
            _ => return Err(format!("eap_type {kind} is not supported")),
        })
    }
}

impl Child {
    fn section(&self) -> Result<Section, String> {
        const ACTIONS: &[&str] = &["none", "trap", "start", "trap|start"];
        let mut out = Section::new();
        if !self.proposals.is_empty() {
            put(&mut out, "esp_proposals", proposals(&self.proposals, ""));
        }
        for (key, kinds) in [("local_ts", [0, 2]), ("remote_ts", [1, 3])] {
            let texts: Result<Vec<String>, String> =
                self.selectors.iter().filter(|s| kinds.contains(&s.kind)).map(Selector::text).collect();
            let texts = texts?;
            if !texts.is_empty() {
                put(&mut out, key, texts.join(", "));
            }
        }
        put(&mut out, "life_time", self.life_time);
        put(&mut out, "rekey_time", self.rekey_time);
        put(&mut out, "rand_time", self.rand_time);
        if !self.updown.is_empty() {
            put(&mut out, "updown", &self.updown);
        }
        flag(&mut out, "hostaccess", self.hostaccess);
        put(&mut out, "mode", word("mode", &["", "transport", "tunnel", "beet", "pass", "drop"], self.mode)?);
        put(&mut out, "start_action", word("start_action", ACTIONS, self.start_action)?);
        put(&mut out, "dpd_action", word("dpd_action", ACTIONS, self.dpd_action)?);
        put(&mut out, "close_action", word("close_action", ACTIONS, self.close_action)?);
        flag(&mut out, "ipcomp", self.ipcomp);
        put(&mut out, "reqid", self.reqid);
        Ok(out)
    }
}

impl Selector {
    fn text(&self) -> Result<String, String> {
        let mut out = match self.kind {
            2 | 3 => "dynamic".to_owned(),
            _ => {
                let wrong = |_| "a traffic selector has an address of a wrong length".to_owned();
                let start = crate::value::address(&self.addresses.0).map_err(wrong)?;
                let end = crate::value::address(&self.addresses.1).map_err(wrong)?;
                format!("{start}-{end}")
            }
        };
        if self.protocol != 0 || self.ports != (0, 65_535) {
            let _infallible = write!(out, "[{}", self.protocol);
            match self.ports {
                (0, 65_535) => {}
                (first, last) if first == last => {
                    let _infallible = write!(out, "/{first}");
                }
                (first, last) => {
                    let _infallible = write!(out, "/{first}-{last}");
                }
            }
            out.push(']');
        }
        Ok(out)
    }
}

/// The proposals, or those that are the default.
fn proposals(given: &[String], default: &str) -> String {
    if given.is_empty() { default.to_owned() } else { given.join(", ") }
}

/// A list of addresses in their usual form (`0::0` is `::`).
fn addresses(text: &str) -> String {
    let one =
        |text: &str| text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string());
    text.split(',').map(|text| one(text.trim())).collect::<Vec<_>>().join(", ")
}

/// The identity with its type; `None` is any.
fn identity((kind, data): &(i64, Vec<u8>)) -> Option<String> {
    if *kind == 0 {
        return None;
    }
    let mut out = format!("{{{kind}}}:#");
    for octet in data {
        let _infallible = write!(out, "{octet:02x}");
    }
    Some(out)
}
