//! What a frame is: command, response, event and the rest.
//!
//! A frame is a 32-bit big-endian length and a body; a body is one type byte, for named types a length byte and
//! the name, then (for types that carry one) the message.
use crate::message::{self, MessageError};
use config::tree::Section;

/// Longest body of a frame, in bytes.
pub const MAX_BODY: usize = 512 * 1024;

const CMD_REQUEST: u8 = 0;
const CMD_RESPONSE: u8 = 1;
const CMD_UNKNOWN: u8 = 2;
const EVENT_REGISTER: u8 = 3;
const EVENT_UNREGISTER: u8 = 4;
const EVENT_CONFIRM: u8 = 5;
const EVENT_UNKNOWN: u8 = 6;
const EVENT: u8 = 7;

/// One packet, either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Client: run this command.
    CmdRequest {
        /// Which command.
        name: String,
        /// Its arguments.
        message: Section,
    },
    /// Server: the command's answer.
    CmdResponse(Section),
    /// Server: there is no such command.
    CmdUnknown,
    /// Client: send me this event.
    EventRegister(String),
    /// Client: no longer.
    EventUnregister(String),
    /// Server: registered or unregistered.
    EventConfirm,
    /// Server: there is no such event.
    EventUnknown,
    /// Server: it happened.
    Event {
        /// Which event.
        name: String,
        /// What happened.
        message: Section,
    },
}

/// Why a body is no packet, or a packet cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Nothing in the frame, or it ends inside the name.
    #[error("packet ends inside its header")]
    Truncated,
    /// A type that vici does not have.
    #[error("unknown packet type {0}")]
    UnknownType(u8),
    /// A type without a message carries something.
    #[error("packet of type {0} has {1} bytes it should not have")]
    Trailing(u8, usize),
    /// The name is not text.
    #[error("name of a command or event is not text")]
    NameNotText,
    /// The name does not fit its length byte.
    #[error("name of a command or event is longer than 255 bytes")]
    NameTooLong,
    /// The message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl Packet {
    /// Reads the body of a frame.
    ///
    /// # Errors
    /// Whatever makes it no packet.
    pub fn decode(body: &[u8]) -> Result<Self, PacketError> {
        let (&kind, rest) = body.split_first().ok_or(PacketError::Truncated)?;
        match kind {
            CMD_REQUEST => {
                let (name, rest) = read_name(rest)?;
                Ok(Self::CmdRequest { name, message: message::decode(rest)? })
            }
            CMD_RESPONSE => Ok(Self::CmdResponse(message::decode(rest)?)),
            CMD_UNKNOWN => nothing_left(kind, rest, Self::CmdUnknown),
            EVENT_REGISTER => {
                let (name, rest) = read_name(rest)?;
                nothing_left(kind, rest, Self::EventRegister(name))
            }
            EVENT_UNREGISTER => {
                let (name, rest) = read_name(rest)?;
                nothing_left(kind, rest, Self::EventUnregister(name))
            }
            EVENT_CONFIRM => nothing_left(kind, rest, Self::EventConfirm),
            EVENT_UNKNOWN => nothing_left(kind, rest, Self::EventUnknown),
            EVENT => {
                let (name, rest) = read_name(rest)?;
                Ok(Self::Event { name, message: message::decode(rest)? })
            }
            other => Err(PacketError::UnknownType(other)),
        }
    }

    /// The whole frame: length and body.
    ///
    /// # Errors
    /// When a name, value, the nesting or the whole is too long for the format.
    pub fn encode(&self) -> Result<Vec<u8>, PacketError> {
        let mut out = vec![0; 4];
        match self {
            Self::CmdRequest { name, message } => named(&mut out, CMD_REQUEST, name, Some(message))?,
            Self::CmdResponse(message) => {
                out.push(CMD_RESPONSE);
                out.extend_from_slice(&message::encode(message)?);
            }
            Self::CmdUnknown => out.push(CMD_UNKNOWN),
            Self::EventRegister(name) => named(&mut out, EVENT_REGISTER, name, None)?,
            Self::EventUnregister(name) => named(&mut out, EVENT_UNREGISTER, name, None)?,
            Self::EventConfirm => out.push(EVENT_CONFIRM),
            Self::EventUnknown => out.push(EVENT_UNKNOWN),
            Self::Event { name, message } => named(&mut out, EVENT, name, Some(message))?,
        }
        let body = out.len().saturating_sub(4);
        if body > MAX_BODY {
            return Err(MessageError::TooLong(body).into());
        }
        let length = u32::try_from(body).map_err(|_| MessageError::TooLong(body))?;
        if let Some(head) = out.first_chunk_mut::<4>() {
            *head = length.to_be_bytes();
        }
        Ok(out)
    }
}

fn named(out: &mut Vec<u8>, kind: u8, name: &str, message: Option<&Section>) -> Result<(), PacketError> {
    let len = u8::try_from(name.len()).map_err(|_| PacketError::NameTooLong)?;
    out.push(kind);
    out.push(len);
    out.extend_from_slice(name.as_bytes());
    if let Some(message) = message {
        out.extend_from_slice(&message::encode(message)?);
    }
    Ok(())
}

fn read_name(bytes: &[u8]) -> Result<(String, &[u8]), PacketError> {
    let (&len, rest) = bytes.split_first().ok_or(PacketError::Truncated)?;
    let (name, rest) = rest.split_at_checked(usize::from(len)).ok_or(PacketError::Truncated)?;
    let name = std::str::from_utf8(name).map_err(|_| PacketError::NameNotText)?;
    Ok((name.to_owned(), rest))
}

fn nothing_left(kind: u8, rest: &[u8], packet: Packet) -> Result<Packet, PacketError> {
    if rest.is_empty() { Ok(packet) } else { Err(PacketError::Trailing(kind, rest.len())) }
}
