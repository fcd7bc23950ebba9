//! The virtual network: delay, loss, duplication, damage, reordering, cuts, an MTU, and NATs.
use crate::dice::Dice;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Datagrams under way at most; more are lost.
const MAX_IN_FLIGHT: usize = 4096;

/// Datagrams that somebody in the middle remembers.
const OVERHEARD: usize = 64;

/// How the network behaves.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Lost, per mille.
    pub loss: u64,
    /// Delivered twice, per mille.
    pub duplicate: u64,
    /// One byte changed, per mille.
    pub damage: u64,
    /// Shortest and longest delay in ms; the spread reorders.
    pub delay: (u64, u64),
    /// Longest UDP payload that gets through.
    pub mtu: usize,
}

impl Weather {
    /// Nothing is lost and nothing changes.
    pub const FAIR: Self = Self { loss: 0, duplicate: 0, damage: 0, delay: (5, 40), mtu: 65_535 };
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// As the receiver will see it.
    pub from: SocketAddr,
    /// Where it goes, as the sender addressed it.
    pub to: SocketAddr,
    /// UDP payload (without non-ESP marker).
    pub bytes: Vec<u8>,
}

/// A NAT: hosts inside share one public address. Mappings do not depend on the destination.
#[derive(Debug, Clone)]
pub struct Nat {
    /// The address outside.
    pub public: IpAddr,
    /// Addresses inside.
    pub inside: Vec<IpAddr>,
    /// Inside to public port, in both directions.
    ports: BTreeMap<SocketAddr, u16>,
    next_port: u16,
}

impl Nat {
    /// Without mappings.
    #[must_use]
    pub fn new(public: IpAddr, inside: Vec<IpAddr>) -> Self {
        Self { public, inside, ports: BTreeMap::new(), next_port: 20_000 }
    }

    /// Forgets all mappings; the next datagram gets a new port, and what comes to the old ones is lost.
    pub fn rebind(&mut self) {
        self.ports.clear();
    }

    fn outward(&mut self, from: SocketAddr) -> SocketAddr {
        let next = &mut self.next_port;
        let port = *self.ports.entry(from).or_insert_with(|| {
            *next = next.checked_add(1).unwrap_or(20_000);
            *next
        });
        SocketAddr::new(self.public, port)
    }

    fn inward(&self, port: u16) -> Option<SocketAddr> {
        self.ports.iter().find(|(_, p)| **p == port).map(|(inside, _)| *inside)
    }
}

/// The network.
#[derive(Debug)]
pub struct Network {
    /// Now; change it at will.
    pub weather: Weather,
    /// The NATs.
    pub nats: Vec<Nat>,
    /// Addresses cut off until then (ms).
    cuts: BTreeMap<IpAddr, u64>,
    flights: BTreeMap<(u64, u64), Flight>,
    sent: u64,
    /// The last ones sent, for somebody in the middle.
    overheard: VecDeque<Flight>,
    dice: Dice,
}

