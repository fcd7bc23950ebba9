//! Rekeying a CHILD_SA (RFC 7296 1.3.3, 2.8, 2.25.1).
use super::child_create;
use super::child_plan::{self, Offer, Plan};
use super::collision::{Outcome, decide};
use super::followup::{self, Purpose};
use super::keys::Nonces;
use super::{Exchange, Job, enqueue, send};
use crate::child::{self, ChildState, Farewell};
use crate::core::{Core, StartChild};
use crate::fault::Fault;
use crate::message::{error, nonce, notify_name};
use crate::sa::IkeSa;
use crate::when::When;
use crypto::{Secret, ke};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{ExchangeType, NotifyType};
use wire::ike::{Notify, Payload};

/// Initiator: CREATE_CHILD_SA with REKEY_SA is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RekeySent {
    pub(crate) offer: Offer,
    /// The CHILD_SA being replaced.
    old: u32,
    ni: Vec<u8>,
    pending: Option<ke::Pending>,
    retries: u8,
}

// ---------------------------------------------------------------------------------------------- initiator

/// Starts rekeying.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, old: u32) {
    begin(core, sa, old, None, 0);
}

fn begin(core: &mut Core, sa: &mut IkeSa, old: u32, method: Option<wire::iana::Ke>, retries: u8) {
    let Some(c) = sa.children.get(&old).filter(|c| c.state == ChildState::Installed) else { return };
    let (keeps, config) = (child::Keeps::of(&c.sa), Arc::clone(&c.sa.config));
    // The SPI in REKEY_SA is "the one the exchange initiator would expect in inbound packets" (RFC 7296 1.3.3).
    let rekey = Notify {
        protocol: c.sa.protocol,
        spi: c.sa.spi_in.to_be_bytes().to_vec(),
        kind: NotifyType::RekeySa,
        data: Vec::new(),
    };
    let wanted = StartChild { config, keeps: Some(keeps), packet: None };
    let offer = child_plan::offer(core, sa, &wanted, Some(old));
    say!(core, sa, Ike 1, "establishing CHILD_SA {}{{{}}} reqid {}", offer.config.name, offer.id, keeps.reqid);
    match child_create::request(core, sa, &offer, None, method, Some(Payload::Notify(rekey))) {
        Ok((ni, pending)) => {
            if let Some(c) = sa.children.get_mut(&old) {
                c.state = ChildState::Rekeying;
            }
            let sent = RekeySent { offer, old, ni, pending, retries };
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::ChildRekey(Box::new(sent)));
            }
        }
        Err(fault) => {
            core.spis.remove(&offer.spi_in);
            say!(core, sa, Ike 1, "unable to rekey CHILD_SA: {fault}");
            retry_later(core, sa, old);
        }
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, sent: RekeySent, p: &[Payload]) {
    if let Some(k) = child_create::wanted_ke(&sent.offer.config.proposals, p).filter(|_| sent.retries < 2) {
        say!(core, sa, Ike 1, "peer didn't accept key exchange method, it requested {}", crypto::table::ke_name(k));
        core.spis.remove(&sent.offer.spi_in);
        back_to_installed(sa, sent.old);
        return begin(core, sa, sent.old, Some(k), sent.retries.saturating_add(1));
    }
    if let Some(kind) = error(p) {
        say!(core, sa, Ike 1, "received {} notify error", notify_name(kind));
        return refused(core, sa, &sent, kind);
    }
    let result = (|| {
        let nonces = Nonces { ni: sent.ni.clone(), nr: nonce(p)? };
        let shared = child_create::finish_ke(sent.pending.as_ref(), p)?;
        let method = sent.pending.as_ref().map(ke::Pending::method);
        Ok::<_, Fault>((child_plan::plan(core, sa, &sent.offer, p, &nonces, (false, method))?, shared))
    })();
    match result {
        Ok((plan, shared)) => followup::gather(core, sa, Purpose::ChildRekey { plan, sent }, shared, p),
        Err(fault) => {
            let protocol =
                sent.offer.config.proposals.first().map_or(wire::iana::ProtocolId::Esp, |x| x.protocol);
            enqueue(core, sa, Job::SpiDelete(protocol, sent.offer.spi_in));
            failed(core, sa, &sent, &fault);
        }
    }
}

