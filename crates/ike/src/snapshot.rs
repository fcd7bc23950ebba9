//! The whole state of an IKE_SA as one plain value: exported by one engine, adopted by another.
//!
//! Questions that are open at the export are asked again by the adopter. Monotonic times move with the clock of the
//! adopter. Who exports must not go on with the SA: both would use the same keys and message IDs.
use crate::core::{Core, Waiter};
use crate::engine::Engine;
use crate::io::{Ask, Now};
use crate::sa::{IkeSa, Phase, Wait};
use crate::v2::child_plan::{Offer, Reserved};
use crate::when::When;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The state of one IKE_SA with its CHILD_SAs, half-open ones included. Serialises with any format; it holds keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IkeSaState {
    sa: Box<IkeSa>,
    exported: Now,
}

impl IkeSaState {
    /// Unique id of the IKE_SA.
    #[must_use]
    pub fn ike_id(&self) -> u32 {
        self.sa.id
    }
}

/// IVs are skipped at an adoption, so that an older copy of the state cannot lead to one used twice.
const IV_GAP: u64 = 1 << 32;

impl Engine {
    /// The state of an IKE_SA; `None` if there is none of that id.
    #[must_use]
    pub fn export(&self, ike_id: u32) -> Option<IkeSaState> {
        let mut sa = Box::new(self.core.table.get(ike_id)?.clone());
        sa.filed = crate::table::Filed::default();
        Some(IkeSaState { sa, exported: self.core.now })
    }

    pub(crate) fn adopt(&mut self, state: IkeSaState) {
        let IkeSaState { mut sa, exported } = state;
        if self.core.table.contains(sa.id) || matches!(sa.phase, Phase::Gone) {
            note!(self.core, Ike 1, "unable to adopt IKE_SA {}: its number is in use", sa.title());
            return;
        }
        let now = self.core.now;
        let elapsed = now.wall.saturating_sub(exported.wall).saturating_mul(1000);
        let then = exported.mono.saturating_add(elapsed);
        // Within the second that the wall clock cannot resolve the clocks are taken as one.
        if now.mono.abs_diff(then) >= 1000 {
            shift(&mut sa, then, now.mono);
        }
        if let Some(keys) = sa.keys_mut() {
            keys.next_iv = keys.next_iv.saturating_add(IV_GAP);
        }
        // Children under negotiation have a number and an SPI already.
        let offered = offered(&sa);
        let children = sa.children.keys().copied().chain(offered.iter().map(|o| o.id));
        self.core.ids_taken(sa.id, children);
        for o in &offered {
            self.core.spis.adopt(o.spi, o.cpi);
        }
        for c in sa.children.values() {
            self.core.spis.adopt(c.sa.spi_in, c.sa.cpi_in);
            let key = crate::reqid::ReqKey::of(&c.sa);
            self.core.reqids.take(c.sa.reqid, &key);
            self.core.marks.take(&c.sa.config, [c.sa.mark_in, c.sa.mark_out]);
        }
        let open: Vec<Wait> = std::mem::take(&mut sa.waiting).into_iter().map(|(_, wait)| wait).collect();
        for wait in open {
            if let Some(ask) = again(&mut self.core, &sa, &wait) {
                let ticket = self.core.ask(Waiter::Ike(sa.id), ask);
                sa.waiting.insert(ticket, wait);
            }
        }
        note!(self.core, Ike 1, "adopted IKE_SA {} between {}", sa.title(), sa.ends());
        let id = sa.id;
        self.put_back(sa);
        self.touch(id, |_, _| {});
    }
}

/// Numbers and SPIs of CHILD_SAs that are still being negotiated.
fn offered(sa: &IkeSa) -> Vec<Reserved> {
    let (active, parked) = match &sa.phase {
        Phase::Claiming(c) => (c.offer.as_ref().map(Offer::reserved), None),
        Phase::Established(e) => (
            e.active.as_ref().and_then(crate::v2::Exchange::offered),
            e.followup.as_ref().and_then(|u| u.offered()),
        ),
        Phase::Resolving
        | Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::IntermediateSent(_)
        | Phase::Vetting(_)
        | Phase::Leasing(_)
        | Phase::Leaving(_)
        | Phase::Gone => (None, None),
    };
    active.into_iter().chain(parked).collect()
}

/// The question once more.
fn again(core: &mut Core, sa: &IkeSa, wait: &Wait) -> Option<Ask> {
    Some(match wait {
        Wait::Resolve => {
            let names = match sa.phase {
                Phase::Resolving if crate::control::names_peer(&sa.conn) => sa.conn.remote_addrs.clone(),
                _ => vec![policy::PeerAddr::Ip(sa.remote.ip())],
            };
            Ask::Resolve { names, local: sa.conn.local_addrs.clone() }
        }
        Wait::Sign | Wait::Judge | Wait::Eap => return crate::v2::auth::ask_again(core, sa, wait),
        Wait::Lease(request) => Ask::Lease((**request).clone()),
        Wait::Vips { up, ike_id, attributes } => Ask::VirtualIps {
            ike_id: *ike_id,
            connection: Arc::clone(&sa.conn),
            local: sa.local.ip(),
            remote: sa.remote.ip(),
            addresses: sa.local_vips.iter().map(|vip| vip.host()).collect(),
            attributes: crate::vip::unplain(attributes),
            up: *up,
        },
        Wait::Install(child) => Ask::InstallChild(Arc::clone(&sa.children.get(child)?.sa)),
        Wait::Activate(child) => Ask::ActivateOutbound { child: *child },
        Wait::Update(child) => {
            let c = sa.children.get(child)?;
            Ask::UpdateChild { child: *child, local: c.sa.local, remote: c.sa.remote, encap: c.sa.encap }
        }
        Wait::Remove { child, keep } => Ask::RemoveChild { child: *child, keep_policies: *keep },
        Wait::Release { pools, identity, addresses } => {
            Ask::Release { pools: pools.clone(), identity: identity.clone(), addresses: addresses.clone() }
        }
    })
}

/// Moves every monotonic time from a clock that shows `then` to one that shows `now`.
fn shift(sa: &mut IkeSa, then: u64, now: u64) {
    let one = |t: &mut u64| {
        *t = if now >= then { t.saturating_add(now - then) } else { t.saturating_sub(then - now) };
    };
    let maybe = |t: &mut When| {
        if let Some(mut at) = t.get() {
            one(&mut at);
            *t = When::at(at);
        }
    };
    one(&mut sa.created);
    one(&mut sa.last_in);
    one(&mut sa.last_out);
    maybe(&mut sa.half_open_until);
    if let Some(f) = sa.window.flight.as_mut() {
        one(&mut f.at);
    }
    for (at, _) in &mut sa.retries {
        one(at);
    }
    for c in sa.children.values_mut() {
        one(&mut c.installed);
        one(&mut c.last_used);
        for t in [&mut c.rekey_at, &mut c.expires_at, &mut c.remove_at, &mut c.retry_at] {
            maybe(t);
        }
    }
    if let Phase::Claiming(c) = &mut sa.phase {
        one(&mut c.until);
    }
    if let Phase::Established(e) = &mut sa.phase {
        one(&mut e.since);
        for t in [&mut e.rekey_at, &mut e.reauth_at, &mut e.expire_at, &mut e.close_at] {
            maybe(t);
        }
        if let Some(f) = e.followup.as_mut() {
            one(&mut f.until);
        }
    }
}
