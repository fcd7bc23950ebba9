//! CHILD_SAs made in IKE_AUTH and by CREATE_CHILD_SA (RFC 7296 1.3.1, 2.9, 2.17).
use super::child_plan::{self, Offer, Plan};
use super::followup::{self, Purpose};
use super::init::NONCE;
use super::keys::Nonces;
use super::{Exchange, Job, Passive, close, enqueue, send};
use crate::child::{self, ChildLife, ChildState};
use crate::core::{Core, StartChild};
use crate::fault::Fault;
use crate::io::Event;
use crate::message::{error, find, has, nonce, notify, notify_name, pick};
use crate::sa::{IkeSa, Standing, Wait};
use crypto::{Secret, ke};
use policy::sa::Usage;
use policy::{Child, Selector};
use serde::{Deserialize, Serialize};
use wire::iana::{ExchangeType, Ke, NotifyType, ProtocolId};
use wire::ike::{KeyExchange, Payload};

/// Most CHILD_SAs of one IKE_SA that a peer may make.
const MAX_CHILDREN: usize = 256;

/// Initiator: CREATE_CHILD_SA is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CreateSent {
    pub(crate) offer: Offer,
    pub(crate) start: StartChild,
    pub(crate) ni: Vec<u8>,
    pub(crate) pending: Option<ke::Pending>,
    /// Tries after INVALID_KE_PAYLOAD.
    retries: u8,
}

// ---------------------------------------------------------------------------------------------- initiator

/// Starts a CREATE_CHILD_SA exchange.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, start: StartChild) {
    begin(core, sa, start, None, 0);
}

fn begin(core: &mut Core, sa: &mut IkeSa, start: StartChild, method: Option<Ke>, retries: u8) {
    let offer = child_plan::offer(core, sa, &start, None);
    let name = offer.config.name.clone();
    say!(core, sa, Ike 1, "establishing CHILD_SA {name}{{{}}}", offer.id);
    match request(core, sa, &offer, start.packet, method, None) {
        Ok((ni, pending)) => {
            let sent = CreateSent { offer, start, ni, pending, retries };
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::ChildCreate(Box::new(sent)));
            }
        }
        Err(fault) => failed(core, sa, &offer, &name, &fault),
    }
}

/// The key exchange method of a CREATE_CHILD_SA request: the first configured one, unless a peer asked for another.
pub(crate) fn pfs_method(config: &Child, wanted: Option<Ke>) -> Option<Ke> {
    wanted
        .or_else(|| config.proposals.iter().flat_map(|p| p.ke.iter()).copied().next())
        .filter(|k| *k != Ke::None)
}

/// Sends a CREATE_CHILD_SA request for a CHILD_SA: `[N(REKEY_SA)] [N(IPCOMP_SUP)] [N(USE_TRANSP)] SA No [KE] TSi TSr`.
pub(crate) fn request(
    core: &mut Core,
    sa: &mut IkeSa,
    offer: &Offer,
    packet: Option<(Selector, Selector)>,
    method: Option<Ke>,
    rekey: Option<Payload>,
) -> Result<(Vec<u8>, Option<ke::Pending>), Fault> {
    let pending = match pfs_method(&offer.config, method) {
        Some(m) => Some(ke::start(m, &mut core.rng)?),
        None => None,
    };
    let ni = core.rng.bytes(NONCE);
    let mut p: Vec<Payload> = rekey.into_iter().collect();
    p.extend(offer.notifies());
    p.push(offer.sa_payload(true));
    p.push(Payload::Nonce(ni.clone()));
    if let Some(k) = &pending {
        p.push(Payload::Ke(KeyExchange { method: k.method(), data: k.public().to_vec() }));
    }
    let settings = core.settings();
    p.extend(offer.ts_payloads(&settings, packet));
    send::request(core, sa, ExchangeType::CreateChildSa, &p)?;
    Ok((ni, pending))
}

