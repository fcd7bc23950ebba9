//! Selectors of a peer against ours (RFC 7296 2.9): the wire side of [`policy::selector`], and transport mode
//! through a NAT.
use policy::Selector;
pub(crate) use policy::selector::{narrow, resolve};
use std::net::IpAddr;
use wire::ike::Ts;

/// Most selectors of one payload we look at.
const MAX: usize = 64;

/// From the wire; what selects nothing is left out.
pub(crate) fn read(ts: &Ts) -> Vec<Selector> {
    ts.selectors.iter().take(MAX).filter_map(Selector::from_wire).collect()
}

/// To the wire.
pub(crate) fn write(list: &[Selector]) -> Ts {
    Ts { selectors: list.iter().map(Selector::to_wire).collect() }
}

/// Transport mode through a NAT (RFC 7296 2.23.1): a single host in the peer's selectors stands for the address
/// we see. Returns the address that was there.
pub(crate) fn substitute(list: &mut [Selector], host: IpAddr) -> Option<IpAddr> {
    let mut original = None;
    for s in list {
        if s.start == s.end && s.start.is_ipv4() == host.is_ipv4() && s.start != host {
            original = Some(s.start);
            s.start = host;
            s.end = host;
        }
    }
    original
}

/// Undoes [`substitute`] for the answer: "the server … undoes the address substitution".
pub(crate) fn restore(list: &mut [Selector], host: IpAddr, original: Option<IpAddr>) {
    let Some(original) = original else { return };
    for s in list {
        if s.start == host && s.end == host {
            s.start = original;
            s.end = original;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitution_comes_undone() {
        let inside: IpAddr = "10.0.0.5".parse().unwrap();
        let outside: IpAddr = "192.0.2.5".parse().unwrap();
        let mut list = vec![Selector::host(inside).restricted(6, (80, 80))];
        let before = list.clone();
        let original = substitute(&mut list, outside);
        assert_eq!(list, [Selector::host(outside).restricted(6, (80, 80))]);
        restore(&mut list, outside, original);
        assert_eq!(list, before);
    }
}
