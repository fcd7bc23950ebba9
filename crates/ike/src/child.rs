//! A CHILD_SA and its life; SPIs, reqids and marks that belong to it.
use crate::core::Core;
use crate::io::{Ask, ChildView, Event};
use crate::sa::{IkeSa, Wait};
use crate::when::When;
use policy::sa::{PolicyOnly, Usage};
use policy::{Child, ChildSa, MarkValue, Selector};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thin_vec::ThinVec;
use wire::iana::Ke;

/// Where a CHILD_SA stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChildState {
    /// Negotiated; waits for our virtual IPs.
    Created,
    /// The data plane is installing it.
    Installing,
    /// In service.
    Installed,
    /// We are rekeying it.
    Rekeying,
    /// Replaced; waits to be deleted.
    Rekeyed,
    /// Our delete is on its way.
    Deleting,
    /// Deleted by both; the data plane is removing it.
    Removing,
}

/// Why a CHILD_SA goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Farewell {
    /// Replaced by a rekeying: observers were told already.
    Rekeyed,
    /// Closed.
    Closed,
    /// Never came into service.
    Failed,
}

/// A CHILD_SA with what only the engine needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildLife {
    pub(crate) sa: Arc<ChildSa>,
    pub(crate) state: ChildState,
    pub(crate) ke: Ke,
    pub(crate) add_ke: ThinVec<Ke>,
    pub(crate) installed: u64,
    pub(crate) rekey_at: When,
    pub(crate) expires_at: When,
    pub(crate) usage_in: Usage,
    pub(crate) usage_out: Usage,
    /// Last time traffic was seen (inactivity).
    pub(crate) last_used: u64,
    /// Successor after a rekeying.
    pub(crate) successor: Option<u32>,
    /// A rekeyed CHILD_SA is removed then (`delete_rekeyed_delay`).
    pub(crate) remove_at: When,
    /// Retry a failed rekeying then.
    pub(crate) retry_at: When,
    /// Told observers that it is up.
    pub(crate) announced: bool,
    /// How it goes, once it goes.
    pub(crate) farewell: Farewell,
    /// The lower nonce of the rekeying that made it, if one did (collisions).
    pub(crate) lowest_nonce: ThinVec<u8>,
    /// The data plane knows it.
    pub(crate) in_plane: bool,
}

impl ChildLife {
    /// `net{1}`.
    pub(crate) fn title(&self) -> String {
        format!("{}{{{}}}", self.sa.config.name, self.sa.id)
    }

    /// In service, in the eyes of an operator.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, ChildState::Installed | ChildState::Rekeying)
    }

    /// `c1234567_i c7654321_o and TS … === …`.
    pub(crate) fn spis_and_ts(&self) -> String {
        format!(
            "SPIs {:08x}_i {:08x}_o and TS {} === {}",
            self.sa.spi_in,
            self.sa.spi_out,
            ts_list(&self.sa.local_ts),
            ts_list(&self.sa.remote_ts)
        )
    }

    /// The same with counters, as in `closing CHILD_SA`.
    pub(crate) fn spis_usage_ts(&self) -> String {
        format!(
            "SPIs {:08x}_i ({} bytes) {:08x}_o ({} bytes) and TS {} === {}",
            self.sa.spi_in,
            self.usage_in.bytes,
            self.sa.spi_out,
            self.usage_out.bytes,
            ts_list(&self.sa.local_ts),
            ts_list(&self.sa.remote_ts)
        )
    }
}

/// Selectors separated by spaces.
pub(crate) fn ts_list(ts: &[Selector]) -> String {
    let all: Vec<String> = ts.iter().map(ToString::to_string).collect();
    all.join(" ")
}

/// Asks the data plane to install a child.
pub(crate) fn install(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let Some(c) = sa.children.get_mut(&child) else { return };
    c.state = ChildState::Installing;
    c.in_plane = true;
    let order = Arc::clone(&c.sa);
    let ticket = core.ask(crate::core::Waiter::Ike(sa.id), Ask::InstallChild(order));
    sa.waiting.insert(ticket, Wait::Install(child));
}

/// Asks the data plane to use the outbound half, if it does not yet.
pub(crate) fn activate(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let Some(c) = sa.children.get_mut(&child) else { return };
    if !c.sa.inbound_only || !c.is_live() {
        return;
    }
    Arc::make_mut(&mut c.sa).inbound_only = false;
    let (title, line) = (c.title(), c.spis_and_ts());
    say!(core, sa, Ike 0, "outbound CHILD_SA {title} established with {line}");
    let ticket = core.ask(crate::core::Waiter::Ike(sa.id), Ask::ActivateOutbound { child });
    sa.waiting.insert(ticket, Wait::Activate(child));
}

