//! One datagram (possibly of many segments) out, a batch of datagrams in: `sendmsg` and `recvmmsg` with their
//! control messages.
//!
//! Control messages and socket addresses are read and written as plain bytes, so that the only `unsafe` left is
//! the two calls themselves.
#![allow(unsafe_code, reason = "nix allocates a buffer per sendmsg and has no control message for TOS")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Datagrams received by one call at most.
pub const SLOTS: usize = 16;
/// Datagrams (of segments, perhaps) sent by one call at most.
pub const TOGETHER: usize = 8;
/// Room for a `sockaddr_in6`.
const NAME: usize = 28;
/// Room for the control messages we ask for: packet info, traffic class, segment size.
const CONTROL: usize = 16;
/// `cmsghdr`: length, level, type.
const HEADER: usize = size_of::<usize>() + 8;

/// Address families as they stand in a socket address.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

/// A datagram to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// Source address, or the kernel's choice. An unspecified address counts as none.
    pub from: Option<IpAddr>,
    /// TOS byte or traffic class, or the socket's default.
    pub tos: Option<u8>,
    /// Cut `data` into datagrams of so many bytes (the last may be shorter): `UDP_SEGMENT`.
    pub segment: Option<u16>,
    /// The payload.
    pub data: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// A single datagram with the kernel's choice of source and the socket's TOS.
    #[must_use]
    pub const fn new(to: SocketAddr, data: &'a [u8]) -> Self {
        Self { to, from: None, tos: None, segment: None, data }
    }
}

/// What came with a received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Sender.
    pub source: SocketAddr,
    /// The address it was sent to, when the socket asks for it.
    pub destination: Option<IpAddr>,
    /// Index of the interface it came in by, 0 if unknown.
    pub interface: u32,
    /// Length of each datagram in the buffer; the last may be shorter. Never 0.
    pub stride: usize,
    /// TOS byte or traffic class of the outer header.
    pub tos: u8,
    /// Bytes in the buffer.
    pub len: usize,
    /// The buffer was too small; the rest is lost.
    pub truncated: bool,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            source: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
            destination: None,
            interface: 0,
            stride: 1,
            tos: 0,
            len: 0,
            truncated: false,
        }
    }
}

/// Buffers for [`receive`]; allocated once and used for ever.
#[derive(Debug)]
pub struct Batch {
    data: Vec<u8>,
    slot: usize,
    names: Vec<[u8; NAME]>,
    controls: Vec<[u64; CONTROL]>,
    meta: Vec<Meta>,
    /// Of the slots, how many a receive uses.
    most: usize,
    count: usize,
}

impl Batch {
    /// `slots` buffers (1 to [`SLOTS`]) of `slot` bytes each (65535 to take whatever GRO joins).
    #[must_use]
    pub fn new(slots: usize, slot: usize) -> Self {
        let slots = slots.clamp(1, SLOTS);
        let slot = slot.max(1);
        Self {
            data: vec![0; slots.saturating_mul(slot)],
            slot,
            names: vec![[0; NAME]; slots],
            controls: vec![[0; CONTROL]; slots],
            meta: vec![Meta::default(); slots],
            most: slots,
            count: 0,
        }
    }

    /// From now on a receive takes so many datagrams at most, of the slots there are, at least 1.
    pub fn take(&mut self, most: usize) {
        self.most = most.clamp(1, self.meta.len().max(1));
    }

