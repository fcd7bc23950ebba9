//! CHILD_SAs made in IKE_AUTH and by CREATE_CHILD_SA (RFC 7296 1.3.1, 2.9, 2.17).
use super::followup::{self, Purpose};
use super::init::NONCE;
use super::keys::{Keys, Nonces};
use super::{Exchange, Job, Passive, close, enqueue, send};
use crate::child::{self, ChildLife, ChildState, Farewell, Marks, ReqKey};
use crate::core::{Core, StartChild};
use crate::fault::Fault;
use crate::io::Event;
use crate::message::{Inner, error, find, has, nonce, notify, notify_name, pick};
use crate::sa::{IkeSa, Standing, Wait};
use crate::{narrow, negotiate, select};
use crypto::{Secret, ke};
use policy::proposal::Chosen;
use policy::sa::Usage;
use policy::{Child, ChildSa, Mode, Selector};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use wire::iana::{ExchangeType, Ke, NotifyType, ProtocolId};
use wire::ike::{KeyExchange, Payload};

/// Most CHILD_SAs of one IKE_SA that a peer may make.
const MAX_CHILDREN: usize = 256;

/// What we offered for a CHILD_SA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) config: Arc<Child>,
    pub(crate) id: u32,
    pub(crate) spi_in: u32,
    pub(crate) reqid: Option<u32>,
    pub(crate) replaces: Option<u32>,
    local_ts: Vec<Selector>,
    remote_ts: Vec<Selector>,
    transport: bool,
}

/// What both agreed on; key material is still to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    config: Arc<Child>,
    pub(crate) id: u32,
    spi_in: u32,
    spi_out: u32,
    pub(crate) chosen: Chosen,
    local_ts: Vec<Selector>,
    remote_ts: Vec<Selector>,
    mode: Mode,
    reqid: Option<u32>,
    pub(crate) replaces: Option<u32>,
    pub(crate) nonces: Nonces,
    /// We started the exchange.
    initiator: bool,
}

/// A responder's CHILD_SA and the payloads that answer for it.
pub(crate) struct Answered {
    pub(crate) child: ChildLife,
    pub(crate) reply: Vec<Payload>,
}

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

/// What `dynamic` means on our side and on the peer's.
pub(crate) fn hosts(sa: &IkeSa) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let ours = if !sa.local_vips.is_empty() {
        sa.local_vips.clone()
    } else if sa.established().is_none() && sa.initiator && !sa.conn.vips.is_empty() {
        sa.conn.vips.clone()
    } else {
        vec![sa.local.ip()]
    };
    let theirs = if sa.remote_vips.is_empty() { vec![sa.remote.ip()] } else { sa.remote_vips.clone() };
    (ours, theirs)
}

/// Makes an offer for a child; draws its number and its SPI.
pub(crate) fn offer(core: &mut Core, sa: &IkeSa, start: &StartChild, replaces: Option<u32>) -> Offer {
    let (ours, theirs) = hosts(sa);
    let config = Arc::clone(&start.config);
    let transport = config.mode == Mode::Transport;
    let (local_ts, remote_ts) = match replaces.and_then(|r| sa.children.get(&r)) {
        // RFC 7296 2.9.2: a rekeyed CHILD_SA has the selectors of the old one.
        Some(old) => (old.sa.local_ts.clone(), old.sa.remote_ts.clone()),
        None => (narrow::resolve(&config.local_ts, &ours), narrow::resolve(&config.remote_ts, &theirs)),
    };
    Offer {
        id: core.child_id(),
        spi_in: core.child_spi(),
        reqid: start.reqid,
        replaces,
        local_ts,
        remote_ts,
        transport,
        config,
    }
}

impl Offer {
    /// `[N(USE_TRANSP)] SA TSi TSr`, for IKE_AUTH.
    pub(crate) fn payloads(
        &self,
        with_ke: bool,
        s: &policy::Settings,
        packet: Option<(Selector, Selector)>,
    ) -> Vec<Payload> {
        let mut p = Vec::new();
        if self.transport {
            p.push(notify(NotifyType::UseTransportMode, &[]));
        }
        p.push(self.sa_payload(with_ke));
        p.extend(self.ts_payloads(s, packet));
        p
    }

