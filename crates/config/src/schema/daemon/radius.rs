//! `plugins.eap-radius`: RADIUS servers and what is asked of them.
use super::{Key, Kind, Reader, flag, number, positive, text, time};
use crate::tree::Section;
use std::net::IpAddr;
use wire::radius::{AttributeName, parse_name};

/// Sockets to one port at most.
const SOCKETS: u16 = 256;

/// The keys.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "plugins.eap-radius.server",
        Kind::Text("address or name"),
        "",
        "the RADIUS server, where there is one",
    ),
    Key::new("plugins.eap-radius.secret", Kind::Text("text"), "", "secret shared with RADIUS servers"),
    Key::new("plugins.eap-radius.port", Kind::Number, "1812", "port for authentication"),
    Key::new("plugins.eap-radius.auth_port", Kind::Number, "", "the same; port"),
    Key::new("plugins.eap-radius.acct_port", Kind::Number, "1813", "port for accounting"),
    Key::new("plugins.eap-radius.source", Kind::Text("address"), "", "our address towards RADIUS servers"),
    Key::new(
        "plugins.eap-radius.sockets",
        Kind::Number,
        "1",
        "sockets to a port; each carries 256 requests at a time",
    ),
    Key::new("plugins.eap-radius.nas_identifier", Kind::Text("text"), "strongSwan", "NAS-Identifier"),
    Key::new(
        "plugins.eap-radius.retransmit_timeout",
        Kind::Number,
        "2.0",
        "seconds to the first retransmission",
    ),
    Key::new("plugins.eap-radius.retransmit_base", Kind::Number, "1.4", "factor between one and the next"),
    Key::new(
        "plugins.eap-radius.retransmit_tries",
        Kind::Number,
        "4",
        "retransmissions before a request fails",
    ),
    Key::new(
        "plugins.eap-radius.servers.*.address",
        Kind::Text("address or name"),
        "",
        "one of several servers",
    ),
    Key::new(
        "plugins.eap-radius.servers.*.preference",
        Kind::Number,
        "0",
        "added to the server's rank; 100 is its free share, 110 that it answers",
    ),
    Key::new("plugins.eap-radius.servers.*.secret", Kind::Text("text"), "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.port", Kind::Number, "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.auth_port", Kind::Number, "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.acct_port", Kind::Number, "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.source", Kind::Text("address"), "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.sockets", Kind::Number, "", "as above, for this server"),
    Key::new(
        "plugins.eap-radius.servers.*.nas_identifier",
        Kind::Text("text"),
        "",
        "as above, for this server",
    ),
    Key::new(
        "plugins.eap-radius.servers.*.retransmit_timeout",
        Kind::Number,
        "",
        "as above, for this server",
    ),
    Key::new("plugins.eap-radius.servers.*.retransmit_base", Kind::Number, "", "as above, for this server"),
    Key::new("plugins.eap-radius.servers.*.retransmit_tries", Kind::Number, "", "as above, for this server"),
    Key::new("plugins.eap-radius.eap_start", Kind::Flag, "no", "let the server ask for the identity"),
    Key::new("plugins.eap-radius.id_prefix", Kind::Text("text"), "", "put before the EAP identity"),
    Key::new("plugins.eap-radius.class_group", Kind::Flag, "no", "Class attributes are groups"),
    Key::new(
        "plugins.eap-radius.filter_id",
        Kind::Flag,
        "no",
        "Filter-Id attributes are groups, if Tunnel-Type is ESP",
    ),
    Key::new(
        "plugins.eap-radius.station_id_with_port",
        Kind::Flag,
        "yes",
        "ports in Called- and Calling-Station-Id",
    ),
    Key::new(
        "plugins.eap-radius.close_all_on_timeout",
        Kind::Flag,
        "no",
        "close all IKE_SAs when no server answers",
    ),
    Key::new("plugins.eap-radius.accounting", Kind::Flag, "no", "send records of the sessions"),
    Key::new(
        "plugins.eap-radius.accounting_interval",
        Kind::Time,
        "0",
        "time between records, where the server names none; 0 none",
    ),
    Key::new(
        "plugins.eap-radius.accounting_requires_vip",
        Kind::Flag,
        "no",
        "only of clients with a virtual IP",
    ),
    Key::new(
        "plugins.eap-radius.accounting_send_class",
        Kind::Flag,
        "no",
        "give Class attributes back in records",
    ),
    Key::new(
        "plugins.eap-radius.accounting_close_on_timeout",
        Kind::Flag,
        "yes",
        "close the IKE_SA when a record in between is not answered",
    ),
    Key::new(
        "plugins.eap-radius.dae.enable",
        Kind::Flag,
        "no",
        "obey Disconnect- and CoA-Requests (RFC 5176)",
    ),
    Key::new("plugins.eap-radius.dae.listen", Kind::Text("address"), "0.0.0.0", "where to listen for them"),
    Key::new("plugins.eap-radius.dae.port", Kind::Number, "3799", "and on which port"),
    Key::new("plugins.eap-radius.dae.secret", Kind::Text("text"), "", "secret shared with who sends them"),
    Key::new(
        "plugins.eap-radius.forward.ike_to_radius",
        Kind::List("attributes"),
        "",
        "attributes that a peer may send to the RADIUS server, by name, number or vendor:type",
    ),
    Key::new(
        "plugins.eap-radius.forward.radius_to_ike",
        Kind::List("attributes"),
        "",
        "attributes of the server's Access-Accept that the peer gets, likewise",
    ),
];

