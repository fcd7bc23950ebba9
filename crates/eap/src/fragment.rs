//! Flags, lengths and fragments of the methods over TLS (RFC 5216 2.1.5 and 3.1, RFC 5281 9).
use crate::config::TunnelOptions;
use crate::step::Failed;
use wire::codec::{Reader, Writer};

/// The length is told.
const LENGTH: u8 = 0x80;
/// More fragments follow.
const MORE: u8 = 0x40;
/// The server begins.
const START: u8 = 0x20;
/// Version of TTLS and PEAP.
const VERSION: u8 = 0x07;

/// EAP header, type and flags.
const OVERHEAD: usize = 6;
/// The length field.
const LENGTH_FIELD: usize = 4;
/// Less would make the number of packets unreasonable.
const LEAST_FRAGMENT: usize = 100;

/// What a packet brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A fragment, and more follow: to be acknowledged.
    Fragment,
    /// An acknowledgement of ours: the next one is due.
    Acknowledged,
    /// A whole message, perhaps an empty one.
    Message(Vec<u8>),
}

/// Cuts messages and puts them together.
#[derive(Debug)]
pub(crate) struct Fragments {
    /// Content bytes of a packet.
    size: usize,
    include_length: bool,
    /// Longest message taken.
    limit: usize,
    /// What we send, and how much of it is gone.
    out: Vec<u8>,
    sent: usize,
    /// Told length, and what has come.
    building: Option<(usize, Vec<u8>)>,
}

/// Whether these data start a method; with the version that the server offers.
pub(crate) fn start_version(data: &[u8]) -> Option<u8> {
    data.first().filter(|flags| *flags & START != 0).map(|flags| flags & VERSION)
}

/// The data with which the server starts.
pub(crate) fn start() -> Vec<u8> {
    vec![START]
}

/// The version in the flags of a response.
pub(crate) fn version(data: &[u8]) -> u8 {
    data.first().map_or(0, |flags| flags & VERSION)
}

impl Fragments {
    pub(crate) fn new(options: &TunnelOptions, limit: usize) -> Self {
        Self {
            size: options.fragment_size.clamp(LEAST_FRAGMENT, wire::eap::MAX_PACKET) - OVERHEAD,
            include_length: options.include_length,
            limit,
            out: Vec::new(),
            sent: 0,
            building: None,
        }
    }

    /// A packet of the other end.
    pub(crate) fn receive(&mut self, data: &[u8]) -> Result<Heard, Failed> {
        let broken = |what: String| Err(Failed::peer(what));
        let mut r = Reader::new(data);
        let Ok(flags) = r.u8("flags") else { return broken("an EAP-TLS packet without flags".into()) };
        let told = if flags & LENGTH == 0 {
            None
        } else {
            match r.u32("TLS message length").ok().and_then(|l| usize::try_from(l).ok()) {
                Some(told) => Some(told),
                None => return broken("an EAP-TLS packet that ends in its length".into()),
            }
        };
        let content = r.rest();
        if self.pending() {
            // RFC 5216 2.1.5: the acknowledgement of a fragment has no data.
            return if content.is_empty() && flags & MORE == 0 && told.unwrap_or(0) == 0 {
                Ok(Heard::Acknowledged)
            } else {
                broken("TLS data while our fragments are not all sent".into())
            };
        }
        if flags & MORE != 0 && content.is_empty() {
            return broken("an empty TLS fragment".into());
        }
        let (total, mut message) = match (self.building.take(), told) {
            (Some((total, _)), Some(told)) if told != total => {
                return broken(format!("a TLS fragment tells length {told}, an earlier one {total}"));
            }
            (Some(building), _) => building,
            (None, Some(told)) if told > self.limit => {
                let limit = self.limit;
                return broken(format!("a TLS message of {told} bytes, more than the limit of {limit}"));
            }
            (None, Some(told)) => (told, Vec::new()),
            // RFC 5216 3.1: the L bit "MUST be set for the first fragment of a fragmented TLS message".
            (None, None) if flags & MORE != 0 => {
                return broken("a first TLS fragment without the message's length".into());
            }
            (None, None) => (content.len(), Vec::new()),
        };
        message.extend_from_slice(content);
        if message.len() > total {
            return broken(format!("TLS fragments exceed the length of {total} bytes that was told"));
        }
        if flags & MORE != 0 {
            if message.len() == total {
                return broken(format!("more TLS fragments than the length of {total} bytes that was told"));
            }
            self.building = Some((total, message));
            return Ok(Heard::Fragment);
        }
        if message.len() < total {
            let have = message.len();
            return broken(format!("TLS fragments end after {have} bytes of {total}"));
        }
        Ok(Heard::Message(message))
    }

    /// A message to send.
    pub(crate) fn push(&mut self, message: Vec<u8>) {
        self.out = message;
        self.sent = 0;
    }

    /// Whether some of our message is not sent.
    pub(crate) fn pending(&self) -> bool {
        self.sent < self.out.len()
    }

    /// The next packet's data: a fragment, or with nothing to send an acknowledgement.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let first = self.sent == 0 && !self.out.is_empty();
        let left = self.out.get(self.sent..).unwrap_or_default();
        let mut take = left.len().min(self.size);
        let told = first && (self.include_length || left.len() > self.size);
        if told {
            take = take.min(self.size - LENGTH_FIELD);
        }
        let content = left.get(..take).unwrap_or_default();
        let mut flags = 0;
        if told {
            flags |= LENGTH;
        }
        if content.len() < left.len() {
            flags |= MORE;
        }
        let mut w = Writer::new();
        w.u8(flags);
        if told {
            w.u32(u32::try_from(self.out.len()).unwrap_or(u32::MAX));
        }
        w.bytes(content);
        self.sent = self.sent.saturating_add(take);
        if !self.pending() {
            self.out = Vec::new();
            self.sent = 0;
        }
        w.into_vec()
    }
}

#[cfg(test)]
mod tests;
