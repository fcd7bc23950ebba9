//! What IKE_AUTH is about once both ends are authenticated: uniqueness, addresses, the first CHILD_SA.
use super::Vetting;
use crate::core::{Core, Later, Waiter};
use crate::fault::Fault;
use crate::io::{Ask, Event, LeaseRequest};
use crate::message::{Kept, error, find, has, notify, notify_name, pick};
use crate::sa::{IkeSa, Phase, Wait};
use crate::v2::child_plan::{self, Answered as ChildAnswered, Offer};
use crate::v2::establish::{end_within, establish};
use crate::v2::init::Handshake;
use crate::v2::proof::Proven;
use crate::v2::{Job, Passive, child_create, close, send, take_phase};
use crate::vip;
use policy::VirtualIp;
use policy::connection::{Childless, Unique};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{ConfigType, ExchangeType, NotifyType, ProtocolId};
use wire::ike::{ConfigAttr, Payload};

/// Responder: the peer is authenticated, an address is being leased for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Leasing {
    pub(crate) hs: Handshake,
    /// The request, whole.
    first: Kept,
    /// What our response says about who we are.
    head: Kept,
    proof: Proven,
    /// Seconds until the peer must authenticate anew, beside what the connection says.
    lifetime: Option<u64>,
}

// ---------------------------------------------------------------------------------------------- initiator

/// Both are authenticated: addresses, then the first CHILD_SA.
pub(super) fn settled(
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
        crate::v2::mobike::note_additional(sa, p);
    }
    let mut attributes: Vec<ConfigAttr> = Vec::new();
    if let Some(cp) = pick!(p, Cp).filter(|c| c.kind == ConfigType::Reply && !sa.conn.vips.is_empty()) {
        let (addresses, rest) = vip::given(cp, &sa.conn.vips);
        let (good, bad) = vip::acceptable(addresses, sa.remote.ip());
        for v in bad {
            say!(core, sa, Ike 1, "ignoring virtual IP {v} from the peer, it cannot be ours");
        }
        sa.local_vips = good.into_iter().collect();
        attributes = rest;
    }
    sa.attributes = vip::plain(&attributes).into_iter().collect();
    for v in sa.local_vips.clone() {
        say!(core, sa, Ike 0, "installing new virtual IP {v}");
    }
    let lifetime =
        find(p, NotifyType::AuthLifetime).and_then(|n| <[u8; 4]>::try_from(n.data.as_slice()).ok());
    let lifetime = lifetime.map(|bytes| u64::from(u32::from_be_bytes(bytes)));
    establish(core, sa, hs.keys.clone(), proof, lifetime);
    if !sa.local_vips.is_empty() || !attributes.is_empty() {
        sa.few_mut().vips_for = Some(sa.id);
        let ask = Ask::VirtualIps {
            ike_id: sa.id,
            connection: Arc::clone(&sa.conn),
            local: sa.local.ip(),
            remote: sa.remote.ip(),
            addresses: sa.local_vips.iter().map(|vip| vip.host()).collect(),
            attributes,
            up: true,
        };
        let ticket = core.ask(Waiter::Ike(sa.id), ask);
        sa.waiting.insert(ticket, Wait::Vips { up: true, ike_id: sa.id, attributes: sa.attributes.to_vec() });
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
            Err(fault) => {
                if error(p).is_none() && pick!(p, Sa).is_some() {
                    // The peer has a CHILD_SA that we do not want.
                    let protocol = offer.config.proposals.first().map_or(ProtocolId::Esp, |x| x.protocol);
                    crate::v2::enqueue(core, sa, Job::SpiDelete(protocol, offer.spi_in));
                }
                child_create::failed(core, sa, &offer, &name, &fault);
            }
        }
    }
    for c in std::mem::take(&mut sa.wanted) {
        crate::v2::enqueue(core, sa, Job::ChildCreate(c));
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// Both are authenticated, the peer does not know it yet.
pub(super) fn admit(core: &mut Core, sa: &mut IkeSa, mut v: Box<Vetting>) {
    let Some(proof) = v.proof else {
        sa.phase = Phase::Vetting(v);
        return super::responder::fail(core, sa, &Fault::Broken("AUTH payload missing"));
    };
    if let Err(fault) = accept_peer(core, sa, &v.first) {
        sa.phase = Phase::Vetting(v);
        return super::responder::fail(core, sa, &fault);
    }
    let head = v.take_head();
    let Vetting { hs, first, lifetime, .. } = *v;
    lease(core, sa, Leasing { hs, first, head, proof, lifetime });
}

/// The peer is who it says: `unique`.
fn accept_peer(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) -> Result<(), Fault> {
    // RFC 7619 2.3: who does not authenticate itself must not have others' SAs deleted.
    if super::anonymous(&sa.conn) {
        return Ok(());
    }
    let me = sa.me();
    let other = sa.peer_identity();
    let same_family = |x: &&IkeSa| x.remote.is_ipv4() == sa.remote.is_ipv4();
    let ids: Vec<u32> = core.table.between(&me, &other).filter(same_family).map(|x| x.id).collect();
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
    Ok(())
}

/// What the pools gave.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) addresses: Vec<VirtualIp>,
    pub(crate) attributes: Vec<ConfigAttr>,
    /// Why not all that was asked for; for the operator.
    pub(crate) trouble: Option<String>,
}

