//! The task: inputs in, datagrams, answers and commands out.
use super::dae::Listener;
use super::logins::Logins;
use super::sockets::Sockets;
use super::{Input, World};
use crate::observers::accounting::{self, Change};
use crate::observers::log::Voice;
use config::tree::Section;
use config::{RadiusServer, RadiusSettings};
use crypto::Secret;
use ike::io::{Answer, Command, Filter, Group, IkeView, Ticket};
use linux::clock::Sleeper;
use radius::account::{Clock, RecordId, Undelivered};
use radius::client::{Failure, Purpose, RequestId, ServerSettings};
use radius::dae::{DaeOutput, Wish, WishId};
use radius::relay::RelayOptions;
use radius::{Accounting, Client, ClientSettings, Dae, Ledger, Output};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use vici::Message;
use wire::iana::{ErrorCause, TerminateCause};

/// How long one name may take to resolve.
const DNS: Duration = Duration::from_secs(5);
/// Milliseconds until names that could not be resolved are tried again.
const RESOLVE_AGAIN: u64 = 30_000;
/// Why logins fail when the servers change.
const CHANGED: &str = "the RADIUS servers have changed";

/// Everything the task owns.
pub(super) struct Desk {
    settings: RadiusSettings,
    world: World,
    inputs: mpsc::WeakSender<Input>,
    rng: crypto::Rng,
    client: Client,
    /// By server of the client: our address towards it.
    sources: Vec<Option<IpAddr>>,
    /// Names are resolved again then, since some could not be.
    resolve_at: Option<u64>,
    addresses: Vec<Option<IpAddr>>,
    accounting: Arc<AtomicBool>,
    sockets: Sockets,
    logins: Logins,
    ledger: Ledger,
    records: BTreeMap<RequestId, RecordId>,
    /// Why an IKE_SA is about to go.
    causes: BTreeMap<u32, TerminateCause>,
    stopping: bool,
    finish: Option<oneshot::Sender<()>>,
    dae: Option<(Dae, Listener)>,
}

fn clock() -> Clock {
    Clock { mono: linux::clock::monotonic_ms(), wall: linux::clock::wall_seconds() }
}

impl Desk {
    pub(super) fn new(
        settings: RadiusSettings,
        world: World,
        mut rng: crypto::Rng,
        inputs: mpsc::WeakSender<Input>,
        accounting: Arc<AtomicBool>,
    ) -> Self {
        let seed = child_seed(&mut rng);
        Self {
            client: Client::new(ClientSettings::default(), crypto::Rng::from_seed(seed)),
            sources: Vec::new(),
            resolve_at: None,
            addresses: Vec::new(),
            accounting,
            sockets: Sockets::new(inputs.clone()),
            logins: Logins::new(),
            ledger: Ledger::new(accounting_options(&settings), clock().wall),
            records: BTreeMap::new(),
            causes: BTreeMap::new(),
            stopping: false,
            finish: None,
            dae: None,
            settings,
            world,
            inputs,
            rng,
        }
    }

