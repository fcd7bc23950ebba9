//! Who is there: a gateway, a neighbour gateway, a road warrior behind a NAT and one in the open.
use crate::dice::Dice;
use crate::host::HostConfig;
use crate::net::{Nat, Weather};
use crypto::Secret;
use policy::connection::{Childless, Fragmentation, Unique};
use policy::lifetime::Limit;
use policy::pool::{PoolConfig, PoolRange};
use policy::proposal::parse_proposals;
use policy::secrets::SecretKind;
use policy::{
    Action, Auth, AuthClass, Child, Connection, Identity, Lifetime, Mode, PeerAddr, SelectorTemplate,
    Settings, SharedSecret, Snapshot,
};
use std::net::IpAddr;
use std::sync::Arc;
use wire::iana::ProtocolId;

/// The gateway's place among the hosts.
pub const MOON: usize = 0;
/// The neighbour gateway's.
pub const SUN: usize = 1;
/// The road warrior behind the NAT.
pub const CAROL: usize = 2;
/// The road warrior in the open.
pub const DAVE: usize = 3;

/// How hosts authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// By the shared secret.
    Secret,
    /// By keys.
    Keys,
    /// Road warriors by EAP, gateways by keys.
    Eap,
    /// Road warriors by EAP, which does for the gateway too.
    EapOnly,
    /// In two rounds.
    Rounds,
}

/// What the dice decide before life begins. Both ends of a connection share it.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Proposals of IKE_SAs.
    pub ike: &'static str,
    /// Proposals of CHILD_SAs.
    pub esp: &'static str,
    /// How everybody authenticates.
    pub means: Means,
    /// Seconds until an IKE_SA is rekeyed; 0 = never.
    pub ike_rekey: u64,
    /// Seconds until an IKE_SA is reauthenticated; 0 = never.
    pub ike_reauth: u64,
    /// Seconds until a CHILD_SA is rekeyed.
    pub child_rekey: u64,
    /// Seconds of silence until the peer is probed.
    pub dpd: u64,
    /// When the peer is dead.
    pub dpd_action: Action,
    /// When the peer closes.
    pub close_action: Action,
    /// At load.
    pub start_action: Action,
    /// MOBIKE.
    pub mobike: bool,
    /// One IKE_SA per identity.
    pub unique: Unique,
    /// Road warriors ask for addresses of both families.
    pub dual_stack: bool,
    /// Road warriors ask for IPv6 prefixes, and get some.
    pub prefixes: bool,
    /// UDP encapsulation without NAT.
    pub encap: bool,
    /// Mode of the gateways' CHILD_SA between themselves.
    pub mode: Mode,
    /// Proposals of AH for it, instead of ESP.
    pub ah: Option<&'static str>,
    /// CHILD_SAs compress.
    pub ipcomp: bool,
    /// Whether the first CHILD_SA is made in IKE_AUTH.
    pub childless: Childless,
    /// IKE fragmentation.
    pub fragmentation: Fragmentation,
    /// Engine-wide settings.
    pub settings: Settings,
    /// The network while life goes on.
    pub weather: Weather,
    /// Failures of what engines ask, per mille.
    pub failures: u64,
}

