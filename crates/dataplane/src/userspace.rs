//! ESP in user space: a TUN device on one side, UDP and raw sockets on the other, lanes of threads between.
//!
//! The kernel's routes decide what enters the device (the daemon declares them); the policies here decide which
//! SA takes it. What no policy wants is dropped: nothing leaves unprotected by accident.
//!
//! The walk: [`lane`](self) is the packet path, its stages numbered, `sealer` and `opener` do them; `flows` remembers
//! what policies said; `split` and `coalesce` are the arithmetic of streams; `outbox` and `wires` the way out; `trap`
//! what waits for an SA; `pace` how much passes, `duty` which thread serves it; `plane` what lanes share.
//!
//! The outer packet's Don't Fragment bit is the kernel's: set while the packet fits the path MTU it knows. Routers
//! can so tell it a smaller one; inner senders are told in turn.

mod coalesce;
mod counters;
mod duty;
mod flows;
mod lane;
mod opener;
mod outbox;
mod pace;
mod plane;
#[cfg(test)]
mod sample;
mod sealer;
mod split;
mod trap;
mod wires;

pub use counters::{Counter, Counters};
pub use plane::IkeDatagram;

use crate::backend::{Backend, DataplaneError, Notice, beyond};
use crate::trace::{self, Decider, Fate, Sealing};
use duty::Duty;
use esp::{Flow, InSa, OutSa, Path, SaError, Sad, Spd, Target};
use lane::{In, Out, Queue};
use linux::raw::RawSocket;
use linux::sysctl;
use linux::tun::{Tun, TunOptions, TunQueue};
use linux::udp::UdpSocket;
use linux::wait::Waker;
use opener::Opener;
use plane::Plane;
use policy::sa::{PolicyOnly, Usage};
use policy::{ChildSa, Mode, Selector};
use sealer::Sealer;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc::Sender;
use wires::Wires;

/// Whenever there are so many CHILD_SAs more than ever before, they are given big pages of memory.
const MANY: usize = 1 << 14;

/// How the data plane is set up.
#[derive(Debug, Clone)]
pub struct UserspaceOptions {
    /// Name of the TUN device.
    pub device_name: String,
    /// Its MTU; what is longer never reaches us.
    pub mtu: u32,
    /// Lanes; 0 = one per processor.
    pub lanes: usize,
    /// Open raw sockets for ESP without UDP.
    pub raw_esp: bool,
    /// Mark of everything sent by the raw sockets; also used to ask for path MTUs. The same as the UDP sockets'.
    pub mark: Option<u32>,
    /// Receive buffer of the raw sockets in bytes.
    pub receive_buffer: usize,
    /// Exchange whole streams with the kernel.
    pub offload: bool,
}

impl Default for UserspaceOptions {
    fn default() -> Self {
        Self {
            device_name: "ipsec0".to_owned(),
            mtu: 1400,
            lanes: 0,
            raw_esp: true,
            mark: None,
            receive_buffer: 4 << 20,
            offload: true,
        }
    }
}

/// One CHILD_SA as installed.
#[derive(Debug)]
struct Installed {
    inbound: Arc<InSa>,
    outbound: Arc<OutSa>,
    /// Owner of its policies, once it sends.
    owner: Option<u32>,
    priority: u32,
    reqid: u32,
}

/// One trap or shunt as installed.
#[derive(Debug)]
struct Shunt {
    owner: u32,
    reqid: u32,
    local_ts: Box<[Selector]>,
    remote_ts: Box<[Selector]>,
}

