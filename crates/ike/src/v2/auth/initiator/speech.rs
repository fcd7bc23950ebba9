//! What an initiator says in IKE_AUTH: its rounds, and beside them what it wants.
use super::super::eap::Run;
use super::super::{Own, ask_to_sign, requests, rounds, sign_request, supported};
use super::{Claim, Next, Stage};
use crate::core::Core;
use crate::fault::Fault;
use crate::io::SignRequest;
use crate::message::notify;
use crate::sa::IkeSa;
use crate::v2::child_plan;
use crate::v2::init::Handshake;
use crate::v2::ppk;
use crate::v2::proof::{auth_key, own_identity, secrets, wire_id};
use crate::vip;
use policy::connection::{Childless, Unique};
use policy::{Auth, AuthClass, Connection, Identity};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::Payload;

pub(super) fn round_of<'a>(conn: &'a Connection, c: &Claim) -> Result<(&'a Auth, bool), Fault> {
    let all = rounds::ours(conn);
    let last = c.ours.saturating_add(1) >= all.len();
    let round = all.get(c.ours).ok_or(Fault::Broken("no round of ours is due"))?;
    Ok((round, last))
}

/// What our AUTH of this round covers: with the post-quantum pre-shared key and without, where both may do.
pub(super) fn to_prove(
    sa: &IkeSa,
    c: &Claim,
    me: &Identity,
    last: bool,
) -> Result<Vec<(Handshake, Vec<u8>)>, Fault> {
    let plain = |c: &Claim| Ok::<_, Fault>((c.hs.clone(), c.own_octets(&c.hs, me)?));
    // RFC 8784 3: of several AUTH payloads the last one is made with it.
    let Some(offered) = c.ppk.as_ref().filter(|_| last) else { return Ok(vec![plain(c)?]) };
    let mixed = Handshake { keys: offered.mix(&c.hs.keys)?, ..c.hs.clone() };
    let signed = c.own_octets(&mixed, me)?;
    let mut all = vec![(mixed, signed)];
    if !sa.conn.ppk_required {
        all.push(plain(c)?);
    }
    Ok(all)
}

/// MACs over it with a shared secret.
pub(super) fn macs(
    proofs: &[(Handshake, Vec<u8>)],
    key: impl Fn(&Handshake) -> crypto::Secret,
    method: AuthMethod,
) -> Result<Own, Fault> {
    let mut values = Vec::new();
    for (hs, octets) in proofs {
        values.push(hs.keys.psk_auth(&key(hs), &[octets])?.as_slice().to_vec());
    }
    let mut values = values.into_iter();
    let data = values.next().ok_or(Fault::Broken("nothing to prove"))?;
    Ok(Own { method, data, without: values.next(), certs: Vec::new() })
}

/// Our next round begins.
pub(super) fn own_round(core: &mut Core, sa: &mut IkeSa, c: &mut Claim) -> Result<Next, Fault> {
    let conn = Arc::clone(&sa.conn);
    let (round, last) = round_of(&conn, c)?;
    let me = own_identity(sa, round, None);
    sa.local_id = Some(core.selves.share(&me));
    if c.theirs == 0 {
        let other = rounds::theirs(&sa.conn).first().and_then(|a| a.id.clone()).unwrap_or(Identity::Any);
        sa.remote_id = Some(Arc::new(other));
    }
    let own = match &round.class {
        AuthClass::Psk => {
            let other = sa.other();
            let Some(secret) = secrets(core, sa, &me, &other).first().cloned() else {
                return Err(Fault::Local(format!("no shared key found for '{me}' - '{other}'")));
            };
            let own = macs(&to_prove(sa, c, &me, last)?, |_| secret.data.clone(), AuthMethod::Psk)?;
            say!(core, sa, Ike 1, "authentication of '{me}' (myself) with pre-shared key");
            Some(own)
        }
        AuthClass::Null => {
            let own = macs(&to_prove(sa, c, &me, last)?, |hs| auth_key(hs, None, true), AuthMethod::Null)?;
            say!(core, sa, Ike 1, "authentication of '{me}' (myself) with NULL");
            Some(own)
        }
        AuthClass::Pubkey(_) => {
            let request = signing(sa, c, round, &me, last)?;
            ask_to_sign(core, sa, request);
            c.stage = Stage::Signing;
            return Ok(Next::Wait);
        }
        AuthClass::Eap(_) => {
            c.eap = Some(Run::new(core));
            None
        }
        AuthClass::Any | AuthClass::Xauth(_) => {
            let class = rounds::class_name(&round.class);
            return Err(Fault::Local(format!("{class} is no way to authenticate ourselves in IKEv2")));
        }
    };
    say_round(core, sa, c, &me, own, last)
}

