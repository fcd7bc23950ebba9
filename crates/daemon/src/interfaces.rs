//! `interfaces_use` and `interfaces_ignore`: which of our addresses IKE is not spoken on.
use crate::conf::Conf;
use crate::observers::log::{Log, Voice};
use ike::io::Group;
use linux::netlink::Netlink;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Names of interfaces, as configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interfaces {
    /// Only these, where there are any.
    only: Vec<String>,
    ignore: Vec<String>,
}

impl Interfaces {
    pub(crate) fn new(conf: &Conf) -> Self {
        let network = conf.network();
        Self { only: network.interfaces_use.clone(), ignore: network.interfaces_ignore.clone() }
    }

    /// Whether IKE is spoken on an interface.
    fn usable(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|listed| listed == name);
        // As in charon: with a list of those to use, the other list does not matter.
        if self.only.is_empty() { !listed(&self.ignore) } else { listed(&self.only) }
    }

    /// The addresses IKE is not spoken on, now.
    pub(crate) fn ignored(&self, log: &Log) -> BTreeSet<IpAddr> {
        if self.only.is_empty() && self.ignore.is_empty() {
            return BTreeSet::new();
        }
        let find = || -> linux::Result<BTreeSet<IpAddr>> {
            let mut netlink = Netlink::open()?;
            let links = netlink.links()?;
            let unusable: BTreeSet<u32> =
                links.iter().filter(|link| !self.usable(&link.name)).map(|link| link.index).collect();
            let addresses = netlink.addresses()?;
            Ok(addresses.iter().filter(|a| unusable.contains(&a.interface)).map(|a| a.address).collect())
        };
        find().unwrap_or_else(|e| {
            log.say(Voice::Plane, Group::Knl, 1, e.to_string());
            BTreeSet::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::tree::Section;
    use vici::Message;

    fn interfaces(key: &str, names: &str) -> Interfaces {
        let (mut root, mut charon) = (Section::default(), Section::default());
        charon.put(key, names);
        root.put_section("charon", charon);
        Interfaces::new(&Conf::new(&root))
    }

    #[test]
    fn listed_names() {
        let some = interfaces("interfaces_use", "eth0, wlan0");
        assert!(some.usable("wlan0") && !some.usable("lo"));
        let others = interfaces("interfaces_ignore", "eth0,wlan0");
        assert!(!others.usable("wlan0") && others.usable("lo"));
        assert!(Interfaces::default().usable("lo"));
    }
}
