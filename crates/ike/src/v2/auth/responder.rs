//! The responder's part of IKE_AUTH.

mod choice;
mod serve;
mod speech;

use choice::{drop_first, filter, group, pass, takes_past, unfit};
use serve::{eap_auth, eap_packet, serve, stepped};
use speech::{own_due, own_of, own_round, say_own, signing};

use super::eap::{self, Run};
use super::rounds::{self, How, Passed, RawId, distrust, violated};
use super::{Own, Said, alarm, certs_of, judged_hashes, refused, tell};
use crate::core::{Core, Waiter};
use crate::fault::Fault;
use crate::io::{Ask, Candidate, EapInput, JudgeRequest, Judged};
use crate::message::{Kept, has, notify, pick};
use crate::sa::{IkeSa, Phase, Wait};
use crate::select;
use crate::v2::init::Handshake;
use crate::v2::ppk::{self, Verdict};
use crate::v2::proof::{Proven, auth_key, by_key, by_signature, octets, verify};
use crate::v2::{close, send, take_phase};
use crate::when::When;
use crypto::Secret;
use policy::{Connection, Identity};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use wire::iana::{AuthMethod, ExchangeType, NotifyType};
use wire::ike::{Auth, Payload};

/// IKE_AUTH is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vetting {
    pub(crate) hs: Handshake,
    /// The first request: what it asks for beside authentication.
    pub(super) first: Kept,
    /// Its message ID, for IntAuth (RFC 9242 3.3.2).
    auth_id: u32,
    /// Whom the peer asked for.
    asked: Option<Identity>,
    /// Connections that may be meant, best first. The first is that of the IKE_SA.
    candidates: Vec<Arc<Connection>>,
    /// Rounds of ours that are done.
    ours: usize,
    idi: RawId,
    /// The peer's rounds that are done.
    passed: Vec<Passed>,
    pub(super) proof: Option<Proven>,
    /// The peer announced another round.
    follows: bool,
    eap: Option<Run>,
    /// Of our response so far.
    reply: Kept,
    stage: Stage,
    /// The peer's secret of the round at hand, [padded](crate::v2::keys::Keys::padded): ours is made with the same.
    psk: Option<Secret>,
    /// Seconds until the peer must authenticate anew, as the EAP server wants it.
    pub(super) lifetime: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    /// It is the peer's turn.
    Peer,
    /// Its signature is being judged.
    Judging(Kept),
    /// Our AUTH is being signed.
    Signing,
    /// Its EAP packet is being worked on.
    Eap(Kept),
}

enum Next {
    /// A question is open.
    Wait,
    /// Our response, and on with the peer's next request.
    Send,
    /// Both are authenticated.
    Up,
}

impl Vetting {
    /// Nobody goes on with it.
    pub(crate) fn abandon(&self, core: &mut Core) {
        if let Some(run) = &self.eap {
            run.abandon(core);
        }
    }

    /// Takes what our response says so far.
    pub(super) fn take_head(&mut self) -> Kept {
        std::mem::take(&mut self.reply)
    }

    fn add(&mut self, more: Vec<Payload>) {
        self.reply.extend(more);
    }

    fn peer_octets(&self, hs: &Handshake) -> Result<Vec<u8>, Fault> {
        octets(hs, true, &self.idi.wire(), self.auth_id)
    }
}

/// A request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, p: &Kept) {
    let vetting = match take_phase(sa) {
        Phase::Vetting(v) => Ok(v),
        Phase::Answered(answered) => meet(core, sa, answered.hs, p).map_err(|(f, hs)| (f, *hs)),
        other => return sa.phase = other,
    };
    let settings = core.settings();
    let patience = settings.half_open_timeout.saturating_mul(1000);
    // Somebody who keeps us waiting with every message does not do so for ever.
    let longest = sa.created.saturating_add(patience.saturating_mul(4));
    sa.half_open_until = When::at(core.now.mono.saturating_add(patience).min(longest));
    match vetting {
        Ok(v) => {
            sa.phase = Phase::Vetting(v);
            go(core, sa, |core, sa, v| hear(core, sa, v, p));
        }
        Err((fault, hs)) => {
            sa.phase = Phase::Answered(Box::new(crate::v2::init::Answered { hs }));
            fail(core, sa, &fault);
        }
    }
}

