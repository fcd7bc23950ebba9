//! Configuration payloads: asking for and handing out addresses and attributes (RFC 7296 3.15).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::iana::{ConfigAttribute, ConfigType};
use wire::ike::{ConfigAttr, Cp};

/// Most attributes of a peer we look at.
const MAX: usize = 64;

/// Most addresses that are installed for one IKE_SA.
const ADDRESSES: usize = 16;

/// The initiator's request for these addresses; unspecified ones mean any of their family. `dns`: for DNS servers,
/// too, and the domains they are wanted for (none: whatever there are).
pub(crate) fn request(vips: &[IpAddr], dns: Option<&[String]>) -> Option<Cp> {
    if vips.is_empty() {
        return None;
    }
    let mut attributes: Vec<ConfigAttr> = vips.iter().map(|v| address(*v)).collect();
    if let Some(domains) = dns {
        for (v6, kind) in [(false, ConfigAttribute::Ip4Dns), (true, ConfigAttribute::Ip6Dns)] {
            if vips.iter().any(|v| v.is_ipv6() == v6) {
                attributes.push(ConfigAttr { kind, value: Vec::new() });
            }
        }
        // RFC 8598 3.1: "The INTERNAL_DNS_DOMAIN attribute sent by the initiator is usually empty but MAY contain a
        // suggested domain name."
        let kind = ConfigAttribute::DnsDomain;
        attributes.extend(domains.iter().map(|name| ConfigAttr { kind, value: name.as_bytes().to_vec() }));
        if domains.is_empty() {
            attributes.push(ConfigAttr { kind, value: Vec::new() });
        }
    }
    Some(Cp { kind: ConfigType::Request, attributes })
}

/// What to ask for where the IKE_SA before this one had `before`: the same again, where the connection leaves it open.
pub(crate) fn wanted(configured: &[IpAddr], before: &[IpAddr]) -> Vec<IpAddr> {
    let mut left: Vec<IpAddr> = before.iter().copied().filter(|a| !configured.contains(a)).collect();
    let again = |v: &IpAddr| {
        if !v.is_unspecified() {
            return *v;
        }
        match left.iter().position(|a| a.is_ipv4() == v.is_ipv4()) {
            Some(at) => left.remove(at),
            None => *v,
        }
    };
    configured.iter().map(again).collect()
}

