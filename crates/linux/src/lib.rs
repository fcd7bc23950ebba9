//! Wraps every system call and netlink message the suite needs in small safe types.
//!
//! What it does not do: decide. It sends what it is given, installs what is declared, and reports what happened.
//!
//! The walk: [`message`] (the two system calls packets travel by) → [`udp`], [`raw`], [`tun`], [`wait`], [`schedule`]
//! (what a lane thread holds) → [`burst`] (load for measurements) → [`broadcast`], [`packet`], [`multicast`] (what is said on a LAN) → [`netlink`] (links,
//! addresses, routes, rules and their events) → [`xfrm`] (the kernel's SAs and policies) → [`network`] and [`dns`]
//! (host state, declared and reconciled) → [`nft`] (firewall rules that some SAs need) → [`sysctl`], [`clock`], [`privilege`] → [`netns`] (namespaces for tests
//! and the demo).
//!
//! `unsafe` is denied here as everywhere, and allowed only in the files that cannot do without, each block with
//! its reason.

pub mod broadcast;
pub mod burst;
pub mod clock;
pub mod dns;
pub mod memory;
pub mod message;
pub mod multicast;
pub mod netlink;
pub mod netns;
pub mod network;
pub mod nft;
pub mod packet;
pub mod ping;
pub mod privilege;
pub mod process;
pub mod raw;
pub mod schedule;
mod sockopt;
pub mod sysctl;
pub mod tun;
pub mod udp;
pub mod wait;
pub mod xfrm;

use std::io;

/// What the system refused, and what we were doing.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    /// What was attempted, in words.
    pub what: String,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Joins what was attempted with the system's answer.
    pub fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { what: what.into(), source: source.into() }
    }

    /// The system's error number, if it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        netlink::errno(&self.source)
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was attempted to a system error.
pub(crate) trait Attempt<T> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for std::result::Result<T, E> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(what(), e))
    }
}
