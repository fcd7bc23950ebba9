//! An IKE_SA comes into service, and when it must be renewed.
use super::keys::Keys;
use super::proof::Proven;
use crate::core::{Core, Later};
use crate::io::Event;
use crate::lifetime::IkeTimes;
use crate::sa::{Established, IkeSa, Phase, Standing};
use crate::when::When;

/// The IKE_SA is in service.
/// `lifetime`: the peer's AUTH_LIFETIME.
pub(crate) fn establish(core: &mut Core, sa: &mut IkeSa, keys: Keys, proof: Proven, lifetime: Option<u64>) {
    let random = core.rng.u64();
    let now = core.now.mono;
    let mut times = crate::lifetime::ike(&sa.conn, now, random);
    if !sa.initiator {
        // The initiator reauthenticates; it heard AUTH_LIFETIME.
        times.reauth_at = None;
    }
    let already = lifetime.is_some_and(|seconds| heed(core, sa, seconds, &mut times));
    enter(core, sa, keys, proof, times);
    sa.half_open_until = When::NEVER;
    if let Some(few) = sa.few_if_any() {
        few.attempts = 0;
    }
    let ends = sa.ends();
    say!(core, sa, Ike 0, "IKE_SA {} established between {ends}", sa.title());
    report_times(core, sa, already);
    sa.announced = true;
    let view = crate::view::bare(sa);
    core.tell(Event::IkeUpDown { up: true, sa: Box::new(view) });
    core.ike_up(sa);
    if let Some(old) = sa.replaces.take() {
        core.later.push_back(Later::Succeed { old, new: sa.id });
        core.later.push_back(Later::Close(old));
    }
}

/// Sets the phase; for a successor of a rekeyed IKE_SA with its predecessor's proof.
pub(crate) fn enter(core: &mut Core, sa: &mut IkeSa, keys: Keys, proof: Proven, times: IkeTimes) {
    sa.phase = Phase::Established(Box::new(Established {
        keys: keys.proven(),
        proof,
        standing: Standing::Up,
        since: core.now.mono,
        rekey_at: times.rekey_at.into(),
        reauth_at: times.reauth_at.into(),
        expire_at: times.expire_at.into(),
        active: None,
        passive: None,
        successor: None,
        close_at: When::NEVER,
        followup: None,
    }));
}

/// `scheduling rekeying in 123s`, `maximum IKE_SA lifetime 456s`.
/// `already`: the peer's AUTH_LIFETIME had its way, and was told.
pub(crate) fn report_times(core: &mut Core, sa: &IkeSa, already: bool) {
    let Some(e) = sa.established() else { return };
    let (rekey, reauth, expire) = (e.rekey_at.get(), e.reauth_at.get(), e.expire_at.get());
    let seconds = |at: u64| at.saturating_sub(core.now.mono) / 1000;
    if let Some(s) = rekey.map(seconds) {
        say!(core, sa, Ike 1, "scheduling rekeying in {s}s");
    }
    let seconds = |at: u64| at.saturating_sub(core.now.mono) / 1000;
    if let Some(s) = reauth.map(seconds) {
        if already {
            say!(core, sa, Ike 1, "reauthentication already scheduled in {s}s");
        } else {
            say!(core, sa, Ike 1, "scheduling reauthentication in {s}s");
        }
    }
    let seconds = |at: u64| at.saturating_sub(core.now.mono) / 1000;
    if let Some(s) = expire.map(seconds) {
        say!(core, sa, Ike 1, "maximum IKE_SA lifetime {s}s");
    }
}

/// What authenticated the peer holds for so long only: it authenticates anew by then, or goes.
pub(crate) fn end_within(core: &mut Core, sa: &mut IkeSa, seconds: u64) {
    let at = core.now.mono.saturating_add(seconds.saturating_mul(1000));
    if let Some(e) = sa.established_mut() {
        e.expire_at = When::at(e.expire_at.get().map_or(at, |expire| expire.min(at)));
    }
}

/// Somebody wants an IKE_SA in service to be authenticated again in time.
pub(crate) fn reauthenticate_within(core: &mut Core, sa: &mut IkeSa, seconds: u64) {
    let Some(e) = sa.established() else { return };
    let mut times =
        IkeTimes { rekey_at: e.rekey_at.get(), reauth_at: e.reauth_at.get(), expire_at: e.expire_at.get() };
    if !heed(core, sa, seconds, &mut times)
        && let Some(r) = times.reauth_at
    {
        let left = r.saturating_sub(core.now.mono) / 1000;
        say!(core, sa, Ike 1, "reauthentication already scheduled in {left}s");
    }
    if let Some(e) = sa.established_mut() {
        (e.reauth_at, e.expire_at) = (times.reauth_at.into(), times.expire_at.into());
    }
}

/// The peer wants us to authenticate again in time (RFC 4478). Whether that is before we would have done so.
fn heed(core: &mut Core, sa: &IkeSa, seconds: u64, times: &mut IkeTimes) -> bool {
    // As long before as the connection gives it, or a tenth where that is more than there is.
    let over = Some(sa.conn.over_time).filter(|over| *over > 0 && *over < seconds);
    let soft = seconds.saturating_sub(over.unwrap_or(seconds / 10).max(1)).max(1);
    say!(core, sa, Ike 1, "received AUTH_LIFETIME of {seconds}s, scheduling reauthentication in {soft}s");
    let at = |seconds: u64| core.now.mono.saturating_add(seconds.saturating_mul(1000));
    let (soft, hard) = (at(soft), at(seconds));
    let sooner = times.reauth_at.is_none_or(|own| soft <= own);
    if sooner {
        times.reauth_at = Some(soft);
        // The peer ends it then.
        times.expire_at = Some(times.expire_at.map_or(hard, |own| own.min(hard)));
    }
    sooner
}
