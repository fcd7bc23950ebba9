//! `hosts`: addresses that belong to one identity.
use policy::{Identity, PoolConfig, PoolHost};
use std::net::IpAddr;

/// What is wrong with an entry, and what to do.
pub(super) type Wrong = (String, Option<String>);

/// Adds `identity=address` to a pool. The last `=` divides, so a distinguished name may stand there; since a comma
/// ends the entry, it is written with slashes (`/C=CH/O=Cygnet/CN=moon=10.1.0.9`).
pub(super) fn add(pool: &mut PoolConfig, text: &str) -> Result<(), Wrong> {
    let plain = |message: String| (message, None);
    let slashes = "a distinguished name is written with slashes here: /C=CH/O=Cygnet/CN=moon=10.1.0.9";
    let form = || (format!("`{text}` is not identity=address"), Some(slashes.to_owned()));
    let (name, place) = text.rsplit_once('=').ok_or_else(form)?;
    let (name, place) = (name.trim(), place.trim());
    let (address, length) = match place.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (place, None),
    };
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let prefix = pool.range.prefix();
    if length.is_some_and(|length| length.parse() != Ok(prefix)) {
        return Err(plain(format!("`{place}`: this pool gives each client /{prefix}")));
    }
    let identity = Identity::parse(name).map_err(|e| plain(e.to_string()))?;
    if name.is_empty() || identity.is_pattern() {
        return Err(plain(format!("`{name}` stands for many; an address belongs to one identity")));
    }
    if name.contains('=') && !name.contains(':') && !matches!(identity, Identity::Dn { .. }) {
        return Err((format!("`{name}` is no distinguished name"), Some(slashes.to_owned())));
    }
    if !pool.range.same_family(address) {
        let has = if address.is_ipv4() { "IPv6" } else { "IPv4" };
        let message = format!("{address} is of another family than this pool, which is {has}");
        return Err((message, Some("reserve it in the connection's other pool".to_owned())));
    }
    if !pool.range.is_aligned(address) {
        return Err(plain(format!("{address} is not the first address of a prefix of {prefix} bits")));
    }
    if let Some(other) = pool.hosts.iter().find(|host| host.address == address) {
        return Err(plain(format!("{address} belongs to `{}` already", other.identity)));
    }
    if let Some(other) = pool.hosts.iter().find(|host| host.identity.same(&identity)) {
        let message =
            format!("`{name}` has {} already; a pool reserves one address for an identity", other.address);
        return Err(plain(message));
    }
    pool.hosts.push(PoolHost { identity, address });
    Ok(())
}