/// The userspace data plane; it stops when dropped.
#[derive(Debug)]
pub struct Userspace {
    plane: Arc<Plane>,
    device: String,
    wires: Wires,
    children: BTreeMap<u32, Installed>,
    shunts: BTreeMap<u32, Shunt>,
    /// Their reqids.
    reqids: BTreeSet<(u32, u32)>,
    /// Last owner number given to a set of policies.
    owners: u32,
    /// So many CHILD_SAs have big pages.
    spacious: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Userspace {
    /// Makes the device and starts the lanes.
    ///
    /// `sockets` are those of the NAT-T port; the lanes own their receive side. Several of one family (opened with
    /// `share_port`) spread peers over lanes. IKE messages on them go to `ike`, reports to `notices`; neither is
    /// ever waited for.
    ///
    /// # Errors
    /// No device, no privilege, no threads.
    pub fn start(
        options: &UserspaceOptions,
        sockets: Vec<Arc<UdpSocket>>,
        ike: Sender<IkeDatagram>,
        notices: Sender<Notice>,
    ) -> Result<Self, DataplaneError> {
        let lanes = match options.lanes {
            0 => thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
        .clamp(1, 64);
        let tun = Tun::create(&TunOptions {
            name: options.device_name.clone(),
            mtu: options.mtu,
            queues: lanes,
            offload: options.offload,
        })?;
        quieten(&tun.name);
        let counters = Arc::new(Counters::default());
        let raw = if options.raw_esp { raw_sockets(options) } else { Vec::new() };
        let wires = Wires { udp: sockets.clone(), raw: raw.clone(), counters: counters.clone() };
        let wakers = (0..lanes * 2).map(|_| Waker::new().map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let plane = Arc::new(Plane {
            sad: Sad::default(),
            spd: Spd::default(),
            traps: trap::Traps::default(),
            counters,
            bulk: pace::Until::default(),
            notices,
            ike,
            released: Mutex::new(Vec::new()),
            wakers: wakers.clone(),
            stop: AtomicBool::new(false),
        });
        let mut this = Self {
            plane: plane.clone(),
            device: tun.name.clone(),
            wires: wires.clone(),
            children: BTreeMap::new(),
            shunts: BTreeMap::new(),
            reqids: BTreeSet::new(),
            owners: 0,
            spacious: 0,
            threads: Vec::new(),
        };
        let queues: Vec<Arc<TunQueue>> = tun.queues.into_iter().map(Arc::new).collect();
        for (lane, queue) in queues.iter().enumerate() {
            let mut waker = wakers.iter().skip(lane * 2).cloned();
            let (Some(out_waker), Some(in_waker)) = (waker.next(), waker.next()) else { continue };
            let udp = share(&sockets, lane, lanes);
            let own = Wires { udp: [udp.clone(), sockets.clone()].concat(), ..wires.clone() };
            let sealer = Sealer::new(plane.clone(), queue.clone(), own, options.mark);
            // every raw socket gets every packet, so only one lane may listen
            let raw = if lane == 0 { raw.clone() } else { Vec::new() };
            let one_way = udp.is_empty() && raw.is_empty();
            let duty = Arc::new(Duty::new((!one_way).then(|| [out_waker.clone(), in_waker.clone()])));
            let sealing =
                Arc::new(Mutex::new(Queue::new(plane.clone(), queue.clone(), sealer, duty.clone())));
            let out = Out {
                plane: plane.clone(),
                tun: queue.clone(),
                queue: sealing.clone(),
                duty: duty.clone(),
                waker: out_waker,
                first: lane == 0,
            };
            this.spawn(format!("esp-out-{lane}"), move || out.run())?;
            if one_way {
                continue;
            }
            let inbound = In {
                plane: plane.clone(),
                opener: Opener::new(plane.clone(), queue.clone(), tun.udp_offload),
                udp,
                raw,
                tun: queue.clone(),
                queue: sealing,
                duty,
                waker: in_waker,
            };
            this.spawn(format!("esp-in-{lane}"), move || inbound.run())?;
        }
        Ok(this)
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), DataplaneError> {
        let thread = thread::Builder::new()
            .name(name)
            .spawn(work)
            .map_err(|e| DataplaneError::Os("starting a lane".to_owned(), e))?;
        self.threads.push(thread);
        Ok(())
    }

    /// The numbers behind [`Backend::counters`].
    #[must_use]
    pub fn numbers(&self) -> &Arc<Counters> {
        &self.plane.counters
    }

    fn owner(&mut self) -> u32 {
        self.owners = self.owners.wrapping_add(1);
        self.owners
    }

    fn child(&self, id: u32) -> Result<&Installed, DataplaneError> {
        self.children.get(&id).ok_or(DataplaneError::Unknown(id))
    }

    /// Lets the policies of a CHILD_SA point to it. The newest wins among equals, so those of an older generation
    /// may stay until it is removed, and serve again should the newer one go first.
    fn enable(&mut self, id: u32) -> Result<(), DataplaneError> {
        let owner = self.owner();
        let installed = self.children.get_mut(&id).ok_or(DataplaneError::Unknown(id))?;
        if installed.owner.is_some() {
            return Ok(());
        }
        installed.owner = Some(owner);
        let target = Target::Protect(installed.outbound.clone());
        let (local, remote) = installed.inbound.selectors();
        self.plane.spd.insert(owner, installed.priority, local, remote, &target);
        let reqid = installed.reqid;
        if reqid != 0 {
            for (_, trap) in self.reqids.range((reqid, 0)..=(reqid, u32::MAX)) {
                let packets = self.plane.traps.release(*trap);
                self.plane.release(packets);
            }
        }
        Ok(())
    }
}

/// Whether big pages are due for so many CHILD_SAs. It stops whoever needs memory meanwhile, so that what comes and goes
/// must not lead to it, nor a rekeying of all, where a successor takes the place of each.
fn has_grown(spacious: &mut usize, count: usize, successor: bool) -> bool {
    let due = !successor && count >= spacious.saturating_add(MANY);
    if due {
        *spacious = count;
    }
    due
}

impl Backend for Userspace {
    fn name(&self) -> &'static str {
        "userspace"
    }

    fn install(&mut self, child: &ChildSa) -> Result<(), DataplaneError> {
        let path = Path { local: child.local, remote: child.remote, encap: child.encap };
        self.wires.can(&path).map_err(|what| DataplaneError::Unsupported(what.to_owned(), "userspace"))?;
        if child.cpi_in != 0 {
            return Err(DataplaneError::Unsupported("IPComp".to_owned(), "userspace"));
        }
        let inbound = Arc::new(InSa::new(child).map_err(refused)?);
        let outbound = Arc::new(OutSa::beside(child, &inbound).map_err(refused)?);
        if self.children.contains_key(&child.id) || !self.plane.sad.insert(inbound.clone()) {
            let exists = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(DataplaneError::Os(format!("installing SPI {:08x}", child.spi_in), exists));
        }
        let installed =
            Installed { inbound, outbound, owner: None, priority: child.config.priority, reqid: child.reqid };
        self.children.insert(child.id, installed);
        if has_grown(&mut self.spacious, self.children.len(), child.replaces.is_some()) {
            // without it, packets of SAs here and there find theirs a little later
            drop(thread::Builder::new().name("big-pages".to_owned()).spawn(linux::memory::big_pages));
        }
        if child.inbound_only { Ok(()) } else { self.enable(child.id) }
    }

    fn activate_outbound(&mut self, child: u32) -> Result<(), DataplaneError> {
        self.enable(child)
    }

    fn update(
        &mut self,
        child: u32,
        local: SocketAddr,
        remote: SocketAddr,
        encap: bool,
    ) -> Result<(), DataplaneError> {
        let path = Path { local, remote, encap };
        self.wires.can(&path).map_err(|what| DataplaneError::Unsupported(what.to_owned(), "userspace"))?;
        let installed = self.child(child)?;
        let path = Arc::new(path);
        installed.inbound.set_path(Arc::clone(&path));
        installed.outbound.set_path(path);
        Ok(())
    }

    fn remove(&mut self, child: u32, _keep_policies: bool) -> Result<(Usage, Usage), DataplaneError> {
        // Policies need no keeping: what none wants is dropped, and traps are policies of their own.
        let installed = self.children.remove(&child).ok_or(DataplaneError::Unknown(child))?;
        if let Some(owner) = installed.owner {
            let (local, remote) = installed.inbound.selectors();
            self.plane.spd.remove(owner, local, remote);
        }
        self.plane.sad.remove(installed.inbound.spi);
        Ok((installed.inbound.usage(), installed.outbound.usage()))
    }

    fn query(&mut self, child: u32) -> Result<(Usage, Usage), DataplaneError> {
        let installed = self.child(child)?;
        Ok((installed.inbound.usage(), installed.outbound.usage()))
    }

    fn usages(&mut self, after: Option<u32>, most: usize) -> Vec<(u32, (Usage, Usage))> {
        let slice = self.children.range(beyond(after)).take(most);
        slice.map(|(id, installed)| (*id, (installed.inbound.usage(), installed.outbound.usage()))).collect()
    }

    fn install_policy(&mut self, policy: &PolicyOnly) -> Result<(), DataplaneError> {
        let target = match policy.config.mode {
            Mode::Pass => Target::Pass,
            Mode::Drop => Target::Drop,
            Mode::Tunnel | Mode::Transport => Target::Trap(policy.id),
            mode @ (Mode::TransportProxy | Mode::Beet | Mode::Iptfs) => {
                return Err(DataplaneError::Unsupported(format!("mode {mode:?}"), "userspace"));
            }
        };
        let owner = self.owner();
        self.plane.spd.insert(owner, policy.config.priority, &policy.local_ts, &policy.remote_ts, &target);
        let (local_ts, remote_ts) = (policy.local_ts.as_slice().into(), policy.remote_ts.as_slice().into());
        let shunt = Shunt { owner, reqid: policy.reqid, local_ts, remote_ts };
        if let Some(old) = self.shunts.insert(policy.id, shunt) {
            self.plane.spd.remove(old.owner, &old.local_ts, &old.remote_ts);
            self.reqids.remove(&(old.reqid, policy.id));
        }
        self.reqids.insert((policy.reqid, policy.id));
        Ok(())
    }

    fn remove_policy(&mut self, id: u32) -> Result<(), DataplaneError> {
        let shunt = self.shunts.remove(&id).ok_or(DataplaneError::Unknown(id))?;
        self.plane.spd.remove(shunt.owner, &shunt.local_ts, &shunt.remote_ts);
        self.reqids.remove(&(shunt.reqid, id));
        drop(self.plane.traps.release(id));
        Ok(())
    }

    fn device(&self) -> Option<String> {
        Some(self.device.clone())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        self.plane.counters.list()
    }

    fn trace(&mut self, flow: &trace::Flow) -> Result<Fate, DataplaneError> {
        let wanted =
            Flow { local: flow.source, remote: flow.destination, protocol: flow.protocol, ports: flow.ports };
        Ok(self.plane.spd.explain(&wanted).map_or(Fate::Ignored, |(selectors, priority, target)| {
            let decider = Decider { selectors, priority };
            match target {
                Target::Protect(sa) => {
                    let Path { local, remote, encap } = sa.path();
                    Fate::Sealed(decider, Sealing { child: sa.child, spi: sa.spi, local, remote, encap })
                }
                Target::Trap(trap) => Fate::Awaits(decider, trap),
                Target::Pass => Fate::Passed(decider),
                Target::Drop => Fate::Dropped(decider),
            }
        }))
    }

    /// The device asks no addresses: routes bring what is to be protected, selectors decide.
    fn local_addresses(&mut self, _addresses: &[IpAddr]) {}
}

impl Drop for Userspace {
    fn drop(&mut self) {
        self.plane.stop.store(true, Ordering::Relaxed);
        self.plane.wake();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane panicked");
            }
        }
        for (what, count) in self.plane.counters.list() {
            tracing::debug!("{what}: {count}");
        }
    }
}

