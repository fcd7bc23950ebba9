//! DNS servers and domains that a gateway gave: which of them we take, and where they go.
use config::{NetworkSettings, ResolveTarget};
use linux::dns::Target;
use policy::Connection;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// Most servers and domains of one gateway.
const SERVERS: usize = 8;
const DOMAINS: usize = 32;
/// Most of a refused name in the log.
const SHOWN: usize = 64;
/// Where the resolver of the C library looks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The name that our servers have at resolvconf.
const INTERFACE: &str = "lo.ipsec";

/// What we take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Given {
    pub(crate) servers: Vec<IpAddr>,
    /// Names that the servers are for; none: all.
    pub(crate) domains: Vec<String>,
    /// P-CSCF servers (RFC 7651), for whoever reads the log: nothing here uses them.
    pub(crate) p_cscf: Vec<IpAddr>,
    /// What is not taken, and why, for the log.
    pub(crate) refused: Vec<String>,
}

impl Given {
    /// Nothing of it is taken.
    fn refuse_all(&mut self, why: String) {
        self.servers.clear();
        self.domains.clear();
        self.refused.push(why);
    }
}

/// Judges what a gateway gave to a connection. Only addresses of single hosts and plain names pass, so that no line of
/// a file can be forged.
pub(crate) fn given(connection: &Connection, attributes: &[ConfigAttr]) -> Given {
    let mut out = Given::default();
    let mut named = 0usize;
    for attribute in attributes {
        match attribute.kind {
            ConfigAttribute::Ip4Dns | ConfigAttribute::Ip6Dns => match server(attribute) {
                None if attribute.value.is_empty() => {}
                None => out
                    .refused
                    .push("ignoring a DNS server from the peer: it is no address of a server".into()),
                Some(server) if out.servers.contains(&server) => {}
                Some(server) if out.servers.len() >= SERVERS => {
                    out.refused.push(format!(
                        "ignoring DNS server {server} from the peer: it gave more than {SERVERS}"
                    ));
                }
                Some(server) => out.servers.push(server),
            },
            ConfigAttribute::DnsDomain if attribute.value.is_empty() => {}
            ConfigAttribute::DnsDomain => {
                named = named.saturating_add(1);
                match domain(connection, &attribute.value) {
                    Ok(name) if out.domains.contains(&name) => {}
                    Ok(name) if out.domains.len() >= DOMAINS => {
                        out.refused.push(format!(
                            "ignoring domain '{name}' from the peer: it gave more than {DOMAINS}"
                        ));
                    }
                    Ok(name) => out.domains.push(name),
                    Err(why) => out.refused.push(why),
                }
            }
            ConfigAttribute::DnssecTa => out.refused.push(
                "ignoring a DNSSEC trust anchor (INTERNAL_DNSSEC_TA) from the peer: they are not supported"
                    .into(),
            ),
            ConfigAttribute::PCscfIp4 | ConfigAttribute::PCscfIp6 => match server(attribute) {
                Some(server) if out.p_cscf.len() < SERVERS => out.p_cscf.push(server),
                Some(server) => out.refused.push(format!(
                    "ignoring P-CSCF server {server} from the peer: it gave more than {SERVERS}"
                )),
                None if attribute.value.is_empty() => {}
                None => out
                    .refused
                    .push("ignoring a P-CSCF server from the peer: it is no address of a server".into()),
            },
            // charon's words: what it has no handler for.
            kind @ (ConfigAttribute::Ip4Nbns | ConfigAttribute::Ip6Nbns) => {
                let family = if kind == ConfigAttribute::Ip4Nbns { "IP4" } else { "IP6" };
                out.refused.push(format!(
                    "handling INTERNAL_{family}_NBNS attribute failed: WINS servers are not installed"
                ));
            }
            _ => {}
        }
    }
    if out.servers.is_empty() {
        if !out.domains.is_empty() {
            out.refuse_all("ignoring the peer's domains: it gave no DNS server for them".into());
        }
    } else if !connection.install_dns {
        out.refuse_all(format!(
            "ignoring the peer's DNS servers: connection '{}' has install_dns = no",
            connection.name
        ));
    } else if named > 0 && out.domains.is_empty() {
        // For no names must not become for all names.
        out.refuse_all("ignoring the peer's DNS servers: all their domains were refused".into());
    } else if out.domains.is_empty() {
        out.domains.clone_from(&connection.dns_domains);
    }
    out
}

/// The server in an attribute, if it is an address where a server can be.
fn server(attribute: &ConfigAttr) -> Option<IpAddr> {
    let value = attribute.value.as_slice();
    let address = match attribute.kind {
        ConfigAttribute::Ip4Dns => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
    };
    let host = match address {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_link_local() && v4.octets().first() != Some(&0),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_none() && !v6.is_unicast_link_local(),
    };
    (host && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast())
        .then_some(address)
}

fn domain(connection: &Connection, value: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(value);
    let Some(name) = policy::domain::parse(&text) else {
        let shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
        return Err(format!(
            "ignoring domain '{shown}' from the peer: it is no name that a DNS server may have"
        ));
    };
    let allowed = &connection.dns_domains;
    if allowed.is_empty() || allowed.iter().any(|domain| policy::domain::within(&name, domain)) {
        return Ok(name);
    }
    Err(format!(
        "ignoring domain '{name}' from the peer: dns_domains of '{}' does not have it",
        connection.name
    ))
}

