//! Hosts on a network, event by event.
use crate::clock::Clock;
use crate::dataplane::Ledger;
use crate::dice::Dice;
use crate::host::{Host, HostConfig};
use crate::net::Network;
use crate::transcript::{Transcript, hash};
use ike::io::{Answer, Ask, Command, CommandId, Datagram, Event, Filter, Output};
use policy::sa::Usage;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use wire::iana::ExchangeType;
use wire::ike::{Flags, Header, Message};

/// Outputs an engine may give for one input.
const MAX_OUTPUTS: usize = 20_000;
/// Events at one instant: more, and the world stands still.
const MAX_AT_ONCE: usize = 5_000;

/// A violated rule: what went wrong and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} at {at} ms: {what}")]
pub struct Violation {
    /// Milliseconds since the world began.
    pub at: u64,
    /// Name of the host.
    pub host: String,
    /// The rule.
    pub what: String,
}

/// How often the world refuses what engines ask, per mille.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mood {
    /// Failures of data plane, pools and DNS.
    pub failures: u64,
}

/// What names a key that protects IKE messages: both SPIs, whether the original initiator sends, and the message ID
/// in IKE_INTERMEDIATE, as the keys change with each (RFC 9370 2.2.2).
type IkeKey = (u64, u64, bool, Option<u32>);

/// A world.
#[derive(Debug)]
pub struct World {
    /// Time.
    pub clock: Clock,
    /// The network.
    pub net: Network,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// What DNS knows.
    pub names: BTreeMap<String, IpAddr>,
    /// How often questions are answered with a failure.
    pub mood: Mood,
    /// What happened.
    pub transcript: Transcript,
    ledger: Ledger,
    /// Digest of the message protected with an IV under an IKE key.
    ivs: BTreeMap<(IkeKey, [u8; 8]), u64>,
    dice: Dice,
    commands: u64,
    at_once: (u64, usize),
}

impl World {
    /// A world of these hosts. Keeps the last `keep` lines of its transcript.
    #[must_use]
    pub fn new(seed: u64, hosts: Vec<HostConfig>, keep: usize) -> Self {
        let clock = Clock::default();
        let hosts = hosts
            .into_iter()
            .enumerate()
            .map(|(i, config)| Host::new(seed, i, config, clock.now()))
            .collect();
        Self {
            clock,
            net: Network::new(seed),
            hosts,
            names: BTreeMap::new(),
            mood: Mood::default(),
            transcript: Transcript::new(keep),
            ledger: Ledger::default(),
            ivs: BTreeMap::new(),
            dice: Dice::new(seed, 2),
            commands: 0,
            at_once: (0, 0),
        }
    }

