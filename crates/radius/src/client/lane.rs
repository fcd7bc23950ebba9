//! One port of one server: its identifiers, and whether it answers.
use super::{FIRST_PROBE, PROBE, Purpose, RequestId, ServerId, ServerSettings, TRIAL};
use crate::crypt::Authenticator;
use std::collections::BTreeMap;

/// What being up adds to the rank; strongSwan's figure.
pub(super) const UP: i64 = 110;
/// Identifiers of a socket.
const IDENTIFIERS: u32 = 256;
/// Sockets to a port at most.
const SOCKETS: u16 = 256;

/// Who an identifier belongs to.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// `None`: a probe, or a request that has left.
    pub(super) request: Option<RequestId>,
    pub(super) authenticator: Authenticator,
    /// It is a Status-Server packet.
    pub(super) probe: bool,
    /// When it is free again without a reply.
    pub(super) until: u64,
}

#[derive(Debug)]
enum Health {
    Up,
    Down { probe_at: u64, trial_at: u64 },
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) server: ServerId,
    pub(super) purpose: Purpose,
    preference: i64,
    sockets: u16,
    /// By socket and identifier.
    slots: BTreeMap<(u16, u8), Slot>,
    /// The identifier after the last one taken, of all sockets counted through: what was just freed is taken last.
    next: u32,
    health: Health,
    /// The last valid reply.
    pub(super) heard: Option<u64>,
    /// For turns among equals.
    pub(super) used_at: u64,
}

impl Lane {
    pub(super) fn new(server: ServerId, purpose: Purpose, settings: &ServerSettings) -> Self {
        Self {
            server,
            purpose,
            preference: settings.preference,
            sockets: settings.sockets.clamp(1, SOCKETS),
            slots: BTreeMap::new(),
            next: 0,
            health: Health::Up,
            heard: None,
            used_at: 0,
        }
    }

    fn capacity(&self) -> u32 {
        u32::from(self.sockets).saturating_mul(IDENTIFIERS)
    }

    fn used(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn has_room(&self) -> bool {
        self.used() < self.capacity()
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.health, Health::Up)
    }

    /// As strongSwan ranks servers: preference, free share in percent, and whether it answers.
    pub(super) fn rank(&self) -> i64 {
        let free = self.capacity().saturating_sub(self.used());
        let share = i64::from(free).saturating_mul(100).checked_div(i64::from(self.capacity())).unwrap_or(0);
        let up = if self.is_up() { UP } else { 0 };
        self.preference.saturating_add(share).saturating_add(up)
    }

    /// A free socket and identifier.
    pub(super) fn take(&mut self) -> Option<(u16, u8)> {
        let capacity = self.capacity();
        for step in 0..capacity {
            let number = self.next.wrapping_add(step).checked_rem(capacity)?;
            let [.., high, low, ident] = number.to_be_bytes();
            let place = (u16::from_be_bytes([high, low]), ident);
            if !self.slots.contains_key(&place) {
                self.next = number.wrapping_add(1);
                return Some(place);
            }
        }
        None
    }

    pub(super) fn put(&mut self, socket: u16, ident: u8, slot: Slot) {
        self.slots.insert((socket, ident), slot);
    }

    pub(super) fn slot(&self, socket: u16, ident: u8) -> Option<&Slot> {
        self.slots.get(&(socket, ident))
    }

    pub(super) fn free(&mut self, socket: u16, ident: u8) {
        self.slots.remove(&(socket, ident));
    }

    /// The request has left, its identifier stays for a while.
    pub(super) fn haunt(&mut self, socket: u16, ident: u8, until: u64) {
        if let Some(slot) = self.slots.get_mut(&(socket, ident)) {
            slot.request = None;
            slot.until = until;
        }
    }

    /// Frees identifiers for which no reply will come any more.
    pub(super) fn forget(&mut self, now: u64) {
        self.slots.retain(|_, slot| slot.request.is_some() || slot.until > now);
    }

    /// True when it was down.
    pub(super) fn come_up(&mut self) -> bool {
        let was_down = !self.is_up();
        self.health = Health::Up;
        was_down
    }

    /// True when it was up.
    pub(super) fn go_down(&mut self, now: u64) -> bool {
        let was_up = self.is_up();
        if was_up {
            self.health = Health::Down {
                probe_at: now.saturating_add(FIRST_PROBE),
                trial_at: now.saturating_add(TRIAL),
            };
        }
        was_up
    }

    pub(super) fn probe_due(&self, now: u64) -> bool {
        matches!(self.health, Health::Down { probe_at, .. } if probe_at <= now)
    }

    pub(super) fn probed(&mut self, now: u64) {
        if let Health::Down { probe_at, .. } = &mut self.health {
            *probe_at = now.saturating_add(PROBE);
        }
    }

    pub(super) fn trial_due(&self, now: u64) -> bool {
        matches!(self.health, Health::Down { trial_at, .. } if trial_at <= now)
    }

    /// Something was sent there although it is down.
    pub(super) fn tried(&mut self, now: u64) {
        if let Health::Down { trial_at, .. } = &mut self.health {
            *trial_at = now.saturating_add(TRIAL);
        }
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let probe = match self.health {
            Health::Up => None,
            Health::Down { probe_at, .. } => Some(probe_at),
        };
        let ghosts = self.slots.values().filter(|slot| slot.request.is_none()).map(|slot| slot.until);
        probe.into_iter().chain(ghosts).min()
    }
}
