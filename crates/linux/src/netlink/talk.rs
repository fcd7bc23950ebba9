//! One question and its answers over a netlink socket, for every family of messages.
//!
//! Messages may carry keys: what was sent and received is wiped, and the kernel is asked not to echo requests.
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use std::fmt;
use std::io;
use zeroize::Zeroizing;

/// `NLMSGERR_ATTR_MSG`.
const SAID: u16 = 1;
/// The error's code and the header of the request it answers.
const ERROR_HEADER: usize = 16;

/// Length of the header of a message, and the types that are not of a family.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// Requests sent at once: even if the kernel refuses them all, there is room for what it says.
const AT_ONCE: usize = 64;
/// Room for one answer to a request that is not echoed.
const ANSWER: usize = 8192;

/// What the kernel refused, with its own words where it has some.
#[derive(Debug)]
struct Refusal {
    source: io::Error,
    said: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.said, self.source)
    }
}

impl std::error::Error for Refusal {}

/// The system's error number behind an error of [`Talk::call`].
pub(crate) fn errno(error: &io::Error) -> Option<i32> {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
    refusal.map_or_else(|| error.raw_os_error(), |refusal| refusal.source.raw_os_error())
}

/// A socket and the number of the last question.
pub(crate) struct Talk {
    socket: Socket,
    port: u32,
    sequence: u32,
}

impl Talk {
    /// Opens a socket of this protocol in the thread's network namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // wishes: an old kernel answers with less
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self { socket, port, sequence: 0 })
    }

    pub(crate) const fn port(&self) -> u32 {
        self.port
    }

    pub(crate) const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Sends and collects until the acknowledgement, the end of the dump or an error.
    pub(crate) fn call<M>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.call_secret(message, flags, |_| {})
    }

    /// As [`Self::call`]; `wipe` clears the message once it is sent.
    pub(crate) fn call_secret<M>(
        &mut self,
        message: M,
        flags: u16,
        wipe: impl FnOnce(&mut M),
    ) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.ask(message, flags, wipe)?;
        let mut all = Vec::new();
        loop {
            let received = Zeroizing::new(self.socket.recv_from_full()?.0);
            let mut rest = received.as_slice();
            while !rest.is_empty() {
                let (message, len) = parse::<M>(rest)?;
                rest = rest.get(len..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue; // an answer to a question that was given up
                }
                let explained = message.header.flags & NLM_F_ACK_TLVS != 0;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(all),
                    NetlinkPayload::Error(e) => return outcome(&e, explained).map(|()| all),
                    NetlinkPayload::InnerMessage(inner) => all.push(inner),
                    NetlinkPayload::Overrun(_) => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
                    _ => {}
                }
            }
        }
    }

    /// Sends and hands over the body of every answer as it lies there, for answers that are many: nothing is copied,
    /// so nothing is left of the keys in them.
    pub(crate) fn each<M>(&mut self, message: M, flags: u16, mut heard: impl FnMut(&[u8])) -> io::Result<()>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        self.ask(message, flags, |_| {})?;
        loop {
            let received = Zeroizing::new(self.socket.recv_from_full()?.0);
            let mut rest = received.as_slice();
            while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
                let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
                let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).map_err(io::Error::other)?;
                let body =
                    rest.get(HEADER..len).ok_or_else(|| io::Error::other("a netlink message is cut off"))?;
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                if u32::from_ne_bytes([s0, s1, s2, s3]) != self.sequence {
                    continue;
                }
                match u16::from_ne_bytes([k0, k1]) {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        return match code {
                            0 => Ok(()),
                            code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                        };
                    }
                    NLMSG_OVERRUN => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
                    _ => heard(body),
                }
            }
        }
    }

    /// Sends requests that are only carried out or refused, many at once. The kernel takes them in order: it says what
    /// it refuses, and that it has come to the last of them. The outcomes are in the same order.
    pub(crate) fn change_many<M>(&mut self, messages: Vec<M>, flags: u16) -> Vec<io::Result<()>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let first = self.sequence.wrapping_add(1);
            let (mut bytes, mut count) = (Vec::new(), 0usize);
            while count < AT_ONCE
                && let Some(message) = messages.next()
            {
                count += 1;
                let last = count == AT_ONCE || messages.peek().is_none();
                let request = self.request(message, if last { flags | NLM_F_ACK } else { flags });
                let start = bytes.len();
                bytes.resize(start + request.buffer_len().next_multiple_of(4), 0);
                request.serialize(bytes.get_mut(start..).unwrap_or_default());
            }
            let start = outcomes.len();
            outcomes.resize_with(start + count, || Ok(()));
            let these = outcomes.get_mut(start..).unwrap_or_default();
            if let Err(e) = self.socket.send(&bytes, 0).and_then(|_| self.refusals::<M>(first, these)) {
                // Nobody knows how far the kernel came.
                let kind = e.kind();
                these.fill_with(|| Err(io::Error::new(kind, e.to_string())));
            }
        }
        outcomes
    }

    /// Reads until the last of these requests is answered.
    fn refusals<M: NetlinkDeserializable>(
        &self,
        first: u32,
        outcomes: &mut [io::Result<()>],
    ) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(ANSWER);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0)?;
            let mut rest = buffer.as_slice();
            while !rest.is_empty() {
                let (message, len) = parse::<M>(rest)?;
                rest = rest.get(len..).unwrap_or_default();
                let number = message.header.sequence_number.wrapping_sub(first);
                let explained = message.header.flags & NLM_F_ACK_TLVS != 0;
                let place = usize::try_from(number).ok().and_then(|number| outcomes.get_mut(number));
                if let (NetlinkPayload::Error(e), Some(place)) = (message.payload, place) {
                    *place = outcome(&e, explained);
                    if message.header.sequence_number == self.sequence {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn request<M>(&mut self, message: M, flags: u16) -> NetlinkMessage<M>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        request
    }

    fn ask<M>(&mut self, message: M, flags: u16, wipe: impl FnOnce(&mut M)) -> io::Result<()>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        let mut request = self.request(message, flags);
        let mut bytes = Zeroizing::new(vec![0u8; request.buffer_len()]);
        request.serialize(&mut bytes);
        if let NetlinkPayload::InnerMessage(message) = &mut request.payload {
            wipe(message);
        }
        self.send(bytes)
    }

    fn send(&self, bytes: Zeroizing<Vec<u8>>) -> io::Result<()> {
        self.socket.send(&bytes, 0).map(drop)
    }
}

