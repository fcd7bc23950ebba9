//! Whom we answer for, and to whom: nothing here speaks to anybody.
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use wire::neighbour::{ArpRequest, Mac, Solicitation, solicited_node};

/// An interface to a LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lan {
    pub(super) interface: u32,
    pub(super) mac: Mac,
    /// Our addresses there, with their networks.
    pub(super) addresses: Vec<IpNet>,
}

impl Lan {
    fn covers(&self, address: IpAddr) -> bool {
        let single = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        self.addresses.iter().any(|net| !single(net) && net.contains(&address))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// The address advertisements come from: RFC 4861 4.4 wants one of the interface's.
    pub(super) fn source(&self) -> Option<Ipv6Addr> {
        let v6 = self.addresses.iter().filter_map(|net| match net.addr() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        v6.clone().find(Ipv6Addr::is_unicast_link_local).or_else(|| v6.clone().next())
    }
}

/// A client with a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) remote: IpAddr,
    pub(super) addresses: Vec<IpAddr>,
}

/// All tunnels by IKE_SA, and all LANs.
#[derive(Debug, Default)]
pub(super) struct Table {
    holders: BTreeMap<u32, Holder>,
    lans: Vec<Lan>,
}

impl Table {
    pub(super) fn up(&mut self, ike_id: u32, holder: Holder) {
        if holder.addresses.is_empty() {
            self.holders.remove(&ike_id);
        } else {
            self.holders.insert(ike_id, holder);
        }
    }

    pub(super) fn down(&mut self, ike_id: u32) {
        self.holders.remove(&ike_id);
    }

    pub(super) fn moved(&mut self, ike_id: u32, remote: IpAddr) {
        if let Some(holder) = self.holders.get_mut(&ike_id) {
            holder.remote = remote;
        }
    }

    pub(super) fn set_lans(&mut self, lans: Vec<Lan>) {
        self.lans = lans;
    }

    /// Some client has an address of some LAN, of this family.
    pub(super) fn matters(&self, v4: bool) -> bool {
        self.covered().any(|(_, address)| address.is_ipv4() == v4)
    }

    fn covered(&self) -> impl Iterator<Item = (&Lan, IpAddr)> {
        let addresses = self.holders.values().flat_map(|holder| &holder.addresses);
        addresses.flat_map(|address| {
            self.lans.iter().filter(|lan| lan.covers(*address)).map(|lan| (lan, *address))
        })
    }

    /// Groups whose solicitations we must hear.
    pub(super) fn groups(&self) -> BTreeSet<(u32, Ipv6Addr)> {
        self.covered()
            .filter_map(|(lan, address)| match address {
                IpAddr::V6(address) => Some((lan.interface, solicited_node(address))),
                IpAddr::V4(_) => None,
            })
            .collect()
    }

    /// The LAN on which this question is answered.
    fn answers(&self, interface: u32, sender_mac: Mac, sender: IpAddr, target: IpAddr) -> Option<&Lan> {
        let lan = self.lans.iter().find(|lan| lan.interface == interface)?;
        // Announcements and our own questions; what is ours, the kernel answers.
        if sender == target || sender_mac == lan.mac || lan.has(target) || !lan.covers(target) {
            return None;
        }
        let mut holders = self.holders.values().filter(|h| h.addresses.contains(&target)).peekable();
        holders.peek()?;
        let probe = sender.is_unspecified();
        if !probe && !lan.covers(sender) && !is_link_local(sender) {
            return None;
        }
        for holder in holders {
            // The client itself may sit on this LAN: it must not hear that its own address is somebody else's.
            let here = lan.covers(holder.remote) || is_link_local(holder.remote);
            if (probe && here) || sender == holder.remote {
                return None;
            }
        }
        Some(lan)
    }

    /// The reply to an ARP request.
    pub(super) fn arp(&self, interface: u32, request: &ArpRequest) -> Option<Vec<u8>> {
        let lan =
            self.answers(interface, request.sender_mac, request.sender.into(), request.target.into())?;
        Some(request.reply(lan.mac))
    }

