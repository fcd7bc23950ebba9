//! The initiator's part of IKE_AUTH.

mod speech;

use speech::{after_auth, eap_only_will_do, macs, own_round, round_of, say_round, signing, to_prove};

use super::eap::{self, Done, Run};
use super::rounds::{self, How, Passed, RawId, distrust};
use super::{Own, PATIENCE_MS, Said, alarm, certs_of, judged_hashes, refused, tell};
use crate::core::{Core, Waiter};
use crate::fault::Fault;
use crate::io::{Ask, Candidate, EapInput, EapJoin, EapStep, JudgeRequest, Judged};
use crate::message::{Inner, error, has, notify, notify_name, pick};
use crate::sa::{IkeSa, Phase, Wait};
use crate::v2::child_plan::Offer;
use crate::v2::init::Handshake;
use crate::v2::ppk::{self, Offered};
use crate::v2::proof::{Proven, auth_key, by_key, by_signature, octets, verify, wire_id};
use crate::v2::{close, send, take_phase};
use policy::{Auth, AuthClass, Connection, Identity};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{AuthMethod, ExchangeType, NotifyType, ProtocolId};
use wire::ike::Payload;

/// IKE_AUTH is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) hs: Handshake,
    pub(crate) offer: Option<Offer>,
    /// Message ID of the first request, for IntAuth (RFC 9242 3.3.2).
    auth_id: u32,
    /// The post-quantum pre-shared key that our last AUTH offers.
    ppk: Option<Offered>,
    /// PPK_IDENTITY is out, and not answered.
    ppk_asked: bool,
    /// Our round that is due or under way.
    ours: usize,
    /// Rounds of the peer's that are done.
    theirs: usize,
    /// Something of ours has left.
    begun: bool,
    /// Who the peer says it is.
    idr: Option<RawId>,
    proof: Option<Proven>,
    /// The peer announced another round.
    follows: bool,
    eap: Option<Run>,
    stage: Stage,
    /// A question must be answered by then, monotonic ms.
    pub(crate) until: u64,
    /// The peer's error notify that ends it.
    told: Option<NotifyType>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    /// Our request is being signed.
    Signing,
    /// It is out.
    Sent,
    /// The peer's response is being judged.
    Judging(Inner),
    /// The EAP packet in it is being worked on.
    Eap(Inner),
}

/// How it goes on.
enum Next {
    /// A question is open.
    Wait,
    Send(Vec<Payload>),
    /// Both are authenticated; the rest of the response is about configuration and the CHILD_SA.
    Up(Vec<Payload>),
}

impl Claim {
    /// No request of ours is on its way, so a question must be open.
    pub(crate) fn asks(&self) -> bool {
        !matches!(self.stage, Stage::Sent)
    }

    /// Nobody goes on with it.
    pub(crate) fn abandon(&self, core: &mut Core) {
        if let Some(o) = &self.offer {
            core.spis.remove(&o.spi_in);
        }
        if let Some(run) = &self.eap {
            run.abandon(core);
        }
    }

    /// What our AUTH covers, under these keys.
    fn own_octets(&self, hs: &Handshake, me: &Identity) -> Result<Vec<u8>, Fault> {
        octets(hs, true, &wire_id(me), self.auth_id)
    }

    /// What the peer's covers.
    fn peer_octets(&self) -> Result<Vec<u8>, Fault> {
        let idr = self.idr.as_ref().ok_or(Fault::Broken("IDr payload missing"))?;
        octets(&self.hs, false, &idr.wire(), self.auth_id)
    }
}

/// Starts.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, hs: Handshake) {
    let offered = ppk::choose(core, sa, &hs);
    let (ppk, fault) = match offered {
        Ok(o) => (o, None),
        Err(fault) => (None, Some(fault)),
    };
    let claim = Claim {
        auth_id: sa.window.next_out,
        hs,
        offer: None,
        ppk,
        ppk_asked: false,
        ours: 0,
        theirs: 0,
        begun: false,
        idr: None,
        proof: None,
        follows: false,
        eap: None,
        stage: Stage::Signing,
        until: core.now.mono,
        told: None,
    };
    sa.phase = Phase::Claiming(Box::new(claim));
    go(core, sa, |core, sa, c| {
        if let Some(fault) = fault {
            return Err(fault);
        }
        if rounds::ours(&sa.conn).len() > 1 && !c.hs.wishes.multiple {
            return Err(Fault::Local("peer does not support multiple authentication rounds".to_owned()));
        }
        own_round(core, sa, c)
    });
}

