//! Deleting the IKE_SA (RFC 7296 1.4.1).
use super::{Exchange, close, send};
use crate::core::{Core, Later};
use crate::sa::{IkeSa, Standing};
use wire::iana::{ExchangeType, ProtocolId};
use wire::ike::{Delete, Payload};

/// Sends the delete.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    say!(core, sa, Ike 0, "deleting IKE_SA {} between {}", sa.title(), sa.ends());
    say!(core, sa, Ike 1, "sending DELETE for IKE_SA {}", sa.title());
    let p = [Payload::Delete(Delete { protocol: ProtocolId::Ike, spis: Vec::new() })];
    match send::request(core, sa, ExchangeType::Informational, &p) {
        Ok(()) => {
            if let Some(e) = sa.established_mut() {
                e.standing = Standing::Deleting;
                e.active = Some(Exchange::IkeDelete);
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "unable to send DELETE: {fault}");
            close::leave(core, sa);
        }
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa) {
    say!(core, sa, Ike 0, "IKE_SA deleted");
    close::leave(core, sa);
}

/// The peer deletes the IKE_SA: answer, then forget.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa) {
    say!(core, sa, Ike 1, "received DELETE for IKE_SA {}", sa.title());
    let standing = sa.established().map(|e| e.standing);
    if standing != Some(Standing::Rekeyed) {
        say!(core, sa, Ike 0, "deleting IKE_SA {} between {}", sa.title(), sa.ends());
    }
    let superseded = super::ike_rekey::deleted_under_us(core, sa);
    say!(core, sa, Ike 0, "IKE_SA deleted");
    send::respond(core, sa, ExchangeType::Informational, &[]);
    if matches!(standing, Some(Standing::Up | Standing::Rekeying)) {
        close::closed_by_peer(core, sa);
    }
    if superseded {
        // Not before the successor has what it inherits: if it went before us, that comes back to be taken apart.
        core.later.push_back(Later::Destroy(sa.id));
    } else {
        close::leave(core, sa);
    }
}