/// Does one step and what follows from it.
fn go(
    core: &mut Core,
    sa: &mut IkeSa,
    step: impl FnOnce(&mut Core, &mut IkeSa, &mut Vetting) -> Result<Next, Fault>,
) {
    let mut v = match take_phase(sa) {
        Phase::Vetting(v) => v,
        other => return sa.phase = other,
    };
    let next = step(core, sa, &mut v);
    match next {
        Ok(Next::Wait) => {
            sa.window.busy = true;
            sa.phase = Phase::Vetting(v);
        }
        Ok(Next::Send) => {
            let reply = v.take_head();
            v.stage = Stage::Peer;
            sa.phase = Phase::Vetting(v);
            send::respond(core, sa, ExchangeType::IkeAuth, &reply);
        }
        Ok(Next::Up) => super::settle::admit(core, sa, v),
        Err(fault) => {
            sa.phase = Phase::Vetting(v);
            fail(core, sa, &fault);
        }
    }
}

/// Says no, and forgets the SA. What was wrong is not for the peer to know.
pub(super) fn fail(core: &mut Core, sa: &mut IkeSa, fault: &Fault) {
    say!(core, sa, Ike 1, "IKE_AUTH request with message ID {} processing failed: {fault}", sa.window.next_in);
    let ours = matches!(fault, Fault::Local(_));
    alarm(core, sa, fault, if ours { "local-auth-failed" } else { "peer-auth-failed" });
    let said = match &mut sa.phase {
        Phase::Vetting(v) => v.take_head().into_vec(),
        _ => Vec::new(),
    };
    // A failure that the EAP method tells the peer is enough.
    let eap: Vec<Payload> = said.into_iter().filter(|p| matches!(p, Payload::Eap(_))).collect();
    let reply = if eap.is_empty() {
        let kind = match fault {
            Fault::Local(_) => NotifyType::AuthenticationFailed,
            other => other.notify().unwrap_or(NotifyType::AuthenticationFailed),
        };
        vec![notify(kind, &[])]
    } else {
        eap
    };
    send::respond(core, sa, ExchangeType::IkeAuth, &reply);
    close::leave(core, sa);
}

// ---------------------------------------------------------------------------------------------- what we hear

/// The first request: whom may it be for?
fn meet(
    core: &mut Core,
    sa: &mut IkeSa,
    mut hs: Handshake,
    p: &Kept,
) -> Result<Box<Vetting>, (Fault, Box<Handshake>)> {
    let result = (|| {
        if !hs.add_ke.is_empty() {
            return Err(Fault::Broken("additional key exchanges were skipped"));
        }
        let idi = pick!(p, IdI).ok_or(Fault::Broken("IDi payload missing"))?;
        let idi = RawId::of(idi);
        let other = idi.identity().ok_or(Fault::Broken("illegal IDi payload"))?;
        let asked = pick!(p, IdR).and_then(|id| Identity::from_wire(id.kind, &id.data).ok());
        sa.remote_id = Some(Arc::new(other.clone()));
        sa.local_id = asked.as_ref().map(|id| core.selves.share(id));
        say!(core, sa, Cfg 1, "looking for peer configs matching {}", sa.ends());
        let (l, r) = (sa.local.ip(), sa.remote.ip());
        let candidates = select::by_identity(&core.snapshot, l, r, asked.as_ref(), &other);
        let Some(first) = candidates.first() else {
            say!(core, sa, Cfg 1, "no matching peer config found");
            return Err(refused());
        };
        sa.switch_to(first);
        say!(core, sa, Cfg 1, "selected peer config '{}'", sa.conn.name);
        Ok((idi, asked, candidates))
    })();
    let (idi, asked, candidates) = match result {
        Ok(found) => found,
        Err(fault) => return Err((fault, Box::new(hs))),
    };
    let mut wishes = std::mem::take(&mut hs.wishes);
    wishes.note(core, sa, p);
    hs.wishes = wishes;
    Ok(Box::new(Vetting {
        hs,
        first: p.clone(),
        auth_id: sa.window.next_in,
        asked,
        candidates,
        ours: 0,
        idi,
        passed: Vec::new(),
        proof: None,
        follows: true,
        eap: None,
        reply: Kept::default(),
        stage: Stage::Peer,
        psk: None,
        lifetime: None,
    }))
}

