//! Decides which virtual address and attributes belong to whom.
//!
//! Pools live in memory. Whoever comes back gets the address it had; addresses are handed out fresh as long as
//! there are any; after that the one that has been offline longest changes its owner. Memory follows the leases,
//! never the size of the range: an IPv6 /64 costs what a single address costs.
//!
//! The walk: [`Pools`] (the set: load, lease, release, list) → [`memory`] (one pool) → `table` (its leases and their
//! indexes) and `reserved` (addresses with one owner) → [`lease`] (what is listed and saved). [`Store`] is what all
//! backends have in common: these pools, databases, DHCP, RADIUS; `model` is the test of its promises. A pool's
//! configuration is [`policy::PoolConfig`].

pub mod filter;
pub mod lease;
pub mod memory;
#[cfg(feature = "model")]
pub mod model;
pub mod pools;
mod reserved;
mod slab;
pub mod store;
mod table;

pub use filter::LeaseFilter;
pub use lease::{Change, LeaseView, Owned, PoolStatus, SavedLease};
pub use memory::{Pool, REMEMBERED};
pub use pools::{Granted, PoolError, Pools};
pub use store::{Attributes, Grant, Later, LeaseRow, Origin, Store, Trouble, Wanted};
