//! Routes, virtual IPs, marks and name servers: what the daemon does to the host's network.
use super::{Key, Kind, Reader, flag, number, text};

/// The keys.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "install_routes",
        Kind::Flag,
        "yes",
        "install routes for the children; in userspace they are always there, as packets need them",
    ),
    Key::new("routing_table", Kind::Number, "220", "table of these routes; 0 the main one"),
    Key::new("routing_table_prio", Kind::Number, "220", "priority of the rule for that table"),
    Key::new(
        "ignore_routing_tables",
        Kind::Text("numbers"),
        "",
        "tables not to look into for routes to the peer",
    ),
    Key::new("process_route", Kind::Flag, "yes", "follow changes of routes"),
    Key::new("install_virtual_ip", Kind::Flag, "yes", "put virtual IPs on an interface"),
    Key::new(
        "install_virtual_ip_on",
        Kind::Text("name"),
        "",
        "that interface; the TUN device, where there is none the outbound one. A connection's install_vip_on wins",
    ),
    Key::new("interfaces_use", Kind::List("names"), "", "interfaces to use, and no others"),
    Key::new("interfaces_ignore", Kind::List("names"), "", "interfaces not to use"),
    Key::new("prefer_temporary_addrs", Kind::Flag, "no", "prefer temporary IPv6 addresses (RFC 8981)"),
    Key::new(
        "plugins.kernel-netlink.fwmark",
        Kind::Text("[!]mark[/mask]"),
        "",
        "mark of the rule that leads to the routing table; packets with the mark of our sockets pass it over",
    ),
    Key::new("plugins.kernel-netlink.mtu", Kind::Number, "0", "MTU of the routes and of the TUN device"),
    Key::new(
        "plugins.kernel-netlink.install_routes_xfrmi",
        Kind::Flag,
        "no",
        "install routes for children with interface ids, too",
    ),
    Key::new(
        "plugins.kernel-libipsec.fwmark",
        Kind::Text("[!]mark[/mask]"),
        "",
        "the same as kernel-netlink's, and first",
    ),
    Key::new("plugins.socket-default.fwmark", Kind::Text("number"), "", "mark of IKE and ESP packets"),
    Key::new(
        "plugins.connmark.load",
        Kind::Flag,
        "no",
        "with %unique marks in transport mode, answers take the SA that the question came by; also on when `load` names \
         connmark",
    ),
    Key::new(
        "plugins.resolve.load",
        Kind::Flag,
        "yes",
        "ask gateways for DNS servers and install them; a connection's install_dns may refuse",
    ),
    Key::new(
        "plugins.resolve.target",
        Kind::Words("auto, file, resolvconf, systemd-resolved"),
        "auto",
        "where DNS servers go; not in strongSwan. auto: see docs/virtual-ip.md",
    ),
    Key::new("plugins.resolve.file", Kind::Text("file"), "/etc/resolv.conf", "where DNS servers are written"),
    Key::new(
        "plugins.resolve.resolvconf.iface",
        Kind::Text("name"),
        "lo.ipsec",
        "interface named to resolvconf",
    ),
    Key::new(
        "plugins.resolve.resolvconf.path",
        Kind::Text("command"),
        "/sbin/resolvconf",
        "the resolvconf command, found in PATH or by its path",
    ),
    Key::new(
        "plugins.updown.dns_handler",
        Kind::Flag,
        "no",
        "hand DNS servers to the updown command as PLUTO_DNS4_n and PLUTO_DNS6_n, and install them nowhere",
    ),
];

/// A firewall mark as `fwmark` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirewallMark {
    /// The mark.
    pub value: u32,
    /// Its bits that count.
    pub mask: u32,
    /// All but the packets with this mark.
    pub invert: bool,
}

/// `plugins.resolve.target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResolveTarget {
    /// What the host uses.
    #[default]
    Auto,
    /// A file like `resolv.conf`.
    File,
    /// The program `resolvconf`.
    Resolvconf,
    /// systemd-resolved, over D-Bus.
    SystemdResolved,
}

