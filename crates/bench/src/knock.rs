//! Asks a host for an IKE_SA, over and over with the same message: until it agrees, how long a daemon takes to start; and
//! later, how long it keeps one waiting ([`Knocker`]).
use anyhow::{Context as _, Result};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 500;
/// Between two attempts.
const INTERVAL: Duration = Duration::from_millis(1);
/// Next payload: security association. A refusal begins with a notify instead.
const SA: u8 = 33;
const IKE_SA_INIT: u8 = 34;
/// The flag of a response.
const RESPONSE: u8 = 0x20;

/// Sends the same IKE_SA_INIT each millisecond until it is answered with a chosen proposal; `false` when that took
/// longer than `within`.
pub(crate) fn until_answered(from: IpAddr, to: IpAddr, within: Duration) -> Result<bool> {
    let knocker = Knocker::at(from, PORT, to)?;
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        match knocker.knock(INTERVAL) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // refused while nobody listens
            Err(_) => std::thread::sleep(INTERVAL),
        }
    }
    Ok(false)
}

/// Somebody who knocks again and again. The message is always the same, so that the host has no more than one IKE_SA for
/// all, which stays half-open: it looks for it, and repeats its response.
pub(crate) struct Knocker {
    socket: UdpSocket,
    message: Vec<u8>,
}

impl Knocker {
    /// From a port that the system chooses.
    pub(crate) fn new(from: IpAddr, to: IpAddr) -> Result<Self> {
        Self::at(from, 0, to)
    }

    /// The port makes the SPI its own.
    fn at(from: IpAddr, port: u16, to: IpAddr) -> Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(from, port)).context("a socket for IKE")?;
        socket.connect(SocketAddr::new(to, PORT))?;
        let [high, low] = socket.local_addr()?.port().to_be_bytes();
        Ok(Self { socket, message: request([0x42, 0x42, 0x42, 0x42, 0x42, 0x42, high, low]) })
    }

    /// Asks once; whether the answer came within this time.
    pub(crate) fn knock(&self, within: Duration) -> Result<bool> {
        self.socket.send(&self.message).context("asking for an IKE_SA")?;
        let deadline = Instant::now() + within;
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut buffer) {
                Ok(length) if agreed(buffer.get(..length).unwrap_or_default()) => return Ok(true),
                Ok(_) => {}
                // whoever is stopped and goes on has waited, too
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("waiting for an IKE_SA"),
            }
        }
    }
}

/// Whether this is the response that agrees.
fn agreed(message: &[u8]) -> bool {
    matches!(message.get(16..20), Some([SA, _, IKE_SA_INIT, flags]) if flags & RESPONSE != 0)
}

/// An IKE_SA_INIT of RFC 7296 for AES-GCM-16 with 128 bits, HMAC-SHA-256, X25519. The key is the curve's base point and
/// the nonce constant: nobody goes on from here.
fn request(spi: [u8; 8]) -> Vec<u8> {
    let mut key = vec![0; 32];
    if let Some(first) = key.first_mut() {
        *first = 9;
    }
    let transforms =
        [transform(3, 1, 20, &[0x80, 14, 0, 128]), transform(3, 2, 5, &[]), transform(0, 4, 31, &[])]
            .concat();
    // proposal 1 of IKE without SPI, of three transforms
    let proposal = [vec![0, 0], length(8 + transforms.len()), vec![1, 1, 0, 3], transforms].concat();
    let payloads =
        [payload(34, &proposal), payload(40, &[vec![0, 31, 0, 0], key].concat()), payload(0, &[0x4e; 32])]
            .concat();
    let total = u32::try_from(28 + payloads.len()).unwrap_or(u32::MAX).to_be_bytes();
    let header = [&spi[..], &[0; 8], &[SA, 0x20, IKE_SA_INIT, 0x08], &[0; 4], &total].concat();
    [header, payloads].concat()
}

fn transform(more: u8, kind: u8, number: u16, attribute: &[u8]) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    [vec![more, 0], length(8 + attribute.len()), vec![kind, 0, high, low], attribute.to_vec()].concat()
}

fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    [vec![next, 0], length(4 + body.len()), body.to_vec()].concat()
}

fn length(bytes: usize) -> Vec<u8> {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says() {
        let message = request([0x42; 8]);
        assert_eq!(message.len(), 28 + 4 + 36 + 8 + 32 + 36);
        assert_eq!(message[24..28], [0, 0, 0, 144]);
        assert_eq!(message[16..20], [33, 0x20, 34, 0x08]);
        // SA payload: next is KE, then its length; proposal; transforms with and without an attribute
        assert_eq!(message[28..32], [34, 0, 0, 40]);
        assert_eq!(message[32..40], [0, 0, 0, 36, 1, 1, 0, 3]);
        assert_eq!(message[40..52], [3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 0, 128]);
        assert_eq!(message[52..60], [3, 0, 0, 8, 2, 0, 0, 5]);
        assert_eq!(message[60..68], [0, 0, 0, 8, 4, 0, 0, 31]);
    }

    #[test]
    fn only_a_chosen_proposal_is_an_answer() {
        let mut message = request([0x42; 8]);
        assert!(!agreed(&message), "our own request");
        message[19] = 0x20;
        assert!(agreed(&message));
        message[16] = 41;
        assert!(!agreed(&message), "a refusal or a cookie");
        assert!(!agreed(&[]));
    }

    #[test]
    fn who_knocks_waits_for_the_answer_that_agrees() {
        let host = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(host.local_addr().unwrap()).unwrap();
        let at = socket.local_addr().unwrap();
        let knocker = Knocker { socket, message: request([7; 8]) };
        assert!(!knocker.knock(Duration::from_millis(20)).unwrap(), "nobody answers");
        let mut refusal = knocker.message.clone();
        refusal[16] = 41;
        refusal[19] = RESPONSE;
        host.send_to(&refusal, at).unwrap();
        assert!(!knocker.knock(Duration::from_millis(20)).unwrap(), "a refusal is no answer");
        let mut answer = refusal;
        answer[16] = SA;
        host.send_to(&answer, at).unwrap();
        assert!(knocker.knock(Duration::from_secs(10)).unwrap());
    }
}
