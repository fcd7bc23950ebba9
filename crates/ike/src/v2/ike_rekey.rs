//! Rekeying the IKE_SA (RFC 7296 1.3.2, 2.8.2, 2.18, 2.25.2).
use super::collision::{Outcome, decide};
use super::establish::{enter, report_times};
use super::followup::{self, Purpose};
use super::init::NONCE;
use super::keys::Nonces;
use super::{Exchange, Job, enqueue, send};
use crate::child::ChildState;
use crate::core::{Core, Later};
use crate::fault::Fault;
use crate::message::{error, find, nonce, notify, notify_name, pick};
use crate::negotiate;
use crate::sa::{IkeSa, Parcel, Standing};
use crate::when::When;
use crypto::{Secret, ke};
use policy::proposal::Chosen;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{ExchangeType, Ke, NotifyType};
use wire::ike::{KeyExchange, Payload};

/// How long a redundant IKE_SA of a collision may stay until the peer deletes it.
const REDUNDANT_MS: u64 = 60_000;

/// What both agreed on for the successor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IkePlan {
    pub(crate) chosen: Chosen,
    spi_i: u64,
    spi_r: u64,
    nonces: Nonces,
    /// We started the exchange, and so are the original initiator of the successor.
    initiator: bool,
}

/// Initiator: CREATE_CHILD_SA for the IKE_SA is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RekeySent {
    spi: u64,
    ni: Vec<u8>,
    pending: ke::Pending,
    /// The peer's rekeying that we answered meanwhile: its successor and the lower nonce of its exchange.
    theirs: Option<(u32, Vec<u8>)>,
    retries: u8,
}

impl IkePlan {
    fn lowest_nonce(&self) -> &[u8] {
        (&self.nonces.ni).min(&self.nonces.nr)
    }
}

// ---------------------------------------------------------------------------------------------- initiator

/// Starts rekeying.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    begin(core, sa, None, 0);
}

fn begin(core: &mut Core, sa: &mut IkeSa, wanted: Option<Ke>, retries: u8) {
    if !sa.is_up() {
        return;
    }
    // RFC 7296 2.25.2 makes the peer refuse while a CHILD_SA exchange is under way; ours are queued behind.
    let current = sa.keys().map(|k| k.suite.ke);
    let offered: Vec<Ke> =
        sa.conn.proposals.iter().flat_map(|p| p.ke.iter()).copied().filter(|k| *k != Ke::None).collect();
    let method =
        wanted.or_else(|| current.filter(|k| offered.contains(k))).or_else(|| offered.first().copied());
    let Some(method) = method else { return };
    let result = (|| {
        let pending = ke::start(method, &mut core.rng)?;
        let spi = core.shard.ike_spi(&mut core.rng);
        let ni = core.rng.bytes(NONCE);
        let p = [
            Payload::Sa(negotiate::offer(&sa.conn.proposals, &spi.to_be_bytes(), true)),
            Payload::Nonce(ni.clone()),
            Payload::Ke(KeyExchange { method, data: pending.public().to_vec() }),
        ];
        say!(core, sa, Ike 0, "initiating IKE_SA {} to {}", sa.title(), sa.remote.ip());
        send::request(core, sa, ExchangeType::CreateChildSa, &p)?;
        Ok::<_, Fault>(RekeySent { spi, ni, pending, theirs: None, retries })
    })();
    match result {
        Ok(sent) => {
            core.count("ike-rekey-init", Some(&sa.conn.name));
            if let Some(e) = sa.established_mut() {
                e.standing = Standing::Rekeying;
                e.rekey_at = When::NEVER;
                e.active = Some(Exchange::IkeRekey(Box::new(sent)));
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "unable to rekey IKE_SA: {fault}");
            retry_later(core, sa);
        }
    }
}

