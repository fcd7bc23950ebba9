//! Deadlines of an IKE_SA: when it must be woken, and what is due then.
use super::window::wait_ms;
use super::{Job, close, enqueue, init, send};
use crate::child::{self, ChildState, Farewell};
use crate::core::{Core, Later, StartChild};
use crate::io::{Datagram, Event, Output};
use crate::sa::{IkeSa, Phase, Standing};
use crate::when::When;
use thin_vec::ThinVec;

/// The earliest deadline, monotonic ms.
pub(crate) fn next(core: &Core, sa: &IkeSa) -> Option<u64> {
    let mut first = u64::MAX;
    let mut at = |t: Option<u64>| first = t.map_or(first, |t| t.min(first));
    at(sa.window.flight.as_ref().filter(|_| !sa.path_lost).map(|f| f.at));
    if matches!(sa.phase, Phase::Answered(_) | Phase::Vetting(_) | Phase::Resolving) {
        at(sa.half_open_until.get());
    }
    at(late_at(sa));
    at(crate::nat::keepalive_at(core, sa));
    at(dpd_at(sa));
    if let Some(e) = sa.established() {
        if matches!(e.standing, Standing::Up) {
            at(e.rekey_at.get());
            at(e.reauth_at.get());
        }
        if matches!(e.standing, Standing::Up | Standing::Rekeying) {
            at(e.expire_at.get());
        }
        if e.standing != Standing::Deleting {
            at(e.close_at.get());
            sa.retries.iter().for_each(|(retry, _)| at(Some(*retry)));
        }
        at(e.followup.as_ref().map(|f| f.until));
        for c in sa.children.values() {
            if c.state == ChildState::Installed {
                at(c.rekey_at.get());
                at(c.retry_at.get());
                at(inactive_at(c));
            }
            if !matches!(c.state, ChildState::Removing | ChildState::Deleting) {
                at(c.expires_at.get());
            }
            if c.state == ChildState::Rekeyed {
                at(c.remove_at.get());
            }
        }
    }
    (first != u64::MAX).then_some(first)
}

fn inactive_at(c: &child::ChildLife) -> Option<u64> {
    let s = c.sa.config.inactivity;
    (s > 0).then(|| c.last_used.saturating_add(s.saturating_mul(1000)))
}

/// When to see whether the peer lives: nothing heard for `dpd_delay`, and nothing of ours on its way.
fn dpd_at(sa: &IkeSa) -> Option<u64> {
    let e = sa.established()?;
    let idle = e.standing == Standing::Up && e.active.is_none() && e.passive.is_none() && sa.queue.is_empty();
    if sa.conn.dpd_delay == 0 || !idle || sa.window.flight.is_some() || sa.path_lost {
        return None;
    }
    Some(sa.last_in.saturating_add(sa.conn.dpd_delay.saturating_mul(1000)))
}

/// When an initiator no longer waits for an answer about credentials.
fn late_at(sa: &IkeSa) -> Option<u64> {
    match &sa.phase {
        Phase::Claiming(c) if c.asks() => Some(c.until),
        _ => None,
    }
}

