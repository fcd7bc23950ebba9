//! The receive path of one IKE_SA: window, opening, then the exchange's own file.
use super::seal;
use super::send::{self, host};
use super::window::Arrival;
use super::{auth, child_create, child_rekey, close, followup, ike_rekey, informational, init, intermediate};
use crate::core::Core;
use crate::fault::Fault;
use crate::io::Datagram;
use crate::message::{Inner, Kept, describe, exchange_name, find, has, notify, pick};
use crate::sa::{IkeSa, Phase, Standing};
use wire::WireError;
use wire::iana::{ExchangeType, NotifyType, ProtocolId};
use wire::ike::{Flags, Header, Message, Payload};

/// A datagram for this SA.
pub(crate) fn receive(core: &mut Core, sa: &mut IkeSa, d: Datagram, m: Message) {
    let h = m.header;
    if h.flags.contains(Flags::INITIATOR) == sa.initiator {
        core.count("invalid", None);
        return;
    }
    say!(core, sa, Net 1, "received packet: from {} to {} ({} bytes)", host(d.remote), host(d.local), d.bytes.len());
    if h.flags.contains(Flags::RESPONSE) {
        response(core, sa, d, m);
    } else {
        request(core, sa, d, &m);
    }
}

/// Opens and collects. `None`: not (yet) a whole message of the peer.
fn open(
    core: &mut Core,
    sa: &mut IkeSa,
    d: &mut Datagram,
    m: &Message,
    digest: Option<&[u8; 20]>,
) -> Option<Inner> {
    let Some(sealed) = &m.sealed else {
        core.count("invalid", None);
        core.log_stranger(crate::io::Group::Enc, 1, || {
            "ignoring unprotected message for an IKE_SA".to_owned()
        });
        return None;
    };
    let initiator = sa.initiator;
    let keys = sa.keys()?;
    let opened = seal::open(keys, !initiator, &mut d.bytes, sealed);
    let max = usize::try_from(core.snapshot.settings.max_packet).unwrap_or(10_000).max(1_280);
    let collected = opened.and_then(|plain| {
        if let Some(digest) = digest {
            sa.window.arriving = Some(*digest);
        }
        let response = m.header.flags.contains(Flags::RESPONSE);
        if sealed.fragment.is_none() {
            return Ok(Some(Inner { first: sealed.inner, bytes: plain }));
        }
        let few = sa.few_mut();
        let slot = if response { &mut few.reassembly_out } else { &mut few.reassembly_in };
        seal::collect(slot, &m.header, sealed, plain, max)
    });
    match collected {
        Ok(Some(inner)) => {
            if let Some((_, total)) = sealed.fragment {
                let n = inner.bytes.len();
                say!(core, sa, Enc 1, "parsed {} {} {} [ EF({total}/{total}) ]", exchange_name(m.header.exchange),
                    if m.header.flags.contains(Flags::RESPONSE) { "response" } else { "request" }, m.header.message_id);
                say!(core, sa, Enc 1, "received fragment #{total} of {total}, reassembled fragmented IKE message ({n} bytes)");
            }
            Some(inner)
        }
        Ok(None) => {
            if let Some((number, total)) = sealed.fragment {
                say!(core, sa, Enc 1, "received fragment #{number} of {total}, waiting for complete IKE message");
            }
            None
        }
        Err(e) => {
            core.count("invalid", Some(&sa.conn.name));
            let what = format!(
                "{} {} with message ID {} processing failed: {e}",
                exchange_name(m.header.exchange),
                if m.header.flags.contains(Flags::RESPONSE) { "response" } else { "request" },
                m.header.message_id
            );
            core.log_stranger(crate::io::Group::Ike, 1, || what);
            None
        }
    }
}

/// The peer's authenticated message came over another path (RFC 7296 2.23): behind a NAT its mapping changed.
fn follow(core: &mut Core, sa: &mut IkeSa, d: &Datagram, opening: bool) {
    if d.remote == sa.remote && d.local == sa.local {
        return;
    }
    if opening {
        sa.local = d.local;
        sa.remote = d.remote;
        return;
    }
    if sa.nat.remote && !sa.nat.local && d.remote != sa.remote {
        super::mobike::moved(core, sa, sa.local, d.remote);
    }
}

