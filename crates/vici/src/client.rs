//! A small blocking client.
use crate::packet::{Packet, PacketError};
use crate::stream::{FrameError, Frames};
use config::tree::Section;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Where charon has its socket by default, and we too.
pub const DEFAULT_URI: &str = "unix:///var/run/charon.vici";

/// Why a conversation with the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URI is neither `unix://PATH` nor `tcp://HOST:PORT`.
    #[error("'{0}' is no vici address: expected unix:///path or tcp://host:port")]
    Uri(String),
    /// Nobody to talk to.
    #[error("cannot connect to {uri}: {source}")]
    Connect {
        /// As asked for.
        uri: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("connection to the daemon: {0}")]
    Io(#[from] io::Error),
    /// The daemon closed the connection.
    #[error("the daemon closed the connection")]
    Closed,
    /// No answer in time.
    #[error("no answer from the daemon in time")]
    Timeout,
    /// The daemon does not have this command.
    #[error("the daemon does not know the command '{0}'")]
    UnknownCommand(String),
    /// The daemon does not have this event.
    #[error("the daemon does not know the event '{0}'")]
    UnknownEvent(String),
    /// What it sent, or what we wanted to send, is not vici.
    #[error("vici: {0}")]
    Packet(#[from] PacketError),
    /// A frame over the limit.
    #[error("vici: {0}")]
    Frame(#[from] FrameError),
    /// A packet that does not answer what was asked.
    #[error("the daemon answered out of turn")]
    OutOfTurn,
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(timeout),
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_write_timeout(timeout),
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

/// A conversation with the daemon. One command at a time; events that arrive meanwhile are kept for
/// [`Client::next_event`].
pub struct Client {
    socket: Socket,
    frames: Frames,
    events: VecDeque<(String, Section)>,
    timeout: Option<Duration>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("waiting_events", &self.events.len()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to `unix:///path` or `tcp://host:port`. `timeout` bounds each answer waited for; `None` waits as
    /// long as it takes.
    ///
    /// # Errors
    /// [`ClientError::Uri`] and [`ClientError::Connect`].
    pub fn connect(uri: &str, timeout: Option<Duration>) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { uri: uri.to_owned(), source };
        let socket = if let Some(path) = uri.strip_prefix("unix://") {
            Socket::Unix(UnixStream::connect(path).map_err(failed)?)
        } else if let Some(host) = uri.strip_prefix("tcp://") {
            let stream = TcpStream::connect(host).map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            Socket::Tcp(stream)
        } else {
            return Err(ClientError::Uri(uri.to_owned()));
        };
        Ok(Self::new(socket, timeout))
    }

    /// Uses a connected socket.
    #[must_use]
    pub fn over_unix(stream: UnixStream, timeout: Option<Duration>) -> Self {
        Self::new(Socket::Unix(stream), timeout)
    }

    const fn new(socket: Socket, timeout: Option<Duration>) -> Self {
        Self { socket, frames: Frames::new(), events: VecDeque::new(), timeout }
    }

    /// Changes the bound on each answer.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Runs a command and returns its answer.
    ///
    /// # Errors
    /// When the daemon does not know it, does not answer in time, or the connection fails. An answer that says
    /// `success = no` is an answer, not an error.
    pub fn request(&mut self, command: &str, message: Section) -> Result<Section, ClientError> {
        self.send(&Packet::CmdRequest { name: command.to_owned(), message })?;
        let deadline = self.deadline();
        loop {
            match self.receive(deadline)? {
                Packet::CmdResponse(answer) => return Ok(answer),
                Packet::CmdUnknown => return Err(ClientError::UnknownCommand(command.to_owned())),
                Packet::Event { name, message } => self.events.push_back((name, message)),
                _ => return Err(ClientError::OutOfTurn),
            }
        }
    }

    /// Runs a command that answers through events: registers `event`, gives each to `each`, and returns the final
    /// answer. The time limit starts anew with each event.
    ///
    /// # Errors
    /// As [`Client::request`] and [`Client::register`].
    pub fn request_streamed(
        &mut self,
        command: &str,
        message: Section,
        event: &str,
        mut each: impl FnMut(Section),
    ) -> Result<Section, ClientError> {
        self.register(event)?;
        self.send(&Packet::CmdRequest { name: command.to_owned(), message })?;
        let answer = loop {
            match self.receive(self.deadline())? {
                Packet::CmdResponse(answer) => break Ok(answer),
                Packet::CmdUnknown => break Err(ClientError::UnknownCommand(command.to_owned())),
                Packet::Event { name, message } if name == event => each(message),
                Packet::Event { name, message } => self.events.push_back((name, message)),
                _ => return Err(ClientError::OutOfTurn),
            }
        };
        self.unregister(event)?;
        answer
    }

    /// Asks for an event.
    ///
    /// # Errors
    /// [`ClientError::UnknownEvent`] and what a conversation can fail with.
    pub fn register(&mut self, event: &str) -> Result<(), ClientError> {
        self.send(&Packet::EventRegister(event.to_owned()))?;
        self.confirmed(event)
    }

    /// No longer asks for it.
    ///
    /// # Errors
    /// As [`Client::register`].
    pub fn unregister(&mut self, event: &str) -> Result<(), ClientError> {
        self.send(&Packet::EventUnregister(event.to_owned()))?;
        self.confirmed(event)
    }

    fn confirmed(&mut self, event: &str) -> Result<(), ClientError> {
        let deadline = self.deadline();
        loop {
            match self.receive(deadline)? {
                Packet::EventConfirm => return Ok(()),
                Packet::EventUnknown => return Err(ClientError::UnknownEvent(event.to_owned())),
                Packet::Event { name, message } => self.events.push_back((name, message)),
                _ => return Err(ClientError::OutOfTurn),
            }
        }
    }

    /// The next event of those registered; `None` when none came within `timeout` (`None`: wait as long as it takes).
    ///
    /// # Errors
    /// When the connection ends or carries something that is no event.
    pub fn next_event(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<Option<(String, Section)>, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.receive(timeout.map(after)) {
            Ok(Packet::Event { name, message }) => Ok(Some((name, message))),
            Ok(_) => Err(ClientError::OutOfTurn),
            Err(ClientError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timeout.map(after)
    }

    fn send(&mut self, packet: &Packet) -> Result<(), ClientError> {
        self.socket.set_write_timeout(self.timeout.filter(|t| !t.is_zero()))?;
        self.socket.write_all(&packet.encode()?).map_err(timed_out)
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Result<Packet, ClientError> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(body) = self.frames.next_body()? {
                return Ok(Packet::decode(&body)?);
            }
            let left = match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ClientError::Timeout);
                    }
                    Some(left)
                }
                None => None,
            };
            self.socket.set_read_timeout(left)?;
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self.frames.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error)),
            }
        }
    }
}

fn after(timeout: Duration) -> Instant {
    let now = Instant::now();
    // A time limit beyond what the clock can hold is as good as a year.
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}

fn timed_out(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout,
        _ => ClientError::Io(error),
    }
}
