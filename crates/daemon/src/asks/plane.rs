//! CHILD_SAs, traps, virtual IPs: the data plane, and the routes and addresses that lead packets to it.
//!
//! One thread owns the data plane and the host's network state, so orders are carried out in the order the engine
//! gave them, and blocking system calls block nobody else.
use super::resolve::PathRules;
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use dataplane::Backend;
use ike::io::{Answer, Ask, Command, Group, Ticket};
use linux::netlink::{Address, Rule};
use linux::network::{Desired, Network, RouteWay, Routes, WantedRoute};
use linux::nft::returns::{Return, Returns};
use policy::sa::{PolicyOnly, Usage};
use policy::{ChildSa, Mode};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

mod connmark;
mod firewall;
mod interfaces;
mod routes;
pub(crate) mod trace;
mod vips;
mod vti;

pub(crate) use firewall::{Firewall, clean as clean_firewall};
use interfaces::{Held, User};
use routes::Ends;
pub(crate) use vips::Names;
use vips::Vips;

/// Orders that may wait for the thread, those of the engine in parcels.
const QUEUE: usize = 8_192;

/// Questions of the engine that are handed over together at most.
const PARCEL: usize = 64;

/// Orders carried out before the host's state is looked at.
const BATCH: usize = 256;

/// CHILD_SAs whose counters are looked at before other orders have their turn.
const SLICE: usize = 1024;

/// Counters in and out.
pub(crate) type Usages = (Usage, Usage);

enum Order {
    /// Questions, in order.
    Asks(Vec<(Ticket, Ask)>),
    /// Counters of CHILD_SAs, now.
    Query(Vec<u32>, oneshot::Sender<BTreeMap<u32, Usages>>),
    /// Look at all counters and tell the engine what moved.
    Tick,
    /// Look at one CHILD_SA's counters and tell the engine.
    Traffic(u32),
    /// Follow a packet.
    Trace(Box<trace::Question>, oneshot::Sender<Result<trace::Trace, String>>),
    /// The kernel's tables changed.
    NetworkChanged,
    /// Undo everything and end.
    Stop(oneshot::Sender<()>),
}

/// The way to the data plane's thread.
#[derive(Clone)]
pub(crate) struct Handle {
    orders: mpsc::Sender<Order>,
    /// What is known of the host's addresses may be wrong.
    stale: Arc<AtomicBool>,
    /// There is a CHILD_SA.
    used: watch::Receiver<bool>,
}

/// The queue's other end, until the thread starts.
pub(crate) struct Inbox {
    orders: mpsc::Receiver<Order>,
    stale: Arc<AtomicBool>,
    used: watch::Sender<bool>,
}

impl Handle {
    pub(crate) fn new() -> (Self, Inbox) {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (used_tx, used) = watch::channel(false);
        let stale = Arc::new(AtomicBool::new(true));
        let inbox = Inbox { orders: inbox, stale: stale.clone(), used: used_tx };
        (Self { orders, stale, used }, inbox)
    }

    /// Current counters.
    pub(crate) async fn query(&self, children: Vec<u32>) -> BTreeMap<u32, Usages> {
        let (tx, rx) = oneshot::channel();
        let _gone = self.orders.send(Order::Query(children, tx)).await;
        rx.await.unwrap_or_default()
    }

    /// The way of a packet.
    ///
    /// # Errors
    /// Why it could not be followed.
    pub(crate) async fn trace(&self, question: trace::Question) -> Result<trace::Trace, String> {
        let (tx, rx) = oneshot::channel();
        let _gone = self.orders.send(Order::Trace(Box::new(question), tx)).await;
        rx.await.unwrap_or_else(|_| Err("the data plane has ended".to_owned()))
    }

    /// Has traffic reported every so often, as long as there is a CHILD_SA.
    pub(crate) async fn keep_looking(mut self, every: std::time::Duration) {
        while self.used.wait_for(|used| *used).await.is_ok() {
            tokio::time::sleep(every).await;
            let _busy = self.orders.try_send(Order::Tick);
        }
    }

    /// Traffic came on a CHILD_SA whose use was awaited.
    pub(crate) async fn traffic(&self, child: u32) {
        let _gone = self.orders.send(Order::Traffic(child)).await;
    }

