//! The peer's INFORMATIONAL requests (RFC 7296 1.4).
use super::{child_delete, ike_delete, mobike, send};
use crate::core::Core;
use crate::io::Datagram;
use crate::message::{has, notifies, notify_name, pick};
use crate::sa::IkeSa;
use wire::iana::{ExchangeType, NotifyType, ProtocolId};
use wire::ike::Payload;

/// Answers a request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, d: &Datagram, p: &[Payload]) {
    let mut reply = Vec::new();
    for payload in p {
        if let Payload::Delete(del) = payload {
            if del.protocol == ProtocolId::Ike {
                return ike_delete::respond(core, sa);
            }
            reply.extend(child_delete::respond(core, sa, del));
        }
    }
    // "an IKE_SA … AUTHENTICATION_FAILED: … the other end MUST delete it" (RFC 7296 2.21.2).
    if has(p, NotifyType::AuthenticationFailed) {
        say!(core, sa, Ike 1, "received AUTHENTICATION_FAILED notify error");
        send::respond(core, sa, ExchangeType::Informational, &[]);
        return super::close::leave(core, sa);
    }
    reply.extend(mobike::respond(core, sa, d, p));
    reply.extend(pick!(p, Cp).and_then(crate::vip::inform).map(Payload::Cp));
    for n in notifies(p).filter(|n| n.kind.is_error()) {
        say!(core, sa, Ike 1, "received {} notify", notify_name(n.kind));
    }
    send::respond(core, sa, ExchangeType::Informational, &reply);
}