    /// The advertisement for a solicitation, and the Ethernet address it goes to.
    pub(super) fn advertisement(
        &self,
        interface: u32,
        from: Mac,
        asked: &Solicitation,
    ) -> Option<(Mac, Vec<u8>)> {
        let sender = asked.source_mac.unwrap_or(from);
        let lan = self.answers(interface, sender, asked.source.into(), asked.target.into())?;
        Some((asked.answer_to(from), asked.advertisement(lan.mac, lan.source()?)))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 9];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn table() -> Table {
        let mut table = Table::default();
        let lan = |interface, mac, nets: &[&str]| Lan {
            interface,
            mac,
            addresses: nets.iter().map(|net| net.parse().unwrap()).collect(),
        };
        table.set_lans(vec![
            lan(2, OURS, &["10.1.0.1/16", "fd01::1/64", "fe80::1/64"]),
            lan(3, [2, 0, 0, 0, 0, 2], &["192.0.2.1/24", "10.1.9.9/32"]),
        ]);
        let addresses = vec![ip("10.1.0.50"), ip("fd01::50")];
        table.up(1, Holder { remote: ip("192.0.2.2"), addresses });
        table
    }

    fn arp(table: &Table, interface: u32, sender: &str, target: &str) -> bool {
        let request = ArpRequest {
            sender_mac: THEIRS,
            sender: sender.parse().unwrap(),
            target: target.parse().unwrap(),
        };
        table.arp(interface, &request).is_some()
    }

    fn ndp(table: &Table, source: &str, target: &str) -> bool {
        let asked = Solicitation {
            source: source.parse().unwrap(),
            target: target.parse().unwrap(),
            source_mac: None,
        };
        table.advertisement(2, THEIRS, &asked).is_some()
    }

    #[test]
    fn the_lan_hears_who_has_a_clients_address() {
        let table = table();
        assert!(table.matters(true) && table.matters(false));
        assert!(arp(&table, 2, "10.1.0.10", "10.1.0.50") && ndp(&table, "fe80::9", "fd01::50"));
        assert_eq!(table.groups(), [(2, "ff02::1:ff00:50".parse().unwrap())].into());
        // Another host's duplicate address detection: the address is in use.
        assert!(arp(&table, 2, "0.0.0.0", "10.1.0.50") && ndp(&table, "::", "fd01::50"));
    }

    #[test]
    fn nobody_else_hears_anything() {
        let table = table();
        assert!(!arp(&table, 2, "10.1.0.10", "10.1.0.51"), "nobody's address");
        assert!(!arp(&table, 2, "10.1.0.10", "10.1.0.1"), "our own");
        assert!(!arp(&table, 3, "192.0.2.9", "10.1.0.50"), "on another network");
        assert!(!arp(&table, 9, "10.1.0.10", "10.1.0.50"), "on an unknown interface");
        assert!(!arp(&table, 2, "10.1.0.50", "10.1.0.50"), "an announcement");
        assert!(!arp(&table, 2, "172.16.0.1", "10.1.0.50"), "a sender of elsewhere");
        let own =
            ArpRequest { sender_mac: OURS, sender: [10, 1, 0, 1].into(), target: [10, 1, 0, 50].into() };
        assert!(table.arp(2, &own).is_none(), "our own question");
    }

    #[test]
    fn a_client_on_the_lan_does_not_hear_that_its_address_is_taken() {
        let mut table = table();
        table.moved(1, ip("10.1.0.77"));
        assert!(!arp(&table, 2, "0.0.0.0", "10.1.0.50") && !arp(&table, 2, "10.1.0.77", "10.1.0.50"));
        assert!(arp(&table, 2, "10.1.0.10", "10.1.0.50"));
        table.moved(1, ip("fe80::77"));
        assert!(!ndp(&table, "::", "fd01::50") && ndp(&table, "fe80::9", "fd01::50"));
    }

    #[test]
    fn an_address_is_answered_for_until_its_last_ike_sa_is_gone() {
        let mut table = table();
        table.up(2, Holder { remote: ip("192.0.2.2"), addresses: vec![ip("10.1.0.50")] });
        table.down(1);
        assert!(arp(&table, 2, "10.1.0.10", "10.1.0.50") && !table.matters(false));
        table.down(2);
        assert!(!arp(&table, 2, "10.1.0.10", "10.1.0.50") && !table.matters(true));
        assert!(table.groups().is_empty());
    }
}
