//! The way out, stages 3 to 5 of [`super::lane`]: what the device gave becomes ESP in the outbox.
use super::flows::{Flows, Known};
use super::outbox::Outbox;
use super::plane::Plane;
use super::split::Train;
use super::wires::{PathMtus, Wires};
use crate::backend::Notice;
use esp::pmtu::{Fit, ICMP_MAX, Piece, esp_room, fit, inner_mtu, piece_header, pieces, too_big};
use esp::{Drop, Flow, Limit, OutSa, Target};
use linux::tun::{TunQueue, VIRTIO_HEADER};
use policy::Selector;
use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::Arc;
use wire::ip::{IPV4_LEN, IpView};

/// The outbound half of a lane.
pub(super) struct Sealer {
    flows: Flows,
    protector: Protector,
}

/// What it does once the policy is known.
struct Protector {
    plane: Arc<Plane>,
    tun: Arc<TunQueue>,
    outbox: Outbox,
    mtus: PathMtus,
    /// A packet that is to be cut.
    whole: Vec<u8>,
}

impl Sealer {
    /// `mark`: as the sockets have it, for path MTUs.
    pub(super) fn new(plane: Arc<Plane>, tun: Arc<TunQueue>, wires: Wires, mark: Option<u32>) -> Self {
        let (outbox, mtus) = (Outbox::new(wires), PathMtus::new(mark));
        let protector = Protector { plane, tun, outbox, mtus, whole: Vec::new() };
        Self { flows: Flows::default(), protector }
    }

    /// Seals what one read gave.
    pub(super) fn train(&mut self, read: &[u8], now: u64) {
        let Self { flows, protector } = self;
        let Some(train) = Train::parse(read, protector.tun.offload()) else {
            protector.drop(Drop::Malformed);
            return;
        };
        // 3
        let flow = Flow::outbound(&train.view);
        let Protector { plane, mtus, .. } = protector;
        match flows.find(&plane.spd, &flow, |sa| known(sa, mtus, now)) {
            Ok(known) => protector.protect(&train, known, now),
            Err(Some(Target::Trap(trap))) => protector.trap(trap, read, &flow, now),
            // What passes unprotected has no business on the device: its route goes elsewhere.
            Err(Some(_)) => protector.drop(Drop::Policy),
            Err(None) => protector.drop(Drop::NoPolicy),
        }
    }

    /// Sends what was sealed, and forgets what was known of flows.
    pub(super) fn flush(&mut self) {
        self.protector.outbox.flush();
        self.flows.clear();
    }
}

impl Protector {
    fn trap(&self, trap: u32, read: &[u8], flow: &Flow, now: u64) {
        self.drop(Drop::Trap);
        let ask = self.plane.traps.caught(trap, read, now);
        // An SA installed since the look-up has released what was kept before, but not this packet.
        let served = self.plane.spd.lookup(flow, |t| matches!(t, Target::Protect(_)));
        if served == Some(true) {
            self.plane.release(self.plane.traps.release(trap));
        } else if ask {
            let packet = Some((host(flow.local, flow, true), host(flow.remote, flow, false)));
            if !self.plane.tell(Notice::Acquire { trap, packet }) {
                self.plane.traps.not_asked(trap);
            }
        }
    }

    fn protect(&mut self, train: &Train<'_>, known: &Known, now: u64) {
        let Known { sa, room, most } = known;
        // 4
        let longest = IpView { total_len: train.longest(), ..train.view };
        match fit(sa, &longest, *most) {
            Fit::Seal => {}
            Fit::Cut(most) => {
                self.cut(train, sa, now, *room, most);
                return;
            }
            Fit::TooBig(most) => {
                self.drop(Drop::TooBig);
                self.refuse(train, most);
                return;
            }
        }
        // 5
        for i in 0..train.count() {
            let view = IpView { total_len: train.len(i), ..train.view };
            let sealed = self.outbox.seal(sa, &view, now, *room, |out| train.write(i, out));
            self.sealed(sa, sealed);
        }
    }