/// The peer's request for addresses and attributes.
fn request(p: &[Payload]) -> Option<vip::Asked> {
    pick!(p, Cp).filter(|c| c.kind == ConfigType::Request).map(vip::asked)
}

/// Asks for virtual IPs if the peer does and we have pools.
fn lease(core: &mut Core, sa: &mut IkeSa, state: Leasing) {
    let Some(asked) = request(&state.first) else { return proceed(core, sa, state, Given::default()) };
    for v in &asked.addresses {
        say!(core, sa, Ike 1, "peer requested virtual IP {}", vip::show(*v));
    }
    if sa.conn.pools.is_empty() {
        let why = format!("connection '{}' has no pools", sa.conn.name);
        return proceed(core, sa, state, Given { trouble: Some(why), ..Given::default() });
    }
    if asked.addresses.is_empty() {
        return proceed(core, sa, state, Given::default());
    }
    let request = LeaseRequest {
        pools: sa.conn.pools.clone(),
        identity: sa.peer_identity(),
        requested: asked.addresses,
        attributes: asked.kinds,
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
pub(crate) fn leased(core: &mut Core, sa: &mut IkeSa, request: &LeaseRequest, given: Given) {
    let state = match take_phase(sa) {
        Phase::Leasing(state) => state,
        other => {
            // The SA went while the pools were thinking: give back what nobody will use.
            sa.phase = other;
            if !given.addresses.is_empty() {
                let (pools, identity) = (request.pools.clone(), request.identity.clone());
                let addresses = given.addresses.iter().map(|v| v.address()).collect();
                core.ask(Waiter::Nobody, Ask::Release { pools, identity, addresses });
            }
            return;
        }
    };
    let peer = request.identity.to_string();
    for a in &given.addresses {
        say!(core, sa, Ike 1, "assigning virtual IP {a} to peer '{peer}'");
    }
    for v in &request.requested {
        if !given.addresses.iter().any(|a| a.is_ipv4() == v.is_ipv4()) {
            say!(core, sa, Ike 1, "no virtual IP found for {} requested by '{peer}'", vip::show(*v));
        }
    }
    sa.remote_vips = given.addresses.iter().copied().collect();
    proceed(core, sa, *state, given);
}

/// Everything is known: the IKE_SA is established, the answer leaves when the CHILD_SA is installed.
fn proceed(core: &mut Core, sa: &mut IkeSa, state: Leasing, given: Given) {
    sa.window.busy = true;
    let Leasing { hs, first: p, head, proof, lifetime } = state;
    let Handshake { keys, nonces, .. } = hs;
    let mut head = head.into_vec();
    sa.features.mobike = sa.conn.mobike && has(&p, NotifyType::MobikeSupported);
    if sa.features.mobike {
        say!(core, sa, Ike 1, "peer supports MOBIKE");
        crate::v2::mobike::note_additional(sa, &p);
    }
    let mut tail = Vec::new();
    let configured = Some(sa.conn.reauth_time).filter(|t| *t > 0);
    if let Some(seconds) = configured.into_iter().chain(lifetime).min() {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        tail.push(notify(NotifyType::AuthLifetime, &seconds.to_be_bytes()));
    }
    if sa.features.mobike {
        tail.push(notify(NotifyType::MobikeSupported, &[]));
    }
    establish(core, sa, keys, proof, None);
    if let Some(seconds) = lifetime {
        end_within(core, sa, seconds);
    }

    let wants_child = pick!(&p, Sa).is_some();
    let asked = request(&p);
    let asked_vip = asked.as_ref().is_some_and(|asked| !asked.addresses.is_empty());
    if let Some(asked) = &asked {
        let (cp, left_out) = vip::reply(asked, &given.addresses, &given.attributes, sa.spi_r);
        if left_out > 0 {
            say!(core, sa, Ike 0, "{left_out} attributes for the peer are left out: together they are too long");
        }
        if !cp.attributes.is_empty() {
            head.push(Payload::Cp(cp));
        }
    }
    let refused = if !wants_child {
        None
    } else if asked_vip && given.addresses.is_empty() {
        // RFC 7296 3.15.4: no address could be assigned; the IKE_SA stays.
        say!(core, sa, Ike 1, "no virtual IP found, sending INTERNAL_ADDRESS_FAILURE");
        core.tell(Event::Alert {
            kind: "vip-failure",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: given.trouble.map(|why| ("reason", why)).into_iter().collect(),
        });
        Some(NotifyType::InternalAddressFailure)
    } else if !asked_vip && !sa.conn.pools.is_empty() {
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
    let answer = match (refused, sa.established()) {
        (Some(kind), _) => Err(kind),
        (None, Some(e)) => child_plan::answer(core, sa, &e.keys, &p, &nonces, None),
        (None, None) => Err(NotifyType::NoProposalChosen),
    };
    match answer {
        Ok(ChildAnswered { child, reply, .. }) => {
            let about_child = head.len()..head.len().saturating_add(reply.len());
            head.extend(reply);
            head.extend(tail);
            let id = child.sa.id;
            sa.children.insert(id, child);
            if let Some(e) = sa.established_mut() {
                e.passive = Some(Box::new(Passive {
                    exchange: ExchangeType::IkeAuth,
                    child: id,
                    ok: head.into(),
                    about_child,
                }));
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
