//! Traffic selectors in the kernel's terms, and how much one policy matters against another.
//!
//! The kernel knows prefixes of addresses and of ports, so a range becomes several policies. Where that would be too
//! many, prefixes that cover more stand for it, as strongSwan always does it.
use ipnet::IpNet;
use linux::xfrm::Selector as Kernel;
use policy::Selector;
use policy::selector::ANY_PORT;

/// Policies that one pair of selectors may become.
const MOST: usize = 64;
const ICMP: [u8; 2] = [1, 58];

/// A port and its mask, `(0, 0)` for any.
type Port = (u16, u16);

/// What a policy is for; the priorities of the classes lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Lets pass what others would protect.
    Pass,
    /// Protects.
    Protect,
    /// Drops what nothing else takes.
    Drop,
}

/// The priority strongSwan gives a policy, so that both can live on one host: the narrower, the lower, and the lowest
/// wins. `placeholder`: as long as there is nothing better, such as a trap without its SA.
pub(super) fn priority(class: Class, s: &Kernel, placeholder: bool) -> u32 {
    let base: u32 = match class {
        Class::Pass => 200_000,
        Class::Protect => 400_000,
        Class::Drop => 600_000,
    };
    let addresses = u32::from(s.source.prefix_len()) + u32::from(s.destination.prefix_len());
    let ports = s.source_port.1.count_ones() + s.destination_port.1.count_ones();
    let narrow = 512 * addresses
        + 256 * u32::from(s.protocol != 0)
        + 4 * ports
        + 2 * u32::from(s.interface != 0)
        + u32::from(!placeholder);
    base.saturating_sub(narrow)
}

/// Every pair of ours and the peer's, as packets that go out.
pub(super) fn outbound(local: &[Selector], remote: &[Selector]) -> Vec<Kernel> {
    let mut all: Vec<Kernel> = Vec::new();
    for (l, r) in local.iter().flat_map(|l| remote.iter().map(move |r| (l, r))) {
        for selector in pair(l, r) {
            if !all.contains(&selector) {
                all.push(selector);
            }
        }
    }
    all
}

/// The same packets' answers.
pub(super) fn reversed(s: &Kernel) -> Kernel {
    let icmp = ICMP.contains(&s.protocol);
    let (source_port, destination_port) = match icmp {
        // Type and code are not of one side or the other.
        true => (s.source_port, s.destination_port),
        false => (s.destination_port, s.source_port),
    };
    Kernel { source: s.destination, destination: s.source, source_port, destination_port, ..*s }
}

fn pair(l: &Selector, r: &Selector) -> Vec<Kernel> {
    let protocol = l.protocol.max(r.protocol);
    let other = l.protocol.min(r.protocol);
    if l.is_ipv4() != r.is_ipv4() || (other != 0 && other != protocol) {
        return Vec::new();
    }
    let (sources, destinations) = (l.to_subnets(), r.to_subnets());
    let (source_ports, destination_ports) = if ICMP.contains(&protocol) {
        let ports = if l.ports == ANY_PORT { r.ports } else { l.ports };
        let (kind, code) = icmp(ports);
        (vec![kind], vec![code])
    } else {
        (blocks(l.ports), blocks(r.ports))
    };
    let many = sources.len() * destinations.len() * source_ports.len() * destination_ports.len();
    let (sources, destinations, source_ports, destination_ports) = if many > MOST {
        tracing::warn!("{l} === {r} would become {many} policies; wider ones stand for them");
        let one = |ports: Vec<Port>, range| if ports.len() > 1 { vec![covering_ports(range)] } else { ports };
        (
            covering(l).into_iter().collect(),
            covering(r).into_iter().collect(),
            one(source_ports, l.ports),
            one(destination_ports, r.ports),
        )
    } else {
        (sources, destinations, source_ports, destination_ports)
    };
    let mut all = Vec::with_capacity(many.min(MOST));
    for source in &sources {
        for destination in &destinations {
            for source_port in &source_ports {
                for destination_port in &destination_ports {
                    all.push(Kernel {
                        protocol,
                        source_port: *source_port,
                        destination_port: *destination_port,
                        ..Kernel::between(*source, *destination)
                    });
                }
            }
        }
    }
    all
}

/// Type and code.
fn icmp((first, last): (u16, u16)) -> (Port, Port) {
    let any = (0, 0);
    if (first, last) == ANY_PORT || first > last || first >> 8 != last >> 8 {
        return (any, any);
    }
    let code = if first == last { (first & 0xff, u16::MAX) } else { any };
    ((first >> 8, u16::MAX), code)
}

/// Ports as prefixes. What has no ports to be seen (OPAQUE) the kernel cannot tell from the rest.
fn blocks((first, last): (u16, u16)) -> Vec<Port> {
    if (first, last) == ANY_PORT || first > last {
        return vec![(0, 0)];
    }
    let mut all = Vec::new();
    let (mut at, last) = (u32::from(first), u32::from(last));
    while at <= last {
        let aligned = if at == 0 { 16 } else { at.trailing_zeros() };
        let fits = (last - at + 1).ilog2();
        let bits = aligned.min(fits);
        all.push((low(at), low(0xffff << bits)));
        at += 1 << bits;
    }
    all
}

