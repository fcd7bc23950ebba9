//! Post-quantum pre-shared keys (RFC 8784): who uses which, and what they make of the keys.
use super::init::Handshake;
use super::keys::Keys;
use crate::core::Core;
use crate::fault::Fault;
use crate::message::{find, has, notify};
use crate::sa::IkeSa;
use crypto::Secret;
use policy::secrets::SecretKind;
use policy::{Connection, Identity, Snapshot};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::NotifyType;
use wire::ike::Payload;

/// PPK_ID_FIXED (RFC 8784 3): the rest of the notification is the identity.
const PPK_ID_FIXED: u8 = 2;

/// A PPK that we offered in our IKE_AUTH request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Offered {
    id: Identity,
    secret: Secret,
}

impl Offered {
    /// The keys with it.
    pub(crate) fn mix(&self, keys: &Keys) -> Result<Keys, Fault> {
        keys.with_ppk(&self.secret)
    }
}

/// USE_PPK, for an IKE_SA_INIT message of a connection.
pub(crate) fn announcement(conn: &Connection) -> Option<Payload> {
    conn.ppk_id.is_some().then(|| notify(NotifyType::UsePpk, &[]))
}

/// Whether a responder takes part: it has PPKs, or one of the connections the peer may turn out to be for needs one.
pub(crate) fn responder_takes_part(
    snapshot: &Snapshot,
    candidates: &[Arc<Connection>],
    p: &[Payload],
) -> bool {
    has(p, NotifyType::UsePpk)
        && (snapshot.secrets.iter().any(|s| s.kind == SecretKind::Ppk)
            || candidates.iter().any(|c| c.ppk_required))
}

/// The data of an identity as PPK_IDENTITY carries it, which says nothing of its type.
fn bytes_of(id: &Identity) -> Vec<u8> {
    match id {
        Identity::Fqdn(_) | Identity::Rfc822(_) | Identity::KeyId(_) => id.to_wire().1,
        other => other.to_string().into_bytes(),
    }
}

/// The identity that PPK_IDENTITY names: text, if it is text that can be read as one, else opaque.
fn identity_of(data: &[u8]) -> Identity {
    let text = std::str::from_utf8(data).ok().filter(|t| !t.is_empty() && !t.chars().any(char::is_control));
    text.and_then(|t| Identity::parse(t).ok())
        .filter(|id| !id.is_pattern())
        .unwrap_or_else(|| Identity::KeyId(data.to_vec()))
}

/// The PPK of an identity: one that names it before one that anybody may use.
fn secret_of(snapshot: &Snapshot, id: &Identity) -> Option<Secret> {
    let best = policy::secrets::best_shared_secret(&snapshot.secrets, SecretKind::Ppk, Some(id), None);
    best.map(|s| s.data.clone())
}

/// What a connection's `ppk_id` stands for.
fn configured(conn: &Connection) -> Option<Identity> {
    conn.ppk_id
        .as_deref()
        .map(|t| Identity::parse(t).unwrap_or_else(|_| Identity::KeyId(t.as_bytes().to_vec())))
}

// ---------------------------------------------------------------------------------------------- initiator

/// Whether both announced PPKs; an error if ours must be used and the peer's silence forbids it.
pub(crate) fn negotiated(core: &mut Core, sa: &IkeSa, p: &[Payload]) -> Result<bool, Fault> {
    if sa.conn.ppk_id.is_none() {
        if sa.conn.ppk_required {
            return Err(Fault::Local("PPK required but no ppk_id configured".to_owned()));
        }
        return Ok(false);
    }
    if has(p, NotifyType::UsePpk) {
        return Ok(true);
    }
    if sa.conn.ppk_required {
        return Err(Fault::Broken("PPK required but peer does not support PPK"));
    }
    say!(core, sa, Cfg 1, "peer does not support PPK, ignored because PPK is not required");
    Ok(false)
}

/// The PPK to offer in IKE_AUTH, with the identity to name. A pattern stands for the first PPK that it fits.
pub(crate) fn choose(core: &mut Core, sa: &IkeSa, hs: &Handshake) -> Result<Option<Offered>, Fault> {
    let Some(pattern) = configured(&sa.conn).filter(|_| hs.use_ppk) else { return Ok(None) };
    let id = if pattern.is_pattern() {
        let owners =
            core.snapshot.secrets.iter().filter(|s| s.kind == SecretKind::Ppk).flat_map(|s| &s.owners);
        owners.filter(|o| !o.is_pattern()).find(|o| pattern.matches(o).is_some()).cloned()
    } else {
        Some(pattern.clone())
    };
    let found = id.and_then(|id| Some(Offered { secret: secret_of(&core.snapshot, &id)?, id }));
    if let Some(o) = &found {
        say!(core, sa, Cfg 2, "offering PPK for PPK_ID '{}'", o.id);
    } else {
        missing(core, sa, &pattern)?;
    }
    Ok(found)
}

