//! Sealing (RFC 4303 3.3): which number a packet gets, padding, encryption in place.
use crate::packet::Packet;
use crate::stats::Drop;
use crate::{SaError, transport};
use arc_swap::ArcSwap;
use crypto::EspCipher;
use policy::sa::Usage;
use policy::{ChildSa, Mode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wire::esp::{EspHeader, EspTrailer};
use wire::iana::ProtocolId;
use wire::ip::{IpView, protocol};

/// Outer addresses of an SA; they move with NAT mappings and MOBIKE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// ESP in UDP (RFC 3948).
    pub encap: bool,
}

/// A byte or packet limit that a packet reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Rekey now. Told once.
    Soft,
    /// The SA must not be used any more. Told once.
    Hard,
}

/// Counters and limits of one direction. Only who seals or opens alone for the moment may count; anybody may read.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    packets: AtomicU64,
    /// Monotonic milliseconds plus one; 0 = never.
    last: AtomicU64,
    /// Few have any.
    limits: Option<Box<Limits>>,
    told_soft: AtomicBool,
    told_hard: AtomicBool,
}

/// Bytes and packets, 0 = no limit.
#[derive(Debug)]
struct Limits {
    soft: (u64, u64),
    hard: (u64, u64),
}

impl Meter {
    pub(crate) fn new(child: &ChildSa) -> Self {
        let (soft, hard) = (child.soft, child.hard);
        let limits = ((soft, hard) != Default::default()).then(|| Box::new(Limits { soft, hard }));
        Self { limits, ..Self::default() }
    }

    /// Over a hard limit already?
    #[inline]
    pub(crate) fn expired(&self) -> bool {
        let Some(limits) = &self.limits else { return false };
        let reached = |limit, counter: &AtomicU64| limit != 0 && counter.load(Ordering::Relaxed) >= limit;
        reached(limits.hard.0, &self.bytes) || reached(limits.hard.1, &self.packets)
    }

    /// Counts a packet; says when it reached a limit.
    #[inline]
    pub(crate) fn count(&self, bytes: usize, now: u64) -> Option<Limit> {
        let total = add(&self.bytes, bytes as u64);
        let packets = add(&self.packets, 1);
        self.last.store(now.wrapping_add(1), Ordering::Relaxed);
        let limits = self.limits.as_ref()?;
        let over = |limit: (u64, u64)| limit.0 != 0 && total >= limit.0 || limit.1 != 0 && packets >= limit.1;
        if over(limits.hard) && !self.told_hard.swap(true, Ordering::Relaxed) {
            return Some(Limit::Hard);
        }
        (over(limits.soft) && !self.told_soft.swap(true, Ordering::Relaxed)).then_some(Limit::Soft)
    }

    /// Sequence numbers are a limit as well (RFC 4303 3.3.3): the last sixteenth is the time to rekey.
    #[inline]
    pub(crate) fn numbers(&self, used: u64, last: u64) -> Option<Limit> {
        if used == last && !self.told_hard.swap(true, Ordering::Relaxed) {
            return Some(Limit::Hard);
        }
        (used >= last - (last >> 4) && !self.told_soft.swap(true, Ordering::Relaxed)).then_some(Limit::Soft)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            bytes: self.bytes.load(Ordering::Relaxed),
            packets: self.packets.load(Ordering::Relaxed),
            last: self.last.load(Ordering::Relaxed).checked_sub(1),
        }
    }
}

/// Adds to what nobody else changes meanwhile: cheaper than an addition that nobody can come between.
#[inline]
fn add(counter: &AtomicU64, n: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(n);
    counter.store(sum, Ordering::Relaxed);
    sum
}

/// The outbound half of a CHILD_SA.
#[derive(Debug)]
pub struct OutSa {
    /// Handle of the CHILD_SA.
    pub child: u32,
    /// The peer's SPI.
    pub spi: u32,
    /// Tunnel or transport.
    pub mode: Mode,
    cipher: EspCipher,
    esn: bool,
    /// Last number used; changed by who has the turn.
    sequence: AtomicU64,
    /// There is a [`Turn`].
    turn: AtomicBool,
    path: ArcSwap<Path>,
    meter: Meter,
    copy_df: bool,
    copy_ecn: bool,
    copy_dscp: bool,
    /// Least bytes of payload before the trailer; 0 = no TFC padding, `u32::MAX` = up to the MTU.
    tfc: u32,
}

