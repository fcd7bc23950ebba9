//! Opening (RFC 4303 3.4): replay check, integrity, decryption, what is inside and whether it may be there.
use crate::outbound::{Limit, Meter, Path, cipher, split, supported};
use crate::packet::Packet;
use crate::replay::Window;
use crate::stats::Drop;
use crate::{SaError, transport};
use arc_swap::ArcSwap;
use crypto::EspCipher;
use policy::sa::Usage;
use policy::{ChildSa, Mode, Selector};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::esp::{EspHeader, EspTrailer, NEXT_HEADER_DUMMY};
use wire::ip::{IpView, protocol, set_ecn};

/// The inbound half of a CHILD_SA.
#[derive(Debug)]
pub struct InSa {
    /// Handle of the CHILD_SA.
    pub child: u32,
    /// Our SPI.
    pub spi: u32,
    /// Tunnel or transport.
    pub mode: Mode,
    cipher: EspCipher,
    esn: bool,
    /// The SA's own lock, never shared between SAs: held while its packets are opened.
    window: Mutex<Window>,
    path: ArcSwap<Path>,
    meter: Meter,
    /// Those of the CHILD_SA, which it shares with whoever asked for it.
    local_ts: Arc<[Selector]>,
    remote_ts: Arc<[Selector]>,
    copy_ecn: bool,
    copy_dscp: bool,
    /// Nobody has told yet that the first packet came.
    waiting: AtomicBool,
}

/// What opening says beside the packet itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Headers of the inner packet.
    pub view: IpView,
    /// A limit that this packet reached.
    pub limit: Option<Limit>,
    /// It is the newest packet of the SA and came from elsewhere than the path says: the NAT mapping changed.
    pub moved: bool,
    /// The first packet on an SA whose outbound half waits for it.
    pub first: bool,
}

impl InSa {
    /// Sets the inbound half up.
    ///
    /// # Errors
    /// Keys that do not fit, AH, and modes other than tunnel and transport.
    pub fn new(child: &ChildSa) -> Result<Self, SaError> {
        supported(child)?;
        Ok(Self {
            child: child.id,
            spi: child.spi_in,
            mode: child.mode,
            cipher: cipher(child, &child.keys_in)?,
            esn: child.esn,
            window: Mutex::new(Window::new(child.config.replay_window, child.esn)),
            path: ArcSwap::from_pointee(Path {
                local: child.local,
                remote: child.remote,
                encap: child.encap,
            }),
            meter: Meter::new(child),
            local_ts: Arc::clone(&child.local_ts),
            remote_ts: Arc::clone(&child.remote_ts),
            copy_ecn: child.config.copy_ecn,
            copy_dscp: matches!(child.config.copy_dscp.as_str(), "in" | "yes"),
            waiting: AtomicBool::new(child.inbound_only),
        })
    }

    /// As [`Self::new`], with everything up to sequence number `top` taken for seen: for an SA taken over from
    /// another node or process.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn resumed(child: &ChildSa, top: u64) -> Result<Self, SaError> {
        let sa = Self::new(child)?;
        sa.window.lock().unwrap_or_else(PoisonError::into_inner).resume(top);
        Ok(sa)
    }

    /// Traffic selectors: our side's and the peer's.
    #[must_use]
    #[inline]
    pub fn selectors(&self) -> (&[Selector], &[Selector]) {
        (&self.local_ts, &self.remote_ts)
    }

    /// Outer addresses packets are expected from.
    #[must_use]
    pub fn path(&self) -> Path {
        **self.path.load()
    }

    pub(crate) fn shared_path(&self) -> Arc<Path> {
        self.path.load_full()
    }

    /// Moves them.
    pub fn set_path(&self, path: impl Into<Arc<Path>>) {
        self.path.store(path.into());
    }

    /// Bytes and packets opened.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Begins to open packets. Whoever else does so for this SA meanwhile waits: make it short.
    #[must_use]
    pub fn begin(&self) -> Opening<'_> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        Opening { window, path: self.path(), sa: self }
    }

    /// Opens one packet: [`Opening::open`].
    ///
    /// # Errors
    /// Why the packet must be dropped.
    pub fn open(
        &self,
        packet: &mut Packet<'_>,
        from: SocketAddr,
        class: u8,
        now: u64,
    ) -> Result<Opened, Drop> {
        self.begin().open(packet, from, class, now)
    }

    #[inline]
    fn decapsulate(&self, packet: &mut Packet<'_>, next_header: u8, class: u8) -> Result<IpView, Drop> {
        let mut view = IpView::parse(packet.bytes()).map_err(|_| Drop::Malformed)?;
        let family = if view.source.is_ipv4() { protocol::IPV4 } else { protocol::IPV6 };
        if next_header != family {
            return Err(Drop::Malformed);
        }
        // What lies behind the inner packet is TFC padding (2.7).
        packet.narrow(0..view.total_len).ok_or(Drop::Malformed)?;
        if self.copy_ecn {
            // RFC 6040 4.2.
            let ecn = match (view.ecn, class & 3) {
                (0, 3) => return Err(Drop::Ecn),
                (1 | 2, 3) => 3,
                (2, 1) => 1,
                (inner, _) => inner,
            };
            if ecn != view.ecn {
                set_ecn(packet.bytes_mut(), ecn);
                view.ecn = ecn;
            }
        }
        if self.copy_dscp {
            set_dscp(packet.bytes_mut(), class >> 2);
            view.dscp = class >> 2;
        }
        Ok(view)
    }

    /// RFC 4301 5.2 step 4: the packet must match the selectors of the SA it came by.
    #[inline]
    fn admits(&self, view: &IpView) -> bool {
        let ports = view.upper.ports();
        let matches = |s: &Selector, address, port: Option<u16>| {
            s.contains_address(address)
                && (s.protocol == 0 || s.protocol == view.protocol)
                && crate::spd::port_matches(s.ports, port)
        };
        let (local, remote) = self.selectors();
        remote.iter().any(|s| matches(s, view.source, ports.map(|p| p.0)))
            && local.iter().any(|s| matches(s, view.destination, ports.map(|p| p.1)))
    }
}

