//! Raw sockets for ESP without UDP (IP protocol 50).
//!
//! The kernel writes the outer header. On v4 it hands it over with what it receives, on v6 it does not:
//! [`RawSocket::payload`] hides the difference.

use crate::message::{self, Batch, Outgoing};
use crate::udp::Fragmentation;
use crate::{Attempt, Result, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// IP protocol number of ESP.
pub const ESP: u8 = 50;

/// A raw socket of one family and protocol.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    v6: bool,
}

impl RawSocket {
    /// Opens a raw ESP socket, `v6` or v4, with the mark of everything it sends.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn esp(v6: bool, mark: Option<u32>, buffer: usize) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(ESP))))?;
            socket.set_nonblocking(true)?;
            socket.set_cloexec(true)?;
            if v6 {
                socket.set_recv_tclass_v6(true)?;
                sockopt::set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                sockopt::set_int(
                    socket.as_fd(),
                    libc::IPPROTO_IPV6,
                    libc::IPV6_MTU_DISCOVER,
                    libc::IP_PMTUDISC_WANT,
                )?;
            } else {
                socket.set_recv_tos_v4(true)?;
                sockopt::set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
                sockopt::set_int(
                    socket.as_fd(),
                    libc::IPPROTO_IP,
                    libc::IP_MTU_DISCOVER,
                    libc::IP_PMTUDISC_WANT,
                )?;
            }
            if let Some(mark) = mark {
                socket.set_mark(mark)?;
            }
            if let Ok(size) = i32::try_from(buffer)
                && size > 0
                && sockopt::set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size).is_err()
            {
                socket.set_recv_buffer_size(buffer)?;
            }
            if let Err(e) = sockopt::bypass_xfrm(socket.as_fd(), v6) {
                tracing::debug!("no IPsec bypass policy on the raw socket: {e}");
            }
            Ok(Self { socket, v6 })
        };
        open().attempt(|| format!("opening a raw IPv{} socket for ESP", if v6 { 6 } else { 4 }))
    }

    /// Changes what happens to too big packets.
    ///
    /// # Errors
    /// The system's.
    pub fn set_fragmentation(&self, fragmentation: Fragmentation) -> Result<()> {
        let value = match fragmentation {
            Fragmentation::Local => libc::IP_PMTUDISC_WANT,
            Fragmentation::Anywhere => libc::IP_PMTUDISC_DONT,
            Fragmentation::Never => libc::IP_PMTUDISC_DO,
        };
        let (level, option) = if self.v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
        } else {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
        };
        sockopt::set_int(self.socket.as_fd(), level, option, value)
            .attempt(|| "setting path MTU discovery".to_owned())
    }

    /// A v6 socket.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.v6
    }

    /// Receives what is there without waiting.
    ///
    /// # Errors
    /// The system's, `WouldBlock` when there is nothing.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        message::receive(self.socket.as_fd(), batch)
    }

    /// Sends one packet (or, cut here, its segments), without waiting.
    ///
    /// # Errors
    /// The system's; with segments, the last error after every segment was tried.
    pub fn send(&self, out: &Outgoing<'_>) -> io::Result<()> {
        // a raw v6 socket takes the port for a protocol number
        let mut to = out.to;
        to.set_port(0);
        let step = out.segment.map_or(out.data.len(), usize::from).max(1);
        let mut result = Ok(());
        for data in out.data.chunks(step) {
            if let Err(e) = message::send(self.socket.as_fd(), &Outgoing { to, segment: None, data, ..*out })
            {
                result = Err(e);
            }
        }
        result
    }

    /// What follows the IP header in a received buffer. `None` if a v4 header does not fit.
    #[must_use]
    pub fn payload<'a>(&self, received: &'a mut [u8]) -> Option<&'a mut [u8]> {
        if self.v6 {
            return Some(received);
        }
        let header = usize::from(received.first()? & 0x0f) * 4;
        if header < 20 {
            return None;
        }
        received.get_mut(header..)
    }

    /// The peer as an address with port 0.
    #[must_use]
    pub fn peer(source: SocketAddr) -> SocketAddr {
        SocketAddr::new(source.ip(), 0)
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
