//! What is listed and saved about leases.
use policy::Identity;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Counts of one pool, as `get-pools` reports them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Name of the pool.
    pub name: String,
    /// Address the configuration begins with.
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
    /// The address.
    pub address: IpAddr,
    /// Who holds it, or held it last.
    pub identity: &'a Identity,
    /// It is in use.
    pub online: bool,
}

/// One lease as saved across a restart or sent to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLease {
    /// Name of the pool.
    pub pool: String,
    /// The address.
    pub address: IpAddr,
    /// Who holds it, or held it last.
    pub identity: Identity,
    /// IKE_SAs using it; 0 = offline.
    pub holds: u32,
}