    /// Packets that may be cut, cut to `most` bytes.
    fn cut(&mut self, train: &Train<'_>, sa: &Arc<OutSa>, now: u64, room: usize, most: usize) {
        let mut whole = std::mem::take(&mut self.whole);
        for i in 0..train.count() {
            whole.resize(train.len(i), 0);
            let view = train.write(i, &mut whole).and_then(|()| IpView::parse(&whole).ok());
            let Some((view, header)) = view.zip(whole.first_chunk::<IPV4_LEN>()) else {
                self.drop(Drop::Malformed);
                continue;
            };
            for piece in pieces(&view, most) {
                let sealed = self.piece(sa, &whole, header, &view, piece, now, room);
                self.sealed(sa, sealed);
            }
        }
        self.whole = whole;
    }

    #[expect(clippy::too_many_arguments, reason = "a piece and all it was cut from")]
    fn piece(
        &mut self,
        sa: &Arc<OutSa>,
        whole: &[u8],
        header: &[u8; IPV4_LEN],
        view: &IpView,
        piece: Piece,
        now: u64,
        room: usize,
    ) -> Result<Option<Limit>, Drop> {
        let head = piece_header(header, view, piece).ok_or(Drop::NoRoom)?;
        let start = view.header_len + piece.offset;
        let body = whole.get(start..start + piece.len).ok_or(Drop::NoRoom)?;
        let total_len = IPV4_LEN + piece.len;
        let view = IpView { total_len, header_len: IPV4_LEN, more_fragments: piece.more, ..*view };
        self.outbox.seal(sa, &view, now, room, |out| {
            let (to_head, to_body) = out.get_mut(..total_len)?.split_at_mut_checked(IPV4_LEN)?;
            to_head.copy_from_slice(&head);
            to_body.copy_from_slice(body);
            Some(())
        })
    }

    /// Tells the sender what fits, through the device.
    fn refuse(&self, train: &Train<'_>, most: usize) {
        let mut packet = vec![0u8; train.longest()];
        let view = train.write(0, &mut packet).and_then(|()| IpView::parse(&packet).ok());
        let mut icmp = [0u8; ICMP_MAX];
        let Some(len) = view.and_then(|view| too_big(&packet, &view, most, None, &mut icmp)) else { return };
        let virtio = [0u8; VIRTIO_HEADER];
        let parts = [IoSlice::new(&virtio), IoSlice::new(icmp.get(..len).unwrap_or_default())];
        let parts = if self.tun.offload() { &parts } else { parts.get(1..).unwrap_or_default() };
        if self.tun.write(parts).is_err() {
            self.plane.counters.device_failed.add(1);
        }
    }

    fn sealed(&self, sa: &OutSa, result: Result<Option<Limit>, Drop>) {
        match result {
            Ok(None) => {}
            Ok(Some(limit)) => {
                self.plane.tell(Notice::Expire { child: sa.child, hard: limit == Limit::Hard });
            }
            Err(reason) => self.drop(reason),
        }
    }

    fn drop(&self, reason: Drop) {
        self.plane.counters.out.count(reason);
    }
}

/// What packets of an SA need beside it.
fn known(sa: Arc<OutSa>, mtus: &mut PathMtus, now: u64) -> Known {
    let path = sa.path();
    let mtu = mtus.get(path.remote.ip(), now);
    let (room, most) = (esp_room(&path, mtu), inner_mtu(&sa, &path, mtu));
    Known { sa, room, most }
}

/// A selector of one host, with the packet's protocol and port.
fn host(address: IpAddr, flow: &Flow, ours: bool) -> Selector {
    let ports = match flow.ports {
        Some((local, _)) if ours => (local, local),
        Some((_, remote)) => (remote, remote),
        None => (0, u16::MAX),
    };
    Selector { protocol: flow.protocol, ports, start: address, end: address }
}
