//! A tiny world: engines at addresses, a wire between them, asks answered at once (or on request later).
use ike::io::{CommandId, Event, Filter};
use ike::{Answer, Ask, Command, Datagram, Engine, Now, Output, Shard, Ticket};
use policy::{
    Auth, AuthClass, Child, ChildSa, Connection, Identity, PeerAddr, Settings, SharedSecret, Snapshot,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use testkit::credentials::Credentials;

pub fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

pub fn psk(owners: &[&str], secret: &str) -> Arc<SharedSecret> {
    Arc::new(SharedSecret {
        id: String::new(),
        kind: policy::secrets::SecretKind::Ike,
        data: crypto::Secret::from(secret.as_bytes()),
        owners: owners.iter().map(|o| Identity::parse(o).unwrap()).collect(),
    })
}

pub fn auth(name: &str, id: &str) -> Auth {
    let mut a = Auth::named(name, AuthClass::Psk);
    a.id = (!id.is_empty()).then(|| Identity::parse(id).unwrap());
    a
}

pub fn child(name: &str, local: &str, remote: &str) -> Child {
    let list = |s: &str| s.split(',').filter(|x| !x.is_empty()).map(|x| x.trim().parse().unwrap()).collect();
    let mut c = Child::named(name);
    c.local_ts = list(local);
    c.remote_ts = list(remote);
    c.proposals = policy::proposal::parse_proposals(wire::iana::ProtocolId::Esp, "aes128gcm16").unwrap();
    c
}

pub fn conn(name: &str, local: &str, remote: &str, ids: (&str, &str), children: Vec<Child>) -> Connection {
    let addr = |s: &str| vec![PeerAddr::parse(s).unwrap()];
    let mut c = Connection::named(name);
    c.local_addrs = addr(local);
    c.remote_addrs = addr(remote);
    c.proposals =
        policy::proposal::parse_proposals(wire::iana::ProtocolId::Ike, "aes128gcm16-prfsha256-x25519")
            .unwrap();
    c.local = vec![auth("local", ids.0)];
    c.remote = vec![auth("remote", ids.1)];
    c.children = children.into_iter().map(Arc::new).collect();
    c
}

pub fn snapshot(
    connections: Vec<Connection>,
    secrets: Vec<Arc<SharedSecret>>,
    settings: Settings,
) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        authorities: Vec::new(),
        ocsp_signers: Vec::new(),
        connections: connections.into_iter().map(Arc::new).collect(),
        secrets,
        settings: Arc::new(settings),
    })
}

/// A host with an engine.
pub struct Node {
    pub engine: Engine,
    pub installed: BTreeMap<u32, ChildSa>,
    pub policies: BTreeMap<u32, policy::sa::PolicyOnly>,
    pub credentials: Credentials,
    pub vips: Vec<IpAddr>,
    pub pool: VecDeque<IpAddr>,
    /// Leases of IPv6 are prefixes of this length.
    pub prefix: u8,
    /// Attributes for whoever gets an address, beside a DNS server.
    pub attributes: Vec<wire::ike::ConfigAttr>,
    /// What was asked for.
    pub asked: Vec<ike::io::LeaseRequest>,
    pub leased: Vec<IpAddr>,
    /// Attributes that came with virtual IPs.
    pub received: Vec<wire::ike::ConfigAttr>,
    /// Leases may come back that nobody knows of.
    pub forgetful: bool,
    pub events: Vec<Event>,
    pub log: Vec<String>,
    pub done: Vec<(CommandId, u32, u32, Option<String>)>,
    /// Answers to `Resolve`.
    pub paths: Vec<(IpAddr, IpAddr)>,
    /// Keep these asks open: (ticket, ask).
    pub hold: fn(&Ask) -> bool,
    pub held: Vec<(Ticket, Ask)>,
    /// Refuse these.
    pub fail: fn(&Ask) -> bool,
}

/// Decides whether a datagram is lost; gets its number.
pub type Lose = Box<dyn FnMut(usize, &Datagram) -> bool>;