/// Does one step and what follows from it.
fn go(
    core: &mut Core,
    sa: &mut IkeSa,
    step: impl FnOnce(&mut Core, &mut IkeSa, &mut Claim) -> Result<Next, Fault>,
) {
    let mut claim = match take_phase(sa) {
        Phase::Claiming(claim) => claim,
        other => return sa.phase = other,
    };
    let next = step(core, sa, &mut claim);
    match next {
        Ok(Next::Wait) => {
            claim.until = core.now.mono.saturating_add(PATIENCE_MS);
            sa.phase = Phase::Claiming(claim);
        }
        Ok(Next::Send(payloads)) => {
            claim.stage = Stage::Sent;
            claim.begun = true;
            sa.phase = Phase::Claiming(claim);
            if let Err(fault) = send::request(core, sa, ExchangeType::IkeAuth, &payloads) {
                fail(core, sa, &fault);
            }
        }
        Ok(Next::Up(p)) => {
            let Claim { hs, offer, proof, .. } = *claim;
            match proof {
                Some(proof) => super::settle::settled(core, sa, hs, offer, proof, &p),
                // `finish` has seen to it.
                None => close::leave(core, sa),
            }
        }
        Err(fault) => {
            sa.phase = Phase::Claiming(claim);
            fail(core, sa, &fault);
        }
    }
}

/// It is over; a peer that waits for us is told (RFC 7296 2.21.2).
fn fail(core: &mut Core, sa: &mut IkeSa, fault: &Fault) {
    let (begun, told) = match &sa.phase {
        Phase::Claiming(c) => (c.begun, c.told),
        _ => return,
    };
    if let Some(kind) = told {
        say!(core, sa, Ike 1, "received {} notify error", notify_name(kind));
        alarm(core, sa, fault, "local-auth-failed");
    } else if begun {
        say!(core, sa, Ike 1, "IKE_AUTH response processing failed: {fault}");
        let ours = matches!(fault, Fault::Local(_));
        alarm(core, sa, fault, if ours { "local-auth-failed" } else { "peer-auth-failed" });
        let payloads = [notify(NotifyType::AuthenticationFailed, &[])];
        if let Err(e) = send::request(core, sa, ExchangeType::Informational, &payloads) {
            say!(core, sa, Ike 1, "unable to tell the peer: {e}");
        }
    } else {
        say!(core, sa, Ike 0, "unable to send IKE_AUTH request: {fault}");
        alarm(core, sa, fault, "local-auth-failed");
    }
    close::leave(core, sa);
}

/// Nobody wants it any more. A responder that may think that all is well is told; whether it was.
pub(crate) fn farewell(core: &mut Core, sa: &mut IkeSa) -> bool {
    let heard = match &sa.phase {
        Phase::Claiming(c) => c.begun && c.asks(),
        _ => false,
    };
    let delete = Payload::Delete(wire::ike::Delete { protocol: ProtocolId::Ike, spis: Vec::new() });
    heard && send::request(core, sa, ExchangeType::Informational, &[delete]).is_ok()
}

/// A question was not answered in time.
pub(crate) fn late(core: &mut Core, sa: &mut IkeSa) {
    fail(core, sa, &Fault::Local("no answer about credentials in time".to_owned()));
}

// ---------------------------------------------------------------------------------------------- what we hear

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, inner: &Inner, p: &[Payload]) {
    go(core, sa, |core, sa, c| hear(core, sa, c, inner, p));
}

/// An error notify in a response without AUTH refuses us, but for those that are about the CHILD_SA.
fn refusal(p: &[Payload]) -> Option<NotifyType> {
    let about_child = |kind: NotifyType| {
        matches!(
            kind,
            NotifyType::NoProposalChosen
                | NotifyType::TsUnacceptable
                | NotifyType::SinglePairRequired
                | NotifyType::NoAdditionalSas
                | NotifyType::InternalAddressFailure
                | NotifyType::FailedCpRequired
                | NotifyType::InvalidSelectors
                | NotifyType::TemporaryFailure
        )
    };
    error(p).filter(|kind| pick!(p, Auth).is_none() && !about_child(*kind))
}

