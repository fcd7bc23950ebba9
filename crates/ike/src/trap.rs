//! Policies without SAs: traps that bring up their child when a packet matches, and pass and drop shunts.
use crate::child::{self, Keeps};
use crate::commands::Want;
use crate::core::{Core, Start, StartChild, Waiter};
use crate::engine::Engine;
use crate::io::{Answer, Ask, CommandId};
use crate::reqid::ReqKey;
use policy::sa::PolicyOnly;
use policy::{Child, Connection, Interface, Mode, PeerAddr, Selector, VirtualIp};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What is installed, by handle.
#[derive(Debug, Default)]
pub(crate) struct Traps {
    list: BTreeMap<u32, Arc<PolicyOnly>>,
    /// Those whose ends are being found out.
    asked: BTreeMap<u32, (Arc<Connection>, Arc<Child>)>,
    next: u32,
}

impl Traps {
    pub(crate) fn list(&self) -> Vec<Arc<PolicyOnly>> {
        self.list.values().cloned().collect()
    }

    /// What the CHILD_SA of a trap that has drawn numbers of its own keeps of it, whoever brings it up.
    pub(crate) fn kept(&self, connection: &str, config: &Child) -> Option<Keeps> {
        child::draws_unique(config)
            .then(|| self.find(connection, &config.name))
            .flatten()
            .map(|p| Keeps::of_trap(p))
    }

    fn find(&self, connection: &str, child: &str) -> Option<&Arc<PolicyOnly>> {
        self.list.values().find(|p| p.connection == connection && p.config.name == child)
    }
}

fn first_ip(list: &[PeerAddr]) -> Option<IpAddr> {
    list.iter().find_map(|a| if let PeerAddr::Ip(ip) = a { Some(*ip) } else { None })
}

/// What `dynamic` means before anything is up: the configured address, else any of the peer's family. Whoever takes any
/// peer means IPv4 (`%any6`: IPv6).
fn host(list: &[PeerAddr], vips: &[VirtualIp], v6: Option<bool>) -> Vec<VirtualIp> {
    if !vips.is_empty() {
        return vips.to_vec();
    }
    let any =
        |v6: bool| -> IpAddr { if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() } };
    match (first_ip(list), v6) {
        (Some(ip), _) => vec![ip.into()],
        (None, Some(v6)) => vec![any(v6).into()],
        (None, None) => vec![any(false).into(), any(true).into()],
    }
}

/// Whether the peer has IPv6 addresses; not known of names.
fn family(list: &[PeerAddr]) -> Option<bool> {
    match list.first() {
        None | Some(PeerAddr::Any(None)) => Some(false),
        Some(PeerAddr::Any(Some(v6))) => Some(*v6),
        Some(PeerAddr::Ip(ip) | PeerAddr::Range(ip, _)) => Some(ip.is_ipv6()),
        Some(PeerAddr::Name(_)) => None,
    }
}

/// Whether the addresses of both ends must be found out before the trap is what it should be.
fn must_ask(conn: &Connection, child: &Child) -> bool {
    let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
    let known = first_ip(&conn.local_addrs).is_some() && first_ip(&conn.remote_addrs).is_some();
    !shunt && !known && crate::control::names_peer(conn)
}

/// The connection's interface ids. What passes or is dropped is so whatever interface the connection has.
fn inherited(conn: &Connection, child: &Child, unique: u32) -> (u32, u32) {
    let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
    if shunt { (0, 0) } else { child::trap_if_ids(conn, unique) }
}

/// The connection's own interface, as far as it is for this child.
fn interface(conn: &Connection, child: &Child) -> Option<Arc<Interface>> {
    conn.interface.clone().filter(|_| !matches!(child.mode, Mode::Pass | Mode::Drop))
}

/// What is installed is this child of this connection, as they are now.
fn is(policy: &PolicyOnly, conn: &Connection, child: &Arc<Child>) -> bool {
    let ids = || child::interface_ids(child, inherited(conn, child, 0), 0);
    let drawn = child::draws_unique(child) || child::inherits_unique(conn);
    (Arc::ptr_eq(&policy.config, child) || policy.config == *child)
        && policy.interface == interface(conn, child)
        && (drawn || (policy.if_id_in, policy.if_id_out) == ids())
}