/// A NAT in front of a host: inside address to outside address; ports are shifted.
#[derive(Clone, Copy)]
pub struct Nat {
    pub inside: IpAddr,
    pub outside: IpAddr,
    pub port_shift: u16,
}

pub struct World {
    pub now: Now,
    pub nodes: Vec<Node>,
    pub wire: VecDeque<Datagram>,
    pub nat: Option<Nat>,
    /// Return true to lose the datagram; gets its number.
    pub lose: Lose,
    pub sent: usize,
    pub transcript: Vec<Datagram>,
    /// Hand SAs over to a new engine after every input.
    pub migrate: bool,
    generation: u8,
    next_command: u64,
}

impl World {
    pub fn new(snapshots: Vec<Arc<Snapshot>>) -> Self {
        let now = Now { mono: 1_000_000, wall: 1_700_000_000 };
        let nodes = snapshots
            .into_iter()
            .enumerate()
            .map(|(i, s)| Node {
                engine: Engine::new(
                    now,
                    crypto::Rng::from_seed([u8::try_from(i).unwrap() + 1; 32]),
                    s,
                    Shard::default(),
                ),
                installed: BTreeMap::new(),
                policies: BTreeMap::new(),
                credentials: Credentials::default(),
                vips: Vec::new(),
                pool: VecDeque::new(),
                prefix: 128,
                attributes: Vec::new(),
                asked: Vec::new(),
                leased: Vec::new(),
                received: Vec::new(),
                forgetful: false,
                events: Vec::new(),
                log: Vec::new(),
                done: Vec::new(),
                paths: Vec::new(),
                hold: |_| false,
                held: Vec::new(),
                fail: |_| false,
            })
            .collect();
        Self {
            now,
            nodes,
            wire: VecDeque::new(),
            nat: None,
            lose: Box::new(|_, _| false),
            sent: 0,
            transcript: Vec::new(),
            migrate: false,
            generation: 100,
            next_command: 0,
        }
    }

    fn owner(&self, a: IpAddr) -> Option<usize> {
        // Node n lives at *.*.*.(n+1) of 192.0.2.0/24, at 10.0.0.(n+1) behind a NAT, or at 2001:db8::(n+1).
        match a {
            IpAddr::V4(v4) => usize::from(v4.octets()[3]).checked_sub(1).map(|n| n % 10),
            IpAddr::V6(v6) => usize::from(v6.octets()[15]).checked_sub(1),
        }
        .filter(|n| *n < self.nodes.len())
    }

    /// Drains the outputs of a node.
    pub fn drain(&mut self, n: usize) {
        loop {
            let mut answers = Vec::new();
            while let Some(o) = self.nodes[n].engine.poll() {
                match o {
                    Output::Send(d) => self.send(d),
                    Output::Ask(t, a) => {
                        let node = &mut self.nodes[n];
                        if (node.hold)(&a) {
                            node.held.push((t, a));
                        } else {
                            answers.push((t, node.reply(a)));
                        }
                    }
                    Output::Tell(e) => {
                        let now = self.now.mono - 1_000_000;
                        self.nodes[n].tell(now, n, e);
                    }
                }
            }
            if answers.is_empty() {
                break;
            }
            for (t, a) in answers {
                let now = self.now;
                self.nodes[n].engine.answer(now, t, a);
            }
        }
        if self.migrate {
            self.handover(n);
        }
    }

    /// Moves all SAs of a node to a fresh engine.
    pub fn handover(&mut self, n: usize) {
        self.generation = self.generation.wrapping_add(1);
        let old = &self.nodes[n].engine;
        let ids: Vec<u32> = old.list(&Filter::default()).iter().map(|v| v.unique_id).collect();
        if ids.is_empty() {
            return;
        }
        let states: Vec<ike::IkeSaState> = ids
            .iter()
            .map(|id| {
                let bytes = postcard::to_stdvec(&old.export(*id).unwrap()).unwrap();
                postcard::from_bytes(&bytes).unwrap()
            })
            .collect();
        let snapshot = old.snapshot();
        let mut fresh =
            Engine::new(self.now, crypto::Rng::from_seed([self.generation; 32]), snapshot, Shard::default());
        let reasked: Vec<Ask> = std::mem::take(&mut self.nodes[n].held).into_iter().map(|(_, a)| a).collect();
        for s in states {
            fresh.command(self.now, Command::Adopt { state: Box::new(s) });
        }
        self.nodes[n].engine = fresh;
        let migrate = std::mem::replace(&mut self.migrate, false);
        self.drain(n);
        self.migrate = migrate;
        drop(reasked);
    }