fn hear(core: &mut Core, sa: &mut IkeSa, c: &mut Claim, inner: &Inner, p: &[Payload]) -> Result<Next, Fault> {
    if let Some(kind) = refusal(p) {
        c.told = Some(kind);
        return Err(Fault::Refused(kind));
    }
    if std::mem::take(&mut c.ppk_asked) {
        let offered = c.ppk.take();
        ppk::answered(core, sa, &mut c.hs, offered.as_ref(), p)?;
    }
    let done = c.eap.as_ref().and_then(|run| run.done.clone());
    let Some(auth) = pick!(p, Auth) else {
        if done.is_some() {
            return Err(missing(c, p));
        }
        note_identity(core, sa, c, p)?;
        return after_peer(core, sa, c, inner, p);
    };
    if let Some(done) = done {
        let signed = c.peer_octets()?;
        let key = auth_key(&c.hs, done.msk.as_ref(), false);
        let proof = by_key(&c.hs, &key, &auth.data, &signed)?.filter(|_| auth.method == AuthMethod::Psk);
        let other = sa.other();
        let Some(proof) = proof else {
            say!(core, sa, Ike 1, "verification of AUTH payload with{} EAP MSK failed", if done.msk.is_some() { "" } else { "out" });
            return Err(refused());
        };
        say!(core, sa, Ike 1, "authentication of '{other}' with EAP successful");
        // A method of which the server is authenticated too has done its round.
        let due = rounds::theirs(&sa.conn).get(c.theirs).copied();
        if due.is_some_and(|r| matches!(r.class, AuthClass::Eap(_) | AuthClass::Any)) {
            c.theirs = c.theirs.saturating_add(1);
        }
        c.proof = Some(proof);
        c.follows = has(p, NotifyType::AnotherAuthFollows);
        c.eap = None;
        return finish(core, sa, c, p);
    }
    note_identity(core, sa, c, p)?;
    c.follows = has(p, NotifyType::AnotherAuthFollows);
    let conn = Arc::clone(&sa.conn);
    let round = due(&conn, c)?;
    let how = How::of(auth.method).ok_or_else(|| {
        Fault::Local(format!("peer authenticated by {:?}, which is not supported", auth.method))
    })?;
    if !how.fits(&round.class) {
        let other = sa.other();
        let passed = Passed { how, identity: other, eap_identity: None, groups: Vec::new() };
        let why = rounds::violated(round, &passed).unwrap_or_default();
        say!(core, sa, Cfg 1, "{why}");
        return Err(Fault::Distrusted(distrust(&why)));
    }
    match how {
        How::Psk => by_psk(core, sa, c, round, &auth.data)?,
        How::Null => {
            let key = auth_key(&c.hs, None, false);
            let signed = c.peer_octets()?;
            c.proof = Some(by_key(&c.hs, &key, &auth.data, &signed)?.ok_or_else(refused)?);
            say!(core, sa, Ike 1, "peer did not authenticate itself, as we allow it");
        }
        How::Signature | How::Eap => {
            let request = judging(sa, c, p)?;
            let ticket = core.ask(Waiter::Ike(sa.id), Ask::Judge(Box::new(request)));
            sa.waiting.insert(ticket, Wait::Judge);
            c.stage = Stage::Judging(inner.clone());
            return Ok(Next::Wait);
        }
    }
    c.theirs = c.theirs.saturating_add(1);
    after_peer(core, sa, c, inner, p)
}

/// What is missing where AUTH should be.
fn missing(c: &mut Claim, p: &[Payload]) -> Fault {
    match error(p) {
        Some(kind) => {
            c.told = Some(kind);
            Fault::Refused(kind)
        }
        None => Fault::Broken("AUTH payload missing"),
    }
}

/// The round of the peer that its AUTH payload is for.
fn due<'a>(conn: &'a Connection, c: &Claim) -> Result<&'a Auth, Fault> {
    let all = rounds::theirs(conn);
    all.get(c.theirs).copied().ok_or(Fault::Broken("peer authenticates in more rounds than configured"))
}

/// Who the peer says it is in this round.
fn note_identity(core: &mut Core, sa: &mut IkeSa, c: &mut Claim, p: &[Payload]) -> Result<(), Fault> {
    let Some(idr) = pick!(p, IdR) else { return Ok(()) };
    let raw = RawId::of(idr);
    let other = raw.identity().ok_or(Fault::Broken("illegal IDr payload"))?;
    let conn = Arc::clone(&sa.conn);
    let round = due(&conn, c)?;
    let pattern = round.id.clone().unwrap_or(Identity::Any);
    if pattern.matches(&other).is_none() {
        say!(core, sa, Ike 0, "IDr '{other}' does not match to '{pattern}'");
        return Err(refused());
    }
    sa.remote_id = Some(Arc::new(other));
    c.idr = Some(raw);
    Ok(())
}

