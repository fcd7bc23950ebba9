//! Addresses leased from a LAN's DHCP server for clients (pool `dhcp`), as strongSwan's dhcp plugin; and renewed for as long
//! as a client uses them.
//!
//! The state machines are those of the `dhcp` crate, behind one lock that nobody holds while waiting. A client that waits
//! holds a [`Claim`]: dropped before it is taken, the address is given back.

mod rows;
mod settings;
mod sockets;

use crate::observers::commands::Commands;
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use dhcp::{Client, Lease, LeaseId, Output, Subject};
use ike::io::{Command, Filter, Group};
use linux::clock::Sleeper;
use policy::Identity;
use pool::{Attributes, Grant, Later, LeaseRow, Origin, PoolStatus, Store, Trouble, Wanted};
use rows::{Row, Rows};
pub(crate) use settings::Settings;
use sockets::{Ear, Sockets};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, oneshot};
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// The name of the pool.
const POOL: &str = "dhcp";
/// Addresses of one client.
const MOST_EACH: usize = 4;

/// The store.
pub(crate) struct Dhcp {
    state: Mutex<State>,
    /// A deadline is nearer than the last one.
    sooner: Notify,
    log: Arc<Log>,
    shard: Shard,
    commands: Arc<Commands>,
    this: Weak<Self>,
}

struct State {
    settings: Settings,
    client: Client,
    sockets: Option<Sockets>,
    waiting: BTreeMap<LeaseId, (Who, oneshot::Sender<Result<Claim, Trouble>>)>,
    rows: Rows,
}

/// For whom.
#[derive(Debug, Clone)]
struct Who {
    identity: Identity,
    connection: String,
    ike_id: u32,
}

/// An address that was granted and not taken yet.
struct Claim {
    store: Weak<Dhcp>,
    address: Option<Ipv4Addr>,
    identity: Identity,
}

impl Claim {
    fn take(mut self) -> Option<Ipv4Addr> {
        self.address.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let (Some(address), Some(store)) = (self.address.take(), self.store.upgrade()) {
            store.give_back(&self.identity, address);
        }
    }
}

/// A transaction that nobody waits for any more is ended.
struct Waiting {
    store: Weak<Dhcp>,
    id: LeaseId,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.stop_waiting(self.id);
        }
    }
}

impl Dhcp {
    /// A store without leases; its sockets are opened when first needed.
    pub(crate) fn start(
        settings: Settings,
        log: Arc<Log>,
        shard: Shard,
        commands: Arc<Commands>,
        mut rng: crypto::Rng,
    ) -> Arc<Self> {
        let random = move || rng.u64();
        let start = dhcp::Settings { server: settings.server, force_server: false, relay: None };
        let state = State {
            settings,
            client: Client::new(start, random),
            sockets: None,
            waiting: BTreeMap::new(),
            rows: Rows::default(),
        };
        let store = Arc::new_cyclic(|this: &Weak<Self>| Self {
            state: Mutex::new(state),
            sooner: Notify::new(),
            log,
            shard,
            commands,
            this: this.clone(),
        });
        tokio::spawn(keep_time(Arc::downgrade(&store)));
        store
    }

