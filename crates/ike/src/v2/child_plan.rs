//! What a CHILD_SA will be: offers, their answers, and the CHILD_SA they make (RFC 7296 2.7, 2.9, 2.17).
use super::child_mode;
use super::keys::{Keys, Nonces};
use crate::child::{self, ChildLife, ChildState, Farewell, Keeps};
use crate::core::{Core, StartChild};
use crate::fault::Fault;
use crate::io::Event;
use crate::message::pick;
use crate::reqid::ReqKey;
use crate::sa::IkeSa;
use crate::when::When;
use crate::{narrow, negotiate, select};
use crypto::Secret;
use policy::proposal::Chosen;
use policy::sa::Usage;
use policy::selector::ANY_PORT;
use policy::{Child, ChildSa, Mode, Selector, VirtualIp};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use thin_vec::ThinVec;
use wire::iana::{Ke, NotifyType, ProtocolId};
use wire::ike::Payload;

/// What we offered for a CHILD_SA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) config: Arc<Child>,
    pub(crate) id: u32,
    pub(crate) spi_in: u32,
    pub(crate) keeps: Option<Keeps>,
    pub(crate) replaces: Option<u32>,
    local_ts: Vec<Selector>,
    remote_ts: Vec<Selector>,
    mode: Mode,
    /// Our CPI where IPComp is offered, else 0.
    cpi_in: u16,
}

/// What a CHILD_SA has taken before it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) id: u32,
    pub(crate) spi: u32,
    pub(crate) cpi: u16,
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
    /// Ours and the peer's, 0 without IPComp.
    cpis: (u16, u16),
    keeps: Option<Keeps>,
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

/// What `dynamic` means on our side and on the peer's.
pub(crate) fn hosts(sa: &IkeSa) -> (Vec<VirtualIp>, Vec<VirtualIp>) {
    let ours = if !sa.local_vips.is_empty() {
        sa.local_vips.to_vec()
    } else if sa.established().is_none() && sa.initiator && !sa.conn.vips.is_empty() {
        // The responder may give other addresses than we ask for: its selectors must fit in ours whatever it gives.
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
        let asked = |any: &VirtualIp| sa.conn.vips.iter().any(|v| v.is_ipv4() == any.is_ipv4());
        any.into_iter().map(VirtualIp::from).filter(asked).collect()
    } else {
        vec![sa.local.ip().into()]
    };
    let theirs =
        if sa.remote_vips.is_empty() { vec![sa.remote.ip().into()] } else { sa.remote_vips.to_vec() };
    (ours, theirs)
}

/// Makes an offer for a child; draws its number and its SPI.
pub(crate) fn offer(core: &mut Core, sa: &IkeSa, start: &StartChild, replaces: Option<u32>) -> Offer {
    let (ours, theirs) = hosts(sa);
    let config = Arc::clone(&start.config);
    let (local_ts, remote_ts) = match replaces.and_then(|r| sa.children.get(&r)) {
        // RFC 7296 2.9.2: a rekeyed CHILD_SA has the selectors of the old one.
        Some(old) => (old.sa.local_ts.to_vec(), old.sa.remote_ts.to_vec()),
        None => (narrow::resolve(&config.local_ts, &ours), narrow::resolve(&config.remote_ts, &theirs)),
    };
    let (id, spi_in) = (core.child_id(), core.child_spi());
    Offer {
        id,
        spi_in,
        cpi_in: child_mode::draw_cpi(core, sa, &config, spi_in),
        keeps: start.keeps,
        replaces,
        local_ts,
        remote_ts,
        mode: config.mode,
        config,
    }
}

impl Offer {
    /// `[N(IPCOMP_SUP)] [N(USE_TRANSP)] SA TSi TSr`, for IKE_AUTH.
    pub(crate) fn payloads(
        &self,
        with_ke: bool,
        s: &policy::Settings,
        packet: Option<(Selector, Selector)>,
    ) -> Vec<Payload> {
        let mut p = self.notifies();
        p.push(self.sa_payload(with_ke));
        p.extend(self.ts_payloads(s, packet));
        p
    }

    /// `[N(IPCOMP_SUP)] [N(USE_TRANSP)]`.
    pub(crate) fn notifies(&self) -> Vec<Payload> {
        child_mode::ipcomp(self.cpi_in).into_iter().chain(child_mode::said(self.mode)).collect()
    }

    /// What is taken for it.
    pub(crate) fn reserved(&self) -> Reserved {
        Reserved { id: self.id, spi: self.spi_in, cpi: self.cpi_in }
    }

