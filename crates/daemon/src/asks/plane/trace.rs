//! `trace`: the way of one packet through this host, step by step, and where it ends.
use super::{Ledger, Plane, chain};
use dataplane::trace::{Decider, Fate, Flow, Sealing};
use linux::netlink::{Decision, LOCAL, LinkKind, MAIN, Outcome, Packet, Route, Rule};
use linux::sysctl;
use std::net::IpAddr;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) destination: IpAddr,
    /// None: a packet of this host's own, from whatever address the kernel takes.
    pub(crate) source: Option<IpAddr>,
    /// The interface it comes in by, for a packet passed on.
    pub(crate) input: Option<String>,
    /// 0: not said.
    pub(crate) protocol: u8,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) mark: u32,
}

/// Where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leaves, sealed.
    Protected,
    /// It leaves as it is.
    Clear,
    /// It starts a CHILD_SA.
    Waits,
    /// It goes no further.
    Dropped,
    /// It is for this host.
    Local,
}

impl Verdict {
    /// For programs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Clear => "clear",
            Self::Waits => "waits",
            Self::Dropped => "dropped",
            Self::Local => "local",
        }
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct Trace {
    /// What decides and what it says, in the order a packet meets it.
    pub(crate) steps: Vec<(&'static str, String)>,
    pub(crate) verdict: Verdict,
    pub(crate) why: String,
    /// What to do about it, where something is wrong.
    pub(crate) hint: Option<String>,
    /// Handle of the CHILD_SA that seals it, or of the trap it meets.
    pub(crate) child: Option<u32>,
    pub(crate) trap: Option<u32>,
}

/// Steps so far.
struct Walk(Vec<(&'static str, String)>);

impl Walk {
    fn step(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push((what, text.into()));
    }

    fn end(self, verdict: Verdict, why: impl Into<String>) -> Trace {
        Trace { steps: self.0, verdict, why: why.into(), hint: None, child: None, trap: None }
    }
}

impl Trace {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Plane {
    /// Follows a packet.
    pub(super) fn trace(&mut self, ledger: &Ledger, question: &Question) -> Result<Trace, String> {
        let mut walk = Walk(Vec::new());
        let input = match &question.input {
            Some(name) => self.network.netlink().link_index(name).map_err(|e| chain(&e))?,
            None => 0,
        };
        if let Some(name) = &question.input {
            let family = if question.destination.is_ipv4() { "ipv4" } else { "ipv6" };
            let on = sysctl::read(&format!("net/{family}/conf/{name}/forwarding")).is_ok_and(|on| on != "0");
            walk.step("forwarding", format!("from {name}: {}", if on { "on" } else { "off" }));
            if !on {
                return Ok(walk
                    .end(Verdict::Dropped, "this host passes nothing on")
                    .hint(format!("sysctl -w net.{family}.conf.{name}.forwarding=1")));
            }
        }
        let packet =
            Packet { destination: question.destination, source: question.source, input, mark: question.mark };
        let decision = self.network.netlink().decide(&packet).map_err(|e| chain(&e))?;
        self.say_route(&mut walk, &decision);
        match decision.outcome {
            Outcome::Leaves => {}
            Outcome::Local => return Ok(walk.end(Verdict::Local, "it is for this host")),
            Outcome::Many => return Ok(walk.end(Verdict::Clear, "it goes to many, which is not protected")),
            Outcome::Refused(word) => {
                return Ok(walk.end(Verdict::Dropped, format!("a route of type {word} stops it")));
            }
            Outcome::NoRoute => {
                return Ok(walk.end(Verdict::Dropped, "there is no route").hint(
                    "a packet must have a route before a policy can protect it: a default route will do",
                ));
            }
        }
        let Some(route) = decision.route else { return Err("the kernel did not name the route".into()) };
        let interface = route.interface.unwrap_or_default();
        let link = self.network.netlink().link_by_index(interface).map_err(|e| chain(&e))?;
        let kind = link.kind.map(|kind| format!(", {kind}")).unwrap_or_default();
        let up = if link.up { "up" } else { "down" };
        walk.step("interface", format!("{} ({up}, MTU {}{kind})", link.name, route.mtu.unwrap_or(link.mtu)));
        if !link.up {
            let hint = format!("ip link set {} up", link.name);
            return Ok(walk.end(Verdict::Dropped, format!("{} is down", link.name)).hint(hint));
        }
        let Some(source) = question.source.or(route.source) else {
            return Err("no source address is known: say one".into());
        };
        let (if_id, mark) = match link.kind {
            Some(LinkKind::Xfrm { if_id }) => (if_id, question.mark),
            Some(LinkKind::Vti { key_out, .. }) => (0, key_out),
            None => (0, question.mark),
        };
        let flow = Flow {
            source,
            destination: question.destination,
            protocol: question.protocol,
            ports: question.ports,
            mark,
            interface,
            if_id,
        };
        let Some(backend) = &mut self.backend else {
            let why = format!("there is no data plane: {}", self.missing);
            return Ok(walk.end(Verdict::Clear, why));
        };
        let (plane, device) = (backend.name(), backend.device());
        if let Some(device) = device.filter(|device| *device != link.name) {
            walk.step("policy", format!("{plane}: only what is routed to {device} is looked at"));
            return Ok(self.in_clear(ledger, walk, question.destination, &link.name));
        }
        let fate = backend.trace(&flow).map_err(|e| chain(&e))?;
        Ok(match fate {
            Fate::Ignored => {
                walk.step("policy", format!("{plane}: none"));
                if link.kind.is_some() || plane == "userspace" {
                    let why = format!("nothing leaves by {} without a policy", link.name);
                    walk.end(Verdict::Dropped, why).hint("is the CHILD_SA up? cygnet status")
                } else {
                    self.in_clear(ledger, walk, question.destination, &link.name)
                }
            }
            Fate::Passed(decider) => {
                policy(&mut walk, plane, &decider, "pass");
                walk.end(Verdict::Clear, format!("a policy lets it pass; it leaves by {}", link.name))
            }
            Fate::Dropped(decider) => {
                policy(&mut walk, plane, &decider, "drop");
                walk.end(Verdict::Dropped, "a policy drops it")
            }
            Fate::Awaits(decider, trap) => {
                policy(&mut walk, plane, &decider, "trap");
                let end = walk.end(Verdict::Waits, "it starts the CHILD_SA of a trap");
                Trace { trap: Some(trap), ..end }
            }
            Fate::Foreign(decider) => {
                policy(&mut walk, plane, &decider, "protect");
                walk.end(Verdict::Dropped, "its policy wants an SA that this daemon does not have")
                    .hint("another keying daemon, or SAs by hand: ip xfrm state, cygnet doctor")
            }
            Fate::Sealed(decider, sealing) => {
                policy(&mut walk, plane, &decider, "protect");
                self.outer(walk, &sealing)?
            }
        })
    }

    fn say_route(&mut self, walk: &mut Walk, decision: &Decision) {
        if let Some(rule) = &decision.rule {
            walk.step("rule", shown_rule(rule));
        }
        match &decision.route {
            Some(route) => {
                let text = self.shown_route(route);
                walk.step("route", text);
            }
            None => walk.step("route", "none"),
        }
    }

    fn shown_route(&mut self, route: &Route) -> String {
        let mut text = route.destination.to_string();
        if let Some(gateway) = route.gateway {
            text.push_str(&format!(" via {gateway}"));
        }
        if let Some(index) = route.interface {
            let name = self.network.netlink().link_name(index).unwrap_or_else(|_| index.to_string());
            text.push_str(&format!(" dev {name}"));
        }
        if let Some(source) = route.source {
            text.push_str(&format!(" src {source}"));
        }
        text.push_str(&format!(" table {}", table(route.table)));
        text
    }

    /// It leaves as it is: on purpose, or because a CHILD_SA's selectors do not have its source?
    fn in_clear(&self, ledger: &Ledger, walk: Walk, destination: IpAddr, interface: &str) -> Trace {
        let end =
            walk.end(Verdict::Clear, format!("no policy wants it; it leaves by {interface} unprotected"));
        let near = ledger
            .routes
            .all()
            .find(|route| route.way.source.is_some() && route.destination.contains(&destination));
        match near.and_then(|route| route.way.source) {
            Some(source) => end.hint(format!(
                "from {source} it would be protected: cygnet trace {destination} --from {source}"
            )),
            None => end,
        }
    }

    /// What was sealed is a packet again, with a way of its own.
    fn outer(&mut self, mut walk: Walk, sealing: &Sealing) -> Result<Trace, String> {
        let Sealing { child, spi, local, remote, encap } = sealing;
        let form = if *encap {
            format!("ESP in UDP {local} -> {remote}")
        } else {
            format!("ESP {} -> {}", local.ip(), remote.ip())
        };
        walk.step("SA", format!("SPI {spi:08x}, {form}"));
        let packet = Packet {
            destination: remote.ip(),
            source: Some(local.ip()),
            input: 0,
            mark: self.wishes.paths.mark.unwrap_or(0),
        };
        let decision = self.network.netlink().decide(&packet).map_err(|e| chain(&e))?;
        let device = self.device();
        let Decision { outcome: Outcome::Leaves, route: Some(route), .. } = &decision else {
            walk.step("outer route", "none");
            let end = walk.end(Verdict::Dropped, format!("there is no route to {}", remote.ip()));
            return Ok(Trace { child: Some(*child), ..end });
        };
        let text = self.shown_route(route);
        walk.step("outer route", text);
        let link = self.network.netlink().link_by_index(route.interface.unwrap_or_default());
        let link = link.map_err(|e| chain(&e))?;
        let end = if device.as_deref() == Some(link.name.as_str()) || link.kind.is_some() {
            let why = format!("what is sealed is routed into {} again: a routing loop", link.name);
            walk.end(Verdict::Dropped, why).hint(
                "give packets of the daemon a mark and let the rule skip it: \
                 plugins.socket-default.fwmark, plugins.kernel-netlink.fwmark = !MARK",
            )
        } else {
            let via = route.gateway.map(|gateway| format!(" to {gateway}")).unwrap_or_default();
            walk.end(Verdict::Protected, format!("it leaves by {}{via}, sealed", link.name))
        };
        Ok(Trace { child: Some(*child), ..end })
    }
}

fn policy(walk: &mut Walk, plane: &str, decider: &Decider, does: &str) {
    walk.step("policy", format!("{plane}: {decider}: {does}"));
}

/// As `ip rule` shows it.
fn shown_rule(rule: &Rule) -> String {
    let mut text = format!("{}: {}from all", rule.priority, if rule.invert { "not " } else { "" });
    match rule.mark {
        Some((value, u32::MAX)) => text.push_str(&format!(" fwmark {value:#x}")),
        Some((value, mask)) => text.push_str(&format!(" fwmark {value:#x}/{mask:#x}")),
        None => {}
    }
    text.push_str(&format!(" lookup {}", table(rule.table)));
    text
}

/// As `ip` calls the tables that every host has.
fn table(number: u32) -> String {
    match number {
        LOCAL => "local".to_owned(),
        MAIN => "main".to_owned(),
        253 => "default".to_owned(),
        other => other.to_string(),
    }
}