/// One server.
#[derive(Clone, PartialEq)]
pub struct RadiusServer {
    /// Name in the configuration; of the only one, its address.
    pub name: String,
    /// Address or host name.
    pub address: String,
    /// Shared secret.
    pub secret: String,
    /// Port for authentication.
    pub auth_port: u16,
    /// Port for accounting.
    pub acct_port: u16,
    /// Our address.
    pub source: Option<IpAddr>,
    /// Sockets to a port.
    pub sockets: u16,
    /// NAS-Identifier.
    pub nas_identifier: String,
    /// Added to the rank.
    pub preference: i64,
    /// Seconds to the first retransmission.
    pub retransmit_timeout: f64,
    /// Factor.
    pub retransmit_base: f64,
    /// Retransmissions.
    pub retransmit_tries: u32,
}

impl std::fmt::Debug for RadiusServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RadiusServer({} at {})", self.name, self.address)
    }
}

/// The listener for dynamic authorization.
#[derive(Clone, PartialEq, Eq)]
pub struct RadiusDae {
    /// Where it listens.
    pub listen: IpAddr,
    /// Port.
    pub port: u16,
    /// Shared secret, never empty.
    pub secret: String,
}

impl std::fmt::Debug for RadiusDae {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RadiusDae({}:{})", self.listen, self.port)
    }
}

/// All of `plugins.eap-radius`.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys, documented in the table")]
pub struct RadiusSettings {
    pub servers: Vec<RadiusServer>,
    pub eap_start: bool,
    pub id_prefix: String,
    pub class_group: bool,
    pub filter_id: bool,
    pub station_id_with_port: bool,
    pub close_all_on_timeout: bool,
    pub accounting: bool,
    pub accounting_interval: u64,
    pub accounting_requires_vip: bool,
    pub accounting_send_class: bool,
    pub accounting_close_on_timeout: bool,
    /// Where it is enabled and has a secret.
    pub dae: Option<RadiusDae>,
    pub ike_to_radius: Vec<AttributeName>,
    pub radius_to_ike: Vec<AttributeName>,
}

const ROOT: &str = "plugins.eap-radius";

fn key(name: &str) -> String {
    format!("{ROOT}.{name}")
}