fn hear(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting, p: &Kept) -> Result<Next, Fault> {
    v.psk = None;
    if let Some(run) = &v.eap {
        return match run.done.clone() {
            None => eap_packet(core, sa, v, p),
            Some(done) => eap_auth(core, sa, v, &done, p),
        };
    }
    if !v.follows {
        // The peer is through; what it sends gives us the word.
        if pick!(p, Auth).is_some() || pick!(p, Eap).is_some() {
            return Err(Fault::Broken("peer authenticates in more rounds than announced"));
        }
        return own_round(core, sa, v);
    }
    if let Some(idi) = pick!(p, IdI) {
        let idi = RawId::of(idi);
        let identity = idi.identity().ok_or(Fault::Broken("illegal IDi payload"))?;
        if sa.remote_id.as_deref() != Some(&identity) {
            sa.remote_id = Some(Arc::new(identity));
        }
        v.idi = idi;
    }
    let Some(auth) = pick!(p, Auth) else {
        filter(core, sa, v, |conn, v, sa| unfit(conn, v, sa, How::Eap, None))?;
        v.eap = Some(Run::new(core));
        return own_round(core, sa, v);
    };
    let follows = has(p, NotifyType::AnotherAuthFollows);
    let Some(how) = How::of(auth.method) else {
        say!(core, sa, Ike 1, "peer authenticated by {:?}, which is not supported", auth.method);
        return Err(refused());
    };
    filter(core, sa, v, |conn, v, sa| unfit(conn, v, sa, how, Some(follows)))?;
    v.follows = follows;
    match how {
        How::Signature | How::Eap => judge(core, sa, v, p),
        How::Psk | How::Null => {
            by_mac(core, sa, v, how, auth, p)?;
            own_round(core, sa, v)
        }
    }
}

/// What is to be checked with which keys.
struct Mixed<'a> {
    /// With the post-quantum pre-shared key, if it is used.
    hs: Cow<'a, Handshake>,
    /// The value of the AUTH payload, or the one that stands for it.
    value: Vec<u8>,
}

impl Mixed<'_> {
    fn is_mixed(&self) -> bool {
        matches!(self.hs, Cow::Owned(_))
    }

    /// The handshake to go on with, if it is another one.
    fn changed(self) -> Option<Handshake> {
        match self.hs {
            Cow::Owned(hs) => Some(hs),
            Cow::Borrowed(_) => None,
        }
    }
}

/// How RFC 8784 has it for the AUTH payload at hand: the keys, and the value to check.
fn with_ppk<'a>(
    core: &mut Core,
    sa: &IkeSa,
    v: &'a Vetting,
    value: &[u8],
    p: &[Payload],
) -> Result<Mixed<'a>, Fault> {
    let plain = |value: Vec<u8>| Mixed { hs: Cow::Borrowed(&v.hs), value };
    // Of several AUTH payloads the last one is made with it.
    if v.follows {
        return Ok(plain(value.to_vec()));
    }
    Ok(match ppk::judge(core, sa, &v.hs, p)? {
        Verdict::Plain => plain(value.to_vec()),
        Verdict::Fallback(without) => plain(without),
        Verdict::Use(secret) => {
            let hs = Handshake { keys: v.hs.keys.with_ppk(&secret)?, ..v.hs.clone() };
            Mixed { hs: Cow::Owned(hs), value: value.to_vec() }
        }
    })
}

