//! rtnetlink, one question at a time.
//!
//! The socket blocks: the kernel answers these requests within the call, so that threads, tokio tasks and threads
//! that have just entered another namespace can use the same type. Events come through [`Events`], which waits on
//! tokio.

mod address;
mod event;
mod link;
mod lookup;
mod route;
mod rule;
mod talk;
mod tunnel;

pub use address::Address;
pub use event::{Change, Events};
pub use link::Link;
pub use lookup::{Decision, Outcome, Packet};
pub use route::{LOCAL, MAIN, Path, PathQuery, Route, RouteKind};
pub use rule::Rule;

use crate::{Attempt, Error, Result};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use std::io;
pub(crate) use talk::{Talk, errno, parse};
pub use tunnel::LinkKind;

/// A socket to the kernel's routing tables, in the network namespace of the thread that opened it.
pub struct Netlink(Talk);

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").field("sequence", &self.0.sequence()).finish_non_exhaustive()
    }
}

impl Netlink {
    /// Opens a socket in the thread's network namespace.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> Result<Self> {
        // strict checks let the kernel filter dumps by table and interface; an old one sends more, and we filter again
        Talk::open(NETLINK_ROUTE).map(Self).attempt(|| "opening a routing netlink socket".to_owned())
    }

    /// The number the kernel knows this socket by: what it changes is told to all with this number.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.0.port()
    }

    /// Changes something.
    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.call(message, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
    }

    /// Asks for one thing.
    fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
        Ok(self.call(message, NLM_F_REQUEST | NLM_F_ACK)?.into_iter().next())
    }

    /// Asks for all.
    fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.call(message, NLM_F_REQUEST | NLM_F_DUMP)
    }

    fn call(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.0.call(message, flags)
    }
}

/// Success, or one of `fine` error numbers: what should be there is there, or what should go is gone.
pub(crate) fn tolerate(result: Result<()>, fine: &[i32]) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.errno().is_some_and(|n| fine.contains(&n)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// An answer of a kind we did not ask for.
fn unexpected(what: &str) -> Error {
    Error::new(what, io::Error::from(io::ErrorKind::InvalidData))
}
