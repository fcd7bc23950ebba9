//! Reads and writes strongswan.conf and swanctl.conf: text, tree, policy, with errors that point at the line.
//!
//! Deliberately not here: what a connection does. This floor ends where a [`policy`] value begins.
//!
//! The walk: [`grammar`] (text → statements) → [`resolve`] (files → one tree) → [`tree`] (sections and values; what
//! vici carries, too) → [`report`] (what to tell the operator).

pub mod grammar;
pub mod report;
pub mod resolve;
pub mod tree;

pub use grammar::Sources;
pub use report::{Report, Severity};
pub use resolve::{Disk, LoadError, Loaded, Loader, load};
pub use tree::{Node, Section, Span, Value};