    /// The kernel's tables are changing: what is known of them does not hold any more.
    pub(crate) fn network_changing(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// The kernel's tables changed, and it is time to look at them.
    pub(crate) fn network_changed(&self) {
        let _busy = self.orders.try_send(Order::NetworkChanged);
    }

    /// Undoes everything.
    pub(crate) async fn stop(&self) {
        let (tx, rx) = oneshot::channel();
        let _gone = self.orders.send(Order::Stop(tx)).await;
        let _gone = rx.await;
    }
}

/// Questions of the engine on their way to the data plane's thread: those that come close together wake it once.
pub(crate) struct Parcel {
    plane: Handle,
    asks: Vec<(Ticket, Ask)>,
}

impl Parcel {
    pub(crate) fn new(plane: Handle) -> Self {
        Self { plane, asks: Vec::new() }
    }

    /// Puts a question in.
    pub(crate) fn put(&mut self, ticket: Ticket, ask: Ask) {
        self.asks.push((ticket, ask));
    }

    /// It must leave before more is put in.
    pub(crate) fn is_full(&self) -> bool {
        self.asks.len() >= PARCEL
    }

    /// Hands over what was put in. When the thread is hopelessly behind, all of it is refused.
    pub(crate) fn send(&mut self) -> impl Iterator<Item = (Ticket, Answer)> + use<> {
        let asks = std::mem::take(&mut self.asks);
        let back = match asks.is_empty() {
            true => Vec::new(),
            false => match self.plane.orders.try_send(Order::Asks(asks)) {
                Err(TrySendError::Full(Order::Asks(asks)) | TrySendError::Closed(Order::Asks(asks))) => asks,
                Ok(()) | Err(_) => Vec::new(),
            },
        };
        back.into_iter().map(|(ticket, _)| (ticket, Answer::Failed("the data plane is busy".into())))
    }
}

/// What `strongswan.conf` says about routes and addresses.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    pub(crate) install_routes: bool,
    pub(crate) table: u32,
    pub(crate) priority: u32,
    pub(crate) install_virtual_ip: bool,
    pub(crate) install_virtual_ip_on: Option<String>,
    /// The rule's mark: `(value, mask, invert)`.
    pub(crate) rule_mark: Option<(u32, u32, bool)>,
    pub(crate) install_routes_xfrmi: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) paths: PathRules,
}

/// A CHILD_SA. There may be very many: what few have is kept apart.
struct Child {
    routes: Shared,
    /// Packets in and out that the engine knows of, of the counters' lower halves.
    told: (u32, u32),
    /// What routes are made from, where they go by the peer's address.
    ends: Option<Box<Ends>>,
    /// How answers find back to it.
    answers: Option<Box<Return>>,
}

/// Routes of one, shared with all who want the same.
type Shared = SmallVec<[Arc<WantedRoute>; 1]>;

/// The data plane's thread.
pub(crate) struct Plane {
    pub(crate) backend: Option<Box<dyn Backend>>,
    /// The device packets are led to, if any.
    pub(crate) device: Option<Arc<str>>,
    /// Why there is no backend.
    pub(crate) missing: String,
    pub(crate) network: Network,
    /// `charon.firewall`.
    pub(crate) firewall: Option<Firewall>,
    pub(crate) names: Names,
    /// `plugins.connmark`.
    pub(crate) returns: Option<Returns>,
    pub(crate) wishes: Wishes,
    /// The host's addresses by namespace, as far as they were asked for since they last changed.
    pub(crate) addresses: BTreeMap<Option<String>, Vec<Address>>,
    /// The way of the routes that were made last.
    pub(crate) last_way: Option<Arc<RouteWay>>,
    pub(crate) shard: Shard,
    pub(crate) log: Arc<Log>,
}

/// What is installed.
#[derive(Default)]
struct Ledger {
    children: BTreeMap<u32, Child>,
    policies: BTreeMap<u32, Shared>,
    vips: BTreeMap<u32, Vips>,
    /// Connections' own interfaces, by name.
    interfaces: BTreeMap<String, Held>,
    /// Who needs which.
    uses: BTreeMap<User, String>,
    /// VTI devices of children.
    devices: vti::Devices,
    /// All routes: generations of a CHILD_SA share them.
    routes: Routes,
    /// The host's state is not what this says, apart from routes.
    dirty: bool,
    /// The host's name servers are not what this says.
    names_dirty: bool,
    /// The last CHILD_SA whose counters were looked at, while that goes on.
    looking: Option<Option<u32>>,
}

impl Ledger {
    fn add_routes(&mut self, routes: Vec<WantedRoute>) -> Shared {
        routes.into_iter().map(|route| self.routes.add(route)).collect()
    }

