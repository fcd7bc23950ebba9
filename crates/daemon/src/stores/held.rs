//! Who holds which address of the stores that do not know of each other: what a RADIUS server assigned, what clients
//! chose, what a database or a DHCP server leased. Pools in memory are not in here; they look here before they lend.
use ipnet::IpNet;
use policy::Identity;
use pool::{Grant, LeaseRow, Origin};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who holds what, found by address.
#[derive(Default)]
pub(crate) struct Held(Mutex<Holders>);

#[derive(Default)]
struct Holders {
    all: BTreeMap<Key, Holder>,
    /// How many have a prefix of this length, apart by family.
    lengths: BTreeMap<(bool, u8), usize>,
}

/// In order of address; of those with the same first address, the greatest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    first: IpAddr,
    prefix: u8,
    pool: String,
}

/// How often, since during a reauthentication one identity has it twice.
struct Holder {
    identity: Identity,
    times: usize,
}

/// Somebody else has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken(pub(crate) Identity);

impl Holders {
    /// Who else has this, a part of it, or more.
    fn other(&self, net: IpNet, identity: &Identity) -> Option<&Identity> {
        let others = |(_, holder): (&Key, &'_ Holder)| holder.identity != *identity;
        let inside =
            || self.all.range(from(net.network(), 0)..).take_while(|(key, _)| key.first <= net.broadcast());
        let v4 = net.addr().is_ipv4();
        let shorter = self.lengths.range((v4, 0)..(v4, net.prefix_len())).map(|((_, length), _)| *length);
        let around = shorter.filter_map(|length| {
            let first = IpNet::new(net.addr(), length).ok()?.network();
            self.all
                .range(from(first, length)..from(first, length.saturating_add(1)))
                .find(|found| others(*found))
        });
        let found = inside().find(|found| others(*found)).or_else(|| { around }.next());
        found.map(|(_, holder)| &holder.identity)
    }

    /// What this identity has of these pools with this first address.
    fn own(&self, address: IpAddr, pools: &[String], identity: &Identity) -> Option<&Key> {
        let mut same = self.all.range(from(address, 0)..).take_while(|(key, _)| key.first == address);
        let own = same.find(|(key, holder)| holder.identity == *identity && pools.contains(&key.pool));
        own.map(|(key, _)| key)
    }
}

fn from(first: IpAddr, prefix: u8) -> Key {
    Key { first, prefix, pool: String::new() }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Holders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody else has it, a part of it, or more.
    pub(crate) fn taken(&self, net: IpNet, identity: &Identity) -> Option<Taken> {
        self.lock().other(net, identity).cloned().map(Taken)
    }

    /// A grant of this address or prefix, if nobody else has it. Nothing is held yet ([`Self::take`]).
    pub(crate) fn offer(&self, net: IpNet, pool: &str, identity: &Identity) -> Result<Grant, Taken> {
        let held = self.lock();
        if let Some(other) = held.other(net, identity) {
            return Err(Taken(other.clone()));
        }
        let grant = |origin| Grant {
            pool: pool.to_owned(),
            address: net.network(),
            prefix: net.prefix_len(),
            origin,
        };
        let again =
            held.all.contains_key(&Key { pool: pool.to_owned(), ..from(net.network(), net.prefix_len()) });
        Ok(grant(if again { Origin::Online } else { Origin::New }))
    }

    /// This identity has what it was granted, once more where it has it already.
    pub(crate) fn take(&self, grant: &Grant, identity: &Identity) -> Result<(), Taken> {
        let net = grant.vip().net();
        let mut held = self.lock();
        if let Some(other) = held.other(net, identity) {
            return Err(Taken(other.clone()));
        }
        let key = Key { first: net.network(), prefix: net.prefix_len(), pool: grant.pool.clone() };
        let mut new = false;
        let holder = held.all.entry(key).or_insert_with(|| {
            new = true;
            Holder { identity: identity.clone(), times: 0 }
        });
        holder.times = holder.times.saturating_add(1);
        if new {
            let length = held.lengths.entry((net.addr().is_ipv4(), net.prefix_len())).or_default();
            *length = length.saturating_add(1);
        }
        Ok(())
    }

    /// This identity holds it from this pool.
    pub(crate) fn holds(&self, address: IpAddr, pool: &str, identity: &Identity) -> bool {
        self.lock().own(address, &[pool.to_owned()], identity).is_some()
    }

    /// Gives it back once.
    pub(crate) fn give_back(&self, address: IpAddr, pools: &[String], identity: &Identity) {
        let mut held = self.lock();
        let Some(key) = held.own(address, pools, identity).cloned() else { return };
        let Some(holder) = held.all.get_mut(&key) else { return };
        holder.times = holder.times.saturating_sub(1);
        if holder.times > 0 {
            return;
        }
        held.all.remove(&key);
        let length = (key.first.is_ipv4(), key.prefix);
        if let Some(count) = held.lengths.get_mut(&length) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.lengths.remove(&length);
            }
        }
    }

    /// What is held from a pool, in order of address, at most `limit`.
    pub(crate) fn rows(&self, pool: &str, limit: usize) -> Vec<LeaseRow> {
        let row = |(key, holder): (&Key, &Holder)| LeaseRow {
            address: key.first,
            prefix: key.prefix,
            identity: holder.identity.clone(),
            online: true,
            since: None,
            expires: None,
        };
        self.lock().all.iter().filter(|(key, _)| key.pool == pool).take(limit).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Identity {
        Identity::Fqdn(name.into())
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// Offers and takes.
    fn take(held: &Held, text: &str, pool: &str, name: &str) -> Result<Origin, Taken> {
        let grant = held.offer(net(text), pool, &who(name))?;
        held.take(&grant, &who(name)).map(|()| grant.origin)
    }

    #[test]
    fn one_identity_may_hold_it_twice_and_no_other_at_all() {
        let held = Held::default();
        let address: IpAddr = "fd00:0:0:1::".parse().unwrap();
        let back = |pool: &str, name: &str| {
            let known = held.holds(address, pool, &who(name));
            held.give_back(address, &[pool.to_owned()], &who(name));
            known
        };
        assert_eq!(take(&held, "fd00:0:0:1::/64", "radius", "carol"), Ok(Origin::New));
        assert_eq!(take(&held, "fd00:0:0:1::/64", "radius", "carol"), Ok(Origin::Online));
        // Nor a part of it, nor more, from whatever pool.
        for text in ["fd00:0:0:1::/64", "fd00:0:0:1::5/128", "fd00:0:0:1:8000::/65", "fd00::/48", "::/0"] {
            assert_eq!(take(&held, text, "%config", "dave"), Err(Taken(who("carol"))), "{text}");
            assert_eq!(held.taken(net(text), &who("dave")), Some(Taken(who("carol"))), "{text}");
            assert_eq!(held.taken(net(text), &who("carol")), None, "{text}");
        }
        for text in ["fd00:0:0:2::/64", "fd00::/64", "10.0.0.1/32", "0.0.0.0/0"] {
            assert_eq!(take(&held, text, "%config", "dave"), Ok(Origin::New), "{text}");
        }
        let rows = held.rows("radius", 9);
        assert_eq!((rows.len(), rows[0].address, rows[0].prefix), (1, address, 64));
        assert_eq!(rows[0].identity, who("carol"));
        assert!(!back("radius", "dave"));
        assert!(!back("%config", "carol"));
        assert!(back("radius", "carol"));
        assert!(take(&held, "fd00:0:0:1::/64", "radius", "dave").is_err());
        assert!(back("radius", "carol"));
        assert!(!back("radius", "carol"));
        assert_eq!(take(&held, "fd00:0:0:1::/64", "radius", "dave"), Ok(Origin::New));
    }

    #[test]
    fn what_lies_around_it_is_found_at_every_length() {
        for length in 1..=128u8 {
            let held = Held::default();
            let whole = IpNet::new("fd00:77::9".parse().unwrap(), length).unwrap().trunc();
            assert_eq!(take(&held, &whole.to_string(), "a", "carol"), Ok(Origin::New));
            assert!(take(&held, "fd00:77::9/128", "b", "dave").is_err(), "{length}");
            held.give_back(whole.network(), &["a".to_owned()], &who("carol"));
            assert_eq!(take(&held, "fd00:77::9/128", "b", "dave"), Ok(Origin::New));
            assert!(take(&held, &whole.to_string(), "a", "carol").is_err(), "{length}");
        }
    }
}
