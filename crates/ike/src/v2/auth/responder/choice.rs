//! Which of its connections a responder takes for the peer, as it learns more of it.
use super::super::refused;
use super::super::rounds::{self, How, Passed, distrust, same_demands, violated};
use super::Vetting;
use crate::core::Core;
use crate::fault::Fault;
use crate::negotiate;
use crate::sa::IkeSa;
use policy::{AuthClass, Connection};
use std::sync::Arc;

/// Why a connection cannot be meant. `follows`: whether the peer announced a further round, where it is known yet.
pub(super) fn unfit(
    conn: &Connection,
    v: &Vetting,
    sa: &IkeSa,
    how: How,
    follows: Option<bool>,
) -> Option<String> {
    if v.passed.is_empty() && !negotiate::allows(&conn.proposals, &v.hs.keys.suite) {
        return Some("no matching IKE proposal".to_owned());
    }
    let done = v.passed.len();
    let all = rounds::theirs(conn);
    let Some(round) = all.get(done) else { return Some("non-matching authentication done".to_owned()) };
    if how == How::Eap && !matches!(round.class, AuthClass::Eap(_)) {
        return Some("peer requested EAP, config unacceptable".to_owned());
    }
    if !how.fits(&round.class) {
        let passed = Passed { how, identity: sa.other(), eap_identity: None, groups: Vec::new() };
        return violated(round, &passed);
    }
    if let (Some(id), Some(peer)) = (&round.id, &sa.remote_id)
        && id.matches(peer).is_none()
    {
        return Some(format!("identity '{id}' required, not matched by '{peer}'"));
    }
    match follows {
        Some(true) if all.len() <= done.saturating_add(1) => {
            return Some("peer announces more authentication rounds than configured".to_owned());
        }
        Some(false) if all.len() > done.saturating_add(1) => {
            return Some("insufficient authentication rounds".to_owned());
        }
        _ => {}
    }
    let ours = rounds::ours(conn);
    if ours.len() > 1 && !v.hs.wishes.multiple {
        return Some("peer does not support multiple authentication rounds".to_owned());
    }
    if ours.iter().any(|r| matches!(r.class, AuthClass::Eap(_))) {
        if how != How::Eap {
            return Some("EAP-only authentication configured, but peer does not use EAP".to_owned());
        }
        if !v.hs.wishes.eap_only && !v.hs.force_eap_only {
            return Some("EAP-only authentication configured, but peer does not support it".to_owned());
        }
    }
    None
}

/// Drops candidates from the head of the list until one fits.
pub(super) fn filter(
    core: &mut Core,
    sa: &mut IkeSa,
    v: &mut Vetting,
    unfit: impl Fn(&Connection, &Vetting, &IkeSa) -> Option<String>,
) -> Result<(), Fault> {
    while let Some(conn) = v.candidates.first().cloned() {
        let Some(why) = unfit(&conn, v, sa) else {
            // Those behind it are asked for nothing they could not give.
            let rest: Vec<_> =
                v.candidates.iter().skip(1).filter(|c| unfit(c, v, sa).is_none()).cloned().collect();
            v.candidates.truncate(1);
            v.candidates.extend(rest);
            return Ok(());
        };
        drop_first(core, sa, v, &why)?;
    }
    Err(refused())
}

/// The first candidate is not it.
pub(super) fn drop_first(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting, why: &str) -> Result<(), Fault> {
    if v.candidates.is_empty() {
        return Err(refused());
    }
    let gone = v.candidates.remove(0);
    say!(core, sa, Cfg 1, "selected peer config '{}' unacceptable: {why}", gone.name);
    let Some(next) = v.candidates.first() else {
        say!(core, sa, Cfg 1, "no alternative config found");
        return Err(Fault::Distrusted(distrust(why)));
    };
    say!(core, sa, Cfg 1, "switching to peer config '{}'", next.name);
    sa.switch_to(next);
    Ok(())
}

/// Whether the first candidate, which was switched to, takes the rounds that are done.
pub(super) fn takes_past(conn: &Connection, before: &Connection, passed: &[Passed]) -> bool {
    let (a, b) = (rounds::theirs(conn), rounds::theirs(before));
    passed.iter().enumerate().all(|(i, done)| match (a.get(i), b.get(i)) {
        (Some(a), Some(b)) => same_demands(a, b) && violated(a, done).is_none(),
        _ => false,
    })
}

/// A round of the peer's is good. The connection must take it, or another one does.
pub(super) fn pass(core: &mut Core, sa: &mut IkeSa, v: &mut Vetting, passed: Passed) -> Result<(), Fault> {
    let at = v.passed.len();
    // The EAP server runs the method of the first connection that the identity fits.
    let fits = |round: &policy::Auth| match (&round.eap_id, &passed.eap_identity) {
        (Some(pattern), Some(id)) => pattern.matches(id).is_some(),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let candidates = v.candidates.clone();
    let mut all = candidates.iter().filter_map(|c| rounds::theirs(c).get(at).copied());
    let shown = if passed.how == How::Eap { all.find(|r| fits(r)) } else { all.next() };
    loop {
        let why = match rounds::theirs(&sa.conn).get(at) {
            Some(round) => violated(round, &passed),
            None => Some("non-matching authentication done".to_owned()),
        };
        let Some(why) = why else { break };
        say!(core, sa, Cfg 1, "{why}");
        let before = Arc::clone(&sa.conn);
        drop_first(core, sa, v, "constraint checking failed")?;
        // What was shown to one connection counts for another only if that demands the same.
        while !takes_past(&sa.conn, &before, &v.passed) || !alike(&sa.conn, at, shown, passed.how) {
            drop_first(core, sa, v, "non-matching authentication done")?;
        }
    }
    let eap_id = passed.eap_identity.clone().map(Arc::new);
    if eap_id.is_some() {
        sa.few_mut().remote_eap_id = eap_id;
    }
    if !passed.groups.is_empty() {
        sa.few_mut().groups.extend(passed.groups.iter().cloned());
    }
    v.passed.push(passed);
    Ok(())
}

/// The round of a connection demands what `shown` did, but for groups and EAP identity.
fn alike(conn: &Connection, at: usize, shown: Option<&policy::Auth>, how: How) -> bool {
    let all = rounds::theirs(conn);
    match (all.get(at), shown) {
        (Some(round), Some(shown)) if how == How::Eap => round.class == shown.class,
        (Some(round), Some(shown)) => same_demands(round, shown),
        _ => false,
    }
}

/// Candidates that go the same way about post-quantum pre-shared keys as the first.
pub(super) fn group(v: &Vetting) -> Vec<Arc<Connection>> {
    let Some(first) = v.candidates.first() else { return Vec::new() };
    let same = |c: &&Arc<Connection>| (&c.ppk_id, c.ppk_required) == (&first.ppk_id, first.ppk_required);
    v.candidates.iter().filter(same).cloned().collect()
}
