//! What a peer with the right secret and bad intentions may say, as a function of bytes: a script for [`Mallory`]
//! against a gateway. Whatever the script, the gateway must not panic, must not stop to talk, must keep the rules of
//! its data plane, and must be empty after a shutdown.
use crate::clock::Clock;
use crate::dataplane::Ledger;
use crate::host::Host;
use crate::mallory::{Mallory, child_payloads};
use crate::scenario::{MOON, Means, Terms, ip};
use ike::io::{Command, CommandId, Datagram, Event, Filter, Output};
use policy::sa::Usage;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use wire::iana::{AuthMethod, CertEncoding, ExchangeType, IdType, NotifyType, PayloadType, ProtocolId};
use wire::ike::{
    Auth, Cert, CertReq, ConfigAttr, Cp, Delete, Flags, Header, Id, KeyExchange, Notify, Payload, Proposal,
    Sa, Transform, Ts, TsSelector, encode_chain,
};

/// Outputs for one input; more is talking without end.
const MAX_OUTPUTS: usize = 5_000;
/// Steps of one script at most.
const MAX_STEPS: usize = 64;
/// The first CHILD_SA's SPI on Mallory's side.
const SPI: u32 = 0xc0de_0001;

/// Plays the script `bytes`. Panics where a rule is broken.
pub fn play(bytes: &[u8]) {
    let mut script = Script { bytes };
    let mut scene = Scene::new(u64::from(script.byte()));
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        scene.step(&mut script);
    }
    scene.end();
}

/// Plays the script `bytes` before a gateway that does not know the peer: whatever it says in IKE_AUTH, it is not let in.
pub fn knock(bytes: &[u8]) {
    let mut script = Script { bytes };
    let seed = u64::from(script.byte());
    let means = [Means::Secret, Means::Keys, Means::Eap, Means::EapOnly, Means::Rounds];
    let means = means[script.number(1) % means.len()];
    let mut scene = Scene::at_the_door(seed, means);
    for step in 0..MAX_KNOCKS {
        if script.is_over() && step > 0 {
            break;
        }
        let payloads: Vec<Payload> = match script.byte() % 4 {
            // As one who knows how, with a word of its own.
            0 if step == 0 => introduction(&mut script),
            _ => (0..script.byte() % 6).map(|_| claim(&mut script)).collect(),
        };
        let (first, chain) = encode_chain(&payloads);
        let datagram = scene.mallory.request(ExchangeType::IkeAuth, first, &chain);
        scene.deliver(datagram);
        if script.byte().is_multiple_of(8) {
            scene.pass(u64::from(script.byte()) * 100);
        }
        let list = scene.moon.engine.list(&Filter::default());
        assert!(list.iter().all(|sa| sa.established.is_none()), "nobody proved anything");
        assert!(scene.moon.dataplane.children.is_empty() && scene.moon.engine.half_open() <= 1);
    }
    scene.end();
}

/// Requests of one knocking.
const MAX_KNOCKS: usize = 80;

/// A first request without or with a proof that is none.
fn introduction(script: &mut Script<'_>) -> Vec<Payload> {
    let mut p = vec![Payload::IdI(Id { kind: IdType::Fqdn, data: b"carol.test".to_vec() })];
    if script.byte() & 1 != 0 {
        p.push(claim(script));
    }
    p.extend(child_payloads(SPI));
    p
}