    /// Other settings. Leases stay.
    pub(crate) fn configure(&self, settings: Settings) {
        let mut state = self.lock();
        if state.settings != settings {
            state.settings = settings;
            state.sockets = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one address; shares one that the client holds already, where that is what it wants.
    fn ask(&self, who: Who, requested: Ipv4Addr) -> Result<Ask, Trouble> {
        let mut state = self.lock();
        if let Some(address) = state.shared(&who.identity, requested) {
            return Ok(Ask::Held(Claim {
                store: self.this.clone(),
                address: Some(address),
                identity: who.identity,
            }));
        }
        let unavailable = |why: String| Trouble::Unavailable { pool: POOL.to_owned(), why };
        self.prepare(&mut state).map_err(|e| unavailable(explain(&e, &state.settings)))?;
        let subject = state.subject(&who.identity, requested);
        let now = linux::clock::monotonic_ms();
        let id = state.client.start(now, subject).map_err(|why| unavailable(why.to_string()))?;
        let (answer, wait) = oneshot::channel();
        state.waiting.insert(id, (who, answer));
        self.drain(&mut state);
        drop(state);
        self.sooner.notify_one();
        Ok(Ask::Later(wait, Waiting { store: self.this.clone(), id }))
    }

    /// Opens the sockets, and finds out as whom we speak: addresses may have changed since the last time.
    fn prepare(&self, state: &mut State) -> linux::Result<()> {
        let settings = &state.settings;
        let relay = match settings.relays() {
            true => Some(linux::broadcast::source_towards(settings.server, settings.interface.as_deref())?),
            false => None,
        };
        let (server, force_server) = (settings.server, settings.force_server_address);
        if state.sockets.as_ref().is_none_or(|sockets| sockets.is_stale(settings)) {
            state.sockets = None;
            state.sockets = Some(Sockets::open(settings, &self.this)?);
        }
        state.client.configure(dhcp::Settings { server, force_server, relay });
        Ok(())
    }

    /// What the state machines want done.
    fn drain(&self, state: &mut State) {
        while let Some(output) = state.client.poll() {
            match output {
                Output::Send { to, datagram } => self.send(state, None, to, &datagram),
                Output::Log(id, text) => {
                    let who = state.waiting.get(&id).map(|(who, _)| who).or_else(|| state.rows.who(id));
                    self.say(who, text);
                }
                Output::Bound(id, lease) => self.bound(state, id, lease),
                Output::Renewed(id, lease) => state.rows.renewed(id, lease),
                Output::Failed(id, why) => {
                    if let Some((_, answer)) = state.waiting.remove(&id) {
                        let mut why = why.to_string();
                        if state.client.settings().relay.is_none() && state.settings.interface.is_none() {
                            why.push_str(" Name the LAN in charon.plugins.dhcp.interface, or its broadcast address in charon.plugins.dhcp.server.");
                        }
                        let _gone = answer.send(Err(Trouble::Unavailable { pool: POOL.to_owned(), why }));
                    }
                }
                Output::Lost(id, address, why) => self.lost(state, id, address, &why.to_string()),
            }
        }
    }

    /// Sends, on new sockets where the old ones are of an interface that is gone.
    fn send(&self, state: &mut State, who: Option<&Who>, to: Ipv4Addr, datagram: &[u8]) {
        let sent = |state: &State| state.sockets.as_ref().map(|sockets| sockets.send(to, datagram));
        if matches!(sent(state), Some(Ok(()))) {
            return;
        }
        state.sockets = None;
        match self.prepare(state) {
            Err(e) => self.say(who, format!("no way to DHCP servers: {e}")),
            Ok(()) => {
                if let Some(Err(e)) = sent(state) {
                    self.say(who, format!("sending to DHCP server {to}: {e}"));
                }
            }
        }
    }

    /// As whom we speak may have changed since the last time: no matter if it cannot be found out now.
    fn refresh(&self, state: &mut State) {
        if state.sockets.is_some() {
            _ = self.prepare(state);
        }
    }

    fn bound(&self, state: &mut State, id: LeaseId, lease: Lease) {
        let Some((who, answer)) = state.waiting.remove(&id) else { return };
        let (address, identity) = (lease.address, who.identity.clone());
        state.rows.insert(address, Row::new(id, who, lease, linux::clock::wall_seconds()));
        // Nobody there to take it: the claim gives it back, when the lock is free.
        let claim = Claim { store: self.this.clone(), address: Some(address), identity };
        if let Err(unwanted) = answer.send(Ok(claim)) {
            tokio::spawn(async move { drop(unwanted) });
        }
    }

    /// The address is not the client's any more: nobody may use it, and so the tunnel goes.
    fn lost(&self, state: &mut State, id: LeaseId, address: Ipv4Addr, why: &str) {
        let Some(row) = state.rows.lose(id, address) else { return };
        let text = format!("lease {address} of '{}' is lost: {why}. Closing its IKE_SA", row.who.identity);
        self.log.line(Voice::Engine, Group::Cfg, 0, Some((row.who.connection, row.who.ike_id)), text);
        let (shard, commands) = (self.shard.clone(), self.commands.clone());
        tokio::spawn(async move {
            let mut pages = shard.pages(Filter::default());
            while let Some(page) = pages.next().await {
                let users =
                    page.iter().filter(|sa| sa.remote_vips.iter().any(|vip| vip.address() == address));
                for sa in users {
                    let filter = Filter { ike_id: Some(sa.unique_id), ..Filter::default() };
                    let id = commands.unattended();
                    shard.command(Command::Terminate { id, filter, force: false }).await;
                }
            }
        });
    }

    fn give_back(&self, identity: &Identity, address: Ipv4Addr) -> bool {
        let mut state = self.lock();
        match state.rows.give_back(identity, address) {
            rows::Back::Unknown => return false,
            rows::Back::Counted => {}
            rows::Back::Last(row) => {
                self.refresh(&mut state);
                state.client.release(linux::clock::monotonic_ms(), row.id);
                // The lines of the release are still the client's.
                while let Some(output) = state.client.poll() {
                    match output {
                        Output::Log(id, text) if id == row.id => self.say(Some(&row.who), text),
                        Output::Send { to, datagram } => {
                            self.send(&mut state, Some(&row.who), to, &datagram);
                        }
                        _ => {}
                    }
                }
            }
        }
        true
    }

    fn stop_waiting(&self, id: LeaseId) {
        let mut state = self.lock();
        if state.waiting.remove(&id).is_some() {
            state.client.release(linux::clock::monotonic_ms(), id);
            self.drain(&mut state);
        }
    }

    fn say(&self, who: Option<&Who>, text: String) {
        let ike = who.map(|who| (who.connection.clone(), who.ike_id));
        self.log.line(Voice::Engine, Group::Cfg, 1, ike, text);
    }

    async fn lease_all(&self, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let who = Who {
            identity: wanted.identity.clone(),
            connection: wanted.connection.clone(),
            ike_id: wanted.ike_id,
        };
        // A server that knows clients by their identity has one address for each.
        let most = if self.lock().settings.identity_lease { 1 } else { MOST_EACH };
        let asked = wanted.requested.iter().filter_map(|vip| match vip.address() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let (mut claims, mut trouble) = (Vec::new(), Trouble::Exhausted(wanted.pools.clone()));
        for address in asked.take(most) {
            let outcome = match self.ask(who.clone(), address) {
                Ok(Ask::Held(claim)) => Ok((claim, Origin::Online)),
                Ok(Ask::Later(wait, _ends_it)) => match wait.await {
                    Ok(answer) => answer.map(|claim| (claim, Origin::New)),
                    Err(_gone) => Err(trouble.clone()),
                },
                Err(trouble) => Err(trouble),
            };
            match outcome {
                Ok(claim) => claims.push(claim),
                Err(why) => trouble = why,
            }
        }
        let grants: Vec<Grant> = claims
            .into_iter()
            .filter_map(|(claim, origin)| {
                let address = claim.take()?.into();
                Some(Grant { pool: POOL.to_owned(), address, prefix: 32, origin })
            })
            .collect();
        if grants.is_empty() { Err(trouble) } else { Ok(grants) }
    }

    fn attributes_now(&self, wanted: &Wanted, granted: &[Grant]) -> Vec<ConfigAttr> {
        let state = self.lock();
        let ours = granted.iter().filter(|grant| grant.pool == POOL);
        let leases = ours.filter_map(|grant| match grant.address {
            IpAddr::V4(address) => state.rows.lease(address),
            IpAddr::V6(_) => None,
        });
        let mut attributes = Vec::new();
        for lease in leases {
            for (kind, servers) in
                [(ConfigAttribute::Ip4Dns, &lease.dns), (ConfigAttribute::Ip4Nbns, &lease.wins)]
            {
                attributes.extend(servers.iter().map(|s| ConfigAttr { kind, value: s.octets().to_vec() }));
            }
            // A domain is for those who ask for one (RFC 8598 3.1); as netmask an address of its own is best.
            for kind in [ConfigAttribute::DnsDomain, ConfigAttribute::UnityDefDomain] {
                if let Some(domain) = &lease.domain
                    && wanted.attributes.contains(&kind)
                {
                    attributes.push(ConfigAttr { kind, value: domain.as_bytes().to_vec() });
                }
            }
        }
        attributes
    }
}

/// What asking led to.
enum Ask {
    Held(Claim),
    Later(oneshot::Receiver<Result<Claim, Trouble>>, Waiting),
}

impl State {
    fn shared(&mut self, identity: &Identity, requested: Ipv4Addr) -> Option<Ipv4Addr> {
        let any = self.settings.identity_lease;
        self.rows.share(identity, |address| any || address == requested)
    }

    fn subject(&mut self, identity: &Identity, requested: Ipv4Addr) -> Subject {
        let subject = if self.settings.identity_lease {
            Subject::of_identity(&identity.to_wire().1)
        } else {
            Subject::random(self.client.draw())
        };
        let named = match identity {
            Identity::Fqdn(name) => subject.named(name),
            _ => subject,
        };
        named.asking(Some(requested))
    }
}

/// What the system said, and what to do.
fn explain(error: &linux::Error, settings: &Settings) -> String {
    let what = match error.source.kind() {
        ErrorKind::AddrInUse if settings.port() == dhcp::message::SERVER_PORT => {
            ": a DHCP server or relay agent runs here, charon.plugins.dhcp.use_server_port = no leaves the port to it"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            ": set charon.plugins.dhcp.interface to the LAN, or charon.plugins.dhcp.server to its broadcast address"
        }
        _ => "",
    };
    format!("{error}{what}")
}

impl Ear for Dhcp {
    fn hear(&self, from: Ipv4Addr, message: &[u8]) {
        let mut state = self.lock();
        state.client.receive(linux::clock::monotonic_ms(), from, message);
        self.drain(&mut state);
        drop(state);
        self.sooner.notify_one();
    }
}

/// Wakes the state machines when their time has come.
async fn keep_time(store: Weak<Dhcp>) {
    let mut sleeper = Sleeper::new();
    loop {
        let Some(now) = store.upgrade() else { return };
        let wait = {
            let mut state = now.lock();
            let time = linux::clock::monotonic_ms();
            if state.client.deadline().is_some_and(|due| due <= time) {
                now.refresh(&mut state);
            }
            state.client.timeout(time);
            now.drain(&mut state);
            state.client.deadline()
        };
        tokio::select! {
            () = sleeper.until(wait) => {}
            () = now.sooner.notified() => {}
        }
    }
}

impl Store for Dhcp {
    fn plugin(&self) -> &'static str {
        "dhcp"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(pool == POOL && self.lock().settings.load))
    }

    fn has_fixed_names(&self) -> bool {
        true
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(self.lease_all(wanted))
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async move { Ok(self.attributes_now(wanted, granted)) })
    }

    fn release<'a>(&'a self, _: &'a [String], identity: &'a Identity, address: IpAddr) -> Later<'a, bool> {
        Box::pin(async move {
            match address {
                IpAddr::V4(address) => self.give_back(identity, address),
                IpAddr::V6(_) => false,
            }
        })
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(async {
            let state = self.lock();
            // How many addresses there are is the server's affair.
            let online = state.rows.len();
            let size = u32::try_from(online).unwrap_or(u32::MAX);
            let base = state.rows.first().unwrap_or(state.settings.server).into();
            let row = PoolStatus { name: POOL.to_owned(), base, size, online, offline: 0 };
            Ok(if state.settings.load && online > 0 { vec![row] } else { Vec::new() })
        })
    }

    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move {
            if pool != POOL {
                return Ok(Vec::new());
            }
            let clocks = (linux::clock::monotonic_ms(), linux::clock::wall_seconds());
            Ok(self.lock().rows.list(clocks).take(limit).collect())
        })
    }
}