fn request(core: &mut Core, sa: &mut IkeSa, mut d: Datagram, m: &Message) {
    let h = m.header;
    match sa.window.judge(h.message_id) {
        Arrival::Ignore => {
            say!(core, sa, Ike 1, "received message ID {}, expected {}, ignored", h.message_id, sa.window.next_in);
            return;
        }
        Arrival::Again => return again(core, sa, d, m),
        Arrival::Fresh => {}
    }
    if sa.keys().is_none() {
        return;
    }
    let digest = crypto::prf::sha1(&[&d.bytes]);
    let first = m.sealed.as_ref().is_none_or(|s| s.fragment.is_none_or(|(n, _)| n == 1));
    let Some(inner) = open(core, sa, &mut d, m, first.then_some(&digest)) else { return };
    sa.last_in = core.now.mono;
    let opening = matches!(sa.phase, Phase::Answered(_) | Phase::Vetting(_));
    follow(core, sa, &d, opening);
    if let Some(name) = send::counter(h.exchange, false, true) {
        core.count(name, Some(&sa.conn.name));
    }
    let payloads = match inner.payloads() {
        Ok(p) => Kept::from(p),
        Err(fault) => return refuse(core, sa, &h, &fault),
    };
    say!(core, sa, Enc 1, "parsed {}", describe(&h, &payloads));
    match (&sa.phase, h.exchange) {
        (Phase::Answered(_), ExchangeType::Intermediate) => {
            intermediate::respond(core, sa, &h, &inner, &payloads)
        }
        (Phase::Answered(_) | Phase::Vetting(_), ExchangeType::IkeAuth) => {
            auth::respond(core, sa, &payloads);
        }
        (Phase::Established(_), ExchangeType::CreateChildSa) => create_child(core, sa, &payloads),
        (Phase::Established(_), ExchangeType::Informational) => {
            informational::respond(core, sa, &d, &payloads)
        }
        (Phase::Established(_), ExchangeType::FollowupKe) => followup::respond(core, sa, &payloads),
        (Phase::Answered(_) | Phase::Vetting(_), ExchangeType::Informational) => {
            // The initiator gives up: it could not authenticate us (RFC 7296 2.21.2), or knows before we say so that its
            // own EAP method failed.
            if has(&payloads, NotifyType::AuthenticationFailed) {
                say!(core, sa, Ike 1, "received AUTHENTICATION_FAILED notify error");
                if matches!(sa.phase, Phase::Vetting(_)) {
                    let reason = "the peer gave up while it authenticated itself";
                    core.tell(crate::io::Event::Alert {
                        kind: "peer-auth-failed",
                        sa: Some(Box::new(crate::view::bare(sa))),
                        detail: vec![("certificate", String::new()), ("reason", reason.into())],
                    });
                }
            }
            send::respond(core, sa, ExchangeType::Informational, &[]);
            close::leave(core, sa);
        }
        _ => {
            say!(core, sa, Ike 1, "unexpected {} request in this state", exchange_name(h.exchange));
            refuse(core, sa, &h, &Fault::Broken("unexpected exchange"));
        }
    }
}

/// The last request once more: RFC 7296 2.1, "the responder MUST remember each response until it receives a
/// request whose sequence number is larger"; of a fragmented request the first fragment counts (RFC 7383 2.6.1).
fn again(core: &mut Core, sa: &mut IkeSa, mut d: Datagram, m: &Message) {
    let Some(sealed) = &m.sealed else { return };
    if sealed.fragment.is_some_and(|(n, _)| n != 1) {
        return;
    }
    // "A retransmission … MUST be bitwise identical to the original message"; one that is fragmented anew is not,
    // and must open. (The keys may have changed since, by IKE_INTERMEDIATE.)
    let identical = sa.window.answered == Some(crypto::prf::sha1(&[&d.bytes]));
    let initiator = sa.initiator;
    if !identical
        && !matches!(sa.keys().map(|k| seal::open(k, !initiator, &mut d.bytes, sealed)), Some(Ok(_)))
    {
        core.count("invalid", None);
        return;
    }
    say!(core, sa, Ike 1, "received retransmit of request with ID {}, retransmitting response", m.header.message_id);
    send::repeat(core, sa, (d.local, d.remote));
}

