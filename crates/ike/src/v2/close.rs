//! How an IKE_SA ends: everything the world did for it is given back, then observers hear.
use super::{Job, enqueue, take_phase};
use crate::child::{Farewell, remove};
use crate::core::{Core, Later, Start, StartChild, Waiter};
use crate::io::{Ask, Event, IkeView};
use crate::sa::{Established, IkeSa, Phase, Standing, Wait};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// What is still known while an IKE_SA is dismantled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Leaving {
    /// As it was in service.
    pub(crate) was: Option<Box<Established>>,
    /// Addresses are on their way back.
    pub(crate) returned: bool,
}

/// Forgets the IKE_SA; the peer knows, or cannot be told.
pub(crate) fn leave(core: &mut Core, sa: &mut IkeSa) {
    if matches!(sa.phase, Phase::Leaving(_) | Phase::Gone) {
        return;
    }
    let was = match take_phase(sa) {
        Phase::Established(mut e) => {
            super::followup::forget_of(core, &mut e);
            for offered in e.active.take().iter().filter_map(super::Exchange::offered) {
                core.spis.remove(&offered.spi);
            }
            Some(e)
        }
        Phase::Claiming(claim) => {
            claim.abandon(core);
            None
        }
        Phase::Vetting(vetting) => {
            vetting.abandon(core);
            None
        }
        _ => None,
    };
    // What is still being thought about credentials concerns nobody any more.
    sa.waiting.retain(|_, w| !matches!(w, Wait::Sign | Wait::Judge | Wait::Eap));
    sa.window.flight = None;
    sa.queue.clear();
    sa.retries.clear();
    let restart = sa.few_if_any().map(|few| std::mem::take(&mut few.restart)).unwrap_or_default();
    if !restart.is_empty() {
        restart_with(core, sa, restart.into_iter().collect());
    }
    sa.phase = Phase::Leaving(Box::new(Leaving { was, returned: false }));
    let ids: Vec<u32> = sa.children.keys().copied().collect();
    for id in ids {
        let live = sa.children.get(&id).is_some_and(crate::child::ChildLife::is_live);
        if live && let Some(c) = sa.children.get(&id) {
            let (title, line) = (c.title(), c.spis_usage_ts());
            say!(core, sa, Chd 1, "closing CHILD_SA {title} with {line}");
        }
        let announced = sa.children.get(&id).is_some_and(|c| c.announced);
        remove(core, sa, id, if announced { Farewell::Closed } else { Farewell::Failed });
    }
    // Leases go back at once: a successor may be asking for them already.
    if !sa.remote_vips.is_empty() && sa.remote_id.is_some() {
        let identity = sa.peer_identity();
        let pools = sa.conn.pools.clone();
        let addresses: Vec<IpAddr> = sa.remote_vips.iter().map(|vip| vip.address()).collect();
        let ask =
            Ask::Release { pools: pools.clone(), identity: identity.clone(), addresses: addresses.clone() };
        let ticket = core.ask(Waiter::Ike(sa.id), ask);
        sa.waiting.insert(ticket, Wait::Release { pools, identity, addresses });
    }
    settle(core, sa);
}

/// Goes on with dismantling when a question was answered.
pub(crate) fn settle(core: &mut Core, sa: &mut IkeSa) {
    let Phase::Leaving(l) = &mut sa.phase else { return };
    if !sa.children.is_empty() {
        return;
    }
    if !l.returned {
        l.returned = true;
        if let Some(ike_id) = sa.few_if_any().and_then(|few| few.vips_for.take()) {
            vips_down(core, sa, ike_id);
        }
    }
    if !sa.waiting.is_empty() {
        return;
    }
    if sa.announced {
        let view = IkeView { state: "DELETING", ..crate::view::ike(sa) };
        core.tell(Event::IkeUpDown { up: false, sa: Box::new(view) });
    }
    sa.phase = Phase::Gone;
}

fn vips_down(core: &mut Core, sa: &mut IkeSa, ike_id: u32) {
    let ask = Ask::VirtualIps {
        ike_id,
        connection: Arc::clone(&sa.conn),
        local: sa.local.ip(),
        remote: sa.remote.ip(),
        addresses: sa.local_vips.iter().map(|vip| vip.host()).collect(),
        attributes: crate::vip::unplain(&sa.attributes),
        up: false,
    };
    let ticket = core.ask(Waiter::Ike(sa.id), ask);
    sa.waiting.insert(ticket, Wait::Vips { up: false, ike_id, attributes: sa.attributes.to_vec() });
}

/// Closes the IKE_SA properly: a DELETE if it is established, else it is just forgotten.
pub(crate) fn close(core: &mut Core, sa: &mut IkeSa) {
    match &sa.phase {
        Phase::Established(e) if e.standing == Standing::Deleting => {}
        Phase::Established(_) => enqueue(core, sa, Job::IkeDelete),
        Phase::Resolving
        | Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::IntermediateSent(_)
        | Phase::Claiming(_)
        | Phase::Vetting(_)
        | Phase::Leasing(_) => {
            if !super::auth::farewell(core, sa) {
                say!(core, sa, Ike 1, "destroying IKE_SA in state CONNECTING without notification");
            }
            leave(core, sa);
        }
        Phase::Leaving(_) | Phase::Gone => {}
    }
}

/// The peer is dead or out of its mind: what `dpd_action` says, then forget.
pub(crate) fn give_up(core: &mut Core, sa: &mut IkeSa) {
    let restart: Vec<StartChild> = follow_up(core, sa, |c| c.dpd_action);
    if !restart.is_empty() {
        say!(core, sa, Ike 1, "restarting CHILD_SAs of IKE_SA {}", sa.title());
        restart_with(core, sa, restart);
    }
    leave(core, sa);
}

/// The peer closed: what `close_action` says.
pub(crate) fn closed_by_peer(core: &mut Core, sa: &mut IkeSa) {
    let restart = follow_up(core, sa, |c| c.close_action);
    if !restart.is_empty() {
        restart_with(core, sa, restart);
    }
}

/// Starts the connection again with these children.
pub(crate) fn restart_with(core: &mut Core, sa: &IkeSa, children: Vec<StartChild>) {
    core.later.push_back(Later::Initiate(Start {
        conn: Arc::clone(&sa.conn),
        children,
        fresh: true,
        replaces: None,
        path: Some((sa.local.ip(), sa.remote)),
        command: None,
        vips: sa.local_vips.to_vec(),
    }));
}

/// Applies an action to every live child: traps are set at once, children to start are returned.
fn follow_up(
    core: &mut Core,
    sa: &IkeSa,
    action: impl Fn(&policy::Child) -> policy::Action,
) -> Vec<StartChild> {
    let mut restart = Vec::new();
    for c in sa.children.values().filter(|c| c.is_live()) {
        let a = action(&c.sa.config);
        if a.trap {
            core.later.push_back(Later::Trap(Arc::clone(&sa.conn), Arc::clone(&c.sa.config)));
        }
        if a.start {
            restart.push(StartChild {
                config: Arc::clone(&c.sa.config),
                keeps: Some(crate::child::Keeps::of(&c.sa)),
                packet: None,
            });
        }
    }
    restart
}

/// Children that came from a successor which is no more: they go too.
pub(crate) fn abandon_children(core: &mut Core, sa: &mut IkeSa) {
    let ids: Vec<u32> = sa.children.keys().copied().collect();
    for id in ids {
        remove(core, sa, id, Farewell::Closed);
    }
    settle(core, sa);
}