impl From<linux::Error> for DataplaneError {
    fn from(e: linux::Error) -> Self {
        Self::Os(e.what, e.source)
    }
}

fn refused(error: SaError) -> DataplaneError {
    match error {
        SaError::Unsupported(what) => DataplaneError::Unsupported(what, "userspace"),
        SaError::Crypto(e) => DataplaneError::Unsupported(e.to_string(), "userspace"),
    }
}

/// The sockets of one lane: of each family, the n-th goes to lane n.
fn share(sockets: &[Arc<UdpSocket>], lane: usize, lanes: usize) -> Vec<Arc<UdpSocket>> {
    [false, true]
        .into_iter()
        .flat_map(|v6| {
            let family = sockets.iter().filter(move |s| s.local().is_ipv6() == v6);
            family.enumerate().filter(|(n, _)| n % lanes == lane).map(|(_, s)| s.clone()).collect::<Vec<_>>()
        })
        .collect()
}

/// Raw sockets of the families there are; without one, plain ESP is refused when a CHILD_SA needs it.
fn raw_sockets(options: &UserspaceOptions) -> Vec<Arc<RawSocket>> {
    let mut all = Vec::new();
    for v6 in [false, true] {
        match RawSocket::esp(v6, options.mark, options.receive_buffer) {
            Ok(socket) => all.push(Arc::new(socket)),
            Err(e) => tracing::warn!("{e}; ESP without UDP is not available there"),
        }
    }
    all
}

