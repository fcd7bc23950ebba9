//! Two engines and what each needs around it: a road warrior and its gateway.
use crate::certificates::Keychain;
use crate::meter::Meter;
use ike::io::{CommandId, Filter};
use ike::{Answer, Ask, Command, Datagram, Engine, Now, Output, Shard};
use policy::{
    Auth, AuthClass, Child, Connection, Identity, PeerAddr, PoolConfig, Settings, SharedSecret, Snapshot,
    VirtualIp,
};
use pool::Pools;
use std::sync::Arc;
use wire::iana::ProtocolId;

pub(crate) const CLIENT: &str = "carol.example.org";
pub(crate) const GATEWAY: &str = "moon.example.org";
/// Seconds without a sign of life until the client asks for one.
const DPD_DELAY: u64 = 30;
/// 27 November 2026.
pub(crate) const WALL: u64 = 1_795_748_645;

/// Whose work is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Initiator,
    Responder,
    Both,
}

/// How the two prove who they are.
#[derive(Clone)]
pub(crate) enum Proof {
    Psk,
    /// Keychains of the client and of the gateway.
    Certificates(Keychain, Keychain),
}

/// Configurations of both, from which any number of pairs begin.
#[derive(Clone)]
pub(crate) struct Plan {
    client: Arc<Snapshot>,
    gateway: Arc<Snapshot>,
    proof: Proof,
}

impl Plan {
    pub(crate) fn new(proposals: &str, proof: Proof) -> Self {
        let mut client = connection("home", "192.0.2.1", "192.0.2.2", proposals, (CLIENT, GATEWAY), &proof);
        client.vips = vec!["0.0.0.0".parse().unwrap()];
        client.dpd_delay = DPD_DELAY;
        client.children = vec![child("dynamic", "10.1.0.0/16")];
        let mut gateway = connection("rw", "192.0.2.2", "%any", proposals, (GATEWAY, CLIENT), &proof);
        gateway.pools = vec!["pool".to_owned()];
        gateway.children = vec![child("10.1.0.0/16", "dynamic")];
        Self { client: snapshot(client, &proof), gateway: snapshot(gateway, &proof), proof }
    }
}

fn connection(
    name: &str,
    local: &str,
    remote: &str,
    proposals: &str,
    ids: (&str, &str),
    proof: &Proof,
) -> Connection {
    let mut c = Connection::named(name);
    c.local_addrs = vec![PeerAddr::parse(local).unwrap()];
    c.remote_addrs = vec![PeerAddr::parse(remote).unwrap()];
    c.proposals = policy::proposal::parse_proposals(ProtocolId::Ike, proposals).unwrap();
    let round = |name: &str, id: &str| {
        let class = match proof {
            Proof::Psk => AuthClass::Psk,
            Proof::Certificates(..) => AuthClass::parse("pubkey").unwrap(),
        };
        let mut auth = Auth::named(name, class);
        auth.id = Some(Identity::parse(id).unwrap());
        auth
    };
    c.local = vec![round("local", ids.0)];
    c.remote = vec![round("remote", ids.1)];
    c
}

fn child(local: &str, remote: &str) -> Arc<Child> {
    let mut child = Child::named("net");
    child.proposals = policy::proposal::parse_proposals(ProtocolId::Esp, "aes128gcm16").unwrap();
    child.local_ts = vec![local.parse().unwrap()];
    child.remote_ts = vec![remote.parse().unwrap()];
    Arc::new(child)
}

fn snapshot(connection: Connection, proof: &Proof) -> Arc<Snapshot> {
    let secret = SharedSecret {
        id: String::new(),
        kind: policy::secrets::SecretKind::Ike,
        data: crypto::Secret::from(&b"a long shared secret"[..]),
        owners: Vec::new(),
    };
    let authorities = match proof {
        Proof::Psk => Vec::new(),
        Proof::Certificates(keychain, _) => keychain.authorities(),
    };
    Arc::new(Snapshot {
        authorities,
        connections: vec![Arc::new(connection)],
        secrets: vec![Arc::new(secret)],
        // All pairs are at the same addresses: nothing shall be taken for a flood.
        settings: Arc::new(Settings { dos_protection: false, ..Settings::default() }),
        ..Snapshot::default()
    })
}

/// One end.
struct End {
    engine: Engine,
    pools: Pools,
    keychain: Option<Keychain>,
}

/// Both ends, the client first, and their time.
pub(crate) struct Pair {
    now: Now,
    client: End,
    gateway: End,
}

impl Pair {
    pub(crate) fn new(plan: &Plan, seed: u8) -> Self {
        let now = Now { mono: 1_000_000, wall: WALL };
        let (client, gateway) = match &plan.proof {
            Proof::Psk => (None, None),
            Proof::Certificates(client, gateway) => (Some(client.clone()), Some(gateway.clone())),
        };
        let end = |snapshot: &Arc<Snapshot>, seed: [u8; 32], keychain| {
            let mut pools = Pools::new();
            pools.load(PoolConfig::new("pool", "10.3.0.0/16".parse().unwrap())).unwrap();
            let engine =
                Engine::new(now, crypto::Rng::from_seed(seed), Arc::clone(snapshot), Shard::default());
            End { engine, pools, keychain }
        };
        Self {
            now,
            client: end(&plan.client, [seed; 32], client),
            gateway: end(&plan.gateway, [seed ^ 0x80; 32], gateway),
        }
    }

    /// With the IKE_SA and its CHILD_SA up; uncounted.
    pub(crate) fn established(plan: &Plan, seed: u8) -> Self {
        let mut pair = Self::new(plan, seed);
        pair.handshake(None);
        pair
    }