/// Something that belongs into IKE_AUTH.
fn claim(script: &mut Script<'_>) -> Payload {
    let notify = |kind| {
        Payload::Notify(Notify { protocol: ProtocolId::None, spi: Vec::new(), kind, data: Vec::new() })
    };
    match script.byte() % 16 {
        0 | 1 => Payload::IdI(Id { kind: IdType::Fqdn, data: b"carol.test".to_vec() }),
        2 => Payload::IdI(Id { kind: (script.byte() % 14).into(), data: script.some() }),
        3 => Payload::IdR(Id { kind: IdType::Fqdn, data: b"moon.test".to_vec() }),
        4 => {
            // A signature of the right kind, by the right key, over something else.
            let data = crate::credentials::auth_data("carol.test", &script.some());
            Payload::Auth(Auth { method: AuthMethod::Signature, data })
        }
        5 => Payload::Auth(Auth { method: AuthMethod::Psk, data: vec![script.byte(); 32] }),
        6 => Payload::Auth(Auth { method: (script.byte() % 16).into(), data: script.some() }),
        7 => Payload::Cert(Cert { encoding: script.byte().into(), data: script.some() }),
        8 => {
            let spki = crate::credentials::key_of("carol.test").public().spki().to_vec();
            Payload::Cert(Cert { encoding: CertEncoding::RawPublicKey, data: spki })
        }
        9 => notify(NotifyType::AnotherAuthFollows),
        10 => notify(NotifyType::MultipleAuthSupported),
        11 => notify(NotifyType::EapOnlyAuthentication),
        // EAP-Success, an identity, a wrong response, and one that is far too long.
        12 => Payload::Eap(vec![3, script.byte(), 0, 4]),
        13 => Payload::Eap([&[2, script.byte() % 3, 0, 15, 1], b"carol-user".as_slice()].concat()),
        14 => {
            Payload::Eap([&[2, script.byte() % 3, 0, 37, 255], vec![script.byte(); 32].as_slice()].concat())
        }
        _ => Payload::Eap(vec![script.byte(); script.number(2)]),
    }
}

