//! Kernel settings under `/proc/sys/net`, of the calling thread's network namespace.

use crate::{Attempt, Result};
use std::fs;
use std::path::PathBuf;

/// Reads a setting given with slashes, like `net/ipv4/ip_forward`.
///
/// # Errors
/// There is no such setting.
pub fn read(key: &str) -> Result<String> {
    fs::read_to_string(path(key)).map(|v| v.trim().to_owned()).attempt(|| format!("reading {key}"))
}

/// Writes a setting.
///
/// # Errors
/// No such setting, no privilege, or a value it does not take.
pub fn write(key: &str, value: &str) -> Result<()> {
    fs::write(path(key), value).attempt(|| format!("setting {key} to {value}"))
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key.trim_start_matches('/'))
}

/// Packets are forwarded between interfaces.
///
/// # Errors
/// The system's.
pub fn forwarding(v6: bool) -> Result<bool> {
    read(forwarding_key(v6)).map(|v| v != "0")
}

/// Turns forwarding between interfaces on or off.
///
/// # Errors
/// No privilege.
pub fn set_forwarding(v6: bool, on: bool) -> Result<()> {
    write(forwarding_key(v6), if on { "1" } else { "0" })
}

const fn forwarding_key(v6: bool) -> &'static str {
    if v6 { "net/ipv6/conf/all/forwarding" } else { "net/ipv4/ip_forward" }
}

/// The reverse path filter that holds for an interface: 0 off, 1 strict, 2 loose. The kernel takes the greater of
/// the interface's and the one for all. A strict filter drops what a tunnel delivers for networks that the main
/// table knows elsewhere.
///
/// # Errors
/// No such interface.
pub fn reverse_path_filter(interface: &str) -> Result<u8> {
    let all = read("net/ipv4/conf/all/rp_filter")?;
    let own = read(&format!("net/ipv4/conf/{interface}/rp_filter"))?;
    let parse = |v: &str| v.parse::<u8>().unwrap_or(0);
    Ok(parse(&all).max(parse(&own)))
}

/// Sets an interface's own reverse path filter.
///
/// # Errors
/// No such interface or no privilege.
pub fn set_reverse_path_filter(interface: &str, value: u8) -> Result<()> {
    write(&format!("net/ipv4/conf/{interface}/rp_filter"), &value.to_string())
}
