//! IKE_SA_INIT (RFC 7296 1.2, 2.6 to 2.8).
use super::auth::Wishes;
use super::keys::{Keys, Nonces};
use super::send::{self, header, host};
use super::window::Datagrams;
use super::{auth, close, intermediate, ppk, take_phase};
use crate::core::{Core, Waiter};
use crate::fault::Fault;
use crate::io::{Ask, Datagram, Event, Output};
use crate::message::{describe, error, find, has, nonce, notify, notify_name, pick};
use crate::negotiate;
use crate::sa::{IkeSa, Phase, Wait};
use crate::when::When;
use crypto::ke;
use policy::connection::Fragmentation;
use policy::{Connection, PeerAddr};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::iana::{ExchangeType, Ke, NotifyType};
use wire::ike::{KeyExchange, Message, Payload};

/// Length of our nonces (RFC 7296 2.10: at least half the key size of the PRF, at most 256).
pub(crate) const NONCE: usize = 32;
/// How often an initiator starts over on COOKIE or INVALID_KE_PAYLOAD, which anybody can forge.
const MAX_RESTARTS: u8 = 5;

/// Initiator: IKE_SA_INIT is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InitSent {
    pending: ke::Pending,
    ni: Vec<u8>,
    cookie: Option<Vec<u8>>,
    restarts: u8,
}

/// What IKE_SA_INIT (and IKE_INTERMEDIATE) leave for IKE_AUTH.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Handshake {
    pub(crate) keys: Keys,
    pub(crate) nonces: Nonces,
    /// IKE_SA_INIT request as sent.
    pub(crate) request: Vec<u8>,
    /// IKE_SA_INIT response as sent.
    pub(crate) response: Vec<u8>,
    /// IntAuth_iN (RFC 9242), empty without IKE_INTERMEDIATE.
    pub(crate) int_auth_i: Vec<u8>,
    /// IntAuth_rN.
    pub(crate) int_auth_r: Vec<u8>,
    /// Additional key exchanges (RFC 9370) still to be done, in order.
    pub(crate) add_ke: Vec<Ke>,
    /// Both announced post-quantum pre-shared keys (USE_PPK, RFC 8784).
    pub(crate) use_ppk: bool,
    /// What the peer said of certificates and signatures.
    pub(crate) wishes: Wishes,
    /// We announced hash functions for signatures (RFC 7427).
    pub(crate) signatures: bool,
    /// Settings of the time: `hash_and_url`, `force_eap_only_authentication`.
    pub(crate) hash_and_url: bool,
    pub(crate) force_eap_only: bool,
}

/// Responder: IKE_SA_INIT is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) hs: Handshake,
}

/// Additional key exchanges that a suite asks for.
pub(crate) fn additional(suite: &policy::proposal::Chosen) -> Vec<Ke> {
    suite.add_ke.iter().copied().filter(|k| *k != Ke::None).collect()
}

fn wants_intermediate(c: &Connection) -> bool {
    c.proposals.iter().any(|p| p.add_ke.iter().any(|l| !l.is_empty()))
}

// ---------------------------------------------------------------------------------------------- initiator