/// The device is no link with neighbours: no link-local address, no router solicitations, and no filter that wants
/// packets to come by the way answers would go.
fn quieten(device: &str) {
    for (key, value) in [
        (format!("net/ipv6/conf/{device}/addr_gen_mode"), "1"),
        (format!("net/ipv6/conf/{device}/router_solicitations"), "0"),
        (format!("net/ipv6/conf/{device}/accept_ra"), "0"),
        (format!("net/ipv4/conf/{device}/rp_filter"), "0"),
    ] {
        if let Err(e) = sysctl::write(&key, value) {
            tracing::debug!("{e}");
        }
    }
    if sysctl::reverse_path_filter(device).is_ok_and(|filter| filter == 1) {
        tracing::warn!(
            "the strict reverse path filter (net.ipv4.conf.all.rp_filter = 1) may drop what tunnels deliver"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_pages_are_due_for_more_than_ever_and_not_for_successors() {
        let mut spacious = 0;
        let mut due = |counts: std::ops::Range<usize>, successor| {
            counts.filter(|count| has_grown(&mut spacious, *count, successor)).collect::<Vec<usize>>()
        };
        assert_eq!(due(1..2 * MANY, false), [MANY]);
        assert!(due(0..2 * MANY, false).is_empty());
        assert!(due(0..9 * MANY, true).is_empty());
        assert_eq!(due(2 * MANY - 1..3 * MANY, false), [2 * MANY]);
    }
}