    /// Milliseconds since the world began.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.mono()
    }

    fn violated(&self, host: usize, what: String) -> Violation {
        Violation { at: self.now(), host: self.hosts[host].config.name.clone(), what }
    }

    /// A line of the transcript that is about no host in particular.
    pub fn note(&mut self, text: std::fmt::Arguments<'_>) {
        self.transcript.line(self.clock.mono(), "*", text);
    }

    /// A number for a command that will tell when it is done.
    pub fn command_id(&mut self, host: usize, what: &str) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.hosts[host].commands.insert(id, what.to_owned());
        id
    }

    /// Gives an engine a command.
    pub fn command(&mut self, host: usize, command: Command) -> Result<(), Violation> {
        let text = brief_command(&command);
        self.transcript.line(
            self.clock.mono(),
            &self.hosts[host].config.name,
            format_args!("command {text}"),
        );
        self.hosts[host].engine.command(self.clock.now(), command);
        self.drain(host)
    }

    /// Takes everything an engine has to say.
    pub fn drain(&mut self, host: usize) -> Result<(), Violation> {
        for _ in 0..MAX_OUTPUTS {
            let Some(output) = self.hosts[host].poll() else { return Ok(()) };
            let at = self.clock.mono();
            match output {
                Output::Send(datagram) => {
                    self.transcript.line(
                        at,
                        &self.hosts[host].config.name,
                        format_args!("{}", brief(&datagram)),
                    );
                    self.watch(&datagram).map_err(|what| self.violated(host, what))?;
                    if !self.hosts[host].config.addresses.contains(&datagram.local.ip()) {
                        // The kernel has no such source; the datagram does not leave.
                        continue;
                    }
                    self.net.send(at, datagram.local, datagram.remote, &datagram.bytes);
                }
                Output::Ask(ticket, ask) => {
                    let name = &self.hosts[host].config.name;
                    self.transcript.line(at, name, format_args!("ask {} {}", ticket.0, brief_ask(&ask)));
                    let asked = self.hosts[host].ask(at, &mut self.dice, ticket, ask);
                    asked.map_err(|what| self.violated(host, what))?;
                }
                Output::Tell(event) => {
                    if let Some(text) = brief_event(&event) {
                        self.transcript.line(at, &self.hosts[host].config.name, format_args!("{text}"));
                    }
                    let told = self.hosts[host].told(&event);
                    told.map_err(|what| self.violated(host, what))?;
                }
            }
        }
        Err(self.violated(host, "an engine does not stop to talk".to_owned()))
    }

    /// Sees that no key protects two different messages with one IV.
    fn watch(&mut self, datagram: &Datagram) -> Result<(), String> {
        if datagram.bytes == [wire::frame::KEEPALIVE] {
            return Ok(());
        }
        let message =
            Message::parse(&datagram.bytes).map_err(|e| format!("sends what is no IKE message: {e}"))?;
        let Some(sealed) = message.sealed else { return Ok(()) };
        let iv =
            datagram.bytes.get(sealed.body.start..sealed.body.start + 8).and_then(|iv| iv.try_into().ok());
        let iv: [u8; 8] = iv.ok_or("an encrypted payload without IV")?;
        let initiator = message.header.flags.contains(Flags::INITIATOR);
        let Header { spi_i, spi_r, exchange, message_id, .. } = message.header;
        let step = (exchange == ExchangeType::Intermediate).then_some(message_id);
        let digest = hash(0, &datagram.bytes);
        match self.ivs.insert(((spi_i, spi_r, initiator, step), iv), digest) {
            Some(before) if before != digest => Err("an IV is used twice with one key".to_owned()),
            _ => Ok(()),
        }
    }

    /// When the next thing happens (ms).
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.hosts.iter().map(Host::next).chain([self.net.next()]).flatten().min()
    }

    /// Lets time pass until `until` (ms).
    pub fn run_until(&mut self, until: u64) -> Result<(), Violation> {
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.clock.advance(at);
            self.step()?;
        }
        self.clock.advance(until);
        Ok(())
    }

    /// Everything that is due at one instant, once: arrivals, answers, deadlines.
    fn step(&mut self) -> Result<(), Violation> {
        let now = self.clock.mono();
        if self.at_once.0 == now {
            self.at_once.1 += 1
        } else {
            self.at_once = (now, 0)
        }
        if self.at_once.1 > MAX_AT_ONCE {
            return Err(self.violated(
                0,
                format!(
                    "time stands still; next: {:?}",
                    self.hosts.iter().map(Host::next).collect::<Vec<_>>()
                ),
            ));
        }
        while let Some(arrival) = self.net.arrive(now) {
            let Some((to, flight)) = arrival else { continue };
            let Some(host) = self.hosts.iter().position(|h| h.config.addresses.contains(&to.ip())) else {
                continue;
            };
            // A keepalive ends at the socket.
            if flight.bytes == [wire::frame::KEEPALIVE] {
                continue;
            }
            let datagram = Datagram { local: to, remote: flight.from, bytes: flight.bytes, dscp: 0 };
            self.hosts[host].engine.receive(self.clock.now(), datagram);
            self.drain(host)?;
        }
        for host in 0..self.hosts.len() {
            while let Some((ticket, ask)) = self.hosts[host].due(now) {
                let fail = self.dice.chance(self.mood.failures);
                let answer = self.hosts[host].obey(&mut self.ledger, &self.names, &ask, fail);
                let answer = answer.map_err(|what| self.violated(host, what))?;
                let text = brief_answer(&answer);
                self.transcript.line(
                    now,
                    &self.hosts[host].config.name,
                    format_args!("answer {} {text}", ticket.0),
                );
                self.hosts[host].engine.answer(self.clock.now(), ticket, answer);
                self.drain(host)?;
            }
            if self.hosts[host].engine.next_wake().is_some_and(|at| at <= now) {
                self.hosts[host].engine.wake(self.clock.now());
                self.drain(host)?;
            }
        }
        Ok(())
    }

    /// A packet through CHILD_SA `child` of `host`: it must come out at the other end, unless the way is cut. The
    /// receiver's data plane reports use, and a new outer address if it sees one. Gives whether somebody received it.
    pub fn traffic(&mut self, host: usize, child: u32) -> Result<bool, Violation> {
        let now = self.clock.mono();
        let Some(sender) = self.hosts[host].dataplane.children.get_mut(&child) else { return Ok(false) };
        if !sender.sending {
            return Ok(false);
        }
        count(&mut sender.usage.1, now);
        let (usage_in, usage_out) = sender.usage;
        let sent = sender.sa.clone();
        self.command(host, Command::Traffic { child, usage_in, usage_out })?;
        if self.net.is_cut(sent.local.ip(), now) || self.net.is_cut(sent.remote.ip(), now) {
            return Ok(false);
        }
        let seen_from = self.net.outside(sent.local);
        let receiver = self.hosts.iter().enumerate().find_map(|(i, h)| {
            let found = h.dataplane.children.values().find(|c| i != host && c.sa.spi_in == sent.spi_out)?;
            Some((i, found.sa.id))
        });
        let Some((other, id)) = receiver else { return Ok(false) };
        let Some(receiver) = self.hosts[other].dataplane.children.get_mut(&id) else { return Ok(false) };
        count(&mut receiver.usage.0, now);
        let (usage_in, usage_out) = receiver.usage;
        let got = receiver.sa.clone();
        agree(&sent, &got).map_err(|what| self.violated(other, what))?;
        self.command(other, Command::Traffic { child: id, usage_in, usage_out })?;
        if got.encap && seen_from != got.remote && self.hosts[other].dataplane.children.contains_key(&id) {
            self.command(other, Command::Mapping { child: id, remote: seen_from })?;
        }
        Ok(true)
    }

    /// Both ends of every CHILD_SA agree, both ends of every IKE_SA are there, and every engine's list is what its
    /// data plane has. To be asked when everything is quiet.
    pub fn check_agreement(&self) -> Result<(), Violation> {
        let lists: Vec<_> = self.hosts.iter().map(|h| h.engine.list(&Filter::default())).collect();
        for (host, list) in lists.iter().enumerate() {
            let mut listed = Vec::new();
            for sa in list {
                let title = format!("{}[{}] {}", sa.name, sa.unique_id, sa.state);
                if sa.state != "ESTABLISHED" {
                    return Err(self.violated(host, format!("{title} is not settled")));
                }
                if !(sa.tasks_active.is_empty() && sa.tasks_queued.is_empty() && sa.tasks_passive.is_empty())
                {
                    let tasks = (&sa.tasks_active, &sa.tasks_queued, &sa.tasks_passive);
                    return Err(self.violated(host, format!("{title} has tasks {tasks:?}")));
                }
                let twin = lists.iter().enumerate().find_map(|(i, list)| {
                    let twin = list.iter().find(|o| (o.spi_i, o.spi_r) == (sa.spi_i, sa.spi_r))?;
                    (i != host).then_some(twin)
                });
                let Some(twin) = twin else {
                    return Err(self.violated(host, format!("the peer does not know {title}")));
                };
                if twin.initiator == sa.initiator {
                    return Err(self.violated(host, format!("both ends of {title} have one role")));
                }
                for child in &sa.children {
                    listed.push(child.sa.id);
                    let name = format!("{}{{{}}} {}", child.sa.config.name, child.sa.id, child.state);
                    if child.state != "INSTALLED" {
                        return Err(self.violated(host, format!("{name} of {title} is not settled")));
                    }
                    let Some(installed) = self.hosts[host].dataplane.children.get(&child.sa.id) else {
                        return Err(self.violated(host, format!("{name} of {title} is not installed")));
                    };
                    let other = twin
                        .children
                        .iter()
                        .find(|o| (o.sa.spi_in, o.sa.spi_out) == (child.sa.spi_out, child.sa.spi_in));
                    let Some(other) = other else {
                        return Err(self.violated(host, format!("the peer does not know {name} of {title}")));
                    };
                    agree(&installed.sa, &other.sa)
                        .map_err(|what| self.violated(host, format!("{name}: {what}")))?;
                }
            }
            listed.sort_unstable();
            let installed: Vec<u32> = self.hosts[host].dataplane.children.keys().copied().collect();
            if listed != installed {
                return Err(
                    self.violated(host, format!("children {listed:?} are listed, {installed:?} installed"))
                );
            }
        }
        Ok(())
    }

    /// Nothing is left of anything. To be asked after a shutdown.
    pub fn check_empty(&self, host: usize) -> Result<(), Violation> {
        self.hosts[host].check_empty().map_err(|what| self.violated(host, what))
    }
}

