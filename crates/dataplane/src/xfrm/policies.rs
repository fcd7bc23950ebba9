//! The policies of a CHILD_SA, and those of traps and shunts.
use super::sa::{self, unsupported};
use super::selector::{self, Class, priority};
use crate::DataplaneError;
use linux::xfrm::{
    Action, Compression, Direction, Mode as KernelMode, Policy, PolicyId, Protocol, Selector, Template,
};
use policy::sa::PolicyOnly;
use policy::{Child, ChildSa, Mode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::iana::ProtocolId;

/// What the three directions have in common.
struct Frame<'a> {
    config: &'a Child,
    class: Class,
    placeholder: bool,
    mark_in: (u32, u32),
    mark_out: (u32, u32),
    if_id_in: u32,
    if_id_out: u32,
    /// Index of `interface`, 0 without; whether it holds for packets to us too.
    interface: u32,
    interface_in: bool,
    /// Packets are passed on as well as sent and received.
    forward: bool,
    offload: u32,
}

/// Everything a CHILD_SA needs, packets to us first. `interface`: the index of its `interface`.
pub(super) fn of_child(child: &ChildSa, interface: u32, offload: u32) -> Result<Vec<Policy>, DataplaneError> {
    if !child.config.policies {
        return Ok(Vec::new());
    }
    let mode = sa::mode(child.mode)?;
    let frame = Frame {
        config: &child.config,
        class: Class::Protect,
        placeholder: false,
        mark_in: child.mark_in,
        mark_out: child.mark_out,
        if_id_in: child.if_id_in,
        if_id_out: child.if_id_out,
        interface,
        interface_in: false,
        forward: mode != KernelMode::Transport,
        offload,
    };
    let template = |inbound: bool| {
        let (source, destination) = ends(mode, child.local.ip(), child.remote.ip(), inbound);
        let spi = if inbound { 0 } else { child.spi_out };
        let protocol = sa::protocol(child);
        let cpi = if inbound { 0 } else { child.cpi_out };
        let compression = (child.cpi_in != 0).then_some(Compression { cpi, optional: inbound });
        let reqid = child.reqid;
        Action::Allow(Some(Template { source, destination, protocol, spi, reqid, mode, compression }))
    };
    let selectors = selector::outbound(&child.local_ts, &child.remote_ts);
    Ok(frame.all(&selectors, template(true), template(false)))
}

/// What a trap or shunt needs. `local`, `remote`: outer addresses of a trap.
pub(super) fn of_shunt(
    shunt: &PolicyOnly,
    local: Option<IpAddr>,
    interface: u32,
) -> Result<Vec<Policy>, DataplaneError> {
    let config = &shunt.config;
    let (class, actions, mode) = match config.mode {
        Mode::Pass => (Class::Pass, [Action::Allow(None); 2], KernelMode::Tunnel),
        Mode::Drop => (Class::Drop, [Action::Block; 2], KernelMode::Tunnel),
        Mode::Tunnel | Mode::Transport | Mode::Beet | Mode::TransportProxy | Mode::Iptfs => {
            let mode = sa::mode(config.mode)?;
            let protocol = match config.proposals.first() {
                Some(p) if p.protocol == ProtocolId::Ah => Protocol::Ah,
                _ => Protocol::Esp,
            };
            let (local, remote) = match (mode, local, shunt.remote) {
                (KernelMode::Transport, ..) => (unspecified(true), unspecified(true)),
                (_, Some(local), Some(remote)) => (local, remote),
                (_, _, None) => {
                    return Err(unsupported("a trap without remote_addrs, but in transport mode,"));
                }
                (_, None, Some(_)) => return Err(unsupported("a trap without a way to its peer")),
            };
            let action = |inbound| {
                let (source, destination) = ends(mode, local, remote, inbound);
                let reqid = shunt.reqid;
                let compression = None;
                Action::Allow(Some(Template {
                    source,
                    destination,
                    protocol,
                    spi: 0,
                    reqid,
                    mode,
                    compression,
                }))
            };
            (Class::Protect, [action(true), action(false)], mode)
        }
    };
    let trap = class == Class::Protect;
    let frame = Frame {
        config,
        class,
        placeholder: trap,
        mark_in: shunt.mark_in,
        mark_out: shunt.mark_out,
        if_id_in: shunt.if_id_in,
        if_id_out: shunt.if_id_out,
        interface,
        interface_in: !trap,
        forward: !trap || mode != KernelMode::Transport,
        offload: 0,
    };
    let [inbound, outbound] = actions;
    Ok(frame.all(&selector::outbound(&shunt.local_ts, &shunt.remote_ts), inbound, outbound))
}

impl Frame<'_> {
    fn all(&self, selectors: &[Selector], inbound: Action, outbound: Action) -> Vec<Policy> {
        let mut all = Vec::new();
        for out in selectors {
            let back = Selector {
                interface: if self.interface_in { self.interface } else { 0 },
                ..selector::reversed(out)
            };
            let out = Selector { interface: self.interface, ..*out };
            let (inbound, outbound) = (of_family(inbound, &out), of_family(outbound, &out));
            all.push(self.one(Direction::In, back, inbound, self.placeholder));
            if self.forward {
                all.push(self.one(Direction::Forward, back, inbound, self.placeholder));
            }
            if self.config.policies_fwd_out {
                // Lets through what will meet the outbound policy.
                let (action, placeholder) = match outbound {
                    Action::Allow(_) => (Action::Allow(None), true),
                    Action::Block => (Action::Block, self.placeholder),
                };
                all.push(self.one(Direction::Forward, out, action, placeholder));
            }
            all.push(self.one(Direction::Out, out, outbound, self.placeholder));
        }
        all
    }

    fn one(&self, direction: Direction, selector: Selector, action: Action, placeholder: bool) -> Policy {
        let outwards = match direction {
            Direction::Out => true,
            Direction::In => false,
            Direction::Forward => action == Action::Allow(None) && self.class == Class::Protect,
        };
        let (mark, if_id) =
            if outwards { (self.mark_out, self.if_id_out) } else { (self.mark_in, self.if_id_in) };
        let computed = priority(self.class, &selector, placeholder);
        Policy {
            id: PolicyId { direction, selector, mark, if_id },
            priority: if self.config.priority == 0 { computed } else { self.config.priority },
            action,
            // Outbound, errors about packets from the tunnel go back through it; inbound, such errors are let out of it.
            icmp: self.config.icmp,
            offload: if direction == Direction::Forward { 0 } else { self.offload },
        }
    }
}

/// Outer addresses of a template; in transport mode they are those of the packet.
fn ends(mode: KernelMode, local: IpAddr, remote: IpAddr, inbound: bool) -> (IpAddr, IpAddr) {
    match (mode, inbound) {
        (KernelMode::Transport, _) => (unspecified(local.is_ipv4()), unspecified(local.is_ipv4())),
        (KernelMode::Tunnel | KernelMode::Beet, true) => (remote, local),
        (KernelMode::Tunnel | KernelMode::Beet, false) => (local, remote),
    }
}

/// In transport mode the ends are those of the packet, whose family the template must have.
fn of_family(action: Action, selector: &Selector) -> Action {
    match action {
        Action::Allow(Some(template)) if template.mode == KernelMode::Transport => {
            let any = unspecified(selector.source.addr().is_ipv4());
            Action::Allow(Some(Template { source: any, destination: any, ..template }))
        }
        other => other,
    }
}

fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
