//! Many road warriors of one gateway: what an IKE_SA costs its responder, and what the gateway does with very many.
use ike::io::CommandId;
use ike::{Answer, Ask, Command, Datagram, Engine, Event, Now, Output, Shard};
use policy::{
    Auth, AuthClass, Child, Connection, Identity, PeerAddr, Settings, SharedSecret, Snapshot, VirtualIp,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use wire::iana::ProtocolId;

/// Runs a step of the gateway; whoever measures does so around it.
pub type Around<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// A gateway and what its clients have in common. Everything is a function of the seed.
pub struct Fleet {
    /// The responder.
    pub gateway: Engine,
    /// Both clocks of everybody.
    pub now: Now,
    /// Alters the connection of a client before it is used.
    pub client: fn(&mut Connection),
    joined: u32,
    /// What is on the way to the gateway, and back. Memory is kept, so that it counts for nobody.
    to_gateway: Wire,
    to_client: Wire,
}

/// A client of the fleet, for those who need it after it has joined.
pub struct Client {
    /// Its engine.
    pub engine: Engine,
    /// Its outer address.
    pub address: SocketAddr,
}

impl Fleet {
    /// A gateway with one connection: a pre-shared key, any client of a domain, a pool, one child. `alter` changes
    /// the connection.
    ///
    /// # Panics
    /// Never, unless `policy` no longer reads its own words.
    #[must_use]
    pub fn new(alter: impl FnOnce(&mut Connection), client: fn(&mut Connection)) -> Self {
        let mut conn = connection("gw", "192.0.2.1", "%any", ("moon.example.org", "*@example.org"));
        conn.pools = vec!["rw".to_owned()];
        alter(&mut conn);
        let now = Now { mono: 1_000_000, wall: 1_700_000_000 };
        let rng = crypto::Rng::from_seed([0xfe; 32]);
        let gateway = Engine::new(now, rng, snapshot(conn), Shard::default());
        Self { gateway, now, client, joined: 0, to_gateway: Wire::default(), to_client: Wire::default() }
    }

    /// One more client sets up an IKE_SA with a virtual IP and a CHILD_SA.
    ///
    /// # Panics
    /// It does not come up.
    pub fn join(&mut self, around: Around<'_>) -> Client {
        self.joined += 1;
        let n = self.joined;
        let [a, b, c, d] = n.to_be_bytes();
        let address = Ipv4Addr::new(100 + a, b, c, d);
        let id = format!("user{n}@example.org");
        let mut conn = connection("rw", &address.to_string(), "192.0.2.1", (&id, "moon.example.org"));
        conn.vips = vec![VirtualIp::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))];
        (self.client)(&mut conn);
        let mut seed = [0u8; 32];
        seed[..4].copy_from_slice(&n.to_le_bytes());
        let rng = crypto::Rng::from_seed(seed);
        let engine = Engine::new(self.now, rng, snapshot(conn), Shard::default());
        let mut client = Client { engine, address: SocketAddr::new(address.into(), 500) };
        let before = self.gateway.len();
        let up = Command::Initiate { id: CommandId(1), ike: None, child: Some("net".to_owned()) };
        client.engine.command(self.now, up);
        self.settle(&mut client, around);
        let listed = client.engine.list(&Default::default());
        assert!(listed.len() == 1 && listed[0].children.len() == 1, "client {n} came up");
        assert_eq!(self.gateway.len(), before + 1, "the gateway knows of client {n}");
        client
    }

    /// Carries datagrams between the gateway and a client until both are silent.
    pub fn settle(&mut self, client: &mut Client, around: Around<'_>) {
        loop {
            drain(&mut client.engine, self.now, &mut self.to_gateway, &mut |_| {});
            if self.to_gateway.is_empty() {
                return;
            }
            let Self { gateway, now, to_gateway, to_client, .. } = self;
            around(&mut || {
                for d in to_gateway.datagrams() {
                    gateway.receive(*now, d);
                    drain(gateway, *now, to_client, &mut |_| {});
                }
            });
            self.to_gateway.clear();
            for d in self.to_client.datagrams() {
                client.engine.receive(self.now, d);
            }
            self.to_client.clear();
        }
    }

    /// Takes the gateway's outputs and answers its questions; what it sends, as its clients get it.
    pub fn take(&mut self) -> Vec<Datagram> {
        drain(&mut self.gateway, self.now, &mut self.to_client, &mut |_| {});
        let sent = self.to_client.datagrams().collect();
        self.to_client.clear();
        sent
    }

    /// Takes the gateway's outputs, answers its questions, and forgets what it sends; `seen` gets the events.
    pub fn drain(&mut self, seen: &mut dyn FnMut(&Event)) {
        drain(&mut self.gateway, self.now, &mut self.to_client, seen);
        self.to_client.clear();
    }
}