    fn drop_routes(&mut self, routes: &Shared) {
        for route in routes {
            self.routes.remove(route);
        }
    }
}

impl Plane {
    /// Starts the thread.
    pub(crate) fn start(self, inbox: Inbox) -> std::io::Result<()> {
        std::thread::Builder::new().name("plane".into()).spawn(move || self.run(inbox)).map(drop)
    }

    fn run(mut self, mut inbox: Inbox) {
        let mut ledger = Ledger::default();
        if let Some(device) = self.device() {
            self.network.set_fleeting(&device);
        }
        self.reconcile(&mut ledger, false);
        loop {
            let mut next = match (ledger.looking, inbox.orders.try_recv()) {
                (_, Ok(order)) => Some(order),
                (Some(_), Err(_)) => None,
                (None, Err(_)) => match inbox.orders.blocking_recv() {
                    Some(order) => Some(order),
                    None => return,
                },
            };
            // Everything that waits is done before the host's state is looked at once: under load one look serves
            // many CHILD_SAs. Answers wait for it, since routes and addresses must be there first.
            let mut answers = Vec::new();
            let mut doubt = false;
            let mut stop = None;
            while let Some(order) = next {
                match order {
                    Order::Asks(asks) => {
                        if inbox.stale.swap(false, Ordering::Relaxed) {
                            self.addresses.clear();
                        }
                        for (ticket, ask) in asks {
                            let vips = match &ask {
                                Ask::VirtualIps { up: true, ike_id, .. } => Some(*ike_id),
                                _ => None,
                            };
                            answers.push((ticket, self.ask(&mut ledger, ask), vips));
                        }
                    }
                    Order::Query(children, tx) => {
                        let usages =
                            children.into_iter().filter_map(|id| Some((id, self.usage(id)?))).collect();
                        let _gone = tx.send(usages);
                    }
                    Order::Trace(question, tx) => {
                        let _gone = tx.send(self.trace(&ledger, &question));
                    }
                    Order::Tick => {
                        ledger.looking.get_or_insert(None);
                        self.look_after_answers();
                    }
                    Order::Traffic(child) => {
                        if let Some((usage_in, usage_out)) = self.usage(child) {
                            self.shard.hint(Command::Traffic { child, usage_in, usage_out });
                        }
                    }
                    Order::NetworkChanged => doubt = true,
                    Order::Stop(done) => {
                        stop = Some(done);
                        break;
                    }
                }
                next = if answers.len() < BATCH { inbox.orders.try_recv().ok() } else { None };
            }
            let failures = self.settle(&mut ledger, doubt);
            self.tell_names(&mut ledger);
            for (ticket, answer, vips) in answers {
                let missing = vips.and_then(|ike_id| self.note_missing(&mut ledger, ike_id, &failures));
                self.shard.answer_blocking(ticket, missing.map_or(answer, Answer::Failed));
            }
            if let Some(after) = ledger.looking {
                ledger.looking = self.report(&mut ledger, after);
            }
            let used = !ledger.children.is_empty();
            inbox.used.send_if_modified(|was| std::mem::replace(was, used) != used);
            if let Some(done) = stop {
                self.undo(&ledger);
                let _gone = done.send(());
                return;
            }
        }
    }

    /// Makes the host's state what the ledger says, as far as anything changed.
    fn settle(&mut self, ledger: &mut Ledger, doubt: bool) -> Vec<String> {
        if ledger.dirty || doubt {
            return self.reconcile(ledger, doubt);
        }
        if !ledger.routes.have_changed() {
            return Vec::new();
        }
        let failures = self.network.change_routes(&mut ledger.routes);
        self.complaints(failures)
    }

    fn undo(&mut self, ledger: &Ledger) {
        if let Some(backend) = &mut self.backend {
            for child in ledger.children.keys() {
                let _gone = backend.remove(*child, false);
            }
        }
        self.drop_names();
        for error in self.network.clear() {
            self.complain(&error.to_string());
        }
        self.firewall = None;
        // With its traps and shunts, before anybody is told that all is undone.
        self.backend = None;
        self.returns = None;
    }