/// The method a peer asks for by INVALID_KE_PAYLOAD, if our proposals have it.
pub(crate) fn wanted_ke(config: &[policy::Proposal], p: &[Payload]) -> Option<Ke> {
    let n = find(p, NotifyType::InvalidKePayload)?;
    let k = Ke::from(u16::from_be_bytes(<[u8; 2]>::try_from(n.data.as_slice()).ok()?));
    config.iter().any(|x| x.ke.contains(&k)).then_some(k)
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, sent: CreateSent, p: &[Payload]) {
    let name = sent.offer.config.name.clone();
    if let Some(k) = wanted_ke(&sent.offer.config.proposals, p).filter(|_| sent.retries < 2) {
        say!(core, sa, Ike 1, "peer didn't accept key exchange method, it requested {}", crypto::table::ke_name(k));
        core.spis.remove(&sent.offer.spi_in);
        return begin(core, sa, sent.start, Some(k), sent.retries.saturating_add(1));
    }
    if has(p, NotifyType::TemporaryFailure) && sent.retries < 10 {
        // RFC 7296 2.25: try again later; the peer is busy with the IKE_SA or this child.
        say!(core, sa, Ike 1, "received TEMPORARY_FAILURE notify, retrying");
        core.spis.remove(&sent.offer.spi_in);
        let at = core.now.mono.saturating_add(5_000).saturating_add(core.rng.below(10_000));
        sa.retries.push((at, Job::ChildCreate(sent.start)));
        return;
    }
    if let Some(kind) = error(p) {
        say!(core, sa, Ike 1, "received {} notify, no CHILD_SA built", notify_name(kind));
        return failed(core, sa, &sent.offer, &name, &Fault::Refused(kind));
    }
    let result = (|| {
        let nonces = Nonces { ni: sent.ni.clone(), nr: nonce(p)? };
        let shared = finish_ke(sent.pending.as_ref(), p)?;
        let method = sent.pending.as_ref().map(ke::Pending::method);
        child_plan::plan(core, sa, &sent.offer, p, &nonces, (false, method)).map(|plan| (plan, shared))
    })();
    match result {
        Ok((plan, shared)) => {
            followup::gather(core, sa, Purpose::Create { plan, offer: sent.offer }, shared, p)
        }
        Err(fault) => {
            // The peer has a CHILD_SA that we do not want.
            refuse_peer(core, sa, &sent.offer, p);
            failed(core, sa, &sent.offer, &name, &fault);
        }
    }
}

/// The shared secret of the response's KE payload, none without PFS.
pub(crate) fn finish_ke(pending: Option<&ke::Pending>, p: &[Payload]) -> Result<Vec<Secret>, Fault> {
    match (pending, pick!(p, Ke)) {
        (None, _) | (Some(_), None) => Ok(Vec::new()),
        (Some(k), Some(key)) if k.method() == key.method => Ok(vec![k.finish(&key.data)?]),
        (Some(_), Some(_)) => Err(Fault::Broken("unexpected key exchange method")),
    }
}

/// Deletes what the peer thinks we have.
fn refuse_peer(core: &mut Core, sa: &mut IkeSa, offer: &Offer, p: &[Payload]) {
    if pick!(p, Sa).is_some() {
        let protocol = offer.config.proposals.first().map_or(ProtocolId::Esp, |x| x.protocol);
        enqueue(core, sa, Job::SpiDelete(protocol, offer.spi_in));
    }
}

/// Puts a new CHILD_SA of ours to work, as soon as our virtual IPs are there.
pub(crate) fn place(core: &mut Core, sa: &mut IkeSa, child: ChildLife) {
    let id = child.sa.id;
    sa.children.insert(id, child);
    if !sa.waits(|w| matches!(w, Wait::Vips { up: true, .. })) {
        child::install(core, sa, id);
    }
}

/// Our virtual IPs are usable.
pub(crate) fn vips_ready(core: &mut Core, sa: &mut IkeSa) {
    if sa.established().is_none() {
        return;
    }
    let ready: Vec<u32> =
        sa.children.values().filter(|c| c.state == ChildState::Created).map(|c| c.sa.id).collect();
    for id in ready {
        child::install(core, sa, id);
    }
}

