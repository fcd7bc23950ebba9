//! Attributes for clients: from `strongswan.conf`, and from keywords and values.
use crate::conf::Conf;
use std::net::IpAddr;
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// Attributes that `strongswan.conf` gives to every client; the second part are complaints.
pub(crate) fn global_attributes(conf: &Conf) -> (Vec<ConfigAttr>, Vec<String>) {
    let mut attributes = Vec::new();
    let mut complaints = Vec::new();
    let mut add = |key: &str, text: &str| {
        let name = key.rsplit('.').next().unwrap_or(key);
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match attribute(name, item) {
                Some(attribute) => attributes.push(attribute),
                None => complaints.push(format!("invalid value for {key}: '{item}'")),
            }
        }
    };
    for (key, name) in [("dns1", "dns"), ("dns2", "dns"), ("nbns1", "nbns"), ("nbns2", "nbns")] {
        if let Some(text) = conf.text(key) {
            add(name, text);
        }
    }
    if conf.flag("plugins.attr.load", true) {
        for key in conf.keys("plugins.attr").into_iter().filter(|key| *key != "load") {
            let path = format!("plugins.attr.{key}");
            add(&path, conf.text(&path).unwrap_or_default());
        }
    }
    (attributes, complaints)
}

/// Adds what is not there yet.
pub(crate) fn add(all: &mut Vec<ConfigAttr>, more: impl IntoIterator<Item = ConfigAttr>) {
    for attribute in more {
        if !all.contains(&attribute) {
            all.push(attribute);
        }
    }
}

/// One attribute from its keyword (or number) and value.
pub(crate) fn attribute(name: &str, text: &str) -> Option<ConfigAttr> {
    if let Ok(number) = name.parse::<u16>() {
        let value = text.parse::<IpAddr>().map_or_else(|_| text.as_bytes().to_vec(), octets);
        return Some(ConfigAttr { kind: ConfigAttribute::from(number), value });
    }
    if matches!(name, "subnet" | "split-include" | "split-exclude") {
        let net: ipnet::IpNet = text.parse().ok()?;
        let (kind, value) = match (name, net) {
            ("subnet", ipnet::IpNet::V4(net)) => {
                (ConfigAttribute::Ip4Subnet, [net.addr().octets(), net.netmask().octets()].concat())
            }
            ("subnet", ipnet::IpNet::V6(net)) => {
                let mut value = net.addr().octets().to_vec();
                value.push(net.prefix_len());
                (ConfigAttribute::Ip6Subnet, value)
            }
            // Cisco's format: address, mask and six bytes of padding.
            (_, ipnet::IpNet::V4(net)) => {
                let kind = if name == "split-include" {
                    ConfigAttribute::UnitySplitInclude
                } else {
                    ConfigAttribute::UnityLocalLan
                };
                (kind, [net.addr().octets().as_slice(), &net.netmask().octets(), &[0; 6]].concat())
            }
            (_, ipnet::IpNet::V6(_)) => return None,
        };
        return Some(ConfigAttr { kind, value });
    }
    let address: IpAddr = text.parse().ok()?;
    let kind = match (name, address.is_ipv4()) {
        ("dns", true) => ConfigAttribute::Ip4Dns,
        ("dns", false) => ConfigAttribute::Ip6Dns,
        ("nbns", true) => ConfigAttribute::Ip4Nbns,
        ("nbns", false) => ConfigAttribute::Ip6Nbns,
        ("dhcp", true) => ConfigAttribute::Ip4Dhcp,
        ("dhcp", false) => ConfigAttribute::Ip6Dhcp,
        ("server", true) => ConfigAttribute::Ip4Server,
        ("server", false) => ConfigAttribute::Ip6Server,
        ("p-cscf", true) => ConfigAttribute::PCscfIp4,
        ("p-cscf", false) => ConfigAttribute::PCscfIp6,
        ("netmask", true) => ConfigAttribute::Ip4Netmask,
        ("address", true) => ConfigAttribute::Ip4Address,
        ("address", false) => ConfigAttribute::Ip6Address,
        _ => return None,
    };
    Some(ConfigAttr { kind, value: octets(address) })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
