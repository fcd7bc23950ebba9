//! Addresses that are not taken from a pool: who holds them, so that nobody else gets them.
use ipnet::IpNet;
use policy::Identity;
use pool::{Grant, LeaseRow, Origin};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Who holds what; how often, since during a reauthentication one identity has it twice.
#[derive(Default)]
pub(crate) struct Held(Mutex<HashMap<IpNet, Holder>>);

struct Holder {
    identity: Identity,
    pool: &'static str,
    times: usize,
}

/// Somebody else has it.
pub(crate) struct Taken(pub(crate) Identity);

impl Held {
    /// Takes an address or prefix.
    pub(crate) fn take(&self, net: IpNet, pool: &'static str, identity: &Identity) -> Result<Grant, Taken> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let common = |other: &IpNet| other.contains(&net) || net.contains(other);
        if let Some((_, holder)) = held.iter().find(|(other, h)| common(other) && h.identity != *identity) {
            return Err(Taken(holder.identity.clone()));
        }
        let fresh = || Holder { identity: identity.clone(), pool, times: 0 };
        let holder = held.entry(net).or_insert_with(fresh);
        let origin = if holder.times == 0 { Origin::New } else { Origin::Online };
        holder.times = holder.times.saturating_add(1);
        Ok(Grant { pool: pool.to_owned(), address: net.addr(), prefix: net.prefix_len(), origin })
    }

    /// Gives it back; `false` when this identity does not hold it from this pool.
    pub(crate) fn give_back(&self, address: IpAddr, pool: &'static str, identity: &Identity) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours =
            |net: &IpNet, h: &Holder| net.addr() == address && h.pool == pool && h.identity == *identity;
        let Some(net) = held.iter().find(|(net, holder)| ours(net, holder)).map(|(net, _)| *net) else {
            return false;
        };
        if let Some(holder) = held.get_mut(&net) {
            holder.times = holder.times.saturating_sub(1);
            if holder.times == 0 {
                held.remove(&net);
            }
        }
        true
    }

    /// What is held from a pool, in order of address, at most `limit`.
    pub(crate) fn rows(&self, pool: &str, limit: usize) -> Vec<LeaseRow> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ours: Vec<_> = held.iter().filter(|(_, holder)| holder.pool == pool).collect();
        ours.sort_by_key(|(net, _)| **net);
        let row = |(net, holder): (&IpNet, &Holder)| LeaseRow {
            address: net.addr(),
            prefix: net.prefix_len(),
            identity: holder.identity.clone(),
            online: true,
            since: None,
            expires: None,
        };
        ours.into_iter().take(limit).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_may_hold_it_twice_and_no_other_at_all() {
        let held = Held::default();
        let who = |name: &str| Identity::Fqdn(name.into());
        let net = |text: &str| -> IpNet { text.parse().unwrap() };
        let address: IpAddr = "fd00:0:0:1::".parse().unwrap();
        assert_eq!(
            held.take(net("fd00:0:0:1::/64"), "radius", &who("carol")).ok().unwrap().origin,
            Origin::New
        );
        let again = held.take(net("fd00:0:0:1::/64"), "radius", &who("carol")).ok().unwrap();
        assert_eq!((again.origin, again.prefix), (Origin::Online, 64));
        // Nor a part of it, nor more, from whatever pool.
        for text in ["fd00:0:0:1::/64", "fd00:0:0:1::5/128", "fd00::/48"] {
            let taken = held.take(net(text), "%config", &who("dave")).err().unwrap();
            assert_eq!(taken.0, who("carol"));
        }
        assert!(held.take(net("fd00:0:0:2::/64"), "%config", &who("dave")).is_ok());
        let rows = held.rows("radius", 9);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].address, rows[0].prefix, &rows[0].identity), (address, 64, &who("carol")));
        assert!(!held.give_back(address, "radius", &who("dave")));
        assert!(!held.give_back(address, "%config", &who("carol")));
        assert!(held.give_back(address, "radius", &who("carol")));
        assert!(held.take(net("fd00:0:0:1::/64"), "radius", &who("dave")).is_err());
        assert!(held.give_back(address, "radius", &who("carol")));
        assert!(!held.give_back(address, "radius", &who("carol")));
        assert!(held.take(net("fd00:0:0:1::/64"), "radius", &who("dave")).is_ok());
    }
}
