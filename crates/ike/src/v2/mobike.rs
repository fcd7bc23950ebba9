//! Changing addresses: MOBIKE (RFC 4555) and changed NAT mappings (RFC 7296 2.23).
use super::{Exchange, Job, close, enqueue, send};
use crate::core::{Core, StartChild, Waiter};
use crate::io::{Ask, Datagram, Event};
use crate::message::{find, has, notifies, notify};
use crate::sa::{IkeSa, Wait};
use policy::PeerAddr;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use wire::iana::{ExchangeType, NotifyType};
use wire::ike::Payload;

/// Most additional addresses of a peer we remember.
const MAX_ADDRESSES: usize = 16;

/// Initiator: UPDATE_SA_ADDRESSES is out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UpdateSent {
    cookie2: Vec<u8>,
}

/// Remembers further addresses of the peer.
pub(crate) fn note_additional(sa: &mut IkeSa, p: &[Payload]) {
    let mut any = false;
    let mut list = Vec::new();
    for n in notifies(p) {
        match n.kind {
            NotifyType::AdditionalIp4Address => {
                any = true;
                list.extend(<[u8; 4]>::try_from(n.data.as_slice()).map(|o| IpAddr::V4(Ipv4Addr::from(o))));
            }
            NotifyType::AdditionalIp6Address => {
                any = true;
                list.extend(<[u8; 16]>::try_from(n.data.as_slice()).map(|o| IpAddr::V6(Ipv6Addr::from(o))));
            }
            NotifyType::NoAdditionalAddresses => any = true,
            _ => {}
        }
    }
    if any {
        list.truncate(MAX_ADDRESSES);
        if !list.is_empty() || !sa.few().remote_addresses.is_empty() {
            sa.few_mut().remote_addresses = list.into_iter().collect();
        }
    }
}

/// The path has changed: observers and the data plane follow.
pub(crate) fn moved(core: &mut Core, sa: &mut IkeSa, local: SocketAddr, remote: SocketAddr) {
    if (local, remote) == (sa.local, sa.remote) {
        return;
    }
    set_path(core, sa, local, remote);
    update_children(core, sa);
}

/// Says where the IKE_SA moves, and moves it.
fn set_path(core: &mut Core, sa: &mut IkeSa, local: SocketAddr, remote: SocketAddr) {
    if (local, remote) == (sa.local, sa.remote) {
        return;
    }
    for (which, from, to) in [("local", sa.local, local), ("remote", sa.remote, remote)] {
        if from != to {
            say!(core, sa, Ike 1, "{which} endpoint changed from {} to {}", send::host(from), send::host(to));
        }
    }
    let view = Box::new(crate::view::ike(sa));
    core.tell(Event::IkeUpdate { sa: view, local, remote });
    sa.local = local;
    sa.remote = remote;
}

/// Tells the data plane the addresses of all children.
fn update_children(core: &mut Core, sa: &mut IkeSa) {
    let (local, remote, encap) = (sa.local, sa.remote, sa.nat.any());
    let mut ids = Vec::new();
    for c in sa.children.values_mut() {
        if !c.in_plane || c.state == crate::child::ChildState::Removing {
            continue;
        }
        if (c.sa.local, c.sa.remote, c.sa.encap) != (local, remote, encap) {
            let order = Arc::make_mut(&mut c.sa);
            order.local = local;
            order.remote = remote;
            order.encap = encap;
            ids.push(c.sa.id);
        }
    }
    for child in ids {
        let ticket = core.ask(Waiter::Ike(sa.id), Ask::UpdateChild { child, local, remote, encap });
        sa.waiting.insert(ticket, Wait::Update(child));
    }
}

// ---------------------------------------------------------------------------------------------- initiator

/// Our addresses or routes changed: see which path there is now.
pub(crate) fn addresses_changed(core: &mut Core, sa: &mut IkeSa) {
    if !sa.initiator || !sa.is_up() || sa.waits(|w| matches!(w, Wait::Resolve)) {
        return;
    }
    let mut names = vec![PeerAddr::Ip(sa.remote.ip())];
    names.extend(sa.few().remote_addresses.iter().map(|a| PeerAddr::Ip(*a)));
    // The address in use is kept while it leads to the peer. After that, MOBIKE may take whatever there is, though the
    // connection began at an address that is fixed.
    let mut local = sa.conn.local_addrs.clone();
    if sa.features.mobike {
        local.insert(0, PeerAddr::Ip(sa.local.ip()));
        local.push(PeerAddr::Any(None));
    }
    let ticket = core.ask(Waiter::Ike(sa.id), Ask::Resolve { names, local });
    sa.waiting.insert(ticket, Wait::Resolve);
}

