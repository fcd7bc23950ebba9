//! The order to a data plane: SPIs, keys, selectors, mode, marks.
use crate::{Child, Interface, Mode, Selector};
use crypto::Secret;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::iana::{Encr, Integ, ProtocolId};

/// Direction as seen from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "plain words")]
pub enum Direction {
    In,
    Out,
}

/// Keys of one direction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SaKeys {
    /// Encryption key, salt at its end for AEAD and CTR.
    pub encr: Secret,
    /// Integrity key; empty with AEAD.
    pub integ: Secret,
}

/// A CHILD_SA, complete: the data plane needs nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChildSa {
    /// Engine-wide number of the CHILD_SA; the data plane's handle.
    pub id: u32,
    /// Number of its IKE_SA.
    pub ike_id: u32,
    /// Definition it came from.
    pub config: Arc<Child>,
    /// Name of the connection.
    pub connection: Arc<str>,
    /// reqid shared by rekeyed generations.
    pub reqid: u32,
    /// ESP or AH.
    pub protocol: ProtocolId,
    /// Tunnel, transport or BEET, as negotiated.
    pub mode: Mode,
    /// Our SPI: packets to us carry it.
    pub spi_in: u32,
    /// The peer's SPI.
    pub spi_out: u32,
    /// Our CPI: compressed packets to us carry it (IPComp, RFC 3173); 0 without IPComp.
    #[serde(default)]
    pub cpi_in: u16,
    /// The peer's CPI; 0 without IPComp.
    #[serde(default)]
    pub cpi_out: u16,
    /// Cipher and key bits.
    pub encr: (Encr, u16),
    /// Integrity.
    pub integ: Integ,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Keys of packets to us.
    pub keys_in: SaKeys,
    /// Keys of packets to the peer.
    pub keys_out: SaKeys,
    /// Outer addresses. Ports are those of UDP encapsulation, and meaningless without.
    pub local: SocketAddr,
    /// The peer's outer address.
    pub remote: SocketAddr,
    /// ESP in UDP (RFC 3948).
    pub encap: bool,
    /// The peer has the TFC padding extension off (ESP_TFC_PADDING_NOT_SUPPORTED).
    pub tfc_allowed: bool,
    /// Narrowed selectors of our side.
    pub local_ts: Arc<[Selector]>,
    /// Narrowed selectors of the peer's side.
    pub remote_ts: Arc<[Selector]>,
    /// Our virtual IPs (initiator): sources of routes.
    pub local_vips: Box<[IpAddr]>,
    /// We initiated this CHILD_SA.
    pub initiator: bool,
    /// Replaces this CHILD_SA (rekeying): move policies, keep both SAs until removal.
    pub replaces: Option<u32>,
    /// Do not use for sending yet (the responder of a rekey waits for the initiator's delete or traffic).
    pub inbound_only: bool,
    /// Resolved marks `(value, mask)`.
    pub mark_in: (u32, u32),
    /// As above, outbound.
    pub mark_out: (u32, u32),
    /// Resolved interface ids, 0 = none.
    pub if_id_in: u32,
    /// As above, outbound.
    pub if_id_out: u32,
    /// The interface that the daemon makes for it, by its own name.
    #[serde(default)]
    pub interface: Option<Arc<Interface>>,
    /// Soft limits after jitter: `(bytes, packets)`, 0 = none; the data plane reports `Expire`.
    pub soft: (u64, u64),
    /// Hard limits `(bytes, packets)`.
    pub hard: (u64, u64),
}

/// A trap, pass or drop policy: no SA behind it yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyOnly {
    /// Handle, unique among traps and shunts.
    pub id: u32,
    /// Connection it belongs to.
    pub connection: String,
    /// Definition.
    pub config: Arc<Child>,
    /// Selectors with `dynamic` resolved.
    pub local_ts: Vec<Selector>,
    /// The peer's side.
    pub remote_ts: Vec<Selector>,
    /// reqid of the SAs that will serve the trap (0 for pass and drop).
    pub reqid: u32,
    /// Outer addresses, where known.
    pub local: Option<IpAddr>,
    /// The peer's, where known.
    pub remote: Option<IpAddr>,
    /// Resolved marks `(value, mask)`; the SAs that serve a trap have the same.
    pub mark_in: (u32, u32),
    /// As above, outbound.
    pub mark_out: (u32, u32),
    /// Resolved interface ids, 0 = none.
    pub if_id_in: u32,
    /// As above, outbound.
    pub if_id_out: u32,
    /// The interface that the daemon makes for it, by its own name.
    pub interface: Option<Arc<Interface>>,
}

/// Counters of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of inner packets.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Monotonic milliseconds of the last packet, if any.
    pub last: Option<u64>,
}
