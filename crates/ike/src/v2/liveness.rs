//! Liveness checks (RFC 7296 2.4): an empty INFORMATIONAL when nothing was heard for `dpd_delay`.
use super::{Exchange, close, send};
use crate::core::Core;
use crate::sa::IkeSa;
use wire::iana::ExchangeType;

/// Sends the check.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    say!(core, sa, Ike 1, "sending DPD request");
    match send::request(core, sa, ExchangeType::Informational, &[]) {
        Ok(()) => {
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::Liveness);
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "unable to send DPD request: {fault}");
            close::leave(core, sa);
        }
    }
}

/// Traffic of the peer proves that it is alive.
pub(crate) fn heard(sa: &mut IkeSa, at: u64) {
    sa.last_in = sa.last_in.max(at);
}
