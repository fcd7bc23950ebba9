//! Virtual IP pools as configured (`pools.<name>`).
use crate::Identity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use wire::iana::ConfigAttribute;

mod range;

pub use range::{PoolRange, PoolRangeError};

/// A pool of virtual IPs and the attributes its clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// Section name; what `connections.<conn>.pools` refers to.
    pub name: String,
    /// `addrs` and `prefix`.
    pub range: PoolRange,
    /// Attributes in configured order.
    pub attributes: Vec<PoolAttribute>,
    /// `hosts`: addresses that belong to one identity.
    pub hosts: Vec<PoolHost>,
    /// `timeout`: seconds that an offline lease is kept at most; `None`: as long as there is room.
    pub timeout: Option<u64>,
}

impl PoolConfig {
    /// A pool of these addresses and nothing more.
    #[must_use]
    pub fn new(name: &str, range: PoolRange) -> Self {
        Self { name: name.to_owned(), range, attributes: Vec::new(), hosts: Vec::new(), timeout: None }
    }

    /// The first stretch of addresses that both pools have, in their ranges or among their hosts.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<PoolOverlap> {
        let overlap =
            |(from, to)| PoolOverlap { first: self.name.clone(), second: other.name.clone(), from, to };
        let theirs: Vec<(IpAddr, IpAddr)> = other.stretches().collect();
        let common =
            self.stretches().flat_map(|mine| theirs.iter().filter_map(move |other| common(mine, *other)));
        common.map(overlap).next()
    }

    /// First and last address of all there is.
    fn stretches(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let range = self.range.last().map(|last| (self.range.first(), last));
        let outside = self.hosts.iter().filter(|host| self.range.offset(host.address).is_none());
        range.into_iter().chain(outside.map(|host| (host.address, self.range.end_of(host.address))))
    }
}

fn common(a: (IpAddr, IpAddr), b: (IpAddr, IpAddr)) -> Option<(IpAddr, IpAddr)> {
    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
    (a.0.is_ipv4() == b.0.is_ipv4() && from <= to).then_some((from, to))
}

/// Two pools with common addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOverlap {
    /// One pool.
    pub first: String,
    /// The other.
    pub second: String,
    /// First address of both.
    pub from: IpAddr,
    /// Last one.
    pub to: IpAddr,
}

impl fmt::Display for PoolOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second, from, to } = self;
        write!(f, "pools '{first}' and '{second}' both have {from}")?;
        if from == to { Ok(()) } else { write!(f, " - {to}") }
    }
}

/// An address that belongs to one identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolHost {
    /// Its owner; no pattern.
    pub identity: Identity,
    /// The address; of a prefix, its first.
    pub address: IpAddr,
}

/// One configuration attribute of a pool, encoded as in the configuration payload (RFC 7296 3.15.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolAttribute {
    /// Attribute type.
    pub kind: ConfigAttribute,
    /// Value bytes.
    pub value: Vec<u8>,
}
