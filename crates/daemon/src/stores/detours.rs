//! Leases from pools that the connection does not list: they have to find back.
use policy::Identity;
use pool::{Grant, Wanted};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Where such addresses came from, and how many leases of them there are.
#[derive(Default)]
pub(crate) struct Detours(Mutex<HashMap<(Identity, IpAddr), (String, usize)>>);

impl Detours {
    /// Notes the grants that are not of the client's own pools.
    pub(crate) fn note(&self, wanted: &Wanted, grants: &[Grant]) {
        for grant in grants.iter().filter(|grant| !wanted.pools.contains(&grant.pool)) {
            let mut detours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (wanted.identity.clone(), grant.address);
            let (pool, times) = detours.entry(key).or_default();
            pool.clone_from(&grant.pool);
            *times = times.saturating_add(1);
        }
    }

    /// The pool that one of these leases goes back to.
    pub(crate) fn take(&self, identity: &Identity, address: IpAddr) -> Option<String> {
        let mut detours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (identity.clone(), address);
        let (pool, times) = detours.get_mut(&key)?;
        let pool = pool.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            detours.remove(&key);
        }
        Some(pool)
    }
}
