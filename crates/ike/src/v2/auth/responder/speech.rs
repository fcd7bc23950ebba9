//! What a responder says in IKE_AUTH: its own rounds.
use super::super::{Own, ask_to_sign, rounds, sign_request};
use super::serve::{ask_eap, serve};
use super::{Next, Stage, Vetting};
use crate::core::Core;
use crate::fault::Fault;
use crate::io::SignRequest;
use crate::message::notify;
use crate::sa::IkeSa;
use crate::v2::init::Handshake;
use crate::v2::proof::{auth_key, octets, own_identity, secrets, wire_id};
use crypto::Secret;
use policy::{Auth, AuthClass, Connection, Identity};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::Payload;

/// Our round that is due; those that EAP does for us are none.
pub(super) fn own_due<'a>(conn: &'a Connection, v: &Vetting) -> Option<&'a Auth> {
    rounds::ours(conn).into_iter().filter(|r| !matches!(r.class, AuthClass::Eap(_))).nth(v.ours)
}

/// Who we are in the round that is due.
pub(super) fn own_of(sa: &IkeSa, v: &Vetting) -> Identity {
    let all = rounds::ours(&sa.conn);
    let due = own_due(&sa.conn, v);
    if let (None, Some(said)) = (&due, sa.local_id.as_deref().cloned().filter(|_| v.ours > 0)) {
        // We stay who we said last.
        return said;
    }
    match due.or_else(|| all.first().copied()) {
        Some(round) => own_identity(sa, round, v.asked.as_ref()),
        None => Identity::Ip(sa.local.ip()),
    }
}

pub(super) fn own_round(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting) -> Result<Next, Fault> {
    let me = own_of(sa, v);
    sa.local_id = Some(core.selves.share(&me));
    let conn = Arc::clone(&sa.conn);
    let Some(round) = own_due(&conn, v) else {
        if v.eap.is_some() && v.ours == 0 {
            // EAP-only: who we are, the method proves (RFC 5998 3).
            v.add(vec![Payload::IdR(wire_id(&me))]);
        }
        return after_round(core, sa, v);
    };
    let mac = |hs: &Handshake, padded: &Secret| {
        let ours = octets(hs, false, &wire_id(&me), v.auth_id)?;
        Ok::<_, Fault>(hs.keys.padded_auth(padded, &[&ours])?.as_slice().to_vec())
    };
    let own = match &round.class {
        AuthClass::Psk => {
            let padded = match v.psk.clone() {
                Some(padded) => padded,
                None => {
                    let other = sa.other();
                    let Some(found) = secrets(core, sa, &me, &other).first().cloned() else {
                        return Err(Fault::Local(format!("no shared key found for '{me}' - '{other}'")));
                    };
                    v.hs.keys.padded(&found.data)?
                }
            };
            say!(core, sa, Ike 1, "authentication of '{me}' (myself) with pre-shared key");
            Own { method: AuthMethod::Psk, data: mac(&v.hs, &padded)?, without: None, certs: Vec::new() }
        }
        AuthClass::Null => {
            say!(core, sa, Ike 1, "authentication of '{me}' (myself) with NULL");
            let data = mac(&v.hs, &v.hs.keys.padded(&auth_key(&v.hs, None, false))?)?;
            Own { method: AuthMethod::Null, data, without: None, certs: Vec::new() }
        }
        AuthClass::Pubkey(_) => {
            let request = signing(sa, v, round, &me)?;
            ask_to_sign(core, sa, request);
            v.stage = Stage::Signing;
            return Ok(Next::Wait);
        }
        AuthClass::Eap(_) | AuthClass::Any | AuthClass::Xauth(_) => {
            let class = rounds::class_name(&round.class);
            return Err(Fault::Local(format!("{class} is no way to authenticate ourselves in IKEv2")));
        }
    };
    say_own(core, sa, v, &me, &own)
}

pub(super) fn signing(sa: &IkeSa, v: &Vetting, round: &Auth, me: &Identity) -> Result<SignRequest, Fault> {
    let ours = octets(&v.hs, false, &wire_id(me), v.auth_id)?;
    Ok(sign_request(sa, &v.hs, round, me, vec![ours]))
}

pub(super) fn say_own(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    me: &Identity,
    own: &Own,
) -> Result<Next, Fault> {
    let mut p = vec![Payload::IdR(wire_id(me))];
    p.extend(own.certs.iter().cloned().map(Payload::Cert));
    p.push(own.auth());
    v.ours = v.ours.saturating_add(1);
    if own_due(&sa.conn, v).is_some() {
        p.push(notify(NotifyType::AnotherAuthFollows, &[]));
    }
    // What is there already are notifies.
    p.extend(v.take_head().into_vec());
    v.reply = p.into();
    after_round(core, sa, v)
}

/// Our part of a round is said: EAP where the peer wants it, else on to the next or to the end.
fn after_round(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting) -> Result<Next, Fault> {
    if v.eap.is_some() {
        let first = v.first.clone();
        let input = serve(sa, v, &first);
        return ask_eap(core, sa, v, &first, input);
    }
    Ok(after_own(sa, v))
}

pub(super) fn after_own(sa: &IkeSa, v: &Vetting) -> Next {
    if v.follows || own_due(&sa.conn, v).is_some() { Next::Send } else { Next::Up }
}
