//! Logins of several rounds, relayed to simulated servers.
use super::*;
use crate::relay::{Conversation, Facts, RelayOptions, Step};
use crypto::Rng;
use std::collections::BTreeMap;

/// Rounds of a login: challenges before the server accepts.
const CHALLENGES: u8 = 2;

pub(super) struct Server {
    pub(super) dies: Option<u64>,
    pub(super) returns: Option<u64>,
    /// State of each conversation: challenges sent so far.
    states: BTreeMap<u64, u8>,
    next: u64,
}

struct Login {
    conversation: Conversation,
    user: String,
    /// A challenge came, so a server has its state.
    bound: Option<(ServerId, u64)>,
    outcome: Option<bool>,
}

enum Happening {
    Begin(usize),
    ToServer(Socket, Vec<u8>),
    ToClient(Socket, Vec<u8>),
}

pub(super) struct World {
    pub(super) servers: Vec<Server>,
    pub(super) loss: u64,
    /// Servers answer Status-Server.
    pub(super) status: bool,
    client: Client,
    logins: Vec<Login>,
    requests: BTreeMap<RequestId, usize>,
    agenda: BTreeMap<(u64, u64), Happening>,
    order: u64,
    now: u64,
    rng: Rng,
}

impl World {
    pub(super) fn new(seed: u64, servers: usize) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let servers: Vec<Server> = (0..servers)
            .map(|_| Server { dies: None, returns: None, states: BTreeMap::new(), next: 1 })
            .collect();
        Self {
            client: client(servers.len()),
            servers,
            loss: 0,
            status: true,
            logins: Vec::new(),
            requests: BTreeMap::new(),
            agenda: BTreeMap::new(),
            order: 0,
            now: 0,
            rng: Rng::from_seed(bytes),
        }
    }

    /// Lets so many logins begin within this time from now.
    pub(super) fn logins(&mut self, count: usize, within: u64) {
        for _ in 0..count {
            let number = self.logins.len();
            let user = format!("user{number}");
            let facts = Facts {
                user: user.clone(),
                local: "192.0.2.1:4500".parse().unwrap(),
                remote: "198.51.100.1:4500".parse().unwrap(),
                connection: "rw".into(),
                ike_id: u32::try_from(number).unwrap(),
                session: format!("1-{number}"),
            };
            let conversation = Conversation::new(RelayOptions::default(), facts);
            self.logins.push(Login { conversation, user, bound: None, outcome: None });
            let at = self.now + self.rng.below(within);
            self.plan(at, Happening::Begin(number));
        }
    }

    fn plan(&mut self, at: u64, what: Happening) {
        self.order += 1;
        self.agenda.insert((at, self.order), what);
    }

    pub(super) fn finished(&self) -> usize {
        self.logins.iter().filter(|login| login.outcome.is_some()).count()
    }

    pub(super) fn accepted(&self) -> usize {
        self.logins.iter().filter(|login| login.outcome == Some(true)).count()
    }

    /// Failed logins that had no state on a server, or on one that was alive.
    pub(super) fn lost_needlessly(&self) -> usize {
        let needless = |login: &&Login| match login.bound {
            Some((server, _)) => self.servers[server.0].dies.is_none(),
            None => true,
        };
        self.logins.iter().filter(|login| login.outcome == Some(false)).filter(needless).count()
    }

    fn alive(&self, server: ServerId) -> bool {
        let server = &self.servers[server.0];
        server.dies.is_none_or(|at| self.now < at) || server.returns.is_some_and(|at| self.now >= at)
    }

    pub(super) fn run(&mut self) {
        loop {
            self.drain();
            let agenda = self.agenda.keys().next().map(|(at, _)| *at);
            let busy = self.client.outstanding() > 0;
            let wake = self.client.next_wake().filter(|_| busy || agenda.is_some());
            let Some(at) = agenda.into_iter().chain(wake).min() else { return };
            self.now = self.now.max(at);
            if wake.is_some_and(|wake| wake <= self.now) {
                self.client.wake(self.now);
                continue;
            }
            let Some((_, what)) = self.agenda.pop_first() else { continue };
            match what {
                Happening::Begin(number) => {
                    let request = self.logins[number].conversation.start();
                    self.ask(number, request);
                }
                Happening::ToServer(socket, datagram) => self.serve(socket, &datagram),
                Happening::ToClient(socket, datagram) => self.client.receive(self.now, socket, &datagram),
            }
        }
    }

    fn ask(&mut self, number: usize, request: Request) {
        let id = self.client.send(self.now, request);
        self.requests.insert(id, number);
    }

    /// A packet is lost, comes, or comes twice.
    fn carry(&mut self, what: impl Fn() -> Happening) {
        let copies =
            if self.rng.below(100) < self.loss { 0 } else { 1 + usize::from(self.rng.below(20) == 0) };
        for _ in 0..copies {
            let at = self.now + 1 + self.rng.below(40);
            self.plan(at, what());
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { socket, datagram } => {
                    self.carry(|| Happening::ToServer(socket, datagram.clone()));
                }
                Output::Replied(id, reply) => {
                    let number = self.requests.remove(&id).expect("a reply to a request of ours");
                    let login = &mut self.logins[number];
                    assert_eq!(
                        reply.packet.text(RadiusType::UserName),
                        Some(login.user.as_str()),
                        "the reply to another's request"
                    );
                    match login.conversation.reply(&reply) {
                        Step::Send(eap) => {
                            let state = reply.packet.first(RadiusType::State).unwrap();
                            let state = u64::from_be_bytes(state.value.as_slice().try_into().unwrap());
                            login.bound = Some((reply.server, state));
                            let response = [2, eap[1], 0, 6, eap[4], 0];
                            let request = login.conversation.packet(&response).unwrap();
                            self.ask(number, request);
                        }
                        Step::Success(_) => login.outcome = Some(true),
                        Step::Failure { .. } => login.outcome = Some(false),
                    }
                }
                Output::Failed(id, _) => {
                    let number = self.requests.remove(&id).expect("a failure of a request of ours");
                    self.logins[number].outcome = Some(false);
                }
                Output::Server { .. } | Output::Log(..) => {}
            }
        }
    }

    fn serve(&mut self, socket: Socket, datagram: &[u8]) {
        if !self.alive(socket.server) {
            return;
        }
        let request = Packet::parse(datagram).unwrap();
        let mut reply = Packet::new(RadiusCode::AccessAccept, request.id, [0; 16]);
        if request.code == RadiusCode::StatusServer {
            if !self.status {
                return;
            }
        } else {
            reply.push(request.first(RadiusType::UserName).unwrap().clone());
            let server = &mut self.servers[socket.server.0];
            let state = match request.first(RadiusType::State) {
                Some(state) => u64::from_be_bytes(state.value.as_slice().try_into().unwrap()),
                None => {
                    server.next += 1;
                    // A repeated first request gets the state that it had.
                    let state = u64::from_be_bytes(request.authenticator[..8].try_into().unwrap());
                    server.states.entry(state).or_insert(0);
                    state
                }
            };
            let rounds = request.joined(RadiusType::EapMessage).map_or(0, |eap| eap[1]);
            let eap = match server.states.get(&state) {
                Some(_) if rounds < CHALLENGES => {
                    reply.code = RadiusCode::AccessChallenge;
                    reply.push(Attribute::new(RadiusType::State, state.to_be_bytes()));
                    vec![1, rounds + 1, 0, 5, 4]
                }
                Some(_) => vec![3, rounds, 0, 4],
                None => {
                    reply.code = RadiusCode::AccessReject;
                    vec![4, rounds, 0, 4]
                }
            };
            reply.push_split(RadiusType::EapMessage, &eap);
        }
        reserve(&mut reply);
        seal_reply(&mut reply, &request.authenticator, &secret()).unwrap();
        let datagram = reply.encode().unwrap();
        self.carry(|| Happening::ToClient(socket, datagram.clone()));
    }
}
