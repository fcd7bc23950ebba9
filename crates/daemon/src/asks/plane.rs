//! CHILD_SAs, traps, virtual IPs: the data plane, and the routes and addresses that lead packets to it.
//!
//! One thread owns the data plane and the host's network state, so orders are carried out in the order the engine
//! gave them, and blocking system calls block nobody else.
use super::resolve::PathRules;
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use dataplane::Backend;
use ike::io::{Answer, Ask, Command, Group, Ticket};
use linux::netlink::Rule;
use linux::network::{Desired, Network, WantedRoute};
use linux::nft::returns::{Return, Returns};
use policy::sa::{PolicyOnly, Usage};
use policy::{ChildSa, Mode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

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

/// Orders that may wait for the thread.
const QUEUE: usize = 65_536;

/// Orders carried out before the host's state is looked at.
const BATCH: usize = 256;

/// Counters in and out.
pub(crate) type Usages = (Usage, Usage);

enum Order {
    Ask(Ticket, Box<Ask>),
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
pub(crate) struct Handle(mpsc::Sender<Order>);

/// The queue's other end, until the thread starts.
pub(crate) struct Inbox(mpsc::Receiver<Order>);

impl Handle {
    pub(crate) fn new() -> (Self, Inbox) {
        let (tx, rx) = mpsc::channel(QUEUE);
        (Self(tx), Inbox(rx))
    }

    /// Hands over a question, or refuses it when the thread is hopelessly behind.
    pub(crate) fn start(&self, ticket: Ticket, ask: Ask) -> Option<Answer> {
        match self.0.try_send(Order::Ask(ticket, Box::new(ask))) {
            Ok(()) => None,
            Err(_) => Some(Answer::Failed("the data plane is busy".into())),
        }
    }

    /// Current counters.
    pub(crate) async fn query(&self, children: Vec<u32>) -> BTreeMap<u32, Usages> {
        let (tx, rx) = oneshot::channel();
        let _gone = self.0.send(Order::Query(children, tx)).await;
        rx.await.unwrap_or_default()
    }

    /// The way of a packet.
    ///
    /// # Errors
    /// Why it could not be followed.
    pub(crate) async fn trace(&self, question: trace::Question) -> Result<trace::Trace, String> {
        let (tx, rx) = oneshot::channel();
        let _gone = self.0.send(Order::Trace(Box::new(question), tx)).await;
        rx.await.unwrap_or_else(|_| Err("the data plane has ended".to_owned()))
    }

    /// Time to report traffic.
    pub(crate) fn tick(&self) {
        let _busy = self.0.try_send(Order::Tick);
    }

    /// Traffic came on a CHILD_SA whose use was awaited.
    pub(crate) async fn traffic(&self, child: u32) {
        let _gone = self.0.send(Order::Traffic(child)).await;
    }

    /// The kernel's tables changed.
    pub(crate) fn network_changed(&self) {
        let _busy = self.0.try_send(Order::NetworkChanged);
    }

    /// Undoes everything.
    pub(crate) async fn stop(&self) {
        let (tx, rx) = oneshot::channel();
        let _gone = self.0.send(Order::Stop(tx)).await;
        let _gone = rx.await;
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

struct Child {
    routes: BTreeSet<WantedRoute>,
    usage: Usages,
    /// What routes are made from, where they go by the peer's address.
    ends: Option<Ends>,
    /// How answers find back to it.
    answers: Option<Return>,
}

/// The data plane's thread.
pub(crate) struct Plane {
    pub(crate) backend: Option<Box<dyn Backend>>,
    /// Why there is no backend.
    pub(crate) missing: String,
    pub(crate) network: Network,
    /// `charon.firewall`.
    pub(crate) firewall: Option<Firewall>,
    pub(crate) names: Names,
    /// `plugins.connmark`.
    pub(crate) returns: Option<Returns>,
    pub(crate) wishes: Wishes,
    pub(crate) shard: Shard,
    pub(crate) log: Arc<Log>,
}

/// What is installed.
#[derive(Default)]
struct Ledger {
    children: BTreeMap<u32, Child>,
    policies: BTreeMap<u32, BTreeSet<WantedRoute>>,
    vips: BTreeMap<u32, Vips>,
    /// Connections' own interfaces, by name.
    interfaces: BTreeMap<String, Held>,
    /// Who needs which.
    uses: BTreeMap<User, String>,
    /// VTI devices of children.
    devices: vti::Devices,
    /// All routes with the number of their users: generations of a CHILD_SA share them.
    routes: BTreeMap<WantedRoute, usize>,
    /// The host's state is not what this says.
    dirty: bool,
    /// The host's name servers are not what this says.
    names_dirty: bool,
}

impl Ledger {
    fn add_routes(&mut self, routes: &BTreeSet<WantedRoute>) {
        for route in routes {
            let users = self.routes.entry(route.clone()).or_default();
            *users = users.saturating_add(1);
            self.dirty |= *users == 1;
        }
    }

    fn drop_routes(&mut self, routes: &BTreeSet<WantedRoute>) {
        for route in routes {
            if let Some(users) = self.routes.get_mut(route) {
                *users = users.saturating_sub(1);
                if *users == 0 {
                    self.routes.remove(route);
                    self.dirty = true;
                }
            }
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
        self.reconcile(&mut ledger, false);
        while let Some(first) = inbox.0.blocking_recv() {
            // Everything that waits is done before the host's state is looked at once: under load one look serves
            // many CHILD_SAs. Answers wait for it, since routes and addresses must be there first.
            let mut answers = Vec::new();
            let mut next = Some(first);
            let mut doubt = false;
            let mut stop = None;
            while let Some(order) = next {
                match order {
                    Order::Ask(ticket, ask) => {
                        let vips = match &*ask {
                            Ask::VirtualIps { up: true, ike_id, .. } => Some(*ike_id),
                            _ => None,
                        };
                        answers.push((ticket, self.ask(&mut ledger, *ask), vips));
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
                        self.report(&mut ledger);
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
                next = if answers.len() < BATCH { inbox.0.try_recv().ok() } else { None };
            }
            let failures =
                if ledger.dirty || doubt { self.reconcile(&mut ledger, doubt) } else { Vec::new() };
            self.tell_names(&mut ledger);
            for (ticket, answer, vips) in answers {
                let missing = vips.and_then(|ike_id| self.note_missing(&mut ledger, ike_id, &failures));
                self.shard.answer_blocking(ticket, missing.map_or(answer, Answer::Failed));
            }
            if let Some(done) = stop {
                self.undo(&ledger);
                let _gone = done.send(());
                return;
            }
        }
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
                self.spare_outer(&mut sa);
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
        ledger.add_routes(&routes);
        let ends = (by_peer && !routes.is_empty()).then(|| Ends {
            local_ts: sa.local_ts.to_vec(),
            remote_ts: sa.remote_ts.to_vec(),
            vips: sa.local_vips.to_vec(),
        });
        ledger.children.insert(sa.id, Child { routes, usage: Usages::default(), ends, answers });
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
            self.forget_answers(child.answers);
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
            Mode::Pass => BTreeSet::new(),
            // The kernel finds its policies without being led to them.
            Mode::Transport | Mode::Drop if self.device().is_none() => BTreeSet::new(),
            Mode::Tunnel | Mode::Transport | Mode::TransportProxy | Mode::Beet | Mode::Iptfs | Mode::Drop => {
                let (vti, interface) = (policy.config.vti.as_ref(), policy.interface.as_deref());
                let way = self.way_for(vti, interface, policy.if_id_out, policy.remote);
                self.routes(way, &policy.local_ts, &policy.remote_ts, &[])
            }
        };
        ledger.add_routes(&routes);
        ledger.policies.insert(policy.id, routes);
        answer
    }

    /// Makes the host's state what the ledger says. `doubt`: somebody else may have changed it.
    fn reconcile(&mut self, ledger: &mut Ledger, doubt: bool) -> Vec<String> {
        ledger.dirty = false;
        let mut desired = Desired { routes: ledger.routes.keys().cloned().collect(), ..Desired::default() };
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

    /// Tells the engine about counters that moved.
    fn report(&mut self, ledger: &mut Ledger) {
        let Some(backend) = &mut self.backend else { return };
        for (id, usage) in backend.usages() {
            if let Some(child) = ledger.children.get_mut(&id).filter(|child| child.usage != usage) {
                child.usage = usage;
                let (usage_in, usage_out) = usage;
                self.shard.hint(Command::Traffic { child: id, usage_in, usage_out });
            }
        }
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
