//! The kernel's choice of policy, followed by hand: it has no question for that.
use crate::trace::{Decider, Flow};
use linux::xfrm::{Direction, Policy, Selector};

/// The outbound policy that the kernel would take. Where it has several of the same priority, the first that it
/// lists, which is the oldest.
pub(super) fn chosen<'a>(policies: &'a [Policy], flow: &Flow) -> Option<&'a Policy> {
    let wants = |policy: &&Policy| {
        let (value, mask) = policy.id.mark;
        policy.id.direction == Direction::Out
            && flow.mark & mask == value
            && policy.id.if_id == flow.if_id
            && matches(&policy.id.selector, flow)
    };
    policies.iter().filter(wants).min_by_key(|policy| policy.priority)
}

fn matches(selector: &Selector, flow: &Flow) -> bool {
    let port = |(value, mask): (u16, u16), port: Option<u16>| {
        mask == 0 || port.is_some_and(|port| port & mask == value & mask)
    };
    selector.source.contains(&flow.source)
        && selector.destination.contains(&flow.destination)
        && (selector.protocol == 0 || selector.protocol == flow.protocol)
        && (selector.interface == 0 || selector.interface == flow.interface)
        && port(selector.source_port, flow.ports.map(|(source, _)| source))
        && port(selector.destination_port, flow.ports.map(|(_, destination)| destination))
}

pub(super) fn decider(policy: &Policy) -> Decider {
    let mut selectors = policy.id.selector.to_string();
    let (value, mask) = policy.id.mark;
    if mask != 0 {
        selectors.push_str(&format!(" mark {value:#x}/{mask:#x}"));
    }
    if policy.id.if_id != 0 {
        selectors.push_str(&format!(" if_id {:#x}", policy.id.if_id));
    }
    Decider { selectors, priority: policy.priority }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux::xfrm::{Action, PolicyId};

    fn policy(source: &str, destination: &str, priority: u32, change: impl FnOnce(&mut PolicyId)) -> Policy {
        let selector = Selector::between(source.parse().unwrap(), destination.parse().unwrap());
        let mut id = PolicyId { direction: Direction::Out, selector, mark: (0, 0), if_id: 0 };
        change(&mut id);
        Policy { id, priority, action: Action::Allow(None), icmp: false, offload: 0 }
    }

    fn flow() -> Flow {
        Flow {
            source: "10.1.0.1".parse().unwrap(),
            destination: "10.2.0.1".parse().unwrap(),
            protocol: 6,
            ports: Some((40_000, 80)),
            mark: 0,
            interface: 3,
            if_id: 0,
        }
    }

    #[test]
    fn the_lowest_priority_of_those_that_match() {
        let all = [
            policy("0.0.0.0/0", "0.0.0.0/0", 500, |_| {}),
            policy("10.1.0.0/16", "10.2.0.0/16", 300, |_| {}),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.direction = Direction::In),
            policy("10.1.0.0/16", "10.3.0.0/16", 100, |_| {}),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.selector.protocol = 17),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.selector.interface = 4),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.selector.destination_port = (443, 0xffff)),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.mark = (5, 0xff)),
            policy("10.1.0.0/16", "10.2.0.0/16", 100, |id| id.if_id = 42),
            policy("fd00::/8", "fd00::/8", 100, |_| {}),
        ];
        assert_eq!(chosen(&all, &flow()).map(|p| p.priority), Some(300));
        assert_eq!(chosen(&all, &flow()).unwrap().id.selector.destination.to_string(), "10.2.0.0/16");
        for (change, index) in [
            ((|f: &mut Flow| f.protocol = 17) as fn(&mut Flow), 4),
            (|f| f.interface = 4, 5),
            (|f| f.ports = Some((1, 443)), 6),
            (|f| f.mark = 0x105, 7),
            (|f| f.if_id = 42, 8),
        ] {
            let mut flow = flow();
            change(&mut flow);
            assert_eq!(chosen(&all, &flow), Some(&all[index]));
        }
        let other = Flow { destination: "fd00::1".parse().unwrap(), ..flow() };
        assert_eq!(chosen(&all[1..], &other), None);
    }

    #[test]
    fn a_policy_of_a_port_takes_no_packet_without_ports() {
        let all = [policy("0.0.0.0/0", "0.0.0.0/0", 1, |id| id.selector.source_port = (0x1000, 0xf000))];
        assert_eq!(chosen(&all, &Flow { ports: None, ..flow() }), None);
        assert!(chosen(&all, &Flow { ports: Some((0x1fff, 80)), ..flow() }).is_some());
        assert!(chosen(&all, &flow()).is_none());
    }

    #[test]
    fn it_is_shown_with_what_tells_it_from_others() {
        let shown = decider(&policy("10.1.0.0/16", "10.2.0.0/16", 9, |id| {
            (id.mark, id.if_id) = ((1, 0xff), 42);
        }));
        assert_eq!(shown.to_string(), "10.1.0.0/16 === 10.2.0.0/16 mark 0x1/0xff if_id 0x2a priority 9");
    }
}
