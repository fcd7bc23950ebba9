//! One vici client: a reader, a writer with a bounded queue, and the commands in between, one at a time.
use super::Desk;
use super::events::{ClientId, Frame, Outbox};
use crate::observers::log::Voice;
use config::tree::Section;
use ike::io::Group;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use vici::{Frames, Packet};

/// Requests a client may send ahead.
const AHEAD: usize = 16;
/// How long a client may take to accept what is sent to it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client, as its commands see it.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) desk: Arc<Desk>,
    outbox: Outbox,
    /// Becomes true when the client is gone.
    gone: watch::Receiver<bool>,
}

impl Client {
    /// Serves a client until it leaves.
    pub(crate) async fn run(
        id: ClientId,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        desk: Arc<Desk>,
        place: OwnedSemaphorePermit,
    ) {
        let (outbox, mut waiting) = Outbox::new();
        let (packets_tx, mut packets) = mpsc::channel(AHEAD);
        let (gone_tx, gone) = watch::channel(false);
        let gone_tx = Arc::new(gone_tx);
        desk.observers.clients.join(id, outbox.clone());
        desk.log.say(Voice::Control, Group::Cfg, 2, format!("vici client {id} connected"));
        let left = gone_tx.clone();
        let log = desk.log.clone();
        let read = tokio::spawn(async move {
            if let Err(why) = receive(reader, &packets_tx).await {
                log.say(Voice::Control, Group::Cfg, 1, format!("vici client {id}: {why}"));
            }
            let _last = left.send(true);
        });
        let write = tokio::spawn(async move {
            let mut writer = writer;
            while let Some(frame) = waiting.next().await {
                match tokio::time::timeout(PATIENCE, writer.write_all(&frame.0)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            let _closed = writer.shutdown().await;
            let _last = gone_tx.send(true);
        });
        let mut client = Self { id, desk: desk.clone(), outbox, gone };
        let mut loaded = false;
        while let Some(packet) = packets.recv().await {
            loaded |= matches!(&packet, Packet::CmdRequest { name, .. } if name.starts_with("load-"));
            if !client.answer(packet).await {
                break;
            }
        }
        desk.observers.clients.leave(id);
        desk.log.say(Voice::Control, Group::Cfg, 2, format!("vici client {id} disconnected"));
        drop(client);
        read.abort();
        // What is queued may still be written.
        let _late = tokio::time::timeout(Duration::from_secs(5), write).await;
        drop(place);
        if loaded {
            // What reading a configuration took is not needed again soon.
            linux::memory::give_back();
        }
    }

    /// False: the client is to be dropped.
    async fn answer(&mut self, packet: Packet) -> bool {
        let reply = match packet {
            Packet::CmdRequest { name, message } => {
                self.say(format!("vici client {} requests: {name}", self.id));
                match super::command(self, &name, &message).await {
                    Some(response) => Packet::CmdResponse(response),
                    None => Packet::CmdUnknown,
                }
            }
            Packet::EventRegister(name) => {
                let known = self.desk.observers.clients.register(self.id, &name);
                if known {
                    self.say(format!("vici client {} registered for: {name}", self.id));
                }
                confirm(known)
            }
            Packet::EventUnregister(name) => {
                let known = self.desk.observers.clients.unregister(self.id, &name);
                if known {
                    self.say(format!("vici client {} unregistered for: {name}", self.id));
                }
                confirm(known)
            }
            Packet::CmdResponse(_)
            | Packet::CmdUnknown
            | Packet::EventConfirm
            | Packet::EventUnknown
            | Packet::Event { .. } => return false,
        };
        match Frame::of(&reply) {
            Some(frame) => self.outbox.send(frame).await,
            None => {
                let too_large = Packet::CmdResponse(super::refused("the answer is too large for vici"));
                match Frame::of(&too_large) {
                    Some(frame) => self.outbox.send(frame).await,
                    None => false,
                }
            }
        }
    }

    fn say(&self, text: String) {
        self.desk.log.say(Voice::Control, Group::Cfg, 2, text);
    }

    /// Sends an event of a streaming command, if the client listens; waits for room in its queue. False: the client
    /// is gone.
    pub(crate) async fn stream(&self, event: &str, message: Section) -> bool {
        match Frame::event(event, message) {
            Some(frame) if self.listens(event) => self.outbox.send(frame).await,
            Some(_) | None => true,
        }
    }

    /// Whether the client listens to an event.
    pub(crate) fn listens(&self, event: &str) -> bool {
        self.desk.observers.clients.listens(self.id, event)
    }

    /// Waits until the client is gone.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + 'static {
        let mut gone = self.gone.clone();
        async move {
            let _closed = gone.wait_for(|gone| *gone).await;
        }
    }
}

fn confirm(known: bool) -> Packet {
    if known { Packet::EventConfirm } else { Packet::EventUnknown }
}

/// Reads packets until the end; an error says what the client did wrong.
async fn receive(
    mut reader: impl AsyncRead + Unpin,
    packets: &mpsc::Sender<Packet>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut frames = Frames::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        frames.push(buffer.get(..length).unwrap_or_default());
        while let Some(body) = frames.next_body()? {
            if packets.send(Packet::decode(&body)?).await.is_err() {
                return Ok(());
            }
        }
    }
}
