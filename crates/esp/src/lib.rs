//! Seals and opens ESP packets (RFC 4303), selects SAs, guards against replay.
//!
//! Deliberately not here: sockets, devices, threads, clocks. Nothing on the packet path allocates, logs or takes a
//! lock that two SAs share.
//!
//! The walk: [`packet`] (a packet inside caller-owned memory, with room before and behind) → outbound: [`spd`]
//! (which policy wants this packet) → [`outbound`] (seal in place) → [`pmtu`] (what fits); inbound: [`sad`] (SPI to
//! SA) → [`inbound`] (open in place) → [`replay`]. [`stats`] counts why packets were dropped.

pub mod inbound;
pub mod outbound;
pub mod packet;
pub mod pmtu;
pub mod replay;
pub mod sad;
pub mod spd;
pub mod stats;
mod table;
mod transport;

pub use inbound::{InSa, Opened, Opening};
pub use outbound::{Limit, OutSa, Path, Sealed, Turn};
pub use packet::{HEADROOM, Packet, TAILROOM};
pub use sad::Sad;
pub use spd::{Flow, Spd, Target};
pub use stats::{Drop, Stats};

/// Why an SA cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaError {
    /// The keys or algorithms do not work.
    #[error(transparent)]
    Crypto(#[from] crypto::CryptoError),
    /// A mode, protocol or size that this data plane does not have.
    #[error("{0} is not supported by the userspace data plane")]
    Unsupported(String),
}