/// What sealing says beside the packet itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// DSCP and ECN of the outer header.
    pub class: u8,
    /// Don't Fragment of the outer header.
    pub dont_fragment: bool,
    /// A limit that this packet reached.
    pub limit: Option<Limit>,
}

impl OutSa {
    /// Sets the outbound half up.
    ///
    /// # Errors
    /// Keys that do not fit, AH, and modes other than tunnel and transport.
    pub fn new(child: &ChildSa) -> Result<Self, SaError> {
        supported(child)?;
        let cipher = cipher(child, &child.keys_out)?;
        let (dscp_out, config) = (matches!(child.config.copy_dscp.as_str(), "out" | "yes"), &child.config);
        Ok(Self {
            child: child.id,
            spi: child.spi_out,
            mode: child.mode,
            cipher,
            esn: child.esn,
            sequence: AtomicU64::new(0),
            turn: AtomicBool::new(false),
            path: ArcSwap::from_pointee(Path {
                local: child.local,
                remote: child.remote,
                encap: child.encap,
            }),
            meter: Meter::new(child),
            copy_df: config.copy_df,
            copy_ecn: config.copy_ecn,
            copy_dscp: dscp_out,
            tfc: if child.tfc_allowed && child.mode == Mode::Tunnel { config.tfc_padding } else { 0 },
        })
    }

    /// As [`Self::new`], with the outer addresses of the inbound half; as long as neither moves they are kept once.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(child: &ChildSa, inbound: &crate::InSa) -> Result<Self, SaError> {
        let sa = Self::new(child)?;
        sa.path.store(inbound.shared_path());
        Ok(sa)
    }

    /// As [`Self::new`], going on after sequence number `last`: for an SA taken over from another node or process.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn resumed(child: &ChildSa, last: u64) -> Result<Self, SaError> {
        Ok(Self { sequence: AtomicU64::new(last), ..Self::new(child)? })
    }

    /// Where packets go.
    #[must_use]
    #[inline]
    pub fn path(&self) -> Path {
        **self.path.load()
    }

    /// Moves the outer addresses.
    pub fn set_path(&self, path: impl Into<Arc<Path>>) {
        self.path.store(path.into());
    }

    /// Takes the right to seal and send. `None` when another has it.
    #[must_use]
    pub fn try_turn(self: &Arc<Self>) -> Option<Turn> {
        (!self.turn.swap(true, Ordering::Acquire)).then(|| Turn { path: self.path(), sa: Arc::clone(self) })
    }

    /// Bytes and packets sealed.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Last sequence number used.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Bytes before the payload: header and IV.
    #[must_use]
    #[inline]
    pub fn head_len(&self) -> usize {
        EspHeader::LEN + self.cipher.iv_len()
    }

    /// Bytes that an inner packet of `len` bytes has as ESP, without outer IP and UDP headers and TFC padding.
    #[must_use]
    pub fn sealed_len(&self, len: usize) -> usize {
        let plain = (len + EspTrailer::LEN).next_multiple_of(self.cipher.align());
        self.head_len() + plain + self.cipher.icv_len()
    }

    /// The biggest inner packet whose ESP has at most `room` bytes.
    #[must_use]
    pub fn inner_room(&self, room: usize) -> usize {
        let fixed = self.head_len() + self.cipher.icv_len();
        let plain = room.saturating_sub(fixed);
        (plain - plain % self.cipher.align()).saturating_sub(EspTrailer::LEN)
    }

    /// Outer DSCP and ECN. ECN in normal mode copies (RFC 6040 4.1); off means Not-ECT.
    #[inline]
    fn class(&self, view: &IpView) -> u8 {
        let dscp = if self.copy_dscp || self.mode == Mode::Transport { view.dscp } else { 0 };
        let ecn = if self.copy_ecn || self.mode == Mode::Transport { view.ecn } else { 0 };
        dscp << 2 | ecn
    }

    /// Bytes of TFC padding behind a payload of `len` (2.7).
    #[inline]
    fn tfc_bytes(&self, len: usize, room: usize) -> usize {
        let want = match self.tfc {
            0 => return 0,
            u32::MAX => self.inner_room(room),
            n => (n as usize).min(self.inner_room(room)),
        };
        want.saturating_sub(len)
    }
}

/// The right to seal with an SA: there is one at a time, and only its holder draws sequence numbers. Whoever holds it
/// until what was sealed has left keeps packets in the order of their numbers, however many threads seal.
#[derive(Debug)]
pub struct Turn {
    sa: Arc<OutSa>,
    path: Path,
}

