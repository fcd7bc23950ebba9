//! Puts CHILD_SAs to work: userspace ESP over TUN, behind the trait that kernel XFRM implements too.
//!
//! It does not negotiate, nor does it decide routes: orders come as plain values from [`policy::sa`], reports go
//! back as [`Notice`]s.
//!
//! The walk: [`backend`] (the face) → [`userspace`] (the implementation).

pub mod backend;
pub mod userspace;

pub use backend::{Backend, DataplaneError, Notice};
pub use userspace::{Userspace, UserspaceOptions};