fn retry_later(core: &mut Core, sa: &mut IkeSa) {
    let at = core.now.mono.saturating_add(10_000).saturating_add(core.rng.below(10_000));
    if let Some(e) = sa.established_mut() {
        if e.standing == Standing::Rekeying {
            e.standing = Standing::Up;
        }
        e.rekey_at = When::at(at);
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, sent: RekeySent, p: &[Payload]) {
    if let Some(n) = find(p, NotifyType::InvalidKePayload).filter(|_| sent.retries < 2) {
        let k = <[u8; 2]>::try_from(n.data.as_slice()).map(|b| Ke::from(u16::from_be_bytes(b)));
        if let Ok(k) = k
            && sa.conn.proposals.iter().any(|x| x.ke.contains(&k))
        {
            say!(core, sa, Ike 1, "peer didn't accept key exchange method, it requested {}", crypto::table::ke_name(k));
            return begin(core, sa, Some(k), sent.retries.saturating_add(1));
        }
    }
    if let Some(kind) = error(p) {
        say!(core, sa, Ike 1, "received {} notify error", notify_name(kind));
        if let Some((theirs, _)) = sent.theirs {
            // The peer's own rekeying stands.
            return superseded(core, sa, theirs);
        }
        say!(core, sa, Ike 1, "IKE_SA rekeying failed, trying again");
        return retry_later(core, sa);
    }
    let result = (|| {
        let offer = pick!(p, Sa).ok_or(Fault::Broken("SA payload missing"))?;
        let key = pick!(p, Ke).ok_or(Fault::Broken("KE payload missing"))?;
        let (chosen, spi) = negotiate::accept(&sa.conn.proposals, offer, true)
            .ok_or(Fault::Broken("peer chose a proposal that was not offered"))?;
        let spi_r = <[u8; 8]>::try_from(spi.as_slice()).map(u64::from_be_bytes).unwrap_or(0);
        if spi_r == 0 || key.method != chosen.ke || key.method != sent.pending.method() {
            return Err(Fault::Broken("illegal answer to IKE_SA rekeying"));
        }
        let nonces = Nonces { ni: sent.ni.clone(), nr: nonce(p)? };
        let shared = sent.pending.finish(&key.data)?;
        Ok((IkePlan { chosen, spi_i: sent.spi, spi_r, nonces, initiator: true }, shared))
    })();
    match result {
        Ok((plan, shared)) => followup::gather(core, sa, Purpose::IkeRekey { plan, sent }, vec![shared], p),
        Err(fault) => failed(core, sa, &fault),
    }
}

/// Our side cannot go on. The peer may have a successor that we have not: start anew.
pub(crate) fn failed(core: &mut Core, sa: &mut IkeSa, fault: &Fault) {
    say!(core, sa, Ike 1, "IKE_SA rekeying failed: {fault}");
    retry_later(core, sa);
}

/// All key exchanges are done.
pub(crate) fn complete(core: &mut Core, sa: &mut IkeSa, plan: &IkePlan, sent: &RekeySent, shared: &[Secret]) {
    let mut new = match successor(core, sa, plan, shared) {
        Ok(n) => n,
        Err(fault) => return failed(core, sa, &fault),
    };
    let lost = sent
        .theirs
        .as_ref()
        .filter(|(_, n)| decide(plan.lowest_nonce(), n) == Outcome::Lost)
        .map(|(id, _)| *id);
    if let Some(theirs) = lost {
        say!(core, sa, Ike 1, "IKE_SA rekey collision lost, deleting redundant IKE_SA {}", new.title());
        enqueue(core, &mut new, Job::IkeDelete);
        core.later.push_back(Later::Insert(Box::new(new)));
        return superseded(core, sa, theirs);
    }
    if sent.theirs.is_some() {
        say!(core, sa, Ike 1, "IKE_SA rekey collision won, keeping IKE_SA {}", new.title());
    }
    let id = new.id;
    core.later.push_back(Later::Insert(Box::new(new)));
    hand_over(core, sa, id);
    core.later.push_back(Later::Close(sa.id));
}

/// Packs up what the successor takes over; what is left of this one is a husk.
fn hand_over(core: &mut Core, sa: &mut IkeSa, new: u32) {
    let parcel = Parcel::take(sa);
    core.later.push_back(Later::Inherit { new, parcel: Box::new(parcel) });
    if let Some(e) = sa.established_mut() {
        e.standing = Standing::Rekeyed;
        e.successor = Some(new);
        e.rekey_at = When::NEVER;
        e.reauth_at = When::NEVER;
        e.expire_at = When::NEVER;
    }
}

/// The peer's successor takes over; the peer deletes this one.
fn superseded(core: &mut Core, sa: &mut IkeSa, new: u32) {
    hand_over(core, sa, new);
    let until = core.now.mono.saturating_add(REDUNDANT_MS);
    if let Some(e) = sa.established_mut() {
        e.close_at = When::at(until);
    }
}

/// `IKE_SA home[2] rekeyed between …`: it has taken over.
pub(crate) fn announce(core: &mut Core, old: Box<crate::io::IkeView>, new: &IkeSa) {
    say!(core, new, Ike 0, "IKE_SA {} rekeyed between {}", new.title(), new.ends());
    report_times(core, new, false);
    core.tell(crate::io::Event::IkeRekey { old, new: Box::new(crate::view::bare(new)) });
}

/// Builds the successor; it has no children yet.
fn successor(core: &mut Core, sa: &IkeSa, plan: &IkePlan, shared: &[Secret]) -> Result<IkeSa, Fault> {
    let e = sa.established().ok_or(Fault::Broken("IKE_SA is not established"))?;
    let keys =
        e.keys.rekeyed(&core.suites.share(&plan.chosen), shared, &plan.nonces, (plan.spi_i, plan.spi_r))?;
    let (proof, reauth_at) = (e.proof, e.reauth_at.get());
    let id = core.ike_id();
    let mut new = IkeSa::new(id, Arc::clone(&sa.conn), plan.initiator, sa.local, sa.remote, core.now.mono);
    new.spi_i = plan.spi_i;
    new.spi_r = plan.spi_r;
    new.nat = sa.nat;
    new.features = sa.features;
    new.local_id = sa.local_id.clone();
    new.remote_id = sa.remote_id.clone();
    let few = sa.few();
    if few.remote_eap_id.is_some() || !few.groups.is_empty() || !few.remote_addresses.is_empty() {
        let of_new = new.few_mut();
        of_new.remote_eap_id = few.remote_eap_id.clone();
        of_new.groups = few.groups.clone();
        of_new.remote_addresses = few.remote_addresses.clone();
    }
    new.if_ids = sa.if_ids;
    // Its keys come from SK_d, into which the PPK went (RFC 8784 3).
    new.ppk = sa.ppk;
    let random = core.rng.u64();
    let mut times = crate::lifetime::ike(&sa.conn, core.now.mono, random);
    // Rekeying does not put reauthentication off.
    times.reauth_at = reauth_at;
    enter(core, &mut new, keys, proof, times);
    Ok(new)
}

// ---------------------------------------------------------------------------------------------- responder

/// A request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    let refuse = |core: &mut Core, sa: &mut IkeSa, kind: NotifyType, data: &[u8]| {
        send::respond(core, sa, ExchangeType::CreateChildSa, &[notify(kind, data)]);
    };
    let Some(e) = sa.established() else { return };
    // RFC 7296 2.25.2: TEMPORARY_FAILURE while we create, rekey or close a CHILD_SA, or close the IKE_SA.
    let child_busy = matches!(
        e.active,
        Some(
            Exchange::ChildCreate(_)
                | Exchange::ChildRekey(_)
                | Exchange::ChildDelete(_)
                | Exchange::Followup(_)
        )
    ) || sa.children.values().any(|c| matches!(c.state, ChildState::Installing));
    if child_busy || matches!(e.standing, Standing::Deleting | Standing::Rekeyed) {
        say!(core, sa, Ike 1, "peer initiated rekeying, but a CHILD_SA or the IKE_SA is being worked on");
        return refuse(core, sa, NotifyType::TemporaryFailure, &[]);
    }
    let (Some(offered), Some(key), Ok(ni)) = (pick!(p, Sa), pick!(p, Ke), nonce(p)) else {
        return refuse(core, sa, NotifyType::InvalidSyntax, &[]);
    };
    let received = negotiate::read(offered);
    let prefer = core.snapshot.settings.prefer_configured_proposals;
    let Some((chosen, from)) = negotiate::choose(&sa.conn.proposals, &received, prefer, true) else {
        say!(core, sa, Cfg 1, "received proposals: {}", negotiate::list(received.iter().map(|r| &r.offer)));
        say!(core, sa, Cfg 1, "configured proposals: {}", negotiate::list(sa.conn.proposals.iter()));
        say!(core, sa, Ike 1, "no acceptable proposal found");
        return refuse(core, sa, NotifyType::NoProposalChosen, &[]);
    };
    let spi_i = <[u8; 8]>::try_from(from.spi.as_slice()).map(u64::from_be_bytes).unwrap_or(0);
    if spi_i == 0 {
        return refuse(core, sa, NotifyType::InvalidSyntax, &[]);
    }
    if key.method != chosen.ke {
        say!(core, sa, Ike 1, "KE method {} unacceptable, requesting {}", crypto::table::ke_name(key.method), crypto::table::ke_name(chosen.ke));
        return refuse(core, sa, NotifyType::InvalidKePayload, &u16::from(chosen.ke).to_be_bytes());
    }
    let (public, shared) = match ke::respond(key.method, &key.data, &mut core.rng) {
        Ok(x) => x,
        Err(e) => {
            say!(core, sa, Ike 1, "key exchange failed: {e}");
            return refuse(core, sa, NotifyType::InvalidSyntax, &[]);
        }
    };
    say!(core, sa, Cfg 1, "selected proposal: {chosen}");
    core.count("ike-rekey-resp", Some(&sa.conn.name));
    let spi_r = core.shard.ike_spi(&mut core.rng);
    let nr = core.rng.bytes(NONCE);
    let reply = vec![
        Payload::Sa(negotiate::answer(&chosen, from, &spi_r.to_be_bytes())),
        Payload::Nonce(nr.clone()),
        Payload::Ke(KeyExchange { method: key.method, data: public }),
    ];
    let plan = IkePlan { chosen, spi_i, spi_r, nonces: Nonces { ni, nr }, initiator: false };
    followup::park_ike(core, sa, plan, reply, vec![shared]);
}

