//! IKE_FOLLOWUP_KE: additional key exchanges of CREATE_CHILD_SA (RFC 9370 2.2.4).
use super::child_create::{self, Reply};
use super::child_plan::{self, Offer, Plan, Reserved};
use super::child_rekey::RekeySent as ChildRekeySent;
use super::ike_rekey::{self, IkePlan};
use super::{Exchange, send};
use crate::core::Core;
use crate::fault::Fault;
use crate::message::{error, find, notify, notify_name, pick};
use crate::sa::{Established, IkeSa, Standing};
use crypto::{Secret, ke};
use serde::{Deserialize, Serialize};
use wire::iana::{ExchangeType, Ke, NotifyType};
use wire::ike::{KeyExchange, Payload};

/// What the key exchanges are for (initiator).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// One more CHILD_SA.
    Create { plan: Plan, offer: Offer },
    /// Rekeying a CHILD_SA.
    ChildRekey { plan: Plan, sent: ChildRekeySent },
    /// Rekeying the IKE_SA.
    IkeRekey { plan: IkePlan, sent: ike_rekey::RekeySent },
}

/// Initiator: IKE_FOLLOWUP_KE is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FollowupSent {
    pub(crate) purpose: Purpose,
    shared: Vec<Secret>,
    rest: Vec<Ke>,
    pending: ke::Pending,
}

/// Responder: what waits for further key exchanges.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    link: Vec<u8>,
    subject: Subject,
    shared: Vec<Secret>,
    rest: Vec<Ke>,
    /// Monotonic ms when it is forgotten.
    pub(crate) until: u64,
}

/// What a responder makes in the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Subject {
    Child(Plan),
    Ike(IkePlan),
}

/// How long a responder waits for the next key exchange.
const PATIENCE_MS: u64 = 30_000;

impl FollowupSent {
    /// charon's name of the task behind it.
    pub(crate) fn task(&self) -> &'static str {
        match self.purpose {
            Purpose::Create { .. } => "CHILD_CREATE",
            Purpose::ChildRekey { .. } => "CHILD_REKEY",
            Purpose::IkeRekey { .. } => "IKE_REKEY",
        }
    }
}

impl FollowupSent {
    /// Number and SPI drawn for the CHILD_SA to come, if it is one.
    pub(crate) fn offered(&self) -> Option<Reserved> {
        match &self.purpose {
            Purpose::Create { offer, .. } => Some(offer.reserved()),
            Purpose::ChildRekey { sent, .. } => Some(sent.offer.reserved()),
            Purpose::IkeRekey { .. } => None,
        }
    }
}

impl Unfinished {
    /// Likewise.
    pub(crate) fn offered(&self) -> Option<Reserved> {
        match &self.subject {
            Subject::Child(plan) => Some(plan.reserved()),
            Subject::Ike(_) => None,
        }
    }
}

fn methods(chosen: &policy::proposal::Chosen) -> Vec<Ke> {
    super::init::additional(chosen)
}

// ---------------------------------------------------------------------------------------------- initiator

/// The CREATE_CHILD_SA response is good: further key exchanges if agreed on, then what they are for.
pub(crate) fn gather(core: &mut Core, sa: &mut IkeSa, purpose: Purpose, shared: Vec<Secret>, p: &[Payload]) {
    let rest = match &purpose {
        Purpose::Create { plan, .. } | Purpose::ChildRekey { plan, .. } => methods(&plan.chosen),
        Purpose::IkeRekey { plan, .. } => methods(&plan.chosen),
    };
    next(core, sa, purpose, shared, rest, p);
}

