//! Many single datagrams per system call, for load generators: what `iperf3 -u` does with one call each.
//!
//! Nothing is joined or cut (no GSO, no GRO): each datagram crosses the network stack by itself, so that a receiver
//! counts what a tunnel carried one by one.

use crate::{Attempt, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// Datagrams per call at most.
pub const MOST: usize = 32;
/// Wanted size of a socket's buffers in bytes: a receiver must not lose what a tunnel delivered.
const BUFFER: usize = 8 << 20;

/// Sends one datagram over and over.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    payload: Vec<u8>,
    headers: Headers,
    nowhere: Vec<Option<SockaddrStorage>>,
}

/// Counts datagrams.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    memory: Vec<u8>,
    headers: Headers,
}

struct Headers(MultiHeaders<SockaddrStorage>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Headers")
    }
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
}

impl Sender {
    /// Connects to a receiver; the socket belongs to the namespace of the calling thread. `payload` bytes each, at
    /// most 65,507.
    ///
    /// # Errors
    /// There is no route, or no socket to be had.
    pub fn open(to: SocketAddr, payload: usize) -> Result<Self> {
        let what = || format!("opening a socket towards {to}");
        let socket = socket(to).attempt(what)?;
        socket.connect(&to.into()).attempt(what)?;
        Ok(Self {
            socket,
            payload: vec![0x5a; payload.min(65_507)],
            headers: Headers(MultiHeaders::preallocate(MOST, None)),
            nowhere: vec![None; MOST],
        })
    }

    /// Sends `count` datagrams (at most [`MOST`]); waits while the socket's buffer is full. How many went: fewer where
    /// the kernel stopped in between, 0 where it refused the first for want of memory or of a listener.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&mut self, count: usize) -> Result<usize> {
        let one = [IoSlice::new(&self.payload)];
        let slices = std::iter::repeat_n(&one, count.min(MOST));
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.headers.0,
            slices,
            &self.nowhere,
            [],
            MsgFlags::empty(),
        );
        match sent {
            Ok(results) => Ok(results.count()),
            Err(Errno::ENOBUFS | Errno::ECONNREFUSED | Errno::EINTR) => Ok(0),
            Err(error) => Err(error).attempt(|| "sending datagrams".to_owned()),
        }
    }
}

impl Receiver {
    /// Binds an address in the namespace of the calling thread. As root it has a buffer of 8 MB.
    ///
    /// # Errors
    /// The address is not there or taken.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let what = || format!("binding UDP {address}");
        let socket = socket(address).attempt(what)?;
        // beyond rmem_max only for root of the first user namespace; without, the system's bound holds
        if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &BUFFER).is_err() {
            socket.set_recv_buffer_size(BUFFER).attempt(what)?;
        }
        socket.bind(&address.into()).attempt(what)?;
        Ok(Self {
            socket,
            memory: vec![0; MOST * 2048],
            headers: Headers(MultiHeaders::preallocate(MOST, None)),
        })
    }

    /// Waits for datagrams, at most this long; how many came (at most [`MOST`]), 0 when none did.
    ///
    /// # Errors
    /// The system's.
    pub fn receive(&mut self, within: Duration) -> Result<usize> {
        let what = || "receiving datagrams".to_owned();
        self.socket.set_read_timeout(Some(within.max(Duration::from_millis(1)))).attempt(what)?;
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.memory.chunks_mut(2048).map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(self.socket.as_raw_fd(), &mut self.headers.0, slices.iter_mut(), flags, None) {
            Ok(results) => Ok(results.count()),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error).attempt(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted() {
        let mut receiver = Receiver::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = receiver.socket.local_addr().unwrap().as_socket().unwrap();
        let mut sender = Sender::open(to, 64).unwrap();
        let mut sent = 0;
        for count in [1, 5, MOST, MOST + 1] {
            sent += sender.send(count).unwrap();
        }
        assert_eq!(sent, 1 + 5 + MOST + MOST);
        let mut received = 0;
        while received < sent {
            let count = receiver.receive(Duration::from_secs(5)).unwrap();
            assert!(count > 0, "{received} of {sent}");
            received += count;
        }
        assert_eq!(received, sent);
        assert_eq!(receiver.receive(Duration::from_millis(1)).unwrap(), 0);
    }
}
