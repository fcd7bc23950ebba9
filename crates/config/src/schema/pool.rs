//! `pools.<name>`.
use super::{Fields, Key, Kind};
use crate::capability::Capabilities;
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Span, Value};
use policy::{PoolAttribute, PoolConfig, PoolRange};
use std::net::IpAddr;
use wire::iana::ConfigAttribute as A;

const ADDRESSES: Kind = Kind::List("addresses");
const SUBNETS: Kind = Kind::List("subnets");

/// The keys of a pool. A number in place of an attribute's name is its type.
pub const KEYS: &[Key] = &[
    Key::new("addrs", Kind::Text("subnet, or from-to"), "", "the addresses to give; required"),
    Key::new("address", ADDRESSES, "", "further addresses, the same for every client"),
    Key::new("dns", ADDRESSES, "", "DNS servers"),
    Key::new("nbns", ADDRESSES, "", "WINS servers"),
    Key::new("dhcp", ADDRESSES, "", "DHCP servers"),
    Key::new("netmask", ADDRESSES, "", "netmask of the virtual IP"),
    Key::new("server", ADDRESSES, "", "server attributes (private use)"),
    Key::new("subnet", SUBNETS, "", "subnets that the gateway protects"),
    Key::new("p_cscf", ADDRESSES, "", "P-CSCF servers (RFC 7651)"),
    Key::new("split_include", SUBNETS, "", "subnets for the tunnel (Cisco Unity)"),
    Key::new("split_exclude", SUBNETS, "", "subnets past the tunnel (Cisco Unity)"),
];

/// Attribute types for IPv4 and IPv6.
const ATTRIBUTES: &[(&str, A, Option<A>)] = &[
    ("address", A::Ip4Address, Some(A::Ip6Address)),
    ("dns", A::Ip4Dns, Some(A::Ip6Dns)),
    ("nbns", A::Ip4Nbns, Some(A::Ip6Nbns)),
    ("dhcp", A::Ip4Dhcp, Some(A::Ip6Dhcp)),
    ("netmask", A::Ip4Netmask, None),
    ("server", A::Ip4Server, Some(A::Ip6Server)),
    ("subnet", A::Ip4Subnet, Some(A::Ip6Subnet)),
    ("p_cscf", A::PCscfIp4, Some(A::PCscfIp6)),
    ("split_include", A::UnitySplitInclude, None),
    ("split_exclude", A::UnityLocalLan, None),
];

/// Reads a pool, from a file or from vici's `load-pool`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_pool(name: &str, section: &Section) -> Result<PoolConfig, Vec<Report>> {
    let path = format!("pools.{name}");
    let capabilities = Capabilities::none();
    let known = Section {
        entries: section
            .entries
            .iter()
            .filter(|(key, _)| key.as_str() == "addrs")
            .map(|(k, n)| (k.clone(), n.clone()))
            .collect(),
        ..section.clone()
    };
    let mut f = Fields::new(&path, &known, KEYS, &capabilities);
    let mut range: Option<PoolRange> = None;
    f.set("addrs", &mut range, |t| match t.parse() {
        Ok(range) => Ok(Some(range)),
        Err(_) => Err(format!("`{t}` is no subnet and no range from-to")),
    });
    if !f.has("addrs") {
        f.missing("`addrs` is missing");
    }
    let mut attributes = Vec::new();
    for (key, node) in section.entries.iter().filter(|(key, _)| key.as_str() != "addrs") {
        let place = |value: Span| if value.is_somewhere() { value } else { section.key_span(key) };
        let report =
            |message: String, span: Span| Report::error(message).at(place(span)).key(format!("{path}.{key}"));
        let items = match node {
            Node::List(items) => items.clone(),
            Node::Value(value) => value.split(),
            Node::Section(_) => {
                f.inner::<()>(Err(vec![report("unknown section".into(), Span::NOWHERE)]));
                continue;
            }
        };
        for item in &items {
            match attribute(key, item) {
                Ok(attribute) => attributes.push(attribute),
                Err((message, hint)) => {
                    let mut report = report(message, item.span);
                    report.hint = hint;
                    f.inner::<()>(Err(vec![report]));
                }
            }
        }
    }
    match range {
        Some(range) => f.finish(PoolConfig { attributes, ..PoolConfig::new(name, range) }),
        None => f.finish(()).and_then(|()| Err(vec![Report::error("`addrs` is missing").key(path)])),
    }
}

fn attribute(key: &str, item: &Value) -> Result<PoolAttribute, (String, Option<String>)> {
    let plain = |message: String| (message, None);
    let text = item.as_text().unwrap_or("");
    if let Ok(number) = key.parse::<u16>() {
        // RFC 7296 3.15.1: 15 bits; the first bit is reserved.
        if number == 0 || number > 0x7fff {
            return Err(plain(format!("{number} is no attribute type (1 to 32767)")));
        }
        let value = address(text).or_else(|| subnet(text)).unwrap_or_else(|| item.bytes.clone());
        return Ok(PoolAttribute { kind: A::from(number), value });
    }
    let Some((_, v4, v6)) = ATTRIBUTES.iter().find(|(name, ..)| *name == key) else {
        let hint = closest(key, KEYS.iter().map(|k| k.name)).map(|known| format!("did you mean `{known}`?"));
        return Err(("unknown key".into(), hint));
    };
    let is_subnet = matches!(key, "subnet" | "split_include" | "split_exclude");
    let value = if is_subnet { subnet(text) } else { address(text) };
    let what = if is_subnet { "subnet" } else { "address" };
    let mut value = value.ok_or_else(|| plain(format!("`{text}` is no {what}")))?;
    if matches!(value.len(), 4 | 8) {
        if matches!(key, "split_include" | "split_exclude") {
            // Cisco's subnets are padded by six bytes for protocol and ports.
            value.extend([0; 6]);
        }
        return Ok(PoolAttribute { kind: *v4, value });
    }
    match v6 {
        Some(kind) => Ok(PoolAttribute { kind: *kind, value }),
        None => Err(plain(format!("`{key}` has no form for IPv6"))),
    }
}

fn address(text: &str) -> Option<Vec<u8>> {
    match text.parse().ok()? {
        IpAddr::V4(a) => Some(a.octets().to_vec()),
        IpAddr::V6(a) => Some(a.octets().to_vec()),
    }
}

/// RFC 7296 3.15.1: INTERNAL_IP4_SUBNET is an address and a netmask, INTERNAL_IP6_SUBNET an address and a length.
fn subnet(text: &str) -> Option<Vec<u8>> {
    let net: ipnet::IpNet = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into))?;
    Some(match net {
        ipnet::IpNet::V4(net) => [net.network().octets(), net.netmask().octets()].concat(),
        ipnet::IpNet::V6(net) => {
            let mut value = net.network().octets().to_vec();
            value.push(net.prefix_len());
            value
        }
    })
}
