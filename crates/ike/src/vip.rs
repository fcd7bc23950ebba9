//! Configuration payloads: asking for and handing out addresses and attributes (RFC 7296 3.15).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::iana::{ConfigAttribute, ConfigType};
use wire::ike::{ConfigAttr, Cp};

/// Most attributes of a peer we look at.
const MAX: usize = 64;

/// The initiator's request for these addresses; unspecified ones mean any of their family.
pub(crate) fn request(vips: &[IpAddr]) -> Option<Cp> {
    if vips.is_empty() {
        return None;
    }
    let mut attributes: Vec<ConfigAttr> = vips.iter().map(|v| address(*v)).collect();
    for (v6, kind) in [(false, ConfigAttribute::Ip4Dns), (true, ConfigAttribute::Ip6Dns)] {
        if vips.iter().any(|v| v.is_ipv6() == v6) {
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
        let (back, rest) = read(&request(&v).unwrap());
        assert_eq!(back, v);
        assert_eq!(rest.len(), 2);
    }
}
