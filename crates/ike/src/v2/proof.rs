//! Who is who: identities, the octets that AUTH covers, and shared secrets (RFC 7296 2.15, RFC 9242 3.3.2).
use super::init::Handshake;
use crate::core::Core;
use crate::credential;
use crate::fault::Fault;
use crate::sa::IkeSa;
use crypto::Secret;
use crypto::sign::Verified;
use policy::secrets::SecretKind;
use policy::{Auth, AuthClass, CertRef, Identity, SharedSecret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::IdType;
use wire::ike::Id;

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

/// Our identity in a round: as configured, else what its certificate is for, else what the peer asked for, else our
/// address.
pub(crate) fn own_identity(sa: &IkeSa, round: &Auth, asked: Option<&Identity>) -> Identity {
    if round.class == AuthClass::Null && round.id.is_none() {
        // RFC 7619 2.2: ID_NULL is empty.
        return Identity::Other(IdType::Null, Vec::new());
    }
    let configured = round.id.clone().filter(|i| !i.is_pattern());
    let subject = || Some(round.certs.iter().find_map(CertRef::certificate)?.subject.clone());
    configured
        .or_else(subject)
        .or_else(|| asked.filter(|a| !a.is_pattern()).cloned())
        .unwrap_or_else(|| Identity::Ip(sa.local.ip()))
}

/// Secrets for this pair; the peer's address serves where its identity is not known yet.
pub(crate) fn secrets(core: &Core, sa: &IkeSa, me: &Identity, other: &Identity) -> Vec<Arc<SharedSecret>> {
    let mut found = credential::shared((&*core.snapshot, &core.secrets), SecretKind::Ike, me, other);
    if found.is_empty() && other.is_pattern() {
        found = credential::shared(
            (&core.snapshot, &core.secrets),
            SecretKind::Ike,
            me,
            &Identity::Ip(sa.remote.ip()),
        );
    }
    found
}

/// Whether a secret explains the peer's AUTH value, and which, padded: ours is made with the same.
pub(crate) fn verify(
    core: &mut Core,
    sa: &IkeSa,
    hs: &Handshake,
    auth: &[u8],
    (me, other): (&Identity, &Identity),
    octets: &[u8],
) -> Result<Option<(Proven, Option<Secret>)>, Fault> {
    let keys = credential::shared((&*core.snapshot, &core.secrets), SecretKind::Ike, me, other);
    for s in &keys {
        let padded = hs.keys.padded(&s.data)?;
        let expected = hs.keys.padded_auth(&padded, &[octets])?;
        if crypto::secret::ct_eq(expected.as_slice(), auth) {
            say!(core, sa, Ike 1, "authentication of '{other}' with pre-shared key successful");
            return Ok(Some((Proven(()), Some(padded))));
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

/// The peer's AUTH value is made with this key, as from a shared secret (RFC 7296 2.16): an MSK, or where there is none
/// SK_pi or SK_pr, as it is with NULL authentication (RFC 7619 2.1).
pub(crate) fn by_key(
    hs: &Handshake,
    key: &Secret,
    auth: &[u8],
    octets: &[u8],
) -> Result<Option<Proven>, Fault> {
    let expected = hs.keys.psk_auth(key, &[octets])?;
    Ok(crypto::secret::ct_eq(expected.as_slice(), auth).then_some(Proven(())))
}

/// The peer signed these octets.
pub(crate) fn by_signature(verified: &Verified, octets: &[u8]) -> Option<Proven> {
    verified.covers(octets).then_some(Proven(()))
}

/// The key of an AUTH value after EAP, or without any authentication.
pub(crate) fn auth_key(hs: &Handshake, msk: Option<&Secret>, initiators: bool) -> Secret {
    msk.cloned().unwrap_or_else(|| Secret::from(hs.keys.sk_p(initiators)))
}
