//! One engine with everything that answers it: a data plane that checks, pools, addresses.
use crate::credentials::Credentials;
use crate::dataplane::{FakeDataplane, Ledger};
use crate::dice::{Dice, rng};

use ike::io::{Answer, Ask, Command, CommandId, EapInput, Event, Output, Ticket};
use ike::{Engine, Now, Shard};
use policy::pool::PoolConfig;
use policy::{PeerAddr, Snapshot};
use pool::Pools;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// How a host is set up.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Name.
    pub name: String,
    /// Its addresses; as a NAT's client, those inside.
    pub addresses: Vec<IpAddr>,
    /// What its engine is configured with.
    pub snapshot: Arc<Snapshot>,
    /// Its pools.
    pub pools: Vec<PoolConfig>,
}

/// A host.
#[derive(Debug)]
pub struct Host {
    /// How it is set up now.
    pub config: HostConfig,
    /// Its engine.
    pub engine: Engine,
    /// Its data plane.
    pub dataplane: FakeDataplane,
    /// Its pools.
    pub pools: Pools,
    /// What it knows of credentials.
    pub credentials: Credentials,
    /// Virtual IPs installed, by the IKE_SA they were installed for.
    pub vips: BTreeMap<u32, Vec<IpAddr>>,
    /// Commands not yet done.
    pub commands: BTreeMap<CommandId, String>,
    /// Questions not yet answered, by the time of the answer.
    asks: BTreeMap<(u64, u64), (Ticket, Ask)>,
    tickets: BTreeSet<Ticket>,
    asked: u64,
    /// The data plane obeys in order: not before this.
    dataplane_free: u64,
    lives: u64,
    index: usize,
    seed: u64,
}

impl Host {
    /// A host with number `index` of world `seed`, freshly booted.
    #[must_use]
    pub fn new(seed: u64, index: usize, config: HostConfig, now: Now) -> Self {
        let engine = boot(seed, index, 0, &config, now);
        let pools = load(&config);
        Self {
            config,
            engine,
            dataplane: FakeDataplane::default(),
            pools,
            credentials: Credentials::default(),
            vips: BTreeMap::new(),
            commands: BTreeMap::new(),
            asks: BTreeMap::new(),
            tickets: BTreeSet::new(),
            asked: 0,
            dataplane_free: 0,
            lives: 0,
            index,
            seed,
        }
    }

    /// Power fails: everything is forgotten, and the host comes up again with its configuration.
    pub fn crash(&mut self, now: Now) {
        let lives = self.lives + 1;
        *self = Self { lives, ..Self::new(self.seed, self.index, self.config.clone(), now) };
        self.engine = boot(self.seed, self.index, lives, &self.config, now);
    }

    /// The daemon is replaced by a new one that takes over every IKE_SA as one plain value, and asks again what was
    /// not answered. Gives the number of IKE_SAs taken over.
    pub fn take_over(&mut self, now: Now) -> Result<usize, String> {
        // A question is answered when what it asks for is done: nobody has obeyed these.
        self.asks.clear();
        self.dataplane_free = now.mono;
        let mut states = Vec::new();
        for view in self.engine.list(&ike::io::Filter::default()) {
            let state = self.engine.export(view.unique_id);
            match state {
                Some(state) => states.push(postcard::to_stdvec(&state).map_err(|e| format!("export: {e}"))?),
                None if view.state == "ESTABLISHED" => {
                    return Err(format!("IKE_SA {} is established and cannot be exported", view.unique_id));
                }
                None => {}
            }
        }
        self.lives += 1;
        self.engine = boot(self.seed, self.index, self.lives, &self.config, now);
        self.tickets.clear();
        // EAP methods do not survive; their clients begin anew.
        self.credentials = Credentials::default();
        self.commands.clear();
        self.dataplane.policies.clear();
        for state in &states {
            let state = postcard::from_bytes(state).map_err(|e| format!("import: {e}"))?;
            self.engine.command(now, Command::Adopt { state: Box::new(state) });
        }
        let keep = self
            .engine
            .list(&ike::io::Filter::default())
            .iter()
            .flat_map(|sa| sa.children.iter().map(|c| c.sa.id))
            .collect();
        self.dataplane.retain(&keep);
        Ok(states.len())
    }

