//! IKE_AUTH with pre-shared keys (RFC 7296 1.2, 2.15, 2.16).
use super::child_create;
use super::child_plan::{self, Answered as ChildAnswered, Offer};
use super::establish::{establish, reauthenticate_within};
use super::init::{Answered, Handshake};
use super::ppk::{self, Offered, Verdict};
use super::proof::{Proven, octets, own_identity, prove, secrets, verify, wire_id};
use super::{Job, Passive, close, send, take_phase};
use crate::core::{Core, Later, Waiter};
use crate::credential;
use crate::fault::Fault;
use crate::io::{Ask, Event, LeaseRequest};
use crate::message::{Inner, error, find, has, notify, notify_name, pick};
use crate::sa::{IkeSa, Peers, Phase, Wait};
use crate::{select, vip};
use policy::Identity;
use policy::connection::{Childless, Unique};
use policy::secrets::SecretKind;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use wire::iana::{AuthMethod, ConfigType, ExchangeType, NotifyType};
use wire::ike::{Auth, ConfigAttr, Payload};

/// Initiator: IKE_AUTH is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuthSent {
    pub(crate) hs: Handshake,
    pub(crate) offer: Option<Offer>,
    /// Message ID of the request, for IntAuth.
    auth_id: u32,
    /// The post-quantum pre-shared key that it offers.
    ppk: Option<Offered>,
}

/// Responder: the peer is authenticated, an address is being leased for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Leasing {
    pub(crate) hs: Handshake,
    /// The request, whole.
    inner: Inner,
    /// Our AUTH value.
    auth: Vec<u8>,
    proof: Proven,
}

// ---------------------------------------------------------------------------------------------- initiator