/// Looks the peer up, then sends the request.
pub(crate) fn begin(core: &mut Core, sa: &mut IkeSa) {
    let conn = Arc::clone(&sa.conn);
    let fixed = |list: &[PeerAddr]| match list.first() {
        Some(PeerAddr::Ip(ip)) if !ip.is_unspecified() => Some(*ip),
        _ => None,
    };
    if let (Some(local), Some(remote)) = (fixed(&conn.local_addrs), fixed(&conn.remote_addrs))
        && local.is_ipv4() == remote.is_ipv4()
    {
        return resolved(core, sa, vec![(local, remote)], None);
    }
    let concrete = |p: &&PeerAddr| matches!(p, PeerAddr::Ip(_) | PeerAddr::Name(_));
    let names: Vec<PeerAddr> = conn.remote_addrs.iter().filter(concrete).cloned().collect();
    if names.is_empty() {
        say!(core, sa, Ike 1, "unable to initiate to %any");
        core.tell(Event::Alert {
            kind: "peer-addr-failed",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        return close::leave(core, sa);
    }
    look_up(core, sa, names);
}

/// Asks which of our addresses reaches the peer, and where it is.
pub(crate) fn look_up(core: &mut Core, sa: &mut IkeSa, names: Vec<PeerAddr>) {
    let local = sa.conn.local_addrs.clone();
    let ticket = core.ask(Waiter::Ike(sa.id), Ask::Resolve { names, local });
    sa.waiting.insert(ticket, Wait::Resolve);
    sa.phase = Phase::Resolving;
}

/// The peer's addresses are known.
pub(crate) fn resolved(core: &mut Core, sa: &mut IkeSa, mut pairs: Vec<(IpAddr, IpAddr)>, why: Option<&str>) {
    if !matches!(sa.phase, Phase::Resolving) {
        return super::mobike::resolved(core, sa, &pairs);
    }
    if pairs.is_empty() {
        let names: Vec<String> = sa.conn.remote_addrs.iter().map(show_address).collect();
        let why = why.map_or_else(String::new, |w| format!(": {w}"));
        say!(core, sa, Ike 1, "unable to resolve {}, initiate aborted{why}", names.join(", "));
        core.tell(Event::Alert {
            kind: "peer-addr-failed",
            sa: Some(Box::new(crate::view::bare(sa))),
            detail: Vec::new(),
        });
        let interval = core.snapshot.settings.retry_initiate_interval;
        if interval > 0 {
            say!(core, sa, Ike 1, "retrying to initiate in {interval}s");
            sa.half_open_until = When::at(core.now.mono.saturating_add(interval.saturating_mul(1000)));
            return;
        }
        return close::leave(core, sa);
    }
    let (local, remote) = pairs.remove(0);
    if !pairs.is_empty() || !sa.few().candidates.is_empty() {
        sa.few_mut().candidates = pairs.into_iter().collect();
    }
    // A port of 0 means "any" for ours.
    let port = if sa.conn.local_port == 0 { core.snapshot.settings.port } else { sa.conn.local_port };
    sa.local = SocketAddr::new(local, port);
    sa.remote = SocketAddr::new(remote, sa.conn.remote_port);
    start(core, sa);
}

fn show_address(p: &PeerAddr) -> String {
    match p {
        PeerAddr::Any(_) => "%any".to_owned(),
        PeerAddr::Ip(ip) => ip.to_string(),
        PeerAddr::Range(a, b) => format!("{a}-{b}"),
        PeerAddr::Name(n) => n.clone(),
    }
}

/// Sends the first request.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    let method = sa.conn.proposals.iter().flat_map(|p| p.ke.iter()).find(|k| **k != Ke::None).copied();
    let pending = match method.map(|m| ke::start(m, &mut core.rng)) {
        Some(Ok(p)) => p,
        Some(Err(e)) => {
            say!(core, sa, Ike 0, "unable to initiate: {e}");
            return close::leave(core, sa);
        }
        None => {
            say!(core, sa, Ike 0, "unable to initiate: no key exchange method configured");
            return close::leave(core, sa);
        }
    };
    let ends = format!("{} to {}", sa.title(), sa.remote.ip());
    say!(core, sa, Ike 0, "initiating IKE_SA {ends}");
    let ni = core.rng.bytes(NONCE);
    send_request(core, sa, InitSent { pending, ni, cookie: None, restarts: 0 });
}

fn send_request(core: &mut Core, sa: &mut IkeSa, sent: InitSent) {
    sa.window = super::window::Window::default();
    sa.spi_r = 0;
    let mut payloads = Vec::new();
    // RFC 7296 2.6: the COOKIE is the first payload and the others stay as they were.
    if let Some(c) = &sent.cookie {
        payloads.push(notify(NotifyType::Cookie, c));
    }
    payloads.push(Payload::Sa(negotiate::offer(&sa.conn.proposals, &[], true)));
    payloads.push(Payload::Ke(KeyExchange {
        method: sent.pending.method(),
        data: sent.pending.public().to_vec(),
    }));
    payloads.push(Payload::Nonce(sent.ni.clone()));
    payloads.extend(crate::nat::payloads(core, sa.spi_i, 0, sa.local, sa.remote, core.wants_encap(sa)));
    if sa.conn.fragmentation != Fragmentation::No {
        payloads.push(notify(NotifyType::Ikev2FragmentationSupported, &[]));
    }
    payloads.extend(auth::hash_algorithms(core));
    if wants_intermediate(&sa.conn) {
        payloads.push(notify(NotifyType::IntermediateExchangeSupported, &[]));
    }
    payloads.extend(ppk::announcement(&sa.conn));
    payloads.extend(super::vendor::ours(core));
    let h = header(sa, ExchangeType::IkeSaInit, false, 0);
    say!(core, sa, Enc 1, "generating {}", describe(&h, &payloads));
    let bytes = Message::encode(h, &payloads);
    sa.phase = Phase::InitSent(Box::new(sent));
    send::fly(core, sa, ExchangeType::IkeSaInit, vec![bytes]);
}

/// The response; it is not protected, so nothing in it may cost us more than a bounded number of retries.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, d: Datagram, m: &Message) {
    let p = &m.payloads;
    core.count("ike-init-in-resp", Some(&sa.conn.name));
    say!(core, sa, Enc 1, "parsed {}", describe(&m.header, p));
    let Phase::InitSent(mut sent) = take_phase(sa) else { return };
    if let Some(cookie) = find(p, NotifyType::Cookie).filter(|c| (1..=64).contains(&c.data.len())) {
        sent.cookie = Some(cookie.data.clone());
        sent.restarts = sent.restarts.saturating_add(1);
        if sent.restarts <= MAX_RESTARTS {
            return send_request(core, sa, *sent);
        }
        say!(core, sa, Ike 0, "too many COOKIE and INVALID_KE_PAYLOAD responses, giving up");
        return close::leave(core, sa);
    }
    if let Some(n) = find(p, NotifyType::InvalidKePayload) {
        let wanted = <[u8; 2]>::try_from(n.data.as_slice()).map(|b| Ke::from(u16::from_be_bytes(b)));
        sent.restarts = sent.restarts.saturating_add(1);
        if let Ok(method) = wanted
            && sent.restarts <= MAX_RESTARTS
            && method != sent.pending.method()
            && sa.conn.proposals.iter().any(|x| x.ke.contains(&method))
            && let Ok(pending) = ke::start(method, &mut core.rng)
        {
            let (old, new) = (crypto::table::ke_name(sent.pending.method()), crypto::table::ke_name(method));
            say!(core, sa, Ike 1, "peer didn't accept key exchange method {old}, it requested {new}");
            sent.pending = pending;
            return send_request(core, sa, *sent);
        }
        say!(core, sa, Ike 0, "received unacceptable INVALID_KE_PAYLOAD notify");
        return close::leave(core, sa);
    }
    if let Some(kind) = error(p) {
        say!(core, sa, Ike 0, "received {} notify error", notify_name(kind));
        if kind == NotifyType::NoProposalChosen {
            core.tell(Event::Alert {
                kind: "proposal-mismatch-ike",
                sa: Some(Box::new(crate::view::bare(sa))),
                detail: Vec::new(),
            });
        }
        return close::leave(core, sa);
    }
    sa.spi_r = m.header.spi_r;
    match agree(core, sa, &sent, &d, p) {
        Ok(hs) => {
            sa.window.flight = None;
            sa.last_in = core.now.mono;
            crate::nat::report(core, sa);
            crate::nat::float(core, sa);
            if hs.add_ke.is_empty() { auth::start(core, sa, hs) } else { intermediate::start(core, sa, hs) }
        }
        Err(fault) => {
            say!(core, sa, Ike 0, "IKE_SA_INIT response with message ID 0 processing failed: {fault}");
            close::leave(core, sa);
        }
    }
}

