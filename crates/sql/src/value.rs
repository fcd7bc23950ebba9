//! Addresses and identities as strongSwan stores them.
use crate::connection::Error;
use policy::Identity;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::iana::IdType;

/// An address as stored: 4 or 16 octets.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Reads a stored address.
///
/// # Errors
/// [`Error::Wrong`]: neither 4 nor 16 octets.
pub fn address(octets: &[u8]) -> Result<IpAddr, Error> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(octets)
        .map(|octets| Ipv6Addr::from(octets).into())
        .map_err(|_| Error::Wrong(format!("the database holds an address of {} octets", octets.len())))
}

/// Type and data of an identity, as in an ID payload.
#[must_use]
pub fn stored(identity: &Identity) -> (i64, Vec<u8>) {
    let (kind, data) = identity.to_wire();
    (i64::from(u8::from(kind)), data)
}

/// Reads a stored identity. What cannot be read is kept as it is.
#[must_use]
pub fn identity(kind: i64, data: &[u8]) -> Identity {
    let kind = IdType::from(u8::try_from(kind).unwrap_or_default());
    if kind == IdType::Any && data.is_empty() {
        return Identity::Any;
    }
    Identity::from_wire(kind, data).unwrap_or_else(|_| Identity::Other(kind, data.to_vec()))
}

/// The address after this one.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    plus(address, 1)
}

/// The address so many further on.
pub(crate) fn plus(address: IpAddr, more: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => u32::from(a).checked_add(more).map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(a) => u128::from(a).checked_add(more.into()).map(|n| Ipv6Addr::from(n).into()),
    }
}

/// How many addresses from `start` to `end`, both included. A whole IPv6 space counts one less.
#[must_use]
pub fn size(start: IpAddr, end: IpAddr) -> u128 {
    let (first, last) = match (start, end) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b))),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b)),
        _ => return 0,
    };
    last.checked_sub(first).map_or(0, |between| between.saturating_add(1))
}

/// Whole seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