/// Settings of the host's network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys, documented in the table")]
pub struct NetworkSettings {
    pub install_routes: bool,
    pub routing_table: u32,
    pub routing_table_prio: u32,
    pub ignore_routing_tables: Vec<u32>,
    pub process_route: bool,
    pub install_virtual_ip: bool,
    pub install_virtual_ip_on: Option<String>,
    pub interfaces_use: Vec<String>,
    pub interfaces_ignore: Vec<String>,
    pub prefer_temporary_addrs: bool,
    /// Of the rule; kernel-libipsec's, then kernel-netlink's.
    pub rule_mark: Option<FirewallMark>,
    /// Of our sockets.
    pub socket_mark: Option<FirewallMark>,
    pub mtu: Option<u32>,
    pub install_routes_xfrmi: bool,
    pub resolve_load: bool,
    pub resolve_target: ResolveTarget,
    pub resolve_file: Option<String>,
    pub resolvconf_iface: Option<String>,
    pub resolvconf_path: Option<String>,
    pub dns_handler: bool,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            install_routes: true,
            routing_table: 220,
            routing_table_prio: 220,
            ignore_routing_tables: Vec::new(),
            process_route: true,
            install_virtual_ip: true,
            install_virtual_ip_on: None,
            interfaces_use: Vec::new(),
            interfaces_ignore: Vec::new(),
            prefer_temporary_addrs: false,
            rule_mark: None,
            socket_mark: None,
            mtu: None,
            install_routes_xfrmi: false,
            resolve_load: true,
            resolve_target: ResolveTarget::Auto,
            resolve_file: None,
            resolvconf_iface: None,
            resolvconf_path: None,
            dns_handler: false,
        }
    }
}

/// Mark of our own packets where the configuration names none: the rule of our routing table passes them over.
const DEFAULT_MARK: u32 = 220;

impl NetworkSettings {
    /// The mark of the rule that leads to our routing table, and that of our sockets. kernel-netlink's key is about the
    /// rule, socket-default's about the sockets; one of them implies the other.
    #[must_use]
    pub fn marks(&self) -> (FirewallMark, Option<u32>) {
        let passes = |value| FirewallMark { value, mask: u32::MAX, invert: true };
        match (self.rule_mark, self.socket_mark.map(|mark| mark.value)) {
            (Some(rule), Some(socket)) => (rule, Some(socket)),
            // Only what has the mark is led to the table, so our packets have none.
            (Some(rule), None) => (rule, rule.invert.then_some(rule.value)),
            (None, socket) => {
                let socket = socket.unwrap_or(DEFAULT_MARK);
                (passes(socket), Some(socket))
            }
        }
    }

    /// DNS servers of gateways are of use to us, and so asked for.
    #[must_use]
    pub fn wants_dns(&self) -> bool {
        self.resolve_load || self.dns_handler
    }
}

