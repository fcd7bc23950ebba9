//! Which connection and which child fit a peer.
use policy::{Auth, AuthClass, Child, Connection, Identity, PeerAddr, Selector, Snapshot};
use std::net::IpAddr;
use std::sync::Arc;

/// How well an address fits a list: a single address better than a range, that better than `%any`. DNS names
/// stand for the addresses they had when looked up; a responder takes them as `%any` and lets identities decide.
fn address_rank(list: &[PeerAddr], a: IpAddr) -> Option<u32> {
    if list.is_empty() {
        return Some(1);
    }
    list.iter()
        .filter_map(|p| match p {
            PeerAddr::Any(None) | PeerAddr::Name(_) => Some(1),
            PeerAddr::Any(Some(v6)) => (a.is_ipv6() == *v6).then_some(1),
            PeerAddr::Ip(ip) => (*ip == a).then_some(4),
            PeerAddr::Range(from, to) => {
                let fits = from.is_ipv4() == a.is_ipv4() && *from <= a && a <= *to;
                fits.then_some(if from == to { 4 } else { 2 })
            }
        })
        .max()
}

/// Connections for a peer's first message, best address match first, then in order of loading.
pub(crate) fn by_address(s: &Snapshot, local: IpAddr, remote: IpAddr) -> Vec<Arc<Connection>> {
    let mut found: Vec<(u32, &Arc<Connection>)> = s
        .connections
        .iter()
        .filter(|c| matches!(c.version, 0 | 2))
        .filter_map(|c| {
            let rank = address_rank(&c.remote_addrs, remote)?
                .saturating_mul(8)
                .saturating_add(address_rank(&c.local_addrs, local)?);
            Some((rank, c))
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0));
    found.into_iter().map(|(_, c)| Arc::clone(c)).collect()
}

/// A connection that fits the identities, with its rank.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) conn: Arc<Connection>,
    /// Ranks of (our identity, the peer's).
    pub(crate) rank: (u32, u32),
}

/// The first round of authentication of one side.
pub(crate) fn round(rounds: &[Auth]) -> Option<&Auth> {
    rounds.iter().min_by_key(|a| a.round)
}

/// Connections for the identities of an IKE_AUTH request. `idr`: whom the peer asked for.
pub(crate) fn by_identity(
    s: &Snapshot,
    local: IpAddr,
    remote: IpAddr,
    idr: Option<&Identity>,
    idi: &Identity,
) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = by_address(s, local, remote)
        .into_iter()
        .filter_map(|conn| {
            let theirs = round(&conn.remote).and_then(|a| a.id.clone()).unwrap_or(Identity::Any);
            let ours = round(&conn.local).and_then(|a| a.id.clone()).unwrap_or(Identity::Any);
            let r = theirs.matches(idi)?;
            let l = match idr {
                None | Some(Identity::Any) => 1,
                Some(asked) => ours.matches(asked)?,
            };
            Some(Candidate { conn, rank: (l, r) })
        })
        .collect();
    // by_address has ordered by addresses; identities count more.
    found.sort_by(|a, b| (b.rank.1, b.rank.0).cmp(&(a.rank.1, a.rank.0)));
    found
}

/// Both sides of the connection authenticate with what this engine does.
pub(crate) fn psk_only(c: &Connection) -> Result<(), String> {
    for (side, rounds) in [("local", &c.local), ("remote", &c.remote)] {
        if rounds.len() > 1 {
            return Err(format!(
                "connection '{}': several {side} authentication rounds are not supported",
                c.name
            ));
        }
        if let Some(a) = rounds.first() {
            let fits = a.class == AuthClass::Psk || (side == "remote" && a.class == AuthClass::Any);
            if !fits {
                return Err(format!(
                    "connection '{}': {side} authentication {:?} is not supported",
                    c.name, a.class
                ));
            }
        }
    }
    Ok(())
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
    hosts: (&[IpAddr], &[IpAddr]),
    asked: (&[Selector], &[Selector]),
    transport: bool,
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
        let mode_fits = (config.mode == policy::Mode::Transport) == transport;
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
        assert_eq!(address_rank(&[any.clone(), range.clone()], a), Some(2));
        assert_eq!(address_rank(&[any, range, PeerAddr::Ip(a)], a), Some(4));
        assert_eq!(address_rank(&[PeerAddr::Ip("192.0.2.8".parse().unwrap())], a), None);
        assert_eq!(address_rank(&[PeerAddr::Any(Some(true))], a), None);
    }
}