/// Installs the policy of a child, if it is not there yet.
pub(crate) fn install(
    core: &mut Core,
    conn: &Arc<Connection>,
    child: &Arc<Child>,
    command: Option<CommandId>,
) {
    if core.closing {
        return;
    }
    let known = core.traps.find(&conn.name, &child.name).map(|p| (p.id, is(p, conn, child)));
    let asked = core.traps.asked.iter().find(|(_, (c, asked))| c.name == conn.name && asked == child);
    if let (Some(id), Some(c)) = (asked.map(|(id, _)| *id), command) {
        return core.commands.add(c, Want::Policy(id));
    }
    if let Some((id, same)) = known {
        if same {
            if let Some(c) = command {
                core.done(c, 1, 1, None);
            }
            return;
        }
        drop_policy(core, id);
    }
    core.traps.asked.retain(|_, (c, asked)| c.name != conn.name || asked.name != child.name);
    core.traps.next = core.traps.next.wrapping_add(1);
    let id = core.shard.unique(core.traps.next);
    if let Some(c) = command {
        core.commands.add(c, Want::Policy(id));
    }
    if must_ask(conn, child) {
        let ask = Ask::Resolve { names: conn.remote_addrs.clone(), local: conn.local_addrs.clone() };
        core.traps.asked.insert(id, (Arc::clone(conn), Arc::clone(child)));
        core.ask(Waiter::Policy(id), ask);
    } else {
        put(core, id, conn, child, None);
    }
}

/// Has the policy installed. `path`: addresses of both ends, where they had to be found out.
fn put(core: &mut Core, id: u32, conn: &Arc<Connection>, child: &Arc<Child>, path: Option<(IpAddr, IpAddr)>) {
    let (found_local, found_remote) = path.unzip();
    let local = first_ip(&conn.local_addrs).or(found_local);
    let remote = first_ip(&conn.remote_addrs).or(found_remote);
    let ends =
        |ip: Option<IpAddr>, list: &[PeerAddr]| ip.map_or_else(|| list.to_vec(), |ip| vec![PeerAddr::Ip(ip)]);
    let (locals, remotes) = (ends(local, &conn.local_addrs), ends(remote, &conn.remote_addrs));
    let v6 = family(&remotes);
    let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
    let local_ts = crate::narrow::resolve(&child.local_ts, &host(&locals, &conn.vips, v6));
    let remote_ts = crate::narrow::resolve(&child.remote_ts, &host(&remotes, &[], v6));
    // A number of its own that no CHILD_SA draws by; without one, none is used up.
    let draws = child::draws_unique(child) || child::inherits_unique(conn);
    let unique = if draws { core.child_id() } else { 0 };
    let marks = match child::marks(core, child, inherited(conn, child, unique), unique) {
        Ok(marks) => marks,
        Err(why) => {
            note!(core, Cfg 1, "installing '{}' of connection '{}' failed: {why}", child.name, conn.name);
            return core.policy_done(id, Some(why));
        }
    };
    core.marks.take(child, [marks.mark_in, marks.mark_out]);
    let reqid = if shunt {
        0
    } else {
        let key = ReqKey {
            connection: &conn.name,
            child: &child.name,
            local_ts: &local_ts,
            remote_ts: &remote_ts,
            unique,
        };
        if child.reqid == 0 {
            core.reqids.allocate(&key)
        } else {
            core.reqids.take(child.reqid, &key);
            child.reqid
        }
    };
    let policy = PolicyOnly {
        id,
        connection: conn.name.clone(),
        config: Arc::clone(child),
        local_ts,
        remote_ts,
        reqid,
        local,
        remote,
        mark_in: marks.mark_in,
        mark_out: marks.mark_out,
        if_id_in: marks.if_id_in,
        if_id_out: marks.if_id_out,
        interface: interface(conn, child),
    };
    note!(core, Cfg 1, "installing '{}' of connection '{}'", child.name, conn.name);
    core.traps.list.insert(id, Arc::new(policy.clone()));
    core.ask(Waiter::Policy(id), Ask::InstallPolicy(Box::new(policy)));
}

/// Removes the policy of a child. Whether there was one.
pub(crate) fn uninstall(
    core: &mut Core,
    connection: Option<&str>,
    child: &str,
    command: Option<CommandId>,
) -> bool {
    let waits = |(conn, config): &(Arc<Connection>, Arc<Child>)| {
        connection.is_none_or(|c| c == conn.name) && config.name == child
    };
    if let Some(id) = core.traps.asked.iter().find(|(_, asked)| waits(asked)).map(|(id, _)| *id) {
        core.traps.asked.remove(&id);
        core.policy_done(id, Some("uninstalled before it was there".to_owned()));
        if let Some(c) = command {
            core.done(c, 1, 1, None);
        }
        return true;
    }
    let found = core
        .traps
        .list
        .values()
        .find(|p| connection.is_none_or(|c| c == p.connection) && p.config.name == child)
        .map(|p| p.id);
    let Some(id) = found else { return false };
    if let Some(c) = command {
        core.commands.add(c, Want::Policy(id));
    }
    drop_policy(core, id);
    true
}