fn back_to_installed(sa: &mut IkeSa, old: u32) {
    if let Some(c) = sa.children.get_mut(&old).filter(|c| c.state == ChildState::Rekeying) {
        c.state = ChildState::Installed;
    }
}

fn retry_later(core: &mut Core, sa: &mut IkeSa, old: u32) {
    let at = core.now.mono.saturating_add(10_000).saturating_add(core.rng.below(10_000));
    if let Some(c) = sa.children.get_mut(&old) {
        c.retry_at = When::at(at);
    }
}

/// An error instead of a CHILD_SA.
fn refused(core: &mut Core, sa: &mut IkeSa, sent: &RekeySent, kind: NotifyType) {
    core.spis.remove(&sent.offer.spi_in);
    let known = sa.children.contains_key(&sent.old);
    if !known {
        return;
    }
    if kind == NotifyType::ChildSaNotFound {
        // RFC 7296 2.25.1: "the CHILD_SA … no longer exists on the other side: silently delete it".
        let replaced = sa.children.get(&sent.old).is_some_and(|c| c.successor.is_some());
        if !replaced {
            let (config, keeps) = match sa.children.get(&sent.old) {
                Some(c) => (Arc::clone(&c.sa.config), child::Keeps::of(&c.sa)),
                None => return,
            };
            say!(core, sa, Ike 1, "peer has no such CHILD_SA, recreating it");
            child::remove(core, sa, sent.old, Farewell::Closed);
            enqueue(core, sa, Job::ChildCreate(StartChild { config, keeps: Some(keeps), packet: None }));
        }
        return;
    }
    back_to_installed(sa, sent.old);
    if sa.children.get(&sent.old).is_some_and(|c| c.successor.is_none()) {
        if kind == NotifyType::TemporaryFailure {
            say!(core, sa, Ike 1, "received TEMPORARY_FAILURE notify, retrying");
        } else {
            say!(core, sa, Ike 1, "CHILD_SA rekeying failed, trying again");
        }
        retry_later(core, sa, sent.old);
    }
}

/// Our side cannot go on.
pub(crate) fn failed(core: &mut Core, sa: &mut IkeSa, sent: &RekeySent, fault: &Fault) {
    core.spis.remove(&sent.offer.spi_in);
    say!(core, sa, Ike 1, "CHILD_SA rekeying failed: {fault}");
    back_to_installed(sa, sent.old);
    retry_later(core, sa, sent.old);
}

/// All key exchanges are done: the successor is built, unless the peer's is better.
pub(crate) fn complete(core: &mut Core, sa: &mut IkeSa, plan: Plan, sent: &RekeySent, shared: &[Secret]) {
    // The peer rekeyed the same CHILD_SA meanwhile, and we answered.
    let theirs = sa
        .children
        .values()
        .find(|c| c.sa.replaces == Some(sent.old) && !c.sa.initiator)
        .map(|c| c.lowest_nonce.clone());
    let Some(keys) = sa.keys().cloned() else { return };
    let lost = theirs.as_ref().is_some_and(|t| decide(plan.lowest_nonce(), t) == Outcome::Lost);
    let gone = !sa.children.contains_key(&sent.old);
    let mut child = match child_plan::build(core, sa, &keys, plan, shared) {
        Ok(c) => c,
        Err(fault) => return failed(core, sa, sent, &fault),
    };
    let id = child.sa.id;
    if lost || gone {
        say!(core, sa, Ike 1, "CHILD_SA rekey collision lost, deleting redundant CHILD_SA {}", child.title());
        child.farewell = Farewell::Failed;
        sa.children.insert(id, child);
        enqueue(core, sa, Job::ChildDelete(id));
        return;
    }
    if theirs.is_some() {
        say!(core, sa, Ike 1, "CHILD_SA rekey collision won, keeping CHILD_SA {}", child.title());
    }
    child_create::place(core, sa, child);
}