/// Both ends of a CHILD_SA: `a` as one host has it, `b` as the other.
fn agree(a: &policy::ChildSa, b: &policy::ChildSa) -> Result<(), String> {
    let same =
        |what: &str, same: bool| if same { Ok(()) } else { Err(format!("the ends disagree on {what}")) };
    same("SPIs", (a.spi_in, a.spi_out) == (b.spi_out, b.spi_in))?;
    same("keys", a.keys_in.encr == b.keys_out.encr && a.keys_out.encr == b.keys_in.encr)?;
    same("integrity keys", a.keys_in.integ == b.keys_out.integ && a.keys_out.integ == b.keys_in.integ)?;
    same("the cipher", (a.encr, a.integ, a.esn) == (b.encr, b.integ, b.esn))?;
    same("protocol and mode", (a.protocol, a.mode) == (b.protocol, b.mode))?;
    same("CPIs", (a.cpi_in, a.cpi_out) == (b.cpi_out, b.cpi_in))?;
    same("selectors", a.local_ts == b.remote_ts && a.remote_ts == b.local_ts)?;
    same("UDP encapsulation", a.encap == b.encap)?;
    same("who initiated", a.initiator != b.initiator)
}

fn count(usage: &mut Usage, now: u64) {
    usage.packets += 1;
    usage.bytes += 84;
    usage.last = Some(now);
}