    /// Runs until all handles are gone.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        self.configure();
        let mut sleeper = Sleeper::new();
        loop {
            let (client, ledger, logins) =
                (self.client.next_wake(), self.ledger.next_wake(), self.logins.next_forgotten());
            let wake = [client, ledger, logins, self.resolve_at].into_iter().flatten().min();
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input).await,
                    None => return,
                },
                () = sleeper.until(wake) => {}
            }
            self.timers();
            self.drain().await;
        }
    }

    async fn take(&mut self, input: Input) {
        let now = clock();
        match input {
            Input::Start(ticket, session, start) => {
                let options = relay_options(&self.settings);
                let boot = self.ledger.boot();
                let place = (ticket, session);
                let started = self.logins.start(now.mono, &mut self.client, &options, boot, place, *start);
                self.refuse(ticket, started).await;
            }
            Input::Packet(ticket, session, packet, told) => {
                let place = (ticket, session);
                let taken = self.logins.packet(now.mono, &mut self.client, place, &packet, &told);
                self.refuse(ticket, taken).await;
            }
            Input::Abandon(session) => self.logins.abandon(now.mono, &mut self.client, session),
            Input::Event(event) => self.event(now, &event),
            Input::Counted(views, due) => {
                for view in &views {
                    for (child, counters) in accounting::counters(view) {
                        self.ledger.count(view.unique_id, child, counters);
                    }
                }
                for ike_id in due {
                    self.ledger.interim(now, ike_id);
                }
            }
            Input::Compared(id, wish, views) => self.wish(now, id, wish, &views).await,
            Input::Framed(ike_id, answer) => {
                let _gone = answer.send(self.logins.framed(ike_id));
            }
            Input::Datagram(socket, datagram) => self.client.receive(now.mono, socket, &datagram),
            Input::Refused(socket) => self.client.refused(now.mono, socket),
            Input::Wish(arrived) => {
                if let Some((dae, _)) = &mut self.dae {
                    dae.receive(now.mono, now.wall, arrived.local, arrived.remote, &arrived.bytes);
                }
            }
            Input::Settings(settings) => {
                if *settings != self.settings {
                    self.settings = *settings;
                    self.logins.fail_all(&self.world.shard, CHANGED).await;
                    self.configure();
                }
            }
            Input::Resolved(settings, addresses) => self.resolved(&settings, addresses).await,
            Input::Stopping => self.stopping = true,
            Input::Finish(done) => self.finish = Some(done),
        }
    }

    async fn refuse(&self, ticket: Ticket, result: Result<(), Answer>) {
        if let Err(answer) = result {
            self.world.shard.answer(ticket, answer).await;
        }
    }

    /// Makes the client and the listener anew, as the settings are. Servers with a name come in when it is resolved.
    fn configure(&mut self) {
        self.addresses = self.settings.servers.iter().map(|server| server.address.parse().ok()).collect();
        self.make_client();
        if self.addresses.iter().any(Option::is_none) {
            self.resolve();
        }
        self.ledger.configure(accounting_options(&self.settings));
        self.accounting.store(self.settings.accounting, Ordering::Relaxed);
        self.dae = None;
        if let Some(settings) = &self.settings.dae {
            let secret = Secret::new(settings.secret.clone().into_bytes());
            let listener = Listener::open(settings, self.inputs.clone(), &self.world.log);
            self.dae = listener.map(|listener| (Dae::new(secret), listener));
        }
    }

    fn make_client(&mut self) {
        let known = || {
            let servers = self.settings.servers.iter().zip(&self.addresses);
            servers.filter_map(|(server, address)| Some((server, (*address)?)))
        };
        let servers = known().map(|(server, address)| server_settings(server, address)).collect();
        let sources = known().map(|(server, _)| server.source).collect();
        self.sources = sources;
        self.sockets.clear();
        // Records that were under way are late.
        let now = clock();
        for (_, record) in std::mem::take(&mut self.records) {
            let _later = self.ledger.undelivered(now, record);
        }
        let seed = child_seed(&mut self.rng);
        self.client = Client::new(ClientSettings { servers }, crypto::Rng::from_seed(seed));
    }

    /// Asks DNS beside.
    fn resolve(&mut self) {
        self.resolve_at = None;
        let (settings, inputs) = (self.settings.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let mut addresses = Vec::new();
            for server in &settings.servers {
                addresses.push(lookup(&server.address).await);
            }
            if let Some(inputs) = inputs.upgrade() {
                let _gone = inputs.send(Input::Resolved(Box::new(settings), addresses)).await;
            }
        });
    }

    async fn resolved(&mut self, settings: &RadiusSettings, addresses: Vec<Option<IpAddr>>) {
        if *settings != self.settings {
            return;
        }
        for (server, _) in settings.servers.iter().zip(&addresses).filter(|(_, address)| address.is_none()) {
            let (name, address) = (&server.name, &server.address);
            self.log(
                0,
                format!("address '{address}' of RADIUS server '{name}' cannot be resolved, trying again"),
            );
            self.resolve_at = Some(clock().mono.saturating_add(RESOLVE_AGAIN));
        }
        // A name that was resolved once keeps its address while DNS is away.
        let merged: Vec<_> = addresses.iter().zip(&self.addresses).map(|(new, old)| new.or(*old)).collect();
        if merged != self.addresses {
            self.addresses = merged;
            self.logins.fail_all(&self.world.shard, CHANGED).await;
            self.make_client();
        }
    }

    fn timers(&mut self) {
        let now = clock();
        if self.resolve_at.is_some_and(|at| at <= now.mono) {
            self.resolve();
        }
        if self.client.next_wake().is_some_and(|at| at <= now.mono) {
            self.client.wake(now.mono);
        }
        self.logins.forget(now.mono);
        self.ledger.wake(now);
        let due = self.ledger.due(now);
        if due.is_empty() {
            return;
        }
        // The engine knows the counters; it is asked beside.
        let (shard, inputs) = (self.world.shard.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let filter = match due.as_slice() {
                [one] => Filter { ike_id: Some(*one), ..Filter::default() },
                _ => Filter::default(),
            };
            let mut pages = shard.pages(filter);
            while let (Some(views), Some(inputs)) = (pages.next().await, inputs.upgrade()) {
                let _gone = inputs.send(Input::Counted(views, Vec::new())).await;
            }
            if let Some(inputs) = inputs.upgrade() {
                let _gone = inputs.send(Input::Counted(Vec::new(), due)).await;
            }
        });
    }

    fn event(&mut self, now: Clock, event: &ike::io::Event) {
        let Some(change) = accounting::change(event) else { return };
        match change {
            Change::Up(view) => self.up(now, view),
            Change::Down(ike_id) => {
                let cause = self.causes.remove(&ike_id).unwrap_or(match self.stopping {
                    true => TerminateCause::AdminReboot,
                    false => TerminateCause::UserRequest,
                });
                self.logins.accepted(ike_id);
                self.ledger.close(now, ike_id, cause);
            }
            Change::Counted { ike_id, child, counters, gone } => {
                self.ledger.count(ike_id, child, counters);
                if gone {
                    self.ledger.child_gone(ike_id, child);
                }
            }
            Change::Rekeyed(old, new) => {
                self.ledger.rekeyed(old, new);
                if let Some(cause) = self.causes.remove(&old) {
                    self.causes.insert(new, cause);
                }
            }
            Change::Moved { ike_id, local, remote } => self.ledger.moved(ike_id, local, remote),
            Change::Fault(ike_id, cause) => {
                if self.ledger.is_open(ike_id) {
                    self.causes.insert(ike_id, cause);
                }
            }
        }
    }

    fn up(&mut self, now: Clock, view: &IkeView) {
        let accepted = self.logins.accepted(view.unique_id);
        if !self.settings.accounting || self.settings.servers.is_empty() {
            return;
        }
        let session = accounting::session(view, self.ledger.boot(), accepted);
        if self.ledger.open(now, session) {
            // Children that came up before the IKE_SA was told about.
            for (child, counters) in accounting::counters(view) {
                self.ledger.count(view.unique_id, child, counters);
            }
        }
    }

    /// Carries out what the state machines want.
    async fn drain(&mut self) {
        loop {
            let mut idle = true;
            while let Some((record, request)) = self.ledger.poll() {
                idle = false;
                let id = self.client.send(clock().mono, request);
                self.records.insert(id, record);
            }
            while let Some(output) = self.client.poll() {
                idle = false;
                self.output(output).await;
            }
            while let Some(output) = self.dae.as_mut().and_then(|(dae, _)| dae.poll()) {
                idle = false;
                self.dae_output(output);
            }
            if idle {
                break;
            }
        }
        if self.ledger.outstanding() == 0
            && let Some(done) = self.finish.take()
        {
            let _gone = done.send(());
        }
    }

    async fn output(&mut self, output: Output) {
        let now = clock();
        match output {
            Output::Send { socket, datagram } => {
                let Some(server) = self.client.server(socket.server) else { return };
                let port = match socket.purpose {
                    Purpose::Login => server.auth_port,
                    Purpose::Accounting => server.acct_port,
                };
                let to = SocketAddr::new(server.address, port);
                let source = self.sources.get(socket.server.0).copied().flatten();
                if let Err(e) = self.sockets.send(socket, to, source, &datagram) {
                    self.log(1, format!("sending RADIUS message to {to} failed: {e}"));
                }
            }
            Output::Replied(id, reply) => {
                if let Some(record) = self.records.remove(&id) {
                    self.ledger.delivered(record, reply.server);
                } else if let Some((ticket, answer)) = self.logins.replied(now.mono, id, &reply) {
                    self.world.shard.answer(ticket, answer).await;
                }
            }
            Output::Failed(id, why) => {
                if let Some(record) = self.records.remove(&id) {
                    self.record_failed(now, record, &why).await;
                } else if let Some((ticket, answer)) = self.logins.failed(id, &why) {
                    self.world.shard.answer(ticket, answer).await;
                    if self.settings.close_all_on_timeout && matches!(why, Failure::Silent { .. }) {
                        self.log(1, "closing all IKE_SAs, since no RADIUS server responds".to_owned());
                        self.terminate(Filter::default()).await;
                    }
                }
            }
            Output::Server { name, purpose, up } => {
                let what = match purpose {
                    Purpose::Login => "",
                    Purpose::Accounting => " to accounting",
                };
                let verb = if up { "responds again" } else { "does not respond" };
                self.log(1, format!("RADIUS server '{name}' {verb}{what}"));
            }
            Output::Log(level, text) => self.log(level, text),
        }
    }

    async fn record_failed(&mut self, now: Clock, record: RecordId, why: &Failure) {
        self.world.clients.emit("alert", || {
            let mut event = Section::default();
            event.put("type", "radius-not-responding");
            event.put("certificate", "");
            event.put("reason", why);
            event
        });
        match self.ledger.undelivered(now, record) {
            Undelivered::Later => self.log(1, format!("RADIUS accounting is late: {why}")),
            Undelivered::Dropped => self.log(1, format!("a RADIUS accounting record is lost: {why}")),
            Undelivered::Close(ike_id) => {
                self.log(1, format!("RADIUS Interim-Update not answered, closing IKE_SA {ike_id}: {why}"));
                self.causes.insert(ike_id, TerminateCause::NasError);
                self.terminate(Filter { ike_id: Some(ike_id), ..Filter::default() }).await;
            }
        }
    }

    async fn terminate(&self, filter: Filter) {
        let id = self.world.commands.unattended();
        self.world.shard.command(Command::Terminate { id, filter, force: false }).await;
    }

    fn dae_output(&mut self, output: DaeOutput) {
        match output {
            DaeOutput::Wish(id, wish) => {
                let (shard, inputs) = (self.world.shard.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let views = shard.list(Filter::default()).await;
                    if let Some(inputs) = inputs.upgrade() {
                        let _gone = inputs.send(Input::Compared(id, wish, views)).await;
                    }
                });
            }
            DaeOutput::Send { to, from, datagram } => {
                let sent = self.dae.as_ref().map(|(_, listener)| listener.send(from, to, &datagram));
                if let Some(Err(e)) = sent {
                    self.log(1, format!("sending RADIUS DAE response to {to} failed: {e}"));
                }
            }
            DaeOutput::Log(level, text) => self.log(level, text),
        }
    }

    /// Does what a server wants with the IKE_SAs that it means.
    async fn wish(&mut self, now: Clock, id: WishId, wish: Wish, views: &[IkeView]) {
        let (Wish::Disconnect(sessions) | Wish::Limit(sessions, _)) = &wish;
        let boot = self.ledger.boot();
        let meant: Vec<u32> = views
            .iter()
            .filter(|view| matches!(view.state, "ESTABLISHED" | "REKEYING"))
            .filter(|view| {
                let known = self.ledger.identity(view.unique_id);
                let candidate = accounting::candidate(view, boot, known, self.settings.station_id_with_port);
                sessions.fits(&candidate)
            })
            .map(|view| view.unique_id)
            .collect();
        for ike_id in &meant {
            let filter = Filter { ike_id: Some(*ike_id), ..Filter::default() };
            match &wish {
                Wish::Disconnect(_) => {
                    if self.ledger.is_open(*ike_id) {
                        self.causes.insert(*ike_id, TerminateCause::AdminReset);
                    }
                    self.terminate(filter).await;
                }
                Wish::Limit(_, seconds) => {
                    let id = self.world.commands.unattended();
                    let command = Command::Limit { id, filter, seconds: *seconds };
                    self.world.shard.command(command).await;
                }
            }
        }
        if let Some((dae, _)) = &mut self.dae {
            let done: Result<usize, ErrorCause> = Ok(meant.len());
            dae.answer(now.mono, id, done);
        }
    }

    fn log(&self, level: i8, text: String) {
        self.world.log.say(Voice::Net, Group::Cfg, level, text);
    }
}

