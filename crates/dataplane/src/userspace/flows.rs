//! What the policies said about the flows of one pass, so that each is looked up once and not once per packet.
//!
//! Forgotten when the pass ends: an SA that goes is kept by nobody, and a lane that sleeps holds no keys. A change of
//! policy is seen by the next packet.
use esp::{Flow, OutSa, Spd, Target};
use std::net::IpAddr;
use std::sync::Arc;

/// Flows remembered: as many as [`Flows::used`] has bits.
const FLOWS: usize = 32;

/// What a flow's packets need.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The SA that protects it.
    pub(super) sa: Arc<OutSa>,
    /// Bytes of ESP the path takes.
    pub(super) room: usize,
    /// Bytes of the biggest inner packet.
    pub(super) most: usize,
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    generation: u64,
    known: Known,
}

/// The flows of a pass.
#[derive(Debug, Default)]
pub(super) struct Flows {
    entries: [Option<Entry>; FLOWS],
    /// Which of them are filled, the first by the lowest bit.
    used: u32,
}

impl Flows {
    /// What the policies say about a flow: what is known of its SA (`know` finds it out), or another target than
    /// an SA, or none.
    pub(super) fn find(
        &mut self,
        spd: &Spd,
        flow: &Flow,
        know: impl FnOnce(Arc<OutSa>) -> Known,
    ) -> Result<&Known, Option<Target>> {
        // asked before the policies: a change between the two makes the answer older than it is, never newer
        let generation = spd.generation();
        let place = place(flow);
        let slot = self.entries.get_mut(place).ok_or(None)?;
        let remembered = slot.as_ref().is_some_and(|e| e.generation == generation && e.flow == *flow);
        if !remembered {
            match spd.lookup(flow, Target::clone) {
                Some(Target::Protect(sa)) => *slot = Some(Entry { flow: *flow, generation, known: know(sa) }),
                other => return Err(other),
            }
            self.used |= 1 << place;
        }
        slot.as_ref().map(|entry| &entry.known).ok_or(None)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        while self.used != 0 {
            if let Some(slot) = self.entries.get_mut(self.used.trailing_zeros() as usize) {
                *slot = None;
            }
            self.used &= self.used - 1;
        }
    }
}

/// Where a flow is remembered: neighbouring ports and hosts apart.
fn place(flow: &Flow) -> usize {
    let low = |address: IpAddr| match address {
        IpAddr::V4(a) => a.to_bits(),
        IpAddr::V6(a) => u32::try_from(a.to_bits() & 0xffff_ffff).unwrap_or(0),
    };
    let ports = flow.ports.map_or(0, |(local, remote)| u32::from(local) << 16 | u32::from(remote));
    let mixed = (low(flow.local) ^ low(flow.remote).rotate_left(16) ^ ports).wrapping_mul(0x9e37_79b1);
    usize::try_from(mixed >> 16).unwrap_or(0) % FLOWS
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use policy::Selector;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn sa(id: u32) -> Arc<OutSa> {
        sample::sa(id, SocketAddr::from(([192, 0, 2, 1], 4500)), SocketAddr::from(([192, 0, 2, 2], 4500)))
    }

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn flow(n: u32, port: u16) -> Flow {
        Flow { local: address(0), remote: address(n), protocol: 17, ports: Some((1, port)) }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Packet(u32, u16),
        /// Protects so many hosts from this on, with this priority.
        Install(u32, u32, u32),
        Shunt(u32),
        Remove(usize),
        EndOfPass,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u32..20, 0u16..3).prop_map(|(host, port)| Step::Packet(host, port)),
            2 => (0u32..20, 0u32..6, 0u32..3).prop_map(|(start, more, priority)| Step::Install(start, more, priority)),
            1 => (0u32..20).prop_map(Step::Shunt),
            2 => (0usize..8).prop_map(Step::Remove),
            1 => Just(Step::EndOfPass),
        ]
    }

    proptest! {
        /// Whatever comes and goes between packets, what is remembered is what a look-up says now.
        #[test]
        fn what_is_remembered_is_what_policies_say(steps in prop::collection::vec(step(), 1..200)) {
            let (spd, mut flows) = (Spd::default(), Flows::default());
            let mut owners = Vec::new();
            let mut last = 0;
            for step in steps {
                last += 1;
                match step {
                    Step::Packet(host, port) => {
                        let flow = flow(host, port);
                        let now = spd.lookup(&flow, |t| match t {
                            Target::Protect(sa) => Ok(sa.child),
                            other => Err(format!("{other:?}")),
                        });
                        let got = match flows.find(&spd, &flow, |sa| Known { sa, room: 1, most: 1 }) {
                            Ok(known) => Some(Ok(known.sa.child)),
                            Err(other) => other.map(|t| Err(format!("{t:?}"))),
                        };
                        prop_assert_eq!(got, now);
                    }
                    Step::Install(start, more, priority) => {
                        let to = Selector { protocol: 0, ports: (0, u16::MAX), start: address(start), end: address(start + more) };
                        let target = Target::Protect(sa(last));
                        spd.insert(last, priority, &[Selector::everything(true)], &[to], &target);
                        owners.push((last, to));
                    }
                    Step::Shunt(host) => {
                        spd.insert(last, 0, &[Selector::everything(true)], &[Selector::host(address(host))], &Target::Drop);
                        owners.push((last, Selector::host(address(host))));
                    }
                    Step::Remove(at) => {
                        if at < owners.len() {
                            let (owner, to) = owners.remove(at);
                            assert!(spd.remove(owner, &[Selector::everything(true)], &[to]));
                        }
                    }
                    Step::EndOfPass => flows.clear(),
                }
            }
        }
    }

    /// A pass that ended keeps no SA alive: its keys go when it is removed.
    #[test]
    fn nothing_is_kept_beyond_the_pass() {
        let (spd, mut flows) = (Spd::default(), Flows::default());
        let sa = sa(1);
        spd.insert(
            1,
            0,
            &[Selector::everything(true)],
            &[Selector::everything(true)],
            &Target::Protect(sa.clone()),
        );
        for port in 0..100 {
            assert!(flows.find(&spd, &flow(7, port), |sa| Known { sa, room: 1, most: 1 }).is_ok());
        }
        flows.clear();
        spd.remove(1, &[Selector::everything(true)], &[Selector::everything(true)]);
        assert_eq!(Arc::strong_count(&sa), 1);
    }
}
