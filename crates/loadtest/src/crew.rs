//! How a client becomes a connection: everything that all share is made once.
use crate::credentials::round_of;
use crate::plan::{Login, Plan};
use policy::connection::Unique;
use policy::lifetime::Limit;
use policy::secrets::SecretKind;
use policy::{
    Auth, AuthClass, Child, Connection, Identity, Lifetime, PeerAddr, Settings, SharedSecret, Snapshot,
};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

/// Name of the child of each connection.
pub(crate) const CHILD: &str = "net";

/// All clients of a lane, before they are born.
pub(crate) struct Crew {
    plan: Arc<Plan>,
    base: Connection,
    settings: Arc<Settings>,
    sources: Vec<IpAddr>,
    /// Whom CERTREQ payloads name.
    authorities: Vec<Arc<policy::Certificate>>,
    /// Secrets of clients under way, with the clients' numbers.
    secrets: VecDeque<(u32, Arc<SharedSecret>)>,
}

impl Crew {
    /// `sources` are the addresses to come from, at least one; `ports` those of the sockets.
    pub(crate) fn new(plan: &Arc<Plan>, sources: Vec<IpAddr>, ports: (u16, u16)) -> Self {
        let mut child = Child::named(CHILD);
        child.proposals.clone_from(&plan.esp);
        child.remote_ts.clone_from(&plan.remote_ts);
        child.lifetime = lifetime(plan.rekey_child);
        let mut base = Connection::named("");
        base.version = 2;
        base.remote_addrs = vec![PeerAddr::Ip(plan.gateway)];
        base.remote_port = plan.port;
        base.local_port = if plan.port == 500 { ports.0 } else { ports.1 };
        base.proposals.clone_from(&plan.ike);
        base.vips.clone_from(&plan.vips);
        base.encap = plan.encap;
        // Nothing here moves.
        base.mobike = false;
        base.dpd_delay = plan.dpd;
        base.unique = Unique::No;
        base.rekey_time = plan.rekey_ike;
        base.over_time = grace(plan.rekey_ike);
        base.rand_time = plan.rekey_ike / 10;
        base.children = vec![Arc::new(child)];
        let mut remote = Auth::named("remote", class_of_gateway(&plan.login));
        remote.id = Some(plan.server.clone());
        base.remote = vec![remote];
        let settings = Settings {
            retransmit_timeout: plan.retransmit_timeout,
            retransmit_tries: plan.retransmit_tries,
            reuse_ikesa: false,
            dos_protection: false,
            port: ports.0,
            port_nat_t: ports.1,
            esp_in_udp_only: false,
            ..Settings::default()
        };
        let authorities = plan.store.anchors().map(|ca| Arc::new(ca.to_policy())).collect();
        let mut secrets = VecDeque::new();
        if let Login::Psk(shared) = &plan.login
            && !shared.is_distinct()
        {
            secrets.push_back((0, secret(shared.of(0), Vec::new())));
        }
        Self { plan: Arc::clone(plan), base, settings: Arc::new(settings), sources, authorities, secrets }
    }

    /// A configuration without any connection.
    pub(crate) fn empty(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            authorities: self.authorities.clone(),
            settings: Arc::clone(&self.settings),
            ..Snapshot::default()
        })
    }

    /// The client's identity.
    pub(crate) fn identity(&self, client: u32) -> String {
        self.plan.identity.of(client)
    }

    /// A configuration in which the client is the only connection, by the name of its number.
    ///
    /// # Errors
    /// Why the client cannot be.
    pub(crate) fn muster(&mut self, client: u32) -> Result<Arc<Snapshot>, String> {
        let text = self.identity(client);
        let mut identity = Identity::parse(&text).map_err(|e| e.to_string())?;
        let mut connection = self.base.clone();
        connection.name = client.to_string();
        let at = usize::try_from(client).unwrap_or(0).checked_rem(self.sources.len()).unwrap_or(0);
        if let Some(source) = self.sources.get(at) {
            connection.local_addrs = vec![PeerAddr::Ip(*source)];
        }
        let mut local = match &self.plan.login {
            Login::Psk(shared) => {
                if shared.is_distinct() {
                    self.secrets.push_back((client, secret(shared.of(client), vec![identity.clone()])));
                }
                Auth::named("local", AuthClass::Psk)
            }
            Login::Cert(papers) => {
                let (auth, named) = round_of(papers.as_ref(), client)?;
                identity = named.unwrap_or(identity);
                auth
            }
            Login::Eap(login) => {
                let mut auth = Auth::named("local", AuthClass::Eap(method_name(login.method.0).to_owned()));
                auth.eap_id = Identity::parse(&login.user.of(client)).ok();
                auth
            }
        };
        local.id = Some(identity);
        connection.local = vec![local];
        Ok(Arc::new(Snapshot {
            connections: vec![Arc::new(connection)],
            secrets: self.secrets.iter().map(|(_, secret)| Arc::clone(secret)).collect(),
            authorities: self.authorities.clone(),
            settings: Arc::clone(&self.settings),
            ..Snapshot::default()
        }))
    }

    /// The client's set-up is over, one way or the other.
    pub(crate) fn settled(&mut self, client: u32) {
        if let Login::Psk(shared) = &self.plan.login
            && shared.is_distinct()
        {
            self.secrets.retain(|(owner, _)| *owner != client);
        }
    }
}

fn secret(data: crypto::Secret, owners: Vec<Identity>) -> Arc<SharedSecret> {
    Arc::new(SharedSecret { id: String::new(), kind: SecretKind::Ike, data, owners })
}

fn class_of_gateway(login: &Login) -> AuthClass {
    match login {
        Login::Psk(_) => AuthClass::Psk,
        Login::Cert(_) | Login::Eap(_) => AuthClass::Pubkey("pubkey".to_owned()),
    }
}

/// As `auth` names it.
fn method_name(method: eap::Method) -> &'static str {
    match method {
        eap::Method::Md5 => "md5",
        eap::Method::Gtc => "gtc",
        eap::Method::Mschapv2 => "mschapv2",
        eap::Method::Tls => "tls",
        eap::Method::Ttls => "ttls",
        eap::Method::Peap => "peap",
    }
}

fn lifetime(seconds: u64) -> Lifetime {
    let mut lifetime = Lifetime::standard();
    lifetime.time = match seconds {
        0 => Limit::default(),
        _ => Limit { rekey: seconds, life: seconds.saturating_add(grace(seconds)), rand: seconds / 10 },
    };
    lifetime
}

/// Seconds that a rekeying may take: a tenth as usual, but enough for some repetitions where times are short.
fn grace(seconds: u64) -> u64 {
    (seconds / 10).max(60)
}