pub(super) fn read(r: &mut Reader<'_>) -> NetworkSettings {
    let mut n = NetworkSettings::default();
    r.set("install_routes", &mut n.install_routes, flag);
    r.set("routing_table", &mut n.routing_table, number);
    r.set("routing_table_prio", &mut n.routing_table_prio, number);
    r.set("ignore_routing_tables", &mut n.ignore_routing_tables, |t| {
        t.split_whitespace().map(number).collect()
    });
    r.set("process_route", &mut n.process_route, flag);
    r.set("install_virtual_ip", &mut n.install_virtual_ip, flag);
    r.set("install_virtual_ip_on", &mut n.install_virtual_ip_on, interface);
    r.set("interfaces_use", &mut n.interfaces_use, names);
    r.set("interfaces_ignore", &mut n.interfaces_ignore, names);
    r.set("prefer_temporary_addrs", &mut n.prefer_temporary_addrs, flag);
    r.set("plugins.kernel-netlink.fwmark", &mut n.rule_mark, mark);
    r.set("plugins.kernel-libipsec.fwmark", &mut n.rule_mark, mark);
    r.set("plugins.socket-default.fwmark", &mut n.socket_mark, |t| match mark(t)? {
        Some(mark) if mark.invert || mark.mask != u32::MAX => {
            Err(format!("`{t}` is no mark of a socket: a number alone"))
        }
        plain => Ok(plain),
    });
    r.set("plugins.kernel-netlink.mtu", &mut n.mtu, |t| match number(t)? {
        0 => Ok(None),
        n @ 68..=65_535 => Ok(Some(n)),
        n => Err(format!("{n} is no MTU (68 to 65535, 0 for none)")),
    });
    r.set("plugins.kernel-netlink.install_routes_xfrmi", &mut n.install_routes_xfrmi, flag);
    r.set("plugins.resolve.load", &mut n.resolve_load, |t| match number::<i64>(t) {
        // A number is the plugin's priority, and says that it is loaded.
        Ok(priority) => Ok(priority != 0),
        Err(_) => flag(t),
    });
    r.set("plugins.resolve.target", &mut n.resolve_target, |t| match t {
        "auto" => Ok(ResolveTarget::Auto),
        "file" => Ok(ResolveTarget::File),
        "resolvconf" => Ok(ResolveTarget::Resolvconf),
        "systemd-resolved" => Ok(ResolveTarget::SystemdResolved),
        other => Err(format!("`{other}` is none of auto, file, resolvconf, systemd-resolved")),
    });
    r.set("plugins.resolve.file", &mut n.resolve_file, text);
    r.set("plugins.resolve.resolvconf.iface", &mut n.resolvconf_iface, text);
    r.set("plugins.resolve.resolvconf.path", &mut n.resolvconf_path, text);
    r.set("plugins.updown.dns_handler", &mut n.dns_handler, flag);
    n
}

/// The name of an interface, as Linux has it.
///
/// # Errors
/// More than 15 bytes, or characters that no interface name has.
pub fn interface(text: &str) -> Result<Option<String>, String> {
    let fits = text.len() < 16
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':'));
    match (text.is_empty(), fits) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(text.to_owned())),
        (false, false) => Err(format!("`{text}` is no name of an interface (15 characters at most)")),
    }
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let items = text.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
    Ok(items.map(str::to_owned).collect())
}

/// `[!]value[/mask]`.
fn mark(text: &str) -> Result<Option<FirewallMark>, String> {
    let (plain, invert) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
    let (value, mask) = match plain.split_once('/') {
        Some((value, mask)) => (number(value)?, number(mask)?),
        None => (number(plain)?, u32::MAX),
    };
    super::super::values::within(value, mask)?;
    Ok(Some(FirewallMark { value, mask, invert }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let full = |value, invert| Ok(Some(FirewallMark { value, mask: u32::MAX, invert }));
        assert_eq!(mark("220"), full(220, false));
        assert_eq!(mark("!0x10"), full(16, true));
        assert_eq!(mark("!1/0xff"), Ok(Some(FirewallMark { value: 1, mask: 255, invert: true })));
        assert!(mark("").is_err() && mark("!").is_err() && mark("1/").is_err());
        assert!(mark("0x100/0xff").is_err(), "no packet has it");
    }

    #[test]
    fn the_rule_and_the_sockets_have_marks_that_fit() {
        let of = |rule: &str, socket: &str| {
            let read = |text: &str| if text.is_empty() { None } else { mark(text).unwrap() };
            let n = NetworkSettings {
                rule_mark: read(rule),
                socket_mark: read(socket),
                ..NetworkSettings::default()
            };
            let (rule, socket) = n.marks();
            (rule.value, rule.invert, socket)
        };
        assert_eq!(of("", ""), (220, true, Some(220)));
        assert_eq!(of("!7", ""), (7, true, Some(7)));
        assert_eq!(of("", "7"), (7, true, Some(7)));
        assert_eq!(of("!1/1", "9"), (1, true, Some(9)));
        assert_eq!(of("7", ""), (7, false, None));
    }

    #[test]
    fn names_of_interfaces() {
        assert_eq!(interface("eth0.7"), Ok(Some("eth0.7".to_owned())));
        assert_eq!(interface(""), Ok(None));
        for wrong in ["sixteen-letters-", "a b", "a/b", "..", "eth0:1"] {
            assert!(interface(wrong).is_err(), "{wrong}");
        }
    }
}