pub(super) fn signing(
    sa: &IkeSa,
    c: &Claim,
    round: &Auth,
    me: &Identity,
    last: bool,
) -> Result<SignRequest, Fault> {
    let octets = to_prove(sa, c, me, last)?.into_iter().map(|(_, octets)| octets).collect();
    Ok(sign_request(sa, &c.hs, round, me, octets))
}

/// The request of a round: who we are, and the proof, unless EAP is to give it.
pub(super) fn say_round(
    core: &mut Core,
    sa: &mut IkeSa,
    c: &mut Claim,
    me: &Identity,
    own: Option<Own>,
    last: bool,
) -> Result<Next, Fault> {
    let first = !c.begun;
    let other = sa.other();
    let mut p = vec![Payload::IdI(wire_id(me))];
    p.extend(own.iter().flat_map(|o| o.certs.iter().cloned().map(Payload::Cert)));
    if first {
        // RFC 7296 2.4: INITIAL_CONTACT says that this is the only IKE_SA between the two identities.
        let table = &core.table;
        let alone = table.between(me, &other).next().is_none()
            && table.of_ours_at(me, sa.remote.ip()).next().is_none();
        if sa.conn.unique != Unique::Never && alone && sa.replaces.is_none() {
            p.push(notify(NotifyType::InitialContact, &[]));
        }
        let conns = [Arc::clone(&sa.conn)];
        p.extend(requests(core, sa, &conns));
        if core.snapshot.settings.announce_auth_methods {
            p.extend(supported(&conns, core.snapshot.settings.signature_authentication));
        }
        if !other.is_pattern() {
            p.push(Payload::IdR(wire_id(&other)));
        }
    }
    if let Some(own) = &own {
        p.push(own.auth());
    }
    if first {
        config_and_child(core, sa, c, &mut p)?;
    }
    if let Some(own) = &own {
        p.extend(after_auth(c, own, last, sa.conn.ppk_required));
    }
    Ok(Next::Send(p))
}

/// Notifies that go with an AUTH payload of ours.
pub(super) fn after_auth(c: &mut Claim, own: &Own, last: bool, ppk_required: bool) -> Vec<Payload> {
    let mut p = Vec::new();
    if !last {
        p.push(notify(NotifyType::AnotherAuthFollows, &[]));
    } else if let Some(offered) = &c.ppk {
        c.ppk_asked = true;
        p.extend(ppk::request(offered, ppk_required, own.without.as_deref()));
    }
    p
}

/// What the first request asks for beside authentication.
fn config_and_child(
    core: &mut Core,
    sa: &mut IkeSa,
    c: &mut Claim,
    p: &mut Vec<Payload>,
) -> Result<(), Fault> {
    let dns = sa.conn.install_dns && core.snapshot.settings.request_dns;
    let domains = dns.then_some(sa.conn.dns_domains.as_slice());
    let p_cscf = core.snapshot.settings.request_p_cscf.contains(&sa.conn.name);
    if let Some(cp) = vip::request(&vip::wanted(&sa.conn.vips, &sa.few().vips_before), domains, p_cscf) {
        p.push(Payload::Cp(cp));
    }
    let childless =
        sa.features.childless && matches!(sa.conn.childless, Childless::Force | Childless::Prefer);
    let first = if childless || sa.wanted.is_empty() { None } else { Some(sa.wanted.remove(0)) };
    c.offer = first.map(|start| {
        let name = start.config.name.clone();
        let offer = child_plan::offer(core, sa, &start, None);
        say!(core, sa, Ike 1, "establishing CHILD_SA {name}{{{}}}", offer.id);
        p.extend(offer.payloads(false, &core.snapshot.settings.clone(), start.packet));
        offer
    });
    if c.offer.is_none() && !sa.features.childless {
        return Err(Fault::Local("peer does not support childless IKE_SAs".to_owned()));
    }
    if sa.conn.mobike {
        p.push(notify(NotifyType::MobikeSupported, &[]));
    }
    if core.snapshot.settings.multiple_authentication {
        p.push(notify(NotifyType::MultipleAuthSupported, &[]));
    }
    // RFC 5998 3: who says so must be content with EAP alone.
    let eap = rounds::ours(&sa.conn).iter().any(|r| matches!(r.class, AuthClass::Eap(_)));
    if eap && eap_only_will_do(sa, 0) {
        p.push(notify(NotifyType::EapOnlyAuthentication, &[]));
    }
    Ok(())
}

/// The peer's round of that number may be EAP.
pub(super) fn eap_only_will_do(sa: &IkeSa, round: usize) -> bool {
    let all = rounds::theirs(&sa.conn);
    all.get(round).is_some_and(|r| matches!(r.class, AuthClass::Eap(_) | AuthClass::Any))
}
