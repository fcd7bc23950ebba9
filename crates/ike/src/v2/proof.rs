//! Who is who: identities, the octets that AUTH covers, and shared secrets (RFC 7296 2.15, RFC 9242 3.3.2).
use super::init::Handshake;
use crate::core::Core;
use crate::credential;
use crate::fault::Fault;
use crate::message::pick;
use crate::sa::IkeSa;
use crate::select;
use policy::secrets::SecretKind;
use policy::{Identity, SharedSecret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::{Id, Payload};

/// The peer is authenticated: only this file makes one, and without one there is no established IKE_SA.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Proven(());

/// One side's octets: its IKE_SA_INIT message | the other's nonce | prf(SK_p, ID) | IntAuth (RFC 9242 3.3.2).
pub(crate) fn octets(hs: &Handshake, initiators: bool, id: &Id, auth_id: u32) -> Result<Vec<u8>, Fault> {
    let (message, nonce) =
        if initiators { (&hs.request, &hs.nonces.nr) } else { (&hs.response, &hs.nonces.ni) };
    let mac = hs.keys.maced_id(initiators, &id.body())?;
    let mut all = [message.as_slice(), nonce.as_slice(), mac.as_slice()].concat();
    if !hs.int_auth_i.is_empty() {
        all.extend_from_slice(&hs.int_auth_i);
        all.extend_from_slice(&hs.int_auth_r);
        all.extend_from_slice(&auth_id.to_be_bytes());
    }
    Ok(all)
}

pub(crate) fn wire_id(identity: &Identity) -> Id {
    let (kind, data) = identity.to_wire();
    Id { kind, data }
}

/// Our identity: as configured, else what the peer asked for, else our address.
pub(crate) fn own_identity(sa: &IkeSa, asked: Option<&Identity>) -> Identity {
    let configured = select::round(&sa.conn.local).and_then(|a| a.id.clone()).filter(|i| !i.is_pattern());
    configured
        .or_else(|| asked.filter(|a| !a.is_pattern()).cloned())
        .unwrap_or_else(|| Identity::Ip(sa.local.ip()))
}

/// Secrets for this pair; the peer's address serves where its identity is not known yet.
pub(crate) fn secrets(core: &Core, sa: &IkeSa, me: &Identity, other: &Identity) -> Vec<Arc<SharedSecret>> {
    let mut found = credential::shared(&core.snapshot, SecretKind::Ike, me, other);
    if found.is_empty() && other.is_pattern() {
        found = credential::shared(&core.snapshot, SecretKind::Ike, me, &Identity::Ip(sa.remote.ip()));
    }
    found
}

/// Whether a secret explains the peer's AUTH value.
pub(crate) fn verify(
    core: &mut Core,
    sa: &IkeSa,
    hs: &Handshake,
    auth: &[u8],
    me: &Identity,
    other: &Identity,
    octets: &[u8],
) -> Result<Option<Proven>, Fault> {
    let keys = credential::shared(&core.snapshot, SecretKind::Ike, me, other);
    for s in &keys {
        let expected = hs.keys.psk_auth(&s.data, &[octets])?;
        if crypto::secret::ct_eq(expected.as_slice(), auth) {
            say!(core, sa, Ike 1, "authentication of '{other}' with pre-shared key successful");
            return Ok(Some(Proven(())));
        }
    }
    if keys.is_empty() {
        say!(core, sa, Ike 1, "no shared key found for '{me}' - '{other}'");
    } else {
        let plural = if keys.len() == 1 { "" } else { "s" };
        say!(core, sa, Ike 1, "tried {} shared key{plural} for '{me}' - '{other}', but MAC mismatched", keys.len());
    }
    Ok(None)
}

pub(crate) fn prove(
    core: &mut Core,
    sa: &mut IkeSa,
    hs: &Handshake,
    auth_id: u32,
    p: &[Payload],
) -> Result<Proven, Fault> {
    let idr = pick!(p, IdR).ok_or(Fault::Broken("IDr payload missing"))?;
    let auth = pick!(p, Auth).ok_or(Fault::Broken("AUTH payload missing"))?;
    let other = Identity::from_wire(idr.kind, &idr.data).map_err(|_| Fault::Broken("illegal IDr payload"))?;
    let pattern = select::round(&sa.conn.remote).and_then(|a| a.id.clone()).unwrap_or(Identity::Any);
    if pattern.matches(&other).is_none() {
        say!(core, sa, Ike 0, "IDr '{other}' does not match to '{pattern}'");
        return Err(Fault::Refused(NotifyType::AuthenticationFailed));
    }
    if auth.method != AuthMethod::Psk {
        return Err(Fault::Local(format!(
            "peer authenticated by {:?}, not by a pre-shared key",
            auth.method
        )));
    }
    let me = sa.local_id.clone().unwrap_or(Identity::Any);
    let signed = octets(hs, false, idr, auth_id)?;
    let mut good = verify(core, sa, hs, &auth.data, &me, &other, &signed)?;
    if good.is_none() && pattern == Identity::Any {
        good = verify(core, sa, hs, &auth.data, &me, &Identity::Ip(sa.remote.ip()), &signed)?;
    }
    let proof = good.ok_or(Fault::Refused(NotifyType::AuthenticationFailed))?;
    sa.remote_id = Some(other);
    Ok(proof)
}
