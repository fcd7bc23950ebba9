//! What the kernel says by itself: a packet needs an SA, an SA is used up, a peer's address behind a NAT changed.
use super::address;
use super::policy::Selector;
use crate::netlink::parse;
use crate::{Attempt, Result};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_xfrm::{XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING, XfrmAttrs, XfrmMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_XFRM;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use zeroize::Zeroizing;

/// The kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XfrmEvent {
    /// A packet met a policy whose SA is not there.
    Acquire {
        /// reqid that the policy wants.
        reqid: u32,
        /// The packet: addresses as single hosts, ports where it has some.
        packet: Selector,
    },
    /// A limit of an SA was reached.
    Expire {
        /// Its outer destination.
        destination: IpAddr,
        /// Its SPI.
        spi: u32,
        /// The kernel has removed it.
        hard: bool,
    },
    /// Packets on an inbound SA come from another address or port.
    Mapping {
        /// Its outer destination.
        destination: IpAddr,
        /// Its SPI.
        spi: u32,
        /// Where they came from.
        remote: SocketAddr,
    },
    /// Some were lost: more came than we read.
    Lost,
}

/// Listens in the network namespace of the thread that opened it. Reading never waits.
pub struct XfrmEvents {
    socket: Socket,
    ready: VecDeque<XfrmEvent>,
}

impl std::fmt::Debug for XfrmEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XfrmEvents").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl XfrmEvents {
    /// Starts listening. The kernel makes an SA request of a packet only while somebody listens.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> Result<Self> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_XFRM)?;
            socket.set_non_blocking(true)?;
            socket.bind_auto()?;
            for group in [XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING] {
                socket.add_membership(group)?;
            }
            let _ = socket.set_rx_buf_sz(1_048_576);
            Ok(socket)
        };
        Ok(Self { socket: open().attempt(|| "listening to XFRM".to_owned())?, ready: VecDeque::new() })
    }

    /// The next event that is there, if any.
    ///
    /// # Errors
    /// The system's; the stream is then of no more use.
    pub fn poll(&mut self) -> Result<Option<XfrmEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            // An expire message has no keys, but wiping costs nothing.
            let received = match self.socket.recv_from_full() {
                Ok((bytes, _)) => Zeroizing::new(bytes),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Some(XfrmEvent::Lost)),
                Err(e) => return Err(e).attempt(|| "reading what XFRM says".to_owned()),
            };
            let mut rest = received.as_slice();
            while !rest.is_empty() {
                let Ok((message, len)) = parse::<XfrmMessage>(rest) else { break };
                rest = rest.get(len..).unwrap_or_default();
                if let NetlinkPayload::InnerMessage(message) = message.payload {
                    self.ready.extend(event(&message));
                }
            }
        }
    }
}

impl AsFd for XfrmEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn event(message: &XfrmMessage) -> Option<XfrmEvent> {
    match message {
        XfrmMessage::Acquire(m) => {
            let reqid = m.nlas.iter().find_map(|attribute| match attribute {
                XfrmAttrs::Template(templates) => templates.first().map(|t| t.reqid),
                _ => None,
            })?;
            Some(XfrmEvent::Acquire { reqid, packet: Selector::parse(&m.acquire.selector)? })
        }
        XfrmMessage::Expire(m) => Some(XfrmEvent::Expire {
            destination: address(&m.expire.state.id.daddr, m.expire.state.family),
            spi: m.expire.state.id.spi,
            hard: m.expire.hard != 0,
        }),
        XfrmMessage::Mapping(m) => {
            let remote = address(&m.map.new_saddr, m.map.id.family);
            Some(XfrmEvent::Mapping {
                destination: address(&m.map.id.daddr, m.map.id.family),
                spi: m.map.id.spi,
                remote: SocketAddr::new(remote, m.map.new_sport),
            })
        }
        _ => None,
    }
}
