//! The UDP sockets of IKE and of ESP in UDP.
//!
//! A socket knows on which of our addresses a datagram came in and can send from any of them, receives batches
//! joined by GRO, and sends segments cut by GSO. All calls are non-blocking: lanes wait with [`crate::wait`],
//! the daemon with [`AsyncUdpSocket`].

#![allow(unsafe_code, reason = "tokio registers descriptors that are promised to stay")]

use crate::message::{self, Batch, Outgoing};
use crate::{Attempt, Result, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::unix::AsyncFd;

/// What the kernel does with DF on v4, and with too big packets on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fragmentation {
    /// DF while the packet fits the known path MTU, fragments made here when it does not. IKE wants this.
    #[default]
    Local,
    /// Never DF: routers may fragment.
    Anywhere,
    /// Always DF, `EMSGSIZE` beyond the known path MTU.
    Never,
}

/// How a socket is opened.
#[derive(Debug, Clone, Default)]
pub struct UdpOptions {
    /// Wanted size of the receive buffer in bytes, 0 = the system's default.
    pub receive_buffer: usize,
    /// Wanted size of the send buffer in bytes, 0 = the system's default.
    pub send_buffer: usize,
    /// Mark of all packets sent, so that rules can keep them out of the tunnel's own routes.
    pub mark: Option<u32>,
    /// Several sockets share the port and the kernel spreads peers over them.
    pub share_port: bool,
    /// Fragmentation.
    pub fragmentation: Fragmentation,
    /// Default TOS byte of packets sent.
    pub tos: u8,
    /// Send and receive through this interface only.
    pub interface: Option<String>,
}

/// A bound UDP socket of one address family.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    /// The interface refused to cut segments once: cut them here.
    segments_refused: AtomicBool,
    bypass: bool,
}

impl UdpSocket {
    /// Binds `address`; port 0 lets the system choose. A v6 socket takes no v4 traffic.
    ///
    /// # Errors
    /// The port is taken, privilege is missing, or the family is not available.
    pub fn bind(address: SocketAddr, options: &UdpOptions) -> Result<Self> {
        Self::open(address, options).attempt(|| format!("binding UDP {address}"))
    }