impl Network {
    /// Empty, in fair weather.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            weather: Weather::FAIR,
            nats: Vec::new(),
            cuts: BTreeMap::new(),
            flights: BTreeMap::new(),
            sent: 0,
            overheard: VecDeque::new(),
            dice: Dice::new(seed, 1),
        }
    }

    /// Nothing from or to `address` gets through until `until` (ms).
    pub fn cut(&mut self, address: IpAddr, until: u64) {
        self.cuts.insert(address, until);
    }

    /// Fair weather, no cuts.
    pub fn heal(&mut self) {
        self.weather = Weather::FAIR;
        self.cuts.clear();
    }

    /// Whether `address` is cut off at `now`.
    #[must_use]
    pub fn is_cut(&self, address: IpAddr, now: u64) -> bool {
        self.cuts.get(&address).is_some_and(|until| now < *until)
    }

    /// Takes a datagram off a sender's hands.
    pub fn send(&mut self, now: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let seen_from = self.outside(from);
        if self.is_cut(from.ip(), now)
            || bytes.len() > self.weather.mtu
            || self.dice.chance(self.weather.loss)
        {
            return;
        }
        let copies = if self.dice.chance(self.weather.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut bytes = bytes.to_vec();
            if self.dice.chance(self.weather.damage)
                && let Some(at) = self.dice.index(bytes.len())
            {
                bytes[at] ^= 1 << self.dice.below(8);
            }
            let flight = Flight { from: seen_from, to, bytes };
            if self.overheard.len() == OVERHEARD {
                self.overheard.pop_front();
            }
            self.overheard.push_back(flight.clone());
            self.launch(now, flight);
        }
    }

    /// Puts a datagram on the way as somebody in the middle would.
    pub fn launch(&mut self, now: u64, flight: Flight) {
        if self.flights.len() >= MAX_IN_FLIGHT {
            return;
        }
        self.sent += 1;
        let (low, high) = self.weather.delay;
        self.flights.insert((now + self.dice.range(low, high), self.sent), flight);
    }

    /// The last datagrams sent, as somebody in the middle saw them.
    #[must_use]
    pub fn overheard(&self) -> Vec<Flight> {
        self.overheard.iter().cloned().collect()
    }

    /// When the next one arrives (ms).
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.flights.keys().next().map(|(at, _)| *at)
    }

    /// The next one that has arrived by `now`: where it ends up, and itself. `Some(None)`: it was lost at the end
    /// of the way (no NAT mapping, a cut).
    pub fn arrive(&mut self, now: u64) -> Option<Option<(SocketAddr, Flight)>> {
        let (at, _) = self.flights.keys().next().copied().filter(|(at, _)| *at <= now)?;
        let (_, flight) = self.flights.pop_first()?;
        let to = match self.nats.iter().find(|n| n.public == flight.to.ip()) {
            Some(nat) => nat.inward(flight.to.port()),
            // What is inside a NAT has no address outside.
            None => (!self.nats.iter().any(|n| n.inside.contains(&flight.to.ip()))).then_some(flight.to),
        };
        Some(to.filter(|to| !self.is_cut(to.ip(), at)).map(|to| (to, flight)))
    }

    /// How `from` looks from outside its NAT, if it has one; makes the mapping.
    pub fn outside(&mut self, from: SocketAddr) -> SocketAddr {
        match self.nats.iter_mut().find(|n| n.inside.contains(&from.ip())) {
            Some(nat) => nat.outward(from),
            None => from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ip;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Where something arrived and from where, and what it was.
    type Arrival = (SocketAddr, SocketAddr, Vec<u8>);

    /// Everything that arrives, with the time; `None`: it got lost at the end of the way.
    fn drain(net: &mut Network) -> Vec<(u64, Option<Arrival>)> {
        let mut all = Vec::new();
        while let Some(now) = net.next() {
            let arrival = net.arrive(now).unwrap();
            all.push((now, arrival.map(|(to, flight)| (to, flight.from, flight.bytes))));
        }
        all
    }

    #[test]
    fn a_nat_translates_until_it_forgets() {
        let mut net = Network::new(1);
        net.nats.push(Nat::new(ip("192.0.2.100"), vec![ip("10.0.0.2")]));
        net.send(0, at("10.0.0.2:500"), at("192.0.2.1:500"), b"out");
        let first = drain(&mut net);
        let (to, seen, _) = first[0].1.clone().unwrap();
        assert_eq!((to, seen.ip()), (at("192.0.2.1:500"), ip("192.0.2.100")));
        net.send(50, at("192.0.2.1:500"), seen, b"back");
        assert_eq!(drain(&mut net)[0].1, Some((at("10.0.0.2:500"), at("192.0.2.1:500"), b"back".to_vec())));
        net.nats[0].rebind();
        net.send(100, at("192.0.2.1:500"), seen, b"late");
        assert_eq!(drain(&mut net)[0].1, None, "no mapping");
        net.send(150, at("192.0.2.1:500"), at("10.0.0.2:500"), b"direct");
        assert_eq!(drain(&mut net)[0].1, None, "no address outside");
        assert_ne!(net.outside(at("10.0.0.2:500")), seen);
    }

    #[test]
    fn weather_loses_doubles_damages_and_reorders() {
        let mut net = Network::new(2);
        net.weather = Weather { loss: 300, duplicate: 300, damage: 300, delay: (1, 500), mtu: 100 };
        for n in 0..1000_u16 {
            net.send(0, at("192.0.2.1:500"), at("192.0.2.2:500"), &n.to_be_bytes());
        }
        net.send(0, at("192.0.2.1:500"), at("192.0.2.2:500"), &[0; 101]);
        let all = drain(&mut net);
        assert!((800..1000).contains(&all.len()), "{}", all.len());
        let order: Vec<_> = all.iter().map(|(_, a)| a.clone().unwrap().2).collect();
        assert!(order.iter().all(|bytes| bytes.len() == 2), "too long for the MTU");
        assert!(!order.is_sorted());
        net.heal();
        net.send(0, at("192.0.2.1:500"), at("192.0.2.2:500"), b"fair");
        assert_eq!(drain(&mut net).len(), 1);
    }

    #[test]
    fn cuts_end() {
        let mut net = Network::new(3);
        net.cut(ip("192.0.2.2"), 1000);
        for now in [0, 990, 1000] {
            net.send(now, at("192.0.2.1:500"), at("192.0.2.2:500"), b"x");
            net.send(now, at("192.0.2.2:500"), at("192.0.2.1:500"), b"x");
        }
        let all = drain(&mut net);
        let arrived = all.iter().filter(|(_, a)| a.is_some()).count();
        // Lost are both at 0, and at 990 what comes from there; the other arrives when the cut may have ended.
        assert!((2..=3).contains(&arrived), "{arrived}");
    }
}
