//! nf_tables over netlink, without the `nft` program: the few messages that are needed here, written by hand. A batch
//! is taken as a whole or not at all. Where rules are many and various, [`program`] runs `nft`.
//!
//! The walk: [`Batch`] (messages and what they are made of) → [`returns`] (answers go back by the SA that the question
//! came by). `netns::nat` has the demo's router.

pub mod program;
pub mod returns;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// What is done to what.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DeleteTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewElements = 12,
    DeleteElements = 14,
}

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;

/// Messages of one family.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    family: u8,
}

/// The family of IPv4.
pub(crate) const IPV4: u8 = 2;
/// The family of IPv6.
pub(crate) const IPV6: u8 = 10;
/// Both.
pub(crate) const INET: u8 = 1;

impl Batch {
    pub(crate) fn new(family: u8) -> Self {
        let mut batch = Self { bytes: Vec::new(), sequence: 0, family };
        batch.message(BATCH_BEGIN, 0, 0, SUBSYSTEM, &[]);
        batch
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        let len = u32::try_from(attributes.len().saturating_add(20)).unwrap_or(u32::MAX);
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.push(family);
        self.bytes.push(0);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
        self.sequence = self.sequence.saturating_add(1);
    }

    /// One more thing to do.
    pub(crate) fn add(&mut self, kind: Kind, attributes: &[Vec<u8>]) {
        let flags = match kind {
            Kind::NewTable | Kind::NewChain | Kind::NewSet | Kind::NewElements => NLM_F_CREATE,
            Kind::NewRule => NLM_F_CREATE | NLM_F_APPEND,
            Kind::GetTable | Kind::DeleteTable | Kind::DeleteElements => 0,
        };
        let number = SUBSYSTEM << 8 | kind as u16;
        self.message(number, flags | NLM_F_ACK, self.family, 0, &attributes.concat());
    }

    /// Has it done, all or nothing. The first refusal is the batch's.
    pub(crate) fn submit(mut self) -> io::Result<()> {
        let expected = self.sequence.saturating_sub(1);
        self.message(BATCH_END, 0, 0, SUBSYSTEM, &[]);
        exchange(&self.bytes, expected)
    }
}

/// Whether there is a table of this name.
pub(crate) fn has_table(family: u8, name: &str) -> io::Result<bool> {
    // A question stands alone.
    let mut batch = Batch { bytes: Vec::new(), sequence: 0, family };
    batch.add(Kind::GetTable, &[text(1, name)]);
    match exchange(&batch.bytes, 1) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(value.len().saturating_add(7));
    out.extend(len.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub(crate) fn text(kind: u16, value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(kind, &bytes)
}

pub(crate) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

pub(crate) fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

/// One expression of a rule: NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA }.
pub(crate) fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, data)])
}

/// Sends and waits for the acknowledgements; the first error ends it.
fn exchange(bytes: &[u8], mut expected: u32) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(bytes, 0)?;
    while expected > 0 {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while let (Some(len), Some(kind)) = (rest.first_chunk::<4>(), rest.get(4..6)) {
            let len = usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX).max(16);
            if kind == 2u16.to_ne_bytes() {
                // NLMSG_ERROR: a negative errno, or 0 for an acknowledgement
                let code =
                    rest.get(16..20).and_then(|c| c.first_chunk::<4>()).map_or(0, |c| i32::from_ne_bytes(*c));
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                expected = expected.saturating_sub(1);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Ok(())
}
