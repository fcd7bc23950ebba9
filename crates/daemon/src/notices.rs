//! What the data plane and the kernel report by themselves, on its way to the engine.
use crate::asks::plane::{self, Wishes};
use crate::conf::Conf;
use crate::observers::log::{Log, Voice};
use crate::shard;
use crate::sockets::Sockets;
use dataplane::{Backend, Notice};
use ike::io::{Command, Group};
use linux::netlink::{Change, Events};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Notices that may wait.
const NOTICES: usize = 4096;
/// IKE messages from port 4500 that may wait.
const DATAGRAMS: usize = 4096;
/// Changes of the network come in swarms: this long we wait for the end of one.
const SETTLE: Duration = Duration::from_millis(100);

/// Starts the data plane; without one, says why.
pub(crate) fn start_backend(
    conf: &Conf,
    sockets: &Sockets,
    wishes: &Wishes,
    shard: &shard::Handle,
    plane: &plane::Handle,
    log: &Arc<Log>,
) -> (Option<Box<dyn Backend>>, String) {
    let (notices_tx, notices) = mpsc::channel(NOTICES);
    let _ = (conf, sockets, wishes, DATAGRAMS, log);
    tokio::spawn(pass_on(notices, shard.clone(), plane.clone()));
    drop::<mpsc::Sender<Notice>>(notices_tx);
    (None, "pending".into())
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

/// Watches the kernel's tables: addresses and routes of ours may be gone, paths may be others.
pub(crate) fn watch_network(plane: &plane::Handle, shard: &shard::Handle, log: &Arc<Log>) {
    let mut events = match Events::open() {
        Ok(events) => events,
        Err(e) => {
            log.say(Voice::Main, Group::Knl, 1, format!("network changes will not be noticed: {e}"));
            return;
        }
    };
    let (plane, shard, log) = (plane.clone(), shard.clone(), log.clone());
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
            let end = tokio::time::Instant::now() + SETTLE;
            while let Ok(Ok(_)) = tokio::time::timeout_at(end, events.next()).await {}
            plane.network_changed();
            shard.hint(Command::AddressesChanged);
        }
    });
}

/// Whether a change can concern us. Changes of our own making do: they cannot be told apart, and looking again
/// costs little.
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
