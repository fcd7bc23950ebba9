//! A responder as EAP authenticator (RFC 7296 2.16).
use super::super::eap::{self, Done};
use super::super::rounds::{self, How, Passed};
use super::super::{refused, tell};
use super::choice::{drop_first, pass, takes_past};
use super::speech::{after_own, own_due};
use super::{Next, Stage, Vetting, confirm_ppk, with_ppk};
use crate::core::Core;
use crate::fault::Fault;
use crate::io::{Candidate, EapInput, EapServe, EapStep};
use crate::message::{Kept, has, notify, pick};
use crate::sa::IkeSa;
use crate::v2::proof::{auth_key, by_key, octets, wire_id};
use policy::{AuthClass, Connection};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::{Auth, Payload};

pub(super) fn eap_packet(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting, p: &Kept) -> Result<Next, Fault> {
    let packet = pick!(p, Eap).ok_or(Fault::Broken("EAP payload missing"))?;
    let input = EapInput::Packet { eap: packet.clone(), radius: eap::radius(p) };
    ask_eap(core, sa, v, p, input)
}

pub(super) fn ask_eap(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    p: &Kept,
    input: EapInput,
) -> Result<Next, Fault> {
    let Some(mut run) = v.eap.take() else { return Err(Fault::Broken("EAP is not under way")) };
    let asked = run.ask(core, sa, input);
    v.eap = Some(run);
    asked?;
    v.stage = Stage::Eap(p.clone());
    Ok(Next::Wait)
}

pub(super) fn serve(sa: &IkeSa, v: &Vetting, p: &[Payload]) -> EapInput {
    let at = v.passed.len();
    let candidates = v.candidates.iter().filter_map(|conn| {
        Some(Candidate { connection: conn.name.clone(), auth: rounds::theirs_at(conn, at)? })
    });
    EapInput::Serve(Box::new(EapServe {
        ike_id: sa.id,
        candidates: candidates.collect(),
        peer: sa.other(),
        me: sa.me(),
        local: sa.local,
        remote: sa.remote,
        radius: eap::radius(p),
    }))
}

pub(super) fn stepped(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    step: EapStep,
) -> Result<Next, Fault> {
    tell(core, sa, eap::lines(&step));
    match step {
        EapStep::Send { packet, .. } => {
            v.add(vec![Payload::Eap(packet)]);
            Ok(Next::Send)
        }
        EapStep::Failure { packet, why, .. } => {
            v.eap = None;
            if !packet.is_empty() {
                v.add(vec![Payload::Eap(packet)]);
            }
            Err(Fault::Distrusted(why))
        }
        EapStep::Success { packet, msk, identity, groups, mutual, lifetime, radius, .. } => {
            let Some(run) = v.eap.as_mut() else { return Err(Fault::Broken("EAP is not under way")) };
            run.done = Some(Done { msk: msk.clone() });
            let only = rounds::ours(&sa.conn).iter().any(|r| matches!(r.class, AuthClass::Eap(_)));
            if only && (!mutual || msk.is_none()) {
                return Err(Fault::Local(
                    "EAP method does not authenticate us, EAP-only authentication is not possible".to_owned(),
                ));
            }
            let identity_of_round = sa.other();
            let passed =
                Passed { how: How::Eap, identity: identity_of_round, eap_identity: identity, groups };
            // It counts when AUTH shows that it was the same peer (RFC 7296 2.16): until then there is no proof.
            pass(core, sa, v, passed)?;
            v.lifetime = match (v.lifetime, lifetime) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            v.add(vec![Payload::Eap(packet)]);
            v.add(radius.iter().map(|data| notify(NotifyType::RadiusAttribute, data)).collect());
            Ok(Next::Send)
        }
    }
}

/// The peer's AUTH after EAP, and ours.
pub(super) fn eap_auth(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    done: &Done,
    p: &[Payload],
) -> Result<Next, Fault> {
    let auth = pick!(p, Auth).ok_or(Fault::Broken("AUTH payload missing"))?;
    if auth.method != AuthMethod::Psk {
        return Err(Fault::Broken("AUTH after EAP is not made with its key"));
    }
    v.follows = has(p, NotifyType::AnotherAuthFollows);
    let all = rounds::theirs(&sa.conn).len();
    let why = match (v.follows, v.passed.len() < all) {
        (true, false) => Some("peer announces more authentication rounds than configured"),
        (false, true) => Some("insufficient authentication rounds"),
        _ => None,
    };
    if let Some(why) = why {
        let before = Arc::clone(&sa.conn);
        let (follows, done) = (v.follows, v.passed.len());
        drop_first(core, sa, v, why)?;
        let fits = |c: &Connection| (rounds::theirs(c).len() > done) == follows;
        while !takes_past(&sa.conn, &before, &v.passed) || !fits(&sa.conn) {
            drop_first(core, sa, v, why)?;
        }
    }
    let mixed = with_ppk(core, sa, v, &auth.data, p)?;
    let (hs, value) = (&*mixed.hs, &mixed.value);
    let signed = v.peer_octets(hs)?;
    let other = sa.other();
    let Some(proof) = by_key(hs, &auth_key(hs, done.msk.as_ref(), true), value, &signed)? else {
        say!(core, sa, Ike 1, "verification of AUTH payload with{} EAP MSK failed", if done.msk.is_some() { "" } else { "out" });
        return Err(refused());
    };
    say!(core, sa, Ike 1, "authentication of '{other}' with EAP successful");
    let is_mixed = mixed.is_mixed();
    if let Some(hs) = mixed.changed() {
        v.hs = hs;
    }
    v.proof = Some(proof);
    v.eap = None;
    let me = sa.me();
    let ours = octets(&v.hs, false, &wire_id(&me), v.auth_id)?;
    let data = v.hs.keys.psk_auth(&auth_key(&v.hs, done.msk.as_ref(), false), &[&ours])?;
    say!(core, sa, Ike 1, "authentication of '{me}' (myself) with EAP");
    v.add(vec![Payload::Auth(Auth { method: AuthMethod::Psk, data: data.as_slice().to_vec() })]);
    confirm_ppk(sa, v, is_mixed);
    if own_due(&sa.conn, v).is_some() {
        v.add(vec![notify(NotifyType::AnotherAuthFollows, &[])]);
    }
    Ok(after_own(sa, v))
}
