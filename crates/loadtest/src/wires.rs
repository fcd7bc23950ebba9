//! The sockets of a lane: one for the IKE port, one for the NAT-T port, which IKE shares with ESP.
use crate::Error;
use ike::Datagram;
use linux::message::{Batch, Outgoing, SLOTS};
use linux::udp::{UdpOptions, UdpSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use wire::frame::{Frame, KEEPALIVE, with_marker};

/// Wanted buffers; without privileges the system gives less.
const BUFFER: usize = 8 << 20;
/// Room for whatever the kernel joins.
const LARGEST: usize = 65_535;
/// Batches taken from a socket before the lane looks after its other duties.
const BATCHES: usize = 16;

/// What came in.
pub(crate) enum Arrival<'a> {
    /// An IKE message.
    Ike(Datagram),
    /// An ESP packet in UDP.
    Esp(&'a mut [u8], SocketAddr),
}

/// Both sockets.
pub(crate) struct Wires {
    ike: UdpSocket,
    nat_t: UdpSocket,
    batch: Batch,
    /// Datagrams that the system did not take.
    pub(crate) unsent: u64,
}

impl Wires {
    /// Opens them, on ports that the system chooses.
    pub(crate) fn open(gateway: IpAddr) -> Result<Self, Error> {
        let any: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let options = UdpOptions { receive_buffer: BUFFER, send_buffer: BUFFER, ..UdpOptions::default() };
        let open = || UdpSocket::bind(SocketAddr::new(any, 0), &options);
        Ok(Self { ike: open()?, nat_t: open()?, batch: Batch::new(SLOTS, LARGEST), unsent: 0 })
    }

    /// Our two ports: IKE's, and the one with the non-ESP marker.
    pub(crate) fn ports(&self) -> (u16, u16) {
        (self.ike.local().port(), self.nat_t.local().port())
    }

    /// To wait for.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.ike.as_fd(), self.nat_t.as_fd()]
    }

    /// Sends an IKE message, never waiting: what the system does not take is lost as the network would lose it.
    pub(crate) fn send(&mut self, datagram: &Datagram) {
        let plain = datagram.local.port() == self.ike.local().port();
        let marked;
        let data = if plain || datagram.bytes.as_slice() == [KEEPALIVE] {
            datagram.bytes.as_slice()
        } else {
            marked = with_marker(&datagram.bytes);
            marked.as_slice()
        };
        let socket = if plain { &self.ike } else { &self.nat_t };
        let from = Some(datagram.local.ip());
        let tos = (datagram.dscp != 0).then(|| datagram.dscp.wrapping_shl(2));
        if socket.send(&Outgoing { from, tos, ..Outgoing::new(datagram.remote, data) }).is_err() {
            self.unsent = self.unsent.saturating_add(1);
        }
    }

    /// Sends ESP in UDP; false when the system did not take it.
    pub(crate) fn send_esp(&self, esp: &[u8], path: &esp::Path) -> bool {
        self.nat_t.send(&Outgoing { from: Some(path.local.ip()), ..Outgoing::new(path.remote, esp) }).is_ok()
    }

    /// Receives what is there, up to a bound, and hands each datagram over.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrival<'_>)) {
        for (socket, marked) in [(&self.ike, false), (&self.nat_t, true)] {
            let (any, port) = (socket.local().ip(), socket.local().port());
            for _ in 0..BATCHES {
                match socket.receive(&mut self.batch) {
                    Ok(n) if n > 0 => {}
                    // Errors of earlier sends come up here, too; the socket goes on.
                    _ => break,
                }
                for (meta, bytes) in self.batch.iter_mut() {
                    if meta.truncated {
                        continue;
                    }
                    let local = SocketAddr::new(meta.destination.unwrap_or(any), port);
                    for bytes in bytes.chunks_mut(meta.stride.max(1)) {
                        let ike = match (marked, Frame::parse(bytes)) {
                            (false, _) => bytes.to_vec(),
                            (true, Ok(Frame::Ike(message))) => message.to_vec(),
                            (true, Ok(Frame::Esp(_))) => {
                                take(Arrival::Esp(bytes, meta.source));
                                continue;
                            }
                            (true, Ok(Frame::Keepalive) | Err(_)) => continue,
                        };
                        take(Arrival::Ike(Datagram { local, remote: meta.source, bytes: ike, dscp: 0 }));
                    }
                }
            }
        }
    }
}
