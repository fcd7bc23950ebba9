//! What a data plane would do with one packet that leaves: for people who ask, not for packets.
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A packet, as far as policies look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Inner source.
    pub source: IpAddr,
    /// Inner destination.
    pub destination: IpAddr,
    /// IP protocol, 0 when it is not said.
    pub protocol: u8,
    /// Source and destination port, where the protocol has them and they are said.
    pub ports: Option<(u16, u16)>,
    /// Its mark.
    pub mark: u32,
    /// Index of the interface it would leave by.
    pub interface: u32,
    /// The XFRM interface's id, 0 for any other interface.
    pub if_id: u32,
}

/// The policy that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decider {
    /// Its selectors, as `ip xfrm policy` would show them.
    pub selectors: String,
    /// Its priority; the lowest wins.
    pub priority: u32,
}

/// The SA that would seal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Handle of the CHILD_SA.
    pub child: u32,
    /// The peer's SPI.
    pub spi: u32,
    /// Outer addresses, with the ports of UDP encapsulation.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// ESP in UDP.
    pub encap: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// No policy wants it: the data plane leaves it alone, or never gets to see it.
    Ignored,
    /// A policy lets it go unprotected.
    Passed(Decider),
    /// A policy drops it.
    Dropped(Decider),
    /// It starts the CHILD_SA of a trap, whose handle this is, and waits or is lost.
    Awaits(Decider, u32),
    /// An SA of ours seals it.
    Sealed(Decider, Sealing),
    /// A policy wants an SA which is not of this daemon.
    Foreign(Decider),
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {}", self.selectors, self.priority)
    }
}