    pub(crate) fn sa_payload(&self, with_ke: bool) -> Payload {
        Payload::Sa(negotiate::offer(&self.config.proposals, &self.spi_in.to_be_bytes(), with_ke))
    }

    pub(crate) fn ts_payloads(
        &self,
        s: &policy::Settings,
        packet: Option<(Selector, Selector)>,
    ) -> [Payload; 2] {
        let (mut l, mut r) = (self.local_ts.clone(), self.remote_ts.clone());
        // RFC 7296 2.9: the triggering packet goes first, if our policy has it.
        // Of ICMP not the type: the answer to a packet has another.
        let whole =
            |s: Selector| if matches!(s.protocol, 1 | 58) { Selector { ports: ANY_PORT, ..s } } else { s };
        if let Some((pl, pr)) = packet.filter(|_| !s.ignore_acquire_ts).map(|(l, r)| (whole(l), whole(r)))
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

    /// What is taken for it.
    pub(crate) fn reserved(&self) -> Reserved {
        Reserved { id: self.id, spi: self.spi_in, cpi: self.cpis.0 }
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
    let keeps = old
        .map(|old| Keeps::of(&old.sa))
        .or(plan.keeps)
        .or_else(|| core.traps.kept(&sa.conn.name, &plan.config));
    let m = match keeps {
        Some(keeps) => keeps.marks,
        None => child::marks(core, &plan.config, sa.if_ids, plan.id).map_err(Fault::Local)?,
    };
    let key = ReqKey {
        connection: &sa.conn.name,
        child: &plan.config.name,
        local_ts: &plan.local_ts,
        remote_ts: &plan.remote_ts,
        unique: if child::draws_unique(&plan.config) { plan.id } else { 0 },
    };
    let fixed = if plan.config.reqid != 0 { Some(plan.config.reqid) } else { keeps.map(|keeps| keeps.reqid) };
    let reqid = match fixed {
        Some(r) => {
            core.reqids.take(r, &key);
            r
        }
        None => core.reqids.allocate(&key),
    };
    let lowest_nonce = match plan.replaces {
        Some(_) => plan.lowest_nonce().iter().copied().collect(),
        None => ThinVec::new(),
    };
    let random = core.rng.u64();
    let life = &plan.config.lifetime;
    let order = ChildSa {
        id: plan.id,
        ike_id: sa.id,
        connection: core.table.name(&sa.conn.name),
        reqid,
        protocol: plan.chosen.protocol,
        mode: plan.mode,
        spi_in: plan.spi_in,
        spi_out: plan.spi_out,
        cpi_in: plan.cpis.0,
        cpi_out: plan.cpis.1,
        encr: plan.chosen.encr,
        integ: plan.chosen.integ,
        esn: plan.chosen.esn == wire::iana::Esn::Yes,
        keys_in,
        keys_out,
        local: sa.local,
        remote: sa.remote,
        encap: sa.nat.any(),
        tfc_allowed: true,
        local_ts: plan.local_ts.into(),
        remote_ts: plan.remote_ts.into(),
        local_vips: sa.local_vips.iter().map(|vip| vip.host()).collect(),
        initiator: plan.initiator,
        replaces: plan.replaces,
        // The responder of a rekeying sends on the old one until the initiator has switched (RFC 7296 2.8).
        inbound_only: !plan.initiator && plan.replaces.is_some(),
        mark_in: m.mark_in,
        mark_out: m.mark_out,
        if_id_in: m.if_id_in,
        if_id_out: m.if_id_out,
        interface: child::own_interface(&sa.conn, m.if_id_out),
        soft: crate::lifetime::soft(life, random),
        hard: (life.bytes.life, life.packets.life),
        config: plan.config,
    };
    core.marks.take(&order.config, [order.mark_in, order.mark_out]);
    Ok(ChildLife {
        sa: Arc::new(order),
        state: ChildState::Created,
        ke: plan.chosen.ke,
        add_ke: plan.chosen.add_ke.into_iter().collect(),
        installed: core.now.mono,
        rekey_at: When::NEVER,
        expires_at: When::NEVER,
        usage_in: Usage::default(),
        usage_out: Usage::default(),
        last_used: core.now.mono,
        successor: None,
        remove_at: When::NEVER,
        retry_at: When::NEVER,
        announced: false,
        farewell: Farewell::Failed,
        lowest_nonce,
        in_plane: false,
    })
}

/// A peer's SPI of AH or ESP: four bytes, and none of the reserved 0 to 255 (RFC 4302 2.4, RFC 4303 2.1).
pub(crate) fn spi4(spi: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(spi).ok().map(u32::from_be_bytes).filter(|s| *s > 255)
}

/// Checks an answer against our offer: in IKE_AUTH, or with the key exchange that we sent.
pub(crate) fn plan(
    core: &mut Core,
    sa: &IkeSa,
    offer: &Offer,
    p: &[Payload],
    nonces: &Nonces,
    (in_auth, sent_ke): (bool, Option<Ke>),
) -> Result<Plan, Fault> {
    let answer = pick!(p, Sa).ok_or(Fault::Broken("SA payload missing"))?;
    let (tsi, tsr) = (pick!(p, TsI), pick!(p, TsR));
    let (tsi, tsr) = tsi.zip(tsr).ok_or(Fault::Broken("TS payload missing"))?;
    let (chosen, spi) = negotiate::accept(&offer.config.proposals, answer, !in_auth)
        .ok_or(Fault::Broken("peer chose a proposal that was not offered"))?;
    let spi_out = spi4(&spi).ok_or(Fault::Broken("peer chose an illegal SPI"))?;
    if chosen.ke != Ke::None && (sent_ke != Some(chosen.ke) || pick!(p, Ke).is_none()) {
        return Err(Fault::Broken("peer chose a key exchange method other than the one used"));
    }
    // Who answers with the notify of a mode knows it, whatever the vendor ID.
    let mode = child_mode::agreed(offer.mode, child_mode::heard(p));
    if mode != offer.mode {
        say!(core, sa, Chd 1, "peer does not accept {} mode, using tunnel mode", child_mode::name(offer.mode));
    }
    let cpis =
        child_mode::peer_cpi(p).filter(|_| offer.cpi_in != 0).map_or((0, 0), |theirs| (offer.cpi_in, theirs));
    if offer.cpi_in != 0 && cpis.0 == 0 {
        say!(core, sa, Chd 1, "peer does not accept IPComp, CHILD_SA {} goes without", offer.config.name);
    }
    let (mut l, mut r) = (narrow::read(tsi), narrow::read(tsr));
    if mode == Mode::Transport && sa.nat.any() {
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
        mode,
        cpis,
        keeps: offer.keeps,
        replaces: offer.replaces,
        nonces: nonces.clone(),
        initiator: true,
    })
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
    let plan = plan(core, sa, offer, p, nonces, (true, None))?;
    build(core, sa, keys, plan, &[])
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

pub(crate) fn plan_answer(
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
    let wanted = child_mode::requested(core, sa, p);
    let (mut theirs, mut ours) = (narrow::read(tsi), narrow::read(tsr));
    let nat_transport = wanted == Mode::Transport && sa.nat.any();
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
        None => select::child(&sa.conn.children, (&h_l, &h_r), (&ours, &theirs), wanted),
    };
    let Some(fit) = fit else {
        say!(core, sa, Ike 1, "traffic selectors {} === {} unacceptable", child::ts_list(&ours), child::ts_list(&theirs));
        core.tell(Event::Alert {
            kind: "ts-mismatch",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
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
            detail: Vec::new(),
        });
        return Err(NotifyType::NoProposalChosen);
    };
    say!(core, sa, Cfg 1, "selected proposal: {chosen}");
    let spi_out = spi4(&from.spi).ok_or(NotifyType::InvalidSyntax)?;
    if chosen.protocol == ProtocolId::Ah && sa.nat.any() {
        // RFC 4302 3.3.3.1.1.1: AH covers the addresses that a NAT changes, and there is none in UDP.
        say!(core, sa, Ike 1, "AH does not pass a NAT, nor is there AH in UDP (encap = yes): CHILD_SA {} is refused", fit.config.name);
        return Err(NotifyType::NoProposalChosen);
    }
    let mode = child_mode::agreed(fit.config.mode, wanted);
    if mode != fit.config.mode {
        let (ours, theirs) = (child_mode::name(fit.config.mode), child_mode::name(wanted));
        say!(core, sa, Ike 1, "configured for {ours} mode, but peer requested {theirs} mode");
    }
    let spi_in = core.child_spi();
    let cpis = child_mode::answer_ipcomp(core, sa, &fit.config, spi_in, p);
    let mut reply: Vec<Payload> =
        child_mode::ipcomp(cpis.0).into_iter().chain(child_mode::said(mode)).collect();
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
        mode,
        cpis,
        keeps: None,
        replaces,
        nonces: nonces.clone(),
        initiator: false,
        config: fit.config,
    };
    Ok((plan, reply))
}