fn outcome(error: &ErrorMessage, explained: bool) -> io::Result<()> {
    let Some(code) = error.code else { return Ok(()) };
    let source = io::Error::from_raw_os_error(code.get().saturating_neg());
    let said = if explained { said(&error.header) } else { None };
    match said {
        Some(said) => Err(io::Error::new(source.kind(), Refusal { source, said })),
        None => Err(source),
    }
}

/// The kernel's words among the attributes behind the header of a request that was not echoed.
fn said(error: &[u8]) -> Option<String> {
    let mut rest = error.get(ERROR_HEADER..)?;
    while let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = rest.get(4..len)?;
        if u16::from_ne_bytes([*k0, *k1]) == SAID {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// One message off the front, and its padded length.
pub(crate) fn parse<M: NetlinkDeserializable>(bytes: &[u8]) -> io::Result<(NetlinkMessage<M>, usize)> {
    let message = NetlinkMessage::<M>::deserialize(bytes).map_err(io::Error::other)?;
    let len = usize::try_from(message.header.length).map_err(io::Error::other)?;
    Ok((message, len.next_multiple_of(4).max(16)))
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn finds_the_kernels_words_behind_the_header() {
        let mut bytes = vec![9; 16];
        bytes.extend_from_slice(&[8, 0, 2, 0, 1, 2, 3, 4]); // an offset
        bytes.extend_from_slice(&[11, 0, 1, 0]);
        bytes.extend_from_slice(b"no way\0\0");
        assert_eq!(said(&bytes).as_deref(), Some("no way"));
        assert_eq!(said(&bytes[..24]), None);
        bytes[24] = 200; // longer than there is
        assert_eq!(said(&bytes), None);
    }
}