impl Terms {
    /// Throws the dice.
    #[must_use]
    pub fn random(dice: &mut Dice) -> Self {
        let action = |dice: &mut Dice| Action { trap: dice.chance(100), start: dice.chance(200) };
        let reauth = dice.chance(150);
        let ike_rekey = dice.range(150, 2000);
        let weather = match dice.below(10) {
            0..=3 => Weather::FAIR,
            4..=6 => Weather { loss: 60, duplicate: 40, damage: 5, delay: (5, 300), mtu: 1472 },
            7..=8 => Weather { loss: 250, duplicate: 150, damage: 20, delay: (1, 2500), mtu: 1472 },
            _ => Weather { loss: 0, duplicate: 300, damage: 0, delay: (1, 9000), mtu: 1400 },
        };
        let settings = Settings {
            retransmit_timeout: if dice.chance(500) { 4.0 } else { 1.5 },
            retransmit_tries: dice.range(2, 5) as u32,
            retransmit_jitter: dice.below(3) as u32 * 10,
            cookie_threshold: if dice.chance(150) { 1 } else { 30 },
            delete_rekeyed: dice.chance(400),
            make_before_break: dice.chance(800),
            close_ike_on_child_failure: dice.chance(100),
            fragment_size: *dice.pick(&[1280, 1280, 576, 300]),
            reuse_ikesa: dice.chance(900),
            plane_ipcomp: dice.chance(700),
            send_vendor_id: dice.chance(700),
            ..Settings::default()
        };
        Self {
            ike: dice.pick::<&str>(&[
                "aes128gcm16-prfsha256-x25519",
                "aes256-sha256-x25519",
                "aes128-sha256-modp2048-x25519,aes256gcm16-prfsha384-x25519",
                "chacha20poly1305-prfsha512-x25519",
                "aes256ctr-sha512-x25519",
                // Additional key exchanges: IKE_INTERMEDIATE, and IKE_FOLLOWUP_KE when rekeying.
                "aes256gcm16-prfsha384-x25519-ke1_ecp256",
                "aes128-sha256-ecp256-ke1_x25519-ke2_ecp256-ke2_none",
            ]),
            esp: dice.pick::<&str>(&[
                "aes128gcm16",
                "aes128gcm16-x25519",
                "aes256-sha256",
                "aes256-sha256-x25519-esn-noesn",
                "chacha20poly1305-x25519,aes128-sha1",
                "aes256gcm16-x25519-ke1_ecp256",
            ]),
            means: *dice.pick(&[
                Means::Secret,
                Means::Secret,
                Means::Keys,
                Means::Keys,
                Means::Eap,
                Means::Eap,
                Means::EapOnly,
                Means::Rounds,
                Means::Rounds,
            ]),
            ike_rekey: if reauth { 0 } else { ike_rekey },
            ike_reauth: if reauth { ike_rekey } else { 0 },
            child_rekey: dice.range(60, 600),
            dpd: dice.range(15, 60),
            dpd_action: action(dice),
            close_action: action(dice),
            start_action: action(dice),
            mobike: dice.chance(700),
            unique: dice
                .pick(&[Unique::No, Unique::No, Unique::Replace, Unique::Keep, Unique::Never])
                .to_owned(),
            dual_stack: dice.chance(500),
            prefixes: dice.chance(300),
            encap: dice.chance(100),
            mode: *dice.pick(&[Mode::Tunnel, Mode::Tunnel, Mode::Tunnel, Mode::Transport, Mode::Beet]),
            ah: dice.chance(150).then_some("sha512-x25519,sha256"),
            ipcomp: dice.chance(300),
            childless: *dice.pick(&[Childless::Allow, Childless::Allow, Childless::Prefer, Childless::Force]),
            fragmentation: *dice.pick(&[
                Fragmentation::Yes,
                Fragmentation::Yes,
                Fragmentation::Force,
                Fragmentation::No,
            ]),
            settings,
            weather,
            failures: if dice.chance(250) { 30 } else { 0 },
        }
    }

    /// Everything goes well and nothing happens by itself.
    #[must_use]
    pub fn calm() -> Self {
        let none = Action::default();
        Self {
            ike: "aes128gcm16-prfsha256-x25519",
            esp: "aes128gcm16-x25519",
            means: Means::Secret,
            ike_rekey: 0,
            ike_reauth: 0,
            child_rekey: 100_000,
            dpd: 30,
            dpd_action: none,
            close_action: none,
            start_action: none,
            mobike: true,
            unique: Unique::No,
            dual_stack: true,
            prefixes: false,
            encap: false,
            mode: Mode::Tunnel,
            ah: None,
            ipcomp: false,
            childless: Childless::Allow,
            fragmentation: Fragmentation::Yes,
            settings: Settings::default(),
            weather: Weather::FAIR,
            failures: 0,
        }
    }