    /// Buffers filled by the last receive.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Bytes in all of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.meta.iter().take(self.count).map(|meta| meta.len).sum()
    }

    /// Nothing was received.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What came with buffer `i`, and where it lies in [`Self::memory`].
    #[must_use]
    pub fn get(&self, i: usize) -> Option<(Meta, Range<usize>)> {
        let meta = self.meta.get(i).filter(|_| i < self.count)?;
        let start = i.checked_mul(self.slot)?;
        Some((*meta, start..start.checked_add(meta.len)?))
    }

    /// All buffers, one after the other.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        &self.data
    }

    /// As [`Self::memory`], to change.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The filled buffers with what came with them. A buffer holds `meta.len.div_ceil(meta.stride)` datagrams:
    /// cut it with `chunks_mut(meta.stride)`.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Meta, &mut [u8])> {
        self.data
            .chunks_mut(self.slot)
            .zip(self.meta.iter())
            .take(self.count)
            .filter_map(|(buffer, meta)| buffer.get_mut(..meta.len).map(|b| (*meta, b)))
    }
}

/// Receives what is there, at most the batch's slots, without waiting.
///
/// # Errors
/// The system's, `WouldBlock` when nothing is there.
pub fn receive(socket: BorrowedFd<'_>, batch: &mut Batch) -> io::Result<usize> {
    batch.count = 0;
    if batch.most == 1 { receive_by::<1>(socket, batch) } else { receive_by::<SLOTS>(socket, batch) }
}

/// With headers for `N`.
fn receive_by<const N: usize>(socket: BorrowedFd<'_>, batch: &mut Batch) -> io::Result<usize> {
    // SAFETY: both are plain C structs for which all zeroes is a valid value (null pointers, zero lengths).
    let mut vectors: [libc::iovec; N] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; N] = unsafe { zeroed() };
    let mut used = 0;
    for ((((buffer, name), control), vector), header) in batch
        .data
        .chunks_mut(batch.slot)
        .zip(batch.names.iter_mut())
        .zip(batch.controls.iter_mut())
        .zip(vectors.iter_mut())
        .zip(headers.iter_mut())
        .take(batch.most)
    {
        *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = 28;
        header.msg_hdr.msg_iov = ptr::from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of::<[u64; CONTROL]>() as _;
        used += 1;
    }
    // SAFETY: the first `used` headers point at buffers, names and controls that live in `batch` and at vectors on
    // this stack frame, each with its true length; all outlive the call, and nothing else refers to them.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            used,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (((header, meta), name), control) in headers
        .iter()
        .take(received)
        .zip(batch.meta.iter_mut())
        .zip(batch.names.iter())
        .zip(batch.controls.iter())
    {
        let len = (header.msg_len as usize).min(batch.slot);
        *meta = Meta {
            source: parse_name(name).unwrap_or(Meta::default().source),
            stride: len.max(1),
            len,
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            ..Meta::default()
        };
        let mut bytes = [0u8; CONTROL * 8];
        for (to, from) in bytes.chunks_exact_mut(8).zip(control.iter()) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        #[allow(clippy::unnecessary_cast, reason = "the type of msg_controllen differs between C libraries")]
        let filled =
            bytes.get(..(header.msg_hdr.msg_controllen as usize).min(bytes.len())).unwrap_or_default();
        parse_control(filled, meta);
    }
    batch.count = received;
    Ok(received)
}