    fn send(&mut self, mut d: Datagram) {
        self.sent += 1;
        self.transcript.push(d.clone());
        if (self.lose)(self.sent, &d) {
            return;
        }
        if let Some(nat) = self.nat {
            if d.local.ip() == nat.inside {
                d.local = SocketAddr::new(nat.outside, d.local.port() + nat.port_shift);
            } else if d.remote.ip() == nat.outside {
                d.remote = SocketAddr::new(nat.inside, d.remote.port() - nat.port_shift);
            }
        }
        self.wire.push_back(d);
    }

    /// Delivers everything.
    pub fn run(&mut self) {
        for n in 0..self.nodes.len() {
            self.drain(n);
        }
        for _ in 0..10_000 {
            let Some(d) = self.wire.pop_front() else { return };
            self.deliver(d);
        }
        panic!("the world does not come to rest");
    }

    pub fn deliver(&mut self, d: Datagram) {
        let Some(n) = self.owner(d.remote.ip()) else { return };
        let there = Datagram { local: d.remote, remote: d.local, bytes: d.bytes, dscp: d.dscp };
        let now = self.now;
        self.nodes[n].engine.receive(now, there);
        self.drain(n);
    }

    pub fn inject(&mut self, n: usize, d: Datagram) {
        let now = self.now;
        self.nodes[n].engine.receive(now, d);
        self.drain(n);
    }

    /// Lets time pass, waking engines when they ask for it.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        for _ in 0..100_000 {
            self.run();
            let next = self.nodes.iter().filter_map(|n| n.engine.next_wake()).min().filter(|t| *t <= end);
            let Some(t) = next else { break };
            self.clock(t.max(self.now.mono));
            for n in 0..self.nodes.len() {
                let now = self.now;
                self.nodes[n].engine.wake(now);
                self.drain(n);
            }
        }
        self.clock(end);
        self.run();
    }

    fn clock(&mut self, mono: u64) {
        self.now = Now { mono, wall: 1_700_000_000 + (mono - 1_000_000) / 1000 };
    }

    pub fn command(&mut self, n: usize, f: impl FnOnce(CommandId) -> Command) -> CommandId {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        let now = self.now;
        self.nodes[n].engine.command(now, f(id));
        self.drain(n);
        id
    }

    pub fn initiate(&mut self, n: usize, child: &str) -> CommandId {
        let child = Some(child.to_owned());
        self.command(n, |id| Command::Initiate { id, ike: None, child })
    }

    pub fn terminate(&mut self, n: usize, filter: Filter) -> CommandId {
        self.command(n, |id| Command::Terminate { id, filter, force: false })
    }

    /// Answers what was held.
    pub fn release(&mut self, n: usize) {
        self.nodes[n].hold = |_| false;
        for (t, a) in std::mem::take(&mut self.nodes[n].held) {
            let reply = self.nodes[n].reply(a);
            let now = self.now;
            self.nodes[n].engine.answer(now, t, reply);
        }
        self.run();
    }

    pub fn result(&self, n: usize, id: CommandId) -> Option<Option<String>> {
        self.nodes[n].done.iter().find(|(i, ..)| *i == id).map(|(.., e)| e.clone())
    }

    /// Both ends agree on everything that is installed.
    pub fn assert_agreement(&self) {
        let keys = |c: &ChildSa, swap: bool| {
            let (a, b) = if swap { (&c.keys_out, &c.keys_in) } else { (&c.keys_in, &c.keys_out) };
            (
                a.encr.as_slice().to_vec(),
                a.integ.as_slice().to_vec(),
                b.encr.as_slice().to_vec(),
                b.integ.as_slice().to_vec(),
            )
        };
        for c in self.nodes[0].installed.values() {
            let peer = self.nodes[1..]
                .iter()
                .flat_map(|n| n.installed.values())
                .find(|p| p.spi_in == c.spi_out && p.spi_out == c.spi_in)
                .unwrap_or_else(|| panic!("{} has no counterpart", c.config.name));
            assert_eq!(keys(c, false), keys(peer, true), "keys of {}", c.config.name);
            assert_eq!((&c.local_ts, &c.remote_ts), (&peer.remote_ts, &peer.local_ts));
            assert_eq!(
                (c.mode, c.encr, c.integ, c.esn, c.encap, c.protocol, c.cpi_in, c.cpi_out),
                (
                    peer.mode,
                    peer.encr,
                    peer.integ,
                    peer.esn,
                    peer.encap,
                    peer.protocol,
                    peer.cpi_out,
                    peer.cpi_in
                )
            );
        }
        let total: usize = self.nodes[1..].iter().map(|n| n.installed.len()).sum();
        assert_eq!(self.nodes[0].installed.len(), total, "as many CHILD_SAs here as there");
    }

    pub fn has_log(&self, n: usize, text: &str) -> bool {
        self.nodes[n].log.iter().any(|l| l.contains(text))
    }

    pub fn dump(&self) {
        for (i, n) in self.nodes.iter().enumerate() {
            for l in &n.log {
                eprintln!("{i}: {l}");
            }
        }
    }
}