    fn ask(&mut self, ledger: &mut Ledger, ask: Ask) -> Answer {
        match ask {
            Ask::InstallChild(mut sa) => {
                if let Some(config) = self.spare_outer(&sa) {
                    Arc::make_mut(&mut sa).config = config;
                }
                self.install_guarded(ledger, &sa)
            }
            Ask::ActivateOutbound { child } => self.with_backend(|backend| backend.activate_outbound(child)),
            Ask::UpdateChild { child, local, remote, encap } => {
                let answer = self.with_backend(|backend| backend.update(child, local, remote, encap));
                self.move_answers(ledger, child, local, encap);
                self.move_vti(ledger, child, local, remote);
                self.lead_again(ledger, child, remote.ip());
                answer
            }
            Ask::RemoveChild { child, keep_policies } => self.remove(ledger, child, keep_policies),
            Ask::InstallPolicy(policy) => self.install_policy_guarded(ledger, &policy),
            Ask::RemovePolicy { id } => {
                let answer = self.with_backend(|backend| backend.remove_policy(id));
                self.close_firewall(|firewall| firewall.forget_policy(id));
                self.let_go(ledger, User::Policy(id));
                if let Some(routes) = ledger.policies.remove(&id) {
                    ledger.drop_routes(&routes);
                }
                answer
            }
            Ask::VirtualIps { ike_id, local, remote: _, addresses, attributes, up, connection } => {
                self.virtual_ips(ledger, ike_id, &connection, local, &addresses, &attributes, up)
            }
            Ask::Resolve { .. }
            | Ask::Sign(_)
            | Ask::Judge(_)
            | Ask::Eap { .. }
            | Ask::Lease(_)
            | Ask::Release { .. } => Answer::Failed("not a question for the data plane".into()),
        }
    }

    fn with_backend(
        &mut self,
        work: impl FnOnce(&mut dyn Backend) -> Result<(), dataplane::backend::DataplaneError>,
    ) -> Answer {
        match &mut self.backend {
            Some(backend) => match work(backend.as_mut()) {
                Ok(()) => Answer::Done,
                Err(e) => Answer::Failed(chain(&e)),
            },
            None => Answer::Failed(self.missing.clone()),
        }
    }

    fn install(&mut self, ledger: &mut Ledger, sa: &ChildSa) -> Answer {
        if let Some(why) = self.lacks_address(ledger, sa) {
            return Answer::Failed(format!("its virtual IP is not installed: {why}"));
        }
        let user = User::Child(sa.id);
        if let Some(interface) = &sa.interface
            && let Err(why) = self.hold(ledger, user, interface, sa.if_id_out)
        {
            return Answer::Failed(format!("CHILD_SA {}{{{}}}: {why}", sa.config.name, sa.id));
        }
        let ready = self.hold_vti(ledger, sa).and_then(|()| self.mark_answers(sa));
        let answers = match ready {
            Ok(answers) => answers,
            Err(why) => {
                self.let_go(ledger, user);
                return Answer::Failed(why);
            }
        };
        let answer = self.with_backend(|backend| backend.install(sa));
        if !matches!(answer, Answer::Done) {
            self.let_go(ledger, user);
            self.forget_answers(answers);
            return answer;
        }
        let by_peer = self.device().is_none() && sa.if_id_out == 0 && sa.config.vti.is_none();
        let (vti, interface) = (sa.config.vti.as_ref(), sa.interface.as_deref());
        // The kernel's transport mode needs no route, as the addresses are those of the hosts.
        let between_hosts =
            vti.is_none() && interface.is_none() && self.device().is_none() && sa.mode == Mode::Transport;
        let way = if between_hosts {
            None
        } else {
            self.way_for(vti, interface, sa.if_id_out, Some(sa.remote.ip()))
        };
        let routes = self.routes(way, &sa.local_ts, &sa.remote_ts, &sa.local_vips);
        let routes = ledger.add_routes(routes);
        let ends = (by_peer && !routes.is_empty()).then(|| {
            Box::new(Ends {
                local_ts: sa.local_ts.to_vec(),
                remote_ts: sa.remote_ts.to_vec(),
                vips: sa.local_vips.to_vec(),
            })
        });
        let answers = answers.map(Box::new);
        ledger.children.insert(sa.id, Child { routes, told: (0, 0), ends, answers });
        answer
    }

    fn remove(&mut self, ledger: &mut Ledger, child: u32, keep_policies: bool) -> Answer {
        let removed = match &mut self.backend {
            Some(backend) => backend.remove(child, keep_policies),
            None => return Answer::Failed(self.missing.clone()),
        };
        self.close_firewall(|firewall| firewall.forget_child(child));
        self.let_go(ledger, User::Child(child));
        if let Some(child) = ledger.children.remove(&child) {
            ledger.drop_routes(&child.routes);
            self.forget_answers(child.answers.map(|answers| *answers));
        }
        match removed {
            Ok((usage_in, usage_out)) => Answer::Removed { usage_in, usage_out },
            Err(e) => Answer::Failed(chain(&e)),
        }
    }