fn child_seed(rng: &mut crypto::Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    seed
}

async fn lookup(name: &str) -> Option<IpAddr> {
    if let Ok(address) = name.parse() {
        return Some(address);
    }
    let found = tokio::time::timeout(DNS, tokio::net::lookup_host((name, 0))).await.ok()?.ok()?;
    found.map(|address| address.ip()).next()
}

fn server_settings(server: &RadiusServer, address: IpAddr) -> ServerSettings {
    ServerSettings {
        name: server.name.clone(),
        address,
        auth_port: server.auth_port,
        acct_port: server.acct_port,
        secret: Secret::new(server.secret.clone().into_bytes()),
        nas_identifier: server.nas_identifier.clone(),
        sockets: server.sockets,
        preference: server.preference,
        retransmit_timeout: thousandths(server.retransmit_timeout),
        retransmit_base: thousandths(server.retransmit_base),
        retransmit_tries: server.retransmit_tries,
    }
}

/// A positive number in thousandths, at most a day's worth.
fn thousandths(number: f64) -> u64 {
    Duration::try_from_secs_f64(number)
        .ok()
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .map_or(86_400_000, |millis| millis.min(86_400_000))
}

fn relay_options(settings: &RadiusSettings) -> RelayOptions {
    RelayOptions {
        eap_start: settings.eap_start,
        id_prefix: settings.id_prefix.clone(),
        class_group: settings.class_group,
        filter_id: settings.filter_id,
        station_id_with_port: settings.station_id_with_port,
        from_peer: settings.ike_to_radius.clone(),
        to_peer: settings.radius_to_ike.clone(),
    }
}

fn accounting_options(settings: &RadiusSettings) -> Accounting {
    Accounting {
        interval: settings.accounting_interval,
        requires_vip: settings.accounting_requires_vip,
        send_class: settings.accounting_send_class,
        close_on_timeout: settings.accounting_close_on_timeout,
        station_id_with_port: settings.station_id_with_port,
    }
}