impl Node {
    pub fn reply(&mut self, a: Ask) -> Answer {
        if (self.fail)(&a) {
            return Answer::Failed("told to".to_owned());
        }
        if let Some(answer) = self.credentials.answer(&a) {
            return answer;
        }
        match a {
            Ask::Resolve { .. } => Answer::Resolved(self.paths.clone()),
            Ask::Sign(_) | Ask::Judge(_) | Ask::Eap { .. } => unreachable!("answered by the credentials"),
            Ask::Lease(r) => {
                self.asked.push(r.clone());
                let mut addresses = Vec::new();
                for want in r.requested.iter().map(|vip| vip.address()) {
                    // Who has it, may have it twice.
                    if self.leased.contains(&want) {
                        addresses.push(want);
                    } else if let Some(i) = self.pool.iter().position(|p| p.is_ipv4() == want.is_ipv4()) {
                        addresses.extend(self.pool.remove(i));
                    }
                }
                self.leased.extend(&addresses);
                let dns = wire::ike::ConfigAttr {
                    kind: wire::iana::ConfigAttribute::Ip4Dns,
                    value: vec![10, 1, 0, 53],
                };
                let mut attributes = if addresses.is_empty() { Vec::new() } else { vec![dns] };
                attributes.extend(self.attributes.iter().filter(|_| !addresses.is_empty()).cloned());
                let trouble = addresses.is_empty().then(|| "the pool is empty".to_owned());
                let whole = |a: IpAddr| policy::VirtualIp::new(a, self.prefix).unwrap_or_else(|| a.into());
                let addresses = addresses.into_iter().map(whole).collect();
                Answer::Leased { addresses, attributes, trouble }
            }
            Ask::Release { addresses, .. } => {
                for a in addresses {
                    let Some(at) = self.leased.iter().position(|l| *l == a) else {
                        assert!(self.forgetful, "what comes back was leased");
                        continue;
                    };
                    self.leased.remove(at);
                    if !self.leased.contains(&a) {
                        self.pool.push_back(a);
                    }
                }
                Answer::Done
            }
            Ask::VirtualIps { addresses, attributes, up, .. } => {
                if up {
                    self.received = attributes;
                    self.vips.extend(addresses);
                } else {
                    for a in addresses {
                        let at = self.vips.iter().position(|v| *v == a).expect("what goes was there");
                        self.vips.remove(at);
                    }
                }
                Answer::Done
            }
            Ask::InstallChild(c) => {
                self.installed.insert(c.id, Arc::unwrap_or_clone(c));
                Answer::Done
            }
            Ask::ActivateOutbound { child } => {
                self.installed.get_mut(&child).expect("activated child is installed").inbound_only = false;
                Answer::Done
            }
            Ask::UpdateChild { child, local, remote, encap } => {
                let c = self.installed.get_mut(&child).expect("updated child is installed");
                (c.local, c.remote, c.encap) = (local, remote, encap);
                Answer::Done
            }
            Ask::RemoveChild { child, .. } => {
                self.installed.remove(&child);
                Answer::Removed { usage_in: Default::default(), usage_out: Default::default() }
            }
            Ask::InstallPolicy(p) => {
                self.policies.insert(p.id, *p);
                Answer::Done
            }
            Ask::RemovePolicy { id } => {
                self.policies.remove(&id);
                Answer::Done
            }
        }
    }

