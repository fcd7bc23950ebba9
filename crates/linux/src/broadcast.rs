//! UDP sockets that may broadcast: a client's or relay agent's of DHCP.

use crate::{Attempt, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

fn open(interface: Option<&str>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

/// Opens an IPv4 socket on a port of every address of ours, non-blocking, that speaks and hears through this interface
/// only, where one is named. `shared`: other programs may have the port as well; what is broadcast reaches all of them.
///
/// # Errors
/// The port is taken, there is no such interface, or no privilege.
pub fn socket(port: u16, interface: Option<&str>, shared: bool) -> Result<UdpSocket> {
    let open = || -> io::Result<UdpSocket> {
        let socket = open(interface)?;
        socket.set_reuse_address(shared)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
        Ok(socket.into())
    };
    open().attempt(|| match interface {
        Some(name) => format!("opening UDP port {port} on interface {name}"),
        None => format!("opening UDP port {port}"),
    })
}

/// The address of ours that packets to a host or broadcast address have. Nothing is sent.
///
/// # Errors
/// There is no route to it, or no such interface.
pub fn source_towards(address: Ipv4Addr, interface: Option<&str>) -> Result<Ipv4Addr> {
    let find = || -> io::Result<Ipv4Addr> {
        let socket = open(interface)?;
        socket.connect(&SockAddr::from(SocketAddrV4::new(address, 9)))?;
        match socket.local_addr()?.as_socket().map(|local: SocketAddr| local.ip()) {
            Some(IpAddr::V4(local)) => Ok(local),
            _ => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        }
    };
    find().attempt(|| format!("looking for the way to {address}"))
}
