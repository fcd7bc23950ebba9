//! What `charon.plugins.dhcp` says.
use crate::conf::Conf;
use std::net::Ipv4Addr;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The pool is there at all.
    pub(super) load: bool,
    pub(super) server: Ipv4Addr,
    pub(super) force_server_address: bool,
    pub(super) identity_lease: bool,
    pub(super) use_server_port: bool,
    pub(super) interface: Option<String>,
    pub(super) interface_receive: Option<String>,
}

impl Settings {
    /// From the file; the second part are complaints.
    pub(crate) fn new(conf: &Conf) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let key = |name: &str| format!("plugins.dhcp.{name}");
        let flag = |name: &str, default: bool| conf.flag(&key(name), default);
        let name = |name: &str| {
            conf.text(&key(name)).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let server = name("server").map_or(Ipv4Addr::BROADCAST, |text| match text.parse::<Ipv4Addr>() {
            Ok(server) if !server.is_unspecified() => server,
            _ => {
                complaints.push(format!(
                    "charon.plugins.dhcp.server: `{text}` is no IPv4 address; 255.255.255.255 is used"
                ));
                Ipv4Addr::BROADCAST
            }
        });
        let interface = name("interface");
        let settings = Self {
            load: conf.loads("dhcp", true),
            server,
            force_server_address: flag("force_server_address", false),
            identity_lease: flag("identity_lease", false),
            use_server_port: flag("use_server_port", false),
            interface_receive: name("interface_receive").or_else(|| interface.clone()),
            interface,
        };
        (settings, complaints)
    }

    /// Leases are asked for as a relay agent: so does charon for every address but the broadcast to this link.
    pub(super) fn relays(&self) -> bool {
        self.server != Ipv4Addr::BROADCAST
    }

    /// The port requests come from.
    pub(super) fn port(&self) -> u16 {
        match self.use_server_port && self.relays() {
            true => dhcp::message::SERVER_PORT,
            false => dhcp::message::CLIENT_PORT,
        }
    }
}