/// The paths there are now.
pub(crate) fn resolved(core: &mut Core, sa: &mut IkeSa, pairs: &[(IpAddr, IpAddr)]) {
    if !sa.is_up() {
        return;
    }
    if pairs.iter().any(|p| *p == (sa.local.ip(), sa.remote.ip())) {
        sa.path_lost = false;
        return;
    }
    let Some(path) = pairs.first().copied() else {
        // Every change of the network asks anew; the operator needs to hear it once.
        if !std::mem::replace(&mut sa.path_lost, true) {
            say!(core, sa, Ike 1, "no path to {} left, waiting for a new one", sa.remote.ip());
        }
        return;
    };
    sa.path_lost = false;
    if sa.features.mobike {
        say!(core, sa, Ike 1, "path changed, moving to {} - {}", path.0, path.1);
        sa.few_mut().new_path = Some(Box::new(path));
        // What is on its way goes on over the new path (RFC 4555 3.5).
        if sa.window.flight.is_some() {
            sa.local.set_ip(path.0);
            sa.remote.set_ip(path.1);
        }
        enqueue(core, sa, Job::Mobike);
        return;
    }
    say!(core, sa, Ike 1, "old path is not available anymore, reauthenticating IKE_SA {}", sa.title());
    let children: Vec<StartChild> = sa
        .children
        .values()
        .filter(|c| c.is_live())
        .map(|c| StartChild {
            config: Arc::clone(&c.sa.config),
            keeps: Some(crate::child::Keeps::of(&c.sa)),
            packet: None,
        })
        .collect();
    close::restart_with(core, sa, children);
    close::leave(core, sa);
}

/// Sends UPDATE_SA_ADDRESSES over the new path.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa) {
    let Some((local, remote)) = sa.few_if_any().and_then(|few| few.new_path.take()).map(|path| *path) else {
        return;
    };
    let (local, remote) =
        (SocketAddr::new(local, sa.local.port()), SocketAddr::new(remote, sa.remote.port()));
    if (local, remote) != (sa.local, sa.remote) {
        // Seen from elsewhere, it is not comparable.
        if let Some(few) = sa.few_if_any() {
            few.seen_as = None;
        }
    }
    set_path(core, sa, local, remote);
    let cookie2 = core.rng.bytes(16);
    let mut p = vec![notify(NotifyType::UpdateSaAddresses, &[])];
    p.extend(crate::nat::payloads(core, sa.spi_i, sa.spi_r, local, remote, core.wants_encap(sa)));
    p.push(notify(NotifyType::Cookie2, &cookie2));
    match send::request(core, sa, ExchangeType::Informational, &p) {
        Ok(()) => {
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::Mobike(Box::new(UpdateSent { cookie2 })));
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "unable to send UPDATE_SA_ADDRESSES: {fault}");
            close::leave(core, sa);
        }
    }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, sent: UpdateSent, d: &Datagram, p: &[Payload]) {
    if has(p, NotifyType::UnacceptableAddresses) || has(p, NotifyType::UnexpectedNatDetected) {
        say!(core, sa, Ike 1, "peer refuses the new path");
        return close::give_up(core, sa);
    }
    if find(p, NotifyType::Cookie2).is_some_and(|n| n.data != sent.cookie2) {
        // RFC 4555 3.7: a different COOKIE2 means the peer did not see our request.
        say!(core, sa, Ike 1, "COOKIE2 mismatch, closing IKE_SA");
        return close::close(core, sa);
    }
    if crate::nat::detect(core.wants_encap(sa), sa, (sa.spi_i, sa.spi_r), d.local, d.remote, p) {
        crate::nat::report(core, sa);
        super::liveness::note_mapping(sa, p);
    }
    note_additional(sa, p);
    update_children(core, sa);
}

// ---------------------------------------------------------------------------------------------- responder

/// What an INFORMATIONAL request says about addresses; our part of the answer.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, d: &Datagram, p: &[Payload]) -> Vec<Payload> {
    let mut reply = Vec::new();
    if !sa.features.mobike {
        return reply;
    }
    note_additional(sa, p);
    if let Some(n) = find(p, NotifyType::NoNatsAllowed)
        && n.data != plain_path(d.remote, d.local)
    {
        reply.push(notify(NotifyType::UnexpectedNatDetected, &[]));
        return reply;
    }
    let detects = has(p, NotifyType::NatDetectionSourceIp);
    if has(p, NotifyType::UpdateSaAddresses) && !sa.initiator {
        crate::nat::detect(core.wants_encap(sa), sa, (sa.spi_i, sa.spi_r), d.local, d.remote, p);
        moved(core, sa, d.local, d.remote);
        // The NAT may have changed without the addresses.
        update_children(core, sa);
    }
    if detects {
        reply.extend(crate::nat::payloads(core, sa.spi_i, sa.spi_r, d.local, d.remote, core.wants_encap(sa)));
    }
    if let Some(c) = find(p, NotifyType::Cookie2) {
        reply.push(notify(NotifyType::Cookie2, &c.data));
    }
    reply
}

/// Source address, destination address, source port, destination port (RFC 4555 4.2.6).
fn plain_path(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut v = Vec::new();
    for a in [source, destination] {
        match a.ip() {
            IpAddr::V4(x) => v.extend_from_slice(&x.octets()),
            IpAddr::V6(x) => v.extend_from_slice(&x.octets()),
        }
    }
    v.extend_from_slice(&source.port().to_be_bytes());
    v.extend_from_slice(&destination.port().to_be_bytes());
    v
}
