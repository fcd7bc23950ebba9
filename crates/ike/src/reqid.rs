//! reqids in use; equal policies share one (RFC 7296 has no such number: it is the data plane's).
use policy::{ChildSa, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Reqids {
    next: u32,
    free: BTreeSet<u32>,
    /// What the users of a reqid have in common, and how many they are.
    used: BTreeMap<u32, (Digest, u32)>,
    by_digest: BTreeMap<Digest, u32>,
}

/// What makes CHILD_SAs share a reqid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReqKey<'a> {
    pub(crate) connection: &'a str,
    pub(crate) child: &'a str,
    pub(crate) local_ts: &'a [Selector],
    pub(crate) remote_ts: &'a [Selector],
    /// For `%unique` marks: one per SA.
    pub(crate) unique: u32,
}

/// Half of the SHA-256 of a [`ReqKey`], which is many times longer.
type Digest = [u8; 16];

impl<'a> ReqKey<'a> {
    /// That of an existing CHILD_SA.
    pub(crate) fn of(sa: &'a ChildSa) -> Self {
        Self {
            connection: &sa.connection,
            child: &sa.config.name,
            local_ts: &sa.local_ts,
            remote_ts: &sa.remote_ts,
            unique: if crate::child::draws_unique(&sa.config) { sa.id } else { 0 },
        }
    }

    fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(192);
        for name in [self.connection, self.child] {
            bytes.extend_from_slice(&name.len().to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        for list in [self.local_ts, self.remote_ts] {
            bytes.extend_from_slice(&list.len().to_be_bytes());
            for ts in list {
                bytes.push(ts.protocol);
                bytes.extend_from_slice(&ts.ports.0.to_be_bytes());
                bytes.extend_from_slice(&ts.ports.1.to_be_bytes());
                for address in [ts.start, ts.end] {
                    match address {
                        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
                        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
                    }
                }
                bytes.push(u8::from(ts.is_ipv4()));
            }
        }
        bytes.extend_from_slice(&self.unique.to_be_bytes());
        let whole = crypto::digest::sha256(&[&bytes]);
        whole.first_chunk().copied().unwrap_or_default()
    }
}

impl Reqids {
    pub(crate) fn new(base: u32) -> Self {
        Self { next: base.max(1), free: BTreeSet::new(), used: BTreeMap::new(), by_digest: BTreeMap::new() }
    }

    /// One more user of `reqid`.
    pub(crate) fn take(&mut self, reqid: u32, key: &ReqKey<'_>) {
        self.add(reqid, key.digest());
    }

    fn add(&mut self, reqid: u32, digest: Digest) {
        let entry = self.used.entry(reqid).or_insert((digest, 0));
        entry.1 = entry.1.saturating_add(1);
        // Where reqids are given by hand, several may serve the same: the lowest is found.
        let known = self.by_digest.entry(entry.0).or_insert(reqid);
        *known = reqid.min(*known);
        self.free.remove(&reqid);
        self.next = self.next.max(reqid.saturating_add(1));
    }

    /// A reqid for these policies.
    pub(crate) fn allocate(&mut self, key: &ReqKey<'_>) -> u32 {
        let digest = key.digest();
        let known = self.by_digest.get(&digest).copied();
        let reqid = known.or_else(|| self.free.pop_first()).unwrap_or_else(|| {
            let r = self.next;
            self.next = self.next.wrapping_add(1).max(1);
            r
        });
        self.add(reqid, digest);
        reqid
    }

    /// One user less.
    pub(crate) fn release(&mut self, reqid: u32) {
        let Some(entry) = self.used.get_mut(&reqid) else { return };
        entry.1 = entry.1.saturating_sub(1);
        if entry.1 > 0 {
            return;
        }
        let digest = entry.0;
        self.used.remove(&reqid);
        if self.by_digest.get(&digest) == Some(&reqid) {
            self.by_digest.remove(&digest);
        }
        self.free.insert(reqid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(child: &'a str, local_ts: &'a [Selector], remote_ts: &'a [Selector]) -> ReqKey<'a> {
        ReqKey { connection: "home", child, local_ts, remote_ts, unique: 0 }
    }

    #[test]
    fn equal_policies_share_one_and_the_lowest_free_one_comes_again() {
        let (a, b) = ([Selector::everything(true)], [Selector::everything(false)]);
        let mut reqids = Reqids::new(1);
        let first = reqids.allocate(&key("net", &a, &b));
        assert_eq!(reqids.allocate(&key("net", &a, &b)), first);
        let others = [key("net", &b, &a), key("other", &a, &b), key("net", &a, &[]), key("net", &[], &a)];
        let others: Vec<u32> = others.iter().map(|k| reqids.allocate(k)).collect();
        assert_eq!((first, others), (1, vec![2, 3, 4, 5]));
        assert_ne!(reqids.allocate(&ReqKey { unique: 7, ..key("net", &a, &b) }), first);
        reqids.release(4);
        reqids.release(2);
        reqids.release(first);
        assert_eq!(reqids.allocate(&key("new", &a, &b)), 2, "one of its two users has the first still");
        reqids.release(first);
        assert_eq!(reqids.allocate(&key("net", &a, &b)), 1);
        assert_eq!(reqids.allocate(&key("net", &a, &b)), 1);
    }

    #[test]
    fn one_that_was_taken_by_hand_is_shared_but_never_drawn() {
        let a = [Selector::everything(true)];
        let mut reqids = Reqids::new(1);
        reqids.take(9, &key("fixed", &a, &a));
        assert_eq!(reqids.allocate(&key("net", &a, &a)), 10);
        reqids.release(9);
        assert_eq!(reqids.allocate(&key("other", &a, &a)), 9);
        assert_eq!(reqids.allocate(&key("fixed", &a, &a)), 11);
    }
}
