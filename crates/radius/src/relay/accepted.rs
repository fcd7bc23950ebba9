//! What an Access-Accept says about the session.
use super::{RelayOptions, forward, printable};
use crate::client::{Reply, ServerId};
use crate::prefix;
use crypto::Secret;
use ipnet::Ipv6Net;
use std::net::{IpAddr, Ipv4Addr};
use wire::iana::{MicrosoftType, RadiusType};
use wire::radius::{Attribute, Packet, vendors};

/// Tunnel-Type of ESP (RFC 2868 3.1).
const ESP: u32 = 9;
/// Attributes of one kind that are taken; a packet holds some hundred at most.
const MANY: usize = 32;

/// The peer is accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// EAP-Success.
    pub packet: Vec<u8>,
    /// Key of the method, where it makes one.
    pub msk: Option<Secret>,
    /// The method proves the server, too.
    pub mutual: bool,
    /// Groups of the peer.
    pub groups: Vec<String>,
    /// User-Name that the server wants in the records.
    pub user: Option<String>,
    /// Class, to be given back in the records.
    pub class: Vec<Vec<u8>>,
    /// Session-Timeout: seconds that the session may last.
    pub session_timeout: Option<u64>,
    /// Acct-Interim-Interval: seconds between records.
    pub interim: Option<u64>,
    /// Addresses and what goes with them.
    pub framed: Framed,
    /// Attributes for the peer, with type and length.
    pub to_peer: Vec<Vec<u8>>,
    /// Who said it.
    pub server: ServerId,
    /// What to log: charon's level and text.
    pub log: Vec<(i8, String)>,
}

/// What the client's inside shall look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Framed {
    /// Framed-IP-Address and Framed-IPv6-Address.
    pub addresses: Vec<IpAddr>,
    /// Framed-IPv6-Prefix, then Delegated-IPv6-Prefix.
    pub prefixes: Vec<Ipv6Net>,
    /// Framed-IP-Address 255.255.255.255: the client may have the IPv4 address that it asks for.
    pub client_chooses: bool,
    /// Framed-Pool and Framed-IPv6-Pool: names of the gateway's pools.
    pub pools: Vec<String>,
    /// Framed-IP-Netmask.
    pub netmask: Option<IpAddr>,
    /// Name servers: DNS-Server-IPv6-Address, MS-Primary- and -Secondary-DNS-Server, CVPN3000-Primary- and -Secondary-DNS.
    pub dns: Vec<IpAddr>,
    /// WINS servers, likewise.
    pub nbns: Vec<IpAddr>,
    /// CVPN3000-IPSec-Banner1 and 2.
    pub banner: Option<String>,
    /// CVPN3000-IPSec-Default-Domain.
    pub domain: Option<String>,
    /// CVPN3000-IPSec-Split-DNS-Names.
    pub split_dns: Option<String>,
    /// CVPN3000-IPSec-Split-Tunneling-Policy: 1 only, 2 all but, the list.
    pub split_policy: Option<u32>,
    /// CVPN3000-IPSec-Split-Tunnel-List.
    pub split_list: Option<String>,
}

impl Accepted {
    pub(super) fn read(
        reply: &Reply,
        options: &RelayOptions,
        eap: Vec<u8>,
        msk: Option<Secret>,
        mutual: bool,
    ) -> Self {
        let packet = &reply.packet;
        let mut log = Vec::new();
        let class: Vec<Vec<u8>> =
            packet.all(RadiusType::Class).take(MANY).map(|class| class.value.clone()).collect();
        let mut groups = Vec::new();
        let mut group = |attribute: &Attribute, log: &mut Vec<(i8, String)>| match attribute.as_text() {
            Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
                log.push((1, format!("received group membership '{text}' from RADIUS")));
                groups.push(text.to_owned());
            }
            // Microsoft's servers put binary in Class.
            _ => {}
        };
        if options.class_group {
            packet.all(RadiusType::Class).take(MANY).for_each(|class| group(class, &mut log));
        }
        let esp = packet
            .all(RadiusType::TunnelType)
            .filter_map(Attribute::as_tagged_number)
            .any(|tunnel| tunnel.value == ESP);
        if options.filter_id && esp {
            packet.all(RadiusType::FilterId).take(MANY).for_each(|filter| group(filter, &mut log));
        }
        let positive = |kind| packet.number(kind).filter(|seconds| *seconds > 0).map(u64::from);
        let user = packet.text(RadiusType::UserName).map(printable).filter(|user| !user.is_empty());
        let framed = framed(packet);
        let prefixes = framed.prefixes.iter().map(ToString::to_string);
        let list: Vec<String> = framed.addresses.iter().map(ToString::to_string).chain(prefixes).collect();
        if !list.is_empty() {
            log.push((2, format!("received address {} from RADIUS", list.join(", "))));
        }
        if !framed.pools.is_empty() {
            log.push((2, format!("received pool {} from RADIUS", framed.pools.join(", "))));
        }
        Self {
            packet: eap,
            msk,
            mutual,
            groups,
            user,
            class,
            session_timeout: positive(RadiusType::SessionTimeout),
            interim: positive(RadiusType::AcctInterimInterval),
            framed,
            to_peer: forward::to_peer(packet, &options.to_peer),
            server: reply.server,
            log,
        }
    }
}