fn by_psk(core: &mut Core, sa: &mut IkeSa, c: &mut Claim, round: &Auth, value: &[u8]) -> Result<(), Fault> {
    let me = sa.me();
    let signed = c.peer_octets()?;
    let other = sa.other();
    let mut good = verify(core, sa, &c.hs, value, (&me, &other), &signed)?;
    if good.is_none() && round.id.as_ref().is_none_or(|id| *id == Identity::Any) {
        good = verify(core, sa, &c.hs, value, (&me, &Identity::Ip(sa.remote.ip())), &signed)?;
    }
    c.proof = Some(good.ok_or_else(refused)?.0);
    Ok(())
}

fn judging(sa: &IkeSa, c: &Claim, p: &[Payload]) -> Result<JudgeRequest, Fault> {
    let auth = pick!(p, Auth).ok_or(Fault::Broken("AUTH payload missing"))?;
    let candidate = Candidate { connection: sa.conn.name.clone(), auth: Arc::new(due(&sa.conn, c)?.clone()) };
    Ok(JudgeRequest {
        ike_id: sa.id,
        candidates: vec![candidate],
        peer: sa.other(),
        certs: certs_of(p),
        method: auth.method,
        auth: auth.data.clone(),
        octets: c.peer_octets()?,
        hashes: judged_hashes(&c.hs),
        remote: sa.remote,
    })
}

/// The world answered.
pub(super) fn told(core: &mut Core, sa: &mut IkeSa, said: Said) {
    go(core, sa, |core, sa, c| match said {
        Said::Signed(answer) => {
            let (_, last) = round_of(&sa.conn, c)?;
            let me = sa.me();
            let own = Own::signed(core, sa, &me, answer)?;
            say_round(core, sa, c, &me, Some(own), last)
        }
        Said::Judged(answer) => {
            let Stage::Judging(inner) = std::mem::replace(&mut c.stage, Stage::Sent) else {
                return Err(Fault::Broken("unexpected judgement"));
            };
            judged(core, sa, c, answer)?;
            let p = inner.payloads()?;
            after_peer(core, sa, c, &inner, &p)
        }
        Said::Stepped(answer) => {
            let step = answer.map_err(Fault::Local)?;
            stepped(core, sa, c, step)
        }
    });
}

fn judged(
    core: &mut Core,
    sa: &mut IkeSa,
    c: &mut Claim,
    answer: Result<Judged, String>,
) -> Result<(), Fault> {
    let judged = answer.map_err(Fault::Local)?;
    tell(core, sa, &judged.log);
    let trusted = judged.verdict.map_err(Fault::Distrusted)?;
    let signed = c.peer_octets()?;
    let proof = by_signature(&trusted.verified, &signed).ok_or_else(refused)?;
    let other = sa.other();
    let conn = Arc::clone(&sa.conn);
    let round = due(&conn, c)?;
    say!(core, sa, Ike 1, "authentication of '{other}' with {} successful", trusted.verified.scheme());
    let passed = Passed { how: How::Signature, identity: other, eap_identity: None, groups: trusted.groups };
    if let Some(why) = rounds::violated(round, &passed) {
        say!(core, sa, Cfg 1, "{why}");
        return Err(Fault::Distrusted(distrust(&why)));
    }
    if !passed.groups.is_empty() {
        sa.few_mut().groups.extend(passed.groups);
    }
    c.proof = Some(proof);
    c.theirs = c.theirs.saturating_add(1);
    Ok(())
}

/// The peer's part of the response is good; on with ours.
fn after_peer(
    core: &mut Core,
    sa: &mut IkeSa,
    c: &mut Claim,
    inner: &Inner,
    p: &[Payload],
) -> Result<Next, Fault> {
    if c.eap.is_none() {
        return finish(core, sa, c, p);
    }
    let Some(packet) = pick!(p, Eap) else { return Err(Fault::Broken("EAP payload missing")) };
    let proven = c.proof.is_some();
    // RFC 7296 2.16: the responder authenticates itself before EAP begins; RFC 5998 lets it do without if the
    // method does it, and both agreed.
    if !proven && !eap_only_will_do(sa, c.theirs) {
        return Err(Fault::Broken("peer begins EAP without having authenticated itself"));
    }
    let input = eap_input(sa, c, packet)?;
    let Some(mut run) = c.eap.take() else { return Err(Fault::Broken("EAP is not under way")) };
    let asked = run.ask(core, sa, input);
    c.eap = Some(run);
    asked?;
    c.stage = Stage::Eap(inner.clone());
    Ok(Next::Wait)
}

