//! Packet sockets: what a LAN says to others than us, as far as a filter in the kernel lets it through.
//!
//! The filter is in place before the first packet: nothing but the named kind of traffic ever wakes us.
#![allow(
    unsafe_code,
    reason = "addresses of the link layer, and tokio registers descriptors that are promised to stay"
)]

use crate::{Attempt, Result};
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use tokio::io::unix::AsyncFd;

/// The kinds of traffic that can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Answers of DHCPv4 servers to clients and relay agents, as IPv4 packets.
    DhcpReplies,
    /// ARP requests.
    ArpRequests,
    /// Neighbour solicitations, as IPv6 packets.
    Solicitations,
}

/// Classic BPF, by the names of its instructions.
mod bpf {
    use socket2::SockFilter;

    pub(super) const fn load_byte(at: u32) -> SockFilter {
        SockFilter::new(0x30, 0, 0, at)
    }
    pub(super) const fn load_half(at: u32) -> SockFilter {
        SockFilter::new(0x28, 0, 0, at)
    }
    /// From X + `at`.
    pub(super) const fn load_byte_x(at: u32) -> SockFilter {
        SockFilter::new(0x50, 0, 0, at)
    }
    /// From X + `at`.
    pub(super) const fn load_half_x(at: u32) -> SockFilter {
        SockFilter::new(0x48, 0, 0, at)
    }
    /// X becomes the length of the IPv4 header that begins at `at`.
    pub(super) const fn header_length(at: u32) -> SockFilter {
        SockFilter::new(0xb1, 0, 0, at)
    }
    /// Goes on when equal, else skips `otherwise`.
    pub(super) const fn equal(value: u32, otherwise: u8) -> SockFilter {
        SockFilter::new(0x15, 0, otherwise, value)
    }
    /// Skips `then` when equal.
    pub(super) const fn skip_equal(value: u32, then: u8) -> SockFilter {
        SockFilter::new(0x15, then, 0, value)
    }
    /// Goes on when no bit is set, else skips `otherwise`.
    pub(super) const fn no_bits(mask: u32, otherwise: u8) -> SockFilter {
        SockFilter::new(0x45, otherwise, 0, mask)
    }
    /// So many bytes of the packet; 0 drops it.
    pub(super) const fn take(bytes: u32) -> SockFilter {
        SockFilter::new(0x06, 0, 0, bytes)
    }
}

impl Traffic {
    /// EtherType.
    const fn protocol(self) -> u16 {
        match self {
            Self::DhcpReplies => 0x0800,
            Self::ArpRequests => 0x0806,
            Self::Solicitations => 0x86dd,
        }
    }

    /// What passes; offsets are from the beginning of what follows the Ethernet header.
    fn filter(self) -> Vec<SockFilter> {
        use bpf::*;
        match self {
            // UDP, not a later fragment, from port 67 to port 67 or 68, BOOTREPLY.
            Self::DhcpReplies => vec![
                load_byte(9),
                equal(17, 11),
                load_half(6),
                no_bits(0x1fff, 9),
                header_length(0),
                load_half_x(0),
                equal(67, 6),
                load_half_x(2),
                skip_equal(68, 1),
                equal(67, 3),
                load_byte_x(8),
                equal(2, 1),
                take(0xffff),
                take(0),
            ],
            Self::ArpRequests => vec![load_half(6), equal(1, 1), take(64), take(0)],
            // ICMPv6 right after the header, type 135, hop limit 255: from this very link.
            Self::Solicitations => vec![
                load_byte(6),
                equal(58, 5),
                load_byte(7),
                equal(255, 3),
                load_byte(40),
                equal(135, 1),
                take(512),
                take(0),
            ],
        }
    }
}

/// A packet that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Index of the interface.
    pub interface: u32,
    /// Ethernet address of who sent it.
    pub source: [u8; 6],
    /// Its bytes in the buffer.
    pub length: usize,
}

/// A packet socket for one kind of traffic.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    traffic: Traffic,
}

impl PacketSocket {
    /// Listens on one interface, or on all of them.
    ///
    /// # Errors
    /// Without CAP_NET_RAW; no such interface.
    pub fn open(traffic: Traffic, interface: Option<u32>) -> Result<Self> {
        let open = || -> io::Result<Self> {
            // Protocol 0 receives nothing until it is bound, with the filter in place.
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
            socket.set_cloexec(true)?;
            socket.set_nonblocking(true)?;
            socket.attach_filter(&traffic.filter())?;
            socket.bind(&link_address(traffic.protocol(), interface.unwrap_or(0), [0; 6])?)?;
            Ok(Self { socket, traffic })
        };
        open().attempt(|| format!("opening a packet socket for {traffic:?}"))
    }

    /// Receives without waiting.
    ///
    /// # Errors
    /// The system's, `WouldBlock` when there is nothing.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer)?;
            let Some(from) = from else { continue };
            // What we send, and what a card in promiscuous mode hears, is not for us.
            if !matches!(from.pkttype(), libc::PACKET_HOST | libc::PACKET_BROADCAST | libc::PACKET_MULTICAST)
            {
                continue;
            }
            let (Ok(interface), Some(source)) = (u32::try_from(from.ifindex()), from.addr()) else {
                continue;
            };
            return Ok(Received { interface, source, length });
        }
    }

    /// Sends a packet of the socket's protocol; the kernel writes the Ethernet header. Never waits.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, interface: u32, to: [u8; 6], packet: &[u8]) -> io::Result<()> {
        let to = link_address(self.traffic.protocol(), interface, to)?;
        self.socket.send_to(packet, &to).map(|_| ())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// `struct sockaddr_ll`.
fn link_address(protocol: u16, interface: u32, hardware: [u8; 6]) -> io::Result<SockAddr> {
    let interface = i32::try_from(interface).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is plain data that fits into the zeroed storage, and all zeroes are a valid value of it.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    link.sll_protocol = protocol.to_be();
    link.sll_ifindex = interface;
    link.sll_halen = 6;
    for (to, from) in link.sll_addr.iter_mut().zip(hardware) {
        *to = from;
    }
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the storage holds an initialised sockaddr_ll of this length.
    Ok(unsafe { SockAddr::new(storage, length) })
}

/// A [`PacketSocket`] for tokio tasks.
#[derive(Debug)]
pub struct AsyncPacketSocket {
    inner: AsyncFd<PacketSocket>,
}

impl AsyncPacketSocket {
    /// Registers the socket with the running tokio runtime.
    ///
    /// # Errors
    /// The system's. Panics outside a runtime, as tokio does.
    pub fn new(socket: PacketSocket) -> Result<Self> {
        // SAFETY: the socket owns its descriptor, and nothing closes or exchanges it before the drop.
        let inner = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from);
        Ok(Self { inner: inner.attempt(|| "registering a packet socket".to_owned())? })
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &PacketSocket {
        self.inner.get_ref()
    }

    /// Waits for a packet.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut ready = self.inner.readable().await?;
            if let Ok(result) = ready.try_io(|fd| fd.get_ref().receive(buffer)) {
                return result;
            }
        }
    }
}
