//! The plug point of the backends: whoever hands out virtual addresses is a [`Store`].
use crate::PoolStatus;
use policy::{Identity, VirtualIp};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// A result that may take a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a client wants of one store.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The pools to try, in order; only such as the store serves.
    pub pools: Vec<String>,
    /// Who asks: the authenticated identity (the EAP identity where there is one).
    pub identity: Identity,
    /// Addresses and prefixes asked for and not yet granted; an unspecified one means any of its family.
    pub requested: Vec<VirtualIp>,
    /// Attribute types asked for.
    pub attributes: Vec<ConfigAttribute>,
    /// The client's outer address.
    pub remote: SocketAddr,
    /// Name of the connection.
    pub connection: String,
    /// Unique id of the IKE_SA.
    pub ike_id: u32,
}

/// Where a granted address comes from; the log says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nobody had it, or whoever had it has lost it.
    New,
    /// The client had it before.
    Offline,
    /// The client has it already, by another IKE_SA.
    Online,
}

/// One address granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The pool it comes from.
    pub pool: String,
    /// The address; of a prefix, its first.
    pub address: IpAddr,
    /// Length of the prefix that is the client's: 32 or 128 for a single address.
    pub prefix: u8,
    /// Where it comes from.
    pub origin: Origin,
}

impl Grant {
    /// The address, or the prefix with it as its first.
    #[must_use]
    pub fn vip(&self) -> VirtualIp {
        VirtualIp::new(self.address, self.prefix).unwrap_or_else(|| self.address.into())
    }
}

/// Why a store gives nothing; for the operator's log, the client learns only that there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The pools are full, or have nothing for this client.
    #[error("{}", one_of(.0))]
    Exhausted(Vec<String>),
    /// What is behind the store does not answer or refuses: database, server.
    #[error("pool '{pool}': {why}")]
    Unavailable {
        /// The pool, or the backend's name.
        pool: String,
        /// What went wrong, and with whom.
        why: String,
    },
}

fn one_of(pools: &[String]) -> String {
    match pools {
        [one] => format!("pool '{one}' has no address left for this client"),
        many => format!("none of the pools '{}' has an address left for this client", many.join("', '")),
    }
}

/// Attributes, and the trouble there was in getting them.
pub type Attributes = Result<Vec<ConfigAttr>, Trouble>;

/// A lease as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The address; of a prefix, its first.
    pub address: IpAddr,
    /// Length of the prefix that is the client's: 32 or 128 for a single address.
    pub prefix: u8,
    /// Who holds it, or held it last.
    pub identity: Identity,
    /// It is in use.
    pub online: bool,
    /// Since when it is in use, or since when not (Unix seconds), where the store knows.
    pub since: Option<u64>,
    /// When it ends for good (Unix seconds), where it does.
    pub expires: Option<u64>,
}

impl From<crate::LeaseView<'_>> for LeaseRow {
    fn from(lease: crate::LeaseView<'_>) -> Self {
        let crate::LeaseView { address, prefix, identity, online, since, expires } = lease;
        Self { address, prefix, identity: identity.clone(), online, since: Some(since), expires }
    }
}

/// As many leases as a store lists at once that does not find its place ([`Store::leases_after`]).
const MANY: usize = 1 << 20;

/// A backend of pools.
///
/// Every call may be made at any time and from several tasks at once. None may wait without a bound, and what one
/// client's request costs must not stop those of others. A future that is dropped must leave no lease behind that
/// nobody will release.
pub trait Store: Send + Sync {
    /// Name of the strongSwan plugin whose place it takes: `vici`, `attr-sql`, `dhcp`, `eap-radius`, …
    fn plugin(&self) -> &'static str;

    /// Whether this pool is one of its own.
    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool>;

    /// The names of its pools are its own, whatever is configured (`dhcp`): it is asked whether it serves a pool
    /// before those that have to look.
    fn has_fixed_names(&self) -> bool {
        false
    }

    /// Leases at once, for stores that need not wait. `None`: ask [`Store::lease`].
    fn lease_now(&self, wanted: &Wanted) -> Option<Result<Vec<Grant>, Trouble>> {
        let _ = wanted;
        None
    }

    /// Leases as many of the addresses asked for as it can, in the order of the request.
    ///
    /// # Errors
    /// [`Trouble`] when it has none at all.
    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>>;

    /// Pools of other stores that are asked for this client after this one, whatever its connection lists.
    fn also<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Vec<String>> {
        let _ = wanted;
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Attributes for a client that was granted these addresses, by this store or by others.
    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes>;

    /// It has attributes for every client, also for those whose addresses come from elsewhere alone: they are asked for
    /// with no pools in [`Wanted`].
    fn for_everyone(&self) -> bool {
        false
    }

    /// Gives an address back; `false` when this identity does not hold it here.
    fn release<'a>(&'a self, pools: &'a [String], identity: &'a Identity, address: IpAddr)
    -> Later<'a, bool>;

    /// It says in the log itself which addresses it leases, in its plugin's words.
    fn tells(&self) -> bool {
        false
    }

    /// Its pools, ordered by name; none where the addresses are somebody else's to count.
    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The leases of one pool in order of address, at most `limit`.
    fn leases<'a>(&'a self, pool: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>>;

    /// One page of such a list: at most `limit` leases of addresses above `after`. Stores that can have many leases
    /// find their place; this goes through all of them.
    fn leases_after<'a>(
        &'a self,
        pool: &'a str,
        after: IpAddr,
        limit: usize,
    ) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(async move {
            let mut rows = self.leases(pool, MANY).await?;
            rows.retain(|row| row.address > after);
            rows.truncate(limit);
            Ok(rows)
        })
    }
}