/// Sends one datagram, or its segments, without waiting.
///
/// # Errors
/// The system's: `WouldBlock` when the queue is full, `EMSGSIZE` beyond the path MTU with DF, `EIO` or `EINVAL`
/// when the interface cannot cut segments.
pub fn send(socket: BorrowedFd<'_>, out: &Outgoing<'_>) -> io::Result<()> {
    let mut letter = Letter::new(out);
    // SAFETY: a plain C struct for which all zeroes is a valid value.
    let mut header: libc::msghdr = unsafe { zeroed() };
    letter.fill(&mut header);
    // SAFETY: the header points at the letter's name, control area and vector and at the caller's data, each with its
    // true length; all outlive the call, and sendmsg only reads them.
    let sent = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends several, at most [`TOGETHER`], by one call. Gives how many went: the next was refused, or is one too many.
///
/// # Errors
/// As [`send`], of the first.
pub fn send_all(socket: BorrowedFd<'_>, all: &[Outgoing<'_>]) -> io::Result<usize> {
    let mut letters: [Option<Letter>; TOGETHER] = [const { None }; TOGETHER];
    // SAFETY: a plain C struct for which all zeroes is a valid value.
    let mut headers: [libc::mmsghdr; TOGETHER] = unsafe { zeroed() };
    let mut count = 0;
    for ((out, slot), header) in all.iter().zip(&mut letters).zip(&mut headers) {
        slot.insert(Letter::new(out)).fill(&mut header.msg_hdr);
        count += 1;
    }
    // SAFETY: the first `count` headers point at names, control areas and vectors of `letters` and at the caller's data,
    // each with its true length; all outlive the call, and sendmmsg writes nothing but the lengths in `headers`.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What a header points at, beside the data.
struct Letter {
    name: [u8; NAME],
    name_len: libc::socklen_t,
    control: Control,
    vector: libc::iovec,
}

impl Letter {
    fn new(out: &Outgoing<'_>) -> Self {
        let mut name = [0u8; NAME];
        let name_len = write_name(&mut name, out.to);
        let mut control = Control::default();
        match out.from {
            Some(IpAddr::V4(address)) if !address.is_unspecified() => {
                // struct in_pktinfo: interface index, source address, (unused) destination
                let mut info = [0u8; 12];
                put(&mut info, 4, &address.octets());
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(address)) if !address.is_unspecified() => {
                // struct in6_pktinfo: source address, interface index
                let mut info = [0u8; 20];
                put(&mut info, 0, &address.octets());
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            _ => {}
        }
        if let Some(tos) = out.tos {
            let value = i32::from(tos).to_ne_bytes();
            match out.to {
                SocketAddr::V4(_) => control.push(libc::IPPROTO_IP, libc::IP_TOS, &value),
                SocketAddr::V6(_) => control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value),
            }
        }
        if let Some(segment) = out.segment.filter(|s| usize::from(*s) < out.data.len()) {
            control.push(libc::SOL_UDP, UDP_SEGMENT, &segment.to_ne_bytes());
        }
        let vector = libc::iovec { iov_base: out.data.as_ptr().cast_mut().cast(), iov_len: out.data.len() };
        Self { name, name_len, control, vector }
    }

    /// Points the header at this: it must stay where it is as long as the header is used.
    fn fill(&mut self, header: &mut libc::msghdr) {
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = self.name_len;
        header.msg_iov = ptr::from_mut(&mut self.vector);
        header.msg_iovlen = 1;
        if self.control.len > 0 {
            header.msg_control = self.control.words.as_mut_ptr().cast();
            header.msg_controllen = self.control.len as _;
        }
    }
}

/// Control messages being written, aligned as the kernel wants them.
#[derive(Default)]
struct Control {
    words: [u64; CONTROL],
    len: usize,
}

impl Control {
    /// Appends one message. Ours fit by construction; one that would not is left out.
    fn push(&mut self, level: i32, kind: i32, value: &[u8]) {
        let mut bytes = [0u8; 64];
        let total = HEADER + value.len();
        put(&mut bytes, 0, &total.to_ne_bytes());
        put(&mut bytes, size_of::<usize>(), &level.to_ne_bytes());
        put(&mut bytes, size_of::<usize>() + 4, &kind.to_ne_bytes());
        put(&mut bytes, HEADER, value);
        let space = align(total);
        if self.len + space > CONTROL * 8 {
            return;
        }
        for (to, from) in self.words.iter_mut().skip(self.len / 8).zip(bytes.chunks_exact(8)).take(space / 8)
        {
            let mut word = [0u8; 8];
            word.copy_from_slice(from);
            *to = u64::from_ne_bytes(word);
        }
        self.len += space;
    }
}

const fn align(n: usize) -> usize {
    n.div_ceil(8) * 8
}

fn put(to: &mut [u8], at: usize, from: &[u8]) {
    if let Some(slot) = to.get_mut(at..).and_then(|t| t.get_mut(..from.len())) {
        slot.copy_from_slice(from);
    }
}

fn array<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk::<N>().copied()
}