fn brief(d: &Datagram) -> String {
    let path = |a: SocketAddr| a.to_string();
    match Header::parse(&d.bytes) {
        Ok(h) => format!(
            "send {} -> {} {:?} {} {} of {:08x}:{:08x}, {} bytes #{:08x}",
            path(d.local),
            path(d.remote),
            h.exchange,
            if h.flags.contains(Flags::RESPONSE) { "response" } else { "request" },
            h.message_id,
            h.spi_i >> 32,
            h.spi_r >> 32,
            d.bytes.len(),
            hash(0, &d.bytes) >> 32,
        ),
        Err(_) => format!("send {} -> {} {} bytes", path(d.local), path(d.remote), d.bytes.len()),
    }
}

fn brief_command(c: &Command) -> String {
    match c {
        Command::Reload { start_actions, .. } => format!("Reload {start_actions:?}"),
        Command::Adopt { .. } => "Adopt".to_owned(),
        other => format!("{other:?}"),
    }
}

fn brief_ask(ask: &Ask) -> String {
    match ask {
        Ask::InstallChild(c) => format!(
            "InstallChild {}{{{}}} of {} {:08x}_i {:08x}_o reqid {}{}{}",
            c.config.name,
            c.id,
            c.ike_id,
            c.spi_in,
            c.spi_out,
            c.reqid,
            c.replaces.map(|r| format!(" replaces {r}")).unwrap_or_default(),
            if c.inbound_only { " inbound only" } else { "" },
        ),
        Ask::InstallPolicy(p) => format!("InstallPolicy {} {}", p.id, p.config.name),
        Ask::Resolve { names, .. } => format!("Resolve {names:?}"),
        Ask::Lease(r) => format!("Lease {:?} for {} of {}", r.requested, r.identity, r.ike_id),
        Ask::VirtualIps { ike_id, addresses, up, .. } => {
            format!("VirtualIps {addresses:?} of {ike_id} up: {up}")
        }
        other => format!("{other:?}"),
    }
}

fn brief_answer(answer: &Answer) -> String {
    match answer {
        Answer::Leased { addresses, .. } => format!("Leased {addresses:?}"),
        other => format!("{other:?}"),
    }
}

fn brief_event(event: &Event) -> Option<String> {
    Some(match event {
        Event::Log { group, level, ike, text } => {
            let tag = ike.as_ref().map(|(name, id)| format!(" <{name}|{id}>")).unwrap_or_default();
            format!("[{group:?}{level}]{tag} {text}")
        }
        Event::CommandLog { .. } | Event::Count { .. } => return None,
        Event::IkeUpDown { up, sa } => format!("IKE_SA {}[{}] up: {up}", sa.name, sa.unique_id),
        Event::IkeRekey { old, new } => {
            format!("IKE_SA {}[{}] rekeyed: [{}]", old.name, old.unique_id, new.unique_id)
        }
        Event::IkeUpdate { sa, local, remote } => {
            format!("IKE_SA {}[{}] moved: {local} {remote}", sa.name, sa.unique_id)
        }
        Event::ChildUpDown { up, child, .. } => {
            format!("CHILD_SA {}{{{}}} up: {up}", child.sa.config.name, child.sa.id)
        }
        Event::ChildRekey { old, new, .. } => {
            format!("CHILD_SA {}{{{}}} rekeyed: {{{}}}", old.sa.config.name, old.sa.id, new.sa.id)
        }
        Event::ChildRetired { child, .. } => {
            format!("CHILD_SA {}{{{}}} retired", child.sa.config.name, child.sa.id)
        }
        Event::Alert { kind, .. } => format!("alert {kind}"),
        Event::CommandDone { id, matches, done, error } => {
            format!("command {} done: {done} of {matches}, {error:?}", id.0)
        }
    })
}