/// Asks the data plane to remove a child; `farewell` says what observers will hear when it is done.
pub(crate) fn remove(core: &mut Core, sa: &mut IkeSa, child: u32, farewell: Farewell) {
    let Some(c) = sa.children.get_mut(&child) else { return };
    if c.state == ChildState::Removing {
        return;
    }
    let never_installed = !c.in_plane;
    c.state = ChildState::Removing;
    c.farewell = if c.farewell == Farewell::Rekeyed { Farewell::Rekeyed } else { farewell };
    c.rekey_at = When::NEVER;
    c.expires_at = When::NEVER;
    c.remove_at = When::NEVER;
    c.retry_at = When::NEVER;
    if never_installed {
        finished(core, sa, child, Usage::default(), Usage::default());
        return;
    }
    // Another generation of the same reqid keeps the policies.
    let keep = c.successor.is_some() && c.farewell == Farewell::Rekeyed;
    let ticket = core.ask(crate::core::Waiter::Ike(sa.id), Ask::RemoveChild { child, keep_policies: keep });
    sa.waiting.insert(ticket, Wait::Remove { child, keep });
}

/// The data plane has removed it (or never had it).
pub(crate) fn finished(core: &mut Core, sa: &mut IkeSa, child: u32, usage_in: Usage, usage_out: Usage) {
    let Some(mut c) = sa.children.remove(&child) else { return };
    core.spis.remove(&c.sa.spi_in);
    core.reqids.release(c.sa.reqid);
    core.marks.release(&c.sa.config, [c.sa.mark_in, c.sa.mark_out]);
    if usage_in.packets >= c.usage_in.packets {
        c.usage_in = usage_in;
    }
    if usage_out.packets >= c.usage_out.packets {
        c.usage_out = usage_out;
    }
    if c.announced && c.farewell == Farewell::Closed {
        let view = crate::view::ike_with(sa, &c);
        // Listeners know this state from charon, and take what is DESTROYING for one that never was.
        let gone = Box::new(ChildView { state: "DELETED", ..crate::view::child(&c) });
        core.tell(Event::ChildUpDown { up: false, sa: Box::new(view), child: gone });
    } else if c.announced {
        core.tell(Event::ChildRetired { ike_id: sa.id, child: Box::new(crate::view::child(&c)) });
    }
    if !c.announced && c.sa.initiator && c.sa.replaces.is_none() {
        // The peer deleted it before it was in service: nobody else tells who waits for it.
        core.child_failed(sa.id, &c.sa.config.name);
    }
    core.child_gone(child);
}

/// A CHILD_SA is in service: times start, observers hear.
pub(crate) fn in_service(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let now = core.now.mono;
    let random = core.rng.u64();
    let Some(c) = sa.children.get_mut(&child) else { return };
    c.state = ChildState::Installed;
    c.installed = now;
    c.last_used = now;
    let times = crate::lifetime::child(&c.sa.config.lifetime, now, random);
    c.rekey_at = times.rekey_at.into();
    c.expires_at = times.expires_at.into();
    c.announced = true;
    let (title, line, replaces, protocol) = (c.title(), c.spis_and_ts(), c.sa.replaces, c.sa.protocol);
    let outbound = if c.sa.inbound_only { "inbound " } else { "" };
    let _ = protocol;
    say!(core, sa, Ike 0, "{outbound}CHILD_SA {title} established with {line}");
    let old = replaces.and_then(|o| sa.children.get(&o)).map(crate::view::child);
    let Some(c) = sa.children.get(&child) else { return };
    let view = Box::new(crate::view::ike_with(sa, c));
    let new = Box::new(crate::view::child(c));
    if let Some(old) = old {
        let old = ChildView { state: "REKEYED", ..old };
        core.count("child-rekey", Some(&sa.conn.name));
        core.tell(Event::ChildRekey { sa: view, old: Box::new(old), new });
    } else {
        core.tell(Event::ChildUpDown { up: true, sa: view, child: new });
    }
    core.child_up(sa, child);
}

/// Resolved marks and interface ids of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) mark_in: (u32, u32),
    pub(crate) mark_out: (u32, u32),
    pub(crate) if_id_in: u32,
    pub(crate) if_id_out: u32,
}

/// What a CHILD_SA has from its predecessor or from the trap that asked for it, so that whatever leads packets by it
/// stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeps {
    pub(crate) reqid: u32,
    pub(crate) marks: Marks,
}

impl Keeps {
    /// What its successor keeps.
    pub(crate) fn of(sa: &ChildSa) -> Self {
        let (mark_in, mark_out) = (sa.mark_in, sa.mark_out);
        let (if_id_in, if_id_out) = (sa.if_id_in, sa.if_id_out);
        Self { reqid: sa.reqid, marks: Marks { mark_in, mark_out, if_id_in, if_id_out } }
    }

