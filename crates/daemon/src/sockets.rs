//! From datagram to engine and back.
//!
//! Port 500 is ours. Port 4500 is shared with ESP: the data plane's threads read it and hand IKE over. Without one in
//! user space the engine's thread reads it too and drops what is ESP.
use crate::observers::log::{Log, Voice};
use crate::shard::Ear;
use ike::io::{Datagram, Group};
use linux::message::Outgoing;
use linux::udp::{UdpOptions, UdpSocket};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::frame::{Frame, KEEPALIVE, with_marker};

/// The largest UDP payload.
pub(crate) const LARGEST: usize = 65_535;

/// One port, both families; a family the system or the configuration does not want is missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Port {
    pub(crate) v4: Option<Arc<UdpSocket>>,
    pub(crate) v6: Option<Arc<UdpSocket>>,
}

impl Port {
    /// Opens a port; 0 lets the system choose one, and v6 takes the same where it can.
    pub(crate) fn open(number: u16, options: &UdpOptions, use_v4: bool, use_v6: bool, log: &Log) -> Self {
        let open = |wanted: bool, result: fn(u16, &UdpOptions) -> linux::Result<UdpSocket>, family: &str| {
            if !wanted {
                return None;
            }
            match result(number, options) {
                Ok(socket) => Some(Arc::new(socket)),
                Err(e) => {
                    log.say(
                        Voice::Main,
                        Group::Net,
                        1,
                        format!("could not open {family} socket on port {number}, {family} disabled: {e}"),
                    );
                    None
                }
            }
        };
        Self { v4: open(use_v4, UdpSocket::bind_v4, "IPv4"), v6: open(use_v6, UdpSocket::bind_v6, "IPv6") }
    }

    /// Nothing could be opened.
    pub(crate) fn is_closed(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// The socket for a peer.
    fn towards(&self, peer: SocketAddr) -> Option<&Arc<UdpSocket>> {
        if peer.is_ipv6() { self.v6.as_ref() } else { self.v4.as_ref() }
    }

    /// All sockets.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<UdpSocket>> {
        self.v4.iter().chain(self.v6.iter())
    }

    /// The number it got.
    pub(crate) fn number(&self) -> Option<u16> {
        self.all().next().map(|socket| socket.local().port())
    }
}

/// All sockets IKE is sent by.
pub(crate) struct Sockets {
    pub(crate) ike: Port,
    pub(crate) nat_t: Port,
    log: Arc<Log>,
    /// Datagrams the system refused.
    refused: AtomicU64,
}

impl Sockets {
    pub(crate) fn new(ike: Port, nat_t: Port, log: Arc<Log>) -> Self {
        Self { ike, nat_t, log, refused: AtomicU64::new(0) }
    }

    /// Sends, never waiting: a full socket buffer loses the datagram as the network would.
    pub(crate) fn send(&self, datagram: &Datagram) {
        let on_ike_port = self.ike.number() == Some(datagram.local.port());
        let port = if on_ike_port { &self.ike } else { &self.nat_t };
        let Some(socket) = port.towards(datagram.remote) else {
            self.complain(datagram, "no socket of that address family");
            return;
        };
        let keepalive = datagram.bytes.as_slice() == [KEEPALIVE];
        // RFC 3948 2.2: IKE on the NAT-T port has a marker before it, the keepalive (2.3) has not.
        let marked;
        let data = if on_ike_port || keepalive {
            datagram.bytes.as_slice()
        } else {
            marked = with_marker(&datagram.bytes);
            marked.as_slice()
        };
        let out = Outgoing {
            from: known(datagram.local.ip()),
            tos: (datagram.dscp != 0).then(|| datagram.dscp.wrapping_shl(2)),
            ..Outgoing::new(datagram.remote, data)
        };
        if let Err(e) = socket.send(&out) {
            self.complain(datagram, &e.to_string());
        }
    }

    fn complain(&self, datagram: &Datagram, why: &str) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // The first hundred, then every hundredth: an unreachable network must not fill the log.
        if count <= 100 || count.is_multiple_of(100) {
            let text = format!("error writing to socket: {why} (to {}, {count} so far)", datagram.remote);
            self.log.say(Voice::Net, Group::Net, 1, text);
        }
    }

    /// The sockets that the engine's thread reads: with `nat_t` also those of the NAT-T port.
    pub(crate) fn ears(&self, nat_t: bool) -> Vec<Ear> {
        let ike = self.ike.all().map(|socket| Ear { socket: socket.clone(), nat_t: false });
        let shared = self.nat_t.all().filter(|_| nat_t);
        ike.chain(shared.map(|socket| Ear { socket: socket.clone(), nat_t: true })).collect()
    }

    /// Datagrams the system dropped since nobody read them in time.
    pub(crate) fn dropped(&self) -> u64 {
        let all = self.ike.all().chain(self.nat_t.all());
        all.map(|socket| u64::from(socket.dropped())).sum()
    }

    /// Datagrams the system refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The IKE message in a datagram, if there is one.
pub(crate) fn strip(bytes: &[u8], nat_t: bool) -> Option<&[u8]> {
    if !nat_t {
        return Some(bytes);
    }
    match Frame::parse(bytes) {
        Ok(Frame::Ike(message)) => Some(message),
        Ok(Frame::Esp(_) | Frame::Keepalive) | Err(_) => None,
    }
}

fn known(address: IpAddr) -> Option<IpAddr> {
    (!address.is_unspecified()).then_some(address)
}