fn agree(
    core: &mut Core,
    sa: &mut IkeSa,
    sent: &InitSent,
    d: &Datagram,
    p: &[Payload],
) -> Result<Handshake, Fault> {
    if sa.spi_r == 0 {
        return Err(Fault::Broken("responder SPI is zero"));
    }
    let offer = pick!(p, Sa).ok_or(Fault::Broken("SA payload missing"))?;
    let key = pick!(p, Ke).ok_or(Fault::Broken("KE payload missing"))?;
    let nr = nonce(p)?;
    let (suite, _) = negotiate::accept(&sa.conn.proposals, offer, true)
        .ok_or(Fault::Broken("peer chose a proposal that was not offered"))?;
    if suite.ke != key.method || suite.ke != sent.pending.method() {
        return Err(Fault::Broken("peer chose a key exchange method other than the one used"));
    }
    say!(core, sa, Cfg 1, "selected proposal: {suite}");
    sa.features.fragmentation = has(p, NotifyType::Ikev2FragmentationSupported);
    super::vendor::note(core, sa, p);
    sa.features.intermediate = has(p, NotifyType::IntermediateExchangeSupported);
    sa.features.childless = has(p, NotifyType::ChildlessIkev2Supported);
    let add_ke = additional(&suite);
    if !add_ke.is_empty() && !sa.features.intermediate {
        return Err(Fault::Broken("additional key exchanges without IKE_INTERMEDIATE"));
    }
    let use_ppk = ppk::negotiated(core, sa, p)?;
    let mut wishes = Wishes::default();
    wishes.note(core, sa, p);
    let settings = core.settings();
    crate::nat::detect(core.wants_encap(sa), sa, (sa.spi_i, sa.spi_r), d.local, d.remote, p);
    let shared = sent.pending.finish(&key.data)?;
    let nonces = Nonces { ni: sent.ni.clone(), nr };
    let keys = Keys::first(&core.suites.share(&suite), &shared, &nonces, (sa.spi_i, sa.spi_r))?;
    let flight = sa.window.flight.as_ref();
    let request = flight.and_then(|f| f.datagrams.iter().next()).map(<[u8]>::to_vec).unwrap_or_default();
    Ok(Handshake {
        keys,
        nonces,
        request,
        response: d.bytes.clone(),
        int_auth_i: Vec::new(),
        int_auth_r: Vec::new(),
        add_ke,
        use_ppk,
        wishes,
        signatures: settings.signature_authentication,
        hash_and_url: settings.hash_and_url,
        force_eap_only: settings.force_eap_only_authentication,
    })
}

