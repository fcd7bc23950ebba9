//! What the engine's events mean for RADIUS records. The records themselves are made in `asks/radius`.
use ike::io::{ChildView, Event, IkeView};
use policy::sa::Usage;
use radius::account::{Counters, Session};
use radius::dae::Candidate;
use radius::relay::{Accepted, Facts};
use std::net::SocketAddr;
use wire::iana::TerminateCause;

/// What happened, as far as records care.
pub(crate) enum Change<'a> {
    Up(&'a IkeView),
    Down(u32),
    Counted {
        ike_id: u32,
        child: u32,
        counters: Counters,
        gone: bool,
    },
    Rekeyed(u32, u32),
    Moved {
        ike_id: u32,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// The IKE_SA will go for this reason.
    Fault(u32, TerminateCause),
}

/// Events that matter; others need not be passed on.
pub(crate) fn matters(event: &Event) -> bool {
    change(event).is_some()
}

/// What an event means.
pub(crate) fn change(event: &Event) -> Option<Change<'_>> {
    match event {
        Event::IkeUpDown { up: true, sa } => Some(Change::Up(sa)),
        Event::IkeUpDown { up: false, sa } => Some(Change::Down(sa.unique_id)),
        Event::IkeRekey { old, new } => Some(Change::Rekeyed(old.unique_id, new.unique_id)),
        Event::IkeUpdate { sa, local, remote } => {
            Some(Change::Moved { ike_id: sa.unique_id, local: *local, remote: *remote })
        }
        Event::ChildUpDown { up: false, sa, child } => Some(counted(sa.unique_id, child, true)),
        Event::ChildRekey { sa, old, .. } => Some(counted(sa.unique_id, old, false)),
        Event::ChildRetired { ike_id, child } => Some(counted(*ike_id, child, true)),
        Event::Alert { kind, sa: Some(sa), .. } => {
            let cause = match *kind {
                "retransmit-send-timeout" => TerminateCause::LostCarrier,
                "ike-sa-expired" => TerminateCause::SessionTimeout,
                _ => return None,
            };
            Some(Change::Fault(sa.unique_id, cause))
        }
        Event::ChildUpDown { up: true, .. }
        | Event::Alert { sa: None, .. }
        | Event::Log { .. }
        | Event::Count { .. }
        | Event::CommandDone { .. }
        | Event::CommandLog { .. } => None,
    }
}

fn counted(ike_id: u32, child: &ChildView, gone: bool) -> Change<'static> {
    Change::Counted { ike_id, child: child.sa.id, counters: sum(child), gone }
}

/// What each CHILD_SA of an IKE_SA has counted.
pub(crate) fn counters(view: &IkeView) -> impl Iterator<Item = (u32, Counters)> {
    view.children.iter().map(|child| (child.sa.id, sum(child)))
}

fn sum(child: &ChildView) -> Counters {
    let (Usage { bytes: input_octets, packets: input_packets, .. }, out) = (child.usage_in, child.usage_out);
    Counters { input_octets, input_packets, output_octets: out.bytes, output_packets: out.packets }
}

/// Whom the peer has shown to be: its EAP or XAuth identity, else that of IKE.
fn user(view: &IkeView) -> String {
    let ids = [&view.remote_eap_id, &view.remote_xauth_id, &view.remote_id];
    ids.into_iter().flatten().next().map(ToString::to_string).unwrap_or_default()
}

/// The session that an IKE_SA is.
pub(crate) fn session(view: &IkeView, boot: u64, accepted: Option<Accepted>) -> Session {
    let (class, interim, server, name) = match accepted {
        Some(accepted) => (accepted.class, accepted.interim, Some(accepted.server), accepted.user),
        None => (Vec::new(), None, None, None),
    };
    let facts = Facts {
        // RFC 2865 5.1: the server's name for the user counts in the records.
        user: name.unwrap_or_else(|| user(view)),
        local: view.local,
        remote: view.remote,
        connection: view.name.clone(),
        ike_id: view.unique_id,
        session: radius::Ledger::session_id(boot, view.unique_id),
    };
    Session {
        facts,
        addresses: view.remote_vips.iter().map(|vip| vip.net()).collect(),
        class,
        interim,
        server,
    }
}

/// An IKE_SA, to be compared with a server's wish. `known`: User-Name and Acct-Session-Id of its records.
pub(crate) fn candidate(
    view: &IkeView,
    boot: u64,
    known: Option<(String, String)>,
    with_port: bool,
) -> Candidate {
    let mut users = vec![user(view)];
    let session = match known {
        Some((name, session)) => {
            users.push(name);
            session
        }
        None => radius::Ledger::session_id(boot, view.unique_id),
    };
    let calling = match with_port {
        true => format!("{}[{}]", view.remote.ip(), view.remote.port()),
        false => view.remote.ip().to_string(),
    };
    let addresses = view.remote_vips.iter().map(|vip| vip.net()).collect();
    Candidate { users, session, addresses, calling, ike_id: view.unique_id }
}
