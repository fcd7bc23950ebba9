//! Lifetimes: soft, hard and jitter in seconds, bytes and packets.
use serde::{Deserialize, Serialize};

/// One dimension of a lifetime; 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limit {
    /// Rekey when reached.
    pub rekey: u64,
    /// Delete when reached.
    pub life: u64,
    /// Up to this much is subtracted at random from `rekey`.
    pub rand: u64,
}

/// Lifetime of a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lifetime {
    /// Seconds.
    pub time: Limit,
    /// Bytes.
    pub bytes: Limit,
    /// Packets.
    pub packets: Limit,
}