fn parse_control(mut bytes: &[u8], meta: &mut Meta) {
    while let (Some(len), Some(level), Some(kind)) = (
        array(bytes, 0).map(usize::from_ne_bytes),
        array(bytes, size_of::<usize>()),
        array(bytes, size_of::<usize>() + 4),
    ) {
        let Some(value) = bytes.get(HEADER..len) else { return };
        match (i32::from_ne_bytes(level), i32::from_ne_bytes(kind)) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                meta.interface = array(value, 0).map_or(0, u32::from_ne_bytes);
                meta.destination = array::<4>(value, 8).map(|a| IpAddr::V4(Ipv4Addr::from(a)));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                meta.destination = array::<16>(value, 0).map(|a| IpAddr::V6(Ipv6Addr::from(a)));
                meta.interface = array(value, 16).map_or(0, u32::from_ne_bytes);
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => meta.tos = value.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                meta.tos =
                    array(value, 0).map_or(0, |v| u8::try_from(i32::from_ne_bytes(v) & 0xff).unwrap_or(0));
            }
            (libc::SOL_UDP, UDP_GRO) => {
                let stride = array(value, 0).map_or(0, i32::from_ne_bytes);
                if let Ok(stride) = usize::try_from(stride)
                    && stride > 0
                {
                    meta.stride = stride;
                }
            }
            _ => {}
        }
        match bytes.get(align(len)..) {
            Some(rest) if len >= HEADER => bytes = rest,
            _ => return,
        }
    }
}

fn parse_name(name: &[u8; NAME]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(array(name, 0)?);
    let port = u16::from_be_bytes(array(name, 2)?);
    match family {
        AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(array::<4>(name, 4)?), port))),
        AF_INET6 => Some(SocketAddr::V6(SocketAddrV6::new(
            Ipv6Addr::from(array::<16>(name, 8)?),
            port,
            0,
            u32::from_ne_bytes(array(name, 24)?),
        ))),
        _ => None,
    }
}

fn write_name(name: &mut [u8; NAME], to: SocketAddr) -> libc::socklen_t {
    match to {
        SocketAddr::V4(v4) => {
            put(name, 0, &AF_INET.to_ne_bytes());
            put(name, 2, &v4.port().to_be_bytes());
            put(name, 4, &v4.ip().octets());
            16
        }
        SocketAddr::V6(v6) => {
            put(name, 0, &AF_INET6.to_ne_bytes());
            put(name, 2, &v6.port().to_be_bytes());
            put(name, 8, &v6.ip().octets());
            put(name, 24, &v6.scope_id().to_ne_bytes());
            28
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for text in ["192.0.2.7:4500", "[2001:db8::7]:500", "[fe80::1%3]:4500"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = [0u8; NAME];
            write_name(&mut name, address);
            assert_eq!(parse_name(&name), Some(address));
        }
        assert_eq!(parse_name(&[0; NAME]), None);
    }

    #[test]
    fn control_messages_are_read_back() {
        let mut control = Control::default();
        let mut info = [0u8; 20];
        put(&mut info, 0, &Ipv6Addr::LOCALHOST.octets());
        put(&mut info, 16, &7u32.to_ne_bytes());
        control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &0xb8i32.to_ne_bytes());
        control.push(libc::SOL_UDP, UDP_GRO, &1200i32.to_ne_bytes());
        let bytes: Vec<u8> = control.words.iter().flat_map(|w| w.to_ne_bytes()).take(control.len).collect();
        let mut meta = Meta::default();
        parse_control(&bytes, &mut meta);
        assert_eq!(meta.destination, Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!((meta.interface, meta.tos, meta.stride), (7, 0xb8, 1200));
        // cut anywhere: no panic
        for n in 0..bytes.len() {
            parse_control(bytes.get(..n).unwrap(), &mut meta);
        }
    }
}
