//! Two ends in one process, with keys but without certificates: the judge here knows chains by their bytes.
use crypto::sign::{PrivateKey, PublicKey};
use crypto::{Rng, Secret};
use eap::tls::{Credentials, Judge, Judgement, Role, Tls, Version};
use eap::{
    Failed, Identity, Limits, Line, Method, Peer, PeerConfig, SecretKind, Secrets, Server, ServerConfig,
    Step, Tunnels,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Users and their passwords.
#[derive(Default, Clone)]
pub(crate) struct Users(pub(crate) BTreeMap<Vec<u8>, (SecretKindKey, Vec<u8>)>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretKindKey {
    Password,
    NtHash,
}

impl Users {
    pub(crate) fn of(users: &[(&str, &str)]) -> Arc<Self> {
        let users = users
            .iter()
            .map(|(u, p)| (u.as_bytes().to_vec(), (SecretKindKey::Password, p.as_bytes().to_vec())));
        Arc::new(Self(users.collect()))
    }
}

impl Secrets for Users {
    fn secret(&self, user: &[u8], kind: SecretKind) -> Option<Secret> {
        let (have, secret) = self.0.get(user)?;
        let fits = matches!(
            (kind, have),
            (SecretKind::Password, SecretKindKey::Password) | (SecretKind::NtHash, SecretKindKey::NtHash)
        );
        fits.then(|| Secret::new(secret.clone()))
    }
}

pub(crate) fn key(kind: &str) -> PrivateKey {
    let der: &[u8] = match kind {
        "p256" => include_bytes!("../data/p256.p8"),
        "rsa" => include_bytes!("../data/rsa.p8"),
        "ed25519" => include_bytes!("../data/ed25519.p8"),
        other => panic!("{other}"),
    };
    PrivateKey::from_pkcs8(der).unwrap()
}

/// Trusts the chains it knows, and remembers whom it was asked about.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) chains: BTreeMap<Vec<u8>, PublicKey>,
    pub(crate) alert: Option<&'static str>,
    pub(crate) asked: Mutex<Vec<(Role, Vec<u8>, usize)>>,
}

impl Judge for Known {
    fn judge(&self, chain: &[&[u8]], role: Role, name: &[u8]) -> Judgement {
        self.asked.lock().unwrap().push((role, name.to_vec(), chain.len()));
        let refuse = |alert| {
            Err(Failed { alert, certificate: "CN=somebody".into(), reason: "not one of ours".into() })
        };
        let verdict = match (self.alert, self.chains.get(chain[0])) {
            (None, Some(key)) => Ok(key.clone()),
            (alert, _) => refuse(alert.unwrap_or("cert-no-issuer")),
        };
        Judgement { verdict, log: Vec::new() }
    }
}

pub(crate) struct World {
    pub(crate) server: ServerConfig,
    pub(crate) peer: PeerConfig,
}

pub(crate) const CAROL: &[u8] = b"carol";

pub(crate) fn credentials(kind: &str, size: usize) -> Credentials {
    let leaf = [kind.as_bytes(), &vec![b'x'; size]].concat();
    Credentials { chain: vec![leaf, vec![b'i'; 10]], signer: Arc::new(key(kind)) }
}

pub(crate) fn judge_of(all: &[&Credentials]) -> Arc<Known> {
    let chains = all.iter().map(|c| {
        let kind =
            ["p256", "rsa", "ed25519"].into_iter().find(|k| c.chain[0].starts_with(k.as_bytes())).unwrap();
        (c.chain[0].clone(), key(kind).public().clone())
    });
    Arc::new(Known { chains: chains.collect(), ..Known::default() })
}

impl World {
    /// Both ends allow one method, know carol's password, and have P-256 keys.
    pub(crate) fn of(method: Method) -> Self {
        let users = Users::of(&[("carol", "Ar3etTnp01qlpOgb"), ("dave", "W7R0g3do")]);
        let mut world = Self {
            server: ServerConfig {
                methods: vec![method],
                prefer_user: false,
                identity: Identity::Ask,
                peer: b"192.168.0.100".to_vec(),
                name: b"moon.strongswan.org".to_vec(),
                secrets: users.clone(),
                tls: None,
                tunnels: Tunnels::default(),
                limits: Limits::default(),
            },
            peer: PeerConfig {
                methods: vec![method],
                inner_methods: vec![Method::Mschapv2, Method::Md5, Method::Gtc],
                ttls_pap: false,
                identity: CAROL.to_vec(),
                anonymous: None,
                server: b"moon.strongswan.org".to_vec(),
                secrets: users,
                tls: None,
                tunnels: Tunnels::default(),
                limits: Limits::default(),
            },
        };
        world.tls((Version::V12, Version::V13), (Version::V12, Version::V13), "p256", 600, &[]);
        world
    }

    /// Gives both ends TLS.
    pub(crate) fn tls(
        &mut self,
        server: (Version, Version),
        peer: (Version, Version),
        kind: &str,
        size: usize,
        suites: &[&str],
    ) -> (Arc<Known>, Arc<Known>) {
        let (moon, carol) =
            (credentials(kind, size), credentials(if kind == "p256" { "rsa" } else { "p256" }, size));
        let (of_carol, of_moon) = (judge_of(&[&carol]), judge_of(&[&moon]));
        let tls = |(min, max), judge: &Arc<Known>, own| {
            Some(Arc::new(Tls::new(min, max, suites, judge.clone()).unwrap().with_credentials(own)))
        };
        self.server.tls = tls(server, &of_carol, moon);
        self.peer.tls = tls(peer, &of_moon, carol);
        (of_carol, of_moon)
    }

    pub(crate) fn fragment_size(&mut self, server: usize, peer: usize) {
        for (tunnels, size) in [(&mut self.server.tunnels, server), (&mut self.peer.tunnels, peer)] {
            for options in [&mut tunnels.tls, &mut tunnels.ttls, &mut tunnels.peap] {
                options.fragment_size = size;
                options.max_messages = 0;
            }
        }
    }

    pub(crate) fn ends(&self, seed: u8) -> (Server, Peer) {
        (
            Server::new(Arc::new(self.server.clone()), Rng::from_seed([seed; 32])),
            Peer::new(Arc::new(self.peer.clone()), Rng::from_seed([seed.wrapping_add(1); 32])),
        )
    }

    pub(crate) fn run(&self) -> Outcome {
        self.run_with(1, |_, _| Fate::Deliver)
    }

    /// Runs a conversation to its end. `fate` decides about each packet (`true`: to the server).
    pub(crate) fn run_with(&self, seed: u8, mut fate: impl FnMut(bool, &[u8]) -> Fate) -> Outcome {
        let (mut server, mut peer) = self.ends(seed);
        let mut out = Outcome::default();
        let mut said = out.server(server.start());
        while let Some(packet) = said.take() {
            out.rounds += 1;
            assert!(out.rounds < 5000, "it does not end");
            // A lost packet is sent again by whoever waits: the server's lower layer.
            if fate(false, &packet) == Fate::Drop {
                said = Some(packet);
                continue;
            }
            let mut answer = out.peer(peer.step(&packet));
            if fate(false, &packet) == Fate::Duplicate {
                answer = out.peer(peer.step(&packet));
            }
            let Some(answer) = answer else { break };
            if fate(true, &answer) == Fate::Drop {
                said = Some(packet);
                continue;
            }
            out.largest = out.largest.max(packet.len()).max(answer.len());
            said = out.server(server.step(&answer));
            if said.is_some() && fate(true, &answer) == Fate::Duplicate {
                said = out.server(server.step(&answer));
            }
            if let Some(last) = out.last.take() {
                out.peer(peer.step(&last));
                break;
            }
        }
        out
    }
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub(crate) enum Fate {
    Deliver,
    Drop,
    Duplicate,
}

/// How an end came out.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Success { msk: Option<Secret>, identity: Option<Vec<u8>>, mutual: bool },
    Failure(Failed),
}

#[derive(Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) server: Option<End>,
    pub(crate) peer: Option<End>,
    pub(crate) server_log: Vec<String>,
    pub(crate) peer_log: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) largest: usize,
    last: Option<Vec<u8>>,
}