/// Of what a gateway at `peer` gave, the addresses that may become ours, and those that may not: the gateway's own
/// would cut us off from it, others mean no single host, and more than [`ADDRESSES`] are too many.
pub(crate) fn acceptable(given: Vec<IpAddr>, peer: IpAddr) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let host = |a: &IpAddr| {
        let broadcast = matches!(a, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets().first() == Some(&0));
        let mapped = matches!(a, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        !(a.is_unspecified() || a.is_loopback() || a.is_multicast() || broadcast || mapped || *a == peer)
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for address in given {
        if !host(&address) || good.len() >= ADDRESSES {
            bad.push(address);
        } else if !good.contains(&address) {
            good.push(address);
        }
    }
    (good, bad)
}

/// The responder's reply.
pub(crate) fn reply(addresses: &[IpAddr], attributes: &[ConfigAttr]) -> Cp {
    let mut all: Vec<ConfigAttr> = addresses.iter().map(|v| address(*v)).collect();
    all.extend(attributes.iter().cloned());
    Cp { kind: ConfigType::Reply, attributes: all }
}

fn address(v: IpAddr) -> ConfigAttr {
    match v {
        IpAddr::V4(a) if a.is_unspecified() => {
            ConfigAttr { kind: ConfigAttribute::Ip4Address, value: Vec::new() }
        }
        IpAddr::V4(a) => ConfigAttr { kind: ConfigAttribute::Ip4Address, value: a.octets().to_vec() },
        IpAddr::V6(a) if a.is_unspecified() => {
            ConfigAttr { kind: ConfigAttribute::Ip6Address, value: Vec::new() }
        }
        // RFC 7296 3.15.1: INTERNAL_IP6_ADDRESS is a 16-octet address and a prefix length.
        IpAddr::V6(a) => {
            let mut value = a.octets().to_vec();
            value.push(128);
            ConfigAttr { kind: ConfigAttribute::Ip6Address, value }
        }
    }
}

/// Addresses and attribute types in a request or reply; an empty address is the unspecified one.
pub(crate) fn read(cp: &Cp) -> (Vec<IpAddr>, Vec<ConfigAttr>) {
    let mut addresses = Vec::new();
    let mut rest = Vec::new();
    for a in cp.attributes.iter().take(MAX) {
        let value = a.value.as_slice();
        match a.kind {
            ConfigAttribute::Ip4Address => match <[u8; 4]>::try_from(value) {
                Ok(octets) => addresses.push(IpAddr::V4(Ipv4Addr::from(octets))),
                Err(_) if value.is_empty() => addresses.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                Err(_) => {}
            },
            ConfigAttribute::Ip6Address => match value.get(..16).and_then(|v| <[u8; 16]>::try_from(v).ok()) {
                Some(octets) => addresses.push(IpAddr::V6(Ipv6Addr::from(octets))),
                None if value.is_empty() => addresses.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
                None => {}
            },
            _ => rest.push(a.clone()),
        }
    }
    (addresses, rest)
}

/// Attributes as plain values.
pub(crate) fn plain(attributes: &[ConfigAttr]) -> Vec<(u16, Vec<u8>)> {
    attributes.iter().map(|a| (a.kind.into(), a.value.clone())).collect()
}

/// And back.
pub(crate) fn unplain(attributes: &[(u16, Vec<u8>)]) -> Vec<ConfigAttr> {
    attributes.iter().map(|(k, v)| ConfigAttr { kind: ConfigAttribute::from(*k), value: v.clone() }).collect()
}

/// `%any`, `%any6` or the address, as logs show requests.
pub(crate) fn show(v: IpAddr) -> String {
    match v {
        IpAddr::V4(a) if a.is_unspecified() => "%any".to_owned(),
        IpAddr::V6(a) if a.is_unspecified() => "%any6".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_asks_for_what_there_was_unless_the_connection_says_what() {
        let all = |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|s| s.parse().unwrap()).collect() };
        let before = all(&["10.3.0.1", "10.3.0.9", "fec3::1"]);
        let configured = all(&["0.0.0.0", "::", "10.3.0.1", "0.0.0.0", "0.0.0.0"]);
        let wanted = all(&["10.3.0.9", "fec3::1", "10.3.0.1", "0.0.0.0", "0.0.0.0"]);
        assert_eq!(super::wanted(&configured, &before), wanted);
        assert_eq!(super::wanted(&configured, &[]), configured);
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        let v: Vec<IpAddr> =
            ["0.0.0.0", "::", "10.3.0.1", "fec3::1"].iter().map(|s| s.parse().unwrap()).collect();
        let (back, rest) = read(&request(&v, Some(&[])).unwrap());
        assert_eq!(back, v);
        let kinds: Vec<_> = rest.iter().map(|a| (a.kind, a.value.len())).collect();
        let expected = [ConfigAttribute::Ip4Dns, ConfigAttribute::Ip6Dns, ConfigAttribute::DnsDomain];
        assert_eq!(kinds, expected.map(|kind| (kind, 0)));
        assert!(read(&request(&v, None).unwrap()).1.is_empty());
    }

    #[test]
    fn domains_are_asked_for_by_name() {
        let wanted = ["corp.example".to_owned(), "lan".to_owned()];
        let (_, rest) = read(&request(&["0.0.0.0".parse().unwrap()], Some(&wanted)).unwrap());
        let domains = rest.iter().filter(|a| a.kind == ConfigAttribute::DnsDomain);
        assert_eq!(domains.map(|a| a.value.clone()).collect::<Vec<_>>(), wanted.map(String::into_bytes));
    }

    #[test]
    fn a_hostile_gateway_gives_no_address_that_harms() {
        let ip = |s: &str| -> IpAddr { s.parse().unwrap() };
        let given = [
            "10.3.0.1",
            "192.0.2.1",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "10.3.0.1",
        ]
        .map(ip)
        .to_vec();
        let (good, bad) = acceptable(given, ip("192.0.2.1"));
        assert_eq!(good, ["10.3.0.1", "fd00::1"].map(ip));
        assert_eq!(bad.len(), 8);
        let many = (0..40u8).map(|n| IpAddr::from([10, 3, 0, n])).collect();
        let (good, bad) = acceptable(many, ip("192.0.2.1"));
        assert_eq!((good.len(), bad.len()), (ADDRESSES, 40 - ADDRESSES));
    }
}