/// Our successor is installed: the old one goes.
pub(crate) fn initiator_installed(core: &mut Core, sa: &mut IkeSa, id: u32) {
    let Some(old) = sa.children.get(&id).and_then(|c| c.sa.replaces) else { return };
    if let Some(c) = sa.children.get_mut(&old) {
        c.successor = Some(id);
        c.state = ChildState::Rekeyed;
        c.rekey_at = When::NEVER;
        c.farewell = Farewell::Rekeyed;
        enqueue(core, sa, Job::ChildDelete(old));
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// A request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, rekey: &Notify, p: &[Payload]) {
    let refuse = |core: &mut Core, sa: &mut IkeSa, kind: NotifyType| {
        let mut n = Notify { protocol: rekey.protocol, spi: rekey.spi.clone(), kind, data: Vec::new() };
        if kind != NotifyType::ChildSaNotFound {
            n.protocol = wire::iana::ProtocolId::None;
            n.spi.clear();
        }
        send::respond(core, sa, ExchangeType::CreateChildSa, &[Payload::Notify(n)]);
    };
    let spi = <[u8; 4]>::try_from(rekey.spi.as_slice()).map(u32::from_be_bytes).unwrap_or(0);
    // Their inbound SPI is our outbound one.
    let Some(old) = sa.child_by_spi_out(spi).map(|c| (c.sa.id, c.state, c.title())) else {
        say!(core, sa, Ike 1, "unable to rekey, {} CHILD_SA with SPI {spi:08x} not found", protocol_name(rekey.protocol));
        return refuse(core, sa, NotifyType::ChildSaNotFound);
    };
    let (id, state, title) = old;
    if let Some(kind) = child_create::busy(sa) {
        return refuse(core, sa, kind);
    }
    match state {
        ChildState::Installed | ChildState::Rekeying => {}
        // RFC 7296 2.25.1: "If a peer receives a request to rekey a CHILD_SA that it is currently trying to close,
        // it SHOULD reply with TEMPORARY_FAILURE."
        ChildState::Deleting | ChildState::Rekeyed | ChildState::Created | ChildState::Installing => {
            say!(core, sa, Ike 1, "unable to rekey, CHILD_SA {title} is being replaced or closed");
            return refuse(core, sa, NotifyType::TemporaryFailure);
        }
        ChildState::Removing => return refuse(core, sa, NotifyType::ChildSaNotFound),
    }
    // Rekeyed by the peer already and its delete not seen yet.
    if sa.children.values().any(|c| c.sa.replaces == Some(id)) {
        return refuse(core, sa, NotifyType::TemporaryFailure);
    }
    match child_create::answer_with_ke(core, sa, p, Some(id)) {
        Ok(reply) => followup::park(core, sa, reply),
        Err(refusal) => {
            say!(core, sa, Ike 1, "CHILD_SA rekeying failed, keeping CHILD_SA {title}");
            send::respond(core, sa, ExchangeType::CreateChildSa, &[refusal]);
        }
    }
}

fn protocol_name(p: wire::iana::ProtocolId) -> &'static str {
    if p == wire::iana::ProtocolId::Ah { "AH" } else { "ESP" }
}

/// The peer's successor is installed inbound: the old one sends until the peer deletes it.
pub(crate) fn responder_installed(core: &mut Core, sa: &mut IkeSa, id: u32) {
    let Some(old) = sa.children.get(&id).and_then(|c| c.sa.replaces) else { return };
    let ours_in_flight = sa.children.get(&old).is_some_and(|c| c.state == ChildState::Rekeying);
    if ours_in_flight {
        // Decided when our own response is here.
        return;
    }
    if let Some(c) = sa.children.get_mut(&old) {
        c.successor = Some(id);
        c.state = ChildState::Rekeyed;
        c.rekey_at = When::NEVER;
        c.farewell = Farewell::Rekeyed;
        // Should its delete never come, its hard limit ends it.
    } else {
        child::activate(core, sa, id);
    }
}

/// The peer deleted a CHILD_SA: its successor, if any, takes over sending.
pub(crate) fn predecessor_deleted(core: &mut Core, sa: &mut IkeSa, old: u32) {
    let successor = sa
        .children
        .values()
        .find(|c| c.sa.replaces == Some(old) && c.sa.inbound_only && c.is_live())
        .map(|c| c.sa.id);
    if let Some(id) = successor {
        if let Some(c) = sa.children.get_mut(&old) {
            c.successor = Some(id);
            c.farewell = Farewell::Rekeyed;
        }
        child::activate(core, sa, id);
    }
}