/// Does what is due.
pub(crate) fn wake(core: &mut Core, sa: &mut IkeSa) {
    let now = core.now.mono;
    let due = |at: Option<u64>| at.is_some_and(|a| a <= now);
    if due(sa.window.flight.as_ref().filter(|_| !sa.path_lost).map(|f| f.at)) {
        retransmit(core, sa);
    }
    if due(late_at(sa)) {
        return super::auth::late(core, sa);
    }
    if matches!(sa.phase, Phase::Answered(_) | Phase::Vetting(_)) && due(sa.half_open_until.get()) {
        say!(core, sa, Job 1, "deleting half open IKE_SA with {} after timeout", sa.remote.ip());
        core.tell(Event::Alert {
            kind: "half-open-timeout",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        return close::leave(core, sa);
    }
    if matches!(sa.phase, Phase::Resolving) && due(sa.half_open_until.get()) {
        sa.half_open_until = When::NEVER;
        return init::begin(core, sa);
    }
    if due(crate::nat::keepalive_at(core, sa)) {
        say!(core, sa, Ike 1, "sending keep alive to {}", send::host(sa.remote));
        core.push(Output::Send(Datagram {
            local: sa.local,
            remote: sa.remote,
            bytes: vec![0xff],
            dscp: sa.conn.dscp,
        }));
        sa.last_out = now;
    }
    if due(dpd_at(sa)) {
        enqueue(core, sa, Job::Liveness);
    }
    established(core, sa, now);
    children(core, sa, now);
}

fn established(core: &mut Core, sa: &mut IkeSa, now: u64) {
    let due = |at: Option<u64>| at.is_some_and(|a| a <= now);
    let Some(e) = sa.established_mut() else { return };
    let up = matches!(e.standing, Standing::Up);
    let alive = matches!(e.standing, Standing::Up | Standing::Rekeying);
    let (rekey, reauth) = (up && due(e.rekey_at.get()), up && due(e.reauth_at.get()));
    let (expire, closing) =
        (alive && due(e.expire_at.get()), e.standing != Standing::Deleting && due(e.close_at.get()));
    if rekey {
        e.rekey_at = When::NEVER;
    }
    if reauth {
        e.reauth_at = When::NEVER;
    }
    if expire {
        e.expire_at = When::NEVER;
    }
    if closing {
        e.close_at = When::NEVER;
    }
    if e.followup.as_ref().is_some_and(|f| f.until <= now) {
        super::followup::forget(core, sa);
    }
    if expire {
        say!(core, sa, Ike 1, "IKE_SA {} reached its maximum lifetime", sa.title());
        core.tell(Event::Alert {
            kind: "ike-sa-expired",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        close::close(core, sa);
    } else if closing {
        close::close(core, sa);
    } else if reauth {
        core.later.push_back(Later::Reauthenticate(sa.id));
    } else if rekey {
        enqueue(core, sa, Job::IkeRekey);
    }
    let (ready, rest): (ThinVec<_>, ThinVec<_>) =
        std::mem::take(&mut sa.retries).into_iter().partition(|(at, _)| *at <= now);
    sa.retries = rest;
    for (_, job) in ready {
        enqueue(core, sa, job);
    }
}

fn children(core: &mut Core, sa: &mut IkeSa, now: u64) {
    if sa.established().is_none() {
        return;
    }
    let due = |at: Option<u64>| at.is_some_and(|a| a <= now);
    let ids: Vec<u32> = sa.children.keys().copied().collect();
    for id in ids {
        let Some(c) = sa.children.get_mut(&id) else { continue };
        let installed = c.state == ChildState::Installed;
        let expired =
            due(c.expires_at.get()) && !matches!(c.state, ChildState::Removing | ChildState::Deleting);
        if expired {
            c.expires_at = When::NEVER;
            expire(core, sa, id, true);
        } else if installed && (due(c.rekey_at.get()) || due(c.retry_at.get())) {
            c.rekey_at = When::NEVER;
            c.retry_at = When::NEVER;
            enqueue(core, sa, Job::ChildRekey(id));
        } else if installed && due(inactive_at(c)) {
            // Not asked again while the delete is queued.
            c.last_used = now;
            let secs = c.sa.config.inactivity;
            say!(core, sa, Job 1, "deleting CHILD_SA after {secs} seconds of inactivity");
            sa.idle_close = true;
            enqueue(core, sa, Job::ChildDelete(id));
        } else if c.state == ChildState::Rekeyed && due(c.remove_at.get()) {
            child::remove(core, sa, id, Farewell::Rekeyed);
        }
    }
}

/// A limit of a CHILD_SA was reached.
pub(crate) fn expire(core: &mut Core, sa: &mut IkeSa, child: u32, hard: bool) {
    let Some(c) = sa.children.get(&child) else { return };
    let live = c.is_live();
    if !hard {
        if c.state == ChildState::Installed {
            enqueue(core, sa, Job::ChildRekey(child));
        }
        return;
    }
    let (title, rekeyed) = (c.title(), c.state == ChildState::Rekeyed);
    if rekeyed {
        // The peer was to delete it and did not.
        child::remove(core, sa, child, Farewell::Rekeyed);
    } else if live {
        say!(core, sa, Job 1, "CHILD_SA {title} reached its hard lifetime, deleting it");
        enqueue(core, sa, Job::ChildDelete(child));
    }
}

/// Sends the request again, or gives up.
fn retransmit(core: &mut Core, sa: &mut IkeSa) {
    let settings = core.settings();
    let random = core.rng.u64();
    let Some(f) = sa.window.flight.as_mut() else { return };
    if f.tries >= settings.retransmit_tries {
        let tries = f.tries;
        say!(core, sa, Ike 1, "giving up after {tries} retransmits");
        core.tell(Event::Alert {
            kind: "retransmit-send-timeout",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        return timed_out(core, sa);
    }
    f.tries = f.tries.saturating_add(1);
    f.at = core.now.mono.saturating_add(wait_ms(&settings, f.tries, random));
    let (tries, id) = (f.tries, f.id);
    let datagrams: Vec<Vec<u8>> = f.datagrams.iter().map(<[u8]>::to_vec).collect();
    say!(core, sa, Ike 1, "retransmit {tries} of request with message ID {id}");
    core.tell(Event::Alert {
        kind: "retransmit-send",
        sa: Some(Box::new(crate::view::bare(sa))),
        detail: Vec::new(),
    });
    send::transmit(core, sa, datagrams, None);
}

fn timed_out(core: &mut Core, sa: &mut IkeSa) {
    match &sa.phase {
        Phase::InitSent(_) | Phase::IntermediateSent(_) | Phase::Claiming(_) => try_again(core, sa),
        Phase::Established(e) if matches!(e.standing, Standing::Up | Standing::Rekeying) => {
            close::give_up(core, sa)
        }
        Phase::Established(_) => {
            say!(core, sa, Ike 0, "unable to reach the peer, IKE_SA {} is deleted", sa.title());
            close::leave(core, sa);
        }
        Phase::Resolving
        | Phase::Answered(_)
        | Phase::Vetting(_)
        | Phase::Leasing(_)
        | Phase::Leaving(_)
        | Phase::Gone => {}
    }
}

/// The initiator's next attempt: another address of the peer, then `keyingtries`.
fn try_again(core: &mut Core, sa: &mut IkeSa) {
    if let Phase::Claiming(c) = &sa.phase {
        c.abandon(core);
    }
    if let Phase::Claiming(c) = &sa.phase
        && let Some(o) = &c.offer
    {
        sa.wanted
            .insert(0, StartChild { config: std::sync::Arc::clone(&o.config), keeps: o.keeps, packet: None });
    }
    core.tell(Event::Alert {
        kind: "peer-init-unreachable",
        sa: Some(Box::new(crate::view::bare(sa))),
        detail: Vec::new(),
    });
    sa.window.flight = None;
    if let Some(few) = sa.few_if_any() {
        (few.reassembly_in, few.reassembly_out) = (None, None);
    }
    // A late answer to the attempt before must not be taken for one to the next.
    sa.spi_i = core.shard.ike_spi(&mut core.rng);
    if !sa.few().candidates.is_empty() {
        let pairs = std::mem::take(&mut sa.few_mut().candidates);
        sa.phase = Phase::Resolving;
        return init::resolved(core, sa, pairs.into_iter().collect(), None);
    }
    let limit = sa.conn.keyingtries;
    let attempts = sa.few().attempts.saturating_add(1);
    sa.few_mut().attempts = attempts;
    if limit == 0 || attempts < limit {
        let of = if limit == 0 { String::from("%forever") } else { limit.to_string() };
        say!(core, sa, Ike 1, "peer not responding, trying again ({}/{of})", attempts.saturating_add(1));
        sa.phase = Phase::Resolving;
        return init::begin(core, sa);
    }
    say!(core, sa, Ike 1, "establishing IKE_SA failed, peer not responding");
    close::leave(core, sa);
}
