//! Sockets towards servers: connected, opened when first used.
use super::Input;
use radius::client::Socket;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The longest RADIUS packet, and one byte to see longer ones.
const LARGEST: usize = wire::radius::Packet::MAX + 1;

struct Open {
    /// For sending: tokio's socket refuses to until the reactor has seen it once.
    socket: std::net::UdpSocket,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// All of them.
pub(super) struct Sockets {
    open: BTreeMap<Socket, Open>,
    inputs: mpsc::WeakSender<Input>,
}

impl Sockets {
    pub(super) fn new(inputs: mpsc::WeakSender<Input>) -> Self {
        Self { open: BTreeMap::new(), inputs }
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// Sends without waiting: a full buffer loses the datagram as the network would.
    pub(super) fn send(
        &mut self,
        name: Socket,
        to: SocketAddr,
        source: Option<IpAddr>,
        datagram: &[u8],
    ) -> std::io::Result<()> {
        let open = match self.open.entry(name) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(open(name, to, source, self.inputs.clone())?)
            }
        };
        match open.socket.send(datagram) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
                // The answer to what was sent before; this one goes out when it is sent again.
                open.socket.send(datagram).map(|_| ())
            }
            Err(e) => Err(e),
        }
    }
}

fn open(
    name: Socket,
    to: SocketAddr,
    source: Option<IpAddr>,
    inputs: mpsc::WeakSender<Input>,
) -> std::io::Result<Open> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((source.unwrap_or(any), 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    let reading = UdpSocket::from_std(socket.try_clone()?)?;
    let reader = tokio::spawn(read(name, reading, inputs));
    Ok(Open { socket, reader })
}

async fn read(name: Socket, socket: UdpSocket, inputs: mpsc::WeakSender<Input>) {
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = socket.recv(&mut buffer).await;
        let Some(inputs) = inputs.upgrade() else { return };
        let input = match received {
            Ok(length) => Input::Datagram(name, buffer.get(..length).unwrap_or_default().to_vec()),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => Input::Refused(name),
            // Other errors of sending before; the socket goes on.
            Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        let _lost = inputs.try_send(input);
    }
}
