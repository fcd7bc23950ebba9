//! The virtual clock.
use ike::Now;

/// Seconds since 1970 at which every world begins.
const BEGIN: u64 = 1_800_000_000;

/// Monotonic milliseconds and the wall clock that goes with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    mono: u64,
}

impl Clock {
    /// Milliseconds since the world began.
    #[must_use]
    pub fn mono(self) -> u64 {
        self.mono
    }

    /// Both clocks, for an engine.
    #[must_use]
    pub fn now(self) -> Now {
        Now { mono: self.mono, wall: BEGIN + self.mono / 1000 }
    }

    /// Goes on to `mono`; never back.
    pub fn advance(&mut self, mono: u64) {
        self.mono = self.mono.max(mono);
    }
}