    fn tell(&mut self, now: u64, n: usize, e: Event) {
        match &e {
            Event::Log { group, ike, text, .. } => {
                let tag = ike.as_ref().map_or_else(String::new, |(n, i)| format!("<{n}|{i}> "));
                let line = format!("{now:>8} {n} {tag}[{group:?}] {text}");
                if std::env::var_os("TRACE").is_some() {
                    eprintln!("{line}");
                }
                self.log.push(line);
            }
            Event::CommandDone { id, matches, done, error } => {
                self.done.push((*id, *matches, *done, error.clone()))
            }
            _ => {}
        }
        self.events.push(e);
    }
}

/// A roadwarrior (node 0) and its gateway (node 1).
pub fn road_warrior() -> Vec<Arc<Snapshot>> {
    road_warrior_with(|_| {}, |_| {}, Settings::default())
}

pub fn road_warrior_with(
    client: impl FnOnce(&mut Connection),
    gateway: impl FnOnce(&mut Connection),
    settings: Settings,
) -> Vec<Arc<Snapshot>> {
    let mut home = conn(
        "home",
        "192.0.2.1",
        "192.0.2.2",
        ("carol@example.org", "moon.example.org"),
        vec![child("net", "dynamic", "10.1.0.0/16,fec1::/16")],
    );
    home.vips = ["0.0.0.0", "::"].map(|v| v.parse().unwrap()).to_vec();
    client(&mut home);
    let mut rw = conn(
        "rw",
        "192.0.2.2",
        "%any",
        ("moon.example.org", "carol@example.org"),
        vec![child("net", "10.1.0.0/16,fec1::/16", "dynamic")],
    );
    rw.pools = vec!["pool".to_owned()];
    gateway(&mut rw);
    let key = || vec![psk(&["carol@example.org", "moon.example.org"], "a long shared secret")];
    vec![snapshot(vec![home], key(), settings.clone()), snapshot(vec![rw], key(), settings)]
}

/// Two gateways with a subnet each.
pub fn site_to_site() -> Vec<Arc<Snapshot>> {
    site_to_site_with(|_| {}, |_| {}, Settings::default())
}

pub fn site_to_site_with(
    left: impl FnOnce(&mut Connection),
    right: impl FnOnce(&mut Connection),
    settings: Settings,
) -> Vec<Arc<Snapshot>> {
    let mut a = conn(
        "gw",
        "192.0.2.1",
        "192.0.2.2",
        ("sun", "moon"),
        vec![child("net", "10.2.0.0/16", "10.1.0.0/16")],
    );
    let mut b = conn(
        "gw",
        "192.0.2.2",
        "192.0.2.1",
        ("moon", "sun"),
        vec![child("net", "10.1.0.0/16", "10.2.0.0/16")],
    );
    left(&mut a);
    right(&mut b);
    let key = || vec![psk(&["sun", "moon"], "a long shared secret")];
    vec![snapshot(vec![a], key(), settings.clone()), snapshot(vec![b], key(), settings)]
}

/// Up and running.
pub fn established(snapshots: Vec<Arc<Snapshot>>) -> World {
    let mut w = World::new(snapshots);
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    if w.result(0, id) != Some(None) {
        w.dump();
        panic!("not established: {:?}", w.result(0, id));
    }
    w.assert_agreement();
    w
}

pub fn all() -> Filter {
    Filter::default()
}
