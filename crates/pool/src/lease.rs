//! What is listed and saved about leases.
use policy::Identity;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Counts of one pool, as `get-pools` reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Name of the pool.
    pub name: String,
    /// First address it serves.
    pub base: IpAddr,
    /// Addresses in the pool, as strongSwan counts them (at most 2³¹).
    pub size: u32,
    /// Addresses in use.
    pub online: usize,
    /// Addresses not in use that are kept for who had them.
    pub offline: usize,
}

/// One lease, seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView<'a> {
    /// The address; of a prefix, its first.
    pub address: IpAddr,
    /// Length of the prefix that is the client's: 32 or 128 for a single address.
    pub prefix: u8,
    /// Who holds it, or held it last.
    pub identity: &'a Identity,
    /// It is in use.
    pub online: bool,
    /// Since when it is in use, or since when not (Unix seconds).
    pub since: u64,
    /// When it ends unless its owner comes back before (Unix seconds).
    pub expires: Option<u64>,
}

/// One lease as saved across a restart or sent to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLease {
    /// Name of the pool.
    pub pool: String,
    /// The address; of a prefix, its first.
    pub address: IpAddr,
    /// Who holds it, or held it last.
    pub identity: Identity,
    /// IKE_SAs using it; 0 = offline.
    pub holds: u32,
    /// Since when it is in use, or since when not (Unix seconds).
    pub since: u64,
}

/// What a journal has to know: an address and whose it is from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the pool.
    pub pool: String,
    /// The address; of a prefix, its first.
    pub address: IpAddr,
    /// Whose it is; `None`: nobody's.
    pub owned: Option<Owned>,
    /// It is this identity's from now on and was not before.
    pub claim: bool,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Who holds it, or held it last.
    pub identity: Identity,
    /// It is in use.
    pub online: bool,
    /// Since when it is in use, or since when not (Unix seconds).
    pub since: u64,
}