/// An SA whose packets are being opened, with its replay window.
#[derive(Debug)]
pub struct Opening<'a> {
    sa: &'a InSa,
    window: MutexGuard<'a, Window>,
    path: Path,
}

impl Opening<'_> {
    /// The SA.
    #[must_use]
    #[inline]
    pub fn sa(&self) -> &InSa {
        self.sa
    }

    /// Opens an ESP packet (from SPI to ICV) in place: it becomes the inner IP packet. `from` is where it came from,
    /// `class` the outer DSCP and ECN, `now` monotonic milliseconds.
    ///
    /// # Errors
    /// Why the packet must be dropped.
    pub fn open(
        &mut self,
        packet: &mut Packet<'_>,
        from: SocketAddr,
        class: u8,
        now: u64,
    ) -> Result<Opened, Drop> {
        let sa = self.sa;
        if sa.meter.expired() {
            return Err(Drop::Expired);
        }
        let header = EspHeader::parse(packet.bytes()).map_err(|_| Drop::Malformed)?;
        let seq = self.window.infer(header.seq);
        // 3.4.3: "the receiver MUST ... verify that the packet contains a Sequence Number that does not duplicate".
        if !self.window.fresh(seq) {
            return Err(Drop::Replay);
        }
        let high = sa.esn.then_some(split(seq).0);
        let plain = sa.cipher.open(high, packet.bytes_mut()).map_err(|_| Drop::Integrity)?;
        let newest = seq > self.window.top();
        // "The receive window is updated only if the integrity verification succeeds."
        if !self.window.accept(seq) {
            return Err(Drop::Replay);
        }
        packet.narrow(plain).ok_or(Drop::Malformed)?;
        let (payload, trailer) = EspTrailer::parse(packet.bytes()).map_err(|_| Drop::Padding)?;
        let len = payload.len();
        if trailer.next_header == NEXT_HEADER_DUMMY {
            return Err(Drop::Dummy);
        }
        packet.narrow(0..len).ok_or(Drop::Padding)?;
        let view = match sa.mode {
            Mode::Transport => transport::rebuild(packet, trailer.next_header, &self.path, class)?,
            _ => sa.decapsulate(packet, trailer.next_header, class)?,
        };
        if !sa.admits(&view) {
            return Err(Drop::Selector);
        }
        let limit = sa.meter.count(view.total_len, now);
        // A look first: a write on every packet would bounce between the workers.
        let first = sa.waiting.load(Ordering::Relaxed) && sa.waiting.swap(false, Ordering::Relaxed);
        let moved = newest && self.path.encap && from != self.path.remote;
        Ok(Opened { view, limit, moved, first })
    }
}

/// Sets the DSCP field, keeping ECN and the IPv4 header checksum right.
fn set_dscp(packet: &mut [u8], dscp: u8) {
    match packet {
        [first, class, _, _, _, _, _, _, _, _, c0, c1, ..] if *first >> 4 == 4 => {
            let old = u16::from_be_bytes([*first, *class]);
            *class = dscp << 2 | *class & 3;
            let new = u16::from_be_bytes([*first, *class]);
            [*c0, *c1] = wire::ip::update16(u16::from_be_bytes([*c0, *c1]), old, new).to_be_bytes();
        }
        [first, second, ..] if *first >> 4 == 6 => {
            *first = *first & 0xf0 | dscp >> 2;
            *second = *second & 0x3f | (dscp & 3) << 6;
        }
        _ => {}
    }
}