    /// IKE_SA_INIT and IKE_AUTH, and what may lie between.
    pub(crate) fn handshake(&mut self, meter: Option<(&mut Meter, Side)>) {
        let child = Some("net".to_owned());
        self.command(Command::Initiate { id: CommandId(1), ike: None, child }, meter);
        self.expect(1);
    }

    /// The client rekeys its IKE_SA.
    pub(crate) fn rekey_ike(&mut self, meter: Option<(&mut Meter, Side)>) {
        let before = self.spi();
        let filter = Filter { ike_id: Some(self.id()), ..Filter::default() };
        self.command(Command::Rekey { id: CommandId(2), filter, reauth: false }, meter);
        assert_ne!(before, self.spi(), "the IKE_SA was rekeyed");
        self.expect(1);
    }

    /// The client rekeys its CHILD_SA.
    pub(crate) fn rekey_child(&mut self, meter: Option<(&mut Meter, Side)>) {
        // The old one is listed for some time.
        let child = |end: &End| {
            let list = end.engine.list(&Filter::default());
            list[0].children.iter().find(|child| child.state == "INSTALLED").map(|child| child.sa.spi_in)
        };
        let before = child(&self.client);
        let filter = Filter { child: Some("net".to_owned()), ..Filter::default() };
        self.command(Command::Rekey { id: CommandId(2), filter, reauth: false }, meter);
        let after = child(&self.client);
        assert!(after.is_some() && after != before, "the CHILD_SA was rekeyed");
    }

    /// The client has heard nothing for long, asks, and is answered.
    pub(crate) fn liveness(&mut self, mut meter: Option<(&mut Meter, Side)>) {
        let passed = DPD_DELAY * 1000 + 1000;
        self.now = Now { mono: self.now.mono + passed, wall: self.now.wall + passed / 1000 };
        let (now, client) = (self.now, &mut self.client);
        let sent = counted(meter.as_mut(), Side::Initiator, || {
            client.engine.wake(now);
            client.drain(now)
        });
        assert_eq!(sent.len(), 1, "one question whether the peer is alive");
        self.carry(sent, meter);
        self.expect(1);
    }

    fn command(&mut self, command: Command, mut meter: Option<(&mut Meter, Side)>) {
        let (now, client) = (self.now, &mut self.client);
        let sent = counted(meter.as_mut(), Side::Initiator, || {
            client.engine.command(now, command);
            client.drain(now)
        });
        self.carry(sent, meter);
    }

    /// Carries datagrams to and fro until both are silent.
    fn carry(&mut self, mut to_gateway: Vec<Datagram>, mut meter: Option<(&mut Meter, Side)>) {
        let now = self.now;
        while !to_gateway.is_empty() {
            let gateway = &mut self.gateway;
            let to_client = counted(meter.as_mut(), Side::Responder, || gateway.receive(now, to_gateway));
            let client = &mut self.client;
            to_gateway = counted(meter.as_mut(), Side::Initiator, || client.receive(now, to_client));
        }
    }

    /// What is counted must be what was meant.
    fn expect(&self, sas: usize) {
        for end in [&self.client, &self.gateway] {
            let list = end.engine.list(&Filter::default());
            assert!(list.len() == sas && list.iter().all(|sa| sa.state == "ESTABLISHED"), "{list:?}");
            assert!(list.iter().all(|sa| sa.children.len() == 1), "{list:?}");
        }
    }

    fn id(&self) -> u32 {
        self.client.engine.list(&Filter::default())[0].unique_id
    }

    fn spi(&self) -> u64 {
        self.client.engine.list(&Filter::default())[0].spi_i
    }
}

fn counted<R>(meter: Option<&mut (&mut Meter, Side)>, whose: Side, work: impl FnOnce() -> R) -> R {
    match meter {
        Some((meter, side)) if *side == whose || *side == Side::Both => meter.count(work),
        _ => work(),
    }
}

impl End {
    fn receive(&mut self, now: Now, datagrams: Vec<Datagram>) -> Vec<Datagram> {
        for datagram in datagrams {
            self.engine.receive(now, datagram);
        }
        self.drain(now)
    }

    /// Answers all questions; gives what is to be sent, as the other end sees it.
    fn drain(&mut self, now: Now) -> Vec<Datagram> {
        let mut sent = Vec::new();
        loop {
            let mut answers = Vec::new();
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Send(d) => sent.push(Datagram { local: d.remote, remote: d.local, ..d }),
                    Output::Ask(ticket, ask) => answers.push((ticket, self.answer(ask))),
                    Output::Tell(_) => {}
                }
            }
            if answers.is_empty() {
                return sent;
            }
            for (ticket, answer) in answers {
                self.engine.answer(now, ticket, answer);
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::RemoveChild { .. } => {
                Answer::Removed { usage_in: Default::default(), usage_out: Default::default() }
            }
            Ask::Lease(wanted) => {
                let granted = self.pools.lease(&wanted.pools, &wanted.identity, &wanted.requested, 0);
                let addresses = granted.grants.iter().filter_map(|g| VirtualIp::new(g.address, g.prefix));
                let addresses = addresses.collect();
                Answer::Leased { addresses, attributes: granted.attributes, trouble: None }
            }
            Ask::Sign(request) => self.keychain.as_mut().unwrap().sign(&request),
            Ask::Judge(request) => self.keychain.as_mut().unwrap().judge(*request),
            _ => Answer::Done,
        }
    }
}
