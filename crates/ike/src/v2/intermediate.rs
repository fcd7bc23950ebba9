//! IKE_INTERMEDIATE (RFC 9242) carrying additional key exchanges (RFC 9370).
use super::init::{Answered, Handshake};
use super::{auth, close, send, take_phase};
use crate::core::Core;
use crate::fault::Fault;
use crate::message::{Inner, error, notify, notify_name, pick};
use crate::sa::{IkeSa, Phase};
use crypto::ke;
use serde::{Deserialize, Serialize};
use wire::iana::{ExchangeType, Ke, PayloadType};
use wire::ike::{Header, KeyExchange, Message, Payload};

/// Initiator: IKE_INTERMEDIATE is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IntermediateSent {
    pub(crate) hs: Handshake,
    pending: ke::Pending,
}

/// The header and the head of the SK payload as RFC 9242 3.3.2 authenticates them: as if the message were
/// neither fragmented nor encrypted ("without IV, padding and integrity check").
fn associated(mut h: Header, inner: &Inner) -> Vec<u8> {
    h.next = PayloadType::Sk;
    // encode_sealed with the plaintext's length as body gives both lengths as the RFC wants them.
    let mut m = Message::encode_sealed(h, inner.first, None, inner.bytes.len());
    m.truncate(m.len().saturating_sub(inner.bytes.len()));
    m
}

/// Adds a message to the side's IntAuth.
fn record(hs: &mut Handshake, initiators: bool, h: Header, inner: &Inner) -> Result<(), Fault> {
    let a = associated(h, inner);
    let before = if initiators { &hs.int_auth_i } else { &hs.int_auth_r };
    let mac = hs.keys.int_auth(initiators, before, &a, &inner.bytes)?;
    if initiators {
        hs.int_auth_i = mac;
    } else {
        hs.int_auth_r = mac;
    }
    Ok(())
}

/// Goes on to the keys of the next step.
fn step(hs: &mut Handshake, shared: &crypto::Secret, spis: (u64, u64)) -> Result<(), Fault> {
    hs.keys = hs.keys.stepped(shared, &hs.nonces, spis)?;
    Ok(())
}

// ---------------------------------------------------------------------------------------------- initiator

/// Sends the next additional key exchange.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, mut hs: Handshake) {
    let Some(method) = hs.add_ke.first().copied() else { return auth::start(core, sa, hs) };
    let result = ke::start(method, &mut core.rng).map_err(Fault::from).and_then(|pending| {
        let payloads = [Payload::Ke(KeyExchange { method, data: pending.public().to_vec() })];
        let h = send::header(sa, ExchangeType::Intermediate, false, sa.window.next_out);
        record(&mut hs, true, h, &Inner::of(&payloads))?;
        sa.phase = Phase::IntermediateSent(Box::new(IntermediateSent { hs, pending }));
        send::request(core, sa, ExchangeType::Intermediate, &payloads)
    });
    if let Err(fault) = result {
        say!(core, sa, Ike 0, "unable to send IKE_INTERMEDIATE request: {fault}");
        close::leave(core, sa);
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, h: &Header, inner: &Inner, payloads: &[Payload]) {
    let spis = (sa.spi_i, sa.spi_r);
    let Phase::IntermediateSent(sent) = take_phase(sa) else { return };
    let IntermediateSent { mut hs, pending } = *sent;
    if let Some(kind) = error(payloads) {
        say!(core, sa, Ike 0, "received {} notify error", notify_name(kind));
        return close::leave(core, sa);
    }
    let result = (|| {
        record(&mut hs, false, *h, inner)?;
        let key = pick!(payloads, Ke).ok_or(Fault::Broken("KE payload missing"))?;
        if key.method != pending.method() {
            return Err(Fault::Broken("unexpected key exchange method"));
        }
        let shared = pending.finish(&key.data)?;
        hs.add_ke.remove(0);
        step(&mut hs, &shared, spis)
    })();
    match result {
        Ok(()) => start(core, sa, hs),
        Err(fault) => {
            say!(core, sa, Ike 0, "IKE_INTERMEDIATE response with message ID {} processing failed: {fault}", h.message_id);
            close::leave(core, sa);
        }
    }
}

// ---------------------------------------------------------------------------------------------- responder

/// A request.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, h: &Header, inner: &Inner, payloads: &[Payload]) {
    let spis = (sa.spi_i, sa.spi_r);
    let Phase::Answered(answered) = take_phase(sa) else { return };
    let mut hs = answered.hs;
    let result = (|| {
        let method: Ke = *hs.add_ke.first().ok_or(Fault::Broken("unexpected IKE_INTERMEDIATE"))?;
        let key = pick!(payloads, Ke).ok_or(Fault::Broken("KE payload missing"))?;
        if key.method != method {
            return Err(Fault::Broken("unexpected key exchange method"));
        }
        record(&mut hs, true, *h, inner)?;
        let (public, shared) = ke::respond(method, &key.data, &mut core.rng)?;
        let reply = [Payload::Ke(KeyExchange { method, data: public })];
        let rh = send::header(sa, ExchangeType::Intermediate, true, h.message_id);
        record(&mut hs, false, rh, &Inner::of(&reply))?;
        hs.add_ke.remove(0);
        Ok((reply, shared))
    })();
    match result {
        Ok((reply, shared)) => {
            sa.phase = Phase::Answered(Box::new(Answered { hs }));
            send::respond(core, sa, ExchangeType::Intermediate, &reply);
            let Phase::Answered(a) = &mut sa.phase else { return };
            // The response still leaves under the old keys.
            if let Err(fault) = step(&mut a.hs, &shared, spis) {
                say!(core, sa, Ike 0, "unable to derive keys: {fault}");
                close::leave(core, sa);
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "IKE_INTERMEDIATE request with message ID {} processing failed: {fault}", h.message_id);
            sa.phase = Phase::Answered(Box::new(Answered { hs }));
            if let Some(kind) = fault.notify() {
                send::respond(core, sa, ExchangeType::Intermediate, &[notify(kind, &[])]);
            }
            close::leave(core, sa);
        }
    }
}
