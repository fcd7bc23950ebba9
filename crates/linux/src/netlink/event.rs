//! What changes in the kernel's tables, as a stream.
#![allow(unsafe_code, reason = "tokio registers descriptors that are promised to stay")]
use super::{Address, Link, Route, parse};
use crate::{Attempt, Result};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::{SockFilter, SockRef};
use std::collections::VecDeque;
use std::io;
use tokio::io::unix::AsyncFd;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An interface appeared or changed.
    Link(Link),
    /// An interface is gone.
    LinkGone(Link),
    /// An address appeared or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route appeared or changed.
    Route(Route),
    /// A route is gone.
    RouteGone(Route),
    /// Changes came faster than we read them: look at everything again.
    Lost,
}

/// Listens for changes in the network namespace of the thread that opened it.
pub struct Events {
    socket: AsyncFd<Socket>,
    ready: VecDeque<Change>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl Events {
    /// Starts listening, within a tokio runtime. Routes that the socket of number `own` ([`super::Netlink::port`])
    /// puts and removes are not told: the kernel drops the news before it wakes us.
    ///
    /// # Errors
    /// The system's.
    pub fn open(own: Option<u32>) -> Result<Self> {
        let open = || -> io::Result<AsyncFd<Socket>> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_non_blocking(true)?;
            if let Some(own) = own {
                SockRef::from(&socket).attach_filter(&all_but_routes_of(own))?;
            }
            socket.bind(&SocketAddr::new(0, GROUPS))?;
            let _ = socket.set_rx_buf_sz(1_048_576);
            // SAFETY: the netlink socket owns its descriptor, and nothing closes or exchanges it before the drop.
            unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
        };
        Ok(Self {
            socket: open().attempt(|| "listening for network changes".to_owned())?,
            ready: VecDeque::new(),
        })
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// The system's; the stream is then of no more use.
    pub async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let what = || "reading network changes".to_owned();
            let mut guard = self.socket.readable().await.attempt(what)?;
            let received = match guard.try_io(|socket| socket.get_ref().recv_from_full()) {
                Err(_would_block) => continue,
                Ok(Err(e)) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Change::Lost),
                Ok(result) => result.attempt(what)?.0,
            };
            let mut rest = received.as_slice();
            while !rest.is_empty() {
                // what this version cannot read is not ours to act on
                let Ok((message, len)) = parse::<RouteNetlinkMessage>(rest) else { break };
                rest = rest.get(len..).unwrap_or_default();
                if let NetlinkPayload::InnerMessage(message) = message.payload {
                    self.ready.extend(change(&message));
                }
            }
        }
    }
}

/// Classic BPF. Fields of a netlink header are in the machine's order, what the filter loads is not.
fn all_but_routes_of(port: u32) -> [SockFilter; 7] {
    let kind = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    [
        SockFilter::new(0x28, 0, 0, 4), // nlmsg_type
        SockFilter::new(0x15, 1, 0, kind(RTM_NEWROUTE)),
        SockFilter::new(0x15, 0, 2, kind(RTM_DELROUTE)),
        SockFilter::new(0x20, 0, 0, 12), // nlmsg_pid
        SockFilter::new(0x15, 1, 0, u32::from_be_bytes(port.to_ne_bytes())),
        SockFilter::new(0x06, 0, 0, u32::MAX),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}

fn change(message: &RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(m) => Some(Change::Link(Link::parse(m))),
        RouteNetlinkMessage::DelLink(m) => Some(Change::LinkGone(Link::parse(m))),
        RouteNetlinkMessage::NewAddress(m) => Address::parse(m).map(Change::Address),
        RouteNetlinkMessage::DelAddress(m) => Address::parse(m).map(Change::AddressGone),
        RouteNetlinkMessage::NewRoute(m) => Route::parse(m).map(Change::Route),
        RouteNetlinkMessage::DelRoute(m) => Route::parse(m).map(Change::RouteGone),
        _ => None,
    }
}