fn eap_input(sa: &IkeSa, c: &Claim, packet: &[u8]) -> Result<EapInput, Fault> {
    if c.eap.as_ref().is_some_and(|run| run.begun) {
        return Ok(EapInput::Packet { eap: packet.to_vec(), radius: Vec::new() });
    }
    let (auth, _) = round_of(&sa.conn, c)?;
    Ok(EapInput::Join(Box::new(EapJoin {
        ike_id: sa.id,
        connection: sa.conn.name.clone(),
        auth: Arc::new(auth.clone()),
        me: sa.me(),
        server: sa.other(),
        server_proven: c.proof.is_some(),
        packet: packet.to_vec(),
    })))
}

fn stepped(core: &mut Core, sa: &mut IkeSa, c: &mut Claim, step: EapStep) -> Result<Next, Fault> {
    tell(core, sa, eap::lines(&step));
    let Some(mut run) = c.eap.take() else { return Err(Fault::Broken("EAP is not under way")) };
    match step {
        EapStep::Send { packet, .. } => {
            if c.proof.is_none() && run.is_first() {
                // Whether the method is one that is, is seen when it has succeeded.
                say!(core, sa, Ike 1, "allow mutual EAP-only authentication");
            }
            c.eap = Some(run);
            Ok(Next::Send(vec![Payload::Eap(packet)]))
        }
        EapStep::Failure { why, .. } => Err(Fault::Distrusted(why)),
        EapStep::Success { msk, mutual, .. } => {
            if c.proof.is_none() {
                // RFC 5998 4: the method must authenticate the server, and its key show that both took part.
                if !mutual || msk.is_none() {
                    let why = "EAP method does not authenticate the server, EAP-only authentication refused";
                    say!(core, sa, Ike 1, "{why}");
                    return Err(Fault::Distrusted(distrust(why)));
                }
            }
            run.done = Some(Done { msk: msk.clone() });
            c.eap = Some(run);
            let (_, last) = round_of(&sa.conn, c)?;
            let me = sa.me();
            let proofs = to_prove(sa, c, &me, last)?;
            let own = macs(&proofs, |hs| auth_key(hs, msk.as_ref(), true), AuthMethod::Psk)?;
            say!(core, sa, Ike 1, "authentication of '{me}' (myself) with EAP");
            let mut p = vec![own.auth()];
            p.extend(after_auth(c, &own, last, sa.conn.ppk_required));
            Ok(Next::Send(p))
        }
    }
}

/// A round of ours is done, and the peer's part of it.
fn finish(core: &mut Core, sa: &mut IkeSa, c: &mut Claim, p: &[Payload]) -> Result<Next, Fault> {
    c.ours = c.ours.saturating_add(1);
    if c.ours < rounds::ours(&sa.conn).len() {
        return own_round(core, sa, c);
    }
    let wanted = rounds::theirs(&sa.conn).len();
    if c.theirs < wanted {
        if c.follows {
            // The peer has the word (RFC 4739 2.1).
            return Ok(Next::Send(Vec::new()));
        }
        if c.theirs == 0 {
            return Err(missing(c, p));
        }
        let why = format!("insufficient authentication rounds: {} of {wanted}", c.theirs);
        say!(core, sa, Cfg 1, "{why}");
        return Err(Fault::Distrusted(distrust(&why)));
    }
    if c.follows {
        return Err(Fault::Broken("peer authenticates in more rounds than configured"));
    }
    if c.proof.is_none() {
        return Err(Fault::Broken("AUTH payload missing"));
    }
    Ok(Next::Up(p.to_vec()))
}

/// The question once more.
pub(super) fn ask_again(sa: &IkeSa, c: &Claim, wait: &Wait) -> Option<Ask> {
    match (&c.stage, wait) {
        (Stage::Signing, Wait::Sign) => {
            let (round, last) = round_of(&sa.conn, c).ok()?;
            let request = signing(sa, c, round, sa.local_id.as_deref()?, last).ok()?;
            Some(Ask::Sign(Box::new(request)))
        }
        (Stage::Judging(inner), Wait::Judge) => {
            let p = inner.payloads().ok()?;
            Some(Ask::Judge(Box::new(judging(sa, c, &p).ok()?)))
        }
        (Stage::Eap(inner), Wait::Eap) => {
            let p = inner.payloads().ok()?;
            let packet = pick!(p, Eap)?;
            let run = c.eap.as_ref()?;
            let fresh = Claim { eap: None, ..c.clone() };
            let first = run.is_first();
            let input = eap_input(sa, if first { &fresh } else { c }, packet).ok()?;
            Some(Ask::Eap { session: run.session(), input })
        }
        _ => None,
    }
}