fn next(
    core: &mut Core,
    sa: &mut IkeSa,
    purpose: Purpose,
    shared: Vec<Secret>,
    rest: Vec<Ke>,
    p: &[Payload],
) {
    let Some(method) = rest.first().copied() else { return complete(core, sa, purpose, &shared) };
    let result = (|| {
        let link = find(p, NotifyType::AdditionalKeyExchange)
            .ok_or(Fault::Broken("ADDITIONAL_KEY_EXCHANGE notify missing"))?;
        let pending = ke::start(method, &mut core.rng)?;
        let payloads = [
            Payload::Ke(KeyExchange { method, data: pending.public().to_vec() }),
            notify(NotifyType::AdditionalKeyExchange, &link.data),
        ];
        send::request(core, sa, ExchangeType::FollowupKe, &payloads)?;
        Ok::<_, Fault>(pending)
    })();
    match result {
        Ok(pending) => {
            let sent = FollowupSent { purpose, shared, rest, pending };
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::Followup(Box::new(sent)));
            }
        }
        Err(fault) => abandon(core, sa, purpose, &fault),
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, sent: FollowupSent, p: &[Payload]) {
    let FollowupSent { purpose, mut shared, mut rest, pending } = sent;
    if let Some(kind) = error(p) {
        say!(core, sa, Ike 1, "received {} notify error", notify_name(kind));
        return abandon(core, sa, purpose, &Fault::Refused(kind));
    }
    let secret = pick!(p, Ke)
        .filter(|k| k.method == pending.method())
        .ok_or(Fault::Broken("KE payload missing"))
        .and_then(|k| Ok(pending.finish(&k.data)?));
    match secret {
        Ok(secret) => {
            shared.push(secret);
            rest.remove(0);
            next(core, sa, purpose, shared, rest, p);
        }
        Err(fault) => abandon(core, sa, purpose, &fault),
    }
}

fn complete(core: &mut Core, sa: &mut IkeSa, purpose: Purpose, shared: &[Secret]) {
    match purpose {
        Purpose::Create { plan, offer } => {
            let Some(keys) = sa.keys().cloned() else { return };
            match child_plan::build(core, sa, &keys, plan, shared) {
                Ok(child) => child_create::place(core, sa, child),
                Err(fault) => {
                    let name = offer.config.name.clone();
                    child_create::failed(core, sa, &offer, &name, &fault);
                }
            }
        }
        Purpose::ChildRekey { plan, sent } => super::child_rekey::complete(core, sa, plan, &sent, shared),
        Purpose::IkeRekey { plan, sent } => ike_rekey::complete(core, sa, &plan, &sent, shared),
    }
}