/// The longest port prefix that holds the range.
fn covering_ports((first, last): (u16, u16)) -> Port {
    let free = 16 - (first ^ last).leading_zeros();
    let mask = low(0xffff << free);
    (first & mask, mask)
}

/// The longest prefix that holds all addresses.
fn covering(s: &Selector) -> Option<IpNet> {
    let width: u8 = if s.is_ipv4() { 32 } else { 128 };
    (0..=width)
        .rev()
        .filter_map(|len| IpNet::new(s.start, len).ok())
        .find(|net| net.contains(&s.end))
        .map(|net| net.trunc())
}

fn low(n: u32) -> u16 {
    u16::try_from(n & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::SelectorTemplate;

    fn ts(text: &str) -> Selector {
        let SelectorTemplate::Fixed(s) = SelectorTemplate::parse(text).unwrap() else { panic!("{text}") };
        s
    }

    fn one(l: &str, r: &str) -> Kernel {
        let all = outbound(&[ts(l)], &[ts(r)]);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }

    /// As strongSwan 5.9.8 installs them.
    #[test]
    fn priorities_are_strongswans() {
        let protect = |s: &Kernel| priority(Class::Protect, s, false);
        assert_eq!(protect(&one("10.1.0.0/16", "10.2.0.0/16")), 383_615);
        assert_eq!(priority(Class::Protect, &one("10.1.0.0/16", "10.2.0.0/16"), true), 383_616);
        assert_eq!(priority(Class::Protect, &one("0.0.0.0/0", "0.0.0.0/0"), true), 400_000);
        assert_eq!(protect(&one("192.0.2.1/32[icmp]", "192.0.2.2/32[icmp]")), 366_975);
        let tcp = one("192.0.2.1/32[tcp/77]", "192.0.2.2/32[tcp/78]");
        assert_eq!(priority(Class::Protect, &tcp, true), 366_848);
        assert_eq!(protect(&one("10.1.0.1/32[udp/1000-1007]", "10.2.0.1/32[udp/53]")), 366_859);
        assert_eq!(protect(&one("10.1.0.1/32[icmp/8]", "10.2.0.1/32[icmp]")), 366_911);
        let mut v6 = one("fd01::/64", "fd02::/60");
        assert_eq!(protect(&v6), 336_511);
        v6.interface = 2;
        assert_eq!(protect(&v6), 336_509);
        assert_eq!(priority(Class::Pass, &one("10.1.0.0/16", "10.1.0.0/16"), false), 183_615);
        assert_eq!(priority(Class::Drop, &one("10.1.0.0/16", "172.16.0.0/12"), false), 585_663);
    }

    #[test]
    fn ranges_become_exactly_the_prefixes_in_them() {
        assert_eq!(blocks((1000, 1007)), [(1000, 0xfff8)]);
        assert_eq!(blocks((1, 4)), [(1, 0xffff), (2, 0xfffe), (4, 0xffff)]);
        assert_eq!(blocks(ANY_PORT), [(0, 0)]);
        assert_eq!(blocks((0, 0x7fff)), [(0, 0x8000)]);
        for range in [(1024, u16::MAX), (1, u16::MAX), (0, 65_534), (1000, 2000)] {
            let blocks = blocks(range);
            for port in 0..=u16::MAX {
                let hits = blocks.iter().filter(|(value, mask)| port & mask == *value).count();
                assert_eq!(hits, usize::from(range.0 <= port && port <= range.1), "{port} of {range:?}");
            }
        }
    }

    #[test]
    fn too_many_become_one_that_covers_them() {
        let all = outbound(&[ts("10.0.0.1-10.0.3.254[tcp/1-65534]")], &[ts("10.9.0.0/16[tcp]")]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].source.to_string().as_str(), all[0].source_port), ("10.0.0.0/22", (0, 0)));
        let all = outbound(&[ts("10.77.0.0-10.77.0.5")], &[ts("10.78.0.0-10.78.0.9")]);
        assert_eq!(all.len(), 4, "{all:?}");
    }

    #[test]
    fn what_cannot_be_a_packet_is_no_policy() {
        assert!(outbound(&[ts("10.1.0.0/16")], &[ts("fd00::/8")]).is_empty());
        assert!(outbound(&[ts("10.1.0.0/16[tcp]")], &[ts("10.2.0.0/16[udp]")]).is_empty());
    }

    #[test]
    fn answers_have_the_ports_the_other_way_round_but_not_icmp() {
        let udp = reversed(&one("10.1.0.1/32[udp/68]", "10.2.0.1/32[udp/67]"));
        assert_eq!((udp.source_port, udp.destination_port), ((67, 0xffff), (68, 0xffff)));
        let echo = reversed(&one("10.1.0.1/32[icmp/8]", "10.2.0.1/32[icmp]"));
        assert_eq!((echo.source_port, echo.destination_port), ((8, 0xffff), (0, 0)));
    }
}