    /// As [`Self::bind`] on every v4 address.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_v4(port: u16, options: &UdpOptions) -> Result<Self> {
        Self::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), options)
    }

    /// As [`Self::bind`] on every v6 address.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_v6(port: u16, options: &UdpOptions) -> Result<Self> {
        Self::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), options)
    }

    fn open(address: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let v6 = address.is_ipv6();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        socket.set_reuse_address(true)?;
        if options.share_port {
            socket.set_reuse_port(true)?;
        }
        if v6 {
            socket.set_only_v6(true)?;
            socket.set_recv_tclass_v6(true)?;
            sockopt::set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            socket.set_recv_tos_v4(true)?;
            sockopt::set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
        set_fragmentation(socket.as_fd(), v6, options.fragmentation)?;
        if options.tos != 0 {
            if v6 {
                socket.set_tclass_v6(options.tos.into())?;
            } else {
                socket.set_tos_v4(options.tos.into())?;
            }
        }
        if let Some(mark) = options.mark {
            socket.set_mark(mark)?;
        }
        if let Some(name) = &options.interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        set_buffers(&socket, options);
        if let Err(e) = sockopt::set_gro(socket.as_fd()) {
            tracing::debug!("UDP GRO is not available: {e}");
        }
        let bypass = match sockopt::bypass_xfrm(socket.as_fd(), v6) {
            Ok(()) => true,
            Err(e) => {
                tracing::debug!("no IPsec bypass policy on the socket: {e}");
                false
            }
        };
        socket.bind(&address.into())?;
        let local =
            socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("socket without address"))?;
        Ok(Self { socket, local, segments_refused: AtomicBool::new(false), bypass })
    }

    /// The bound address with its true port.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The kernel exempts this socket from its IPsec policies.
    #[must_use]
    pub const fn bypasses_policies(&self) -> bool {
        self.bypass
    }

    /// Lets the kernel take ESP in UDP (RFC 3948) from this socket; IKE, behind its marker, still comes to us.
    ///
    /// # Errors
    /// The kernel has no XFRM.
    pub fn take_esp(&self) -> Result<()> {
        sockopt::take_esp(self.socket.as_fd())
            .attempt(|| format!("letting the kernel take ESP in UDP from {}", self.local))
    }

    /// Datagrams the kernel dropped since nobody read them in time, since the socket was opened (it counts in 32 bits);
    /// 0 where it does not tell.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        sockopt::drops(self.socket.as_fd()).unwrap_or(0)
    }

    /// Changes what happens to too big packets.
    ///
    /// # Errors
    /// The system's.
    pub fn set_fragmentation(&self, fragmentation: Fragmentation) -> Result<()> {
        set_fragmentation(self.socket.as_fd(), self.local.is_ipv6(), fragmentation)
            .attempt(|| "setting path MTU discovery".to_owned())
    }

    /// Receives what is there without waiting.
    ///
    /// # Errors
    /// The system's, `WouldBlock` when there is nothing.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        message::receive(self.socket.as_fd(), batch)
    }

    /// Sends several as [`Self::send`] does one, at most [`message::TOGETHER`] by one call. Gives how many went; what did
    /// not is for [`Self::send`], which knows what to do.
    #[must_use]
    pub fn send_all(&self, all: &[Outgoing<'_>]) -> usize {
        if self.segments_refused.load(Ordering::Relaxed) {
            return 0;
        }
        message::send_all(self.socket.as_fd(), all).unwrap_or(0)
    }

    /// Sends one datagram or its segments without waiting. An interface that cannot cut segments is noticed, and
    /// segments go one by one from then on.
    ///
    /// # Errors
    /// The system's; with segments, the last error after every segment was tried.
    pub fn send(&self, out: &Outgoing<'_>) -> io::Result<()> {
        let Some(segment) = out.segment.map(usize::from).filter(|s| *s > 0 && *s < out.data.len()) else {
            return message::send(self.socket.as_fd(), &Outgoing { segment: None, ..*out });
        };
        if !self.segments_refused.load(Ordering::Relaxed) {
            match message::send(self.socket.as_fd(), out) {
                // The interface lacks checksum offload.
                Err(e) if e.raw_os_error() == Some(libc::EIO) => {
                    self.segments_refused.store(true, Ordering::Relaxed)
                }
                // The segment does not fit this path: the kernel must fragment each by itself.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE)) => {}
                result => return result,
            }
        }
        let mut result = Ok(());
        for data in out.data.chunks(segment) {
            if let Err(e) = message::send(self.socket.as_fd(), &Outgoing { segment: None, data, ..*out }) {
                result = Err(e);
            }
        }
        result
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn set_fragmentation(socket: BorrowedFd<'_>, v6: bool, fragmentation: Fragmentation) -> io::Result<()> {
    let value = match fragmentation {
        Fragmentation::Local => libc::IP_PMTUDISC_WANT,
        Fragmentation::Anywhere => libc::IP_PMTUDISC_DONT,
        Fragmentation::Never => libc::IP_PMTUDISC_DO,
    };
    if v6 {
        sockopt::set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    } else {
        sockopt::set_int(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    }
}

/// Buffers are wishes: the forcing options need CAP_NET_ADMIN, the others are cut to the system's limit.
fn set_buffers(socket: &Socket, options: &UdpOptions) {
    let wish = |size: usize, force: i32, plain: &dyn Fn(usize) -> io::Result<()>| {
        if size == 0 {
            return;
        }
        let forced = i32::try_from(size)
            .map_err(io::Error::other)
            .and_then(|size| sockopt::set_int(socket.as_fd(), libc::SOL_SOCKET, force, size));
        if forced.is_err()
            && let Err(e) = plain(size)
        {
            tracing::debug!("socket buffer of {size} bytes refused: {e}");
        }
    };
    wish(options.receive_buffer, libc::SO_RCVBUFFORCE, &|n| socket.set_recv_buffer_size(n));
    wish(options.send_buffer, libc::SO_SNDBUFFORCE, &|n| socket.set_send_buffer_size(n));
}

/// A [`UdpSocket`] for tokio tasks; the socket itself stays shared.
#[derive(Debug)]
pub struct AsyncUdpSocket {
    inner: AsyncFd<Arc<UdpSocket>>,
}

impl AsyncUdpSocket {
    /// Registers the socket with the running tokio runtime.
    ///
    /// # Errors
    /// The system's. Panics outside a runtime, as tokio does.
    pub fn new(socket: Arc<UdpSocket>) -> Result<Self> {
        // SAFETY: the socket owns its descriptor, nothing closes or exchanges it while the `Arc` lives.
        let inner = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from);
        Ok(Self { inner: inner.attempt(|| "registering a UDP socket".to_owned())? })
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Arc<UdpSocket> {
        self.inner.get_ref()
    }

    /// Waits for datagrams and receives them.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        loop {
            let mut ready = self.inner.readable().await?;
            if let Ok(result) = ready.try_io(|fd| fd.get_ref().receive(batch)) {
                return result;
            }
        }
    }

    /// Sends; waits while the queue is full.
    ///
    /// # Errors
    /// The system's.
    pub async fn send(&self, out: &Outgoing<'_>) -> io::Result<()> {
        loop {
            let mut ready = self.inner.writable().await?;
            if let Ok(result) = ready.try_io(|fd| fd.get_ref().send(out)) {
                return result;
            }
        }
    }
}

/// The path MTU towards one address as the kernel knows it: ICMP answers to whatever we sent there included.
#[derive(Debug)]
pub struct PathMtu {
    socket: Socket,
    remote: SocketAddr,
}

impl PathMtu {
    /// Watches the path to `remote`, with the mark of the sockets that send there.
    ///
    /// # Errors
    /// There is no route.
    pub fn to(remote: IpAddr, mark: Option<u32>) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let v6 = remote.is_ipv6();
            let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            if let Some(mark) = mark {
                socket.set_mark(mark)?;
            }
            let this = Self { socket, remote: SocketAddr::from((remote, 9)) };
            this.connect()?;
            Ok(this)
        };
        open().attempt(|| format!("watching the path to {remote}"))
    }

    /// Bytes of the biggest IP packet that fits, as known now.
    ///
    /// # Errors
    /// There is no route any more.
    pub fn get(&self) -> io::Result<u16> {
        // what was learnt since is noted beside the route; only a new look-up finds it
        self.connect()?;
        let value = if self.remote.is_ipv6() {
            sockopt::get_int(self.socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU)?
        } else {
            sockopt::get_int(self.socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU)?
        };
        Ok(u16::try_from(value.max(0)).unwrap_or(u16::MAX))
    }

    /// Connecting a UDP socket sends nothing.
    fn connect(&self) -> io::Result<()> {
        self.socket.connect(&self.remote.into())
    }
}