/// CVPN3000's types, of the vendor that Cisco's VPN concentrators came from.
mod altiga {
    pub(super) const PRIMARY_DNS: u8 = 5;
    pub(super) const SECONDARY_DNS: u8 = 6;
    pub(super) const PRIMARY_WINS: u8 = 7;
    pub(super) const SECONDARY_WINS: u8 = 8;
    pub(super) const BANNER1: u8 = 15;
    pub(super) const SPLIT_LIST: u8 = 27;
    pub(super) const DEFAULT_DOMAIN: u8 = 28;
    pub(super) const SPLIT_DNS: u8 = 29;
    pub(super) const BANNER2: u8 = 36;
    pub(super) const SPLIT_POLICY: u8 = 55;
}

fn framed(packet: &Packet) -> Framed {
    let mut out = Framed::default();
    let (mut framed, mut delegated) = (Vec::new(), Vec::new());
    for attribute in &packet.attributes {
        let address = attribute.as_address();
        match (attribute.kind, address) {
            // RFC 2865 5.8: 255.255.255.255 lets the user choose, 255.255.255.254 the NAS.
            (RadiusType::FramedIpAddress, Some(IpAddr::V4(Ipv4Addr::BROADCAST))) => out.client_chooses = true,
            (RadiusType::FramedIpAddress, Some(IpAddr::V4(v4)))
                if v4.octets() != [255, 255, 255, 254] && !v4.is_unspecified() =>
            {
                out.addresses.push(v4.into());
            }
            (RadiusType::FramedIpv6Prefix, _) => framed.extend(prefix::read(attribute)),
            (RadiusType::DelegatedIpv6Prefix, _) => delegated.extend(prefix::read(attribute)),
            (RadiusType::FramedPool | RadiusType::FramedIpv6Pool, _) => {
                let name = attribute.as_text().map(printable).filter(|name| !name.is_empty());
                out.pools.extend(name.filter(|name| !out.pools.contains(name)));
            }
            (RadiusType::FramedIpv6Address, Some(v6 @ IpAddr::V6(_))) => out.addresses.push(v6),
            (RadiusType::FramedIpNetmask, Some(mask @ IpAddr::V4(_))) => out.netmask = Some(mask),
            (RadiusType::DnsServerIpv6Address, Some(v6 @ IpAddr::V6(_))) => out.dns.push(v6),
            _ => {}
        }
    }
    for attribute in packet.vendor(vendors::MICROSOFT) {
        let Some(address) = v4(&attribute.value) else { continue };
        match MicrosoftType::from(attribute.kind) {
            MicrosoftType::PrimaryDnsServer | MicrosoftType::SecondaryDnsServer => out.dns.push(address),
            MicrosoftType::PrimaryNbnsServer | MicrosoftType::SecondaryNbnsServer => out.nbns.push(address),
            _ => {}
        }
    }
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(printable);
    for attribute in packet.vendor(vendors::ALTIGA) {
        let value = attribute.value.as_slice();
        match attribute.kind {
            altiga::PRIMARY_DNS | altiga::SECONDARY_DNS => out.dns.extend(v4(value)),
            altiga::PRIMARY_WINS | altiga::SECONDARY_WINS => out.nbns.extend(v4(value)),
            altiga::BANNER1 => out.banner = text(value),
            altiga::BANNER2 => {
                let more = text(value).unwrap_or_default();
                out.banner = Some(out.banner.unwrap_or_default() + &more);
            }
            altiga::DEFAULT_DOMAIN => out.domain = text(value),
            altiga::SPLIT_DNS => out.split_dns = text(value),
            altiga::SPLIT_LIST => out.split_list = text(value),
            altiga::SPLIT_POLICY => {
                out.split_policy = <[u8; 4]>::try_from(value).ok().map(u32::from_be_bytes);
            }
            _ => {}
        }
    }
    out.prefixes = framed;
    out.prefixes.append(&mut delegated);
    out.prefixes.truncate(MANY);
    out.pools.truncate(MANY);
    out.addresses.truncate(MANY);
    out.dns.truncate(MANY);
    out.nbns.truncate(MANY);
    out
}

fn v4(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value).ok().map(IpAddr::from)
}
