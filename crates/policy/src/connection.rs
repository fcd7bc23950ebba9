//! One peer definition (`connections.<conn>`).
use crate::{Auth, Child, MarkValue, ProposalSet};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// One entry of `local_addrs` or `remote_addrs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAddr {
    /// `%any` (both families), `%any4`, `%any6`.
    Any(Option<bool>),
    /// One address.
    Ip(IpAddr),
    /// CIDR or range, inclusive.
    Range(IpAddr, IpAddr),
    /// A DNS name, resolved by the edge at every lookup.
    Name(String),
}

/// `unique` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Unique {
    Never,
    No,
    Keep,
    Replace,
}

/// `fragmentation` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Fragmentation {
    Yes,
    Accept,
    No,
    Force,
}

/// `childless` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Childless {
    Allow,
    Prefer,
    Never,
    Force,
}

/// A connection. Names and defaults are those of `swanctl.conf`; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are swanctl.conf's keys, documented in config's schema")]
pub struct Connection {
    pub name: String,
    /// 0 = both, 1, 2.
    pub version: u8,
    pub local_addrs: Vec<PeerAddr>,
    pub remote_addrs: Vec<PeerAddr>,
    pub local_port: u16,
    pub remote_port: u16,
    pub proposals: ProposalSet,
    /// Addresses to ask for; unspecified addresses mean any of that family.
    pub vips: Vec<IpAddr>,
    pub aggressive: bool,
    pub pull: bool,
    pub dscp: u8,
    pub encap: bool,
    pub mobike: bool,
    pub dpd_delay: u64,
    pub dpd_timeout: u64,
    pub fragmentation: Fragmentation,
    pub childless: Childless,
    pub send_certreq: bool,
    pub send_cert: String,
    pub ocsp: String,
    pub ppk_id: Option<String>,
    pub ppk_required: bool,
    pub keyingtries: u32,
    pub unique: Unique,
    pub reauth_time: u64,
    pub rekey_time: u64,
    pub over_time: u64,
    pub rand_time: u64,
    pub pools: Vec<String>,
    pub if_id_in: MarkValue,
    pub if_id_out: MarkValue,
    pub local: Vec<Auth>,
    pub remote: Vec<Auth>,
    pub children: Vec<Arc<Child>>,
}