    fn install_policy(&mut self, ledger: &mut Ledger, policy: &PolicyOnly) -> Answer {
        let user = User::Policy(policy.id);
        if let Some(interface) = &policy.interface
            && let Err(why) = self.hold(ledger, user, interface, policy.if_id_out)
        {
            return Answer::Failed(format!("CHILD_SA {}: {why}", policy.config.name));
        }
        let answer = match self.hold_vti_of_trap(ledger, policy) {
            Ok(()) => self.with_backend(|backend| backend.install_policy(policy)),
            Err(why) => Answer::Failed(why),
        };
        if !matches!(answer, Answer::Done) {
            self.let_go(ledger, user);
            return answer;
        }
        let routes = match policy.config.mode {
            // What passes must not be led to the device by the route of a larger tunnel.
            Mode::Pass if policy.if_id_out == 0 || self.wishes.install_routes_xfrmi => {
                self.pass_routes(&policy.remote_ts)
            }
            Mode::Pass => Vec::new(),
            // The kernel finds its policies without being led to them.
            Mode::Transport | Mode::Drop if self.device().is_none() => Vec::new(),
            Mode::Tunnel | Mode::Transport | Mode::TransportProxy | Mode::Beet | Mode::Iptfs | Mode::Drop => {
                let (vti, interface) = (policy.config.vti.as_ref(), policy.interface.as_deref());
                let way = self.way_for(vti, interface, policy.if_id_out, policy.remote);
                self.routes(way, &policy.local_ts, &policy.remote_ts, &[])
            }
        };
        let routes = ledger.add_routes(routes);
        ledger.policies.insert(policy.id, routes);
        answer
    }

    /// Makes the host's state what the ledger says. `doubt`: somebody else may have changed it.
    fn reconcile(&mut self, ledger: &mut Ledger, doubt: bool) -> Vec<String> {
        ledger.dirty = false;
        let mut desired = Desired { routes: ledger.routes.all().cloned().collect(), ..Desired::default() };
        desired.links = ledger.interfaces.values().map(|held| held.link.clone()).collect();
        desired.links.extend(vti::wanted(&ledger.devices));
        for vips in ledger.vips.values() {
            desired.addresses.extend(vips.addresses.iter().cloned());
        }
        if self.wishes.install_routes {
            let (mark, invert) = match self.wishes.rule_mark {
                Some((value, mask, invert)) => (Some((value, mask)), invert),
                None => (None, false),
            };
            for v6 in [false, true] {
                let (priority, table) = (self.wishes.priority, self.wishes.table);
                desired.rules.insert(Rule { v6, priority, table, mark, invert });
            }
        }
        let failures = if doubt { self.network.refresh(&desired) } else { self.network.apply(&desired) };
        ledger.routes.settled();
        self.addresses.clear();
        self.complaints(failures)
    }

    fn complaints(&self, failures: Vec<linux::Error>) -> Vec<String> {
        failures
            .into_iter()
            .map(|e| {
                let text = chain(&e);
                self.complain(&text);
                text
            })
            .collect()
    }

    fn usage(&mut self, child: u32) -> Option<Usages> {
        self.backend.as_mut()?.query(child).ok()
    }

    /// Tells the engine about counters that moved, of some CHILD_SAs after this one. The last of them, until there are
    /// no more.
    fn report(&mut self, ledger: &mut Ledger, after: Option<u32>) -> Option<Option<u32>> {
        let slice = self.backend.as_mut()?.usages(after, SLICE);
        let low = |count: u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or_default();
        for (id, (usage_in, usage_out)) in &slice {
            let packets = (low(usage_in.packets), low(usage_out.packets));
            if let Some(child) = ledger.children.get_mut(id).filter(|child| child.told != packets) {
                let (usage_in, usage_out) = (*usage_in, *usage_out);
                if self.shard.hint(Command::Traffic { child: *id, usage_in, usage_out }) {
                    child.told = packets;
                }
            }
        }
        slice.last().map(|(id, _)| Some(*id))
    }

    fn complain(&self, text: &str) {
        self.log.say(Voice::Plane, Group::Knl, 1, text);
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