/// Where DNS servers go; `None`: nowhere, or to the updown command.
pub(crate) fn target(network: &NetworkSettings) -> Option<Target> {
    if !network.resolve_load || network.dns_handler {
        return None;
    }
    let interface = network.resolvconf_iface.as_deref().unwrap_or(INTERFACE);
    let file = || PathBuf::from(network.resolve_file.as_deref().unwrap_or(RESOLV_CONF));
    let resolvconf =
        |program: &str| Target::Resolvconf { program: program.into(), interface: interface.into() };
    Some(match network.resolve_target {
        ResolveTarget::File => Target::File(file()),
        ResolveTarget::SystemdResolved => Target::Resolved,
        ResolveTarget::Resolvconf => resolvconf(network.resolvconf_path.as_deref().unwrap_or("resolvconf")),
        // What is named is meant.
        ResolveTarget::Auto if network.resolve_file.is_some() => Target::File(file()),
        ResolveTarget::Auto => match &network.resolvconf_path {
            Some(program) => resolvconf(program),
            None => Target::of_host(Path::new(RESOLV_CONF), interface),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: ConfigAttribute, value: &[u8]) -> ConfigAttr {
        ConfigAttr { kind, value: value.to_vec() }
    }

    fn dns(last: u8) -> ConfigAttr {
        attribute(ConfigAttribute::Ip4Dns, &[10, 1, 0, last])
    }

    fn name(text: &str) -> ConfigAttr {
        attribute(ConfigAttribute::DnsDomain, text.as_bytes())
    }

    #[test]
    fn wins_servers_are_named_in_the_words_that_scripts_look_for() {
        let got =
            given(&Connection::named("home"), &[attribute(ConfigAttribute::Ip4Nbns, &[10, 1, 0, 5]), dns(1)]);
        assert!(
            got.refused[0].starts_with("handling INTERNAL_IP4_NBNS attribute failed"),
            "{:?}",
            got.refused
        );
        assert_eq!(got.servers.len(), 1);
    }

    #[test]
    fn servers_and_domains_are_taken_in_order() {
        let c = Connection::named("home");
        let v6 = attribute(ConfigAttribute::Ip6Dns, &[0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        let got =
            given(&c, &[dns(2), name("Corp.example."), v6, dns(1), dns(2), name("corp.example"), name("")]);
        let servers: Vec<String> = got.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.1.0.2", "fd01::9", "10.1.0.1"]);
        assert_eq!((got.domains, got.refused), (vec!["corp.example".to_owned()], vec![]));
    }

    #[test]
    fn nothing_that_a_gateway_says_forges_a_line() {
        let c = Connection::named("home");
        let evil = [
            dns(1),
            name("corp.example"),
            name("x\nnameserver 6.6.6.6"),
            name("x 6.6.6.6"),
            name("# x"),
            name("local"),
            attribute(ConfigAttribute::DnsDomain, &[0xff, 0]),
            attribute(ConfigAttribute::Ip4Dns, &[127, 0, 0, 1]),
            attribute(ConfigAttribute::Ip4Dns, &[0, 0, 0, 0]),
            attribute(ConfigAttribute::Ip4Dns, &[224, 0, 0, 1]),
            attribute(ConfigAttribute::Ip4Dns, &[1, 2, 3]),
            attribute(ConfigAttribute::Ip6Dns, &[0; 16]),
            attribute(ConfigAttribute::DnssecTa, &[1, 2, 3]),
        ];
        let got = given(&c, &evil);
        assert_eq!((got.servers.len(), got.domains.as_slice()), (1, ["corp.example".to_owned()].as_slice()));
        assert_eq!(got.refused.len(), evil.len() - 2);
        assert!(got.refused.iter().all(|line| !line.contains('\n')));
        let many: Vec<ConfigAttr> =
            (1..=60).map(dns).chain((0..60).map(|n| name(&format!("d{n}.example")))).collect();
        let got = given(&c, &many);
        assert_eq!((got.servers.len(), got.domains.len()), (SERVERS, DOMAINS));
    }

    #[test]
    fn a_connection_says_which_names_it_lets_go() {
        let mut c = Connection::named("home");
        c.dns_domains = vec!["corp.example".into()];
        assert_eq!(given(&c, &[dns(1)]).domains, ["corp.example"]);
        let got = given(&c, &[dns(1), name("lab.corp.example"), name("bank.example")]);
        assert_eq!((got.domains.len(), got.refused.len()), (1, 1));
        assert!(given(&c, &[dns(1), name("bank.example")]).servers.is_empty());
        assert!(given(&c, &[name("corp.example")]).domains.is_empty());
        c.install_dns = false;
        let got = given(&c, &[dns(1), name("corp.example")]);
        assert!(got.servers.is_empty() && got.refused.len() == 1, "{got:?}");
    }

    #[test]
    fn what_is_named_is_meant() {
        let mut n = NetworkSettings { resolve_file: Some("/x".into()), ..NetworkSettings::default() };
        assert_eq!(target(&n), Some(Target::File("/x".into())));
        n.resolve_target = ResolveTarget::SystemdResolved;
        assert_eq!(target(&n), Some(Target::Resolved));
        n.resolve_target = ResolveTarget::Auto;
        (n.resolve_file, n.resolvconf_path) = (None, Some("/y".into()));
        assert_eq!(
            target(&n),
            Some(Target::Resolvconf { program: "/y".into(), interface: "lo.ipsec".into() })
        );
        n.dns_handler = true;
        assert_eq!(target(&n), None);
    }
}