fn word(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// What the gateway itself says to the server, or the server must know for certain: no peer may say it.
const OURS: &[&str] = &[
    "User-Name",
    "User-Password",
    "CHAP-Password",
    "CHAP-Challenge",
    "NAS-IP-Address",
    "NAS-IPv6-Address",
    "NAS-Identifier",
    "NAS-Port",
    "NAS-Port-Id",
    "NAS-Port-Type",
    "Service-Type",
    "State",
    "Proxy-State",
    "Class",
    "Called-Station-Id",
    "Calling-Station-Id",
    "Acct-Session-Id",
    "EAP-Message",
    "Message-Authenticator",
    "Vendor-Specific",
];
/// What is between the gateway and the server alone: keys, also those that Microsoft's attributes hold, and state.
const SECRET: &[&str] = &[
    "State",
    "Proxy-State",
    "Tunnel-Password",
    "EAP-Message",
    "EAP-Key-Name",
    "Message-Authenticator",
    "Vendor-Specific",
    "311:12",
    "311:16",
    "311:17",
];

/// A list of names of attributes, none of which is one of `not`.
fn attributes(text: &str, not: &[&str]) -> Result<Vec<AttributeName>, String> {
    let not: Vec<AttributeName> = not.iter().filter_map(|name| parse_name(name).ok()).collect();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let named = |text: &str| match parse_name(text) {
        Ok(name) if not.contains(&name) => Err(format!("{name} is not for the other side; leave it out")),
        Ok(name) => Ok(name),
        Err(text) => Err(format!("`{text}` is no RADIUS attribute")),
    };
    names.map(named).collect()
}

pub(super) fn read(r: &mut Reader<'_>) -> RadiusSettings {
    let mut s = RadiusSettings {
        station_id_with_port: true,
        accounting_close_on_timeout: true,
        ..RadiusSettings::default()
    };
    r.set(&key("eap_start"), &mut s.eap_start, flag);
    r.set(&key("id_prefix"), &mut s.id_prefix, word);
    r.set(&key("class_group"), &mut s.class_group, flag);
    r.set(&key("filter_id"), &mut s.filter_id, flag);
    r.set(&key("station_id_with_port"), &mut s.station_id_with_port, flag);
    r.set(&key("close_all_on_timeout"), &mut s.close_all_on_timeout, flag);
    r.set(&key("accounting"), &mut s.accounting, flag);
    r.set(&key("accounting_interval"), &mut s.accounting_interval, time);
    r.set(&key("accounting_requires_vip"), &mut s.accounting_requires_vip, flag);
    r.set(&key("accounting_send_class"), &mut s.accounting_send_class, flag);
    r.set(&key("accounting_close_on_timeout"), &mut s.accounting_close_on_timeout, flag);
    r.set(&key("forward.ike_to_radius"), &mut s.ike_to_radius, |text| attributes(text, OURS));
    r.set(&key("forward.radius_to_ike"), &mut s.radius_to_ike, |text| attributes(text, SECRET));
    s.dae = dae(r);
    let common = RadiusServer {
        name: String::new(),
        address: String::new(),
        secret: String::new(),
        auth_port: 1812,
        acct_port: 1813,
        source: None,
        sockets: 1,
        nas_identifier: "strongSwan".to_owned(),
        preference: 0,
        retransmit_timeout: 2.0,
        retransmit_base: 1.4,
        retransmit_tries: 4,
    };
    let common = server(r, ROOT, common);
    let named: Vec<&str> = r
        .section
        .lookup_section(&key("servers"))
        .into_iter()
        .flat_map(Section::sections)
        .map(|(name, _)| name)
        .collect();
    for name in named {
        let one = RadiusServer { name: name.to_owned(), address: String::new(), ..common.clone() };
        let path = format!("{ROOT}.servers.{name}");
        let one = server(r, &path, one);
        add(r, &format!("{path}.address"), &mut s.servers, one);
    }
    // As strongSwan: the one server counts where there are no several.
    if s.servers.is_empty() && !common.address.is_empty() {
        let one = RadiusServer { name: common.address.clone(), ..common };
        add(r, &key("server"), &mut s.servers, one);
    }
    s
}

fn add(r: &mut Reader<'_>, path: &str, servers: &mut Vec<RadiusServer>, server: RadiusServer) {
    if server.address.is_empty() {
        r.wrong(path, "a RADIUS server without an address is left out");
    } else if server.secret.is_empty() {
        r.wrong(path, "a RADIUS server without a secret is left out");
    } else {
        servers.push(server);
    }
}

fn server(r: &mut Reader<'_>, path: &str, mut s: RadiusServer) -> RadiusServer {
    let at = |name: &str| format!("{path}.{name}");
    r.set(&at(if path == ROOT { "server" } else { "address" }), &mut s.address, word);
    r.set(&at("secret"), &mut s.secret, word);
    r.set(&at("port"), &mut s.auth_port, number);
    r.set(&at("auth_port"), &mut s.auth_port, number);
    r.set(&at("acct_port"), &mut s.acct_port, number);
    r.set(&at("source"), &mut s.source, |text| address(text).map(Some));
    r.set(&at("sockets"), &mut s.sockets, |text| match number(text)? {
        n @ 1..=SOCKETS => Ok(n),
        n => Err(format!("{n} is not between 1 and {SOCKETS}")),
    });
    r.set(&at("nas_identifier"), &mut s.nas_identifier, word);
    if path != ROOT {
        r.set(&at("preference"), &mut s.preference, integer);
    }
    r.set(&at("retransmit_timeout"), &mut s.retransmit_timeout, positive);
    r.set(&at("retransmit_base"), &mut s.retransmit_base, positive);
    r.set(&at("retransmit_tries"), &mut s.retransmit_tries, number);
    s
}

fn dae(r: &mut Reader<'_>) -> Option<RadiusDae> {
    let mut enable = false;
    let mut dae = RadiusDae { listen: IpAddr::from([0; 4]), port: 3799, secret: String::new() };
    let mut secret = None;
    r.set(&key("dae.enable"), &mut enable, flag);
    r.set(&key("dae.listen"), &mut dae.listen, address);
    r.set(&key("dae.port"), &mut dae.port, number);
    r.set(&key("dae.secret"), &mut secret, text);
    if !enable {
        return None;
    }
    // Without one everybody could close everybody's sessions.
    let Some(secret) = secret else {
        r.wrong(&key("dae.enable"), "dynamic authorization needs dae.secret");
        return None;
    };
    dae.secret = secret;
    Some(dae)
}

#[cfg(test)]
mod tests {
    use super::super::{DaemonSettings, SECTIONS, load_daemon};
    use crate::resolve::{Disk, load_text};
    use std::path::Path;

    fn read(radius: &str) -> (DaemonSettings, Vec<String>) {
        let text = format!("charon {{ plugins {{ eap-radius {{\n{radius}\n}}\n }}\n }}\n");
        let loaded = load_text(&Disk, "s.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap();
        let (settings, warnings) = load_daemon(&loaded.root, &SECTIONS);
        (settings, warnings.iter().map(|w| w.line(&loaded.sources)).collect())
    }

    #[test]
    fn one_server() {
        let (settings, warnings) =
            read("server = 10.1.0.10\nsecret = gv6URkSs\nport = 1645\nclass_group = yes");
        assert!(warnings.is_empty(), "{warnings:?}");
        let radius = settings.radius;
        assert_eq!((radius.class_group, radius.accounting, radius.dae), (true, false, None));
        let [server] = radius.servers.as_slice() else { panic!("{:?}", radius.servers) };
        assert_eq!((server.name.as_str(), server.auth_port, server.acct_port), ("10.1.0.10", 1645, 1813));
        assert_eq!(format!("{server:?}"), "RadiusServer(10.1.0.10 at 10.1.0.10)", "no secret is printed");
    }

    #[test]
    fn several_servers_share_what_is_above_them() {
        let (settings, warnings) = read(
            "secret = common\nretransmit_tries = 2\nservers {\na {\naddress = a.example\npreference = 50\n}\n
             b {\naddress = 10.0.0.2\nsecret = own\nauth_port = 1000\nsockets = 5\n}\nc {\nsockets = 0\n}\n}\n
             dae {\nenable = yes\nsecret = x\n}\naccounting = yes\naccounting_interval = 5m",
        );
        let servers = &settings.radius.servers;
        assert_eq!(servers.len(), 2);
        assert_eq!((servers[0].secret.as_str(), servers[0].preference), ("common", 50));
        assert_eq!((servers[1].secret.as_str(), servers[1].auth_port, servers[1].sockets), ("own", 1000, 5));
        assert_eq!((servers[0].retransmit_tries, settings.radius.accounting_interval), (2, 300));
        assert_eq!(settings.radius.dae.as_ref().unwrap().port, 3799);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("0 is not between 1 and 256"));
        assert!(warnings[1].contains("without an address"));
    }

    #[test]
    fn what_cannot_be_obeyed_is_said() {
        let (settings, warnings) = read(
            "server = 10.0.0.1\ndae {\nenable = yes\n}\nforward {\nradius_to_ike = Reply-Message, 311:16\n
             ike_to_radius = Replay-Message\n}\nnosuch = 1",
        );
        assert!(settings.radius.radius_to_ike.is_empty());
        assert!(settings.radius.servers.is_empty() && settings.radius.dae.is_none());
        let all = warnings.join("\n");
        for text in [
            "without a secret",
            "needs dae.secret",
            "forward.radius_to_ike: 311:16 is not for the other side; leave it out",
            "`Replay-Message` is no RADIUS attribute",
            "eap-radius.nosuch: unknown key",
        ] {
            assert!(all.contains(text), "{text}\n{all}");
        }
    }
}
