//! Configuration payloads: asking for and handing out addresses and attributes (RFC 7296 3.15).
use policy::VirtualIp;
use policy::attribute::KEYWORDS;
use std::net::{IpAddr, Ipv6Addr};
use wire::iana::{ConfigAttribute, ConfigType};
use wire::ike::{ConfigAttr, Cp};

/// Most attributes of a peer we look at.
const MAX: usize = 64;
/// Octets of all attributes in one response: with a certificate beside them it stays below the 10000 octets that
/// charon takes at most (`charon.max_packet`).
const MOST: usize = 6_144;

/// Most addresses that are installed for one IKE_SA.
const ADDRESSES: usize = 16;

/// The initiator's request for these addresses; unspecified ones mean any of their family. `dns`: for DNS servers,
/// too, and the domains they are wanted for (none: whatever there are). `p_cscf`: for P-CSCF servers, too.
pub(crate) fn request(vips: &[VirtualIp], dns: Option<&[String]>, p_cscf: bool) -> Option<Cp> {
    if vips.is_empty() {
        return None;
    }
    let mut attributes: Vec<ConfigAttr> = vips.iter().map(|v| wanted_address(*v)).collect();
    let empty = |kind| ConfigAttr { kind, value: Vec::new() };
    // Servers of the families of the addresses.
    let servers = |v4: ConfigAttribute, v6: ConfigAttribute| {
        let kinds = [(true, v4), (false, v6)].into_iter();
        kinds.filter(|(v4, _)| vips.iter().any(|v| v.is_ipv4() == *v4)).map(move |(_, kind)| empty(kind))
    };
    if let Some(domains) = dns {
        attributes.extend(servers(ConfigAttribute::Ip4Dns, ConfigAttribute::Ip6Dns));
        // RFC 8598 3.1: "The INTERNAL_DNS_DOMAIN attribute sent by the initiator is usually empty but MAY contain a
        // suggested domain name."
        let kind = ConfigAttribute::DnsDomain;
        attributes.extend(domains.iter().map(|name| ConfigAttr { kind, value: name.as_bytes().to_vec() }));
        if domains.is_empty() {
            attributes.push(empty(kind));
        }
    }
    if p_cscf {
        // RFC 7651 3.
        attributes.extend(servers(ConfigAttribute::PCscfIp4, ConfigAttribute::PCscfIp6));
    }
    if vips.iter().any(|v| v.is_prefix()) {
        attributes.push(empty(ConfigAttribute::Ip6Prefix));
    }
    Some(Cp { kind: ConfigType::Request, attributes })
}

