//! What all lanes share: the tables, the way to the daemon, the sign to stop.
use super::counters::Counters;
use super::pace::Until;
use super::trap::Traps;
use crate::backend::Notice;
use esp::{Sad, Spd};
use linux::wait::Waker;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::Sender;

/// An IKE message that came on the NAT-T port: to which of our addresses, from where, without its marker.
pub type IkeDatagram = (SocketAddr, SocketAddr, Vec<u8>);

/// Shared by the lanes and their owner.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) sad: Sad,
    pub(super) spd: Spd,
    pub(super) traps: Traps,
    pub(super) counters: Arc<Counters>,
    /// Until when there is bulk in any lane.
    pub(super) bulk: Until,
    pub(super) notices: Sender<Notice>,
    pub(super) ike: Sender<IkeDatagram>,
    /// Packets that traps kept and that have an SA now.
    pub(super) released: Mutex<Vec<Vec<u8>>>,
    pub(super) wakers: Vec<Arc<Waker>>,
    pub(super) stop: AtomicBool,
}

impl Plane {
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells the daemon, or counts that it has no room. Never waits.
    pub(super) fn tell(&self, notice: Notice) -> bool {
        let told = self.notices.try_send(notice).is_ok();
        if !told {
            self.counters.notices_lost.add(1);
        }
        told
    }

    pub(super) fn take_released(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands kept packets to a lane.
    pub(super) fn release(&self, packets: Vec<Vec<u8>>) {
        if packets.is_empty() {
            return;
        }
        self.released.lock().unwrap_or_else(PoisonError::into_inner).extend(packets);
        self.wake();
    }

    pub(super) fn wake(&self) {
        for waker in &self.wakers {
            waker.wake();
        }
    }
}