/// Sends the request.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, hs: Handshake) {
    if let Err(fault) = try_start(core, sa, hs) {
        say!(core, sa, Ike 0, "unable to send IKE_AUTH request: {fault}");
        core.tell(Event::Alert {
            kind: "local-auth-failed",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        close::leave(core, sa);
    }
}

fn try_start(core: &mut Core, sa: &mut IkeSa, hs: Handshake) -> Result<(), Fault> {
    select::psk_only(&sa.conn).map_err(Fault::Local)?;
    let me = own_identity(sa, None);
    let other = select::round(&sa.conn.remote).and_then(|a| a.id.clone()).unwrap_or(Identity::Any);
    let auth_id = sa.window.next_out;
    sa.local_id = Some(me.clone());
    sa.remote_id = Some(other.clone());
    let Some(secret) = secrets(core, sa, &me, &other).first().cloned() else {
        return Err(Fault::Local(format!("no shared key found for '{me}' - '{other}'")));
    };
    let idi = wire_id(&me);
    let offered = ppk::choose(core, sa, &hs)?;
    let without = hs.keys.psk_auth(&secret.data, &[&octets(&hs, true, &idi, auth_id)?])?;
    let data = match &offered {
        Some(o) => {
            let mixed = Handshake { keys: o.mix(&hs.keys)?, ..hs.clone() };
            mixed.keys.psk_auth(&secret.data, &[&octets(&mixed, true, &idi, auth_id)?])?
        }
        None => without.clone(),
    };
    say!(core, sa, Ike 1, "authentication of '{me}' (myself) with pre-shared key");

    let mut p = vec![Payload::IdI(idi)];
    // RFC 7296 2.4: INITIAL_CONTACT says that this is the only IKE_SA between the two identities.
    let alone =
        !core.peers.values().any(|x| x.local == me && (x.remote == other || x.remote_ip == sa.remote.ip()));
    if sa.conn.unique != Unique::Never && alone && sa.replaces.is_none() {
        p.push(notify(NotifyType::InitialContact, &[]));
    }
    if !other.is_pattern() {
        p.push(Payload::IdR(wire_id(&other)));
    }
    p.push(Payload::Auth(Auth { method: AuthMethod::Psk, data: data.as_slice().to_vec() }));
    if let Some(cp) = vip::request(&sa.conn.vips) {
        p.push(Payload::Cp(cp));
    }
    let childless =
        sa.features.childless && matches!(sa.conn.childless, Childless::Force | Childless::Prefer);
    let first = if childless || sa.wanted.is_empty() { None } else { Some(sa.wanted.remove(0)) };
    let offer = first.map(|c| {
        let name = c.config.name.clone();
        let offer = child_plan::offer(core, sa, &c, None);
        say!(core, sa, Ike 1, "establishing CHILD_SA {name}{{{}}}", offer.id);
        p.extend(offer.payloads(false, &core.snapshot.settings.clone(), c.packet));
        offer
    });
    if offer.is_none() && !sa.features.childless {
        return Err(Fault::Local("peer does not support childless IKE_SAs".to_owned()));
    }
    if sa.conn.mobike {
        p.push(notify(NotifyType::MobikeSupported, &[]));
    }
    p.extend(offered.iter().flat_map(|o| ppk::request(o, sa.conn.ppk_required, &without)));
    sa.phase = Phase::AuthSent(Box::new(AuthSent { hs, offer, auth_id, ppk: offered }));
    send::request(core, sa, ExchangeType::IkeAuth, &p)
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    let Phase::AuthSent(sent) = take_phase(sa) else { return };
    let AuthSent { mut hs, offer, auth_id, ppk } = *sent;
    let proof =
        ppk::answered(core, sa, &mut hs, ppk.as_ref(), p).and_then(|()| prove(core, sa, &hs, auth_id, p));
    match proof {
        Ok(proof) => settled(core, sa, hs, offer, proof, p),
        Err(fault) => {
            if let Some(o) = &offer {
                core.spis.remove(&o.spi_in);
            }
            if let Some(kind) = error(p) {
                say!(core, sa, Ike 1, "received {} notify error", notify_name(kind));
                core.tell(Event::Alert {
                    kind: "local-auth-failed",
                    sa: Some(Box::new(crate::view::bare(sa))),
                    detail: Vec::new(),
                });
            } else {
                say!(core, sa, Ike 1, "IKE_AUTH response processing failed: {fault}");
                core.tell(Event::Alert {
                    kind: "peer-auth-failed",
                    sa: Some(Box::new(crate::view::bare(sa))),
                    detail: Vec::new(),
                });
                // RFC 7296 2.21.2: the initiator tells a responder that failed to authenticate by INFORMATIONAL.
                sa.phase = Phase::AuthSent(Box::new(AuthSent { hs, offer: None, auth_id, ppk }));
                let payloads = [notify(NotifyType::AuthenticationFailed, &[])];
                if let Err(e) = send::request(core, sa, ExchangeType::Informational, &payloads) {
                    say!(core, sa, Ike 1, "unable to tell the peer: {e}");
                }
            }
            close::leave(core, sa);
        }
    }
}

/// Both are authenticated: addresses, then the first CHILD_SA.
fn settled(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: Handshake,
    offer: Option<Offer>,
    proof: Proven,
    p: &[Payload],
) {
    sa.features.mobike = sa.conn.mobike && has(p, NotifyType::MobikeSupported);
    if sa.features.mobike {
        say!(core, sa, Ike 1, "peer supports MOBIKE");
        super::mobike::note_additional(sa, p);
    }
    let mut attributes: Vec<ConfigAttr> = Vec::new();
    if let Some(cp) = pick!(p, Cp).filter(|c| c.kind == ConfigType::Reply && !sa.conn.vips.is_empty()) {
        let (addresses, rest) = vip::read(cp);
        sa.local_vips = addresses.into_iter().filter(|a| !a.is_unspecified()).collect();
        attributes = rest;
    }
    sa.attributes = vip::plain(&attributes);
    for v in sa.local_vips.clone() {
        say!(core, sa, Ike 0, "installing new virtual IP {v}");
    }
    let lifetime =
        find(p, NotifyType::AuthLifetime).and_then(|n| <[u8; 4]>::try_from(n.data.as_slice()).ok());
    establish(core, sa, hs.keys.clone(), proof);
    if let Some(bytes) = lifetime {
        let seconds = u64::from(u32::from_be_bytes(bytes));
        reauthenticate_within(core, sa, seconds);
    }
    if !sa.local_vips.is_empty() || !attributes.is_empty() {
        sa.vips_for = Some(sa.id);
        let ask = Ask::VirtualIps {
            ike_id: sa.id,
            connection: sa.conn.name.clone(),
            local: sa.local.ip(),
            remote: sa.remote.ip(),
            addresses: sa.local_vips.clone(),
            attributes,
            up: true,
        };
        let ticket = core.ask(Waiter::Ike(sa.id), ask);
        sa.waiting.insert(ticket, Wait::Vips { up: true, ike_id: sa.id, attributes: sa.attributes.clone() });
    }
    if let Some(offer) = offer {
        let name = offer.config.name.clone();
        let result = match error(p) {
            Some(kind) => {
                say!(core, sa, Ike 1, "received {} notify, no CHILD_SA built", notify_name(kind));
                Err(Fault::Refused(kind))
            }
            None => child_plan::accept(core, sa, &hs.keys, &offer, p, &hs.nonces),
        };
        match result {
            Ok(child) => child_create::place(core, sa, child),
            Err(fault) => child_create::failed(core, sa, &offer, &name, &fault),
        }
    }
    for c in std::mem::take(&mut sa.wanted) {
        super::enqueue(core, sa, Job::ChildCreate(c));
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// The request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, inner: &Inner, p: &[Payload]) {
    let Phase::Answered(answered) = take_phase(sa) else { return };
    let result = identify(core, sa, &answered.hs, p);
    match result {
        Ok((proof, auth, hs)) => lease(core, sa, hs, inner, proof, auth, p),
        Err(fault) => {
            say!(core, sa, Ike 1, "IKE_AUTH request with message ID {} processing failed: {fault}", sa.window.next_in);
            core.tell(Event::Alert {
                kind: "peer-auth-failed",
                sa: Some(Box::new(crate::view::bare(sa))),
                detail: Vec::new(),
            });
            refuse(core, sa, answered, fault.notify().unwrap_or(NotifyType::AuthenticationFailed));
        }
    }
}

/// Says no, and forgets the SA.
fn refuse(core: &mut Core, sa: &mut IkeSa, answered: Box<Answered>, kind: NotifyType) {
    sa.phase = Phase::Answered(answered);
    send::respond(core, sa, ExchangeType::IkeAuth, &[notify(kind, &[])]);
    close::leave(core, sa);
}

/// Finds the connection and checks the peer's AUTH; our own AUTH value, and the keys with what PPK went into them.
fn identify(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: &Handshake,
    p: &[Payload],
) -> Result<(Proven, Vec<u8>, Handshake), Fault> {
    let failed = || Fault::Refused(NotifyType::AuthenticationFailed);
    if !hs.add_ke.is_empty() {
        return Err(Fault::Broken("additional key exchanges were skipped"));
    }
    let idi = pick!(p, IdI).ok_or(Fault::Broken("IDi payload missing"))?;
    let other = Identity::from_wire(idi.kind, &idi.data).map_err(|_| Fault::Broken("illegal IDi payload"))?;
    let asked = pick!(p, IdR).and_then(|id| Identity::from_wire(id.kind, &id.data).ok());
    sa.remote_id = Some(other.clone());
    sa.local_id = asked.clone();
    let ends = sa.ends();
    say!(core, sa, Cfg 1, "looking for peer configs matching {ends}");
    let (l, r) = (sa.local.ip(), sa.remote.ip());
    let candidates = select::by_identity(&core.snapshot, l, r, asked.as_ref(), &other);
    if candidates.is_empty() {
        say!(core, sa, Cfg 1, "no matching peer config found");
        return Err(failed());
    }
    let Some(auth) = pick!(p, Auth) else {
        say!(core, sa, Ike 1, "peer requested EAP, config unacceptable");
        return Err(failed());
    };
    if auth.method != AuthMethod::Psk {
        say!(core, sa, Ike 1, "peer authenticated by {:?}, which is not supported", auth.method);
        return Err(failed());
    }
    if has(p, NotifyType::AnotherAuthFollows) {
        say!(core, sa, Ike 1, "multiple authentication rounds are not supported");
        return Err(failed());
    }
    let auth_id = sa.window.next_in;
    let mut tried: Vec<(Identity, Option<String>)> = Vec::new();
    for c in candidates {
        if let Err(why) = select::psk_only(&c.conn) {
            say!(core, sa, Cfg 1, "selected peer config '{}' unacceptable: {why}", c.conn.name);
            continue;
        }
        if !crate::negotiate::allows(&c.conn.proposals, &hs.keys.suite) {
            say!(core, sa, Cfg 1, "selected peer config '{}' unacceptable: no matching IKE proposal", c.conn.name);
            continue;
        }
        sa.conn = Arc::clone(&c.conn);
        say!(core, sa, Cfg 1, "selected peer config '{}'", c.conn.name);
        let me = own_identity(sa, asked.as_ref());
        sa.local_id = Some(me.clone());
        if tried.contains(&(me.clone(), c.conn.ppk_id.clone())) {
            continue;
        }
        let (hs, theirs, mixed) = match ppk::judge(core, sa, hs, p) {
            Ok(Verdict::Plain) => (hs.clone(), auth.data.clone(), false),
            Ok(Verdict::Fallback(without)) => (hs.clone(), without, false),
            Ok(Verdict::Use(secret)) => {
                (Handshake { keys: hs.keys.with_ppk(&secret)?, ..hs.clone() }, auth.data.clone(), true)
            }
            // Another connection may do without, or know it.
            Err(Fault::Refused(_)) => continue,
            Err(fault) => return Err(fault),
        };
        let signed = octets(&hs, true, idi, auth_id)?;
        if let Some(proof) = verify(core, sa, &hs, &theirs, &me, &other, &signed)? {
            let ours = accept_peer(core, sa, &hs, (&me, &other), auth_id, (&theirs, &signed), p)?;
            sa.ppk = mixed;
            return Ok((proof, ours, hs));
        }
        tried.push((me, c.conn.ppk_id.clone()));
    }
    Err(failed())
}

/// The peer is who it says: `unique`, then our own proof.
fn accept_peer(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: &Handshake,
    (me, other): (&Identity, &Identity),
    auth_id: u32,
    (theirs, their_octets): (&[u8], &[u8]),
    p: &[Payload],
) -> Result<Vec<u8>, Fault> {
    let ids: Vec<u32> = core
        .peers
        .iter()
        .filter(|(id, x)| {
            **id != sa.id
                && x.local == *me
                && x.remote == *other
                && x.remote_ip.is_ipv4() == sa.remote.is_ipv4()
        })
        .map(|(id, _)| *id)
        .collect();
    let contact = has(p, NotifyType::InitialContact) && sa.conn.unique != Unique::Never;
    if contact {
        for id in ids {
            say!(core, sa, Ike 0, "destroying duplicate IKE_SA for peer '{other}', received INITIAL_CONTACT");
            core.later.push_back(Later::Destroy(id));
        }
    } else if !ids.is_empty() {
        match sa.conn.unique {
            Unique::Keep => {
                say!(core, sa, Ike 0, "cancelling IKE_SA setup due to uniqueness policy");
                core.tell(Event::Alert {
                    kind: "unique-keep",
                    sa: Some(Box::new(crate::view::bare(sa))),
                    detail: Vec::new(),
                });
                return Err(Fault::Refused(NotifyType::AuthenticationFailed));
            }
            Unique::Replace => {
                for id in ids {
                    say!(core, sa, Ike 0, "deleting duplicate IKE_SA for peer '{other}' due to uniqueness policy");
                    core.tell(Event::Alert {
                        kind: "unique-replace",
                        sa: Some(Box::new(crate::view::bare(sa))),
                        detail: Vec::new(),
                    });
                    core.later.push_back(Later::Replace(id, sa.remote));
                }
            }
            Unique::Never | Unique::No => {}
        }
    }
    let secret = credential::shared(&core.snapshot, SecretKind::Ike, me, other);
    let Some(secret) = secret.first() else {
        return Err(Fault::Refused(NotifyType::AuthenticationFailed));
    };
    let signed = octets(hs, false, &wire_id(me), auth_id)?;
    let mut data = hs.keys.psk_auth(&secret.data, &[&signed])?;
    // Of several secrets that fit, ours must be the one the peer used.
    for s in credential::shared(&core.snapshot, SecretKind::Ike, me, other) {
        if crypto::secret::ct_eq(hs.keys.psk_auth(&s.data, &[their_octets])?.as_slice(), theirs) {
            data = hs.keys.psk_auth(&s.data, &[&signed])?;
            break;
        }
    }
    say!(core, sa, Ike 1, "authentication of '{me}' (myself) with pre-shared key");
    core.peers.insert(sa.id, Peers { local: me.clone(), remote: other.clone(), remote_ip: sa.remote.ip() });
    Ok(data.as_slice().to_vec())
}

/// Asks for virtual IPs if the peer does and we have pools.
fn lease(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: Handshake,
    inner: &Inner,
    proof: Proven,
    auth: Vec<u8>,
    p: &[Payload],
) {
    let asked = pick!(p, Cp).filter(|c| c.kind == ConfigType::Request).map(vip::read);
    let state = Leasing { hs, inner: inner.clone(), auth, proof };
    let Some((requested, attributes)) = asked else { return proceed(core, sa, state, None) };
    for v in &requested {
        say!(core, sa, Ike 1, "peer requested virtual IP {}", vip::show(*v));
    }
    if sa.conn.pools.is_empty() {
        return proceed(core, sa, state, Some((Vec::new(), Vec::new())));
    }
    let request = LeaseRequest {
        pools: sa.conn.pools.clone(),
        identity: sa.remote_id.clone().unwrap_or(Identity::Any),
        requested,
        attributes: attributes.iter().map(|a| a.kind).collect(),
        remote: sa.remote,
        connection: sa.conn.name.clone(),
        ike_id: sa.id,
    };
    sa.window.busy = true;
    sa.phase = Phase::Leasing(Box::new(state));
    // After `INITIAL_CONTACT` the old lease must be back before.
    core.later.push_back(Later::Lease(sa.id, Box::new(request)));
}

/// The pools answered.
pub(crate) fn leased(
    core: &mut Core,
    sa: &mut IkeSa,
    request: &LeaseRequest,
    addresses: Vec<IpAddr>,
    attributes: &[ConfigAttr],
) {
    let state = match take_phase(sa) {
        Phase::Leasing(state) => state,
        other => {
            // The SA went while the pools were thinking: give back what nobody will use.
            sa.phase = other;
            if !addresses.is_empty() {
                let (pools, identity) = (request.pools.clone(), request.identity.clone());
                core.ask(Waiter::Nobody, Ask::Release { pools, identity, addresses });
            }
            return;
        }
    };
    let peer = request.identity.to_string();
    for a in &addresses {
        say!(core, sa, Ike 1, "assigning virtual IP {a} to peer '{peer}'");
    }
    for v in &request.requested {
        if !addresses.iter().any(|a| a.is_ipv4() == v.is_ipv4()) {
            say!(core, sa, Ike 1, "no virtual IP found for {} requested by '{peer}'", vip::show(*v));
        }
    }
    sa.remote_vips = addresses.clone();
    proceed(core, sa, *state, Some((addresses, attributes.to_vec())));
}

/// Everything is known: the IKE_SA is established, the answer leaves when the CHILD_SA is installed.
fn proceed(core: &mut Core, sa: &mut IkeSa, state: Leasing, config: Option<(Vec<IpAddr>, Vec<ConfigAttr>)>) {
    sa.window.busy = true;
    let Leasing { hs, inner, auth, proof } = state;
    let Ok(p) = inner.payloads() else { return close::leave(core, sa) };
    sa.features.mobike = sa.conn.mobike && has(&p, NotifyType::MobikeSupported);
    if sa.features.mobike {
        say!(core, sa, Ike 1, "peer supports MOBIKE");
        super::mobike::note_additional(sa, &p);
    }
    let me = sa.local_id.clone().unwrap_or(Identity::Any);
    let mut head =
        vec![Payload::IdR(wire_id(&me)), Payload::Auth(Auth { method: AuthMethod::Psk, data: auth })];
    let mut tail = Vec::new();
    if sa.conn.reauth_time > 0 {
        let seconds = u32::try_from(sa.conn.reauth_time).unwrap_or(u32::MAX);
        tail.push(notify(NotifyType::AuthLifetime, &seconds.to_be_bytes()));
    }
    if sa.features.mobike {
        tail.push(notify(NotifyType::MobikeSupported, &[]));
    }
    if sa.ppk {
        tail.push(ppk::confirmation());
    }
    establish(core, sa, hs.keys.clone(), proof);

    let wants_child = pick!(&p, Sa).is_some();
    let wants_vip = config.is_some();
    let no_vip = config.as_ref().is_some_and(|(a, _)| a.is_empty());
    let asked_vip = pick!(&p, Cp).map(vip::read).is_some_and(|(a, _)| !a.is_empty());
    if let Some((addresses, attributes)) = &config
        && !(addresses.is_empty() && attributes.is_empty())
    {
        head.push(Payload::Cp(vip::reply(addresses, attributes)));
    }
    let refused = if !wants_child {
        None
    } else if asked_vip && no_vip {
        // RFC 7296 3.15.4: no address could be assigned; the IKE_SA stays.
        say!(core, sa, Ike 1, "no virtual IP found, sending INTERNAL_ADDRESS_FAILURE");
        core.tell(Event::Alert {
            kind: "vip-failure",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        Some(NotifyType::InternalAddressFailure)
    } else if !wants_vip && !sa.conn.pools.is_empty() {
        say!(core, sa, Ike 1, "expected a virtual IP request, sending FAILED_CP_REQUIRED");
        Some(NotifyType::FailedCpRequired)
    } else if sa.conn.childless == Childless::Force {
        say!(core, sa, Ike 1, "CHILD_SA in IKE_AUTH is refused by policy (childless = force)");
        Some(NotifyType::NoAdditionalSas)
    } else {
        None
    };
    let refusal = |head: &[Payload], tail: &[Payload], kind: NotifyType| {
        let mut all = head.to_vec();
        all.extend(tail.iter().cloned());
        all.push(notify(kind, &[]));
        all
    };
    if !wants_child {
        let mut all = head;
        all.extend(tail);
        return send::respond(core, sa, ExchangeType::IkeAuth, &all);
    }
    let answer = match refused {
        Some(kind) => Err(kind),
        None => child_plan::answer(core, sa, &hs.keys, &p, &hs.nonces, None),
    };
    match answer {
        Ok(ChildAnswered { child, reply, .. }) => {
            let failed = refusal(&head, &tail, NotifyType::NoProposalChosen);
            head.extend(reply);
            head.extend(tail);
            let id = child.sa.id;
            sa.children.insert(id, child);
            if let Some(e) = sa.established_mut() {
                e.passive = Some(Passive {
                    exchange: ExchangeType::IkeAuth,
                    child: id,
                    ok: Inner::of(&head),
                    failed: Inner::of(&failed),
                });
            }
            crate::child::install(core, sa, id);
        }
        Err(kind) => {
            say!(core, sa, Ike 1, "failed to establish CHILD_SA, keeping IKE_SA");
            core.tell(Event::Alert {
                kind: "keep-on-child-sa-failure",
                sa: Some(Box::new(crate::view::bare(sa))),
                detail: Vec::new(),
            });
            let all = refusal(&head, &tail, kind);
            send::respond(core, sa, ExchangeType::IkeAuth, &all);
            if core.snapshot.settings.close_ike_on_child_failure {
                close::close(core, sa);
            }
        }
    }
}
