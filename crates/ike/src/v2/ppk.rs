//! Post-quantum pre-shared keys (RFC 8784): mixed into SK_d, SK_pi and SK_pr at IKE_AUTH.
use super::init::Handshake;
use super::keys::Keys;
use crate::core::Core;
use crate::fault::Fault;
use crate::message::{find, has, notify};
use crate::sa::IkeSa;
use policy::secrets::SecretKind;
use policy::{Identity, SharedSecret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::NotifyType;
use wire::ike::Payload;

/// PPK_ID_FIXED (RFC 8784 5.1): the identity as octets.
const FIXED: u8 = 2;

/// The keys that a PPK changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mixed {
    sk_d: crypto::Secret,
    sk_pi: crypto::Secret,
    sk_pr: crypto::Secret,
}

impl Mixed {
    /// "SK_d = prf+ (PPK, SK_d')", and likewise SK_pi and SK_pr (RFC 8784 3).
    pub(crate) fn of(keys: &Keys, ppk: &SharedSecret) -> Result<Self, Fault> {
        let p = super::keys::prf_of(&keys.suite)?;
        let one = |k: &crypto::Secret| crypto::prf::plus(p, ppk.data.as_slice(), &[k.as_slice()], k.len());
        Ok(Self { sk_d: one(&keys.sk_d)?, sk_pi: one(&keys.sk_pi)?, sk_pr: one(&keys.sk_pr)? })
    }

    /// Puts them in place.
    pub(crate) fn apply(self, keys: &mut Keys) {
        keys.sk_d = self.sk_d;
        keys.sk_pi = self.sk_pi;
        keys.sk_pr = self.sk_pr;
    }
}

fn lookup(core: &Core, id: &Identity) -> Option<Arc<SharedSecret>> {
    let fits = |s: &&Arc<SharedSecret>| {
        s.kind == SecretKind::Ppk && s.owners.iter().any(|o| o.matches(id).is_some())
    };
    core.snapshot.secrets.iter().find(fits).cloned()
}

/// Whether we have any, and so say USE_PPK as responder.
pub(crate) fn known(core: &Core) -> bool {
    core.snapshot.secrets.iter().any(|s| s.kind == SecretKind::Ppk)
}

// ---------------------------------------------------------------------------------------------- initiator

/// The keys of our PPK, if both of us use one.
pub(crate) fn choose(
    core: &mut Core,
    sa: &IkeSa,
    hs: &Handshake,
) -> Result<Option<(Mixed, Identity)>, Fault> {
    let Some(text) = sa.conn.ppk_id.clone() else { return Ok(None) };
    let required = sa.conn.ppk_required;
    if !sa.features.ppk {
        if required {
            return Err(Fault::Local("PPK required but peer does not support PPK".to_owned()));
        }
        say!(core, sa, Ike 1, "peer does not support PPK, continuing without");
        return Ok(None);
    }
    let id = Identity::parse(&text).map_err(|e| Fault::Local(e.to_string()))?;
    match lookup(core, &id) {
        Some(ppk) => {
            say!(core, sa, Cfg 1, "using PPK for PPK_ID '{id}'");
            Ok(Some((Mixed::of(&hs.keys, &ppk)?, id)))
        }
        None if required => Err(Fault::Local(format!("PPK required but no PPK found for '{id}'"))),
        None => {
            say!(core, sa, Cfg 1, "no PPK for '{id}' found, ignored because PPK is not required");
            Ok(None)
        }
    }
}

/// `N(PPK_ID)`.
pub(crate) fn identity_payload(id: &Identity) -> Payload {
    let mut data = vec![FIXED];
    data.extend(id.to_wire().1);
    notify(NotifyType::PpkIdentity, &data)
}

/// Whether the responder took it.
pub(crate) fn confirmed(core: &mut Core, sa: &IkeSa, offered: bool, p: &[Payload]) -> Result<bool, Fault> {
    let taken = offered && has(p, NotifyType::PpkIdentity);
    if offered && !taken {
        if sa.conn.ppk_required {
            return Err(Fault::Local("PPK required but peer did not use it".to_owned()));
        }
        say!(core, sa, Ike 1, "peer didn't use PPK, continuing without");
    }
    Ok(taken)
}

// ---------------------------------------------------------------------------------------------- responder

/// What the initiator's PPK_IDENTITY comes to.
#[derive(Debug, Clone)]
pub(crate) enum Offered {
    /// None was offered.
    No,
    /// It is ours too, and its keys are in place.
    Used,
    /// We do not have it; the AUTH value without it, if there is one.
    Unknown(Option<Vec<u8>>),
}

/// Looks the initiator's PPK up and mixes it in.
pub(crate) fn accept(
    core: &mut Core,
    sa: &IkeSa,
    hs: &mut Handshake,
    p: &[Payload],
) -> Result<Offered, Fault> {
    let Some(n) = find(p, NotifyType::PpkIdentity).filter(|_| sa.features.ppk) else {
        return Ok(Offered::No);
    };
    let id = match n.data.split_first() {
        Some((&FIXED, rest)) if !rest.is_empty() => rest,
        _ => return Err(Fault::Broken("illegal PPK_IDENTITY notify")),
    };
    // The octets carry no type: any owner with the same octets is meant.
    let same =
        |s: &&Arc<SharedSecret>| s.kind == SecretKind::Ppk && s.owners.iter().any(|o| o.to_wire().1 == id);
    let found = core.snapshot.secrets.iter().find(same).cloned();
    let shown = String::from_utf8_lossy(id).replace(char::is_control, "?");
    match found {
        Some(ppk) => {
            say!(core, sa, Cfg 1, "using PPK for PPK_ID '{shown}'");
            Mixed::of(&hs.keys, &ppk)?.apply(&mut hs.keys);
            Ok(Offered::Used)
        }
        None => {
            say!(core, sa, Cfg 1, "no PPK for '{shown}' found");
            Ok(Offered::Unknown(find(p, NotifyType::NoPpkAuth).map(|n| n.data.clone())))
        }
    }
}
