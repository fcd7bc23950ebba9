//! Messages of an IKE_SA onto the wire.
use super::seal;
use super::window::Datagrams;
use crate::core::Core;
use crate::fault::Fault;
use crate::io::{Datagram, Group, Output};
use crate::message::{Inner, describe, exchange_name};
use crate::sa::IkeSa;
use policy::connection::Fragmentation;
use std::net::SocketAddr;
use wire::iana::{ExchangeType, PayloadType};
use wire::ike::{Flags, Header, Payload};

/// The header of a message of ours.
pub(crate) fn header(sa: &IkeSa, exchange: ExchangeType, response: bool, message_id: u32) -> Header {
    let mut flags = Flags::empty();
    if sa.initiator {
        flags |= Flags::INITIATOR;
    }
    if response {
        flags |= Flags::RESPONSE;
    }
    Header {
        spi_i: sa.spi_i,
        spi_r: sa.spi_r,
        next: PayloadType::None,
        major: 2,
        minor: 0,
        exchange,
        flags,
        message_id,
        length: 0,
    }
}

/// `192.0.2.1[500]`.
pub(crate) fn host(a: SocketAddr) -> String {
    format!("{}[{}]", a.ip(), a.port())
}

/// Puts the cached response on the wire once more.
pub(crate) fn repeat(core: &mut Core, sa: &mut IkeSa, to: (SocketAddr, SocketAddr)) {
    let again: Vec<Vec<u8>> = sa.window.cached.iter().map(<[u8]>::to_vec).collect();
    transmit(core, sa, again, Some(to));
}

/// Puts datagrams of the SA on the wire.
pub(crate) fn transmit(
    core: &mut Core,
    sa: &mut IkeSa,
    datagrams: impl IntoIterator<Item = Vec<u8>>,
    to: Option<(SocketAddr, SocketAddr)>,
) {
    let (local, remote) = to.unwrap_or((sa.local, sa.remote));
    for bytes in datagrams {
        say!(core, sa, Net 1, "sending packet: from {} to {} ({} bytes)", host(local), host(remote), bytes.len());
        core.push(Output::Send(Datagram { local, remote, bytes, dscp: sa.conn.dscp }));
    }
    sa.last_out = core.now.mono;
}

/// Counters of messages sent and received.
pub(crate) fn counter(exchange: ExchangeType, response: bool, incoming: bool) -> Option<&'static str> {
    Some(match (exchange, incoming, response) {
        (ExchangeType::IkeSaInit, true, false) => "ike-init-in-req",
        (ExchangeType::IkeSaInit, true, true) => "ike-init-in-resp",
        (ExchangeType::IkeSaInit, false, false) => "ike-init-out-req",
        (ExchangeType::IkeSaInit, false, true) => "ike-init-out-resp",
        (ExchangeType::IkeAuth, true, false) => "ike-auth-in-req",
        (ExchangeType::IkeAuth, true, true) => "ike-auth-in-resp",
        (ExchangeType::IkeAuth, false, false) => "ike-auth-out-req",
        (ExchangeType::IkeAuth, false, true) => "ike-auth-out-resp",
        (ExchangeType::CreateChildSa, true, false) => "create-child-in-req",
        (ExchangeType::CreateChildSa, true, true) => "create-child-in-resp",
        (ExchangeType::CreateChildSa, false, false) => "create-child-out-req",
        (ExchangeType::CreateChildSa, false, true) => "create-child-out-resp",
        (ExchangeType::Informational, true, false) => "info-in-req",
        (ExchangeType::Informational, true, true) => "info-in-resp",
        (ExchangeType::Informational, false, false) => "info-out-req",
        (ExchangeType::Informational, false, true) => "info-out-resp",
        _ => return None,
    })
}

/// Bytes of IKE message that fit the configured packet size (RFC 7383 2.5.1).
fn limit(core: &Core, sa: &IkeSa) -> Option<usize> {
    let wanted = matches!(sa.conn.fragmentation, Fragmentation::Yes | Fragmentation::Force);
    if !wanted || !sa.features.fragmentation {
        return None;
    }
    let s = &core.snapshot.settings;
    let (size, ip, default) =
        if sa.remote.is_ipv4() { (s.fragment_size_v4, 20, 576) } else { (s.fragment_size_v6, 40, 1280) };
    let size = if size == 0 { s.fragment_size } else { size };
    let size = if size == 0 { default } else { size };
    let marker = if sa.local.port() == s.port { 0 } else { 4 };
    Some(usize::from(size).saturating_sub(ip + 8 + marker).max(200))
}

/// Seals a message.
fn seal_message(
    core: &mut Core,
    sa: &mut IkeSa,
    header: Header,
    inner: &Inner,
) -> Result<Vec<Vec<u8>>, Fault> {
    let limit = limit(core, sa);
    let initiator = sa.initiator;
    let Some(keys) = sa.keys_mut() else { return Err(Fault::Local("no keys to seal with".to_owned())) };
    let datagrams = seal::seal(keys, &mut core.rng, initiator, header, inner, limit)?;
    if datagrams.len() > 1 {
        let total: usize = datagrams.iter().map(Vec::len).sum();
        let (kind, id) = (exchange_name(header.exchange), header.message_id);
        let _ = (kind, id);
        say!(core, sa, Enc 1, "splitting IKE message ({total} bytes) into {} fragments", datagrams.len());
    }
    Ok(datagrams)
}

/// Sends a sealed request; its response ends it.
pub(crate) fn request(
    core: &mut Core,
    sa: &mut IkeSa,
    exchange: ExchangeType,
    payloads: &[Payload],
) -> Result<(), Fault> {
    request_inner(core, sa, exchange, &Inner::of(payloads), payloads)
}

/// The same for a chain that is encoded already.
pub(crate) fn request_inner(
    core: &mut Core,
    sa: &mut IkeSa,
    exchange: ExchangeType,
    inner: &Inner,
    payloads: &[Payload],
) -> Result<(), Fault> {
    let header = header(sa, exchange, false, sa.window.next_out);
    say!(core, sa, Enc 1, "generating {}", describe(&header, payloads));
    let datagrams = seal_message(core, sa, header, inner)?;
    fly(core, sa, exchange, datagrams);
    Ok(())
}

/// A request leaves and will be repeated until it is answered.
pub(crate) fn fly(core: &mut Core, sa: &mut IkeSa, exchange: ExchangeType, datagrams: Vec<Vec<u8>>) {
    if let Some(name) = counter(exchange, false, false) {
        core.count(name, Some(&sa.conn.name));
    }
    let kept = Datagrams::of(&datagrams);
    transmit(core, sa, datagrams, None);
    let random = core.rng.u64();
    let at = core.now.mono.saturating_add(super::window::wait_ms(&core.snapshot.settings, 0, random));
    sa.window.request(exchange, kept, at);
}

/// Answers the peer's request number `window.next_in`.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, exchange: ExchangeType, payloads: &[Payload]) {
    let header = header(sa, exchange, true, sa.window.next_in);
    say!(core, sa, Enc 1, "generating {}", describe(&header, payloads));
    match seal_message(core, sa, header, &Inner::of(payloads)) {
        Ok(datagrams) => {
            if let Some(name) = counter(exchange, true, false) {
                core.count(name, Some(&sa.conn.name));
            }
            sa.window.respond(Datagrams::of(&datagrams));
            transmit(core, sa, datagrams, None);
        }
        Err(e) => {
            core.log(Group::Enc, 0, Some(sa.tag()), format!("unable to generate response: {e}"));
            sa.window.respond(Datagrams::default());
        }
    }
}
