//! Puts CHILD_SAs to work, in the kernel (XFRM) or in user space (ESP over TUN), behind one trait.
//!
//! It does not negotiate, nor does it decide routes: orders come as plain values from [`policy::sa`], reports go
//! back as [`Notice`]s.
//!
//! The walk: [`backend`] (the face) → [`xfrm`] (the kernel's) → [`userspace`] (our own) → [`trace`] (what either would
//! do with a packet).

pub mod backend;
pub mod trace;
pub mod userspace;
pub mod xfrm;

pub use backend::{Abilities, Backend, DataplaneError, Notice};
pub use userspace::{Userspace, UserspaceOptions};
pub use xfrm::{Xfrm, XfrmOptions};