/// Answers a request that cannot be processed (RFC 7296 2.21.3).
fn refuse(core: &mut Core, sa: &mut IkeSa, h: &Header, fault: &Fault) {
    say!(core, sa, Ike 1, "{} request with message ID {} processing failed: {fault}", exchange_name(h.exchange), h.message_id);
    let Some(kind) = fault.notify() else { return };
    let data =
        if let Fault::Malformed(WireError::UnsupportedCritical(t)) = fault { vec![*t] } else { Vec::new() };
    send::respond(core, sa, h.exchange, &[notify(kind, &data)]);
    if sa.is_connecting() {
        close::leave(core, sa);
    }
}

/// CREATE_CHILD_SA has three uses (RFC 7296 1.3).
fn create_child(core: &mut Core, sa: &mut IkeSa, payloads: &[Payload]) {
    let ike = pick!(payloads, Sa).is_some_and(|s| s.proposals.iter().any(|p| p.protocol == ProtocolId::Ike));
    if ike {
        ike_rekey::respond(core, sa, payloads);
    } else if let Some(rekey) = find(payloads, NotifyType::RekeySa) {
        let rekey = rekey.clone();
        child_rekey::respond(core, sa, &rekey, payloads);
    } else {
        child_create::respond(core, sa, payloads);
    }
}

fn response(core: &mut Core, sa: &mut IkeSa, mut d: Datagram, m: Message) {
    let h = m.header;
    let expected =
        sa.window.flight.as_ref().is_some_and(|f| f.id == h.message_id && f.exchange == h.exchange);
    if !expected {
        say!(core, sa, Ike 1, "received message ID {}, expected {}, ignored", h.message_id,
            sa.window.flight.as_ref().map_or(sa.window.next_out, |f| f.id));
        return;
    }
    if matches!(sa.phase, Phase::InitSent(_)) {
        return init::answered(core, sa, d, &m);
    }
    let Some(inner) = open(core, sa, &mut d, &m, None) else { return };
    let retried = sa.window.flight.take().is_some_and(|f| f.tries > 0);
    if retried {
        core.tell(crate::io::Event::Alert {
            kind: "retransmit-send-cleared",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
    }
    sa.last_in = core.now.mono;
    follow(core, sa, &d, false);
    if let Some(name) = send::counter(h.exchange, true, true) {
        core.count(name, Some(&sa.conn.name));
    }
    let payloads = match inner.payloads() {
        Ok(p) => p,
        Err(fault) => {
            // RFC 7296 2.21.3: a malformed authenticated response ends the IKE_SA.
            say!(core, sa, Ike 1, "{} response with message ID {} processing failed: {fault}", exchange_name(h.exchange), h.message_id);
            return close::give_up(core, sa);
        }
    };
    say!(core, sa, Enc 1, "parsed {}", describe(&h, &payloads));
    match &mut sa.phase {
        Phase::IntermediateSent(_) => intermediate::answered(core, sa, &h, &inner, &payloads),
        Phase::Claiming(_) => auth::answered(core, sa, &inner, &payloads),
        Phase::Established(e) => {
            let Some(active) = e.active.take() else { return };
            if e.standing == Standing::Deleting && has(&payloads, NotifyType::InvalidSyntax) {
                return close::leave(core, sa);
            }
            match active {
                super::Exchange::ChildCreate(s) => child_create::answered(core, sa, *s, &payloads),
                super::Exchange::ChildRekey(s) => child_rekey::answered(core, sa, *s, &payloads),
                super::Exchange::ChildDelete(c) => super::child_delete::answered(core, sa, c, &payloads),
                super::Exchange::IkeRekey(s) => ike_rekey::answered(core, sa, *s, &payloads),
                super::Exchange::Followup(s) => followup::answered(core, sa, *s, &payloads),
                super::Exchange::IkeDelete => super::ike_delete::answered(core, sa),
                super::Exchange::Liveness => super::liveness::answered(core, sa, &payloads),
                super::Exchange::Mobike(s) => super::mobike::answered(core, sa, *s, &d, &payloads),
            }
        }
        Phase::Resolving
        | Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::Vetting(_)
        | Phase::Leasing(_)
        | Phase::Leaving(_)
        | Phase::Gone => {}
    }
}