    /// The four hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostConfig> {
        let host = |name: &str, addresses: &[&str], pools| HostConfig {
            name: name.to_owned(),
            addresses: addresses.iter().map(|a| ip(a)).collect(),
            snapshot: Arc::new(self.snapshot(name)),
            pools,
        };
        let pool = |name: &str, range: &str| PoolConfig::new(name, range.parse().expect("a range"));
        let v6 = if self.prefixes {
            PoolConfig::new("v6", PoolRange::parse("2001:db8:3::/60", Some(64)).expect("a range"))
        } else {
            pool("v6", "2001:db8:3::/124")
        };
        vec![
            host("moon", &["192.0.2.1"], vec![pool("v4", "10.3.0.0/28"), v6]),
            host("sun", &["192.0.2.2"], vec![]),
            host("carol", &["10.9.0.2"], vec![]),
            host("dave", &["192.0.2.50"], vec![]),
        ]
    }

    /// The NAT before carol.
    #[must_use]
    pub fn nats(&self) -> Vec<Nat> {
        vec![Nat::new(ip("192.0.2.100"), vec![ip("10.9.0.2")])]
    }

    /// The configuration of one of the hosts.
    #[must_use]
    pub fn snapshot(&self, host: &str) -> Snapshot {
        let connections = match host {
            "moon" => vec![self.road_warriors(), self.site("moon", "sun")],
            "sun" => vec![self.site("sun", "moon")],
            other => vec![self.home(other)],
        };
        Snapshot {
            authorities: vec![Arc::new(crate::credentials::authority("ca"))],
            ocsp_signers: Vec::new(),
            connections: connections.into_iter().map(Arc::new).collect(),
            secrets: vec![Arc::new(SharedSecret {
                id: String::new(),
                kind: SecretKind::Ike,
                data: Secret::from(b"a secret of the virtual world"),
                owners: Vec::new(),
            })],
            settings: Arc::new(self.settings.clone()),
        }
    }

    fn road_warriors(&self) -> Connection {
        Connection {
            local_addrs: vec![PeerAddr::Ip(ip("192.0.2.1"))],
            pools: vec!["v4".to_owned(), "v6".to_owned()],
            local: self.gateway("local", Some("moon")),
            remote: self.client("remote", None),
            // A gateway does not call its road warriors back.
            children: [("net", NET), ("alt", ALT)]
                .map(|(name, ts)| self.child(name, ts, &["dynamic"], false))
                .to_vec(),
            unique: self.unique,
            ..self.connection("rw")
        }
    }

    fn home(&self, me: &str) -> Connection {
        let mut any = vec!["0.0.0.0"];
        if self.dual_stack {
            any.push(if self.prefixes { "::/64" } else { "::" });
        }
        Connection {
            remote_addrs: vec![PeerAddr::Name("moon.test".to_owned()), PeerAddr::Ip(ip("192.0.2.1"))],
            vips: any.iter().map(|a| a.parse().expect("a virtual IP")).collect(),
            local: self.client("local", Some(me)),
            remote: self.gateway("remote", Some("moon")),
            children: [("net", NET), ("alt", ALT)]
                .map(|(name, ts)| self.child(name, &["dynamic"], ts, true))
                .to_vec(),
            ..self.connection("home")
        }
    }

    fn site(&self, me: &str, peer: &str) -> Connection {
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let (ours, theirs) = if me == "moon" { (a, b) } else { (b, a) };
        let (left, right) =
            if me == "moon" { ("10.1.0.0/16", "10.2.0.0/16") } else { ("10.2.0.0/16", "10.1.0.0/16") };
        let mut hosts = Child::clone(&self.child("hosts", &["dynamic"], &["dynamic"], true));
        hosts.mode = self.mode;
        if let Some(ah) = self.ah {
            hosts.proposals = parse_proposals(ProtocolId::Ah, ah).expect("proposals");
        }
        Connection {
            local_addrs: vec![PeerAddr::Ip(ip(ours))],
            remote_addrs: vec![PeerAddr::Ip(ip(theirs))],
            local: self.neighbour("local", me),
            remote: self.neighbour("remote", peer),
            children: vec![self.child("nets", &[left], &[right], true), Arc::new(hosts)],
            encap: self.encap,
            unique: self.unique,
            ..self.connection("site")
        }
    }

    /// Rounds of the gateway towards road warriors.
    fn gateway(&self, side: &str, id: Option<&str>) -> Vec<Auth> {
        vec![match self.means {
            Means::Secret => round(side, id, "psk"),
            Means::Keys | Means::Eap | Means::Rounds => round(side, id, "pubkey"),
            Means::EapOnly => round(side, id, "eap-tls"),
        }]
    }

    /// Rounds of a road warrior; on the gateway's side its name is unknown.
    fn client(&self, side: &str, id: Option<&str>) -> Vec<Auth> {
        let eap = |method: &str| {
            let class = if id.is_some() { "eap".to_owned() } else { format!("eap-{method}") };
            let mut auth = round(side, id, &class);
            auth.name = format!("{side}-eap");
            auth.eap_id = Some(id.map_or(Identity::Any, |host| Identity::Fqdn(format!("{host}-user"))));
            auth
        };
        match self.means {
            Means::Secret => vec![round(side, id, "psk")],
            Means::Keys => vec![round(side, id, "pubkey")],
            Means::Eap => vec![eap("mschapv2")],
            Means::EapOnly => vec![eap("tls")],
            Means::Rounds => vec![round(side, id, "pubkey"), eap("md5")],
        }
    }

    /// Rounds of one of two gateways.
    fn neighbour(&self, side: &str, host: &str) -> Vec<Auth> {
        let named = |name: &str, class| Auth { name: name.to_owned(), ..round(side, Some(host), class) };
        match self.means {
            Means::Secret => vec![named(side, "psk")],
            Means::Keys | Means::Eap | Means::EapOnly => vec![named(side, "pubkey")],
            Means::Rounds if host == "sun" => vec![named(side, "psk"), named("second", "pubkey")],
            Means::Rounds => vec![named(side, "pubkey"), named("second", "psk"), named("third", "pubkey")],
        }
    }

    fn connection(&self, name: &str) -> Connection {
        let over = (self.ike_rekey + self.ike_reauth) / 5;
        Connection {
            version: 2,
            childless: self.childless,
            fragmentation: self.fragmentation,
            proposals: parse_proposals(ProtocolId::Ike, self.ike).expect("proposals"),
            mobike: self.mobike,
            dpd_delay: self.dpd,
            rekey_time: self.ike_rekey,
            reauth_time: self.ike_reauth,
            over_time: over,
            rand_time: over / 2,
            ..Connection::named(name)
        }
    }

    fn child(&self, name: &str, local: &[&str], remote: &[&str], active: bool) -> Arc<Child> {
        let ts =
            |list: &[&str]| list.iter().map(|t| SelectorTemplate::parse(t).expect("a selector")).collect();
        let act = |action: Action| if active { action } else { Action::default() };
        let (rekey, life) = (self.child_rekey, self.child_rekey * 6 / 5);
        Arc::new(Child {
            proposals: parse_proposals(ProtocolId::Esp, self.esp).expect("proposals"),
            local_ts: ts(local),
            remote_ts: ts(remote),
            lifetime: Lifetime { time: Limit { rekey, life, rand: life - rekey }, ..Lifetime::default() },
            dpd_action: act(self.dpd_action),
            close_action: act(self.close_action),
            ipcomp: self.ipcomp,
            start_action: act(self.start_action),
            ..Child::named(name)
        })
    }
}

const NET: &[&str] = &["10.1.0.0/16", "2001:db8:1::/64"];
const ALT: &[&str] = &["10.7.0.0/16"];

fn round(name: &str, id: Option<&str>, class: &str) -> Auth {
    let id = id.map(|host| Identity::Fqdn(format!("{host}.test")));
    Auth { id, ..Auth::named(name, AuthClass::parse(class).expect("a class")) }
}

/// An address from text that is one.
#[must_use]
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