    fn sa_payload(&self, with_ke: bool) -> Payload {
        Payload::Sa(negotiate::offer(&self.config.proposals, &self.spi_in.to_be_bytes(), with_ke))
    }

    fn ts_payloads(&self, s: &policy::Settings, packet: Option<(Selector, Selector)>) -> [Payload; 2] {
        let (mut l, mut r) = (self.local_ts.clone(), self.remote_ts.clone());
        // RFC 7296 2.9: the triggering packet goes first, if our policy has it.
        if let Some((pl, pr)) = packet.filter(|_| !s.ignore_acquire_ts)
            && l.iter().any(|x| x.contains(&pl))
            && r.iter().any(|x| x.contains(&pr))
        {
            l.insert(0, pl);
            r.insert(0, pr);
        }
        [Payload::TsI(narrow::write(&l)), Payload::TsR(narrow::write(&r))]
    }
}

impl Plan {
    /// Our SPI.
    pub(crate) fn spi_in(&self) -> u32 {
        self.spi_in
    }

    /// The lowest of the exchange's two nonces (RFC 7296 2.8.1).
    pub(crate) fn lowest_nonce(&self) -> &[u8] {
        let n = &self.nonces;
        if n.ni <= n.nr { &n.ni } else { &n.nr }
    }
}

/// Builds the CHILD_SA of a plan.
pub(crate) fn build(
    core: &mut Core,
    sa: &IkeSa,
    keys: &Keys,
    plan: Plan,
    shared: &[Secret],
) -> Result<ChildLife, Fault> {
    let (initiators, responders) = keys.child(&plan.chosen, shared, &plan.nonces)?;
    let (keys_out, keys_in) =
        if plan.initiator { (initiators, responders) } else { (responders, initiators) };
    let old = plan.replaces.and_then(|r| sa.children.get(&r));
    let m: Marks = child::marks(&plan.config, sa, plan.id, old.map(|o| &*o.sa));
    let key = ReqKey {
        connection: sa.conn.name.clone(),
        child: plan.config.name.clone(),
        local_ts: plan.local_ts.clone(),
        remote_ts: plan.remote_ts.clone(),
        unique: if child::draws_unique(&plan.config) { plan.id } else { 0 },
    };
    let fixed =
        if plan.config.reqid != 0 { Some(plan.config.reqid) } else { old.map(|o| o.sa.reqid).or(plan.reqid) };
    let reqid = match fixed {
        Some(r) => {
            core.reqids.take(r, &key);
            r
        }
        None => core.reqids.allocate(&key),
    };
    let lowest_nonce = plan.nonces.ni.clone().min(plan.nonces.nr.clone());
    let random = core.rng.u64();
    let life = &plan.config.lifetime;
    let order = ChildSa {
        id: plan.id,
        ike_id: sa.id,
        connection: sa.conn.name.clone(),
        reqid,
        protocol: plan.chosen.protocol,
        mode: plan.mode,
        spi_in: plan.spi_in,
        spi_out: plan.spi_out,
        encr: plan.chosen.encr,
        integ: plan.chosen.integ,
        esn: plan.chosen.esn == wire::iana::Esn::Yes,
        keys_in,
        keys_out,
        local: sa.local,
        remote: sa.remote,
        encap: sa.nat.any(),
        tfc_allowed: true,
        local_ts: plan.local_ts,
        remote_ts: plan.remote_ts,
        local_vips: sa.local_vips.clone(),
        initiator: plan.initiator,
        replaces: plan.replaces,
        // The responder of a rekeying sends on the old one until the initiator has switched (RFC 7296 2.8).
        inbound_only: !plan.initiator && plan.replaces.is_some(),
        mark_in: m.mark_in,
        mark_out: m.mark_out,
        if_id_in: m.if_id_in,
        if_id_out: m.if_id_out,
        soft: crate::lifetime::soft(life, random),
        hard: (life.bytes.life, life.packets.life),
        config: plan.config,
    };
    Ok(ChildLife {
        sa: Arc::new(order),
        state: ChildState::Created,
        ke: plan.chosen.ke,
        add_ke: plan.chosen.add_ke,
        installed: core.now.mono,
        rekey_at: None,
        expires_at: None,
        usage_in: Usage::default(),
        usage_out: Usage::default(),
        last_used: core.now.mono,
        successor: None,
        remove_at: None,
        retry_at: None,
        announced: false,
        farewell: Farewell::Failed,
        lowest_nonce,
        in_plane: false,
    })
}