struct Scene {
    clock: Clock,
    moon: Host,
    ledger: Ledger,
    mallory: Mallory,
    /// The gateway's requests that have no answer yet.
    asked: VecDeque<Header>,
    /// What Mallory said last.
    last: Option<Datagram>,
    /// SPIs of ESP that the gateway named, and Mallory's own.
    spis: Vec<u32>,
    commands: u64,
    /// Tell what the gateway logs.
    loud: bool,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let terms = Terms {
            esp: "aes128gcm16,aes128gcm16-x25519",
            ike_rekey: 2000,
            child_rekey: 300,
            mobike: seed.is_multiple_of(2),
            ..Terms::calm()
        };
        let mut scene = Self::greeted(seed, &terms);
        let secret = b"a secret of the virtual world";
        let auth = scene.mallory.introduce("mallory.test", secret, SPI).expect("keys are there");
        scene.deliver(auth);
        let list = scene.moon.engine.list(&Filter::default());
        assert!(
            list.iter().any(|sa| sa.state == "ESTABLISHED" && !sa.children.is_empty()),
            "the gateway is taken in"
        );
        scene
    }

    /// Mallory has nothing to show.
    fn at_the_door(seed: u64, means: Means) -> Self {
        let mut terms = Terms { means, ..Terms::calm() };
        terms.settings.dos_protection = false;
        Self::greeted(seed, &terms)
    }

    fn greeted(seed: u64, terms: &Terms) -> Self {
        let clock = Clock::default();
        let moon = Host::new(seed, 0, terms.hosts().swap_remove(MOON), clock.now());
        let here = SocketAddr::new(ip("192.0.2.66"), 500);
        let mut rng = crate::dice::rng(seed, 7);
        let mallory = Mallory::new(&mut rng, here, SocketAddr::new(ip("192.0.2.1"), 500));
        let mut scene = Self {
            clock,
            moon,
            ledger: Ledger::default(),
            mallory,
            asked: VecDeque::new(),
            last: None,
            spis: vec![SPI],
            commands: 0,
            loud: std::env::var_os("CYGNET_SCRIPT").is_some(),
        };
        let hello = scene.mallory.hello();
        let answers = scene.deliver(hello);
        answers.first().and_then(|d| scene.mallory.greeted(&d.bytes)).expect("the gateway greets");
        scene
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=6 => {
                let exchange = exchange(script.byte());
                let (first, chain) = self.speech(script);
                let datagram = self.mallory.request(exchange, first, &chain);
                let before = self.last.replace(datagram.clone());
                self.deliver(datagram);
                drop(before);
            }
            7..=9 => {
                let Some(to) = self.asked.pop_front() else { return };
                let (first, chain) = self.speech(script);
                let datagram = self.mallory.respond(&to, first, &chain);
                self.last = Some(datagram.clone());
                self.deliver(datagram);
            }
            10 => {
                if let Some(mut datagram) = self.last.clone() {
                    // From elsewhere, damaged, or just again.
                    let how = script.byte();
                    if how & 1 != 0 {
                        datagram.remote = SocketAddr::new(ip("198.51.100.9"), 4500);
                    }
                    if how & 2 != 0 && !datagram.bytes.is_empty() {
                        let at = usize::from(how) % datagram.bytes.len();
                        datagram.bytes[at] ^= how;
                    }
                    self.deliver(datagram);
                }
            }
            11 => self.mallory.forget_request(),
            12 | 13 => {
                let seconds = u64::from(script.byte());
                self.pass(seconds * 1000);
            }
            _ => self.command(script.byte()),
        }
    }

    /// Something for the operator or the data plane of the gateway to do.
    fn command(&mut self, how: u8) {
        let id = CommandId(self.commands + 1);
        let children: Vec<u32> = self.moon.dataplane.children.keys().copied().collect();
        let child = children.get(usize::from(how >> 4) % children.len().max(1)).copied();
        let filter = match (how & 1, child) {
            (0, Some(child)) => Filter { child_id: Some(child), ..Filter::default() },
            _ => Filter { ike: Some("rw".to_owned()), ..Filter::default() },
        };
        let command = match (how >> 1 & 7, child) {
            (0..=2, _) => Command::Rekey { id, filter, reauth: false },
            (3, _) => Command::Terminate { id, filter, force: false },
            (4, Some(child)) => Command::Expire { child, hard: how & 1 != 0 },
            (5 | 6, Some(child)) => {
                let usage = Usage { bytes: 100, packets: 1, last: Some(self.clock.mono()) };
                Command::Traffic { child, usage_in: usage, usage_out: Usage::default() }
            }
            (_, Some(child)) => {
                Command::Mapping { child, remote: SocketAddr::new(ip("198.51.100.7"), u16::from(how) + 1) }
            }
            _ => return,
        };
        if matches!(command, Command::Rekey { .. } | Command::Terminate { .. }) {
            self.commands += 1;
            self.moon.commands.insert(id, format!("{command:?}"));
        }
        self.moon.engine.command(self.clock.now(), command);
        self.drain();
    }

    fn deliver(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.moon.engine.receive(self.clock.now(), datagram);
        self.drain()
    }

    /// Everything the gateway says; its questions are answered at once.
    fn drain(&mut self) -> Vec<Datagram> {
        let mut sent = Vec::new();
        for _ in 0..MAX_OUTPUTS {
            let Some(output) = self.moon.poll() else { return sent };
            match output {
                Output::Send(datagram) => {
                    if let Some((header, payloads)) = self.mallory.open(&datagram.bytes) {
                        self.listen(&header, &payloads);
                    }
                    sent.push(datagram);
                }
                Output::Ask(ticket, ask) => {
                    let answer = self.moon.obey(&mut self.ledger, &BTreeMap::new(), &ask, false);
                    let answer = answer.unwrap_or_else(|what| panic!("{what}"));
                    self.moon.engine.answer(self.clock.now(), ticket, answer);
                }
                Output::Tell(event) => {
                    self.moon.told(&event).unwrap_or_else(|what| panic!("{what}"));
                    if let Event::Log { text, .. } = event
                        && self.loud
                    {
                        eprintln!("{:>9} {text}", self.clock.mono());
                    }
                }
            }
        }
        panic!("the gateway does not stop to talk")
    }

    fn listen(&mut self, header: &Header, payloads: &[Payload]) {
        if !header.flags.contains(Flags::RESPONSE) && !self.asked.contains(header) {
            self.asked.push_back(*header);
        }
        for payload in payloads {
            if let Payload::Sa(sa) = payload {
                let spis = sa.proposals.iter().filter_map(|p| <[u8; 4]>::try_from(p.spi.as_slice()).ok());
                self.spis.extend(spis.map(u32::from_be_bytes));
            }
        }
        let old = self.spis.len().saturating_sub(16);
        self.spis.drain(..old);
    }

    fn pass(&mut self, ms: u64) {
        let until = self.clock.mono() + ms;
        for _ in 0..MAX_OUTPUTS {
            match self.moon.next().filter(|at| *at <= until) {
                Some(at) => {
                    self.clock.advance(at);
                    self.moon.engine.wake(self.clock.now());
                    self.drain();
                }
                None => return self.clock.advance(until),
            }
        }
        panic!("time stands still at {}", self.clock.mono());
    }

    /// Mallory falls silent, the gateway is told to stop.
    fn end(mut self) {
        let id = CommandId(self.commands + 1);
        self.moon.commands.insert(id, "shutdown".to_owned());
        self.moon.engine.command(self.clock.now(), Command::Shutdown { id });
        self.drain();
        self.pass(600_000);
        if let Err(what) = self.moon.check_empty() {
            panic!("{what}");
        }
    }

    /// Payloads of the script's choice, and perhaps a bent byte.
    fn speech(&self, script: &mut Script<'_>) -> (PayloadType, Vec<u8>) {
        let how = script.byte();
        if how == 0xff {
            // Anything at all.
            return (script.byte().into(), script.take(usize::from(how)));
        }
        let mut payloads = Vec::new();
        for _ in 0..how % 8 {
            self.phrase(script, &mut payloads);
        }
        let (first, mut chain) = encode_chain(&payloads);
        if how & 0xc0 == 0xc0 && !chain.is_empty() {
            let at = script.number(2) % chain.len();
            chain[at] = script.byte();
        }
        (first, chain)
    }

    /// One payload, or a few that belong together.
    fn phrase(&self, script: &mut Script<'_>, out: &mut Vec<Payload>) {
        let notify =
            |kind: NotifyType, protocol, spi, data| Payload::Notify(Notify { protocol, spi, kind, data });
        let spi = self.spis[script.number(1) % self.spis.len()];
        match script.byte() % 28 {
            0..=2 => {
                // A CHILD_SA, or another one for one that is there.
                if script.byte() & 1 != 0 {
                    let spi = spi.to_be_bytes().to_vec();
                    out.push(notify(NotifyType::RekeySa, ProtocolId::Esp, spi, Vec::new()));
                }
                out.push(Payload::Nonce(vec![script.byte(); 32]));
                out.extend(child_payloads(script.number(4) as u32));
            }
            3 => out.push(Payload::Nonce(vec![script.byte(); 16 + script.number(1) % 241])),
            4 => out.push(Payload::Nonce(vec![script.byte(); 32])),
            5..=6 => {
                out.push(notify(
                    NotifyType::RekeySa,
                    ProtocolId::Esp,
                    spi.to_be_bytes().to_vec(),
                    Vec::new(),
                ));
            }
            7 => out.push(Payload::Delete(Delete {
                protocol: ProtocolId::Esp,
                spis: vec![spi; script.number(1) % 9],
            })),
            8 => out.push(Payload::Delete(Delete { protocol: ProtocolId::Ike, spis: Vec::new() })),
            9 => out.push(Payload::Delete(Delete { protocol: ProtocolId::Ah, spis: vec![spi] })),
            10 | 11 => {
                let kinds = NotifyType::NAMED;
                let kind = kinds[script.number(1) % kinds.len()];
                let data = script.some();
                out.push(notify(kind, ProtocolId::None, Vec::new(), data));
            }
            12 => out.push(notify(NotifyType::UpdateSaAddresses, ProtocolId::None, Vec::new(), Vec::new())),
            13 => {
                out.push(notify(NotifyType::Cookie2, ProtocolId::None, Vec::new(), vec![script.byte(); 16]))
            }
            14 => out.push(Payload::Ke(KeyExchange {
                method: u16::from(script.byte() % 40).into(),
                data: vec![script.byte(); script.number(1)],
            })),
            15 => out.push(Payload::Ke(KeyExchange {
                method: wire::iana::Ke::X25519,
                data: vec![script.byte(); 32],
            })),
            16 | 17 => out.push(Payload::Sa(Sa { proposals: vec![proposal(script)] })),
            18 => {
                out.push(Payload::Sa(Sa { proposals: vec![ike_proposal(script)] }));
                out.push(Payload::Nonce(vec![script.byte(); 32]));
                out.push(Payload::Ke(KeyExchange {
                    method: wire::iana::Ke::X25519,
                    data: vec![script.byte(); 32],
                }));
            }
            19 => out.push(Payload::TsI(selectors(script))),
            20 => out.push(Payload::TsR(selectors(script))),
            21 => out.push(Payload::Cp(Cp {
                kind: (script.byte() % 5).into(),
                attributes: (0..script.byte() % 5)
                    .map(|_| ConfigAttr { kind: u16::from(script.byte() % 30).into(), value: script.some() })
                    .collect(),
            })),
            22 => out.push(Payload::Auth(Auth { method: script.byte().into(), data: script.some() })),
            23 => out.push(Payload::IdR(Id { kind: (script.byte() % 14).into(), data: script.some() })),
            24 => out.push(Payload::Cert(Cert { encoding: script.byte().into(), data: script.some() })),
            25 => out.push(Payload::CertReq(CertReq {
                encoding: script.byte().into(),
                authorities: script.some(),
            })),
            26 => out.push(Payload::Eap(script.some())),
            _ => out.push(Payload::Unknown {
                kind: PayloadType::Unknown(49 + script.byte() % 4),
                body: script.some(),
            }),
        }
    }
}

