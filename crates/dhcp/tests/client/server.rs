//! A DHCP server with moods.
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// It.
pub(crate) struct Server {
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The first address it gives away.
    pub(crate) first: Ipv4Addr,
    /// Lease time.
    pub(crate) seconds: u32,
    /// Answers requests with ACK.
    pub(crate) confirms: bool,
    /// Answers requests with NAK.
    pub(crate) refuses: bool,
    /// Also those that are for other servers.
    pub(crate) answers_for_others: bool,
    /// Offers the first address to everybody.
    pub(crate) forgetful: bool,
    /// Who has what, by hardware address.
    pub(crate) leases: BTreeMap<[u8; 6], Ipv4Addr>,
    offers: BTreeMap<[u8; 6], Ipv4Addr>,
    declined: BTreeSet<Ipv4Addr>,
    /// Kinds of messages, as they came.
    pub(crate) heard: Vec<u8>,
}

/// An option of a message.
fn option(message: &[u8], code: u8) -> Option<&[u8]> {
    let mut rest = message.get(240..)?;
    loop {
        match rest {
            [0, ..] => rest = &rest[1..],
            [255, ..] | [] | [_] => return None,
            [found, length, ..] => {
                let value = rest.get(2..2 + usize::from(*length))?;
                if *found == code {
                    return Some(value);
                }
                rest = &rest[2 + usize::from(*length)..];
            }
        }
    }
}

/// Its kind.
pub(crate) fn kind(message: &[u8]) -> u8 {
    option(message, 53).unwrap()[0]
}

/// A request that echoes.
pub(crate) fn request(message: &[u8]) -> Vec<u8> {
    let mut echo = message.to_vec();
    echo[0] = 2;
    echo
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from).filter(|a| !a.is_unspecified())
}

impl Server {
    /// A good one.
    pub(crate) fn new(address: Ipv4Addr) -> Self {
        Self {
            address,
            first: Ipv4Addr::new(10, 1, 0, 50),
            seconds: 120,
            confirms: true,
            refuses: false,
            answers_for_others: false,
            forgetful: false,
            leases: BTreeMap::new(),
            offers: BTreeMap::new(),
            declined: BTreeSet::new(),
            heard: vec![],
        }
    }

    fn pick(&self, who: [u8; 6], wish: Option<Ipv4Addr>) -> Ipv4Addr {
        if self.forgetful {
            return self.first;
        }
        if let Some(own) = self.leases.get(&who) {
            return *own;
        }
        let given: BTreeSet<_> = self.leases.values().chain(self.offers.values()).collect();
        let free = |a: &Ipv4Addr| !given.contains(a) && !self.declined.contains(a);
        let first = u32::from(self.first);
        wish.filter(free)
            .or_else(|| (first..first.saturating_add(5000)).map(Ipv4Addr::from).find(free))
            .unwrap_or(self.first)
    }

    /// A message; its answer.
    pub(crate) fn hear(&mut self, to: Ipv4Addr, message: &[u8]) -> Option<Vec<u8>> {
        if to != self.address && !to.is_broadcast() {
            return None;
        }
        let who: [u8; 6] = message[28..34].try_into().unwrap();
        let (kind, wish) = (kind(message), option(message, 50).and_then(address));
        let holds = address(&message[12..16]);
        self.heard.push(kind);
        let chosen = option(message, 54).and_then(address);
        let for_us = chosen.is_none_or(|chosen| chosen == self.address);
        let (answer, yours) = match kind {
            1 => {
                self.offers.remove(&who);
                let offer = self.pick(who, wish);
                self.offers.insert(who, offer);
                (2, offer)
            }
            3 if !for_us && !self.answers_for_others => return None,
            3 if self.refuses => (6, Ipv4Addr::UNSPECIFIED),
            3 if !self.confirms => return None,
            3 => {
                let wish = wish.or(holds).unwrap();
                self.offers.remove(&who);
                self.leases.insert(who, wish);
                (5, wish)
            }
            4 => {
                self.leases.remove(&who);
                self.offers.remove(&who);
                self.declined.extend(wish);
                return None;
            }
            7 => {
                assert!(holds.is_some() && chosen == Some(self.address));
                self.leases.remove(&who);
                return None;
            }
            other => panic!("message {other}"),
        };
        let mut bytes = message[..240].to_vec();
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&yours.octets());
        bytes.extend([53, 1, answer, 54, 4]);
        bytes.extend(self.address.octets());
        if answer != 6 {
            bytes.extend([51, 4]);
            bytes.extend(self.seconds.to_be_bytes());
            bytes.extend([6, 4, 10, 1, 0, 20]);
        }
        bytes.push(255);
        Some(bytes)
    }
}
