//! ESP and AH in the kernel, ordered over netlink (XFRM).
//!
//! SPIs are drawn by the engine and installed as they are. Routes are not made here: the kernel protects whatever
//! packet its policies select, whichever way it goes.
//!
//! The walk: `sa` (a CHILD_SA as two SAs) with `algorithm` (names) → `policies` with `selector` (prefixes, priorities)
//! → `book` (who wants which policy) → `event` (what the kernel says) → `left` (what a crash leaves).
//!
//! Nothing tells the first use of an SA whose outbound half waits ([`Notice::FirstUse`]): the kernel has no such event,
//! and the counters, which the daemon reads once a second, show it soon enough, as the old SA serves until then.

mod algorithm;
mod book;
mod event;
mod left;
mod policies;
mod sa;
mod selector;
mod trace;

use crate::backend::{Abilities, Backend, DataplaneError, Notice, beyond};
use crate::trace::{Fate, Flow, Sealing};
use book::{Book, Change, Owner};
use crypto::Secret;
use event::Shared;
use left::{ESRCH, Left, Name, Thing};
use linux::netlink::{Netlink, PathQuery};
use linux::wait::Waker;
use linux::xfrm::{Action, Offload, Protocol, State, StateId, StateUse, XfrmEvents};
use linux::{clock, sysctl};
use policy::sa::{PolicyOnly, SaKeys, Usage};
use policy::{ChildSa, Mode};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc::Sender;

/// How the data plane is set up.
#[derive(Debug, Clone)]
pub struct XfrmOptions {
    /// Where to write down what is installed, for the time after a crash.
    pub state_file: Option<PathBuf>,
    /// Seconds that the kernel waits for an SA it asked for (`net.core.xfrm_acq_expires`).
    pub acquire_expires: u32,
    /// How to find our address towards the peer of a trap.
    pub path: PathQuery,
}

impl Default for XfrmOptions {
    fn default() -> Self {
        Self { state_file: None, acquire_expires: 165, path: PathQuery::default() }
    }
}

/// One CHILD_SA as installed.
#[derive(Debug)]
struct Installed {
    /// The order; its keys are gone once the kernel has them.
    order: ChildSa,
    inbound: StateId,
    /// Not yet there while the outbound half waits.
    outbound: Option<StateId>,
    /// SAs that compress, inbound and outbound.
    compression: [Option<StateId>; 2],
    offload: u32,
    /// Counters as last seen.
    usage: (Usage, Usage),
}

/// One half of a CHILD_SA as installed.
struct Half {
    id: StateId,
    compression: Option<StateId>,
    /// Interface of the card that handles whole packets, 0 for none.
    offload: u32,
}

