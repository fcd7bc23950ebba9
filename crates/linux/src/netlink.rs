//! rtnetlink, one question at a time.
//!
//! The socket blocks: the kernel answers these requests within the call, so that threads, tokio tasks and threads
//! that have just entered another namespace can use the same type. Events come through [`Events`], which waits on
//! tokio.

mod address;
mod event;
mod link;
mod route;
mod rule;

pub use address::Address;
pub use event::{Change, Events};
pub use link::Link;
pub(crate) use route::{LOCAL, MAIN};
pub use route::{Path, PathQuery, Route, RouteKind};
pub use rule::Rule;

use crate::{Attempt, Error, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// A socket to the kernel's routing tables, in the network namespace of the thread that opened it.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Netlink {
    /// Opens a socket in the thread's network namespace.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> Result<Self> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // lets the kernel filter dumps by table and interface; an old kernel sends more, and we filter again
            let _ = socket.set_netlink_get_strict_chk(true);
            Ok(socket)
        };
        Ok(Self { socket: open().attempt(|| "opening a routing netlink socket".to_owned())?, sequence: 0 })
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

    /// Sends and collects until the acknowledgement, the end of the dump or an error.
    fn call(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0u8; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut all = Vec::new();
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            let mut rest = received.as_slice();
            while !rest.is_empty() {
                let (message, len) = parse(rest)?;
                rest = rest.get(len..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue; // an answer to a question that was given up
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(all),
                    NetlinkPayload::Error(e) => {
                        return match e.code {
                            None => Ok(all),
                            Some(code) => Err(io::Error::from_raw_os_error(code.get().saturating_neg())),
                        };
                    }
                    NetlinkPayload::InnerMessage(inner) => all.push(inner),
                    NetlinkPayload::Overrun(_) => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
                    _ => {}
                }
            }
        }
    }
}

/// One message off the front, and its padded length.
fn parse(bytes: &[u8]) -> io::Result<(NetlinkMessage<RouteNetlinkMessage>, usize)> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
    let len = usize::try_from(message.header.length).map_err(io::Error::other)?;
    Ok((message, len.next_multiple_of(4).max(16)))
}

/// Success, or one of `fine` error numbers: what should be there is there, or what should go is gone.
fn tolerate(result: Result<()>, fine: &[i32]) -> Result<bool> {
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
