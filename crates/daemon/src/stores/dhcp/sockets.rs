//! The way to DHCP servers and back: a UDP socket for both, and a packet socket for what the UDP socket does not get.
//!
//! Answers to a relay agent come to port 67 and answers to a client to port 68, where other programs may listen, and a
//! firewall may stop them. The packet socket hears them all the same; what both hear counts once.
use super::settings::Settings;
use linux::broadcast;
use linux::netlink::Netlink;
use linux::packet::{AsyncPacketSocket, PacketSocket, Traffic};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Weak;
use tokio::task::JoinHandle;

/// Who takes what servers say.
pub(super) trait Ear: Send + Sync + 'static {
    fn hear(&self, from: Ipv4Addr, message: &[u8]);
}

/// Both sockets and their readers.
pub(super) struct Sockets {
    udp: UdpSocket,
    /// The interface that answers come from, as it was when the sockets were opened.
    from: Option<u32>,
    readers: [JoinHandle<()>; 2],
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl Sockets {
    pub(super) fn open<E: Ear>(settings: &Settings, ear: &Weak<E>) -> linux::Result<Self> {
        let port = settings.port();
        // Clients live side by side: a broadcast reaches all. Of servers and relay agents on one port only one hears.
        let shared = port == dhcp::message::CLIENT_PORT;
        let udp = broadcast::socket(port, settings.interface.as_deref(), shared)?;
        let from = receives_on(settings)?;
        let packets = AsyncPacketSocket::new(PacketSocket::open(Traffic::DhcpReplies, from)?)?;
        let doing = |source| linux::Error::new("reading UDP", source);
        let reading = udp.try_clone().and_then(tokio::net::UdpSocket::from_std).map_err(doing)?;
        let readers =
            [tokio::spawn(read_udp(reading, ear.clone())), tokio::spawn(read_packets(packets, ear.clone()))];
        Ok(Self { udp, from, readers })
    }

    /// The interface is another than it was, though it has the same name.
    pub(super) fn is_stale(&self, settings: &Settings) -> bool {
        self.from.is_some() && receives_on(settings).ok().flatten() != self.from
    }

    /// Sends without waiting; a full queue loses it as the network would.
    pub(super) fn send(&self, to: Ipv4Addr, message: &[u8]) -> std::io::Result<()> {
        self.udp.send_to(message, SocketAddr::from((to, dhcp::message::SERVER_PORT))).map(|_| ())
    }
}

/// Number of the interface that answers arrive on, where one is named.
fn receives_on(settings: &Settings) -> linux::Result<Option<u32>> {
    let number = |name: &String| Ok(Netlink::open()?.link(name)?.index);
    settings.interface_receive.as_ref().map(number).transpose()
}

async fn read_udp<E: Ear>(socket: tokio::net::UdpSocket, ear: Weak<E>) {
    let mut buffer = vec![0; dhcp::message::LARGEST + 1];
    loop {
        let received = socket.recv_from(&mut buffer).await;
        let Some(ear) = ear.upgrade() else { return };
        match received {
            Ok((length, from)) => {
                if let IpAddr::V4(address) = from.ip()
                    && from.port() == dhcp::message::SERVER_PORT
                {
                    ear.hear(address, buffer.get(..length).unwrap_or_default());
                }
            }
            // Errors of sending before, an interface that went down.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn read_packets<E: Ear>(socket: AsyncPacketSocket, ear: Weak<E>) {
    let mut buffer = vec![0; dhcp::message::LARGEST + 64];
    loop {
        let received = socket.receive(&mut buffer).await;
        let Some(ear) = ear.upgrade() else { return };
        match received {
            Ok(received) => {
                let packet = buffer.get(..received.length).unwrap_or_default();
                if let Some((from, message)) = dhcp::message::unwrap(packet) {
                    ear.hear(from, message);
                }
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