// ---------------------------------------------------------------------------------------------- responder

/// Sends an unprotected answer to a request that makes no SA, to strangers not more often than [`Core`] allows.
pub(crate) fn reject(core: &mut Core, d: &Datagram, m: &Message, payload: Payload) {
    if core.may_answer_stranger() {
        answer_stranger(core, d, m, payload, true);
    }
}

/// Asks for a cookie (RFC 7296 2.6). That is never withheld from a request as long as what it gets, in a flood least of
/// all: who is honest begins with it. It is spoken of only so often.
pub(crate) fn demand_cookie(core: &mut Core, d: &Datagram, m: &Message, cookie: Payload) {
    let spoken = core.may_answer_stranger();
    let longer = Message::encode(m.header, std::slice::from_ref(&cookie)).len() > d.bytes.len();
    if spoken || !longer {
        answer_stranger(core, d, m, cookie, spoken);
    }
}

fn answer_stranger(core: &mut Core, d: &Datagram, m: &Message, payload: Payload, spoken: bool) {
    let mut h = m.header;
    h.flags = wire::ike::Flags::RESPONSE;
    let payloads = [payload];
    let bytes = Message::encode(h, &payloads);
    if spoken {
        note!(core, Enc 1, "generating {}", describe(&h, &payloads));
        let (from, to) = (host(d.local), host(d.remote));
        note!(core, Net 1, "sending packet: from {from} to {to} ({} bytes)", bytes.len());
    }
    core.push(Output::Send(Datagram { local: d.local, remote: d.remote, bytes, dscp: 0 }));
}

