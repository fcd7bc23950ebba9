//! Loads keys and certificates, builds and judges chains, CRLs and OCSP answers; asks for downloads, never downloads.
//!
//! Deliberately not here: files, clocks, sockets, private keys on tokens (behind [`Signer`]), IKE. Time is an argument, in
//! seconds since 1970.
//!
//! The walk: [`container`] (files in all forms) → [`cert`], [`acert`], [`crl`], [`ocsp`] (what they hold) → [`store`] (everything
//! loaded, a snapshot) → [`chain`] (chains found and judged) → [`revoke`] (is anything revoked?) → [`judge`] (a peer's AUTH,
//! the other end of TLS) and [`sign`] (ours) → [`verdict`] (what is wrong, and what is logged), [`fetch`] (what is to be
//! downloaded).
pub mod acert;
mod algorithm;
pub mod cert;
pub mod chain;
pub mod container;
pub mod crl;
pub mod fetch;
pub mod judge;
pub mod ocsp;
mod oid;
pub mod revoke;
pub mod sign;
pub mod store;
mod time;
pub mod verdict;

pub use acert::AttributeCertificate;
pub use algorithm::{assemble_auth, parse_auth};
pub use cert::Certificate;
pub use chain::{Path, Purpose};
pub use container::{Item, load};
pub use crl::Crl;
pub use fetch::{Fetch, FetchKind};
pub use judge::{Judged, Judgement, Step, TlsJudgement, Trusted};
pub use revoke::Cache;
pub use sign::{OwnStatus, Plan, choose};
pub use store::{Authority, Settings, Signer, Store, Trust};
pub use verdict::{Distrust, LogLine, Rule};