/// What goes into the request: PPK_IDENTITY, and the proof without PPK where it may do; in charon's order.
pub(crate) fn request(offered: &Offered, required: bool, without: Option<&[u8]>) -> Vec<Payload> {
    let data = [&[PPK_ID_FIXED], bytes_of(&offered.id).as_slice()].concat();
    let without = without.filter(|_| !required).map(|w| notify(NotifyType::NoPpkAuth, w));
    without.into_iter().chain([notify(NotifyType::PpkIdentity, &data)]).collect()
}

/// The responder's decision: whether its PPK_IDENTITY says that the PPK is in use. Mixes it into the keys.
pub(crate) fn answered(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: &mut Handshake,
    offered: Option<&Offered>,
    p: &[Payload],
) -> Result<(), Fault> {
    let Some(o) = offered else { return Ok(()) };
    if has(p, NotifyType::PpkIdentity) {
        say!(core, sa, Cfg 1, "using PPK for PPK_ID '{}'", o.id);
        hs.keys = o.mix(&hs.keys)?;
        sa.ppk = true;
        return Ok(());
    }
    if sa.conn.ppk_required {
        say!(core, sa, Cfg 1, "PPK required but peer didn't use PPK for PPK_ID '{}'", o.id);
        return Err(Fault::Refused(NotifyType::AuthenticationFailed));
    }
    say!(core, sa, Cfg 1, "peer didn't use PPK for PPK_ID '{}'", o.id);
    Ok(())
}

// ---------------------------------------------------------------------------------------------- responder

/// How a responder goes about a peer's IKE_AUTH request under the connection of `sa`.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Without PPK, by the AUTH payload.
    Plain,
    /// Without PPK, by the proof in NO_PPK_AUTH.
    Fallback(Vec<u8>),
    /// With this one.
    Use(Secret),
}

/// RFC 8784 3, table 1.
pub(crate) fn judge(core: &mut Core, sa: &IkeSa, hs: &Handshake, p: &[Payload]) -> Result<Verdict, Fault> {
    let refused = || Fault::Refused(NotifyType::AuthenticationFailed);
    let named = find(p, NotifyType::PpkIdentity).filter(|_| hs.use_ppk);
    // As charon: without `ppk_id`, any PPK that we have will do.
    let pattern = configured(&sa.conn).unwrap_or(Identity::Any);
    let Some(named) = named else {
        if sa.conn.ppk_required {
            let why = if hs.use_ppk { "sent no PPK_IDENTITY notify" } else { "does not support PPK" };
            say!(core, sa, Cfg 1, "PPK required but peer {why}");
            return Err(refused());
        }
        return Ok(Verdict::Plain);
    };
    let id = match named.data.split_first() {
        Some((&PPK_ID_FIXED, rest)) if !rest.is_empty() => identity_of(rest),
        // PPK_ID_OPAQUE and others mean nothing to us: a PPK that we do not have.
        _ => Identity::KeyId(named.data.clone()),
    };
    if pattern.matches(&id).is_some()
        && let Some(secret) = secret_of(&core.snapshot, &id)
    {
        say!(core, sa, Cfg 1, "using PPK for PPK_ID '{id}'");
        return Ok(Verdict::Use(secret));
    }
    missing(core, sa, &id)?;
    let Some(without) = find(p, NotifyType::NoPpkAuth) else {
        say!(core, sa, Ike 1, "no PPK available and no NO_PPK_AUTH notify received");
        return Err(refused());
    };
    say!(core, sa, Ike 1, "no PPK available, using NO_PPK_AUTH notify");
    Ok(Verdict::Fallback(without.data.clone()))
}

/// PPK_IDENTITY without data: the PPK is in use.
pub(crate) fn confirmation() -> Payload {
    notify(NotifyType::PpkIdentity, &[])
}

/// There is no PPK of that identity.
fn missing(core: &mut Core, sa: &IkeSa, id: &Identity) -> Result<(), Fault> {
    if sa.conn.ppk_required {
        say!(core, sa, Cfg 1, "PPK required but no PPK found for '{id}'");
        return Err(Fault::Refused(NotifyType::AuthenticationFailed));
    }
    say!(core, sa, Cfg 1, "no PPK for '{id}' found, ignored because PPK is not required");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_survive_the_notification() {
        for text in ["ppk-carol@example.org", "moon", "192.0.2.1", "@#00ff10", "C=CH, CN=moon"] {
            let id = Identity::parse(text).unwrap();
            assert_eq!(identity_of(&bytes_of(&id)), id, "{text}");
        }
        assert_eq!(identity_of(b"*@example.org"), Identity::KeyId(b"*@example.org".to_vec()));
        assert_eq!(identity_of(b"\0\xff"), Identity::KeyId(vec![0, 255]));
        assert_eq!(identity_of(b""), Identity::KeyId(Vec::new()));
    }
}