fn abandon(core: &mut Core, sa: &mut IkeSa, purpose: Purpose, fault: &Fault) {
    match purpose {
        Purpose::Create { offer, .. } => {
            let name = offer.config.name.clone();
            child_create::failed(core, sa, &offer, &name, fault);
        }
        Purpose::ChildRekey { sent, .. } => super::child_rekey::failed(core, sa, &sent, fault),
        Purpose::IkeRekey { .. } => ike_rekey::failed(core, sa, fault),
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// Answers CREATE_CHILD_SA for a CHILD_SA: at once, or with a link to the next key exchange.
pub(crate) fn park(core: &mut Core, sa: &mut IkeSa, reply: Reply) {
    let Reply { plan, mut payloads, shared } = reply;
    let rest = methods(&plan.chosen);
    if rest.is_empty() {
        return finish_child(core, sa, plan, &shared, ExchangeType::CreateChildSa, &payloads);
    }
    let link = remember(core, sa, Subject::Child(plan), shared, rest);
    payloads.push(notify(NotifyType::AdditionalKeyExchange, &link));
    send::respond(core, sa, ExchangeType::CreateChildSa, &payloads);
}

/// The same for the IKE_SA.
pub(crate) fn park_ike(
    core: &mut Core,
    sa: &mut IkeSa,
    plan: IkePlan,
    mut payloads: Vec<Payload>,
    shared: Vec<Secret>,
) {
    let rest = methods(&plan.chosen);
    if rest.is_empty() {
        send::respond(core, sa, ExchangeType::CreateChildSa, &payloads);
        return ike_rekey::responded(core, sa, &plan, &shared);
    }
    let link = remember(core, sa, Subject::Ike(plan), shared, rest);
    payloads.push(notify(NotifyType::AdditionalKeyExchange, &link));
    send::respond(core, sa, ExchangeType::CreateChildSa, &payloads);
}

fn remember(
    core: &mut Core,
    sa: &mut IkeSa,
    subject: Subject,
    shared: Vec<Secret>,
    rest: Vec<Ke>,
) -> Vec<u8> {
    let link = core.rng.bytes(8);
    let until = core.now.mono.saturating_add(PATIENCE_MS);
    // One at a time: a new one replaces what was left unfinished.
    forget(core, sa);
    if let Some(e) = sa.established_mut() {
        e.followup = Some(Box::new(Unfinished { link: link.clone(), subject, shared, rest, until }));
    }
    link
}

/// Gives up waiting for further key exchanges.
pub(crate) fn forget(core: &mut Core, sa: &mut IkeSa) {
    if let Some(e) = sa.established_mut() {
        forget_of(core, e);
    }
}

/// The same, of an IKE_SA that is being taken apart.
pub(crate) fn forget_of(core: &mut Core, e: &mut Established) {
    if let Some(offered) = e.followup.take().and_then(|u| u.offered()) {
        core.spis.remove(&offered.spi);
    }
}

fn finish_child(
    core: &mut Core,
    sa: &mut IkeSa,
    plan: Plan,
    shared: &[Secret],
    exchange: ExchangeType,
    reply: &[Payload],
) {
    let Some(keys) = sa.keys().cloned() else { return };
    let spi = plan.spi_in();
    match child_plan::build(core, sa, &keys, plan, shared) {
        Ok(child) => child_create::park(core, sa, child, exchange, reply.to_vec()),
        Err(fault) => {
            say!(core, sa, Chd 1, "unable to derive CHILD_SA keys: {fault}");
            core.spis.remove(&spi);
            send::respond(core, sa, exchange, &[notify(NotifyType::NoProposalChosen, &[])]);
        }
    }
}

/// A request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    let link = find(p, NotifyType::AdditionalKeyExchange).map(|n| n.data.clone());
    let known =
        sa.established().and_then(|e| e.followup.as_ref()).is_some_and(|u| link.as_ref() == Some(&u.link));
    let taken = if known { sa.established_mut().and_then(|e| e.followup.take()) } else { None };
    let Some(mut u) = taken else {
        // RFC 9370 2.2.4: "the responder … MUST send back STATE_NOT_FOUND".
        say!(core, sa, Ike 1, "IKE_FOLLOWUP_KE request for an unknown exchange");
        return send::respond(core, sa, ExchangeType::FollowupKe, &[notify(NotifyType::StateNotFound, &[])]);
    };
    if sa.established().is_some_and(|e| e.standing == Standing::Deleting) {
        // What we are closing has no future; RFC 7296 2.25.2 says so of a rekeying in one exchange.
        say!(core, sa, Ike 1, "peer goes on with a key exchange, but the IKE_SA is being closed");
        if let Some(offered) = u.offered() {
            core.spis.remove(&offered.spi);
        }
        let refusal = [notify(NotifyType::TemporaryFailure, &[])];
        return send::respond(core, sa, ExchangeType::FollowupKe, &refusal);
    }
    let method = u.rest.first().copied().unwrap_or(Ke::None);
    let step = pick!(p, Ke)
        .filter(|k| k.method == method)
        .ok_or(Fault::Broken("KE payload missing"))
        .and_then(|k| Ok(ke::respond(method, &k.data, &mut core.rng)?));
    let (public, secret) = match step {
        Ok(x) => x,
        Err(fault) => {
            say!(core, sa, Ike 1, "IKE_FOLLOWUP_KE request processing failed: {fault}");
            if let Subject::Child(plan) = &u.subject {
                core.spis.remove(&plan.spi_in());
            }
            return send::respond(
                core,
                sa,
                ExchangeType::FollowupKe,
                &[notify(NotifyType::InvalidSyntax, &[])],
            );
        }
    };
    u.shared.push(secret);
    u.rest.remove(0);
    let mut payloads = vec![Payload::Ke(KeyExchange { method, data: public })];
    if !u.rest.is_empty() {
        let link = remember(core, sa, u.subject, u.shared, u.rest);
        payloads.push(notify(NotifyType::AdditionalKeyExchange, &link));
        return send::respond(core, sa, ExchangeType::FollowupKe, &payloads);
    }
    match u.subject {
        Subject::Child(plan) => finish_child(core, sa, plan, &u.shared, ExchangeType::FollowupKe, &payloads),
        Subject::Ike(plan) => {
            send::respond(core, sa, ExchangeType::FollowupKe, &payloads);
            ike_rekey::responded(core, sa, &plan, &u.shared);
        }
    }
}
