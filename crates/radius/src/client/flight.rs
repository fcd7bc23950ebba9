//! A request under way, on one server or several.
use super::Request;
use crate::crypt::Forged;
use std::collections::BTreeMap;

/// A request at one port of a server. A request that moves keeps its seats: the first reply wins.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) socket: u16,
    pub(super) ident: u8,
    pub(super) bytes: Vec<u8>,
    /// When it was last sent here.
    pub(super) last: u64,
    /// Transmissions.
    pub(super) sent: u32,
    /// Transmissions about which the network said that nothing listens.
    pub(super) refused: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) request: Request,
    /// When its timer fires; meaningless while none is set.
    pub(super) at: u64,
    /// When it is given up.
    pub(super) deadline: u64,
    /// By lane; none while it waits for an identifier.
    pub(super) seats: BTreeMap<usize, Seat>,
    /// The lane it was last sent on.
    pub(super) lane: usize,
    /// What was wrong with the last reply that was not accepted.
    pub(super) forged: Option<Forged>,
}

impl Flight {
    pub(super) fn new(request: Request, deadline: u64) -> Self {
        Self { request, at: u64::MAX, deadline, seats: BTreeMap::new(), lane: 0, forged: None }
    }

    pub(super) fn waits(&self) -> bool {
        self.seats.is_empty()
    }

    /// Transmissions in all.
    pub(super) fn transmissions(&self) -> u32 {
        self.seats.values().fold(0, |sum, seat| sum.saturating_add(seat.sent))
    }
}
