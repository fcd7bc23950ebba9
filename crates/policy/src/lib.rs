//! Who may connect with what to where, as plain values (RFC 4301's SPD and PAD).
//!
//! Values never change after they are built. A reload makes a new [`Snapshot`]; an SA keeps the `Arc`s it was
//! born with. Everything is serialisable, so that an IKE_SA can be handed over whole.
//!
//! The walk: [`identity`] → [`proposal`] → [`selector`] → [`lifetime`] → [`auth`] → [`child`] → [`connection`]
//! → [`interface`] → [`secrets`] → [`pool`] → [`attribute`] → [`snapshot`]; [`sa`] is the order to a data plane.

pub mod attribute;
pub mod auth;
pub mod child;
pub mod connection;
pub mod credential;
pub mod domain;
pub mod identity;
pub mod interface;
pub mod lifetime;
pub mod pool;
pub mod proposal;
pub mod sa;
pub mod secrets;
pub mod selector;
pub mod settings;
pub mod snapshot;
pub mod vip;

pub use auth::{Auth, AuthClass};
pub use child::{Action, Child, Mark, MarkValue, Mode, Vti};
pub use connection::{Connection, PeerAddr};
pub use credential::{CertRef, Certificate, KeyConstraints, KeyKind, SchemePattern};
pub use identity::Identity;
pub use interface::Interface;
pub use lifetime::Lifetime;
pub use pool::{PoolAttribute, PoolConfig, PoolHost, PoolOverlap, PoolRange, PoolRangeError};
pub use proposal::{Proposal, ProposalSet};
pub use sa::{ChildSa, Direction, SaKeys};
pub use secrets::{SecretKind, SharedSecret};
pub use selector::{Selector, SelectorTemplate};
pub use settings::Settings;
pub use snapshot::Snapshot;
pub use vip::VirtualIp;