/// The peer's AUTH is a MAC: of a pre-shared key, or of none.
fn by_mac(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    how: How,
    auth: &Auth,
    p: &[Payload],
) -> Result<(), Fault> {
    let other = sa.other();
    let mut tried: Vec<(Identity, Option<String>, bool)> = Vec::new();
    loop {
        let me = own_of(sa, v);
        sa.local_id = Some(core.selves.share(&me));
        let key = (me.clone(), sa.conn.ppk_id.clone(), sa.conn.ppk_required);
        if !tried.contains(&key) {
            match with_ppk(core, sa, v, &auth.data, p) {
                Ok(mixed) => {
                    let (hs, value) = (&*mixed.hs, &mixed.value);
                    let signed = v.peer_octets(hs)?;
                    let proof = if how == How::Psk {
                        verify(core, sa, hs, value, (&me, &other), &signed)?
                    } else {
                        by_key(hs, &auth_key(hs, None, true), value, &signed)?.map(|proof| (proof, None))
                    };
                    if let Some((proof, secret)) = proof {
                        let is_mixed = mixed.is_mixed();
                        if let Some(hs) = mixed.changed() {
                            v.hs = hs;
                        }
                        v.psk = secret;
                        confirm_ppk(sa, v, is_mixed);
                        let passed = Passed { how, identity: other, eap_identity: None, groups: Vec::new() };
                        v.proof = Some(proof);
                        return pass(core, sa, v, passed);
                    }
                }
                // Another connection may do without, or know it.
                Err(Fault::Refused(_)) => {}
                Err(fault) => return Err(fault),
            }
            tried.push(key);
        }
        let before = Arc::clone(&sa.conn);
        drop_first(core, sa, v, "non-matching authentication done")?;
        while !takes_past(&sa.conn, &before, &v.passed) {
            drop_first(core, sa, v, "non-matching authentication done")?;
        }
    }
}

fn confirm_ppk(sa: &mut IkeSa, v: &mut Vetting, mixed: bool) {
    if mixed {
        sa.ppk = true;
        v.add(vec![ppk::confirmation()]);
    }
}

// ---------------------------------------------------------------------------------------------- signatures

fn judge(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting, p: &Kept) -> Result<Next, Fault> {
    loop {
        match judging(core, sa, v, p) {
            Ok(request) => {
                let ticket = core.ask(Waiter::Ike(sa.id), Ask::Judge(Box::new(request)));
                sa.waiting.insert(ticket, Wait::Judge);
                v.stage = Stage::Judging(p.clone());
                return Ok(Next::Wait);
            }
            // Another connection may do without the PPK, or know it.
            Err(Fault::Refused(_)) => drop_first(core, sa, v, "non-matching authentication done")?,
            Err(fault) => return Err(fault),
        }
    }
}

fn judging(core: &mut Core, sa: &IkeSa, v: &Vetting, p: &[Payload]) -> Result<JudgeRequest, Fault> {
    let auth = pick!(p, Auth).ok_or(Fault::Broken("AUTH payload missing"))?;
    let mixed = with_ppk(core, sa, v, &auth.data, p)?;
    let octets = v.peer_octets(&mixed.hs)?;
    Ok(judge_request(sa, v, auth.method, mixed.value, octets, p))
}

fn judge_request(
    sa: &IkeSa,
    v: &Vetting,
    method: AuthMethod,
    auth: Vec<u8>,
    octets: Vec<u8>,
    p: &[Payload],
) -> JudgeRequest {
    let at = v.passed.len();
    let candidates = group(v).into_iter().filter_map(|conn| {
        Some(Candidate { connection: conn.name.clone(), auth: rounds::theirs_at(&conn, at)? })
    });
    JudgeRequest {
        ike_id: sa.id,
        candidates: candidates.collect(),
        peer: sa.other(),
        certs: certs_of(p),
        method,
        auth,
        octets,
        hashes: judged_hashes(&v.hs),
        remote: sa.remote,
    }
}

