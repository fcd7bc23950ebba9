//! Virtual addresses and attributes for clients, from the pools in memory and from RADIUS.
use crate::asks::radius::Handle as Radius;
use crate::conf::Conf;
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use ike::io::{Answer, Group, LeaseRequest, Ticket};
use policy::Identity;
use pool::Pools;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// The pools, shared with the control commands that load and list them.
pub(crate) type SharedPools = Arc<Mutex<Pools>>;

/// The name of the pool that is the RADIUS server's.
const RADIUS: &str = "radius";

/// Leases addresses.
#[derive(Clone)]
pub(crate) struct Leases {
    pools: SharedPools,
    /// Attributes for every client (`charon.dns1`, `charon.plugins.attr`).
    global: Arc<arc_swap::ArcSwap<Vec<ConfigAttr>>>,
    log: Arc<Log>,
    radius: Radius,
    shard: Shard,
}

impl Leases {
    pub(crate) fn new(
        pools: SharedPools,
        global: Arc<arc_swap::ArcSwap<Vec<ConfigAttr>>>,
        log: Arc<Log>,
        (radius, shard): (Radius, Shard),
    ) -> Self {
        Self { pools, global, log, radius, shard }
    }

    /// Answers at once, or, where RADIUS has a say, when it has said it.
    pub(crate) fn start(&self, ticket: Ticket, request: LeaseRequest) -> Option<Answer> {
        let Some(at) = request.pools.iter().position(|name| name == RADIUS) else {
            return Some(self.lease(&request));
        };
        let leases = self.clone();
        tokio::spawn(async move {
            let framed = leases.radius.framed(request.ike_id).await;
            let answer = leases.framed(request, at, &framed);
            leases.shard.answer(ticket, answer).await;
        });
        None
    }

    /// What the RADIUS server gives; for what it does not give, the other pools.
    fn framed(&self, mut request: LeaseRequest, at: usize, framed: &radius::relay::Framed) -> Answer {
        let mut rest = request.clone();
        rest.pools.remove(at);
        let mut given = Vec::new();
        let mut offered = framed.addresses.clone();
        request.requested.retain(|wanted| {
            let found = offered.iter().position(|a| a.is_ipv4() == wanted.is_ipv4());
            given.extend(found.map(|at| offered.remove(at)));
            found.is_none()
        });
        if given.is_empty() {
            return self.lease(&rest);
        }
        let mut attributes = Vec::new();
        for (name, addresses) in [("dns", &framed.dns), ("nbns", &framed.nbns)] {
            attributes.extend(addresses.iter().filter_map(|a| attribute(name, &a.to_string())));
        }
        if let Some(IpAddr::V4(mask)) = framed.netmask {
            attributes.push(ConfigAttr { kind: ConfigAttribute::Ip4Netmask, value: mask.octets().to_vec() });
        }
        let text = |kind: ConfigAttribute, text: &Option<String>| {
            text.as_ref().map(|text| ConfigAttr { kind, value: text.as_bytes().to_vec() })
        };
        attributes.extend(text(ConfigAttribute::UnityBanner, &framed.banner));
        attributes.extend(text(ConfigAttribute::UnityDefDomain, &framed.domain));
        attributes.extend(text(ConfigAttribute::UnitySplitDnsName, &framed.split_dns));
        rest.requested = request.requested;
        if rest.requested.is_empty() {
            rest.pools.clear();
        }
        match self.lease(&rest) {
            Answer::Leased { addresses, attributes: more } => {
                given.extend(addresses);
                attributes.extend(more);
                for attribute in self.global.load().iter() {
                    if !attributes.contains(attribute) {
                        attributes.push(attribute.clone());
                    }
                }
                Answer::Leased { addresses: given, attributes }
            }
            other => other,
        }
    }

    pub(crate) fn lease(&self, request: &LeaseRequest) -> Answer {
        let ike = Some((request.connection.clone(), request.ike_id));
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let offline = |pools: &Pools| -> usize {
            request.pools.iter().filter_map(|name| pools.get(name)).map(pool::Pool::offline).sum()
        };
        let before = offline(&pools);
        let mine = |pools: &Pools, address: IpAddr| {
            request
                .pools
                .iter()
                .filter_map(|name| pools.get(name))
                .any(|p| p.user(address) == Some(&request.identity))
        };
        let held: Vec<IpAddr> = request.requested.iter().copied().filter(|a| mine(&pools, *a)).collect();
        let granted = pools.lease(&request.pools, &request.identity, &request.requested);
        let mut known = before.saturating_sub(offline(&pools));
        drop(pools);
        for address in &granted.addresses {
            let verb = if held.contains(address) {
                "reassigning online"
            } else if known > 0 {
                known = known.saturating_sub(1);
                "reassigning offline"
            } else {
                "assigning new"
            };
            let text = format!("{verb} lease to '{}'", request.identity);
            self.log.line(Voice::Engine, Group::Cfg, 1, ike.clone(), text);
        }
        for name in request.pools.iter().filter(|name| !self.exists(name)) {
            let text = format!("there is no pool '{name}'");
            self.log.line(Voice::Engine, Group::Cfg, 1, ike.clone(), text);
        }
        if granted.addresses.len() < request.requested.len() && !request.pools.is_empty() {
            let text = format!(
                "pools '{}' could serve {} of {} requested virtual IPs for '{}'",
                request.pools.join(", "),
                granted.addresses.len(),
                request.requested.len(),
                request.identity
            );
            self.log.line(Voice::Engine, Group::Cfg, 1, ike, text);
        }
        let mut attributes = granted.attributes;
        // As charon: attributes go only to who gets an address.
        if !granted.addresses.is_empty() {
            for attribute in self.global.load().iter() {
                if !attributes.contains(attribute) {
                    attributes.push(attribute.clone());
                }
            }
        }
        Answer::Leased { addresses: granted.addresses, attributes }
    }

    pub(crate) fn release(&self, names: &[String], identity: &Identity, addresses: &[IpAddr]) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for address in addresses {
            if pools.release(names, identity, *address) {
                let text = format!("lease {address} by '{identity}' went offline");
                self.log.say(Voice::Engine, Group::Cfg, 1, text);
            }
        }
    }

    fn exists(&self, name: &str) -> bool {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).get(name).is_some()
    }
}

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

/// One attribute from its keyword (or number) and value.
fn attribute(name: &str, text: &str) -> Option<ConfigAttr> {
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