/// The kernel's data plane. What it installed goes when it is dropped.
#[derive(Debug)]
pub struct Xfrm {
    xfrm: linux::xfrm::Xfrm,
    netlink: Netlink,
    options: XfrmOptions,
    children: BTreeMap<u32, Installed>,
    /// reqid of every trap; 0 of pass and drop.
    shunts: BTreeMap<u32, u32>,
    book: Book,
    left: Left,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Xfrm {
    /// As [`linux::xfrm::probe`].
    ///
    /// # Errors
    /// What is missing.
    pub fn probe() -> Result<(), DataplaneError> {
        Ok(linux::xfrm::probe()?)
    }

    /// What this kernel can beside ESP, found out in the same way; nothing without privilege.
    #[must_use]
    pub fn abilities() -> Abilities {
        Abilities { ipcomp: linux::xfrm::probe_compression().is_ok() }
    }

    /// Takes over the kernel's IPsec in the thread's network namespace, as far as it is ours: what a predecessor
    /// left is removed, what others installed stays. Reports go to `notices`, which is never waited for.
    ///
    /// # Errors
    /// No XFRM, no privilege, no thread.
    pub fn start(options: &XfrmOptions, notices: Sender<Notice>) -> Result<Self, DataplaneError> {
        let mut xfrm = linux::xfrm::Xfrm::open()?;
        let (left, removed) = Left::open(options.state_file.as_deref(), &mut xfrm);
        if removed > 0 {
            tracing::info!("removed {removed} SAs and policies left by a previous run");
        }
        let expires = options.acquire_expires.to_string();
        if let Err(e) = sysctl::write("net/core/xfrm_acq_expires", &expires) {
            tracing::warn!("{e}");
        }
        let events = XfrmEvents::open()?;
        let (shared, waker) = (Arc::new(Shared::default()), Arc::new(Waker::new()?));
        let (of_thread, woken) = (shared.clone(), waker.clone());
        let thread = thread::Builder::new()
            .name("xfrm-events".to_owned())
            .spawn(move || event::listen(events, &of_thread, &woken, &notices))
            .map_err(|e| DataplaneError::Os("starting a thread".to_owned(), e))?;
        Ok(Self {
            xfrm,
            netlink: Netlink::open()?,
            options: options.clone(),
            children: BTreeMap::new(),
            shunts: BTreeMap::new(),
            book: Book::default(),
            left,
            shared,
            waker,
            thread: Some(thread),
        })
    }

    /// Installs one half of a CHILD_SA.
    fn add(&mut self, child: &ChildSa, inbound: bool) -> Result<Half, DataplaneError> {
        let compression = sa::compression(child, inbound)?;
        if let Some(state) = &compression {
            self.add_state(state, child).map_err(|e| match e.errno() {
                Some(ENOENT | ENOSYS | EPROTONOSUPPORT) => DataplaneError::Os(
                    format!(
                        "{}: the kernel lacks IPComp (modules ipcomp, ipcomp6, deflate): set ipcomp = no",
                        e.what
                    ),
                    e.source,
                ),
                _ => e.into(),
            })?;
        }
        let compression = compression.map(|state| state.id);
        match self.add_protection(child, inbound) {
            Ok((id, offload)) => Ok(Half { id, compression, offload }),
            Err(e) => {
                if let Some(Err(e)) = compression.map(|id| self.take(&id)) {
                    tracing::warn!("{e}");
                }
                Err(e)
            }
        }
    }

    fn add_state(&mut self, state: &State<'_>, child: &ChildSa) -> Result<(), linux::Error> {
        self.left.comes(Thing::State { id: state.id, source: state.source, reqid: state.reqid });
        let added = self.xfrm.add_state(state);
        match &added {
            Ok(()) => {
                let name = (state.id.destination, state.id.spi);
                self.shared.with(|whose| whose.children.insert(name, child.id));
            }
            Err(e) if e.errno() == Some(EEXIST) => {}
            Err(_) => self.left.goes(Name::State(state.id)),
        }
        added
    }

    /// Installs ESP or AH. Where the network card's help is only wished for, it goes without.
    fn add_protection(&mut self, child: &ChildSa, inbound: bool) -> Result<(StateId, u32), DataplaneError> {
        let mut last = None;
        for offload in self.offloads(child)? {
            let state = sa::state(child, inbound, offload)?;
            match self.add_state(&state, child) {
                Ok(()) => {
                    let packet = offload.filter(|offload| offload.packet);
                    return Ok((state.id, packet.map_or(0, |offload| offload.interface)));
                }
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or_else(|| sa::unsupported("no SA"), DataplaneError::from))
    }

    /// What to try, best first.
    fn offloads(&mut self, child: &ChildSa) -> Result<Vec<Option<Offload>>, DataplaneError> {
        let kind = child.config.hw_offload.as_str();
        if kind == "no" {
            return Ok(vec![None]);
        }
        let all = self.netlink.addresses()?;
        let interface = all.iter().find(|a| a.address == child.local.ip()).map(|a| a.interface);
        let offload = |packet| interface.map(|interface| Offload { interface, packet });
        match (kind, interface) {
            ("auto", _) => Ok(vec![offload(true), offload(false), None]),
            (_, Some(_)) => Ok(vec![offload(kind == "packet")]),
            (_, None) => {
                Err(sa::unsupported(format!("hw_offload without an interface that has {}", child.local.ip())))
            }
        }
    }

    /// Index of the child's `interface`.
    fn interface(&mut self, name: Option<&str>) -> Result<u32, DataplaneError> {
        name.map_or(Ok(0), |name| self.netlink.link_index(name).map_err(DataplaneError::from))
    }

    /// Tells the kernel of changed policies; the first refusal ends it.
    fn tell(&mut self, changes: &[Change]) -> Result<(), DataplaneError> {
        for change in changes {
            match change {
                Change::Put(policy) => {
                    self.left.comes(Thing::Policy(*policy));
                    self.xfrm.put_policy(policy)?;
                }
                Change::Delete(id) => {
                    self.xfrm.delete_policy(id)?;
                    self.left.goes(Name::Policy(*id));
                }
            }
        }
        Ok(())
    }

    /// As [`Self::tell`] where there is nobody to tell of a refusal.
    fn tell_all(&mut self, changes: &[Change]) {
        for change in changes {
            if let Err(e) = self.tell(std::slice::from_ref(change)) {
                tracing::warn!("{e}");
            }
        }
    }

    /// The policies of a CHILD_SA as it now stands.
    fn enforce(&mut self, child: u32) -> Result<(), DataplaneError> {
        let installed = self.children.get(&child).ok_or(DataplaneError::Unknown(child))?;
        let (name, offload) = (installed.order.config.interface.clone(), installed.offload);
        let interface = self.interface(name.as_deref())?;
        let installed = self.children.get(&child).ok_or(DataplaneError::Unknown(child))?;
        let policies = policies::of_child(&installed.order, interface, offload)?;
        let changes = self.book.set(Owner::Child(child), &policies);
        self.tell(&changes)
    }

    fn outbound(&mut self, child: u32) -> Result<(), DataplaneError> {
        let Some(installed) = self.children.get(&child) else { return Err(DataplaneError::Unknown(child)) };
        if installed.outbound.is_some() {
            return Ok(());
        }
        let mut order = installed.order.clone();
        let half = self.add(&order, false)?;
        order.keys_out = no_keys();
        if let Some(installed) = self.children.get_mut(&child) {
            installed.order = order;
            installed.outbound = Some(half.id);
            installed.compression[1] = half.compression;
            installed.offload = installed.offload.max(half.offload);
        }
        self.enforce(child)
    }

    /// Takes an SA away; false when the kernel had done so.
    fn take(&mut self, id: &StateId) -> Result<bool, DataplaneError> {
        self.shared.with(|whose| whose.children.remove(&(id.destination, id.spi)));
        let was = self.xfrm.delete_state(id)?;
        self.left.goes(Name::State(*id));
        Ok(was)
    }

    /// Forgets a CHILD_SA and takes away what it has.
    fn discard(&mut self, child: u32) -> Result<(), DataplaneError> {
        let Some(installed) = self.children.remove(&child) else { return Ok(()) };
        let changes = self.book.clear(Owner::Child(child));
        self.tell_all(&changes);
        let all = [Some(installed.inbound), installed.outbound].into_iter().chain(installed.compression);
        let mut done = Ok(());
        for id in all.flatten() {
            done = done.and(self.take(&id).map(drop));
        }
        done
    }

    fn refresh(&mut self, child: u32) -> Result<(Usage, Usage), DataplaneError> {
        let Some(installed) = self.children.get_mut(&child) else {
            return Err(DataplaneError::Unknown(child));
        };
        let states = [Some(installed.inbound), installed.outbound];
        let [inbound, outbound] = states.map(|id| id.map(|id| self.xfrm.state_use(&id)));
        for (found, usage) in [(inbound, &mut installed.usage.0), (outbound, &mut installed.usage.1)] {
            match found {
                Some(Ok(found)) => *usage = counted(*usage, &found),
                None => {}
                // The kernel removes what has reached its limit.
                Some(Err(e)) if e.errno() == Some(ESRCH) => {}
                Some(Err(e)) => return Err(e.into()),
            }
        }
        Ok(installed.usage)
    }

    /// The counters of all, in one go.
    fn refresh_all(&mut self) {
        let (children, shared) = (&mut self.children, &self.shared);
        let asked = self.xfrm.all_use(|id, found| {
            let whose = shared.with(|whose| whose.children.get(&(id.destination, id.spi)).copied());
            let Some(installed) = whose.and_then(|child| children.get_mut(&child)) else { return };
            if installed.inbound == id {
                installed.usage.0 = counted(installed.usage.0, &found);
            } else if installed.outbound == Some(id) {
                installed.usage.1 = counted(installed.usage.1, &found);
            }
        });
        if let Err(e) = asked {
            tracing::warn!("{e}");
        }
    }

    /// Moves one SA; where it lies then.
    fn shift(&mut self, order: &ChildSa, id: StateId, inbound: bool) -> Result<StateId, DataplaneError> {
        let (source, end) = if inbound {
            (order.remote.ip(), order.local.ip())
        } else {
            (order.local.ip(), order.remote.ip())
        };
        let there = StateId { destination: end, ..id };
        self.left.comes(Thing::State { id: there, source, reqid: order.reqid });
        let encap = if id.protocol == Protocol::Comp { None } else { sa::encap(order, inbound) };
        let moved = self.xfrm.move_state(&id, source, end, encap);
        if there != id {
            self.left.goes(Name::State(id));
            self.shared.with(|whose| {
                whose.children.remove(&(id.destination, id.spi));
                whose.children.insert((end, id.spi), order.id)
            });
        }
        moved.map_err(DataplaneError::from)
    }
}

impl Backend for Xfrm {
    fn name(&self) -> &'static str {
        "xfrm"
    }

    fn install(&mut self, child: &ChildSa) -> Result<(), DataplaneError> {
        let who = format!("{}{{{}}}", child.config.name, child.id);
        if self.children.contains_key(&child.id) {
            let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(DataplaneError::Os(format!("installing {who}"), exists));
        }
        // Both halves are looked at before the first is installed.
        for inbound in [true, false] {
            sa::state(child, inbound, None).map_err(|e| named(&who, e))?;
        }
        let half = self.add(child, true).map_err(|e| named(&who, e))?;
        let installed = Installed {
            order: ChildSa { keys_in: no_keys(), ..child.clone() },
            inbound: half.id,
            outbound: None,
            compression: [half.compression, None],
            offload: half.offload,
            usage: (Usage::default(), Usage::default()),
        };
        self.children.insert(child.id, installed);
        let done = if child.inbound_only { Ok(()) } else { self.outbound(child.id) };
        done.map_err(|e| {
            if let Err(e) = self.discard(child.id) {
                tracing::warn!("{who}: {e}");
            }
            named(&who, e)
        })
    }

    fn activate_outbound(&mut self, child: u32) -> Result<(), DataplaneError> {
        let who = self.children.get(&child).map(|i| format!("{}{{{child}}}", i.order.config.name));
        self.outbound(child).map_err(|e| named(who.as_deref().unwrap_or_default(), e))
    }

    fn update(
        &mut self,
        child: u32,
        local: SocketAddr,
        remote: SocketAddr,
        encap: bool,
    ) -> Result<(), DataplaneError> {
        let Some(installed) = self.children.get_mut(&child) else {
            return Err(DataplaneError::Unknown(child));
        };
        installed.order.local = local;
        installed.order.remote = remote;
        installed.order.encap = encap;
        let order = ChildSa { keys_in: no_keys(), keys_out: no_keys(), ..installed.order.clone() };
        let (inbound, outbound, compression) = (installed.inbound, installed.outbound, installed.compression);
        let who = format!("{}{{{child}}}", order.config.name);
        let inbound = self.shift(&order, inbound, true).map_err(|e| named(&who, e))?;
        if let Some(installed) = self.children.get_mut(&child) {
            installed.inbound = inbound;
        }
        if let Some(outbound) = outbound {
            let outbound = self.shift(&order, outbound, false).map_err(|e| named(&who, e))?;
            if let Some(installed) = self.children.get_mut(&child) {
                installed.outbound = Some(outbound);
            }
        }
        for (at, id) in compression.into_iter().enumerate() {
            let Some(id) = id else { continue };
            let id = self.shift(&order, id, at == 0).map_err(|e| named(&who, e))?;
            if let Some(slot) =
                self.children.get_mut(&child).and_then(|installed| installed.compression.get_mut(at))
            {
                *slot = Some(id);
            }
        }
        if outbound.is_some() {
            self.enforce(child).map_err(|e| named(&who, e))?;
        }
        Ok(())
    }

    fn remove(&mut self, child: u32, _keep_policies: bool) -> Result<(Usage, Usage), DataplaneError> {
        // The book keeps policies that another generation or a trap wants.
        let usage = self.refresh(child)?;
        self.discard(child)?;
        Ok(usage)
    }

    fn query(&mut self, child: u32) -> Result<(Usage, Usage), DataplaneError> {
        self.refresh(child)
    }

    fn usages(&mut self, after: Option<u32>, most: usize) -> Vec<(u32, (Usage, Usage))> {
        if self.children.len() < MANY {
            let slice: Vec<u32> = self.children.range(beyond(after)).take(most).map(|(id, _)| *id).collect();
            return slice.into_iter().filter_map(|id| Some((id, self.refresh(id).ok()?))).collect();
        }
        if after.is_none() {
            self.refresh_all();
        }
        let slice = self.children.range(beyond(after)).take(most);
        slice.map(|(id, installed)| (*id, installed.usage)).collect()
    }

    fn install_policy(&mut self, policy: &PolicyOnly) -> Result<(), DataplaneError> {
        let name = |e| named(&policy.config.name, e);
        let tunnels = !matches!(policy.config.mode, Mode::Pass | Mode::Drop | Mode::Transport);
        let local = match (policy.local, policy.remote) {
            (None, Some(remote)) if tunnels => {
                self.netlink.path(remote, &self.options.path).map_err(|e| name(e.into()))?.source
            }
            (local, _) => local,
        };
        let interface = self.interface(policy.config.interface.as_deref()).map_err(name)?;
        let policies = policies::of_shunt(policy, local, interface).map_err(name)?;
        let changes = self.book.set(Owner::Shunt(policy.id), &policies);
        self.shunts.insert(policy.id, policy.reqid);
        if policy.reqid != 0 {
            self.shared.with(|whose| whose.traps.insert(policy.reqid, policy.id));
        }
        self.tell(&changes).map_err(|e| {
            let _was_named = self.remove_policy(policy.id);
            name(e)
        })
    }

    fn remove_policy(&mut self, id: u32) -> Result<(), DataplaneError> {
        let reqid = self.shunts.remove(&id).ok_or(DataplaneError::Unknown(id))?;
        self.shared.with(|whose| {
            if whose.traps.get(&reqid) == Some(&id) {
                whose.traps.remove(&reqid);
            }
        });
        let changes = self.book.clear(Owner::Shunt(id));
        self.tell_all(&changes);
        Ok(())
    }

    /// Packets are protected on whatever way they go.
    fn device(&self) -> Option<String> {
        None
    }

    fn trace(&mut self, flow: &Flow) -> Result<Fate, DataplaneError> {
        let policies = self.xfrm.policies()?;
        let Some(policy) = trace::chosen(&policies, flow) else { return Ok(Fate::Ignored) };
        let decider = trace::decider(policy);
        let template = match policy.action {
            Action::Block => return Ok(Fate::Dropped(decider)),
            Action::Allow(None) => return Ok(Fate::Passed(decider)),
            Action::Allow(Some(template)) => template,
        };
        // The newest serves.
        let serves = |(_, installed): &(&u32, &Installed)| {
            installed.order.reqid == template.reqid
                && installed.outbound.is_some_and(|id| template.spi == 0 || template.spi == id.spi)
        };
        if let Some((child, installed)) = self.children.iter().rfind(serves) {
            let ChildSa { spi_out: spi, local, remote, encap, .. } = installed.order;
            return Ok(Fate::Sealed(decider, Sealing { child: *child, spi, local, remote, encap }));
        }
        let trap = self.shunts.iter().find(|(_, reqid)| **reqid == template.reqid && template.reqid != 0);
        Ok(match trap {
            Some((trap, _)) => Fate::Awaits(decider, *trap),
            None => Fate::Foreign(decider),
        })
    }

    fn local_addresses(&mut self, _addresses: &[IpAddr]) {}
}

impl Drop for Xfrm {
    fn drop(&mut self) {
        let (children, shunts) = (self.children.keys().copied(), self.shunts.keys().copied());
        let (children, shunts): (Vec<u32>, Vec<u32>) = (children.collect(), shunts.collect());
        for shunt in shunts {
            let _known = self.remove_policy(shunt);
        }
        for child in children {
            if let Err(e) = self.discard(child) {
                tracing::warn!("{e}");
            }
        }
        self.shared.stop(&self.waker);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that listens to the kernel panicked");
        }
    }
}