/// What to ask for where the IKE_SA before this one had `before`: the same again, where the connection leaves it open.
pub(crate) fn wanted(configured: &[VirtualIp], before: &[VirtualIp]) -> Vec<VirtualIp> {
    let mut left: Vec<VirtualIp> = before.iter().copied().filter(|a| !configured.contains(a)).collect();
    let again = |v: &VirtualIp| {
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

/// Of what a gateway at `peer` gave, what may become ours, and what may not: the gateway's own address would cut us off
/// from it, others mean no single host, and more than [`ADDRESSES`] are too many.
pub(crate) fn acceptable(given: Vec<VirtualIp>, peer: IpAddr) -> (Vec<VirtualIp>, Vec<VirtualIp>) {
    let host = |v: &VirtualIp| {
        let a = v.address();
        let broadcast = matches!(a, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets().first() == Some(&0));
        let mapped = matches!(a, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let nobody = a.is_unspecified() || a.is_loopback() || a.is_multicast() || broadcast || mapped;
        !(nobody || v.net().contains(&peer))
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

/// What the gateway gave to us, who have asked for `asked`: addresses, and the other attributes.
///
/// A prefix length that comes with an address is that of the network behind the gateway (RFC 7296 3.15.3 shows one, and
/// charon sends 64): a prefix is ours if we have asked for one, and INTERNAL_IP6_PREFIX names it.
pub(crate) fn given(cp: &Cp, asked: &[VirtualIp]) -> (Vec<VirtualIp>, Vec<ConfigAttr>) {
    let (addresses, rest) = read(cp);
    let wanted = asked.iter().any(|v| v.is_prefix());
    let named = rest.iter().filter(|a| wanted && a.kind == ConfigAttribute::Ip6Prefix);
    let mut prefixes: Vec<VirtualIp> =
        named.filter_map(|a| v6(&a.value)).filter(|v| !v.is_unspecified() && v.is_prefix()).collect();
    let mut ours: Vec<VirtualIp> = Vec::new();
    for v in addresses.into_iter().filter(|v| !v.is_unspecified()) {
        let whole = prefixes.iter().position(|prefix| prefix.net() == v.net()).map(|at| prefixes.remove(at));
        ours.push(if whole.is_some() { v } else { v.address().into() });
    }
    // RFC 5739 4.1: prefixes may come without an address.
    ours.extend(prefixes);
    // The address on the interface is named: the gateway sees it in traffic, and scripts get it.
    let named = |v: VirtualIp| VirtualIp::new(v.host(), v.prefix()).unwrap_or(v);
    (ours.into_iter().map(named).collect(), rest)
}

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Addresses; unspecified ones mean any of their family.
    pub(crate) addresses: Vec<VirtualIp>,
    /// Types of attributes.
    pub(crate) kinds: Vec<ConfigAttribute>,
    /// It has a link of its own to the gateway (RFC 5739), and this interface identifier on it.
    link: Option<[u8; 8]>,
}

/// Reads a client's request.
pub(crate) fn asked(cp: &Cp) -> Asked {
    let (mut addresses, rest) = read(cp);
    let mut kinds: Vec<ConfigAttribute> = rest.iter().map(|a| a.kind).collect();
    let v6 = addresses.iter().any(|v| !v.is_ipv4());
    let has = |kind: ConfigAttribute| rest.iter().find(|a| a.kind == kind);
    let link = has(ConfigAttribute::Ip6Link).filter(|_| !v6);
    if !v6 && (link.is_some() || has(ConfigAttribute::Ip6Prefix).is_some()) {
        // RFC 5739 4.1: who asks for a link or a prefix has no need to ask for an address.
        addresses.extend(VirtualIp::new(Ipv6Addr::UNSPECIFIED.into(), 64));
    }
    if addresses.iter().any(|v| v.is_prefix()) && !kinds.contains(&ConfigAttribute::Ip6Prefix) {
        kinds.push(ConfigAttribute::Ip6Prefix);
    }
    let link = link.map(|a| a.value.first_chunk().copied().unwrap_or_default());
    Asked { addresses, kinds, link }
}

/// The responder's reply to a request. `link_id`: what names a link of RFC 5739.
pub(crate) fn reply(
    asked: &Asked,
    addresses: &[VirtualIp],
    attributes: &[ConfigAttr],
    link_id: u64,
) -> (Cp, usize) {
    let mut all = Vec::new();
    let prefixes = || addresses.iter().filter(|v| v.is_prefix());
    let linked = asked.link.filter(|_| prefixes().next().is_some());
    for v in addresses.iter().filter(|v| linked.is_none() || v.is_ipv4() || !v.is_prefix()) {
        all.push(address(v.host(), v.prefix()));
    }
    if let Some(theirs) = linked {
        // RFC 5739 4.2: our interface identifier, another than the client's, and the name of the link.
        let ours = if theirs == 1u64.to_be_bytes() { 2u64 } else { 1 };
        let value = [ours.to_be_bytes(), link_id.to_be_bytes()].concat();
        all.push(ConfigAttr { kind: ConfigAttribute::Ip6Link, value });
    }
    if asked.kinds.contains(&ConfigAttribute::Ip6Prefix) || linked.is_some() {
        all.extend(prefixes().map(|v| ConfigAttr {
            kind: ConfigAttribute::Ip6Prefix,
            ..address(v.net().network(), v.prefix())
        }));
    }
    if asked.kinds.contains(&ConfigAttribute::SupportedAttributes) {
        all.push(supported());
    }
    let mut room = MOST;
    let mut left_out = 0usize;
    for attribute in attributes {
        match room.checked_sub(attribute.value.len().saturating_add(4)) {
            Some(rest) => {
                room = rest;
                all.push(attribute.clone());
            }
            None => left_out = left_out.saturating_add(1),
        }
    }
    (Cp { kind: ConfigType::Reply, attributes: all }, left_out)
}

/// The answer to a request outside of IKE_AUTH (RFC 7296 2.20): which types there are, and no version.
///
/// A CFG_SET is ignored: its use is not defined, RFC 7296 3.15 lets it be.
pub(crate) fn inform(cp: &Cp) -> Option<Cp> {
    let answer = |kind: ConfigAttribute| match kind {
        ConfigAttribute::SupportedAttributes => Some(supported()),
        ConfigAttribute::ApplicationVersion => Some(ConfigAttr { kind, value: Vec::new() }),
        _ => None,
    };
    if cp.kind != ConfigType::Request {
        return None;
    }
    let kinds: std::collections::BTreeSet<_> = cp.attributes.iter().map(|a| a.kind).collect();
    Some(Cp { kind: ConfigType::Reply, attributes: kinds.into_iter().filter_map(answer).collect() })
}

/// RFC 7296 3.15.1: the types that we can give.
fn supported() -> ConfigAttr {
    let mut kinds: Vec<u16> = KEYWORDS
        .iter()
        .flat_map(|k| std::iter::once(k.v4).chain(k.v6))
        .chain([ConfigAttribute::SupportedAttributes, ConfigAttribute::Ip6Link, ConfigAttribute::Ip6Prefix])
        .map(u16::from)
        .collect();
    kinds.sort_unstable();
    let value = kinds.into_iter().flat_map(u16::to_be_bytes).collect();
    ConfigAttr { kind: ConfigAttribute::SupportedAttributes, value }
}

fn wanted_address(v: VirtualIp) -> ConfigAttr {
    let ConfigAttr { kind, value } = address(v.address(), v.prefix());
    // RFC 7296 3.15.1: "a request … may be zero-length".
    let any = v.is_unspecified() && !v.is_prefix();
    ConfigAttr { kind, value: if any { Vec::new() } else { value } }
}

fn address(v: IpAddr, prefix: u8) -> ConfigAttr {
    match v {
        IpAddr::V4(a) => ConfigAttr { kind: ConfigAttribute::Ip4Address, value: a.octets().to_vec() },
        // RFC 7296 3.15.1: INTERNAL_IP6_ADDRESS is a 16-octet address and a prefix length.
        IpAddr::V6(a) => {
            let mut value = a.octets().to_vec();
            value.push(prefix);
            ConfigAttr { kind: ConfigAttribute::Ip6Address, value }
        }
    }
}

/// Addresses and other attributes of a request or reply; an empty address is the unspecified one.
fn read(cp: &Cp) -> (Vec<VirtualIp>, Vec<ConfigAttr>) {
    let mut addresses = Vec::new();
    let mut rest = Vec::new();
    for a in cp.attributes.iter().take(MAX) {
        let value = a.value.as_slice();
        match a.kind {
            ConfigAttribute::Ip4Address if value.is_empty() => addresses.push(V4_ANY.into()),
            ConfigAttribute::Ip4Address => {
                addresses.extend(<[u8; 4]>::try_from(value).ok().map(|o| VirtualIp::from(IpAddr::from(o))));
            }
            ConfigAttribute::Ip6Address if value.is_empty() => addresses.push(V6_ANY.into()),
            ConfigAttribute::Ip6Address => addresses.extend(v6(value)),
            _ => rest.push(a.clone()),
        }
    }
    (addresses, rest)
}

const V4_ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
const V6_ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// 16 octets of address and the length of its prefix; without a sensible length, the address alone.
fn v6(value: &[u8]) -> Option<VirtualIp> {
    let (octets, rest) = value.split_first_chunk::<16>()?;
    let address = IpAddr::from(*octets);
    let with_length = rest.first().and_then(|length| VirtualIp::new(address, *length));
    Some(with_length.unwrap_or_else(|| address.into()))
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
pub(crate) fn show(v: VirtualIp) -> String {
    match v {
        v if v.is_prefix() => v.to_string(),
        v if v.is_unspecified() && v.is_ipv4() => "%any".to_owned(),
        v if v.is_unspecified() => "%any6".to_owned(),
        v => v.to_string(),
    }
}

#[cfg(test)]
mod tests;