impl Turn {
    /// The SA.
    #[must_use]
    #[inline]
    pub fn sa(&self) -> &Arc<OutSa> {
        &self.sa
    }

    /// Where its packets went when the turn began.
    #[must_use]
    #[inline]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Seals the IP packet in place: it becomes ESP from SPI to ICV, without outer headers. `now` is monotonic
    /// milliseconds; `room` how many bytes of ESP the path takes (for TFC padding up to the MTU).
    ///
    /// # Errors
    /// Why the packet must be dropped.
    pub fn seal(
        &mut self,
        packet: &mut Packet<'_>,
        view: &IpView,
        now: u64,
        room: usize,
    ) -> Result<Sealed, Drop> {
        let sa = &*self.sa;
        if sa.meter.expired() {
            return Err(Drop::Expired);
        }
        let whole = view.total_len;
        packet.narrow(0..whole).ok_or(Drop::Malformed)?;
        let next_header = match sa.mode {
            Mode::Transport => transport::strip(packet, view)?,
            _ if view.source.is_ipv4() => protocol::IPV4,
            _ => protocol::IPV6,
        };
        let align = sa.cipher.align();
        // TFC padding hides what it can: it never costs the packet.
        let needed = align + EspTrailer::LEN + sa.cipher.icv_len();
        let tfc = sa.tfc_bytes(packet.len(), room).min(packet.tailroom().saturating_sub(needed));
        let padding = (align - (packet.len() + tfc + EspTrailer::LEN) % align) % align;
        let (payload, tail) = (packet.len(), tfc + padding + EspTrailer::LEN + sa.cipher.icv_len());
        let head = sa.head_len();
        packet.grow_back(tail).ok_or(Drop::NoRoom)?;
        packet.grow_front(head).ok_or(Drop::NoRoom)?;
        let pad_len = u8::try_from(padding).map_err(|_| Drop::NoRoom)?;
        let filler = packet.bytes_mut().get_mut(head + payload..).ok_or(Drop::NoRoom)?;
        let (zeros, rest) = filler.split_at_mut_checked(tfc).ok_or(Drop::NoRoom)?;
        zeros.fill(0);
        // RFC 4303 2.4: "the padding bytes are initialized with a series of (unsigned, 1-byte) integer values".
        let (filler, end) = rest.split_at_mut_checked(padding).ok_or(Drop::NoRoom)?;
        filler.iter_mut().zip(1..=pad_len).for_each(|(to, from)| *to = from);
        *end.first_chunk_mut().ok_or(Drop::NoRoom)? = [pad_len, next_header];

        // 3.3.3: "The transmitted sequence number must never be allowed to cycle" (not even with ESN).
        let limit = if sa.esn { u64::MAX } else { u64::from(u32::MAX) };
        let last = sa.sequence.load(Ordering::Relaxed);
        let seq = last.checked_add(1).filter(|seq| *seq <= limit).ok_or(Drop::Exhausted)?;
        sa.sequence.store(seq, Ordering::Relaxed);
        let (high, low) = split(seq);
        packet.write(0, &EspHeader { spi: sa.spi, seq: low }.encode()).ok_or(Drop::NoRoom)?;
        sa.cipher.seal(sa.esn.then_some(high), packet.bytes_mut(), seq).map_err(|_| Drop::NoRoom)?;
        let counted = sa.meter.count(whole, now);
        Ok(Sealed {
            class: sa.class(view),
            dont_fragment: sa.copy_df && view.dont_fragment && view.source.is_ipv4(),
            limit: sa.meter.numbers(seq, limit).or(counted),
        })
    }
}

impl std::ops::Drop for Turn {
    fn drop(&mut self) {
        self.sa.turn.store(false, Ordering::Release);
    }
}

/// High and low half of a sequence number.
#[inline]
pub(crate) fn split(seq: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = seq.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

pub(crate) fn supported(child: &ChildSa) -> Result<(), SaError> {
    if child.protocol != ProtocolId::Esp {
        return Err(SaError::Unsupported("AH".into()));
    }
    match child.mode {
        Mode::Tunnel | Mode::Transport => Ok(()),
        mode => Err(SaError::Unsupported(format!("mode {mode:?}"))),
    }
}

pub(crate) fn cipher(child: &ChildSa, keys: &policy::SaKeys) -> Result<EspCipher, SaError> {
    let (encr, bits) = child.encr;
    Ok(EspCipher::new(encr, bits, child.integ, keys.encr.as_slice(), keys.integ.as_slice())?)
}