    /// No question is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.asks.is_empty()
    }

    /// When something happens here by itself: a deadline of the engine or an answer (ms).
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let answer = self.asks.keys().next().map(|(at, _)| *at);
        [self.engine.next_wake(), answer].into_iter().flatten().min()
    }

    /// Notes a question; it is answered after a while.
    pub fn ask(&mut self, now: u64, dice: &mut Dice, ticket: Ticket, ask: Ask) -> Result<(), String> {
        if !self.tickets.insert(ticket) {
            return Err(format!("{ticket:?} is given twice"));
        }
        let mut at = now + dice.below(60);
        let ordered = !matches!(
            ask,
            Ask::Resolve { .. } | Ask::Lease(_) | Ask::Sign(_) | Ask::Judge(_) | Ask::Eap { .. }
        );
        if ordered {
            at = at.max(self.dataplane_free);
            self.dataplane_free = at;
        }
        self.asked += 1;
        self.asks.insert((at, self.asked), (ticket, ask));
        Ok(())
    }

    /// The question due at `now`, taken off the list.
    pub fn due(&mut self, now: u64) -> Option<(Ticket, Ask)> {
        let key = self.asks.keys().next().copied().filter(|(at, _)| *at <= now)?;
        self.asks.remove(&key)
    }

    /// Does what `ask` says. `fail`: the data plane, the pools or DNS are in a bad mood.
    pub fn obey(
        &mut self,
        ledger: &mut Ledger,
        names: &BTreeMap<String, IpAddr>,
        ask: &Ask,
        fail: bool,
    ) -> Result<Answer, String> {
        let failed = || Ok(Answer::Failed("bad mood".to_owned()));
        match ask {
            Ask::Resolve { .. } if fail => failed(),
            Ask::Resolve { names: peers, local } => Ok(Answer::Resolved(self.resolve(names, peers, local))),
            Ask::Sign(_) | Ask::Judge(_) | Ask::Eap { input: EapInput::Serve(_) | EapInput::Join(_), .. }
                if fail =>
            {
                failed()
            }
            Ask::Sign(_) | Ask::Judge(_) | Ask::Eap { .. } => {
                self.credentials.answer(ask).ok_or_else(|| "not a question of credentials".to_owned())
            }
            Ask::Lease(_) if fail => Ok(Answer::Leased {
                addresses: Vec::new(),
                attributes: Vec::new(),
                trouble: Some("the pools are in a bad mood".to_owned()),
            }),
            Ask::Lease(request) => {
                let granted = self.pools.lease(&request.pools, &request.identity, &request.requested, 0);
                let addresses = granted.grants.iter().map(pool::Grant::vip).collect();
                Ok(Answer::Leased { addresses, attributes: granted.attributes, trouble: None })
            }
            Ask::Release { pools, identity, addresses } => {
                for address in addresses {
                    if !self.pools.release(pools, identity, *address, 0) {
                        return Err(format!("{identity} gives back {address}, which it does not hold"));
                    }
                }
                Ok(Answer::Done)
            }
            Ask::VirtualIps { ike_id, addresses, up, .. } => {
                if *up {
                    self.vips.insert(*ike_id, addresses.clone());
                } else if self.vips.remove(ike_id).as_ref() != Some(addresses) {
                    return Err(format!(
                        "virtual IPs {addresses:?} of {ike_id} are removed, and not installed for it"
                    ));
                }
                Ok(Answer::Done)
            }
            Ask::InstallChild(_) if fail => failed(),
            Ask::InstallChild(sa) => {
                self.dataplane.install(self.index, ledger, sa)?;
                Ok(Answer::Done)
            }
            Ask::ActivateOutbound { child } => self.dataplane.activate(*child).map(|()| Answer::Done),
            Ask::UpdateChild { child, local, remote, encap } => {
                self.dataplane.update(*child, *local, *remote, *encap).map(|()| Answer::Done)
            }
            Ask::RemoveChild { child, .. } => {
                let (usage_in, usage_out) = self.dataplane.remove(*child)?;
                Ok(Answer::Removed { usage_in, usage_out })
            }
            Ask::InstallPolicy(policy) => self.dataplane.install_policy(policy).map(|()| Answer::Done),
            Ask::RemovePolicy { id } => self.dataplane.remove_policy(*id).map(|()| Answer::Done),
        }
    }

    fn resolve(
        &self,
        names: &BTreeMap<String, IpAddr>,
        peers: &[PeerAddr],
        local: &[PeerAddr],
    ) -> Vec<(IpAddr, IpAddr)> {
        let mut pairs = Vec::new();
        for peer in peers {
            let remote = match peer {
                PeerAddr::Ip(ip) => Some(*ip),
                PeerAddr::Name(name) => names.get(name).copied(),
                PeerAddr::Any(_) | PeerAddr::Range(..) => None,
            };
            let Some(remote) = remote else { continue };
            let there = |is: &dyn Fn(&IpAddr) -> bool| {
                self.config.addresses.iter().copied().find(|a| a.is_ipv4() == remote.is_ipv4() && is(a))
            };
            let ours = if local.is_empty() {
                there(&|_| true)
            } else {
                local.iter().find_map(|l| match l {
                    PeerAddr::Ip(ip) => there(&|a| a == ip),
                    PeerAddr::Any(_) | PeerAddr::Range(..) | PeerAddr::Name(_) => there(&|_| true),
                })
            };
            pairs.extend(ours.map(|ours| (ours, remote)));
        }
        pairs
    }

    /// Keeps the books on what an engine tells.
    pub fn told(&mut self, event: &Event) -> Result<(), String> {
        if let Event::CommandDone { id, .. } = event {
            self.commands.remove(id).ok_or(format!("{id:?} is done twice, or never was"))?;
        }
        Ok(())
    }

    /// Nothing is left of anything. To be asked after a shutdown.
    pub fn check_empty(&self) -> Result<(), String> {
        let leases: usize = self.pools.status().map(|p| p.online).sum();
        let left = [
            ("IKE_SAs", self.engine.len()),
            ("half-open IKE_SAs", self.engine.half_open()),
            ("children in the data plane", self.dataplane.children.len()),
            ("policies in the data plane", self.dataplane.policies.len()),
            ("policies", self.engine.policies().len()),
            ("virtual IPs", self.vips.len()),
            ("leases", leases),
            ("EAP conversations", self.credentials.conversations()),
            ("unfinished commands", self.commands.len()),
            ("open questions", usize::from(!self.is_idle())),
            ("deadlines", usize::from(self.engine.next_wake().is_some())),
        ];
        match left.iter().find(|(_, n)| *n != 0) {
            Some((what, n)) => Err(format!("{n} {what} left, {:?}", self.commands)),
            None => Ok(()),
        }
    }

    /// Drains one output.
    pub fn poll(&mut self) -> Option<Output> {
        self.engine.poll()
    }
}

fn boot(seed: u64, index: usize, life: u64, config: &HostConfig, now: Now) -> Engine {
    let rng = rng(seed, 1_000 + 100_000 * (index as u64) + life);
    // One of four, or the only one: numbers and SPIs carry it.
    let shard =
        if index.is_multiple_of(2) { Shard { index: 2, bits: 2 } } else { Shard { index: 0, bits: 0 } };
    Engine::new(now, rng, Arc::clone(&config.snapshot), shard)
}

fn load(config: &HostConfig) -> Pools {
    let mut pools = Pools::new();
    for pool in &config.pools {
        pools.load(pool.clone()).expect("pools of scenarios are right");
    }
    pools
}
