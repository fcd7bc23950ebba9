//! What the data plane and the kernel report by themselves, on its way to the engine.
use crate::asks::plane::{self, Wishes, chain};
use crate::conf::Conf;
use crate::data_plane::DataPlane;
use crate::interfaces::Interfaces;
use crate::observers::log::{Log, Voice};
use crate::shard;
use crate::sockets::Sockets;
use dataplane::{Backend, Notice, Userspace, UserspaceOptions, Xfrm, XfrmOptions};
use ike::io::{Command, Group};
use linux::netlink::{Change, Events};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Notices that may wait.
const NOTICES: usize = 4096;
/// Threads that seal, at most.
const MOST_LANES: usize = 4;
/// Changes of the network come in swarms: this long we wait for the end of one.
const SETTLE: Duration = Duration::from_millis(100);

/// Starts the data plane that was chosen; without one, says why.
pub(crate) fn start_backend(
    conf: &Conf,
    chosen: Result<(DataPlane, String), String>,
    sockets: &Sockets,
    wishes: &Wishes,
    shard: &shard::Handle,
    plane: &plane::Handle,
    log: &Arc<Log>,
) -> (Option<Box<dyn Backend>>, String) {
    let (data_plane, why) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => return (None, why),
    };
    let name = if data_plane == DataPlane::Xfrm { "xfrm" } else { "userspace" };
    log.say(Voice::Plane, Group::Knl, 1, format!("data plane: {name}, as {why}"));
    if data_plane == DataPlane::Xfrm {
        return start_xfrm(conf, sockets, wishes, shard, plane, log);
    }
    let (notices_tx, notices) = mpsc::channel(NOTICES);
    let defaults = UserspaceOptions::default();
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_LANES);
    let options = UserspaceOptions {
        device_name: conf.text("plugins.kernel-libipsec.device").unwrap_or(&defaults.device_name).to_owned(),
        mtu: wishes.mtu.unwrap_or(defaults.mtu),
        lanes: conf.number("plugins.kernel-libipsec.lanes", lanes).clamp(1, MOST_LANES),
        raw_esp: conf.flag("plugins.kernel-libipsec.raw_esp", false),
        mark: wishes.paths.mark,
        ..defaults
    };
    let backend = match Userspace::start(
        &options,
        sockets.nat_t.all().cloned().collect(),
        shard.datagrams(),
        notices_tx,
    ) {
        Ok(backend) => backend,
        Err(e) => return (None, format!("the userspace data plane cannot start: {}", chain(&e))),
    };
    let device = backend.device().unwrap_or_default();
    log.say(Voice::Plane, Group::Lib, 1, format!("created TUN device: {device}"));
    tokio::spawn(pass_on(notices, shard.clone(), plane.clone()));
    (Some(Box::new(backend)), String::new())
}

/// The kernel's: it takes ESP in UDP from the NAT-T sockets, and leaves IKE on them to us.
fn start_xfrm(
    conf: &Conf,
    sockets: &Sockets,
    wishes: &Wishes,
    shard: &shard::Handle,
    plane: &plane::Handle,
    log: &Arc<Log>,
) -> (Option<Box<dyn Backend>>, String) {
    let (notices_tx, notices) = mpsc::channel(NOTICES);
    let defaults = XfrmOptions::default();
    let expires = "plugins.kernel-netlink.xfrm_acq_expires";
    let options = XfrmOptions {
        state_file: crate::boot::state_file("xfrm", log),
        acquire_expires: conf.number(expires, defaults.acquire_expires),
        path: wishes.paths.query(),
    };
    let backend = match Xfrm::start(&options, notices_tx) {
        Ok(backend) => backend,
        Err(e) => return (None, format!("the kernel's data plane cannot start: {}", chain(&e))),
    };
    for socket in sockets.nat_t.all() {
        if let Err(e) = socket.take_esp() {
            log.say(Voice::Plane, Group::Knl, 0, format!("{e}; ESP in UDP does not come in there"));
        }
    }
    tokio::spawn(pass_on(notices, shard.clone(), plane.clone()));
    (Some(Box::new(backend)), String::new())
}

async fn pass_on(mut notices: mpsc::Receiver<Notice>, shard: shard::Handle, plane: plane::Handle) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Acquire { trap, packet } => shard.command(Command::Acquire { trap, packet }).await,
            Notice::Expire { child, hard } => shard.command(Command::Expire { child, hard }).await,
            Notice::Mapping { child, remote } => shard.command(Command::Mapping { child, remote }).await,
            Notice::FirstUse { child } => plane.traffic(child).await,
        }
    }
}

/// Watches the kernel's tables: addresses and routes of ours may be gone, paths may be others. What the netlink socket
/// of number `own` does to routes is not looked at.
pub(crate) fn watch_network(
    plane: &plane::Handle,
    own: u32,
    shard: &shard::Handle,
    neighbours: &crate::neighbours::Handle,
    interfaces: Interfaces,
    log: &Arc<Log>,
) {
    let mut events = match Events::open(Some(own)) {
        Ok(events) => events,
        Err(e) => {
            log.say(Voice::Main, Group::Knl, 1, format!("network changes will not be noticed: {e}"));
            return;
        }
    };
    let (plane, shard, log) = (plane.clone(), shard.clone(), log.clone());
    let neighbours = neighbours.clone();
    tokio::spawn(async move {
        loop {
            match events.next().await {
                Ok(change) if matters(&change) => {}
                Ok(_) => continue,
                Err(e) => {
                    log.say(Voice::Plane, Group::Knl, 1, format!("watching the network: {e}"));
                    tokio::time::sleep(SETTLE).await;
                    continue;
                }
            }
            plane.network_changing();
            let end = tokio::time::Instant::now() + SETTLE;
            while let Ok(Ok(_)) = tokio::time::timeout_at(end, events.next()).await {}
            shard.ignore(interfaces.ignored(&log));
            plane.network_changed();
            neighbours.network_changed();
            shard.hint(Command::AddressesChanged);
        }
    });
}

/// Whether a change can concern us. Addresses and interfaces of our own making do: they are few.
fn matters(change: &Change) -> bool {
    match change {
        Change::Link(_)
        | Change::LinkGone(_)
        | Change::Address(_)
        | Change::AddressGone(_)
        | Change::Lost => true,
        Change::Route(_) | Change::RouteGone(_) => true,
    }
}