/// Datagrams in memory that is kept.
#[derive(Default)]
struct Wire {
    slots: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    used: usize,
}

impl Wire {
    fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn clear(&mut self) {
        self.used = 0;
    }

    /// Puts one on the wire, as the other end gets it.
    fn put(&mut self, d: &Datagram) {
        if self.used == self.slots.len() {
            self.slots.push((d.remote, d.local, Vec::with_capacity(4096)));
        }
        let slot = &mut self.slots[self.used];
        (slot.0, slot.1) = (d.remote, d.local);
        slot.2.clear();
        slot.2.extend_from_slice(&d.bytes);
        self.used += 1;
    }

    fn datagrams(&self) -> impl Iterator<Item = Datagram> {
        let used = self.slots.iter().take(self.used);
        used.map(|(local, remote, bytes)| Datagram {
            local: *local,
            remote: *remote,
            bytes: bytes.clone(),
            dscp: 0,
        })
    }
}

/// Takes all outputs and answers questions at once.
fn drain(engine: &mut Engine, now: Now, wire: &mut Wire, seen: &mut dyn FnMut(&Event)) {
    while let Some(output) = engine.poll() {
        match output {
            Output::Send(d) => wire.put(&d),
            Output::Ask(ticket, ask) => engine.answer(now, ticket, answer(&ask)),
            Output::Tell(event) => seen(&event),
        }
    }
}

fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::Lease(request) => {
            let [_, b, c, d] = request.ike_id.to_be_bytes();
            let address = IpAddr::V4(Ipv4Addr::new(10, b, c, d));
            Answer::Leased { addresses: vec![address.into()], attributes: Vec::new(), trouble: None }
        }
        Ask::RemoveChild { .. } => {
            Answer::Removed { usage_in: Default::default(), usage_out: Default::default() }
        }
        _ => Answer::Done,
    }
}

/// A connection between these addresses and identities with one child.
fn connection(name: &str, local: &str, remote: &str, ids: (&str, &str)) -> Connection {
    let address = |text: &str| vec![PeerAddr::parse(text).expect("an address")];
    let mut conn = Connection::named(name);
    conn.local_addrs = address(local);
    conn.remote_addrs = address(remote);
    conn.proposals = policy::proposal::parse_proposals(ProtocolId::Ike, "aes128gcm16-prfsha256-x25519")
        .expect("a proposal");
    let auth = |name: &str, id: &str| {
        let mut auth = Auth::named(name, AuthClass::Psk);
        auth.id = Some(Identity::parse(id).expect("an identity"));
        auth
    };
    conn.local = vec![auth("local", ids.0)];
    conn.remote = vec![auth("remote", ids.1)];
    let mut child = Child::named("net");
    child.proposals = policy::proposal::parse_proposals(ProtocolId::Esp, "aes128gcm16").expect("a proposal");
    conn.children = vec![Arc::new(child)];
    conn
}

fn snapshot(conn: Connection) -> Arc<Snapshot> {
    let secret = SharedSecret {
        id: String::new(),
        kind: policy::secrets::SecretKind::Ike,
        data: crypto::Secret::from(&b"a long shared secret"[..]),
        owners: Vec::new(),
    };
    Arc::new(Snapshot {
        connections: vec![Arc::new(conn)],
        secrets: vec![Arc::new(secret)],
        settings: Arc::new(Settings::default()),
        ..Snapshot::default()
    })
}