fn drop_policy(core: &mut Core, id: u32) {
    let Some(p) = core.traps.list.remove(&id) else { return };
    note!(core, Cfg 1, "uninstalling '{}' of connection '{}'", p.config.name, p.connection);
    if p.reqid != 0 {
        core.reqids.release(p.reqid);
    }
    core.marks.release(&p.config, [p.mark_in, p.mark_out]);
    core.ask(Waiter::Policy(id), Ask::RemovePolicy { id });
}

/// Removes all.
pub(crate) fn remove_all(core: &mut Core) {
    core.traps.asked.clear();
    let ids: Vec<u32> = core.traps.list.keys().copied().collect();
    for id in ids {
        drop_policy(core, id);
    }
}

/// The data plane answered.
pub(crate) fn answered(core: &mut Core, id: u32, a: &Answer) {
    if let Some((conn, child)) = core.traps.asked.remove(&id) {
        let path = if let Answer::Resolved(pairs) = a { pairs.first().copied() } else { None };
        if path.is_none() {
            note!(core, Cfg 1, "no way to the peer of '{}' yet, its trap is installed without addresses", child.name);
        }
        return put(core, id, &conn, &child, path);
    }
    if matches!(a, Answer::Resolved(_)) {
        return; // nobody wants to know any more
    }
    if let Answer::Failed(why) = a {
        if let Some(p) = core.traps.list.remove(&id) {
            note!(core, Knl 1, "unable to install policy of '{}': {why}", p.config.name);
            core.tell(crate::io::Event::Alert {
                kind: "install-child-policy-failed",
                sa: None,
                detail: Vec::new(),
            });
            if p.reqid != 0 {
                core.reqids.release(p.reqid);
            }
            core.marks.release(&p.config, [p.mark_in, p.mark_out]);
        }
        return core.policy_done(id, Some(why.clone()));
    }
    core.policy_done(id, None);
}

impl Engine {
    pub(crate) fn install(&mut self, id: CommandId, ike: Option<&str>, child: &str) {
        match self.find(ike, Some(child)) {
            Ok((conn, Some(c))) => install(&mut self.core, &conn, &c, Some(id)),
            Ok((_, None)) => self.core.done(id, 0, 0, Some(format!("CHILD_SA config '{child}' not found"))),
            Err(why) => self.core.done(id, 0, 0, Some(why)),
        }
    }

    pub(crate) fn uninstall(&mut self, id: CommandId, ike: Option<&str>, child: &str) {
        if !uninstall(&mut self.core, ike, child, Some(id)) {
            self.core.done(id, 0, 0, Some(format!("policy '{child}' not found")));
        }
    }

    /// A packet hit a trap.
    pub(crate) fn acquire(&mut self, trap: u32, packet: Option<(Selector, Selector)>) {
        let Some(p) = self.core.traps.list.get(&trap).cloned() else { return };
        let Some(conn) = self.core.snapshot.connections.iter().find(|c| c.name == p.connection).cloned()
        else {
            return;
        };
        if matches!(p.config.mode, Mode::Pass | Mode::Drop) {
            return;
        }
        // A trap for any peer: the packet says which.
        let named = crate::control::names_peer(&conn);
        let peer = packet.and_then(|(_, r)| r.host_address()).filter(|_| !named);
        if !named && peer.is_none() {
            return;
        }
        // One at a time: many packets hit a trap before its child is up.
        let table = &self.core.table;
        let pending = match peer {
            Some(ip) => table.at(ip).any(|sa| sa.conn.name == conn.name && sa.brings_up(&p.config.name)),
            None => table.named(&conn.name).any(|sa| sa.brings_up(&p.config.name)),
        };
        if pending {
            return;
        }
        let what = packet.map_or_else(|| "trap".to_owned(), |(l, r)| format!("policy {l} === {r}"));
        note!(self.core, Knl 1, "creating acquire job for {what} with reqid {{{}}} of '{}'", p.reqid, p.config.name);
        let children =
            vec![StartChild { config: Arc::clone(&p.config), keeps: Some(Keeps::of_trap(&p)), packet }];
        let path = peer.map(|ip| {
            let any: IpAddr =
                if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            (any, SocketAddr::new(ip, conn.remote_port))
        });
        self.initiate(Start {
            conn,
            children,
            fresh: false,
            replaces: None,
            path,
            command: None,
            vips: Vec::new(),
        });
    }
}