/// From so many CHILD_SAs on, the kernel is asked for the counters of all SAs at once.
const MANY: usize = 64;

/// `EEXIST` and others on Linux.
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;
const EPROTONOSUPPORT: i32 = 93;

fn no_keys() -> SaKeys {
    SaKeys { encr: Secret::default(), integ: Secret::default() }
}

/// Says whose SA it was, and what to do about it.
fn named(who: &str, error: DataplaneError) -> DataplaneError {
    match error {
        DataplaneError::Os(what, source) => {
            let error = linux::Error { what: format!("CHILD_SA {who}: {what}"), source };
            let hint = linux::xfrm::hint(&error).map(|hint| format!(" [{hint}]")).unwrap_or_default();
            DataplaneError::Os(format!("{}{hint}", error.what), error.source)
        }
        DataplaneError::Unsupported(what, plane) => {
            DataplaneError::Unsupported(format!("CHILD_SA {who}: {what}"), plane)
        }
        other @ DataplaneError::Unknown(_) => other,
    }
}

/// Counters as the kernel has them. An old kernel does not say when the last packet was: then when we saw it.
fn counted(before: Usage, found: &StateUse) -> Usage {
    let now = clock::monotonic_ms();
    let last = match found.last {
        Some(at) => {
            let ago = clock::wall_seconds().saturating_sub(at).saturating_mul(1000);
            Some(now.saturating_sub(ago))
        }
        None if found.packets > before.packets => Some(now),
        None => before.last,
    };
    // Whole seconds would make it jump back and forth.
    let last = if found.packets == before.packets { before.last.or(last) } else { last.max(before.last) };
    let last = last.filter(|_| found.packets > 0);
    Usage { bytes: found.bytes, packets: found.packets, last }
}