/// A request that was admitted. Makes an IKE_SA, or answers why not.
pub(crate) fn respond(core: &mut Core, d: &Datagram, m: &Message, spi_r: u64) -> Option<IkeSa> {
    let p = &m.payloads;
    let candidates = crate::select::by_address(&core.snapshot, d.local.ip(), d.remote.ip());
    if candidates.is_empty() {
        core.log_stranger(crate::io::Group::Ike, 1, || {
            format!(
                "no IKE config found for {}...{}, sending NO_PROPOSAL_CHOSEN",
                d.local.ip(),
                d.remote.ip()
            )
        });
        reject(core, d, m, notify(NotifyType::NoProposalChosen, &[]));
        return None;
    }
    let (Some(sa_payload), Some(key), Ok(_)) = (pick!(p, Sa), pick!(p, Ke), nonce(p)) else {
        core.count("invalid", None);
        core.log_stranger(crate::io::Group::Ike, 1, || {
            "IKE_SA_INIT request with message ID 0 processing failed: payload missing".to_owned()
        });
        reject(core, d, m, notify(NotifyType::InvalidSyntax, &[]));
        return None;
    };
    let received = negotiate::read(sa_payload);
    let prefer = core.snapshot.settings.prefer_configured_proposals;
    let chosen = candidates
        .iter()
        .find_map(|c| negotiate::choose(&c.proposals, &received, prefer, true).map(|x| (c, x)));
    let Some((conn, (suite, offer))) = chosen else {
        let ours: Vec<&policy::Proposal> = candidates.iter().flat_map(|c| c.proposals.iter()).collect();
        core.log_stranger(crate::io::Group::Ike, 0, || format!("{} is initiating an IKE_SA", d.remote.ip()));
        core.log_stranger(crate::io::Group::Cfg, 1, || {
            format!("received proposals: {}", negotiate::list(received.iter().map(|r| &r.offer)))
        });
        core.log_stranger(crate::io::Group::Cfg, 1, || {
            format!("configured proposals: {}", negotiate::list(ours.iter().copied()))
        });
        core.log_stranger(crate::io::Group::Ike, 1, || "received proposals unacceptable".to_owned());
        core.tell(Event::Alert { kind: "proposal-mismatch-ike", sa: None, detail: Vec::new() });
        reject(core, d, m, notify(NotifyType::NoProposalChosen, &[]));
        return None;
    };
    if suite.ke != key.method {
        core.log_stranger(crate::io::Group::Ike, 1, || {
            format!(
                "KE method {} unacceptable, requesting {}",
                crypto::table::ke_name(key.method),
                crypto::table::ke_name(suite.ke)
            )
        });
        reject(core, d, m, notify(NotifyType::InvalidKePayload, &u16::from(suite.ke).to_be_bytes()));
        return None;
    }
    let id = core.ike_id();
    let mut sa = IkeSa::new(id, Arc::clone(conn), false, d.local, d.remote, core.now.mono);
    sa.spi_i = m.header.spi_i;
    sa.spi_r = spi_r;
    core.count("ike-init-in-req", Some(&sa.conn.name));
    say!(core, sa, Net 1, "received packet: from {} to {} ({} bytes)", host(d.remote), host(d.local), d.bytes.len());
    say!(core, sa, Enc 1, "parsed {}", describe(&m.header, p));
    say!(core, sa, Ike 0, "{} is initiating an IKE_SA", d.remote.ip());
    say!(core, sa, Cfg 1, "selected proposal: {suite}");
    let use_ppk = ppk::responder_takes_part(&core.snapshot, &candidates, p);
    match answer(core, &mut sa, d, m, (&suite, offer), key, (use_ppk, &candidates)) {
        Ok(()) => Some(sa),
        Err(fault) => {
            say!(core, sa, Ike 1, "IKE_SA_INIT request with message ID 0 processing failed: {fault}");
            let kind = fault.notify().unwrap_or(NotifyType::InvalidSyntax);
            reject(core, d, m, notify(kind, &[]));
            None
        }
    }
}