/// A CHILD_SA could not be brought up.
pub(crate) fn failed(core: &mut Core, sa: &mut IkeSa, offer: &Offer, name: &str, fault: &Fault) {
    core.spis.remove(&offer.spi_in);
    say!(core, sa, Ike 1, "establishing CHILD_SA {name}{{{}}} failed: {fault}", offer.id);
    if matches!(fault, Fault::Refused(NotifyType::TsUnacceptable)) {
        core.tell(Event::Alert {
            kind: "ts-mismatch",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
    }
    if matches!(fault, Fault::Refused(NotifyType::NoProposalChosen)) {
        core.tell(Event::Alert {
            kind: "proposal-mismatch-child",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
    }
    say!(core, sa, Ike 1, "failed to establish CHILD_SA, keeping IKE_SA");
    core.child_failed(sa.id, name);
    if core.snapshot.settings.close_ike_on_child_failure {
        close::close(core, sa);
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// A request for one more CHILD_SA.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    if let Some(kind) = busy(sa) {
        say!(core, sa, Ike 1, "unable to create a CHILD_SA while the IKE_SA is being replaced or closed");
        return send::respond(core, sa, ExchangeType::CreateChildSa, &[notify(kind, &[])]);
    }
    match answer_with_ke(core, sa, p, None) {
        Ok(reply) => followup::park(core, sa, reply),
        Err(refusal) => {
            say!(core, sa, Ike 1, "failed to establish CHILD_SA, keeping IKE_SA");
            send::respond(core, sa, ExchangeType::CreateChildSa, &[refusal]);
        }
    }
}

/// RFC 7296 2.25.2: no new CHILD_SAs on an IKE_SA that is being rekeyed or closed.
pub(crate) fn busy(sa: &IkeSa) -> Option<NotifyType> {
    let e = sa.established()?;
    match e.standing {
        Standing::Up if sa.children.len() >= MAX_CHILDREN => Some(NotifyType::NoAdditionalSas),
        Standing::Up => None,
        Standing::Rekeying | Standing::Rekeyed | Standing::Deleting => Some(NotifyType::TemporaryFailure),
    }
}

/// A responder's plan with what answers for it.
pub(crate) struct Reply {
    pub(crate) plan: Plan,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) shared: Vec<Secret>,
}

/// Answers an offer in CREATE_CHILD_SA: `[N(IPCOMP_SUP)] [N(USE_TRANSP)] SA No [KE] TSi TSr`. The error is the notify to send.
pub(crate) fn answer_with_ke(
    core: &mut Core,
    sa: &IkeSa,
    p: &[Payload],
    replaces: Option<u32>,
) -> Result<Reply, Payload> {
    let bare = |kind: NotifyType| notify(kind, &[]);
    let Ok(ni) = nonce(p) else { return Err(bare(NotifyType::InvalidSyntax)) };
    let nr = core.rng.bytes(NONCE);
    let (plan, mut payloads) =
        child_plan::plan_answer(core, sa, p, &Nonces { ni, nr: nr.clone() }, true, replaces).map_err(bare)?;
    let refuse = |core: &mut Core, refusal: Payload| {
        core.spis.remove(&plan.spi_in());
        Err(refusal)
    };
    let mut extra = vec![Payload::Nonce(nr)];
    let mut shared = Vec::new();
    if plan.chosen.ke != Ke::None {
        let key = pick!(p, Ke).filter(|k| k.method == plan.chosen.ke);
        let Some(key) = key else {
            say!(core, sa, Ike 1, "KE method unacceptable, requesting {}", crypto::table::ke_name(plan.chosen.ke));
            let wanted = u16::from(plan.chosen.ke).to_be_bytes();
            return refuse(core, notify(NotifyType::InvalidKePayload, &wanted));
        };
        match ke::respond(key.method, &key.data, &mut core.rng) {
            Ok((public, secret)) => {
                extra.push(Payload::Ke(KeyExchange { method: key.method, data: public }));
                shared.push(secret);
            }
            Err(e) => {
                say!(core, sa, Ike 1, "key exchange failed: {e}");
                return refuse(core, bare(NotifyType::InvalidSyntax));
            }
        }
    }
    // Nonce and KE stand between SA and TS.
    let at = payloads.iter().position(|x| matches!(x, Payload::TsI(_))).unwrap_or(payloads.len());
    let tail = payloads.split_off(at);
    payloads.extend(extra);
    payloads.extend(tail);
    Ok(Reply { plan, payloads, shared })
}

/// Parks the peer's request until the data plane has installed the CHILD_SA.
pub(crate) fn park(
    core: &mut Core,
    sa: &mut IkeSa,
    child: ChildLife,
    exchange: ExchangeType,
    reply: Vec<Payload>,
) {
    let id = child.sa.id;
    sa.children.insert(id, child);
    sa.window.busy = true;
    if let Some(e) = sa.established_mut() {
        e.passive =
            Some(Box::new(Passive { exchange, child: id, about_child: 0..reply.len(), ok: reply.into() }));
    }
    child::install(core, sa, id);
}

// ---------------------------------------------------------------------------------------------- both

/// The data plane has installed a CHILD_SA, or could not.
pub(crate) fn installed(core: &mut Core, sa: &mut IkeSa, id: u32, failure: Option<String>) {
    let Some(c) = sa.children.get(&id) else { return };
    if c.state != ChildState::Installing {
        return;
    }
    let (name, replaces) = (c.sa.config.name.clone(), c.sa.replaces);
    let parked = sa.established_mut().and_then(|e| {
        if e.passive.as_ref().is_some_and(|p| p.child == id) { e.passive.take() } else { None }
    });
    if let Some(why) = failure {
        say!(core, sa, Chd 0, "unable to install inbound and outbound IPsec SA (SAD) in kernel: {why}");
        core.tell(Event::Alert {
            kind: "install-child-sa-failed",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        match parked {
            Some(p) => {
                child::finished(core, sa, id, Usage::default(), Usage::default());
                send::respond(core, sa, p.exchange, &p.failed());
            }
            None => {
                if let Some(c) = sa.children.get_mut(&id) {
                    c.in_plane = false;
                }
                enqueue(core, sa, Job::ChildDelete(id));
            }
        }
        if let Some(old) =
            replaces.and_then(|o| sa.children.get_mut(&o)).filter(|o| o.state == ChildState::Rekeying)
        {
            old.state = ChildState::Installed;
        }
        core.child_failed(sa.id, &name);
        return;
    }
    child::in_service(core, sa, id);
    if let Some(p) = parked {
        send::respond(core, sa, p.exchange, &p.ok);
        super::child_rekey::responder_installed(core, sa, id);
    } else {
        super::child_rekey::initiator_installed(core, sa, id);
    }
}