/// The answer has left: the successor is there.
pub(crate) fn responded(core: &mut Core, sa: &mut IkeSa, plan: &IkePlan, shared: &[Secret]) {
    let mut new = match successor(core, sa, plan, shared) {
        Ok(n) => n,
        Err(fault) => {
            say!(core, sa, Ike 1, "IKE_SA rekeying failed: {fault}");
            return;
        }
    };
    let id = new.id;
    let lowest = plan.lowest_nonce().to_vec();
    let colliding = sa.established_mut().is_some_and(|e| match &mut e.active {
        Some(Exchange::IkeRekey(sent)) => {
            sent.theirs = Some((id, lowest));
            true
        }
        _ => false,
    });
    if colliding {
        say!(core, sa, Ike 1, "detected IKE_SA rekey collision");
        // The peer closes it if ours wins; nothing must stay if it forgets.
        let until = core.now.mono.saturating_add(REDUNDANT_MS);
        if let Some(e) = new.established_mut() {
            e.close_at = When::at(until);
        }
        core.later.push_back(Later::Insert(Box::new(new)));
        return;
    }
    core.later.push_back(Later::Insert(Box::new(new)));
    superseded(core, sa, id);
}

/// The peer deletes the IKE_SA while our rekeying is in flight: its own successor, if any, takes over.
/// Gives whether that is so.
pub(crate) fn deleted_under_us(core: &mut Core, sa: &mut IkeSa) -> bool {
    let theirs = sa.established().and_then(|e| match &e.active {
        Some(Exchange::IkeRekey(s)) => s.theirs.as_ref().map(|(id, _)| *id),
        Some(Exchange::Followup(f)) => match &f.purpose {
            Purpose::IkeRekey { sent, .. } => sent.theirs.as_ref().map(|(id, _)| *id),
            Purpose::Create { .. } | Purpose::ChildRekey { .. } => None,
        },
        _ => None,
    });
    if let Some(id) = theirs {
        superseded(core, sa, id);
    }
    theirs.is_some()
}