fn exchange(byte: u8) -> ExchangeType {
    match byte % 16 {
        0..=6 => ExchangeType::CreateChildSa,
        7..=12 => ExchangeType::Informational,
        13 => ExchangeType::FollowupKe,
        14 => ExchangeType::IkeAuth,
        _ => byte.into(),
    }
}

fn proposal(script: &mut Script<'_>) -> Proposal {
    let protocol = (script.byte() % 5).into();
    let spi = script.some();
    let transforms = (0..script.byte() % 8)
        .map(|_| {
            let (kind, id) = (script.byte() % 8, u16::from(script.byte() % 40));
            let key_bits = (script.byte() & 1 == 0).then_some(64 * (script.number(1) as u16 % 5));
            Transform { kind: kind.into(), id, key_bits }
        })
        .collect();
    Proposal { number: script.byte(), protocol, spi, transforms }
}

/// What rekeys the IKE_SA, nearly.
fn ike_proposal(script: &mut Script<'_>) -> Proposal {
    let t = |kind: u8, id, key_bits| Transform { kind: kind.into(), id, key_bits };
    let spi = vec![script.byte(); if script.byte() & 7 == 0 { 4 } else { 8 }];
    Proposal {
        number: 1,
        protocol: ProtocolId::Ike,
        spi,
        transforms: vec![t(1, 20, Some(128)), t(2, 5, None), t(4, 31, None)],
    }
}

fn selectors(script: &mut Script<'_>) -> Ts {
    let selectors = (0..1 + script.byte() % 4)
        .map(|_| {
            let (a, b) = (script.number(4) as u32, script.number(4) as u32);
            let (start, end) = (std::net::Ipv4Addr::from(a.min(b)), std::net::Ipv4Addr::from(a.max(b)));
            let (start_port, end_port) = (script.number(2) as u16, script.number(2) as u16);
            TsSelector { protocol: script.byte(), start_port, end_port, start: start.into(), end: end.into() }
        })
        .collect();
    Ts { selectors }
}

/// Bytes, read as choices; zeros when they are used up.
struct Script<'a> {
    bytes: &'a [u8],
}

impl Script<'_> {
    fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *byte
    }

    fn number(&mut self, bytes: usize) -> usize {
        (0..bytes).fold(0, |n, _| n << 8 | usize::from(self.byte()))
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken.to_vec()
    }

    /// Up to 31 bytes.
    fn some(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte() % 32);
        self.take(len)
    }
}
