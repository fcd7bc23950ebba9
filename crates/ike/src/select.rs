//! Which connection and which child fit a peer.
use policy::{Auth, Child, Connection, Identity, PeerAddr, Selector, Snapshot, VirtualIp};
use std::net::IpAddr;
use std::sync::Arc;

/// How closely a list names an address, as [`PeerAddr::rank`]. Names are the edge's to resolve: here one may be
/// any address, and identities decide.
fn address_rank(list: &[PeerAddr], a: IpAddr) -> Option<u32> {
    let rank = |p: &PeerAddr| if matches!(p, PeerAddr::Name(_)) { Some(1) } else { p.rank(a, |_, _| false) };
    if list.is_empty() { Some(1) } else { list.iter().filter_map(rank).max() }
}

/// How closely a connection for IKEv2 names these addresses: the peer's, then ours.
fn path_rank(c: &Connection, local: IpAddr, remote: IpAddr) -> Option<(u32, u32)> {
    if !matches!(c.version, 0 | 2) {
        return None;
    }
    Some((address_rank(&c.remote_addrs, remote)?, address_rank(&c.local_addrs, local)?))
}

/// Connections for a peer's first message, best address match first, then in order of loading.
pub(crate) fn by_address(s: &Snapshot, local: IpAddr, remote: IpAddr) -> Vec<Arc<Connection>> {
    let ranked = s.connections.iter().filter_map(|c| Some((path_rank(c, local, remote)?, c)));
    let mut found: Vec<((u32, u32), &Arc<Connection>)> = ranked.collect();
    found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    found.into_iter().map(|(_, c)| Arc::clone(c)).collect()
}

/// The first round of authentication of one side.
pub(crate) fn round(rounds: &[Auth]) -> Option<&Auth> {
    rounds.iter().min_by_key(|a| a.round)
}

/// Who the first round of one side is about.
fn first_id(rounds: &[Auth]) -> &Identity {
    round(rounds).and_then(|a| a.id.as_ref()).unwrap_or(&Identity::Any)
}

/// Connections for the identities of an IKE_AUTH request. `idr`: whom the peer asked for.
pub(crate) fn by_identity(
    s: &Snapshot,
    local: IpAddr,
    remote: IpAddr,
    idr: Option<&Identity>,
    idi: &Identity,
) -> Vec<Arc<Connection>> {
    // Among very many connections few fit the peer: identities are looked at first, and nothing is copied.
    let fits = |conn: &Connection| {
        let theirs = first_id(&conn.remote).matches(idi)?;
        let ours = match idr {
            None | Some(Identity::Any) => 1,
            Some(asked) => first_id(&conn.local).matches(asked)?,
        };
        Some(((theirs, ours), path_rank(conn, local, remote)?))
    };
    let mut found: Vec<_> = s.connections.iter().filter_map(|conn| Some((fits(conn)?, conn))).collect();
    // Identities count more than addresses; stable: among equals the first loaded.
    found.sort_by_key(|(ranks, _)| std::cmp::Reverse(*ranks));
    found.into_iter().map(|(_, conn)| Arc::clone(conn)).collect()
}

/// A mode that a peer hears of; the others look like tunnel mode.
fn says_so(mode: policy::Mode) -> bool {
    matches!(mode, policy::Mode::Transport | policy::Mode::Beet)
}

/// What a child makes of a peer's selectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) config: Arc<Child>,
    pub(crate) local_ts: Vec<Selector>,
    pub(crate) remote_ts: Vec<Selector>,
}

/// The child that fits best: one whose selectors are exactly those asked for before one that narrows them.
/// `hosts`: what `dynamic` means on (our, the peer's) side.
pub(crate) fn child(
    children: &[Arc<Child>],
    hosts: (&[VirtualIp], &[VirtualIp]),
    asked: (&[Selector], &[Selector]),
    mode: policy::Mode,
) -> Option<Fit> {
    let mut best: Option<(u32, Fit)> = None;
    for config in children {
        if matches!(config.mode, policy::Mode::Pass | policy::Mode::Drop) {
            continue;
        }
        let ours = crate::narrow::resolve(&config.local_ts, hosts.0);
        let theirs = crate::narrow::resolve(&config.remote_ts, hosts.1);
        let local_ts = crate::narrow::narrow(&ours, asked.0);
        let remote_ts = crate::narrow::narrow(&theirs, asked.1);
        if local_ts.is_empty() || remote_ts.is_empty() {
            continue;
        }
        let mode_fits = config.mode == mode || !(says_so(config.mode) || says_so(mode));
        let exact = u32::from(local_ts == ours) + u32::from(remote_ts == theirs);
        let complete = u32::from(asked.0 == local_ts.as_slice()) + u32::from(asked.1 == remote_ts.as_slice());
        let rank = u32::from(mode_fits) * 16 + exact * 3 + complete;
        if best.as_ref().is_none_or(|(r, _)| rank > *r) {
            best = Some((rank, Fit { config: Arc::clone(config), local_ts, remote_ts }));
        }
    }
    best.map(|(_, fit)| fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_rank_by_precision() {
        let a: IpAddr = "192.0.2.7".parse().unwrap();
        let any = PeerAddr::Any(None);
        let range = PeerAddr::Range("192.0.2.0".parse().unwrap(), "192.0.2.255".parse().unwrap());
        assert_eq!(address_rank(&[], a), Some(1));
        assert!(address_rank(std::slice::from_ref(&range), a) > address_rank(std::slice::from_ref(&any), a));
        assert!(address_rank(&[any, range.clone(), PeerAddr::Ip(a)], a) > address_rank(&[range], a));
        assert_eq!(address_rank(&[PeerAddr::Ip("192.0.2.8".parse().unwrap())], a), None);
        assert_eq!(address_rank(&[PeerAddr::Any(Some(false))], a), None);
    }
}