fn spi4(spi: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(spi).ok().map(u32::from_be_bytes).filter(|s| *s != 0)
}

// ---------------------------------------------------------------------------------------------- initiator

/// Starts a CREATE_CHILD_SA exchange.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, start: StartChild) {
    begin(core, sa, start, None, 0);
}

fn begin(core: &mut Core, sa: &mut IkeSa, start: StartChild, method: Option<Ke>, retries: u8) {
    let offer = offer(core, sa, &start, None);
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

/// Sends a CREATE_CHILD_SA request for a CHILD_SA: `[N(REKEY_SA)] [N(USE_TRANSP)] SA No [KE] TSi TSr`.
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
    if offer.transport {
        p.push(notify(NotifyType::UseTransportMode, &[]));
    }
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
        plan(core, sa, &sent.offer, p, &nonces, sent.pending.as_ref().map(ke::Pending::method))
            .map(|plan| (plan, shared))
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

/// Checks an answer against our offer.
pub(crate) fn plan(
    core: &mut Core,
    sa: &IkeSa,
    offer: &Offer,
    p: &[Payload],
    nonces: &Nonces,
    sent_ke: Option<Ke>,
) -> Result<Plan, Fault> {
    let in_auth = sent_ke.is_none() && pick!(p, Auth).is_some();
    let answer = pick!(p, Sa).ok_or(Fault::Broken("SA payload missing"))?;
    let (tsi, tsr) = (pick!(p, TsI), pick!(p, TsR));
    let (tsi, tsr) = tsi.zip(tsr).ok_or(Fault::Broken("TS payload missing"))?;
    let (chosen, spi) = negotiate::accept(&offer.config.proposals, answer, !in_auth)
        .ok_or(Fault::Broken("peer chose a proposal that was not offered"))?;
    let spi_out = spi4(&spi).ok_or(Fault::Broken("peer chose an illegal SPI"))?;
    if chosen.ke != Ke::None && (sent_ke != Some(chosen.ke) || pick!(p, Ke).is_none()) {
        return Err(Fault::Broken("peer chose a key exchange method other than the one used"));
    }
    let transport = offer.transport && has(p, NotifyType::UseTransportMode);
    if offer.transport && !transport {
        say!(core, sa, Chd 1, "peer does not accept transport mode, using tunnel mode");
    }
    let (mut l, mut r) = (narrow::read(tsi), narrow::read(tsr));
    if transport && sa.nat.any() {
        narrow::substitute(&mut l, sa.local.ip());
        narrow::substitute(&mut r, sa.remote.ip());
    }
    let (ours, theirs) = if offer.replaces.is_some() {
        (offer.local_ts.clone(), offer.remote_ts.clone())
    } else {
        let (h_l, h_r) = hosts(sa);
        (narrow::resolve(&offer.config.local_ts, &h_l), narrow::resolve(&offer.config.remote_ts, &h_r))
    };
    let (local_ts, remote_ts) = (narrow::narrow(&ours, &l), narrow::narrow(&theirs, &r));
    if local_ts.is_empty() || remote_ts.is_empty() {
        say!(core, sa, Ike 1, "received traffic selectors {} === {} are not ours: {} === {}",
            child::ts_list(&l), child::ts_list(&r), child::ts_list(&ours), child::ts_list(&theirs));
        return Err(Fault::Refused(NotifyType::TsUnacceptable));
    }
    say!(core, sa, Cfg 1, "selected proposal: {chosen}");
    Ok(Plan {
        config: Arc::clone(&offer.config),
        id: offer.id,
        spi_in: offer.spi_in,
        spi_out,
        chosen,
        local_ts,
        remote_ts,
        mode: if transport { Mode::Transport } else { tunnel_like(offer.config.mode) },
        reqid: offer.reqid,
        replaces: offer.replaces,
        nonces: nonces.clone(),
        initiator: true,
    })
}

/// The mode when transport is not agreed on.
fn tunnel_like(mode: Mode) -> Mode {
    if mode == Mode::Transport { Mode::Tunnel } else { mode }
}

/// The whole acceptance without further key exchanges, as IKE_AUTH needs it.
pub(crate) fn accept(
    core: &mut Core,
    sa: &IkeSa,
    keys: &Keys,
    offer: &Offer,
    p: &[Payload],
    nonces: &Nonces,
) -> Result<ChildLife, Fault> {
    let plan = plan(core, sa, offer, p, nonces, None)?;
    build(core, sa, keys, plan, &[])
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
        sa.children.iter().filter(|(_, c)| c.state == ChildState::Created).map(|(id, _)| *id).collect();
    for id in ready {
        child::install(core, sa, id);
    }
}

/// A CHILD_SA could not be brought up.
pub(crate) fn failed(core: &mut Core, sa: &mut IkeSa, offer: &Offer, name: &str, fault: &Fault) {
    core.spis.remove(&offer.spi_in);
    say!(core, sa, Ike 1, "establishing CHILD_SA {name}{{{}}} failed: {fault}", offer.id);
    if matches!(fault, Fault::Refused(NotifyType::TsUnacceptable)) {
        core.tell(Event::Alert { kind: "ts-mismatch", sa: Some(Box::new(crate::view::bare(sa))) });
    }
    if matches!(fault, Fault::Refused(NotifyType::NoProposalChosen)) {
        core.tell(Event::Alert {
            kind: "proposal-mismatch-child",
            sa: Some(Box::new(crate::view::bare(sa))),
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

/// Answers an offer in CREATE_CHILD_SA: `[N(USE_TRANSP)] SA No [KE] TSi TSr`. The error is the notify to send.
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
        plan_answer(core, sa, p, &Nonces { ni, nr: nr.clone() }, true, replaces).map_err(bare)?;
    let refuse = |core: &mut Core, refusal: Payload| {
        core.spis.remove(&plan.spi_in);
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

/// Answers an offer in IKE_AUTH.
pub(crate) fn answer(
    core: &mut Core,
    sa: &IkeSa,
    keys: &Keys,
    p: &[Payload],
    nonces: &Nonces,
    replaces: Option<u32>,
) -> Result<Answered, NotifyType> {
    let (plan, reply) = plan_answer(core, sa, p, nonces, false, replaces)?;
    let spi = plan.spi_in;
    match build(core, sa, keys, plan, &[]) {
        Ok(child) => Ok(Answered { child, reply }),
        Err(fault) => {
            say!(core, sa, Chd 1, "unable to derive CHILD_SA keys: {fault}");
            core.spis.remove(&spi);
            Err(NotifyType::NoProposalChosen)
        }
    }
}

fn plan_answer(
    core: &mut Core,
    sa: &IkeSa,
    p: &[Payload],
    nonces: &Nonces,
    with_ke: bool,
    replaces: Option<u32>,
) -> Result<(Plan, Vec<Payload>), NotifyType> {
    let (Some(offered), Some(tsi), Some(tsr)) = (pick!(p, Sa), pick!(p, TsI), pick!(p, TsR)) else {
        return Err(NotifyType::InvalidSyntax);
    };
    let wants_transport = has(p, NotifyType::UseTransportMode);
    let (mut theirs, mut ours) = (narrow::read(tsi), narrow::read(tsr));
    let nat_transport = wants_transport && sa.nat.any();
    let (orig_l, orig_r) = if nat_transport {
        (narrow::substitute(&mut ours, sa.local.ip()), narrow::substitute(&mut theirs, sa.remote.ip()))
    } else {
        (None, None)
    };
    let (h_l, h_r) = hosts(sa);
    let fit = match replaces.and_then(|r| sa.children.get(&r)) {
        Some(old) => {
            let l = narrow::narrow(&old.sa.local_ts, &ours);
            let r = narrow::narrow(&old.sa.remote_ts, &theirs);
            let config = Arc::clone(&old.sa.config);
            (!l.is_empty() && !r.is_empty()).then_some(select::Fit { config, local_ts: l, remote_ts: r })
        }
        None => select::child(&sa.conn.children, (&h_l, &h_r), (&ours, &theirs), wants_transport),
    };
    let Some(fit) = fit else {
        say!(core, sa, Ike 1, "traffic selectors {} === {} unacceptable", child::ts_list(&ours), child::ts_list(&theirs));
        core.tell(Event::Alert { kind: "ts-mismatch", sa: Some(Box::new(crate::view::bare(sa))) });
        return Err(NotifyType::TsUnacceptable);
    };
    let received = negotiate::read(offered);
    let prefer = core.snapshot.settings.prefer_configured_proposals;
    let Some((chosen, from)) = negotiate::choose(&fit.config.proposals, &received, prefer, with_ke) else {
        say!(core, sa, Cfg 1, "received proposals: {}", negotiate::list(received.iter().map(|r| &r.offer)));
        say!(core, sa, Cfg 1, "configured proposals: {}", negotiate::list(fit.config.proposals.iter()));
        say!(core, sa, Ike 1, "no acceptable proposal found");
        core.tell(Event::Alert {
            kind: "proposal-mismatch-child",
            sa: Some(Box::new(crate::view::bare(sa))),
        });
        return Err(NotifyType::NoProposalChosen);
    };
    say!(core, sa, Cfg 1, "selected proposal: {chosen}");
    let spi_out = spi4(&from.spi).ok_or(NotifyType::InvalidSyntax)?;
    let transport = wants_transport && fit.config.mode == Mode::Transport;
    if fit.config.mode == Mode::Transport && !transport {
        say!(core, sa, Ike 1, "configured for transport mode, but peer requested tunnel mode");
    }
    let spi_in = core.child_spi();
    let mut reply = Vec::new();
    if transport {
        reply.push(notify(NotifyType::UseTransportMode, &[]));
    }
    reply.push(Payload::Sa(negotiate::answer(&chosen, from, &spi_in.to_be_bytes())));
    let (mut back_r, mut back_l) = (fit.remote_ts.clone(), fit.local_ts.clone());
    narrow::restore(&mut back_r, sa.remote.ip(), orig_r);
    narrow::restore(&mut back_l, sa.local.ip(), orig_l);
    reply.push(Payload::TsI(narrow::write(&back_r)));
    reply.push(Payload::TsR(narrow::write(&back_l)));
    let plan = Plan {
        id: core.child_id(),
        spi_in,
        spi_out,
        chosen,
        local_ts: fit.local_ts,
        remote_ts: fit.remote_ts,
        mode: if transport { Mode::Transport } else { tunnel_like(fit.config.mode) },
        reqid: None,
        replaces,
        nonces: nonces.clone(),
        initiator: false,
        config: fit.config,
    };
    Ok((plan, reply))
}

/// Parks the peer's request until the data plane has installed the CHILD_SA.
pub(crate) fn park(
    core: &mut Core,
    sa: &mut IkeSa,
    child: ChildLife,
    exchange: ExchangeType,
    reply: &[Payload],
) {
    let id = child.sa.id;
    sa.children.insert(id, child);
    sa.window.busy = true;
    if let Some(e) = sa.established_mut() {
        e.passive = Some(Passive {
            exchange,
            child: id,
            ok: Inner::of(reply),
            failed: Inner::of(&[notify(NotifyType::NoProposalChosen, &[])]),
        });
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
        });
        match parked {
            Some(p) => {
                child::finished(core, sa, id, Usage::default(), Usage::default());
                answer_parked(core, sa, p.exchange, &p.failed);
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
        answer_parked(core, sa, p.exchange, &p.ok);
        super::child_rekey::responder_installed(core, sa, id);
    } else {
        super::child_rekey::initiator_installed(core, sa, id);
    }
}

/// The answer that waited.
fn answer_parked(core: &mut Core, sa: &mut IkeSa, exchange: ExchangeType, inner: &Inner) {
    let payloads = inner.payloads().unwrap_or_default();
    send::respond_inner(core, sa, exchange, inner, &payloads);
}