fn judged(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    answer: Result<Judged, String>,
) -> Result<Next, Fault> {
    let Stage::Judging(p) = std::mem::replace(&mut v.stage, Stage::Peer) else {
        return Err(Fault::Broken("unexpected judgement"));
    };
    let judged = answer.map_err(Fault::Local)?;
    tell(core, sa, &judged.log);
    let asked = group(v);
    let trusted = match judged.verdict {
        Ok(trusted) => trusted,
        Err(why) => {
            // Connections that go another way about PPKs were not asked about.
            v.candidates.retain(|c| !asked.iter().any(|a| Arc::ptr_eq(a, c) || a.name == c.name));
            let Some(next) = v.candidates.first() else { return Err(Fault::Distrusted(why)) };
            say!(core, sa, Cfg 1, "switching to peer config '{}'", next.name);
            sa.switch_to(next);
            return judge(core, sa, v, &p);
        }
    };
    let Some(chosen) = asked.get(trusted.candidate) else {
        return Err(Fault::Local("the judgement names no candidate".to_owned()));
    };
    while v.candidates.first().is_some_and(|c| c.name != chosen.name) {
        drop_first(core, sa, v, "constraint checking failed")?;
    }
    let auth = pick!(p, Auth).ok_or(Fault::Broken("AUTH payload missing"))?;
    let mixed = with_ppk(core, sa, v, &auth.data, &p)?;
    let signed = v.peer_octets(&mixed.hs)?;
    let (is_mixed, changed) = (mixed.is_mixed(), mixed.changed());
    let proof = by_signature(&trusted.verified, &signed).ok_or_else(refused)?;
    let other = sa.other();
    say!(core, sa, Ike 1, "authentication of '{other}' with {} successful", trusted.verified.scheme());
    let passed = Passed { how: How::Signature, identity: other, eap_identity: None, groups: trusted.groups };
    let at = v.passed.len();
    let why = rounds::theirs(&sa.conn).get(at).and_then(|round| violated(round, &passed));
    if let Some(why) = why {
        // Its demands on certificates are met, others are not; the next may demand other certificates.
        say!(core, sa, Cfg 1, "{why}");
        let before = Arc::clone(&sa.conn);
        drop_first(core, sa, v, "constraint checking failed")
            .map_err(|_| Fault::Distrusted(distrust(&why)))?;
        while !takes_past(&sa.conn, &before, &v.passed) {
            drop_first(core, sa, v, "non-matching authentication done")?;
        }
        return judge(core, sa, v, &p);
    }
    if let Some(hs) = changed {
        v.hs = hs;
    }
    confirm_ppk(sa, v, is_mixed);
    v.proof = Some(proof);
    pass(core, sa, v, passed)?;
    own_round(core, sa, v)
}

/// The world answered.
pub(super) fn told(core: &mut Core, sa: &mut IkeSa, said: Said) {
    go(core, sa, |core, sa, v| match said {
        Said::Signed(answer) => {
            let me = own_of(sa, v);
            let own = Own::signed(core, sa, &me, answer)?;
            say_own(core, sa, v, &me, &own)
        }
        Said::Judged(answer) => judged(core, sa, v, answer),
        Said::Stepped(answer) => {
            let step = answer.map_err(Fault::Local)?;
            stepped(core, sa, v, step)
        }
    });
}

/// The question once more.
pub(super) fn ask_again(core: &mut Core, sa: &IkeSa, v: &Vetting, wait: &Wait) -> Option<Ask> {
    match (&v.stage, wait) {
        (Stage::Signing, Wait::Sign) => {
            let round = own_due(&sa.conn, v)?;
            Some(Ask::Sign(Box::new(signing(sa, v, round, sa.local_id.as_deref()?).ok()?)))
        }
        (Stage::Judging(p), Wait::Judge) => Some(Ask::Judge(Box::new(judging(core, sa, v, p).ok()?))),
        (Stage::Eap(p), Wait::Eap) => {
            let run = v.eap.as_ref()?;
            let input = if run.is_first() {
                serve(sa, v, p)
            } else {
                EapInput::Packet { eap: pick!(p, Eap)?.clone(), radius: eap::radius(p) }
            };
            Some(Ask::Eap { session: run.session(), input })
        }
        _ => None,
    }
}
