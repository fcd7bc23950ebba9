//! Liveness checks (RFC 7296 2.4): an empty INFORMATIONAL when nothing was heard for `dpd_delay`. Where MOBIKE may update
//! the addresses, a client behind a NAT learns by them whether its mapping changed (RFC 4555 3.8).
use super::{Exchange, Job, close, enqueue, send};
use crate::core::Core;
use crate::message::find;
use crate::sa::IkeSa;
use wire::iana::{ExchangeType, NotifyType};
use wire::ike::Payload;

/// Whether the check asks how the peer sees us.
fn watches_nat(sa: &IkeSa) -> bool {
    sa.initiator && sa.features.mobike && sa.nat.local
}

/// Sends the check.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    say!(core, sa, Ike 1, "sending DPD request");
    let payloads = if watches_nat(sa) {
        let fake = core.wants_encap(sa);
        crate::nat::payloads(core, sa.spi_i, sa.spi_r, sa.local, sa.remote, fake).to_vec()
    } else {
        Vec::new()
    };
    match send::request(core, sa, ExchangeType::Informational, &payloads) {
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

/// The peer lives. What its answer says of our address is compared with what the last one said.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    if !watches_nat(sa) {
        return;
    }
    if note_mapping(sa, p) {
        say!(core, sa, Ike 1, "detected changes in NAT mappings, initiating MOBIKE update");
        sa.few_mut().new_path = Some(Box::new((sa.local.ip(), sa.remote.ip())));
        enqueue(core, sa, Job::Mobike);
    }
}

/// Remembers how the peer sees us; whether that is another way than before.
pub(crate) fn note_mapping(sa: &mut IkeSa, p: &[Payload]) -> bool {
    let Some(seen) = find(p, NotifyType::NatDetectionDestinationIp) else { return false };
    let before = sa.few_mut().seen_as.replace(seen.data.iter().copied().collect());
    before.is_some_and(|before| before.as_slice() != seen.data)
}

/// Traffic of the peer proves that it is alive.
pub(crate) fn heard(sa: &mut IkeSa, at: u64) {
    sa.last_in = sa.last_in.max(at);
}
