//! Addresses that belong to one identity (`hosts`).
use policy::{Identity, PoolConfig};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// The reserved addresses of a pool, by offset and by owner. Those outside of the range, and those that are still in
/// use though they are not reserved any more, have the offsets after the end of the range.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reserved {
    owners: BTreeMap<u128, Identity>,
    /// By what all forms of one identity have in common.
    of: HashMap<String, Vec<u128>>,
    outside: Vec<IpAddr>,
}

impl Reserved {
    /// `stray`: addresses outside of the range that are in use.
    pub(crate) fn new(config: &PoolConfig, stray: impl Iterator<Item = IpAddr>) -> Self {
        let mut all = Self::default();
        let outside = |address: &IpAddr| config.range.offset(*address).is_none();
        all.outside = config.hosts.iter().map(|host| host.address).chain(stray).filter(outside).collect();
        all.outside.sort_unstable();
        all.outside.dedup();
        for host in &config.hosts {
            let Some(offset) = all.offset(config, host.address) else { continue };
            all.of.entry(key(&host.identity)).or_default().push(offset);
            all.owners.insert(offset, host.identity.clone());
        }
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Offset of an address, inside of the range or outside.
    pub(crate) fn offset(&self, config: &PoolConfig, address: IpAddr) -> Option<u128> {
        config.range.offset(address).or_else(|| {
            let at = self.outside.binary_search(&address).ok()?;
            config.range.size().checked_add(u128::try_from(at).ok()?)
        })
    }

    /// Address at an offset, inside of the range or outside.
    pub(crate) fn address(&self, config: &PoolConfig, offset: u128) -> Option<IpAddr> {
        config.range.nth(offset).or_else(|| {
            let at = offset.checked_sub(config.range.size())?;
            self.outside.get(usize::try_from(at).ok()?).copied()
        })
    }

    /// What is reserved for this identity.
    pub(crate) fn of(&self, identity: &Identity) -> Option<u128> {
        if self.is_empty() {
            return None;
        }
        self.of.get(&key(identity))?.iter().copied().find(|offset| self.is_for(*offset, identity))
    }

    pub(crate) fn owner(&self, offset: u128) -> Option<&Identity> {
        if self.is_empty() {
            return None;
        }
        self.owners.get(&offset)
    }

    pub(crate) fn is_for(&self, offset: u128, identity: &Identity) -> bool {
        self.owner(offset).is_some_and(|owner| owner.same(identity))
    }
}

/// The same for identities that are [`Identity::same`].
fn key(identity: &Identity) -> String {
    format!("{}:{}", u8::from(identity.kind()), identity).to_ascii_lowercase()
}
