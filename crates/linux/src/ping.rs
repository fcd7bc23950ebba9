//! Echo requests, without the `ping` program: for the demo and for tests.

use crate::{Attempt, Error, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// Bytes carried by a request.
const PAYLOAD: usize = 56;

/// Asks one host for echoes. The socket belongs to the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    host: IpAddr,
    id: u16,
}

impl Pinger {
    /// Opens a raw socket towards a host.
    ///
    /// # Errors
    /// Needs CAP_NET_RAW; there may be no route to the host.
    pub fn open(host: IpAddr) -> Result<Self> {
        let (domain, protocol) = match host {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket =
            Socket::new(domain, Type::RAW, Some(protocol)).attempt(|| "opening a raw socket".to_owned())?;
        // The low bits of the process id tell our echoes from those of other programs; no secret.
        let [.., high, low] = std::process::id().to_be_bytes();
        Ok(Self { socket, host, id: u16::from_be_bytes([high, low]) })
    }

    /// Sends one request and waits for its echo; how long that took, `None` when none came in time.
    ///
    /// # Errors
    /// The request cannot be sent, for instance because there is no route.
    pub fn ping(&mut self, sequence: u16, timeout: Duration) -> Result<Option<Duration>> {
        let what = || format!("sending an echo request to {}", self.host);
        let to = SockAddr::from(SocketAddr::new(self.host, 0));
        let started = Instant::now();
        self.socket.send_to(&self.request(sequence), &to).attempt(what)?;
        let mut buffer = [0; 2048];
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left)).attempt(what)?;
            let got = match (&self.socket).read(&mut buffer) {
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::new(what(), error)),
            };
            if self.answers(got, sequence) {
                return Ok(Some(started.elapsed()));
            }
        }
    }

    fn request(&self, sequence: u16) -> Vec<u8> {
        let kind = if self.host.is_ipv4() { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
        let [a, b] = self.id.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        let mut packet = vec![kind, 0, 0, 0, a, b, c, d];
        packet.resize(8 + PAYLOAD, 0x42);
        // The kernel fills in the checksum of ICMPv6, which covers addresses we do not know.
        if self.host.is_ipv4() {
            let sum = checksum(&packet).to_be_bytes();
            if let Some(field) = packet.get_mut(2..4) {
                field.copy_from_slice(&sum);
            }
        }
        packet
    }

    /// Whether what was read is the echo of our request. Over IPv4 it begins with the IP header.
    fn answers(&self, got: &[u8], sequence: u16) -> bool {
        let (icmp, reply) = match self.host {
            IpAddr::V4(_) => {
                let header = got.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
                (got.get(header..).unwrap_or_default(), ECHO_REPLY_V4)
            }
            IpAddr::V6(_) => (got, ECHO_REPLY_V6),
        };
        let [a, b] = self.id.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        matches!(icmp, [kind, 0, _, _, rest @ ..] if *kind == reply && rest.starts_with(&[a, b, c, d]))
    }
}

/// RFC 1071, over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks_exact(2) {
        if let [high, low] = pair {
            sum += u32::from(u16::from_be_bytes([*high, *low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_request_is_right() {
        // A packet that carries its checksum sums up to zero.
        let mut packet = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xff, 0xff, 0xab, 0xcd];
        let sum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&packet), 0);
    }
}