    /// What the CHILD_SA of a trap keeps.
    pub(crate) fn of_trap(trap: &PolicyOnly) -> Self {
        let (mark_in, mark_out) = (trap.mark_in, trap.mark_out);
        let (if_id_in, if_id_out) = (trap.if_id_in, trap.if_id_out);
        Self { reqid: trap.reqid, marks: Marks { mark_in, mark_out, if_id_in, if_id_out } }
    }
}

/// Resolves `%unique` and `%unique-dir`. `inherited`: interface ids of the IKE_SA or the connection; `id`: a number
/// nobody else draws by.
pub(crate) fn marks(
    core: &mut Core,
    config: &Child,
    inherited: (u32, u32),
    id: u32,
) -> Result<Marks, String> {
    let mark_in = mark(core, config, config.mark_in)?;
    let mark_out = match (config.mark_in, config.mark_out) {
        // One number for both directions.
        (i, o) if o.value == MarkValue::Unique && i == o => mark_in,
        (_, o) => mark(core, config, o)?,
    };
    let (if_id_in, if_id_out) = interface_ids(config, inherited, id);
    Ok(Marks { mark_in, mark_out, if_id_in, if_id_out })
}

/// The interface ids alone.
pub(crate) fn interface_ids(config: &Child, inherited: (u32, u32), id: u32) -> (u32, u32) {
    let (i, o) = numbers(id);
    let value = |v: MarkValue, dir: u32, inherited: u32| match v {
        MarkValue::None => inherited,
        MarkValue::Fixed(n) => n,
        MarkValue::Unique | MarkValue::Same => i,
        MarkValue::UniqueDir => dir,
    };
    (value(config.if_id_in, i, inherited.0), value(config.if_id_out, o, inherited.1))
}

/// One mark and its mask.
fn mark(core: &mut Core, config: &Child, mark: policy::Mark) -> Result<(u32, u32), String> {
    match mark.value {
        MarkValue::None | MarkValue::Same => Ok((0, 0)),
        MarkValue::Fixed(n) => Ok((n, mark.mask)),
        MarkValue::Unique | MarkValue::UniqueDir => {
            let (reserved, shard) = (core.snapshot.settings.passed_mark, core.shard);
            let drawn = core.marks.draw(mark.mask, reserved, shard).map(|number| (number, mark.mask));
            drawn.ok_or_else(|| {
                format!("CHILD_SA {}: no unique mark is left within the mask {:#x}", config.name, mark.mask)
            })
        }
    }
}

/// Whether a child draws numbers of its own, so that its reqid is its own too.
pub(crate) fn draws_unique(config: &Child) -> bool {
    let unique = |v: MarkValue| matches!(v, MarkValue::Unique | MarkValue::UniqueDir);
    unique(config.mark_in.value)
        || unique(config.mark_out.value)
        || unique(config.if_id_in)
        || unique(config.if_id_out)
}

/// Whether a connection draws interface ids that its children inherit.
pub(crate) fn inherits_unique(conn: &policy::Connection) -> bool {
    [conn.if_id_in, conn.if_id_out].iter().any(|id| matches!(id, MarkValue::Unique | MarkValue::UniqueDir))
}

/// The interface that the daemon makes for a child with this interface id, by its own name.
pub(crate) fn own_interface(conn: &policy::Connection, if_id: u32) -> Option<Arc<policy::Interface>> {
    let interface = conn.interface.as_ref()?;
    if !interface.is_unique() {
        return Some(Arc::clone(interface));
    }
    let name = interface.name_for(if_id).into_owned();
    Some(Arc::new(policy::Interface { name, ..policy::Interface::clone(interface) }))
}

/// Numbers that a CHILD_SA or trap draws, in and out: `%unique-dir` keeps the directions apart. Two more, behind them,
/// are those of the IKE_SA with that number.
const fn numbers(id: u32) -> (u32, u32) {
    (id.wrapping_mul(4), id.wrapping_mul(4).wrapping_add(1))
}

/// Resolved interface ids of an IKE_SA, which its children inherit.
pub(crate) fn ike_if_ids(conn: &policy::Connection, id: u32) -> (u32, u32) {
    let (i, o) = numbers(id);
    if_ids(conn, (i.wrapping_add(2), o.wrapping_add(2)))
}

/// Resolved interface ids of a trap, drawn as by a CHILD_SA of that number.
pub(crate) fn trap_if_ids(conn: &policy::Connection, id: u32) -> (u32, u32) {
    if_ids(conn, numbers(id))
}

fn if_ids(conn: &policy::Connection, (i, o): (u32, u32)) -> (u32, u32) {
    let value = |v: MarkValue, dir: u32| match v {
        MarkValue::None => 0,
        MarkValue::Fixed(n) => n,
        MarkValue::Unique | MarkValue::Same => i,
        MarkValue::UniqueDir => dir,
    };
    (value(conn.if_id_in, i), value(conn.if_id_out, o))
}
