//! The socket that servers send their wishes to.
use super::Input;
use crate::observers::log::{Log, Voice};
use config::RadiusDae as Settings;
use ike::io::Group;
use linux::message::{Batch, Outgoing, SLOTS};
use linux::udp::{AsyncUdpSocket, UdpOptions, UdpSocket};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The longest RADIUS packet, and one byte to see longer ones.
const LARGEST: usize = wire::radius::Packet::MAX + 1;

/// A datagram for the state machine.
pub(super) struct Arrived {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// The open socket.
pub(super) struct Listener {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Listener {
    /// Opens it; what is wrong is in the log.
    pub(super) fn open(settings: &Settings, inputs: mpsc::WeakSender<Input>, log: &Log) -> Option<Self> {
        let address = SocketAddr::new(settings.listen, settings.port);
        let opened = UdpSocket::bind(address, &UdpOptions::default()).map(Arc::new);
        let opened = opened.and_then(|socket| Ok((socket.clone(), AsyncUdpSocket::new(socket)?)));
        match opened {
            Ok((socket, reading)) => {
                let reader = tokio::spawn(read(reading, inputs));
                Some(Self { socket, reader })
            }
            Err(e) => {
                let text = format!("binding RADIUS DAE socket to {address} failed: {e}");
                log.say(Voice::Net, Group::Cfg, 0, text);
                None
            }
        }
    }

    /// Sends from the address that was asked.
    pub(super) fn send(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> std::io::Result<()> {
        let from = Some(from.ip()).filter(|address| !address.is_unspecified());
        self.socket.send(&Outgoing { from, ..Outgoing::new(to, datagram) })
    }
}

async fn read(socket: AsyncUdpSocket, inputs: mpsc::WeakSender<Input>) {
    let (any, port) = (socket.socket().local().ip(), socket.socket().local().port());
    let mut batch = Batch::new(SLOTS, LARGEST);
    loop {
        if socket.receive(&mut batch).await.is_err() {
            tokio::task::yield_now().await;
            continue;
        }
        let Some(inputs) = inputs.upgrade() else { return };
        for (meta, bytes) in batch.iter_mut() {
            if meta.truncated {
                continue;
            }
            let local = SocketAddr::new(meta.destination.unwrap_or(any), port);
            for bytes in bytes.chunks(meta.stride.max(1)) {
                let arrived = Arrived { local, remote: meta.source, bytes: bytes.to_vec() };
                let _lost = inputs.try_send(Input::Wish(arrived));
            }
        }
    }
}