fn answer(
    core: &mut Core,
    sa: &mut IkeSa,
    d: &Datagram,
    m: &Message,
    (suite, offer): (&policy::proposal::Chosen, &negotiate::Received),
    key: &KeyExchange,
    (use_ppk, candidates): (bool, &[Arc<Connection>]),
) -> Result<(), Fault> {
    let p = &m.payloads;
    let settings = core.settings();
    let mut wishes = Wishes::default();
    wishes.note(core, sa, p);
    let add_ke = additional(suite);
    sa.features.fragmentation = has(p, NotifyType::Ikev2FragmentationSupported);
    super::vendor::note(core, sa, p);
    sa.features.intermediate = has(p, NotifyType::IntermediateExchangeSupported);
    if !add_ke.is_empty() && !sa.features.intermediate {
        return Err(Fault::Refused(NotifyType::NoProposalChosen));
    }
    let ni = nonce(p)?;
    let (public, shared) = ke::respond(suite.ke, &key.data, &mut core.rng)?;
    let nonces = Nonces { ni, nr: core.rng.bytes(NONCE) };
    let keys = Keys::first(&core.suites.share(suite), &shared, &nonces, (sa.spi_i, sa.spi_r))?;
    // The request was sent before our SPI was known.
    crate::nat::detect(core.wants_encap(sa), sa, (sa.spi_i, 0), d.local, d.remote, p);
    crate::nat::report(core, sa);

    let mut payloads = vec![
        Payload::Sa(negotiate::answer(suite, offer, &[])),
        Payload::Ke(KeyExchange { method: suite.ke, data: public }),
        Payload::Nonce(nonces.nr.clone()),
    ];
    if sa.nat.supported {
        payloads.extend(crate::nat::payloads(
            core,
            sa.spi_i,
            sa.spi_r,
            sa.local,
            sa.remote,
            core.wants_encap(sa),
        ));
    }
    payloads.extend(auth::requests(core, sa, candidates));
    if sa.features.fragmentation && sa.conn.fragmentation != Fragmentation::No {
        payloads.push(notify(NotifyType::Ikev2FragmentationSupported, &[]));
    }
    if wishes.hashes.is_some() {
        payloads.extend(auth::hash_algorithms(core));
    }
    if sa.features.intermediate && !add_ke.is_empty() {
        payloads.push(notify(NotifyType::IntermediateExchangeSupported, &[]));
    }
    if use_ppk {
        payloads.push(notify(NotifyType::UsePpk, &[]));
    }
    if sa.conn.childless != policy::connection::Childless::Never {
        payloads.push(notify(NotifyType::ChildlessIkev2Supported, &[]));
        sa.features.childless = true;
    }
    if settings.multiple_authentication {
        payloads.push(notify(NotifyType::MultipleAuthSupported, &[]));
    }
    if settings.announce_auth_methods {
        payloads.extend(auth::supported(candidates, wishes.hashes.is_some()));
    }
    payloads.extend(super::vendor::ours(core));
    let h = header(sa, ExchangeType::IkeSaInit, true, 0);
    say!(core, sa, Enc 1, "generating {}", describe(&h, &payloads));
    let response = Message::encode(h, &payloads);
    core.count("ike-init-out-resp", Some(&sa.conn.name));
    sa.window.respond(Datagrams::of(std::slice::from_ref(&response)));
    // What is kept takes no more room than it needs.
    let kept = response.clone();
    send::transmit(core, sa, [response], None);
    sa.half_open_until =
        When::at(core.now.mono.saturating_add(core.snapshot.settings.half_open_timeout.saturating_mul(1000)));
    sa.phase = Phase::Answered(Box::new(Answered {
        hs: Handshake {
            keys,
            nonces,
            request: d.bytes.clone(),
            response: kept,
            int_auth_i: Vec::new(),
            int_auth_r: Vec::new(),
            add_ke,
            use_ppk,
            signatures: settings.signature_authentication && wishes.hashes.is_some(),
            wishes,
            hash_and_url: settings.hash_and_url,
            force_eap_only: settings.force_eap_only_authentication,
        },
    }));
    Ok(())
}