fn texts(log: Vec<Line>) -> Vec<String> {
    log.into_iter().map(|l| l.text).collect()
}

impl Outcome {
    fn server(&mut self, step: Step) -> Option<Vec<u8>> {
        match step {
            Step::Send { packet, log } => {
                self.server_log.extend(texts(log));
                Some(packet)
            }
            Step::Success { packet, msk, identity, mutual, log } => {
                self.server_log.extend(texts(log));
                assert_eq!(packet[0], 3);
                self.last = Some(packet);
                self.server = Some(End::Success { msk, identity, mutual });
                None
            }
            Step::Failure { packet, why, log } => {
                self.server_log.extend(texts(log));
                assert_eq!(packet[0], 4);
                self.last = Some(packet);
                self.server = Some(End::Failure(why));
                None
            }
        }
    }

    fn peer(&mut self, step: Step) -> Option<Vec<u8>> {
        match step {
            Step::Send { packet, log } => {
                self.peer_log.extend(texts(log));
                Some(packet)
            }
            Step::Success { packet, msk, identity, mutual, log } => {
                self.peer_log.extend(texts(log));
                assert!(packet.is_empty());
                self.peer = Some(End::Success { msk, identity, mutual });
                None
            }
            Step::Failure { packet, why, log } => {
                self.peer_log.extend(texts(log));
                assert!(packet.is_empty());
                self.peer = Some(End::Failure(why));
                None
            }
        }
    }

    /// Both succeeded with the same key; gives it, the server's view of who the peer is, and the rest of both views.
    #[track_caller]
    pub(crate) fn success(&self) -> (Option<Secret>, Option<Vec<u8>>) {
        match (&self.server, &self.peer) {
            (
                Some(End::Success { msk, identity, mutual }),
                Some(End::Success { msk: same, identity: None, mutual: both }),
            ) => {
                assert_eq!((msk, mutual), (same, both));
                (msk.clone(), identity.clone())
            }
            _ => panic!("{self:#?}"),
        }
    }

    /// Both failed, for these reasons.
    #[track_caller]
    pub(crate) fn failure(&self) -> (&Failed, &Failed) {
        match (&self.server, &self.peer) {
            (Some(End::Failure(server)), Some(End::Failure(peer))) => (server, peer),
            _ => panic!("{self:#?}"),
        }
    }

    #[track_caller]
    pub(crate) fn logged(&self, server: &[&str], peer: &[&str]) {
        for (log, lines) in [(&self.server_log, server), (&self.peer_log, peer)] {
            for line in lines {
                assert!(log.iter().any(|l| l.contains(line)), "{line} is not in {log:#?}");
            }
        }
    }
}
